//! What the rules say of tables, partitions and file systems.

use super::*;

#[test]
fn the_table_is_compared_with_the_plan() {
    x86(
        |i| i.description.disk.partitions[1].first_sector = Some(6144),
        &["partition-table: partition 2 (esp) begins at sector 4096; planned: 6144"],
    );
    x86(
        |i| i.description.disk.partitions[0].size = clic_recipe::plan::PartitionSize::Fixed(2 << 20),
        &["partition-table: partition 1 (bios) has 2048 sectors; planned: 4096"],
    );
    x86(
        |i| i.description.disk.partitions[2].size = clic_recipe::plan::PartitionSize::Fit { free: 1 << 30 },
        &["file-systems: partition 3 (root) has "],
    );
    x86(
        |i| {
            i.description.disk.partitions.pop();
        },
        &["partition-table: there are 3 partitions; planned: 2"],
    );
}

/// What of a finished Raspberry Pi image `rule` says, after `changes`.
fn of_rule(image: &TestImage, changes: &[(u64, &[u8])], rule: &str) -> Vec<String> {
    let path = image.build();
    for (at, bytes) in changes {
        patch(&path, *at, bytes);
    }
    let mut found = violations(image, &path);
    found.retain(|violation| violation.starts_with(rule));
    found
}

#[test]
fn partitions_are_where_they_were_planned_and_neither_before_nor_behind() {
    use clic_recipe::plan::PartitionSize;
    let first = |number: usize, sector| {
        let mut image = TestImage::raspi();
        image.description.disk.partitions[number].first_sector = sector;
        of_rule(&image, &[], "partition-table")
    };
    assert_eq!(first(0, Some(8192)), [""; 0]);
    for planned in [8191, 8193] {
        let said =
            format!("partition-table: partition 1 (firmware) begins at sector 8192; planned: {planned}");
        assert_eq!(first(0, Some(planned)), [said]);
    }
    // Where nobody said where, at any whole mebibyte.
    let second = |sector: u32| {
        let changes: &[(u64, &[u8])] = &[(446 + 16 + 8, &sector.to_le_bytes())];
        let mut found = of_rule(&TestImage::raspi(), changes, "partition-table: partition 2");
        found.retain(|violation| violation.contains("begins"));
        found
    };
    let built = 8192 + 40 * 2048;
    assert_eq!(second(built + 2048), [""; 0]);
    assert_eq!(
        second(built + 1),
        ["partition-table: partition 2 (root) begins at sector 90113, not a multiple of 2048"]
    );
    // A size is a whole number of mebibytes, rounded up.
    let size = |bytes: u64| {
        let mut image = TestImage::raspi();
        image.description.disk.partitions[0].size = PartitionSize::Fixed(bytes);
        of_rule(&image, &[], "partition-table")
    };
    assert_eq!(size((39 << 20) + 1), [""; 0]);
    for (planned, sectors) in [(39 << 20, 79_872), ((40 << 20) + 1, 83_968)] {
        assert_eq!(
            size(planned),
            [format!(
                "partition-table: partition 1 (firmware) has 81920 sectors; planned: {sectors}"
            )]
        );
    }
}

/// Fields of the ext4 superblock: free blocks, low and high half.
#[test]
fn free_blocks_are_counted_in_64_bits_where_the_file_system_has_them() {
    const SUPERBLOCK: u64 = (44 << 20) + 1024;
    let told = |features: &str, low: u32, high: u32, free: u64| {
        let mut image = TestImage::raspi();
        image
            .mke2fs
            .extend(["-b", "1024", "-O", features].map(String::from));
        image.description.disk.partitions[1].size = clic_recipe::plan::PartitionSize::Fit { free };
        let changes: &[(u64, &[u8])] = &[
            (SUPERBLOCK + 0x0c, &low.to_le_bytes()),
            (SUPERBLOCK + 0x158, &high.to_le_bytes()),
        ];
        let mut found = of_rule(&image, changes, "file-systems");
        found.retain(|violation| violation.contains("free bytes"));
        found
    };
    let (wide, narrow) = ("64bit,^metadata_csum", "^64bit,^metadata_csum");
    assert_eq!(told(wide, 5, 1, (5 + (1 << 32)) * 1024), [""; 0]);
    assert_eq!(
        told(wide, 5, 1, (5 + (1 << 32)) * 1024 + 1),
        ["file-systems: partition 2 (root) has 4398046516224 free bytes; planned: 4398046516225"]
    );
    assert_eq!(told(narrow, 5, 1, 5 * 1024), [""; 0]);
    assert_eq!(
        told(narrow, 5, 1, 5 * 1024 + 1),
        ["file-systems: partition 2 (root) has 5120 free bytes; planned: 5121"]
    );
}
