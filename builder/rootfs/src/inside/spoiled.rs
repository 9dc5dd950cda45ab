//! Spoiled copies of packages and of what dpkg keeps: errors, no panic, and nothing outside of the tree (`clic_host::spoil`).

use std::path::Path;

use clic_debian::deb::Control;
use clic_debian::testdeb::{compressed, directory, file, hard_link, parts, stanza, symlink, tar};
use clic_host::spoil::{Random, spoiled, try_reader};

use super::admin::Admin;
use super::root::Root;
use super::say;
use super::unpack::{Unit, Unpacked, unpack};

const WORDS: [&str; 12] = [
    "../",
    "/",
    "./usr",
    "\0",
    "\n",
    " ",
    ":",
    "999999999999999999999",
    "#",
    "interest ",
    "Status: ",
    "\u{e9}",
];

/// A tree with nothing in it, beside which there is nothing.
fn world(dir: &Path) -> Root {
    let tree = dir.join("tree");
    let _ = std::fs::remove_dir_all(&tree);
    std::fs::create_dir(&tree).unwrap();
    let root = Root::open(&tree).unwrap();
    Admin::create(&root).unwrap();
    root
}

fn package(random: &mut Random) -> Vec<u8> {
    let mut entries = vec![
        directory("./usr"),
        file("./usr/a", b"some text", 0o4755),
        symlink("./usr/b", "../../outside"),
        hard_link("./usr/c", "./usr/a"),
        file("./etc/conf", b"setting", 0o644),
    ];
    // What is in headers, whose checksums are right.
    for _ in 0..random.below(3) {
        let at = random.below(entries.len());
        let entry = &mut entries[at];
        match random.below(6) {
            0 => entry.name = spoiled(&entry.name, &WORDS, random),
            1 => entry.link = spoiled(&entry.link, &WORDS, random),
            2 => entry.kind = *random.of_these(b"0123456xgLKS"),
            3 => entry.size = *random.of_these(&[0, 1, 511, 512, 513, 1 << 33, u64::MAX]),
            4 => entry.mode = random.below(1 << 20) as u64,
            _ => entry.uid = *random.of_these(&[0, 33, 65_535, 65_536, u64::MAX]),
        }
        entry.name.truncate(100);
        entry.link.truncate(100);
    }
    let mut control = vec![file("./control", stanza("evil").as_bytes(), 0o644)];
    for (name, text) in [
        ("conffiles", "/etc/conf\n"),
        ("triggers", "interest-noawait /usr/share/x\nactivate y\n"),
        ("md5sums", "d41d8cd98f00b204e9800998ecf8427e  usr/a\n"),
    ] {
        let text = match random.below(3) {
            0 => spoiled(text.as_bytes(), &WORDS, random),
            _ => text.as_bytes().to_vec(),
        };
        control.push(file(name, &text, 0o644));
    }
    let data = match random.below(4) {
        0 => spoiled(&tar(&entries), &WORDS, random),
        _ => tar(&entries),
    };
    parts(&tar(&control), "", &compressed(".gz", &data), ".gz")
}

#[test]
fn spoiled_packages_stay_in_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("evil.deb");
    try_reader("packages that are unpacked", 300, |random| {
        let root = world(dir.path());
        std::fs::write(&path, package(random)).unwrap();
        let unit = Unit {
            name: "evil",
            deb: &path,
            installed_size: 1 << 10,
        };
        let mut admin = Admin::read(&root).unwrap();
        if let Ok(done) = unpack(&root, &admin, &[unit], 1, &|_| {}) {
            let _ = admin.add(&done);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    });
}

#[test]
fn spoiled_records_of_dpkg_do_not_panic() {
    let dir = tempfile::tempdir().unwrap();
    let root = world(dir.path());
    let good = [
        (
            "var/lib/dpkg/status",
            "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nProvides: b (= 1), c\n\n",
        ),
        (
            "var/lib/dpkg/diversions",
            "/bin/x\n/bin/x.real\n:\n/bin/y\n/bin/y.real\na\n",
        ),
        (
            "var/lib/dpkg/statoverride",
            "root mail 2755 /usr/bin/mail\n#5 #6 755 /x\n",
        ),
        ("var/lib/dpkg/triggers/File", "/usr/share/x liba:arm64/noawait\n"),
        ("etc/passwd", "root:x:0:0:::\nwww:x:33:33:::\n"),
        ("etc/group", "root:x:0:\nmail:x:8:\n"),
    ];
    try_reader("dpkg's records", 500, |random| {
        for (path, text) in good {
            let bytes = match random.below(3) {
                0 => spoiled(text.as_bytes(), &WORDS, random),
                _ => text.as_bytes().to_vec(),
            };
            root.write(path, 0o644, &bytes).unwrap();
        }
        let Ok(admin) = Admin::read(&root) else { return };
        let _ = admin.owners();
        admin.place(b"bin/x", "other");
        admin.configured().count();
        let mut admin = admin;
        let control = Control {
            stanza: stanza("evil"),
            files: Vec::new(),
        };
        let paths = vec![b"usr/share/x/y".to_vec()];
        let _ = admin.add(&[Unpacked { control, paths }]);
    });
}

#[test]
fn spoiled_messages_of_the_sandbox_do_not_panic() {
    let said = say::Said::Failed {
        why: "it is full".into(),
        help: Some("make room".into()),
        no_space: true,
    };
    let line = serde_json::to_string(&said).unwrap();
    assert_eq!(say::heard(&line), Some(said));
    try_reader("the sandbox", 3000, |random| {
        let bytes = spoiled(line.as_bytes(), &["{", "\"said\":", "null", "\\u0000"], random);
        say::heard(&String::from_utf8_lossy(&bytes));
    });
}
