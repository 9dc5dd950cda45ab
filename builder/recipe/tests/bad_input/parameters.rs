//! Parameters: their values, their declarations, and rules between them.

use clic_recipe::check;

use crate::testtree::TestTree;
use crate::{OVERLAY, RECIPE, told};

/// Whoever sets one gets what is said of it: in files, in what packages are told, or in what the builder makes.
#[test]
fn a_parameter_that_nothing_reads_is_told() {
    let tree = TestTree::new();
    tree.edit(OVERLAY, "{{ clients }}", "many");
    assert_eq!(
        tree.complaints(),
        "overlays/base/overlay.toml:19:13: nothing reads the parameter `clients`\n  help: write `{{ clients }}` where it has its \
         effect (a file with `template = true`, a preseed, a bake, a check), or remove it"
    );
    let report = tree.resolve("minimal", "pc").unwrap_err().to_string();
    assert!(report.contains(":19:13: nothing reads"), "{report}");

    // A mistake that may be the reason is told alone.
    tree.edit(
        "overlays/base/files/etc/hostname",
        "{{ hostname }}",
        "{{ hostnam }}",
    );
    let said = tree.complaints();
    assert!(
        said.contains("unknown parameter `hostnam`") && !said.contains("nothing reads"),
        "{said}"
    );

    // What the builder reads itself, in the overlay that provides it.
    for (provides, said) in [
        ("", ":4:13: nothing reads the parameter `domain`"),
        ("[provides.hotspot]\n", ""),
    ] {
        let tree = TestTree::new();
        tree.overlay(
            "wifi",
            &format!(
                "[parameters.domain]\ntype = \"string\"\ndefault = \"x\"\ndescription = \"D\"\n{provides}"
            ),
        );
        let found = tree.said();
        assert!(
            found.contains(said) && found.is_empty() == said.is_empty(),
            "{found}"
        );
    }
}

#[test]
fn effects() {
    told(&[
        (
            OVERLAY,
            "[[unit]]",
            "[[effect]]\nfile = \"/etc/timezone\"\n\n[[unit]]",
            "overlays/base/overlay.toml:31:8: an effect has exactly one of `line`, `target`; this has none",
            "the file has this line",
        ),
        (
            OVERLAY,
            "[[unit]]",
            "[[effect]]\nfile = \"/etc/x\"\nline = \"x\"\ntarget = \"/x\"\n\n[[unit]]",
            "overlays/base/overlay.toml:31:8: an effect has exactly one of `line`, `target`; this has both",
            "",
        ),
        (
            OVERLAY,
            "[[unit]]",
            "[[effect]]\nfile = \"/etc/x\"\ntarget = \"{{ locale }}\"\n\n[[unit]]",
            "overlays/base/overlay.toml:32:10: ",
            "",
        ),
        (
            OVERLAY,
            "[[unit]]",
            "[[effect]]\nfile = \"etc/x\"\nline = \"x\"\n\n[[unit]]",
            "overlays/base/overlay.toml:31:8: ",
            "",
        ),
    ]);
}

#[test]
fn parameters() {
    told(&[
        (
            RECIPE,
            "hostname = \"box\"",
            "hostname = 7",
            "recipes/minimal.toml:12:12: `hostname` must be text in quotes, but this is the number 7",
            "write `\"7\"`",
        ),
        (
            RECIPE,
            "hostname = \"box\"",
            "hostname = \"My Box\"",
            "recipes/minimal.toml:12:12: `hostname` can't be \"My Box\"",
            "it must match `[a-z0-9-]+`",
        ),
        (
            RECIPE,
            "hostname = \"box\"",
            "hostname = \"box\\n\"",
            "recipes/minimal.toml:12:12: `hostname` can't be \"box\\n\"",
            "",
        ),
        (
            RECIPE,
            "hostname = \"box\"",
            "locale = \"fr_FR\"",
            "recipes/minimal.toml:12:10: `locale` can't be \"fr_FR\"",
            "choices: `fr_FR.UTF-8`, `en_GB.UTF-8`",
        ),
        (
            RECIPE,
            "hostname = \"box\"",
            "clients = 51",
            "recipes/minimal.toml:12:11: `clients` is from 1 to 50, and 51 is not",
            "",
        ),
        (
            RECIPE,
            "hostname = \"box\"",
            "clients = \"5\"",
            "recipes/minimal.toml:12:11: `clients` must be a whole number, but this is the text \"5\"",
            "without quotes",
        ),
        (
            RECIPE,
            "hostname = \"box\"",
            "clients = 1.5",
            "recipes/minimal.toml:12:11: `clients` must be a whole number, but this is the number 1.5",
            "",
        ),
        (
            OVERLAY,
            "default = 8\n",
            "",
            "recipes/minimal.toml:11:13: parameter `clients` of overlay `base` must be set",
            "add `clients = ...` to `[parameters.base]`: How many people",
        ),
        (
            OVERLAY,
            "default = 8",
            "default = 0",
            "overlays/base/overlay.toml:21:11: `clients` is from 1 to 50, and 0 is not",
            "",
        ),
        (
            OVERLAY,
            "max = 50",
            "max = 0",
            "overlays/base/overlay.toml:23:7: `max` is less than `min`, 1",
            "",
        ),
        (
            OVERLAY,
            "pattern = \"[a-z0-9-]+\"",
            "pattern = \"[a-z\"",
            "overlays/base/overlay.toml:10:11: not a regular expression: unclosed character class",
            "",
        ),
        (
            OVERLAY,
            "pattern = \"[a-z0-9-]+\"",
            "min = 3",
            "overlays/base/overlay.toml:10:7: `min` belongs to integers, and `hostname` is text in quotes",
            "",
        ),
        (
            OVERLAY,
            "[parameters.clients]",
            "[parameters.max-clients]",
            "overlays/base/overlay.toml:19:13: `max-clients` can't be a parameter's name",
            "",
        ),
        (
            OVERLAY,
            "[parameters.clients]",
            "[parameters.board]",
            "overlays/base/overlay.toml:19:13: `board` already means something in templates",
            "",
        ),
        (
            OVERLAY,
            "description = \"Language\"",
            "description = \" \"",
            "overlays/base/overlay.toml:17:15: parameter `locale` has no description",
            "",
        ),
    ]);
}

