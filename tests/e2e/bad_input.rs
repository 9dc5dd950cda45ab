//! Bad input: a clear error before any download, nothing left behind, exit code 2.

use std::fs;
use std::path::Path;

use crate::support::{clic, clic_with, copy_tree, edit, run};

/// Breaks a copy of the tree and asks for a build with an empty store. The error must come before any
/// download, so the store must stay empty.
#[track_caller]
fn refused(recipe: &str, board: &str, breakage: impl FnOnce(&Path), texts: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let tree = copy_tree(dir.path());
    breakage(&tree);
    let (cache, out) = (dir.path().join("cache"), dir.path().join("out"));
    let mut command = clic_with(&cache, ["build", recipe, "--board", board, "--out"]);
    command.arg(&out).arg("--root").arg(&tree);
    run(&mut command).fails(2, texts);
    assert!(!out.exists(), "an output directory was made for a refused build");
    assert!(
        !cache.join("downloads").exists(),
        "something was downloaded for a refused build"
    );
}

#[test]
fn an_unknown_key_is_shown_with_the_nearest_one() {
    refused(
        "minimal",
        "x86-pc",
        |tree| edit(&tree.join("recipes/minimal.toml"), "packages =", "pakages ="),
        &["recipes/minimal.toml:", "pakages", "packages"],
    );
}

#[test]
fn a_wrong_type_is_shown_with_its_line() {
    refused(
        "minimal",
        "x86-pc",
        |tree| {
            edit(
                &tree.join("recipes/minimal.toml"),
                "suite = \"bookworm\"",
                "suite = 12",
            );
        },
        &["recipes/minimal.toml:4:9", "text in quotes", "suite = 12"],
    );
}

#[test]
fn an_unknown_board_is_named_with_the_nearest_one() {
    refused("minimal", "x86-cp", |_| {}, &["x86-cp", "x86-pc"]);
}

#[test]
fn an_unknown_recipe_is_named_with_the_nearest_one() {
    refused("minimall", "x86-pc", |_| {}, &["minimall", "minimal"]);
}

#[test]
fn an_unknown_overlay_is_shown_with_its_line() {
    refused(
        "minimal",
        "x86-pc",
        |tree| edit(&tree.join("recipes/minimal.toml"), "\"base\"", "\"bass\""),
        &["recipes/minimal.toml:", "bass", "base"],
    );
}

#[test]
fn an_unknown_parameter_is_shown_with_the_nearest_one() {
    refused(
        "minimal",
        "x86-pc",
        |tree| parameter(tree, "hostnam = \"box\""),
        &["recipes/minimal.toml:", "hostnam", "hostname"],
    );
}

#[test]
fn a_parameter_of_the_wrong_type_is_shown() {
    refused(
        "minimal",
        "x86-pc",
        |tree| parameter(tree, "hostname = 7"),
        &["recipes/minimal.toml:", "hostname", "text"],
    );
}

#[test]
fn a_parameter_out_of_its_range_is_shown() {
    refused(
        "minimal",
        "x86-pc",
        |tree| parameter(tree, "hostname = \"not a name\""),
        &["recipes/minimal.toml:", "not a name"],
    );
    refused(
        "minimal",
        "x86-pc",
        |tree| parameter(tree, "locale = \"de_DE.UTF-8\""),
        &["recipes/minimal.toml:", "de_DE.UTF-8", "fr_FR.UTF-8"],
    );
}

/// Sets a parameter of the overlay `base` in the recipe.
fn parameter(tree: &Path, line: &str) {
    let path = tree.join("recipes/minimal.toml");
    let mut text = fs::read_to_string(&path).unwrap();
    assert!(
        !text.contains("[parameters.base]"),
        "the shipped recipe sets parameters now: mend this test"
    );
    text.push_str("\n[parameters.base]\n");
    text.push_str(line);
    text.push('\n');
    fs::write(path, text).unwrap();
}

/// A recipe with one more overlay, made of `toml`.
fn overlay(tree: &Path, name: &str, toml: &str) {
    let dir = tree.join("overlays").join(name);
    fs::create_dir_all(dir.join("files")).unwrap();
    fs::write(
        dir.join("overlay.toml"),
        format!("schema = 1\ntitle = \"{name}\"\ndescription = \"{name}\"\n{toml}"),
    )
    .unwrap();
    let recipe = tree.join("recipes/minimal.toml");
    edit(&recipe, "overlays = [", &format!("overlays = [\"{name}\", "));
}

#[test]
fn a_missing_file_is_named() {
    refused(
        "minimal",
        "x86-pc",
        |tree| overlay(tree, "extra", "[[file]]\npath = \"/etc/extra.conf\"\n"),
        &["overlays/extra/overlay.toml:", "/etc/extra.conf"],
    );
}

#[test]
fn a_source_that_escapes_the_overlay_is_refused() {
    refused(
        "minimal",
        "x86-pc",
        |tree| {
            overlay(
                tree,
                "extra",
                "[[file]]\npath = \"/etc/extra.conf\"\nsource = \"../../../../etc/passwd\"\n",
            );
        },
        &["overlays/extra/overlay.toml:", "../../../../etc/passwd"],
    );
}

