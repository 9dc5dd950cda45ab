//! Requests that only Debian's archive shows to be wrong: refused before any package is fetched, with exit code 2.
//!
//! What a tree alone shows is in `builder/recipe/tests/bad_input`; what the command line makes of it in
//! `builder/clic/tests/refused.rs`.

use crate::support::{clic, copy_tree, edit, run};

/// Builds a copy of the tree whose recipe `minimal` has `new` for `old`.
#[track_caller]
fn refused(old: &str, new: &str, texts: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let tree = copy_tree(dir.path());
    edit(&tree.join("recipes/minimal.toml"), old, new);
    let out = dir.path().join("out");
    let mut command = clic(["build", "minimal", "--board", "x86-pc", "--out"]);
    run(command.arg(&out).arg("--root").arg(&tree)).fails(2, texts);
    assert!(!out.join("minimal-x86-pc.img").exists());
}

/// The partitions fit, Debian itself does not: known once apt has resolved.
#[test]
fn an_image_size_that_cannot_hold_the_packages_is_refused() {
    refused("size = \"4G\"", "size = \"700M\"", &["700", "root"]);
}

#[test]
fn a_package_that_does_not_exist_is_named_with_the_nearest_ones() {
    refused(
        "\"openssh-server\"",
        "\"openssh-serwer\"",
        &["recipes/minimal.toml:", "openssh-serwer", "openssh-server"],
    );
}
