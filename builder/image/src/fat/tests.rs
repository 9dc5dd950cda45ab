use std::io::Read;
use std::sync::Arc;

use clic_host::{Cmd, Progress, Unit};

use super::*;

const MIB: u64 = 1 << 20;
/// 2025-03-09 10:11:13 UTC.
const EPOCH: i64 = 1_741_515_073;

fn volume() -> Volume {
    Volume {
        label: "FIRMWARE".into(),
        id: 0x1a2b_3c4d,
        epoch: EPOCH,
    }
}

fn bytes(content: &[u8]) -> Content {
    Content::Bytes(Arc::from(content))
}

/// An image with a volume of `size` bytes at 1 MiB.
fn image(files: &[(&str, Content)], size: u64) -> Result<(tempfile::NamedTempFile, Stats)> {
    let files = files
        .iter()
        .map(|(path, data)| ((*path).to_owned(), data.clone()))
        .collect();
    let image = tempfile::NamedTempFile::new()?;
    image.as_file().set_len(MIB + size)?;
    let stage = Progress::silent().stage("fat", "FAT", "test");
    stage.total(Unit::Bytes, 0);
    let stats = write(&volume(), &files, image.as_file(), MIB, size, &stage)?;
    stage.finish();
    Ok((image, stats))
}

fn sample() -> Vec<(&'static str, Content)> {
    let big: Vec<u8> = (0..3_000_001u32).map(|n| (n % 251) as u8).collect();
    vec![
        ("EFI/BOOT/BOOTX64.EFI", bytes(&big)),
        ("EFI/BOOT/BOOTIA32.EFI", bytes(b"ia32")),
        ("overlays/a-quite-long-overlay-name.dtbo", bytes(b"overlay")),
        ("overlays/a-quite-long-overlay-name-2.dtbo", bytes(b"overlay 2")),
        ("config.txt", bytes(b"arm_64bit=1\n")),
        ("empty", bytes(b"")),
        ("vmlinuz-6.1.0-56-arm64", bytes(&big[..700_000])),
    ]
}

fn run(cmd: Cmd) -> String {
    String::from_utf8(cmd.clean_env().env("TZ", "UTC").output().unwrap()).unwrap()
}

fn at(image: &tempfile::NamedTempFile) -> String {
    format!("{}@@1M", image.path().display())
}

#[test]
fn fsck_and_mtools_agree_with_what_was_written() {
    for size in [64 * MIB, 300 * MIB] {
        let (image, stats) = image(&sample(), size).unwrap();
        assert_eq!(stats.cluster, if size == 64 * MIB { 512 } else { 4096 });
        // fsck.fat takes no offset: give it the partition alone.
        let partition = tempfile::NamedTempFile::new().unwrap();
        let mut window = image.reopen().unwrap();
        std::io::Seek::seek(&mut window, std::io::SeekFrom::Start(MIB)).unwrap();
        std::io::copy(&mut window, &mut partition.as_file()).unwrap();
        let finished = Cmd::new("fsck.fat")
            .args(["-n", "-v"])
            .arg(partition.path())
            .clean_env()
            .finish()
            .unwrap();
        assert!(
            finished.status.success(),
            "{}",
            String::from_utf8_lossy(&finished.stdout)
        );
        let said = String::from_utf8(finished.stdout).unwrap();
        assert!(
            said.contains(&format!("{}/{} clusters", stats.used, stats.clusters)),
            "{said}"
        );
        for complaint in ["differences", "inconsistent", "Wrong", "corrupt", "rong"] {
            assert!(!said.contains(complaint), "{said}");
        }

        let listing = run(Cmd::new("mdir")
            .arg("-i")
            .arg(at(&image))
            .args(["-/", "-a", "::"]));
        assert!(listing.contains("Volume in drive : is FIRMWARE"), "{listing}");
        assert!(listing.contains("Volume Serial Number is 1A2B-3C4D"), "{listing}");
        assert!(
            listing.contains("BOOTX64  EFI   3000001 2025-03-09  10:11"),
            "{listing}"
        );
        assert!(listing.contains("a-quite-long-overlay-name-2.dtbo"), "{listing}");
        assert!(listing.contains("vmlinuz-6.1.0-56-arm64"), "{listing}");
        let config = run(Cmd::new("mtype").arg("-i").arg(at(&image)).arg("::/CONFIG.TXT"));
        assert_eq!(config, "arm_64bit=1\n");
    }
}

/// A window for the reading crate, which writes nowhere.
struct Window(File);

impl Read for Window {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(to)
    }
}

impl std::io::Seek for Window {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        use std::io::SeekFrom;
        let to = match to {
            SeekFrom::Start(at) => SeekFrom::Start(at + MIB),
            other => other,
        };
        self.0.seek(to).map(|at| at - MIB)
    }
}

