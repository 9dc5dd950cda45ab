//! Names of what there is not, or not here.

use crate::testtree::TestTree;
use crate::{OVERLAY, PC, PI, RECIPE, told};

#[test]
fn names() {
    told(&[
        (
            RECIPE,
            "\"pi\"]",
            "\"pie\"]",
            "recipes/minimal.toml:4:17: unknown board `pie`",
            "did you mean `pi`? boards: `pc`, `pi`",
        ),
        (
            RECIPE,
            "\"pi\"]",
            "\"../pi\"]",
            "recipes/minimal.toml:4:17: unknown board `../pi`",
            "boards: `pc`, `pi`",
        ),
        (
            RECIPE,
            "overlays = [\"base\"]",
            "overlays = [\"base\", \"hotspot\"]",
            "recipes/minimal.toml:5:21: unknown overlay `hotspot`",
            "overlays: `base`",
        ),
        (
            RECIPE,
            "[parameters.base]",
            "[parameters.bass]",
            "recipes/minimal.toml:11:13: parameters for `bass`, but this recipe has no such overlay",
            "did you mean `base`?",
        ),
        (
            RECIPE,
            "hostname = ",
            "hostnam = ",
            "recipes/minimal.toml:12:1: overlay `base` has no parameter `hostnam`",
            "did you mean `hostname`? parameters: `clients`, `hostname`, `locale`",
        ),
        (
            RECIPE,
            "\"bookworm\"",
            "\"bokworm\"",
            "recipes/minimal.toml:3:9: unknown suite `bokworm`",
            "did you mean `bookworm`? suites: `bookworm`, `trixie`",
        ),
        (
            RECIPE,
            "\"bookworm\"",
            "\"trixie\"",
            "recipes/minimal.toml:3:9: board `pc` can't have suite `trixie`",
            "it can have: `bookworm`",
        ),
        (
            RECIPE,
            "suite = \"bookworm\"",
            "",
            "recipes/minimal.toml:1:1: recipe `minimal` does not say its suite",
            "`bookworm`",
        ),
        (
            RECIPE,
            "suite = \"bookworm\"",
            "extends = \"other\"",
            "recipes/minimal.toml:3:11: unknown recipe `other`",
            "recipes: `minimal`",
        ),
        (
            RECIPE,
            "\"openssh-server\"",
            "\"OpenSSH\"",
            "recipes/minimal.toml:6:13: `OpenSSH` can't be a Debian package",
            "no version",
        ),
        (
            RECIPE,
            "\"openssh-server\"",
            "\"ssh\", \"ssh\"",
            "recipes/minimal.toml:6:20: package `ssh` is in this list twice",
            "remove one",
        ),
        (
            RECIPE,
            "\"bookworm\"",
            "\"buster\"",
            "recipes/minimal.toml:3:9: unknown suite `buster`",
            "suites: `bookworm`, `trixie`",
        ),
        (
            PC,
            "[\"main\"]",
            "[\"main\", \"nonfree\"]",
            "boards/pc.toml:6:23: unknown component `nonfree`",
            "did you mean `non-free`?",
        ),
        (
            PC,
            "\"ttyS0,115200\"",
            "\"ttyS0 115200\"",
            "boards/pc.toml:7:21: `ttyS0 115200` can't be a kernel console",
            "",
        ),
        (
            PI,
            "\"trixie\"",
            "\"buster\"",
            "boards/pi.toml:4:23: unknown suite `buster`",
            "suites: `bookworm`, `trixie`",
        ),
        (
            OVERLAY,
            "\"ssh.service\"",
            "\"ssh\"",
            "overlays/base/overlay.toml:31:8: `ssh` can't be a systemd unit",
            "",
        ),
        (
            OVERLAY,
            "description = \"What",
            "requires = [\"net\"]\ndescription = \"What",
            "overlays/base/overlay.toml:3:13: unknown overlay `net`",
            "",
        ),
    ]);
}

