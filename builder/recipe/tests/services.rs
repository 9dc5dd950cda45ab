//! Services: what can be wrong with one is told with its place, and what is right is in the plan.

mod testtree;

use std::fmt::Write as _;

use clic_recipe::plan::{Place, ServiceState, UnitState};
use testtree::TestTree;

const FILE: &str = "recipes/minimal.toml";
const OVERLAY: &str = "overlays/base/overlay.toml";

/// Pads of a Debian package, which run; a dormant wiki that needs them; and pages.
fn with_services() -> TestTree {
    let tree = TestTree::new();
    let text = std::fs::read_to_string(tree.path(FILE)).unwrap();
    // At the end, where [[tables]] may stand; its lines are counted from where it begins.
    let services = r#"
[[service]]
name = "pads"
kind = "debian"
title = { fr = "Bloc-notes", en = "Pads" }
description = { fr = "Écrire ensemble.", en = "Write together." }
category = "writing"
path = "/pads"
packages = ["pads-server"]
units = ["pads.service"]
port = 9001
uploads = "20M"
ram = "100M"
disk = "20M"

[[service]]
name = "wiki"
kind = "debian"
state = "dormant"
title = { fr = "Wiki", en = "Wiki" }
description = { fr = "Un wiki.", en = "A wiki." }
category = "writing"
path = "/wiki"
units = ["wiki.service"]
port = 9002
ram = "64M"
needs = ["pads"]

[[service]]
name = "pages"
kind = "static"
title = { fr = "Pages", en = "Pages" }
description = { fr = "Des pages.", en = "Some pages." }
category = "learning"
path = "/pages"
root = "/usr/share/pages"
"#;
    tree.write(FILE, &format!("{text}{services}"));
    tree.append(OVERLAY, "\n[provides.services]\ndirectory = \"/srv/services\"\n");
    tree
}

#[test]
fn what_is_right_is_in_the_plan() {
    let plan = with_services().plan();
    let names: Vec<_> = plan
        .services
        .iter()
        .map(|service| (service.name.as_str(), service.state))
        .collect();
    let wanted = [
        ("pads", ServiceState::Enabled),
        ("wiki", ServiceState::Dormant),
        ("pages", ServiceState::Enabled),
    ];
    assert_eq!(names, wanted);
    let pads = &plan.services[0];
    assert_eq!(
        (pads.ram, pads.disk, pads.start_seconds, pads.uploads),
        (100 << 20, 20 << 20, 60, 20 << 20)
    );
    assert!(matches!(pads.place, Place::Port(9001)));
    assert!(matches!(&plan.services[2].place, Place::Root(root) if root == "/usr/share/pages"));
    assert!(plan.packages.iter().any(|package| package.name == "pads-server"));
    let state = |name: &str| {
        plan.units
            .iter()
            .find(|unit| unit.name == name)
            .map(|unit| unit.state)
    };
    assert_eq!(state("pads.service"), Some(UnitState::Enabled));
    assert_eq!(state("wiki.service"), Some(UnitState::Disabled));
}

