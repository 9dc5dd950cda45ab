//! Walking through a tar, from its beginning to its end: the one way in which tars of others are read. Whatever one says is
//! checked before it is believed, and no length in it decides how much memory is taken.
//!
//! Header fields are read by the `tar` crate; walking is done here, since the crate reads long names and PAX headers whole
//! however long they say that they are, gives PAX records split at every newline, which cuts binary attribute values in
//! two, and stops at the first end of a tar that has two.

use std::collections::BTreeMap;
use std::io::{self, Read};

use anyhow::{Context, Result, bail, ensure};
use tar::{EntryType, Header};

use super::{XATTR, start_of};

/// A tar's block, in bytes.
const BLOCK: u64 = 512;

/// Most bytes that we take for one long name or one set of PAX records: room for every attribute that a Linux
/// file can have (64 KiB of names, 64 KiB per value), far from exhausting memory.
const MAX_EXTENSION: u64 = 1 << 20;

/// Most bytes of all of them: so much, and for every entry so much more. A few kilobytes of `xz` can stand for gigabytes.
const MAX_EXTENSIONS: u64 = 64 << 20;
const MAX_EXTENSIONS_EACH: u64 = 8 << 10;

/// Most zeros after the end. Tars are filled up to a record, of 10 KiB as a rule and of 1 MiB on tapes.
const MAX_TAIL: u64 = 16 << 20;

/// What a tar is read from.
pub trait Source: Read {
    /// Passes over so many bytes. Errors: there are not so many.
    fn skip(&mut self, bytes: u64) -> io::Result<()>;

    /// How many bytes there are still, where that is known.
    fn left(&self) -> Option<u64> {
        None
    }
}

/// A stream, of which only what comes next is known.
pub struct Stream<R>(pub R);

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl<R: Read> Source for Stream<R> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let passed = io::copy(&mut (&mut self.0).take(bytes), &mut io::sink())?;
        if passed < bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// A walk through a tar.
pub struct Walk<S> {
    source: S,
    /// Whose tar it is: in one of others, what is said of owners, times and attributes is passed over unread.
    foreign: bool,
    /// The byte that is read next.
    at: u64,
    /// Bytes of the present entry that nobody has read.
    content: u64,
    /// Zeros after it.
    padding: u64,
    entries: u64,
    extensions: u64,
}

/// An entry of a tar.
pub struct Member {
    /// Its header. Name, link and size are those below: the header may have only a part of them.
    pub header: Header,
    /// Its path, as the tar has it.
    pub path: Vec<u8>,
    /// What it leads to, if it is a link.
    pub link: Option<Vec<u8>>,
    /// Bytes of its content.
    pub size: u64,
    /// Where its content begins in the tar.
    pub offset: u64,
    pub(crate) said: Said,
}

/// What extension headers say about the entry that follows them, beside its name and size.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) mtime: Option<i64>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    said: Said,
    any: bool,
}

impl Member {
    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        // Before POSIX a directory was a file whose name ends in a slash.
        matches!(
            self.header.entry_type(),
            EntryType::Regular | EntryType::Continuous
        ) && !self.is_directory()
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        match self.header.entry_type() {
            EntryType::Directory => true,
            EntryType::Regular => self.path.ends_with(b"/"),
            _ => false,
        }
    }
}

impl<S: Source> Walk<S> {
    /// Through a tar of which everything counts.
    pub fn new(source: S) -> Self {
        Self {
            source,
            foreign: false,
            at: 0,
            content: 0,
            padding: 0,
            entries: 0,
            extensions: 0,
        }
    }

    /// Through a tar of which names and contents count, and nothing else.
    pub fn foreign(source: S) -> Self {
        Self {
            foreign: true,
            ..Self::new(source)
        }
    }

    /// The next entry; what was not read of the one before is passed over. `None` at the end of the whole tar.
    ///
    /// Errors: a tar that is damaged, ends early, or has something after its end; sparse entries, whose bytes are not the
    /// file's own; a long name or PAX header that is longer than any can be.
    pub fn advance(&mut self) -> Result<Option<Member>> {
        let rest = self.content + self.padding;
        self.source.skip(rest).map_err(|error| {
            early(
                error,
                format!("the tar ends early, before byte {}", self.at + rest),
            )
        })?;
        self.at += rest;
        (self.content, self.padding) = (0, 0);
        let mut extensions = Extensions::default();
        loop {
            let at = self.at;
            let Some(header) = self.header(&extensions)? else {
                return Ok(None);
            };
            let member = self.entry(header, &mut extensions);
            if let Some(member) = member.with_context(|| format!("at byte {at}"))? {
                return Ok(Some(member));
            }
        }
    }

