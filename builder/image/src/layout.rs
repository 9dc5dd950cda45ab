//! Where everything is on the disk, to the sector.

use clic_host::UserError;
use clic_recipe::plan::{Disk, Filesystem, PartitionSize, Table};
use serde::{Deserialize, Serialize};

/// Bytes of a sector. Cards, sticks and the disks that we address all use 512-byte logical sectors.
pub const SECTOR: u64 = 512;

/// Partitions begin at multiples of this many sectors (1 MiB), which suits every erase block and physical sector, and
/// the image is a multiple of it, because writers refuse images that are not multiple of their block size.
pub const ALIGN: u64 = 2048;

/// Sectors of the backup GPT at the end of the disk: 32 of entries and a header (UEFI 2.10, section 5.3).
const GPT_BACKUP: u64 = 33;

/// Largest sector count of an MBR's 32-bit fields: 2 TiB.
const MBR_MAX: u64 = u32::MAX as u64;

/// A disk cut to the sector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Kind of partition table.
    pub table: Table,
    /// Size of the whole image in sectors, a multiple of [`ALIGN`].
    pub sectors: u64,
    /// Partitions in the order of the table, which is also their order on the disk.
    pub partitions: Vec<Placed>,
}

/// A partition's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Number in the table, counted from 1: what Linux puts behind the disk's name.
    pub number: u32,
    /// `root`, `firmware`, `esp`, `bios`.
    pub name: String,
    /// What it holds.
    pub fs: Filesystem,
    /// First sector.
    pub first: u64,
    /// Length in sectors.
    pub sectors: u64,
}

impl Placed {
    /// First byte in the image.
    pub fn offset(&self) -> u64 {
        self.first * SECTOR
    }

    /// Length in bytes.
    pub fn bytes(&self) -> u64 {
        self.sectors * SECTOR
    }

    /// The first sector behind it.
    pub fn end(&self) -> u64 {
        self.first + self.sectors
    }
}

impl Layout {
    /// Cuts `disk`, where the partition that is as large as its content takes `fit` bytes (free space included).
    ///
    /// # Errors
    /// A [`UserError`] when the partitions overlap, the table cannot hold them, or the image would be larger than
    /// `limit` bytes; the last with a table of who takes what.
    pub fn new(disk: &Disk, fit: u64, limit: Option<u64>) -> Result<Self, UserError> {
        let layout = Self::cut(disk, fit)?;
        layout.within(limit, "needs")?;
        Ok(layout)
    }

    /// The layout as estimated before anything is built, so that a hopeless build does not begin: `installed` is the sum of the
    /// packages' `Installed-Size` in bytes. The real size comes out somewhat larger (initramfs, file system
    /// structures), so what passes here may still be refused by [`Layout::new`], never the reverse by much.
    pub fn estimate(disk: &Disk, installed: u64, limit: Option<u64>) -> Result<Self, UserError> {
        let free = disk.partitions.iter().find_map(|partition| match partition.size {
            PartitionSize::Fit { free } => Some(free),
            PartitionSize::Fixed(_) => None,
        });
        let fit = installed.checked_add(free.unwrap_or(0)).ok_or_else(too_large)?;
        let layout = Self::cut(disk, fit)?;
        layout.within(limit, "is estimated to need at least")?;
        Ok(layout)
    }

    fn cut(disk: &Disk, fit: u64) -> Result<Self, UserError> {
        check_count(disk)?;
        let mut partitions: Vec<Placed> = Vec::new();
        // The tables at the front (a GPT takes 34 sectors) fit below the first possible place.
        let mut free_from = ALIGN;
        for (number, partition) in (1..).zip(&disk.partitions) {
            if partitions.iter().any(|other| other.name == partition.name) {
                return Err(UserError::new(format!(
                    "two partitions are called {:?}",
                    partition.name
                )));
            }
            let bytes = match partition.size {
                PartitionSize::Fixed(bytes) => bytes,
                PartitionSize::Fit { .. } => fit,
            };
            if bytes == 0 {
                return Err(UserError::new(format!(
                    "partition {:?} has no size",
                    partition.name
                )));
            }
            let first = partition.first_sector.unwrap_or(free_from);
            if first < free_from {
                return Err(UserError::new(format!(
                    "partition {:?} is to begin at sector {first}, but sectors below {free_from} are taken",
                    partition.name
                ))
                .help(format!(
                    "first-sector = {free_from} is the lowest that it can have here"
                )));
            }
            let sectors = bytes.div_ceil(SECTOR).next_multiple_of(ALIGN);
            let end = first
                .checked_add(sectors)
                .filter(|end| *end <= u64::MAX / SECTOR / 2)
                .ok_or_else(too_large)?;
            if disk.table == Table::Mbr && end > MBR_MAX {
                return Err(UserError::new(format!(
                    "partition {:?} ends beyond the 2 TiB of an MBR",
                    partition.name
                )));
            }
            partitions.push(Placed {
                number,
                name: partition.name.clone(),
                fs: partition.fs,
                first,
                sectors,
            });
            free_from = end.next_multiple_of(ALIGN);
        }
        let tail = if disk.table == Table::Gpt { GPT_BACKUP } else { 0 };
        Ok(Self {
            table: disk.table,
            sectors: (free_from + tail).next_multiple_of(ALIGN),
            partitions,
        })
    }

