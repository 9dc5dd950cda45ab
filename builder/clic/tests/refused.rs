//! Wrong requests: exit code 2 with what is wrong, and nothing made or downloaded.
//!
//! What can be wrong in a tree is in `builder/recipe/tests/bad_input`; here is what the command line makes of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A copy of the shipped tree, an output directory and a store that are not there yet.
struct Request {
    dir: tempfile::TempDir,
}

impl Request {
    fn new() -> Self {
        let request = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(request.tree()).unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        for part in ["recipes", "boards", "overlays", "content-bundles"] {
            let mut copy = Command::new("cp");
            copy.arg("-r").arg(shipped.join(part)).arg(request.tree());
            assert!(copy.status().unwrap().success(), "{copy:?}");
        }
        request
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    /// Puts `new` for `old` in a file of the tree, which must have it.
    fn edit(&self, file: &str, old: &str, new: &str) {
        let path = self.tree().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "no `{old}` in {file}:\n{text}");
        std::fs::write(&path, text.replacen(old, new, 1)).unwrap();
    }

    /// Asks for a build, which is refused with each of `texts`.
    #[track_caller]
    fn refused(&self, recipe: &str, board: &str, more: &[&str], texts: &[&str]) {
        let (out, store) = (self.dir.path().join("out"), self.dir.path().join("store"));
        let mut command = clic(&["build", recipe, "--board", board, "--root"]);
        command.arg(self.tree()).arg("--out").arg(&out).args(more);
        fails(command.env("CLIC_CACHE", &store), texts);
        assert!(!out.exists(), "an output directory was made for a refused build");
        assert!(
            !store.join("downloads").exists(),
            "something was downloaded for a refused build"
        );
    }
}

fn clic(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clic"));
    command.args(args).stdin(Stdio::null());
    command
        .env("NO_COLOR", "1")
        .env("CLIC_CACHE", "/nonexistent/clic-store");
    command
}

