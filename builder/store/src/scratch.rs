//! Scratch space that is gone with the run, however it ends.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use crate::space::io_error;
use crate::{Remover, Store};

/// A private directory under the store, removed when dropped. What a killed run left is removed when the
/// next scratch is made: its lock is free then. Files in it may belong to other users (the subordinate ids
/// of a user namespace); [`Store::remover`] says how to remove those.
pub struct Scratch {
    dir: PathBuf,
    lock: PathBuf,
    remover: Option<Remover>,
    _held: File,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Scratch").field(&self.dir).finish()
    }
}

impl Store {
    /// A new, empty, private directory. `name` says what for: `tree`, `image`.
    pub fn scratch(&self, name: &str) -> Result<Scratch> {
        let tmp = self.dir().join("tmp");
        self.sweep(&tmp);
        // Only speed depends on it.
        let _ = spread(&tmp);
        for _ in 0..100 {
            // The lock exists before the directory does and outlives it, so a directory without one is stale.
            let lock = tempfile::Builder::new()
                .prefix(&format!("{name}-"))
                .suffix(".lock")
                .tempfile_in(&tmp);
            let (held, lock) = lock
                .and_then(|lock| lock.keep().map_err(|error| error.error))
                .map_err(|error| io_error(error, &tmp))?;
            // Another run may take our new file for a leftover in the instant before it is locked.
            if held.try_lock().is_err() || !crate::is_at(&held, &lock) {
                continue;
            }
            let dir = lock.with_extension("");
            DirBuilder::new()
                .mode(0o700)
                .create(&dir)
                .map_err(|error| io_error(error, &dir))?;
            return Ok(Scratch {
                dir,
                lock,
                remover: self.remover.clone(),
                _held: held,
            });
        }
        bail!("cannot make a scratch directory in {}", tmp.display())
    }

    /// Removes what killed runs left. Best effort: what cannot be removed now is tried again next time.
    fn sweep(&self, tmp: &Path) {
        for entry in std::fs::read_dir(tmp).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "lock") {
                let Ok(held) = File::open(&path) else { continue };
                if held.try_lock().is_ok()
                    && remove_tree(&path.with_extension(""), self.remover.as_ref()).is_ok()
                {
                    let _ = std::fs::remove_file(&path);
                }
            } else if !crate::with_suffix(&path, ".lock").exists() {
                let _ = remove_tree(&path, self.remover.as_ref());
            }
        }
    }
}

impl Store {
    /// What killed runs left in the scratch space: paths in the store.
    pub(crate) fn dead_scratch(&self) -> BTreeSet<String> {
        let mut dead = BTreeSet::new();
        let entries = std::fs::read_dir(self.dir().join("tmp"));
        for entry in entries.into_iter().flatten().flatten() {
            let path = entry.path();
            let lock = if path.extension().is_some_and(|extension| extension == "lock") {
                path.clone()
            } else {
                crate::with_suffix(&path, ".lock")
            };
            let held = File::open(&lock).is_ok_and(|file| file.try_lock().is_err());
            if !held {
                let name = entry.file_name();
                dead.insert(format!("tmp/{}", name.to_string_lossy()));
            }
        }
        dead
    }
}

impl Scratch {
    /// Where it is, absolute.
    pub fn path(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        match remove_tree(&self.dir, self.remover.as_ref()) {
            Ok(()) => {
                let _ = std::fs::remove_file(&self.lock);
            }
            // The lock file stays, so that the next run tries again.
            Err(error) => tracing::warn!("{error:#}"),
        }
    }
}

/// Asks the file system to start each directory in `dir` in another place (ext4: `TOPDIR`, chattr(1) `+T`). Without it a
/// tree of 60,000 files comes to lie where the last one was just removed, and ext4, which does not hand out an inode again
/// for minutes, looks past all of those for each new file: 13 s instead of 1 s. Other file systems know no such wish.
fn spread(dir: &Path) -> std::io::Result<()> {
    let dir = File::open(dir)?;
    let flags = ioctl_getflags(&dir)?;
    if !flags.contains(IFlags::TOPDIR) {
        ioctl_setflags(&dir, flags | IFlags::TOPDIR)?;
    }
    Ok(())
}

/// Removes `dir`, by the remover if we may not ourselves.
pub(crate) fn remove_tree(dir: &Path, remover: Option<&Remover>) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return std::fs::remove_file(dir).with_context(|| format!("cannot remove {}", dir.display()));
        }
        Err(error) => match remover {
            Some(remover) => remover(dir),
            None => Err(error.into()),
        },
    }
    .with_context(|| format!("cannot remove {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    fn left(store: &Store) -> usize {
        std::fs::read_dir(store.dir().join("tmp")).unwrap().count()
    }

    #[test]
    fn gone_when_dropped() {
        let (_dir, store) = store();
        let scratch = store.scratch("tree").unwrap();
        std::fs::create_dir(scratch.path().join("a")).unwrap();
        std::fs::write(scratch.path().join("a/b"), "x").unwrap();
        drop(scratch);
        assert_eq!(left(&store), 0);
    }

    #[test]
    fn what_a_killed_run_left_goes_and_a_running_one_stays() {
        let (_dir, store) = store();
        let tmp = store.dir().join("tmp");
        std::fs::create_dir_all(tmp.join("tree-dead/etc")).unwrap();
        std::fs::write(tmp.join("tree-dead.lock"), "").unwrap();
        std::fs::create_dir_all(tmp.join("tree-lockless")).unwrap();
        let running = store.scratch("tree").unwrap();
        assert!(!tmp.join("tree-dead").exists() && !tmp.join("tree-lockless").exists());
        let other = store.scratch("tree").unwrap();
        assert!(running.path().exists() && other.path() != running.path());
        drop((running, other));
        assert_eq!(left(&store), 0);
    }

    #[test]
    fn what_we_may_not_remove_goes_to_the_remover() {
        let (_dir, store) = store();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let remover: Remover = Arc::new(move |_: &Path| {
            counted.fetch_add(1, Ordering::SeqCst);
            anyhow::bail!("not this time")
        });
        // A name that no remove_dir_all can remove, whoever runs the tests.
        let error = remove_tree(Path::new("/proc/self/attr"), Some(&remover)).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "cannot remove /proc/self/attr: not this time"
        );
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        drop(store);
    }
}
