use std::io::Write as _;

use super::*;
use crate::testdeb::{
    Entry, ar, compressed, deb, file, hard_link, long_name, other, parts, stanza, symlink, tar,
};

fn read(bytes: &[u8]) -> Result<Deb> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Deb::read(file)
}

#[track_caller]
fn refused(bytes: &[u8], said: &str) {
    let error = format!("{:#}", read(bytes).map(|_| ()).unwrap_err());
    assert!(error.contains(said), "{error}");
}

/// With this control part beside a good `control` file.
fn with_control(files: &[Entry]) -> Vec<u8> {
    let mut all = vec![file("./control", stanza("a").as_bytes(), 0o644)];
    all.extend_from_slice(files);
    parts(&tar(&all), "", &tar(&[]), "")
}

fn with_stanza(text: &str) -> Vec<u8> {
    parts(
        &tar(&[file("control", text.as_bytes(), 0o644)]),
        "",
        &tar(&[]),
        "",
    )
}

#[test]
fn all_forms_are_read() {
    for form in ["", ".gz", ".bz2", ".lzma", ".xz", ".zst"] {
        let control = compressed(form, &tar(&[file("./control", stanza("a").as_bytes(), 0o644)]));
        let data = compressed(form, &tar(&[file("./usr/x", b"content", 0o644)]));
        let deb = read(&parts(&control, form, &data, form)).unwrap();
        assert_eq!(deb.control.field("Package"), Some("a"));
        let left = Cell::new(1 << 20);
        let mut walk = Walk::foreign(Stream(deb.data(&left).unwrap()));
        let member = walk.advance().unwrap().unwrap();
        assert_eq!(member.path, b"./usr/x", "{form}");
        assert!(walk.advance().unwrap().is_none(), "{form}");
    }
}

#[test]
fn a_package_is_the_same_when_its_files_are_uncompressed() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a.deb"), dir.path().join("b.deb"));
    for (form, odd) in [
        ("", 1),
        (".gz", 0),
        (".bz2", 5),
        (".lzma", 2),
        (".xz", 3),
        (".zst", 512),
    ] {
        let control = compressed(form, &tar(&[file("./control", stanza("a").as_bytes(), 0o644)]));
        let mut plain = tar(&[file("./usr/x", &[7; 3000], 0o644)]);
        // As much as may come after the end of a tar stream.
        plain.extend(vec![0; odd]);
        std::fs::write(&from, parts(&control, form, &compressed(form, &plain), form)).unwrap();
        let go_on = AtomicBool::new(false);
        assert!(uncompressed(&from, &to, 1 << 20, &go_on).unwrap());
        let deb = Deb::open(&to).unwrap();
        assert_eq!(deb.control.stanza, Deb::open(&from).unwrap().control.stanza);
        assert!(matches!(deb.data.form, Form::Plain));
        let (mut bytes, left) = (Vec::new(), Cell::new(1 << 20));
        deb.data(&left).unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes == plain, "{form}");
        std::fs::remove_file(&to).unwrap();
        assert!(!uncompressed(&from, &to, 1 << 20, &AtomicBool::new(true)).unwrap());
        std::fs::remove_file(&to).unwrap();
        let error = uncompressed(&from, &to, 1 << 10, &go_on).unwrap_err();
        assert!(format!("{error:#}").contains("more than is allowed"), "{error:#}");
        std::fs::remove_file(&to).unwrap();
    }
}

#[test]
fn a_truncated_package_is_refused_wherever_it_ends() {
    let whole = deb(
        "a",
        &[("postinst", "#!/bin/sh\n")],
        &[file("./usr/x", &[7; 3000], 0o644)],
    );
    for length in 0..whole.len() - 1 {
        let error = match read(&whole[..length]) {
            Ok(_) => panic!("{length} of {} bytes are enough", whole.len()),
            Err(error) => format!("{error:#}"),
        };
        assert!(error.contains("ends early"), "{length}: {error}");
    }
}

