//! Zip files as people have them: of other systems, of kinds that nobody reads, large and new ones.

use super::*;

/// [`zip_of`], by a program that does not say that names are UTF-8.
fn zip_of_windows(files: &[(&[u8], &[u8], u32)]) -> Vec<u8> {
    let mut bytes = zip_of(files);
    for (signature, flags) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
        let places: Vec<usize> = (0..bytes.len() - 4)
            .filter(|at| bytes[*at..].starts_with(signature))
            .collect();
        for at in places {
            bytes[at + flags + 1] = 0;
            if signature == b"PK\x01\x02" {
                // Made by DOS.
                bytes[at + 5] = 0;
            }
        }
    }
    bytes
}

#[test]
fn zip_files_of_other_systems_are_read() {
    let names: [&[u8]; 5] = [
        // Code page 850: été, À.
        b"Livres\\\x82t\x82.txt",
        b"Livres\\\xb7 lire.txt",
        // macOS: UTF-8, decomposed.
        "Livres/e\u{301}te\u{301}.txt".as_bytes(),
        b"__MACOSX/Livres/._x",
        b"Livres/.DS_Store",
    ];
    let mut files = names.map(|name| (name, &b"x"[..], 0)).to_vec();
    files.push((b"Livres\\", b"", 0));
    let found = taken(&zip_of_windows(&files), 9, as_zip).unwrap();
    let found: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        found,
        [
            "Livres/e\u{301}te\u{301}.txt",
            "Livres/\u{c0} lire.txt",
            "Livres/\u{e9}t\u{e9}.txt",
        ]
    );
    for name in [&b"..\\..\\hit"[..], b"C:\\..\\hit", b"\\\\server\\hit"] {
        refused(
            taken(&zip_of_windows(&[(name, b"x", 0)]), 9, as_zip),
            "leads out of it",
        );
    }
}

#[test]
fn zip_files_that_nobody_can_read_say_why() {
    // Bytes 6 and 8 of a local header are its flags and its method; in the central one they come 2 later.
    let with = |at: usize, byte: u8| {
        let mut bytes = zip_of(&[(b"a", b"x", 0)]);
        let central = bytes.windows(4).position(|part| part == b"PK\x01\x02").unwrap();
        bytes[at] = byte;
        bytes[central + at + 2] = byte;
        bytes
    };
    refused(
        taken(&with(6, 1), 9, as_zip),
        "\"a\" is encrypted: make the zip file without a password",
    );
    for (method, name) in [
        (14, "LZMA"),
        (98, "PPMd"),
        (99, "AES, a password,"),
        (1, "the compression "),
    ] {
        let said = format!("\"a\" uses {name}");
        refused(taken(&with(8, method), 9, as_zip), &said);
    }
    refused(
        taken(&with(8, 14), 9, as_zip),
        "which is not read here: make the zip file with Deflate, as most programs do",
    );
    // The last of three parts; the first one; one without an end; one in its middle.
    let mut last = zip_of(&[(b"a", b"x", 0)]);
    let end = last.len() - 22;
    last[end + 4] = 2;
    refused(
        taken(&last, 9, as_zip),
        "it is the last of 3 parts of a zip file: make one of them (`zip --split-size 0",
    );
    refused(
        taken(&[b"PK\x07\x08", &last[..end]].concat(), 9, as_zip),
        "it is the first of several parts of a zip file",
    );
    for part in [&last[..end], &last[10..end]] {
        refused(
            taken(part, 9, as_zip),
            "Where it is one of several parts (.z01, .001), put them together",
        );
    }
}

/// A zip file of a kind that its library writes.
pub(super) fn zip_with(options: zip::write::SimpleFileOptions, files: u32) -> Vec<u8> {
    let mut to = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for number in 0..files {
        to.start_file(format!("site/{number}"), options).unwrap();
        to.write_all(b"content").unwrap();
    }
    to.finish().unwrap().into_inner()
}

#[test]
fn large_and_new_zip_files_are_read() {
    use zip::CompressionMethod::{Bzip2, Deflated, Stored, Zstd};
    let options = |method| zip::write::SimpleFileOptions::default().compression_method(method);
    for method in [Stored, Deflated, Bzip2, Zstd] {
        for large in [false, true] {
            let bytes = zip_with(options(method).large_file(large), 2);
            let found = taken(&bytes, 14, as_zip).unwrap();
            let wanted = ["site/0", "site/1"].map(|name| (name.to_owned(), b"content".to_vec()));
            assert_eq!(found, wanted, "{method}");
        }
    }
    // More than 16 bits can count: its end is a zip64's.
    let bytes = zip_with(options(Stored), 65_540);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("many.zip");
    std::fs::write(&path, bytes).unwrap();
    let mut files = Files::only_looking(1 << 20);
    archive(&path, Unpack::Zip, &mut files).unwrap();
    assert_eq!(files.count, 65_540);
}
