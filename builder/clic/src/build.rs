//! `clic build`: from a recipe to an image, stage by stage.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clic_host::Outcome;

use crate::context::Context;

/// Build the image of a recipe for a board
///
/// Writes DIR/RECIPE-BOARD.img with its .manifest.json, .bmap and .sha256. Each file appears under its name
/// only when it is whole; what an earlier build left there is replaced then.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  clic build minimal --board x86-pc
  clic build minimal --board raspberry-pi --zst --authorized-key ~/.ssh/id_ed25519.pub
  clic build minimal --board x86-pc --mirror http://mirror.example/debian

The Debian mirror is --mirror, else CLIC_DEBIAN_MIRROR, else this machine's own apt sources.
An image is written to a disk or card with e.g. `bmaptool copy IMAGE /dev/sdX`, or with dd.")]
pub struct Args {
    /// Recipe: a name from `clic recipes`, or the path of a TOML file
    recipe: String,
    /// Board: a name from `clic boards`, or the path of a TOML file
    #[arg(short, long)]
    board: String,
    /// Where the image goes
    #[arg(short, long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// Debian mirror, e.g. http://mirror.example/debian
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Mirror of Debian's security updates [default: found like the mirror]
    #[arg(long, value_name = "URL")]
    security_mirror: Option<String>,
    /// Open no socket: everything must be in the store already
    #[arg(long)]
    offline: bool,
    /// Let the owner of this SSH public key log in as root. Recorded in the manifest
    #[arg(long, value_name = "FILE")]
    authorized_key: Option<PathBuf>,
    /// Also write the image compressed with zstd (.img.zst)
    #[arg(long)]
    zst: bool,
    /// Also write the image compressed with xz (.img.xz)
    #[arg(long)]
    xz: bool,
    /// Threads for work that can be shared out [default: as many as there are processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Build everything again, whatever the store holds
    #[arg(long)]
    rebuild: bool,
}

pub fn run(_: &Args, _: &Context) -> Result<Outcome> {
    bail!("building is not there yet")
}
