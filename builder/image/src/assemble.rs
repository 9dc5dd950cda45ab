//! Puts an image together: root file system, boot partitions, loaders, and the partition table last.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use clic_host::{Progress, Stage, Unit, UserError, cancel};
use clic_recipe::plan::{Filesystem, PartitionSize, Plan, Table};
use clic_tree::{Content, FileTree};

use crate::ext4;
use crate::ids::Ids;
use crate::layout::{ALIGN, Layout, Placed, SECTOR};
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
/// 1970; `why` is said to people. The same plan, ids, tree and epoch give the same bytes.
///
/// # Errors
/// A [`UserError`] when the image would be larger than the recipe allows, or a partition is too small for
/// what belongs in it; an error that names what is missing in the tree for the board to start.
pub fn assemble(
    plan: &Plan,
    ids: &Ids,
    tree: &FileTree,
    epoch: i64,
    out: &File,
    why: &str,
    progress: &Progress,
) -> Result<Assembled> {
    let geometry = root_geometry(plan, tree)?;
    let layout = Layout::new(&plan.disk, geometry.bytes, plan.image_size)?;
    let loader = boot::loader(plan, ids, tree, &layout)?;

    let stage = progress.stage("image", "Write the image", why);
    let fat_bytes: u64 = loader
        .volumes
        .values()
        .flat_map(|volume| volume.files.values())
        .map(Content::size)
        .sum();
    stage.total(Unit::Bytes, tree.count().1.saturating_add(fat_bytes));
    out.set_len(layout.bytes())
        .context("making the image file as long as the disk")?;

    let mut writer = Writer {
        ids,
        layout: &layout,
        epoch,
        out,
        stage: &stage,
        in_use: Vec::new(),
    };
    let root = writer.root(tree, geometry.inodes)?;
    let mut volumes = BTreeMap::new();
    for (name, content) in &loader.volumes {
        cancel::check()?;
        volumes.insert(name.clone(), writer.volume(name, content)?);
    }
    for (name, bytes) in &loader.raw {
        writer.raw(name, bytes)?;
    }
    let mut in_use = writer.in_use;
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

/// Writes what is in partitions.
struct Writer<'a> {
    ids: &'a Ids,
    layout: &'a Layout,
    epoch: i64,
    out: &'a File,
    stage: &'a Stage,
    /// Bytes of the image that mean something.
    in_use: Vec<Range<u64>>,
}

impl Writer<'_> {
    fn root(&mut self, tree: &FileTree, inodes: u64) -> Result<ext4::Stats> {
        let place = self
            .layout
            .holding(Filesystem::Ext4)
            .context("the layout has no root partition")?;
        self.stage.message(place.name.as_str());
        let options = ext4::Options {
            uuid: self.ids.fs_uuid(&place.name),
            hash_seed: self.ids.hash_seed(&place.name),
            label: place.name.clone(),
            epoch: self.epoch,
            bytes: place.bytes(),
            inodes,
        };
        let root = ext4::write(tree, &options, self.out, place.offset(), self.stage).map_err(|error| {
            match error.downcast::<ext4::NoRoom>() {
                Ok(no_room) => UserError::new(format!("partition {:?} is too small: {no_room}", place.name))
                    .help("give it a larger size in the board's [disk], or size = \"fit\"")
                    .into(),
                Err(error) => error.context(format!("writing partition {:?}", place.name)),
            }
        })?;
        self.in_use.extend(root.in_use.iter().cloned());
        Ok(root)
    }

    fn volume(&mut self, name: &str, content: &boot::FatContent) -> Result<fat::Stats> {
        self.stage.message(name);
        let place = self.place(name)?;
        let volume = fat::Volume {
            label: content.label.clone(),
            id: self.ids.fat_volume_id(name),
            epoch: self.epoch,
        };
        let (offset, bytes) = (place.offset(), place.bytes());
        let stats = fat::write(&volume, &content.files, self.out, offset, bytes, self.stage)
            .with_context(|| format!("writing partition {name:?}"))?;
        self.in_use.push(stats.in_use.clone());
        Ok(stats)
    }

    /// A partition without a file system.
    fn raw(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let offset = self.place(name)?.offset();
        self.out
            .write_all_at(bytes, offset)
            .with_context(|| format!("writing partition {name:?}"))?;
        self.in_use.push(offset..offset + bytes.len() as u64);
        Ok(())
    }

    fn place(&self, name: &str) -> Result<&Placed> {
        self.layout
            .partition(name)
            .with_context(|| format!("the layout has no partition {name:?}"))
    }
}

