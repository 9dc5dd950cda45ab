//! A file tree in memory: names and metadata, with contents left where they are (a tar, or bytes).

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

/// Everything that a root file system will hold, keyed by absolute path (`/`, `/etc`, `/etc/hostname`; raw bytes, since
/// Debian packages may carry any name). Sorted, so that whoever walks it does so in one order.
#[derive(Debug, Default)]
pub struct Tree {
    /// Entries by path. Every entry's parent is an entry too.
    pub entries: BTreeMap<Vec<u8>, Node>,
    /// The tar that [`Data::Range`] points into.
    pub source: Option<Arc<File>>,
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
    /// Another name of the regular file at this path.
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
    /// In the tree's source.
    Range {
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
