//! Which of the recipe's files the commands of a stage have read. Those that nobody read can change without the stage's
//! result changing, except for themselves.
//!
//! Reading sets a file's time of access. It is set to a time long gone before the commands, and looked at after them.

use std::fs::{File, FileTimes};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use clic_store::space::io_error;
use rustix::fs::{Mode, OFlags};

use super::root::Root;

/// A time of access that nobody else sets: one second after the epoch. It is before every time of change, so that the
/// kernel renews it also on file systems that are mounted with `relatime` (mount(8)).
const LONG_AGO: Duration = Duration::from_secs(1);

/// Files that are watched.
#[derive(Debug)]
pub struct Trace {
    files: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    path: String,
    inode: u64,
}

impl Trace {
    /// Watches regular files of the tree from now on. `None` if this file system does not tell who was read; `probe` is
    /// a directory on it.
    pub fn begin(root: &Root, paths: &[String], probe: &Path) -> Result<Option<Self>> {
        if !tells(probe)? {
            return Ok(None);
        }
        let mut files = Vec::new();
        for path in paths {
            let file = open(root, path).map_err(|error| root.failed(error, path.as_bytes()))?;
            let set = file.set_times(FileTimes::new().set_accessed(UNIX_EPOCH + LONG_AGO));
            set.map_err(|error| io_error(error, Path::new(path)))?;
            files.push(Watched {
                path: path.clone(),
                inode: file.metadata()?.ino(),
            });
        }
        Ok(Some(Self { files }))
    }

    /// The files that were read, linked, moved or replaced meanwhile.
    pub fn end(self, root: &Root) -> Vec<String> {
        let untouched = |watched: &Watched| {
            open(root, &watched.path)
                .and_then(rustix::fs::fstat)
                .is_ok_and(|stat| {
                    stat.st_ino == watched.inode
                        && stat.st_nlink == 1
                        && u64::try_from(stat.st_atime) == Ok(LONG_AGO.as_secs())
                })
        };
        let read = self.files.into_iter().filter(|watched| !untouched(watched));
        read.map(|watched| watched.path).collect()
    }
}

fn open(root: &Root, path: &str) -> rustix::io::Result<File> {
    let path = path.trim_start_matches('/').as_bytes();
    Ok(root
        .openat(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?
        .into())
}

/// Whether reading a file shows here, and there is no way to copy one without reading it.
fn tells(dir: &Path) -> Result<bool> {
    let (one, two): (PathBuf, PathBuf) = (dir.join("probe-1"), dir.join("probe-2"));
    let try_it = || -> std::io::Result<bool> {
        std::fs::write(&one, "x")?;
        let mut file = File::open(&one)?;
        file.set_times(FileTimes::new().set_accessed(UNIX_EPOCH + LONG_AGO))?;
        file.read_exact(&mut [0])?;
        let shows = file.metadata()?.accessed()? != UNIX_EPOCH + LONG_AGO;
        // Where files can share their blocks (Btrfs, XFS), cp(1) has them do so and reads nothing.
        let shares = rustix::fs::ioctl_ficlone(File::create(&two)?, &file).is_ok();
        Ok(shows && !shares)
    };
    let result = try_it().map_err(|error| io_error(error, dir));
    for path in [one, two] {
        let _ = std::fs::remove_file(path);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_linked_or_moved_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("etc")).unwrap();
        let names = ["kept", "read", "linked", "moved"];
        for name in names {
            std::fs::write(tree.join("etc").join(name), "x").unwrap();
        }
        let root = Root::open(&tree).unwrap();
        let paths: Vec<String> = names.iter().map(|name| format!("/etc/{name}")).collect();
        let Some(trace) = Trace::begin(&root, &paths, dir.path()).unwrap() else {
            eprintln!("skipped: this file system does not tell what was read");
            return;
        };
        std::fs::read(tree.join("etc/read")).unwrap();
        std::fs::hard_link(tree.join("etc/linked"), tree.join("etc/other")).unwrap();
        std::fs::rename(tree.join("etc/moved"), tree.join("etc/away")).unwrap();
        assert_eq!(trace.end(&root), ["/etc/read", "/etc/linked", "/etc/moved"]);
    }
}
