//! An ext4 file system's superblock and group descriptors, as `mke2fs` leaves them.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};

use super::alloc::{Blocks, Run};
use super::checksum::{crc, get16, get32, put16, put32, volume_seed};
use super::{BLOCK, BLOCK_LEN};

/// Where the superblock begins, in bytes.
const SUPERBLOCK: u64 = 1024;

/// Bytes of a group descriptor with `64bit`.
const DESCRIPTOR: usize = 64;

/// Blocks of a group: what one bitmap block can tell of.
pub(super) const GROUP: u64 = 8 * BLOCK;

/// `s_feature_compat`: the features `has_journal`, `ext_attr`, `resize_inode` and `dir_index`.
const COMPAT: u32 = 0x3c;
/// `s_feature_incompat`: the features `filetype`, `extent`, `64bit` and `flex_bg`.
const INCOMPAT: u32 = 0x2c2;
/// `s_feature_ro_compat`: the features `sparse_super`, `large_file`, `huge_file`, `dir_nlink`, `extra_isize` and
/// `metadata_csum`.
const RO_COMPAT: u32 = 0x46b;

/// Group flags: nothing of the inode table, or of the block bitmap, has been written.
const INODE_UNINIT: u16 = 1;
const BLOCK_UNINIT: u16 = 2;

/// A file system at byte `offset` of a file.
pub(super) struct Volume<'f> {
    pub file: &'f File,
    pub offset: u64,
    superblock: Vec<u8>,
    descriptors: Vec<u8>,
    pub blocks: u64,
    pub inodes_per_group: u32,
    /// Checksum seed.
    pub seed: u32,
    pub hash_seed: [u8; 16],
}

/// Fields of a group descriptor that are split in two halves: byte offsets of both.
#[derive(Clone, Copy)]
enum Field {
    BlockBitmap,
    InodeBitmap,
    InodeTable,
}

impl<'f> Volume<'f> {
    /// Reads what `mke2fs` made; an error if that is not what was asked for.
    pub fn read(file: &'f File, offset: u64) -> Result<Self> {
        let mut superblock = vec![0; 1024];
        file.read_exact_at(&mut superblock, offset + SUPERBLOCK)
            .context("cannot read the superblock")?;
        let features = [0x5c, 0x60, 0x64].map(|at| get32(&superblock, at));
        ensure!(
            get16(&superblock, 0x38) == 0xef53 && features == [COMPAT, INCOMPAT, RO_COMPAT],
            "mke2fs made a file system with the features {features:x?}, asked for {:x?}; \
             e2fsprogs 1.43 to 1.47 are known to work",
            [COMPAT, INCOMPAT, RO_COMPAT]
        );
        let layout = [
            get32(&superblock, 0x18),
            get32(&superblock, 0x20),
            get16(&superblock, 0x58).into(),
        ];
        ensure!(
            layout == [2, GROUP as u32, super::inode::SIZE as u32] && get16(&superblock, 0xfe) == 64,
            "mke2fs made other block, group, inode or descriptor sizes than it was asked for: {layout:?}"
        );
        let blocks = u64::from(get32(&superblock, 0x150)) << 32 | u64::from(get32(&superblock, 0x04));
        let inodes_per_group = get32(&superblock, 0x28);
        let array = |at: usize| std::array::from_fn(|index| superblock[at + index]);
        let (uuid, hash_seed) = (array(0x68), array(0xec));
        // The hash of names takes characters as signed, whatever the host's C does.
        put32(&mut superblock, 0x160, 1);
        let groups = blocks.div_ceil(GROUP) as usize;
        let mut descriptors = vec![0; (groups * DESCRIPTOR).next_multiple_of(BLOCK_LEN)];
        file.read_exact_at(&mut descriptors, offset + BLOCK)
            .context("cannot read the group descriptors")?;
        descriptors.truncate(groups * DESCRIPTOR);
        let seed = volume_seed(&uuid);
        Ok(Self {
            file,
            offset,
            superblock,
            descriptors,
            blocks,
            inodes_per_group,
            seed,
            hash_seed,
        })
    }

    pub fn groups(&self) -> usize {
        self.descriptors.len() / DESCRIPTOR
    }

