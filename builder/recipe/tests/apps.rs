//! Services that are apps of `YunoHost`: what can be wrong with one is told with its place, and what is right is in the plan.

mod testtree;

use std::fmt::Write as _;

use clic_host::spoil::{spoiled, try_reader};
use clic_recipe::manifest_of;
use clic_recipe::plan::{Answer, AppSource};
use testtree::TestTree;

const FILE: &str = "recipes/minimal.toml";
const MANIFEST: &str = "apps/notes/manifest.toml";

const SERVICES: &str = r#"
[[service]]
name = "notes"
kind = "yunohost-app"
title = { fr = "Notes", en = "Notes" }
description = { fr = "Prendre des notes.", en = "Take notes." }
category = "writing"
path = "/notes"
directory = "apps/notes"
arguments = { mail = "a@b.example", tidy = true, most = 7 }
units = ["notes.service"]

[[service]]
name = "site"
kind = "yunohost-app"
state = "dormant"
title = { fr = "Site", en = "Site" }
description = { fr = "Un site.", en = "A site." }
category = "exchange"
path = "/"
domain = "site.clic.internal"
url = "https://example.org/my_site_ynh/archive/0123.tar.gz"
sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
size = 4000
app = "my_site"
groups = ["all_users"]
network = true
ram = "10M"
disk = "5M"
"#;

const NOTES: &str = r#"packaging_format = 2
id = "my_notes"
name = "Notes"
version = "1.0~ynh1"

[integration]
yunohost = ">= 12.0.9"
architectures = ["amd64"]
disk = "20M"
ram.build = "100M"
ram.runtime = "50M"

[install.domain]
type = "domain"
[install.path]
type = "path"
default = "/x"
[install.init_main_permission]
type = "group"
default = "admins"
[install.mail]
type = "email"
[install.tidy]
type = "boolean"
[install.most]
type = "number"
default = 3
[install.password]
type = "password"

[resources.apt]
packages = "sqlite3, php8.2-fpm"
"#;

fn with_apps() -> TestTree {
    let tree = TestTree::new();
    tree.overlay(
        "yunohost",
        "own-paths = [\"/yunohost\"]\n\
         [provides.yunohost]\npackage = \"yunohost\"\nready = \"/usr/lib/clic/yunohost/all-up\"\n\
         [parameters.domain]\ntype = \"string\"\ndefault = \"clic.internal\"\ndescription = \"D\"\n",
    );
    tree.overlay(
        "services",
        "[provides.services]\ndirectory = \"/usr/share/clic/services.d\"\n",
    );
    tree.edit(
        FILE,
        "overlays = [\"base\"]",
        "overlays = [\"base\", \"yunohost\", \"services\"]",
    );
    tree.edit(FILE, "boards = [\"pc\", \"pi\"]", "boards = [\"pc\"]");
    tree.append(FILE, SERVICES);
    tree.write(MANIFEST, NOTES);
    tree.write("apps/notes/scripts/install", "#!/bin/bash\n");
    tree.write("apps/notes/.git/config", "x\n");
    tree
}

#[test]
fn what_is_right_is_in_the_plan() {
    let plan = with_apps().plan();
    let [notes, site] = &plan.services[..] else {
        panic!("{:?}", plan.services);
    };
    // What its manifest says, and the packages that are installed and locked with all others.
    assert_eq!((notes.ram, notes.disk), (50 << 20, 20 << 20));
    assert_eq!(notes.packages, ["php8.2-fpm", "sqlite3"]);
    assert!(plan.packages.iter().any(|package| package.name == "sqlite3"));
    // Its units are there when it is installed, and not before.
    assert!(!plan.units.iter().any(|unit| unit.name == "notes.service"));
    let app = notes.app().unwrap();
    assert_eq!(
        (app.id.as_str(), app.domain.as_str(), app.main_domain),
        ("my_notes", "clic.internal", true)
    );
    let AppSource::Directory { files, .. } = &app.source else {
        panic!("{:?}", app.source);
    };
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["manifest.toml", "scripts/install"]);
    let answers = app.answers(&notes.path, app.manifest.as_ref().unwrap());
    let wanted = [
        ("domain", Answer::Text("clic.internal")),
        ("init_main_permission", Answer::Text("visitors")),
        ("mail", Answer::Text("a@b.example")),
        ("most", Answer::Text("7")),
        ("password", Answer::Random),
        ("path", Answer::Text("/notes")),
        ("tidy", Answer::Text("1")),
    ];
    assert_eq!(answers, wanted);

    let app = site.app().unwrap();
    assert_eq!(
        (site.path.as_str(), site.ram, app.id.as_str()),
        ("", 10 << 20, "my_site")
    );
    assert!(!app.main_domain && app.manifest.is_none());
    assert_eq!(app.groups, ["all_users"]);
}

