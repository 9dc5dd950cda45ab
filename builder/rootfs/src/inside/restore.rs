//! Puts the results of earlier stages into a directory again.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use clic_host::parallel;
use clic_store::space::io_error;
use clic_tree::{Entry, FileTree, Kind};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, XattrFlags};

use super::job::LayerTar;
use super::root::{Root, times};

/// Reads layers, lowest first, as one tree. What is damaged is an error.
pub fn read(layers: &[LayerTar]) -> Result<FileTree> {
    let mut tree = FileTree::default();
    for layer in layers {
        tree.lay(FileTree::read(&layer.tar)?, &layer.removed);
    }
    Ok(tree)
}

/// Writes `tree` into the empty directory of `root`.
pub fn restore(root: &Root, tree: &FileTree, threads: usize) -> Result<()> {
    let top = root.path();
    let place = |path: &[u8]| top.join(OsStr::from_bytes(path));
    let mut files: Vec<(&[u8], &Entry, usize)> = Vec::new();
    let mut first: BTreeMap<usize, &[u8]> = BTreeMap::new();
    let mut links: Vec<(&[u8], &[u8])> = Vec::new();
    // Sorted, so that a directory comes before what is in it.
    for (path, entry) in tree.entries() {
        match &entry.kind {
            Kind::Directory => {
                if !path.is_empty() {
                    make_directory(&place(path))?;
                }
                own(&place(path), entry)?;
            }
            Kind::File(number) => {
                if let Some(other) = first.get(number) {
                    links.push((other, path));
                } else {
                    first.insert(*number, path);
                    files.push((path, entry, *number));
                }
            }
            Kind::Symlink(target) => {
                let place = place(path);
                std::os::unix::fs::symlink(OsStr::from_bytes(target), &place)
                    .map_err(|error| io_error(error, &place))?;
                own(&place, entry)?;
                rustix::fs::utimensat(CWD, &place, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| io_error(error.into(), &place))?;
            }
            Kind::Fifo => {
                let place = place(path);
                rustix::fs::mknodat(
                    CWD,
                    &place,
                    rustix::fs::FileType::Fifo,
                    Mode::from_raw_mode(entry.mode),
                    0,
                )
                .map_err(|error| io_error(error.into(), &place))?;
                own(&place, entry)?;
            }
        }
    }
    parallel::each(&files, threads, |(path, entry, number)| {
        file(&place(path), entry, tree, *number)
    })?;
    for (from, to) in links {
        let to = place(to);
        std::fs::hard_link(place(from), &to).map_err(|error| io_error(error, &to))?;
    }
    Ok(())
}

fn make_directory(place: &Path) -> Result<()> {
    std::fs::create_dir(place).map_err(|error| io_error(error, place))
}

fn file(place: &Path, entry: &Entry, tree: &FileTree, number: usize) -> Result<()> {
    let failed = |error| io_error(error, place);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, place, flags, Mode::from_raw_mode(0o600))
        .map_err(|error| failed(error.into()))?;
    let mut file = std::fs::File::from(fd);
    tree.content_of(number)
        .copy(|piece| file.write_all(piece))
        .with_context(|| place.display().to_string())?;
    own(place, entry)?;
    rustix::fs::futimens(&file, &times(entry.mtime)).map_err(|error| failed(error.into()))
}

/// Owner, mode and attributes.
fn own(place: &Path, entry: &Entry) -> Result<()> {
    let failed = |error: rustix::io::Errno| io_error(error.into(), place);
    let symlink = matches!(entry.kind, Kind::Symlink(_));
    if (entry.uid, entry.gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        rustix::fs::chownat(CWD, place, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    }
    if !symlink {
        // After chown, which takes set-id bits and capabilities away.
        rustix::fs::chmod(place, Mode::from_raw_mode(entry.mode)).map_err(failed)?;
        for (name, value) in &entry.xattrs {
            rustix::fs::lsetxattr(place, name.as_slice(), value, XattrFlags::empty()).map_err(failed)?;
        }
    }
    Ok(())
}
