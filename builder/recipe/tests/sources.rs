//! `[[source]]`: what a recipe can say about where packages come from.

mod testtree;

use clic_recipe::plan::{SourcePlace, TreeFileKind};
use clic_recipe::{Plan, ResolveOptions, check, resolve_without_keys};
use testtree::TestTree;

const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n";
const RECIPE: &str = "recipes/minimal.toml";

const THEIRS: &str = r#"
[[source]]
name = "theirs"
url = "https://packages.example/debian/"
suite = "stable"
components = ["main", "extra"]
key = "keys/them.asc"
fingerprint = "ace2 b9cc88c422f7cc7c1d7b573340ab4157ee2f"
"#;

fn tree() -> TestTree {
    let tree = TestTree::new();
    tree.write("keys/them.asc", KEY);
    tree.write("debs/ours_1_all.deb", "!<arch>\n");
    tree.write("debs/README", "not a package");
    tree
}

fn text(plan: &Plan, path: &str) -> Option<String> {
    let file = plan.files.iter().find(|file| file.path == path)?;
    let TreeFileKind::File(content) = &file.kind else {
        panic!("{file:?}")
    };
    assert_eq!((file.mode, file.from.as_str()), (0o644, "clic"));
    Some(String::from_utf8(content.data.read().unwrap().to_vec()).unwrap())
}

#[test]
fn a_source_of_each_kind_and_what_the_device_gets() {
    let tree = tree();
    tree.append(RECIPE, THEIRS);
    tree.append(
        RECIPE,
        "[[source]]\nname = \"backports\"\nsuite = \"bookworm-backports\"\npackages = [\"nginx\", \"curl\"]\n\
         [[source]]\nname = \"ours\"\ndirectory = \"debs\"\npriority = 900\n",
    );
    let plan = tree.plan();
    let names: Vec<&str> = plan.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["theirs", "backports", "ours"]);
    let SourcePlace::Repository { url, fingerprint, .. } = &plan.sources[0].place else {
        panic!("{:?}", plan.sources)
    };
    assert_eq!(
        (url.as_str(), fingerprint.as_deref()),
        (
            "https://packages.example/debian",
            Some("ACE2B9CC88C422F7CC7C1D7B573340AB4157EE2F")
        )
    );
    let SourcePlace::Suite { components, .. } = &plan.sources[1].place else {
        panic!("{:?}", plan.sources)
    };
    assert_eq!(*components, ["main"], "the board's");
    let SourcePlace::Directory { files, .. } = &plan.sources[2].place else {
        panic!("{:?}", plan.sources)
    };
    assert_eq!(
        (files.len(), files[0].name.as_str(), files[0].size),
        (1, "ours_1_all.deb", 8)
    );
    assert_eq!(
        text(&plan, "/etc/apt/sources.list.d/theirs.sources").unwrap(),
        "Types: deb\nURIs: https://packages.example/debian\nSuites: stable\nComponents: main extra\n\
         Signed-By: /etc/apt/keyrings/theirs.asc\n"
    );
    assert_eq!(text(&plan, "/etc/apt/keyrings/theirs.asc").unwrap(), KEY);
    assert_eq!(
        text(&plan, "/etc/apt/preferences.d/backports").unwrap(),
        "Package: curl nginx\nPin: release n=bookworm-backports\nPin-Priority: 990\n\n\
         Package: *\nPin: release n=bookworm-backports\nPin-Priority: 100\n\n"
    );
    // A directory of the build host is none of the device's business.
    assert_eq!(text(&plan, "/etc/apt/preferences.d/ours"), None);
    let json = serde_json::to_string(&plan).unwrap();
    assert!(
        !json.contains(tree.root().to_str().unwrap()),
        "no path of the build host: {json}"
    );
    // Another content of a package is another plan.
    tree.write("debs/ours_1_all.deb", "!<arch>\nx");
    assert_ne!(tree.plan().fingerprint(), plan.fingerprint());
}

#[test]
fn sources_are_inherited_and_replaced_by_name() {
    let tree = tree();
    tree.append(RECIPE, THEIRS);
    tree.write(
        "recipes/child.toml",
        "schema = 1\ntitle = \"Child\"\nextends = \"minimal\"\n\
         [[source]]\nname = \"backports\"\nsuite = \"bookworm-backports\"\n\
         [[source]]\nname = \"theirs\"\ndirectory = \"debs\"\n",
    );
    let plan = tree.resolve("child", "pc").unwrap();
    let names: Vec<&str> = plan.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["theirs", "backports"]);
    assert!(matches!(plan.sources[0].place, SourcePlace::Directory { .. }));
    assert_eq!(text(&plan, "/etc/apt/sources.list.d/theirs.sources"), None);
}

