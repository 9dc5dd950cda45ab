//! `clic completions`: completion scripts, generated from the command line's own definition.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;
use clic_host::Outcome;

use crate::output;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  clic completions bash > ~/.local/share/bash-completion/completions/clic
  clic completions zsh > ~/.zfunc/_clic
  clic completions fish > ~/.config/fish/completions/clic.fish")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::args::Args::command(), "clic", &mut script);
    output::bytes(&script)?;
    Ok(Outcome::Done)
}
