//! Same mirror state, same bytes: whatever the directory, umask, time zone and locale. (Another user is shown by
//! hand, since a test runs as one.)

use std::os::unix::process::CommandExt;

use crate::support::{clic, copy_tree, heavy, image, run, sha256};

#[track_caller]
fn the_same_elsewhere(board: &str) {
    let reference = image(board);
    let _turn = heavy();
    let dir = tempfile::Builder::new()
        .prefix("clic elsewhere ")
        .tempdir()
        .unwrap();
    let tree = copy_tree(dir.path());
    let mut command = clic(["build", "minimal", "--board", board, "--rebuild", "--out"]);
    command
        .arg(dir.path().join("out"))
        .arg("--root")
        .arg(&tree)
        .current_dir(dir.path());
    command
        .env("TZ", "Pacific/Kiritimati")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("LANG", "tr_TR.UTF-8")
        .env("HOME", dir.path());
    umask(&mut command, 0o077);
    run(&mut command).ok();
    let built = dir.path().join(format!("out/minimal-{board}.img"));
    if sha256(&built) != sha256(&reference) {
        let said = run(clic(["diff"]).arg(&reference).arg(&built));
        panic!("two builds of {board} differ:\n{}{}", said.stdout, said.stderr);
    }
    let manifest = |image: &std::path::Path| {
        let text = std::fs::read_to_string(image.with_extension("manifest.json")).unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value
            .as_object_mut()
            .unwrap()
            .remove("build")
            .expect("the part of the manifest that may differ");
        value
    };
    assert_eq!(manifest(&built), manifest(&reference));
}

#[allow(unsafe_code)]
fn umask(command: &mut std::process::Command, mask: u32) {
    // SAFETY: umask(2) is async-signal-safe and cannot fail.
    unsafe {
        command.pre_exec(move || {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
            Ok(())
        });
    }
}

#[test]
fn x86_pc_is_the_same_to_the_bit() {
    the_same_elsewhere("x86-pc");
}

#[test]
#[ignore = "a second arm64 build is ten minutes of emulated package scripts: run by hand with --ignored"]
fn raspberry_pi_is_the_same_to_the_bit() {
    the_same_elsewhere("raspberry-pi");
}
