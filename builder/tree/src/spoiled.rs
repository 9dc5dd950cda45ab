//! Spoiled copies of good tars: errors, and no panic; what is read can be written and is read again (`clic_host::spoil`).

use std::io::Read as _;

use clic_host::spoil::{Random, spoiled, try_reader};
use tar::Header;

use super::*;

/// Some of all that a tar can have. With checksums of headers as they are: [`sealed`] makes them right.
fn good() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut add = |kind: u8, path: &str, link: &str, content: &[u8]| {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(EntryType::new(kind));
        header.set_mode(0o644);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1000);
        header.set_size(content.len() as u64);
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    };
    add(b'5', "./", "", b"");
    add(b'g', "pax", "", b"15 comment=abc\n");
    add(b'0', "./a", "", b"some text");
    add(b'1', "./b", "./a", b"");
    add(b'2', "./c", "a", b"");
    add(
        b'x',
        "pax",
        "",
        b"12 path=./d\n29 SCHILY.xattr.user.x=value\n14 mtime=12.5\n",
    );
    add(b'0', "short", "", &[7; 700]);
    add(b'L', "././@LongLink", "", b"./dir/with/a/long/name\0");
    add(b'0', "short", "", b"");
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// With the right checksum in every block that says that it is a header.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    for block in bytes.as_chunks_mut::<512>().0 {
        if block[257..].starts_with(b"ustar") {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    bytes
}

fn walked(bytes: &[u8]) -> Result<u64> {
    let mut walk = Walk::foreign(Stream(bytes));
    let mut all = 0;
    while let Some(member) = walk.advance()? {
        let mut content = Vec::new();
        walk.content().read_to_end(&mut content)?;
        assert_eq!(content.len() as u64, member.size);
        all += member.size;
    }
    Ok(all)
}

/// A copy as wrong as before, whose headers have the right checksum, two times out of three.
fn copy(good: &[u8], random: &mut Random) -> Vec<u8> {
    let words = [
        "../",
        "/",
        "12 path=",
        "99999999999999999999",
        "\0",
        "GNU.sparse.size=1\n",
    ];
    let bytes = spoiled(good, &words, random);
    match random.below(3) {
        0 => bytes,
        _ => sealed(bytes),
    }
}

#[test]
fn spoiled_tars_do_not_panic() {
    let good = sealed(good());
    assert_eq!(walked(&good).unwrap(), 709);
    let dir = tempfile::tempdir().unwrap();
    let [from, to] = ["from.tar", "to.tar"].map(|name| dir.path().join(name));
    try_reader("tars", 1000, |random| {
        let bytes = copy(&good, random);
        if let Ok(all) = walked(&bytes) {
            assert!(all <= bytes.len() as u64);
        }
        std::fs::write(&from, &bytes).unwrap();
        let Ok(tree) = FileTree::read(&from) else { return };
        // There is no tar of what no tar can say, such as a time before 1970.
        if tree.write(&to, 2000).is_ok() {
            let again = FileTree::read(&to).unwrap();
            assert!(again.paths().eq(tree.paths()));
            let (one, two) = (dir.path().join("1.tar"), dir.path().join("2.tar"));
            let written = again.write(&one, 2000).unwrap();
            assert_eq!(FileTree::read(&one).unwrap().write(&two, 2000).unwrap(), written);
        }
    });
}
