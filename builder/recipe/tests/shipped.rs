//! The recipes, boards, overlays and schemas that are shipped.

use std::path::{Path, PathBuf};

use clic_recipe::{ResolveOptions, Tree, check, resolve, schemas};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_whole_tree_is_valid() {
    let tree = Tree::open(&root()).unwrap();
    let checked = check(&tree, None).unwrap_or_else(|report| panic!("\n{}", report.render(110, false)));
    assert!(
        checked
            .plans
            .contains(&("minimal".to_owned(), "x86-pc".to_owned()))
    );
    assert!(
        checked
            .plans
            .contains(&("minimal".to_owned(), "raspberry-pi".to_owned()))
    );
    println!(
        "{}",
        serde_json::to_string_pretty(
            &resolve(&tree, "minimal", "x86-pc", &ResolveOptions::default()).unwrap()
        )
        .unwrap()
    );
}

/// `CLIC_UPDATE_SCHEMAS=1 cargo test -p clic-recipe` writes them anew.
#[test]
fn schemas_are_fresh() {
    let directory = root().join("schemas");
    for (name, text) in schemas() {
        let path = directory.join(name);
        if std::env::var_os("CLIC_UPDATE_SCHEMAS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == text,
            "schemas/{name} is not what the types say; refresh it: CLIC_UPDATE_SCHEMAS=1 cargo test -p clic-recipe"
        );
    }
}
