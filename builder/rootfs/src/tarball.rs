//! A tree as a tar file: read into an index, changed as data, written again in one canonical form.
//!
//! No privilege is needed for any of it: owners, device numbers and file capabilities are just numbers here.

mod read;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clic_store::space::io_error;

pub use write::Written;

/// How often symlinks are followed before they count as a loop (Linux: 40).
const MAX_LINKS: usize = 40;

/// What PAX calls an extended attribute.
const XATTR: &str = "SCHILY.xattr.";

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file. Hard links share one number.
    File(usize),
    /// A directory.
    Directory,
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// A device, FIFO or the like, with its tar type and device numbers.
    Special(u8, u32, u32),
}

/// An entry's properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-id and sticky.
    pub mode: u32,
    /// Owner's number.
    pub uid: u64,
    /// Group's number.
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

/// Where a regular file's bytes are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In a tar file.
    At {
        /// The tar file.
        file: Arc<File>,
        /// First byte.
        offset: u64,
        /// Bytes.
        size: u64,
    },
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In a file of the host, which must stay as it is.
    Host {
        /// Where.
        path: PathBuf,
        /// Bytes.
        size: u64,
    },
}

impl Content {
    /// How many bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::At { size, .. } | Self::Host { size, .. } => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Passes all bytes on, in pieces.
    pub fn copy(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> Result<()> {
        let (file, offset, size) = match self {
            Self::Bytes(bytes) => return Ok(each(bytes)?),
            Self::At { file, offset, size } => (file.clone(), *offset, *size),
            Self::Host { path, size } => {
                let file = File::open(path).map_err(|error| io_error(error, path))?;
                (Arc::new(file), 0, *size)
            }
        };
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(usize::MAX).clamp(1, 1 << 18)];
        let mut done = 0;
        while done < size {
            let want = usize::try_from(size - done)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            file.read_exact_at(&mut buffer[..want], offset + done)?;
            each(&buffer[..want])?;
            done += want as u64;
        }
        Ok(())
    }
}

/// A tree as data. Paths have no slash at either end; the root directory is the empty path.
#[derive(Clone, Debug, Default)]
pub struct TarTree {
    entries: BTreeMap<Vec<u8>, Entry>,
    contents: Vec<Content>,
}

impl TarTree {
    /// Adds or replaces an entry.
    pub fn insert(&mut self, path: Vec<u8>, entry: Entry) {
        self.entries.insert(path, entry);
    }

    /// The content of a file of the host, for [`Kind::File`].
    pub fn add_host_file(&mut self, path: PathBuf, size: u64) -> usize {
        self.contents.push(Content::Host { path, size });
        self.contents.len() - 1
    }

    /// Where the host has the content of a file that came by [`TarTree::add_host_file`].
    pub fn host_file(&self, path: &str) -> Option<&Path> {
        let Kind::File(number) = self.get(path)?.kind else {
            return None;
        };
        match &self.contents[number] {
            Content::Host { path, .. } => Some(path),
            _ => None,
        }
    }