    /// Size of the whole image in bytes.
    pub fn bytes(&self) -> u64 {
        self.sectors * SECTOR
    }

    /// The partition called `name`.
    pub fn partition(&self, name: &str) -> Option<&Placed> {
        self.partitions.iter().find(|partition| partition.name == name)
    }

    /// The first partition with this content.
    pub fn holding(&self, fs: Filesystem) -> Option<&Placed> {
        self.partitions.iter().find(|partition| partition.fs == fs)
    }

    fn within(&self, limit: Option<u64>, needs: &str) -> Result<(), UserError> {
        let Some(limit) = limit.filter(|limit| *limit < self.bytes()) else {
            return Ok(());
        };
        let named: u64 = self.partitions.iter().map(Placed::bytes).sum();
        let mut rows: Vec<(&str, u64)> = self
            .partitions
            .iter()
            .map(|partition| (partition.name.as_str(), partition.bytes()))
            .collect();
        rows.push(("tables and gaps", self.bytes() - named));
        rows.push(("needed", self.bytes()));
        rows.push(("allowed", limit));
        let table: Vec<String> = rows
            .iter()
            .map(|(name, bytes)| format!("  {name:<16} {:>12}", mebibytes(*bytes)))
            .collect();
        Err(UserError::new(format!(
            "the image {needs} {}, the recipe allows {}\n{}",
            mebibytes(self.bytes()),
            mebibytes(limit),
            table.join("\n")
        ))
        .help(format!(
            "allow the recipe at least {}, ask for less free space, or drop packages",
            mebibytes(self.bytes())
        )))
    }
}

/// Whether the table can hold the partitions.
fn check_count(disk: &Disk) -> Result<(), UserError> {
    match (disk.table, disk.partitions.len()) {
        (_, 0) => Err(UserError::new("the board's disk has no partition")),
        (Table::Mbr, 5..) => {
            let what = format!(
                "the board's disk has {} partitions, an MBR holds 4",
                disk.partitions.len()
            );
            Err(UserError::new(what).help("use table = \"gpt\", or fewer partitions"))
        }
        (Table::Gpt, 129..) => Err(UserError::new(
            "the board's disk has more than the 128 partitions that a GPT holds",
        )),
        _ => Ok(()),
    }
}

fn too_large() -> UserError {
    UserError::new("the partitions' sizes add up to more than a disk can have")
}

