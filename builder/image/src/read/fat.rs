//! FAT file systems of an image, by `fatfs`, which trusts what it reads: the boot sector is checked before it
//! sees it, and what it may read is bounded.

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;

use anyhow::{Context, Result};
use clic_host::sha256::Hasher;
use clic_host::{Sha256, UserError};
use fatfs::{FileSystem, FsOptions};
use serde::Serialize;

use super::window::{Pages, Window};

/// What listing a directory or finding a name may read, in bytes. FAT's own limit for a directory is 2 MiB.
const LOOKUP_BUDGET: u64 = 64 << 20;

/// What listing all directories may read, in bytes: some thousands of honest ones.
const WALK_BUDGET: u64 = 512 << 20;

/// Directories inside directories: deeper than any honest boot partition.
const MAX_DEPTH: usize = 16;

/// Entries of a whole partition that are listed at most.
const MAX_ENTRIES: usize = 100_000;

/// A FAT file system.
pub struct Fat {
    fs: FileSystem<Pages>,
    budget: Rc<Cell<u64>>,
    name: String,
}

/// A file or directory of a FAT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FatEntry {
    /// Absolute path: `/overlays/disable-bt.dtbo`.
    pub path: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// Bytes; 0 for directories.
    pub size: u64,
}

/// What a FAT's boot sector says, as far as `blkid` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FatFacts {
    /// `fat12`, `fat16` or `fat32`.
    pub kind: &'static str,
    /// Volume label without padding.
    pub label: Option<String>,
    /// Serial number: `1234-ABCD`.
    pub uuid: String,
}

/// Looks for a FAT boot sector (Microsoft FAT specification 1.03, section 3).
pub(super) fn detect(window: &Window) -> Option<FatFacts> {
    let boot = window.bytes(0, 512).ok()?;
    geometry(&boot, window.len()).ok()
}

fn le16(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u16::from_le_bytes(
        bytes.get(at..at + 2)?.try_into().ok()?,
    )))
}

fn le32(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32::from_le_bytes(
        bytes.get(at..at + 4)?.try_into().ok()?,
    )))
}

/// Checks every figure that the cluster arithmetic rests on.
fn geometry(boot: &[u8], len: u64) -> Result<FatFacts, String> {
    let short = || "its boot sector is too short".to_owned();
    if boot.get(510..512) != Some(&[0x55, 0xaa]) {
        return Err("its boot sector has no signature".into());
    }
    let byte = |at: usize| boot.get(at).copied().map(u64::from).ok_or_else(short);
    let word = |at: usize| le16(boot, at).ok_or_else(short);
    let long = |at: usize| le32(boot, at).ok_or_else(short);
    let (sector, cluster, reserved, fats) = (word(11)?, byte(13)?, word(14)?, byte(16)?);
    if !matches!(sector, 512 | 1024 | 2048 | 4096) || !cluster.is_power_of_two() || cluster > 128 {
        return Err(format!(
            "its boot sector says {cluster} sectors of {sector} bytes in a cluster"
        ));
    }
    if reserved == 0 || !(1..=2).contains(&fats) {
        return Err(format!(
            "its boot sector says {reserved} reserved sectors and {fats} tables"
        ));
    }
    let (roots, small, fat16) = (word(17)?, word(19)?, word(22)?);
    let total = if small == 0 { long(32)? } else { small };
    let per_fat = if fat16 == 0 { long(36)? } else { fat16 };
    let first_data = reserved + fats * per_fat + (roots * 32).div_ceil(sector);
    if per_fat == 0 || total <= first_data || total * sector > len {
        return Err(format!(
            "its boot sector says {total} sectors, the partition has {}",
            len / sector
        ));
    }
    let clusters = (total - first_data) / cluster;
    // The type follows from the number of clusters and nothing else (section 3.5).
    let (kind, bits) = match clusters {
        0..4085 => ("fat12", 12),
        4085..65525 => ("fat16", 16),
        _ => ("fat32", 32),
    };
    if per_fat * sector * 8 / bits < clusters + 2 || (kind == "fat32") != (fat16 == 0) {
        return Err(format!("its table is too small for {clusters} clusters"));
    }
    if kind == "fat32" {
        let (flags, root) = (word(40)?, long(44)?);
        let active = if flags & 0x80 == 0 { 0 } else { flags & 0xf };
        if !(2..clusters + 2).contains(&root) || active >= fats {
            return Err(format!("its root directory is at cluster {root} of {clusters}"));
        }
    }
    let tail = if kind == "fat32" { 64 } else { 36 };
    let serial = if byte(tail + 2)? == 0x29 {
        long(tail + 3)?
    } else {
        0
    };
    let label = boot.get(tail + 7..tail + 18).ok_or_else(short)?;
    let label = String::from_utf8_lossy(label).trim_end().to_owned();
    Ok(FatFacts {
        kind,
        label: Some(label).filter(|label| !label.is_empty() && label != "NO NAME"),
        uuid: format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff),
    })
}

