//! Same lock, same bytes: whatever the directory, umask, time zone, locale and number of threads, emulated or
//! native. (Another user is shown by hand, since a test runs as one.)

use std::os::unix::process::CommandExt;

use crate::interrupted::linked_cache;
use crate::support::{clic, clic_with, copy_locked_tree, image, run, sha256};
use crate::turn::{Work, turn};

#[track_caller]
fn the_same_elsewhere(board: &str, how: &str) {
    let reference = image(board);
    let _turn = turn(Work::Build);
    let dir = tempfile::Builder::new()
        .prefix("clic elsewhere ")
        .tempdir()
        .unwrap();
    let tree = copy_locked_tree(dir.path());
    let mut command = clic(["build", "minimal", "--locked", "--board", board, "--rebuild", how]);
    command
        .arg("--out")
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

/// A file that nothing reads while the image is made changes: only itself changes in the image, which is what a build from
/// nothing makes. A file that something reads makes its stage again.
#[test]
fn a_changed_file_reuses_what_did_not_read_it_and_gives_the_same_bytes() {
    let _built = image("x86-pc");
    let _turn = turn(Work::Build);
    let dir = tempfile::tempdir().unwrap();
    let tree = copy_locked_tree(dir.path());
    // The reasons that it is told are about the last build of this recipe in a store, and other tests build it as well.
    let cache = linked_cache(dir.path(), &["downloads", "last", "layers", "tools"]);
    let build = |out: &str, more: &[&str]| {
        let out = dir.path().join(out);
        let mut command = clic_with(&cache, ["build", "minimal", "--board", "x86-pc", "--out"]);
        command.arg(&out).arg("--root").arg(&tree).args(more);
        (
            run(&mut command).ok().stderr,
            sha256(&out.join("minimal-x86-pc.img")),
        )
    };
    // The store has its layers after this, also where the image is of an earlier run.
    let (_, first) = build("first", &[]);
    let (said, again) = build("first", &["--offline"]);
    assert!(
        said.contains("Write the image (it is there: no input changed)"),
        "{said}"
    );
    assert_eq!(first, again);
    let plan = || {
        let mut command = clic_with(
            &cache,
            ["plan", "minimal", "--board", "x86-pc", "--json", "--root"],
        );
        let plan = run(command.arg(&tree).arg("--out").arg(dir.path().join("first"))).ok();
        let stages = plan.json()["stages"].as_array().expect("stages").clone();
        stages
            .iter()
            .map(|stage| (stage["stage"].clone(), stage["cached"].clone()))
            .collect::<Vec<_>>()
    };
    // Layers of another run of this test may be in the store.
    let this = dir.path().file_name().unwrap().to_str().unwrap();
    let stages = ["base", "recipe", "board", "customize", "image"];
    assert_eq!(plan(), stages.map(|stage| (stage.into(), true.into())));
    let files = tree.join("overlays/base/files/etc");
    let unread = files.join("ssh/sshd_config.d/10-clic.conf");
    let text = std::fs::read_to_string(&unread).unwrap();
    std::fs::write(&unread, format!("{text}# changed by {this}\n")).unwrap();
    assert_eq!(
        plan(),
        stages.map(|stage| (stage.into(), (stage != "image").into()))
    );
    let (said, reused) = build("reused", &[]);
    assert!(
        said.contains("it did not read what changed (/etc/ssh/sshd_config.d/10-clic.conf"),
        "{said}"
    );
    let (_, anew) = build("anew", &["--rebuild"]);
    assert_eq!(reused, anew);

    let read = files.join("initramfs-tools/conf.d/clic");
    let text = std::fs::read_to_string(&read).unwrap();
    std::fs::write(&read, format!("{text}# changed by {this}\n")).unwrap();
    let (said, _) = build("read", &[]);
    assert!(
        said.contains("Files, units, initramfs (file /etc/initramfs-tools/conf.d/clic of base changed"),
        "{said}"
    );
}

#[test]
fn x86_pc_is_the_same_to_the_bit() {
    the_same_elsewhere("x86-pc", "--jobs=1");
}

#[test]
fn raspberry_pi_is_the_same_to_the_bit() {
    the_same_elsewhere("raspberry-pi", "--jobs=1");
}

#[test]
#[ignore = "nightly: a quarter of an hour, since every program of every package script is emulated"]
fn raspberry_pi_is_the_same_to_the_bit_when_everything_is_emulated() {
    the_same_elsewhere("raspberry-pi", "--no-accelerate");
}
