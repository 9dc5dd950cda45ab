//! Puts an image together: root file system, boot partitions, loaders, and the partition table last.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use clic_host::{Progress, Unit, cancel};
use clic_recipe::plan::{Filesystem, PartitionSize, Plan, Table};

use crate::ext4;
use crate::ids::Ids;
use crate::layout::{ALIGN, Layout, SECTOR};
use crate::tree::Tree;
use crate::{boot, fat, table};

/// What was put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// Where everything is.
    pub layout: Layout,
    /// The root file system.
    pub root: ext4::Stats,
    /// The FAT partitions, by name.
    pub volumes: BTreeMap<String, fat::Stats>,
    /// Byte ranges that a medium must have as they are, zeros included, sorted and apart from each other. What is
    /// outside reads as zeros in the image, and whatever a medium has there does no harm.
    pub in_use: Vec<Range<u64>>,
}

/// Writes the image to `out`, an empty file open for reading and writing. It becomes sparse. `epoch` in seconds since
/// 1970. The same plan, ids, tree and epoch give the same bytes.
///
/// # Errors
/// A [`clic_host::UserError`] when the image would be larger than the recipe allows, or a partition is too small for
/// what belongs into it; an error that names what is missing in the tree for the board to start.
pub fn assemble(
    plan: &Plan,
    ids: &Ids,
    tree: &Tree,
    epoch: i64,
    out: &File,
    progress: &Progress,
) -> Result<Assembled> {
    let geometry = root_geometry(plan, tree)?;
    let layout = Layout::new(&plan.disk, geometry.bytes, plan.image_size)?;
    let loader = boot::loader(plan, ids, tree, &layout)?;

    let stage = progress.stage("assemble", "Writing the image", "the root tree is ready");
    let fat_bytes: u64 = loader
        .volumes
        .values()
        .flat_map(|volume| volume.files.values())
        .map(crate::tree::Data::len)
        .sum();
    stage.total(Unit::Bytes, tree.content_bytes().saturating_add(fat_bytes));
    out.set_len(layout.bytes())
        .context("making the image file as long as the disk")?;

    let place = layout
        .holding(Filesystem::Ext4)
        .context("the layout has no root partition")?;
    stage.message(place.name.as_str());
    let options = ext4::Options {
        uuid: ids.fs_uuid(&place.name),
        hash_seed: ids.hash_seed(&place.name),
        label: place.name.clone(),
        epoch,
        bytes: place.bytes(),
        inodes: geometry.inodes,
    };
    let root = ext4::write(tree, &options, out, place.offset(), &stage)
        .with_context(|| format!("writing partition {:?}", place.name))?;
    let mut in_use = root.in_use.clone();

    let mut volumes = BTreeMap::new();
    for (name, content) in &loader.volumes {
        cancel::check()?;
        stage.message(name.as_str());
        let place = layout
            .partition(name)
            .with_context(|| format!("the layout has no partition {name:?}"))?;
        let volume = fat::Volume {
            label: content.label.clone(),
            id: ids.fat_volume_id(name),
            epoch,
        };
        let stats = fat::write(
            &volume,
            &content.files,
            tree,
            out,
            place.offset(),
            place.bytes(),
            &stage,
        )
        .with_context(|| format!("writing partition {name:?}"))?;
        in_use.push(stats.in_use.clone());
        volumes.insert(name.clone(), stats);
    }
    for (name, bytes) in &loader.raw {
        let place = layout
            .partition(name)
            .with_context(|| format!("the layout has no partition {name:?}"))?;
        out.write_all_at(bytes, place.offset())
            .with_context(|| format!("writing partition {name:?}"))?;
        in_use.push(place.offset()..place.offset() + bytes.len() as u64);
    }
    table::write(&layout, ids, plan.arch, &loader.boot_code, out)?;
    // The first MiB whole: leftovers of another table or loader there could confuse.
    in_use.push(0..ALIGN * SECTOR);
    if layout.table == Table::Gpt {
        in_use.push(layout.bytes() - ALIGN * SECTOR..layout.bytes());
    }
    stage.finish();
    Ok(Assembled {
        layout,
        root,
        volumes,
        in_use: merged(in_use),
    })
}

/// How large the root file system must be, and with how many inodes.
fn root_geometry(plan: &Plan, tree: &Tree) -> Result<ext4::Geometry> {
    let extra = plan.free_inodes.unwrap_or(0);
    match boot::root(plan)?.size {
        PartitionSize::Fit { free } => ext4::size_for(tree, free, extra),
        PartitionSize::Fixed(bytes) => {
            // mke2fs's density is one inode per 16 KiB; more if the tree has more files than that.
            let needed = ext4::measure(tree)?
                .inodes
                .saturating_add(extra)
                .saturating_add(16);
            Ok(ext4::Geometry {
                bytes,
                inodes: needed.max(bytes / (16 << 10)),
            })
        }
    }
}

/// Sorts ranges and joins those that touch.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::single_range_in_vec_init)] // ranges are what is compared
    fn ranges_are_sorted_and_joined() {
        assert_eq!(merged(vec![5..7, 0..2, 2..3, 9..9, 6..8]), [0..3, 5..8]);
        assert_eq!(merged(vec![0..9, 1..2]), [0..9]);
        assert_eq!(merged(vec![]), []);
    }
}
