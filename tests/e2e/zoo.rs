//! Packages that are awkward in an image, and every recipe made twice: what packages do differently each time is a secret that all
//! devices would share, a name, or noise, and the same on a device as after an installation by hand.

use std::path::Path;

use crate::support::{clic, copy_tree, failures, image, root, run, tool};
use crate::turn::{Work, turn};

/// Databases, secrets, modules, daemons with users and logs of their own (`tests/zoo`): built, with each package installed twice,
/// started, and held against what dpkg says of them. That no unit fails is asserted of every image. Three images, since one with
/// all daemons at once does not start at emulated speed.
#[test]
#[ignore = "nightly: 800 packages installed twice, and three starts with their daemons"]
fn awkward_packages_are_whole_and_run() {
    let _downloads = image("x86-pc");
    let _turn = turn(Work::LongMachine);
    let dir = tempfile::tempdir().unwrap();
    let tree = copy_tree(dir.path());
    let zoo = root().join("tests/zoo/.");
    tool("cp", [Path::new("-r"), &zoo, &tree]);
    let said: Vec<String> = ["zoo-secrets", "zoo-daemons", "zoo-system"]
        .into_iter()
        .filter_map(|recipe| wrong(&tree, recipe, dir.path()))
        .collect();
    assert!(said.is_empty(), "{}", said.join("\n\n"));
}

/// What is wrong with an image of the zoo, if anything is: all of them are tried.
fn wrong(tree: &Path, recipe: &str, dir: &Path) -> Option<String> {
    let out = dir.join(recipe);
    run(clic(["build", recipe, "--board", "x86-pc", "--twice", "--root"])
        .arg(tree)
        .arg("--out")
        .arg(&out))
    .ok();
    // Databases are made, and daemons get secrets of their own, all at once: a PC's 900 seconds are too few at emulated speed.
    let mut test = clic([
        "--json",
        "test",
        "--machine",
        "bios",
        "--timeout",
        "1800",
        "--logs",
    ]);
    let report = run(test
        .arg(dir.join("logs"))
        .arg(out.join(format!("{recipe}-x86-pc.img"))))
    .last_json();
    std::fs::remove_dir_all(out).unwrap();
    (report["passed"] != true).then(|| format!("{recipe}: {}", failures(&report)))
}

#[test]
#[ignore = "nightly: every layer of four images, twice"]
fn every_recipe_made_twice_is_the_same() {
    for board in ["x86-pc", "raspberry-pi"] {
        let _downloads = image(board);
        for recipe in ["minimal", "nomad"] {
            let _turn = turn(Work::Build);
            let dir = tempfile::tempdir().unwrap();
            run(clic(["build", recipe, "--board", board, "--twice", "--out"]).arg(dir.path())).ok();
        }
    }
}