#[test]
fn members_that_lie_are_refused() {
    let good = tar(&[file("control", stanza("a").as_bytes(), 0o644)]);
    let version: (&str, &[u8], Option<&str>) = ("debian-binary", b"2.0\n", None);
    refused(b"PK\x03\x04 and more", "it does not begin as one");
    refused(
        &ar(&[version, ("control.tar", &good, Some("9999999999"))]),
        "it ends early: control.tar should have 9999999999 bytes",
    );
    refused(
        &ar(&[version, ("control.tar", &good, Some("-1"))]),
        "a member's size is not a number",
    );
    refused(
        &ar(&[
            version,
            ("control.tar", &good, None),
            ("control.tar", &good, None),
        ]),
        "it has two control.tar",
    );
    refused(
        &ar(&[version, ("data.tar", &good, None)]),
        "it has no control.tar before its data.tar",
    );
    refused(
        &ar(&[("control.tar", &good, None)]),
        "it has no debian-binary at its beginning",
    );
    refused(&ar(&[version, ("../../x", b"", None)]), "it holds \"../../x\"");
    refused(
        &ar(&[("debian-binary", b"3.0\n", None)]),
        "its format is \"3.0\", not 2.0",
    );
    refused(
        &ar(&[version, ("control.tar.lz4", &good, None)]),
        "control.tar.lz4 is compressed in a way that is not known here",
    );
    for form in [".gz", ".bz2", ".lzma", ".xz", ".zst"] {
        let whole = compressed(form, &good);
        refused(
            &parts(&whole[..whole.len() / 2], form, b"", ""),
            "its control.tar is damaged",
        );
        refused(&parts(b"garbage", form, b"", ""), "its control.tar is damaged");
    }
}

#[test]
fn names_in_the_control_part_stay_there() {
    for name in ["../evil", "a/b", "/etc/passwd", "..", ".a/b", "x\ny", "list"] {
        refused(
            &with_control(&[file(name, b"x", 0o644)]),
            &format!("its control.tar holds {name:?}, which does not belong there"),
        );
    }
    let long = "x".repeat(100);
    assert!(read(&with_control(&[file(&long, b"", 0o644)])).is_ok());
    refused(
        &with_control(&[long_name(b"x", 101), file("x", b"", 0o644)]),
        "which does not belong there",
    );
    for entry in [
        symlink("postinst", "/bin/true"),
        hard_link("postinst", "/etc/passwd"),
        other(b'6', "postinst"),
        other(b'3', "postinst"),
        other(b'5', "postinst"),
    ] {
        refused(
            &with_control(&[entry]),
            "its control.tar holds \"postinst\", which does not belong there",
        );
    }
    let twice = [file("postinst", b"a", 0o755), file("./postinst", b"b", 0o755)];
    refused(
        &with_control(&twice),
        "its control.tar holds \"./postinst\" twice",
    );
    let another = [file("./control", stanza("b").as_bytes(), 0o644)];
    refused(
        &with_control(&another),
        "its control.tar holds \"./control\" twice",
    );
}

#[test]
fn what_a_package_says_of_itself_cannot_become_something_else() {
    refused(&with_stanza(""), "its control.tar has no control file");
    for value in ["../../etc/x", "a/b", "", ".", "-x", "a b", "a:b"] {
        let text = stanza("a").replace("Package: a", &format!("Package: {value}"));
        refused(
            &with_stanza(&text),
            &format!("its control file says Package: {value:?}, which no package may have"),
        );
        let text = stanza("a").replace("Architecture: all", &format!("Architecture: {value}"));
        refused(
            &with_stanza(&text),
            &format!("its control file says Architecture: {value:?}, which no package may have"),
        );
    }
    let text = stanza("a") + "package: dpkg\n";
    refused(
        &with_stanza(&text),
        "its control file has the field Package twice",
    );
    for blank in ["\n", " \n", "\t\n", "\r\n"] {
        let text = format!("{}{blank}Package: dpkg\nVersion: 9\n", stanza("a"));
        refused(&with_stanza(&text), "its control file has more than one stanza");
    }
    refused(
        &with_stanza(&(stanza("a") + "X: a\0b\n")),
        "its control file has a NUL, which no field may have",
    );
}

#[test]
fn a_control_part_that_unpacks_to_more_than_any_has_is_refused() {
    let size = usize::try_from(MAX_CONTROL).unwrap() + 1;
    let zeros = vec![0; size];
    for (bomb, said) in [
        (
            file("md5sums", &zeros, 0o644),
            "its control.tar has more than 64 MiB",
        ),
        (
            long_name(b"a", size),
            "its control.tar is damaged: at byte 1024: a name or PAX header of 67108865 bytes, longer than any can be",
        ),
    ] {
        let bytes = tar(&[file("control", stanza("a").as_bytes(), 0o644), bomb]);
        for form in [".gz", ".xz", ".zst"] {
            let small = compressed(form, &bytes);
            assert!(small.len() < 1 << 20, "{form}: {}", small.len());
            refused(&parts(&small, form, b"", ""), said);
        }
    }
    // One that only says so.
    let lies = Entry {
        size: 8 << 40,
        ..file("md5sums", b"x", 0o644)
    };
    refused(
        &with_control(&[lies]),
        "its control.tar is damaged: the tar ends early",
    );
}

