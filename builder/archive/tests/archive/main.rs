//! Resolving, locking and downloading from archives of our own: what is chosen, and what is refused.

mod debs;
mod ways;
mod world;

use clic_archive::{Keep, Lock, Package, Part, Pins};
use clic_debian::arch::Arch;
use clic_host::UserError;
use clic_store::Store;
use world::{Archive, Signer, World, deb, serve};

fn titles(packages: &[Package]) -> Vec<String> {
    packages.iter().map(Package::title).collect()
}

fn version(packages: &[Package], name: &str) -> String {
    let package = packages.iter().find(|package| package.name == name);
    package.map_or_else(|| "none".to_owned(), |package| package.version.clone())
}

#[test]
fn every_package_knows_its_part() {
    let world = World::new();
    let resolution = world.resolve().unwrap();
    let part = |part| {
        resolution
            .part(part)
            .map(|package| package.name.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(part(Part::Base), ["apt", "base", "libbase"]);
    assert_eq!(part(Part::Recipe), ["app", "lib", "provider"]);
    assert_eq!(part(Part::Board), ["kernel", "kernel-6"]);
    let asked: Vec<&str> = resolution
        .packages
        .iter()
        .filter(|package| !package.automatic)
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(asked, ["app", "apt", "base", "kernel"]);
    let debs = world.have(&resolution, &world.store).unwrap();
    assert_eq!(debs.len(), resolution.packages.len());
}

#[test]
fn one_state_makes_one_lock_whoever_makes_it() {
    let world = World::new();
    let first = world.lock(Keep::default());
    let mut other = World::new();
    // Another store, another address of the same archive.
    let main = format!("file://{}", world.debian.dir.display());
    other.mirrors = clic_archive::Mirrors::find(
        Some(&main),
        Some("none"),
        &clic_archive::HostApt::default(),
        &|url| panic!("asked for {url}"),
    )
    .unwrap();
    std::fs::copy(world.path("debian.gpg"), other.path("debian.gpg")).unwrap();
    let second = other.lock(Keep::default());
    assert_eq!(first.text(), second.text());
    // Tools for the kind of host that is not the image's, with what they need.
    assert_eq!(titles(&first.tools[&Arch::Arm64]), ["dash 0.5", "libbase 1"]);
    assert_eq!(first.tools.len(), 1);
    // 2026-07-11 10:00:00 UTC
    assert_eq!(first.epoch, 1_783_764_000);
    assert!(
        !first.text().contains(world.dir.path().to_str().unwrap()),
        "{}",
        first.text()
    );
    let read = Lock::parse(&first.text(), std::path::Path::new("r-pc.lock"), "").unwrap();
    let resolution = world.locked(&read);
    let fresh = world.resolve().unwrap();
    let bare = |package: &Package| Package {
        stanza: String::new(),
        ..package.clone()
    };
    assert_eq!(
        resolution.packages,
        fresh.packages.iter().map(bare).collect::<Vec<_>>()
    );
    assert_eq!(
        (resolution.epoch, resolution.releases),
        (fresh.epoch, fresh.releases)
    );
}

#[test]
fn an_update_touches_what_it_is_asked_to() {
    let mut world = World::new();
    let lock = world.lock(Keep::default());
    world.debian.add("lib", "2.0", "");
    world.debian.add("app", "2.0", "Depends: lib, virtual\n");
    world.debian.add("kernel-6", "6.2", "");
    world.debian.publish("bookworm", 11, &world.signer, None);

    // A change of the recipe changes nothing else.
    world.recipe("\"app\", \"dash\"", "");
    assert_eq!(lock.misfits(&world.plan()), ["packages asked for: + dash"]);
    let least = world.lock(Keep::of(&lock, &[]));
    assert_eq!(version(&least.packages, "dash"), "0.5");
    assert_eq!(version(&least.packages, "app"), "1.0");
    assert_eq!(version(&least.packages, "kernel-6"), "6.1");

    let one = world.lock(Keep::of(&least, &["app".to_owned()]));
    assert_eq!(version(&one.packages, "app"), "2.0");
    assert_eq!(version(&one.packages, "lib"), "1.0", "it still can");
    assert_eq!(version(&one.packages, "kernel-6"), "6.1");

    let all = world.lock(Keep::default());
    assert_eq!(version(&all.packages, "lib"), "2.0");
    assert_eq!(version(&all.packages, "kernel-6"), "6.2");

    // What is kept gives way where it must: to a dependency, and when it is gone.
    world.debian.add("app", "3.0", "Depends: lib (>= 2), virtual\n");
    world.debian.drop("kernel-6", "6.1");
    world.debian.publish("bookworm", 12, &world.signer, None);
    let must = world.lock(Keep::of(&one, &["app".to_owned()]));
    assert_eq!(version(&must.packages, "app"), "3.0");
    assert_eq!(version(&must.packages, "lib"), "2.0");
    assert_eq!(version(&must.packages, "kernel-6"), "6.2");
    assert_eq!(version(&must.packages, "base"), "1");
}

#[test]
fn what_the_mirror_dropped_is_named_unless_the_store_has_it() {
    let mut world = World::new();
    let (url, asked) = serve(&world.debian.dir);
    let lock = world.lock(Keep::default());
    world.have(&world.locked(&lock), &world.store).unwrap();
    world.debian.drop("lib", "1.0");
    world.debian.add("lib", "1.1", "");
    world.debian.publish("bookworm", 11, &world.signer, None);
    world.mirrors.main = url;
    // The store has it: nobody is asked.
    world.have(&world.locked(&lock), &world.store).unwrap();
    let offline = world.store.clone().offline(true);
    world.have(&world.locked(&lock), &offline).unwrap();
    assert_eq!(asked.lock().unwrap().len(), 0);
    // Another store does not.
    let empty = Store::open(&world.path("other")).unwrap().direct();
    let error = world.have(&world.locked(&lock), &empty).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "the mirror no longer has lib 1.0, which the lock asks for (it answered 404 for http"
        ),
        "{error}"
    );
    for advice in [
        "CLIC_CACHE",
        "--mirror URL",
        "snapshot of 20260711T100000Z",
        "clic lock r --board pc --update",
    ] {
        assert!(error.contains(advice), "{advice}: {error}");
    }
    // The lock is made anew, and that is all that changes.
    let next = world.lock(Keep::of(&lock, &[]));
    assert_eq!(version(&next.packages, "lib"), "1.1");
    world.have(&world.locked(&next), &empty).unwrap();
}

