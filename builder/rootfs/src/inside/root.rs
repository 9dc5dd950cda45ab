//! Files of a tree, reached without ever leaving it: what looks like `/etc/x` in there is `/etc/x` of the tree, also
//! where symlinks lead (`openat2(2)` with `RESOLVE_IN_ROOT`).

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clic_store::space::io_error;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;

/// A tree's root directory, held open.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    fd: OwnedFd,
}

/// Largest file that is read whole, in bytes. What is read so is dpkg's and ours, or a configuration file.
const LARGEST: u64 = 256 << 20;

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Root {
    /// Opens the tree at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let fd = rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty())
            .map_err(|error| io_error(error.into(), path))?;
        Ok(Self {
            path: path.to_owned(),
            fd,
        })
    }

    /// Where it is on the host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a path of the tree; every symlink is followed inside of it, the last one unless `flags` say otherwise.
    pub fn openat(&self, path: &[u8], flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let path = match path {
            b"" => b".",
            path => path,
        };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(
                &self.fd,
                OsStr::from_bytes(path),
                flags | OFlags::CLOEXEC,
                mode,
                resolve,
            ) {
                // Somebody renamed something meanwhile: openat2(2) asks to try again.
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
    }

    /// Opens a directory.
    pub fn dir(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        self.openat(path, DIRECTORY, Mode::empty())
    }

    /// Opens a directory, after making it and those above it if they are not there (root's, mode 0755).
    pub fn make_dirs(&self, path: &[u8]) -> Result<OwnedFd> {
        match self.dir(path) {
            Err(Errno::NOENT) if !path.is_empty() => {
                let (above, name) = split(path);
                let above = self.make_dirs(above)?;
                match rustix::fs::mkdirat(&above, OsStr::from_bytes(name), Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(self.failed(error, path)),
                }
                self.dir(path).map_err(|error| self.failed(error, path))
            }
            result => result.map_err(|error| self.failed(error, path)),
        }
    }

    /// A regular file's content, symlinks followed; `None` if there is nothing.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.openat(path.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(self.failed(error, path.as_bytes())),
            Ok(fd) => {
                let mut bytes = Vec::new();
                let file = std::fs::File::from(fd);
                file.take(LARGEST + 1)
                    .read_to_end(&mut bytes)
                    .with_context(|| format!("reading /{path} of the tree"))?;
                if bytes.len() as u64 > LARGEST {
                    bail!("/{path} of the tree has more than {LARGEST} bytes");
                }
                Ok(Some(bytes))
            }
        }
    }

    /// Whether there is a regular file with something in it. A symlink is none.
    pub fn is_filled(&self, path: &str) -> Result<bool> {
        let failed = |error| self.failed(error, path.as_bytes());
        let (above, name) = split(path.as_bytes());
        let above = match self.dir(above) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
            other => other.map_err(failed)?,
        };
        match rustix::fs::statat(&above, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(failed(error)),
            Ok(stat) => {
                Ok(FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size > 0)
            }
        }
    }

    /// Names in a directory, sorted, those that are not UTF-8 left out; none if it is not there, or no directory.
    pub fn names(&self, path: &str) -> Result<Vec<String>> {
        let failed = |error| self.failed(error, path.as_bytes());
        let fd = match self.openat(path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Like [`Root::read`], lossily as text; empty if there is nothing.
    pub fn read_text(&self, path: &str) -> Result<String> {
        let bytes = self.read(path)?.unwrap_or_default();
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// Replaces or makes a regular file of root's. Directories above it are made.
    pub fn write(&self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        let (above, name) = split(path.as_bytes());
        let above = self.make_dirs(above)?;
        let write = || -> std::io::Result<()> {
            unlink(&above, name)?;
            let fd = rustix::fs::openat(
                &above,
                OsStr::from_bytes(name),
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::from_raw_mode(mode),
            )?;
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))?;
            std::fs::File::from(fd).write_all(bytes)
        };
        write().map_err(|error| io_error(error, &self.shown(path.as_bytes())))
    }

    /// Sets when a file was changed, in seconds since 1970.
    pub fn set_time(&self, path: &str, mtime: u64) -> Result<()> {
        let (above, name) = split(path.as_bytes());
        let failed = |error| self.failed(error, path.as_bytes());
        let above = self.dir(above).map_err(failed)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(
            above,
            OsStr::from_bytes(name),
            &times(i64::try_from(mtime).unwrap_or(i64::MAX)),
            flags,
        )
        .map_err(failed)
    }

    /// Removes a file if it is there. No symlink in its place is followed.
    pub fn remove(&self, path: &str) -> Result<()> {
        let (above, name) = split(path.as_bytes());
        match self.dir(above) {
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed(error, path.as_bytes())),
            Ok(above) => unlink(&above, name).map_err(|error| io_error(error, &self.shown(path.as_bytes()))),
        }
    }

    /// An error about a path of the tree.
    pub fn failed(&self, error: Errno, path: &[u8]) -> anyhow::Error {
        io_error(error.into(), &self.shown(path))
    }

    fn shown(&self, path: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(path))
    }
}

/// Both times of a file, in seconds since 1970.
pub fn times(mtime: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Removes what is called so in a directory, unless it is a directory itself; nothing there is fine.
pub fn unlink(dir: impl AsFd, name: &[u8]) -> std::io::Result<()> {
    match rustix::fs::unlinkat(dir, OsStr::from_bytes(name), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// `usr/bin/env`: `usr/bin` and `env`.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// A path of an archive or of dpkg's lists as we use it: no `.`, no slash at either end; empty for the root itself.
/// `None` for one that is not to be believed: with `..`, a NUL, or a newline, which dpkg's lists cannot hold.
pub fn plain(path: &[u8]) -> Option<Vec<u8>> {
    if path.iter().any(|byte| matches!(byte, 0 | b'\n')) {
        return None;
    }
    let names: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .collect();
    if names.contains(&&b".."[..]) {
        return None;
    }
    Some(names.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symlinks_stay_in_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), "outside").unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("etc")).unwrap();
        std::os::unix::fs::symlink("/../../secret", tree.join("etc/a")).unwrap();
        std::os::unix::fs::symlink(dir.path(), tree.join("out")).unwrap();
        std::os::unix::fs::symlink("/etc", tree.join("conf")).unwrap();
        let root = Root::open(&tree).unwrap();
        assert_eq!(root.read("etc/a").unwrap(), None);
        assert_eq!(root.read("out/secret").unwrap(), None);
        root.write("conf/x", 0o600, b"1").unwrap();
        assert_eq!(std::fs::read(tree.join("etc/x")).unwrap(), b"1");
        assert_eq!(root.read("conf/x").unwrap().as_deref(), Some(&b"1"[..]));
        // A symlink in a file's place is replaced, not followed.
        std::os::unix::fs::symlink("../secret", tree.join("link")).unwrap();
        root.write("link", 0o644, b"2").unwrap();
        assert_eq!(std::fs::read(dir.path().join("secret")).unwrap(), b"outside");
    }

    #[test]
    fn paths_of_archives() {
        assert_eq!(plain(b"./usr//bin/"), Some(b"usr/bin".to_vec()));
        assert_eq!(plain(b"./"), Some(Vec::new()));
        assert_eq!(plain(b"/abs"), Some(b"abs".to_vec()));
        for bad in [&b"../x"[..], b"a/../b", b"a\nb", b"a\0b"] {
            assert_eq!(plain(bad), None);
        }
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"a"), (&b""[..], &b"a"[..]));
    }
}
