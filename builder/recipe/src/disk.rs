//! Disk layouts: partitions that exist, fit and do not overlap.

use std::collections::BTreeSet;

use crate::checker::Checker;
use crate::plan::{Boot, Disk, Filesystem, Partition, PartitionSize, Table};
use crate::raw::{At, RawDisk, RawPartition};
use crate::report::Problem;
use crate::size::{self, MIB};

/// Bytes of a sector, of every disk that we write.
const SECTOR: u64 = 512;

/// Smallest FAT32: 65525 clusters of one sector, two FATs of 4 bytes per cluster, 32 reserved sectors
/// (Microsoft, FAT: General Overview of On-Disk Format, 1.03), rounded up.
const FAT32_LEAST: u64 = 33 * MIB;

/// Two kernels, two initramfs and the firmware of a Raspberry Pi, during an upgrade.
const FIRMWARE_LEAST: u64 = 256 * MIB;

/// Free space below which a device fills up with its own logs in the first days.
pub(crate) const FREE_LEAST: u64 = 16 * MIB;

/// Space behind the last partition: the backup GPT takes 33 sectors, partitions end at whole mebibytes.
const GPT_TAIL: u64 = MIB;

/// Most primary partitions of an MBR.
const MBR_MOST: usize = 4;

/// Checks a disk layout. `None` when it can't be one.
pub(crate) fn check(raw: At<RawDisk>, boot: Boot, checker: &mut Checker<'_>) -> Option<Disk> {
    let before = checker.count();
    let origin = raw.origin(checker.file);
    let table = raw.value.table.value;
    let rows: Vec<(At<RawPartition>, Option<PartitionSize>)> = raw
        .value
        .partitions
        .into_iter()
        .map(|row| {
            let size = partition_size(&row.value, checker);
            (row, size)
        })
        .collect();

    if table == Table::Mbr
        && let Some((row, _)) = rows.get(MBR_MOST)
    {
        checker
            .wrong(row, "an MBR holds at most 4 partitions")
            .help("use `table = \"gpt\"` where the board can read it");
    }
    let mut names = BTreeSet::new();
    for (row, _) in &rows {
        let name = &row.value.name;
        // GPT names have 36 UTF-16 units; ours are short words.
        if crate::debian::our_name(&name.value).is_err() || name.value.len() > 36 {
            checker
                .wrong(name, format!("`{}` can't be a partition's name", name.value))
                .help("lower case letters, digits and `-`, at most 36");
        }
        if !names.insert(name.value.clone()) {
            checker.wrong(name, format!("two partitions are named `{}`", name.value));
        }
    }
    check_root(&rows, &origin, checker);
    check_boot(&rows, boot, &origin, checker);
    if checker.count() > before {
        return None;
    }

    let mut end = MIB;
    let mut partitions = Vec::new();
    for (row, size) in rows {
        let size = size?;
        if let Some(first) = &row.value.first_sector {
            let origin = first.origin(checker.file);
            match first
                .value
                .checked_mul(SECTOR)
                .filter(|start| *start < size::MOST)
            {
                None => {
                    checker.wrong(&origin, "no disk has this sector");
                }
                Some(start) if start % MIB != 0 || start == 0 => checker
                    .wrong(
                        &origin,
                        format!("sector {} is not at a whole mebibyte", first.value),
                    )
                    .help("write a multiple of 2048"),
                Some(start) if start < end => checker
                    .wrong(
                        &origin,
                        format!(
                            "partition `{}` overlaps the one before it, which ends at sector {}",
                            row.value.name.value,
                            end / SECTOR
                        ),
                    )
                    .help(format!(
                        "write {} or more, or leave `first-sector` out",
                        end / SECTOR
                    )),
                Some(start) => end = start,
            }
        }
        let bytes = match size {
            PartitionSize::Fixed(bytes) => bytes,
            PartitionSize::Fit { free } => free,
        };
        end = end.checked_add(bytes)?;
        // An MBR counts sectors in 32 bits.
        if table == Table::Mbr && end / SECTOR > u64::from(u32::MAX) {
            checker
                .wrong(&row, "an MBR can't hold more than 2T")
                .help("use `table = \"gpt\"`");
            return None;
        }
        partitions.push(Partition {
            name: row.value.name.value,
            fs: row.value.fs.value,
            size,
            first_sector: row.value.first_sector.map(|first| first.value),
        });
    }
    (checker.count() == before).then_some(Disk { table, partitions })
}

/// Bytes that an image of this layout has at least: fixed partitions, gaps, tables and free space, no content.
pub(crate) fn least_size(disk: &Disk) -> u64 {
    let end = disk.partitions.iter().fold(MIB, |end, partition| {
        let start = partition
            .first_sector
            .map_or(end, |first| first.saturating_mul(SECTOR).max(end));
        start.saturating_add(match partition.size {
            PartitionSize::Fixed(bytes) => bytes,
            PartitionSize::Fit { free } => free,
        })
    });
    match disk.table {
        Table::Gpt => end.saturating_add(GPT_TAIL),
        Table::Mbr => end,
    }
}

