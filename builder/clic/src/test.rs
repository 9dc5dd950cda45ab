//! `clic test`: boots an image in QEMU and judges it.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clic_host::Outcome;

use crate::context::Context;

/// Boot an image in QEMU and say whether it is good
///
/// The image itself is never changed: a throwaway copy boots. Exits 1 when a check does not pass.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  clic test out/minimal-x86-pc.img
  clic test out/minimal-x86-pc.img --machine bios --keep
  clic test out/minimal-raspberry-pi.img --junit junit.xml")]
pub struct Args {
    /// The image
    image: PathBuf,
    /// Only this machine: bios, uefi-x64, uefi-ia32 or raspi3b. May be given again [default: all of the board's]
    #[arg(short, long, value_name = "NAME")]
    machine: Vec<String>,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Where the serial logs and pictures of the screen go [default: IMAGE.test/ beside the image]
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Keep the serial logs and pictures of boots that passed too
    #[arg(long)]
    keep: bool,
}

pub fn run(_: &Args, _: &Context) -> Result<Outcome> {
    bail!("testing is not there yet")
}
