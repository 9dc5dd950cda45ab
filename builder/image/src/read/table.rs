//! Partition tables, read with suspicion: what cannot be right is told, what cannot be used is an error.

use std::collections::BTreeMap;

use clic_host::UserError;
use clic_recipe::plan::Table;
use gpt::header::{Header, read_header_from_arbitrary_device};
use gpt::partition::file_read_partitions;
use serde::Serialize;

use super::window::Window;

/// Bytes of a sector. Images are for SD cards, USB sticks and disks that all present 512.
pub const SECTOR: u64 = 512;

/// Partition entries that a GPT may have: 128 is what everybody writes; more than this is not an honest table.
const MAX_ENTRIES: u32 = 1024;

/// The only entry size in use (UEFI 2.10, section 5.3.3).
const ENTRY_SIZE: u32 = 128;

/// A disk's partition table.
#[derive(Clone, Debug, Serialize)]
pub struct DiskTable {
    /// GPT or MBR.
    pub kind: Table,
    /// The disk's GUID, or the MBR's disk id (`0x1234abcd`).
    pub id: String,
    /// First and last sector that partitions may use.
    pub usable: (u64, u64),
    /// Used entries in the order of the table.
    pub partitions: Vec<TablePartition>,
    /// What is wrong, in whole sentences. Empty for a sane table.
    pub problems: Vec<String>,
}

/// One entry of a partition table.
#[derive(Clone, Debug, Serialize)]
pub struct TablePartition {
    /// Number in the table, from 1.
    pub index: u32,
    /// Name in the table (GPT only).
    pub label: Option<String>,
    /// First sector.
    pub first_sector: u64,
    /// How many sectors.
    pub sectors: u64,
    /// Lower-case type GUID, or `0x0c`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the type means.
    pub type_name: &'static str,
    /// `PARTUUID` as the kernel writes it.
    pub uuid: String,
    /// MBR active flag, or GPT's legacy-BIOS-bootable attribute.
    pub active: bool,
}

impl TablePartition {
    /// First byte after it.
    fn end(&self) -> u64 {
        self.first_sector.saturating_add(self.sectors)
    }
}

/// Reads the table of a disk. A [`UserError`] when there is none, or when it describes a larger disk.
pub(super) fn read(disk: &Window, name: &str) -> Result<DiskTable, UserError> {
    let sectors = disk.len() / SECTOR;
    let boot = disk
        .bytes(0, 512)
        .ok()
        .filter(|boot| boot.len() == 512)
        .ok_or_else(|| too_short(name, disk.len()))?;
    let signature = |sector: u64| {
        disk.bytes(sector * SECTOR, 8)
            .is_ok_and(|bytes| bytes == b"EFI PART")
    };
    let gpt = signature(1) || (sectors > 2 && signature(sectors - 1)) || protective(&boot);
    let mut table = if gpt {
        read_gpt(disk, &boot, name)?
    } else {
        read_mbr(&boot, sectors, name)?
    };
    if !disk.len().is_multiple_of(SECTOR) {
        table.problems.push(format!(
            "the image has {} bytes, which is not a whole number of {SECTOR}-byte sectors",
            disk.len()
        ));
    }
    check_bounds(&mut table);
    truncated(&table, disk.len(), name)?;
    Ok(table)
}

fn too_short(name: &str, len: u64) -> UserError {
    UserError::new(format!("{name} is not a disk image: it has only {len} bytes"))
        .help("give the .img file that `clic build` wrote")
}

/// Whether sector 0 says that a GPT follows.
fn protective(boot: &[u8]) -> bool {
    mbr_header(boot).is_some_and(|mbr| mbr.iter().any(|(_, entry)| entry.sys == 0xee))
}

fn mbr_header(boot: &[u8]) -> Option<mbrman::MBRHeader> {
    if boot.get(510..512) != Some(&[0x55, 0xaa]) {
        return None;
    }
    mbrman::MBRHeader::read_from(&mut std::io::Cursor::new(boot)).ok()
}

fn truncated(table: &DiskTable, len: u64, name: &str) -> Result<(), UserError> {
    let Some(last) = table.partitions.iter().max_by_key(|partition| partition.end()) else {
        return Ok(());
    };
    let end = last.end().saturating_mul(SECTOR);
    if end > len {
        return Err(UserError::new(format!(
            "{name} is truncated: partition {} ends at byte {end}, the file has {len}",
            last.index
        ))
        .help("copy or download it again, and compare its .sha256"));
    }
    Ok(())
}

