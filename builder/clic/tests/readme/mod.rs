//! The files that README.md has people write, taken out of it: what it prints is what is tested.

use std::path::Path;

/// Writes them into a copy of the tree, and returns their paths.
pub fn write_files(readme: &Path, tree: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(readme).unwrap();
    let files = files(&text);
    for (path, content) in &files {
        let to = tree.join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, format!("{content}\n")).unwrap();
    }
    files.into_iter().map(|(path, _)| path.to_owned()).collect()
}

/// Each block of code whose paragraph ends with the path of a file: ``... `recipes/library.toml`:``.
fn files(text: &str) -> Vec<(&str, &str)> {
    let blocks = text.split("\n```").collect::<Vec<_>>();
    let pairs = blocks.chunks_exact(2);
    pairs
        .filter_map(|pair| {
            let (before, block) = (pair[0].trim_end(), pair[1]);
            let path = before.strip_suffix("`:")?.rsplit('`').next()?;
            let (_language, content) = block.split_once('\n')?;
            path.contains('/').then_some((path, content))
        })
        .collect()
}

#[test]
fn blocks_after_a_path_are_files() {
    let text = "One. `a/b.toml`:\n\n```toml\nx = 1\ny = 2\n```\n\n```sh\nls\n```\n\nAnd `c`:\n\n```\nz\n```\n\n`d/e`:\n\n```x\nf\n```\n";
    assert_eq!(files(text), [("a/b.toml", "x = 1\ny = 2"), ("d/e", "f")]);
}