    /// Inodes in all.
    pub fn inodes(&self) -> u64 {
        u64::from(get32(&self.superblock, 0x00))
    }

    pub fn free_inodes(&self) -> u64 {
        u64::from(get32(&self.superblock, 0x10))
    }

    /// Bytes that `df` shows as available when so many blocks are free: without those reserved for root, and
    /// without what the kernel keeps for itself (2 %, 4096 blocks at most: `ext4_calculate_resv_clusters`).
    pub fn available(&self, free_blocks: u64) -> u64 {
        let reserved =
            u64::from(get32(&self.superblock, 0x154)) << 32 | u64::from(get32(&self.superblock, 0x08));
        free_blocks
            .saturating_sub(reserved)
            .saturating_sub((self.blocks / 50).min(4096))
            * BLOCK
    }

    fn descriptor(&self, group: usize) -> &[u8] {
        &self.descriptors[group * DESCRIPTOR..(group + 1) * DESCRIPTOR]
    }

    fn descriptor_mut(&mut self, group: usize) -> &mut [u8] {
        &mut self.descriptors[group * DESCRIPTOR..(group + 1) * DESCRIPTOR]
    }

    fn place(&self, group: usize, field: Field) -> u64 {
        let descriptor = self.descriptor(group);
        let (low, high) = match field {
            Field::BlockBitmap => (0x00, 0x20),
            Field::InodeBitmap => (0x04, 0x24),
            Field::InodeTable => (0x08, 0x28),
        };
        u64::from(get32(descriptor, high)) << 32 | u64::from(get32(descriptor, low))
    }

    /// First block of a group's inode table.
    pub fn inode_table(&self, group: usize) -> u64 {
        self.place(group, Field::InodeTable)
    }

    /// Blocks of a group's inode table.
    pub fn inode_table_len(&self) -> u64 {
        (u64::from(self.inodes_per_group) * super::inode::SIZE as u64).div_ceil(BLOCK)
    }

    /// Inodes at the beginning of a group's table that have been used.
    pub fn used_inodes(&self, group: usize) -> u32 {
        let descriptor = self.descriptor(group);
        let unused = u32::from(get16(descriptor, 0x32)) << 16 | u32::from(get16(descriptor, 0x1c));
        self.inodes_per_group.saturating_sub(unused)
    }

    /// A group's blocks; the last one may be short.
    pub fn group_blocks(&self, group: usize) -> Run {
        let start = group as u64 * GROUP;
        Run {
            start,
            len: GROUP.min(self.blocks - start),
        }
    }

    /// Blocks at a group's beginning for a superblock, the descriptors and the room for more of them:
    /// `sparse_super` puts them in groups 0, 1 and powers of 3, 5 and 7.
    fn backup_blocks(&self, group: usize) -> u64 {
        let power_of = |base: usize| {
            std::iter::successors(Some(base), |n| n.checked_mul(base))
                .take_while(|n| *n <= group)
                .any(|n| n == group)
        };
        if group > 1 && ![3, 5, 7].into_iter().any(power_of) {
            return 0;
        }
        let table = self.descriptors.len().div_ceil(BLOCK_LEN) as u64;
        1 + table + u64::from(get16(&self.superblock, 0xce))
    }

    /// Which blocks are used. `mke2fs` writes no bitmap for a group that has nothing but tables, so tables are
    /// counted here; the result must agree with its own figures.
    pub fn blocks_in_use(&self) -> Result<Blocks> {
        let mut blocks = Blocks::new(self.blocks);
        for group in 0..self.groups() {
            let run = self.group_blocks(group);
            (0..self.backup_blocks(group)).for_each(|index| blocks.mark(run.start + index));
            blocks.mark(self.place(group, Field::BlockBitmap));
            blocks.mark(self.place(group, Field::InodeBitmap));
            (0..self.inode_table_len()).for_each(|index| blocks.mark(self.inode_table(group) + index));
            if get16(self.descriptor(group), 0x12) & BLOCK_UNINIT == 0 {
                let mut bitmap = vec![0; BLOCK_LEN];
                let at = self.offset + self.place(group, Field::BlockBitmap) * BLOCK;
                self.file
                    .read_exact_at(&mut bitmap, at)
                    .context("cannot read a block bitmap")?;
                for index in (0..run.len).filter(|index| bitmap[(index / 8) as usize] >> (index % 8) & 1 == 1)
                {
                    blocks.mark(run.start + index);
                }
            }
        }
        let free = u64::from(get32(&self.superblock, 0x158)) << 32 | u64::from(get32(&self.superblock, 0x0c));
        ensure!(
            blocks.free() == free,
            "mke2fs counts {free} free blocks, its bitmaps say {}: a version that is not known here",
            blocks.free()
        );
        Ok(blocks)
    }

