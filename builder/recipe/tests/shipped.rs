//! The recipes, boards, overlays and schemas that are shipped.

use std::path::{Path, PathBuf};

use clic_recipe::{Tree, check, schemas};

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

/// Editors find the schema by the first line.
#[test]
fn every_file_names_its_schema() {
    let mut seen = 0;
    for (directory, schema) in [
        ("recipes", "../schemas/recipe"),
        ("boards", "../schemas/board"),
        ("overlays", "../../schemas/overlay"),
        ("content-bundles", "../../schemas/bundle"),
    ] {
        for entry in std::fs::read_dir(root().join(directory)).unwrap() {
            let mut path = entry.unwrap().path();
            // Locks are written by a program.
            if path.extension().is_some_and(|extension| extension == "lock") {
                continue;
            }
            if path.is_dir() {
                path.push(if directory == "overlays" { "overlay.toml" } else { "bundle.toml" });
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let wanted = format!("#:schema {schema}.schema.json");
            assert_eq!(
                text.lines().next(),
                Some(wanted.as_str()),
                "first line of {}",
                path.display()
            );
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} files");
}
