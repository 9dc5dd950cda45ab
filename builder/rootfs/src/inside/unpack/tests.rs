//! Packages that want out of the tree. What is outside must look afterwards as it did before.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink as make_symlink};
use std::path::PathBuf;

use super::*;
use clic_debian::testdeb::{Entry, deb, directory, file, hard_link, long_name, other, symlink};

/// A tree with something beside it that no package may touch.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["tree/usr/share", "tree/etc", "outside"] {
            std::fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        std::fs::write(dir.path().join("outside/sentinel"), "untouched").unwrap();
        Admin::create(&Root::open(&dir.path().join("tree")).unwrap()).unwrap();
        Self { dir }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Where the sentinel is, as a package would name it.
    fn outside(&self) -> String {
        self.at("outside").to_str().unwrap().to_owned()
    }

    /// Unpacks these packages, in order, and notes them in dpkg's database. Afterwards nothing outside is different.
    fn install(&self, debs: &[(&str, Vec<u8>)]) -> Result<()> {
        let root = Root::open(&self.at("tree")).unwrap();
        let before = self.stamp();
        let mut result = Ok(());
        for (name, bytes) in debs {
            let path = self.at(&format!("{name}.deb"));
            std::fs::write(&path, bytes).unwrap();
            let unit = Unit {
                name,
                deb: &path,
                installed_size: 1 << 10,
            };
            let mut admin = Admin::read(&root).unwrap();
            result = unpack(&root, &admin, &[unit], 1, &|_| {}).and_then(|done| admin.add(&done));
            if result.is_err() {
                break;
            }
        }
        assert_eq!(self.stamp(), before, "something outside was touched: {result:?}");
        result
    }

    /// Everything about what is outside.
    fn stamp(&self) -> Vec<(PathBuf, u64, u32, i64, u64, String)> {
        let mut all = Vec::new();
        for path in [self.at("outside"), self.at("outside/sentinel")] {
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let content = std::fs::read_to_string(&path).unwrap_or_default();
            all.push((
                path,
                meta.ino(),
                meta.mode(),
                meta.mtime_nsec(),
                meta.nlink(),
                content,
            ));
        }
        let count = std::fs::read_dir(self.at("outside")).unwrap().count();
        assert_eq!(count, 1, "something new is outside");
        all
    }

    #[track_caller]
    fn refuses(&self, entries: &[Entry], said: &str) {
        self.refuses_deb(deb("evil", &[], entries), said);
    }

    #[track_caller]
    fn refuses_deb(&self, bytes: Vec<u8>, said: &str) {
        let error = self
            .install(&[("evil", bytes)])
            .expect_err("this must be refused");
        let error = format!("{error:#}");
        assert!(error.starts_with("cannot unpack evil: "), "{error}");
        assert!(error.contains(said), "no {said:?} in {error}");
    }
}

#[test]
fn paths_that_lead_out_are_refused() {
    let world = World::new();
    for name in [
        "../outside/sentinel",
        "./usr/../../outside/sentinel",
        "..",
        "usr/share/..",
    ] {
        let said = format!("a path that no package may have: {name:?}");
        world.refuses(&[file(name, b"x", 0o644)], &said);
        world.refuses(&[directory(name)], &said);
        world.refuses(&[symlink(name, "x")], &said);
    }
    let long = format!("{}../outside/sentinel", "a/".repeat(60));
    world.refuses(
        &[
            long_name(format!("{long}/../../").as_bytes(), long.len()),
            file("x", b"x", 0o644),
        ],
        "a path that no package may have: ",
    );
    world.refuses(
        &[file("a\nb", b"x", 0o644)],
        "a path that no package may have: \"a\\nb\"",
    );
    world.refuses(
        &[long_name(b"usr/a\0b", 7), file("x", b"x", 0o644)],
        "a path that no package may have: \"usr/a\\0b\"",
    );
    world.refuses(
        &[file("./", b"x", 0o644)],
        "\"./\": contents in an entry that is not a regular file",
    );
    world.refuses(&[symlink("./", "x")], "it would replace the root directory");
}

