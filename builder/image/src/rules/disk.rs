//! Partition table and file systems.

use std::ffi::OsString;

use anyhow::{Context as _, Result};
use clic_host::Cmd;
use clic_recipe::plan::{self, Boot, Filesystem, PartitionSize, Table};

use super::{Context, Findings};
use crate::read::{DiskImage, Partition, SECTOR, table};

/// Partitions are cut in steps of this many sectors (1 MiB).
const ALIGN: u64 = 2048;

const REBUILD: &str =
    "build the image again; if the problem stays, the board's [disk] table and the image room disagree";

#[allow(clippy::unnecessary_wraps)] // the registry's signature
pub(super) fn partition_table(cx: &Context, out: &mut Findings) -> Result<()> {
    for problem in &cx.image.table().problems {
        out.add(problem.clone(), "the image is damaged: build or copy it again");
    }
    let plan = &cx.expected.disk;
    let found = cx.image.partitions();
    if cx.image.table().kind != plan.table {
        let name = |table| if table == Table::Gpt { "GPT" } else { "MBR" };
        out.add(
            format!(
                "the partition table is {}; planned: {}",
                name(cx.image.table().kind),
                name(plan.table)
            ),
            REBUILD,
        );
    }
    if found.len() != plan.partitions.len() {
        out.add(
            format!(
                "there are {} partitions; planned: {}",
                found.len(),
                plan.partitions.len()
            ),
            REBUILD,
        );
        return Ok(());
    }
    for (planned, partition) in plan.partitions.iter().zip(found) {
        check_partition(cx, planned, partition, out);
    }
    Ok(())
}

fn check_partition(cx: &Context, planned: &plan::Partition, partition: &Partition, out: &mut Findings) {
    let place = format!("partition {} ({})", partition.entry.index, planned.name);
    let entry = &partition.entry;
    match (planned.first_sector, entry.first_sector) {
        (Some(planned), first) if planned != first => {
            out.add(
                format!("{place} begins at sector {first}; planned: {planned}"),
                REBUILD,
            );
        }
        (None, first) if !first.is_multiple_of(ALIGN) => {
            out.add(
                format!("{place} begins at sector {first}, not a multiple of {ALIGN}"),
                REBUILD,
            );
        }
        _ => {}
    }
    if let PartitionSize::Fixed(bytes) = planned.size {
        let sectors = bytes.div_ceil(SECTOR).next_multiple_of(ALIGN);
        if entry.sectors != sectors {
            out.add(
                format!("{place} has {} sectors; planned: {sectors}", entry.sectors),
                REBUILD,
            );
        }
    }
    let (types, fs) = expected_kind(planned.fs, cx.expected.disk.table, cx.expected.boot);
    if !types.contains(&entry.kind.as_str()) {
        out.add(
            format!(
                "{place} has type {} ({}); expected: {}",
                entry.kind,
                entry.type_name,
                types.join(" or ")
            ),
            REBUILD,
        );
    }
    let holds = partition
        .fs
        .as_ref()
        .map_or("no file system", |fs| fs.kind.as_str());
    if holds != fs {
        out.add(format!("{place} holds {holds}; planned: {fs}"), REBUILD);
    }
}

/// Partition types that fit, and the file system that must be found.
fn expected_kind(fs: Filesystem, table: Table, boot: Boot) -> (&'static [&'static str], &'static str) {
    match (fs, table) {
        (Filesystem::BiosBoot, _) => (&[table::TYPE_BIOS_BOOT], "no file system"),
        (Filesystem::Fat32, Table::Gpt) => (&[table::TYPE_ESP], "fat32"),
        // The Pi's boot ROM takes 0x0b and 0x0c and refuses 0xef; 0x0c tells the truth about LBA.
        (Filesystem::Fat32, Table::Mbr) if boot == Boot::RaspiFirmware => (&["0x0c"], "fat32"),
        (Filesystem::Fat32, Table::Mbr) => (&["0x0c", "0xef"], "fat32"),
        (Filesystem::Ext4, Table::Gpt) => (
            &[table::TYPE_ROOT_X86_64, table::TYPE_ROOT_ARM64, table::TYPE_LINUX],
            "ext4",
        ),
        (Filesystem::Ext4, Table::Mbr) => (&["0x83"], "ext4"),
    }
}

pub(super) fn file_systems(cx: &Context, out: &mut Findings) -> Result<()> {
    for (at, partition) in cx.image.partitions().iter().enumerate() {
        if partition.holds("ext4") {
            check_ext4(cx.image, partition, out)?;
            if let Some(PartitionSize::Fit { free }) = cx.expected.disk.partitions.get(at).map(|p| p.size) {
                check_free(cx.image, partition, free, out)?;
            }
        } else if partition.holds("fat") {
            // Reading every byte walks every chain of clusters.
            let fat = cx.image.fat(partition)?;
            for entry in fat.walk()?.iter().filter(|entry| !entry.directory) {
                fat.copy(&entry.path, &mut std::io::sink())?;
            }
        }
    }
    Ok(())
}

/// `e2fsck -fn` looks at everything and changes nothing.
fn check_ext4(image: &DiskImage, partition: &Partition, out: &mut Findings) -> Result<()> {
    let path = std::path::absolute(image.path()).context("finding the image's absolute path")?;
    // e2fsprogs takes `?offset=` after the name, so a name with a question mark needs another one.
    let alias = tempfile::tempdir().context("making a scratch directory")?;
    let path = if path.as_os_str().as_encoded_bytes().contains(&b'?') {
        let link = alias.path().join("image");
        std::os::unix::fs::symlink(&path, &link).context("naming the image for e2fsck")?;
        link
    } else {
        path
    };
    let mut place = OsString::from(path);
    place.push(format!("?offset={}", partition.offset()));
    let checked = Cmd::new("e2fsck").clean_env().arg("-fn").arg(place).finish();
    let checked = checked.context("checking the root file system (Debian package e2fsprogs)")?;
    if checked.status.code() != Some(0) {
        let said = String::from_utf8_lossy(&checked.stdout);
        let said: Vec<&str> = said
            .lines()
            .chain(checked.stderr.lines())
            .filter(|line| worth_telling(line))
            .collect();
        out.add(
            format!(
                "e2fsck finds partition {} ({}) damaged: {}",
                partition.entry.index,
                partition.name,
                said.join("; ")
            ),
            "build the image again; if the problem stays, the ext4 writer is wrong",
        );
    }
    Ok(())
}

fn worth_telling(line: &str) -> bool {
    let line = line.trim();
    !(line.is_empty() || line.starts_with("Pass ") || line.starts_with("e2fsck 1."))
}

/// Free blocks in the superblock (Linux, `Documentation/filesystems/ext4/super.rst`) against what was planned.
fn check_free(image: &DiskImage, partition: &Partition, free: u64, out: &mut Findings) -> Result<()> {
    let block = image
        .window(partition)
        .bytes(1024, 1024)
        .context("reading the superblock")?;
    let long = |at: usize| {
        let bytes: Option<[u8; 4]> = block.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u64::from(u32::from_le_bytes(bytes.unwrap_or_default()))
    };
    let size = 1024_u64 << long(0x18).min(6);
    let high = if long(0x60) & 0x80 == 0 { 0 } else { long(0x158) };
    let found = (long(0x0c) | (high << 32)).saturating_mul(size);
    if found < free {
        out.add(
            format!(
                "partition {} ({}) has {found} free bytes; planned: {free}",
                partition.entry.index, partition.name
            ),
            "build the image again; if the problem stays, the image room computes the size wrongly",
        );
    }
    Ok(())
}
