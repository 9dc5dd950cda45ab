use clic_host::{Cmd, UserError};

use super::*;
use crate::testimage::{FAT_UUID, ROOT_UUID, TestImage};

fn open(image: &TestImage) -> DiskImage {
    DiskImage::open(&image.build()).unwrap()
}

fn bytes(image: &DiskImage, path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match inspect_path(image, path).unwrap() {
        Found::File(file) => file.copy(&mut bytes).unwrap(),
        Found::Directory(_) => panic!("{path} is a directory"),
    };
    bytes
}

fn error(image: &DiskImage, path: &str) -> String {
    let error = inspect_path(image, path).err().unwrap();
    error.downcast::<UserError>().unwrap().to_string()
}

#[test]
fn it_agrees_with_sfdisk() {
    for (test, label) in [(TestImage::x86(), "gpt"), (TestImage::raspi(), "dos")] {
        let image = open(&test);
        let out = Cmd::new("sfdisk")
            .clean_env()
            .arg("-J")
            .arg(image.path())
            .output()
            .unwrap();
        let theirs: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let theirs = &theirs["partitiontable"];
        let ours = serde_json::to_value(inspect(&image).unwrap()).unwrap();
        assert_eq!(theirs["label"], label);
        assert_eq!(ours["table"], if label == "dos" { "mbr" } else { label });
        assert_eq!(
            theirs["id"].as_str().unwrap().to_lowercase(),
            ours["disk_id"].as_str().unwrap()
        );
        let rows = theirs["partitions"].as_array().unwrap();
        assert_eq!(rows.len(), ours["partitions"].as_array().unwrap().len());
        for (row, own) in rows.iter().zip(ours["partitions"].as_array().unwrap()) {
            assert_eq!(
                (&row["start"], &row["size"]),
                (&own["first_sector"], &own["sectors"])
            );
            let kind = row["type"].as_str().unwrap().to_lowercase();
            assert!(
                own["type"]
                    .as_str()
                    .unwrap()
                    .trim_start_matches("0x0")
                    .trim_start_matches("0x")
                    == kind
            );
            if let Some(name) = row["name"].as_str() {
                assert_eq!(name, own["name"]);
                assert_eq!(row["uuid"].as_str().unwrap().to_lowercase(), own["uuid"]);
            }
        }
    }
}