/// Values at the very ends of what a parameter takes, and one beyond each.
#[test]
fn limits_belong_to_the_range() {
    let with = |declared: &str, value: i64| {
        let tree = TestTree::new();
        tree.edit(OVERLAY, "default = 8\nmin = 1\nmax = 50\n", declared);
        tree.edit(
            RECIPE,
            "hostname = \"box\"",
            &format!("hostname = \"box\"\nclients = {value}"),
        );
        tree.said()
    };
    for (declared, value, said) in [
        (
            "default = 8\nmin = 1\nmax = 50\n",
            0,
            "from 1 to 50, and 0 is not",
        ),
        ("default = 8\nmin = 1\nmax = 50\n", 1, ""),
        ("default = 8\nmin = 1\nmax = 50\n", 50, ""),
        (
            "default = 8\nmin = 1\nmax = 50\n",
            51,
            "from 1 to 50, and 51 is not",
        ),
        // One value is a range, too.
        ("default = 7\nmin = 7\nmax = 7\n", 7, ""),
        ("default = 7\nmin = 7\nmax = 7\n", 8, "from 7 to 7, and 8 is not"),
        ("min = 8\nmax = 7\n", 7, "`max` is less than `min`, 8"),
        ("default = 8\nmin = 1\n", i64::MAX, ""),
        ("default = 8\nmin = 1\n", 0, "1 or more, and 0 is not"),
        ("default = 8\nmax = 50\n", i64::MIN, ""),
        ("default = 8\nmax = 50\n", 51, "50 or less, and 51 is not"),
        ("default = 1\nmin = 1\nmax = 50\n", 8, ""),
        ("default = 50\nmin = 1\nmax = 50\n", 8, ""),
    ] {
        let found = with(declared, value);
        assert!(
            found.contains(said) && found.is_empty() == said.is_empty(),
            "{declared}{value}: {found}"
        );
    }
}

/// What the type of one parameter can't say.
#[test]
fn rules_between_parameters() {
    const RULE: &str = "[[rule]]\nparameter = \"hostname\"\nmust = \"hostname | bytes <= (3 if clients > 9 else 4)\"\n\
        message = \"{{ hostname }} is {{ hostname | bytes }} bytes long\"\nhelp = \"shorten it, or have 9 clients\"\n\n[[file]]";
    let tree = TestTree::new();
    tree.edit(OVERLAY, "[[file]]", RULE);
    tree.edit(OVERLAY, "[a-z0-9-]+", ".*");
    check(&tree.tree(), None).unwrap();

    // Two characters, five bytes.
    tree.edit(RECIPE, "hostname = \"box\"", "hostname = \"\u{e9}\u{20ac}\"");
    let said = tree.complaints();
    assert!(
        said.contains("recipes/minimal.toml:12:12: \u{e9}\u{20ac} is 5 bytes long")
            && said.contains("shorten it, or have 9 clients"),
        "{said}"
    );
    tree.edit(RECIPE, "hostname = \"\u{e9}\u{20ac}\"", "hostname = \"abcd\"");
    check(&tree.tree(), None).unwrap();
    tree.edit(RECIPE, "hostname = \"abcd\"", "hostname = \"abcd\"\nclients = 10");
    let said = tree.complaints();
    assert!(
        said.contains("recipes/minimal.toml:12:12: abcd is 4 bytes long"),
        "{said}"
    );

    // A default that breaks a rule is told where the rule is.
    tree.edit(RECIPE, "hostname = \"abcd\"\nclients = 10", "clients = 10");
    let said = tree.complaints();
    assert!(
        said.contains("overlays/base/overlay.toml:28:8: clic is 4 bytes long"),
        "{said}"
    );
}

#[test]
fn rules_that_are_wrong() {
    let rule = |parameter: &str, must: &str| {
        format!("[[rule]]\nparameter = \"{parameter}\"\nmust = \"{must}\"\nmessage = \"no\"\n\n[[file]]")
    };
    for (parameter, must, message) in [
        (
            "hostnam",
            "true",
            "overlays/base/overlay.toml:27:13: a rule about `hostnam`, but there is no such parameter",
        ),
        (
            "hostname",
            "client > 3",
            "overlays/base/overlay.toml:28:8: unknown parameter `client` in a template",
        ),
        (
            "hostname",
            "clients >",
            "overlays/base/overlay.toml:28:8: wrong template",
        ),
        (
            "hostname",
            "clients | bytes > 3",
            "overlays/base/overlay.toml:28:8: wrong template",
        ),
    ] {
        let tree = TestTree::new();
        tree.edit(OVERLAY, "[[file]]", &rule(parameter, must));
        let said = tree.complaints();
        assert!(said.contains(message), "{must}: {said}");
    }
}