impl Fat {
    /// Opens the file system in `window`; `name` says in errors where it is.
    pub(super) fn open(window: Window, name: String) -> Result<Self> {
        let broken = |why: String| {
            UserError::new(format!("{name}: the FAT file system is damaged: {why}"))
                .help("build or download the image again")
        };
        let boot = window.bytes(0, 512).map_err(|error| broken(error.to_string()))?;
        geometry(&boot, window.len()).map_err(broken)?;
        let budget = Rc::new(Cell::new(LOOKUP_BUDGET));
        let pages = Pages::new(window, budget.clone());
        let fs = FileSystem::new(pages, FsOptions::new().update_accessed_date(false))
            .map_err(|error| broken(error.to_string()))?;
        Ok(Self { fs, budget, name })
    }

    /// Volume label of the root directory, else of the boot sector.
    pub fn label(&self) -> Option<String> {
        self.budget.set(LOOKUP_BUDGET);
        let label = self.fs.read_volume_label_from_root_dir().ok().flatten();
        let label = label.unwrap_or_else(|| self.fs.volume_label());
        Some(label.trim_end().to_owned()).filter(|label| !label.is_empty() && label != "NO NAME")
    }

    /// What a directory holds, sorted by name. A [`UserError`] when it is not there.
    pub fn list(&self, path: &str) -> Result<Vec<FatEntry>> {
        self.budget.set(LOOKUP_BUDGET);
        self.list_within(path)
    }

