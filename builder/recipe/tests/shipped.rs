//! The recipes, boards, overlays and schemas that are shipped.

use std::path::{Path, PathBuf};

use clic_recipe::plan::Capability;
use clic_recipe::{ResolveOptions, Tree, check, overlays_page, resolve, resolve_without_keys, schemas};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_whole_tree_is_valid() {
    let tree = Tree::open(&root()).unwrap();
    let checked = check(&tree, None).unwrap_or_else(|report| panic!("\n{}", report.render(110, false, true)));
    assert!(
        checked
            .plans
            .contains(&("minimal".to_owned(), "x86-pc".to_owned()))
    );
    assert!(
        checked
            .plans
            .contains(&("minimal".to_owned(), "raspberry-pi".to_owned()))
    );
    // The only thing that the tree leaves to people.
    let keys: Vec<&str> = checked.keys.iter().map(|key| key.message.as_str()).collect();
    assert!(
        keys.iter()
            .all(|key| *key == "the key of source `yunohost` is not in this tree"),
        "{keys:?}"
    );
}

/// The builder's own words for what it looks for, each in one overlay.
#[test]
fn each_capability_is_provided_once() {
    let overlays = std::fs::read_dir(root().join("overlays")).unwrap();
    let texts: Vec<String> = overlays
        .map(|overlay| std::fs::read_to_string(overlay.unwrap().path().join("overlay.toml")).unwrap())
        .collect();
    for capability in Capability::ALL {
        let header = format!("[provides.{}]\n", capability.key());
        let providers = texts.iter().filter(|text| text.contains(&header)).count();
        assert_eq!(providers, 1, "{header}");
    }
}

/// What the device makes of its services at its first start does not come out of a bake.
#[test]
fn what_is_made_of_services_is_of_one_run() {
    let tree = Tree::open(&root()).unwrap();
    let options = ResolveOptions::default();
    let (plan, _) = resolve_without_keys(&tree, "clic", "x86-pc", &options).unwrap();
    for path in ["/etc/nginx/clic.d/services", "/var/lib/clic/services"] {
        assert!(plan.of_one_run.iter().any(|own| own == path), "{path}");
    }
}

