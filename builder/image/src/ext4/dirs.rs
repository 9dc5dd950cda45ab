//! Directories: one block of entries, or an index by hash (`dir_index`, "htree") over several.
//!
//! A plain list would be valid at any length, but a device keeps a directory in the form in which it got it, and
//! looks through all of a plain one for each name: `/var/lib/dpkg/info` has thousands, content bundles more.
//! How many blocks a directory takes does not depend on the hash seed, so that sizes are known before the ids are.

use anyhow::{Result, ensure};

use super::BLOCK_LEN;
use super::checksum::{crc, put16, put32};
use super::hash::{Hash, half_md4};

/// An entry: name, inode and file type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub name: &'a [u8],
    pub inode: u32,
    pub kind: u8,
}

/// What an entry says about what it names (`EXT4_FT_*`).
pub(super) mod kind {
    pub const FILE: u8 = 1;
    pub const DIRECTORY: u8 = 2;
    pub const FIFO: u8 = 5;
    pub const SYMLINK: u8 = 7;
}

/// What every block of a directory needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directory {
    pub inode: u32,
    pub parent: u32,
    /// Checksum seed of the directory's inode.
    pub seed: u32,
    pub hash_seed: [u8; 16],
}

/// The checksum at a block's end looks like an entry of this many bytes.
const TAIL: usize = 12;

/// Bytes for entries in a block.
const ROOM: usize = BLOCK_LEN - TAIL;

/// `.` and `..`, 12 bytes each.
const DOTS: usize = 24;

/// Bytes to fill in each block under an index: a fifth stays free, as `e2fsck -D` leaves it, so that the first new
/// name on the device does not split a block.
const FILL: usize = ROOM / 5 * 4;

/// Pairs of hash and block in the index's root, and in a block of its second level: what is left of a block after
/// its header (32 and 8 bytes) and checksum (8).
const IN_ROOT: usize = (BLOCK_LEN - 32 - 8) / 8;
const IN_NODE: usize = (BLOCK_LEN - 8 - 8) / 8;

/// How the blocks of a directory are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Blocks of the index's second level.
    nodes: usize,
    /// Blocks with entries.
    leaves: usize,
}

fn entry_len(name: &[u8]) -> usize {
    (8 + name.len()).next_multiple_of(4)
}

/// `None` if one block is enough.
fn shape(entries: &[Entry]) -> Option<Shape> {
    let bytes: usize = entries.iter().map(|entry| entry_len(entry.name)).sum();
    if DOTS + bytes <= ROOM {
        return None;
    }
    let leaves = bytes.div_ceil(FILL);
    let nodes = if leaves <= IN_ROOT {
        0
    } else {
        leaves.div_ceil(IN_NODE)
    };
    Some(Shape { nodes, leaves })
}

/// How many blocks a directory takes.
pub(super) fn count(entries: &[Entry]) -> Result<u64> {
    let Some(shape) = shape(entries) else { return Ok(1) };
    ensure!(
        shape.nodes <= IN_ROOT,
        "{} names are too many for one directory",
        entries.len()
    );
    Ok((1 + shape.nodes + shape.leaves) as u64)
}

/// The directory's blocks in order. `entries` are sorted by name, without `.` and `..`.
pub(super) fn blocks(directory: &Directory, entries: &[Entry]) -> Vec<Vec<u8>> {
    match shape(entries) {
        None => vec![single(directory, entries)],
        Some(shape) => indexed(directory, entries, shape),
    }
}

/// Whether the directory's inode must say that there is an index.
pub(super) fn is_indexed(entries: &[Entry]) -> bool {
    shape(entries).is_some()
}

fn single(directory: &Directory, entries: &[Entry]) -> Vec<u8> {
    let dots = [
        Entry {
            name: b".",
            inode: directory.inode,
            kind: kind::DIRECTORY,
        },
        Entry {
            name: b"..",
            inode: directory.parent,
            kind: kind::DIRECTORY,
        },
    ];
    leaf(directory, dots.iter().chain(entries))
}

/// A block of entries; the last one reaches to the checksum.
fn leaf<'a>(directory: &Directory, entries: impl Iterator<Item = &'a Entry<'a>>) -> Vec<u8> {
    let mut block = vec![0; BLOCK_LEN];
    let (mut at, mut last) = (0, 0);
    for entry in entries {
        last = at;
        at += put(&mut block, at, entry, entry_len(entry.name));
    }
    put16(&mut block, last + 4, (ROOM - last) as u16);
    put16(&mut block, ROOM + 4, TAIL as u16);
    block[ROOM + 7] = 0xde;
    let sum = crc(directory.seed, &block[..ROOM]);
    put32(&mut block, ROOM + 8, sum);
    block
}