/// A source of somebody else, with `key` in the tree and `fingerprint` in the recipe.
fn theirs(url: &str, fingerprint: &str, more: &str) -> String {
    format!(
        "[[source]]\nname = \"theirs\"\nurl = \"{url}\"\nsuite = \"stable\"\ncomponents = [\"main\"]\n\
         key = \"keys/theirs.asc\"\nfingerprint = \"{fingerprint}\"\n{more}"
    )
}

fn with_key(world: &World, key: &[u8]) {
    std::fs::create_dir_all(world.path("tree/keys")).unwrap();
    std::fs::write(world.path("tree/keys/theirs.asc"), key).unwrap();
}

#[test]
fn a_repository_of_somebody_else_and_what_is_taken_from_it() {
    let world = World::new();
    let signer = Signer::new(world.dir.path(), "theirs", None, "0");
    let mut archive = Archive::new(world.path("theirs"));
    archive.add("extra", "1", "Depends: lib\n");
    archive.add("lib", "9.0", "");
    archive.add("app", "9.0", "");
    archive.publish("stable", 20, &signer, None);
    let (url, _) = serve(&archive.dir);
    for armored in [true, false] {
        with_key(&world, &signer.public(armored));
        // Everything of it counts like Debian's.
        world.recipe("\"app\", \"extra\"", &theirs(&url, &signer.fingerprint, ""));
        let resolution = world.resolve().unwrap();
        assert_eq!(version(&resolution.packages, "app"), "9.0");
        assert_eq!(resolution.get("extra").unwrap().source, "theirs");
        assert_eq!(resolution.get("base").unwrap().source, "debian");
        // Only what is named, and what nobody else has.
        world.recipe(
            "\"app\", \"extra\"",
            &theirs(&url, &signer.fingerprint, "packages = [\"app\"]\n"),
        );
        let resolution = world.resolve().unwrap();
        assert_eq!(version(&resolution.packages, "app"), "9.0");
        assert_eq!(version(&resolution.packages, "lib"), "1.0");
        assert_eq!(version(&resolution.packages, "extra"), "1");
    }
    let lock = world.lock(Keep::default());
    assert!(!lock.text().contains("127.0.0.1"), "{}", lock.text());
    // Its date is the newest, so it is the lock's.
    assert_eq!((lock.epoch, lock.releases.len()), (1_783_764_000 + 10 * 3600, 2));
    world.have(&world.locked(&lock), &world.store).unwrap();
}

