//! Spoiled copies of good packages and texts: errors, and no panic (`clic_host::spoil`).

use std::cell::Cell;
use std::io::Read as _;

use clic_host::spoil::{spoiled, try_reader};

use crate::deb::{Deb, most};
use crate::testdeb::{compressed, deb, directory, file, hard_link, parts, stanza, symlink, tar};
use crate::{control, date, status, uri, version};

/// Reads all that a package has; how many bytes its files take.
fn read(bytes: &[u8]) -> anyhow::Result<u64> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("a.deb");
    std::fs::write(&path, bytes)?;
    let deb = Deb::open(&path)?;
    for name in ["Package", "Version", "Depends", "Installed-Size"] {
        deb.control.field(name);
        deb.control.list(name);
    }
    let left = Cell::new(most(1 << 20, bytes.len() as u64));
    let mut files = deb.data(&left)?;
    Ok(std::io::copy(
        &mut files.by_ref().take(1 << 30),
        &mut std::io::sink(),
    )?)
}

#[test]
fn spoiled_packages_do_not_panic() {
    let entries = [
        directory("./usr"),
        file("./usr/a", b"some text", 0o644),
        symlink("./usr/b", "a"),
        hard_link("./usr/c", "./usr/a"),
    ];
    let data = tar(&entries);
    let good = deb("x", &[("postinst", "#!/bin/sh\n")], &entries);
    assert!(read(&good).unwrap() > 1000);
    let words = ["!<arch>\n", "`\n", "control.tar"];
    try_reader("packages", 1000, |random| {
        // What is wrong is in the text, in the archive of it, in its compression, or around all.
        let depth = random.below(4);
        let mut wrong = |at, bytes: &[u8]| {
            if depth == at {
                spoiled(bytes, &words, random)
            } else {
                bytes.to_vec()
            }
        };
        let text = wrong(0, stanza("x").as_bytes());
        let control = wrong(1, &tar(&[file("./control", &text, 0o644)]));
        let forms = ["", ".gz", ".xz", ".zst", ".bz2", ".lzma"];
        let form = forms[text.len() % forms.len()];
        let control = wrong(2, &compressed(form, &control));
        let bytes = wrong(3, &parts(&control, form, &compressed(form, &data), form));
        if let Ok(read) = read(&bytes) {
            assert!(read <= most(1 << 20, bytes.len() as u64));
        }
    });
}

#[test]
fn spoiled_texts_do_not_panic() {
    let record = "Package: a\nStatus: install ok installed\nVersion: 1:2~3-4+b1\nArchitecture: amd64\nInstalled-Size: 12\n\
                  Depends: b (>= 1) | c,\n d [amd64]\nDescription: x\n .\n y\n\n";
    let good = [
        record.repeat(3),
        "Sat, 13 Sep 2025 09:00:00 UTC".to_owned(),
        "https://user:password@host:80/debian/dists?x#y".to_owned(),
    ];
    try_reader("Debian's texts", 5000, |random| {
        let good = random.of_these(&good).as_bytes();
        let bytes = spoiled(good, &[":", "\n\n", " ", "é", "99999999999999999999"], random);
        let text = String::from_utf8_lossy(&bytes);
        for stanza in control::stanzas(&text) {
            control::stanza(stanza);
            control::field(stanza, "Depends");
            control::value(stanza, "Version");
        }
        status::parse(&text);
        date::parse(&text);
        uri::without_login(&text);
        let half = text
            .char_indices()
            .nth(text.chars().count() / 2)
            .map_or(0, |(at, _)| at);
        let (one, other) = text.split_at(half);
        assert_eq!(
            version::compare(one, other),
            version::compare(other, one).reverse()
        );
    });
}
