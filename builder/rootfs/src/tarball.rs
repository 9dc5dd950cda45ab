//! A tree as a tar file: read into an index, changed as data, written again in one canonical form.
//!
//! No privilege is needed for any of it: owners, device numbers and file capabilities are just numbers here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clic_store::space::io_error;
use sha2::{Digest, Sha256};
use tar::{Archive, EntryType, Header};

/// How often symlinks are followed before they count as a loop (Linux: 40).
const MAX_LINKS: usize = 40;

/// What PAX calls an extended attribute.
const XATTR: &str = "SCHILY.xattr.";

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file. Hard links share one number.
    File(usize),
    /// A directory.
    Directory,
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// A device, FIFO or the like, with its tar type and device numbers.
    Special(u8, u32, u32),
}

/// An entry's properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-id and sticky.
    pub mode: u32,
    /// Owner's number.
    pub uid: u64,
    /// Group's number.
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

/// Where a regular file's bytes are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In a tar file.
    At {
        /// The tar file.
        file: Arc<File>,
        /// First byte.
        offset: u64,
        /// Bytes.
        size: u64,
    },
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In a file of the host, which must stay as it is.
    Host {
        /// Where.
        path: PathBuf,
        /// Bytes.
        size: u64,
    },
}

impl Content {
    /// How many bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::At { size, .. } | Self::Host { size, .. } => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Passes all bytes on, in pieces.
    pub fn copy(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> Result<()> {
        let (file, offset, size) = match self {
            Self::Bytes(bytes) => return Ok(each(bytes)?),
            Self::At { file, offset, size } => (file.clone(), *offset, *size),
            Self::Host { path, size } => {
                let file = File::open(path).map_err(|error| io_error(error, path))?;
                (Arc::new(file), 0, *size)
            }
        };
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(usize::MAX).clamp(1, 1 << 18)];
        let mut done = 0;
        while done < size {
            let want = usize::try_from(size - done)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            file.read_exact_at(&mut buffer[..want], offset + done)?;
            each(&buffer[..want])?;
            done += want as u64;
        }
        Ok(())
    }
}

/// A tree as data. Paths have no slash at either end; the root directory is the empty path.
#[derive(Clone, Debug, Default)]
pub struct TarTree {
    entries: BTreeMap<Vec<u8>, Entry>,
    contents: Vec<Content>,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Entries, hard links included.
    pub entries: u64,
    /// Bytes of regular files' contents, each once.
    pub bytes: u64,
    /// Bytes of the tar file.
    pub size: u64,
    /// Lower-case hex SHA-256 of the tar file.
    pub sha256: String,
}