#[test]
fn keys_that_are_not_the_pinned_one_are_refused_before_a_socket_is_opened() {
    let world = World::new();
    let signer = Signer::new(world.dir.path(), "theirs", None, "0");
    let other = Signer::new(world.dir.path(), "other", None, "0");
    let old = Signer::new(world.dir.path(), "old", Some("20190101T000000!"), "1d");
    let (url, asked) = serve(world.dir.path());
    let both = [signer.public(true), other.public(true)].concat();
    let (mine, theirs_own) = (&signer.fingerprint, &other.fingerprint);
    let cases: [(&[u8], &str, String); 4] = [
        (
            &other.public(true),
            mine,
            format!("its key has the fingerprint {theirs_own}, and the recipe says {mine}"),
        ),
        (
            &old.public(true),
            &old.fingerprint,
            format!("its key {} is expired", old.fingerprint),
        ),
        (
            &both,
            mine,
            format!("its key file holds 2 keys: {mine}, {theirs_own}"),
        ),
        (
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
            mine,
            "its key file holds no key that gpg can read".to_owned(),
        ),
    ];
    for (key, fingerprint, message) in cases {
        with_key(&world, key);
        world.recipe("\"app\"", &theirs(&url, fingerprint, ""));
        let error = world.refused();
        assert!(error.is::<UserError>(), "{error:#}");
        let said = error.to_string();
        assert!(
            said.starts_with(&format!("recipes/r.toml:7:8: source theirs: {message}\n  help: ")),
            "{message}\n{said}"
        );
    }
    assert_eq!(asked.lock().unwrap().len(), 0);
}

