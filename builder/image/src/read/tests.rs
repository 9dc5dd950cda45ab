mod damaged;

use std::fs;
use std::os::unix::fs::FileExt;

use super::*;
use crate::inspect::inspect;
use crate::testimage::{FAT_UUID, ROOT_UUID, TestImage, patch};

/// Where [`TestImage`] has its partitions, in bytes.
const X86_ROOT: u64 = 42 << 20;
const FIRMWARE: u64 = 4 << 20;
const RASPI_ROOT: u64 = 44 << 20;

fn refused(path: &Path) -> UserError {
    match DiskImage::open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error.downcast::<UserError>().unwrap(),
    }
}

/// Numbers that look random and are the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Reads all that there is; errors are fine when they are the user's kind, panics are not.
fn exercise(path: &Path) -> Result<()> {
    let image = DiskImage::open(path)?;
    let inspected = inspect(&image).map(|inspection| inspection.text(true));
    for partition in image
        .partitions()
        .iter()
        .filter(|partition| partition.holds("fat"))
    {
        let fat = image.fat(partition)?;
        fat.label();
        for entry in fat.walk()?.iter().filter(|entry| !entry.directory) {
            fat.sha256(&entry.path)?;
        }
    }
    let root = image.root()?;
    root.walk("/", &mut |entry| {
        match entry.kind {
            EntryKind::File => drop(root.sha256(&entry.path)),
            EntryKind::Symlink => drop(root.stat_target(&entry.path)),
            _ => {}
        }
        Ok(())
    })?;
    inspected?;
    Ok(())
}

fn only_user_errors(result: Result<()>, what: &str) {
    if let Err(error) = result {
        let known = error.chain().any(<dyn std::error::Error>::is::<UserError>);
        assert!(known, "{what}: {error:?}");
    }
}

#[test]
fn what_is_no_image_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let missing = refused(&dir.path().join("none.img"));
    assert!(
        missing.what.contains("none.img: No such file or directory"),
        "{missing}"
    );
    assert!(
        refused(dir.path())
            .what
            .ends_with("is a directory, not a disk image")
    );
    assert!(
        refused(&file("empty.img", b""))
            .what
            .ends_with("empty.img is empty")
    );
    assert!(
        refused(&file("short.img", b"x"))
            .what
            .ends_with("short.img is not a disk image: it has only 1 bytes")
    );
    let zst = refused(&file("a.img.zst", b"\x28\xb5\x2f\xfdxxxxxxxx"));
    assert!(
        zst.what
            .ends_with("a.img.zst is compressed with zstd, not a raw disk image"),
        "{zst}"
    );
    let path = dir.path().join("a.img");
    assert_eq!(
        zst.help.unwrap(),
        format!("decompress it first: zstd -d {0}.zst -o {0}", path.display())
    );
    let xz = refused(&file("a.img.xz", b"\xfd7zXZ\0xxxxxxxx"));
    assert!(xz.help.unwrap().starts_with("decompress it first: xz -dk "));
    assert!(
        refused(&file("a.gz", b"\x1f\x8bxxxxxxx"))
            .what
            .contains("compressed with gzip")
    );
    assert!(
        refused(&file("a.qcow2", b"QFI\xfbxxxxxx"))
            .what
            .contains("a qcow2 image")
    );
    let text = refused(&file("text.img", &b"hello\n".repeat(1000)));
    assert!(
        text.what
            .ends_with("text.img is not a disk image: it has neither a GPT nor an MBR"),
        "{text}"
    );
    let zeros = refused(&file("zeros.img", &vec![0; 1 << 16]));
    assert!(zeros.what.contains("neither a GPT nor an MBR"), "{zeros}");
    let mut mbr = vec![0; 1 << 16];
    mbr[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert!(
        refused(&file("mbr.img", &mbr))
            .what
            .ends_with("has a partition table without partitions")
    );
    assert!(
        refused(Path::new("/dev/null"))
            .what
            .ends_with("is not a regular file")
    );
}

#[test]
fn random_bytes_are_no_image() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("random.img");
    for seed in 1..200 {
        let mut random = Random(seed);
        let len = random.below(1 << 16) as usize;
        let mut bytes = random.bytes(len);
        // Some of them pretend to be something.
        if seed % 3 == 0 && len > 1024 {
            bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        }
        if seed % 6 == 0 && len > 1024 {
            bytes[512..520].copy_from_slice(b"EFI PART");
        }
        fs::write(&path, &bytes).unwrap();
        only_user_errors(exercise(&path), &format!("seed {seed}"));
    }
}

