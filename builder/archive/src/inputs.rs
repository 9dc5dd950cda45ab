//! What a lock is made from: everything that decides which packages are chosen, besides the state of the archives.

use std::collections::BTreeSet;

use clic_host::Sha256;
use clic_recipe::plan::{Arch, PackageSource, Plan, SourcePlace};
use serde::{Deserialize, Serialize};

/// Everything that decides which packages are chosen, besides the state of the archives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Inputs {
    /// Name of the recipe.
    pub recipe: String,
    /// Name of the board.
    pub board: String,
    /// Debian suite.
    pub suite: String,
    /// Debian architecture.
    pub arch: Arch,
    /// Archive components.
    pub components: Vec<String>,
    /// What the recipe and its overlays ask for, sorted.
    pub packages: Vec<String>,
    /// What only the board asks for, sorted.
    pub board_packages: Vec<String>,
    /// What bundles take content out of, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content_packages: Vec<String>,
    /// Sources beside Debian's own archives, in the recipe's order.
    #[serde(default, rename = "source", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceInput>,
}

/// A source of packages as an input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SourceInput {
    /// The recipe's name for it.
    pub name: String,
    /// SHA-256 of its address, if it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_sha256: Option<Sha256>,
    /// Its suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// Its components.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// Fingerprint of its key: the one that the recipe says, or that a person confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// SHA-256 of its key file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_sha256: Option<Sha256>,
    /// Its directory in the tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// SHA-256 of the names and hashes of the files in that directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_sha256: Option<Sha256>,
    /// Packages that are taken from it first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Its priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i16>,
}

impl Inputs {
    /// The inputs of a plan. A fingerprint that the recipe leaves open is not there.
    pub fn of(plan: &Plan) -> Self {
        let asked = |board_only: bool| {
            plan.packages
                .iter()
                .filter(|request| request.board_only == board_only)
                .map(|request| request.name.clone())
                .collect()
        };
        Self {
            recipe: plan.recipe.name.clone(),
            board: plan.board.name.clone(),
            suite: plan.suite.clone(),
            arch: plan.arch,
            components: plan.components.clone(),
            packages: asked(false),
            board_packages: asked(true),
            content_packages: content_packages(plan),
            sources: plan.sources.iter().map(SourceInput::of).collect(),
        }
    }

    /// With the fingerprints that the recipe leaves open, as far as `pinned` knows them.
    pub(crate) fn with<'a>(mut self, pinned: impl Fn(&str) -> Option<&'a str>) -> Self {
        for source in &mut self.sources {
            if source.key_sha256.is_some() && source.fingerprint.is_none() {
                source.fingerprint = pinned(&source.name).map(str::to_owned);
            }
        }
        self
    }

    /// The hash of all of them.
    pub fn sha256(&self) -> Sha256 {
        // Plain data never fails to become JSON; if it did, the empty text would fit nothing.
        Sha256::of(serde_json::to_vec(self).unwrap_or_default())
    }

    /// What is different in `now`, a line each; empty if nothing is.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut one = |what: &str, before: &str, now: &str| {
            if before != now {
                found.push(format!("the {what} is {now}, the lock is for {before}"));
            }
        };
        one("recipe", &self.recipe, &now.recipe);
        one("board", &self.board, &now.board);
        one("suite", &self.suite, &now.suite);
        one("architecture", self.arch.debian(), now.arch.debian());
        list("components", &self.components, &now.components, &mut found);
        list("packages asked for", &self.packages, &now.packages, &mut found);
        list(
            "packages of the board",
            &self.board_packages,
            &now.board_packages,
            &mut found,
        );
        list(
            "packages that content comes out of",
            &self.content_packages,
            &now.content_packages,
            &mut found,
        );
        let names = |sources: &[SourceInput]| -> Vec<String> {
            sources.iter().map(|source| source.name.clone()).collect()
        };
        list("sources", &names(&self.sources), &names(&now.sources), &mut found);
        for source in &now.sources {
            let before = self.sources.iter().find(|before| before.name == source.name);
            if let Some(before) = before.filter(|before| *before != source) {
                found.push(format!(
                    "source {}: {} changed",
                    source.name,
                    before.changed(source).join(", ")
                ));
            }
        }
        if found.is_empty() && self != now {
            found.push("the order of the sources changed".to_owned());
        }
        found
    }
}

/// What the plan's bundles take content out of, sorted.
fn content_packages(plan: &Plan) -> Vec<String> {
    let items = plan.bundles.iter().flat_map(|bundle| &bundle.items);
    let names: BTreeSet<&String> = items.filter_map(|item| Some(&item.package()?.name)).collect();
    names.into_iter().cloned().collect()
}

/// `packages asked for: + nginx, - curl`.
fn list(what: &str, before: &[String], now: &[String], found: &mut Vec<String>) {
    let added = now.iter().filter(|name| !before.contains(name));
    let removed = before.iter().filter(|name| !now.contains(name));
    let changes: Vec<String> = added
        .map(|name| format!("+ {name}"))
        .chain(removed.map(|name| format!("- {name}")))
        .collect();
    if !changes.is_empty() {
        found.push(format!("{what}: {}", changes.join(", ")));
    }
}

impl SourceInput {
    fn of(source: &PackageSource) -> Self {
        let input = Self {
            name: source.name.clone(),
            packages: source.packages.clone(),
            priority: source.priority,
            ..Self::default()
        };
        match &source.place {
            SourcePlace::Suite { suite, components } => Self {
                suite: Some(suite.clone()),
                components: components.clone(),
                ..input
            },
            SourcePlace::Repository {
                url,
                suite,
                components,
                fingerprint,
                key,
                ..
            } => Self {
                address_sha256: Some(Sha256::of(url)),
                suite: Some(suite.clone()),
                components: components.clone(),
                fingerprint: fingerprint.clone(),
                key_sha256: Some(key.sha256),
                ..input
            },
            SourcePlace::Directory { path, files, .. } => {
                let listed: String = files
                    .iter()
                    .map(|file| format!("{} {}\n", file.sha256, file.name))
                    .collect();
                Self {
                    directory: Some(path.clone()),
                    files_sha256: Some(Sha256::of(listed)),
                    ..input
                }
            }
        }
    }

    /// Which of its properties are others in `now`.
    fn changed(&self, now: &Self) -> Vec<&'static str> {
        [
            ("its address", self.address_sha256 != now.address_sha256),
            ("its suite", self.suite != now.suite),
            ("its components", self.components != now.components),
            ("its fingerprint", self.fingerprint != now.fingerprint),
            ("its key file", self.key_sha256 != now.key_sha256),
            ("its directory", self.directory != now.directory),
            (
                "the files in its directory",
                self.files_sha256 != now.files_sha256,
            ),
            ("its packages", self.packages != now.packages),
            ("its priority", self.priority != now.priority),
        ]
        .into_iter()
        .filter_map(|(what, changed)| changed.then_some(what))
        .collect()
    }
}