#[test]
fn a_key_that_a_person_confirmed_is_pinned_by_the_lock() {
    let mut world = World::new();
    let signer = Signer::new(world.dir.path(), "theirs", None, "0");
    let other = Signer::new(world.dir.path(), "other", None, "0");
    let (mine, theirs_own) = (&signer.fingerprint, &other.fingerprint);
    let mut archive = Archive::new(world.path("theirs"));
    archive.add("extra", "1", "");
    archive.publish("stable", 20, &signer, None);
    let (url, asked) = serve(&archive.dir);
    with_key(&world, &signer.public(true));
    let stated = theirs(&url, mine, "");
    let open = stated.replace("fingerprint = \"", "key-url = \"https://keys.example/");
    world.recipe("\"extra\"", &open);

    // Whatever is in the tree is not trusted because it is there.
    let error = world.refused();
    assert!(error.is::<UserError>(), "{error:#}");
    let refused = |what: &str, help: &str| {
        format!(
            "recipes/r.toml:7:8: source theirs: {what}\n  help: {help}: clic lock r --board pc --trust-key"
        )
    };
    assert_eq!(
        error.to_string(),
        refused(
            &format!("nobody has confirmed its key `keys/theirs.asc`, with the fingerprint {mine}"),
            "compare it with somebody who knows it, and confirm it"
        )
    );
    assert_eq!(asked.lock().unwrap().len(), 0);

    world.pins.confirm("theirs", mine);
    let lock = world.lock(Keep::default());
    assert!(
        lock.text()
            .contains(&format!("fingerprint = \"{mine}\"\nkey-sha256 = "))
    );
    let plan = world.plan();
    assert_eq!(lock.misfits(&plan), [""; 0]);
    let pinned = || {
        let mut pins = Pins::new("clic lock r --board pc --trust-key");
        pins.add(&lock.inputs.sources, "recipes/r-pc.lock");
        pins
    };
    world.pins = pinned();
    world.pins.check(&plan).unwrap();
    // The recipe says the same: that changes nothing.
    world.recipe("\"extra\"", &stated);
    assert_eq!(lock.misfits(&world.plan()), [""; 0]);
    world.recipe("\"extra\"", &open);

    // Another file with the same key: the lock is made again, and nobody is asked.
    with_key(&world, &signer.public(false));
    let changed = ["source theirs: its key file changed"];
    assert_eq!(lock.misfits(&world.plan()), changed);
    world.pins.check(&world.plan()).unwrap();
    world.lock(Keep::default());

    // Another key, by which the repository is signed from now on: not without a person's word.
    with_key(&world, &other.public(true));
    archive.publish("stable", 21, &other, None);
    asked.lock().unwrap().clear();
    let plan = world.plan();
    assert_eq!(lock.misfits(&plan), changed);
    let wanted = refused(
        &format!(
            "its key `keys/theirs.asc` has the fingerprint {theirs_own}, and recipes/r-pc.lock pins {mine}"
        ),
        "if nobody told you of a new key, take the old file back from version control; else compare the new fingerprint with \
         somebody who knows it, and confirm it",
    );
    assert_eq!(world.pins.check(&plan).unwrap_err().to_string(), wanted);
    assert_eq!(world.refused().to_string(), wanted);
    assert_eq!(asked.lock().unwrap().len(), 0);
    world.pins.confirm("theirs", theirs_own);
    let next = world.lock(Keep::of(&lock, &[]));
    assert!(next.text().contains(theirs_own.as_str()) && !next.text().contains(mine.as_str()));
    // The recipe's own word is one, too.
    world.pins = pinned();
    world.recipe("\"extra\"", &theirs(&url, theirs_own, ""));
    world.pins.check(&world.plan()).unwrap();
    assert!(world.lock(Keep::default()).text().contains(theirs_own.as_str()));
}

#[test]
fn a_repository_without_the_suite_is_named() {
    let world = World::new();
    // So that nothing else is missing: without an optional suite, everything is asked for once more.
    world.debian.publish("bookworm-updates", 10, &world.signer, None);
    let signer = Signer::new(world.dir.path(), "theirs", None, "0");
    let mut archive = Archive::new(world.path("theirs"));
    archive.add("extra", "1", "");
    archive.publish("unstable", 20, &signer, None);
    let (url, asked) = serve(&archive.dir);
    with_key(&world, &signer.public(true));
    world.recipe("\"extra\"", &theirs(&url, &signer.fingerprint, ""));
    let said = world.refused().to_string();
    assert!(
        said.starts_with(&format!("source theirs has no suite stable for this: {url}\n")),
        "{said}"
    );
    assert!(
        said.ends_with(&format!(
            "\n  help: see which suites {url}/dists/ has, and name one of them in this source; or fix its `url` (the directory \
             that holds dists/ and pool/)"
        )),
        "{said}"
    );
    // The answer is clear: asking again would not change it.
    let releases = asked.lock().unwrap();
    let releases = releases.iter().filter(|path| path.ends_with("/stable/Release"));
    assert_eq!(releases.count(), 1);
}

