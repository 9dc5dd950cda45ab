//! The numbers that libzim and Xapian draw at random, from the inputs instead: the same pages make the same file.
//!
//! There are three. A ZIM file's own, in its header; and those of the two Xapian databases in it, which find words of the
//! text and words of the titles. The header's checksum follows from them.
//! (<https://wiki.openzim.org/wiki/ZIM_file_format>; Xapian 1.4, `backends/glass/glass_version.cc`.)

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use anyhow::{Context, Result, bail, ensure};
use md5::{Digest, Md5};

/// A ZIM file's first bytes.
const MAGIC: u32 = 0x044d_495a;
/// Where its number is; 16 bytes.
const NUMBER: u64 = 8;
/// Bytes of its header that are read.
const HEADER: usize = 80;
/// Mime types of entries that have no content: redirects, deleted ones.
const WITHOUT_CONTENT: std::ops::RangeInclusive<u16> = 0xfffd..=0xffff;
/// The entries that are Xapian databases.
const DATABASES: [&[u8]; 2] = [b"fulltext/xapian", b"title/xapian"];
/// A Xapian database's first bytes; its number comes 2 bytes of version later.
const GLASS: &[u8] = b"\x0f\x0dXapian Glass";
/// The checksum, MD5, is the last of the file.
const CHECKSUM: u64 = 16;

/// Gives them all the same `number`. Errors: it is not a ZIM file as libzim 8 and 9 write them.
pub fn settle(file: &mut File, number: [u8; 16]) -> Result<()> {
    let len = file.seek(SeekFrom::End(0))?;
    let header: [u8; HEADER] = read(file, 0)?;
    let int = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
    let long = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("8 bytes"));
    ensure!(int(0) == MAGIC, "it does not begin as one");
    let (entries, paths, clusters, checksum) = (int(24), long(32), long(48), long(72));
    ensure!(
        checksum.checked_add(CHECKSUM) == Some(len),
        "its checksum is not at its end"
    );

    let mut places = vec![NUMBER];
    let mut found = 0;
    for entry in 0..u64::from(entries) {
        let at = u64::from_le_bytes(read(file, paths + entry * 8)?);
        let Some((cluster, blob)) = database(file, at)? else {
            continue;
        };
        let at = content(file, clusters, cluster, blob).context("a database of it")?;
        let start: [u8; GLASS.len()] = read(file, at)?;
        ensure!(start == GLASS, "a database of it is not Xapian's");
        places.push(at + GLASS.len() as u64 + 2);
        found += 1;
    }
    ensure!(found == DATABASES.len(), "it has {found} databases of words");
    for place in places {
        file.seek(SeekFrom::Start(place))?;
        file.write_all(&number)?;
    }

    file.seek(SeekFrom::Start(0))?;
    let mut hash = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    let mut rest = Read::by_ref(file).take(checksum);
    loop {
        match rest.read(&mut buffer)? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    file.seek(SeekFrom::Start(checksum))?;
    file.write_all(&hash.finalize())?;
    file.seek(SeekFrom::Start(0))?;
    Ok(())
}

/// Cluster and blob of the entry at `at`, if it is a Xapian database.
fn database(file: &mut File, at: u64) -> Result<Option<(u32, u32)>> {
    let entry: [u8; 16] = read(file, at)?;
    let int = |at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().expect("4 bytes"));
    if WITHOUT_CONTENT.contains(&u16::from_le_bytes([entry[0], entry[1]])) || entry[3] != b'X' {
        return Ok(None);
    }
    for name in DATABASES {
        let mut path = vec![0; name.len() + 1];
        file.seek(SeekFrom::Start(at + 16))?;
        // One with a shorter name may be the last of the file.
        if file.read_exact(&mut path).is_ok() && path.strip_prefix(name) == Some(b"\0") {
            return Ok(Some((int(8), int(12))));
        }
    }
    Ok(None)
}

