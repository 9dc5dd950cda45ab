//! `clic inspect`: what is in an image, without mounting it.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clic_host::Outcome;

use crate::context::Context;

/// Show partitions, boot chain, packages and files of an image
///
/// Without PATH: the whole image. With the path of a file: its content. With the path of a directory: what
/// is in it. PARTITION:PATH looks into another partition than the root file system.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  clic inspect out/minimal-x86-pc.img
  clic inspect out/minimal-x86-pc.img /etc/os-release
  clic inspect out/minimal-raspberry-pi.img firmware:/config.txt
  clic inspect out/minimal-x86-pc.img --json | jq '.packages[].name'")]
pub struct Args {
    /// The image
    image: PathBuf,
    /// A file or directory in it
    path: Option<String>,
}

pub fn run(_: &Args, _: &Context) -> Result<Outcome> {
    bail!("inspecting is not there yet")
}