impl std::io::Write for Window {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("read only"))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn another_implementation_reads_every_byte_back() {
    let (image, stats) = image(&sample(), 64 * MIB).unwrap();
    let mut window = Window(image.reopen().unwrap());
    std::io::Seek::seek(&mut window, std::io::SeekFrom::Start(0)).unwrap();
    let volume = fatfs::FileSystem::new(window, fatfs::FsOptions::new()).unwrap();
    assert_eq!(volume.fat_type(), fatfs::FatType::Fat32);
    assert_eq!(
        u64::from(volume.stats().unwrap().free_clusters()),
        stats.clusters - stats.used
    );
    assert_eq!(volume.volume_label(), "FIRMWARE");
    for (path, data) in sample() {
        let Content::Bytes(expected) = data else {
            unreachable!()
        };
        let mut content = Vec::new();
        volume
            .root_dir()
            .open_file(path)
            .unwrap()
            .read_to_end(&mut content)
            .unwrap();
        assert!(content == *expected, "{path}");
    }
    let entry = volume
        .root_dir()
        .iter()
        .map(Result::unwrap)
        .find(|e| e.file_name() == "config.txt")
        .unwrap();
    let fatfs::DateTime { date, time } = entry.created();
    assert_eq!(
        (date.year, date.month, date.day, time.hour, time.min, time.sec),
        (2025, 3, 9, 10, 11, 12)
    );
    assert_eq!(entry.modified(), entry.created());
    assert_eq!(entry.accessed(), date);
}

#[test]
fn twice_the_same_bytes() {
    let read = || std::fs::read(image(&sample(), 64 * MIB).unwrap().0.path()).unwrap();
    assert!(read() == read());
}

#[test]
fn contents_come_from_the_tree_too() {
    let mut source = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut source, b"....kernel....").unwrap();
    let files = [(
        "vmlinuz",
        Content::At {
            file: Arc::new(source.into_file()),
            offset: 4,
            size: 6,
        },
    )];
    let (image, _) = image(&files, 64 * MIB).unwrap();
    assert_eq!(
        run(Cmd::new("mtype").arg("-i").arg(at(&image)).arg("::vmlinuz")),
        "kernel"
    );
}

#[test]
fn what_fat_cannot_hold_is_refused() {
    let why = |files: &[(&str, Content)], size| format!("{:#}", image(files, size).unwrap_err());
    assert!(
        why(&[("a", bytes(b"")), ("A", bytes(b""))], 64 * MIB)
            .contains("\"A\" and \"a\" are one name on FAT")
    );
    assert!(
        why(&[("x/a", bytes(b"")), ("X/b", bytes(b""))], 64 * MIB)
            .contains("\"X\" and \"x\" are one name on FAT")
    );
    assert!(why(&[("a", bytes(b"")), ("a/b", bytes(b""))], 64 * MIB).contains("\"a/b\" lies below a file"));
    assert!(why(&[("a//b", bytes(b""))], 64 * MIB).contains("\"\" is not a file name"));
    assert!(why(&[], 32 * MIB).contains("a partition of 32 MiB is too small for FAT32"));
    assert!(image(&[], 33 * MIB).is_ok());
    let huge = Content::Host {
        path: "/nowhere".into(),
        size: 1 << 32,
    };
    assert!(why(&[("huge", huge)], 64 * MIB).contains("huge is larger than the 4 GiB"));
    let large = Content::Host {
        path: "/nowhere".into(),
        size: 64 * MIB,
    };
    let said = why(&[("large", large), ("small", bytes(b"x"))], 64 * MIB);
    assert!(
        said.contains("the FAT partition is too small: its files need 65537 KiB, it has"),
        "{said}"
    );
    assert!(
        said.contains("large                                       65536 KiB"),
        "{said}"
    );
}

#[test]
fn times_are_cut_to_what_fat_can_say() {
    let day = |year: u16, month: u16, day: u16| ((year - 1980) << 9) + (month << 5) + day;
    let time = |hour: u16, minute: u16, second: u16| (hour << 11) + (minute << 5) + second / 2;
    assert_eq!(stamp(0), (day(1980, 1, 1), 0));
    assert_eq!(stamp(315_532_800), stamp(0));
    // A leap day, one second before midnight; seconds are halves.
    assert_eq!(stamp(1_709_251_199), (day(2024, 2, 29), time(23, 59, 58)));
    // 2100 has no leap day.
    assert_eq!(stamp(4_107_542_400), (day(2100, 3, 1), 0));
    assert_eq!(stamp(i64::MAX), (day(2107, 12, 31), time(23, 59, 58)));
}
