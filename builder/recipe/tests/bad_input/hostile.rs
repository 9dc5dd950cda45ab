//! What a stranger's tree asks for beyond all measure: it is told, and neither time, memory nor output grow with it.

use std::fmt::Write as _;
use std::os::unix::fs::symlink;

use clic_recipe::{Report, check};

use crate::testtree::TestTree;
use crate::{OVERLAY, RECIPE};

const HOSTNAME: &str = "overlays/base/files/etc/hostname";
/// More than people read, and less than anybody minds.
const MOST_OUTPUT: usize = 200_000;

/// What is said, which is little, however it is written.
fn told(tree: &TestTree) -> String {
    let report: Report = check(&tree.tree(), None).unwrap_err();
    let said = report.to_string();
    let json = serde_json::to_string(&report.entries()).unwrap();
    for text in [
        &said,
        &json,
        &report.render(80, true, true),
        &report.render(1000, false, true),
    ] {
        assert!(text.len() < MOST_OUTPUT, "{} bytes", text.len());
    }
    said
}

#[test]
fn a_template_has_an_end() {
    let too_much = "overlays/base/files/etc/hostname:1:";
    for template in [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% for c in range(100000) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) %}{% for b in range(100000) %}0123456789012345678901234567890123456789{% endfor %}{% endfor %}",
        "{{ 'x' * 1000000000000 }}",
        "{{ range(100000)|list|sort|join('x' * 10000) }}",
        "{% set a %}{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}{% endset %}",
        "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}",
    ] {
        let tree = TestTree::new();
        tree.write(HOSTNAME, template);
        let said = told(&tree);
        assert!(said.starts_with(too_much), "{template}\n{said}");
        assert!(
            said.contains("this template takes too much work, or becomes too large")
                || said.contains("wrong template: "),
            "{template}\n{said}"
        );
    }
    let tree = TestTree::new();
    tree.write(
        HOSTNAME,
        "{% for a in range(100000) %}0123456789012345678901234567890123456789012345{% endfor %}",
    );
    let said = told(&tree);
    assert!(
        said.starts_with(
            "overlays/base/files/etc/hostname:1:1: this template becomes larger than 4194304 bytes"
        ),
        "{said}"
    );
}

#[test]
fn an_expression_has_an_end() {
    let tree = TestTree::new();
    tree.append(
        OVERLAY,
        "[[rule]]\nparameter = \"clients\"\nmust = \"range(100000)|map('string')|join('x' * 10000)|length > clients\"\nmessage = \"m\"\n",
    );
    let said = told(&tree);
    assert!(
        said.contains("this template takes too much work, or becomes too large"),
        "{said}"
    );
}

/// All templates of a tree together, too: each overlay of a stranger may have as many as it likes.
#[test]
fn many_expensive_templates_have_an_end() {
    let tree = TestTree::new();
    let mut body = String::new();
    for number in 0..60 {
        let loops = "{% for a in range(9) %}{% for b in range(20000) %}{% endfor %}{% endfor %}";
        write!(body, "[[bake]]\nname = \"n{number}\"\ncommand = \"{loops}\"\n").unwrap();
    }
    tree.append(OVERLAY, &body);
    let said = told(&tree);
    assert_eq!(
        said,
        "the templates of this tree take too much work, and the rest was not filled in\n  help: leave out loops in loops"
    );
}

