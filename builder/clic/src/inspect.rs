//! `clic inspect`: what is in an image, without mounting it.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Result;
use clic_host::Outcome;
use clic_image::inspect::{Found, inspect, inspect_path};
use clic_image::read::DiskImage;

use crate::context::Context;
use crate::output;

/// Show partitions, boot chain, packages and files of an image
///
/// Without PATH: the whole image. With the path of a file: its content. With the path of a directory: what
/// is in it. PARTITION:PATH looks into another partition than the root file system.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  clic inspect out/minimal-x86-pc.img
  clic inspect out/minimal-x86-pc.img --packages
  clic inspect out/minimal-x86-pc.img /etc/os-release
  clic inspect out/minimal-raspberry-pi.img firmware:/config.txt
  clic inspect out/minimal-x86-pc.img --json | jq '.packages[].name'")]
pub struct Args {
    /// The image
    image: PathBuf,
    /// A file or directory in it
    path: Option<String>,
    /// Also list the installed packages (--json always has them)
    #[arg(long, conflicts_with = "path")]
    packages: bool,
}

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let image = DiskImage::open(&args.image)?;
    let Some(path) = &args.path else {
        let inspection = inspect(&image)?;
        if context.json {
            output::json(&inspection)?;
        } else {
            output::text(&inspection.text(args.packages))?;
        }
        return Ok(Outcome::Done);
    };
    match inspect_path(&image, path)? {
        Found::Directory(listing) if context.json => output::json(&listing)?,
        Found::Directory(listing) => output::text(&listing.text())?,
        // With --json as well: a file's bytes are a result of their own, and may be no text.
        Found::File(file) => {
            let mut out = BufWriter::with_capacity(1 << 16, output::Out::new());
            file.copy(&mut out)?;
            out.flush()?;
        }
    }
    Ok(Outcome::Done)
}