/// Partitions within the usable sectors and apart from each other.
fn check_bounds(table: &mut DiskTable) {
    let (first, last) = table.usable;
    let mut problems = Vec::new();
    for partition in &table.partitions {
        if partition.sectors == 0
            || partition.first_sector < first
            || partition.end() > last.saturating_add(1)
        {
            problems.push(format!(
                "partition {} (sectors {} to {}) leaves the usable sectors {first} to {last}",
                partition.index,
                partition.first_sector,
                partition.end().saturating_sub(1),
            ));
        }
    }
    let mut sorted: Vec<&TablePartition> = table.partitions.iter().collect();
    sorted.sort_by_key(|partition| (partition.first_sector, partition.index));
    for pair in sorted.windows(2) {
        if let [a, b] = pair
            && a.end() > b.first_sector
        {
            problems.push(format!(
                "partitions {} and {} overlap at sector {}",
                a.index, b.index, b.first_sector
            ));
        }
    }
    table.problems.extend(problems);
}

struct GptHalf {
    header: Header,
    partitions: BTreeMap<u32, gpt::partition::Partition>,
}

/// Reads the GPT header at `sector` and the table that it names.
fn gpt_half(disk: &Window, sector: u64) -> Result<GptHalf, String> {
    // The crate reads a header at sector 1 of what it is given.
    let start = sector.checked_sub(1).ok_or("no such sector")?;
    let mut at = Window::reader(&shifted(disk, start * SECTOR));
    let header = read_header_from_arbitrary_device(&mut at, gpt::disk::LogicalBlockSize::Lb512)
        .map_err(|error| gpt_words(&error))?;
    // Checked here because the crate takes these two at their word.
    if header.part_size != ENTRY_SIZE || header.num_parts == 0 || header.num_parts > MAX_ENTRIES {
        return Err(format!(
            "it says {} entries of {} bytes",
            header.num_parts, header.part_size
        ));
    }
    if header.current_lba != sector {
        return Err(format!("it says that it is at sector {}", header.current_lba));
    }
    let partitions = file_read_partitions(&mut disk.reader(), &header, gpt::disk::LogicalBlockSize::Lb512)
        .map_err(|error| format!("its table at sector {}: {error}", header.part_start))?;
    Ok(GptHalf { header, partitions })
}

fn shifted(disk: &Window, by: u64) -> Window {
    disk.part(by, disk.len().saturating_sub(by))
}

fn gpt_words(error: &gpt::header::HeaderError) -> String {
    use gpt::header::HeaderError;
    match error {
        HeaderError::InvalidGptSignature => "there is none".into(),
        HeaderError::InvalidCRC32Checksum => "its CRC is wrong".into(),
        other => other.to_string(),
    }
}

fn read_gpt(disk: &Window, boot: &[u8], name: &str) -> Result<DiskTable, UserError> {
    let last = (disk.len() / SECTOR).saturating_sub(1);
    let mut problems = Vec::new();
    let half = whole_gpt(disk, last, name, &mut problems)?;
    match mbr_header(boot) {
        None => problems.push("sector 0 has no protective MBR".into()),
        Some(mbr) => {
            if !mbr
                .iter()
                .any(|(_, entry)| entry.sys == 0xee && entry.starting_lba == 1)
            {
                problems.push("the protective MBR has no entry of type 0xee from sector 1".into());
            }
        }
    }
    let partitions: Vec<TablePartition> = half
        .partitions
        .iter()
        .filter(|(_, partition)| partition.is_used())
        .map(|(index, partition)| gpt_partition(*index, partition))
        .collect();
    if partitions.is_empty() {
        return Err(empty(name));
    }
    Ok(DiskTable {
        kind: Table::Gpt,
        id: half.header.disk_guid.to_string(),
        usable: (half.header.first_usable, half.header.last_usable.min(last)),
        partitions,
        problems,
    })
}

/// The primary half, or the backup if that is all there is; and what is wrong with either.
fn whole_gpt(disk: &Window, last: u64, name: &str, problems: &mut Vec<String>) -> Result<GptHalf, UserError> {
    match (gpt_half(disk, 1), gpt_half(disk, last)) {
        (Err(primary), Err(backup)) => Err(UserError::new(format!(
            "{name} has a damaged GPT: header at sector 1: {primary}; backup at sector {last}: {backup}"
        ))
        .help("copy or download it again, and compare its .sha256")),
        (Ok(primary), Err(backup)) => {
            let says = primary.header.backup_lba;
            if says > last {
                return Err(UserError::new(format!(
                    "{name} is truncated: its GPT is for {} bytes, the file has {}",
                    says.saturating_add(1).saturating_mul(SECTOR),
                    disk.len()
                ))
                .help("copy or download it again, and compare its .sha256"));
            }
            problems.push(if says == last {
                format!("the backup GPT header at sector {last}: {backup}")
            } else {
                format!("the backup GPT header is at sector {says}, not at the image's end (sector {last})")
            });
            Ok(primary)
        }
        (Err(primary), Ok(backup)) => {
            problems.push(format!(
                "the GPT header at sector 1: {primary} (read from the backup)"
            ));
            Ok(backup)
        }
        (Ok(primary), Ok(backup)) => {
            if primary.partitions != backup.partitions || primary.header.disk_guid != backup.header.disk_guid
            {
                problems.push("the GPT and its backup differ".into());
            }
            if primary.header.backup_lba != last || backup.header.backup_lba != 1 {
                problems.push("the GPT headers do not point at each other".into());
            }
            Ok(primary)
        }
    }
}

