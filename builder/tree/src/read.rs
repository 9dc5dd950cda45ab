//! Reading a tar file's index: [`Walk`] reads its headers, and here what they say becomes a tree.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clic_store::space::io_error;
use tar::EntryType;

use super::resolve::components;
use super::walk::{Member, Source, Walk};
use super::{Content, Entry, FileTree, Kind, PATH_MAX, parent, shown};

/// Hard links that lead to hard links, before they count as a circle.
const MAX_HOPS: usize = 40;

impl FileTree {
    /// Indexes an uncompressed tar file (GNU or PAX). Contents stay in the file, which must not change while the tree is in
    /// use. Directories that its paths only imply are not made: a layer has what it changes and no more.
    ///
    /// Errors: a tar that would reach outside of its root, that has one name twice, a hard link to nothing, entries below
    /// something that is not a directory, devices, or that ends early; the entry is named.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| io_error(error, path))?;
        index(file).with_context(|| format!("cannot read the tree in {}", path.display()))
    }
}

/// What was found so far. Hard links wait until every entry is known: they may come before what they name.
#[derive(Default)]
struct Index {
    tree: FileTree,
    links: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn index(file: File) -> Result<FileTree> {
    let end = file.metadata()?.len();
    let file = Arc::new(file);
    let mut walk = Walk::new(Indexed {
        file: &file,
        at: 0,
        end,
    });
    let mut index = Index::default();
    while let Some(member) = walk.advance()? {
        let content = Content::At {
            file: file.clone(),
            offset: member.offset,
            size: member.size,
        };
        let at = member.offset;
        index
            .add(member, content)
            .with_context(|| format!("before byte {at}"))?;
    }
    index.finish()
}

/// A file of which only headers are read.
struct Indexed<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Indexed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Source for Indexed<'_> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let to = self.at.checked_add(bytes).filter(|to| *to <= self.end);
        self.at = to.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(())
    }

    fn left(&self) -> Option<u64> {
        Some(self.end.saturating_sub(self.at))
    }
}

impl Index {
    fn add(&mut self, member: Member, content: Content) -> Result<()> {
        let path = inside(&member.path)?;
        let named = String::from_utf8_lossy(&member.path).into_owned();
        let is_directory = member.is_directory();
        let Member {
            header, link, said, ..
        } = member;
        let kind = match header.entry_type() {
            _ if is_directory => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File(self.tree.add(content)),
            EntryType::Symlink => {
                let target = link.filter(|target| !target.is_empty() && !target.contains(&0));
                Kind::Symlink(target.with_context(|| format!("{named}: a symbolic link without a target"))?)
            }
            EntryType::Link => {
                let target = link.with_context(|| format!("{named}: a hard link without a target"))?;
                let target = inside(&target).with_context(|| format!("{named}: a hard link"))?;
                self.links.insert(path.clone(), target);
                // Stands there until the target is known.
                Kind::Fifo
            }
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char | EntryType::Block => {
                bail!("{named}: a device, which only the system's own kernel makes")
            }
            other => bail!(
                "{named}: entries of type `{}` are not supported",
                char::from(other.as_byte())
            ),
        };
        ensure!(
            !path.is_empty() || kind == Kind::Directory,
            "{named}: the root must be a directory"
        );
        let id = |value: std::io::Result<u64>| -> Result<u32> { Ok(u32::try_from(value?)?) };
        let entry = Entry {
            kind,
            mode: header.mode().with_context(|| format!("{named}: mode"))? & 0o7777,
            uid: said
                .uid
                .map_or_else(|| id(header.uid()), Ok)
                .with_context(|| format!("{named}: owner"))?,
            gid: said
                .gid
                .map_or_else(|| id(header.gid()), Ok)
                .with_context(|| format!("{named}: group"))?,
            mtime: match said.mtime {
                Some(mtime) => mtime,
                None => i64::try_from(header.mtime()?).with_context(|| format!("{named}: time"))?,
            },
            xattrs: said.xattrs,
        };
        ensure!(
            self.tree.entries.insert(path, entry).is_none(),
            "{named}: twice in the tar"
        );
        Ok(())
    }

    /// Checks what single entries cannot show, and gives hard links what they name.
    fn finish(mut self) -> Result<FileTree> {
        let entries = &self.tree.entries;
        for path in entries.keys() {
            let mut above = parent(path);
            while let Some(directory) = above {
                match entries.get(directory).map(Entry::is_directory) {
                    // What is above that one is looked at with it.
                    Some(true) => break,
                    Some(false) => bail!(
                        "{} is below {}, which is not a directory",
                        shown(path),
                        shown(directory)
                    ),
                    None => above = parent(directory),
                }
            }
        }
        let mut found = Vec::new();
        for path in self.links.keys() {
            found.push((path.clone(), self.target(path)?.clone()));
        }
        self.tree.entries.extend(found);
        Ok(self.tree)
    }

    /// The entry that a hard link names in the end. All names of one file have its properties.
    fn target(&self, path: &[u8]) -> Result<&Entry> {
        let mut at = path;
        for _ in 0..=MAX_HOPS {
            let Some(target) = self.links.get(at) else {
                // Known: the last round looked.
                return self.tree.entries.get(at).context("a hard link to nothing");
            };
            match self.tree.entries.get(target) {
                None => bail!(
                    "{}: a hard link to {}, which is not there",
                    shown(path),
                    shown(target)
                ),
                Some(entry) if entry.is_directory() => {
                    bail!("{}: a hard link to the directory {}", shown(path), shown(target))
                }
                Some(_) => at = target,
            }
        }
        bail!("{}: hard links that lead to no file", shown(path))
    }
}

/// A path of the tar (`./etc/hostname`, `etc/`) as the tree has it. One that leads out of the tree is an error.
fn inside(path: &[u8]) -> Result<Vec<u8>> {
    let asked = String::from_utf8_lossy(path);
    ensure!(!path.is_empty(), "an empty path");
    ensure!(!path.starts_with(b"/"), "the path `{asked}` is absolute");
    ensure!(!path.contains(&0), "the path `{asked}` has a NUL byte in it");
    let names: Vec<&[u8]> = components(path).collect();
    ensure!(!names.contains(&&b".."[..]), "the path `{asked}` has `..` in it");
    let clean = names.join(&b'/');
    ensure!(
        clean.len() < PATH_MAX,
        "a path of {} bytes: at most {PATH_MAX} can be used",
        clean.len() + 1
    );
    Ok(clean)
}

#[cfg(test)]
mod tests;