#[test]
fn an_archive_that_another_key_signed_or_that_is_damaged_is_refused() {
    let world = World::new();
    let signer = Signer::new(world.dir.path(), "theirs", None, "0");
    let other = Signer::new(world.dir.path(), "other", None, "0");
    let mut archive = Archive::new(world.path("theirs"));
    archive.add("extra", "1", "");
    let (url, _) = serve(&archive.dir);
    with_key(&world, &signer.public(true));
    world.recipe("\"app\", \"extra\"", &theirs(&url, &signer.fingerprint, ""));

    archive.publish("stable", 20, &other, None);
    let said = world.refused().to_string();
    assert!(
        said.starts_with("source theirs's signature is not good:\n"),
        "{said}"
    );
    assert!(said.contains("the recipe's `key`"), "{said}");

    // Debian's own key is good for Debian only.
    archive.publish("stable", 20, &world.signer, None);
    assert!(
        world
            .refused()
            .to_string()
            .starts_with("source theirs's signature")
    );

    // Changed after it was signed.
    archive.publish("stable", 20, &signer, None);
    let release = archive.dir.join("dists/stable/InRelease");
    let text = std::fs::read_to_string(&release).unwrap();
    std::fs::write(&release, text.replace("Origin: Test", "Origin: Evil")).unwrap();
    let said = world.refused().to_string();
    assert!(
        said.starts_with("source theirs's signature is not good:\n"),
        "{said}"
    );

    // An index that is not what the signed file says.
    archive.publish("stable", 20, &signer, None);
    let index = archive.index_path("stable", "amd64");
    let text = std::fs::read_to_string(&index).unwrap();
    std::fs::write(&index, text.replace("Package: extra", "Package: Extra")).unwrap();
    let said = world.refused().to_string();
    assert!(
        said.starts_with("source theirs cannot be used, tried 3 times:\n")
            && said.contains("Hash Sum mismatch"),
        "{said}"
    );

    // And once it is right again, it is taken.
    archive.publish("stable", 20, &signer, None);
    world.resolve().unwrap();
}

/// At an address with a character that apt writes in another way in its files' names.
#[test]
fn what_one_key_vouched_for_is_not_taken_up_with_another_offline() {
    let mut world = World::new();
    let signer = Signer::new(world.dir.path(), "theirs", None, "0");
    let other = Signer::new(world.dir.path(), "other", None, "0");
    let mut archive = Archive::new(world.path("theirs/~me"));
    archive.add("extra", "1", "");
    archive.publish("stable", 20, &signer, None);
    let (url, _) = serve(&world.path("theirs"));
    let url = format!("{url}/~me");
    with_key(&world, &signer.public(true));
    world.recipe("\"extra\"", &theirs(&url, &signer.fingerprint, ""));
    let (_, said) = world.resolve_saying().unwrap();
    // What a mirror lacks is told, not passed over.
    assert!(
        said.iter()
            .any(|note| note.contains("has no bookworm-updates: the image is made without it")),
        "{said:?}"
    );

    world.store = world.store.offline(true);
    assert_eq!(version(&world.resolve().unwrap().packages, "extra"), "1");
    with_key(&world, &other.public(true));
    world.recipe("\"extra\"", &theirs(&url, &other.fingerprint, ""));
    let said = world.refused().to_string();
    assert!(
        said.starts_with("offline, ") && said.contains("the package indexes of bookworm amd64"),
        "{said}"
    );
}

