//! Files, archives and addresses are looked into when they are added.

use super::*;

/// A zip file with one stored file.
fn zip(name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut crc = !0_u32;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    common.extend((!crc).to_le_bytes());
    common.extend(u32::try_from(data.len()).unwrap().to_le_bytes().repeat(2));
    common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    common.extend([0, 0]);
    let local = [b"PK\x03\x04", &common[..], name, data].concat();
    let central = [b"PK\x01\x02\x14\0", &common[..], &[0; 14], name].concat();
    let mut end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec();
    end.extend(u32::try_from(central.len()).unwrap().to_le_bytes());
    end.extend(u32::try_from(local.len()).unwrap().to_le_bytes());
    end.extend([0, 0]);
    [local, central, end].concat()
}

#[test]
fn a_file_is_added_by_the_name_that_it_has() {
    let place = Place::new();
    let name = "L'été à \"Nîmes\" (1), 100 % #2 ?.ogg";
    std::fs::write(place.path(name), "la").unwrap();
    let add = [
        &["content", "add", name, "--to", "songs", "--recipe", "shelf"][..],
        &ABOUT,
    ]
    .concat();
    let (said, _) = place.clic(&add, 0);
    assert!(
        said.starts_with(&format!("{name} (2 B) is in bundle songs")),
        "{said}"
    );
    assert_eq!(place.read(&format!("content-bundles/songs/files/{name}")), "la");
    place.clic(&["plan", "shelf", "--board", "x86-pc"], 0);

    for path in ["old/1.ogg", "new/1.ogg"] {
        place.clic(&["content", "add", name, "--to", "songs", "--path", path], 0);
        assert_eq!(place.read(&format!("content-bundles/songs/files/{path}")), "la");
    }

    std::fs::write(place.path(".hidden.ogg"), "la").unwrap();
    let add = ["content", "add", ".hidden.ogg", "--to", "songs"];
    let (_, said) = place.clic(&add, 2);
    assert!(said.contains("`.hidden.ogg` begins with a dot"), "{said}");
    assert!(said.contains("--path"), "{said}");
    place.clic(&[&add[..], &["--path", "shown.ogg"]].concat(), 0);
    assert_eq!(place.read("content-bundles/songs/files/shown.ogg"), "la");
}

#[test]
fn an_archive_is_looked_into_at_once() {
    let place = Place::new();
    std::fs::write(place.path("site.zip"), zip(b"Livres\\\x82t\x82.html", b"summer")).unwrap();
    let add = |file: &str, more: &[&str], code| {
        let start = ["content", "add", file, "--to", "songs", "--path", "site"];
        place.clic(&[&start[..], &ABOUT, more].concat(), code).1
    };
    let said = add("site.zip", &["--unpack", "tar"], 2);
    assert!(
        said.contains("it is a zip file: write `unpack = \"zip\"`"),
        "{said}"
    );
    let said = add("site.zip", &["--unpack", "zip", "--unpacked", "5"], 2);
    assert!(
        said.contains("its files together are larger than allowed"),
        "{said}"
    );
    assert!(!place.path("content-bundles").exists());
    std::fs::write(place.path("site.7z"), b"7z\xbc\xaf\x27\x1c\0\x04").unwrap();
    let said = add("site.7z", &["--unpack", "tar"], 2);
    assert!(
        said.contains("it is a 7z archive, which is not unpacked here"),
        "{said}"
    );

    add("site.zip", &["--unpack", "zip"], 0);
    let file = "content-bundles/songs/bundle.toml";
    assert!(place.read(file).ends_with("unpack = \"zip\"\nunpacked = 6\n"));
    place.clic(&["content", "check"], 0);
    place.clic(&["content", "fetch"], 0);
    // What comes to the same as a slip of the pen.
    for (from, to, why) in [
        (
            "unpacked = 6",
            "unpacked = 5",
            "its files together are larger than allowed",
        ),
        ("unpack = \"zip\"", "unpack = \"tar\"", "it is a zip file"),
        (
            "unpack = \"zip\"",
            "start = \"été.html\"\nunpack = \"zip\"",
            "its first page, \"été.html\", is not there; is it `Livres/été.html`?",
        ),
    ] {
        let whole = place.read(file);
        std::fs::write(place.path(file), whole.replace(from, to)).unwrap();
        for command in ["check", "fetch"] {
            let (_, said) = place.clic(&["content", command], 2);
            assert!(said.contains(why), "{said}");
            assert!(said.contains("content `site` of bundle `songs`"), "{said}");
        }
        std::fs::write(place.path(file), whole).unwrap();
    }
}

#[test]
fn a_page_in_place_of_a_file_is_not_taken() {
    let place = Place::new();
    let (url, _) = server("<!DOCTYPE html><title>Log in</title>");
    let url = url.replace("song.ogg", "Le%20Petit%20Prince.pdf");
    let add = [&["content", "add", &url, "--to", "songs"][..], &ABOUT].concat();
    let (_, said) = place.clic(&add, 2);
    assert!(
        said.contains("is a web page, which is not what the name `Le Petit Prince.pdf` says"),
        "{said}"
    );
    assert!(!place.path("content-bundles").exists());
}

#[test]
fn a_large_download_is_asked_about() {
    let place = Place::new();
    let url = answering("film.webm", || {
        "HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\nfilm".to_owned()
    });
    let add = [&["content", "add", &url, "--to", "films"][..], &ABOUT].concat();
    let (_, said) = place.clic(&add, 2);
    assert!(said.contains("has 5.00 GB; nothing was downloaded"), "{said}");
    assert!(said.contains("`--yes` downloads it without asking"), "{said}");
    let (_, said) = place.clic(&[&add[..], &["--max", "1G"]].concat(), 2);
    assert!(said.contains("has 5.00 GB, more than --max allows"), "{said}");
}

#[test]
fn one_wrong_directory_hides_no_bundle() {
    let place = Place::new();
    std::fs::write(place.path("song.ogg"), "la").unwrap();
    place.clic(
        &[&["content", "add", "song.ogg", "--to", "songs"][..], &ABOUT].concat(),
        0,
    );
    std::fs::create_dir(place.path("content-bundles/__MACOSX")).unwrap();
    place.clic(&["content", "ls"], 0);
    std::fs::create_dir(place.path("content-bundles/Mes livres")).unwrap();
    let (list, said) = place.clic(&["content", "ls"], 2);
    assert_eq!(list, "songs  audio  fr  2 B  CC0-1.0  Songs\n");
    assert!(said.contains("`Mes livres` can't be a name"), "{said}");
    // Whoever names a bundle means that one.
    place.clic(&["content", "fetch", "songs"], 0);
    std::fs::write(place.path("song2.ogg"), "la la").unwrap();
    place.clic(&["content", "add", "song2.ogg", "--to", "songs"], 0);
}
