//! Spoiled copies of good files: what is wrong is told, in few words, and nothing panics. (`clic_host::spoil`).

use clic_host::spoil::{spoiled, try_reader};
use clic_recipe::check;

mod testtree;

use testtree::TestTree;

/// What a file of a tree can be full of.
const WORDS: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "{% for a in range(100000) %}",
    "{% endfor %}",
    "{{ board.name }}",
    "\"",
    "'",
    "'''",
    "[[source]]",
    "[[service]]",
    "[[item]]",
    "[[rule]]",
    "[",
    "]",
    "\n",
    "\r\n",
    "\0",
    "\u{1b}[2J",
    "\u{202e}",
    "é",
    "../",
    "/",
    "-1",
    "0",
    "9999999999999999999",
    "1e309",
    "inf",
    "true",
    "1979-05-27T07:32:00Z",
    " = ",
    ",",
    "\\u0000",
    "(?i)\\w{99}",
    "0x",
];

/// Every text of a kind that we ship: overlays with all that an overlay can have.
fn shipped(directory: &str, file: &str) -> Vec<String> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(directory);
    let mut found: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| std::fs::read_to_string(if file.is_empty() { path } else { path.join(file) }).ok())
        .collect();
    found.sort();
    assert!(found.len() > 1, "nothing in {file}");
    found
}

#[test]
fn spoiled_files_do_not_panic() {
    let tree = TestTree::new();
    let own = |file: &str| (file.to_owned(), std::fs::read_to_string(tree.path(file)).unwrap());
    let mut good: Vec<(String, String)> = [
        "recipes/minimal.toml",
        "boards/pc.toml",
        "boards/pi.toml",
        "overlays/base/overlay.toml",
        "overlays/base/files/etc/hostname",
    ]
    .map(own)
    .to_vec();
    for (directory, file, name) in [
        ("recipes", "", "recipes/other.toml"),
        ("boards", "", "boards/other.toml"),
        ("overlays", "overlay.toml", "overlays/other/overlay.toml"),
        (
            "content-bundles",
            "bundle.toml",
            "content-bundles/other/bundle.toml",
        ),
    ] {
        good.extend(
            shipped(directory, file)
                .into_iter()
                .map(|text| (name.to_owned(), text)),
        );
    }
    try_reader("trees", 400, |random| {
        let (name, text) = random.of_these(&good);
        let bytes = spoiled(text.as_bytes(), WORDS, random);
        let path = tree.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        if let Err(report) = check(&tree.tree(), None) {
            for text in [report.render(100, false, true), report.to_string()] {
                let what = format!("{name}: {text}");
                assert!(text.len() < 400_000, "{} bytes: {what}", text.len());
                assert!(
                    !text.chars().any(|c| clic_host::plain::hidden(c) && c != '\n'),
                    "{what}"
                );
            }
        }
        // What is good stays so for the next round, and what is not of the test's tree goes.
        match good
            .iter()
            .find(|(other, _)| other == name && !name.contains("other"))
        {
            Some((_, text)) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        if name.contains("/other/") {
            std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        }
    });
}
