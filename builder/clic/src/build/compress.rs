//! Compressed forms of an image. The number of threads changes the time, never the bytes.

use std::io::{self, Read, Write};

use liblzma::stream::{Check, MtStreamBuilder};
use liblzma::write::XzEncoder;

/// zstd's level: beyond it a gigabyte takes minutes more for a few percent less.
const ZSTD_LEVEL: i32 = 9;

/// xz's own default preset. Those above it need more memory than small machines have for unpacking.
const XZ_PRESET: u32 = 6;

/// Bytes that xz compresses at a time, each by one thread: three times the preset's dictionary, as xz(1) chooses.
const XZ_BLOCK: u64 = 24 << 20;

/// zstd, with a checksum of the content and its size in the header.
pub fn zstd(from: &mut dyn Read, size: u64, to: &mut dyn Write, threads: u32) -> io::Result<()> {
    let mut encoder = zstd::Encoder::new(to, ZSTD_LEVEL)?;
    // Even one worker cuts its input into the jobs that many do; none would give other bytes.
    encoder.multithread(threads.max(1))?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(size))?;
    io::copy(from, &mut encoder)?;
    encoder.finish()?;
    Ok(())
}

/// xz, in blocks of a fixed size so that unpacking can be shared out too.
pub fn xz(from: &mut dyn Read, to: &mut dyn Write, threads: u32) -> io::Result<()> {
    let stream = MtStreamBuilder::new()
        .preset(XZ_PRESET)
        .block_size(XZ_BLOCK)
        .check(Check::Crc64)
        .threads(threads.max(1))
        .encoder()
        .map_err(io::Error::other)?;
    let mut encoder = XzEncoder::new_stream(to, stream);
    io::copy(from, &mut encoder)?;
    encoder.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than a block of xz and a job of zstd, and not quite regular.
    fn sample() -> Vec<u8> {
        let mut state = 1_u32;
        (0..30 << 20_u32)
            .map(|at: u32| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if at & 0x100 == 0 { (state >> 29) as u8 } else { 0 }
            })
            .collect()
    }

    #[test]
    fn threads_do_not_change_the_bytes() {
        let sample = sample();
        let zstd = |threads| {
            let mut packed = Vec::new();
            zstd(&mut sample.as_slice(), sample.len() as u64, &mut packed, threads).unwrap();
            packed
        };
        let one = zstd(1);
        assert!(one == zstd(3));
        assert!(zstd::decode_all(one.as_slice()).unwrap() == sample);
        let xz = |threads| {
            let mut packed = Vec::new();
            xz(&mut sample.as_slice(), &mut packed, threads).unwrap();
            packed
        };
        let one = xz(1);
        assert!(one == xz(3));
        let mut unpacked = Vec::new();
        liblzma::read::XzDecoder::new(one.as_slice())
            .read_to_end(&mut unpacked)
            .unwrap();
        assert!(unpacked == sample);
    }
}