/// Where a blob of an uncompressed cluster begins.
fn content(file: &mut File, clusters: u64, cluster: u32, blob: u32) -> Result<u64> {
    let at = u64::from_le_bytes(read(file, clusters.saturating_add(u64::from(cluster) * 8))?);
    let [kind] = read(file, at)?;
    let offsets = at + 1;
    match kind & 0x0f {
        0 | 1 => {}
        other => bail!("it is compressed, in way {other}"),
    }
    let offset = if kind & 0x10 == 0 {
        u32::from_le_bytes(read(file, offsets + u64::from(blob) * 4)?).into()
    } else {
        u64::from_le_bytes(read(file, offsets + u64::from(blob) * 8)?)
    };
    offsets.checked_add(offset).context("it is beyond all files")
}

fn read<const N: usize>(file: &mut File, at: u64) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes).context("it is cut off")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with two databases and a page, laid out as libzim does.
    fn zim(numbers: [u8; 3]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..24].fill(numbers[0]);
        let mut entries = Vec::new();
        let names: [(u8, &[u8]); 3] = [
            (b'C', b"fulltext/xapian"),
            (b'X', DATABASES[0]),
            (b'X', DATABASES[1]),
        ];
        for (blob, (space, name)) in names.into_iter().enumerate() {
            entries.push(bytes.len() as u64);
            bytes.extend([0, 0, 0, space, 0, 0, 0, 0, 0, 0, 0, 0]);
            bytes.extend(u32::try_from(blob).unwrap().to_le_bytes());
            bytes.extend(name);
            bytes.extend(b"\0\0");
        }
        let cluster = bytes.len() as u64;
        let mut blobs: Vec<Vec<u8>> = vec![b"page".to_vec()];
        for number in &numbers[1..] {
            let mut blob = [GLASS, b"\x04\x6e"].concat();
            blob.extend([*number; 16]);
            blob.extend(b"words");
            blobs.push(blob);
        }
        bytes.push(1);
        let mut offset = u32::try_from((blobs.len() + 1) * 4).unwrap();
        for blob in &blobs {
            bytes.extend(offset.to_le_bytes());
            offset += u32::try_from(blob.len()).unwrap();
        }
        bytes.extend(offset.to_le_bytes());
        bytes.extend(blobs.concat());
        let paths = bytes.len() as u64;
        bytes.extend(entries.iter().flat_map(|at| at.to_le_bytes()));
        let clusters = bytes.len() as u64;
        bytes.extend(cluster.to_le_bytes());
        let checksum = bytes.len() as u64;
        bytes[24..28].copy_from_slice(&3u32.to_le_bytes());
        bytes[32..40].copy_from_slice(&paths.to_le_bytes());
        bytes[48..56].copy_from_slice(&clusters.to_le_bytes());
        bytes[72..80].copy_from_slice(&checksum.to_le_bytes());
        bytes.extend([0; 16]);
        bytes
    }

    fn settled(bytes: &[u8]) -> Result<Vec<u8>> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        settle(&mut file, *b"0123456789abcdef")?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn chance_is_taken_out() {
        let one = settled(&zim([1, 2, 3])).unwrap();
        assert_eq!(one, settled(&zim([7, 8, 9])).unwrap());
        let count = one.windows(16).filter(|part| part == b"0123456789abcdef").count();
        assert_eq!(count, 3);
        let (body, checksum) = one.split_at(one.len() - 16);
        assert_eq!(Md5::digest(body).as_slice(), checksum);
    }

    #[test]
    fn spoiled_files_do_not_panic() {
        let good = zim([1, 2, 3]);
        clic_host::spoil::try_reader("ZIM files", 2000, |random| {
            let _ = settled(&clic_host::spoil::spoiled(&good, &["fulltext/xapian"], random));
        });
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        let whole = zim([1, 2, 3]);
        for (bytes, why) in [
            (&b"PK"[..], "it is cut off"),
            (&[0; 200][..], "it does not begin as one"),
            (&whole[..whole.len() - 1], "its checksum is not at its end"),
        ] {
            assert_eq!(settled(bytes).unwrap_err().to_string(), why);
        }
        let mut without = whole;
        let at = without.windows(5).position(|part| part == b"title").unwrap();
        without[at] = b'T';
        assert_eq!(
            settled(&without).unwrap_err().to_string(),
            "it has 1 databases of words"
        );
    }
}
