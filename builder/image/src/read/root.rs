//! The root file system of an image, by `ext4-view`. Symbolic links are resolved here and inside the image:
//! nothing in it can lead to the machine that reads it.

use std::io::{Read, Write};

use anyhow::{Context, Result};
use clic_host::sha256::Hasher;
use clic_host::{Sha256, UserError};
use clic_tree::Follow;
use ext4_view::{Ext4, Ext4Error, FileType, Metadata, Path};
use serde::Serialize;

use super::window::Window;

/// Longest path and longest link target, in bytes (Linux's `PATH_MAX`).
const MAX_PATH: usize = 4096;

/// Symbolic links followed for one path, as in Linux.
const MAX_LINKS: usize = 40;

/// Entries that a walk visits at most: a tenth of what a Debian server with everything has is a million.
const MAX_ENTRIES: usize = 10_000_000;

/// Bytes of a directory at most: about a hundred for each of a million names.
const MAX_DIRECTORY: u64 = 256 << 20;

/// Block groups of a file system at most: a terabyte has 8192.
const MAX_GROUPS: u64 = 1 << 18;

/// An ext4 file system.
pub struct Root {
    fs: Ext4,
    name: String,
    /// Bytes of the partition.
    size: u64,
}

/// An entry of the root file system. Link counts, device numbers and extended attributes are not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Absolute path.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: i64,
}

/// What an [`Entry`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl std::fmt::Display for EntryKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Directory => "directory",
            Self::File => "file",
            Self::Symlink => "symlink",
            Self::CharDevice => "character device",
            Self::BlockDevice => "block device",
            Self::Fifo => "named pipe",
            Self::Socket => "socket",
        })
    }
}

impl Entry {
    fn new(path: Vec<u8>, metadata: &Metadata) -> Self {
        let kind = match metadata.file_type() {
            FileType::Directory => EntryKind::Directory,
            FileType::Regular => EntryKind::File,
            FileType::Symlink => EntryKind::Symlink,
            FileType::CharacterDevice => EntryKind::CharDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            FileType::Fifo => EntryKind::Fifo,
            FileType::Socket => EntryKind::Socket,
        };
        Self {
            path,
            kind,
            mode: metadata.mode().into(),
            uid: metadata.uid(),
            gid: metadata.gid(),
            size: metadata.len(),
            mtime: metadata.modified().seconds(),
        }
    }

    /// The path for people: what is not UTF-8 is replaced.
    pub fn display(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }

    /// The last part of the path.
    pub fn file_name(&self) -> &[u8] {
        self.path.rsplit(|byte| *byte == b'/').next().unwrap_or(&[])
    }
}

/// What an ext4 superblock says, as far as `blkid` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ext4Facts {
    pub label: Option<String>,
    pub uuid: String,
}

/// Looks for an ext4 superblock (Linux, `Documentation/filesystems/ext4/super.rst`).
pub(super) fn detect(window: &Window) -> Option<Ext4Facts> {
    let block = window.bytes(1024, 1024).ok()?;
    if block.get(0x38..0x3a)? != [0x53, 0xef] {
        return None;
    }
    let uuid: [u8; 16] = block.get(0x68..0x78)?.try_into().ok()?;
    let label = block.get(0x78..0x88)?;
    let label = label.split(|byte| *byte == 0).next().unwrap_or(&[]);
    let label = String::from_utf8_lossy(label).into_owned();
    Some(Ext4Facts {
        label: Some(label).filter(|label| !label.is_empty()),
        uuid: uuid::Uuid::from_bytes(uuid).to_string(),
    })
}