/// What is compiled by recursion would take all of the stack, and the program with it.
#[test]
fn deep_nesting_is_told() {
    let chains = [
        ("{{ 1", "+1", "}}"),
        ("{{ board", ".name", "}}"),
        ("{{ board", "[0]", "}}"),
        ("{{ 1", "|int", "}}"),
        ("{{ 1", "~1", "}}"),
        ("{{ ", "not ", "1 }}"),
        ("{{ ", "-", "1 }}"),
        ("{{ 1", " and 1", "}}"),
        ("{{ 1", " if 1 else 1", "}}"),
        ("{{ board", "()", "}}"),
        ("{{ 1", " is defined", "}}"),
        ("{{ ", "[", "}}"),
        ("{% if 0 %}", "{% elif 0 %}", "{% endif %}"),
        ("{% if 0 %}", "{% if 0 %}", "{% endif %}"),
        ("{# {{ ' #}{{ \"'}}\"", " ~1", "}}"),
    ];
    for (before, link, after) in chains {
        let tree = TestTree::new();
        tree.write(HOSTNAME, &format!("{before}{}{after}", link.repeat(80_000)));
        let said = told(&tree);
        assert!(
            said.starts_with("overlays/base/files/etc/hostname:1:"),
            "{link}: {said}"
        );
    }
    let tree = TestTree::new();
    let must = format!("1{}", "+1".repeat(80_000));
    tree.append(
        OVERLAY,
        &format!("[[rule]]\nparameter = \"clients\"\nmust = \"{must}\"\nmessage = \"m\"\n"),
    );
    assert!(told(&tree).contains("a tag has more than 1000 words"));
    // One that holds itself is printed for ever.
    let tree = TestTree::new();
    tree.write(HOSTNAME, "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}");
    assert!(told(&tree).contains("unknown parameter `namespace` in a template"));
}

#[test]
fn deep_toml_is_told() {
    for text in [
        format!("x = {}", "[".repeat(100_000)),
        format!("x = {}", "{a = ".repeat(100_000)),
        format!("x{} = 1", ".a".repeat(100_000)),
        format!("[x{}]", ".a".repeat(100_000)),
    ] {
        let tree = TestTree::new();
        tree.write(RECIPE, &format!("schema = 1\n{text}\n"));
        assert!(told(&tree).contains("not valid TOML: "), "{}", told(&tree));
    }
}

#[test]
fn patterns_have_a_size() {
    let tree = TestTree::new();
    let mut body = String::new();
    for number in 0..150 {
        write!(
            body,
            "[parameters.p{number}]\ntype = \"string\"\npattern = '\\w{{200}}'\ndescription = \"d\"\n"
        )
        .unwrap();
    }
    tree.overlay("evil", &body);
    let said = told(&tree);
    assert!(
        said.contains(
            "overlays/evil/overlay.toml:6:11: not a regular expression: Compiled regex exceeds size limit"
        ),
        "{said}"
    );
    let more = body.replace("[parameters.p", "[parameters.q");
    tree.overlay("evil", &(body + &more));
    let said = told(&tree);
    assert!(said.contains("an overlay has at most 200 parameters"), "{said}");
}

#[test]
fn a_value_has_a_size() {
    let tree = TestTree::new();
    tree.edit(RECIPE, "\"box\"", &format!("\"{}\"", "a".repeat(500_000)));
    assert!(told(&tree).contains("`hostname` can't have more than 65536 bytes"));
}

/// The report: one line with 4,000 unknown overlays, which each error repeated.
#[test]
fn errors_are_linear_in_their_number() {
    let names = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("\"no-{number}\"")).collect();
        names.join(", ")
    };
    for key in [
        "overlays = [\"base\"]",
        "boards = [\"pc\", \"pi\"]",
        "packages = [\"openssh-server\"]",
    ] {
        let (name, _) = key.split_once(" = ").unwrap();
        let tree = TestTree::new();
        tree.edit(
            RECIPE,
            key,
            &format!("{name} = [{}]", names(4000).replace("no-", "NO_")),
        );
        let said = told(&tree);
        assert!(said.contains(" not listed\n  help: fix these"), "{said}");
    }
    // A tree with many names to choose from.
    let tree = TestTree::new();
    for number in 0..300 {
        tree.overlay(&format!("overlay-of-a-long-name-{number}"), "");
    }
    tree.edit(
        RECIPE,
        "overlays = [\"base\"]",
        &format!("overlays = [{}]", names(300)),
    );
    let said = told(&tree);
    assert!(said.contains(" and 271 more"), "{said}");
    assert!(said.contains("201 more mistakes are not listed"), "{said}");
}