/// `412.0 MiB`. Sizes are multiples of a sector and limits are what a person wrote, so a tenth is enough; rounded up,
/// so that what is advised is enough.
fn mebibytes(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clic_recipe::plan::Partition;

    const MIB: u64 = 1 << 20;

    fn partition(name: &str, fs: Filesystem, size: PartitionSize) -> Partition {
        Partition {
            name: name.into(),
            fs,
            size,
            first_sector: None,
        }
    }

    fn pc() -> Disk {
        Disk {
            table: Table::Gpt,
            partitions: vec![
                partition("bios", Filesystem::BiosBoot, PartitionSize::Fixed(MIB)),
                partition("esp", Filesystem::Fat32, PartitionSize::Fixed(64 * MIB)),
                partition("root", Filesystem::Ext4, PartitionSize::Fit { free: 512 * MIB }),
            ],
        }
    }

    fn pi() -> Disk {
        let mut firmware = partition("firmware", Filesystem::Fat32, PartitionSize::Fixed(512 * MIB));
        firmware.first_sector = Some(8192);
        let root = partition("root", Filesystem::Ext4, PartitionSize::Fit { free: 0 });
        Disk {
            table: Table::Mbr,
            partitions: vec![firmware, root],
        }
    }

    #[test]
    fn partitions_follow_each_other_at_whole_mebibytes() {
        let layout = Layout::new(&pc(), 1000 * MIB - 1, None).unwrap();
        let places: Vec<(u32, u64, u64)> = layout
            .partitions
            .iter()
            .map(|p| (p.number, p.first, p.sectors))
            .collect();
        assert_eq!(
            places,
            [(1, 2048, 2048), (2, 4096, 131_072), (3, 135_168, 2_048_000)]
        );
        // One more MiB for the backup GPT.
        assert_eq!(layout.bytes(), (1 + 1 + 64 + 1000 + 1) * MIB);
        assert_eq!(layout.partition("root").unwrap().offset(), 66 * MIB);
        assert_eq!(layout.holding(Filesystem::BiosBoot).unwrap().name, "bios");

        let layout = Layout::new(&pi(), 300 * MIB, None).unwrap();
        let places: Vec<(u64, u64)> = layout.partitions.iter().map(|p| (p.first, p.end())).collect();
        assert_eq!(
            places,
            [
                (8192, 8192 + 1_048_576),
                (8192 + 1_048_576, 8192 + 1_048_576 + 614_400)
            ]
        );
        assert_eq!(layout.bytes(), 816 * MIB, "an MBR needs nothing at the end");
    }

    #[test]
    fn an_image_too_large_is_refused_with_who_takes_what() {
        let error = Layout::new(&pc(), 1000 * MIB, Some(1066 * MIB)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the image needs 1067.0 MiB, the recipe allows 1066.0 MiB\n\
             \x20 bios                  1.0 MiB\n\
             \x20 esp                  64.0 MiB\n\
             \x20 root               1000.0 MiB\n\
             \x20 tables and gaps       2.0 MiB\n\
             \x20 needed             1067.0 MiB\n\
             \x20 allowed            1066.0 MiB\n\
             \x20 help: allow the recipe at least 1067.0 MiB, ask for less free space, or drop packages"
        );
        assert!(Layout::new(&pc(), 1000 * MIB, Some(1067 * MIB)).is_ok());
    }

    #[test]
    fn the_estimate_counts_the_free_space() {
        assert!(Layout::estimate(&pc(), 488 * MIB, Some(1067 * MIB)).is_ok());
        let error = Layout::estimate(&pc(), 489 * MIB, Some(1067 * MIB)).unwrap_err();
        assert!(
            error
                .what
                .starts_with("the image is estimated to need at least 1068.0 MiB"),
            "{error}"
        );
    }

    #[test]
    fn impossible_disks_say_why() {
        let message = |change: &dyn Fn(&mut Disk)| {
            let mut disk = pi();
            change(&mut disk);
            Layout::new(&disk, 100 * MIB, None).unwrap_err().to_string()
        };
        assert_eq!(
            message(&|disk| disk.partitions[1].first_sector = Some(8192)),
            "partition \"root\" is to begin at sector 8192, but sectors below 1056768 are taken\n  \
             help: first-sector = 1056768 is the lowest that it can have here"
        );
        assert!(message(&|disk| disk.partitions[0].first_sector = Some(34)).contains("sectors below 2048"));
        assert!(message(&|disk| disk.partitions.clear()).contains("no partition"));
        assert!(message(&|disk| disk.partitions[1].name = "firmware".into()).contains("two partitions"));
        assert!(message(&|disk| disk.partitions[0].size = PartitionSize::Fixed(0)).contains("no size"));
        assert!(message(&|disk| disk.partitions[0].size = PartitionSize::Fixed(3 << 40)).contains("2 TiB"));
        assert!(message(&|disk| disk.partitions[0].size = PartitionSize::Fixed(u64::MAX)).contains("add up"));
        let five = |disk: &mut Disk| {
            disk.partitions = (0..5)
                .map(|n| partition(&n.to_string(), Filesystem::Ext4, PartitionSize::Fixed(MIB)))
                .collect();
        };
        assert!(message(&five).contains("an MBR holds 4"));
    }
    #[test]
    fn disks_at_their_limits() {
        // One partition of 1 MiB from `first` on, which ends at `first + 2048`.
        let cut = |table, first: u64| {
            let mut root = partition("root", Filesystem::Ext4, PartitionSize::Fixed(MIB));
            root.first_sector = Some(first);
            let partitions = vec![root];
            Layout::new(&Disk { table, partitions }, 0, None)
        };
        assert_eq!(cut(Table::Gpt, 2048).unwrap().partitions[0].end(), 4096);
        assert!(
            cut(Table::Gpt, 2047)
                .unwrap_err()
                .to_string()
                .contains("sectors below 2048 are taken")
        );
        let last = u64::from(u32::MAX);
        assert_eq!(cut(Table::Mbr, last - 2048).unwrap().partitions[0].end(), last);
        assert_eq!(
            cut(Table::Mbr, last - 2047).unwrap_err().to_string(),
            "partition \"root\" ends beyond the 2 TiB of an MBR"
        );
        assert!(cut(Table::Gpt, last - 2047).is_ok());
        // Half of the bytes that 64 bits count, so that no later sum overflows.
        let last = (1 << 54) - 1;
        let layout = cut(Table::Gpt, last - 2048).unwrap();
        assert_eq!(layout.partitions[0].end(), last);
        assert_eq!(layout.bytes(), (1 << 63) + MIB);
        assert_eq!(
            cut(Table::Gpt, last - 2047).unwrap_err().to_string(),
            "the partitions' sizes add up to more than a disk can have"
        );
    }

    #[test]
    fn tables_hold_so_many_partitions() {
        let cut = |table, count: usize| {
            let partitions = (0..count)
                .map(|n| partition(&n.to_string(), Filesystem::Ext4, PartitionSize::Fixed(1)))
                .collect();
            Layout::new(&Disk { table, partitions }, 0, None)
                .map(|layout| layout.partitions.len())
                .map_err(|error| error.what)
        };
        assert_eq!(cut(Table::Mbr, 4), Ok(4));
        assert_eq!(cut(Table::Gpt, 5), Ok(5));
        assert_eq!(cut(Table::Gpt, 128), Ok(128));
        assert_eq!(
            cut(Table::Gpt, 129),
            Err("the board's disk has more than the 128 partitions that a GPT holds".into())
        );
    }
}
