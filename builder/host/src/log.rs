//! The log of one run: everything that the tools we drive print, in one file that errors can name.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::plain::{plain, without_logins};

/// Most that one program's output may take in a log, in bytes. A whole desktop's packages print a tenth of it.
const MOST: u64 = 64 << 20;

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

    /// Appends one line, or several. What would steer the terminal of who reads the log is written out,
    /// and logins of addresses are left out. A full disk must not
    /// hide the error that is being logged, so failures are ignored.
    pub fn line(&self, text: &str) {
        let text = without_logins(text);
        let text = plain(&text);
        let mut file = self
            .file
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = writeln!(file, "{text}");
    }

    /// For the output of one program, whatever it prints: at most 64 MiB of it.
    pub fn part(&self) -> Part<'_> {
        Part {
            log: self,
            left: MOST,
        }
    }
}

/// One program's part of a log.
#[derive(Debug)]
pub struct Part<'a> {
    log: &'a Log,
    left: u64,
}

impl Part<'_> {
    /// Appends one line, unless there are too many already. The first that is left out is told.
    pub fn line(&mut self, text: &str) {
        let text = &*plain(text);
        let size = text.len() as u64 + 1;
        if size <= self.left {
            self.left -= size;
            self.log.line(text);
        } else if self.left > 0 {
            self.left = 0;
            self.log.line(&format!(
                "[it printed more than {MOST} bytes: the rest is left out]"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_program_does_not_fill_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::claim(&dir.path().join("log")).unwrap().unwrap();
        let mut part = log.part();
        part.left = 10;
        for line in ["four", "three", "no"] {
            part.line(line);
        }
        let mut next = log.part();
        next.line("next");
        let text = std::fs::read_to_string(log.path()).unwrap();
        let told = format!("[it printed more than {MOST} bytes: the rest is left out]");
        assert_eq!(text, format!("four\n{told}\nnext\n"));
    }

    #[test]
    fn a_log_steers_no_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::claim(&dir.path().join("log")).unwrap().unwrap();
        log.part().line("\u{1b}[2J\u{1b}]0;title\u{7}10%\r100%\tété");
        log.line("one\ntwo");
        assert_eq!(
            std::fs::read_to_string(log.path()).unwrap(),
            "\\u{1b}[2J\\u{1b}]0;title\\u{7}10%\\r100%\tété\none\ntwo\n"
        );
    }

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