fn partition_size(row: &RawPartition, checker: &mut Checker<'_>) -> Option<PartitionSize> {
    let origin = row.size.origin(checker.file);
    if row.size.value == "fit" {
        let Some(free) = &row.free else {
            checker
                .wrong(&origin, "a partition that fits its content needs `free`")
                .help("add `free = \"512M\"`");
            return None;
        };
        return free_space(free, checker).map(|free| PartitionSize::Fit { free });
    }
    if let Some(free) = &row.free {
        checker
            .wrong(
                free,
                "`free` belongs to `size = \"fit\"`; this partition has a fixed size",
            )
            .help("remove `free`");
    }
    let bytes = match size::parse_mib(&row.size.value) {
        Ok(bytes) => bytes,
        Err(why) => {
            let why = if row
                .size
                .value
                .bytes()
                .next()
                .is_some_and(|byte| byte.is_ascii_digit())
            {
                Problem::at(&origin, why)
            } else {
                Problem::at(&origin, why).help("or `fit`, for the root")
            };
            checker.problems.push(why);
            return None;
        }
    };
    let (least, why) = match row.fs.value {
        Filesystem::Fat32 => (FAT32_LEAST, "a FAT32 file system"),
        Filesystem::BiosBoot => (MIB, "GRUB's core image"),
        Filesystem::Ext4 => (FREE_LEAST, "an ext4 file system"),
    };
    if bytes < least {
        checker
            .wrong(&origin, format!("{} is too small for {why}", row.size.value))
            .help(format!("at least {}", size::in_words(least)));
    }
    Some(PartitionSize::Fixed(bytes))
}

/// Free space of a root file system, in bytes.
pub(crate) fn free_space(raw: &At<String>, checker: &mut Checker<'_>) -> Option<u64> {
    match size::parse_mib(&raw.value) {
        Ok(free) if free < FREE_LEAST => {
            checker
                .wrong(
                    raw,
                    format!("{} free is too little: the device's own logs fill it", raw.value),
                )
                .help(format!("at least {}", size::in_words(FREE_LEAST)));
            None
        }
        Ok(free) => Some(free),
        Err(why) => {
            checker.wrong(raw, why);
            None
        }
    }
}

type Rows = [(At<RawPartition>, Option<PartitionSize>)];

/// Exactly one root, ext4, fitting, and last so that it can grow.
fn check_root(rows: &Rows, disk: &crate::source::Origin, checker: &mut Checker<'_>) {
    let Some(index) = rows.iter().position(|(row, _)| row.value.name.value == "root") else {
        checker
            .wrong(disk, "no partition is named `root`")
            .help("add `{ name = \"root\", fs = \"ext4\", size = \"fit\", free = \"512M\" }`");
        return;
    };
    let Some((root, _)) = rows.get(index) else { return };
    if root.value.fs.value != Filesystem::Ext4 {
        checker.wrong(&root.value.fs, "the root must be `ext4`");
    }
    if root.value.size.value != "fit" {
        checker
            .wrong(&root.value.size, "the root must have `size = \"fit\"`")
            .help("it is made as large as its content, plus `free`, and grows on the device");
    }
    if index + 1 != rows.len() {
        checker
            .wrong(root, "the root must be the last partition")
            .help("it grows to the end of the disk at the first boot");
    }
    for (row, _) in rows
        .iter()
        .filter(|(row, _)| row.value.name.value != "root" && row.value.size.value == "fit")
    {
        checker
            .wrong(&row.value.size, "only the root can have `size = \"fit\"`")
            .help("write a size, like `512M`");
    }
}

/// The partitions that the boot loader lives in.
fn check_boot(rows: &Rows, boot: Boot, disk: &crate::source::Origin, checker: &mut Checker<'_>) {
    let count = |fs| rows.iter().filter(|(row, _)| row.value.fs.value == fs).count();
    match boot {
        Boot::Grub => {
            for (fs, name, size) in [
                (Filesystem::BiosBoot, "bios-boot", "1M"),
                (Filesystem::Fat32, "fat32", "64M"),
            ] {
                if count(fs) != 1 {
                    checker
                        .wrong(
                            disk,
                            format!(
                                "`grub` needs exactly one `{name}` partition, and here are {}",
                                count(fs)
                            ),
                        )
                        .help(format!(
                            "like `{{ name = \"...\", fs = \"{name}\", size = \"{size}\" }}`"
                        ));
                }
            }
        }
        Boot::RaspiFirmware => match rows.first() {
            Some((row, size)) if row.value.fs.value == Filesystem::Fat32 => {
                if let Some(PartitionSize::Fixed(bytes)) = size
                    && (FAT32_LEAST..FIRMWARE_LEAST).contains(bytes)
                {
                    checker
                        .wrong(
                            &row.value.size,
                            format!(
                                "{} is too small for two kernels and the firmware",
                                row.value.size.value
                            ),
                        )
                        .help(format!("at least {}", size::in_words(FIRMWARE_LEAST)));
                }
            }
            Some((row, _)) => checker
                .wrong(row, "with `raspi-firmware`, the first partition must be `fat32`")
                .help("the boot ROM looks for the firmware there"),
            None => {}
        },
    }
}
