//! The files that a build leaves: image, block map, checksums, manifest, compressed forms. They get their names
//! together, once all of them are whole.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clic_host::{Progress, Sha256};
use clic_image::bmap;
use clic_image::compress::Compression;
use clic_image::scan::{Scan, checksum_line, scan};
use clic_store::space::io_error;
use clic_store::{Publishing, publish};
use serde::{Deserialize, Serialize};

/// What was written.
pub struct Written {
    /// The raw image.
    pub image: OutputFile,
    /// The files beside it.
    pub others: Vec<OutputFile>,
}

/// A file under its final name.
#[derive(Clone, Serialize, Deserialize)]
pub struct OutputFile {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of its content.
    pub sha256: Sha256,
}

/// The files on their way, all under temporary names.
pub struct Outputs<'a> {
    out: &'a Path,
    name: &'a str,
    image: Publishing,
    sha256: Sha256,
    others: Vec<(Publishing, Sha256)>,
}

impl<'a> Outputs<'a> {
    /// Takes a finished, verified image, and reads it through. `in_use` are the byte ranges that a medium must have.
    pub fn new(
        out: &'a Path,
        name: &'a str,
        mut image: Publishing,
        in_use: &[std::ops::Range<u64>],
        progress: &Progress,
    ) -> Result<(Self, Scan)> {
        let stage = progress.stage("checksum", "Checksum and block map", "the image keeps every rule");
        let scan = scan(image.file(), in_use, &stage)?;
        stage.finish();
        let mut outputs = Self {
            out,
            name,
            image,
            sha256: scan.sha256,
            others: Vec::new(),
        };
        outputs.add("bmap", bmap::xml(&scan).as_bytes())?;
        Ok((outputs, scan))
    }

    /// A file beside the image: RECIPE-BOARD.`extension`.
    pub fn add(&mut self, extension: &str, content: &[u8]) -> Result<()> {
        let mut file = publish(&self.path(extension))?;
        file.file()
            .write_all(content)
            .map_err(|error| io_error(error, file.dest()))?;
        self.push(file)
    }

    /// A compressed form of the image.
    pub fn compress(&mut self, form: Compression, workers: u32, progress: &Progress) -> Result<()> {
        let extension = form.extension();
        let title = format!("Compress (.{extension})");
        let stage = progress.stage(extension, &title, &format!("--{extension}"));
        let mut file = publish(&self.path(&format!("img.{extension}")))?;
        let dest = file.dest().to_owned();
        form.write(self.image.file(), file.file(), workers, &stage)
            .with_context(|| format!("cannot write {}", dest.display()))?;
        stage.finish();
        self.push(file)
    }

    /// Writes the checksums and gives all files their names: the image last, so that where it is, the rest is.
    pub fn commit(mut self) -> Result<Written> {
        let images = self
            .others
            .iter()
            .filter(|(file, _)| file_name(file).contains(".img."));
        let mut sums = checksum_line(self.sha256, &format!("{}.img", self.name));
        sums.extend(images.map(|(file, sha256)| checksum_line(*sha256, &file_name(file))));
        self.add("sha256", sums.as_bytes())?;
        let others = self.others.into_iter().map(|(file, sha256)| commit(file, sha256));
        let others = others.collect::<Result<Vec<OutputFile>>>()?;
        Ok(Written {
            image: commit(self.image, self.sha256)?,
            others,
        })
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.out.join(format!("{}.{extension}", self.name))
    }

    fn push(&mut self, file: Publishing) -> Result<()> {
        let sha256 = Sha256::of_file(file.path()).map_err(|error| io_error(error, file.dest()))?;
        self.others.push((file, sha256));
        Ok(())
    }
}

fn file_name(file: &Publishing) -> String {
    file.dest()
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn commit(file: Publishing, sha256: Sha256) -> Result<OutputFile> {
    let path = file.dest().to_owned();
    file.commit()?;
    let size = std::fs::metadata(&path)
        .map_err(|error| io_error(error, &path))?
        .len();
    Ok(OutputFile { path, size, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_appear_together_and_checksums_are_those_of_the_images() {
        let dir = tempfile::tempdir().unwrap();
        let mut image = publish(&dir.path().join("a-b.img")).unwrap();
        image.file().write_all(&[1; 8192]).unwrap();
        let (mut outputs, scan) = Outputs::new(
            dir.path(),
            "a-b",
            image,
            std::slice::from_ref(&(0..8192)),
            &Progress::silent(),
        )
        .unwrap();
        assert_eq!(scan.size, 8192);
        outputs
            .compress(Compression::Zst, 1, &Progress::silent())
            .unwrap();
        outputs.add("manifest.json", b"{}\n").unwrap();
        let visible = || {
            let names = std::fs::read_dir(dir.path()).unwrap().flatten();
            let mut names: Vec<String> = names
                .map(|entry| entry.file_name().into_string().unwrap())
                .collect();
            names.retain(|name| !name.starts_with('.'));
            names.sort();
            names
        };
        assert!(visible().is_empty());
        let written = outputs.commit().unwrap();
        assert_eq!(
            visible(),
            [
                "a-b.bmap",
                "a-b.img",
                "a-b.img.zst",
                "a-b.manifest.json",
                "a-b.sha256"
            ]
        );
        assert_eq!((written.image.size, written.others.len()), (8192, 4));
        let sums = std::fs::read_to_string(dir.path().join("a-b.sha256")).unwrap();
        let names: Vec<&str> = sums
            .lines()
            .map(|line| line.split("  ").nth(1).unwrap())
            .collect();
        assert_eq!(names, ["a-b.img", "a-b.img.zst"]);
    }
}