/// Refuses figures that would make a reader allocate without end.
fn plausible(window: &Window) -> Result<(), String> {
    let block = window.bytes(1024, 1024).map_err(|error| error.to_string())?;
    let long = |at: usize| {
        let bytes = block.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(u32::from_le_bytes)
            .map(u64::from)
            .ok_or("its superblock is cut off")
    };
    let shift = long(0x18)?;
    let size = 1024_u64
        .checked_shl(u32::try_from(shift).unwrap_or(u32::MAX))
        .filter(|size| *size <= 65536);
    let size = size.ok_or("its superblock has an impossible number of blocks")?;
    // The upper half counts only in a file system of 64 bits, but a reader may count it always.
    let blocks = long(0x4)? | (long(0x150)? << 32);
    if blocks.checked_mul(size).is_none_or(|bytes| bytes > window.len()) {
        return Err(format!(
            "its superblock says {blocks} blocks of {size} bytes, the partition has {} bytes",
            window.len()
        ));
    }
    // A group has as many blocks as a block has bits; a sixteenth of that is small enough to be odd. A reader has something in
    // memory for each, and a file with holes can be as large as it likes.
    let group = long(0x20)?;
    if group < size / 2 || blocks / group > MAX_GROUPS {
        return Err("its superblock has an impossible number of groups".into());
    }
    Ok(())
}

impl Root {
    /// Opens the file system in `window`; `name` says in errors where it is.
    pub(super) fn open(window: Window, name: String) -> Result<Self> {
        let broken = |why: String| {
            UserError::new(format!("{name}: the ext4 file system is damaged: {why}"))
                .help("build or download the image again")
        };
        plausible(&window).map_err(broken)?;
        let size = window.len();
        let fs = Ext4::load(Box::new(window)).map_err(|error| broken(error.to_string()))?;
        Ok(Self { fs, name, size })
    }

    /// The file system's UUID.
    pub fn uuid(&self) -> String {
        uuid::Uuid::from_bytes(*self.fs.uuid().as_bytes()).to_string()
    }

    /// The path that `path` leads to, every symbolic link followed inside the image; `None` when it leads nowhere.
    pub fn resolve(&self, path: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        self.follow(path.as_ref(), Follow::All)
    }

    fn follow(&self, path: &[u8], follow: Follow) -> Result<Option<Vec<u8>>> {
        let mut done: Vec<u8> = Vec::new();
        // Parts still to be walked, the next one last.
        let mut todo: Vec<Vec<u8>> = parts(path);
        let mut links = 0;
        while let Some(part) = todo.pop() {
            match part.as_slice() {
                b"." => continue,
                b".." => {
                    let parent = done.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    done.truncate(parent);
                    continue;
                }
                _ => {}
            }
            let parent = done.len();
            done.push(b'/');
            done.extend_from_slice(&part);
            let Some(metadata) = self.metadata(&done)? else {
                return Ok(None);
            };
            if metadata.is_symlink() && (follow == Follow::All || !todo.is_empty()) {
                links += 1;
                if links > MAX_LINKS {
                    return Ok(None);
                }
                let target = self.target(&done, &metadata)?;
                done.truncate(if target.starts_with(b"/") { 0 } else { parent });
                todo.extend(parts(&target));
            } else if !metadata.is_dir() && !todo.is_empty() {
                return Ok(None);
            }
            if todo.len() > MAX_PATH {
                return Ok(None);
            }
        }
        Ok(Some(if done.is_empty() { b"/".to_vec() } else { done }))
    }

