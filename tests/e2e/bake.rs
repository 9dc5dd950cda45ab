//! Bakes: steps in the running system while an image is built, kept as layers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::events::{Running, why};
use crate::interrupted::final_names;
use crate::support::{clic, copy_locked_tree, edit, failures, image, run};
use crate::turn::{Work, turn};

/// Two overlays with steps: the first changes, makes and removes files, and starts a unit of its own; the second sees it.
fn tree(dir: &Path) -> std::path::PathBuf {
    let tree = copy_locked_tree(dir);
    let first = tree.join("overlays/dough");
    fs::create_dir_all(first.join("files/etc")).unwrap();
    fs::write(first.join("files/etc/dough.conf"), "raw\n").unwrap();
    fs::write(first.join("files/etc/flour"), "flour\n").unwrap();
    let toml = r#"schema = 1
title = "Dough"
description = "Baked while the image is built"

[[bake]]
name = "the system runs"
command = "systemctl is-active systemd-journald.service && test -e /etc/clic/baking && test ! -e /srv/clic/content"

[[bake]]
name = "the dough is baked"
command = '''
set -e
echo baked >/etc/dough.conf
rm /etc/flour
install -d -m 0750 -o daemon -g daemon /srv/bread
head -c 3000000 /dev/zero | tr '\0' b >/srv/bread/loaf
chmod 0640 /srv/bread/loaf
ln /srv/bread/loaf /srv/bread/same
setcap cap_net_bind_service+ep /srv/bread/same 2>/dev/null || true
echo RUN >/var/log/baking.log
! getent hosts debian.org
'''

[[check]]
name = "the bread is there"
command = "cat /etc/dough.conf && stat -c '%U %a %s %h' /srv/bread/loaf && ls /etc/flour /etc/clic/baking /var/log/baking.log 2>&1"
exit = 2
contains = "baked\nroot 640 3000000 2"
"#;
    // Layers of another run of this test may be in the store.
    let run = dir.file_name().unwrap().to_str().unwrap();
    fs::write(first.join("overlay.toml"), toml.replace("RUN", run)).unwrap();
    let second = tree.join("overlays/butter");
    fs::create_dir_all(&second).unwrap();
    fs::write(
        second.join("overlay.toml"),
        r#"schema = 1
title = "Butter"
description = "On the bread of the other"
requires = ["dough"]

[[bake]]
name = "the bread is buttered"
command = "grep -q baked /etc/dough.conf && cp /srv/bread/loaf /srv/bread/buttered"
"#,
    )
    .unwrap();
    edit(
        &tree.join("recipes/minimal.toml"),
        "overlays = [\"base\", \"resolved\"]",
        "overlays = [\"base\", \"resolved\", \"dough\", \"butter\"]",
    );
    tree
}

