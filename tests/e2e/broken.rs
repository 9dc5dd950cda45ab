//! Deliberately broken images are caught, each with a message that names the cause.

use std::path::Path;

use crate::support::{Said, clic, copy, debugfs, image, run, tool};
use crate::turn::{Work, turn};

/// Breaks a copy of the x86 image by debugfs commands and tests it on one firmware.
fn test_broken(breakage: impl FnOnce(&Path) -> String) -> Said {
    let dir = tempfile::tempdir_in(crate::support::work_dir()).unwrap();
    test_broken_in(dir.path(), breakage)
}

/// As [`test_broken`]; logs are in `logs` of `dir` afterwards.
fn test_broken_in(dir: &Path, breakage: impl FnOnce(&Path) -> String) -> Said {
    let image = image("x86-pc");
    let _turn = turn(Work::Machine);
    let broken = copy(&image, dir);
    let commands = breakage(&broken);
    debugfs(&broken, &commands);
    let logs = dir.join("logs");
    run(clic(["test", "--machine", "bios"])
        .arg(&broken)
        .arg("--logs")
        .arg(&logs))
}

/// The grub.cfg of the image with `old` replaced, put back in by debugfs.
fn with_grub_cfg(image: &Path, edit: impl FnOnce(&str) -> String) -> String {
    let text = run(clic(["inspect"]).arg(image).arg("/boot/grub/grub.cfg"))
        .ok()
        .stdout;
    let file = image.with_extension("grub.cfg");
    std::fs::write(&file, edit(&text)).unwrap();
    format!(
        "rm /boot/grub/grub.cfg\nwrite {} /boot/grub/grub.cfg\n",
        file.display()
    )
}

#[test]
fn without_init() {
    test_broken(|_| "rm /lib/systemd/systemd\nrm /usr/lib/systemd/systemd\n".into()).fails(
        1,
        &["rule init", "no init: /sbin/init points to /lib/systemd/systemd"],
    );
}

#[test]
fn with_a_corrupt_grub_cfg() {
    test_broken(|image| with_grub_cfg(image, |text| text[..text.len() / 3].replace("linux", "linus")))
        .fails(1, &["rule boot-menu", "/boot/grub/grub.cfg is damaged"]);
}

#[test]
fn with_a_wrong_root_uuid() {
    test_broken(|image| {
        let uuid = tool(
            "blkid",
            [
                "-p",
                "-O",
                &crate::support::root_offset(image).to_string(),
                "-o",
                "value",
                "-s",
                "UUID",
                &image.display().to_string(),
            ],
        );
        let wrong = "00000000-1111-4222-8333-444444444444";
        with_grub_cfg(image, |text| {
            text.replace(
                &format!("root=UUID={}", uuid.trim()),
                &format!("root=UUID={wrong}"),
            )
        })
    })
    .fails(
        1,
        &[
            "/boot/grub/grub.cfg",
            "00000000-1111-4222-8333-444444444444",
            "root",
        ],
    );
}

#[test]
fn with_a_unit_that_fails() {
    let dir = tempfile::tempdir_in(crate::support::work_dir()).unwrap();
    test_broken_in(dir.path(), |image| {
        let unit = image.with_extension("service");
        std::fs::write(&unit, "[Unit]\nDescription=Fails\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo the reason of it all; exit 3'\n").unwrap();
        format!(
            "write {} /etc/systemd/system/broken.service\nsymlink /etc/systemd/system/multi-user.target.wants/broken.service ../broken.service\n",
            unit.display()
        )
    })
    .fails(1, &["no unit failed", "failed: broken.service", "the reason of it all"]);
    let journal = dir.path().join("logs/minimal-x86-pc.bios.journal.log");
    let journal = std::fs::read_to_string(journal).expect("the journal of what failed is kept");
    for line in ["Linux version", "the reason of it all"] {
        assert!(journal.contains(line), "no {line:?} in {journal}");
    }
}

#[test]
fn with_a_wrong_file_mode() {
    test_broken(|_| "set_inode_field /etc/ssh/sshd_config.d/10-clic.conf mode 0100666\n".into())
        .fails(1, &["/etc/ssh/sshd_config.d/10-clic.conf", "0644", "0666"]);
}

/// `build` itself reads its image back and fails on a violated rule: here a secret that a recipe ships.
#[test]
fn a_build_that_ships_a_secret_fails_and_names_the_rule() {
    let _built = image("x86-pc");
    let _turn = turn(Work::Build);
    let dir = tempfile::tempdir().unwrap();
    let tree = crate::support::copy_tree(dir.path());
    let overlay = tree.join("overlays/leaky");
    std::fs::create_dir_all(overlay.join("files/etc/ssl")).unwrap();
    std::fs::write(
        overlay.join("overlay.toml"),
        "schema = 1\ntitle = \"Leaky\"\ndescription = \"Ships a key\"\n",
    )
    .unwrap();
    let key = format!(
        "-----BEGIN {} KEY-----\nMIIB\n-----END {} KEY-----\n",
        "PRIVATE", "PRIVATE"
    );
    std::fs::write(overlay.join("files/etc/ssl/server.key"), key).unwrap();
    crate::support::edit(
        &tree.join("recipes/minimal.toml"),
        "overlays = [",
        "overlays = [\"leaky\", ",
    );
    let out = dir.path().join("out");
    run(clic(["build", "minimal", "--board", "x86-pc", "--out"])
        .arg(&out)
        .arg("--root")
        .arg(&tree))
    .fails(1, &["secrets", "/etc/ssl/server.key"]);
    assert!(
        !out.join("minimal-x86-pc.img").exists(),
        "a refused image lies under its final name"
    );
}