#[test]
fn no_more_is_read_than_is_allowed() {
    let data = compressed(".zst", &tar(&[file("x", &vec![0; 1 << 20], 0o644)]));
    let control = tar(&[file("control", stanza("a").as_bytes(), 0o644)]);
    let deb = read(&parts(&control, "", &data, ".zst")).unwrap();
    let left = Cell::new(100);
    let mut stream = deb.data(&left).unwrap();
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).unwrap_err();
    assert_eq!(error.to_string(), "it unpacks to more than is allowed");
    assert_eq!(bytes.len(), 100);
    left.set(50);
    stream.read_to_end(&mut bytes).unwrap_err();
    assert_eq!(bytes.len(), 150);
}

#[test]
fn what_dpkg_passes_over_is_passed_over() {
    let hidden = [".DS_Store", "._postinst", "./.gitignore"].map(|name| file(name, b"x", 0o644));
    let deb = read(&with_control(
        &[
            &hidden[..],
            &[file("postinst~", b"y", 0o755), file("read me", b"z", 0o644)],
        ]
        .concat(),
    ))
    .unwrap();
    let names: Vec<&str> = deb.control.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["postinst~", "read me"]);
    // Members that begin with an underscore, wherever they are, and what comes after the files.
    let control = tar(&[file("control", stanza("a").as_bytes(), 0o644)]);
    let data = tar(&[]);
    let members: [(&str, &[u8], Option<&str>); 6] = [
        ("debian-binary/", b"2.0\n", None),
        ("_first", b"odd", None),
        ("control.tar/", &control, None),
        ("_second/", b"x", None),
        ("data.tar/", &data, None),
        ("_gpgorigin", b"signature", None),
    ];
    assert_eq!(read(&ar(&members)).unwrap().control.field("Package"), Some("a"));
}

#[test]
fn a_control_file_may_lack_most_fields_and_have_others() {
    let text = "Package: a\nVersion: 1:2.0-3\nArchitecture: all\nMulti-Arch: foreign\nPackage-Type: deb\n\
                Depends: b,  \n c (>= 1) ,\n d\nX-Ours:   blanks   \nDescription:\n";
    let deb = read(&with_stanza(&format!("\n{text}\n\n"))).unwrap();
    assert_eq!(deb.control.field("Version"), Some("1:2.0-3"));
    assert_eq!(deb.control.field("X-Ours"), Some("blanks"));
    assert_eq!(deb.control.field("Section"), None);
    assert!(deb.control.list("Depends").unwrap().ends_with(" d"));
}

#[test]
fn a_package_may_grow_by_what_it_states_or_by_its_own_size() {
    assert_eq!(most(0, 0), 128 << 20);
    assert_eq!(most(1 << 30, 1 << 20), (2 << 30) + (128 << 20));
    assert_eq!(most(0, 80 << 20), (8000 << 20) + (128 << 20));
    assert_eq!(most(u64::MAX, u64::MAX), u64::MAX);
    assert_eq!(installed_size(Some(7), 100), 7);
    assert_eq!(installed_size(None, 100), 300);
}

#[test]
fn a_control_file_that_a_person_wrote_is_what_dpkg_can_read() {
    let text = "# made by hand\r\nPackage: a\r\nVersion: 1\r\n#Architecture: any\r\nArchitecture: all\r\nDescription: x\r\n .\r\n y\r\n\r\n";
    let deb = read(&with_stanza(text)).unwrap();
    assert_eq!(
        deb.control.stanza,
        "Package: a\nVersion: 1\nArchitecture: all\nDescription: x\n .\n y"
    );
    for line in ["nonsense", ": x", "Na me: x", "\u{e9}: x"] {
        let said = format!("its control file has the line {line:?}, which is no field");
        refused(&with_stanza(&format!("{}{line}\n", stanza("a"))), &said);
    }
}