fn put(block: &mut [u8], at: usize, entry: &Entry, len: usize) -> usize {
    put32(block, at, entry.inode);
    put16(block, at + 4, len as u16);
    block[at + 6] = entry.name.len() as u8;
    block[at + 7] = entry.kind;
    block[at + 8..at + 8 + entry.name.len()].copy_from_slice(entry.name);
    len
}

fn indexed(directory: &Directory, entries: &[Entry], shape: Shape) -> Vec<Vec<u8>> {
    let mut hashed: Vec<(Hash, &Entry)> = entries
        .iter()
        .map(|entry| (half_md4(entry.name, directory.hash_seed), entry))
        .collect();
    hashed.sort_by_key(|(hash, entry)| (*hash, entry.name));

    // Leaf N ends with the entry that reaches N shares of all bytes. No share is over `FILL`, so even with one
    // entry too many (264 bytes) it fits.
    let total: usize = entries.iter().map(|entry| entry_len(entry.name)).sum();
    let mut leaves: Vec<(u32, Vec<u8>)> = Vec::with_capacity(shape.leaves);
    let (mut begin, mut bytes) = (0, 0);
    for (index, (_, entry)) in hashed.iter().enumerate() {
        bytes += entry_len(entry.name);
        if bytes * shape.leaves >= total * (leaves.len() + 1) {
            let first = hashed[begin].0.major;
            // An odd hash says that names with it began in the block before.
            let continued = begin > 0 && hashed[begin - 1].0.major == first;
            let block = leaf(directory, hashed[begin..=index].iter().map(|(_, entry)| *entry));
            leaves.push((first | u32::from(continued), block));
            begin = index + 1;
        }
    }

    // Block 0 is the root, then come the second level and the leaves.
    let first_leaf = 1 + shape.nodes;
    let pointers: Vec<(u32, u32)> = leaves
        .iter()
        .enumerate()
        .map(|(index, (hash, _))| (*hash, (first_leaf + index) as u32))
        .collect();
    let mut blocks = Vec::with_capacity(first_leaf + leaves.len());
    if shape.nodes == 0 {
        blocks.push(root(directory, &pointers, 0));
    } else {
        let nodes: Vec<&[(u32, u32)]> = pointers.chunks(IN_NODE).collect();
        let top: Vec<(u32, u32)> = nodes
            .iter()
            .zip(1..)
            .map(|(node, block)| (node[0].0, block))
            .collect();
        blocks.push(root(directory, &top, 1));
        blocks.extend(nodes.iter().map(|node| {
            let mut block = vec![0; BLOCK_LEN];
            // To whoever does not know indexes, the block is one unused entry.
            put16(&mut block, 4, BLOCK_LEN as u16);
            index(directory, &mut block, 8, IN_NODE, node);
            block
        }));
    }
    blocks.extend(leaves.into_iter().map(|(_, block)| block));
    blocks
}

fn root(directory: &Directory, pointers: &[(u32, u32)], levels: u8) -> Vec<u8> {
    let mut block = vec![0; BLOCK_LEN];
    let at = put(
        &mut block,
        0,
        &Entry {
            name: b".",
            inode: directory.inode,
            kind: kind::DIRECTORY,
        },
        12,
    );
    let dots = Entry {
        name: b"..",
        inode: directory.parent,
        kind: kind::DIRECTORY,
    };
    put(&mut block, at, &dots, BLOCK_LEN - at);
    // Hash version (half_md4), length of this information, levels below the root.
    block[28] = 1;
    block[29] = 8;
    block[30] = levels;
    index(directory, &mut block, 32, IN_ROOT, pointers);
    block
}

/// Pairs of hash and block. The first hash is not needed, the capacity and count are in its place.
fn index(directory: &Directory, block: &mut [u8], at: usize, capacity: usize, pointers: &[(u32, u32)]) {
    for (number, (hash, target)) in pointers.iter().enumerate() {
        put32(block, at + 8 * number, *hash);
        put32(block, at + 8 * number + 4, *target);
    }
    put16(block, at, capacity as u16);
    put16(block, at + 2, pointers.len() as u16);
    let tail = at + 8 * capacity;
    // The checksum covers the pairs in use, then the tail with zero in its own place.
    let sum = crc(crc(directory.seed, &block[..at + 8 * pointers.len()]), &[0; 8]);
    put32(block, tail + 4, sum);
}
