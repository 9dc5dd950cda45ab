//! What a build leaves when the world goes wrong: kills, dead or lying mirrors, full disks, missing rights.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::events::Running;
use crate::support::{cache_dir, clic, clic_with, image, locked_tree, run, sha256};
use crate::turn::{Work, turn};

/// A store that holds the shared one's downloads (as links), so that a build need not fetch again.
pub fn seeded_cache(dir: &Path) -> PathBuf {
    linked_cache(dir, &["downloads"])
}

/// A store with these rooms of the shared one, as links: what is in a store is never changed, only replaced.
pub fn linked_cache(dir: &Path, rooms: &[&str]) -> PathBuf {
    let cache = dir.join("cache");
    for room in rooms {
        link_all(&cache_dir().join(room), &cache.join(room));
    }
    cache
}

/// Links a directory's files. Other builds are at work in it: what goes meanwhile is not wanted. A store that nobody used yet has
/// none.
fn link_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        entries => entries.unwrap_or_else(|error| panic!("{}: {error}", from.display())),
    };
    for entry in entries {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        let is_dir = entry.file_type().unwrap().is_dir();
        if is_dir {
            link_all(&entry.path(), &to);
        } else if let Err(error) = fs::hard_link(entry.path(), &to) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", to.display());
        }
    }
}

/// Processes whose command line or environment names `needle`. Others' environments are unreadable, and not ours.
pub fn processes_that_name(needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.parse::<u32>().is_err() || name == std::process::id().to_string() {
            continue;
        }
        for part in ["cmdline", "environ"] {
            let bytes = fs::read(entry.path().join(part)).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
            if text.contains(needle) {
                found.push(format!("{name}: {text}"));
                break;
            }
        }
    }
    found
}

/// `kill -9` as each stage begins: no process, no mount, no file under a final name; the next build succeeds.
#[test]
fn a_killed_build_leaves_nothing_and_the_next_one_succeeds() {
    let reference = sha256(&image("x86-pc"));
    let _turn = turn(Work::Build);
    let dir = tempfile::tempdir().unwrap();
    let cache = seeded_cache(dir.path());
    let out = dir.path().join("out");
    let needle = dir.path().display().to_string();

    // Those that are killed have no lock: apt is killed as well.
    for (stage, what) in [
        ("resolve", ""),
        ("base", "unpack "),
        ("recipe", "configure "),
        ("customize", "making the initramfs"),
        ("image", ""),
    ] {
        let mut command = clic_with(
            &cache,
            ["--json", "build", "minimal", "--board", "x86-pc", "--out"],
        );
        command.arg(&out);
        let mut build = Running::start(command);
        build.until_busy(stage, what);
        build.signal(Signal::KILL);
        build.child.wait().unwrap();

        // The kernel ends the children asynchronously.
        let mut left = processes_that_name(&needle);
        for _ in 0..100 {
            if left.is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            left = processes_that_name(&needle);
        }
        assert!(left.is_empty(), "killed in `{stage}`, still running: {left:#?}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            !mounts.contains(&needle),
            "killed in `{stage}`, still mounted:\n{mounts}"
        );
        let finals: Vec<_> = final_names(&out);
        assert!(
            finals.is_empty(),
            "killed in `{stage}`, under a final name: {finals:?}"
        );
    }

    let mut build = clic_with(
        &cache,
        ["build", "minimal", "--locked", "--board", "x86-pc", "--out"],
    );
    run(build.arg(&out).arg("--root").arg(locked_tree())).ok();
    assert_eq!(
        sha256(&out.join("minimal-x86-pc.img")),
        reference,
        "kills changed the result"
    );
    let scratch: Vec<_> = fs::read_dir(cache.join("tmp"))
        .map(|d| d.flatten().map(|e| e.path()).collect())
        .unwrap_or_default();
    assert!(
        scratch.is_empty(),
        "scratch of killed builds is still there: {scratch:?}"
    );
}

/// Images, manifests and the like under names that a person would take for finished.
pub fn final_names(out: &Path) -> Vec<String> {
    let Ok(dir) = fs::read_dir(out) else {
        return Vec::new();
    };
    let names = dir
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with('.')).collect()
}

/// SIGINT is the polite form: exit code 130, scratch gone at once.
#[test]
fn ctrl_c_ends_a_build_and_removes_its_scratch() {
    let _built = image("x86-pc");
    let _turn = turn(Work::Build);
    let dir = tempfile::tempdir().unwrap();
    let cache = seeded_cache(dir.path());
    let mut command = clic_with(
        &cache,
        ["--json", "build", "minimal", "--board", "x86-pc", "--out"],
    );
    command.arg(dir.path().join("out"));
    let mut build = Running::start(command);
    build.until_busy("recipe", "configure ");
    build.signal(Signal::INT);
    build.until(|_| false);
    assert_eq!(build.child.wait().unwrap().code(), Some(130));
    assert!(processes_that_name(&dir.path().display().to_string()).is_empty());
    let scratch: Vec<_> = fs::read_dir(cache.join("tmp"))
        .map(|d| d.flatten().map(|e| e.path()).collect())
        .unwrap_or_default();
    assert!(scratch.is_empty(), "{scratch:?}");
}

