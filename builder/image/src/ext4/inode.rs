//! Inodes of 256 bytes.

use super::checksum::{crc, inode_seed, put16, put32};

/// Bytes of an inode.
pub(super) const SIZE: usize = 256;

/// Bytes of the fields after the first 128 that every reader knows (`i_extra_isize`).
const EXTRA: usize = 32;

/// Bytes for extended attributes behind the fields.
pub(super) const XATTR_SPACE: usize = SIZE - 128 - EXTRA;

/// The root directory's.
pub(super) const ROOT: u32 = 2;

/// The one that `mke2fs` gives to `lost+found`, the first that is not reserved.
pub(super) const LOST_FOUND: u32 = 11;

/// File types in `mode` (`S_IF*`).
pub(super) mod mode {
    pub const FIFO: u16 = 0o010_000;
    pub const DIRECTORY: u16 = 0o040_000;
    pub const FILE: u16 = 0o100_000;
    pub const SYMLINK: u16 = 0o120_000;
}

/// The inode's 60 bytes hold an extent tree.
pub(super) const EXTENTS: u32 = 0x8_0000;

/// The directory has an index.
pub(super) const INDEXED: u32 = 0x1000;

/// Most names of a file, and most subdirectories that are counted.
pub(super) const LINK_MAX: u32 = 65000;

/// Everything that differs from inode to inode.
#[derive(Debug)]
pub(super) struct Inode<'a> {
    /// Type and permissions.
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// All four of its times, in seconds.
    pub time: i64,
    pub links: u16,
    /// Blocks of 4096 bytes that it takes in all.
    pub blocks: u64,
    pub flags: u32,
    /// Extents, or a short link's target.
    pub data: [u8; 60],
    pub xattr_block: u64,
    /// What goes behind the fields, [`XATTR_SPACE`] bytes or none.
    pub xattrs: &'a [u8],
}

impl Inode<'_> {
    /// The bytes on disk.
    pub fn encode(&self, number: u32, volume_seed: u32) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let (time, extra) = timestamp(self.time);
        // Counted in sectors.
        let sectors = self.blocks * (super::BLOCK / 512);
        put16(&mut bytes, 0x00, self.mode);
        put16(&mut bytes, 0x02, self.uid as u16);
        put32(&mut bytes, 0x04, self.size as u32);
        for at in [0x08, 0x0c, 0x10, 0x90] {
            put32(&mut bytes, at, time);
        }
        for at in [0x84, 0x88, 0x8c, 0x94] {
            put32(&mut bytes, at, extra);
        }
        put16(&mut bytes, 0x18, self.gid as u16);
        put16(&mut bytes, 0x1a, self.links);
        put32(&mut bytes, 0x1c, sectors as u32);
        put32(&mut bytes, 0x20, self.flags);
        bytes[0x28..0x64].copy_from_slice(&self.data);
        put32(&mut bytes, 0x68, self.xattr_block as u32);
        put32(&mut bytes, 0x6c, (self.size >> 32) as u32);
        put16(&mut bytes, 0x74, (sectors >> 32) as u16);
        put16(&mut bytes, 0x76, (self.xattr_block >> 32) as u16);
        put16(&mut bytes, 0x78, (self.uid >> 16) as u16);
        put16(&mut bytes, 0x7a, (self.gid >> 16) as u16);
        put16(&mut bytes, 0x80, EXTRA as u16);
        bytes[128 + EXTRA..][..self.xattrs.len()].copy_from_slice(self.xattrs);
        let sum = crc(inode_seed(volume_seed, number), &bytes);
        put16(&mut bytes, 0x7c, sum as u16);
        put16(&mut bytes, 0x82, (sum >> 16) as u16);
        bytes
    }
}

/// Seconds as the 32 bits of old and the two bits that later ones add: 1901 to 2446. Times beyond are cut.
fn timestamp(seconds: i64) -> (u32, u32) {
    let low = -(1i64 << 31);
    let seconds = seconds.clamp(low, low + (1 << 34) - 1);
    let epoch = (seconds - i64::from(seconds as i32)) >> 32;
    (
        (seconds as i32).cast_unsigned(),
        (epoch as i32).cast_unsigned() & 3,
    )
}
