//! `clic man`: man pages, generated from the command line's own definition.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::CommandFactory;
use clic_host::Outcome;

use crate::context::Context;

/// Write the man pages, one for each command
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  clic man ~/.local/share/man/man1")]
pub struct Args {
    /// Directory to write clic.1, clic-build.1, ... to
    dir: PathBuf,
}

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    clic_store::writable(&args.dir, None)?;
    std::fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {}", args.dir.display()))?;
    clap_mangen::generate_to(crate::args::Args::command(), &args.dir)
        .with_context(|| format!("cannot write man pages to {}", args.dir.display()))?;
    context.say(&format!("man pages are in {}", args.dir.display()));
    Ok(Outcome::Done)
}
