//! `clic completions`: what has a shell complete command lines, by asking this program, which knows the tree's names.

use anyhow::{Context as _, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use clap_complete::env::{CompleteEnv, Shells};
use clic_host::Outcome;

use crate::args;
use crate::output;

/// Set by the scripts, to the name of the shell that asks.
const ASKED: &str = "CLIC_COMPLETE";

/// Print a completion script for a shell
///
/// It completes commands and options, and names of recipes, boards, overlays and content bundles, in any directory of a tree.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  clic completions bash > ~/.local/share/bash-completion/completions/clic
  clic completions zsh > ~/.zfunc/_clic
  clic completions fish > ~/.config/fish/completions/clic.fish

Write it again after an update of clic.")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let name = args.shell.to_string();
    let shells = Shells::builtins();
    let shell = shells
        .completer(&name)
        .with_context(|| format!("{name} cannot be completed"))?;
    let mut script = Vec::new();
    shell.write_registration(ASKED, "clic", "clic", "clic", &mut script)?;
    output::bytes(&script)?;
    Ok(Outcome::Done)
}

/// Answers a shell that asks, and ends; otherwise nothing.
pub fn complete() {
    CompleteEnv::with_factory(args::Args::command)
        .var(ASKED)
        .complete();
}