impl TarTree {
    /// Reads the index of a tar file. The contents stay where they are until the tree is written.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| io_error(error, path))?;
        let mut tree = Self::default();
        let source = Arc::new(file.try_clone()?);
        // Raw: the crate's own reading of PAX records stops at a newline in a value, which a capability may hold.
        let mut archive = Archive::new(file);
        let mut extra = Extra::default();
        for entry in archive
            .entries_with_seek()
            .with_context(|| path.display().to_string())?
            .raw(true)
        {
            let mut entry = entry.with_context(|| format!("{} is no whole tar file", path.display()))?;
            if extra
                .take(&mut entry)
                .with_context(|| format!("{}: an extended header", path.display()))?
            {
                continue;
            }
            let extra = std::mem::take(&mut extra);
            tree.add(&entry, extra, &source).with_context(|| {
                format!(
                    "{}: entry {}",
                    path.display(),
                    String::from_utf8_lossy(&entry.path_bytes())
                )
            })?;
        }
        Ok(tree)
    }

    fn add(&mut self, entry: &tar::Entry<'_, impl Read>, mut extra: Extra, source: &Arc<File>) -> Result<()> {
        let path = clean_path(
            &extra
                .path
                .take()
                .unwrap_or_else(|| entry.path_bytes().into_owned()),
        )?;
        let link_of = |extra: &mut Extra| -> Result<Vec<u8>> {
            let link = extra
                .link
                .take()
                .or_else(|| entry.link_name_bytes().map(std::borrow::Cow::into_owned));
            link.context("a link without a target")
        };
        ensure!(
            extra.size.is_none_or(|size| size == entry.size()),
            "a file of 8 GiB or more is not expected"
        );
        extra.xattrs.sort();
        let header = entry.header();
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                ensure!(
                    header.entry_type() != EntryType::GNUSparse,
                    "sparse files are not expected"
                );
                self.contents.push(Content::At {
                    file: source.clone(),
                    offset: entry.raw_file_position(),
                    size: entry.size(),
                });
                Kind::File(self.contents.len() - 1)
            }
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(link_of(&mut extra)?),
            EntryType::Link => {
                let target = clean_path(&link_of(&mut extra)?)?;
                // All names of one inode have the same properties: those of the first.
                let first = self
                    .entries
                    .get(&target)
                    .context("a hard link to nothing")?
                    .clone();
                self.entries.insert(path, first);
                return Ok(());
            }
            EntryType::Block | EntryType::Char | EntryType::Fifo => Kind::Special(
                header.entry_type().as_byte(),
                header.device_major()?.unwrap_or(0),
                header.device_minor()?.unwrap_or(0),
            ),
            other => bail!("an entry of type {other:?} is not expected"),
        };
        let entry = Entry {
            kind,
            mode: header.mode()? & 0o7777,
            uid: extra.uid.map_or_else(|| header.uid(), Ok)?,
            gid: extra.gid.map_or_else(|| header.gid(), Ok)?,
            mtime: extra.mtime.map_or_else(|| header.mtime(), Ok)?,
            xattrs: extra.xattrs,
        };
        self.entries.insert(path, entry);
        Ok(())
    }

    /// Adds or replaces an entry.
    pub fn insert(&mut self, path: Vec<u8>, entry: Entry) {
        self.entries.insert(path, entry);
    }

    /// The content of a file of the host, for [`Kind::File`].
    pub fn add_host_file(&mut self, path: PathBuf, size: u64) -> usize {
        self.contents.push(Content::Host { path, size });
        self.contents.len() - 1
    }

    /// Where the host has the content of a file that came by [`TarTree::add_host_file`].
    pub fn host_file(&self, path: &str) -> Option<&Path> {
        let Kind::File(number) = self.get(path)?.kind else {
            return None;
        };
        match &self.contents[number] {
            Content::Host { path, .. } => Some(path),
            _ => None,
        }
    }

    /// All paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.keys().map(Vec::as_slice)
    }

    /// All entries, sorted by path.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_slice(), entry))
    }

    /// The content of a [`Kind::File`] of this tree.
    pub fn content_of(&self, number: usize) -> &Content {
        &self.contents[number]
    }

    /// Lays what a later stage changed over this tree: `removed` go, then `upper`'s entries come.
    pub fn lay(&mut self, upper: Self, removed: &[Vec<u8>]) {
        for path in removed {
            self.entries.remove(path);
        }
        let first = self.contents.len();
        self.contents.extend(upper.contents);
        for (path, mut entry) in upper.entries {
            if let Kind::File(number) = &mut entry.kind {
                *number += first;
            }
            self.entries.insert(path, entry);
        }
    }

    /// Puts all of `upper` below the directory `place`, which is made if its parent is there.
    pub fn lay_below(&mut self, place: &str, upper: Self) -> Result<()> {
        let place = place.trim_matches('/');
        ensure!(self.get(place).is_none(), "/{place} is in the image already");
        self.insert(place.as_bytes().to_vec(), root_owned(Kind::Directory, 0o755));
        let first = self.contents.len();
        self.contents.extend(upper.contents);
        for (path, mut entry) in upper.entries {
            if path.is_empty() {
                continue;
            }
            if let Kind::File(number) = &mut entry.kind {
                *number += first;
            }
            self.entries.insert([place.as_bytes(), &path].join(&b'/'), entry);
        }
        Ok(())
    }

    /// Lays one file of another tree at `place`, whose directory must be there. Errors: there is something already, or
    /// `upper` has no file of this `path`.
    pub fn lay_file(&mut self, place: &str, upper: Self, path: &str) -> Result<()> {
        ensure!(self.get(place).is_none(), "/{place} is in the image already");
        let mut entry = upper
            .get(path)
            .with_context(|| format!("no {path} to lay"))?
            .clone();
        let Kind::File(number) = &mut entry.kind else {
            anyhow::bail!("{path} is no file");
        };
        *number += self.contents.len();
        self.contents.extend(upper.contents);
        self.insert(place.as_bytes().to_vec(), entry);
        Ok(())
    }

    /// The entry of this path, no symlink followed.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path.trim_matches('/').as_bytes())
    }

    /// The paths below a directory, however deep.
    pub fn below(&self, dir: &str) -> Vec<Vec<u8>> {
        let start = format!("{}/", dir.trim_matches('/')).into_bytes();
        let after = self.entries.range(start.clone()..);
        after
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&start))
            .cloned()
            .collect()
    }

    /// Removes one entry.
    pub fn remove(&mut self, path: &[u8]) {
        self.entries.remove(path);
    }

    /// Where a path leads when the symlinks of its directories (and its own, if `last`) are followed inside of
    /// the tree. `None` if that is nowhere.
    pub fn resolve(&self, path: &str, last: bool) -> Option<String> {
        let mut todo: Vec<Vec<u8>> = path
            .as_bytes()
            .split(|byte| *byte == b'/')
            .rev()
            .map(<[u8]>::to_vec)
            .collect();
        let mut at: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    at.pop();
                    continue;
                }
                _ => at.push(name),
            }
            match &self.entries.get(&at.join(&b'/'))?.kind {
                Kind::Symlink(target) if last || todo.iter().any(|name| !name.is_empty()) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    at.pop();
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    todo.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
                }
                _ => {}
            }
        }
        String::from_utf8(at.join(&b'/')).ok()
    }

    /// Size of a regular file's content in bytes; no symlink is followed.
    pub fn size(&self, path: &str) -> Option<u64> {
        match self.get(path)?.kind {
            Kind::File(number) => Some(self.contents[number].size()),
            _ => None,
        }
    }

    /// A regular file's content; no symlink is followed. `None` if there is no such file.
    pub fn content(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let Some(Kind::File(number)) = self.get(path).map(|entry| &entry.kind) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        self.contents[*number].copy(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Some(bytes))
    }

    /// No time after `epoch`; directories have it.
    pub fn clamp(&mut self, epoch: u64) {
        for entry in self.entries.values_mut() {
            entry.mtime = match entry.kind {
                // When a directory last changed depends on what was done in which order.
                Kind::Directory => epoch,
                _ => entry.mtime.min(epoch),
            };
        }
    }

    /// Entries and bytes of the tree; a hard-linked file counts its bytes once.
    pub fn count(&self) -> (u64, u64) {
        let mut seen = std::collections::BTreeSet::new();
        let sizes = self.entries.values().map(|entry| match entry.kind {
            Kind::File(number) if seen.insert(number) => self.contents[number].size(),
            _ => 0,
        });
        let bytes = sizes.sum();
        (self.entries.len() as u64, bytes)
    }

    /// Gives a regular file this content. One that is not there yet belongs to root, with mode 0644; other hard
    /// links keep what they had.
    pub fn write_file(&mut self, path: &str, bytes: Vec<u8>) {
        self.contents.push(Content::Bytes(bytes.into()));
        let kind = Kind::File(self.contents.len() - 1);
        let path = path.trim_matches('/').as_bytes().to_vec();
        match self.entries.get_mut(&path) {
            Some(entry) if matches!(entry.kind, Kind::File(_)) => entry.kind = kind,
            _ => drop(self.entries.insert(path, root_owned(kind, 0o644))),
        }
    }

    /// Puts a symlink there, instead of what is there.
    pub fn write_symlink(&mut self, path: &str, target: &str) {
        let kind = Kind::Symlink(target.as_bytes().to_vec());
        self.entries.insert(
            path.trim_matches('/').as_bytes().to_vec(),
            root_owned(kind, 0o777),
        );
    }

    /// Writes the tree in its one form: sorted by path, no time after `epoch` (directories: `epoch`), no names of owners, extended
    /// attributes as PAX records, hard links to the first of their paths.
    pub fn write(&self, to: &Path, epoch: u64) -> Result<Written> {
        let out = File::create(to).map_err(|error| io_error(error, to))?;
        let mut out = BufWriter::with_capacity(1 << 20, out);
        let mut written = Written::default();
        let mut first_names: BTreeMap<usize, &[u8]> = BTreeMap::new();
        let mut hash = Sha256::new();
        let mut size = 0;
        let mut write = |bytes: &[u8]| {
            hash.update(bytes);
            size += bytes.len() as u64;
            out.write_all(bytes)
        };
        for (path, entry) in &self.entries {
            written.entries += 1;
            let mut header = Header::new_ustar();
            header.set_mode(entry.mode);
            header.set_uid(entry.uid);
            header.set_gid(entry.gid);
            header.set_mtime(match entry.kind {
                // When a directory last changed depends on what was done in which order.
                Kind::Directory => epoch,
                _ => entry.mtime.min(epoch),
            });
            header.set_size(0);
            let mut content = None;
            let mut link: &[u8] = b"";
            match &entry.kind {
                Kind::Directory => header.set_entry_type(EntryType::Directory),
                Kind::Symlink(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    link = target;
                }
                Kind::Special(kind, major, minor) => {
                    header.set_entry_type(EntryType::new(*kind));
                    header.set_device_major(*major)?;
                    header.set_device_minor(*minor)?;
                }
                Kind::File(number) => {
                    if let Some(first) = first_names.get(number) {
                        header.set_entry_type(EntryType::Link);
                        link = first;
                    } else {
                        first_names.insert(*number, path);
                        header.set_entry_type(EntryType::Regular);
                        content = Some(&self.contents[*number]);
                    }
                }
            }
            let length = content.map_or(0, Content::size);
            header.set_size(length);
            written.bytes += length;
            let slash: &[u8] = if entry.kind == Kind::Directory && !path.is_empty() {
                b"/"
            } else {
                b""
            };
            let name = [b"./", path.as_slice(), slash].concat();
            let mut records = Vec::new();
            if !fits(&mut header.as_ustar_mut().context("a ustar header")?.name, &name) {
                record(&mut records, "path", &name);
            }
            let link = if header.entry_type() == EntryType::Link {
                [b"./", link].concat()
            } else {
                link.to_vec()
            };
            if !fits(
                &mut header.as_ustar_mut().context("a ustar header")?.linkname,
                &link,
            ) {
                record(&mut records, "linkpath", &link);
            }
            for (name, value) in &entry.xattrs {
                record(&mut records, &format!("{XATTR}{name}"), value);
            }
            if !records.is_empty() {
                let mut extension = Header::new_ustar();
                extension.set_entry_type(EntryType::XHeader);
                extension.set_path("PaxHeaders")?;
                extension.set_mode(0o644);
                extension.set_uid(0);
                extension.set_gid(0);
                extension.set_mtime(0);
                extension.set_size(records.len() as u64);
                extension.set_cksum();
                for bytes in [
                    extension.as_bytes(),
                    records.as_slice(),
                    padding(records.len() as u64),
                ] {
                    write(bytes).map_err(|error| io_error(error, to))?;
                }
            }
            header.set_cksum();
            write(header.as_bytes()).map_err(|error| io_error(error, to))?;
            if let Some(content) = content {
                content.copy(&mut write).with_context(|| {
                    format!("copying /{} into the tar file", String::from_utf8_lossy(path))
                })?;
                write(padding(length)).map_err(|error| io_error(error, to))?;
            }
        }
        write(&[0; 1024]).map_err(|error| io_error(error, to))?;
        written.size = size;
        written.sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        out.flush().map_err(|error| io_error(error, to))?;
        Ok(written)
    }
}

