//! One file tree as data: read from tar files with suspicion, changed in memory, written in one canonical form.
//!
//! No privilege is needed for any of it: owners and file capabilities are just numbers and bytes here. Contents stay where
//! they are (in a tar file, in a file of the host) until somebody reads them.

mod content;
mod read;
mod resolve;
mod transient;
mod walk;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clic_host::UserError;

pub use content::{Content, Opened};
pub use resolve::Follow;
pub use tar::{EntryType, Header};
pub use transient::{TRANSIENT, Transient, is_wanted};
pub use walk::{Member, Source, Stream, Walk};
pub use write::Written;

/// Longest path that a tree takes, in bytes: Linux's `PATH_MAX` less its final NUL.
pub const PATH_MAX: usize = 4095;

/// The time of a new entry: later than any epoch, so that it is clamped to it.
pub const NEW: u32 = u32::MAX;

/// What PAX calls an extended attribute.
const XATTR: &str = "SCHILY.xattr.";

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file: its content's number in the tree. Hard links share one number.
    File(usize),
    /// A directory.
    Directory,
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// A named pipe.
    Fifo,
}

/// An entry's properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky (`0o7777`).
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Extended attributes by their full names (`security.capability`).
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Entry {
    /// Something new of root's.
    pub fn new(kind: Kind, mode: u32) -> Self {
        Self {
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: NEW.into(),
            xattrs: BTreeMap::new(),
        }
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// A tree, or what a layer adds to one. Paths have no slash at either end; the root directory is the empty path. Sorted, so
/// that whoever walks it does so in one order.
#[derive(Clone, Debug, Default)]
pub struct FileTree {
    entries: BTreeMap<Vec<u8>, Entry>,
    contents: Vec<Content>,
}

impl FileTree {
    /// Adds or replaces an entry.
    pub fn insert(&mut self, path: Vec<u8>, entry: Entry) {
        self.entries.insert(path, entry);
    }

    /// Takes a content in, for [`Kind::File`].
    pub fn add(&mut self, content: Content) -> usize {
        self.contents.push(content);
        self.contents.len() - 1
    }

    /// The content of a file of the host, for [`Kind::File`].
    pub fn add_host_file(&mut self, path: PathBuf, size: u64) -> usize {
        self.add(Content::Host { path, size })
    }

    /// Where the host has the content of a file that came by [`FileTree::add_host_file`].
    pub fn host_file(&self, path: &str) -> Option<&Path> {
        match self.file(path)? {
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
        for (path, entry) in upper.entries {
            self.entries.insert(path, entry.renumbered(first));
        }
    }

    /// Puts all of `upper` below the directory `place`, which is made if its parent is there.
    pub fn lay_below(&mut self, place: &str, upper: Self) -> Result<()> {
        let place = place.trim_matches('/');
        ensure!(self.get(place).is_none(), "/{place} is in the image already");
        self.insert(place.as_bytes().to_vec(), Entry::new(Kind::Directory, 0o755));
        let first = self.contents.len();
        self.contents.extend(upper.contents);
        for (path, entry) in upper.entries {
            if !path.is_empty() {
                let path = [place.as_bytes(), &path].join(&b'/');
                self.entries.insert(path, entry.renumbered(first));
            }
        }
        Ok(())
    }

    /// Lays one file of another tree at `place`, whose directory must be there. Errors: there is something already, or
    /// `upper` has no file of this `path`.
    pub fn lay_file(&mut self, place: &str, upper: Self, path: &str) -> Result<()> {
        ensure!(self.get(place).is_none(), "/{place} is in the image already");
        let entry = upper
            .get(path)
            .with_context(|| format!("no {path} to lay"))?
            .clone();
        if !matches!(entry.kind, Kind::File(_)) {
            bail!("{path} is not a file");
        }
        let entry = entry.renumbered(self.contents.len());
        self.contents.extend(upper.contents);
        self.insert(place.as_bytes().to_vec(), entry);
        Ok(())
    }

    /// Makes directories down to this one, where they are not. Errors: [`UserError`] for something else in their place.
    pub fn make_directories(&mut self, path: &str) -> Result<()> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let part = &path[..end];
            match self.get(part).map(Entry::is_directory) {
                Some(true) => {}
                Some(false) => {
                    return Err(UserError::new(format!("/{part} is not a directory in the image")).into());
                }
                None => self.insert(part.as_bytes().to_vec(), Entry::new(Kind::Directory, 0o755)),
            }
        }
        Ok(())
    }

    /// The entry of this path, no symlink followed. Slashes at either end do not count.
    pub fn get(&self, path: impl AsRef<[u8]>) -> Option<&Entry> {
        self.entries.get(trimmed(path.as_ref()))
    }

    /// The content of a regular file; no symlink is followed.
    fn file(&self, path: impl AsRef<[u8]>) -> Option<&Content> {
        match self.get(path)?.kind {
            Kind::File(number) => Some(&self.contents[number]),
            _ => None,
        }
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

    /// What a directory holds: names with their entries, sorted by name. Empty for anything else.
    pub fn children(&self, dir: impl AsRef<[u8]>) -> impl Iterator<Item = (&[u8], &Entry)> {
        let mut prefix = trimmed(dir.as_ref()).to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        let mut from = Bound::Excluded(prefix.clone());
        std::iter::from_fn(move || {
            loop {
                let (path, entry) = self.entries.range((from.clone(), Bound::Unbounded)).next()?;
                let name = path.strip_prefix(prefix.as_slice())?;
                if let Some(slash) = name.iter().position(|&byte| byte == b'/') {
                    // Jump over the whole subtree: `0` is the byte after `/`.
                    let mut next = path[..prefix.len() + slash].to_vec();
                    next.push(b'/' + 1);
                    from = Bound::Included(next);
                } else {
                    from = Bound::Excluded(path.clone());
                    return Some((name, entry));
                }
            }
        })
    }

    /// Removes one entry.
    pub fn remove(&mut self, path: &[u8]) {
        self.entries.remove(trimmed(path));
    }

    /// Size of a regular file's content in bytes; no symlink is followed.
    pub fn size(&self, path: impl AsRef<[u8]>) -> Option<u64> {
        self.file(path).map(Content::size)
    }

    /// A regular file's content; no symlink is followed. `None` if there is no such file.
    pub fn content(&self, path: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        self.file(path).map(Content::bytes).transpose()
    }

    /// A regular file's content; symlinks are followed. Errors: there is no such file.
    pub fn read_file(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        let path = path.as_ref();
        let shown = String::from_utf8_lossy(path);
        let at = self.resolve(path, Follow::All)?;
        let content = self
            .file(at)
            .with_context(|| format!("{shown} is not a regular file"))?;
        content.bytes().with_context(|| format!("cannot read {shown}"))
    }

    /// No time after `epoch`; directories have it.
    pub fn clamp(&mut self, epoch: u64) {
        let epoch = seconds(epoch);
        for entry in self.entries.values_mut() {
            entry.mtime = clamped(entry, epoch);
        }
    }

    /// Entries and bytes of the tree; a hard-linked file counts its bytes once.
    pub fn count(&self) -> (u64, u64) {
        let mut seen = BTreeSet::new();
        let sizes = self.entries.values().map(|entry| match entry.kind {
            Kind::File(number) if seen.insert(number) => self.contents[number].size(),
            _ => 0,
        });
        let bytes = sizes.fold(0, u64::saturating_add);
        (self.entries.len() as u64, bytes)
    }

    /// Gives a regular file this content. One that is not there yet belongs to root, with mode 0644; other hard
    /// links keep what they had.
    pub fn write_file(&mut self, path: &str, bytes: Vec<u8>) {
        let kind = Kind::File(self.add(Content::Bytes(bytes.into())));
        let path = path.trim_matches('/').as_bytes().to_vec();
        match self.entries.get_mut(&path) {
            Some(entry) if matches!(entry.kind, Kind::File(_)) => entry.kind = kind,
            _ => drop(self.entries.insert(path, Entry::new(kind, 0o644))),
        }
    }

    /// Puts a symlink there, instead of what is there.
    pub fn write_symlink(&mut self, path: &str, target: &str) {
        let kind = Kind::Symlink(target.as_bytes().to_vec());
        self.entries.insert(
            path.trim_matches('/').as_bytes().to_vec(),
            Entry::new(kind, 0o777),
        );
    }
}

impl Entry {
    /// In a tree whose contents begin so much later.
    fn renumbered(mut self, first: usize) -> Self {
        if let Kind::File(number) = &mut self.kind {
            *number += first;
        }
        self
    }
}

/// When a directory last changed depends on what was done in which order, so directories have the epoch itself.
fn clamped(entry: &Entry, epoch: i64) -> i64 {
    match entry.kind {
        Kind::Directory => epoch,
        _ => entry.mtime.min(epoch),
    }
}

fn seconds(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}

fn trimmed(mut path: &[u8]) -> &[u8] {
    while let [b'/', rest @ ..] | [rest @ .., b'/'] = path {
        path = rest;
    }
    path
}

/// The directory above a path; none above the root.
pub fn parent(path: &[u8]) -> Option<&[u8]> {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => Some(&path[..slash]),
        None if path.is_empty() => None,
        None => Some(b""),
    }
}

/// The last component of a path; empty for the root.
pub fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// The beginning of a path of any length, for messages.
pub fn start_of(path: &str) -> String {
    const SHOWN: usize = 200;
    let mut text: String = path.chars().take(SHOWN).collect();
    if text.len() < path.len() {
        text.push_str("...");
    }
    text
}

/// A path of the tree for people, with the slash before it that users know.
pub fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

#[cfg(test)]
mod spoiled;
#[cfg(test)]
mod tests;
