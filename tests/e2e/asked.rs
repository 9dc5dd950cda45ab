//! What a recipe asks and packages do not do: real debconf and a package that asks, in a tree of the host's own programs ([`World`]).

use clic_recipe::plan::Preseed;
use clic_recipe::{ResolveOptions, Tree, resolve};
use clic_rootfs::asked;
use clic_tree::FileTree;

use crate::support::{copy_tree, edit};
use crate::world::World;

const TEMPLATES: &str = "Template: asks/zone\nType: select\nChoices: Amsterdam, Paris\nDescription: Where?\n\n\
    Template: asks/name\nType: string\nDescription: Who?\n\n\
    Template: asks/parts\nType: multiselect\nChoices: one, two, three\nDescription: Which?\n\n\
    Template: asks/secret\nType: password\nDescription: The password?\n";
const CONFIG: &str = "#!/bin/sh\nset -e\n. /usr/share/debconf/confmodule\n\
    for question in zone name parts secret; do db_input high asks/$question || :; done\ndb_go\n";
/// A script that knows better, as some of Debian's do, and one that forgets a password.
const POSTINST: &str = "#!/bin/sh\nset -e\n. /usr/share/debconf/confmodule\n\
    db_set asks/name debian\ndb_set asks/secret ''\ndb_stop\n";

#[test]
fn an_answer_that_debconf_does_not_keep_is_told_with_its_place() {
    let world = World::new();
    let tree = copy_tree(&world.at(""));
    let lines = [
        "asks asks/zone select {{ hostname }}",
        "asks asks/name string mine",
        "asks asks/parts multiselect three, one",
        "asks asks/secret password secret",
        "asks asks/zones select Paris",
    ];
    let listed = lines.map(|line| format!("    \"{line}\",\n")).concat();
    let overlay = tree.join("overlays/base/overlay.toml");
    edit(&overlay, "preseeds = [\n", &format!("preseeds = [\n{listed}"));
    let recipe = tree.join("recipes/minimal.toml");
    let text = std::fs::read_to_string(&recipe).unwrap() + "\n[parameters.base]\nhostname = \"pariss\"\n";
    std::fs::write(&recipe, &text).unwrap();
    let opened = Tree::open(&tree).unwrap();
    let plan = resolve(&opened, "minimal", "x86-pc", &ResolveOptions::default()).unwrap();
    let ours: Vec<Preseed> = plan
        .preseeds
        .into_iter()
        .filter(|preseed| preseed.package == "asks")
        .collect();
    assert_eq!(ours.len(), lines.len());

    let files = [
        ("templates", TEMPLATES),
        ("config", CONFIG),
        ("postinst", POSTINST),
    ];
    let deb = world.package_of("asks", &files);
    let answers: Vec<String> = ours.iter().map(Preseed::to_string).collect();
    let installed = world.install_answering("asks", &deb, &answers);
    assert_eq!(installed.failed, None, "{installed:?}");
    let tree = FileTree::read(&world.at("work/changes.tar")).unwrap();
    let said: Vec<String> = asked::problems(&tree, &ours, &[])
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();

    let shown = std::fs::read_to_string(&overlay).unwrap();
    let line = |text: &str| shown.lines().position(|line| line.contains(text)).unwrap() + 1;
    let set = text
        .lines()
        .position(|line| line.starts_with("hostname"))
        .unwrap()
        + 1;
    let place = |text: &str| format!("overlays/base/overlay.toml:{}:5", line(text));
    assert_eq!(
        said,
        [
            format!(
                "{}: `asks/name` is answered `mine`, and its package has made `debian` of it\n  help: a script of the package \
                 replaces it: ask for what it takes, or change the file that it makes",
                place("asks/name")
            ),
            format!(
                "{}: `asks/zone` is answered `pariss`, and its package has made `Amsterdam` of it\n  help: there is no choice \
                 `pariss`: did you mean `Paris`?; `hostname` is set at recipes/minimal.toml:{set}:12",
                place("asks/zone ")
            ),
            format!(
                "{}: no package of the image asks `asks/zones`, so that this answer has no effect\n  help: did you mean \
                 `asks/zone`?",
                place("asks/zones")
            ),
        ]
    );
}
