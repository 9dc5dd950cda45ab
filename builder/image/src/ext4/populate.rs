//! Writing a surveyed tree into an empty file system.

use std::fs::File;
use std::ops::Range;

use anyhow::{Context, Result};
use clic_host::{Stage, cancel};

use super::alloc::Blocks;
use super::checksum::inode_seed;
use super::dirs;
use super::inode::{self, Inode, LINK_MAX, LOST_FOUND, ROOT, mode};
use super::place::{Place, place, size};
use super::survey::{Content, Item, Survey};
use super::volume::Volume;
use super::writer::Writer;
use super::xattrs::{self, Attributes};
use super::{BLOCK, BLOCK_LEN, Options, Stats, extents};

/// Bytes read from a file at once, and of progress told at once.
const CHUNK: u64 = 1 << 20;

/// Progress, told in steps: most files are small.
struct Told<'s> {
    stage: &'s Stage,
    untold: u64,
}

impl Told<'_> {
    fn add(&mut self, bytes: u64) {
        self.untold += bytes;
        if self.untold >= CHUNK {
            self.stage.advance(std::mem::take(&mut self.untold));
        }
    }
}

/// Puts the tree into the file system that `mke2fs` has just made at `offset`.
pub(super) fn populate(
    survey: &Survey,
    options: &Options,
    file: &File,
    offset: u64,
    stage: &Stage,
) -> Result<Stats> {
    let mut volume = Volume::read(file, offset)?;
    let mut blocks = volume.blocks_in_use()?;
    release_root(&volume, &mut blocks)?;
    let places = place(survey, &mut blocks, volume.free_inodes())?;

    let mut writer = Writer::new(file, offset);
    for (item, place) in survey.items.iter().zip(&places) {
        write_metadata(item, place, &volume, &mut writer).with_context(|| shown(item))?;
    }
    let mut told = Told { stage, untold: 0 };
    for (item, place) in survey.items.iter().zip(&places) {
        write_contents(item, place, &volume, &mut writer, &mut told).with_context(|| shown(item))?;
    }
    write_inodes(survey, &places, &mut volume, &blocks, options.epoch, &mut writer)?;
    writer.flush().context("cannot write to the image")?;
    stage.advance(told.untold);

    let (free_blocks, free_inodes) = (blocks.free(), volume.free_inodes() - survey.need.inodes);
    volume.finish(free_blocks, free_inodes)?;
    Ok(Stats {
        blocks: volume.blocks,
        free_blocks,
        available: volume.available(free_blocks),
        inodes: volume.inodes(),
        free_inodes,
        in_use: in_use(&volume, &mut blocks),
    })
}

fn shown(item: &Item) -> String {
    clic_tree::shown(item.path)
}

/// Gives back the block of the root directory that `mke2fs` made: ours is written anew.
pub(super) fn release_root(volume: &Volume, blocks: &mut Blocks) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let mut bytes = [0; inode::SIZE];
    let at = volume.offset + volume.inode_table(0) * BLOCK + u64::from(ROOT - 1) * inode::SIZE as u64;
    volume
        .file
        .read_exact_at(&mut bytes, at)
        .context("cannot read the root inode")?;
    // Its only extent: after the tree's header, block number in the entry's bytes 8 to 11, upper bits in 6 and 7.
    let entry = &bytes[0x28 + 12..0x28 + 24];
    let block =
        u64::from(super::checksum::get16(entry, 6)) << 32 | u64::from(super::checksum::get32(entry, 8));
    anyhow::ensure!(
        block != 0 && block < volume.blocks,
        "mke2fs made a root directory that is not known here"
    );
    blocks.release(block);
    Ok(())
}

/// Everything in blocks but the contents of files.
fn write_metadata(item: &Item, place: &Place, volume: &Volume, writer: &mut Writer) -> Result<()> {
    match &item.content {
        Content::Directory { parent, entries, .. } if item.inode != LOST_FOUND => {
            let seed = inode_seed(volume.seed, item.inode);
            let directory = dirs::Directory {
                inode: item.inode,
                parent: *parent,
                seed,
                hash_seed: volume.hash_seed,
            };
            let mut contents = dirs::blocks(&directory, entries).into_iter();
            for extent in &place.extents {
                for (block, bytes) in
                    (extent.physical..extent.physical + u64::from(extent.len)).zip(&mut contents)
                {
                    writer.put(block, &bytes)?;
                }
            }
            write_tree(item, place, volume, writer)?;
        }
        Content::LongLink(target) => writer.put(place.extents[0].physical, target)?,
        _ => {}
    }
    if let Attributes::Block(block) = &item.attributes {
        let mut block = block.clone();
        xattrs::seal(&mut block, place.xattrs, volume.seed);
        writer.put(place.xattrs, &block)?;
    }
    Ok(())
}

