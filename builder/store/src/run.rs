//! Who uses the store right now, so that [`Store::gc`](crate::Store::gc) leaves alone what they use.
//!
//! Every open store has a file `runs/run-XXXXXX`, locked while the run lives; its modification time is when the run
//! began. Whatever a run uses gets a new modification time (never before that beginning). So what was last used before
//! the oldest living run began is used by nobody. Marking and collecting exclude each other by `locks/gc`: one shared,
//! the other alone.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use clic_host::cancel;

use crate::space::io_error;

/// One run's entry among those that use the store. The entry goes when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Run(Arc<Entry>);

#[derive(Debug)]
struct Entry {
    path: PathBuf,
    began: SystemTime,
    _held: File,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Run {
    /// Enters a run into the books of the store at `root`.
    pub fn begin(root: &Path) -> Result<Self> {
        let _marking = marking(root)?;
        let dir = root.join("runs");
        let file = tempfile::Builder::new().prefix("run-").tempfile_in(&dir);
        let (held, path) = file
            .and_then(|file| file.keep().map_err(|error| error.error))
            .map_err(|error| io_error(error, &dir))?;
        held.lock().map_err(|error| io_error(error, &path))?;
        let began = held
            .metadata()
            .and_then(|meta| meta.modified())
            .map_err(|error| io_error(error, &path))?;
        Ok(Self(Arc::new(Entry {
            path,
            began,
            _held: held,
        })))
    }

    /// Notes that this run uses these files, and says which of them are there, in their order.
    pub fn uses(&self, root: &Path, paths: &[PathBuf]) -> Result<Vec<bool>> {
        let _marking = marking(root)?;
        paths.iter().map(|path| self.marks(path)).collect()
    }

    fn marks(&self, path: &Path) -> Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_error(error, path)),
        };
        // A clock that was set back meanwhile must not make it look unused.
        let now = SystemTime::now().max(self.0.began);
        file.set_modified(now).map_err(|error| io_error(error, path))?;
        Ok(true)
    }
}

/// Held while something is marked as used: collecting waits.
fn marking(root: &Path) -> Result<File> {
    taken(root, File::try_lock_shared)
}

/// Held while something is collected: marking waits. Keep it short.
pub(crate) fn collecting(root: &Path) -> Result<File> {
    taken(root, File::try_lock)
}

/// Waits for the lock, as long as nobody wants us to stop.
fn taken(root: &Path, take: fn(&File) -> Result<(), TryLockError>) -> Result<File> {
    let (file, path) = lock_file(root)?;
    loop {
        match take(&file) {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        cancel::check()?;
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn lock_file(root: &Path) -> Result<(File, PathBuf)> {
    let path = root.join("locks/gc");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| io_error(error, &path))?;
    Ok((file, path))
}

/// When the oldest living run other than `except` began; entries of dead runs are removed. Call it while
/// [`collecting`].
pub(crate) fn oldest(root: &Path, except: &Run) -> Result<Option<SystemTime>> {
    let dir = root.join("runs");
    let mut oldest: Option<SystemTime> = None;
    for entry in std::fs::read_dir(&dir).map_err(|error| io_error(error, &dir))? {
        let path = entry.map_err(|error| io_error(error, &dir))?.path();
        if path == except.0.path {
            continue;
        }
        let Ok(file) = File::open(&path) else { continue };
        match file.try_lock() {
            Ok(()) => {
                let _ = std::fs::remove_file(&path);
            }
            Err(TryLockError::WouldBlock) => {
                let began = file
                    .metadata()
                    .and_then(|meta| meta.modified())
                    .map_err(|error| io_error(error, &path))?;
                oldest = Some(oldest.map_or(began, |oldest| oldest.min(began)));
            }
            Err(TryLockError::Error(error)) => return Err(io_error(error, &path)),
        }
    }
    Ok(oldest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    #[test]
    fn a_run_is_entered_while_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        let me = Store::open(dir.path()).unwrap();
        assert_eq!(oldest(me.dir(), &me.run).unwrap(), None);
        let other = Store::open(dir.path()).unwrap();
        let clone = other.clone();
        let began = oldest(me.dir(), &me.run).unwrap().unwrap();
        drop(other);
        assert_eq!(
            oldest(me.dir(), &me.run).unwrap(),
            Some(began),
            "a clone lives on"
        );
        drop(clone);
        assert_eq!(oldest(me.dir(), &me.run).unwrap(), None);
        // What kill -9 leaves: an entry that nobody locks.
        std::fs::write(dir.path().join("runs/run-dead"), "").unwrap();
        assert_eq!(oldest(me.dir(), &me.run).unwrap(), None);
        assert!(!dir.path().join("runs/run-dead").exists());
    }

    #[test]
    fn what_a_run_uses_is_younger_than_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let path = dir.path().join("x");
        assert!(!store.uses(&path).unwrap());
        std::fs::write(&path, "x").unwrap();
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        File::open(&path).unwrap().set_modified(old).unwrap();
        assert!(store.uses(&path).unwrap());
        let used = std::fs::metadata(&path).unwrap().modified().unwrap();
        assert!(used >= store.run.0.began, "{used:?}");
    }
}