fn gpt_partition(index: u32, partition: &gpt::partition::Partition) -> TablePartition {
    let kind = partition.part_type_guid.guid.to_string().to_lowercase();
    TablePartition {
        index,
        label: Some(partition.name.clone()).filter(|name| !name.is_empty()),
        first_sector: partition.first_lba,
        sectors: partition
            .last_lba
            .checked_sub(partition.first_lba)
            .map_or(0, |n| n.saturating_add(1)),
        type_name: gpt_type_name(&kind),
        kind,
        uuid: partition.part_guid.to_string(),
        // Attribute bit 2, "legacy BIOS bootable" (UEFI 2.10, table 5.8).
        active: partition.flags & 4 != 0,
    }
}

fn empty(name: &str) -> UserError {
    UserError::new(format!("{name} has a partition table without partitions"))
        .help("give the .img file that `clic build` wrote")
}

fn read_mbr(boot: &[u8], sectors: u64, name: &str) -> Result<DiskTable, UserError> {
    let none = |why: &str| {
        UserError::new(format!("{name} is not a disk image: {why}"))
            .help("give the .img file that `clic build` wrote")
    };
    let Some(mbr) = mbr_header(boot) else {
        return Err(none("it has neither a GPT nor an MBR"));
    };
    // A FAT boot sector ends in the same signature; its code is not a table.
    if mbr.iter().any(|(_, entry)| entry.boot & 0x7f != 0) {
        return Err(none("its first sector is not a partition table"));
    }
    let id = u32::from_le_bytes(mbr.disk_signature);
    let mut problems = Vec::new();
    let mut partitions = Vec::new();
    for (index, entry) in mbr.iter().filter(|(_, entry)| entry.is_used()) {
        let index = u32::try_from(index).unwrap_or(0);
        if entry.is_extended() {
            problems.push(format!(
                "partition {index} is an extended partition; images have primary ones only"
            ));
        }
        partitions.push(TablePartition {
            index,
            label: None,
            first_sector: entry.starting_lba.into(),
            sectors: entry.sectors.into(),
            kind: format!("{:#04x}", entry.sys),
            type_name: mbr_type_name(entry.sys),
            uuid: format!("{id:08x}-{index:02x}"),
            active: entry.is_active(),
        });
    }
    if partitions.is_empty() {
        return Err(empty(name));
    }
    let usable = (1, sectors.saturating_sub(1));
    Ok(DiskTable {
        kind: Table::Mbr,
        id: format!("{id:#010x}"),
        usable,
        partitions,
        problems,
    })
}

/// Type GUID of an EFI system partition (UEFI 2.10, table 5.7).
pub const TYPE_ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
/// Type GUID of GRUB's BIOS boot partition (spells "Hah!IdontNeedEFI").
pub const TYPE_BIOS_BOOT: &str = "21686148-6449-6e6f-744e-656564454649";
/// Type GUID of a Linux file system.
pub const TYPE_LINUX: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";
/// Type GUID of a root file system for x86-64 (Discoverable Partitions Specification).
pub const TYPE_ROOT_X86_64: &str = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709";
/// Type GUID of a root file system for arm64 (the same).
pub const TYPE_ROOT_ARM64: &str = "b921b045-1df0-41c3-af44-4c6f280d3fae";

fn gpt_type_name(guid: &str) -> &'static str {
    match guid {
        TYPE_ESP => "EFI system",
        TYPE_BIOS_BOOT => "BIOS boot",
        TYPE_LINUX => "Linux file system",
        TYPE_ROOT_X86_64 => "Linux root (x86-64)",
        TYPE_ROOT_ARM64 => "Linux root (arm64)",
        "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f" => "Linux swap",
        "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" => "basic data",
        _ => "unknown",
    }
}

fn mbr_type_name(kind: u8) -> &'static str {
    match kind {
        0x05 | 0x0f | 0x85 => "extended",
        0x0b => "FAT32 (CHS)",
        0x0c => "FAT32 (LBA)",
        0x0e => "FAT16 (LBA)",
        0x82 => "Linux swap",
        0x83 => "Linux",
        0xef => "EFI system",
        _ => "unknown",
    }
}