#[test]
fn an_app_and_the_portal_can_have_one_path() {
    let tree = with_apps();
    let pages = "root = \"/usr/share/pages\"\nram = \"1M\"";
    let text = SERVICES.split("\n[[service]]").nth(1).unwrap();
    let text = text
        .replace("yunohost-app", "static")
        .replace("\"notes\"", "\"pages\"");
    let text = text
        .lines()
        .filter(|line| {
            !["directory", "arguments", "units"]
                .iter()
                .any(|key| line.starts_with(key))
        })
        .collect::<Vec<_>>()
        .join("\n");
    tree.append(FILE, &format!("\n[[service]]{text}\n{pages}\n"));
    assert_eq!(tree.plan().services.len(), 3);
}

/// What is replaced in a file, by what, what is said, and the advice.
const SLIPS: &[(&str, &str, &str, &str, &str)] = &[
    (
        FILE,
        "directory = \"apps/notes\"\n",
        "",
        "where is this app?",
        "add `directory",
    ),
    (
        FILE,
        "\"apps/notes\"",
        "\"../notes\"",
        "`../notes` can't be a path here",
        "inside of the tree",
    ),
    (
        FILE,
        "\"apps/notes\"",
        "\"apps/none\"",
        "there is no directory apps/none",
        "relative to the tree",
    ),
    (
        FILE,
        "\"apps/notes\"",
        "\"overlays\"",
        "overlays/manifest.toml: there is no such file",
        "packaging format 2",
    ),
    (
        FILE,
        "size = 4000\n",
        "size = 4000\ndirectory = \"apps/notes\"\n",
        "an app comes from one place",
        "leave out",
    ),
    (
        FILE,
        "units = [\"notes.service\"]",
        "size = 3",
        "`size` has no meaning for an app in a directory",
        "remove it",
    ),
    (
        FILE,
        "\"https://example.org",
        "\"git@example.org",
        "is not the address of an archive",
        "https://",
    ),
    (
        FILE,
        "sha256 = \"0123456789abcdef",
        "sha256 = \"X",
        "this is not a SHA-256",
        "64 hexadecimal",
    ),
    (
        FILE,
        "size = 4000\n",
        "",
        "this archive does not say its `size`",
        "in bytes",
    ),
    (
        FILE,
        "size = 4000",
        "size = 99999999999",
        "no app's archive has this size",
        "from 1 to",
    ),
    (
        FILE,
        "disk = \"5M\"\n",
        "",
        "an app in an archive needs its `disk` here",
        "add `disk",
    ),
    (
        FILE,
        "app = \"my_site\"",
        "app = \"my/site\"",
        "`my/site` can't be an app's id",
        "as its manifest says",
    ),
    (
        FILE,
        "app = \"my_site\"",
        "app = \"my_notes\"",
        "services `notes` and `site` are both app `my_notes`",
        "the other one",
    ),
    (
        FILE,
        "\"site.clic.internal\"",
        "\"site\"",
        "`site` is not a domain",
        "pads.clic.internal",
    ),
    (
        FILE,
        "groups = [\"all_users\"]",
        "groups = [\"all users\"]",
        "`all users` can't be a group",
        "lower case",
    ),
    (
        FILE,
        "path = \"/notes\"",
        "path = \"/yunohost/x\"",
        "`/yunohost` is YunoHost's own",
        "another path",
    ),
    (
        FILE,
        "domain = \"site.clic.internal\"\n",
        "",
        "services `notes` (clic.internal/notes) and `site` (clic.internal/) want the same path",
        "the other one is at",
    ),
    (
        FILE,
        "units = [\"notes.service\"]",
        "port = 80",
        "`port` has no meaning",
        "YunoHost leads",
    ),
    (
        FILE,
        "units = [\"notes.service\"]",
        "install-seconds = 0",
        "0 seconds is not a sensible time",
        "from 1 to",
    ),
    (
        FILE,
        "mail = \"a@b.example\", ",
        "",
        "app `my_notes` asks `mail`, which has no answer here",
        "add `arguments.mail",
    ),
    (
        FILE,
        "most = 7",
        "mots = 7",
        "app `my_notes` does not ask `mots`",
        "did you mean `most`?",
    ),
    (
        FILE,
        "most = 7",
        "path = \"/\"",
        "`path` is a key of the service itself",
        "beside `arguments`",
    ),
    (
        FILE,
        "most = 7",
        "most = [\"a\"]",
        "`most` can't be answered with this",
        "true, false",
    ),
    (
        FILE,
        "most = 7",
        "password = \"secret\"",
        "`password` is a password, which must not be in an image",
        "nobody knows",
    ),
    (
        FILE,
        ", \"services\"]",
        "]",
        "needs the overlay `services`",
        "\"services\"]`",
    ),
    (
        FILE,
        "\"yunohost\", ",
        "",
        "needs the overlay `yunohost`",
        "\"yunohost\"]`",
    ),
    (
        MANIFEST,
        "[\"amd64\"]",
        "[\"armhf\"]",
        "app `my_notes` is not for amd64, which a pc is",
        "it is for `armhf`",
    ),
    (
        MANIFEST,
        "ram.runtime = \"50M\"",
        "ram.runtime = \"50G\"",
        "take more memory than a pc has: 50G of 1G",
        "dormant",
    ),
    (
        MANIFEST,
        "ram.build = \"100M\"",
        "ram.build = \"99G\"",
        "installing app `my_notes` takes 99G",
        "leave it out",
    ),
    (
        MANIFEST,
        "disk = \"20M\"",
        "disk = \"a lot\"",
        "`a lot` is not a size",
        "50M",
    ),
    (
        MANIFEST,
        "[install.path]\n",
        "[install.other]\n",
        "app `my_notes` takes a whole domain",
        "`path = \"/\"`",
    ),
    (
        MANIFEST,
        "id = \"my_notes\"",
        "id = \"my notes\"",
        "`my notes` can't be an app's id",
        "lower case",
    ),
];