#[test]
fn slips_are_told_with_their_place() {
    // The first line of the source is line 13 of the recipe.
    let cases = [
        (
            "name = \"theirs\"",
            "name = \"Theirs\"",
            "15:8: `Theirs` can't be a name",
            "",
        ),
        (
            "name = \"theirs\"",
            "name = \"debian\"",
            "15:8: `debian` is the name of another source",
            "another name",
        ),
        (
            "url = \"https:",
            "url = \"ftp:",
            "16:7: `ftp://packages.example/debian/` is not the address of a repository",
            "https://",
        ),
        (
            "//packages",
            "//me:secret@packages",
            "16:7: this address has a login in it",
            "auth.conf",
        ),
        (
            "//packages.example",
            "//",
            "16:7: `https:///debian/` names no host",
            "",
        ),
        (
            "example/debian",
            "example/deb ian",
            "16:7: `https://packages.example/deb ian/` has a character",
            "",
        ),
        (
            "suite = \"stable\"\n",
            "",
            "15:8: source `theirs` needs a `suite`",
            "manual",
        ),
        (
            "suite = \"stable\"",
            "suite = \"../x\"",
            "17:9: `../x` can't be a suite",
            "",
        ),
        (
            "components = [\"main\", \"extra\"]\n",
            "",
            "15:8: source `theirs` needs a `components`",
            "main",
        ),
        (
            "[\"main\", \"extra\"]",
            "[\"ma in\"]",
            "18:15: `ma in` can't be a component",
            "",
        ),
        (
            "key = \"keys/them.asc\"\n",
            "",
            "15:8: source `theirs` needs a `key`",
            "public key",
        ),
        (
            "keys/them.asc",
            "../them.asc",
            "19:7: `../them.asc` can't be a path here",
            "",
        ),
        (
            "keys/them.asc",
            "keys/none.asc",
            "19:7: key file `keys/none.asc` is not there",
            "gpg --export",
        ),
        ("keys/them.asc", "keys", "19:7: key file `keys` is not a file", ""),
        (
            "keys/them.asc",
            "debs/README",
            "19:7: key file `debs/README` is not an OpenPGP key",
            "",
        ),
        (
            "keys/them.asc",
            "keys/secret.asc",
            "19:7: key file `keys/secret.asc` holds a PRIVATE key",
            "",
        ),
        (
            "keys/them.asc",
            "keys/secret.gpg",
            "19:7: key file `keys/secret.gpg` holds a PRIVATE key",
            "",
        ),
        (
            "keys/them.asc",
            "keys/out.asc",
            "19:7: key file `keys/out.asc` is not opened: keys/out.asc is a symbolic link",
            "",
        ),
        (
            "fingerprint = \"ace2 ",
            "# \"",
            "15:8: source `theirs` needs a `fingerprint`",
            "gpg --show-keys",
        ),
        (
            "ace2 b9cc",
            "",
            "20:15: this is not the whole fingerprint",
            "can be forged",
        ),
        (
            "key = \"keys/them.asc\"",
            "key-url = \"file:///them.asc\"",
            "19:11: `file:///them.asc` is not the address of a key",
            "https://",
        ),
        (
            "key = \"keys/them.asc\"",
            "key-url = \"https://me:secret@packages.example/them.asc\"",
            "19:11: this address has a login in it",
            "auth.conf",
        ),
        (
            "suite = \"stable\"",
            "suite = \"stable\"\ndirectory = \"debs\"",
            "18:13: a source has either",
            "two",
        ),
        (
            "suite = \"stable\"",
            "suite = \"stable\"\npriority = 1001",
            "18:12: a priority of 1001 makes no sense",
            "1000",
        ),
        (
            "suite = \"stable\"",
            "suite = \"stable\"\npackages = [\"A\"]",
            "18:13: `A` can't be a Debian package",
            "",
        ),
        (
            "suite = \"stable\"",
            "suit = \"stable\"",
            "17:1: unknown key `suit`",
            "did you mean `suite`",
        ),
        (
            "url = \"https://packages.example/debian/\"\n",
            "",
            "18:7: suites of the Debian mirror are signed with",
            "leave",
        ),
        (
            "url = \"https://packages.example/debian/\"",
            "directory = \"debs\"",
            "17:9: a directory of packages has no suite",
            "",
        ),
    ];
    for (from, to, message, help) in cases {
        let tree = tree();
        tree.append(RECIPE, THEIRS);
        tree.write(
            "keys/secret.asc",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n",
        );
        // A secret key packet: 0x95 is tag 5 in the old format.
        std::fs::write(tree.path("keys/secret.gpg"), b"\x95\x01\x02").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", tree.path("keys/out.asc")).unwrap();
        tree.edit(RECIPE, from, to);
        let said = tree.complaints();
        assert!(
            said.contains(&format!("{RECIPE}:{message}")) && said.contains(help),
            "{to}\nwanted {message}, {help}\n{said}"
        );
        assert!(!said.contains("secret@"), "{said}");
    }
}