    /// The content of the present entry.
    pub fn content(&mut self) -> impl Read + '_ {
        Inside(self)
    }

    /// The next header, or nothing at the end.
    fn header(&mut self, extensions: &Extensions) -> Result<Option<Header>> {
        let at = self.at;
        let mut header = Header::new_old();
        self.source
            .read_exact(header.as_mut_bytes())
            .map_err(|error| early(error, format!("the tar ends early, at byte {at}")))?;
        self.at += BLOCK;
        if header.as_bytes().iter().all(|&byte| byte == 0) {
            ensure!(
                !extensions.any,
                "the tar ends early: a long name or PAX header with no entry after it"
            );
            self.tail()?;
            return Ok(None);
        }
        checksum(&header).with_context(|| format!("at byte {at}"))?;
        Ok(Some(header))
    }

    /// Nothing but zeros comes after the end: whatever else there is, somebody would miss.
    fn tail(&mut self) -> Result<()> {
        let mut buffer = vec![0; 1 << 16];
        let mut passed = 0;
        loop {
            let read = match self.source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("after the end of the tar"),
            };
            passed += read as u64;
            ensure!(
                passed <= MAX_TAIL && buffer[..read].iter().all(|byte| *byte == 0),
                "something comes after the end of the tar, at byte {}: two tars in one file?",
                self.at
            );
        }
    }

    /// The entry of this header, or nothing if it only says something of the next one.
    fn entry(&mut self, header: Header, extensions: &mut Extensions) -> Result<Option<Member>> {
        let kind = header.entry_type();
        let extends = matches!(
            kind,
            EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader
        );
        let size = match extensions.size {
            Some(size) if !extends => size,
            _ => stated_size(&header)?,
        };
        let padding = size.checked_next_multiple_of(BLOCK).map(|full| full - size);
        let padding = padding.filter(|_| self.source.left().is_none_or(|left| size <= left));
        let padding = padding.with_context(|| {
            format!(
                "the tar ends early: an entry of {size} bytes at byte {}",
                self.at - BLOCK
            )
        })?;
        if extends {
            self.extension(kind, size, padding, extensions)?;
            return Ok(None);
        }
        self.entries += 1;
        let Extensions { path, link, said, .. } = std::mem::take(extensions);
        let member = Member {
            path: path.unwrap_or_else(|| header.path_bytes().into_owned()),
            link: link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned)),
            size,
            offset: self.at,
            said,
            header,
        };
        let named = start_of(&String::from_utf8_lossy(&member.path));
        if member.header.entry_type() == EntryType::GNUSparse {
            bail!("{named:?}: sparse entries are not supported; make the tar without --sparse");
        }
        ensure!(
            size == 0 || member.is_file(),
            "{named:?}: contents in an entry that is not a regular file"
        );
        (self.content, self.padding) = (size, padding);
        Ok(Some(member))
    }

    /// Reads a long name or PAX header.
    fn extension(
        &mut self,
        kind: EntryType,
        size: u64,
        padding: u64,
        extensions: &mut Extensions,
    ) -> Result<()> {
        ensure!(
            size <= MAX_EXTENSION,
            "a name or PAX header of {size} bytes, longer than any can be"
        );
        self.extensions += size + BLOCK;
        ensure!(
            self.extensions <= MAX_EXTENSIONS + self.entries * MAX_EXTENSIONS_EACH,
            "names and PAX headers of {} bytes for {} entries",
            self.extensions,
            self.entries
        );
        let mut bytes = vec![0; usize::try_from(size)?];
        self.source
            .read_exact(&mut bytes)
            .and_then(|()| self.source.skip(padding))
            .map_err(|error| early(error, "the tar ends early".to_owned()))?;
        self.at += size + padding;
        extensions.take(kind, bytes, self.foreign)
    }
}

/// The content of an entry, no byte more and no byte less.
struct Inside<'a, S>(&'a mut Walk<S>);

impl<S: Source> Read for Inside<'_, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Self(walk) = self;
        let most = into
            .len()
            .min(usize::try_from(walk.content).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = walk.source.read(&mut into[..most])?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the tar ends early"));
        }
        walk.content -= read as u64;
        walk.at += read as u64;
        Ok(read)
    }
}

/// An end where none should be, in words; other errors as they are.
fn early(error: io::Error, words: String) -> anyhow::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        anyhow::Error::msg(words)
    } else {
        error.into()
    }
}

/// Bytes that an entry has by its header. Some write nothing where there is none (`tar --label`).
fn stated_size(header: &Header) -> Result<u64> {
    let blank = header.as_old().size.iter().all(|byte| matches!(byte, 0 | b' '));
    Ok(if blank { 0 } else { header.entry_size()? })
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
    fn take(&mut self, kind: EntryType, bytes: Vec<u8>, foreign: bool) -> Result<()> {
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
                        check_global(key, foreign)?;
                    } else {
                        self.record(key, value, foreign)?;
                    }
                    left = rest;
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8], foreign: bool) -> Result<()> {
        let number = || -> Result<u64> { Ok(std::str::from_utf8(value)?.parse()?) };
        let id = || -> Result<u32> { Ok(u32::try_from(number()?)?) };
        let shown = || format!("PAX record {}", String::from_utf8_lossy(key));
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number().with_context(shown)?),
            // Its bytes would be taken for the file's own.
            _ if is_sparse(key) => {
                bail!("sparse entries are not supported; make the tar without --sparse")
            }
            _ if foreign => {}
            b"uid" => self.said.uid = Some(id().with_context(shown)?),
            b"gid" => self.said.gid = Some(id().with_context(shown)?),
            b"mtime" => self.said.mtime = Some(seconds(value).with_context(shown)?),
            _ => {
                if let Some(name) = key.strip_prefix(XATTR.as_bytes()) {
                    ensure!(!name.is_empty() && !name.contains(&0), "{}: not a name", shown());
                    let twice = self.said.xattrs.insert(name.to_vec(), value.to_vec()).is_some();
                    ensure!(!twice, "{}: twice", shown());
                }
            }
        }
        Ok(())
    }
}

/// A record of all entries that follow. One that changes what they are is refused: nobody writes them so.
fn check_global(key: &[u8], foreign: bool) -> Result<()> {
    let changes = matches!(key, b"path" | b"linkpath" | b"size") || is_sparse(key);
    ensure!(
        key == b"comment" || (foreign && !changes),
        "a global PAX header with `{}` is not supported",
        String::from_utf8_lossy(key)
    );
    Ok(())
}

/// GNU tar's three ways (`GNU.sparse.`), and star's (`SCHILY.realsize`).
fn is_sparse(key: &[u8]) -> bool {
    key.starts_with(b"GNU.sparse.") || key == b"SCHILY.realsize"
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
