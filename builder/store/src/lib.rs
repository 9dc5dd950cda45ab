//! What CLIC! keeps on the build host: downloads by their hash, scratch space, locks, and finished files
//! that appear under their name only when they are whole.
//!
//! ```text
//! <store>/downloads/sha256/ab/<hash>        verified files, read-only
//! <store>/downloads/sha256/ab/<hash>.part   a download under way or interrupted: resumed later
//! <store>/layers/<key>.{json,tar}           finished stages of trees (see [`Layers`])
//! <store>/tmp/<name>-XXXXXX{,.lock}         scratch space of one run, gone with it
//! <store>/locks/<name>                      locks between runs
//! <store>/runs/run-XXXXXX                   who uses the store now
//! <store>/<room>/...                        what a room keeps for itself (see [`Store::room`])
//! ```

mod answer;
mod carrier;
mod contents;
mod download;
mod gc;
mod layers;
mod learn;
mod publish;
mod request;
mod run;
mod scratch;
mod session;
pub mod space;
#[cfg(test)]
mod testserver;
mod transfer;
mod writable;

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clic_host::{UserError, cancel};

pub use answer::encoded;
pub use carrier::{Carrier, Refusal};
pub use contents::{Entry, Kind, contents};
pub use gc::{Collected, Removed, Verified};
pub use layers::{LayerFile, Layers};
pub use learn::{Learned, file_url};
pub use publish::{Publishing, publish, write_whole};
pub use request::{Download, FetchError, without_login};
pub use scratch::Scratch;
pub use session::Session;
pub use space::NoSpace;
pub use writable::{writable, writable_file};

/// Removes a directory tree that plain `remove_dir_all` may not: its files can belong to other users.
pub type Remover = Arc<dyn Fn(&Path) -> Result<()> + Send + Sync>;

/// The store of one run.
#[derive(Clone)]
pub struct Store {
    root: PathBuf,
    net: transfer::Net,
    remover: Option<Remover>,
    run: run::Run,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Where the store is when nobody says: `$CLIC_CACHE`, else `$XDG_CACHE_HOME/clic`, else `~/.cache/clic`.
    pub fn default_dir() -> Result<PathBuf> {
        let set = |key: &str| {
            std::env::var_os(key)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        if let Some(dir) = set("CLIC_CACHE") {
            return Ok(dir);
        }
        let cache = set("XDG_CACHE_HOME").filter(|dir| dir.is_absolute());
        let cache = cache.or_else(|| {
            std::env::home_dir()
                .filter(|home| home.is_absolute())
                .map(|home| home.join(".cache"))
        });
        let cache = cache.ok_or_else(|| {
            UserError::new("there is no place for the store: neither CLIC_CACHE nor HOME is set")
                .help("set CLIC_CACHE to a directory with room for several GB")
        })?;
        Ok(cache.join("clic"))
    }

    /// Opens the store at `dir`, which is created (for its user alone) if it is not there.
    pub fn open(dir: &Path) -> Result<Self> {
        let cannot = |error: &dyn std::fmt::Display| {
            UserError::new(format!("the store {} cannot be used: {error}", dir.display()))
                .help("set CLIC_CACHE to a directory that you can write to, with room for several GB")
        };
        let dir = std::path::absolute(dir).map_err(|error| cannot(&error))?;
        trusted(&dir)?;
        for sub in ["", "downloads/sha256", "tmp", "locks", "runs"] {
            private_dir(&dir.join(sub)).map_err(|error| cannot(&error))?;
        }
        // The one test that also sees read-only mounts and full quotas: write something.
        tempfile::tempfile_in(dir.join("tmp")).map_err(|error| cannot(&error))?;
        let run = run::Run::begin(&dir)?;
        Ok(Self {
            root: dir,
            net: transfer::Net::default(),
            remover: None,
            run,
        })
    }

    /// With `true`, no socket is ever opened: what is not in the store is an error that names it.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.net.offline = offline;
        self
    }

    /// Whether sockets are forbidden.
    pub fn is_offline(&self) -> bool {
        self.net.offline
    }

    /// Who brings what is at the addresses that it takes. Without one, or where it takes none, we go ourselves.
    #[must_use]
    pub fn carrier(mut self, carrier: Arc<dyn Carrier>) -> Self {
        self.net.carrier = Some(carrier);
        self
    }

    /// By no proxy, whatever the environment says.
    #[must_use]
    pub fn direct(mut self) -> Self {
        self.net.go_direct();
        self
    }

    /// How long to wait before the second try of a download; it doubles with each further one.
    #[must_use]
    pub fn backoff(mut self, first: Duration) -> Self {
        self.net.backoff = first;
        self
    }

    /// How to remove scratch directories whose files belong to other users (see [`Scratch`]).
    #[must_use]
    pub fn remover(mut self, remover: Remover) -> Self {
        self.remover = Some(remover);
        self
    }

    /// Where the store is, absolute.
    pub fn dir(&self) -> &Path {
        &self.root
    }

    /// Notes that this run uses a file of the store, so that no [`Store::gc`] takes it away before the last clone of
    /// this store is dropped. False: there is no such file. The rooms' own files need it too.
    pub fn uses(&self, path: &Path) -> Result<bool> {
        Ok(self.run.uses(&self.root, &[path.to_owned()])? == [true])
    }

    /// A directory that a room keeps between runs, created if need be. Take a [`Store::lock`] of the same
    /// name before changing it.
    pub fn room(&self, name: &str) -> Result<PathBuf> {
        let dir = self.root.join(name);
        private_dir(&dir).map_err(|error| space::io_error(error, &dir))?;
        Ok(dir)
    }

    /// Waits for the lock `name`, which other runs respect, and holds it until it is dropped.
    pub fn lock(&self, name: &str) -> Result<Lock> {
        self.lock_saying(name, || {})
    }