#[test]
fn extends_in_a_circle() {
    let tree = TestTree::new();
    let body = |parent: &str| format!("schema = 1\ntitle = \"T\"\nextends = \"{parent}\"\n");
    tree.write("recipes/a.toml", &body("b"));
    tree.write("recipes/b.toml", &body("c"));
    tree.write("recipes/c.toml", &body("a"));
    tree.write("recipes/me.toml", &body("me"));
    let said = tree.resolve("b", "pc").unwrap_err().to_string();
    assert_eq!(
        said,
        "recipes/a.toml:3:11: recipes extend each other in a circle: b -> c -> a -> b\n  help: remove `extends` from one of them"
    );
    let said = tree.resolve("me", "pc").unwrap_err().to_string();
    assert!(
        said.starts_with("recipes/me.toml:3:11: recipes extend each other in a circle: me -> me"),
        "{said}"
    );
}

#[test]
fn what_the_command_line_names() {
    let tree = TestTree::new();
    let said = |recipe: &str, board: &str| tree.resolve(recipe, board).unwrap_err().to_string();
    assert_eq!(
        said("minimol", "pc"),
        "there is no recipe `minimol`\n  help: did you mean `minimal`? recipes: `minimal`"
    );
    assert_eq!(
        said("minimal", "pcc"),
        "there is no board `pcc`\n  help: did you mean `pc`? boards: `pc`, `pi`"
    );
    assert_eq!(
        said("minimal", "toaster"),
        "there is no board `toaster`\n  help: boards: `pc`, `pi`"
    );
    assert_eq!(
        said("..", "pc"),
        "there is no recipe `..`\n  help: recipes: `minimal`"
    );
    assert_eq!(
        said("/nowhere/x.toml", "pc"),
        "/nowhere/x.toml: there is no such file"
    );
    assert!(said("/dev/null.toml", "pc").contains("there is no such file"));
    // Both at once.
    assert_eq!(said("x", "y").matches("there is no").count(), 2);

    tree.edit(RECIPE, "[\"pc\", \"pi\"]", "[\"pi\"]");
    assert!(said("minimal", "pc").starts_with(
        "recipes/minimal.toml:4:11: recipe `minimal` is not for board `pc`\n  help: its boards: `pi`;"
    ));
}

#[test]
fn steps_of_one_name() {
    let tree = TestTree::new();
    let two = |one: &str, other: &str| {
        let steps = [one, other].map(|name| format!("[[bake]]\nname = \"{name}\"\ncommand = \"true\"\n"));
        tree.overlay("portal", &steps.concat());
        tree.complaints()
    };
    let help = "\n  help: a step is known by its name: give one of them another (the other is at overlays/portal/overlay.toml:5:8)";
    assert_eq!(
        two("the wiki is set up", "the wiki is set up").trim_end(),
        format!("overlays/portal/overlay.toml:8:8: step `the wiki is set up` is declared twice{help}")
    );
    // Names are templates: only a recipe tells what becomes of them.
    tree.edit(RECIPE, "[\"base\"]", "[\"base\", \"portal\"]");
    assert_eq!(
        two("of {{ recipe.name }}", "of minimal").trim_end(),
        format!("overlays/portal/overlay.toml:8:8: step `of minimal` is declared twice{help}")
    );
}

#[test]
fn what_is_of_one_run_is_a_path_in_the_image() {
    told(&[
        (
            OVERLAY,
            "packages = [\"locales\"]",
            "of-one-run = [\"var/lib/bans\"]",
            "overlays/base/overlay.toml:4:15: `var/lib/bans` must be an absolute path in the image",
            "",
        ),
        (
            OVERLAY,
            "packages = [\"locales\"]",
            "of-one-run = [\"/var/lib/bans\", \"/var/lib/bans\"]",
            "overlays/base/overlay.toml:4:32: path `/var/lib/bans` is in this list twice",
            "remove one of them",
        ),
    ]);
}
