//! `clic diff`: what changed between two images.

use std::path::PathBuf;

use anyhow::Result;
use clic_host::Outcome;
use clic_image::diff::diff;
use clic_image::read::DiskImage;

use crate::context::Context;
use crate::output;

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

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let difference = diff(&DiskImage::open(&args.a)?, &DiskImage::open(&args.b)?)?;
    if context.json {
        output::json(&difference)?;
    } else {
        output::text(&difference.text())?;
    }
    Ok(if difference.identical {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}