/// Stages of a build: name and why.
pub fn stages(manifest: &Path) -> Vec<(String, String)> {
    let manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    manifest["build"]["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| (text(&stage["stage"]), text(&stage["why"])))
        .collect()
}

/// `kill -9` in the middle of the first bake: no machine runs on, and nothing is there that somebody would take for an image.
/// That the store is as it was, the next build shows.
fn killed_while_the_machine_runs(tree: &Path, out: &Path) {
    let mut command = clic(["--json", "build", "minimal", "--board", "x86-pc", "--root"]);
    command.arg(tree).arg("--out").arg(out);
    let mut build = Running::start(command);
    // Its system is up then, and its disk is being changed.
    build.until_busy("bake-dough", "the dough is baked");
    let machines = machines_of(build.child.id());
    assert!(!machines.is_empty(), "no machine runs");
    build.signal(Signal::KILL);
    build.child.wait().unwrap();
    // Of a process that has ended, nobody can say where it is.
    let ended = |machine: &PathBuf| fs::read_link(machine.join("cwd")).is_err();
    until(|| machines.iter().all(ended), "the machine runs on");
    assert_eq!(final_names(out), Vec::<String>::new());
}

/// Machines that a process has started, as directories of `/proc`.
fn machines_of(process: u32) -> Vec<PathBuf> {
    let parent = |of: &str| -> Option<String> {
        let status = fs::read_to_string(format!("/proc/{of}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        Some(line.trim().to_owned())
    };
    let ours = |of: &str| {
        let mut ancestors = std::iter::successors(parent(of), |of| parent(of));
        ancestors.any(|ancestor| ancestor == process.to_string())
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            name.starts_with("qemu-system") && ours(&entry.file_name().to_string_lossy())
        })
        .map(|entry| entry.path())
        .collect()
}

/// Waits at most two minutes.
fn until(there: impl Fn() -> bool, otherwise: &str) {
    for _ in 0..240 {
        if there() {
            return;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    panic!("{otherwise}");
}

/// What `plan` says of a build and what it did are one list. Bakes write images of their own on the way, to be started.
fn forecast_is_what_was_done(tree: &Path, out: &Path) {
    let mut command = clic(["plan", "minimal", "--board", "x86-pc", "--json", "--root"]);
    let plan = run(command.arg(tree).arg("--out").arg(out)).ok().json();
    let forecast: Vec<String> = plan["stages"]
        .as_array()
        .expect("stages")
        .iter()
        .map(|stage| stage["stage"].as_str().unwrap().to_owned())
        .collect();
    assert!(forecast.contains(&"bake-butter".to_owned()), "{forecast:?}");
    let done = stages(&out.join("minimal-x86-pc.manifest.json"));
    let mut done: Vec<&String> = done.iter().map(|(stage, _)| stage).collect();
    // The last image is the one that was meant.
    let mut seen = BTreeSet::new();
    done.reverse();
    done.retain(|stage| forecast.contains(stage) && seen.insert(stage.as_str()));
    done.reverse();
    assert_eq!(done, forecast.iter().collect::<Vec<_>>());
}

#[test]
fn an_image_is_baked_once_and_boots_as_baked() {
    let _downloads = image("x86-pc");
    let _turn = turn(Work::LongMachine);
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(dir.path());
    let build = |out: &Path| {
        run(
            clic(["build", "minimal", "--locked", "--board", "x86-pc", "--root"])
                .arg(&tree)
                .arg("--out")
                .arg(out),
        )
    };
    let out = dir.path().join("out");
    killed_while_the_machine_runs(&tree, &out);
    build(&out).ok();
    let img = out.join("minimal-x86-pc.img");
    forecast_is_what_was_done(&tree, &out);
    // Nothing of the way in is left, nor of the run.
    for path in [
        "/usr/lib/clic-test-agent.sh",
        "/etc/clic/baking",
        "/.clic-bake",
        "/var/log/baking.log",
        "/etc/flour",
    ] {
        run(clic(["inspect"]).arg(&img).arg(path)).fails(2, &["there is no"]);
    }
    let said = run(clic(["--json", "test", "--machine", "uefi-x64", "--logs"])
        .arg(dir.path().join("logs"))
        .arg(&img))
    .last_json();
    assert_eq!(said["passed"], true, "{}", failures(&said));
    let cases = said["machines"][0]["cases"].to_string();
    assert!(cases.contains("the bread is there"), "{cases}");

    // Elsewhere: the same bytes, and no machine is started.
    let other = dir.path().join("other");
    build(&other).ok();
    assert_eq!(
        crate::support::sha256(&img),
        crate::support::sha256(&other.join("minimal-x86-pc.img"))
    );
    let cached = |name: &str, all: &[(String, String)]| {
        let why = &all.iter().find(|(stage, _)| stage == name).expect(name).1;
        why.starts_with("the store has it")
    };
    let all = stages(&other.join("minimal-x86-pc.manifest.json"));
    assert!(
        cached("bake-dough", &all) && cached("bake-butter", &all),
        "{all:?}"
    );

    // Another butter: the dough is not baked again. Its step fails: by name, with its last lines; a copy is kept on request,
    // and no image is there.
    let burnt = dir.path().join("burnt");
    edit(
        &tree.join("overlays/butter/overlay.toml"),
        "command = \"grep",
        "timeout-seconds = 5\ncommand = \"echo it burns; exit 3; grep",
    );
    let said = run(clic([
        "--json", "build", "minimal", "--board", "x86-pc", "--keep", "--root",
    ])
    .arg(&tree)
    .arg("--out")
    .arg(&burnt));
    let events: Vec<Value> = said
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON lines"))
        .collect();
    let cached = |stage: &str| why(&events, stage).starts_with("the store has it");
    assert!(cached("bake-dough") && !cached("bake-butter"), "{events:#?}");
    said.fails(
        1,
        &[
            "step `the bread is buttered` of butter ended with 3",
            "it burns",
            "failed.img",
        ],
    );
    assert!(!burnt.join("minimal-x86-pc.img").exists());
    let kept = burnt.join("minimal-x86-pc.failed.img");
    assert!(kept.exists());
    fs::remove_file(kept).unwrap();
    // One that hangs.
    edit(
        &tree.join("overlays/butter/overlay.toml"),
        "echo it burns; exit 3",
        "sleep 60",
    );
    build(&burnt).fails(
        1,
        &["step `the bread is buttered` of butter did not end within 5 s"],
    );
}