/// `YunoHost` 12 is of Debian 12.
#[test]
fn yunohost_is_for_bookworm() {
    let tree = Tree::open(&root()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let recipe = directory.path().join("next.toml");
    let text = "schema = 1\ntitle = \"Next\"\nextends = \"clic\"\nsuite = \"trixie\"\n";
    std::fs::write(&recipe, text).unwrap();
    // A board that could have it.
    let board = directory.path().join("pi.toml");
    let text = std::fs::read_to_string(root().join("boards/raspberry-pi.toml")).unwrap();
    let text = text.replacen("suites = [", "suites = [\"trixie\", ", 1);
    std::fs::write(&board, text).unwrap();
    let (recipe, board) = (recipe.to_str().unwrap(), board.to_str().unwrap());
    let said = resolve(&tree, recipe, board, &ResolveOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        said.contains(":4:9: overlay `yunohost` is not for suite `trixie`\n  help: it is for `bookworm`;"),
        "{said}"
    );
}

/// `CLIC_UPDATE_SCHEMAS=1 cargo test -p clic-recipe` writes them anew.
#[test]
fn schemas_are_fresh() {
    for (name, text) in schemas() {
        is_fresh(&format!("schemas/{name}"), &text);
    }
}

#[test]
fn the_reference_of_overlays_is_fresh() {
    let (overlays, problems) = Tree::open(&root()).unwrap().overlays();
    problems.unwrap();
    assert!(overlays.len() > 5);
    is_fresh("docs/reference/overlays.md", &overlays_page(&overlays));
}

/// A file that is generated has the text that it would get now.
#[track_caller]
fn is_fresh(name: &str, text: &str) {
    let path = root().join(name);
    if std::env::var_os("CLIC_UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == text,
        "{name} is stale; refresh it: CLIC_UPDATE_SCHEMAS=1 cargo test -p clic-recipe"
    );
}

/// Editors find the schema by the first line.
#[test]
fn every_file_names_its_schema() {
    let mut seen = 0;
    for (directory, schema) in [
        ("recipes", "../schemas/recipe"),
        ("boards", "../schemas/board"),
        ("overlays", "../../schemas/overlay"),
        ("content-bundles", "../../schemas/bundle"),
    ] {
        for entry in std::fs::read_dir(root().join(directory)).unwrap() {
            let mut path = entry.unwrap().path();
            // Locks are written by a program.
            if path.extension().is_some_and(|extension| extension == "lock") {
                continue;
            }
            if path.is_dir() {
                path.push(if directory == "overlays" {
                    "overlay.toml"
                } else {
                    "bundle.toml"
                });
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let wanted = format!("#:schema {schema}.schema.json");
            assert_eq!(
                text.lines().next(),
                Some(wanted.as_str()),
                "first line of {}",
                path.display()
            );
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} files");
}

/// What hotspots can't be: refused before anything is built, with the line.
#[test]
fn a_hotspot_that_can_not_be() {
    let tree = Tree::open(&root()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let recipe = directory.path().join("wifi.toml");
    let said = |lines: &str| {
        let text = format!(
            "schema = 1\ntitle = \"Wifi\"\nextends = \"minimal\"\noverlays = [\"base\", \"hotspot\"]\n[parameters.hotspot]\n{lines}\n"
        );
        std::fs::write(&recipe, text).unwrap();
        match resolve(
            &tree,
            recipe.to_str().unwrap(),
            "x86-pc",
            &ResolveOptions::default(),
        ) {
            Ok(_) => String::new(),
            Err(report) => report.to_string(),
        }
    };
    // A letter away from Denmark, whose radio rules are others.
    let britain = said("country = \"UK\"");
    assert!(
        britain.contains("did you mean `GB`?") && !britain.contains("`DK`"),
        "{britain}"
    );
    for (name, code) in [
        ("France", "FR"),
        ("allemagne", "DE"),
        ("Germany", "DE"),
        ("états-unis", "US"),
    ] {
        let said = said(&format!("country = \"{name}\""));
        assert!(said.contains(&format!("did you mean `{code}`?")), "{said}");
    }
    let unknown = said("country = \"Atlantis\"");
    assert!(unknown.contains("choices, from `AD` to `ZW`"), "{unknown}");
    assert!(unknown.len() < 300, "{unknown}");
    for right in [
        "country = \"FR\"",
        "country = \"FR\"\nssid = \"\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\"",
        "country = \"FR\"\nssid = \"12345678901234567890123456789012\"\nssid_suffix = false",
        "country = \"FR\"\nchannel = 13\nband = \"2.4\"\npassphrase = \"eight ch\"",
        "country = \"US\"\nchannel = 149\nband = \"5\"\naddress = \"192.168.7.254/24\"",
    ] {
        assert_eq!(said(right), "", "{right}");
    }
    for (wrong, message) in [
        (
            "ssid = \"x\"",
            "parameter `country` of overlay `hotspot` must be set",
        ),
        ("country = \"fr\"", ":6:11: `country` can't be \"fr\""),
        (
            "country = \"FR\"\nssid = \"1234567890123456789012345678\"",
            ":7:8: the name of the wifi is 28 bytes long, and its suffix 5; 32 is the most",
        ),
        (
            "country = \"FR\"\nssid_suffix = false\nssid = \"\u{20ac}\u{20ac}\u{20ac}\u{20ac}\u{20ac}\u{20ac}\u{20ac}\u{20ac}\u{20ac}\u{20ac}\u{20ac}\"",
            ":8:8: the name of the wifi is 33 bytes long; 32 is the most",
        ),
        (
            "country = \"FR\"\npassphrase = \"sevench\"",
            ":7:14: a passphrase has 8 to 63 characters, and this has 7",
        ),
        (
            "country = \"US\"\nchannel = 13",
            ":7:11: channel 13 is not allowed in US",
        ),
        (
            "country = \"MA\"\nchannel = 149",
            ":7:11: channel 149 is not allowed in MA",
        ),
        (
            "country = \"BD\"\nchannel = 36",
            ":7:11: channel 36 is not allowed in BD",
        ),
        (
            "country = \"FR\"\nchannel = 52",
            ":7:11: channel 52 does not exist, or must wait for a radar",
        ),
        (
            "country = \"FR\"\nband = \"5\"\nchannel = 6",
            ":8:11: channel 6 is not in the 5 GHz band",
        ),
        (
            "country = \"FR\"\ndomain = \"box.local\"",
            ":7:10: names under .local",
        ),
        (
            "country = \"FR\"\naddress = \"10.42.0.1/8\"",
            ":7:11: `address` can't be",
        ),
        (
            "country = \"FR\"\naddress = \"10.042.0.1/16\"",
            ":7:11: `address` can't be",
        ),
        (
            "country = \"FR\"\naddress = \"8.8.8.8/24\"",
            ":7:11: `address` can't be",
        ),
        (
            "country = \"FR\"\nmax_clients = 0",
            ":7:15: `max_clients` is from 1 to 2007",
        ),
    ] {
        let said = said(wrong);
        assert!(said.contains(message), "{wrong}: {said:?}");
    }
}