#[test]
fn an_absolute_path_is_one_of_the_tree() {
    let world = World::new();
    let name = world.at("outside/sentinel").to_str().unwrap().to_owned();
    let entries = [
        long_name(name.as_bytes(), name.len()),
        file("x", b"inside", 0o644),
    ];
    world.install(&[("evil", deb("evil", &[], &entries))]).unwrap();
    let inside = world.at("tree").join(name.trim_start_matches('/'));
    assert_eq!(std::fs::read(inside).unwrap(), b"inside");
}

#[test]
fn what_is_written_through_a_symlink_stays_in_the_tree() {
    let hit = |name: &str| file(&format!("{name}/sentinel"), b"hit", 0o4755);
    for target in [
        "../../outside",
        "/../../../../outside",
        "/proc/self/cwd/../outside",
    ] {
        let world = World::new();
        let _ = world.install(&[(
            "evil",
            deb("evil", &[], &[symlink("./usr/a", target), hit("./usr/a")]),
        )]);
    }
    let world = World::new();
    // Dangling in the tree, there on the host.
    let absolute = [symlink("./usr/a", &world.outside()), hit("./usr/a")];
    let error = world
        .install(&[("evil", deb("evil", &[], &absolute))])
        .unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("cannot unpack evil: /usr/a/sentinel: "), "{error}");
    // Of two packages, and with the directory made first.
    let link = deb("first", &[], &[symlink("./usr/b", &world.outside())]);
    let through = deb("second", &[], &[directory("./usr/b"), hit("./usr/b")]);
    let error = world
        .install(&[("first", link), ("second", through)])
        .unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("a directory, where there is something else already"),
        "{error}"
    );
    // A file in a symlink's place replaces it.
    let sentinel = world.at("outside/sentinel");
    let entries = [
        symlink("./usr/c", sentinel.to_str().unwrap()),
        file("./usr/c", b"mine", 0o644),
    ];
    world.install(&[("evil", deb("evil", &[], &entries))]).unwrap();
    assert_eq!(std::fs::read(world.at("tree/usr/c")).unwrap(), b"mine");
    assert!(!world.at("tree/usr/c").is_symlink());
    // As does a configuration file, under both its names.
    let control = [("conffiles", "/etc/c\n")];
    let entries = [
        symlink("./etc/c.dpkg-new", sentinel.to_str().unwrap()),
        file("./etc/c", b"mine", 0o644),
    ];
    let world = World::new();
    world
        .install(&[("evil", deb("evil", &control, &entries))])
        .unwrap();
    assert_eq!(std::fs::read(world.at("tree/etc/c.dpkg-new")).unwrap(), b"mine");
}

#[test]
fn a_hard_link_to_something_outside_is_refused() {
    let world = World::new();
    for target in ["../outside/sentinel", "usr/../../outside/sentinel", ""] {
        world.refuses(
            &[hard_link("./usr/a", target)],
            &format!("/usr/a: a hard link to a path that no package may have: {target:?}"),
        );
    }
    let absolute = world.at("outside/sentinel").to_str().unwrap().to_owned();
    world.refuses(&[hard_link("./usr/a", &absolute)], "No such file or directory");
    let through = [
        symlink("./usr/l", &world.outside()),
        hard_link("./usr/a", "./usr/l/sentinel"),
    ];
    world.refuses(&through, "No such file or directory");
    // A link to a symlink is one more symlink, not its target.
    let entries = [symlink("./usr/s", &absolute), hard_link("./usr/h", "./usr/s")];
    world.install(&[("evil", deb("evil", &[], &entries))]).unwrap();
    assert!(world.at("tree/usr/h").is_symlink());
    // And what is written over either is a file of its own.
    let entries = [hard_link("./usr/h", "./usr/s"), file("./usr/h", b"mine", 0o666)];
    World::new()
        .install(&[(
            "evil",
            deb(
                "evil",
                &[],
                &[&[symlink("./usr/s", &absolute)], &entries[..]].concat(),
            ),
        )])
        .unwrap();
}