    /// Metadata of a path without links in its parents; `None` when there is nothing.
    fn metadata(&self, path: &[u8]) -> Result<Option<Metadata>> {
        let Ok(at) = Path::try_from(path) else {
            return Ok(None);
        };
        match self.fs.symlink_metadata(at) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(
                Ext4Error::NotFound
                | Ext4Error::NotADirectory
                | Ext4Error::PathTooLong
                | Ext4Error::MalformedPath,
            ) => Ok(None),
            Err(error) => Err(self.error(path, &error)),
        }
    }

    fn target(&self, path: &[u8], metadata: &Metadata) -> Result<Vec<u8>> {
        // Checked first: the crate allocates what the inode claims.
        if metadata.len() > MAX_PATH as u64 {
            return Err(self.damaged(path, "its target is too long"));
        }
        let target = self
            .fs
            .read_link(path)
            .map_err(|error| self.error(path, &error))?;
        Ok(target.as_ref().to_vec())
    }

    /// The entry at `path` itself: a link at its end is not followed. `None` when there is none.
    pub fn stat(&self, path: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        let Some(real) = self.follow(path.as_ref(), Follow::Directories)? else {
            return Ok(None);
        };
        Ok(self
            .metadata(&real)?
            .map(|metadata| Entry::new(path.as_ref().to_vec(), &metadata)))
    }

    /// The entry that `path` leads to, under its real path; `None` when it leads nowhere.
    pub fn stat_target(&self, path: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        let Some(real) = self.resolve(path)? else {
            return Ok(None);
        };
        Ok(self.metadata(&real)?.map(|metadata| Entry::new(real, &metadata)))
    }

    /// Whether `path` leads to something.
    pub fn exists(&self, path: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.resolve(path)?.is_some())
    }

    /// Target of the symbolic link at `path`; `None` when there is no link.
    pub fn read_link(&self, path: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        let Some(real) = self.follow(path.as_ref(), Follow::Directories)? else {
            return Ok(None);
        };
        match self.metadata(&real)? {
            Some(metadata) if metadata.is_symlink() => self.target(&real, &metadata).map(Some),
            _ => Ok(None),
        }
    }

    /// Opens the regular file that `path` leads to. A [`UserError`] when there is none.
    pub fn open_file(&self, path: impl AsRef<[u8]>) -> Result<RootFile> {
        let path = path.as_ref();
        let entry = self.stat_target(path)?.ok_or_else(|| self.missing(path))?;
        if entry.kind != EntryKind::File {
            let what = format!("{}: {} is a {}", self.name, lossy(path), entry.kind);
            return Err(UserError::new(what).help("give the path of a file").into());
        }
        // Nothing in a package has a hole of that size; reading it would take for ever.
        if entry.size > self.size {
            return Err(self.damaged(path, "it is larger than its file system"));
        }
        let at =
            Path::try_from(entry.path.as_slice()).map_err(|error| self.damaged(path, &error.to_string()))?;
        let file = self.fs.open(at).map_err(|error| self.error(path, &error))?;
        Ok(RootFile {
            file,
            place: format!("{}: {}", self.name, lossy(path)),
        })
    }

    /// Copies the bytes of the regular file that `path` leads to; how many. A [`UserError`] when there is none.
    pub fn copy(&self, path: impl AsRef<[u8]>, to: &mut impl Write) -> Result<u64> {
        let path = path.as_ref();
        let mut file = self.open_file(path)?;
        let mut buffer = vec![0; 64 << 10];
        let mut copied = 0;
        loop {
            clic_host::cancel::check()?;
            let len = file.fill(&mut buffer)?;
            if len == 0 {
                return Ok(copied);
            }
            to.write_all(&buffer[..len])
                .with_context(|| format!("copying {} out of {}", lossy(path), self.name))?;
            copied += len as u64;
        }
    }

    /// Bytes of the regular file that `path` leads to, at most `limit`. A [`UserError`] when there is none or it is larger.
    pub fn read(&self, path: impl AsRef<[u8]>, limit: u64) -> Result<Vec<u8>> {
        let path = path.as_ref();
        let entry = self.stat_target(path)?.ok_or_else(|| self.missing(path))?;
        if entry.size > limit {
            let what = format!(
                "{}: {} has {} bytes, more than {limit}",
                self.name,
                lossy(path),
                entry.size
            );
            return Err(UserError::new(what).into());
        }
        let mut bytes = Vec::new();
        self.copy(path, &mut bytes)?;
        Ok(bytes)
    }

    /// Like [`Root::read`], as text (what is not UTF-8 is replaced); `None` when `path` leads to no regular file.
    pub fn text(&self, path: impl AsRef<[u8]>, limit: u64) -> Result<Option<String>> {
        match self.stat_target(path.as_ref())? {
            Some(entry) if entry.kind == EntryKind::File => Ok(Some(
                String::from_utf8_lossy(&self.read(path, limit)?).into_owned(),
            )),
            _ => Ok(None),
        }
    }

    /// The first `len` bytes of the regular file that `path` leads to, or as many as there are.
    pub fn head(&self, path: impl AsRef<[u8]>, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let filled = self.open_file(path)?.fill(&mut bytes)?;
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// SHA-256 of the regular file that `path` leads to.
    pub fn sha256(&self, path: impl AsRef<[u8]>) -> Result<Sha256> {
        let mut hash = Hasher::default();
        self.copy(path, &mut hash)?;
        Ok(hash.finish())
    }

    /// What the directory that `path` leads to holds, sorted by name. A [`UserError`] when there is none.
    pub fn list(&self, path: impl AsRef<[u8]>) -> Result<Vec<Entry>> {
        let path = path.as_ref();
        let real = self.resolve(path)?.ok_or_else(|| self.missing(path))?;
        self.list_real(&real)
    }

    fn list_real(&self, real: &[u8]) -> Result<Vec<Entry>> {
        let at = Path::try_from(real).map_err(|error| self.damaged(real, &error.to_string()))?;
        // Its blocks may all be the same empty one, over and over.
        let size = self.metadata(real)?.map_or(0, |metadata| metadata.len());
        if size > MAX_DIRECTORY.min(self.size) {
            return Err(self.damaged(real, "it is larger than any directory"));
        }
        let mut entries = Vec::new();
        for entry in self.fs.read_dir(at).map_err(|error| self.error(real, &error))? {
            let entry = entry.map_err(|error| self.error(real, &error))?;
            let name = entry.file_name();
            if name == "." || name == ".." {
                continue;
            }
            let metadata = entry.metadata().map_err(|error| self.error(real, &error))?;
            let mut path = if real == b"/" { Vec::new() } else { real.to_vec() };
            path.push(b'/');
            path.extend_from_slice(name.as_ref());
            entries.push(Entry::new(path, &metadata));
            if entries.len() > MAX_ENTRIES {
                return Err(self.damaged(real, "it has too many entries"));
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// Visits `top` (a real path, e.g. `/`) and everything below it, parents first, each directory in sorted order.
    /// Nothing is visited when `top` is not there.
    pub fn walk(&self, top: &str, visit: &mut dyn FnMut(&Entry) -> Result<()>) -> Result<()> {
        let Some(first) = self.stat(top)? else {
            return Ok(());
        };
        let mut todo = vec![first];
        let mut seen = 0_usize;
        while let Some(entry) = todo.pop() {
            clic_host::cancel::check()?;
            seen += 1;
            if seen > MAX_ENTRIES || entry.path.len() > MAX_PATH {
                return Err(self.damaged(&entry.path, "its directories go round in a circle"));
            }
            visit(&entry)?;
            if entry.kind == EntryKind::Directory {
                let mut below = self.list_real(&entry.path)?;
                below.reverse();
                todo.append(&mut below);
            }
        }
        Ok(())
    }

    fn missing(&self, path: &[u8]) -> anyhow::Error {
        UserError::new(format!("{}: there is no {}", self.name, lossy(path))).into()
    }

    fn damaged(&self, path: &[u8], why: &str) -> anyhow::Error {
        let what = format!(
            "{}: the ext4 file system is damaged at {}: {why}",
            self.name,
            lossy(path)
        );
        UserError::new(what)
            .help("build or download the image again")
            .into()
    }

    fn error(&self, path: &[u8], error: &Ext4Error) -> anyhow::Error {
        match error {
            Ext4Error::NotFound => self.missing(path),
            Ext4Error::NotADirectory => {
                UserError::new(format!("{}: {} is not a directory", self.name, lossy(path))).into()
            }
            other => self.damaged(path, &other.to_string()),
        }
    }
}

/// An open regular file of a root file system.
pub struct RootFile {
    file: ext4_view::File,
    place: String,
}

impl RootFile {
    /// Fills `buf`, or as much of it as there are bytes left; how many.
    pub fn fill(&mut self, buf: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_bytes(rest) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) => {
                    let what = format!("{}: the ext4 file system is damaged: {error}", self.place);
                    return Err(UserError::new(what)
                        .help("build or download the image again")
                        .into());
                }
            }
        }
        Ok(filled)
    }
}

impl Read for RootFile {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.file
            .read_bytes(buf)
            .map_err(|error| std::io::Error::other(format!("{}: {error}", self.place)))
    }
}

/// A path's parts, the first one last.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .rev()
        .filter(|part| !part.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
