use clic_host::Progress;
use serde_json::json;

use super::*;

struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    Fixture { dir, store }
}

/// Last used so many hours ago.
fn age(path: &Path, hours: u64) {
    let then = SystemTime::now() - Duration::from_secs(hours * 3600);
    File::open(path).unwrap().set_modified(then).unwrap();
}

impl Fixture {
    /// A download of ten bytes.
    fn download(&self, content: &str, hours: u64) -> std::path::PathBuf {
        assert_eq!(content.len(), 10);
        let path = self.store.path_of(Sha256::of(content));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        age(&path, hours);
        path
    }

    fn layer(&self, key: &str, content: &str, hours: u64) -> std::path::PathBuf {
        let tar = self.dir.path().join("tmp/new.tar");
        std::fs::write(&tar, content).unwrap();
        let about = json!({ "tar": { "sha256": Sha256::of(content), "size": content.len() } });
        let tar = self
            .store
            .layers()
            .put(Sha256::of(key), &about, &tar)
            .unwrap()
            .tar;
        age(&tar, hours);
        age(&tar.with_extension("json"), hours);
        tar
    }

    fn verify(&self) -> Verified {
        self.store
            .verify(&Progress::silent().stage("verify", "", ""))
            .unwrap()
    }
}

fn names(collected: &Collected) -> Vec<&str> {
    collected
        .removed
        .iter()
        .map(|removed| removed.name.as_str())
        .collect()
}

#[test]
fn what_was_not_used_for_longest_goes_first_and_no_more_than_needed() {
    let at = fixture();
    let old = at.download("0123456789", 50);
    let new = at.download("abcdefghij", 10);
    let layer = at.layer("k", "0123456789", 30);
    let total: u64 = contents(at.store.dir())
        .unwrap()
        .iter()
        .map(|entry| entry.bytes)
        .sum();
    let dry = at.store.gc(total - 15, true).unwrap();
    assert!(old.exists() && layer.exists(), "a dry run removes nothing");
    let done = at.store.gc(total - 15, false).unwrap();
    assert_eq!(names(&dry), names(&done));
    assert_eq!(
        done.removed
            .iter()
            .map(|removed| removed.kind)
            .collect::<Vec<_>>(),
        [Kind::Downloads, Kind::Layers]
    );
    assert!(!old.exists() && !layer.exists() && !layer.with_extension("json").exists() && new.exists());
    assert_eq!((done.left, done.freed), (10, total - 10));
    // Nothing to do is nothing done.
    assert!(at.store.gc(u64::MAX, false).unwrap().removed.is_empty());
    // All of it.
    assert_eq!(at.store.gc(0, false).unwrap().left, 0);
    assert!(!new.exists());
}

#[test]
fn as_much_as_is_allowed_may_stay_to_the_byte() {
    let at = fixture();
    let (old, new) = (at.download("0123456789", 50), at.download("abcdefghij", 10));
    let done = at.store.gc(20, false).unwrap();
    assert_eq!((done.removed.len(), done.left), (0, 20));
    // One byte less takes one file, and no second one.
    let done = at.store.gc(19, false).unwrap();
    assert_eq!((done.removed.len(), done.freed, done.left), (1, 10, 10));
    assert_eq!(done.removed[0].bytes, 10);
    assert!(!old.exists() && new.exists());
    assert_eq!(at.store.gc(10, false).unwrap().left, 10);
    assert!(new.exists());
}

#[test]
fn what_a_living_run_uses_stays() {
    let at = fixture();
    let (used, unused) = (at.download("0123456789", 50), at.download("abcdefghij", 10));
    let layer = at.layer("k", "0123456789", 50);
    let other = Store::open(at.store.dir()).unwrap();
    other.verified(Sha256::of("0123456789")).unwrap().unwrap();
    let found = other.layers().get(Sha256::of("k")).unwrap().unwrap();
    let done = at.store.gc(0, false).unwrap();
    assert!(used.exists() && layer.exists() && found.verify().unwrap() && !unused.exists());
    assert_eq!((done.freed, done.left), (10, done.in_use));
    // Dead runs protect nothing.
    drop(other);
    at.store.gc(0, false).unwrap();
    assert!(!used.exists() && !layer.exists());
}