fn write_contents(
    item: &Item,
    place: &Place,
    volume: &Volume,
    writer: &mut Writer,
    told: &mut Told,
) -> Result<()> {
    let Content::File { data, .. } = &item.content else {
        return Ok(());
    };
    let opened = data.open()?;
    let mut copied = 0;
    for extent in &place.extents {
        let (start, len) = extents::bytes_of(extent, data.size());
        let mut done = 0;
        while done < len {
            cancel::check()?;
            let chunk = (len - done).min(CHUNK);
            let block = extent.physical + done / BLOCK;
            writer
                .fill(block, chunk as usize, |buffer| {
                    opened.read_at(start + done, buffer)
                })
                .context("cannot copy its contents into the image")?;
            done += chunk;
            told.add(chunk);
        }
        copied += len;
    }
    // The rest are holes.
    told.add(data.size().saturating_sub(copied));
    write_tree(item, place, volume, writer)
}

fn write_tree(item: &Item, place: &Place, volume: &Volume, writer: &mut Writer) -> Result<()> {
    if !place.tree.is_empty() {
        let seed = inode_seed(volume.seed, item.inode);
        for (block, bytes) in extents::tree(&place.extents, &place.tree, seed).1 {
            writer.put(block, &bytes)?;
        }
    }
    Ok(())
}

/// Inodes with their bitmaps, group by group.
fn write_inodes(
    survey: &Survey,
    places: &[Place],
    volume: &mut Volume,
    blocks: &Blocks,
    epoch: i64,
    writer: &mut Writer,
) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let mut root = None;
    // Numbers run without a gap from the first one after lost+found.
    let mut new = Vec::with_capacity(survey.items.len());
    for (item, place) in survey.items.iter().zip(places) {
        match item.inode {
            ROOT => root = Some(encode(item, place, volume, epoch)),
            LOST_FOUND => {}
            _ => new.push((item, place)),
        }
    }
    let mut rest = new.as_slice();
    for group in 0..volume.groups() {
        let used = volume.used_inodes(group);
        let count = rest.len().min((volume.inodes_per_group - used) as usize);
        let (here, later) = rest.split_at(count);
        rest = later;
        let directories = here.iter().filter(|(item, _)| item.node.is_directory()).count();
        if count > 0 {
            // What mke2fs has put into the first blocks of the first table stays.
            let mut table = vec![0; used as usize * inode::SIZE];
            let at = volume.inode_table(group);
            volume
                .file
                .read_exact_at(&mut table, volume.offset + at * BLOCK)
                .context("cannot read inodes")?;
            for (item, place) in here {
                table.extend_from_slice(&encode(item, place, volume, epoch));
            }
            for (block, bytes) in (at..).zip(table.chunks(BLOCK_LEN)) {
                writer.put(block, bytes)?;
            }
        }
        volume.update_group(group, blocks, count as u32, directories as u32)?;
    }
    writer.flush()?;
    let root = root.context("the tree has no root directory")?;
    let at = volume.inode_table(0) * BLOCK + u64::from(ROOT - 1) * inode::SIZE as u64;
    volume
        .file
        .write_all_at(&root, volume.offset + at)
        .context("cannot write the root inode")
}

fn encode(item: &Item, place: &Place, volume: &Volume, epoch: i64) -> [u8; inode::SIZE] {
    let tree = || extents::tree(&place.extents, &place.tree, inode_seed(volume.seed, item.inode)).0;
    let (kind, flags, data) = match &item.content {
        Content::Directory { entries, .. } => {
            let index = if dirs::is_indexed(entries) {
                inode::INDEXED
            } else {
                0
            };
            (mode::DIRECTORY, inode::EXTENTS | index, tree())
        }
        Content::File { .. } => (mode::FILE, inode::EXTENTS, tree()),
        Content::LongLink(_) => (mode::SYMLINK, inode::EXTENTS, tree()),
        Content::ShortLink(target) => {
            let mut data = [0; 60];
            data[..target.len()].copy_from_slice(target);
            (mode::SYMLINK, 0, data)
        }
        Content::Fifo => (mode::FIFO, 0, [0; 60]),
    };
    // A directory with more subdirectories than can be counted says 1 (`dir_nlink`).
    let links = if item.links > LINK_MAX {
        1
    } else {
        item.links as u16
    };
    let inode = Inode {
        mode: kind | (item.node.mode & 0o7777) as u16,
        uid: item.node.uid,
        gid: item.node.gid,
        size: size(item),
        time: item.node.mtime.min(epoch),
        links,
        blocks: place.blocks(),
        flags,
        data,
        xattr_block: place.xattrs,
        xattrs: match &item.attributes {
            Attributes::Inode(bytes) => bytes,
            _ => &[],
        },
    };
    inode.encode(item.inode, volume.seed)
}

/// What a medium must have: all blocks in use but the inode tables' ends, which the kernel clears on the device.
fn in_use(volume: &Volume, blocks: &mut Blocks) -> Vec<Range<u64>> {
    for group in 0..volume.groups() {
        let used = (u64::from(volume.used_inodes(group)) * inode::SIZE as u64).div_ceil(BLOCK);
        (used..volume.inode_table_len()).for_each(|index| blocks.release(volume.inode_table(group) + index));
    }
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for block in (0..volume.blocks).filter(|block| blocks.is_used(*block)) {
        let start = volume.offset + block * BLOCK;
        match ranges.last_mut() {
            Some(range) if range.end == start => range.end += BLOCK,
            _ => ranges.push(start..start + BLOCK),
        }
    }
    ranges
}