/// What is said of a tree after a change.
type Case<'a> = (&'a str, &'a dyn Fn(&TestTree));

#[test]
fn directories_are_looked_at_too() {
    let cases: [Case<'_>; 4] = [
        ("15:13: directory `debs` has no .deb files", &|tree| {
            std::fs::remove_file(tree.path("debs/ours_1_all.deb")).unwrap();
        }),
        (
            "15:13: directory `debs` has `evil.deb`, which is not a regular file",
            &|tree| {
                std::os::unix::fs::symlink("/etc/passwd", tree.path("debs/evil.deb")).unwrap();
            },
        ),
        (
            "15:13: directory `debs` has a file with a strange name: \"a b.deb\"",
            &|tree| {
                tree.write("debs/a b.deb", "");
            },
        ),
        ("15:13: directory `debs` is not there", &|tree| {
            std::fs::remove_dir_all(tree.path("debs")).unwrap();
        }),
    ];
    for (message, change) in cases {
        let tree = tree();
        tree.append(RECIPE, "[[source]]\nname = \"ours\"\ndirectory = \"debs\"\n");
        change(&tree);
        let said = tree.complaints();
        assert!(said.contains(&format!("{RECIPE}:{message}")), "{message}\n{said}");
    }
}

#[test]
fn sources_that_contradict_each_other_or_debian() {
    let tree = tree();
    tree.append(RECIPE, THEIRS);
    tree.append(RECIPE, THEIRS);
    let said = tree.complaints();
    assert!(
        said.contains(
            "source `theirs` is declared twice\n  help: the other one is at recipes/minimal.toml:15:8"
        ),
        "{said}"
    );

    let tree = self::tree();
    tree.append(RECIPE, THEIRS);
    tree.append(RECIPE, &THEIRS.replace("\"theirs\"", "\"others\"\npriority = 10"));
    let said = tree.complaints();
    assert!(
        said.contains("apt can't tell the packages of sources `theirs` and `others` apart"),
        "{said}"
    );

    for suite in ["bookworm", "bookworm-security"] {
        let tree = self::tree();
        tree.append(
            RECIPE,
            &format!("[[source]]\nname = \"x\"\nsuite = \"{suite}\"\n"),
        );
        let said = tree.complaints();
        assert!(
            said.contains(&format!("`{suite}` is always used\n  help: remove this source")),
            "{said}"
        );
    }

    let tree = self::tree();
    let more = "[[source]]\nname = \"x\"\nsuite = \"bookworm\"\ncomponents = [\"contrib\", \"main\"]\n";
    tree.append(RECIPE, more);
    let said = tree.complaints();
    let help = "help: remove this source, and write in the recipe: `components = [\"main\", \"contrib\"]`";
    assert!(said.contains(help), "{said}");

    let tree = self::tree();
    tree.append(RECIPE, "[[source]]\nname = \"x\"\n");
    assert!(
        tree.complaints().contains("source `x` does not say where it is"),
        "{}",
        tree.complaints()
    );
}

#[test]
fn a_recipe_adds_components_to_those_of_the_board() {
    let tree = tree();
    tree.edit(RECIPE, "packages = ", "components = [\"contrib\"]\npackages = ");
    tree.append(
        RECIPE,
        "[[source]]\nname = \"backports\"\nsuite = \"bookworm-backports\"\n",
    );
    let plan = tree.plan();
    assert_eq!(plan.components, ["main", "contrib"]);
    let SourcePlace::Suite { components, .. } = &plan.sources[0].place else {
        panic!("{:?}", plan.sources)
    };
    assert_eq!(*components, ["main", "contrib"]);
    // A child adds to its parent's.
    tree.edit(
        "boards/pc.toml",
        "[\"main\"]",
        "[\"main\", \"non-free-firmware\"]",
    );
    let child =
        "schema = 1\ntitle = \"C\"\nextends = \"minimal\"\ncomponents = [\"non-free\", \"contrib\"]\n";
    tree.write("recipes/child.toml", child);
    let opened = clic_recipe::Tree::open(&tree.path("")).unwrap();
    let plan = clic_recipe::resolve(&opened, "child", "pc", &ResolveOptions::default()).unwrap();
    assert_eq!(
        plan.components,
        ["main", "contrib", "non-free", "non-free-firmware"]
    );
    tree.edit(RECIPE, "contrib", "contribs");
    let said = tree.complaints();
    assert!(
        said.contains("unknown component `contribs`") && said.contains("did you mean `contrib`?"),
        "{said}"
    );
}

