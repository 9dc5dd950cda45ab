//! A file tree in memory: names and metadata, with contents left where they are (a tar, or bytes).

mod edit;
mod index;
mod layers;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clic_rootfs::tarball::TarTree;

/// Longest path that a tree takes, in bytes: Linux's `PATH_MAX` less its final NUL.
pub const PATH_MAX: usize = 4095;

/// Symbolic links that one look-up may follow, as in Linux (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Everything that a root file system will hold, keyed by absolute path (`/`, `/etc`, `/etc/hostname`; raw bytes, since
/// Debian packages may carry any name). Sorted, so that whoever walks it does so in one order.
#[derive(Debug)]
pub struct Tree {
    /// Entries by path. Every entry's parent is an entry too.
    pub entries: BTreeMap<Vec<u8>, Node>,
    /// The files that [`Data::Range`] points into.
    pub sources: Vec<Arc<File>>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky (`0o7777`).
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Extended attributes with their full names (`security.capability`), sorted.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Data),
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// Another name of the entry at this path, which is neither a directory nor a hard link itself.
    Hardlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// A regular file's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In one of the tree's sources.
    Range {
        /// Which: an index into [`Tree::sources`].
        source: usize,
        /// First byte.
        offset: u64,
        /// How many.
        len: u64,
    },
}

impl Data {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Range { len, .. } => *len,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Node {
    /// A directory of root's.
    pub fn directory(mode: u32, mtime: i64) -> Self {
        Self::of(Kind::Directory, mode, mtime)
    }

    /// A regular file of root's.
    pub fn file(bytes: impl Into<Arc<[u8]>>, mode: u32, mtime: i64) -> Self {
        Self::of(Kind::File(Data::Bytes(bytes.into())), mode, mtime)
    }

    /// A symbolic link of root's.
    pub fn symlink(target: impl Into<Vec<u8>>, mtime: i64) -> Self {
        Self::of(Kind::Symlink(target.into()), 0o777, mtime)
    }

    /// Anything of root's, without extended attributes.
    pub fn of(kind: Kind, mode: u32, mtime: i64) -> Self {
        Self {
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime,
            xattrs: BTreeMap::new(),
        }
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            entries: BTreeMap::from([(b"/".to_vec(), Node::directory(0o755, 0))]),
            sources: Vec::new(),
        }
    }
}

impl Tree {
    /// A tree with nothing but `/` (mode 0755, root's).
    pub fn new() -> Self {
        Self::default()
    }

    /// Indexes an uncompressed tar (GNU or PAX) without unpacking it: contents stay in the file, which must not
    /// change while the tree is in use. Directories that the tar implies but does not have are added with mode
    /// 0755, root's.
    ///
    /// A tar that would reach outside its root, that has one name twice, a hard link to nothing, entries below
    /// something that is no directory, or that ends early is an error which names the entry.
    pub fn from_tar(path: &Path) -> Result<Self> {
        index::index(path).with_context(|| format!("cannot read the tree in {}", path.display()))
    }

    /// A finished tree of the room before this one. Contents stay in its layers, which must not change while the tree
    /// is in use.
    pub fn from_root(root: &TarTree) -> Result<Self> {
        layers::convert(root)
    }

    /// The entry at exactly this path; symbolic links are not followed.
    pub fn get(&self, path: impl AsRef<[u8]>) -> Option<&Node> {
        self.entries.get(path.as_ref())
    }

    /// What a directory holds: names with their entries, sorted by name. Empty for anything else.
    pub fn children(&self, path: impl AsRef<[u8]>) -> impl Iterator<Item = (&[u8], &Node)> {
        let mut prefix = path.as_ref().to_vec();
        if prefix != b"/" {
            prefix.push(b'/');
        }
        let mut from = Bound::Excluded(prefix.clone());
        std::iter::from_fn(move || {
            loop {
                let (path, node) = self.entries.range((from.clone(), Bound::Unbounded)).next()?;
                let name = path.strip_prefix(prefix.as_slice())?;
                if let Some(slash) = name.iter().position(|&byte| byte == b'/') {
                    // Jump over the whole subtree: `0` is the byte after `/`.
                    let mut next = path[..prefix.len() + slash].to_vec();
                    next.push(b'/' + 1);
                    from = Bound::Included(next);
                } else {
                    from = Bound::Excluded(path.clone());
                    return Some((name, node));
                }
            }
        })
    }

