//! What overlays provide: found by what they say, whatever their names are.

mod testtree;

use clic_recipe::plan::Capability;
use testtree::TestTree;

const RECIPE: &str = "recipes/minimal.toml";

/// A tree whose recipe has these overlays too.
fn with(overlays: &[(&str, &str)]) -> TestTree {
    let tree = TestTree::new();
    let names: Vec<String> = overlays.iter().map(|(name, _)| format!(", {name:?}")).collect();
    tree.edit(RECIPE, "[\"base\"]", &format!("[\"base\"{}]", names.concat()));
    for (name, body) in overlays {
        tree.overlay(name, body);
    }
    tree
}

#[test]
fn an_overlay_is_known_by_what_it_provides() {
    let tree = with(&[
        ("kiosk", "[provides.portal]\ndirectory = \"/srv/pages\"\n"),
        (
            "switches",
            "own-paths = [\"/switches\"]\n[provides.services]\ndirectory = \"/srv/services\"\n",
        ),
        (
            "houses",
            "[provides.yunohost]\npackage = \"houses\"\nready = \"/usr/bin/ready\"\n[provides.hotspot]\n",
        ),
    ]);
    let plan = tree.plan();
    let portal = plan.provider(Capability::Portal).unwrap();
    assert_eq!(
        (portal.name.as_str(), portal.provides.portal.as_deref()),
        ("kiosk", Some("/srv/pages"))
    );
    let services = plan.provider(Capability::Services).unwrap();
    assert_eq!(services.name, "switches");
    assert_eq!(services.own_paths, ["/switches"]);
    let yunohost = plan.provider(Capability::YunoHost).unwrap();
    assert!(yunohost.provides.hotspot);
    let yunohost = yunohost.provides.yunohost.as_ref().unwrap();
    assert_eq!(
        (yunohost.package.as_str(), yunohost.ready.as_str()),
        ("houses", "/usr/bin/ready")
    );
    // A place is not a part of a plan's text: what is put there is.
    assert!(!serde_json::to_string(&plan).unwrap().contains("/srv/pages"));
}

#[test]
fn what_nothing_provides_is_told_with_who_would() {
    let tree = TestTree::new();
    let service = "\n[[service]]\nname = \"pages\"\nkind = \"static\"\ntitle = { fr = \"P\", en = \"P\" }\n\
        description = { fr = \"D\", en = \"D\" }\ncategory = \"learning\"\npath = \"/pages\"\nroot = \"/usr/share/pages\"\n";
    tree.append(RECIPE, service);
    let told = |tree: &TestTree, needed: &str, help: &str| {
        let line = tree.line(RECIPE, "name = \"pages\"");
        let wanted = format!("{RECIPE}:{line}:8: service `pages` needs {needed}\n  help: {help}");
        let said = tree.resolve("minimal", "pc").unwrap_err().to_string();
        assert_eq!(said, wanted);
    };
    told(
        &tree,
        "an overlay that provides `services`",
        "no overlay of this tree does: its overlay.toml would have `[provides.services]`",
    );
    let body = "[provides.services]\ndirectory = \"/srv/services\"\n";
    tree.overlay("shelf", body);
    told(
        &tree,
        "the overlay `shelf`",
        "write `overlays = [\"base\", \"shelf\"]`",
    );
    tree.overlay("desk", body);
    // One that is wrong does not come in the way of a recipe without it.
    tree.overlay("broken", "[provides.services\n");
    told(
        &tree,
        "the overlay `desk` or `shelf`",
        "add \"desk\" or \"shelf\" to the recipe's `overlays`",
    );
}

#[test]
fn of_a_recipes_overlays_one_provides_it() {
    let body = "[provides.portal]\ndirectory = \"/srv/pages\"\n";
    let said = with(&[("kiosk", body), ("board", body)]).complaints();
    assert_eq!(
        said,
        "recipes/minimal.toml:5:30: overlays `kiosk` and `board` both provide `portal`\n  \
         help: leave one of them out of `overlays`"
    );
}

#[test]
fn slips_are_told_with_their_place() {
    for (body, said) in [
        (
            "[provides.portol]\ndirectory = \"/srv\"\n",
            "overlays/kiosk/overlay.toml:4:11: unknown key `portol`\n  help: did you mean `portal`? \
             keys here: `first-boot`, `hotspot`, `portal`, `services`, `yunohost`, `zim`",
        ),
        (
            "[provides.portal]\n",
            "overlays/kiosk/overlay.toml:4:1: the key `directory` is missing here",
        ),
        (
            "[provides.zim]\ndirectory = \"/srv\"\n",
            "overlays/kiosk/overlay.toml:5:1: unknown key `directory`",
        ),
        (
            "[provides.portal]\ndirectory = \"srv\"\n",
            "overlays/kiosk/overlay.toml:5:13: `srv` must be an absolute path in the image",
        ),
        (
            "[provides.yunohost]\npackage = \"Yuno Host\"\nready = \"/usr/bin/ready\"\n",
            "overlays/kiosk/overlay.toml:5:11: `Yuno Host`",
        ),
        (
            "own-paths = [\"/a\", \"b/\"]\n",
            "overlays/kiosk/overlay.toml:4:20: `b/` is not a path on the portal\n  help: write it like `/pads`",
        ),
        (
            "own-paths = [\"/a\", \"/a\"]\n",
            "overlays/kiosk/overlay.toml:4:20: path `/a` is in this list twice",
        ),
    ] {
        let told = with(&[("kiosk", body)]).complaints();
        assert!(told.contains(said), "wanted: {said}\ntold: {told}");
    }
}
