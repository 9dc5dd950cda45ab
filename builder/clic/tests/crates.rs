//! What the workspace is made of: licences, sources, duplicates and uses of crates, as `cargo metadata` tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Licences (SPDX) that go together with ours, the AGPL-3.0-or-later.
const LICENCES: &[&str] = &[
    "0BSD",
    "AGPL-3.0-or-later",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
    // Of libbz2-rs-sys, as of the bzip2 that it stands for: the BSDs' conditions in other words.
    "bzip2-1.0.6",
];

/// Crates that must not come in, and why.
const BANNED: &[(&str, &str)] = &[
    (
        "openssl-sys",
        "TLS is rustls everywhere: nothing of the host's is linked",
    ),
    (
        "native-tls",
        "TLS is rustls everywhere: nothing of the host's is linked",
    ),
    ("tokio", "threads do: nothing here waits for thousands of sockets"),
];

/// Crates that come in more than one version, and why that cannot be helped yet.
const DUPLICATES: &[(&str, &str)] = &[
    ("bitflags", "fatfs has no release with the newer one"),
    ("getrandom", "ring has no release with the newer one"),
    (
        "syn",
        "what derives for miette, tracing and zeroize has no release with the newer one",
    ),
    (
        "unicode-width",
        "miette keeps to the widths of its older releases",
    ),
];

struct Workspace {
    metadata: Value,
}