/// A source whose key somebody has to confirm. The line of `key-url` is line 19 of the recipe.
const OPEN: &str = r#"
[[source]]
name = "theirs"
url = "https://packages.example/debian"
suite = "stable"
components = ["main"]
key-url = "https://packages.example/key.asc"
"#;

#[test]
fn a_key_that_is_not_there_yet_is_told_to_who_needs_it() {
    let tree = tree();
    tree.append(RECIPE, OPEN);
    let told = "recipes/minimal.toml:19:11: the key of source `theirs` is not in this tree";
    let help = |board: &str| {
        format!(
            "\n  help: `clic lock minimal --board {board} --trust-key` fetches it, and shows its fingerprint to be confirmed once"
        )
    };
    let said = tree.resolve("minimal", "pi").unwrap_err().to_string();
    assert_eq!(said, format!("{told}{}", help("pi")));

    // A recipe that waits for it is not wrong.
    let checked = check(&tree.tree(), None).unwrap_or_else(|report| panic!("\n{report}"));
    assert_eq!(checked.plans.len(), 2, "{checked:?}");
    let [key] = checked.keys.as_slice() else {
        panic!("one for all boards: {checked:?}")
    };
    assert_eq!(
        (key.line, key.message.as_str()),
        (Some(19), &told[RECIPE.len() + 8..])
    );

    let without = || resolve_without_keys(&tree.tree(), "minimal", "pc", &ResolveOptions::default());
    let (plan, absent) = without().unwrap();
    assert!(plan.sources.is_empty());
    let [absent] = absent.as_slice() else {
        panic!("{absent:?}")
    };
    assert_eq!(
        (absent.source.as_str(), absent.url.as_str(), absent.path.as_str()),
        ("theirs", "https://packages.example/key.asc", "keys/theirs.asc")
    );
    assert_eq!(absent.fingerprint, None);

    // Once it is there, it is a source like any other, but for who knows its fingerprint.
    tree.write("keys/theirs.asc", KEY);
    let plan = tree.plan();
    let (key, path) = plan.sources[0].open_key().unwrap();
    assert_eq!((key.size, path), (KEY.len() as u64, "keys/theirs.asc"));
    assert_eq!(text(&plan, "/etc/apt/keyrings/theirs.asc").unwrap(), KEY);
    assert!(without().unwrap().1.is_empty());
    let said = check(&tree.tree(), Some("minimal")).unwrap();
    assert_eq!(said.keys, []);
}

#[test]
fn a_key_with_an_address_can_have_a_fingerprint_and_a_path_too() {
    let tree = tree();
    let stated = OPEN.replace(
        "key-url",
        "key = \"keys/other.asc\"\nfingerprint = \"ACE2B9CC88C422F7CC7C1D7B573340AB4157EE2F\"\nkey-url",
    );
    tree.append(RECIPE, &stated);
    let (_, absent) =
        resolve_without_keys(&tree.tree(), "minimal", "pc", &ResolveOptions::default()).unwrap();
    assert_eq!(
        (absent[0].path.as_str(), absent[0].fingerprint.as_deref()),
        ("keys/other.asc", Some("ACE2B9CC88C422F7CC7C1D7B573340AB4157EE2F"))
    );
    tree.write("keys/other.asc", KEY);
    assert!(tree.plan().sources[0].open_key().is_none());
}

#[test]
fn what_is_in_the_keys_place_and_no_key_is_wrong() {
    let tree = tree();
    tree.append(RECIPE, OPEN);
    std::os::unix::fs::symlink("nowhere", tree.path("keys/theirs.asc")).unwrap();
    let said = tree.complaints();
    assert!(
        said.starts_with(
            "recipes/minimal.toml:19:11: key file `keys/theirs.asc` is not opened: keys/theirs.asc is a symbolic link"
        ),
        "{said}"
    );
    // Everything is told at once.
    std::fs::remove_file(tree.path("keys/theirs.asc")).unwrap();
    tree.edit(RECIPE, "\"base\"", "\"bass\"");
    let said = tree.resolve("minimal", "pc").unwrap_err().to_string();
    assert!(said.contains("unknown overlay `bass`"), "{said}");
    // Only repositories have keys.
    for (other, what) in [
        (
            "suite = \"bookworm-backports\"",
            "suites of the Debian mirror are signed with",
        ),
        (
            "directory = \"debs\"",
            "a directory of packages has no suite, components or key",
        ),
    ] {
        let tree = self::tree();
        tree.append(
            RECIPE,
            &format!("[[source]]\nname = \"x\"\n{other}\nkey-url = \"https://packages.example/key.asc\"\n"),
        );
        let said = tree.complaints();
        assert!(
            said.contains(&format!("recipes/minimal.toml:16:11: {what}")),
            "{said}"
        );
    }
}
