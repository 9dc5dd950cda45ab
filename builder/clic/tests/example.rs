//! README's examples, as they are printed: `check` and `plan` take them. That the first is built and serves, an end-to-end test shows.

mod readme;

use std::path::{Path, PathBuf};
use std::process::Command;

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")
}

/// A copy of the shipped tree.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for part in ["recipes", "boards", "overlays", "content-bundles"] {
        let from = readme().with_file_name(part);
        assert!(
            Command::new("cp")
                .arg("-r")
                .arg(from)
                .arg(dir.path())
                .status()
                .unwrap()
                .success()
        );
    }
    dir
}

/// Standard output of `clic WORDS`, which must succeed.
#[track_caller]
fn clic(tree: &Path, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clic"));
    command.args(words).arg("--root").arg(tree);
    command.env("NO_COLOR", "1").env("CLIC_CACHE", tree.join("store"));
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_recipe_with_its_overlay_is_checked_and_planned() {
    let tree = tree();
    let files = readme::write_files(&readme(), tree.path());
    let wanted = [
        "recipes/library.toml",
        "overlays/shelf/overlay.toml",
        "overlays/shelf/files/srv/shelf/index.html",
        "overlays/shelf/files/etc/nginx/sites-available/default",
    ];
    assert_eq!(files, wanted);
    let checked = clic(tree.path(), &["check", "library"]);
    assert!(checked.contains("library on x86-pc, raspberry-pi"), "{checked}");
    let plan = clic(tree.path(), &["--json", "plan", "library", "--board", "x86-pc"]);
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let listed = plan["files"].as_array().unwrap();
    for path in ["/srv/shelf/index.html", "/etc/nginx/sites-available/default"] {
        let there = |file: &serde_json::Value| file["path"] == path && file["from"] == "shelf";
        assert!(listed.iter().any(there), "{path}");
    }
    let checks = plan["checks"].as_array().unwrap();
    let shelf = checks.iter().find(|check| check["from"] == "shelf").unwrap();
    assert_eq!(shelf["probe"]["contains"], "<h1>Our shelf</h1>");
}

#[test]
fn sources_of_packages_are_checked() {
    let tree = tree();
    readme::write_files(&readme(), tree.path());
    let text = std::fs::read_to_string(readme()).unwrap();
    let sources = text.split("```toml\n[[source]]").nth(1).unwrap();
    let sources = sources.split("```").next().unwrap();
    let recipe = std::fs::read_to_string(tree.path().join("recipes/library.toml")).unwrap();
    // They need files of their own.
    let write = |path: &str, text: &str| {
        let path = tree.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("recipes/sources.toml", &format!("{recipe}\n[[source]]{sources}"));
    write("keys/them.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n");
    write("debs/a_1_all.deb", "");
    let checked = clic(tree.path(), &["check", "sources"]);
    assert!(checked.contains("sources on x86-pc, raspberry-pi"), "{checked}");
}
