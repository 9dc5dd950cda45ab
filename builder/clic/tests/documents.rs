//! Documents lead to what is there: links between them, and the paths that the page on architecture names.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What is directly in a directory of the tree, sorted.
fn inside(directory: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root().join(directory))
        .unwrap_or_else(|error| panic!("{directory}: {error}"))
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    found
}

fn documents() -> Vec<PathBuf> {
    let places = [".", "docs", "docs/decisions", "tests"].map(inside).concat();
    let beside = [inside("overlays"), inside("tests")].concat();
    let readmes = beside.iter().map(|directory| directory.join("README.md"));
    let mut found: Vec<PathBuf> = places.into_iter().chain(readmes).collect();
    found.retain(|path| path.extension().is_some_and(|end| end == "md") && path.is_file());
    found
}

#[test]
fn links_between_documents_lead_to_a_file() {
    let mut count = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            count += 1;
            assert!(
                document.parent().unwrap().join(target).exists(),
                "{} leads to {target}, which is not there",
                document.display()
            );
        }
    }
    assert!(count > 30, "only {count} links were found");
}

/// `{a,b}.rs` stands for two files.
fn expanded(path: &str) -> Vec<String> {
    let parts = path
        .split_once('{')
        .and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    let Some((before, (choices, after))) = parts else {
        return vec![path.to_owned()];
    };
    choices
        .split(',')
        .map(|choice| format!("{before}{choice}{after}"))
        .collect()
}

#[test]
fn paths_that_the_architecture_names_are_there() {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    // As the page says: from the root, from builder/, or within an overlay.
    let mut bases = vec![root(), root().join("builder")];
    for overlay in inside("overlays") {
        let files = overlay.join("files");
        bases.extend([files.join("usr/lib/python3/dist-packages"), files, overlay]);
    }
    let is_path = |text: &&str| {
        text.contains('/')
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.contains("NAME")
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/._-{},".contains(c))
    };
    let named: Vec<String> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(is_path)
        .flat_map(expanded)
        .collect();
    assert!(named.len() > 100, "only {} paths were found", named.len());
    let missing: Vec<&String> = named
        .iter()
        .filter(|path| !bases.iter().any(|base| base.join(path).exists()))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/architecture.md names what is not there: {missing:#?}"
    );
}