#[test]
fn only_files_directories_and_links_are_unpacked() {
    let world = World::new();
    for kind in [b'3', b'4'] {
        world.refuses(
            &[other(kind, "./usr/dev")],
            "/usr/dev: it is a device, which no package may bring",
        );
    }
    for kind in [b'6', b'Z', 0xff] {
        let error = world
            .install(&[("evil", deb("evil", &[], &[other(kind, "./usr/x")]))])
            .expect_err("this must be refused");
        let error = format!("{error:#}");
        assert!(error.contains("an entry of type "), "{kind}: {error}");
    }
    let theirs = Entry {
        uid: 70_000,
        ..file("./usr/x", b"x", 0o644)
    };
    world.refuses(&[theirs], "it belongs to 70000:70000, which Debian does not use");
    // What Debian has: set-user-id programs.
    let sudo = deb("sudo", &[], &[file("./usr/sudo", b"#!/bin/sh\n", 0o4755)]);
    world.install(&[("sudo", sudo)]).unwrap();
    let mode = std::fs::metadata(world.at("tree/usr/sudo"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o4755);
}

#[test]
fn absurd_sizes_are_refused_and_cost_nothing() {
    let world = World::new();
    let beyond = ", too much for one that is to take 1.0 kB (Installed-Size)";
    for kind in [b'0', b'1', b'2', b'5', b'6'] {
        let lie = Entry {
            kind,
            size: 8 << 40,
            link: b"x".to_vec(),
            ..file("./usr/x", b"x", 0o644)
        };
        let said = match kind {
            b'0' => beyond,
            _ => {
                "its data.tar is damaged: at byte 0: \"./usr/x\": contents in an entry that is not a regular file"
            }
        };
        world.refuses(&[lie], said);
    }
    let overflow = Entry {
        size: u64::MAX,
        ..file("./usr/x", b"x", 0o644)
    };
    world.refuses(
        &[overflow],
        "the tar ends early: an entry of 18446744073709551615 bytes",
    );
    let early = Entry {
        size: 1 << 20,
        ..file("./usr/x", b"x", 0o644)
    };
    world.refuses(&[early], "/usr/x: the tar ends early");
    // A few kB that are a large file when they are unpacked.
    let zeros = deb("evil", &[], &[file("./usr/x", &vec![0; 150 << 20], 0o644)]);
    assert!(zeros.len() < 1 << 20);
    world.refuses_deb(zeros, beyond);
    // A name of 200 MB, which would be read into memory.
    let name = deb(
        "evil",
        &[],
        &[long_name(b"a/", 200 << 20), file("x", b"x", 0o644)],
    );
    let said =
        "its data.tar is damaged: at byte 0: a name or PAX header of 209715200 bytes, longer than any can be";
    world.refuses_deb(name, said);
    let link = Entry {
        kind: b'K',
        ..long_name(b"a/", 200 << 20)
    };
    world.refuses(&[link, symlink("x", "x")], said);
    let attributes = Entry {
        kind: b'x',
        ..long_name(b"11 path=abc\n", 200 << 20)
    };
    world.refuses(&[attributes, file("x", b"x", 0o644)], said);
    // Entries without end.
    let mut many = vec![file("./usr/x", b"", 0o644); 100_000];
    many.push(file("./usr/y", &vec![0; 120 << 20], 0o644));
    world.refuses(&many, beyond);
}

/// No policy asks for Installed-Size, and some say far too little.
#[test]
fn a_package_that_states_little_is_believed_by_its_own_size() {
    let world = World::new();
    // Xorshift (Marsaglia 2003): nothing makes it smaller.
    let mut state = 88_172_645_463_325_252_u64;
    let mut bytes = Vec::with_capacity(140 << 20);
    while bytes.len() < 140 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    let model = deb("model", &[], &[file("./usr/model", &bytes, 0o644)]);
    world.install(&[("model", model)]).unwrap();
    let there = std::fs::metadata(world.at("tree/usr/model")).unwrap();
    assert_eq!(there.len(), 140 << 20);
    // And one that is nearly empty, however well it is packed.
    let zeros = deb("zeros", &[], &[file("./usr/zeros", &vec![0; 100 << 20], 0o644)]);
    world.install(&[("zeros", zeros)]).unwrap();
}

#[test]
fn directories_without_end_are_refused() {
    let world = World::new();
    for depth in [300, 2000, 100_000] {
        let name = [long_name(b"d/", depth * 2 - 1), file("x", b"x", 0o644)];
        world.refuses(&name, "a path that no package may have: \"d/d/");
    }
    // The deepest that is allowed.
    let name = [long_name(b"d/", MAX_DEPTH * 2 - 1), file("x", b"x", 0o644)];
    world.install(&[("deep", deb("deep", &[], &name))]).unwrap();
    let long = [long_name(b"n", 300), file("x", b"x", 0o644)];
    world.refuses(&long, "File name too long");
}

#[test]
fn an_entry_that_comes_twice_is_what_the_last_one_says() {
    let world = World::new();
    let entries = [
        file("./usr/x", b"first", 0o644),
        symlink("./usr/x", "y"),
        file("./usr/x", b"last", 0o600),
    ];
    world.install(&[("twice", deb("twice", &[], &entries))]).unwrap();
    assert_eq!(std::fs::read(world.at("tree/usr/x")).unwrap(), b"last");
    world.refuses(
        &[file("./usr/share", b"x", 0o644)],
        "/usr/share: there is a directory of that name already",
    );
}

#[test]
fn the_control_part_cannot_lead_out_either() {
    let world = World::new();
    for line in ["/../outside/sentinel", "/etc/../../outside/x", "/"] {
        world.refuses_deb(
            deb("evil", &[("conffiles", line)], &[]),
            &format!("its conffiles list a path that no package may have: {line:?}"),
        );
    }
    world.refuses_deb(deb("other", &[], &[]), "says that it is \"other\"");
    for name in ["../../../outside/sentinel", "a/b"] {
        world.refuses_deb(
            deb("evil", &[(name, "x")], &[]),
            &format!("its control.tar holds {name:?}, which does not belong there"),
        );
    }
    let error = world
        .install(&[(
            "evil",
            deb("evil", &[("triggers", "interest ../../../../outside/x\n")], &[]),
        )])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a trigger's name that no package may have: \"../../../../outside/x\""
    );
}

