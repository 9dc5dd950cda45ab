//! Content bundles: what can be wrong with one is told with its place, and what is right is in the plan.

mod testtree;

use std::fmt::Write as _;

use clic_host::Sha256;
use clic_recipe::plan::{BundleItem, ItemSource};
use testtree::TestTree;

const FILE: &str = "content-bundles/book/bundle.toml";

/// A bundle with a file from addresses, one out of a package, a directory out of a package, an archive, a file and a
/// directory of its own.
fn with_bundle() -> TestTree {
    let tree = TestTree::new();
    let hash = "ab".repeat(32);
    // SHA-256 of "own\n", by sha256sum.
    let own = "6c6b6f38a9ad6a7a4c5c1aa3d1a0a1b9c8e5b6e7c2f4c5b1a0b3d4e5f6a7b8c9";
    let bundle = format!(
        r#"schema = 1
kind = "books"
theme = "arts"
language = "fr"
title = {{ fr = "Un livre", en = "A book" }}
description = {{ fr = "Un bon livre.", en = "A good book." }}
licence = "CC-BY-SA-4.0 OR GPL-2.0-or-later"
credit = "Jeanne Dupont"

[[item]]
path = "book.epub"
title = {{ fr = "À emporter" }}
url = ["https://example.org/a%20book.epub", "http://mirror.example/book.epub"]
sha256 = "{hash}"
size = 1000

[[item]]
path = "book.pdf"
package = "book-doc"
file = "/usr/share/doc/book/book.pdf"
sha256 = "{hash}"
size = 2000

[[item]]
path = "html"
package = "book-doc"
directory = "/usr/share/doc/book/html"
size = 3000
start = "index.html"

[[item]]
path = "pictures"
url = ["https://example.org/pictures.tar.xz"]
sha256 = "{hash}"
size = 10
unpack = "tar"
unpacked = 4000

[[item]]
path = "own.txt"
local = "files/own.txt"
sha256 = "{own}"
size = 4

[[item]]
path = "course"
local = "files/course"
start = "1.html"
"#
    );
    tree.write("content-bundles/book/files/own.txt", "own\n");
    let real = tree.path("content-bundles/book/files/own.txt");
    let bundle = bundle.replace(own, &Sha256::of_file(&real).unwrap().to_string());
    tree.write(FILE, &bundle);
    tree.write("content-bundles/book/files/course/1.html", "one");
    tree.write("content-bundles/book/files/course/img/2.png", "two");
    tree.edit(
        "recipes/minimal.toml",
        "overlays = [\"base\"]",
        "overlays = [\"base\"]\nbundles = [\"book\"]",
    );
    tree
}

#[test]
fn what_is_right_is_in_the_plan() {
    let tree = with_bundle();
    let plan = tree.plan();
    let [bundle] = &plan.bundles[..] else {
        panic!("{:?}", plan.bundles)
    };
    assert_eq!(bundle.name, "book");
    assert_eq!(bundle.title["fr"], "Un livre");
    assert_eq!(bundle.size(), 1000 + 2000 + 3000 + 4000 + 4 + 6);
    let packages: Vec<_> = bundle
        .items
        .iter()
        .filter_map(|item| Some(item.package()?.path.as_str()))
        .collect();
    assert_eq!(
        packages,
        ["/usr/share/doc/book/book.pdf", "/usr/share/doc/book/html"]
    );
    let directories: Vec<bool> = bundle.items.iter().map(BundleItem::is_directory).collect();
    assert_eq!(directories, [false, false, true, true, false, true]);
    let ItemSource::Directory(files) = &bundle.items[5].from else {
        panic!("{:?}", bundle.items[5])
    };
    let names: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(names, ["1.html", "img/2.png"]);

    // Another content is another plan; another place of the tree is not.
    let print = plan.fingerprint();
    assert_eq!(with_bundle().plan().fingerprint(), print);
    tree.write("content-bundles/book/files/course/1.html", "ONE");
    assert_ne!(tree.plan().fingerprint(), print);
    assert_eq!(tree.tree().bundles().0.len(), 1);
}

