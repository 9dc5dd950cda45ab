//! The lock: exactly which packages an image is made of, in a file beside the recipe.
//!
//! ```text
//! Plan ─▶ Inputs ─┐
//!                 ├─▶ Lock ─▶ recipes/<recipe>-<board>.lock ─▶ Lock ─▶ Resolution
//! apt ─▶ packages ┘                                     (fits the plan?)
//! ```
//!
//! The file has all that a build needs to know of the archives, and no host name: sources go by their names, and where
//! they are is said when building. It also has the inputs that it was made from, so that a build can tell whether it
//! still fits, and if not, which input changed. Equal locks are equal texts.

mod read;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use clic_host::UserError;
use clic_recipe::plan::{Arch, PackageSource, Plan, SourcePlace};
use clic_store::space;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::key::Pins;
use crate::mirror::Mirrors;
use crate::resolution::{Package, Release, Resolution};
use crate::resolve::{DEBIAN, ResolveOptions, SECURITY};
use clic_debian::arch::host_arch;
use clic_debian::uri::without_login;

/// The form that this version writes and reads.
pub const FORMAT: u32 = 1;

/// What a lock file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// What it was made from.
    pub inputs: Inputs,
    /// The archives' date: seconds since 1970. The newest of the releases.
    pub epoch: u64,
    /// The Release files; their addresses are empty.
    pub releases: Vec<Release>,
    /// Every package of the image, sorted by name; their addresses are empty.
    pub packages: Vec<Package>,
    /// Packages that bundles take content out of, sorted by name; their addresses are empty.
    pub content: Vec<Package>,
    /// The tools for a build host of each architecture that needs some (see [`crate::tools`]), sorted by name.
    pub tools: BTreeMap<String, Vec<Package>>,
}

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
    pub arch: String,
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
    pub address_sha256: Option<String>,
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
    pub key_sha256: Option<String>,
    /// Its directory in the tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// SHA-256 of the names and hashes of the files in that directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_sha256: Option<String>,
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
            arch: plan.arch.debian().to_owned(),
            components: plan.components.clone(),
            packages: asked(false),
            board_packages: asked(true),
            content_packages: content_packages(plan),
            sources: plan.sources.iter().map(SourceInput::of).collect(),
        }
    }

    /// With the fingerprints that the recipe leaves open, as far as `pinned` knows them.
    fn with<'a>(mut self, pinned: impl Fn(&str) -> Option<&'a str>) -> Self {
        for source in &mut self.sources {
            if source.key_sha256.is_some() && source.fingerprint.is_none() {
                source.fingerprint = pinned(&source.name).map(str::to_owned);
            }
        }
        self
    }

    /// Lower-case hex SHA-256 of all of them.
    pub fn sha256(&self) -> String {
        // Plain data never fails to become JSON; if it did, the empty text would fit nothing.
        sha256(&serde_json::to_vec(self).unwrap_or_default())
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
        one("architecture", &self.arch, &now.arch);
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
                address_sha256: Some(sha256(url.as_bytes())),
                suite: Some(suite.clone()),
                components: components.clone(),
                fingerprint: fingerprint.clone(),
                key_sha256: Some(key.sha256.clone()),
                ..input
            },
            SourcePlace::Directory { path, files, .. } => {
                let listed: String = files
                    .iter()
                    .map(|file| format!("{} {}\n", file.sha256, file.name))
                    .collect();
                Self {
                    directory: Some(path.clone()),
                    files_sha256: Some(sha256(listed.as_bytes())),
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

impl Lock {
    /// The lock in the file `path`, or `None` if there is no such file. `shown` is the file's name in errors.
    ///
    /// Errors: [`UserError`] for a file that is damaged, or made to do damage.
    pub fn read(path: &Path, shown: &Path, remedy: &str) -> Result<Option<Self>> {
        let Some(text) = read::text(path, shown)? else {
            return Ok(None);
        };
        Self::parse(&text, shown, remedy).map(Some)
    }

    /// Reads a lock file's text. `remedy` is the command that makes the lock anew.
    pub fn parse(text: &str, shown: &Path, remedy: &str) -> Result<Self> {
        read::parse(text).map_err(|wrong| {
            let line = wrong.line.map_or_else(String::new, |line| format!("{line}:"));
            let help = if wrong.newer {
                "use the version of clic that wrote it, or make the lock anew: "
            } else {
                "take it back from version control, or make it anew: "
            };
            UserError::new(format!("{}:{line} {}", shown.display(), wrong.what))
                .help(format!("{help}{remedy}"))
                .into()
        })
    }

    /// The file's text. Equal locks have equal texts.
    pub fn text(&self) -> String {
        text::text(self)
    }

    /// Writes it to `path`, at once or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut file = clic_store::publish(path)?;
        file.file()
            .write_all(self.text().as_bytes())
            .map_err(|error| space::io_error(error, path))?;
        file.commit()
    }

    /// Why it does not fit the plan, a line each; empty if it fits.
    pub fn misfits(&self, plan: &Plan) -> Vec<String> {
        // What this lock pins is what counts where the recipe says nothing.
        let pinned = |name: &str| {
            let mut sources = self.inputs.sources.iter();
            sources.find(|source| source.name == name)?.fingerprint.as_deref()
        };
        self.inputs.differences(&Inputs::of(plan).with(pinned))
    }

    /// The packages for a build of `plan`, which the lock must fit, from these mirrors. `update` is the command that
    /// makes the lock anew: it is named when a mirror no longer has a package.
    ///
    /// Errors: [`UserError`] when the lock has packages of a source whose address nobody knows.
    pub fn resolution(
        &self,
        plan: &Plan,
        mirrors: &Mirrors,
        options: &ResolveOptions,
        update: &str,
    ) -> Result<Resolution> {
        let address = |source: &str| -> Result<String> { address(source, plan, mirrors) };
        let placed = |packages: &[Package]| -> Result<Vec<Package>> {
            packages
                .iter()
                .map(|package| {
                    let uri = uri(&address(&package.source)?, &package.filename);
                    Ok(Package {
                        uri,
                        ..package.clone()
                    })
                })
                .collect()
        };
        let releases = self.releases.iter().map(|release| {
            Ok(Release {
                url: without_login(&address(&release.source)?),
                ..release.clone()
            })
        });
        let tools = host_arch().and_then(|host| self.tools.get(host.debian()));
        Ok(Resolution {
            arch: self.inputs.arch.clone(),
            suite: self.inputs.suite.clone(),
            epoch: options.epoch.unwrap_or(self.epoch),
            releases: releases.collect::<Result<_>>()?,
            packages: placed(&self.packages)?,
            content: placed(&self.content)?,
            tools: placed(tools.map_or(&[], Vec::as_slice))?,
            locked: Some(update.to_owned()),
        })
    }

    /// The lock that says what was resolved for the plan. `tools`: for each build host's architecture.
    pub(crate) fn of(
        plan: &Plan,
        pins: &Pins,
        resolution: Resolution,
        tools: BTreeMap<Arch, Vec<Package>>,
    ) -> Result<Self> {
        let epoch = resolution.releases.iter().map(|release| release.date).max();
        let unplaced = |package: Package| Package {
            uri: String::new(),
            stanza: String::new(),
            ..package
        };
        let lock = Self {
            inputs: Inputs::of(plan).with(|source| pins.get(source).map(|(fingerprint, _)| fingerprint)),
            epoch: epoch.context("no Release file was used")?,
            releases: resolution
                .releases
                .into_iter()
                .map(|release| Release {
                    url: String::new(),
                    ..release
                })
                .collect(),
            packages: resolution.packages.into_iter().map(unplaced).collect(),
            content: resolution.content.into_iter().map(unplaced).collect(),
            tools: tools
                .into_iter()
                .map(|(arch, tools)| {
                    (
                        arch.debian().to_owned(),
                        tools.into_iter().map(unplaced).collect(),
                    )
                })
                .collect(),
        };
        // What we write, we can read: an archive with names that a lock cannot hold is refused now, not later.
        let again = read::parse(&lock.text()).map_err(|wrong| {
            anyhow::anyhow!("the archive has something that no lock can hold: {}", wrong.what)
        })?;
        anyhow::ensure!(again == lock, "a lock that was written reads differently");
        Ok(lock)
    }
}

/// Where a source is.
pub(crate) fn address(source: &str, plan: &Plan, mirrors: &Mirrors) -> Result<String> {
    if source == DEBIAN {
        return Ok(mirrors.main.clone());
    }
    if source == SECURITY {
        return mirrors.security.clone().ok_or_else(|| {
            UserError::new(
                "the lock has packages of Debian's security archive, and no mirror of that is known",
            )
            .help("name one with --security-mirror URL")
            .into()
        });
    }
    let found = plan.sources.iter().find(|known| known.name == source);
    let found = found.with_context(|| format!("the lock has packages of {source:?}, which is no source"))?;
    Ok(match &found.place {
        SourcePlace::Suite { .. } => mirrors.main.clone(),
        SourcePlace::Repository { url, .. } => url.clone(),
        SourcePlace::Directory { absolute, .. } => directory(absolute),
    })
}

/// The address of a directory of this machine.
pub(crate) fn directory(path: &Path) -> String {
    format!("file:{}", encoded(&path.to_string_lossy()))
}

/// The address of a file of an archive.
pub(crate) fn uri(archive: &str, filename: &str) -> String {
    format!("{archive}/{}", encoded(filename))
}

/// A path for an address. `+` too: some servers take it for a blank.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~:".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text += &format!("%{byte:02X}");
        }
    }
    text
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests;