    /// Follows symbolic links in `path`, all of it, the way the device will: an absolute target starts at the
    /// tree's root and `..` never leaves it. The result is the path of an entry that is no symbolic link.
    pub fn resolve(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        let path = path.as_ref();
        let shown = String::from_utf8_lossy(path);
        // Components still to walk, the next one last.
        let mut todo: Vec<Vec<u8>> = components(path).rev().map(<[u8]>::to_vec).collect();
        let mut at = b"/".to_vec();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                at = parent(&at).unwrap_or(b"/").to_vec();
                continue;
            }
            let next = join(&at, &name);
            match self.get(&next).map(|node| self.target(node)) {
                None => bail!("{shown}: there is no {}", String::from_utf8_lossy(&next)),
                Some(Kind::Symlink(target)) => {
                    links += 1;
                    ensure!(
                        links <= MAX_LINKS,
                        "{shown}: more than {MAX_LINKS} symbolic links to follow"
                    );
                    if target.starts_with(b"/") {
                        at = b"/".to_vec();
                    }
                    todo.extend(components(target).rev().map(<[u8]>::to_vec));
                }
                Some(kind) => {
                    let last = todo.is_empty();
                    ensure!(
                        last || *kind == Kind::Directory,
                        "{shown}: {} is no directory",
                        String::from_utf8_lossy(&next)
                    );
                    at = next;
                }
            }
        }
        Ok(at)
    }

    /// A regular file's bytes; symbolic and hard links are followed.
    pub fn read(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        let path = path.as_ref();
        let shown = String::from_utf8_lossy(path);
        let at = self.resolve(path)?;
        match self.get(&at).map(|node| self.target(node)) {
            Some(Kind::File(data)) => {
                let mut bytes = Vec::new();
                self.reader(data)
                    .read_to_end(&mut bytes)
                    .with_context(|| format!("cannot read {shown}"))?;
                Ok(bytes)
            }
            _ => bail!("{shown} is no regular file"),
        }
    }

    /// What a node is once its hard link is followed.
    fn target<'a>(&'a self, node: &'a Node) -> &'a Kind {
        match &node.kind {
            Kind::Hardlink(path) => self.get(path).map_or(&node.kind, |target| &target.kind),
            kind => kind,
        }
    }

    /// Reads a file's bytes from its beginning.
    pub fn reader<'a>(&'a self, data: &'a Data) -> Reader<'a> {
        Reader {
            tree: self,
            data,
            at: 0,
        }
    }

    /// Fills `buffer` with a file's bytes from `offset` on. Reading past its end is an error.
    pub fn read_at(&self, data: &Data, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > data.len()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match data {
            Data::Bytes(bytes) => {
                // In range: the end was compared with the length above.
                let from = usize::try_from(offset).map_err(io::Error::other)?;
                buffer.copy_from_slice(&bytes[from..from + buffer.len()]);
                Ok(())
            }
            Data::Range {
                source,
                offset: start,
                ..
            } => {
                let source = self
                    .sources
                    .get(*source)
                    .ok_or_else(|| io::Error::other("the tree has no tar"))?;
                let from = start.checked_add(offset).ok_or(io::ErrorKind::UnexpectedEof)?;
                source.read_exact_at(buffer, from)
            }
        }
    }

    /// Bytes in all regular files together, each hard-linked file once.
    pub fn content_bytes(&self) -> u64 {
        let lengths = self.entries.values().map(|node| match &node.kind {
            Kind::File(data) => data.len(),
            _ => 0,
        });
        lengths.fold(0, u64::saturating_add)
    }
}

/// Reads one file of a [`Tree`].
#[derive(Debug)]
pub struct Reader<'a> {
    tree: &'a Tree,
    data: &'a Data,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.data.len() - self.at).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        self.tree.read_at(self.data, self.at, &mut buffer[..count])?;
        self.at += count as u64;
        Ok(count)
    }
}

/// The directory above a normalised path; none above `/`.
pub fn parent(path: &[u8]) -> Option<&[u8]> {
    match path.iter().rposition(|&byte| byte == b'/')? {
        _ if path == b"/" => None,
        0 => Some(b"/"),
        slash => Some(&path[..slash]),
    }
}

/// The last component of a normalised path; empty for `/`.
pub fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// An absolute path in the one form that [`Tree::entries`] uses: no `.`, no doubled or final slash.
pub fn normalise(path: &[u8]) -> Result<Vec<u8>> {
    let shown = String::from_utf8_lossy(path);
    ensure!(path.starts_with(b"/"), "the path `{shown}` is not absolute");
    ensure!(!path.contains(&0), "the path `{shown}` has a NUL byte in it");
    let mut clean = Vec::with_capacity(path.len());
    for component in components(path) {
        ensure!(component != b"..", "the path `{shown}` has `..` in it");
        clean.push(b'/');
        clean.extend_from_slice(component);
    }
    if clean.is_empty() {
        clean.push(b'/');
    }
    ensure!(
        clean.len() <= PATH_MAX,
        "a path of {} bytes: at most {PATH_MAX} can be used",
        clean.len()
    );
    Ok(clean)
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if path != b"/" {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

#[cfg(test)]
mod tests;
