//! The files that a build leaves: image, block map, checksums, manifest, compressed forms. They get their names
//! together, once all of them are whole.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clic_host::{Progress, Stage, Unit, cancel};
use clic_image::assemble::Assembled;
use clic_image::embedded::ImageDescription;
use clic_recipe::Plan;
use clic_rootfs::Resolution;
use clic_store::{Publishing, publish, sha256_of};
use serde::Serialize;

use super::bmap::block_map;
use super::compress;
use super::manifest::{ImageFile, Manifest, Timings};

/// What is to be written.
pub struct Job<'a> {
    pub out: &'a Path,
    pub name: &'a str,
    /// The image, verified, under its temporary name.
    pub image: Publishing,
    pub assembled: &'a Assembled,
    pub plan: &'a Plan,
    pub resolution: &'a Resolution,
    pub description: &'a ImageDescription,
    pub timings: &'a Timings,
    pub zst: bool,
    pub xz: bool,
    /// Threads for compressing, at least 1.
    pub threads: u32,
    pub progress: &'a Progress,
}

/// What was written.
pub struct Written {
    /// The raw image.
    pub image: OutputFile,
    /// The files beside it.
    pub others: Vec<OutputFile>,
}

/// A file under its final name.
#[derive(Serialize)]
pub struct OutputFile {
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
}

pub fn write(mut job: Job<'_>) -> Result<Written> {
    let bytes = job.assembled.layout.bytes();
    let stage = job.progress.stage(
        "checksums",
        "Checksums and block map",
        "the image keeps every rule",
    );
    let in_use: u64 = job
        .assembled
        .in_use
        .iter()
        .map(|range| range.end - range.start)
        .sum();
    stage.total(Unit::Bytes, in_use);
    let map = block_map(job.image.file(), bytes, &job.assembled.in_use, &stage)?;
    stage.message("the whole image");
    let sha256 =
        sha256_of(job.image.path()).with_context(|| format!("reading {}", job.image.path().display()))?;
    stage.finish();

    let mut files = Vec::new();
    let threads = job.threads;
    if job.zst {
        files.push(job.compressed("zst", |from, to| compress::zstd(from, bytes, to, threads))?);
    }
    if job.xz {
        files.push(job.compressed("xz", |from, to| compress::xz(from, to, threads))?);
    }
    // Writing to a String cannot fail.
    let mut sums = format!("{sha256}  {}.img\n", job.name);
    for (file, sha256) in &files {
        let _ = writeln!(sums, "{sha256}  {}", file_name(file.dest()));
    }
    let image_name = format!("{}.img", job.name);
    let image = ImageFile {
        file: &image_name,
        size: bytes,
        sha256: &sha256,
    };
    let layout = &job.assembled.layout;
    let manifest = Manifest::new(
        job.plan,
        job.resolution,
        job.description,
        layout,
        image,
        job.timings,
    );
    let mut manifest = serde_json::to_vec_pretty(&manifest)?;
    manifest.push(b'\n');
    for (extension, content) in [
        ("bmap", map.as_bytes()),
        ("manifest.json", &manifest),
        ("sha256", sums.as_bytes()),
    ] {
        let mut file = publish(&job.out.join(format!("{}.{extension}", job.name)))?;
        file.file()
            .write_all(content)
            .map_err(|error| clic_store::space::io_error(error, file.dest()))?;
        let sha256 = sha256_of(file.path())?;
        files.push((file, sha256));
    }

    // The image last: where it is, the rest is.
    let mut others = Vec::new();
    for (file, sha256) in files {
        others.push(commit(file, sha256)?);
    }
    Ok(Written {
        image: commit(job.image, sha256)?,
        others,
    })
}

fn commit(file: Publishing, sha256: String) -> Result<OutputFile> {
    let path = file.dest().to_owned();
    file.commit()?;
    let size = std::fs::metadata(&path)
        .with_context(|| format!("looking at {}", path.display()))?
        .len();
    Ok(OutputFile { path, size, sha256 })
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

impl Job<'_> {
    /// A compressed form of the image, and its hash.
    fn compressed(
        &mut self,
        extension: &str,
        pack: impl FnOnce(&mut dyn Read, &mut dyn Write) -> io::Result<()>,
    ) -> Result<(Publishing, String)> {
        let stage = self.progress.stage(
            extension,
            &format!("Compress (.{extension})"),
            &format!("--{extension}"),
        );
        stage.total(Unit::Bytes, self.assembled.layout.bytes());
        let mut to = publish(&self.out.join(format!("{}.img.{extension}", self.name)))?;
        let dest = to.dest().to_owned();
        self.image.file().seek(SeekFrom::Start(0))?;
        let mut from = Metered {
            file: self.image.file(),
            stage: &stage,
        };
        let mut buffered = BufWriter::with_capacity(1 << 20, to.file());
        let packed = pack(&mut from, &mut buffered).and_then(|()| buffered.flush());
        drop(buffered);
        // A cancelled read comes out of the compressor as some error of its own.
        cancel::check()?;
        packed.map_err(|error| clic_store::space::io_error(error, &dest))?;
        let sha256 = sha256_of(to.path()).with_context(|| format!("reading {}", dest.display()))?;
        stage.finish();
        Ok((to, sha256))
    }
}

/// Reads the image, tells how far it is, and stops when it is told to.
struct Metered<'a> {
    file: &'a mut File,
    stage: &'a Stage,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        cancel::check().map_err(io::Error::other)?;
        let len = self.file.read(buffer)?;
        self.stage.advance(len as u64);
        Ok(len)
    }
}