/// How large the root file system must be, and with how many inodes.
fn root_geometry(plan: &Plan, tree: &FileTree) -> Result<ext4::Geometry> {
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
    use crate::boot::tests::plan;
    use crate::testtree::{file, rooted};
    use clic_host::Cmd;
    use clic_recipe::plan::Boot;
    use tempfile::NamedTempFile;

    /// A tree with nothing but what each board's loader takes from it.
    fn tree(boot: Boot) -> FileTree {
        let mut tree = rooted();
        let mut put = |path: &str, bytes: Vec<u8>| file(&mut tree, path, bytes, 0o644, 5);
        match boot {
            Boot::Grub => {
                let mut boot_image = vec![0x11; 512];
                boot_image[510..].copy_from_slice(&[0x55, 0xaa]);
                put("/usr/lib/grub/i386-pc/boot.img", boot_image);
                let mut core = vec![0x22; 1024];
                core[500..512].copy_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0x20, 0x08]);
                put("/usr/lib/clic/boot/core.img", core);
                put("/usr/lib/clic/boot/bootx64.efi", b"x64".to_vec());
                put("/usr/lib/clic/boot/bootia32.efi", b"ia32".to_vec());
            }
            Boot::RaspiFirmware => {
                for name in [
                    "bootcode.bin",
                    "start.elf",
                    "fixup.dat",
                    "start4.elf",
                    "fixup4.dat",
                ] {
                    put(&format!("/usr/lib/raspi-firmware/{name}"), name.into());
                }
                put("/boot/vmlinuz-6.1", b"kernel".to_vec());
                put("/boot/initrd.img-6.1", b"initrd".to_vec());
                for model in [
                    "2837-rpi-3-b",
                    "2837-rpi-3-b-plus",
                    "2837-rpi-zero-2-w",
                    "2711-rpi-4-b",
                ] {
                    put(
                        &format!("/usr/lib/linux-image-6.1/broadcom/bcm{model}.dtb"),
                        model.into(),
                    );
                }
            }
        }
        tree
    }

    fn assembled(plan: &Plan, tree: &FileTree) -> Result<(NamedTempFile, Assembled)> {
        let image = NamedTempFile::new()?;
        let ids = Ids::derive(b"assemble");
        let assembled = assemble(
            plan,
            &ids,
            tree,
            1_700_000_000,
            image.as_file(),
            "a test",
            &Progress::silent(),
        )?;
        Ok((image, assembled))
    }

    fn mtype(image: &NamedTempFile, assembled: &Assembled, path: &str) -> Vec<u8> {
        let place = assembled.layout.holding(Filesystem::Fat32).unwrap();
        let at = format!("{}@@{}", image.path().display(), place.offset());
        Cmd::new("mtype")
            .arg("-i")
            .arg(at)
            .arg(format!("::{path}"))
            .clean_env()
            .output()
            .unwrap()
    }

    #[test]
    fn a_pc_starts_three_ways() {
        let (plan, tree) = (plan(Boot::Grub), tree(Boot::Grub));
        let (image, assembled) = assembled(&plan, &tree).unwrap();
        assert_eq!(mtype(&image, &assembled, "EFI/BOOT/BOOTX64.EFI"), b"x64");
        assert_eq!(mtype(&image, &assembled, "EFI/BOOT/BOOTIA32.EFI"), b"ia32");
        let bytes = std::fs::read(image.path()).unwrap();
        assert_eq!(bytes.len() as u64, assembled.layout.bytes());
        // Boot code that loads sector 2048, where the core image is, whose list says that the rest follows.
        assert_eq!(bytes[..4], [0x11; 4]);
        assert_eq!(
            bytes[0x5c..0x68],
            [0, 8, 0, 0, 0, 0, 0, 0, 0xff, 0x11, 0x90, 0x90]
        );
        let core = &bytes[2048 * 512..][..1024];
        assert_eq!(core[500..512], [1, 8, 0, 0, 0, 0, 0, 0, 1, 0, 0x20, 0x08]);
        assert_eq!(core[512..], [0x22; 512]);
        assert_eq!(assembled.in_use[0], 0..(1 << 20) + 1024);
        assert_eq!(assembled.in_use.last().unwrap().end, bytes.len() as u64);
        assert!(
            assembled.root.available >= 64 << 20,
            "the free space that was asked for"
        );
    }

    #[test]
    fn a_raspberry_pi_finds_kernel_and_settings() {
        let (plan, tree) = (plan(Boot::RaspiFirmware), tree(Boot::RaspiFirmware));
        let (image, assembled) = assembled(&plan, &tree).unwrap();
        assert_eq!(mtype(&image, &assembled, "vmlinuz-6.1"), b"kernel");
        let config = String::from_utf8(mtype(&image, &assembled, "config.txt")).unwrap();
        assert!(config.contains("\nkernel=vmlinuz-6.1\n"), "{config}");
        assert_eq!(assembled.layout.partition("firmware").unwrap().first, 8192);
    }

    #[test]
    fn twice_the_same_bytes() {
        for boot in [Boot::Grub, Boot::RaspiFirmware] {
            let (plan, tree) = (plan(boot), tree(boot));
            let read = || std::fs::read(assembled(&plan, &tree).unwrap().0.path()).unwrap();
            assert!(read() == read());
        }
    }

    #[test]
    fn an_image_over_its_limit_is_refused_before_it_is_written() {
        let plan = Plan {
            image_size: Some(80 << 20),
            ..plan(Boot::Grub)
        };
        let error = assembled(&plan, &tree(Boot::Grub))
            .unwrap_err()
            .downcast::<UserError>()
            .unwrap();
        assert!(error.what.starts_with("the image needs 1"), "{error}");
        assert!(
            error.what.contains("the recipe allows 80.0 MiB\n  bios  "),
            "{error}"
        );
    }

    #[test]
    fn a_fixed_root_that_is_too_small_says_what_is_missing() {
        let mut plan = plan(Boot::Grub);
        plan.disk.partitions[2].size = PartitionSize::Fixed(16 << 20);
        let mut tree = tree(Boot::Grub);
        file(&mut tree, "/big", vec![1; 20 << 20], 0o644, 0);
        let error = assembled(&plan, &tree)
            .unwrap_err()
            .downcast::<UserError>()
            .unwrap();
        assert!(
            error
                .what
                .starts_with("partition \"root\" is too small: the files do not fit"),
            "{error}"
        );
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init)] // ranges are what is compared
    fn ranges_are_sorted_and_joined() {
        assert_eq!(merged(vec![5..7, 0..2, 2..3, 9..9, 6..8]), [0..3, 5..8]);
        assert_eq!(merged(vec![0..9, 1..2]), [0..9]);
        assert_eq!(merged(vec![]), []);
    }
}
