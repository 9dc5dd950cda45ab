//! A tar file's index: entries, and what extended headers (GNU and PAX) say of them.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clic_store::space::io_error;
use tar::{Archive, EntryType};

use super::{Content, Entry, Kind, TarTree, XATTR};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_tree() {
        assert!(clean_path(b"./a/../../b").is_err());
        assert_eq!(clean_path(b"./a//b/./c/").unwrap(), b"a/b/c");
    }
}
