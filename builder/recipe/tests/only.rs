//! Overlays that are for some suites and architectures only.

mod testtree;

use testtree::TestTree;

const RECIPE: &str = "recipes/minimal.toml";

fn tree(only: &str) -> TestTree {
    let tree = TestTree::new();
    tree.overlay("extra", only);
    tree.edit(RECIPE, "[\"base\"]", "[\"base\", \"extra\"]");
    tree
}

#[test]
fn an_overlay_fits_what_it_is_for() {
    for only in [
        "",
        "suites = [\"bookworm\"]\narchitectures = [\"amd64\", \"arm64\"]\n",
        "suites = [\"trixie\", \"bookworm\"]\n",
    ] {
        let tree = tree(only);
        for board in ["pc", "pi"] {
            tree.resolve("minimal", board)
                .unwrap_or_else(|report| panic!("{only}\n{report}"));
        }
    }
}

#[test]
fn another_suite_is_refused_at_its_line() {
    let tree = tree("suites = [\"bookworm\"]\n");
    tree.edit(RECIPE, "\"bookworm\"", "\"trixie\"");
    let said = tree.resolve("minimal", "pi").unwrap_err().to_string();
    assert_eq!(
        said,
        "recipes/minimal.toml:3:9: overlay `extra` is not for suite `trixie`\n  \
         help: it is for `bookworm`; take one of them, or leave `extra` out of `overlays`"
    );
    assert!(tree.complaints().contains(&said), "{}", tree.complaints());
}

#[test]
fn a_board_of_another_architecture_is_refused_at_its_line() {
    let tree = tree("architectures = [\"amd64\"]\n");
    tree.plan();
    let said = tree.resolve("minimal", "pi").unwrap_err().to_string();
    assert_eq!(
        said,
        "recipes/minimal.toml:4:17: overlay `extra` is not for board `pi`, which is arm64\n  \
         help: it is for `amd64`; take the board out of `boards`, or leave `extra` out of `overlays`"
    );
    assert_eq!(tree.complaints(), said);
    // A board by its path, which the recipe does not name: the overlay's line.
    let board = tree.path("own/mine.toml");
    tree.write("own/mine.toml", testtree::PI);
    let said = tree
        .resolve("minimal", board.to_str().unwrap())
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with(
            "recipes/minimal.toml:5:21: overlay `extra` is not for board `mine`, which is arm64"
        ),
        "{said}"
    );
}

#[test]
fn slips_of_the_overlay_are_told_there() {
    for (only, message) in [
        (
            "suites = [\"bookwrm\"]\n",
            "4:11: unknown suite `bookwrm`\n  help: did you mean `bookworm`?",
        ),
        (
            "suites = []\n",
            "4:10: this list is empty, so the overlay could never be used",
        ),
        (
            "architectures = []\n",
            "4:17: this list is empty, so the overlay could never be used",
        ),
        (
            "suites = [\"bookworm\", \"bookworm\"]\n",
            "4:23: suite `bookworm` is in this list twice",
        ),
        ("architectures = [\"i386\"]\n", "4:"),
    ] {
        let said = tree(only).complaints();
        assert!(
            said.starts_with(&format!("overlays/extra/overlay.toml:{message}")),
            "{said}"
        );
    }
}
