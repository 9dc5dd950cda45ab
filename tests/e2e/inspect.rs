//! `clic inspect` and `clic diff` agree with the tools that people know: sfdisk, mdir, debugfs, dpkg-query.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::support::{clic, copy, debugfs, image, root_offset, run, tool, work_dir};
use crate::turn::{Work, turn};

fn inspect(image: &Path) -> Value {
    run(clic(["--json", "inspect"]).arg(image)).ok().json()
}

fn partitions_agree(board: &str) {
    let image = image(board);
    let ours = inspect(&image);
    let theirs: Value = serde_json::from_str(&tool("sfdisk", ["-J".as_ref(), image.as_os_str()])).unwrap();
    let theirs = &theirs["partitiontable"];
    let (ours, partitions) = (
        ours["partitions"].as_array().unwrap(),
        theirs["partitions"].as_array().unwrap(),
    );
    assert_eq!(ours.len(), partitions.len());
    for (our, their) in ours.iter().zip(partitions) {
        assert_eq!(our["first_sector"], their["start"]);
        assert_eq!(our["sectors"], their["size"]);
        if theirs["label"] == "gpt" {
            assert_eq!(our["name"], their["name"]);
            assert_eq!(
                our["uuid"].as_str().unwrap().to_uppercase(),
                their["uuid"].as_str().unwrap()
            );
        }
    }
}

#[test]
fn partitions_are_those_that_sfdisk_sees() {
    partitions_agree("x86-pc");
    partitions_agree("raspberry-pi");
}

#[test]
fn packages_are_those_that_dpkg_sees() {
    for board in ["x86-pc", "raspberry-pi"] {
        let image = image(board);
        let dir = tempfile::tempdir().unwrap();
        let admin = dir.path().join("var/lib/dpkg");
        std::fs::create_dir_all(admin.join("info")).unwrap();
        std::fs::create_dir_all(admin.join("updates")).unwrap();
        let status = run(clic(["inspect"]).arg(&image).arg("/var/lib/dpkg/status"))
            .ok()
            .stdout;
        std::fs::write(admin.join("status"), status).unwrap();
        let format = "--showformat=${Package} ${Version} ${Architecture}\n";
        let admin = format!("--admindir={}", admin.display());
        let theirs: BTreeSet<_> = tool("dpkg-query", [&admin, format, "--show"])
            .lines()
            .map(str::to_owned)
            .collect();
        let ours = inspect(&image);
        let field = |p: &Value, key: &str| p[key].as_str().unwrap().to_owned();
        let ours: BTreeSet<_> = ours["packages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| {
                format!(
                    "{} {} {}",
                    field(p, "name"),
                    field(p, "version"),
                    field(p, "architecture")
                )
            })
            .collect();
        assert!(ours.len() > 100, "{ours:?}");
        assert_eq!(ours, theirs);
    }
}

#[test]
fn the_firmware_partition_is_what_mtools_sees() {
    let image = image("raspberry-pi");
    let ours = inspect(&image);
    let offset = ours["partitions"][0]["first_sector"].as_u64().unwrap() * 512;
    let drive = format!("{}@@{offset}", image.display());
    let theirs: BTreeSet<_> = tool("mdir", ["-b", "-i", &drive, "::/"])
        .lines()
        .map(|line| line.trim_start_matches("::/").trim_end_matches('/').to_owned())
        .collect();
    let listed = run(clic(["--json", "inspect"]).arg(&image).arg("firmware:/"))
        .ok()
        .json();
    let ours: BTreeSet<_> = listed["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ours, theirs);
    for file in ["config.txt", "cmdline.txt"] {
        let ours = run(clic(["inspect"]).arg(&image).arg(format!("firmware:/{file}")))
            .ok()
            .stdout;
        assert_eq!(ours, tool("mtype", ["-i", &drive, &format!("::/{file}")]));
    }
}

#[test]
fn files_are_what_debugfs_sees() {
    let image = image("x86-pc");
    let device = format!("{}?offset={}", image.display(), root_offset(&image));
    for path in [
        "/etc/hostname",
        "/usr/lib/os-release",
        "/etc/fstab",
        "/usr/lib/clic/grow-root",
    ] {
        let ours = run(clic(["inspect"]).arg(&image).arg(path)).ok().stdout;
        assert_eq!(
            ours,
            tool("debugfs", ["-R", &format!("cat {path}"), &device]),
            "{path}"
        );
    }
    let os_release = run(clic(["inspect"]).arg(&image).arg("/etc/os-release"))
        .ok()
        .stdout;
    assert!(
        os_release.contains("bookworm"),
        "a symlink is followed inside the image:\n{os_release}"
    );
    run(clic(["inspect"]).arg(&image).arg("/etc/no-such-file")).fails(2, &["/etc/no-such-file"]);
}

#[test]
fn the_file_systems_are_clean() {
    for board in ["x86-pc", "raspberry-pi"] {
        let image = image(board);
        let device = format!("{}?offset={}", image.display(), root_offset(&image));
        tool("e2fsck", ["-fn", &device]);
    }
}

#[test]
fn diff_names_what_changed() {
    let image = image("x86-pc");
    let dir = tempfile::tempdir_in(work_dir()).unwrap();
    let changed = {
        let _turn = turn(Work::Build);
        let changed = copy(&image, dir.path());
        let motd = dir.path().join("motd");
        std::fs::write(&motd, "Bonjour\n").unwrap();
        debugfs(
            &changed,
            &format!("rm /etc/hostname\nwrite {} /etc/bonjour\n", motd.display()),
        );
        changed
    };
    let same = run(clic(["diff"]).arg(&image).arg(&image)).ok();
    assert!(same.stdout.contains("identical"), "{}", same.stdout);
    let said = run(clic(["diff"]).arg(&image).arg(&changed));
    assert_eq!(said.code, Some(1), "{}{}", said.stdout, said.stderr);
    for path in ["/etc/hostname", "/etc/bonjour"] {
        assert!(said.stdout.contains(path), "{}", said.stdout);
    }
    assert!(!said.stdout.contains("/etc/hosts\n"), "{}", said.stdout);
}
