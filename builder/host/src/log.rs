//! The log of one run: everything that the tools we drive print, in one file that errors can name.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A log file that many threads may append lines to. Cloning shares the file.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl Log {
    /// Creates (or empties) the file at `path`, and its parent directories. `None` while somebody writes to it, who has then come by
    /// it like this, too.
    pub fn claim(path: &Path) -> io::Result<Option<Self>> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = File::options().create(true).append(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.set_len(0)?;
        Ok(Some(Self {
            path: path.to_owned(),
            file: Arc::new(Mutex::new(file)),
        }))
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one line. A full disk must not hide the error that is being logged, so failures are ignored.
    pub fn line(&self, text: &str) {
        let mut file = self
            .file
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = writeln!(file, "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_to_a_log_has_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/clic-x86-pc.log");
        let log = Log::claim(&path).unwrap().unwrap();
        log.line("first");
        assert!(Log::claim(&path).unwrap().is_none());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\n");
        drop(log);
        let log = Log::claim(&path).unwrap().unwrap();
        log.line("second");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second\n");
    }
}
