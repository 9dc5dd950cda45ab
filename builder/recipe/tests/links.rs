//! Symbolic links in the tree: none is followed, wherever it stands in a path, and nothing of where it leads is repeated.

mod testtree;

use testtree::TestTree;

const RECIPE: &str = "recipes/minimal.toml";
const SECRET: &str = "the builder's own";

/// A tree with a file of each kind that a recipe can name.
fn tree() -> TestTree {
    let tree = TestTree::new();
    tree.write("overlays/base/more/motd", "hello\n");
    tree.edit(
        "overlays/base/overlay.toml",
        "[[unit]]",
        "[[file]]\npath = \"/etc/issue\"\nsource = \"more/motd\"\n\n[[unit]]",
    );
    tree.write("keys/deep/them.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n");
    tree.write("debs/deep/ours_1_all.deb", "!<arch>\n");
    tree.append(
        RECIPE,
        "[[source]]\nname = \"ours\"\ndirectory = \"debs/deep\"\n\
         [[source]]\nname = \"theirs\"\nurl = \"https://packages.example/debian\"\nsuite = \"stable\"\n\
         components = [\"main\"]\nkey = \"keys/deep/them.asc\"\n\
         fingerprint = \"ACE2B9CC88C422F7CC7C1D7B573340AB4157EE2F\"\n",
    );
    tree.edit(
        RECIPE,
        "suite = \"bookworm\"",
        "suite = \"bookworm\"\nbundles = [\"book\"]",
    );
    tree.write("content-bundles/book/deep/pages/a.html", "a");
    tree.write("content-bundles/book/deep/own.txt", "own\n");
    tree.write(
        "content-bundles/book/bundle.toml",
        r#"schema = 1
kind = "books"
theme = "arts"
language = "fr"
title = { fr = "Un livre", en = "A book" }
description = { fr = "Un bon livre.", en = "A good book." }
licence = "CC0-1.0"
credit = "Jeanne Dupont"

[[item]]
path = "pages"
local = "deep/pages"
start = "a.html"

[[item]]
path = "own.txt"
local = "deep/own.txt"
sha256 = "7e6518373b1a8cf5eed9717076284744ba44ace422c7877442aebcceecc42a23"
size = 4
"#,
    );
    tree
}

#[test]
fn without_links_it_is_valid() {
    tree().plan();
}

/// Each directory on the way to what is read: moved out of the tree, or to another place of it, with a link in its place.
#[test]
fn no_part_of_a_path_is_a_link() {
    for part in [
        "recipes",
        "boards",
        "overlays",
        "overlays/base",
        "overlays/base/files",
        "overlays/base/files/etc",
        "overlays/base/more",
        "content-bundles",
        "content-bundles/book",
        "content-bundles/book/deep",
        "content-bundles/book/deep/pages",
        "keys",
        "keys/deep",
        "debs",
        "debs/deep",
    ] {
        for inside in [true, false] {
            let (tree, elsewhere) = (tree(), tempfile::tempdir().unwrap());
            let to = if inside { tree.root() } else { elsewhere.path() }.join("moved");
            std::fs::rename(tree.path(part), &to).unwrap();
            std::os::unix::fs::symlink(&to, tree.path(part)).unwrap();
            let said = tree.resolve("minimal", "pc").unwrap_err().to_string();
            assert!(
                said.contains(&format!("{part} is a symbolic link"))
                    || said.contains(&format!("{part}: is a symbolic link")),
                "{part}\n{said}"
            );
        }
    }
}

/// The report: a link above a directory of content, whose files every guest would read.
#[test]
fn a_bundle_publishes_nothing_from_behind_a_link() {
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::create_dir(elsewhere.path().join(".ssh")).unwrap();
    std::fs::write(elsewhere.path().join(".ssh/id_ed25519"), SECRET).unwrap();
    let tree = tree();
    std::os::unix::fs::symlink(elsewhere.path(), tree.path("content-bundles/book/a")).unwrap();
    tree.edit(
        "content-bundles/book/bundle.toml",
        "local = \"deep/pages\"\nstart = \"a.html\"",
        "local = \"a/.ssh\"\nstart = \"id_ed25519\"",
    );
    let said = tree.complaints();
    assert!(
        said.contains("content-bundles/book/a: is a symbolic link, which could leave the tree"),
        "{said}"
    );
}

/// An error shows the line that is wrong: of a file of the tree, that is.
#[test]
fn a_linked_text_is_not_repeated() {
    let elsewhere = tempfile::tempdir().unwrap();
    let secret = elsewhere.path().join("secret.toml");
    std::fs::write(&secret, SECRET).unwrap();
    for file in [
        RECIPE,
        "boards/pc.toml",
        "overlays/base/overlay.toml",
        "content-bundles/book/bundle.toml",
    ] {
        let tree = tree();
        std::fs::remove_file(tree.path(file)).unwrap();
        std::os::unix::fs::symlink(&secret, tree.path(file)).unwrap();
        let by_path = tree.path(RECIPE);
        for recipe in ["minimal", by_path.to_str().unwrap()] {
            let said = format!("{:?}", tree.resolve(recipe, "pc").unwrap_err());
            let said = said + &tree.resolve(recipe, "pc").unwrap_err().to_string();
            assert!(said.contains(&format!("{file}: is a symbolic link")), "{said}");
            assert!(!said.contains(SECRET), "{said}");
        }
    }
}

/// Who writes into the tree asks where, and is not led elsewhere.
#[test]
fn what_is_written_stays_in_the_tree() {
    let (tree, elsewhere) = (TestTree::new(), tempfile::tempdir().unwrap());
    let inside = |path: &str| tree.tree().inside(path).map_err(|report| report.to_string());
    for path in ["recipes/minimal.toml", "recipes/new.lock", "new/deep/file"] {
        assert_eq!(inside(path), Ok(tree.path(path)));
    }
    std::os::unix::fs::symlink(elsewhere.path(), tree.path("new")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("nothing"), tree.path("recipes/new.lock")).unwrap();
    for (path, link) in [("new/deep/file", "new"), ("recipes/new.lock", "recipes/new.lock")] {
        assert_eq!(
            inside(path),
            Err(format!(
                "{link}: is a symbolic link, which could leave the tree\n  help: put the file or directory itself there"
            ))
        );
    }
    let beside = |path: &str| {
        tree.tree()
            .beside(&tree.path(path), "new.lock")
            .map_err(|report| report.to_string())
    };
    let refused = beside("recipes/minimal.toml").unwrap_err();
    assert!(
        refused.starts_with("recipes/new.lock: is a symbolic link"),
        "{refused}"
    );
    assert_eq!(beside("boards/pc.toml"), Ok(tree.path("boards/new.lock")));
    let stranger = elsewhere.path().join("x.toml");
    let outside = tree.tree().beside(&stranger, "new.lock").unwrap();
    assert_eq!(outside, elsewhere.path().join("new.lock"));
    for path in ["../x", "recipes/../../x", "/etc/passwd"] {
        assert_eq!(inside(path), Err(format!("{path}: leaves the tree")));
    }
}
