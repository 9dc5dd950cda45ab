mod zip_files;

use std::io::Write as _;
use std::path::Path;

use super::*;
use clic_debian::testdeb::{Entry, compressed, deb, directory, file, hard_link, other, symlink};
use clic_host::spoil::{spoiled, try_reader};
use clic_recipe::plan::Unpack;
use zip_files::zip_with;

/// What `taking` makes of these bytes, at most `most` bytes of files: paths and contents.
fn taken(
    bytes: &[u8],
    most: u64,
    taking: impl FnOnce(&Path, &mut Files) -> Result<()>,
) -> Result<Vec<(String, Vec<u8>)>> {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    std::fs::write(&from, bytes).unwrap();
    let scratch = dir.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let mut files = Files::new(scratch, most);
    let result = taking(&from, &mut files).and_then(|()| files.finish());
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "something got out: {names:?}");
    let tree = result?;
    let mut found = Vec::new();
    for path in tree.paths() {
        let path = std::str::from_utf8(path).unwrap();
        if let Some(content) = tree.content(path)? {
            let entry = tree.get(path).unwrap();
            assert_eq!((entry.mode, entry.uid, entry.gid), (0o644, 0, 0));
            found.push((path.to_owned(), content));
        }
    }
    Ok(found)
}

fn from_tar(entries: &[Entry], form: &str, most: u64) -> Result<Vec<(String, Vec<u8>)>> {
    let bytes = compressed(form, &clic_debian::testdeb::tar(entries));
    taken(&bytes, most, |path, files| archive(path, Unpack::Tar, files))
}

fn from_deb(entries: &[Entry], path: &str, leave_out_links: bool) -> Result<Vec<(String, Vec<u8>)>> {
    taken(&deb("book", &[], entries), 1000, |deb, files| {
        package_directory(deb, 0, path, leave_out_links, files)
    })
}

