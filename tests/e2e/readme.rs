//! README's example, as it is printed: it is built, starts, and serves.

#[path = "../../builder/clic/tests/readme/mod.rs"]
mod example;

use crate::support::{clic, copy_tree, failures, root, run};
use crate::turn::{Work, turn};

#[test]
fn the_readmes_example_serves_its_shelf() {
    let dir = tempfile::tempdir().unwrap();
    let tree = copy_tree(dir.path());
    example::write_files(&root().join("README.md"), &tree);
    let _turn = turn(Work::Machine);
    run(clic(["build", "library", "--board", "x86-pc", "--root"])
        .arg(&tree)
        .arg("--out")
        .arg(dir.path()))
    .ok();
    // One firmware: what differs between them is before the kernel, and `minimal` boots by all three.
    let report = run(clic(["--json", "test", "--machine", "bios", "--logs"])
        .arg(dir.path().join("logs"))
        .arg(dir.path().join("library-x86-pc.img")))
    .last_json();
    assert_eq!(report["passed"], true, "{}", failures(&report));
    let cases = report["machines"][0]["cases"].as_array().unwrap();
    let shelf = cases.iter().find(|case| case["name"] == "the shelf opens");
    assert_eq!(
        shelf.map(|case| &case["status"]),
        Some(&"passed".into()),
        "{cases:#?}"
    );
}