#[test]
fn what_dead_runs_left_goes_whatever_the_size() {
    let at = fixture();
    let part = |name: &str, hours| {
        let path = at.store.path_of(Sha256::of(name)).with_extension("part");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, name).unwrap();
        age(&path, hours);
        path
    };
    // A day is the limit.
    let (stale, fresh, running) = (part("stale", 24), part("fresh", 23), part("running", 30));
    let held = File::open(&running).unwrap();
    held.lock().unwrap();
    std::fs::create_dir(at.dir.path().join("tmp/tree-dead")).unwrap();
    std::fs::write(at.dir.path().join("tmp/tree-dead/x"), "0123456789").unwrap();
    std::fs::write(at.dir.path().join("tmp/tree-dead.lock"), "").unwrap();
    let tar = at.layer("k", "0123456789", 1);
    std::fs::remove_file(tar.with_extension("json")).unwrap();
    let done = at.store.gc(u64::MAX, false).unwrap();
    assert!(!stale.exists() && fresh.exists() && running.exists() && !tar.exists());
    assert!(!at.dir.path().join("tmp/tree-dead").exists());
    let whys: Vec<&str> = done.removed.iter().map(|removed| removed.why.as_str()).collect();
    assert!(
        whys.contains(&"left by a killed run") && whys.contains(&"half of a layer"),
        "{whys:?}"
    );
    assert!(whys.contains(&"a download that nobody resumed"), "{whys:?}");
    // A living one stays.
    let scratch = at.store.scratch("tree").unwrap();
    at.store.gc(0, false).unwrap();
    assert!(scratch.path().exists());
}

#[test]
fn a_layer_that_is_being_made_stays() {
    let at = fixture();
    let tar = at.layer("k", "0123456789", 0);
    std::fs::remove_file(tar.with_extension("json")).unwrap();
    let maker = Store::open(at.store.dir()).unwrap();
    assert!(maker.uses(&tar).unwrap());
    assert!(at.store.gc(u64::MAX, false).unwrap().removed.is_empty());
    drop(maker);
    let done = at.store.gc(u64::MAX, false).unwrap();
    assert_eq!(done.removed[0].why, "half of a layer");
}

#[test]
fn a_dry_run_leaves_even_the_locks() {
    let at = fixture();
    drop(at.store.lock("apt/0011").unwrap());
    let lock = at.dir.path().join("locks/apt-0011");
    at.store.gc(0, true).unwrap();
    assert!(lock.exists());
    at.store.gc(0, false).unwrap();
    assert!(!lock.exists());
    assert!(
        at.dir.path().join("locks/gc").exists(),
        "others wait for this very file"
    );
}