    /// Takes the lock `name`; `waits` is called once if another run has it, to say whom we wait for.
    pub fn lock_saying(&self, name: &str, waits: impl FnOnce()) -> Result<Lock> {
        let mut waits = Some(waits);
        loop {
            if let Some(lock) = self.try_lock(name)? {
                return Ok(lock);
            }
            if let Some(waits) = waits.take() {
                waits();
            }
            cancel::check()?;
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The lock `name`, or `None` if another run has it.
    pub fn try_lock(&self, name: &str) -> Result<Option<Lock>> {
        let path = self.root.join("locks").join(name.replace('/', "-"));
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(|error| space::io_error(error, &path))?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => return Ok(Some(Lock { _file: file })),
                // One that was cleaned away in between locks nothing.
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
                Err(std::fs::TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
        }
    }
}

/// A lock between runs, free again when this is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Whether `path` still names this open file.
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => ours.ino() == there.ino() && ours.dev() == there.dev(),
        _ => false,
    }
}

/// `path` with more text at its end.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Refuses a store that somebody else can change: what is in it is believed (a layer becomes an image without being made again).
///
/// As with ssh's `StrictModes`, it must belong to who builds and nobody else may write to it. Root's is no better: root never
/// builds, so a store of root's is a mistake, and we could not write to it. Directories above are left to the machine's
/// administrator; and so are groups: on machines where each user has a group of his own, a umask of 002 is usual.
fn trusted(dir: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = std::fs::metadata(dir) else {
        // It is made next, for its user alone, or that says what is wrong.
        return Ok(());
    };
    let (owner, us) = (meta.uid(), rustix::process::geteuid().as_raw());
    let (what, help) = if owner != us {
        (
            format!("it belongs to another user (number {owner})"),
            "set CLIC_CACHE to a directory of your own, with room for several GB".to_owned(),
        )
    } else if meta.mode() & 0o002 != 0 {
        (
            "everybody can write to it".to_owned(),
            format!("if nobody has changed it: chmod o-w {}", dir.display()),
        )
    } else {
        return Ok(());
    };
    let what = format!("the store {} is not used: {what}", dir.display());
    Err(UserError::new(what).help(help).into())
}

/// `mkdir -p`, for its user alone.
fn private_dir(dir: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_cannot_be_written_is_the_requests_fault() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Store::open(&file.join("store")).unwrap_err();
        let error = error.downcast_ref::<UserError>().expect("a UserError");
        assert!(error.what.contains("file/store cannot be used"), "{error}");
        assert!(
            error
                .help
                .as_ref()
                .is_some_and(|help| help.contains("CLIC_CACHE")),
            "{error}"
        );
    }

    #[test]
    fn a_new_store_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("a/store")).unwrap();
        assert_eq!(
            std::fs::metadata(store.dir()).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }

    #[test]
    fn a_store_that_others_can_change_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let open = |mode| {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            Store::open(dir.path())
                .map(drop)
                .map_err(|error| error.to_string())
        };
        for mode in [0o700, 0o755, 0o775] {
            assert_eq!(open(mode), Ok(()), "{mode:o}");
        }
        // The sticky bit keeps nobody from putting files in.
        for mode in [0o777, 0o1777, 0o703] {
            let said = open(mode).unwrap_err();
            assert!(said.contains("is not used: everybody can write to it"), "{said}");
            assert!(said.contains("chmod o-w"), "{said}");
        }
        let us = rustix::process::geteuid().as_raw();
        let of_another = ["/", "/proc/1", "/etc"].map(Path::new).into_iter().find(|path| {
            let meta = std::fs::metadata(path);
            meta.is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) != us)
        });
        let of_another = of_another.expect("tests run as an ordinary user");
        let said = Store::open(of_another).unwrap_err().to_string();
        assert!(
            said.contains("is not used: it belongs to another user (number "),
            "{said}"
        );
        assert!(
            said.contains("set CLIC_CACHE to a directory of your own"),
            "{said}"
        );
    }

    #[test]
    fn what_a_store_is_told_it_knows() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(!store.is_offline());
        let shown = format!("{store:?}");
        assert!(shown.contains(&format!("{:?}", dir.path())), "{shown}");
        let store = store.offline(true);
        assert!(store.is_offline() && store.clone().is_offline());
        assert!(!store.offline(false).is_offline());
    }

    #[test]
    fn a_room_is_private_and_stays() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let room = store.room("mirrors").unwrap();
        assert_eq!(room, dir.path().join("mirrors"));
        assert_eq!(
            std::fs::metadata(&room).unwrap().permissions().mode() & 0o777,
            0o700
        );
        std::fs::write(room.join("x"), "x").unwrap();
        assert!(store.room("mirrors").unwrap().join("x").exists());
        let error = store.room("mirrors/x").unwrap_err();
        assert!(format!("{error:#}").contains("mirrors/x"), "{error:#}");
    }

    #[test]
    fn a_lock_is_held_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let held = store.lock("apt/x").unwrap();
        let other = File::open(store.dir().join("locks/apt-x")).unwrap();
        assert!(matches!(other.try_lock(), Err(std::fs::TryLockError::WouldBlock)));
        drop(held);
        other.try_lock().unwrap();
    }

    #[test]
    fn who_waits_says_so_once_and_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let held = store.lock("x").unwrap();
        let (said, waits) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| store.lock_saying("x", move || said.send(()).unwrap()).map(drop));
            waits.recv().unwrap();
            drop(held);
            waiter.join().unwrap().unwrap();
        });
        assert!(waits.recv().is_err(), "said twice");
        store.lock_saying("x", || panic!("nobody has it")).unwrap();
    }
}
