//! Reading a tar file's index. The tar may come from anywhere: whatever it says is checked before it is believed.
//!
//! Header fields are read by the `tar` crate; walking is done here, since the crate gives PAX records split at
//! every newline, which cuts binary attribute values in two, and takes no size from them in its raw mode.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clic_store::space::io_error;
use tar::{EntryType, Header};

use super::resolve::components;
use super::{Content, Entry, FileTree, Kind, PATH_MAX, XATTR, parent, shown};

/// A tar's block, in bytes.
const BLOCK: u64 = 512;

/// Most bytes that we take for one long name or one set of PAX records: room for every attribute that a Linux
/// file can have (64 KiB of names, 64 KiB per value), far from exhausting memory.
const MAX_EXTENSION: u64 = 1 << 20;

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

/// What extension headers say about the entry that follows them.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<i64>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    any: bool,
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
    let mut index = Index::default();
    let mut extensions = Extensions::default();
    let mut at: u64 = 0;
    loop {
        ensure!(
            at.checked_add(BLOCK).is_some_and(|next| next <= end),
            "the tar ends early, at byte {at}"
        );
        let mut header = Header::new_old();
        file.read_exact_at(header.as_mut_bytes(), at)
            .with_context(|| format!("at byte {at}"))?;
        if header.as_bytes().iter().all(|&byte| byte == 0) {
            ensure!(
                !extensions.any,
                "the tar ends early: a long name or PAX header with no entry after it"
            );
            break;
        }
        checksum(&header).with_context(|| format!("at byte {at}"))?;
        let kind = header.entry_type();
        let extends = matches!(
            kind,
            EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader
        );
        let size = match extensions.size {
            Some(size) if !extends => size,
            _ => header.entry_size().with_context(|| format!("at byte {at}"))?,
        };
        let start = at + BLOCK;
        let past = start.checked_add(size).filter(|past| *past <= end);
        let past =
            past.with_context(|| format!("the tar ends early: an entry of {size} bytes at byte {at}"))?;
        if extends {
            ensure!(
                size <= MAX_EXTENSION,
                "a name or PAX header of {size} bytes at byte {at}"
            );
            let mut bytes = vec![0; usize::try_from(size)?];
            file.read_exact_at(&mut bytes, start)?;
            extensions
                .take(kind, bytes)
                .with_context(|| format!("at byte {at}"))?;
        } else {
            let content = Content::At {
                file: file.clone(),
                offset: start,
                size,
            };
            index
                .add(&header, std::mem::take(&mut extensions), content)
                .with_context(|| format!("at byte {at}"))?;
        }
        at = past.next_multiple_of(BLOCK);
    }
    index.finish()
}

/// A header's bytes add up to what it says; its own checksum field counts as eight spaces.
fn checksum(header: &Header) -> Result<()> {
    let bytes = header.as_bytes();
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    let total = sum(&bytes[..148]) + 8 * u32::from(b' ') + sum(&bytes[156..]);
    ensure!(
        header.cksum().is_ok_and(|said| said == total),
        "no tar header here (wrong checksum)"
    );
    Ok(())
}

