//! What is damaged is told, and neither stops the reader for good nor makes it panic.

use clic_host::spoil::try_reader;

use super::*;

/// Spoils bytes near `at` in many ways, one at a time, and reads everything after each.
fn spoil(what: &str, path: &Path, places: &[(u64, u64)], rounds: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    try_reader(what, rounds, |random| {
        let (start, len) = *random.of_these(places);
        let mut saved = Vec::new();
        for _ in 0..=random.below(4) {
            let at = start + random.below(len as usize) as u64;
            let mut old = vec![0; 1 + random.below(8)];
            file.read_exact_at(&mut old, at).unwrap();
            let new = match random.below(4) {
                0 => vec![0xff; old.len()],
                1 => vec![0; old.len()],
                2 => old.iter().map(|byte| byte.wrapping_add(1)).collect(),
                _ => old.iter().map(|_| random.below(256) as u8).collect(),
            };
            file.write_all_at(&new, at).unwrap();
            saved.push((at, old));
        }
        only_user_errors(exercise(path), what);
        for (at, old) in saved.iter().rev() {
            file.write_all_at(old, *at).unwrap();
        }
    });
    exercise(path).unwrap();
}

#[test]
fn damaged_tables_do_not_panic() {
    let test = TestImage::x86();
    spoil(
        "partition tables",
        &test.build(),
        &[
            (0, 1536),
            (440, 72),
            (512, 92),
            (1024, 384),
            ((67 << 20) - 512, 92),
        ],
        150,
    );
}

#[test]
fn damaged_fats_do_not_panic() {
    let test = TestImage::raspi();
    let path = test.build();
    let image = DiskImage::open(&path).unwrap();
    let boot = image.window(&image.partitions()[0]).bytes(0, 512).unwrap();
    let word = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
    let (reserved, per_fat) = (word(14) * 512, (word(36) | word(38) << 16) * 512);
    let data = FIRMWARE + reserved + 2 * per_fat;
    let places = [
        (FIRMWARE, 90),
        (FIRMWARE + reserved, 200),
        (data, 2048),
        (data, 64 * 512),
    ];
    spoil("FAT", &path, &places, 300);
}

#[test]
fn impossible_clusters_do_not_panic() {
    let test = TestImage::raspi();
    let path = test.build();
    let image = DiskImage::open(&path).unwrap();
    let window = image.window(&image.partitions()[0]);
    let boot = window.bytes(0, 512).unwrap();
    let word = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
    let tables = word(14) * 512;
    let root = tables + 2 * word(36) * 512;
    let entries = window.bytes(root, 8192).unwrap();
    let config = (0..8192)
        .step_by(32)
        .find(|at| entries[*at..].starts_with(b"CONFIG  TXT"))
        .unwrap();
    let cluster = u64::from(u16::from_le_bytes([entries[config + 26], entries[config + 27]]));
    for impossible in [
        1_u32,
        2,
        0x0fff_fff6,
        0x1000_0001,
        0x4000_0002,
        0x8000_0000,
        0xffff_ffff,
    ] {
        let [a, b, c, d] = impossible.to_le_bytes();
        let entry = FIRMWARE + root + config as u64;
        patch(&path, entry + 20, &[c, d]);
        patch(&path, entry + 26, &[a, b]);
        only_user_errors(exercise(&path), &format!("a file at cluster {impossible:#x}"));
        patch(&path, entry + 20, &[0, 0]);
        patch(&path, entry + 26, &(cluster as u16).to_le_bytes());
        // A file of two clusters whose second one is impossible.
        patch(&path, entry + 28, &1000_u32.to_le_bytes());
        patch(&path, FIRMWARE + tables + cluster * 4, &[a, b, c, d]);
        only_user_errors(exercise(&path), &format!("a chain to cluster {impossible:#x}"));
    }
}

