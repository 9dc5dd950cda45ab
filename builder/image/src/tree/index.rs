//! Indexing a tar. The tar may come from anywhere: whatever it says is checked before it is believed.
//!
//! Header fields are read by the `tar` crate; walking is done here, since the crate gives PAX records split at
//! every newline, which cuts binary attribute values in two, and takes no size from them in its raw mode.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use tar::{EntryType, Header};

use super::{Data, Kind, Node, Tree, normalise, parent};

/// A tar's block, in bytes.
const BLOCK: u64 = 512;

/// Most bytes that we take for one long name or one set of PAX records: room for every attribute that a Linux
/// file can have (64 KiB of names, 64 KiB per value), far from exhausting memory.
const MAX_EXTENSION: u64 = 1 << 20;

/// Most directories that a tar may only imply: a few long paths could otherwise fill the memory.
const MAX_IMPLIED: usize = 1 << 16;

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

pub(super) fn index(path: &Path) -> Result<Tree> {
    let file = File::open(path)?;
    let end = file.metadata()?.len();
    let mut tree = Tree {
        entries: BTreeMap::new(),
        sources: Vec::new(),
    };
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
            let data = Data::Range {
                source: 0,
                offset: start,
                len: size,
            };
            add(&mut tree, &header, std::mem::take(&mut extensions), data)
                .with_context(|| format!("at byte {at}"))?;
        }
        at = past.next_multiple_of(BLOCK);
    }
    complete(&mut tree)?;
    tree.sources = vec![Arc::new(file)];
    Ok(tree)
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
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
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
        "`{text}` is no time"
    );
    let seconds: i64 = whole.parse().with_context(|| format!("`{text}` is no time"))?;
    let below = whole.starts_with('-') && fraction.bytes().any(|byte| byte != b'0');
    Ok(seconds.saturating_sub(i64::from(below)))
}

fn add(tree: &mut Tree, header: &Header, extensions: Extensions, data: Data) -> Result<()> {
    let raw = extensions
        .path
        .unwrap_or_else(|| header.path_bytes().into_owned());
    let path = inside(&raw)?;
    let shown = String::from_utf8_lossy(&raw).into_owned();
    let link = || {
        extensions
            .link
            .clone()
            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
    };
    let device = || -> Result<(u32, u32)> {
        let (major, minor) = (header.device_major()?, header.device_minor()?);
        Ok((
            major.context("no device number")?,
            minor.context("no device number")?,
        ))
    };
    let empty = data.is_empty();
    let kind = match header.entry_type() {
        // Before POSIX a directory was a file whose name ends in a slash.
        EntryType::Regular if raw.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File(data),
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => {
            let target = link().filter(|target| !target.is_empty() && !target.contains(&0));
            Kind::Symlink(target.with_context(|| format!("{shown}: a symbolic link without a target"))?)
        }
        EntryType::Link => {
            let target = link().with_context(|| format!("{shown}: a hard link without a target"))?;
            Kind::Hardlink(inside(&target).with_context(|| format!("{shown}: a hard link"))?)
        }
        EntryType::Char => device().map(|(major, minor)| Kind::CharDevice { major, minor })?,
        EntryType::Block => device().map(|(major, minor)| Kind::BlockDevice { major, minor })?,
        EntryType::Fifo => Kind::Fifo,
        EntryType::GNUSparse => {
            bail!("{shown}: sparse entries are not supported; make the tar without --sparse")
        }
        other => bail!(
            "{shown}: entries of type `{}` are not supported",
            char::from(other.as_byte())
        ),
    };
    ensure!(
        empty || matches!(kind, Kind::File(_)),
        "{shown}: contents in an entry that is no regular file"
    );
    ensure!(
        path != b"/" || kind == Kind::Directory,
        "{shown}: the root must be a directory"
    );
    let id = |value: std::io::Result<u64>| -> Result<u32> { Ok(u32::try_from(value?)?) };
    let node = Node {
        kind,
        mode: header.mode().with_context(|| format!("{shown}: mode"))? & 0o7777,
        uid: extensions
            .uid
            .map_or_else(|| id(header.uid()), Ok)
            .with_context(|| format!("{shown}: owner"))?,
        gid: extensions
            .gid
            .map_or_else(|| id(header.gid()), Ok)
            .with_context(|| format!("{shown}: group"))?,
        mtime: match extensions.mtime {
            Some(mtime) => mtime,
            None => i64::try_from(header.mtime()?).with_context(|| format!("{shown}: time"))?,
        },
        xattrs: extensions.xattrs,
    };
    ensure!(
        tree.entries.insert(path, node).is_none(),
        "{shown}: twice in the tar"
    );
    Ok(())
}

/// A path of the tar (`./etc/hostname`, `etc/`) as an absolute one.
fn inside(path: &[u8]) -> Result<Vec<u8>> {
    let shown = String::from_utf8_lossy(path);
    ensure!(!path.is_empty(), "an empty path");
    ensure!(!path.starts_with(b"/"), "the path `{shown}` is absolute");
    normalise(&[b"/", path].concat())
}

/// Adds the directories that are only implied, and checks what single entries cannot show.
fn complete(tree: &mut Tree) -> Result<()> {
    let mut missing = BTreeSet::new();
    let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    for path in tree.entries.keys() {
        let mut above = parent(path);
        while let Some(directory) = above {
            match tree.entries.get(directory).map(Node::is_directory) {
                Some(true) => break,
                Some(false) => bail!(
                    "{} is below {}, which is no directory",
                    shown(path),
                    shown(directory)
                ),
                // If it is known to be missing, so are those above it.
                None if !missing.insert(directory.to_vec()) => break,
                None => ensure!(
                    missing.len() <= MAX_IMPLIED,
                    "over {MAX_IMPLIED} directories are only implied"
                ),
            }
            above = parent(directory);
        }
    }
    missing.insert(b"/".to_vec());
    for path in missing {
        tree.entries
            .entry(path)
            .or_insert_with(|| Node::directory(0o755, 0));
    }

    // A link to a link names the file itself in the end.
    let mut targets = Vec::new();
    for (path, node) in &tree.entries {
        let Kind::Hardlink(first) = &node.kind else {
            continue;
        };
        let mut target = first;
        let mut hops = 0;
        loop {
            match tree.entries.get(target).map(|node| &node.kind) {
                None => bail!(
                    "{}: a hard link to {}, which is not there",
                    shown(path),
                    shown(target)
                ),
                Some(Kind::Directory) => {
                    bail!("{}: a hard link to the directory {}", shown(path), shown(target))
                }
                Some(Kind::Hardlink(next)) => target = next,
                Some(_) => break,
            }
            hops += 1;
            ensure!(
                hops <= super::MAX_LINKS,
                "{}: hard links that lead to no file",
                shown(path)
            );
        }
        if target != first {
            targets.push((path.clone(), target.clone()));
        }
    }
    for (path, target) in targets {
        if let Some(node) = tree.entries.get_mut(&path) {
            node.kind = Kind::Hardlink(target);
        }
    }
    Ok(())
}
