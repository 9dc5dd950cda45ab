//! `clic diff`: what changed between two images.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clic_host::Outcome;

use crate::context::Context;

/// Compare two images: partitions, packages, files
///
/// Exits 0 when they are identical, 1 when they differ.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  clic diff yesterday/minimal-x86-pc.img out/minimal-x86-pc.img")]
pub struct Args {
    /// The older image
    a: PathBuf,
    /// The newer image
    b: PathBuf,
}

pub fn run(_: &Args, _: &Context) -> Result<Outcome> {
    bail!("comparing is not there yet")
}
