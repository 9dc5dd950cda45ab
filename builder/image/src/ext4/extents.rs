//! Extents: which blocks of a file lie where, as a tree whose root is in the inode.

use super::checksum::{crc, put16, put32};
use super::{BLOCK, BLOCK_LEN};

/// Blocks of a file that lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// First block within the file.
    pub logical: u32,
    /// First block within the file system.
    pub physical: u64,
    /// How many, at most [`MAX_LEN`].
    pub len: u32,
}

/// Most blocks of one extent that has contents; larger numbers mean "reserved, reads as zeros".
pub(super) const MAX_LEN: u32 = 32768;

/// First number of a header.
const MAGIC: u16 = 0xf30a;

/// A header or an entry, in bytes.
const ENTRY: usize = 12;

/// Entries in the inode's 60 bytes.
const IN_INODE: usize = 4;

/// Entries in a block; four bytes at its end are for the checksum.
const IN_BLOCK: usize = (BLOCK_LEN - ENTRY) / ENTRY;

/// How many blocks the tree of this many extents needs besides the inode.
pub(super) fn tree_blocks(extents: usize) -> u64 {
    let mut blocks = 0;
    let mut entries = extents;
    while entries > IN_INODE {
        entries = entries.div_ceil(IN_BLOCK);
        blocks += entries as u64;
    }
    blocks
}

/// A file's tree: the 60 bytes for its inode, and the blocks to write (`at` has as many as [`tree_blocks`] said).
pub(super) fn tree(extents: &[Extent], at: &[u64], inode_seed: u32) -> ([u8; 60], Vec<(u64, Vec<u8>)>) {
    // Entries of the level at hand: first block within the file, and the entry itself.
    let mut level: Vec<(u32, [u8; ENTRY])> = extents
        .iter()
        .map(|extent| (extent.logical, leaf(extent)))
        .collect();
    let mut depth = 0;
    let mut blocks = Vec::new();
    let mut places = at.iter().copied();
    while level.len() > IN_INODE {
        let mut above = Vec::new();
        for (entries, place) in level.chunks(IN_BLOCK).zip(&mut places) {
            let mut block = vec![0; BLOCK_LEN];
            node(&mut block, entries, IN_BLOCK, depth);
            let sum = crc(inode_seed, &block[..BLOCK_LEN - 4]);
            put32(&mut block, BLOCK_LEN - 4, sum);
            blocks.push((place, block));
            above.push((entries[0].0, index(entries[0].0, place)));
        }
        level = above;
        depth += 1;
    }
    let mut root = [0; 60];
    node(&mut root, &level, IN_INODE, depth);
    (root, blocks)
}

fn node(bytes: &mut [u8], entries: &[(u32, [u8; ENTRY])], capacity: usize, depth: u16) {
    put16(bytes, 0, MAGIC);
    put16(bytes, 2, entries.len() as u16);
    put16(bytes, 4, capacity as u16);
    put16(bytes, 6, depth);
    for (number, (_, entry)) in entries.iter().enumerate() {
        bytes[ENTRY * (number + 1)..ENTRY * (number + 2)].copy_from_slice(entry);
    }
}

fn leaf(extent: &Extent) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    put32(&mut bytes, 0, extent.logical);
    put16(&mut bytes, 4, extent.len as u16);
    put16(&mut bytes, 6, (extent.physical >> 32) as u16);
    put32(&mut bytes, 8, extent.physical as u32);
    bytes
}

fn index(logical: u32, block: u64) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    put32(&mut bytes, 0, logical);
    put32(&mut bytes, 4, block as u32);
    put16(&mut bytes, 8, (block >> 32) as u16);
    bytes
}

/// Bytes of a file that are in `extent`, and where they begin.
pub(super) fn bytes_of(extent: &Extent, size: u64) -> (u64, u64) {
    let start = u64::from(extent.logical) * BLOCK;
    (
        start,
        (u64::from(extent.len) * BLOCK).min(size.saturating_sub(start)),
    )
}