/// dpkg's own directories can be what a package made of them.
#[test]
fn dpkgs_database_is_the_trees_wherever_symlinks_lead_on_the_host() {
    for part in ["info", "triggers"] {
        let world = World::new();
        let place = world.at("tree/var/lib/dpkg").join(part);
        std::fs::remove_dir_all(&place).unwrap();
        make_symlink(world.at("outside"), &place).unwrap();
        let result = world.install(&[("evil", deb("evil", &[("triggers", "interest sentinel\n")], &[]))]);
        let error = format!("{:#}", result.unwrap_err());
        assert!(error.contains("var/lib/dpkg"), "{part}: {error}");
    }
}

#[test]
fn a_package_without_sums_gets_those_that_dpkg_writes() {
    let world = World::new();
    let entries = [
        file("./etc/mdt.conf", b"a\n", 0o644),
        file("./usr/share/b", b"b\n", 0o644),
        file("./usr/share/a", b"", 0o644),
        hard_link("./usr/share/hard", "./usr/share/b"),
        symlink("./usr/share/l", "b"),
    ];
    let conffiles = ("conffiles", "/etc/mdt.conf\n");
    let its_own = ("md5sums", "its own\n");
    world
        .install(&[
            ("mdt", deb("mdt", &[conffiles], &entries)),
            ("other", deb("other", &[its_own], &[file("./usr/o", b"o", 0o644)])),
        ])
        .unwrap();
    let sums = |name: &str| {
        std::fs::read_to_string(world.at(&format!("tree/var/lib/dpkg/info/{name}.md5sums"))).unwrap()
    };
    // As dpkg 1.21 wrote them for such a package.
    assert_eq!(
        sums("mdt"),
        "60b725f10c9c85c70d97880dfe8191b3  etc/mdt.conf\n\
         3b5d5c3712955042212316173ccf37be  usr/share/b\n\
         d41d8cd98f00b204e9800998ecf8427e  usr/share/a\n\
         3b5d5c3712955042212316173ccf37be  usr/share/hard\n"
    );
    assert_eq!(sums("other"), "its own\n");
}
