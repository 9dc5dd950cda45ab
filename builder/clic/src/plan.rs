//! `clic plan`: what a build would do.

use anyhow::{Result, bail};
use clic_host::Outcome;

use crate::context::Context;

/// Show what a build would put together, without doing it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  clic plan minimal --board raspberry-pi
  clic plan minimal --board x86-pc --json | jq .packages")]
pub struct Args {
    /// Recipe: a name from `clic recipes`, or the path of a TOML file
    recipe: String,
    /// Board: a name from `clic boards`, or the path of a TOML file
    #[arg(short, long)]
    board: String,
}

pub fn run(_: &Args, _: &Context) -> Result<Outcome> {
    bail!("planning is not there yet")
}
