//! A final name is a finished file: written beside it under another name, synced, renamed.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::space::io_error;

/// Bytes of the final name that the temporary one has.
const MOST_OF_NAME: usize = 200;

/// A file on its way to its final name. Dropped without [`Publishing::commit`], it leaves nothing.
#[derive(Debug)]
pub struct Publishing {
    temp: tempfile::NamedTempFile,
    dest: PathBuf,
}

/// Begins the file `dest` (mode 0644 less the umask). Its directory must exist. What killed runs left of the
/// same name is removed.
pub fn publish(dest: &Path) -> Result<Publishing> {
    let name = dest
        .file_name()
        .with_context(|| format!("{} is not a file name", dest.display()))?;
    let dir = match dest.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut prefix = std::ffi::OsString::from(".");
    // A name may have 255 bytes, and this one is longer than the other.
    let bytes = name.as_bytes();
    prefix.push(OsStr::from_bytes(&bytes[..bytes.len().min(MOST_OF_NAME)]));
    prefix.push(".tmp-");
    remove_leftovers(dir, &prefix);
    let temp = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(dir)
        .map_err(|error| io_error(error, dir))?;
    // The lock tells other runs that this is not a leftover.
    temp.as_file()
        .try_lock()
        .with_context(|| format!("cannot lock {}", temp.path().display()))?;
    Ok(Publishing {
        temp,
        dest: dest.to_owned(),
    })
}

/// Writes the whole file `dest`, at once or not at all. Its directory must exist.
pub fn write_whole(dest: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = publish(dest)?;
    file.file()
        .write_all(bytes)
        .map_err(|error| io_error(error, dest))?;
    file.commit()
}

impl Publishing {
    /// The file to write to.
    pub fn file(&mut self) -> &mut File {
        self.temp.as_file_mut()
    }

    /// Its name until it is whole, for tools that want one. They must write to it, not replace it.
    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    /// The name that it will have.
    pub fn dest(&self) -> &Path {
        &self.dest
    }

    /// Syncs it and gives it its final name, replacing what was there.
    pub fn commit(self) -> Result<()> {
        let Self { temp, dest } = self;
        temp.as_file()
            .sync_all()
            .map_err(|error| io_error(error, temp.path()))?;
        temp.persist(&dest)
            .map_err(|error| io_error(error.error, &dest))?;
        sync_parent(&dest)
    }
}

/// Makes a rename in the directory of `path` last.
pub(crate) fn sync_parent(path: &Path) -> Result<()> {
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| io_error(error, dir))
}

fn remove_leftovers(dir: &Path, prefix: &OsStr) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let named_so = entry.file_name().as_bytes().starts_with(prefix.as_bytes());
        if !named_so || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        if let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            tracing::debug!(path = %entry.path().display(), "removing what a killed run left");
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_under_the_name_before_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("x.img");
        let mut file = publish(&dest).unwrap();
        file.file().write_all(b"half").unwrap();
        assert!(!dest.exists());
        drop(file);
        assert!(names(dir.path()).is_empty());
        let mut file = publish(&dest).unwrap();
        file.file().write_all(b"whole").unwrap();
        file.commit().unwrap();
        assert_eq!(std::fs::read(&dest).unwrap(), b"whole");
        assert_eq!(names(dir.path()), ["x.img"]);
    }

    #[test]
    fn leftovers_go_but_a_running_neighbour_stays() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("x.img");
        std::fs::write(dir.path().join(".x.img.tmp-dead"), "leftover").unwrap();
        std::fs::write(dir.path().join(".y.img.tmp-dead"), "another name's").unwrap();
        let running = publish(&dest).unwrap();
        let second = publish(&dest).unwrap();
        assert!(running.path().exists() && second.path().exists());
        drop((running, second));
        assert_eq!(names(dir.path()), [".y.img.tmp-dead"]);
    }

    #[test]
    fn the_longest_names_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let name = "é".repeat(127);
        write_whole(&dir.path().join(&name), b"whole").unwrap();
        assert_eq!(names(dir.path()), [name]);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = format!("{:#}", publish(Path::new("/not/there/x.img")).unwrap_err());
        assert!(error.contains("/not/there"), "{error}");
    }
}