#[test]
fn slips_are_told_with_their_place() {
    // What is replaced, by what, what is said of which line, and the advice.
    let slips = [
        (
            "licence = \"CC-BY-SA-4.0 OR GPL-2.0-or-later\"\n",
            "",
            ":1:1: the key `licence` is missing",
            "add `licence",
        ),
        (
            "CC-BY-SA-4.0 OR",
            "CC-BY-ND OR",
            ":7:11: unknown licence `CC-BY-ND OR GPL-2.0-or-later`",
            "SPDX",
        ),
        (
            "licence = \"CC-BY-SA-4.0 OR GPL-2.0-or-later\"",
            "licence = \"\"",
            ":7:11: unknown licence ``",
            "SPDX",
        ),
        (
            "CC-BY-SA-4.0 OR GPL-2.0-or-later",
            "CC BY-SA",
            ":7:11: unknown licence `CC BY-SA`",
            "did you mean `CC-BY-SA-4.0`, `CC-BY-SA-3.0`, `CC-BY-SA-2.5`?",
        ),
        (
            "CC-BY-SA-4.0 OR GPL-2.0-or-later",
            "GPLv3",
            ":7:11: unknown licence `GPLv3`",
            "did you mean `GPL-3.0-only`, `GPL-3.0-or-later`?",
        ),
        (
            "CC-BY-SA-4.0 OR GPL-2.0-or-later",
            "All rights reserved",
            ":7:11: unknown licence `All rights reserved`",
            "which only a free licence allows",
        ),
        (
            "\"Jeanne Dupont\"",
            "\" \"",
            ":8:10: nobody is credited",
            "name the authors",
        ),
        (
            ", en = \"A book\"",
            "",
            ":5:9: this text is missing in `en`",
            "add `en",
        ),
        ("\"A book\"", "\"\"", ":5:33: this text is empty", ""),
        (
            "language = \"fr\"",
            "language = \"French\"",
            ":4:12: `French` is not a language code",
            "`fr`",
        ),
        (
            "kind = \"books\"",
            "kind = \"book\"",
            ":2:8: ",
            "did you mean `books`?",
        ),
        (
            "path = \"book.epub\"",
            "path = \"../book.epub\"",
            ":11:8: `../book.epub` leaves the bundle",
            "",
        ),
        (
            "path = \"book.epub\"",
            "path = \"a//b\"",
            ":11:8: `a//b` leaves the bundle, is too long, or can be written more plainly",
            "",
        ),
        (
            "path = \"book.epub\"",
            "path = 'a\\b'",
            ":11:8: `a\\\\b` has a backslash or control characters",
            "",
        ),
        (
            "path = \"book.epub\"",
            "path = \"books/.book.epub\"",
            ":11:8: `books/.book.epub` begins with a dot, and hidden files are not served",
            "",
        ),
        (
            "local = \"files/course\"\nstart = \"1.html\"",
            "local = \"files/course\"\nstart = \"l.html\"",
            ":48:9: there is no file `l.html` in it",
            "did you mean `1.html`?",
        ),
        (
            "path = \"book.epub\"",
            "path = \"Book.pdf\"",
            ":18:8: `Book.pdf` and `book.pdf` want the same place",
            "the other one is at",
        ),
        (
            "path = \"book.epub\"",
            "path = \"html/book.epub\"",
            ":25:8: `html/book.epub` and `html` want the same place",
            "",
        ),
        (
            "\"https://example.org/a%20book.epub\"",
            "\"ftp://example.org/a\"",
            ":13:8: `ftp://example.org/a` is not the address of a file",
            "",
        ),
        (
            "\"https://example.org/a%20book.epub\"",
            "\"https://me:secret@example.org/a\"",
            ":13:8: `https://me:secret@example.org/a` is not the address of a file",
            "without a login",
        ),
        (
            "url = [\"https://example.org/a%20book.epub\", \"http://mirror.example/book.epub\"]\n",
            "",
            ":11:8: `book.epub` has no source",
            "add `url",
        ),
        (
            "size = 1000\n",
            "",
            ":11:8: `book.epub` does not say its `size`",
            "clic content add",
        ),
        (
            "size = 1000\n",
            "size = 99999999999999\n",
            ":15:8: no disk can hold that",
            "bytes",
        ),
        (
            "file = \"/usr/share/doc/book/book.pdf\"\n",
            "",
            ":19:11: which part of the package is meant?",
            "add either",
        ),
        (
            "file = \"/usr/share/doc/book/book.pdf\"",
            "file = \"usr/../book.pdf\"",
            ":20:8: `usr/../book.pdf` must be an absolute path",
            "dpkg-deb -c",
        ),
        (
            "package = \"book-doc\"\nfile",
            "file",
            ":19:8: this needs a `package`",
            "add `package",
        ),
        (
            "size = 3000\n",
            "size = 3000\nsha256 = \"00\"\n",
            ":29:10: `sha256` has no meaning for a package's directory",
            "remove it",
        ),
        (
            "unpacked = 4000\n",
            "",
            ":32:8: `pictures` does not say its `unpacked`",
            "",
        ),
        (
            "unpack = \"tar\"\n",
            "",
            ":36:12: nothing is unpacked here",
            "add `unpack",
        ),
        (
            "unpack = \"tar\"",
            "unpack = \"rar\"",
            ":36:10: ",
            "did you mean `tar`?",
        ),
        (
            "local = \"files/own.txt\"",
            "local = \"files/none.txt\"",
            ":41:9: there is no file content-bundles/book/files/none.txt",
            "relative to the directory of bundle.toml",
        ),
        (
            "local = \"files/own.txt\"",
            "local = \"../../recipes/minimal.toml\"",
            ":41:9: `../../recipes/minimal.toml` can't be a path here",
            "beside bundle.toml",
        ),
        (
            "size = 3000\n",
            "size = 3000\nzim = true\n",
            ":25:8: `html` becomes a ZIM file, but its name does not end in `.zim`",
            "call it `html.zim`",
        ),
        (
            "size = 3000\nstart = \"index.html\"\n",
            "size = 3000\nzim = true\n",
            ":29:7: a ZIM file has a page that opens first",
            "add `start",
        ),
        (
            "size = 1000\n",
            "size = 1000\nzim = true\n",
            ":16:7: a single file can't become a ZIM file",
            "a `directory` does",
        ),
        (
            "size = 4\n",
            "size = 5\n",
            ":41:9: this is a different file: it has 4 bytes and SHA-256",
            "if the new file is right",
        ),
        (
            "local = \"files/course\"\nstart = \"1.html\"",
            "local = \"files/course\"\nsize = 7",
            ":48:8: `size` has no meaning for a local directory",
            "remove it",
        ),
    ];
    let mut wrong = String::new();
    for (from, to, message, help) in slips {
        let tree = with_bundle();
        tree.edit(FILE, from, to);
        let said = tree.complaints();
        let lines: Vec<&str> = said.lines().collect();
        let at = lines
            .iter()
            .position(|line| line.starts_with(&format!("{FILE}{message}")));
        let advice = at.and_then(|at| lines.get(at + 1)).copied().unwrap_or_default();
        if at.is_none() || !(help.is_empty() || advice.contains(help)) {
            let _ = writeln!(
                wrong,
                "\nslip:   {to}\nwanted: {FILE}{message}\n  help: {help}\nsaid:   {said}"
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn pages_become_one_zim_file() {
    let tree = with_bundle();
    tree.edit(FILE, "path = \"html\"", "path = \"pages.zim\"\nzim = true");
    let plan = tree.plan();
    let item = &plan.bundles[0].items[2];
    assert!(item.zim && item.has_files() && !item.is_directory());
    // Two indexes come with it.
    assert_eq!(item.size(), 3000 + (1 << 20));
}

#[test]
fn hashes_links_and_names_are_looked_at() {
    let tree = with_bundle();
    let text = std::fs::read_to_string(tree.path(FILE)).unwrap();
    tree.write(FILE, &text.replacen(&"ab".repeat(32), "AB", 1));
    let said = tree.complaints();
    assert!(said.contains(":14:10: this is not a SHA-256"), "{said}");

    let tree = with_bundle();
    let own = tree.path("content-bundles/book/files/own.txt");
    std::fs::remove_file(&own).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &own).unwrap();
    let said = tree.complaints();
    assert!(
        said.contains("own.txt is a symbolic link, which could leave"),
        "{said}"
    );

    let tree = with_bundle();
    std::os::unix::fs::symlink("/etc", tree.path("content-bundles/book/files/course/etc")).unwrap();
    let said = tree.complaints();
    assert!(
        said.contains("course/etc: is a symbolic link; only regular files are taken"),
        "{said}"
    );

    let tree = with_bundle();
    tree.edit("recipes/minimal.toml", "[\"book\"]", "[\"boook\"]");
    let said = tree.complaints();
    assert!(
        said.contains("recipes/minimal.toml:6:12: unknown bundle `boook`"),
        "{said}"
    );
    assert!(said.contains("did you mean `book`?"), "{said}");
}

#[test]
fn names_are_taken_as_people_have_them() {
    // Blanks, quotes, composed and decomposed letters, what FAT lacks, blanks and dots at the end, and the longest.
    let long = "é".repeat(127);
    for name in [
        "L'été à Nîmes (1), [a] & 100 % #2.txt",
        "Où est-ce ? \"ici\": <là> | *.txt",
        "e\u{301}te\u{301} \u{1f41d}.txt",
        "-n .txt. ",
        &long,
    ] {
        let tree = with_bundle();
        let files = tree.path("content-bundles/book/files");
        std::fs::rename(files.join("own.txt"), files.join(name)).unwrap();
        std::fs::rename(files.join("course/1.html"), files.join("course").join(name)).unwrap();
        let toml = name.replace('"', "\\\"");
        tree.edit(FILE, "path = \"own.txt\"", &format!("path = \"{toml}\""));
        tree.edit(FILE, "files/own.txt", &format!("files/{toml}"));
        tree.edit(FILE, "start = \"1.html\"", &format!("start = \"{toml}\""));
        let bundle = &tree.plan().bundles[0];
        assert_eq!(bundle.items[4].path, name);
        assert_eq!(bundle.items[5].start.as_deref(), Some(name));
    }
}

#[test]
fn directories_have_names_that_people_give_them() {
    let tree = with_bundle();
    let files = tree.path("content-bundles/book/files");
    std::fs::rename(files.join("course"), files.join("Mon site d'été")).unwrap();
    tree.edit(FILE, "files/course", "files/Mon site d'été");
    std::fs::create_dir(files.join("Mon site d'été/__MACOSX")).unwrap();
    for litter in ["__MACOSX/x", ".DS_Store", "._1.html", "img/Thumbs.db"] {
        std::fs::write(files.join("Mon site d'été").join(litter), "x").unwrap();
    }
    let ItemSource::Directory(found) = &tree.plan().bundles[0].items[5].from else {
        panic!("it is a directory")
    };
    let names: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(names, ["1.html", "img/2.png"]);
    tree.write("content-bundles/book/files/Mon site d'été/a\\b.html", "x");
    let said = tree.complaints();
    assert!(
        said.contains("Mon site d'été/a\\b.html: has a backslash or control characters in its name"),
        "{said}"
    );
}

#[test]
fn licences_and_schemes_have_no_case() {
    let tree = with_bundle();
    tree.edit(
        FILE,
        "CC-BY-SA-4.0 OR GPL-2.0-or-later",
        "(cc-by-sa-4.0 or gpl-2.0-OR-LATER with classpath-exception-2.0)",
    );
    tree.edit(
        FILE,
        "https://example.org/a%20book.epub",
        "HTTPS://example.org/a%20book.epub",
    );
    let bundle = &tree.plan().bundles[0];
    assert_eq!(
        bundle.licence,
        "(CC-BY-SA-4.0 OR GPL-2.0-or-later WITH Classpath-exception-2.0)"
    );
    let ItemSource::File { urls, .. } = &bundle.items[0].from else {
        panic!("it is a file")
    };
    assert_eq!(urls[0], "https://example.org/a%20book.epub");
}

#[test]
fn names_of_zim_files_are_those_that_kiwix_serves() {
    let tree = with_bundle();
    tree.edit(FILE, "kind = \"books\"", "kind = \"zim\"");
    tree.edit(FILE, "path = \"book.epub\"", "path = \"Wikipédia.zim\"");
    let said = tree.complaints();
    assert!(
        said.contains(":11:8: `Wikipédia.zim`: the name of a ZIM file has only A-Z"),
        "{said}"
    );
}

#[test]
fn a_bundle_is_read_whatever_lies_beside_it() {
    let tree = with_bundle();
    std::fs::create_dir_all(tree.path("content-bundles/Mes livres")).unwrap();
    std::fs::create_dir_all(tree.path("content-bundles/__MACOSX")).unwrap();
    let (bundles, problems) = tree.tree().bundles();
    assert_eq!(bundles.len(), 1);
    let said: Vec<String> = problems
        .unwrap_err()
        .entries()
        .into_iter()
        .map(|problem| problem.message)
        .collect();
    assert_eq!(
        said,
        ["`Mes livres` can't be a name: names have lower case letters, digits and `-`"]
    );
    assert_eq!(tree.tree().bundle("book").unwrap().unwrap().name, "book");
    assert!(tree.tree().bundle("Mes livres").unwrap().is_none());
    let said = tree.tree().bundle_file("../book").unwrap_err();
    assert!(said.to_string().contains("`../book` can't be a name"), "{said}");
}