#[test]
fn a_fat_that_goes_in_a_circle_has_an_end() {
    let test = TestImage::raspi();
    let path = test.build();
    let image = DiskImage::open(&path).unwrap();
    let boot = image.window(&image.partitions()[0]).bytes(0, 512).unwrap();
    let reserved = u64::from(u16::from_le_bytes([boot[14], boot[15]])) * 512;
    // The root directory's only cluster follows itself, and all of its entries are deleted ones.
    let per_fat = u64::from(u16::from_le_bytes([boot[36], boot[37]])) * 512;
    patch(&path, FIRMWARE + reserved + 8, &2_u32.to_le_bytes());
    patch(&path, FIRMWARE + reserved + 2 * per_fat, &[0xe5; 512]);
    let image = DiskImage::open(&path).unwrap();
    let error = image
        .fat(&image.partitions()[0])
        .unwrap()
        .list("/")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("a chain of clusters leads back to itself"),
        "{error}"
    );
}

#[test]
fn damaged_ext4s_do_not_panic() {
    for (what, options) in [
        ("ext4", &["-O", "^metadata_csum,^has_journal"][..]),
        (
            "ext4 of small blocks",
            &["-b", "1024", "-O", "^metadata_csum,^64bit"],
        ),
        ("ext4 with checksums", &[]),
    ] {
        let mut test = TestImage::x86();
        test.mke2fs = options.iter().map(|option| (*option).to_owned()).collect();
        let path = test.build();
        spoil(
            what,
            &path,
            &[
                (X86_ROOT + 1024, 1024),
                (X86_ROOT + 4096, 4096),
                (X86_ROOT, 1 << 20),
                (X86_ROOT, 4 << 20),
            ],
            150,
        );
    }
}

/// The report: the upper half of the number of blocks, in a file system that has no such half.
#[test]
fn a_huge_number_of_blocks_is_damage() {
    let mut test = TestImage::x86();
    test.mke2fs = ["-O", "^metadata_csum,^64bit"].map(str::to_owned).to_vec();
    let path = test.build();
    for upper in [0x1ff0_u32, 1, u32::MAX] {
        patch(&path, X86_ROOT + 1024 + 0x150, &upper.to_le_bytes());
        let error = exercise(&path).unwrap_err();
        assert!(error.is::<UserError>(), "{error:#}");
        let error = error.to_string();
        assert!(
            error.contains("the ext4 file system is damaged: its superblock says"),
            "{error}"
        );
    }
}

/// In a file with holes, a large file system costs nobody anything, but its groups do.
#[test]
fn a_huge_number_of_groups_is_damage() {
    let mut test = TestImage::x86();
    test.mke2fs = ["-b", "1024", "-O", "^metadata_csum,^64bit"]
        .map(str::to_owned)
        .to_vec();
    let path = test.build();
    let whole = Window::new(
        std::sync::Arc::new(fs::File::open(&path).unwrap()),
        X86_ROOT,
        1 << 42,
    );
    patch(&path, X86_ROOT + 1024 + 4, &u32::MAX.to_le_bytes());
    patch(&path, X86_ROOT + 1024 + 0x20, &512_u32.to_le_bytes());
    let error = root::Root::open(whole, "an image".into())
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("damaged: its superblock has an impossible number of groups"),
        "{error}"
    );
}

#[test]
fn a_huge_directory_is_damage() {
    let mut test = TestImage::x86();
    test.mke2fs = ["-O", "^metadata_csum"].map(str::to_owned).to_vec();
    test.debugfs.push("sif /etc size 0x10000000000".into());
    let image = DiskImage::open(&test.build()).unwrap();
    let error = image.root().unwrap().list("/etc").unwrap_err().to_string();
    assert!(
        error.contains("damaged at /etc: it is larger than any directory"),
        "{error}"
    );
}

#[test]
fn a_huge_file_and_a_huge_link_are_damage() {
    let mut test = TestImage::x86();
    test.link("/etc/long", &"x".repeat(100));
    test.debugfs.push("sif /etc/os-release size 0x10000000".into());
    test.debugfs.push("sif /etc/long size 0x10000000000".into());
    let image = DiskImage::open(&test.build()).unwrap();
    let root = image.root().unwrap();
    let error = root.sha256("/etc/os-release").unwrap_err().to_string();
    assert!(
        error.contains("damaged at /etc/os-release: it is larger than its file system"),
        "{error}"
    );
    let error = root.resolve("/etc/long").unwrap_err().to_string();
    assert!(
        error.contains("damaged at /etc/long: its target is too long"),
        "{error}"
    );
}
