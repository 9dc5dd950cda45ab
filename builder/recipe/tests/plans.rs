//! What a valid tree becomes.

mod testtree;

use std::os::unix::fs::PermissionsExt as _;

use clic_recipe::plan::{
    Asked, Boot, Machine, Must, PartitionSize, Plan, Preseed, Probe, Table, TreeFile, TreeFileKind,
    UnitState, Value,
};
use clic_recipe::{Tree, check};
use testtree::TestTree;

fn file<'p>(plan: &'p Plan, path: &str) -> &'p TreeFile {
    plan.files
        .iter()
        .find(|file| file.path == path)
        .unwrap_or_else(|| panic!("no {path} in {:?}", plan.files))
}

fn text(plan: &Plan, path: &str) -> String {
    let TreeFileKind::File(content) = &file(plan, path).kind else {
        panic!("{path} is not a file")
    };
    let bytes = content.data.read().unwrap();
    assert_eq!(content.size, bytes.len() as u64);
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn everything_comes_together() {
    let tree = TestTree::new();
    let plan = tree.plan();
    assert_eq!(
        (plan.recipe.name.as_str(), plan.board.title.as_str()),
        ("minimal", "PC")
    );
    assert_eq!((plan.arch.debian(), plan.suite.as_str()), ("amd64", "bookworm"));
    assert_eq!(plan.components, ["main"]);
    let packages: Vec<&str> = plan
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(packages, ["linux-image-amd64", "locales", "openssh-server"]);
    let board_only: Vec<bool> = plan.packages.iter().map(|package| package.board_only).collect();
    assert_eq!(board_only, [true, false, false]);
    assert_eq!(plan.packages[2].origin.to_string(), "recipes/minimal.toml:6:13");
    assert_eq!(
        plan.packages[1].origin.to_string(),
        "overlays/base/overlay.toml:4:13"
    );
    let preseeds: Vec<String> = plan.preseeds.iter().map(Preseed::to_string).collect();
    assert_eq!(preseeds, ["locales locales/default select fr_FR.UTF-8"]);
    assert_eq!(text(&plan, "/etc/hostname"), "box\n");
    assert_eq!(text(&plan, "/etc/motd"), "hello\n");
    assert_eq!(plan.units[0].state, UnitState::Enabled);
    let Probe::Port { port: 22, contains } = &plan.checks[0].probe else {
        panic!("{:?}", plan.checks)
    };
    assert_eq!(
        (contains.as_deref(), plan.checks[0].timeout),
        (Some("SSH-2.0"), 30)
    );
    assert_eq!(
        plan.overlays[0].parameters["hostname"],
        Value::String("box".into())
    );
    assert_eq!(plan.overlays[0].parameters["clients"], Value::Integer(8));
    assert_eq!(
        (plan.disk.table, plan.boot, plan.emulate.machine),
        (Table::Gpt, Boot::Grub, Machine::Pc)
    );
    assert_eq!(
        plan.disk.partitions[2].size,
        PartitionSize::Fit { free: 512 << 20 }
    );
    assert_eq!((plan.emulate.memory, plan.emulate.timeout), (1024, 600));
    assert_eq!((plan.image_size, plan.free_inodes), (Some(4 << 30), None));

    let pi = tree.resolve("minimal", "pi").unwrap();
    assert_eq!((pi.arch.debian(), pi.emulate.timeout), ("arm64", 900));
    assert_eq!(pi.disk.partitions[0].first_sector, Some(8192));
}

/// Who asks: the overlay's line, and the recipe's where it sets what is in it.
#[test]
fn what_is_asked_of_packages_knows_who_asks() {
    let tree = TestTree::new();
    tree.edit(
        "overlays/base/overlay.toml",
        "preseeds = [",
        "preseeds = [\n    \"xx x/n note\",\n    ",
    );
    tree.append(
        "overlays/base/overlay.toml",
        r#"
[[effect]]
file = "/etc/name"
line = "{{ hostname }}.{{ locale }}"

[[effect]]
file = "/etc/localtime"
target = "/usr/share/{{ locale }}"
"#,
    );
    tree.append("recipes/minimal.toml", "locale = \"en_GB.UTF-8\"\n");
    let plan = tree.plan();
    let [locale, note] = &plan.preseeds[..] else {
        panic!("{:?}", plan.preseeds)
    };
    let places = |asked: &Asked| {
        let set = asked.set.iter().map(|(name, at)| format!("{name} {at}"));
        let set: Vec<String> = set.collect();
        format!("{}, {}", asked.at, set.join(", "))
    };
    assert_eq!(
        (
            locale.question.as_str(),
            locale.kind.as_str(),
            locale.value.as_str()
        ),
        ("locales/default", "select", "en_GB.UTF-8")
    );
    assert_eq!(
        places(&locale.asked),
        "overlays/base/overlay.toml:7:5, locale recipes/minimal.toml:13:10"
    );
    assert_eq!(
        (note.value.as_str(), note.to_string().as_str()),
        ("", "xx x/n note")
    );
    let [name, zone] = &plan.effects[..] else {
        panic!("{:?}", plan.effects)
    };
    assert_eq!(name.must, Must::Line("box.en_GB.UTF-8".into()));
    assert!(
        places(&name.asked)
            .ends_with(", hostname recipes/minimal.toml:12:12, locale recipes/minimal.toml:13:10"),
        "{}",
        places(&name.asked)
    );
    assert_eq!(zone.must, Must::Target("/usr/share/en_GB.UTF-8".into()));
    let json = serde_json::to_string(&plan).unwrap();
    assert!(
        json.contains(r#""effects":[{"file":"/etc/name","must":{"line":"box.en_GB.UTF-8"}}"#),
        "{json}"
    );
}

/// An overlay that asks only on some boards, or in some suites.
#[test]
fn an_answer_or_effect_that_becomes_empty_is_left_out() {
    let tree = TestTree::new();
    let only = |text: &str| format!("{{{{ '{text}' if board.arch == 'amd64' else '' }}}}");
    tree.edit(
        "overlays/base/overlay.toml",
        "preseeds = [",
        &format!("preseeds = [\"{}\", ", only("xx x/a boolean true")),
    );
    let effect = format!("[[effect]]\nfile = \"/etc/x\"\nline = \"{}\"\n", only("y"));
    tree.append("overlays/base/overlay.toml", &effect);
    let (pc, pi) = (tree.plan(), tree.resolve("minimal", "pi").unwrap());
    assert_eq!((pc.preseeds.len(), pc.effects.len()), (2, 1));
    assert_eq!((pi.preseeds.len(), pi.effects.len()), (1, 0));
}

#[test]
fn what_is_of_one_run_comes_from_all_overlays() {
    let tree = TestTree::new();
    tree.edit(
        "recipes/minimal.toml",
        "[\"base\"]",
        "[\"base\", \"guard\", \"wiki\"]",
    );
    tree.overlay("guard", "of-one-run = [\"/var/lib/bans\", \"/etc/issue\"]\n");
    tree.overlay("wiki", "of-one-run = [\"/var/lib/bans\"]\n");
    assert_eq!(tree.plan().of_one_run, ["/etc/issue", "/var/lib/bans"]);
}

#[test]
fn a_check_is_long_if_its_overlay_says_so() {
    let tree = TestTree::new();
    tree.edit("recipes/minimal.toml", "[\"base\"]", "[\"base\", \"hundred\"]");
    let check = "[[check]]\nname = \"a hundred come\"\ncommand = \"true\"\n";
    tree.overlay("hundred", &format!("{check}long = true\n"));
    let long: Vec<bool> = tree.plan().checks.iter().map(|check| check.long).collect();
    assert_eq!(long.last(), Some(&true));
    assert_eq!(long.iter().filter(|long| **long).count(), 1, "{long:?}");
}

/// So that an error about the image can point at the tree.
#[test]
fn files_know_where_they_were_written() {
    let plan = TestTree::new().plan();
    let place = |path: &str| plan.places.files()[path].to_string();
    assert_eq!(place("/etc/hostname"), "overlays/base/overlay.toml:27:8");
    assert_eq!(place("/etc/motd"), "overlays/base/files/etc/motd");
}

#[test]
fn a_package_that_an_overlay_asks_for_too_is_not_the_boards_alone() {
    let tree = TestTree::new();
    tree.edit(
        "overlays/base/overlay.toml",
        "[\"locales\"]",
        "[\"linux-image-amd64\"]",
    );
    let plan = tree.plan();
    assert_eq!(plan.packages[0].name, "linux-image-amd64");
    assert!(!plan.packages[0].board_only);
    assert_eq!(plan.packages[0].origin.file.name.to_str(), Some("boards/pc.toml"));
}

#[test]
fn extending_adds_to_lists_and_replaces_the_rest() {
    let tree = TestTree::new();
    tree.overlay("portal", "requires = [\"base\"]\n");
    tree.write(
        "recipes/child.toml",
        r#"schema = 1
title = "Child"
extends = "minimal"
boards = ["pc"]
overlays = ["portal"]
packages = ["nginx", "openssh-server"]
[image]
free = "1G"
inodes = 50000
[parameters.base]
locale = "en_GB.UTF-8"
"#,
    );
    let plan = tree.resolve("child", "pi").unwrap();
    assert_eq!(plan.recipe.title, "Child");
    let packages: Vec<&str> = plan
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(packages, ["locales", "nginx", "openssh-server"]);
    let overlays: Vec<&str> = plan
        .overlays
        .iter()
        .map(|overlay| overlay.name.as_str())
        .collect();
    assert_eq!(overlays, ["base", "portal"]);
    let base = &plan.overlays[0].parameters;
    assert_eq!(base["hostname"], Value::String("box".into()), "the parent's");
    assert_eq!(base["locale"], Value::String("en_GB.UTF-8".into()), "the child's");
    assert_eq!(plan.disk.partitions[1].size, PartitionSize::Fit { free: 1 << 30 });
    assert_eq!((plan.image_size, plan.free_inodes), (Some(4 << 30), Some(50_000)));
}

#[test]
fn modes_come_from_the_executable_bit_alone() {
    let tree = TestTree::new();
    for (name, mode) in [
        ("a", 0o600),
        ("b", 0o664),
        ("c", 0o700),
        ("d", 0o775),
        ("e", 0o4711),
    ] {
        let path = format!("overlays/base/files/usr/lib/x/{name}");
        tree.write(&path, "x");
        std::fs::set_permissions(tree.path(&path), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    tree.append(
        "overlays/base/overlay.toml",
        r#"
[[file]]
path = "/usr/lib/x/e"
mode = "2750"
owner = "root"
group = "ssh-keys"

[[file]]
path = "/etc/secret/renamed"
source = "templates/it"
template = true

[[directory]]
path = "/etc/secret"
mode = "0700"

[[link]]
path = "/etc/link"
target = "../usr/lib/x/a"
"#,
    );
    tree.write("overlays/base/templates/it", "{% if clients > 5 %}\n{{ overlay }} {{ recipe.name }} {{ board.arch }} {{ suite }} <&>\n{% endif %}\nend");
    let plan = tree.plan();
    let mode = |name: &str| file(&plan, &format!("/usr/lib/x/{name}")).mode;
    assert_eq!(
        [mode("a"), mode("b"), mode("c"), mode("d"), mode("e")],
        [0o644, 0o644, 0o755, 0o755, 0o2750]
    );
    assert_eq!(file(&plan, "/usr/lib/x/e").group, "ssh-keys");
    assert_eq!(
        text(&plan, "/etc/secret/renamed"),
        "base minimal amd64 bookworm <&>\nend"
    );
    assert_eq!(file(&plan, "/etc/secret").mode, 0o700);
    assert!(
        matches!(&file(&plan, "/etc/link").kind, TreeFileKind::Symlink(target) if target == "../usr/lib/x/a")
    );
    let paths: Vec<&str> = plan.files.iter().map(|file| file.path.as_str()).collect();
    assert!(paths.is_sorted(), "{paths:?}");
}

#[test]
fn equal_trees_have_equal_plans_wherever_they_are() {
    let (one, two) = (TestTree::new(), TestTree::new());
    std::fs::set_permissions(
        two.path("overlays/base/files/etc/motd"),
        std::fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    let json = |tree: &TestTree| serde_json::to_string(&tree.plan()).unwrap();
    assert_eq!(json(&one), json(&two));
    assert_eq!(one.plan().fingerprint(), two.plan().fingerprint());
    assert!(
        !json(&one).contains(one.root().to_str().unwrap()),
        "no path of the host"
    );
    // Asked for by path, from wherever.
    let by_path = one.resolve(
        one.path("recipes/minimal.toml").to_str().unwrap(),
        one.path("boards/pc.toml").to_str().unwrap(),
    );
    assert_eq!(by_path.unwrap().fingerprint(), one.plan().fingerprint());

    two.write("overlays/base/files/etc/motd", "hellO\n");
    assert_ne!(one.plan().fingerprint(), two.plan().fingerprint());
}

#[test]
fn files_of_elsewhere_can_be_built_too() {
    let tree = TestTree::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let recipe = elsewhere.path().join("mine.toml");
    std::fs::write(&recipe, "schema = 1\ntitle = \"Mine\"\nextends = \"minimal\"\n").unwrap();
    let board = elsewhere.path().join("my-pc.toml");
    std::fs::write(&board, testtree::PC).unwrap();
    let plan = tree
        .resolve(recipe.to_str().unwrap(), board.to_str().unwrap())
        .unwrap();
    assert_eq!(
        (plan.recipe.name.as_str(), plan.board.name.as_str()),
        ("mine", "my-pc")
    );
    assert!(
        !serde_json::to_string(&plan)
            .unwrap()
            .contains(elsewhere.path().to_str().unwrap())
    );
}

/// What file managers and editors leave behind does not stand in the way, and gets into no image.
#[test]
fn what_others_leave_in_a_tree_is_left_out() {
    let tree = TestTree::new();
    let left = [
        "hostname~",
        ".DS_Store",
        "cron.d/.x.swp",
        "empty/.gitkeep",
        "__MACOSX/x",
        "#hostname#",
    ];
    for name in left {
        tree.write(&format!("overlays/base/files/etc/{name}"), "x");
    }
    tree.write("overlays/base/files/etc/x~y", "x");
    tree.write("recipes/minimal (copie).toml", "schema = 1\n");
    tree.write("boards/pc~.toml", "schema = 1\n");
    let plan = tree.plan();
    let paths: Vec<&str> = plan.files.iter().map(|file| file.path.as_str()).collect();
    assert!(paths.contains(&"/etc/x~y"), "{paths:?}");
    for name in left {
        assert!(
            !paths.iter().any(|path| *path == format!("/etc/{name}")),
            "{name}: {paths:?}"
        );
    }
    let there = tree.tree();
    let (recipes, problems) = there.recipes();
    assert_eq!(recipes[0].name, "minimal");
    let said = problems.unwrap_err().to_string();
    assert!(said.contains("minimal (copie)"), "{said}");
    let (boards, problems) = there.boards();
    assert_eq!(boards.len(), 2);
    let said = problems.unwrap_err().to_string();
    assert!(said.contains("pc~"), "{said}");
}

#[test]
fn lists_and_check() {
    let tree = TestTree::new();
    tree.write("recipes/common.toml", "schema = 1\ntitle = \"For others\"\n");
    let there = tree.tree();
    let (recipes, problems) = there.recipes();
    problems.unwrap();
    assert_eq!((recipes[0].name.as_str(), recipes[0].boards.len()), ("common", 0));
    assert_eq!(
        (recipes[1].name.as_str(), recipes[1].title.as_str()),
        ("minimal", "Test")
    );
    let (boards, problems) = there.boards();
    problems.unwrap();
    assert_eq!(
        boards.iter().map(|board| board.name.as_str()).collect::<Vec<_>>(),
        ["pc", "pi"]
    );
    assert_eq!(there.overlays().0[0].parameters.len(), 3);

    let checked = check(&there, None).unwrap();
    assert_eq!(
        checked.plans,
        [("minimal".into(), "pc".into()), ("minimal".into(), "pi".into())]
    );
    assert_eq!(checked.files.len(), 5);
    let checked = check(&there, Some("minimal")).unwrap();
    assert_eq!(checked.files.len(), 4, "{:?}", checked.files);
    let said = check(&there, Some("common")).unwrap_err().to_string();
    assert!(
        said.starts_with("recipes/common.toml:1:1: recipe `common` is for no board"),
        "{said}"
    );

    let inside = tree.path("overlays/base/files/etc");
    assert_eq!(Tree::find(&inside).unwrap().root(), tree.root());
}
