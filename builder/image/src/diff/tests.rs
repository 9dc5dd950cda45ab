use super::*;
use crate::testimage::{TestImage, patch};

fn open(image: &TestImage) -> DiskImage {
    DiskImage::open(&image.build()).unwrap()
}

fn file<'a>(difference: &'a Difference, path: &str) -> &'a FileChange {
    let found = difference.files.iter().find(|change| change.path == path);
    found.unwrap_or_else(|| panic!("{path} is not in {:#?}", difference.files))
}

#[test]
fn an_image_is_identical_to_itself() {
    let image = TestImage::x86();
    let disk = open(&image);
    let difference = diff(&disk, &disk).unwrap();
    assert!(difference.identical && difference.files.is_empty());
    let name = disk.path().display();
    assert_eq!(difference.text(), format!("{name} and {name} are identical\n"));
}

#[test]
fn every_kind_of_change_is_told() {
    let (a, b) = (TestImage::x86(), TestImage::x86());
    a.package_status("nginx", "1.22.1-9", "install ok installed");
    a.package_status("gone", "1", "install ok installed");
    a.package_status("zlib1g", "1:1.2", "install ok installed");
    b.package_status("nginx", "1.22.1-9+deb12u1", "install ok installed");
    b.package_status("new", "2", "install ok installed");
    b.package_status("zlib1g", "1:1.1", "install ok installed");
    b.package_status("purged", "1", "deinstall ok config-files");
    a.write("/etc/only-a", b"1234");
    b.write("/etc/only-b", b"12345");
    b.write("/etc/hostname", b"fox\n");
    b.chmod("/etc/hostname", 0o600);
    a.link("/etc/link", "x");
    b.link("/etc/link", "y");
    a.link("/etc/was-link", "x");
    b.write("/etc/was-link", b"");
    b.fat_write("EFI/BOOT/BOOTX64.EFI", b"other");
    b.fat_write("EXTRA.TXT", b"x");
    let mut b = b;
    b.debugfs.push("sif /etc/group gid 7".into());

    let difference = diff(&open(&a), &open(&b)).unwrap();
    assert!(!difference.identical);
    assert_eq!(
        difference.first_difference.as_ref().unwrap().partition.as_deref(),
        Some("esp")
    );
    assert!(difference.partitions.is_empty(), "{:?}", difference.partitions);
    let packages: Vec<String> = difference
        .packages
        .iter()
        .map(|change| format!("{} {:?}", change.name, change.change))
        .collect();
    assert_eq!(
        packages,
        ["gone Removed", "new Added", "nginx Upgraded", "zlib1g Downgraded"]
    );

    assert_eq!(file(&difference, "/etc/only-a").change, FileChangeKind::Removed);
    assert_eq!(file(&difference, "/etc/only-b").size, (None, Some(5)));
    let text = difference.text();
    for line in [
        "  ~ nginx 1.22.1-9 -> 1.22.1-9+deb12u1\n",
        "  ~ zlib1g 1:1.2 -> 1:1.1 (downgrade)\n",
        "  + new 2\n",
        "  - /etc/only-a (4 B)\n",
        "  + /etc/only-b (5 B)\n",
        "  ~ /etc/hostname: mode 0644 -> 0600, content 4 B -> 4 B, from byte 0 on 626f780a -> 666f780a\n",
        "  ~ /etc/link: target x -> y\n",
        "  ~ /etc/was-link: type symlink -> file\n",
        "  ~ /etc/group: owner 0:0 -> 0:7\n",
        "  ~ esp:/EFI/BOOT/BOOTX64.EFI: content ",
        "  + esp:/EXTRA.TXT (1 B)\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[1],
        "1 package added, 1 removed, 1 upgraded, 1 downgraded; 2 files added, 1 removed, 6 changed"
    );
    assert!(lines[lines.len() - 1].starts_with("bytes differ from "), "{text}");
    let json = serde_json::to_value(&difference).unwrap();
    assert_eq!(json["packages"][0]["change"], "removed");
    assert_eq!(json["files"][0]["partition"], "esp");
}

#[test]
fn moved_and_resized_partitions_are_told() {
    let (x86, raspi) = (TestImage::x86(), TestImage::raspi());
    let difference = diff(&open(&x86), &open(&raspi)).unwrap();
    let text = difference.text();
    for line in [
        "~ table: kind Gpt -> Mbr",
        "- bios (sectors 2048 to 4095)",
        "+ firmware (",
        "~ root: first-sector 86016 -> 90112",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    assert!(difference.size.is_some());
}

#[test]
fn a_difference_below_the_files_is_told_as_such() {
    let image = TestImage::x86();
    let a = image.build();
    let b = a.with_file_name("b.img");
    std::fs::copy(&a, &b).unwrap();
    patch(&b, 100, b"boot code");
    let difference = diff(&DiskImage::open(&a).unwrap(), &DiskImage::open(&b).unwrap()).unwrap();
    let first = FirstDifference {
        offset: 100,
        partition: None,
        bytes: Bytes {
            from: "ff909090909090909090909090909090".into(),
            to: "626f6f7420636f646590909090909090".into(),
        },
    };
    assert_eq!(difference.first_difference, Some(first));
    let text = difference.text();
    assert!(
        text.contains("bytes differ from 100 on (outside of all partitions): ff909090909090909090909090909090 -> 626f6f7420636f6465"),
        "{text}"
    );
    assert!(text.contains("\nno package and no file changed\n"), "{text}");
    assert!(
        text.contains("partitions, packages and files are the same"),
        "{text}"
    );
}
