//! How large a file system must be for a tree.

use anyhow::{Context, Result, ensure};
use uuid::Uuid;

use super::alloc::Blocks;
use super::survey::Survey;
use super::volume::{GROUP, Volume};
use super::{BLOCK, Geometry, MAX_BYTES, NoRoom, Options, format, inode, place, populate};

/// Sizes are multiples of this many bytes.
const STEP: u64 = 1 << 20;

/// Smallest file system that is tried, in bytes: `mke2fs` refuses a journal (4 MiB here) that is over half of it.
const LEAST: u64 = 16 << 20;

/// Inodes per group of 128 MiB that a file system has at least: one per 16 KiB, Debian's default. The device
/// keeps this density when it grows, whatever the image's size was.
const INODES_PER_GROUP: u64 = 8192;

/// Most inodes in a group, half of what a bitmap block can tell of: when `mke2fs` leaves out a short last group, the
/// others take its inodes, and where they cannot it makes smaller groups.
const MOST_PER_GROUP: u64 = 4 * BLOCK;

/// See [`super::size_for`]: begins with too little and adds what was missing until it is enough.
pub(super) fn size_for(survey: &Survey, free_bytes: u64, extra_inodes: u64) -> Result<Geometry> {
    let too_large =
        || format!("a file system for {free_bytes} bytes more than the files would be over 1 TiB");
    let wanted_inodes = survey
        .need
        .inodes
        .checked_add(extra_inodes)
        .filter(|n| *n <= MAX_BYTES / BLOCK)
        .with_context(too_large)?;
    let wanted_inodes = wanted_inodes + u64::from(inode::LOST_FOUND);
    let groups = wanted_inodes.div_ceil(MOST_PER_GROUP);
    let contents = (survey.need.blocks * BLOCK)
        .checked_add(free_bytes)
        .with_context(too_large)?;
    let least = contents.max((groups - 1) * GROUP * BLOCK).max(LEAST);
    let mut bytes = least.checked_next_multiple_of(STEP).with_context(too_large)?;
    loop {
        clic_host::cancel::check()?;
        ensure!(bytes <= MAX_BYTES, too_large());
        let missing = match attempt(survey, bytes, wanted_inodes)? {
            Attempt::Fits { available, inodes } if available >= free_bytes => {
                return Ok(Geometry { bytes, inodes });
            }
            Attempt::Fits { available, .. } => free_bytes - available,
            Attempt::Short(NoRoom {
                needed_blocks,
                free_blocks,
                needed_inodes,
                free_inodes,
            }) => {
                let blocks = needed_blocks.saturating_sub(free_blocks);
                // A short last group that mke2fs leaves out takes its inodes with it.
                blocks * BLOCK + if needed_inodes > free_inodes { STEP } else { 0 }
            }
        };
        bytes = bytes.saturating_add(missing.max(1).next_multiple_of(STEP));
    }
}

enum Attempt {
    Fits { available: u64, inodes: u64 },
    Short(NoRoom),
}

/// Makes an empty file system of this size in a sparse scratch file and sees where the tree would go.
fn attempt(survey: &Survey, bytes: u64, wanted_inodes: u64) -> Result<Attempt> {
    let groups = bytes.div_ceil(GROUP * BLOCK);
    // Whole blocks of the inode table, and whole bytes of the bitmap.
    let per_group = wanted_inodes
        .div_ceil(groups)
        .next_multiple_of(BLOCK / inode::SIZE as u64);
    let inodes = per_group.clamp(INODES_PER_GROUP, MOST_PER_GROUP) * groups;
    let file = tempfile::tempfile().context("cannot create a temporary file")?;
    file.set_len(bytes)
        .context("cannot make a sparse temporary file of the image's size")?;
    let ids = Uuid::from_u128(1);
    let options = Options {
        uuid: ids,
        hash_seed: ids,
        label: String::new(),
        epoch: 1,
        bytes,
        inodes,
    };
    format::format(&options, &file, 0)?;
    let volume = Volume::read(&file, 0)?;
    let mut blocks: Blocks = volume.blocks_in_use()?;
    populate::release_root(&volume, &mut blocks)?;
    let free_inodes = volume.free_inodes();
    let enough = volume.inodes() >= wanted_inodes;
    match place::place(survey, &mut blocks, free_inodes) {
        Ok(_) if enough => Ok(Attempt::Fits {
            available: volume.available(blocks.free()),
            inodes: volume.inodes(),
        }),
        Ok(_) => Ok(Attempt::Short(NoRoom {
            needed_blocks: 0,
            free_blocks: 0,
            needed_inodes: wanted_inodes,
            free_inodes: volume.inodes(),
        })),
        Err(error) => Ok(Attempt::Short(error.downcast::<NoRoom>()?)),
    }
}
