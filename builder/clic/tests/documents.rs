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
    let places = [".", "docs", "docs/decisions", "docs/reference", "tests"]
        .map(inside)
        .concat();
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
        // What is between backquotes is no link.
        let text: String = text.split('`').step_by(2).collect();
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

/// Where the page on architecture looks for a path, as it says: from the root, from builder/, or within an overlay.
fn bases() -> Vec<PathBuf> {
    let mut bases = vec![root(), root().join("builder")];
    for overlay in inside("overlays") {
        let files = overlay.join("files");
        bases.extend([files.join("usr/lib/python3/dist-packages"), files, overlay]);
    }
    bases
}

/// The page on architecture in pieces: text and code (what is between backticks) in turn, text first.
fn architecture() -> Vec<String> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    text.split('`').map(str::to_owned).collect()
}

fn is_path(code: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "/._-{},".contains(c);
    code.contains('/')
        && code.starts_with(|c: char| c.is_ascii_lowercase())
        && !code.contains("NAME")
        && code.chars().all(fits)
}

#[test]
fn paths_that_the_architecture_names_are_there() {
    let bases = bases();
    let pieces = architecture();
    let code = pieces.iter().skip(1).step_by(2);
    let named: Vec<String> = code
        .filter(|code| is_path(code))
        .flat_map(|path| expanded(path))
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

/// "`file.rs` (`name`)" and "`name` in `file.rs`": the name is a word of that file.
#[test]
fn names_that_the_architecture_puts_in_a_file_are_in_it() {
    let bases = bases();
    let pieces = architecture();
    let mut looked_at = 0;
    for codes in pieces[1..].windows(3).step_by(2) {
        let (name, path) = match codes[1].as_str() {
            " in " => (&codes[0], &codes[2]),
            " (" => (&codes[2], &codes[0]),
            _ => continue,
        };
        let is_name = name.chars().all(|c| c.is_alphanumeric() || "_-:".contains(c));
        let file = bases
            .iter()
            .map(|base| base.join(path))
            .find(|file| file.is_file());
        let (true, Some(file)) = (is_name && is_path(path), file) else {
            continue;
        };
        looked_at += 1;
        let text = fs::read_to_string(file).unwrap();
        let name = name.rsplit("::").next().unwrap();
        let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-');
        assert!(
            words.any(|word| word == name),
            "docs/architecture.md puts `{name}` in {path}, which does not have it"
        );
    }
    assert!(looked_at > 25, "only {looked_at} names were looked at");
}