#[test]
fn lists_have_a_length() {
    for (count, body) in [
        (20_000, "[[source]]\nname = \"s\"\nsuite = \"x\"\n"),
        (6_000, "[[source]]\nname = \"s\"\ndirectory = \"d\"\n"),
        (9_000, "[[service]]\nname = \"s\"\n"),
        (60_000, "[x]\n"),
    ] {
        let tree = TestTree::new();
        let many: String = (0..count)
            .map(|number| {
                body.replace("\"s\"", &format!("\"s{number}\""))
                    .replace("[x]", &format!("[x{number}]"))
            })
            .collect();
        tree.append(RECIPE, &many);
        assert!(
            told(&tree).contains("more than 5000 elements are too many to be meant"),
            "{}",
            told(&tree)
        );
    }
    let tree = TestTree::new();
    let keys: String = (0..3000).fold(String::new(), |text, number| text + &format!("k{number} = 1\n"));
    tree.write(RECIPE, &format!("schema = 1\n{keys}"));
    assert!(told(&tree).contains("unknown key `k1`"));
}

#[test]
fn names_have_a_length() {
    let long = "x".repeat(900_000);
    for (file, from, to) in [
        (
            RECIPE,
            "overlays = [\"base\"]",
            format!("overlays = [\"{long}\"]"),
        ),
        (RECIPE, "title = \"Test\"", format!("{long} = \"Test\"")),
        (RECIPE, "suite = \"bookworm\"", format!("suite = \"{long}\"")),
        (
            RECIPE,
            "\"openssh-server\"",
            format!("\"{}\"", long.to_uppercase()),
        ),
        (RECIPE, "[parameters.base]", format!("[parameters.{long}]")),
        (
            RECIPE,
            "hostname = \"box\"",
            format!("hostname = \"{}\"", &long[..60_000].to_uppercase()),
        ),
        (OVERLAY, "[parameters.locale]", format!("[parameters.{long}]")),
        (OVERLAY, "\"/etc/hostname\"", format!("\"/etc/{long}\"")),
        (OVERLAY, "\"ssh.service\"", format!("\"{long}\"")),
        (OVERLAY, "{{ locale }}", format!("{{{{ {long} }}}}")),
    ] {
        let tree = TestTree::new();
        tree.edit(file, from, &to);
        assert!(told(&tree).len() < 10_000, "{from}");
    }
}

#[test]
fn a_chain_of_recipes_has_an_end() {
    let tree = TestTree::new();
    tree.write("recipes/r0.toml", "schema = 1\ntitle = \"T\"\n");
    for number in 1..3000 {
        let parent = number - 1;
        tree.write(
            &format!("recipes/r{number}.toml"),
            &format!("schema = 1\ntitle = \"T\"\nextends = \"r{parent}\"\n"),
        );
    }
    let report = tree.resolve("r2999", "pc").unwrap_err().to_string();
    assert!(
        report.contains("more than 16 recipes extend each other"),
        "{report}"
    );
    assert!(report.contains("put some of them together"), "{report}");
}

/// What would be waited for, or read for ever: a pipe, a socket, a device.
#[test]
fn only_regular_files_are_opened() {
    let files = [
        RECIPE,
        OVERLAY,
        "boards/pc.toml",
        HOSTNAME,
        "overlays/base/files/etc/motd",
    ];
    for file in files {
        let tree = TestTree::new();
        std::fs::remove_file(tree.path(file)).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(tree.path(file))
            .status()
            .unwrap();
        assert!(made.success());
        let said = tree.complaints();
        assert!(
            said.contains("is not a regular file")
                || said.contains("is neither a file nor a directory")
                || said.contains("there is no file"),
            "{file}: {said}"
        );

        let tree = TestTree::new();
        std::fs::remove_file(tree.path(file)).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(tree.path(file)).unwrap();
        assert!(!tree.complaints().is_empty(), "{file}");

        let tree = TestTree::new();
        std::fs::remove_file(tree.path(file)).unwrap();
        symlink("/dev/zero", tree.path(file)).unwrap();
        assert!(tree.complaints().contains("is a symbolic link"), "{file}");
    }
}

