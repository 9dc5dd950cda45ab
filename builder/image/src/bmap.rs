//! The block map (`.bmap`, version 2.0), by which bmaptool writes only what matters and checks what it reads.
//!
//! The known hazard of block maps is zeros that are left out although they matter (a FAT's free entries over an older
//! FAT on the card). Here everything that a file system reads is mapped, zeros or not; see [`crate::scan`].

use std::fmt::Write;

use clic_host::Sha256;

use crate::scan::{BLOCK, Scan};

/// The XML text of an image's block map.
pub fn xml(scan: &Scan) -> String {
    let mapped: u64 = scan.mapped.iter().map(|run| run.last - run.first + 1).sum();
    // The file's own checksum is taken with this many zeros in its place.
    let zeros = "0".repeat(64);
    let mut text = format!(
        "<?xml version=\"1.0\" ?>\n\
         <!-- Blocks of an image that a medium must have. bmaptool(1) reads it. -->\n\
         <bmap version=\"2.0\">\n\
         \x20   <ImageSize> {} </ImageSize>\n\
         \x20   <BlockSize> {BLOCK} </BlockSize>\n\
         \x20   <BlocksCount> {} </BlocksCount>\n\
         \x20   <MappedBlocksCount> {mapped} </MappedBlocksCount>\n\
         \x20   <ChecksumType> sha256 </ChecksumType>\n\
         \x20   <BmapFileChecksum> {zeros} </BmapFileChecksum>\n\
         \x20   <BlockMap>\n",
        scan.size,
        scan.size.div_ceil(BLOCK),
    );
    for run in &scan.mapped {
        let blocks = if run.first == run.last {
            run.first.to_string()
        } else {
            format!("{}-{}", run.first, run.last)
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "        <Range chksum=\"{}\"> {blocks} </Range>",
            run.sha256
        );
    }
    text.push_str("    </BlockMap>\n</bmap>\n");
    let checksum = Sha256::of(&text).to_string();
    text.replacen(&zeros, &checksum, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Mapped;

    #[test]
    fn the_map_has_every_field() {
        let mapped = |first, last, sha256| Mapped { first, last, sha256 };
        let (four, one) = (Sha256::of("four blocks"), Sha256::of("one block"));
        let scan = Scan {
            size: 10 * BLOCK + 1,
            sha256: Sha256::of("image"),
            mapped: vec![mapped(0, 3, four), mapped(10, 10, one)],
        };
        let text = xml(&scan);
        for line in [
            "<bmap version=\"2.0\">",
            "<ImageSize> 40961 </ImageSize>",
            "<BlockSize> 4096 </BlockSize>",
            "<BlocksCount> 11 </BlocksCount>",
            "<MappedBlocksCount> 5 </MappedBlocksCount>",
            "<ChecksumType> sha256 </ChecksumType>",
            &format!("<Range chksum=\"{four}\"> 0-3 </Range>"),
            &format!("<Range chksum=\"{one}\"> 10 </Range>"),
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        // As bmaptool checks it: the same text with zeros where the checksum is.
        let (_, rest) = text.split_once("<BmapFileChecksum> ").unwrap();
        let checksum = &rest[..64];
        let zeroed = text.replace(checksum, &"0".repeat(64));
        assert_eq!(checksum, Sha256::of(zeroed).to_string());
    }
}