    /// All paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.keys().map(Vec::as_slice)
    }

    /// All entries, sorted by path.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_slice(), entry))
    }

    /// The content of a [`Kind::File`] of this tree.
    pub fn content_of(&self, number: usize) -> &Content {
        &self.contents[number]
    }

    /// Lays what a later stage changed over this tree: `removed` go, then `upper`'s entries come.
    pub fn lay(&mut self, upper: Self, removed: &[Vec<u8>]) {
        for path in removed {
            self.entries.remove(path);
        }
        let first = self.contents.len();
        self.contents.extend(upper.contents);
        for (path, mut entry) in upper.entries {
            if let Kind::File(number) = &mut entry.kind {
                *number += first;
            }
            self.entries.insert(path, entry);
        }
    }

    /// Puts all of `upper` below the directory `place`, which is made if its parent is there.
    pub fn lay_below(&mut self, place: &str, upper: Self) -> Result<()> {
        let place = place.trim_matches('/');
        ensure!(self.get(place).is_none(), "/{place} is in the image already");
        self.insert(place.as_bytes().to_vec(), root_owned(Kind::Directory, 0o755));
        let first = self.contents.len();
        self.contents.extend(upper.contents);
        for (path, mut entry) in upper.entries {
            if path.is_empty() {
                continue;
            }
            if let Kind::File(number) = &mut entry.kind {
                *number += first;
            }
            self.entries.insert([place.as_bytes(), &path].join(&b'/'), entry);
        }
        Ok(())
    }

    /// Lays one file of another tree at `place`, whose directory must be there. Errors: there is something already, or
    /// `upper` has no file of this `path`.
    pub fn lay_file(&mut self, place: &str, upper: Self, path: &str) -> Result<()> {
        ensure!(self.get(place).is_none(), "/{place} is in the image already");
        let mut entry = upper
            .get(path)
            .with_context(|| format!("no {path} to lay"))?
            .clone();
        let Kind::File(number) = &mut entry.kind else {
            anyhow::bail!("{path} is no file");
        };
        *number += self.contents.len();
        self.contents.extend(upper.contents);
        self.insert(place.as_bytes().to_vec(), entry);
        Ok(())
    }

    /// The entry of this path, no symlink followed.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path.trim_matches('/').as_bytes())
    }

    /// The paths below a directory, however deep.
    pub fn below(&self, dir: &str) -> Vec<Vec<u8>> {
        let start = format!("{}/", dir.trim_matches('/')).into_bytes();
        let after = self.entries.range(start.clone()..);
        after
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&start))
            .cloned()
            .collect()
    }

    /// Removes one entry.
    pub fn remove(&mut self, path: &[u8]) {
        self.entries.remove(path);
    }

    /// Where a path leads when the symlinks of its directories (and its own, if `last`) are followed inside of
    /// the tree. `None` if that is nowhere.
    pub fn resolve(&self, path: &str, last: bool) -> Option<String> {
        let mut todo: Vec<Vec<u8>> = path
            .as_bytes()
            .split(|byte| *byte == b'/')
            .rev()
            .map(<[u8]>::to_vec)
            .collect();
        let mut at: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    at.pop();
                    continue;
                }
                _ => at.push(name),
            }
            match &self.entries.get(&at.join(&b'/'))?.kind {
                Kind::Symlink(target) if last || todo.iter().any(|name| !name.is_empty()) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    at.pop();
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    todo.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
                }
                _ => {}
            }
        }
        String::from_utf8(at.join(&b'/')).ok()
    }

    /// Size of a regular file's content in bytes; no symlink is followed.
    pub fn size(&self, path: &str) -> Option<u64> {
        match self.get(path)?.kind {
            Kind::File(number) => Some(self.contents[number].size()),
            _ => None,
        }
    }

    /// A regular file's content; no symlink is followed. `None` if there is no such file.
    pub fn content(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let Some(Kind::File(number)) = self.get(path).map(|entry| &entry.kind) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        self.contents[*number].copy(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Some(bytes))
    }

    /// No time after `epoch`; directories have it.
    pub fn clamp(&mut self, epoch: u64) {
        for entry in self.entries.values_mut() {
            entry.mtime = match entry.kind {
                // When a directory last changed depends on what was done in which order.
                Kind::Directory => epoch,
                _ => entry.mtime.min(epoch),
            };
        }
    }

    /// Entries and bytes of the tree; a hard-linked file counts its bytes once.
    pub fn count(&self) -> (u64, u64) {
        let mut seen = std::collections::BTreeSet::new();
        let sizes = self.entries.values().map(|entry| match entry.kind {
            Kind::File(number) if seen.insert(number) => self.contents[number].size(),
            _ => 0,
        });
        let bytes = sizes.sum();
        (self.entries.len() as u64, bytes)
    }

    /// Gives a regular file this content. One that is not there yet belongs to root, with mode 0644; other hard
    /// links keep what they had.
    pub fn write_file(&mut self, path: &str, bytes: Vec<u8>) {
        self.contents.push(Content::Bytes(bytes.into()));
        let kind = Kind::File(self.contents.len() - 1);
        let path = path.trim_matches('/').as_bytes().to_vec();
        match self.entries.get_mut(&path) {
            Some(entry) if matches!(entry.kind, Kind::File(_)) => entry.kind = kind,
            _ => drop(self.entries.insert(path, root_owned(kind, 0o644))),
        }
    }

    /// Puts a symlink there, instead of what is there.
    pub fn write_symlink(&mut self, path: &str, target: &str) {
        let kind = Kind::Symlink(target.as_bytes().to_vec());
        self.entries.insert(
            path.trim_matches('/').as_bytes().to_vec(),
            root_owned(kind, 0o777),
        );
    }
}

fn root_owned(kind: Kind, mode: u32) -> Entry {
    // The time of a new entry is the build's: later than any epoch, so that it is clamped to it.
    Entry {
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: u64::from(u32::MAX),
        xattrs: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
