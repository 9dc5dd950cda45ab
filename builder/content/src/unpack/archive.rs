//! Archives: tar in its compressions, and zip.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use clic_recipe::is_litter;
use clic_recipe::plan::Unpack;
use clic_store::space::io_error;
use clic_tree::{Stream, Walk};

use super::form::{Form, decompressed, form};
use super::{Files, MOST_ENTRIES, plain};

/// Most bytes of a zip file's list of its files, which is in memory. An entry has 46 bytes and its name.
const MOST_LIST: u64 = 64 << 20;
/// The bits of a Unix mode that say what a file is.
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
/// Code page 850 from 0x80 on: what Windows wrote into zip files in western Europe. Up to 0xa5 it is that of the zip
/// specification, 437; after that, where 437 has more lines for drawing boxes, it has letters (À, Ê, ã).
const CP850: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐└┴┬├─┼ãÃ╚╔╩╦╠═╬¤\
                     ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}";

/// Takes what is in an archive.
///
/// Errors: it is of another kind, or of one that is not read; it is damaged; whatever [`Files`] does not take.
pub fn archive(path: &Path, kind: Unpack, files: &mut Files) -> Result<()> {
    match (kind, form(path)?) {
        (_, Form::Other(what)) => {
            bail!("it is {what}, which is not unpacked here: make a zip or a tar of what should be in it")
        }
        (Unpack::Zip, Form::Zip | Form::Plain) => zip(path, files),
        (Unpack::Tar, Form::Zip) => bail!("it is a zip file: write `unpack = \"zip\"`"),
        (Unpack::Zip, _) => bail!("it is compressed as a tar is, not a zip file: write `unpack = \"tar\"`"),
        (Unpack::Tar, form) => tar(decompressed(path, form)?, files),
    }
}

fn tar(stream: Box<dyn Read>, files: &mut Files) -> Result<()> {
    let mut walk = Walk::foreign(Stream(stream));
    let mut entries = 0;
    while let Some(member) = walk.advance().context("it cannot be read as a tar")? {
        entries += 1;
        ensure!(
            entries <= MOST_ENTRIES,
            "it has more than {MOST_ENTRIES} files and directories"
        );
        // A label (`tar --label`) has no file.
        let label = member.header.entry_type().as_byte() == b'V';
        if label || member.is_directory() || is_litter(&member.path) {
            continue;
        }
        if member.header.entry_type().is_hard_link() {
            let (name, target) = (plain(&member.path)?, plain(&member.link.unwrap_or_default())?);
            let number = files.number(&target);
            let number = number.with_context(|| {
                format!("{name:?} is a link to {target:?}, which is not a file before it in the archive")
            })?;
            let mode = files.tree.get(&target).map_or(0o644, |entry| entry.mode);
            files.link_with(&name, number, mode)?;
        } else if member.is_file() {
            ensure!(
                member.size <= files.left,
                "its files together are larger than allowed"
            );
            let mode = member.header.mode().unwrap_or(0o644);
            files.take_with(&member.path, mode, &mut walk.content())?;
        } else {
            return Err(neither(&member.path));
        }
    }
    Ok(())
}

fn neither(name: &[u8]) -> anyhow::Error {
    anyhow::anyhow!(
        "{:?} is neither a file nor a directory; nothing else is accepted (`tar --dereference` puts files in place of links)",
        String::from_utf8_lossy(name)
    )
}

fn zip(path: &Path, files: &mut Files) -> Result<()> {
    let file = File::open(path).map_err(|error| io_error(error, path))?;
    whole(&file).map_err(|error| io_error(error, path))??;
    let left = Rc::new(Cell::new(MOST_LIST));
    let reader = Metered {
        file: BufReader::new(file),
        left: left.clone(),
    };
    let mut archive = zip::ZipArchive::new(reader).context(INCOMPLETE)?;
    left.set(u64::MAX);
    ensure!(
        archive.len() <= MOST_ENTRIES,
        "it has more than {MOST_ENTRIES} files and directories"
    );
    ensure!(
        !archive.has_duplicate_names(),
        "two files in it have the same path"
    );
    for number in 0..archive.len() {
        let found = archive.by_index_raw(number).context("the archive is damaged")?;
        let (name, kind) = (zip_name(&found), (found.external_attributes() >> 16) & KIND);
        let (encrypted, method) = (found.encrypted(), found.compression());
        drop(found);
        // What Unix calls a directory, or the slash that all others write.
        if kind == DIRECTORY || name.ends_with(b"/") || is_litter(&name) {
            continue;
        }
        if kind != REGULAR && kind != 0 {
            return Err(neither(&name));
        }
        let shown = String::from_utf8_lossy(&name);
        ensure!(
            !encrypted,
            "{shown:?} is encrypted: make the zip file without a password"
        );
        ensure!(
            zip::SUPPORTED_COMPRESSION_METHODS.contains(&method),
            "{shown:?} uses {}, which is not read here: make the zip file with Deflate, as most programs do",
            name_of(method)
        );
        let mut found = archive.by_index(number).context("the archive is damaged")?;
        files.take(&name, &mut found)?;
    }
    Ok(())
}