fn root_owned(kind: Kind, mode: u32) -> Entry {
    // The time of a new entry is the build's: later than any epoch, so that it is clamped to it.
    Entry {
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: u64::from(u32::MAX),
        xattrs: Vec::new(),
    }
}

/// `./usr/bin/` becomes `usr/bin`. A path that leads out of the tree is an error.
fn clean_path(path: &[u8]) -> Result<Vec<u8>> {
    let names: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .collect();
    ensure!(!names.contains(&&b".."[..]), "a path that leads out of the tree");
    Ok(names.join(&b'/'))
}

/// What extended headers say of the entry after them.
#[derive(Debug, Default)]
struct Extra {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<u64>,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl Extra {
    /// Reads an extended header; `false` if `entry` is none.
    fn take(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<bool> {
        let kind = entry.header().entry_type();
        if !matches!(
            kind,
            EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink
        ) {
            return Ok(false);
        }
        // Paths and attributes: the kernel allows 4 KiB and 64 KiB.
        ensure!(entry.size() < 1 << 20, "it is larger than any honest one");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        let without_nul = |mut bytes: Vec<u8>| {
            bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
            bytes
        };
        match kind {
            EntryType::GNULongName => self.path = Some(without_nul(bytes)),
            EntryType::GNULongLink => self.link = Some(without_nul(bytes)),
            EntryType::XHeader => self.records(&bytes)?,
            // Comments on the whole archive.
            _ => {}
        }
        Ok(true)
    }

    fn records(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let parse = || {
                let blank = bytes.iter().position(|byte| *byte == b' ')?;
                let length: usize = std::str::from_utf8(&bytes[..blank]).ok()?.parse().ok()?;
                let record = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
                let equals = record.iter().position(|byte| *byte == b'=')?;
                Some((
                    length,
                    std::str::from_utf8(&record[..equals]).ok()?,
                    &record[equals + 1..],
                ))
            };
            let (length, key, value) = parse().context("a PAX record that cannot be read")?;
            let number = || {
                // Times may have a fraction.
                let text = std::str::from_utf8(value).ok()?.split('.').next()?;
                text.parse().ok()
            };
            match key {
                "path" => self.path = Some(value.to_vec()),
                "linkpath" => self.link = Some(value.to_vec()),
                "size" => self.size = Some(number().context("a PAX size that is no number")?),
                "uid" => self.uid = number(),
                "gid" => self.gid = number(),
                "mtime" => self.mtime = number(),
                _ => {
                    if let Some(name) = key.strip_prefix(XATTR) {
                        self.xattrs.push((name.to_owned(), value.to_vec()));
                    }
                }
            }
            bytes = &bytes[length..];
        }
        Ok(())
    }
}

/// Puts `value` into a header's field; of a longer one, its beginning.
fn fits(field: &mut [u8], value: &[u8]) -> bool {
    let n = value.len().min(field.len());
    field.fill(0);
    field[..n].copy_from_slice(&value[..n]);
    value.len() <= field.len()
}

/// Appends a PAX record: its own length in decimal, a blank, `key=value`, a newline.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend(format!("{length} {key}=").into_bytes());
    records.extend(value);
    records.push(b'\n');
}

fn padding(size: u64) -> &'static [u8] {
    const ZEROS: [u8; 512] = [0; 512];
    &ZEROS[..(512 - (size % 512) as usize) % 512]
}

#[cfg(test)]
mod tests;
