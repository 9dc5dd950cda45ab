//! Spoiled copies of what archives and gpg say: errors, and no panic (`clic_host::spoil`).

use clic_host::spoil::{spoiled, try_reader};

use crate::apt::{Line, Trust, printed_uri};
use crate::index::{Index, package};
use crate::{indexes, key, releases};

fn line() -> Line {
    Line {
        source: "debian".into(),
        url: "http://me:secret@h/debian".into(),
        suite: "bookworm".into(),
        components: vec!["main".into()],
        optional: false,
        trust: Trust::Debian,
    }
}

#[test]
fn spoiled_indexes_do_not_panic() {
    let index = "Package: bash\nEssential: yes\nPriority: required\nVersion: 1:5.2\nProvides: sh (= 1), x\n\
                 Filename: ./pool/bash.deb\nSize: 10\nInstalled-Size: 3\n\
                 SHA256: BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD\n\n"
        .repeat(2);
    let uri = "'http://h/debian/pool/bash.deb' bash_1%3a5.2_amd64.deb 10 MD5Sum:x";
    let words = [":", "\n\n", "' ", "_", "%3a", "é", ".deb", "99999999999999999999"];
    try_reader("apt's indexes", 3000, |random| {
        let index = spoiled(index.as_bytes(), &words, random);
        let index = String::from_utf8_lossy(&index);
        let index = Index::new(&index);
        let uri = match random.below(2) {
            0 => uri.as_bytes().to_vec(),
            _ => spoiled(uri.as_bytes(), &words, random),
        };
        let uri = String::from_utf8_lossy(&uri);
        let Ok(printed) = printed_uri(&uri) else { return };
        if let Some(stanza) = index.stanzas.get(printed.name) {
            let _ = package(&printed, stanza, &[line()]);
        }
    });
}

#[test]
fn spoiled_release_files_do_not_panic() {
    let hash = clic_host::Sha256::of("x");
    let good = format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nSuite: x\nDate: Sat, 13 Sep 2025 09:00:00 UTC\nSHA256:\n {hash} 11 \
         main/binary-amd64/Packages\n {hash} 11 main/i18n/Translation-en.xz\n-----BEGIN PGP SIGNATURE-----\n"
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("h_debian_dists_x_InRelease");
    std::fs::write(
        dir.path().join("h_debian_dists_x_main_binary-amd64_Packages"),
        "x",
    )
    .unwrap();
    let words = ["SHA256:\n", "\n ", "Date:", "../", "99999999999999999999", "é"];
    try_reader("Release files", 1000, |random| {
        std::fs::write(&path, spoiled(good.as_bytes(), &words, random)).unwrap();
        let _ = releases::release(&path, &line());
        let found = indexes::damaged(dir.path()).unwrap();
        assert!(found.len() <= 1, "{found:?}");
    });
}

#[test]
fn spoiled_lists_of_keys_do_not_panic() {
    let good = "tru::1:1:0:3:1:5\npub:e:255:22:573340AB4157EE2F:1546300800:1577836800::u:::sc:::::ed25519:::0:\n\
                fpr:::::::::ACE2B9CC88C422F7CC7C1D7B573340AB4157EE2F:\nuid:e::::1546300800::F8::Old\\x3a <o@example>::::::::::0:\n\
                sub:e:255:18:AAAA:1:2:::::e:::::cv25519::\nfpr:::::::::1111111111111111111111111111111111111111:\n";
    let words = ["pub:", "fpr:", "uid:", "\n", "\u{1b}[2J", "\u{202e}", "\\x3a"];
    try_reader("lists of keys", 3000, |random| {
        let bytes = spoiled(good.as_bytes(), &words, random);
        for key in key::primary_keys(&String::from_utf8_lossy(&bytes)) {
            let said = key.user_ids.concat();
            assert!(!said.chars().any(clic_host::plain::hidden), "{said:?}");
            key.spoiled();
        }
    });
}
