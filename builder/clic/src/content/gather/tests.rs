use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::*;

fn folder(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }
    dir
}

fn gathered(dir: &Path) -> Result<Gathered, String> {
    gather(&[dir.to_str().unwrap().to_owned()], None).map_err(|error| {
        let help = error
            .downcast_ref::<UserError>()
            .and_then(|error| error.help.clone());
        format!("{error}\n{}", help.unwrap_or_default())
    })
}

fn paths(found: &Gathered) -> Vec<&str> {
    found
        .pieces
        .iter()
        .map(|piece| piece.path.as_deref().unwrap())
        .collect()
}

#[test]
fn a_folder_of_files_is_a_list_in_the_order_of_people() {
    let dir = folder(&[
        "10 - Fin.mp4",
        "2_début.mp4",
        "extra/a.mp4",
        ".DS_Store",
        "._2_début.mp4",
        "Thumbs.db",
        "desktop.ini",
        "__MACOSX/x",
        "notes.txt~",
        "~$notes.docx",
        ".hidden",
    ]);
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link.txt")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let found = gathered(dir.path()).unwrap();
    assert_eq!(paths(&found), ["2_début.mp4", "10 - Fin.mp4", "extra/a.mp4"]);
    let titles: Vec<&str> = found.pieces.iter().map(|piece| piece.title.as_str()).collect();
    assert_eq!(titles, ["Début", "Fin", "A"]);
    assert_eq!(found.size(), 3);
    let left = found.left_out.join("\n");
    assert_eq!(found.left_out.len(), 10, "{left}");
    for said in [
        "link.txt (a link)",
        "pipe (neither a file nor a folder)",
        "/.DS_Store (hidden",
    ] {
        assert!(left.contains(said), "{left}");
    }
    assert_eq!(found.said()[0], "3 items, 3 B");
}

#[test]
fn a_folder_with_a_first_page_is_one_item() {
    let dir = folder(&["site/index.html", "site/deep/er/a.css", "site/.git/x", "b.pdf"]);
    let found = gathered(&dir.path().join("site")).unwrap();
    assert_eq!(paths(&found), ["site"]);
    let Origin::Pages { files, start, .. } = &found.pieces[0].from else {
        panic!("{found:?}")
    };
    assert_eq!(*start, "index.html");
    assert_eq!(
        files,
        &[PathBuf::from("deep/er/a.css"), PathBuf::from("index.html")]
    );
    // Also in a folder of files.
    assert_eq!(paths(&gathered(dir.path()).unwrap()), ["b.pdf", "site"]);
    // A link is no first page, wherever it leads.
    let dir = folder(&["a.txt"]);
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("index.html")).unwrap();
    assert_eq!(paths(&gathered(dir.path()).unwrap()), ["a.txt"]);
}

#[test]
fn what_a_box_cannot_have_is_told_before_anything_is_done() {
    let dir = folder(&[
        "A.mp4",
        "a.mp4",
        "e\u{301}t\u{e9}.pdf",
        "\u{e9}te\u{301}.pdf",
        "x\u{1b}[2J.pdf",
        "a\\b",
        "one/two/three.pdf",
    ]);
    std::fs::write(dir.path().join(OsStr::from_bytes(b"caf\xe9.pdf")), "x").unwrap();
    let said = gathered(dir.path()).unwrap_err();
    for wanted in [
        "caf\u{fffd}.pdf has a name that is not UTF-8",
        "`A.mp4` and `a.mp4` are one name on many disks",
        "`e\u{301}t\u{e9}.pdf` and `\u{e9}te\u{301}.pdf` are one name",
        "`x\\u{1b}[2J.pdf` has a backslash or control characters",
        "`a\\\\b` has a backslash",
        "one/two is a folder in a folder in the folder: add it by itself",
        "nothing was asked, copied or changed",
    ] {
        assert!(said.contains(wanted), "no {wanted} in {said}");
    }
    let empty = tempfile::tempdir().unwrap();
    let said = gathered(empty.path()).unwrap_err();
    assert!(said.starts_with("there is no file to add in "), "{said}");
    let said = gather(&["/none/a".into(), "/none/b".into()], None)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("there is no file /none/a\n    there is no file /none/b"),
        "{said}"
    );
    let dir = folder(&["a.pdf", "b.pdf"]);
    let given = dir.path().to_str().unwrap().to_owned();
    let said = gather(&[given], Some("c.pdf")).unwrap_err().to_string();
    assert!(said.starts_with("--path is for one file or address"), "{said}");
}

#[test]
fn a_folder_without_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..=MOST_IN_LIST {
        std::fs::write(dir.path().join(format!("{number}.txt")), "").unwrap();
    }
    let said = gathered(dir.path()).unwrap_err();
    assert!(said.contains("has more than 2000 files and folders"), "{said}");
    assert!(said.contains("--unpack"), "{said}");
}

#[test]
fn titles_are_what_names_say() {
    for (name, title) in [
        ("03_le-petit_prince.epub", "Le petit prince"),
        ("extra/12. L'été à Nîmes.mp4", "L'été à Nîmes"),
        ("1984.epub", "1984"),
        ("2001 l'odyssée.mp4", "2001 l'odyssée"),
        ("007.mp4", "007"),
        ("01 - Bonjour.tar.gz", "Bonjour.tar"),
        ("été", "Été"),
        ("Version 1.2 finale", "Version 1.2 finale"),
        ("_.pdf", "_.pdf"),
    ] {
        assert_eq!(proposed(name), title, "{name}");
    }
    let mut names = ["b", "10 a", "2 b", "Z", "a", "2 a"];
    names.sort_by(|one, other| natural(one, other));
    assert_eq!(names, ["2 a", "2 b", "10 a", "a", "b", "Z"]);
}