    /// Tells a group of its blocks' state, and of `inodes` more inodes in a row, `directories` of them directories.
    /// Writes its bitmaps.
    pub fn update_group(
        &mut self,
        group: usize,
        blocks: &Blocks,
        inodes: u32,
        directories: u32,
    ) -> Result<()> {
        let run = self.group_blocks(group);
        let free = blocks.free_in(run) as u16;
        if free != get16(self.descriptor(group), 0x0c) {
            let bitmap = blocks.bitmap(run);
            self.put_block(self.place(group, Field::BlockBitmap), &bitmap)?;
            let sum = crc(self.seed, &bitmap);
            let descriptor = self.descriptor_mut(group);
            put16(descriptor, 0x0c, free);
            put16(descriptor, 0x18, sum as u16);
            put16(descriptor, 0x38, (sum >> 16) as u16);
            let flags = get16(descriptor, 0x12) & !BLOCK_UNINIT;
            put16(descriptor, 0x12, flags);
        }
        if inodes > 0 {
            let used = self.used_inodes(group) + inodes;
            let per_group = self.inodes_per_group;
            let mut bitmap = vec![0xff; BLOCK_LEN];
            for index in used..per_group {
                bitmap[(index / 8) as usize] &= !(1 << (index % 8));
            }
            self.put_block(self.place(group, Field::InodeBitmap), &bitmap)?;
            let sum = crc(self.seed, &bitmap[..per_group as usize / 8]);
            let descriptor = self.descriptor_mut(group);
            // At most 32768 inodes are in a group, so the upper halves of these stay zero.
            put16(descriptor, 0x0e, (per_group - used) as u16);
            put16(descriptor, 0x1c, (per_group - used) as u16);
            put16(descriptor, 0x1a, sum as u16);
            put16(descriptor, 0x3a, (sum >> 16) as u16);
            let total = get16(descriptor, 0x10) + directories as u16;
            put16(descriptor, 0x10, total);
            let flags = get16(descriptor, 0x12) & !INODE_UNINIT;
            put16(descriptor, 0x12, flags);
        }
        Ok(())
    }

    /// Writes superblock and descriptors, and their backups.
    pub fn finish(&mut self, free_blocks: u64, free_inodes: u64) -> Result<()> {
        put32(&mut self.superblock, 0x0c, free_blocks as u32);
        put32(&mut self.superblock, 0x158, (free_blocks >> 32) as u32);
        put32(&mut self.superblock, 0x10, u32::try_from(free_inodes)?);
        let seed = self.seed;
        for (group, descriptor) in (0u32..).zip(self.descriptors.chunks_mut(DESCRIPTOR)) {
            put16(descriptor, 0x1e, 0);
            let sum = crc(crc(seed, &group.to_le_bytes()), descriptor);
            put16(descriptor, 0x1e, sum as u16);
        }
        for group in 0..self.groups() {
            if self.backup_blocks(group) == 0 {
                continue;
            }
            put16(&mut self.superblock, 0x5a, group as u16);
            let sum = crc(!0, &self.superblock[..0x3fc]);
            put32(&mut self.superblock, 0x3fc, sum);
            let start = self.offset + self.group_blocks(group).start * BLOCK;
            let inside = if group == 0 { SUPERBLOCK } else { 0 };
            self.file
                .write_all_at(&self.superblock, start + inside)
                .context("cannot write a superblock")?;
            self.file
                .write_all_at(&self.descriptors, start + BLOCK)
                .context("cannot write the descriptors")?;
        }
        Ok(())
    }

    pub fn put_block(&self, block: u64, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all_at(bytes, self.offset + block * BLOCK)
            .context("cannot write to the image")
    }
}
