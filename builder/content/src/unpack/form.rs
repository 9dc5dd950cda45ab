//! What a file is by its first bytes, whatever it is called, and the stream of one that is compressed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Result, bail};
use clic_store::space::io_error;
use liblzma::stream::{CONCATENATED, Stream};

/// Most memory that decompressing may take, in bytes: `xz -9` needs 65 MiB, `zstd --long=27` 128.
const MAX_MEMORY: u64 = 256 << 20;
/// The largest window of zstd, as a power of two: what `zstd -d` itself takes unasked.
const MAX_WINDOW: u32 = 27;
/// Where a tar says that it is one.
const USTAR: usize = 257;

/// What an archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A tar, or something that no first bytes tell from one.
    Plain,
    Gzip,
    Xz,
    Lzma,
    Lzip,
    Zstd,
    Bzip2,
    Zip,
    /// What it is, and is not read here.
    Other(&'static str),
}

/// First bytes, and what they are of.
const FORMS: [(&[u8], Form); 20] = [
    (b"\x1f\x8b", Form::Gzip),
    (b"\xfd7zXZ\0", Form::Xz),
    // The properties that everybody uses, and a dictionary of whole 64 KiB.
    (b"\x5d\0\0", Form::Lzma),
    (b"LZIP", Form::Lzip),
    (b"\x28\xb5\x2f\xfd", Form::Zstd),
    (b"BZh", Form::Bzip2),
    (b"PK\x03\x04", Form::Zip),
    // One without files; and one in a row of volumes that has only one.
    (b"PK\x05\x06", Form::Zip),
    (b"PK00PK", Form::Zip),
    (
        b"PK\x07\x08",
        Form::Other("the first of several parts of a zip file"),
    ),
    (b"7z\xbc\xaf\x27\x1c", Form::Other("a 7z archive")),
    (b"Rar!\x1a\x07", Form::Other("a rar archive")),
    (b"MSCF", Form::Other("a cabinet of Windows")),
    (b"!<arch>\n", Form::Other("a Debian package or an ar archive")),
    (b"070701", Form::Other("a cpio archive")),
    (b"070707", Form::Other("a cpio archive")),
    (b"\x1f\x9d", Form::Other("compressed with `compress` (.Z)")),
    (b"\x04\x22\x4d\x18", Form::Other("compressed with lz4")),
    (b"%PDF", Form::Other("a PDF")),
    (b"ZIM\x04", Form::Other("a ZIM file")),
];

/// By its first bytes, not by its name, which a mirror may have changed.
pub fn form(path: &Path) -> Result<Form> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(512).read_to_end(&mut bytes))
        .map_err(|error| io_error(error, path))?;
    if bytes.is_empty() {
        bail!("it is an empty file");
    }
    if bytes.get(USTAR..).is_some_and(|rest| rest.starts_with(b"ustar")) {
        return Ok(Form::Plain);
    }
    // A frame that decoders pass over, of which zstd has sixteen.
    if bytes.len() > 4 && bytes[0] & 0xf0 == 0x50 && bytes[1..4] == [0x2a, 0x4d, 0x18] {
        return Ok(Form::Zstd);
    }
    let text = bytes.trim_ascii_start().to_ascii_lowercase();
    if text.starts_with(b"<!doctype html") || text.starts_with(b"<html") {
        return Ok(Form::Other(
            "a web page, perhaps one that says why there is no file",
        ));
    }
    let found = FORMS.iter().find(|(magic, _)| bytes.starts_with(magic));
    Ok(found.map_or(Form::Plain, |(_, form)| *form))
}

/// The stream in a compressed file.
pub fn decompressed(path: &Path, form: Form) -> Result<Box<dyn Read>> {
    let file = File::open(path).map_err(|error| io_error(error, path))?;
    let raw = io::BufReader::with_capacity(1 << 16, file);
    let xz = |raw, stream| liblzma::bufread::XzDecoder::new_stream(raw, stream);
    Ok(match form {
        Form::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        Form::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(raw)),
        Form::Xz => Box::new(xz(raw, Stream::new_stream_decoder(MAX_MEMORY, CONCATENATED)?)),
        Form::Lzma => Box::new(xz(raw, Stream::new_lzma_decoder(MAX_MEMORY)?)),
        Form::Lzip => Box::new(xz(raw, Stream::new_lzip_decoder(MAX_MEMORY, CONCATENATED)?)),
        Form::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(raw)?;
            decoder.window_log_max(MAX_WINDOW)?;
            Box::new(decoder)
        }
        Form::Plain | Form::Zip | Form::Other(_) => Box::new(raw),
    })
}
