//! The GUID partition table and the MBR that protects it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use clic_recipe::plan::{Arch, Filesystem};
use gpt::GptConfig;
use gpt::mbr::{PartRecord, ProtectiveMBR};
use gpt::partition::Partition;
use gpt::partition_types::{OperatingSystem, Type};
use uuid::{Uuid, uuid};

use crate::ids::Ids;
use crate::layout::Layout;

use super::BOOT_CODE;

/// The type GUID of a partition. BIOS boot is GRUB's, the EFI system partition is UEFI's (2.10, table 5.7), the roots are
/// those of the Discoverable Partitions Specification, by which systemd knows a root file system without being told.
pub fn type_guid(fs: Filesystem, arch: Arch) -> Uuid {
    match (fs, arch) {
        (Filesystem::BiosBoot, _) => uuid!("21686148-6449-6e6f-744e-656564454649"),
        (Filesystem::Fat32, _) => uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
        (Filesystem::Ext4, Arch::Amd64) => uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
        (Filesystem::Ext4, Arch::Arm64) => uuid!("b921b045-1df0-41c3-af44-4c6f280d3fae"),
    }
}

pub(super) fn write(
    layout: &Layout,
    ids: &Ids,
    arch: Arch,
    boot_code: &[u8; BOOT_CODE],
    image: &File,
) -> Result<()> {
    let device = image.try_clone().context("writing the partition table")?;
    // Every GUID is given, so the crate's random ones are never used.
    let mut disk = GptConfig::new()
        .writable(true)
        .create_from_device(device, Some(ids.disk_guid()))
        .context("making a GPT")?;
    let partitions: BTreeMap<u32, Partition> = layout
        .partitions
        .iter()
        .map(|place| {
            let guid = type_guid(place.fs, arch);
            let partition = Partition {
                part_type_guid: Type {
                    guid,
                    os: OperatingSystem::None,
                },
                part_guid: ids.partition_guid(&place.name),
                first_lba: place.first,
                last_lba: place.end() - 1,
                flags: 0,
                name: place.name.clone(),
            };
            (place.number, partition)
        })
        .collect();
    disk.update_partitions(partitions).context("making a GPT")?;
    disk.write().context("writing the GPT")?;

    // The protective MBR says "one partition of type 0xee from sector 1 to the end". It is marked active (0x80), because
    // BIOSes of old PCs look for an active entry and start no disk that has none. The price: UEFI says that the mark has
    // no meaning and is ignored, yet a few early UEFI firmwares take it as a wish for legacy boot; those do start this
    // disk, which has a loader for BIOSes as well. Linux and UEFI look at the type and the first sector only.
    let length = u32::try_from(layout.sectors - 1).unwrap_or(u32::MAX);
    let mut mbr = ProtectiveMBR::with_lb_size(length);
    let entry = PartRecord {
        boot_indicator: 0x80,
        ..PartRecord::new_protective(Some(length))
    };
    mbr.set_partition(0, entry)
        .context("the protective MBR has an entry 0")?;
    mbr.set_bootcode(*boot_code);
    image
        .write_all_at(&mbr.to_bytes(), 0)
        .context("writing the protective MBR")
}
