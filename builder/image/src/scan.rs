//! One pass over a finished image: its hash, and which of its blocks a medium must have.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use clic_host::sha256::Hasher;
use clic_host::{Sha256, Stage, Unit, cancel};

/// Bytes of a block in the block map, bmaptool's own choice.
pub const BLOCK: u64 = 4096;

/// Bytes read at a time, a multiple of [`BLOCK`].
const CHUNK: usize = 1 << 20;

/// What a pass over an image found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Bytes of the image.
    pub size: u64,
    /// SHA-256 of the image.
    pub sha256: Sha256,
    /// Runs of blocks that must be written, in order, none touching the next.
    pub mapped: Vec<Mapped>,
}

/// A run of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The first block.
    pub first: u64,
    /// The last block.
    pub last: u64,
    /// SHA-256 of the run's bytes.
    pub sha256: Sha256,
}

/// Reads `image` once. A block is mapped when it is not all zeros, or when one of the `in_use` byte ranges (sorted)
/// touches it: zeros have a meaning in a FAT, in a journal and in a file, and the medium may hold something else. Where the
/// file's holes are plays no part, since that differs between file systems.
pub fn scan(image: &File, in_use: &[Range<u64>], stage: &Stage) -> Result<Scan> {
    let size = image.metadata().context("reading the image")?.len();
    stage.total(Unit::Bytes, size);
    let mut whole = Hasher::default();
    let mut mapped: Vec<Mapped> = Vec::new();
    let mut run: Option<(u64, Hasher)> = None;
    let mut in_use = in_use.iter().peekable();
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    while at < size {
        cancel::check()?;
        let len = usize::try_from(size - at).unwrap_or(CHUNK).min(CHUNK);
        let chunk = &mut buffer[..len];
        image.read_exact_at(chunk, at).context("reading the image")?;
        whole.update(&*chunk);
        for (index, bytes) in (0..).zip(chunk.chunks(BLOCK as usize)) {
            let start = at + index * BLOCK;
            while in_use.peek().is_some_and(|range| range.end <= start) {
                in_use.next();
            }
            let needed = in_use
                .peek()
                .is_some_and(|range| range.start < start + bytes.len() as u64);
            if needed || bytes.iter().any(|byte| *byte != 0) {
                run.get_or_insert_with(|| (start / BLOCK, Hasher::default()))
                    .1
                    .update(bytes);
            } else if let Some((first, hash)) = run.take() {
                mapped.push(Mapped {
                    first,
                    last: start / BLOCK - 1,
                    sha256: hash.finish(),
                });
            }
        }
        at += len as u64;
        stage.set(at);
    }
    if let Some((first, hash)) = run {
        mapped.push(Mapped {
            first,
            last: (size - 1) / BLOCK,
            sha256: hash.finish(),
        });
    }
    Ok(Scan {
        size,
        sha256: whole.finish(),
        mapped,
    })
}

/// A line for `sha256sum -c`, for a file in the same directory. Names with a line break or backslash, which that tool
/// would want escaped, are not ours.
pub fn checksum_line(sha256: Sha256, name: &str) -> String {
    format!("{sha256}  {name}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clic_host::{Cmd, Progress};

    fn scanned(bytes: &[u8], in_use: &[Range<u64>]) -> Scan {
        let image = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(image.path(), bytes).unwrap();
        let stage = Progress::silent().stage("scan", "Hashing", "test");
        let scan = scan(image.as_file(), in_use, &stage).unwrap();
        stage.finish();
        scan
    }

    fn runs(scan: &Scan) -> Vec<(u64, u64)> {
        scan.mapped
            .iter()
            .map(|mapped| (mapped.first, mapped.last))
            .collect()
    }

    #[test]
    fn blocks_with_anything_in_them_are_mapped() {
        let block = BLOCK as usize;
        let mut bytes = vec![0; block * 600 + 100];
        bytes[block - 1] = 1;
        bytes[block * 2] = 1;
        // Across the border of two reads.
        bytes[block * 255..block * 257].fill(7);
        bytes[block * 600 + 99] = 1;
        let scan = scanned(&bytes, &[]);
        assert_eq!(runs(&scan), [(0, 0), (2, 2), (255, 256), (600, 600)]);
        assert_eq!(scan.size, bytes.len() as u64);
        assert_eq!(scan.sha256, Sha256::of(&bytes));
        assert_eq!(scan.mapped[2].sha256, Sha256::of(vec![7; block * 2]));
        assert_eq!(scan.mapped[3].sha256, Sha256::of(&bytes[block * 600..]));
    }

    #[test]
    fn zeros_that_mean_something_are_mapped() {
        let block = BLOCK as usize;
        let mut bytes = vec![0; block * 10];
        bytes[block * 4] = 1;
        let ranges = [
            0..1,
            BLOCK * 2..BLOCK * 3,
            BLOCK * 5 - 1..BLOCK * 5 + 1,
            BLOCK * 20..BLOCK * 21,
        ];
        assert_eq!(runs(&scanned(&bytes, &ranges)), [(0, 0), (2, 2), (4, 5)]);
        assert_eq!(runs(&scanned(&[0; 5], &[])), []);
        assert_eq!(runs(&scanned(&[], &ranges)), []);
    }

    #[test]
    fn sha256sum_accepts_the_line() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a b.img"), "image").unwrap();
        let line = checksum_line(scanned(b"image", &[]).sha256, "a b.img");
        std::fs::write(dir.path().join("a b.img.sha256"), line).unwrap();
        let said = Cmd::new("sha256sum")
            .args(["-c", "a b.img.sha256"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), "a b.img: OK\n");
    }
}