#[test]
fn partitions_and_file_systems_are_found() {
    let test = TestImage::raspi();
    let image = DiskImage::open(&test.build()).unwrap();
    let facts: Vec<(&str, u64, &str, &str)> = image
        .partitions()
        .iter()
        .map(|p| {
            (
                p.name.as_str(),
                p.offset(),
                p.entry.kind.as_str(),
                p.fs.as_ref().unwrap().uuid.as_str(),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            ("firmware", FIRMWARE, "0x0c", FAT_UUID),
            ("root", RASPI_ROOT, "0x83", ROOT_UUID)
        ]
    );
    assert_eq!(image.table().id, "0x12345678");
    assert_eq!(image.partitions()[1].entry.uuid, "12345678-02");
    assert_eq!(
        image.fat(&image.partitions()[0]).unwrap().label().as_deref(),
        Some("BOOT")
    );
    assert_eq!(image.root().unwrap().uuid(), ROOT_UUID);
    assert_eq!(image.description().unwrap().unwrap(), &test.description);
    let entry = image
        .root()
        .unwrap()
        .stat("/usr/lib/systemd/systemd")
        .unwrap()
        .unwrap();
    assert_eq!(
        (entry.kind, entry.mode, entry.uid, entry.gid, entry.size),
        (EntryKind::File, 0o755, 0, 0, 64)
    );
}

#[test]
fn links_stay_inside() {
    let test = TestImage::raspi();
    test.link("/a", "../../../etc/hostname");
    test.link("/b", "/a/x");
    test.link("/c", "c2");
    test.link("/c2", "c");
    test.link("/etc/up", "../etc/../../vmlinuz");
    let image = DiskImage::open(&test.build()).unwrap();
    let root = image.root().unwrap();
    assert_eq!(root.resolve("/a").unwrap().unwrap(), b"/etc/hostname");
    assert_eq!(
        root.resolve("//etc/./up").unwrap().unwrap(),
        b"/boot/vmlinuz-6.1-arm64"
    );
    assert_eq!(root.resolve("/..").unwrap().unwrap(), b"/");
    for nowhere in [
        "/b",
        "/c",
        "/none",
        "/etc/hostname/x",
        "/none/../etc",
        "/\0",
        "/x\u{ff}",
    ] {
        assert_eq!(root.resolve(nowhere).unwrap(), None, "{nowhere}");
    }
    assert_eq!(root.resolve(format!("/{}", "x".repeat(5000))).unwrap(), None);
    assert_eq!(root.stat("/a").unwrap().unwrap().kind, EntryKind::Symlink);
    assert_eq!(root.read_link("/a").unwrap().unwrap(), b"../../../etc/hostname");
    let error = root.read("/boot/vmlinuz-6.1-arm64", 100).unwrap_err().to_string();
    assert!(
        error.ends_with("/boot/vmlinuz-6.1-arm64 has 4096 bytes, more than 100"),
        "{error}"
    );
    let mut paths = Vec::new();
    root.walk("/usr/lib", &mut |entry| {
        paths.push(entry.display());
        Ok(())
    })
    .unwrap();
    assert!(
        paths.is_sorted() && paths[0] == "/usr/lib" && paths.len() > 4,
        "{paths:?}"
    );
}

#[test]
fn truncated_images_are_told() {
    for (test, partitions) in [(TestImage::x86(), 3), (TestImage::raspi(), 2)] {
        let path = test.build();
        let whole = fs::metadata(&path).unwrap().len();
        let cut = path.with_file_name("cut.img");
        let mut random = Random(7);
        let last = whole - (1 << 20);
        let mut lengths: Vec<u64> = vec![1, 511, 512, 1024, 17408, last - 1, last - 512];
        lengths.extend((0..40).map(|_| random.below(last)));
        for len in lengths {
            fs::copy(&path, &cut).unwrap();
            fs::OpenOptions::new()
                .write(true)
                .open(&cut)
                .unwrap()
                .set_len(len)
                .unwrap();
            let error = refused(&cut);
            if len > 17408 {
                assert!(error.what.contains("cut.img is truncated: "), "{len}: {error}");
                assert!(error.help.is_some());
            }
        }
        if partitions == 3 {
            // Only the backup is cut off: every partition is whole.
            fs::copy(&path, &cut).unwrap();
            fs::OpenOptions::new()
                .write(true)
                .open(&cut)
                .unwrap()
                .set_len(whole - 512)
                .unwrap();
            let error = refused(&cut);
            assert!(error.what.ends_with(&format!(
                "its GPT is for {whole} bytes, the file has {}",
                whole - 512
            )));
        }
    }
}

#[test]
fn a_wrong_table_is_told() {
    let problems = |changes: &[(u64, &[u8])], grow: u64| {
        let test = TestImage::x86();
        let path = test.build();
        for (at, bytes) in changes {
            patch(&path, *at, bytes);
        }
        let len = fs::metadata(&path).unwrap().len();
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(len + grow)
            .unwrap();
        let image = DiskImage::open(&path).unwrap();
        assert_eq!(image.partitions().len(), 3);
        image.table().problems.clone()
    };
    let end = (67 << 20) - 512;
    assert_eq!(problems(&[], 0), [""; 0]);
    assert_eq!(
        problems(&[(512 + 56, b"x")], 0),
        ["the GPT header at sector 1: its CRC is wrong (read from the backup)"]
    );
    assert_eq!(
        problems(&[(512, b"x")], 0),
        ["the GPT header at sector 1: there is none (read from the backup)"]
    );
    assert_eq!(
        problems(&[(1024 + 56, b"x")], 0),
        [
            "the GPT header at sector 1: its table at sector 2: partition table CRC mismatch (read from the backup)"
        ]
    );
    assert_eq!(
        problems(&[(end, b"x")], 0),
        ["the backup GPT header at sector 137215: there is none"]
    );
    assert_eq!(
        problems(&[], 1 << 20),
        ["the backup GPT header is at sector 137215, not at the image's end (sector 139263)"]
    );
    assert_eq!(problems(&[(510, &[0, 0])], 0), ["sector 0 has no protective MBR"]);
    assert_eq!(
        problems(&[(450, &[0x83])], 0),
        ["the protective MBR has no entry of type 0xee from sector 1"]
    );
    let test = TestImage::raspi();
    let path = test.build();
    // The second partition begins inside of the first.
    patch(&path, 446 + 16 + 8, &9000_u32.to_le_bytes());
    let image = DiskImage::open(&path).unwrap();
    assert_eq!(
        image.table().problems,
        ["partitions 1 and 2 overlap at sector 9000"]
    );
    patch(&path, 446 + 8, &0_u32.to_le_bytes());
    let problems = DiskImage::open(&path).unwrap().table().problems.clone();
    assert!(problems[0].starts_with("partition 1 (sectors 0 to 81919) leaves the usable sectors 1 to "));
    patch(&path, 446 + 12, &u32::MAX.to_le_bytes());
    assert!(
        refused(&path)
            .what
            .contains("is truncated: partition 1 ends at byte")
    );
}

/// Changes one entry of a finished image's table: an option, a partition's number, a value.
fn sfdisk(image: &Path, [option, number, value]: [&str; 3]) {
    clic_host::Cmd::new("sfdisk")
        .clean_env()
        .args(["-q", "--no-reread", "--no-tell-kernel", option])
        .arg(image)
        .args([number, value])
        .output()
        .unwrap();
}

#[test]
fn types_of_partitions_have_names() {
    let names = |path: &Path| -> Vec<&'static str> {
        let image = DiskImage::open(path).unwrap();
        image
            .partitions()
            .iter()
            .map(|partition| partition.entry.type_name)
            .collect()
    };
    let test = TestImage::x86();
    let path = test.build();
    assert_eq!(names(&path), ["BIOS boot", "EFI system", "Linux root (x86-64)"]);
    for (guid, name) in [
        ("0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux file system"),
        ("b921b045-1df0-41c3-af44-4c6f280d3fae", "Linux root (arm64)"),
        ("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap"),
        ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "basic data"),
        ("99999999-2222-4333-8444-555555555555", "unknown"),
    ] {
        sfdisk(&path, ["--part-type", "3", guid]);
        assert_eq!(names(&path)[2], name);
    }
    let test = TestImage::raspi();
    let path = test.build();
    assert_eq!(names(&path), ["FAT32 (LBA)", "Linux"]);
    for (kind, name) in [
        (0x0b, "FAT32 (CHS)"),
        (0x0e, "FAT16 (LBA)"),
        (0x82, "Linux swap"),
        (0xef, "EFI system"),
        (0x05, "extended"),
        (0x0f, "extended"),
        (0x85, "extended"),
        (0x07, "unknown"),
    ] {
        patch(&path, 446 + 16 + 4, &[kind]);
        assert_eq!(names(&path)[1], name);
        let problems = DiskImage::open(&path).unwrap().table().problems.clone();
        let told = "partition 2 is an extended partition; images have primary ones only";
        assert_eq!(problems.iter().any(|problem| problem == told), name == "extended");
    }
}

#[test]
fn the_entries_that_a_bios_may_start_are_told_from_the_others() {
    let active = |path: &Path| -> Vec<bool> {
        let image = DiskImage::open(path).unwrap();
        image
            .partitions()
            .iter()
            .map(|partition| partition.entry.active)
            .collect()
    };
    let test = TestImage::x86();
    let path = test.build();
    assert_eq!(active(&path), [false; 3]);
    sfdisk(&path, ["--part-attrs", "2", "LegacyBIOSBootable"]);
    sfdisk(&path, ["--part-attrs", "3", "RequiredPartition,GUID:63"]);
    assert_eq!(active(&path), [false, true, false]);

    let test = TestImage::raspi();
    let path = test.build();
    assert_eq!(active(&path), [false; 2]);
    patch(&path, 446, &[0x80]);
    assert_eq!(active(&path), [true, false]);
}