#[test]
fn a_mirror_that_does_not_answer_is_a_failure_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    // A port that was free a moment ago: nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mirror = format!("http://127.0.0.1:{port}/debian");
    let mut command = clic_with(
        &dir.path().join("cache"),
        [
            "build", "minimal", "--board", "x86-pc", "--mirror", &mirror, "--out",
        ],
    );
    run(command.arg(dir.path().join("out"))).fails(1, &[&mirror]);
}

/// Who `clic` is in [`within`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// The user who runs the tests, with no ids but his own.
    Myself,
    /// Root of the namespace, with its subordinate ids: what the sandbox of a build needs.
    Root,
}

/// Runs `clic` with some of the host taken away, by `setup`: mounts in a namespace of its own.
pub fn within(setup: &str, who: As, cache: &Path, args: &[&str]) -> Command {
    let inner = clic_with(cache, args);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount"]);
    let (uid, gid) = (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    let again = match who {
        As::Myself => format!("unshare --user --map-user={uid} --map-group={gid} --"),
        As::Root => {
            command.arg("--map-auto");
            String::new()
        }
    };
    command.args(["--", "sh", "-ec", &format!("{setup}\nexec {again} \"$@\""), "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    for (key, value) in inner.get_envs() {
        if let Some(value) = value {
            command.env(key, value);
        }
    }
    command
        .current_dir(crate::support::root())
        .stdin(Stdio::null())
        .process_group(0);
    command
}

#[test]
fn without_subordinate_ids_the_command_that_mends_it_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out").display().to_string();
    let args = ["build", "minimal", "--board", "x86-pc", "--out", &out];
    let mut command = within(
        "mount --bind /dev/null /etc/subuid; mount --bind /dev/null /etc/subgid",
        As::Myself,
        &dir.path().join("cache"),
        &args,
    );
    run(&mut command).fails(2, &["/etc/subuid", "usermod --add-subuids"]);
}

#[test]
fn without_any_known_mirror_the_ways_to_name_one_are_said() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out").display().to_string();
    let args = ["build", "minimal", "--board", "x86-pc", "--out", &out];
    let hide = "mount -t tmpfs none /etc/apt/sources.list.d; if [ -e /etc/apt/sources.list ]; then mount --bind /dev/null /etc/apt/sources.list; fi";
    let mut command = within(hide, As::Myself, &dir.path().join("cache"), &args);
    command.env_remove("CLIC_DEBIAN_MIRROR");
    run(&mut command).fails(2, &["--mirror", "CLIC_DEBIAN_MIRROR"]);
}

#[test]
fn a_full_disk_is_said_with_how_much_was_needed() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    fs::create_dir_all(&cache).unwrap();
    let out = dir.path().join("out").display().to_string();
    // Room for apt's lists, not for the packages.
    let small = format!("mount -t tmpfs -o size=160m,mode=700 none {}", cache.display());
    let mut command = within(
        &small,
        As::Root,
        &cache,
        &["build", "minimal", "--board", "x86-pc", "--out", &out],
    );
    run(&mut command).fails(1, &["disk full", " needs ", " MB free"]);
}

/// A mirror in between that spoils packages: retried, then a failure that names the package; what was good is
/// kept, so that the next try does not fetch it again.
#[test]
fn a_mirror_that_serves_wrong_bytes_is_caught_and_the_next_try_resumes() {
    let mirror = crate::mirror::spoiling_mirror();
    let _turn = turn(Work::Build);
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let build = || {
        let mut command = clic_with(
            &cache,
            [
                "build",
                "minimal",
                "--board",
                "x86-pc",
                "--mirror",
                &mirror.url,
                "--out",
            ],
        );
        command.arg(dir.path().join("out"));
        command
    };
    mirror.spoil("/hostname_");
    run(&mut build()).fails(1, &["hostname_", "sha256"]);
    let tries = mirror.requests("/hostname_");
    assert!(tries >= 2, "asked {tries} time(s) only");
    let kept = mirror.requests("/libc6_");
    mirror.spoil("");
    run(&mut build()).ok();
    assert_eq!(
        mirror.requests("/libc6_"),
        kept,
        "a good package was fetched again"
    );
}

#[test]
fn offline_with_an_empty_store_names_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = clic_with(
        &dir.path().join("cache"),
        ["build", "minimal", "--board", "x86-pc", "--offline", "--out"],
    );
    run(command.arg(dir.path().join("out"))).fails(1, &["--offline"]);
}

/// Once everything is in the store, a build needs no network at all, nor a lock.
#[test]
fn offline_with_a_full_store_builds_the_same_image() {
    let _downloads = image("x86-pc");
    let _turn = turn(Work::Build);
    let dir = tempfile::tempdir().unwrap();
    let build = |name: &str, more: &[&str]| {
        let out = dir.path().join(name);
        let mut command = clic(["build", "minimal", "--board", "x86-pc", "--out"]);
        run(command.arg(&out).args(more)).ok();
        sha256(&out.join("minimal-x86-pc.img"))
    };
    assert_eq!(build("online", &[]), build("offline", &["--offline"]));
}