#[test]
fn slips_are_told_with_their_place() {
    // What is replaced, by what, what is said, and the advice.
    let slips = [
        ("uploads = \"20M\"", "uploads = \"lots\"", "`lots`", ""),
        (
            "root = \"/usr/share/pages\"",
            "root = \"/usr/share/pages\"\nuploads = \"1M\"",
            "`uploads` has no meaning for a service without `port`",
            "remove it: pages take nothing",
        ),
        (
            "name = \"pads\"",
            "name = \"Pads\"",
            "`Pads` is not a valid service name",
            "lower case",
        ),
        (
            "name = \"wiki\"",
            "name = \"pads\"",
            "service `pads` is declared twice",
            "give one of them another name",
        ),
        (
            "path = \"/pads\"",
            "path = \"pads/\"",
            "`pads/` is not a path on the portal",
            "like `/pads`",
        ),
        (
            "path = \"/pads\"",
            "path = \"/a;b\"",
            "`/a;b` is not a path on the portal",
            "like `/pads`",
        ),
        (
            "path = \"/wiki\"",
            "path = \"/pads/wiki\"",
            "services `pads` (/pads) and `wiki` (/pads/wiki) want the same path",
            "the other one is at",
        ),
        (
            "category = \"learning\"",
            "category = \"learn\"",
            "unknown value `learn`",
            "values: `files`, `writing`, `video`, `learning`, `exchange`, `participation`",
        ),
        (
            "port = 9001\n",
            "",
            "where does this service answer?",
            "add `port",
        ),
        (
            "port = 9001",
            "root = \"/x\"",
            "`root` has no meaning for a service of kind `debian`",
            "give the `port`",
        ),
        (
            "root = \"/usr/share/pages\"\n",
            "",
            "which pages does this service show?",
            "add `root",
        ),
        (
            "root = \"/usr/share/pages\"",
            "root = \"usr\"",
            "`usr` must be an absolute path",
            "a directory in the image",
        ),
        ("ram = \"64M\"\n", "", "the key `ram` is missing", ""),
        ("ram = \"64M\"", "ram = \"some\"", "`some` is not a size", ""),
        (
            "needs = [\"pads\"]",
            "needs = [\"pad\"]",
            "service `wiki` names `pad`, which is not another service of this recipe",
            "did you mean `pads`?",
        ),
        (
            "root = \"/usr/share/pages\"",
            "root = \"/usr/share/pages\"\nneeds = [\"wiki\"]",
            "service `pages` runs and needs `wiki`, which is dormant",
            "make both enabled",
        ),
        (
            "root = \"/usr/share/pages\"",
            "root = \"/usr/share/pages\"\nconflicts = [\"pads\"]",
            "services `pads` and `pages` can't run side by side",
            "dormant",
        ),
        (
            "ram = \"100M\"",
            "ram = \"100G\"",
            "the services that run from the start take more memory",
            "dormant",
        ),
        (
            "ram = \"64M\"",
            "ram = \"64G\"",
            "service `wiki` takes 64G",
            "leave it out",
        ),
        ("units = [\"pads.service\"]", "units = [\"pads\"]", "`pads`", ""),
        (
            "title = { fr = \"Bloc-notes\", en = \"Pads\" }",
            "title = { fr = \"Bloc-notes\" }",
            "this text is missing in `en`",
            "add `en",
        ),
    ];
    let mut wrong = String::new();
    for (from, to, message, help) in slips {
        let tree = with_services();
        tree.edit(FILE, from, to);
        let said = tree.complaints();
        let placed = said
            .lines()
            .any(|line| line.starts_with(&format!("{FILE}:")) && line.contains(message));
        if !placed || !said.contains(help) {
            let _ = writeln!(
                wrong,
                "\nslip:   {to}\nwanted: {message}\n  help: {help}\nsaid:   {said}"
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn all_that_is_wrong_with_a_service_is_told_in_one_round() {
    let tree = with_services();
    tree.edit(FILE, "title = { fr = \"Bloc-notes\", en = \"Pads\" }\n", "");
    tree.edit(FILE, "path = \"/pads\"", "path = \"pads/\"");
    tree.edit(FILE, "category = \"learning\"", "category = \"learn\"");
    tree.edit(FILE, "needs = [\"pads\"]", "needs = [\"pad\"]");
    let said = tree.complaints();
    let line = |text: &str| tree.line(FILE, text);
    let wanted = [
        format!(
            "{FILE}:{}:1: the key `title` is missing here",
            line("name = \"pads\"") - 1
        ),
        format!(
            "{FILE}:{}:8: `pads/` is not a path on the portal",
            line("path = \"pads/\"")
        ),
        format!(
            "{FILE}:{}:10: service `wiki` names `pad`, which is not another service of this recipe",
            line("needs = [\"pad\"]")
        ),
        format!(
            "{FILE}:{}:12: unknown value `learn`",
            line("category = \"learn\"")
        ),
    ];
    let told: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("  help: "))
        .collect();
    assert_eq!(told, wanted, "{said}");
}

/// With what the overlays lack, and only that: what stands for a missing value is nobody's mistake.
#[test]
fn a_missing_value_keeps_nothing_else_from_being_told() {
    let tree = with_services();
    tree.edit(FILE, "category = \"learning\"\n", "");
    tree.edit(
        OVERLAY,
        "\n[provides.services]\ndirectory = \"/srv/services\"\n",
        "",
    );
    tree.edit(FILE, "hostname = \"box\"", "hostnam = \"box\"");
    let said = tree.complaints();
    let told: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("  help: "))
        .collect();
    assert_eq!(told.len(), 3, "{said}");
    for part in [
        "the key `category` is missing here",
        "service `pads` needs an overlay that provides `services`",
        "overlay `base` has no parameter `hostnam`",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let (recipes, report) = tree.tree().recipes();
    assert!(recipes.is_empty() && report.is_err(), "{recipes:?}");
}

#[test]
fn all_overlays_that_services_need_are_named_at_once_in_their_order() {
    let tree = with_services();
    tree.edit(
        OVERLAY,
        "\n[provides.services]\ndirectory = \"/srv/services\"\n",
        "",
    );
    tree.edit(
        FILE,
        "port = 9001",
        "port = 9001\nfirst-boot = \"steps/pads.toml\"",
    );
    tree.write("steps/pads.toml", STEP);
    tree.overlay("steps", "[provides.first-boot]\ndirectory = \"/srv/steps\"\n");
    tree.overlay("radio", "requires = [\"base\"]\n");
    tree.overlay(
        "switches",
        "requires = [\"radio\", \"steps\"]\n[provides.services]\ndirectory = \"/srv/services\"\n",
    );
    let list = "write `overlays = [\"base\", \"radio\", \"steps\", \"switches\"]`";
    let (name, step) = (
        tree.line(FILE, "name = \"pads\""),
        tree.line(FILE, "first-boot = \"steps/pads.toml\""),
    );
    assert_eq!(
        tree.complaints(),
        format!(
            "{FILE}:{name}:8: service `pads` needs the overlay `switches`\n  help: {list}\n\
             {FILE}:{step}:14: service `pads` has a step of first boot and needs the overlay `steps`\n  help: {list}"
        )
    );
    // In the wrong order, and one alone: the same list.
    for overlays in ["[\"switches\", \"base\"]", "[\"base\", \"switches\"]"] {
        tree.edit(FILE, "overlays = [\"base\"]", &format!("overlays = {overlays}"));
        let said = tree.complaints();
        assert!(
            said.contains("overlay `switches` needs `radio`, `steps` before it\n"),
            "{said}"
        );
        assert!(said.contains(list), "{said}");
        tree.edit(FILE, &format!("overlays = {overlays}"), "overlays = [\"base\"]");
    }
    tree.edit(
        FILE,
        "overlays = [\"base\"]",
        &list["write `".len()..list.len() - 1],
    );
    tree.plan();
}

#[test]
fn pages_that_nobody_brings_are_told() {
    let tree = with_services();
    tree.write("overlays/base/files/srv/pages/index.html", "<p>\n");
    tree.edit(FILE, "\"/usr/share/pages\"", "\"/srv/pages\"");
    tree.plan();
    tree.edit(FILE, "\"/srv/pages\"", "\"/srv/page\"");
    let line = tree.line(FILE, "root = \"/srv/page\"");
    assert_eq!(
        tree.complaints(),
        format!(
            "{FILE}:{line}:8: nothing in this recipe brings /srv/page, the pages of service `pages`\n  \
             help: did you mean `/srv/pages`? Else bring the pages in an overlay's `files/`, or an empty directory with its \
             `[[directory]]`"
        )
    );
    tree.edit(FILE, "\"/srv/page\"", "\"/srv/pages/index.html\"");
    let said = tree.complaints();
    assert!(
        said.contains(":8: /srv/pages/index.html is a file, not a directory"),
        "{said}"
    );
    // A step in the running system may make it.
    tree.edit(FILE, "\"/srv/pages/index.html\"", "\"/srv/page\"");
    tree.append(
        OVERLAY,
        "\n[[bake]]\nname = \"a\"\ncommand = \"mkdir /srv/page\"\n",
    );
    tree.plan();
}

/// What somebody gets wrong in a tree.
type Slip<'a> = &'a dyn Fn(&TestTree);

const STEP: &str = "schema = 1\ntitle = \"the pads' token\"\nbefore = [\"pads.service\"]\n";

/// Pads with a step of first boot.
fn with_step() -> TestTree {
    let tree = with_services();
    tree.edit(
        FILE,
        "port = 9001",
        "port = 9001\nfirst-boot = \"steps/pads.toml\"",
    );
    tree.edit(
        FILE,
        "overlays = [\"base\"]",
        "overlays = [\"base\", \"first-boot\"]",
    );
    tree.write("steps/pads.toml", STEP);
    tree.overlay(
        "first-boot",
        "[provides.first-boot]\ndirectory = \"/usr/lib/clic/first-boot.d\"\n",
    );
    tree
}

#[test]
fn a_service_brings_a_step_of_first_boot() {
    let plan = with_step().plan();
    let step = plan.services[0].first_boot.as_ref().unwrap();
    assert_eq!(step.path, "/usr/lib/clic/first-boot.d/70-pads.toml");
    let text = step.content.as_ref().unwrap().data.read().unwrap();
    assert_eq!(&*text, STEP.as_bytes());
    assert!(plan.services[1].first_boot.is_none());
}

#[test]
fn a_step_that_cannot_be_is_told_with_its_place() {
    let step = "steps/pads.toml";
    let slips: [(Slip<'_>, &[&str]); 7] = [
        (
            &|tree| tree.write(step, "schema = 1\ntitle = \"x\nbefore = []\n"),
            &["steps/pads.toml:2:", "not valid TOML"],
        ),
        (
            &|tree| tree.write(step, "schema = 1\n"),
            &["steps/pads.toml:1:", "the key `title` is missing"],
        ),
        (
            &|tree| tree.write(step, "schema = 2\ntitle = \"x\"\n"),
            &["steps/pads.toml:1:", "this clic reads schema 1"],
        ),
        (
            &|tree| std::fs::remove_file(tree.path(step)).unwrap(),
            &[FILE, "there is no file steps/pads.toml"],
        ),
        (
            &|tree| tree.edit(FILE, step, "../pads.toml"),
            &[FILE, "`../pads.toml`"],
        ),
        (
            &|tree| tree.edit(FILE, ", \"first-boot\"", ""),
            &[
                FILE,
                "service `pads` has a step of first boot and needs the overlay `first-boot`",
            ],
        ),
        (
            &|tree| {
                tree.write(
                    "overlays/first-boot/files/usr/lib/clic/first-boot.d/70-pads.toml",
                    STEP,
                );
            },
            &[
                FILE,
                "overlay `first-boot` brings /usr/lib/clic/first-boot.d/70-pads.toml already",
            ],
        ),
    ];
    for (slip, wanted) in slips {
        let tree = with_step();
        slip(&tree);
        let said = tree.complaints();
        for part in wanted {
            assert!(said.contains(part), "{part:?} in:\n{said}");
        }
    }
}

#[test]
fn paths_of_an_overlay_are_its_own() {
    let tree = with_services();
    tree.edit(FILE, "[\"base\"]", "[\"base\", \"portal\"]");
    tree.overlay("portal", "own-paths = [\"/assets\", \"/content\"]\n");
    tree.plan();
    tree.edit(FILE, "path = \"/pads\"", "path = \"/content/x\"");
    let line = tree.line(FILE, "path = \"/content/x\"");
    assert_eq!(
        tree.complaints(),
        format!("{FILE}:{line}:8: `/content` is the portal's own\n  help: give the service another path")
    );
    // Of an overlay that the recipe does not have, nothing is there.
    tree.edit(FILE, "[\"base\", \"portal\"]", "[\"base\"]");
    tree.plan();
}
