//! The root file system: an ext4 made straight from a [`FileTree`], the same to the byte every time.
//!
//! `mke2fs` makes the empty file system: it decides where groups, journal and the room for later growth go. Then
//! the tree is written into it here. `mke2fs -d` could do both, but it needs the tree unpacked with its owners (so
//! root or a user namespace), and in e2fsprogs 1.47 it takes the change times and the directory order of the host.
//!
//! Only what a new file system needs is here: everything is allocated in one direction, nothing is ever freed.
//! Format reference: the kernel's `Documentation/filesystems/ext4/`.

mod alloc;
mod checksum;
mod dirs;
mod extents;
mod format;
mod hash;
mod inode;
mod place;
mod populate;
mod size;
mod survey;
mod volume;
mod writer;
mod xattrs;

use std::fs::File;
use std::ops::Range;

use anyhow::Result;
use clic_host::Stage;
use clic_tree::FileTree;
use uuid::Uuid;

use survey::Survey;

/// Bytes in a block.
pub const BLOCK: u64 = 4096;

/// [`BLOCK`] as a length in memory.
const BLOCK_LEN: usize = 4096;

/// Largest file system that is made, in bytes (1 TiB). It may grow to 2 TiB on the device.
pub const MAX_BYTES: u64 = 1 << 40;

/// What a tree's contents take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Blocks of 4096 bytes for contents, directories, long links, large attributes and extent trees. Where the
    /// file system's own tables cut a large file in two, a few more may be needed; [`size_for`] counts those too.
    pub blocks: u64,
    /// Inodes beyond those that an empty file system uses.
    pub inodes: u64,
}

/// How large a file system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Size in bytes, a multiple of 1 MiB.
    pub bytes: u64,
    /// Inodes in all.
    pub inodes: u64,
}

/// How to make a file system.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its UUID.
    pub uuid: Uuid,
    /// Secret of the directory hashes. Not all zero: that stands for the algorithm's own start values.
    pub hash_seed: Uuid,
    /// Volume label, at most 16 bytes.
    pub label: String,
    /// Seconds since 1970: the file system's own dates, and the latest date of any file.
    pub epoch: i64,
    /// Size in bytes, a multiple of 4096.
    pub bytes: u64,
    /// Inodes in all; rounded up to fill the inode tables.
    pub inodes: u64,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Blocks of 4096 bytes in all.
    pub blocks: u64,
    /// Blocks that are free, including those reserved for root.
    pub free_blocks: u64,
    /// Bytes that `df` will show as available.
    pub available: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Inodes that are free.
    pub free_inodes: u64,
    /// Byte ranges of the image file that a medium must have as they are, sorted, holes of the image file included:
    /// whoever writes only parts of the image (a block map) must write all of these. A card may hold an older image
    /// with the same UUID; a journal left from that would be replayed, and zeros in a file would not be zeros.
    pub in_use: Vec<Range<u64>>,
}

/// The tree does not fit into the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the files do not fit: they need {needed_blocks} blocks of 4096 bytes and {needed_inodes} inodes, \
     the file system has {free_blocks} and {free_inodes}"
)]
pub struct NoRoom {
    /// Blocks that are needed.
    pub needed_blocks: u64,
    /// Blocks that were free.
    pub free_blocks: u64,
    /// Inodes that are needed.
    pub needed_inodes: u64,
    /// Inodes that were free.
    pub free_inodes: u64,
}

/// Counts what a tree takes. Reads the contents of larger files, since runs of zeros take no blocks.
///
/// An error for what ext4 cannot hold: names over 255 bytes, over 65000 names of one file, attributes over a block.
pub fn measure(tree: &FileTree) -> Result<Need> {
    Ok(Survey::of(tree)?.need)
}

/// The smallest file system (to about a MiB) in which `df` shows at least `free_bytes` available and
/// `extra_inodes` inodes are free once the tree is in it. Found by making empty ones, which takes milliseconds.
pub fn size_for(tree: &FileTree, free_bytes: u64, extra_inodes: u64) -> Result<Geometry> {
    size::size_for(&Survey::of(tree)?, free_bytes, extra_inodes)
}

/// Makes a file system with the tree in it at byte `offset` of `file`, which is open for reading and writing and
/// reads as zeros there (a new, sparse file). [`NoRoom`] if it is too small.
///
/// `stage` advances by the bytes that [`FileTree::count`] says, in all; its total is the caller's to tell, who may have more to write.
pub fn write(tree: &FileTree, options: &Options, file: &File, offset: u64, stage: &Stage) -> Result<Stats> {
    let survey = Survey::of(tree)?;
    format::format(options, file, offset)?;
    populate::populate(&survey, options, file, offset, stage)
}

#[cfg(test)]
mod tests;