#[test]
fn another_suite_of_the_mirror_and_a_directory_of_packages() {
    let mut world = World::new();
    let mut backports = Archive::new(world.debian.dir.clone());
    backports.add("lib", "5.0~bpo", "");
    backports.add("app", "5.0~bpo", "Depends: virtual\n");
    backports.publish("bookworm-backports", 9, &world.signer, None);
    let debs = world.path("tree/debs");
    deb(&debs, "ours", "1", "Depends: lib,\n app\n");
    deb(&debs, "provider", "2", "Provides: virtual\n");
    let more = "[[source]]\nname = \"backports\"\nsuite = \"bookworm-backports\"\npackages = [\"app\"]\n\
                [[source]]\nname = \"local\"\ndirectory = \"debs\"\n";
    world.recipe("\"ours\"", more);
    let resolution = world.resolve().unwrap();
    assert_eq!(version(&resolution.packages, "app"), "5.0~bpo");
    assert_eq!(
        version(&resolution.packages, "lib"),
        "1.0",
        "only app comes from backports"
    );
    assert_eq!(version(&resolution.packages, "provider"), "2");
    let ours = resolution.get("ours").unwrap();
    assert_eq!(
        (ours.source.as_str(), ours.filename.as_str(), ours.part),
        ("local", "ours_1_all.deb", Part::Recipe)
    );
    world.have(&resolution, &world.store).unwrap();
    let sources: Vec<(&str, &str)> = resolution
        .releases
        .iter()
        .map(|release| (release.source.as_str(), release.suite.as_str()))
        .collect();
    assert_eq!(
        sources,
        [("debian", "bookworm"), ("backports", "bookworm-backports")]
    );

    // The lock notices a package that was built again.
    let lock = world.lock(Keep::default());
    world.have(&world.locked(&lock), &world.store).unwrap();
    deb(&debs, "ours", "1", "Depends: lib\n");
    assert_eq!(
        lock.misfits(&world.plan()),
        ["source local: the files in its directory changed"]
    );
    let next = world.lock(Keep::of(&lock, &[]));
    assert_ne!(lock.packages, next.packages);

    // No package at all.
    std::fs::write(debs.join("bad_1_all.deb"), "this is not a package").unwrap();
    let error = world.refused();
    assert!(error.is::<UserError>(), "{error:#}");
    assert!(
        error
            .to_string()
            .contains("source local: bad_1_all.deb is not a Debian package: "),
        "{error}"
    );
    world.mirrors.security = None;
}

#[test]
fn an_index_that_is_damaged_in_the_store_is_fetched_again() {
    let mut world = World::new();
    // So that there is one set of indexes: an optional suite that is missing makes a second one.
    world.debian.publish("bookworm-updates", 10, &world.signer, None);
    world.mirrors.main = serve(&world.debian.dir).0;
    let before = world.resolve().unwrap();
    let apt = world.store.dir().join("apt");
    let damage = || {
        let mut damaged = 0;
        for room in std::fs::read_dir(&apt).unwrap().flatten() {
            for list in std::fs::read_dir(room.path().join("lists")).unwrap().flatten() {
                if list.file_name().to_string_lossy().ends_with("amd64_Packages") {
                    let text = std::fs::read_to_string(list.path()).unwrap();
                    std::fs::write(list.path(), text.replace("Version: 1.0", "Version: 1.1")).unwrap();
                    damaged += 1;
                }
            }
        }
        assert_eq!(damaged, 2, "one of each suite");
    };
    damage();
    let (after, said) = world.resolve_saying().unwrap();
    assert_eq!(titles(&before.packages), titles(&after.packages));
    let said: Vec<&String> = said.iter().filter(|text| text.contains("is damaged")).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    for text in said {
        assert!(text.starts_with("the package index "), "{text}");
        assert!(
            text.ends_with("_main_binary-amd64_Packages in the store is damaged: downloading it again"),
            "{text}"
        );
    }
    // Without a network it cannot be repaired: not used, and said.
    damage();
    world.store = world.store.clone().offline(true);
    let error = world.refused().to_string();
    assert!(
        error.starts_with("offline, and 2 of the files needed are not in the store: "),
        "{error}"
    );
    assert!(error.contains("_Packages (what is there is damaged)"), "{error}");
    world.store = world.store.clone().offline(false);
    world.resolve().unwrap();
    damage();
    let found = clic_archive::apt::verify(&world.store).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    let name = |end: &str| {
        found
            .iter()
            .any(|(name, _)| name.starts_with("apt/") && name.ends_with(end))
    };
    assert!(name("_bookworm_main_binary-amd64_Packages"), "{found:?}");
    assert_eq!(clic_archive::apt::verify(&world.store).unwrap(), []);
    assert_eq!(
        titles(&world.resolve().unwrap().packages),
        titles(&before.packages)
    );
}