impl Extensions {
    fn take(&mut self, kind: EntryType, bytes: Vec<u8>) -> Result<()> {
        let text = |mut bytes: Vec<u8>| {
            if bytes.last() == Some(&0) {
                bytes.pop();
            }
            bytes
        };
        let global = kind == EntryType::XGlobalHeader;
        self.any |= !global;
        match kind {
            EntryType::GNULongName => self.path = Some(text(bytes)),
            EntryType::GNULongLink => self.link = Some(text(bytes)),
            _ => {
                let mut left = bytes.as_slice();
                while !left.is_empty() {
                    let (key, value, rest) = record(left)?;
                    if global {
                        let key = String::from_utf8_lossy(key);
                        ensure!(
                            key == "comment",
                            "a global PAX header with `{key}` is not supported"
                        );
                    } else {
                        self.record(key, value)?;
                    }
                    left = rest;
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let number = || -> Result<u64> { Ok(std::str::from_utf8(value)?.parse()?) };
        let id = || -> Result<u32> { Ok(u32::try_from(number()?)?) };
        let shown = || format!("PAX record {}", String::from_utf8_lossy(key));
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number().with_context(shown)?),
            b"uid" => self.uid = Some(id().with_context(shown)?),
            b"gid" => self.gid = Some(id().with_context(shown)?),
            b"mtime" => self.mtime = Some(seconds(value).with_context(shown)?),
            _ => {
                if let Some(name) = key.strip_prefix(XATTR.as_bytes()) {
                    ensure!(!name.is_empty() && !name.contains(&0), "{}: not a name", shown());
                    let twice = self.xattrs.insert(name.to_vec(), value.to_vec()).is_some();
                    ensure!(!twice, "{}: twice", shown());
                }
                // Its bytes would be taken for the file's own.
                ensure!(
                    !key.starts_with(b"GNU.sparse."),
                    "sparse entries are not supported"
                );
            }
        }
        Ok(())
    }
}

/// Splits the first record off: `LENGTH KEY=VALUE\n`, where the length counts all of it.
fn record(bytes: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let split = || {
        let space = bytes.iter().position(|&byte| byte == b' ')?;
        let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
        let body = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = body.iter().position(|&byte| byte == b'=')?;
        Some((&body[..equals], &body[equals + 1..], &bytes[length..]))
    };
    split().context("a PAX header that is not made of `LENGTH KEY=VALUE` records")
}

/// Whole seconds of `1700000000.123`, rounded down.
fn seconds(value: &[u8]) -> Result<i64> {
    let text = std::str::from_utf8(value)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    ensure!(
        fraction.bytes().all(|byte| byte.is_ascii_digit()),
        "`{text}` is not a time"
    );
    let seconds: i64 = whole.parse().with_context(|| format!("`{text}` is not a time"))?;
    let below = whole.starts_with('-') && fraction.bytes().any(|byte| byte != b'0');
    Ok(seconds.saturating_sub(i64::from(below)))
}

impl Index {
    fn add(&mut self, header: &Header, extensions: Extensions, content: Content) -> Result<()> {
        let raw = extensions
            .path
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let path = inside(&raw)?;
        let named = String::from_utf8_lossy(&raw).into_owned();
        let link = extensions
            .link
            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let empty = content.size() == 0;
        let kind = match header.entry_type() {
            // Before POSIX a directory was a file whose name ends in a slash.
            EntryType::Regular if raw.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File(self.tree.add(content)),
            EntryType::Directory => Kind::Directory,
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
            EntryType::GNUSparse => {
                bail!("{named}: sparse entries are not supported; make the tar without --sparse")
            }
            other => bail!(
                "{named}: entries of type `{}` are not supported",
                char::from(other.as_byte())
            ),
        };
        ensure!(
            empty || matches!(kind, Kind::File(_)),
            "{named}: contents in an entry that is not a regular file"
        );
        ensure!(
            !path.is_empty() || kind == Kind::Directory,
            "{named}: the root must be a directory"
        );
        let id = |value: std::io::Result<u64>| -> Result<u32> { Ok(u32::try_from(value?)?) };
        let entry = Entry {
            kind,
            mode: header.mode().with_context(|| format!("{named}: mode"))? & 0o7777,
            uid: extensions
                .uid
                .map_or_else(|| id(header.uid()), Ok)
                .with_context(|| format!("{named}: owner"))?,
            gid: extensions
                .gid
                .map_or_else(|| id(header.gid()), Ok)
                .with_context(|| format!("{named}: group"))?,
            mtime: match extensions.mtime {
                Some(mtime) => mtime,
                None => i64::try_from(header.mtime()?).with_context(|| format!("{named}: time"))?,
            },
            xattrs: extensions.xattrs,
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
