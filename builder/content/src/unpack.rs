//! Files out of archives and packages: hostile until checked. What comes out has numbers for names until it is in the
//! tree, so that no name of theirs is ever a path of the build host.

mod archive;
mod form;
mod package;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clic_host::cancel;
use clic_store::space::io_error;
use clic_tree::{Entry, FileTree, Kind};

pub use archive::archive;
pub use package::{package_directory, package_files};

/// Most files and directories of one archive: four times what the largest web site that anybody carries around has.
const MOST_ENTRIES: usize = 1_000_000;
/// Most bytes of all their paths together. They are in memory, and a few kilobytes of `xz` can stand for gigabytes of names.
const MOST_NAMES: u64 = 128 << 20;
/// Most bytes of a name, and of a path: `NAME_MAX` and `PATH_MAX` of Linux.
const MOST_NAME: usize = 255;
const MOST_PATH: usize = 4095;
/// Bytes that are copied at a time.
const BUFFER: usize = 1 << 17;

/// Files on their way out of an archive.
pub struct Files {
    /// Where they go; nowhere, if somebody only looks.
    scratch: Option<PathBuf>,
    tree: FileTree,
    /// Bytes that may still come.
    left: u64,
    count: usize,
    entries: usize,
    names: u64,
    /// Whether what can be run stays so.
    programs: bool,
}

impl Files {
    /// Into the empty directory `scratch`, at most `most` bytes.
    pub fn new(scratch: PathBuf, most: u64) -> Self {
        Self {
            scratch: Some(scratch),
            ..Self::only_looking(most)
        }
    }

    /// Reads everything, at most `most` bytes, and writes nothing: to know whether it can be unpacked.
    pub fn only_looking(most: u64) -> Self {
        Self {
            scratch: None,
            tree: FileTree::default(),
            left: most,
            count: 0,
            entries: 0,
            names: 0,
            programs: false,
        }
    }

    /// Unpacks an archive that has programs: what its owner can run, everybody can.
    pub fn with_programs(scratch: PathBuf, most: u64) -> Self {
        Self {
            programs: true,
            ..Self::new(scratch, most)
        }
    }

    /// Bytes that may still come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// All of them, with their directories.
    pub fn finish(self) -> Result<FileTree> {
        ensure!(self.count > 0, "there is no file in it");
        Ok(self.tree)
    }

    /// Takes a regular file. `path` as the archive has it.
    pub fn take(&mut self, path: &[u8], content: &mut dyn Read) -> Result<()> {
        self.take_with(path, 0o644, content)
    }

    /// Takes a file, with the mode that the archive has.
    fn take_with(&mut self, path: &[u8], mode: u32, content: &mut dyn Read) -> Result<()> {
        let path = plain(path)?;
        self.place(&path)?;
        let to = self
            .scratch
            .as_ref()
            .map(|scratch| scratch.join(self.count.to_string()));
        self.count += 1;
        let size = self.copy(&path, content, to.as_deref())?;
        let number = self.tree.add_host_file(to.unwrap_or_default(), size);
        let mode = if self.programs && mode & 0o100 != 0 {
            0o755
        } else {
            0o644
        };
        self.tree
            .insert(path.into_bytes(), Entry::new(Kind::File(number), mode));
        Ok(())
    }

    /// Copies a content, and says how many bytes it has.
    fn copy(&mut self, path: &str, content: &mut dyn Read, to: Option<&std::path::Path>) -> Result<u64> {
        let mut file = match to {
            Some(to) => Some(File::create_new(to).map_err(|error| io_error(error, to))?),
            None => None,
        };
        let mut buffer = vec![0; BUFFER];
        let mut size = 0;
        loop {
            cancel::check()?;
            let read = match content.read(&mut buffer) {
                Ok(0) => return Ok(size),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => bail!("{path:?} cannot be unpacked: {error}"),
            };
            let left = self.left.checked_sub(read as u64);
            self.left = left.context("its files together are larger than allowed")?;
            size += read as u64;
            if let (Some(file), Some(to)) = (&mut file, to) {
                file.write_all(&buffer[..read])
                    .map_err(|error| io_error(error, to))?;
            }
        }
    }

    /// The number of a file that was taken.
    fn number(&self, path: &str) -> Option<usize> {
        match self.tree.get(path)?.kind {
            Kind::File(number) => Some(number),
            _ => None,
        }
    }

    /// Gives a file that was taken another name.
    fn link(&mut self, path: &str, number: usize) -> Result<()> {
        self.link_with(path, number, 0o644)
    }

    fn link_with(&mut self, path: &str, number: usize, mode: u32) -> Result<()> {
        self.place(path)?;
        self.tree
            .insert(path.as_bytes().to_vec(), Entry::new(Kind::File(number), mode));
        Ok(())
    }

    /// Makes room for a file: its directories are there, and it is not.
    fn place(&mut self, path: &str) -> Result<()> {
        cancel::check()?;
        for (at, _) in path.match_indices('/') {
            let parent = &path[..at];
            match self.tree.get(parent) {
                Some(entry) if entry.is_directory() => {}
                Some(_) => bail!("{parent:?} is both a file and a directory in it"),
                None => {
                    self.count_in(parent)?;
                    self.tree
                        .insert(parent.as_bytes().to_vec(), Entry::new(Kind::Directory, 0o755));
                }
            }
        }
        match self.tree.get(path) {
            Some(entry) if entry.is_directory() => bail!("{path:?} is both a file and a directory in it"),
            Some(_) => bail!("two files in it have the path {path:?}"),
            None => self.count_in(path),
        }
    }

    /// One more path.
    fn count_in(&mut self, path: &str) -> Result<()> {
        self.entries += 1;
        self.names += path.len() as u64;
        ensure!(
            self.entries <= MOST_ENTRIES,
            "it has more than {MOST_ENTRIES} files and directories"
        );
        ensure!(
            self.names <= MOST_NAMES,
            "the paths in it have more than {} MiB together",
            MOST_NAMES >> 20
        );
        Ok(())
    }
}

/// A path of an archive as it will be on the device.
fn plain(path: &[u8]) -> Result<String> {
    let shown = String::from_utf8_lossy(path).into_owned();
    let text = std::str::from_utf8(path).ok();
    let text = text.with_context(|| format!("{shown:?} has a name that is not UTF-8"))?;
    let text = text.strip_prefix("./").unwrap_or(text);
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.len() <= MOST_NAME;
    ensure!(
        !text.starts_with('/') && text.split('/').all(part) && text.len() <= MOST_PATH,
        "{shown:?} leads out of it, or is not a path at all"
    );
    ensure!(
        !text.chars().any(|c| c.is_control() || c == '\\'),
        "{shown:?} has characters that no file here may have"
    );
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