#[test]
fn verifying_names_and_removes_what_is_damaged_and_nothing_else() {
    let at = fixture();
    let (good, bad) = (at.download("0123456789", 1), at.download("abcdefghij", 1));
    let (whole, torn) = (
        at.layer("whole", "0123456789", 1),
        at.layer("torn", "abcdefghij", 1),
    );
    let orphan = at
        .dir
        .path()
        .join("layers")
        .join(format!("{}.tar", Sha256::of("orphan")));
    std::fs::write(&orphan, "what a killed run leaves").unwrap();
    let found = at.verify();
    assert_eq!((found.checked, found.damaged.len()), (4, 0));
    let layers = ["whole", "torn"].map(|key| at.dir.path().join(format!("layers/{}.json", Sha256::of(key))));
    let about: u64 = layers
        .iter()
        .map(|json| std::fs::metadata(json).unwrap().len())
        .sum();
    assert_eq!(found.bytes, 40 + about);
    std::fs::write(&bad, "abcdefghiJ").unwrap();
    std::fs::write(&torn, "abcdefghiJ").unwrap();
    let found = at.verify();
    assert!(!bad.exists() && !torn.exists() && !torn.with_extension("json").exists());
    assert!(good.exists() && whole.exists() && whole.with_extension("json").exists());
    let whys: Vec<&str> = found.damaged.iter().map(|damaged| damaged.why.as_str()).collect();
    assert_eq!(
        whys,
        [
            format!("its content has the hash {}", Sha256::of("abcdefghiJ")).as_str(),
            "its tar file has another content"
        ]
    );
    assert_eq!(
        found.damaged[0].name,
        format!(
            "downloads/sha256/{}/{}",
            &Sha256::of("abcdefghij").to_string()[..2],
            Sha256::of("abcdefghij")
        )
    );
    assert_eq!(at.verify().damaged, []);
}

#[test]
fn a_layer_that_does_not_fit_its_description_is_damaged() {
    let at = fixture();
    let tar = at.layer("k", "0123456789", 1);
    std::fs::write(&tar, "012345678").unwrap();
    let found = at.verify();
    assert_eq!(
        found.damaged[0].why,
        "its description is damaged, or its tar file is not there or of another size"
    );
    assert_eq!(found.damaged[0].kind, Kind::Layers);
    assert!(!tar.exists() && !tar.with_extension("json").exists());
}

#[test]
fn verifying_says_how_far_it_is() {
    use clic_host::progress::{Event, Sink};
    #[derive(Default)]
    struct Bytes(std::sync::Mutex<(u64, u64)>);
    impl Sink for Bytes {
        fn event(&self, event: &Event) {
            let mut bytes = self.0.lock().unwrap();
            match event {
                Event::Total { total, .. } => bytes.0 = *total,
                Event::Advance { done, .. } => bytes.1 = *done,
                _ => {}
            }
        }
    }
    let at = fixture();
    at.download("0123456789", 1);
    at.download("abcdefghij", 1);
    let sink = std::sync::Arc::new(Bytes::default());
    let stage = Progress::new(sink.clone()).stage("verify", "", "");
    at.store.verify(&stage).unwrap();
    assert_eq!(*sink.0.lock().unwrap(), (20, 20));
}

#[test]
fn a_store_that_is_not_there_holds_nothing_and_symlinks_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    assert!(contents(&dir.path().join("none")).unwrap().is_empty());
    std::fs::create_dir_all(dir.path().join("logs")).unwrap();
    std::fs::write(dir.path().join("logs/a"), "12345").unwrap();
    std::os::unix::fs::symlink("/usr", dir.path().join("logs/usr")).unwrap();
    let bytes: u64 = contents(dir.path())
        .unwrap()
        .iter()
        .map(|entry| entry.bytes)
        .sum();
    assert_eq!(bytes, 5);
}

#[test]
fn indexes_go_when_nobody_works_in_them_and_locks_with_them() {
    let at = fixture();
    let index = at.dir.path().join("apt/0011");
    std::fs::create_dir_all(&index).unwrap();
    std::fs::write(index.join("apt.conf"), "0123456789").unwrap();
    age(&index.join("apt.conf"), 5);
    age(&index, 5);
    let held = at.store.lock("apt/0011").unwrap();
    at.store.gc(0, false).unwrap();
    assert!(index.exists() && at.dir.path().join("locks/apt-0011").exists());
    drop(held);
    let done = at.store.gc(0, false).unwrap();
    assert_eq!(names(&done), ["apt/0011"]);
    assert!(!index.exists() && !at.dir.path().join("locks/apt-0011").exists());
    // A lock works as before after it was cleaned away.
    let held = at.store.lock("apt/0011").unwrap();
    assert!(at.store.try_lock("apt/0011").unwrap().is_none());
    drop(held);
}
