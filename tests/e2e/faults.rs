//! What a build does with bad packages, scripts that fail, full disks, a damaged store, company, and `kill -9`.
//!
//! The recipes here are a base system, the board's packages, and a package that a test makes itself.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::events::{Running, notes, why};
use crate::interrupted::{As, final_names, processes_that_name, seeded_cache, within};
use crate::support::{Said, cache_dir, clic, clic_with, copy_tree, edit, image, run, sha256, tool};
use crate::turn::{Work, turn};

/// A tree with a recipe `faults` for `x86-pc` that has one package: `name`, from the tree's own `debs/`.
fn tree_with(dir: &Path, name: &str) -> PathBuf {
    let tree = copy_tree(dir);
    fs::create_dir(tree.join("debs")).unwrap();
    let recipe = format!(
        "schema = 1\ntitle = \"Faults\"\nsuite = \"bookworm\"\nboards = [\"x86-pc\"]\n\
         packages = [\"systemd-sysv\", \"{name}\"]\n\
         [[source]]\nname = \"ours\"\ndirectory = \"debs\"\n"
    );
    fs::write(tree.join("recipes/faults.toml"), recipe).unwrap();
    tree
}

/// The package `name` in the tree's `debs/`, with these maintainer scripts.
fn package(tree: &Path, name: &str, scripts: &[(&str, &str)]) {
    let root = tree.join("package");
    fs::create_dir_all(root.join("DEBIAN")).unwrap();
    fs::create_dir_all(root.join("usr/share").join(name)).unwrap();
    fs::write(root.join("usr/share").join(name).join("file"), "content\n").unwrap();
    fs::write(root.join("DEBIAN/control"), control(name)).unwrap();
    for (script, text) in scripts {
        let path = root.join("DEBIAN").join(script);
        fs::write(&path, format!("#!/bin/sh\nset -e\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    tool(
        "dpkg-deb",
        [
            "--build".as_ref(),
            "--root-owner-group".as_ref(),
            root.as_os_str(),
            tree.join(format!("debs/{name}_1_all.deb")).as_os_str(),
        ],
    );
}

fn control(name: &str) -> String {
    format!(
        "Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: Test <t@example.org>\nDescription: test\n"
    )
}

/// The arguments that build `faults` of `tree` into `out`.
fn args<'a>(tree: &'a Path, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let text = |path: &'a Path| path.to_str().expect("a temporary directory's name is UTF-8");
    let mut args = vec![
        "--root",
        text(tree),
        "build",
        "faults",
        "--board",
        "x86-pc",
        "--out",
        text(out),
    ];
    args.extend(more);
    args
}

/// Nothing in the store is damaged.
#[track_caller]
fn assert_sound(cache: &Path) {
    let said = run(&mut clic_with(cache, ["cache", "verify"])).ok();
    assert!(said.stdout.contains("all sound"), "{}", said.stdout);
}

/// A build that fails in its scripts, in the shared store.
#[track_caller]
fn build_fails(tree: &Path, texts: &[&str]) -> Said {
    let out = tree.with_file_name("out");
    let said = run(&mut clic_with(&cache_dir(), args(tree, &out, &[]))).fails(1, texts);
    assert!(final_names(&out).is_empty(), "{:?}", final_names(&out));
    said
}

#[test]
fn a_maintainer_script_that_fails_is_named_with_its_last_words_and_the_log() {
    let _base = image("x86-pc");
    let _turn = turn(Work::Build);
    let many = "i=0; while [ $i -lt 300 ]; do echo \"line $i of it\"; i=$((i + 1)); done\necho 'the disk of Theseus' >&2; exit 7";
    for (script, texts) in [
        (
            "preinst",
            ["the preinst script of unlucky failed", "exit status: 7"],
        ),
        (
            "postinst",
            [
                "unlucky cannot be configured: installed unlucky package post-installation script",
                "error exit status 7",
            ],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let tree = tree_with(dir.path(), "unlucky");
        package(&tree, "unlucky", &[(script, many)]);
        let said = build_fails(&tree, &texts);
        assert!(said.stderr.contains("the disk of Theseus"), "{}", said.stderr);
        assert!(said.stderr.contains("line 299 of it"), "{}", said.stderr);
        assert!(
            !said.stderr.contains("line 200 of it"),
            "all of it is the log's:\n{}",
            said.stderr
        );
        let log = said
            .stderr
            .split("(log: ")
            .nth(1)
            .and_then(|rest| rest.split(')').next())
            .unwrap_or_else(|| panic!("no log is named:\n{}", said.stderr));
        let log = fs::read_to_string(log).unwrap();
        for line in ["line 0 of it", "line 299 of it", "the disk of Theseus"] {
            assert!(log.contains(line), "{script}: no {line:?} in the log");
        }
    }
}

#[test]
fn scripts_find_a_host_that_is_not_the_build_host() {
    let _base = image("x86-pc");
    let _turn = turn(Work::Build);
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_with(dir.path(), "curious");
    let ask =
        "echo \"name: $(hostname), $(hostname --fqdn), $(cat /etc/hostname)\"; getent hosts clic; exit 7";
    package(&tree, "curious", &[("postinst", ask)]);
    let said = build_fails(&tree, &["name: clic, clic.internal, clic"]);
    assert!(said.stderr.contains("127.0.1.1"), "{}", said.stderr);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_ne!(host.trim(), "clic", "this test needs a host of another name");
}

/// `clic ARGS` with `setup` done in a mount namespace of its own first.
fn on_a_small_disk(setup: &str, cache: &Path, args: &[&str]) -> Said {
    run(&mut within(setup, As::Root, cache, args))
}

#[test]
fn a_disk_that_is_too_small_for_the_tree_is_said_before_anything_is_unpacked() {
    let _base = image("x86-pc");
    let _turn = turn(Work::Build);
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_with(dir.path(), "plain");
    package(&tree, "plain", &[]);
    let cache = dir.path().join("cache");
    fs::create_dir(&cache).unwrap();
    // The packages are there; next to them is room for apt's lists, not for a tree.
    let (store, downloads) = (cache.display(), cache_dir().join("downloads"));
    let setup = format!(
        "mount -t tmpfs -o size=160m,mode=700 none {store}; mkdir {store}/downloads; mount --bind {} {store}/downloads",
        downloads.display()
    );
    let out = dir.path().join("out");
    let said = on_a_small_disk(&setup, &cache, &args(&tree, &out, &[]));
    said.fails(1, &["disk full: building the tree needs ", " GB in ", " free\n"]);
    assert!(final_names(&out).is_empty());
    assert_sound(&cache_dir());
}

#[test]
fn a_disk_that_fills_up_under_the_tree_is_said_with_figures_and_the_store_is_whole() {
    let _base = image("x86-pc");
    let _turn = turn(Work::Build);
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_with(dir.path(), "plain");
    package(&tree, "plain", &[]);
    let cache = cache_dir();
    // Where trees are made; the store around it has room enough.
    let setup = format!("mount -t tmpfs -o size=100m none {}/tmp", cache.display());
    let out = dir.path().join("out");
    let said = on_a_small_disk(&setup, &cache, &args(&tree, &out, &["--rebuild"]));
    let said = said.fails(
        1,
        &[
            "disk full: building the tree needs ",
            "/tmp/tree-",
            "cannot unpack ",
        ],
    );
    // Not a number of this test's: what the tree takes in all.
    let needed = said.stderr.split("the tree needs ").nth(1).unwrap_or_default();
    assert!(needed.contains("B in ") && needed.contains("B free"), "{needed}");
    assert!(final_names(&out).is_empty());
    assert_sound(&cache);
}

#[test]
fn a_disk_that_is_too_small_for_the_image_is_said_with_figures_and_the_store_is_whole() {
    let _built = image("x86-pc");
    let _turn = turn(Work::Build);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let cache = cache_dir();
    let shown = out.to_str().unwrap();
    let args = ["build", "minimal", "--board", "x86-pc", "--out", shown];
    let setup = |size: &str| format!("mount -t tmpfs -o size={size} none {shown}");
    // Less than packages say that they need; then enough for that, perhaps not for what they have become; then enough for the files,
    // but not for the file systems around them and the block map.
    let mut size = "64m".to_owned();
    let mut found = Vec::new();
    for _ in 0..3 {
        let said = on_a_small_disk(&setup(&size), &cache, &args);
        let said = said.fails(1, &["disk full: writing the image needs ", shown]);
        size = just_more_than(&said.stderr).to_string();
        found.push(said.stderr);
        if found
            .last()
            .is_some_and(|said| said.contains("No space left on device"))
        {
            break;
        }
    }
    assert!(found[0].contains("which has 67.1 MB free"), "{}", found[0]);
    assert!(
        !found[0].contains("Packages of the board"),
        "something was made for an image that had no room:\n{}",
        found[0]
    );
    let last = found.last().unwrap();
    assert!(last.contains("No space left on device"), "{last}");
    assert!(final_names(&out).is_empty());
    assert_sound(&cache);
}

/// A little more than the bytes that a message about a full disk says are needed.
#[track_caller]
fn just_more_than(text: &str) -> u64 {
    let rest = text.split(" needs ").nth(1).unwrap_or_default();
    let mut words = rest.split(' ');
    let tenths: u64 = words
        .next()
        .and_then(|number| number.replace('.', "").parse().ok())
        .unwrap_or_else(|| panic!("{text}"));
    match words.next() {
        Some("MB") => (tenths + 1) * 100_000,
        Some("GB") => (tenths + 1) * 100_000_000,
        _ => panic!("{text}"),
    }
}

/// What a package makes anew each time it is installed would be the same on all devices: it is refused, unless a step of the first
/// start makes it on each device, or an overlay says that it may be so.
#[test]
fn what_a_package_makes_anew_each_time_is_refused_by_its_path() {
    let _downloads = image("x86-pc");
    let _turn = turn(Work::Build);
    let dir = tempfile::tempdir().unwrap();
    let cache = seeded_cache(dir.path());
    let tree = tree_with(dir.path(), "sealed");
    let secret = "head -c 16 /dev/urandom >/etc/sealed.key; mkdir -p /var/lib/sealed/db; date +%N >/var/lib/sealed/db/noise";
    package(&tree, "sealed", &[("postinst", secret)]);
    let out = dir.path().join("out");
    let said = run(&mut clic_with(&cache, args(&tree, &out, &[])));
    said.fails(
        2,
        &[
            "Packages of the recipe (not built before; installed twice: not compared yet are sealed)",
            "made twice, these files are different",
            "/etc/sealed.key",
            "/var/lib/sealed/db/noise",
            "likely to have made them: sealed",
            "never-in-image = [\"/etc/sealed.key\"]",
        ],
    );
    assert!(final_names(&out).is_empty());

    let overlay = tree.join("overlays/sealed");
    fs::create_dir_all(overlay.join("files/usr/lib/clic/first-boot.d")).unwrap();
    fs::write(
        overlay.join("overlay.toml"),
        "schema = 1\ntitle = \"Sealed\"\ndescription = \"Its key\"\n\
         [[varies]]\npath = \"/var/lib/sealed/**\"\nwhy = \"only noise\"\n",
    )
    .unwrap();
    fs::write(
        overlay.join("files/usr/lib/clic/first-boot.d/50-sealed.toml"),
        "schema = 1\ntitle = \"its key\"\nnever-in-image = [\"/etc/sealed.key\"]\n",
    )
    .unwrap();
    let recipe = tree.join("recipes/faults.toml");
    edit(&recipe, "[[source]]", "overlays = [\"sealed\"]\n[[source]]");
    run(&mut clic_with(&cache, args(&tree, &out, &[]))).ok();
    let image = out.join("faults-x86-pc.img");
    run(clic(["inspect"]).arg(&image).arg("/etc/sealed.key"))
        .fails(2, &["there is no /etc/sealed.key in the image"]);
    run(clic(["inspect"]).arg(&image).arg("/var/lib/sealed/db/noise")).ok();
}

/// Two builds of the same at once share the work; and then everything in their store is damaged.
#[test]
fn builds_at_once_share_their_work_and_what_is_damaged_is_made_again() {
    let _downloads = image("x86-pc");
    let _turn = turn(Work::Build);
    let dir = tempfile::tempdir().unwrap();
    let cache = seeded_cache(dir.path());
    let tree = tree_with(dir.path(), "plain");
    package(&tree, "plain", &[]);
    let build = |out: &str| {
        let out = dir.path().join(out);
        clic_with(&cache, [&["--json"], &args(&tree, &out, &[])[..]].concat())
    };
    let image = |out: &str| sha256(&dir.path().join(out).join("faults-x86-pc.img"));

    let mut first = Running::start(build("first"));
    let in_base = |event: &Value| event["event"] == "start" && event["stage"] == "base";
    assert!(first.until(in_base), "{:#?}", first.events);
    // It cannot end this stage before the other one has come to it.
    first.signal(Signal::STOP);
    let mut second = Running::start(build("second"));
    let waits = "Base system: another build is making it: waiting to use its result";
    let waiting = second.until(|event| event["text"] == waits);
    first.signal(Signal::CONT);
    assert!(waiting, "it did not say that it waits: {:#?}", second.events);
    let (first, second) = (first.done(), second.done());
    let taken = "in the store: no input changed";
    assert_eq!(why(&first, "base"), "not built before");
    assert_eq!(why(&second, "base"), taken);
    for stage in ["recipe", "board", "customize"] {
        let whys = [why(&first, stage), why(&second, stage)];
        assert_eq!(
            whys.iter().filter(|why| **why == taken).count(),
            1,
            "{stage}: {whys:?}"
        );
    }
    let reference = image("first");
    assert_eq!(image("second"), reference);
    assert_sound(&cache);

    // A wrong byte in a layer, half of the one that the package is in, a wrong byte in the package, and a shorter index.
    let (with_package, others) = layers(&cache);
    assert_eq!(
        (with_package.len(), others.len()),
        (1, 3),
        "{with_package:?}, {others:?}"
    );
    cut(&with_package[0]);
    flip(&others[0]);
    let deb = sha256(&tree.join("debs/plain_1_all.deb"));
    flip(&cache.join("downloads/sha256").join(&deb[..2]).join(&deb));
    cut(&index(&cache));
    let third = Running::start(build("third")).done();
    let said = notes(&third);
    let has = |text: &str| said.iter().any(|note| note.contains(text));
    assert!(
        has("plain 1 in the store is damaged: downloading it again"),
        "{said:?}"
    );
    assert!(
        has("_Packages in the store is damaged: downloading it again"),
        "{said:?}"
    );
    let damaged = ["base", "recipe", "board", "customize"]
        .into_iter()
        .filter(|stage| why(&third, stage) == "its layer in the store is damaged")
        .count();
    assert_eq!(damaged, 2, "{third:#?}");
    assert_eq!(image("third"), reference);
    assert_sound(&cache);
}

/// The tar files of layers, largest first: those that the package `plain` is in, and the others.
fn layers(cache: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let files = fs::read_dir(cache.join("layers")).unwrap().flatten();
    let mut layers: Vec<PathBuf> = files.map(|file| file.path()).collect();
    layers.retain(|path| path.extension().is_some_and(|end| end == "tar"));
    layers.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    layers.into_iter().partition(|tar| {
        let description = fs::read_to_string(tar.with_extension("json")).unwrap();
        let description: Value = serde_json::from_str(&description).unwrap();
        let own = description["inputs"]["own"].as_array();
        own.into_iter().flatten().any(|input| input[0] == "package plain")
    })
}

/// One wrong byte in the middle.
fn flip(path: &Path) {
    // Downloads of a seeded store are links to the shared one's: those stay as they are.
    let bytes = fs::metadata(path).unwrap().len();
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).unwrap();
    fs::rename(&copy, path).unwrap();
    let mut file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(bytes / 2)).unwrap();
    std::io::Read::read_exact(&mut file, &mut byte).unwrap();
    file.seek(SeekFrom::Start(bytes / 2)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
}

/// Only the first half.
fn cut(path: &Path) {
    let bytes = fs::metadata(path).unwrap().len();
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(bytes / 2)
        .unwrap();
}

/// An index of packages in the store.
fn index(cache: &Path) -> PathBuf {
    let mut found = Vec::new();
    for room in fs::read_dir(cache.join("apt")).unwrap().flatten() {
        for list in fs::read_dir(room.path().join("lists")).unwrap().flatten() {
            if list
                .file_name()
                .to_string_lossy()
                .ends_with("_bookworm_main_binary-amd64_Packages")
            {
                found.push(list.path());
            }
        }
    }
    found.sort();
    found.pop().expect("an index of Debian's packages")
}

/// Numbers that look random and are the same every time (`SplitMix64`; Steele, Lea, Flood 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// `CLIC_TEST_SEED=N` repeats a run's moments.
#[test]
#[ignore = "nightly: twenty builds, a quarter of an hour; a_killed_build_leaves_nothing_and_the_next_one_succeeds kills five always"]
fn twenty_kills_at_random_moments_leave_a_sound_store() {
    const KILLS: u32 = 20;
    let _turn = turn(Work::Build);
    let seed = std::env::var("CLIC_TEST_SEED").map_or(20_261_125, |text| {
        text.parse().expect("CLIC_TEST_SEED is a number")
    });
    println!("seed {seed}: CLIC_TEST_SEED={seed} repeats it");
    let mut numbers = Numbers(seed);
    let dir = tempfile::tempdir().unwrap();
    let cache = seeded_cache(dir.path());
    let tree = tree_with(dir.path(), "plain");
    package(&tree, "plain", &[]);
    let needle = dir.path().display().to_string();
    let undisturbed = dir.path().join("undisturbed");
    let begun = Instant::now();
    run(&mut clic_with(&cache, args(&tree, &undisturbed, &[]))).ok();
    let whole = begun.elapsed();
    let reference = sha256(&undisturbed.join("faults-x86-pc.img"));
    println!("undisturbed: {} s, {reference}", whole.as_secs());
    let out = dir.path().join("out");
    let mut killed = 0;
    for number in 1..=KILLS {
        // Some take up what those before left, and are quicker.
        let takes_up = number % 4 == 0;
        let range = if takes_up { whole / 5 } else { whole };
        let moment = Duration::from_millis(numbers.next() % u64::try_from(range.as_millis()).unwrap());
        let more: &[&str] = if takes_up { &[] } else { &["--rebuild"] };
        let mut command = clic_with(&cache, [&["--json"], &args(&tree, &out, more)[..]].concat());
        let log = dir.path().join("events");
        command
            .stdout(fs::File::create(&log).unwrap())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(moment);
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        killed += u32::from(ended.is_none());
        let mut left = processes_that_name(&needle);
        for _ in 0..100 {
            if left.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            left = processes_that_name(&needle);
        }
        assert!(left.is_empty(), "kill {number}: still running: {left:#?}");
        let events = fs::read_to_string(&log).unwrap();
        let stage = events
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .rfind(|event| event["event"] == "start")
            .map_or_else(
                || "before the first stage".to_owned(),
                |event| event["stage"].to_string(),
            );
        let how = if ended.is_some() { "it had ended" } else { "killed" };
        println!("kill {number} after {} ms: {how}, in {stage}", moment.as_millis());
        // Of a build that was killed nothing may be there; of one that ended, everything.
        if ended.is_none() {
            for name in final_names(&out)
                .iter()
                .filter(|name| name.as_str() == "faults-x86-pc.img")
            {
                assert_eq!(sha256(&out.join(name)), reference, "kill {number}");
            }
        }
        assert_sound(&cache);
    }
    assert!(killed > 0, "no build was killed at all");
    run(&mut clic_with(&cache, args(&tree, &out, &[]))).ok();
    assert_eq!(
        sha256(&out.join("faults-x86-pc.img")),
        reference,
        "kills changed the result"
    );
    assert_sound(&cache);
    println!("{killed} of {KILLS} killed, the others had ended; the same image at the end: {reference}");
}
