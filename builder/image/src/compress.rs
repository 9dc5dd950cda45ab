//! Compressed forms of an image, the same bytes whatever the number of processors.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use clic_host::{Stage, Unit, cancel};
use liblzma::stream::{Check, MtStreamBuilder};
use liblzma::write::XzEncoder;
use serde::{Deserialize, Serialize};
use zstd::zstd_safe::CParameter;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// How an image is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Zstandard: fast to make and very fast to unpack.
    Zst,
    /// XZ: smaller, and what every card writer reads.
    Xz,
}

/// Measured on a 1 GiB image with 720 MB of files: levels 3, 9, 12 and 15 gave 231, 199, 198 and 197 MB in 12, 42, 91 and
/// 281 seconds. Beyond 9 there is nothing to gain.
const ZSTD_LEVEL: i32 = 9;
/// Bytes that one worker compresses by itself. What is cut, not who works on it, decides the output; without this it
/// would follow from the level's window, which may change with the library's version.
const ZSTD_PIECE: u32 = 16 << 20;

/// The default of xz itself. Its dictionary of 8 MiB is also what whoever unpacks must spare: small boards can.
const XZ_PRESET: u32 = 6;
/// Bytes of a block, which is also what one worker takes: three times the preset's dictionary of 8 MiB, the size that
/// `xz -6 -T` uses.
const XZ_PIECE: u32 = 24 << 20;

impl Compression {
    /// What the file's name ends with, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Zst => "zst",
            Self::Xz => "xz",
        }
    }

    /// Writes the compressed `image` to `out` with this many workers (at least 1 is used).
    pub fn write(self, image: &File, out: &mut dyn Write, workers: u32, stage: &Stage) -> Result<()> {
        match self {
            Self::Zst => zst(image, out, workers, ZSTD_PIECE, stage),
            Self::Xz => xz(image, out, workers, XZ_PIECE, stage),
        }
    }
}

fn zst(image: &File, out: &mut dyn Write, workers: u32, piece: u32, stage: &Stage) -> Result<()> {
    let size = image.metadata().context("reading the image")?.len();
    let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL).context("starting zstd")?;
    // Workers even on one processor: without any, zstd cuts its input in another way.
    let set = |encoder: &mut zstd::Encoder<'_, _>| -> std::io::Result<()> {
        encoder.multithread(workers.max(1))?;
        encoder.set_parameter(CParameter::JobSize(piece))?;
        encoder.include_checksum(true)?;
        encoder.set_pledged_src_size(Some(size))
    };
    set(&mut encoder).context("setting up zstd")?;
    feed(image, size, &mut encoder, stage)?;
    encoder.finish().context("finishing zstd")?;
    Ok(())
}

fn xz(image: &File, out: &mut dyn Write, workers: u32, piece: u32, stage: &Stage) -> Result<()> {
    let size = image.metadata().context("reading the image")?.len();
    let stream = MtStreamBuilder::new()
        .threads(workers.max(1))
        .block_size(piece.into())
        .preset(XZ_PRESET)
        .check(Check::Crc64)
        .encoder()
        .context("setting up xz")?;
    let mut encoder = XzEncoder::new_stream(out, stream);
    feed(image, size, &mut encoder, stage)?;
    encoder.finish().context("finishing xz")?;
    Ok(())
}

fn feed(image: &File, size: u64, to: &mut impl Write, stage: &Stage) -> Result<()> {
    stage.total(Unit::Bytes, size);
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    while at < size {
        cancel::check()?;
        let len = usize::try_from(size - at).unwrap_or(CHUNK).min(CHUNK);
        image
            .read_exact_at(&mut buffer[..len], at)
            .context("reading the image")?;
        to.write_all(&buffer[..len])
            .context("writing the compressed image")?;
        at += len as u64;
        stage.set(at);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clic_host::{Cmd, Progress};

    /// Several pieces with something and nothing in them.
    fn image() -> tempfile::NamedTempFile {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(5 << 20).unwrap();
        let mut state = 1u32;
        let noise: Vec<u8> = (0..300_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 28) as u8
            })
            .collect();
        for place in [0, (1 << 20) - 5, 3 << 20] {
            image.as_file().write_all_at(&noise, place).unwrap();
        }
        image
    }

    fn stage() -> Stage {
        Progress::silent().stage("compress", "Compressing", "test")
    }

    #[test]
    fn the_number_of_workers_changes_nothing_and_the_tools_unpack_it() {
        type Form = fn(&File, &mut dyn Write, u32, u32, &Stage) -> Result<()>;
        let image = image();
        let expected = std::fs::read(image.path()).unwrap();
        for (form, tool) in [(zst as Form, "zstd"), (xz as Form, "xz")] {
            let compressed = |workers| {
                let mut out = Vec::new();
                form(image.as_file(), &mut out, workers, 1 << 20, &stage()).unwrap();
                out
            };
            let one = compressed(1);
            assert!(one == compressed(3), "{tool}");
            assert!(one == compressed(0), "{tool}");
            let unpacked = Cmd::new(tool)
                .args(["-d", "-c"])
                .clean_env()
                .stdin(one)
                .output()
                .unwrap();
            assert!(unpacked == expected, "{tool}");
        }
    }

    #[test]
    fn each_form_has_its_extension() {
        let image = image();
        for (form, magic, extension) in [
            (Compression::Zst, &[0x28, 0xb5, 0x2f, 0xfd][..], "zst"),
            (Compression::Xz, &[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
        ] {
            let mut out = Vec::new();
            form.write(image.as_file(), &mut out, 2, &stage()).unwrap();
            assert!(out.starts_with(magic));
            assert_eq!(form.extension(), extension);
        }
    }
}