impl Workspace {
    /// What is compiled for this host.
    fn read() -> Self {
        let cargo = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO"));
            let output = command
                .args(args)
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .output()
                .unwrap();
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{args:?}: {error}");
            String::from_utf8(output.stdout).unwrap()
        };
        let version = cargo(&["--version", "--verbose"]);
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.expect("cargo names its host");
        // What was just compiled is there: no network.
        let metadata = cargo(&[
            "metadata",
            "--format-version=1",
            "--locked",
            "--offline",
            "--filter-platform",
            host,
        ]);
        Self {
            metadata: serde_json::from_str(&metadata).unwrap(),
        }
    }

    fn packages(&self) -> impl Iterator<Item = &Value> {
        self.metadata["packages"].as_array().unwrap().iter()
    }

    /// Ours.
    fn members(&self) -> impl Iterator<Item = &Value> {
        let members = self.metadata["workspace_members"].as_array().unwrap();
        self.packages().filter(|package| members.contains(&package["id"]))
    }

    /// The crates that a package depends on, as its code calls them, each with the kinds of the dependency: `normal`, `dev`, `build`.
    fn dependencies(&self, package: &Value) -> BTreeMap<String, BTreeSet<String>> {
        let nodes = self.metadata["resolve"]["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["id"] == package["id"]).unwrap();
        let mut found = BTreeMap::<String, BTreeSet<String>>::new();
        for dependency in node["deps"].as_array().unwrap() {
            let kinds = found.entry(text(&dependency["name"]).to_owned()).or_default();
            for kind in dependency["dep_kinds"].as_array().unwrap() {
                kinds.insert(kind["kind"].as_str().unwrap_or("normal").to_owned());
            }
        }
        found
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Name and version, for messages.
fn title(package: &Value) -> String {
    format!("{} {}", text(&package["name"]), text(&package["version"]))
}

/// Whether some choice that a licence expression leaves is among [`LICENCES`].
fn allowed(licence: &str) -> bool {
    let expression = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX);
    expression.is_ok_and(|expression| {
        expression.evaluate(|wanted| wanted.license.id().is_some_and(|id| LICENCES.contains(&id.name)))
    })
}

#[test]
fn licences_are_those_that_go_with_ours() {
    let workspace = Workspace::read();
    let mut wrong = Vec::new();
    for package in workspace.packages() {
        let licence = package["license"].as_str().unwrap_or("no licence");
        if !allowed(licence) {
            wrong.push(format!("{}: {licence}", title(package)));
        }
    }
    assert!(
        wrong.is_empty(),
        "licences that are not in LICENCES:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn crates_come_from_the_registry_or_from_this_tree() {
    let workspace = Workspace::read();
    let members: Vec<&Value> = workspace.members().map(|package| &package["id"]).collect();
    let mut registries = BTreeSet::new();
    let mut wrong = Vec::new();
    for package in workspace.packages() {
        match package["source"].as_str() {
            Some(source) if source.starts_with("registry+") => {
                registries.insert(source);
            }
            None if members.contains(&&package["id"]) => {}
            source => wrong.push(format!(
                "{} comes from {}",
                title(package),
                source.unwrap_or("outside of the workspace")
            )),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(registries.len(), 1, "more than one registry: {registries:?}");
}

#[test]
fn no_banned_crate_is_in() {
    let workspace = Workspace::read();
    for package in workspace.packages() {
        let banned = BANNED.iter().find(|(name, _)| package["name"] == *name);
        assert!(banned.is_none(), "a banned crate and the reason: {banned:?}");
    }
}

#[test]
fn no_crate_comes_twice_without_a_reason() {
    let workspace = Workspace::read();
    let mut versions = BTreeMap::<&str, BTreeSet<&str>>::new();
    for package in workspace.packages() {
        versions
            .entry(text(&package["name"]))
            .or_default()
            .insert(text(&package["version"]));
    }
    versions.retain(|_, versions| versions.len() > 1);
    let twice: Vec<&str> = versions.keys().copied().collect();
    let known: Vec<&str> = DUPLICATES.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        twice, known,
        "crates in several versions, and those that DUPLICATES has a reason for: {versions:?}"
    );
}

#[test]
fn every_dependency_is_used() {
    let workspace = Workspace::read();
    let mut unused = Vec::new();
    for package in workspace.members() {
        let manifest = Path::new(text(&package["manifest_path"]));
        let dir = manifest.parent().unwrap();
        // The files that each kind of dependency can be used in; those of tests may be anywhere in the package.
        let source = |part: &str| code(&dir.join(part));
        let (src, build) = (source("src"), source("build.rs"));
        let all: String = targets(package).map(|path| code(&path)).collect::<String>() + &src;
        for (name, kinds) in workspace.dependencies(package) {
            let used = kinds.iter().any(|kind| {
                let code = match kind.as_str() {
                    "normal" => &src,
                    "build" => &build,
                    _ => &all,
                };
                uses(code, &name)
            });
            if !used {
                unused.push(format!("{} does not use {name}", text(&package["name"])));
            }
        }
    }
    assert!(unused.is_empty(), "{}", unused.join("\n"));
}

/// The directories and files that a package's tests, benchmarks and examples are in.
fn targets(package: &Value) -> impl Iterator<Item = PathBuf> {
    let targets = package["targets"].as_array().unwrap().iter();
    let outside = targets.filter(|target| {
        let kinds = target["kind"].as_array().unwrap();
        kinds
            .iter()
            .any(|kind| kind == "test" || kind == "bench" || kind == "example")
    });
    outside.map(|target| {
        let path = Path::new(text(&target["src_path"]));
        let main = path.file_name().is_some_and(|name| name == "main.rs");
        if main { path.parent().unwrap() } else { path }.to_owned()
    })
}

/// The Rust in a file or below a directory, without lines that are comments; nothing if it is not there.
fn code(path: &Path) -> String {
    if let Ok(entries) = std::fs::read_dir(path) {
        return entries.map(|entry| code(&entry.unwrap().path())).collect();
    }
    if path.extension().is_none_or(|extension| extension != "rs") {
        return String::new();
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Whether code names a crate: `name::`, `use name;` or `use name as`.
fn uses(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        let imported = before.ends_with("use ") && (after.starts_with(';') || after.starts_with(" as "));
        whole && (after.starts_with("::") || imported)
    })
}

#[test]
fn a_crate_is_used_where_code_names_it() {
    for code in ["md5::Md5", "use md5;", "use md5 as sums;", "(md5::digest(x))"] {
        assert!(uses(code, "md5"), "{code}");
    }
    for code in [
        "let md5 = 1;",
        "my_md5::x",
        "crate::md5::x",
        "md5_of(x)",
        "md5sum::x",
    ] {
        assert!(!uses(code, "md5"), "{code}");
    }
}

#[test]
fn a_licence_is_allowed_when_one_of_its_choices_is() {
    for licence in [
        "MIT",
        "MIT OR GPL-2.0-only",
        "MIT/Apache-2.0",
        "(MIT AND ISC) OR WTFPL",
    ] {
        assert!(allowed(licence), "{licence}");
    }
    for licence in ["GPL-2.0-only", "MIT AND WTFPL", "no licence", ""] {
        assert!(!allowed(licence), "{licence}");
    }
}
