//! Block maps (bmap 2.0, as `bmaptool` reads them): which blocks of an image matter, with their hashes, so that a
//! writer leaves out the rest and sees whether what it read is right.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use clic_host::{Stage, cancel};
use sha2::{Digest, Sha256};

use super::manifest::hex;

/// Bytes of a block: what every block map out there has.
const BLOCK: u64 = 4096;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// The block map of `image`, which is `size` bytes long. `in_use` are the byte ranges that matter.
pub fn block_map(image: &File, size: u64, in_use: &[Range<u64>], stage: &Stage) -> anyhow::Result<String> {
    let ranges = blocks(size, in_use);
    let mut map = String::new();
    for range in &ranges {
        let hash = sha256_of(image, range.start * BLOCK..(range.end * BLOCK).min(size), stage)?;
        let (first, last) = (range.start, range.end - 1);
        // Writing to a String cannot fail.
        let _ = match first == last {
            true => writeln!(map, "        <Range chksum=\"{hash}\"> {first} </Range>"),
            false => writeln!(map, "        <Range chksum=\"{hash}\"> {first}-{last} </Range>"),
        };
    }
    let mapped: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let file = |own: &str| {
        format!(
            "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n    <ImageSize> {size} </ImageSize>\n    \
             <BlockSize> {BLOCK} </BlockSize>\n    <BlocksCount> {} </BlocksCount>\n    \
             <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    <ChecksumType> sha256 </ChecksumType>\n    \
             <BmapFileChecksum> {own} </BmapFileChecksum>\n    <BlockMap>\n{map}    </BlockMap>\n</bmap>\n",
            size.div_ceil(BLOCK),
        )
    };
    // The file's own hash is made with zeros in its place.
    let own = hex(&Sha256::digest(file(&"0".repeat(64))));
    Ok(file(&own))
}

/// The blocks that hold these bytes, sorted, those that touch joined.
fn blocks(size: u64, in_use: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = in_use
        .iter()
        .map(|range| range.start / BLOCK..range.end.min(size).div_ceil(BLOCK))
        .filter(|range| !range.is_empty())
        .collect();
    sorted.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

fn sha256_of(image: &File, range: Range<u64>, stage: &Stage) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut at = range.start;
    while at < range.end {
        cancel::check()?;
        let len = usize::try_from(range.end - at).unwrap_or(CHUNK).min(CHUNK);
        let bytes = buffer
            .get_mut(..len)
            .ok_or_else(|| io::Error::other("a chunk is larger than its buffer"))?;
        image.read_exact_at(bytes, at)?;
        hash.update(bytes);
        at += len as u64;
        stage.advance(len as u64);
    }
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use clic_host::Progress;

    use super::*;

    #[test]
    #[allow(clippy::single_range_in_vec_init)] // ranges are what is compared
    fn bytes_become_whole_blocks_that_are_joined() {
        assert_eq!(
            blocks(100_000, &[4095..4097, 8192..8193, 40_000..40_001]),
            [0..3, 9..10]
        );
        assert_eq!(blocks(5000, &[4096..5000]), [1..2]);
        assert_eq!(blocks(5000, &[7..7]), []);
    }

    #[test]
    fn the_map_is_what_bmaptool_reads() {
        let mut image = tempfile::tempfile().unwrap();
        image.write_all(&[7; 10_000]).unwrap();
        let stage = Progress::silent().stage("test", "Test", "a test");
        let map = block_map(&image, 10_000, &[0..1, 8192..10_000], &stage).unwrap();
        assert!(map.contains("<ImageSize> 10000 </ImageSize>"), "{map}");
        assert!(map.contains("<BlocksCount> 3 </BlocksCount>"), "{map}");
        assert!(
            map.contains("<MappedBlocksCount> 2 </MappedBlocksCount>"),
            "{map}"
        );
        let last = hex(&Sha256::digest([7; 10_000 - 8192]));
        assert!(
            map.contains(&format!("<Range chksum=\"{last}\"> 2 </Range>")),
            "{map}"
        );
        let own = map
            .split("<BmapFileChecksum> ")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        assert_eq!(own, hex(&Sha256::digest(map.replace(own, &"0".repeat(64)))));
    }
}
