//! The one form in which a tree is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clic_host::Sha256;
use clic_host::sha256::Hasher;
use clic_store::space::io_error;
use tar::{EntryType, Header};

use super::{Content, Entry, FileTree, Kind, XATTR, clamped, seconds, shown};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Entries, hard links included.
    pub entries: u64,
    /// Bytes of regular files' contents, each once.
    pub bytes: u64,
    /// Bytes of the tar file.
    pub size: u64,
    /// SHA-256 of the tar file.
    pub sha256: Sha256,
}

impl FileTree {
    /// Writes the tree in its one form: sorted by path, no time after `epoch` (directories: `epoch`), no names of owners, extended
    /// attributes as PAX records, hard links to the first of their paths.
    pub fn write(&self, to: &Path, epoch: u64) -> Result<Written> {
        let out = File::create(to).map_err(|error| io_error(error, to))?;
        let mut out = BufWriter::with_capacity(1 << 20, out);
        let mut bytes = 0;
        let mut first_names: BTreeMap<usize, &[u8]> = BTreeMap::new();
        let mut hash = Hasher::default();
        let mut size = 0;
        let epoch = seconds(epoch);
        let mut write = |part: &[u8]| {
            hash.update(part);
            size += part.len() as u64;
            out.write_all(part)
        };
        for (path, entry) in &self.entries {
            let (mut content, mut first) = (None, None);
            if let Kind::File(number) = entry.kind {
                first = first_names.get(&number).copied();
                if first.is_none() {
                    first_names.insert(number, path);
                    content = Some(&self.contents[number]);
                }
            }
            let length = content.map_or(0, Content::size);
            bytes += length;
            let (mut header, records) = describe(path, entry, first, length, epoch)?;
            if !records.is_empty() {
                let size = records.len() as u64;
                for part in [extension(size)?.as_bytes(), records.as_slice(), padding(size)] {
                    write(part).map_err(|error| io_error(error, to))?;
                }
            }
            header.set_cksum();
            write(header.as_bytes()).map_err(|error| io_error(error, to))?;
            if let Some(content) = content {
                content
                    .copy(&mut write)
                    .with_context(|| format!("copying {} into the tar file", shown(path)))?;
                write(padding(length)).map_err(|error| io_error(error, to))?;
            }
        }
        write(&[0; 1024]).map_err(|error| io_error(error, to))?;
        out.flush().map_err(|error| io_error(error, to))?;
        Ok(Written {
            entries: self.entries.len() as u64,
            bytes,
            size,
            sha256: hash.finish(),
        })
    }
}

/// An entry's header, all but its checksum, and the PAX records of what it has no room for. `first`: the path that a hard link
/// is a link to.
fn describe(
    path: &[u8],
    entry: &Entry,
    first: Option<&[u8]>,
    size: u64,
    epoch: i64,
) -> Result<(Header, Vec<u8>)> {
    let mut header = Header::new_ustar();
    header.set_mode(entry.mode);
    header.set_uid(entry.uid.into());
    header.set_gid(entry.gid.into());
    let mtime = clamped(entry, epoch);
    // The header knows no time before 1970.
    header.set_mtime(u64::try_from(mtime).unwrap_or(0));
    header.set_size(size);
    let (kind, link) = match (&entry.kind, first) {
        (Kind::Directory, _) => (EntryType::Directory, Vec::new()),
        (Kind::Symlink(target), _) => (EntryType::Symlink, target.clone()),
        (Kind::Fifo, _) => (EntryType::Fifo, Vec::new()),
        (Kind::File(_), Some(first)) => (EntryType::Link, [b"./", first].concat()),
        (Kind::File(_), None) => (EntryType::Regular, Vec::new()),
    };
    header.set_entry_type(kind);
    if kind == EntryType::Fifo {
        header.set_device_major(0)?;
        header.set_device_minor(0)?;
    }
    let slash: &[u8] = if entry.kind == Kind::Directory && !path.is_empty() {
        b"/"
    } else {
        b""
    };
    let name = [b"./", path, slash].concat();
    let ustar = header.as_ustar_mut().context("a ustar header")?;
    let mut records = Vec::new();
    if !fits(&mut ustar.name, &name) {
        record(&mut records, b"path", &name);
    }
    if !fits(&mut ustar.linkname, &link) {
        record(&mut records, b"linkpath", &link);
    }
    if mtime < 0 {
        record(&mut records, b"mtime", mtime.to_string().as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut records, &[XATTR.as_bytes(), name].concat(), value);
    }
    Ok((header, records))
}

/// The header before so many bytes of PAX records.
fn extension(size: u64) -> Result<Header> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_path("PaxHeaders")?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

/// Puts `value` into a header's field; of a longer one, its beginning.
fn fits(field: &mut [u8], value: &[u8]) -> bool {
    let n = value.len().min(field.len());
    field.fill(0);
    field[..n].copy_from_slice(&value[..n]);
    value.len() <= field.len()
}

/// Appends a PAX record: its own length in decimal, a blank, `key=value`, a newline.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend(format!("{length} ").into_bytes());
    records.extend(key);
    records.push(b'=');
    records.extend(value);
    records.push(b'\n');
}

fn padding(size: u64) -> &'static [u8] {
    const ZEROS: [u8; 512] = [0; 512];
    &ZEROS[..(512 - (size % 512) as usize) % 512]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_lengths_count_themselves() {
        for size in [1, 80, 90, 91, 92, 93, 980, 990, 9990] {
            let mut records = Vec::new();
            record(&mut records, b"path", &vec![b'v'; size]);
            let length: usize = String::from_utf8_lossy(&records)
                .split(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(length, records.len());
        }
    }
}