#[test]
fn it_tells_what_is_in_an_image() {
    let image = TestImage::x86();
    image.package_status("half", "1", "install ok unpacked");
    let inspection = inspect(&open(&image)).unwrap();
    let text = inspection.text(true);
    for line in [
        "recipe   minimal: Minimal\n",
        "Partitions (GPT, disk aaaaaaaa-0000-4000-8000-000000000000)",
        &format!("EFI system           fat32  {FAT_UUID}"),
        ROOT_UUID,
        "GRUB, loads sector 2048",
        "esp:/EFI/BOOT/BOOTIA32.EFI",
        "/boot/vmlinuz-6.1-amd64",
        "/usr/lib/systemd/systemd",
        "Packages (1)",
        "base-files  12.4",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    let short = inspection.text(false);
    assert!(short.ends_with("\n1 package, 0 B installed\n"), "{short}");
    assert!(inspection.problems.is_empty());
    assert_eq!(inspection.packages.len(), 2);
}

#[test]
fn a_raspberry_pis_chain_is_shown() {
    let inspection = inspect(&open(&TestImage::raspi())).unwrap();
    let chain: Vec<(&str, &str)> = inspection
        .boot
        .iter()
        .map(|piece| (piece.what.as_str(), piece.place.as_str()))
        .collect();
    assert_eq!(
        chain,
        [
            ("firmware Pi 3", "firmware:/start.elf"),
            ("firmware Pi 4", "firmware:/start4.elf"),
            ("settings", "firmware:/config.txt"),
            ("device trees", "firmware:/"),
            ("kernel", "firmware:/vmlinuz-6.1-arm64"),
            ("initramfs", "firmware:/initrd.img-6.1-arm64"),
            ("command line", "firmware:/cmdline.txt"),
            ("init", "/usr/lib/systemd/systemd"),
        ]
    );
    assert!(inspection.boot[6].note.starts_with("console=tty1 root=UUID="));
}

#[test]
fn paths_are_printed_and_listed() {
    let test = TestImage::raspi();
    test.link("/etc/outside", "/../../etc/os-release");
    test.link("/etc/dangling", "/nowhere");
    test.link("/loop", "loop");
    let image = open(&test);
    assert_eq!(bytes(&image, "/etc/os-release"), b"ID=debian\n");
    assert_eq!(bytes(&image, "root:/etc/outside"), b"ID=debian\n");
    assert_eq!(bytes(&image, "firmware:/bootcode.bin"), b"bootcode.bin");
    assert_eq!(
        bytes(&image, "firmware:/CONFIG.TXT"),
        bytes(&image, "firmware:/config.txt")
    );
    assert_eq!(bytes(&image, "firmware:/overlays/x.dtbo"), b"overlays/x.dtbo");
    let Found::Directory(listing) = inspect_path(&image, "/sbin/").unwrap() else {
        panic!()
    };
    assert_eq!(
        listing.text(),
        "root:/usr/sbin\n  mode  uid  gid  size  name\n  0777  0    0    -     init -> /lib/systemd/systemd\n"
    );
    let Found::Directory(listing) = inspect_path(&image, "firmware:/").unwrap() else {
        panic!()
    };
    assert!(
        listing.text().contains("  -       overlays/\n"),
        "{}",
        listing.text()
    );

    assert_eq!(
        error(&image, "etc/os-release"),
        "etc/os-release is not an absolute path\n  help: write /etc/os-release, or PARTITION:/etc/os-release with one of: firmware, root"
    );
    assert_eq!(error(&image, "/none"), "there is no /none in the image");
    assert_eq!(
        error(&image, "/etc/os-release/x"),
        "there is no /etc/os-release/x in the image"
    );
    assert_eq!(
        error(&image, "firmware:/none"),
        "there is no firmware:/none in the image"
    );
    assert_eq!(
        error(&image, "/etc/dangling"),
        "/etc/dangling points to /nowhere, which is not in the image"
    );
    assert_eq!(
        error(&image, "/loop"),
        "/loop points to loop, which is not in the image"
    );
    assert_eq!(
        error(&image, "boot:/x"),
        "the image has no file system called boot\n  help: it has: firmware, root"
    );
}

#[test]
fn it_agrees_with_mdir_debugfs_and_dpkg_query() {
    let image = TestImage::raspi();
    image.package_status("nginx", "1.22.1-9", "install ok installed");
    image.package_status("gone", "1", "deinstall ok config-files");
    let image = open(&image);
    let run = |cmd: Cmd| String::from_utf8(cmd.clean_env().output().unwrap()).unwrap();

    let firmware = &image.partitions()[0];
    let place = format!("{}@@{}", image.path().display(), firmware.offset());
    let theirs = run(Cmd::new("mdir").args(["-b", "-/", "-i", &place, "::/"]));
    let mut theirs: Vec<&str> = theirs
        .lines()
        .map(|line| line.trim_start_matches("::").trim_end_matches('/'))
        .collect();
    theirs.sort_unstable();
    let ours: Vec<String> = image
        .fat(firmware)
        .unwrap()
        .walk()
        .unwrap()
        .into_iter()
        .map(|entry| entry.path)
        .collect();
    assert_eq!(ours, theirs);

    let place = format!(
        "{}?offset={}",
        image.path().display(),
        image.partitions()[1].offset()
    );
    for path in [
        "/usr/lib/systemd/systemd",
        "/etc/hostname",
        "/vmlinuz",
        "/var/log",
    ] {
        let theirs = run(Cmd::new("debugfs").args(["-R", &format!("stat {path}"), &place]));
        let entry = image.root().unwrap().stat(path).unwrap().unwrap();
        let words: Vec<&str> = theirs.split_whitespace().collect();
        let after = |name: &str| words[words.iter().position(|word| *word == name).unwrap() + 1];
        assert_eq!(after("Mode:"), format!("{:04o}", entry.mode), "{path}");
        assert_eq!(
            (after("User:"), after("Group:")),
            (&*entry.uid.to_string(), &*entry.gid.to_string())
        );
        assert_eq!(after("Size:"), entry.size.to_string(), "{path}");
        let time = theirs
            .lines()
            .find_map(|line| line.trim().strip_prefix("mtime: 0x"))
            .unwrap();
        assert_eq!(
            i64::from_str_radix(&time[..8], 16).unwrap(),
            entry.mtime,
            "{path}"
        );
    }

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("status"), bytes(&image, "/var/lib/dpkg/status")).unwrap();
    std::fs::create_dir(dir.path().join("info")).unwrap();
    let format = "--showformat=${Package} ${Version} ${Architecture} ${Status}\\n";
    let admin = format!("--admindir={}", dir.path().display());
    let theirs = run(Cmd::new("dpkg-query").args([&admin, "-W", format]));
    let line = |p: &Package| format!("{} {} {} {}\n", p.name, p.version, p.architecture, p.status);
    let ours: String = inspect(&image).unwrap().packages.iter().map(line).collect();
    assert_eq!(ours, theirs);
}
