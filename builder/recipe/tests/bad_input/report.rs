//! The report: everything at once, with its lines.

use crate::RECIPE;
use crate::testtree::TestTree;

#[test]
fn every_slip_of_a_file_at_once() {
    let tree = TestTree::new();
    tree.write(
        RECIPE,
        "schema = 1\ntitel = \"T\"\nsuite = 7\nboards = [\"pc\", 3]\noverlays = \"base\"\n[image]\nfre = \"1G\"\nsize = 4\n",
    );
    let said = tree.complaints();
    for wanted in [
        "recipes/minimal.toml:2:1: unknown key `titel`\n  help: did you mean `title`?",
        "recipes/minimal.toml:3:9: this must be text in quotes, but it is the number 7",
        "recipes/minimal.toml:4:17: this must be text in quotes, but it is the number 3",
        "recipes/minimal.toml:5:12: this must be a list in brackets, but it is the text \"base\"",
        "recipes/minimal.toml:7:1: unknown key `fre`\n  help: did you mean `free`?",
        "recipes/minimal.toml:8:8: this must be text in quotes, but it is the number 4",
        "recipes/minimal.toml:1:1: the key `title` is missing here",
    ] {
        assert!(said.contains(wanted), "wanted: {wanted}\nsaid: {said}");
    }
}

#[test]
fn what_a_recipe_names_is_looked_at_whatever_else_is_wrong_with_it() {
    let tree = TestTree::new();
    tree.write(
        RECIPE,
        "schema = 1\ntitle = \"T\"\nsuite = \"bokworm\"\nboards = [\"pc\"]\noverlays = [\"base\", \"bas\"]\n\
         packages = [\"vim tiny\"]\nbundles = [\"nope\"]\n[image]\nfree = \"1\"\n[parameters.base]\nlocalee = \"fr\"\n",
    );
    let said = tree.complaints();
    for wanted in [
        "recipes/minimal.toml:3:9: unknown suite `bokworm`",
        "recipes/minimal.toml:5:21: unknown overlay `bas`",
        "recipes/minimal.toml:6:13: `vim tiny` can't be a Debian package",
        "recipes/minimal.toml:7:12: unknown bundle `nope`",
        "recipes/minimal.toml:9:8: ",
        "recipes/minimal.toml:11:1: overlay `base` has no parameter `localee`",
    ] {
        assert!(said.contains(wanted), "wanted: {wanted}\nsaid: {said}");
    }
    assert_eq!(said.matches("bokworm").count(), 1, "{said}");
}

#[test]
fn every_file_of_a_tree_at_once_used_or_not() {
    let tree = TestTree::new();
    tree.edit(RECIPE, "\"openssh-server\"", "\"A\"");
    tree.write("boards/unused.toml", "schema = 1\n");
    tree.overlay("unused", "[[unit]]\nname = \"x\"\nstate = \"enabled\"\n");
    std::fs::create_dir(tree.path("overlays/empty")).unwrap();
    let said = tree.complaints();
    for wanted in [
        "recipes/minimal.toml:6:13: `A` can't be a Debian package",
        "boards/unused.toml:1:1: the key `",
        "overlays/unused/overlay.toml:5:8: `x` can't be a systemd unit",
        "overlays/empty/overlay.toml: there is no such file",
    ] {
        assert!(said.contains(wanted), "wanted: {wanted}\nsaid: {said}");
    }
}

#[test]
fn rendered_with_the_line() {
    let tree = TestTree::new();
    tree.edit(RECIPE, "overlays = [\"base\"]", "overlays = [\"bas\"]");
    let report = tree.resolve("minimal", "pc").unwrap_err();
    let text = report.render(80, false, true);
    for wanted in [
        "unknown overlay `bas`",
        "recipes/minimal.toml:5:13",
        "overlays = [\"bas\"]",
        "did you mean `base`?",
    ] {
        assert!(text.contains(wanted), "wanted {wanted} in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colour was asked for");
    assert!(report.render(80, true, true).contains('\u{1b}'));

    let entries = serde_json::to_value(report.entries()).unwrap();
    let first = &entries[0];
    assert_eq!(first["file"], "recipes/minimal.toml");
    assert_eq!(
        (first["line"].as_u64(), first["column"].as_u64()),
        (Some(5), Some(13))
    );
    assert_eq!(first["message"], "unknown overlay `bas`");
    assert!(first["help"].as_str().unwrap().contains("`base`"));
}

#[test]
fn rendered_in_ascii_the_mark_is_under_what_is_meant() {
    let tree = TestTree::new();
    tree.edit(
        RECIPE,
        "overlays = [\"base\"]",
        "overlays = [\"base\", \"médiathèque\"]",
    );
    let text = tree
        .resolve("minimal", "pc")
        .unwrap_err()
        .render(80, false, false);
    assert!(text.is_ascii(), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines
        .iter()
        .position(|line| line.contains("\"m\\u{e9}diath\\u{e8}que\""))
        .unwrap_or_else(|| panic!("{text}"));
    assert_eq!(lines[shown].find("\"m"), lines[shown + 1].find('^'), "{text}");
}