#[test]
fn slips_are_told_with_their_place() {
    let mut wrong = String::new();
    for (file, from, to, message, help) in SLIPS {
        let tree = with_apps();
        tree.edit(file, from, to);
        let said = tree.complaints();
        let placed = said
            .lines()
            .any(|line| line.contains(".toml:") && line.contains(message));
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
fn keys_of_apps_are_for_apps() {
    for line in [
        "directory = \"apps/notes\"",
        "url = \"https://example.org/x.tar.gz\"",
        "domain = \"a.b\"",
        "arguments = { a = 1 }",
        "groups = []",
        "network = true",
        "install-seconds = 7",
    ] {
        let tree = TestTree::new();
        let text = format!(
            "\n[[service]]\nname = \"x\"\nkind = \"static\"\ntitle = {{ fr = \"X\", en = \"X\" }}\n\
             description = {{ fr = \"X\", en = \"X\" }}\ncategory = \"files\"\npath = \"/x\"\nroot = \"/x\"\nram = \"1M\"\n{line}\n"
        );
        tree.append(FILE, &text);
        let key = line.split(' ').next().unwrap();
        let said = tree.complaints();
        assert!(
            said.contains(&format!("`{key}` has no meaning for a service of kind `static`")),
            "{said}"
        );
    }
}

#[test]
fn an_app_without_a_script_that_installs_it_is_none() {
    let tree = with_apps();
    std::fs::remove_file(tree.path("apps/notes/scripts/install")).unwrap();
    let said = tree.complaints();
    assert!(said.contains("apps/notes: has no scripts/install"), "{said}");
}

#[test]
fn what_is_in_an_archive_has_to_be_what_the_recipe_says() {
    let plan = with_apps().plan();
    let site = &plan.services[1];
    let manifest = NOTES
        .replace("my_notes", "my_site")
        .replace("[install.mail]\ntype = \"email\"\n", "");
    let manifest = manifest
        .replace("50M", "10M")
        .replace("20M", "5M")
        .replace("[install.path]", "[install.p]");
    assert_eq!(manifest_of(&plan, site, &manifest).unwrap().id, "my_site");
    for (from, to, wanted) in [
        (
            "my_site",
            "your_site",
            "the app of service `site` is `your_site`, not `my_site`\n  help: add `app = \"your_site\"`",
        ),
        (
            "\"10M\"",
            "\"11M\"",
            "app `my_site` takes 11M of ram, more than its `ram`\n  help: write `ram = \"11M\"`",
        ),
        (
            "disk = \"5M\"",
            "disk = \"6M\"",
            "app `my_site` takes 6M of disk, more than its `disk`",
        ),
        (
            "[\"amd64\"]",
            "[\"arm64\", \"i386\"]",
            "app `my_site` is not for amd64",
        ),
        (
            "[install.tidy]",
            "[install.extra]\ntype = \"string\"\n[install.tidy]",
            "asks `extra`, which has no answer here",
        ),
        (
            "packaging_format = 2",
            "packaging_format = 1",
            "manifest.toml of service site:1:20: packaging format 1 is not known",
        ),
    ] {
        let said = manifest_of(&plan, site, &manifest.replace(from, to))
            .unwrap_err()
            .to_string();
        assert!(said.contains(wanted), "wanted: {wanted}\nsaid: {said}");
    }
}

#[test]
fn spoiled_manifests_do_not_panic() {
    let plan = with_apps().plan();
    let words = [
        "[",
        "]",
        "\"",
        "\n",
        "= ",
        "-1",
        "99999999999999999999",
        "\u{1b}[2J",
        "\u{202e}",
        "[install.x]",
        ">= ",
    ];
    try_reader("manifests of apps", 1000, |random| {
        let text = spoiled(NOTES.as_bytes(), &words, random);
        let text = String::from_utf8_lossy(&text);
        if let Err(report) = manifest_of(&plan, random.of_these(&plan.services), &text) {
            let said = report.render(100, false, true);
            assert!(said.len() < 100_000, "{said}");
            assert!(
                !said.chars().any(|c| clic_host::plain::hidden(c) && c != '\n'),
                "{said}"
            );
        }
    });
}