/// A zip file of these names, contents and Unix modes (none: 0), stored as they are.
fn zip_of(files: &[(&[u8], &[u8], u32)]) -> Vec<u8> {
    let (mut bytes, mut central) = (Vec::new(), Vec::new());
    for (name, data, mode) in files {
        let at = u32::try_from(bytes.len()).unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let size = u32::try_from(data.len()).unwrap();
        // Version 2.0, flag 11 (names are UTF-8), stored, no time.
        let mut common = vec![20, 0, 0, 8, 0, 0, 0, 0, 0, 0];
        common.extend(crc.sum().to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(*name);
        bytes.extend(*data);
        // Made by Unix, version 2.0.
        central.extend(b"PK\x01\x02\x14\x03");
        central.extend(&common);
        central.extend([0; 6]);
        central.extend((mode << 16).to_le_bytes());
        central.extend(at.to_le_bytes());
        central.extend(*name);
    }
    let at = u32::try_from(bytes.len()).unwrap();
    let count = u16::try_from(files.len()).unwrap().to_le_bytes();
    let size = u32::try_from(central.len()).unwrap();
    bytes.extend(central);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(count);
    bytes.extend(count);
    bytes.extend(size.to_le_bytes());
    bytes.extend(at.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

fn as_tar(path: &Path, files: &mut Files) -> Result<()> {
    archive(path, Unpack::Tar, files)
}

fn as_zip(path: &Path, files: &mut Files) -> Result<()> {
    archive(path, Unpack::Zip, files)
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut to = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

/// LZMA alone, as before xz, with a dictionary of so many bytes.
fn lzma(bytes: &[u8], dictionary: u32) -> Vec<u8> {
    let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    options.dict_size(dictionary);
    let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
    let mut to = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

/// An entry of this type with this content, whatever it is.
fn special(kind: u8, name: &str, data: &[u8]) -> Entry {
    Entry {
        kind,
        ..file(name, data, 0o644)
    }
}

/// A PAX record: its length, which counts itself, key and value.
fn record(key: &str, value: &str) -> String {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length += 1;
    }
    format!("{length} {key}={value}\n")
}

fn pax(key: &str, value: &str) -> Entry {
    special(b'x', "pax", record(key, value).as_bytes())
}

fn from_zip(files: &[(&[u8], &[u8], u32)]) -> Result<Vec<(String, Vec<u8>)>> {
    taken(&zip_of(files), 1000, |path, files| {
        archive(path, Unpack::Zip, files)
    })
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, why: &str) {
    let said = format!("{:#}", result.expect_err(why));
    assert!(said.contains(why), "{said}");
}

#[test]
fn archives_are_taken_however_they_are_compressed() {
    let entries = [
        directory("./pages/"),
        file("./pages/index.html", b"<p>Bonjour", 0o600),
        file("./élan.txt", b"", 0o4755),
    ];
    let wanted = [
        ("pages/index.html".to_owned(), b"<p>Bonjour".to_vec()),
        ("élan.txt".to_owned(), Vec::new()),
    ];
    for form in ["", ".gz", ".xz", ".zst"] {
        assert_eq!(from_tar(&entries, form, 10).unwrap(), wanted, "{form}");
    }
    let plain = clic_debian::testdeb::tar(&entries);
    for (name, bytes) in [
        ("bzip2", bzip2(&plain)),
        ("lzma", lzma(&plain, 1 << 16)),
        ("two members of gzip", {
            let (one, two) = plain.split_at(700);
            [compressed(".gz", one), compressed(".gz", two)].concat()
        }),
    ] {
        assert_eq!(taken(&bytes, 11, as_tar).unwrap(), wanted, "{name}");
    }
    let zip: [(&[u8], &[u8], u32); 3] = [
        (b"pages/", b"", 0o040_755),
        (b"pages/index.html", b"<p>Bonjour", 0o100_644),
        ("élan.txt".as_bytes(), b"", 0),
    ];
    assert_eq!(from_zip(&zip).unwrap(), wanted);
}

#[test]
fn nothing_leaves_the_bundle() {
    for name in ["../hit", "/etc/hit", "a/../../hit", "a//b", "a/./b"] {
        refused(from_tar(&[file(name, b"x", 0o644)], "", 9), "leads out of it");
        refused(from_zip(&[(name.as_bytes(), b"x", 0)]), "leads out of it");
    }
    refused(
        from_tar(&[file("./", b"x", 0o644)], "", 9),
        "\"./\": contents in an entry that is not a regular file",
    );
    refused(
        from_tar(&[hard_link("a", "/etc/passwd")], "", 9),
        "\"/etc/passwd\" leads out of it",
    );
    refused(
        from_tar(&[hard_link("a", "b"), file("b", b"x", 0o644)], "", 9),
        "\"a\" is a link to \"b\", which is not a file before it",
    );
    for entry in [
        symlink("a", "/etc"),
        symlink("a", "b"),
        other(b'3', "a"),
        other(b'6', "a"),
    ] {
        refused(
            from_tar(&[entry], "", 9),
            "\"a\" is neither a file nor a directory",
        );
    }
    refused(
        from_zip(&[(b"a", b"/etc/passwd", 0o120_777)]),
        "\"a\" is neither a file nor a directory",
    );
}

#[test]
fn names_that_are_no_text_or_collide_are_refused() {
    let mut odd = file("a", b"x", 0o644);
    odd.name = b"caf\xe9".to_vec();
    refused(from_tar(&[odd], "", 9), "has a name that is not UTF-8");
    refused(from_zip(&[(b"caf\xe9", b"x", 0)]), "has a name that is not UTF-8");
    refused(
        from_tar(&[file("a\nb", b"x", 0o644)], "", 9),
        "characters that no file here may have",
    );
    let twice = [file("page", b"x", 0o644), file("./page", b"y", 0o644)];
    refused(from_tar(&twice, "", 9), "two files in it have the path \"page\"");
    refused(
        from_zip(&[(b"page", b"x", 0), (b"page", b"y", 0)]),
        "two files in it have the same path",
    );
    // The device tells them apart, and so does a site that has both.
    let cases = [file("Page", b"x", 0o644), file("page", b"y", 0o644)];
    assert_eq!(from_tar(&cases, "", 9).unwrap().len(), 2);
    let both = [file("a", b"x", 0o644), file("a/b", b"y", 0o644)];
    refused(from_tar(&both, "", 9), "\"a\" is both a file and a directory");
    let other_way = [file("a/b", b"x", 0o644), file("a", b"y", 0o644)];
    refused(
        from_tar(&other_way, "", 9),
        "\"a\" is both a file and a directory",
    );
}

#[test]
fn more_than_the_bundle_says_is_refused() {
    let entries = [file("a", b"12345", 0o644), file("b", b"12345", 0o644)];
    from_tar(&entries, ".zst", 10).unwrap();
    refused(
        from_tar(&entries, ".zst", 9),
        "its files together are larger than allowed",
    );
    // A few kilobytes that stand for a gigabyte.
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let head = clic_debian::testdeb::tar(&[Entry {
        size: 1 << 30,
        ..file("bomb", b"", 0o644)
    }]);
    gz.write_all(&head[..512]).unwrap();
    gz.write_all(&vec![0; 4 << 20]).unwrap();
    refused(
        taken(&gz.finish().unwrap(), 1000, |path, files| {
            archive(path, Unpack::Tar, files)
        }),
        "its files together are larger than allowed",
    );
    refused(from_tar(&[directory("a/")], "", 9), "there is no file in it");
}

#[test]
fn damage_is_told() {
    let whole = compressed(".xz", &clic_debian::testdeb::tar(&[file("a", &[7; 5000], 0o644)]));
    refused(
        taken(&whole[..whole.len() / 2], 9000, as_tar),
        "it cannot be read as a tar",
    );
    refused(
        taken(b"nothing like it", 9, as_tar),
        "the tar ends early, at byte 0",
    );
    refused(taken(b"", 9, as_tar), "it is an empty file");
    refused(taken(&[b'x'; 2048], 9, as_tar), "no tar header here");
    refused(
        taken(b"PK\x03\x04 and no more", 9, as_zip),
        "this is not a complete zip file",
    );
    let mut wrong = zip_of(&[(b"a", b"content", 0)]);
    let at = wrong.windows(7).position(|part| part == b"content").unwrap();
    wrong[at] ^= 1;
    refused(taken(&wrong, 9, as_zip), "\"a\" cannot be unpacked");
}

#[test]
fn a_directory_of_a_package_is_taken_with_its_links() {
    let entries = [
        directory("./usr/share/doc/book/html/"),
        file("./usr/share/doc/book/html/index.html", b"one", 0o644),
        file("./usr/share/doc/book/html/img/a.png", b"two", 0o644),
        file("./usr/share/doc/book/copyright", b"three", 0o644),
        symlink("./usr/share/doc/book/html/img/b.png", "../img/./a.png"),
        symlink(
            "./usr/share/doc/book/html/c.html",
            "/usr/share/doc/book/html/index.html",
        ),
        symlink("./usr/share/doc/book/html/legal", "../copyright"),
        symlink("./usr/share/doc/book/html/legal2", "legal"),
        hard_link(
            "./usr/share/doc/book/html/d.html",
            "./usr/share/doc/book/html/index.html",
        ),
    ];
    let found = from_deb(&entries, "/usr/share/doc/book/html", false).unwrap();
    let names: Vec<(&str, &[u8])> = found
        .iter()
        .map(|(path, content)| (path.as_str(), content.as_slice()))
        .collect();
    assert_eq!(
        names,
        [
            ("c.html", &b"one"[..]),
            ("d.html", b"one"),
            ("img/a.png", b"two"),
            ("img/b.png", b"two"),
            ("index.html", b"one"),
            ("legal", b"three"),
            ("legal2", b"three"),
        ]
    );
    refused(
        from_deb(&entries, "/usr/share/doc/none", false),
        "the package has nothing in /usr/share/doc/none",
    );
    for target in [
        "x",
        "../html",
        "/etc/passwd",
        "nowhere",
        "../../../../../../../etc/passwd",
    ] {
        let with = [&entries[..], &[symlink("./usr/share/doc/book/html/x", target)]].concat();
        refused(
            from_deb(&with, "/usr/share/doc/book/html", false),
            "which is not a file of the package",
        );
        let without = from_deb(&with, "/usr/share/doc/book/html", true).unwrap();
        assert_eq!(without, found, "{target}");
    }
}

#[test]
fn a_file_of_a_package_is_taken() {
    let entries = [
        file("./usr/share/book.epub", b"book", 0o600),
        symlink("./usr/share/link.epub", "book.epub"),
    ];
    let take = |path: &'static str| {
        taken(&deb("book", &[], &entries), 4, move |deb, files| {
            package_files(deb, 0, &[path], files)
        })
    };
    let found = take("/usr/share/book.epub").unwrap();
    assert_eq!(found, [("0".to_owned(), b"book".to_vec())]);
    refused(
        take("/usr/share/link.epub"),
        "is not a regular file in the package",
    );
    refused(
        take("/usr/share/nothing"),
        "the package has no /usr/share/nothing",
    );
}

#[test]
fn archives_of_other_kinds_are_named() {
    for (magic, what) in [
        (&b"7z\xbc\xaf\x27\x1c\0\x04"[..], "it is a 7z archive"),
        (b"Rar!\x1a\x07\x01\0", "it is a rar archive"),
        (b"\x1f\x9d\x90", "it is compressed with `compress` (.Z)"),
        (b"%PDF-1.4", "it is a PDF"),
        (b"\n<!DOCTYPE html><title>404", "it is a web page"),
    ] {
        refused(taken(magic, 9, as_tar), what);
        refused(taken(magic, 9, as_zip), what);
    }
    let whole = clic_debian::testdeb::tar(&[file("a", b"x", 0o644)]);
    refused(
        taken(&zip_of(&[(b"a", b"x", 0)]), 9, as_tar),
        "it is a zip file: write `unpack = \"zip\"`",
    );
    refused(
        taken(&compressed(".gz", &whole), 9, as_zip),
        "not a zip file: write `unpack = \"tar\"`",
    );
    refused(taken(&whole, 9, as_zip), "this is not a complete zip file");
    refused(taken(&zip_of(&[]), 9, as_zip), "there is no file in it");
}

#[test]
fn lengths_in_an_archive_take_no_memory() {
    for kind in [b'L', b'K', b'x', b'g'] {
        let long = Entry {
            size: 1 << 30,
            ..special(kind, "long", b"")
        };
        refused(
            from_tar(&[long, file("a", b"x", 0o644)], "", 9),
            "a name or PAX header of 1073741824 bytes, longer than any can be",
        );
    }
    // Each alone is short enough.
    let name = special(b'L', "long", &vec![b'n'; 1 << 20]);
    let many: Vec<Entry> = std::iter::repeat_n(name, 65).collect();
    refused(from_tar(&many, ".zst", 9), "bytes for 0 entries");
    // A dictionary of 512 MiB, of which nothing is used.
    let small = clic_debian::testdeb::tar(&[file("a", b"x", 0o644)]);
    let mut large = lzma(&small, 1 << 16);
    large[1..5].copy_from_slice(&(1_u32 << 29).to_le_bytes());
    refused(taken(&large, 9, as_tar), "emory");
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    zstd.window_log(28).unwrap();
    zstd.include_contentsize(false).unwrap();
    zstd.write_all(&small).unwrap();
    refused(taken(&zstd.finish().unwrap(), 9, as_tar), "memory");
}

#[test]
fn what_stands_for_other_bytes_is_refused() {
    for (key, value) in [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.map", "0,1"),
        ("SCHILY.realsize", "9"),
    ] {
        refused(
            from_tar(&[pax(key, value), file("a", b"x", 0o644)], "", 9),
            "sparse entries are not supported; make the tar without --sparse",
        );
    }
    refused(
        from_tar(&[special(b'S', "a", b"")], "", 9),
        "\"a\": sparse entries are not supported",
    );
    let global = special(b'g', "g", record("path", "b").as_bytes());
    refused(
        from_tar(&[global, file("a", b"x", 0o644)], "", 9),
        "a global PAX header with `path` is not supported",
    );
    refused(
        from_tar(&[special(b'5', "a/", b"data")], "", 9),
        "\"a/\": contents in an entry that is not a regular file",
    );
}

#[test]
fn nothing_that_comes_after_the_end_is_lost() {
    let one = clic_debian::testdeb::tar(&[file("a", b"x", 0o644)]);
    let two = clic_debian::testdeb::tar(&[file("b", b"y", 0o644)]);
    refused(
        taken(&[&one[..], &two].concat(), 9, as_tar),
        "something comes after the end of the tar, at byte 1536",
    );
    refused(
        taken(&[&one[..], b"garbage"].concat(), 9, as_tar),
        "something comes after the end",
    );
    let filled = [&one[..], &vec![0; 10 << 10]].concat();
    assert_eq!(taken(&filled, 9, as_tar).unwrap().len(), 1);
    refused(
        taken(&one[..one.len() - 1024], 9, as_tar),
        "the tar ends early, at byte 1024",
    );
}

#[test]
fn what_people_have_is_taken() {
    // Composed and decomposed letters, a bee, and what shells and addresses have their own ideas about.
    let name = "site/l'été\u{301} \u{1f41d} \"a\" & #1, 100 % [b]?.html";
    let blanks = "site/ .\u{2019}. ";
    let entries = [
        special(b'V', "Backup of 2026", b""),
        special(b'g', "pax_global_header", record("comment", "0123abc").as_bytes()),
        special(b'g', "g", record("mtime", "1").as_bytes()),
        pax("path", name),
        pax("LIBARCHIVE.xattr.com.apple.quarantine", "AAAA"),
        file("cut", b"1", 0o4755),
        file(blanks, b"2", 0o644),
        hard_link("site/again.html", &format!("./{blanks}")),
        // What macOS and Windows leave everywhere.
        file("site/._index.html", b"3", 0o644),
        file("site/.DS_Store", b"4", 0o644),
        file("__MACOSX/site/._x", b"5", 0o644),
        file("site/Thumbs.db", b"6", 0o644),
    ];
    let found = from_tar(&entries, ".gz", 9).unwrap();
    let found: Vec<(&str, &[u8])> = found
        .iter()
        .map(|(path, bytes)| (path.as_str(), &bytes[..]))
        .collect();
    assert_eq!(
        found,
        [(blanks, &b"2"[..]), ("site/again.html", b"2"), (name, b"1")]
    );
}

/// Spoiled copies of archives: errors, and no panic, whatever their kind and wherever the mistake is.
#[test]
fn spoiled_archives_do_not_panic() {
    let entries = [
        directory("site/"),
        file("site/index.html", b"<p>hello", 0o644),
        hard_link("site/copy.html", "site/index.html"),
        file("site/b", &[7; 700], 0o755),
    ];
    let options = |method| zip::write::SimpleFileOptions::default().compression_method(method);
    let tar = clic_debian::testdeb::tar(&entries);
    let zip = [
        zip_of(&[
            (b"a", b"content", 0),
            (b"b/c", b"", 0o100_644),
            (b"b/", b"", 0o040_755),
        ]),
        zip_with(options(zip::CompressionMethod::Deflated), 3),
        zip_with(options(zip::CompressionMethod::Zstd).large_file(true), 3),
    ];
    let words = [
        "../",
        "PK\x03\x04",
        "PK\x01\x02",
        "PK\x05\x06",
        "PK\x06\x06",
        "PK\x06\x07",
        "\0",
    ];
    let look = |bytes: &[u8], kind| {
        let result = taken(bytes, 1 << 20, |path, files| archive(path, kind, files));
        if let Ok(files) = result {
            let all: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
            assert!(all <= 1 << 20, "{all}");
        }
    };
    try_reader("tars of bundles", 400, |random| {
        let inside = random.below(2) == 0;
        let form = *random.of_these(&["", ".gz", ".xz", ".zst", ".bz2", ".lzma"]);
        let bytes = if inside {
            compressed(form, &spoiled(&tar, &words, random))
        } else {
            spoiled(&compressed(form, &tar), &words, random)
        };
        look(&bytes, Unpack::Tar);
    });
    try_reader("zip files", 1000, |random| {
        let good = random.of_these(&zip);
        look(&spoiled(good, &words, random), Unpack::Zip);
    });
}