/// What a way of compressing is called (APPNOTE.TXT, 4.4.5).
fn name_of(method: zip::CompressionMethod) -> String {
    match method {
        zip::CompressionMethod::LZMA => "LZMA".to_owned(),
        zip::CompressionMethod::PPMD => "PPMd".to_owned(),
        zip::CompressionMethod::AES => "AES, a password,".to_owned(),
        other => format!("the compression {other}"),
    }
}

/// What a zip file is without that which comes last in it.
const INCOMPLETE: &str = "this is not a complete zip file: copy or download it again. Where it is one of several parts (.z01, .001), \
                          put them together, or pack their files as one zip file";

/// Whether it is the only volume, by what comes last in a zip file (APPNOTE.TXT, 4.3.16): its signature, the number of this volume
/// from 0 on, 16 more bytes, and a comment.
fn whole(mut file: &File) -> io::Result<Result<()>> {
    const SIGNATURE: &[u8] = b"PK\x05\x06";
    const LENGTH: usize = 22;
    const MOST: u64 = LENGTH as u64 + u16::MAX as u64;
    /// In a zip64 the number stands elsewhere, and is the reader's own business.
    const ZIP64: u16 = u16::MAX;
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(end.saturating_sub(MOST)))?;
    let mut tail = Vec::new();
    file.take(MOST).read_to_end(&mut tail)?;
    file.rewind()?;
    let number = |at: usize| u16::from_le_bytes([tail[at], tail[at + 1]]);
    let last = (0..=tail.len().saturating_sub(LENGTH)).rev().find(|at| {
        tail[*at..].starts_with(SIGNATURE) && at + LENGTH + usize::from(number(at + 20)) == tail.len()
    });
    Ok(match last.map(|at| number(at + 4)) {
        None | Some(0 | ZIP64) => Ok(()),
        Some(before) => Err(anyhow::anyhow!(
            "it is the last of {} parts of a zip file: make one of them (`zip --split-size 0 IT.zip --out WHOLE.zip`)",
            u32::from(before) + 1
        )),
    })
}

/// The path of a zip file's entry in UTF-8: Windows' separators become slashes, and names in its old code page letters.
fn zip_name<R: Read>(found: &zip::read::ZipFile<'_, R>) -> Vec<u8> {
    /// Flag 11: the name is UTF-8. Programs of macOS and Unix write it without saying so.
    const UTF8: u16 = 1 << 11;
    let raw = found.name_raw();
    let name = if found.flags().as_u16() & UTF8 != 0 || std::str::from_utf8(raw).is_ok() {
        raw.to_vec()
    } else {
        from_cp850(raw).into_bytes()
    };
    name.into_iter()
        .map(|byte| if byte == b'\\' { b'/' } else { byte })
        .collect()
}

fn from_cp850(raw: &[u8]) -> String {
    let letter = |byte: &u8| match byte.checked_sub(0x80) {
        None => char::from(*byte),
        Some(at) => CP850
            .chars()
            .nth(at.into())
            .unwrap_or(char::REPLACEMENT_CHARACTER),
    };
    raw.iter().map(letter).collect()
}

/// A file of which only so many bytes are read in all.
struct Metered {
    file: BufReader<File>,
    left: Rc<Cell<u64>>,
}

impl Read for Metered {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        let left = self.left.get().checked_sub(read as u64);
        self.left.set(left.ok_or_else(|| {
            io::Error::other(format!(
                "its list of files takes more than {} MiB",
                MOST_LIST >> 20
            ))
        })?);
        Ok(read)
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
