use std::io::Write as _;

use super::*;
use clic_debian::testdeb::{Entry, compressed, deb, directory, file, hard_link, other, symlink};

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
    let zip: [(&[u8], &[u8], u32); 3] = [
        (b"pages/", b"", 0o040_755),
        (b"pages/index.html", b"<p>Bonjour", 0o100_644),
        ("élan.txt".as_bytes(), b"", 0),
    ];
    assert_eq!(from_zip(&zip).unwrap(), wanted);
}

#[test]
fn nothing_leaves_the_bundle() {
    for name in ["../hit", "/etc/hit", "a/../../hit", "a//b", "./", "a/./b"] {
        refused(from_tar(&[file(name, b"x", 0o644)], "", 9), "leads out of it");
        if !name.ends_with('/') {
            refused(from_zip(&[(name.as_bytes(), b"x", 0)]), "leads out of it");
        }
    }
    for entry in [
        symlink("a", "/etc"),
        hard_link("a", "/etc/passwd"),
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
    let twice = [file("Page", b"x", 0o644), file("./page", b"y", 0o644)];
    refused(from_tar(&twice, "", 9), "two files in it have the path \"page\"");
    let both = [file("a", b"x", 0o644), file("a/b", b"y", 0o644)];
    refused(from_tar(&both, "", 9), "\"a\" is both a file and a directory");
    let other_way = [file("a/b", b"x", 0o644), file("a", b"y", 0o644)];
    refused(from_tar(&other_way, "", 9), "two files in it have the path \"a\"");
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
    let take = |path: &Path, files: &mut Files| archive(path, Unpack::Tar, files);
    refused(taken(&whole[..whole.len() / 2], 9000, take), "");
    refused(taken(b"nothing like it", 9, take), "");
    let zip = |path: &Path, files: &mut Files| archive(path, Unpack::Zip, files);
    refused(
        taken(b"PK\x03\x04 and no more", 9, zip),
        "this is not a complete zip file",
    );
    let mut wrong = zip_of(&[(b"a", b"content", 0)]);
    let at = wrong.windows(7).position(|part| part == b"content").unwrap();
    wrong[at] ^= 1;
    refused(taken(&wrong, 9, zip), "\"a\" cannot be unpacked");
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
