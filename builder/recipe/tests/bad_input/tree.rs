//! Trees and files that cannot be read, or hold anything at all.

use clic_recipe::{ResolveOptions, Tree, check, resolve};

use crate::testtree::{self, TestTree};
use crate::{OVERLAY, PC, RECIPE};

#[test]
fn files_that_are_no_text() {
    let tree = TestTree::new();
    std::fs::write(tree.path(RECIPE), b"schema = 1\ntitle = \"\xff\"\n").unwrap();
    assert!(
        tree.complaints()
            .contains("recipes/minimal.toml: is not UTF-8 text (line 2)")
    );
    std::fs::write(tree.path(RECIPE), vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(
        tree.complaints()
            .contains("recipes/minimal.toml: is larger than 1048576 bytes")
    );
    std::fs::remove_file(tree.path(RECIPE)).unwrap();
    std::fs::create_dir(tree.path(RECIPE)).unwrap();
    assert!(
        tree.complaints()
            .contains("recipes/minimal.toml: is not a regular file")
    );
}

#[test]
fn a_tree_that_is_none() {
    let empty = tempfile::tempdir().unwrap();
    let said = Tree::open(empty.path()).unwrap_err().to_string();
    assert!(
        said.contains("has no directory `recipes/`") && said.contains("--root DIR"),
        "{said}"
    );
    let said = Tree::find(empty.path()).unwrap_err().to_string();
    assert!(
        said.contains("nor a directory above it has recipes/ and boards/"),
        "{said}"
    );
}

/// Whatever is in a file, there is an answer.
#[test]
fn garbage_does_not_stop_us() {
    let texts = [testtree::RECIPE, testtree::PC, testtree::OVERLAY];
    let files = [RECIPE, PC, OVERLAY];
    let tree = TestTree::new();
    for (file, text) in files.iter().zip(texts) {
        for cut in (0..text.len()).step_by(3) {
            tree.write(file, &text[..cut]);
            let _ = check(&tree.tree(), None);
            let end = (cut + 7).min(text.len());
            tree.write(file, &format!("{}{}", &text[..cut], &text[end..]));
            if let Err(report) = resolve(&tree.tree(), "minimal", "pc", &ResolveOptions::default()) {
                assert!(!report.render(80, true, true).is_empty());
            }
        }
        tree.write(file, text);
    }
}