    /// Like [`Fat::list`], with what is left of the budget.
    fn list_within(&self, path: &str) -> Result<Vec<FatEntry>> {
        let relative = path.trim_matches('/');
        let root = self.fs.root_dir();
        let directory = if relative.is_empty() {
            root
        } else {
            root.open_dir(relative)
                .map_err(|error| self.error(path, &error))?
        };
        let mut entries = Vec::new();
        for entry in directory.iter() {
            let entry = entry.map_err(|error| self.error(path, &error))?;
            let name = entry.file_name();
            // A name with a slash could not be told from a path; FAT has none.
            if name == "." || name == ".." || name.contains('/') {
                continue;
            }
            if entries.len() >= MAX_ENTRIES {
                return Err(self.damaged(path, "it has too many entries"));
            }
            let path = if relative.is_empty() {
                format!("/{name}")
            } else {
                format!("/{relative}/{name}")
            };
            let directory = entry.is_dir();
            entries.push(FatEntry {
                path,
                directory,
                size: if directory { 0 } else { entry.len() },
            });
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// Every file and directory, parents before children, sorted.
    pub fn walk(&self) -> Result<Vec<FatEntry>> {
        let mut all = Vec::new();
        self.budget.set(WALK_BUDGET);
        self.walk_into("/", 0, &mut all)?;
        Ok(all)
    }

    fn walk_into(&self, path: &str, depth: usize, all: &mut Vec<FatEntry>) -> Result<()> {
        clic_host::cancel::check()?;
        if depth > MAX_DEPTH {
            return Err(self.damaged(path, "its directories go round in a circle"));
        }
        for entry in self.list_within(path)? {
            if all.len() >= MAX_ENTRIES {
                return Err(self.damaged(path, "it has too many entries"));
            }
            let below = entry.directory.then(|| entry.path.clone());
            all.push(entry);
            if let Some(below) = below {
                self.walk_into(&below, depth + 1, all)?;
            }
        }
        Ok(())
    }

    /// The entry at `path`, whatever its case; `None` when there is none.
    pub fn entry(&self, path: &str) -> Result<Option<FatEntry>> {
        let path = path.trim_end_matches('/');
        let Some((parent, name)) = path.rsplit_once('/') else {
            return Ok(Some(FatEntry {
                path: "/".into(),
                directory: true,
                size: 0,
            }));
        };
        if !parent.is_empty() && !self.entry(parent)?.is_some_and(|entry| entry.directory) {
            return Ok(None);
        }
        let matches = |entry: &FatEntry| {
            entry
                .path
                .rsplit('/')
                .next()
                .is_some_and(|found| found.to_uppercase() == name.to_uppercase())
        };
        Ok(self.list(parent)?.into_iter().find(matches))
    }

    /// Copies a file's bytes; how many. A [`UserError`] when it is not there.
    pub fn copy(&self, path: &str, to: &mut impl Write) -> Result<u64> {
        let entry = self.entry(path)?.ok_or_else(|| self.missing(path))?;
        if entry.directory {
            return Err(UserError::new(format!("{}: {path} is a directory", self.name)).into());
        }
        // Each cluster also costs a look into the table.
        self.budget
            .set(LOOKUP_BUDGET.saturating_add(entry.size.saturating_mul(2)));
        let root = self.fs.root_dir();
        let mut file = root
            .open_file(path.trim_matches('/'))
            .map_err(|error| self.error(path, &error))?;
        let mut buffer = vec![0; 64 << 10];
        let mut copied = 0;
        loop {
            clic_host::cancel::check()?;
            let len = file.read(&mut buffer).map_err(|error| self.error(path, &error))?;
            if len == 0 {
                break;
            }
            to.write_all(&buffer[..len])
                .with_context(|| format!("copying {path} out of {}", self.name))?;
            copied += len as u64;
        }
        if copied != entry.size {
            return Err(self.damaged(path, &format!("it ends after {copied} of {} bytes", entry.size)));
        }
        Ok(copied)
    }

    /// A file's bytes, at most `limit` of them. A [`UserError`] when it is not there or larger.
    pub fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let entry = self.entry(path)?.ok_or_else(|| self.missing(path))?;
        if entry.size > limit {
            let what = format!(
                "{}: {path} has {} bytes, more than {limit}",
                self.name, entry.size
            );
            return Err(UserError::new(what).into());
        }
        let mut bytes = Vec::new();
        self.copy(path, &mut bytes)?;
        Ok(bytes)
    }

    /// SHA-256 of a file.
    pub fn sha256(&self, path: &str) -> Result<Sha256> {
        let mut hash = Hasher::default();
        self.copy(path, &mut hash)?;
        Ok(hash.finish())
    }

    fn missing(&self, path: &str) -> anyhow::Error {
        UserError::new(format!("{}: there is no {path}", self.name)).into()
    }

    fn damaged(&self, path: &str, why: &str) -> anyhow::Error {
        UserError::new(format!(
            "{}: the FAT file system is damaged at {path}: {why}",
            self.name
        ))
        .help("build or download the image again")
        .into()
    }

    fn error(&self, path: &str, error: &std::io::Error) -> anyhow::Error {
        if error.kind() == std::io::ErrorKind::NotFound {
            self.missing(path)
        } else {
            self.damaged(path, &error.to_string())
        }
    }
}
