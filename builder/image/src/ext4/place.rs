//! Where everything goes: a pure calculation, so that sizes can be tried without writing anything.
//!
//! Directories, long links and attributes come first, then the files, each in the order of paths: whoever lists or
//! reads a part of the tree finds it together on the medium.

use anyhow::Result;

use super::alloc::Blocks;
use super::extents::{self, Extent, MAX_LEN};
use super::survey::{Content, Item, Span, Survey};
use super::xattrs::Attributes;
use super::{BLOCK, NoRoom};

/// The blocks of one inode.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub extents: Vec<Extent>,
    /// Blocks of the extent tree.
    pub tree: Vec<u64>,
    /// Block of its extended attributes, or 0.
    pub xattrs: u64,
}

impl Place {
    /// Blocks in all.
    pub fn blocks(&self) -> u64 {
        let contents: u64 = self.extents.iter().map(|extent| u64::from(extent.len)).sum();
        contents + self.tree.len() as u64 + u64::from(self.xattrs != 0)
    }
}

/// Finds places for all items, in their order. [`NoRoom`] if blocks or inodes (`free_inodes`) do not suffice.
pub(super) fn place(survey: &Survey, blocks: &mut Blocks, free_inodes: u64) -> Result<Vec<Place>> {
    let free_blocks = blocks.free();
    let no_room = |more: u64| NoRoom {
        needed_blocks: survey.need.blocks + more,
        free_blocks,
        needed_inodes: survey.need.inodes,
        free_inodes,
    };
    if survey.need.blocks > free_blocks || survey.need.inodes > free_inodes {
        return Err(no_room(0).into());
    }
    // Only blocks for extent trees that the count before could not know of can be missing now.
    let missing = || no_room((free_blocks - survey.need.blocks) + 1);
    let mut places = Vec::with_capacity(survey.items.len());
    for item in &survey.items {
        let len = match &item.content {
            Content::Directory { blocks, .. } => *blocks as u32,
            Content::LongLink(_) => 1,
            _ => 0,
        };
        let mut place = Place::default();
        contents(&mut place, &[Span { start: 0, len }], blocks).ok_or_else(missing)?;
        if matches!(item.attributes, Attributes::Block(_)) {
            place.xattrs = blocks.take(1).ok_or_else(missing)?.start;
        }
        places.push(place);
    }
    for (item, place) in survey.items.iter().zip(&mut places) {
        if let Content::File { spans, .. } = &item.content {
            contents(place, spans, blocks).ok_or_else(missing)?;
        }
    }
    Ok(places)
}

/// Takes blocks for contents and then for their tree; `None` when there are too few.
fn contents(place: &mut Place, spans: &[Span], blocks: &mut Blocks) -> Option<()> {
    for span in spans {
        let mut done = 0;
        while done < span.len {
            let run = blocks.take(u64::from((span.len - done).min(MAX_LEN)))?;
            place.extents.push(Extent {
                logical: span.start + done,
                physical: run.start,
                len: run.len as u32,
            });
            done += run.len as u32;
        }
    }
    for _ in 0..extents::tree_blocks(place.extents.len()) {
        place.tree.push(blocks.take(1)?.start);
    }
    Some(())
}

/// Size that the inode gives.
pub(super) fn size(item: &Item) -> u64 {
    match &item.content {
        Content::Directory { blocks, .. } => blocks * BLOCK,
        Content::File { data, .. } => data.size(),
        Content::ShortLink(target) | Content::LongLink(target) => target.len() as u64,
        Content::Fifo => 0,
    }
}