#[track_caller]
fn fails(command: &mut Command, texts: &[&str]) {
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{command:?}:\n{stderr}");
    for text in texts {
        assert!(stderr.contains(text), "no `{text}` in:\n{stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

const RECIPE: &str = "recipes/minimal.toml";

#[test]
fn names_that_nothing_has_are_told_with_the_nearest() {
    let request = Request::new();
    request.refused("minimal", "x86-cp", &[], &["x86-cp", "x86-pc"]);
    request.refused("minimall", "x86-pc", &[], &["minimall", "minimal"]);
}

#[test]
fn a_slip_in_a_recipe_is_shown_with_its_place_and_its_line() {
    let request = Request::new();
    request.edit(RECIPE, "suite = \"bookworm\"", "suite = 12");
    let texts = ["recipes/minimal.toml:4:9", "text in quotes", "suite = 12"];
    request.refused("minimal", "x86-pc", &[], &texts);
}

#[test]
fn the_shipped_overlays_bound_their_parameters() {
    for (line, texts) in [
        ("hostname = \"not a name\"", &["not a name"][..]),
        ("locale = \"de_DE.UTF-8\"", &["de_DE.UTF-8", "fr_FR.UTF-8"]),
    ] {
        let request = Request::new();
        let parameters = format!("[parameters.base]\n{line}\n\n[image]");
        request.edit(RECIPE, "[image]", &parameters);
        let texts = [&["recipes/minimal.toml:"], texts].concat();
        request.refused("minimal", "x86-pc", &[], &texts);
    }
}

/// What only rooms after `recipe` know of: `check` says it as `plan` and `build` do, with all that is wrong at once.
#[test]
fn what_a_build_would_refuse_check_and_plan_refuse() {
    let request = Request::new();
    let path = "overlays/base/files/etc/initramfs-tools/conf.d/clic-root";
    let file = request.tree().join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, "FSTYPE=xfs\n").unwrap();
    request.edit(
        "recipes/nomad.toml",
        "title = \"",
        &format!("title = \"{}", "long ".repeat(50)),
    );
    let taken = format!(
        "{path}: overlay \"base\" brings /etc/initramfs-tools/conf.d/clic-root, which every image makes itself"
    );
    let texts = [
        taken.as_str(),
        "take the file out of the overlay",
        "the portal can't be made: edition: title has more than 200 characters",
        "recipes/nomad.toml:1:",
    ];
    let check = |words: &[&str]| fails(clic(words).arg("--root").arg(request.tree()), &texts);
    check(&["check", "nomad"]);
    check(&["plan", "nomad", "--board", "x86-pc"]);
    request.refused("nomad", "x86-pc", &[], &texts);
}

/// Where a command will write in the end is tried before it begins.
#[test]
fn places_that_cannot_be_written_are_refused() {
    let request = Request::new();
    let dir = request.dir.path();
    let file = dir.join("file");
    std::fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let tree = request.tree();
    let tree = tree.to_str().unwrap();
    let help = "name another directory with `--out`";
    let no_directory = format!("cannot write to {file}: {file} is not a directory");
    let build = [
        "build", "minimal", "--board", "x86-pc", "--root", tree, "--out", file,
    ];
    fails(&mut clic(&build), &[&no_directory, help]);
    fails(&mut clic(&["man", file]), &[&no_directory]);
    let below = format!("{file}/logs");
    let test = ["test", "no.img", "--logs", &below];
    fails(
        &mut clic(&test),
        &[&format!("cannot write to {below}: "), "`--logs`"],
    );
    let test = ["test", "no.img", "--junit", tree];
    fails(
        &mut clic(&test),
        &[&format!("cannot write {tree}: it is a directory")],
    );
    let bundle = dir.join("tree/content-bundles/new");
    std::fs::write(&bundle, "").unwrap();
    let add = ["content", "add", file, "--to", "new", "--root", tree];
    fails(
        &mut clic(&add),
        &["content-bundles/new/bundle.toml: can't be read: Not a directory"],
    );
}

#[test]
fn a_login_in_an_address_is_shown_nowhere() {
    let request = Request::new();
    let tree = request.tree();
    let address = "https://me:secret@example.org/a.pdf";
    for json in [&[][..], &["--json"]] {
        let mut command = clic(&["content", "add", address, "--to", "new", "--root"]);
        let Output {
            status,
            stdout,
            stderr,
        } = command.arg(&tree).args(json).output().unwrap();
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(
            said.contains("https://example.org/a.pdf is not the address of a file"),
            "{said}"
        );
        assert!(said.contains("without a login"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
    assert!(!tree.join("content-bundles/new").exists());
    let bundle = "content-bundles/bureau-deux-ecrans/bundle.toml";
    let text = std::fs::read_to_string(tree.join(bundle)).unwrap();
    let text = format!("{text}\n[[item]]\npath = \"a.pdf\"\nurl = [\"{address}\"]\n");
    std::fs::write(tree.join(bundle), text).unwrap();
    let Output { stderr, .. } = clic(&["check", "--root"]).arg(&tree).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(
        said.contains("https://example.org/a.pdf") && !said.contains("secret"),
        "{said}"
    );
}

#[test]
fn where_there_is_no_unicode_errors_are_ascii() {
    let request = Request::new();
    request.edit(RECIPE, "\"resolved\"]", "\"resolved\", \"médiathèque\"]");
    let said = |locale: &str| {
        let mut command = clic(&["check", "--root"]);
        let output = command
            .arg(request.tree())
            .env("LC_ALL", locale)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let ascii = said("C");
    assert!(
        ascii.is_ascii() && ascii.contains("m\\u{e9}diath\\u{e8}que"),
        "{ascii}"
    );
    let unicode = said("C.UTF-8");
    assert!(
        unicode.contains("médiathèque") && unicode.contains('│'),
        "{unicode}"
    );
    // Several mistakes of one file are told with its name.
    assert!(
        unicode.contains("error: 1 mistake in recipes/minimal.toml\n"),
        "{unicode}"
    );
}

#[test]
fn a_mirror_that_is_no_address_is_refused() {
    let request = Request::new();
    let more = ["--mirror", "not a url"];
    request.refused("minimal", "x86-pc", &more, &["not a url", "--mirror"]);
}

/// Everything that reads an image refuses what is none.
#[test]
fn what_is_no_image_is_refused_by_test_inspect_and_diff() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
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
            fails(clic(&[command]).arg(path), &[text]);
        }
        fails(clic(&["diff"]).arg(path).arg(path), &[text]);
    }
}