#[test]
fn a_source_that_escapes_by_a_symlink_is_refused() {
    refused(
        "minimal",
        "x86-pc",
        |tree| {
            overlay(
                tree,
                "extra",
                "[[file]]\npath = \"/etc/extra.conf\"\nsource = \"out/passwd\"\n",
            );
            std::os::unix::fs::symlink("/etc", tree.join("overlays/extra/out")).unwrap();
        },
        &["overlays/extra/overlay.toml:", "out/passwd"],
    );
}

#[test]
fn a_destination_that_escapes_the_tree_is_refused() {
    refused(
        "minimal",
        "x86-pc",
        |tree| {
            overlay(
                tree,
                "extra",
                "[[link]]\npath = \"/etc/../../x\"\ntarget = \"y\"\n",
            );
        },
        &["overlays/extra/overlay.toml:", "/etc/../../x"],
    );
}

#[test]
fn two_overlays_that_write_one_path_are_both_named() {
    refused(
        "minimal",
        "x86-pc",
        |tree| {
            overlay(tree, "extra", "");
            fs::create_dir_all(tree.join("overlays/extra/files/etc")).unwrap();
            fs::write(tree.join("overlays/extra/files/etc/hostname"), "other\n").unwrap();
        },
        &["/etc/hostname", "base", "extra"],
    );
}

#[test]
fn a_cycle_of_extends_is_shown() {
    refused(
        "minimal",
        "x86-pc",
        |tree| {
            edit(
                &tree.join("recipes/minimal.toml"),
                "schema = 1",
                "schema = 1\nextends = \"second\"",
            );
            fs::write(
                tree.join("recipes/second.toml"),
                "schema = 1\ntitle = \"Second\"\nextends = \"minimal\"\n",
            )
            .unwrap();
        },
        &["minimal", "second", "extends"],
    );
}

#[test]
fn a_suite_that_the_board_cannot_have_is_shown() {
    refused(
        "minimal",
        "x86-pc",
        |tree| {
            edit(
                &tree.join("recipes/minimal.toml"),
                "suite = \"bookworm\"",
                "suite = \"buster\"",
            );
        },
        &["recipes/minimal.toml:", "buster", "bookworm"],
    );
}

#[test]
fn an_architecture_that_the_board_cannot_have_is_shown() {
    refused(
        "minimal",
        "x86-pc",
        |tree| {
            edit(
                &tree.join("boards/x86-pc.toml"),
                "arch = \"amd64\"",
                "arch = \"armel\"",
            );
        },
        &["boards/x86-pc.toml:", "armel", "amd64"],
    );
}

#[test]
fn an_image_size_that_cannot_hold_the_partitions_is_refused() {
    refused(
        "minimal",
        "x86-pc",
        |tree| {
            edit(
                &tree.join("recipes/minimal.toml"),
                "size = \"4G\"",
                "size = \"100M\"",
            );
        },
        &["recipes/minimal.toml:", "100M"],
    );
}

/// The partitions fit, Debian itself does not: known once apt has resolved, before any package is fetched.
#[test]
fn an_image_size_that_cannot_hold_the_packages_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tree = copy_tree(dir.path());
    edit(
        &tree.join("recipes/minimal.toml"),
        "size = \"4G\"",
        "size = \"700M\"",
    );
    let out = dir.path().join("out");
    let mut command = clic(["build", "minimal", "--board", "x86-pc", "--out"]);
    run(command.arg(&out).arg("--root").arg(&tree)).fails(2, &["700", "root"]);
    assert!(!out.join("minimal-x86-pc.img").exists());
}

#[test]
fn a_package_that_does_not_exist_is_named_with_the_nearest_ones() {
    let dir = tempfile::tempdir().unwrap();
    let tree = copy_tree(dir.path());
    edit(
        &tree.join("recipes/minimal.toml"),
        "\"openssh-server\"",
        "\"openssh-serwer\"",
    );
    let out = dir.path().join("out");
    let mut command = clic(["build", "minimal", "--board", "x86-pc", "--out"]);
    run(command.arg(&out).arg("--root").arg(&tree))
        .fails(2, &["recipes/minimal.toml:", "openssh-serwer", "openssh-server"]);
    assert!(!out.join("minimal-x86-pc.img").exists());
}

#[test]
fn a_mirror_that_is_no_address_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = clic_with(
        &dir.path().join("cache"),
        [
            "build",
            "minimal",
            "--board",
            "x86-pc",
            "--mirror",
            "not a url",
            "--out",
        ],
    );
    run(command.arg(dir.path().join("out"))).fails(2, &["not a url", "--mirror"]);
}

/// Everything that reads an image refuses what is none.
#[test]
fn what_is_no_image_is_refused_by_test_inspect_and_diff() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let garbage: Vec<u8> = (0u32..1 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let cases = [
        (write("empty.img", b""), "empty"),
        (write("garbage.img", &garbage), "neither a GPT nor an MBR"),
        (write("short.img", &garbage[..100]), "short.img"),
        (
            write("packed.img", &[0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]),
            "zstd -d",
        ),
        (dir.path().join("none.img"), "none.img"),
        (dir.path().to_owned(), "directory"),
    ];
    for (path, text) in &cases {
        for command in ["inspect", "test"] {
            run(clic([command]).arg(path)).fails(2, &[text]);
        }
        run(clic(["diff"]).arg(path).arg(path)).fails(2, &[text]);
    }
}
