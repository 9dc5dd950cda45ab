//! The DOS partition table.

use std::fs::File;
use std::io::Seek;

use anyhow::{Context, Result, bail};
use clic_recipe::plan::Filesystem;
use mbrman::{BOOT_INACTIVE, CHS, MBR, MBRPartitionEntry};

use crate::ids::Ids;
use crate::layout::{Layout, SECTOR};

use super::BOOT_CODE;

/// What CHS fields say of a place that CHS cannot reach; readers then use the sector numbers.
const BEYOND_CHS: CHS = CHS {
    cylinder: 1023,
    head: 254,
    sector: 63,
};

/// The type byte of a partition. The Raspberry Pi's boot ROM accepts FAT only under 0x0b and 0x0c, not under 0xef, the
/// EFI system partition's.
///
/// # Errors
/// A BIOS boot partition exists in a GPT only.
pub fn type_code(fs: Filesystem) -> Result<u8> {
    match fs {
        Filesystem::Fat32 => Ok(0x0c),
        Filesystem::Ext4 => Ok(0x83),
        Filesystem::BiosBoot => {
            bail!("an MBR has no BIOS boot partition: its loader lies between MBR and partition 1")
        }
    }
}

pub(super) fn write(layout: &Layout, ids: &Ids, boot_code: &[u8; BOOT_CODE], image: &File) -> Result<()> {
    let mut device = image.try_clone().context("writing the partition table")?;
    let signature = ids.mbr_signature().to_le_bytes();
    let mut table = MBR::new_from(&mut device, SECTOR as u32, signature).context("making an MBR")?;
    table.header.bootstrap_code = *boot_code;
    for place in &layout.partitions {
        let number = place.number as usize;
        table[number] = MBRPartitionEntry {
            // No entry is active: the Pi takes the first FAT partition whatever its mark.
            boot: BOOT_INACTIVE,
            first_chs: BEYOND_CHS,
            sys: type_code(place.fs)?,
            last_chs: BEYOND_CHS,
            starting_lba: u32::try_from(place.first).context("a partition beyond 2 TiB")?,
            sectors: u32::try_from(place.sectors).context("a partition of more than 2 TiB")?,
        };
    }
    device.rewind().context("writing the MBR")?;
    table.write_into(&mut device).context("writing the MBR")
}