#[test]
fn a_huge_text_is_not_read() {
    for file in [RECIPE, OVERLAY, "boards/pc.toml", HOSTNAME] {
        let tree = TestTree::new();
        // All of it a hole: it takes no place on the disk.
        std::fs::File::create(tree.path(file))
            .unwrap()
            .set_len(1 << 36)
            .unwrap();
        assert!(told(&tree).contains("is larger than 1048576 bytes"), "{file}");
    }
}

/// Nothing that a stranger wrote steers a terminal, hides or turns round what is said.
#[test]
fn hidden_characters_are_written_out() {
    let evil = "\u{1b}[2J\u{1b}[31m\u{202e}\u{9b}1m";
    let escaped = "\\u001b[2J\\u001b[31m\u{202e}\u{9b}1m";
    for (file, from, to) in [
        (
            RECIPE,
            "overlays = [\"base\"]",
            format!("overlays = [\"{escaped}\"]"),
        ),
        (RECIPE, "title = \"Test\"", format!("title = \"{escaped}\"")),
        (RECIPE, "title = \"Test\"", "title = \"a\\nb\"".to_owned()),
        (RECIPE, "title = \"Test\"", format!("\"{escaped}\" = 1")),
        (RECIPE, "suite = \"bookworm\"", format!("suite = \"{escaped}\"")),
        // Beside a mistake, where the lines around it are shown.
        (
            RECIPE,
            "suite = \"bookworm\"",
            format!("suite = 1 # {}", &evil[9..]),
        ),
        (
            OVERLAY,
            "{{ locale }}",
            format!("{{{{ locale }} {evil}").replace('\u{1b}', "\\u001b"),
        ),
        (
            HOSTNAME,
            "{{ hostname }}",
            format!("{evil}\n{{{{ nope }}}}{evil}"),
        ),
    ] {
        let tree = TestTree::new();
        tree.edit(file, from, &to);
        let report = check(&tree.tree(), None).unwrap_err();
        let rendered = report.render(80, false, true);
        let coloured = report.render(80, true, true);
        assert!(
            coloured.contains('\u{1b}') && !coloured.contains("\u{1b}[2J"),
            "{coloured:?}"
        );
        let json = serde_json::to_string(&report.entries()).unwrap();
        for text in [rendered, report.to_string(), json] {
            let bad = text.chars().find(|c| clic_host::plain::hidden(*c) && *c != '\n');
            assert!(bad.is_none(), "{bad:?} in {text:?}");
        }
    }
    let tree = TestTree::new();
    tree.write(&format!("overlays/base/files/etc/{evil}\n"), "x");
    std::fs::remove_file(tree.path(&format!("overlays/base/files/etc/{evil}\n"))).unwrap();
    symlink("x", tree.path(&format!("overlays/base/files/etc/{evil}\n"))).unwrap();
    let said = tree.complaints();
    assert!(
        said.contains("\\u{1b}[2J\\u{1b}[31m\\u{202e}\\u{9b}1m\\n: is a symbolic link"),
        "{said}"
    );
}

/// A mistake far behind on a long line is shown with what is around it.
#[test]
fn long_lines_are_cut_around_the_mistake() {
    let tree = TestTree::new();
    let blank = " ".repeat(3000);
    tree.edit(
        RECIPE,
        "overlays = [\"base\"]",
        &format!("overlays = [\"base\",{blank}\"bas\",{blank}]"),
    );
    let report = check(&tree.tree(), None).unwrap_err();
    let text = report.render(400, false, true);
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.iter().position(|line| line.contains("\"bas\"")).unwrap();
    assert!(
        lines[shown].contains('…') && lines[shown].chars().count() < 260,
        "{text}"
    );
    let name = lines[shown].chars().position(|c| c == '"');
    let mark = lines[shown + 1].chars().position(|c| "─┬".contains(c));
    assert_eq!(name, mark, "{text}");
    assert!(text.contains("recipes/minimal.toml:5:3020"), "{text}");
}
