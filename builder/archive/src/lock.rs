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

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use clic_debian::arch::host_arch;
use clic_debian::uri;
use clic_host::UserError;
use clic_recipe::plan::{Arch, Plan, SourcePlace};
use serde::Serialize;

use crate::inputs::Inputs;
use crate::key::Pins;
use crate::mirror::Mirrors;
use crate::resolution::{DEBIAN, Package, Release, Resolution, SECURITY};

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
    pub tools: BTreeMap<Arch, Vec<Package>>,
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
                "use the version of clic that wrote it, or make the lock again: "
            } else {
                "restore it from version control, or make it again: "
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
        clic_store::write_whole(path, self.text().as_bytes())
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

    /// The packages for a build of `plan`, which the lock must fit, from these mirrors. `epoch`: a time instead of the lock's own. `update` is the command that
    /// makes the lock anew: it is named when a mirror no longer has a package.
    ///
    /// Errors: [`UserError`] when the lock has packages of a source whose address nobody knows.
    pub fn resolution(
        &self,
        plan: &Plan,
        mirrors: &Mirrors,
        epoch: Option<u64>,
        update: &str,
    ) -> Result<Resolution> {
        let address = |source: &str| -> Result<String> { address(source, plan, mirrors) };
        let placed = |packages: &[Package]| -> Result<Vec<Package>> {
            packages
                .iter()
                .map(|package| {
                    let uri = uri::file(&address(&package.source)?, &package.filename);
                    Ok(Package {
                        uri,
                        ..package.clone()
                    })
                })
                .collect()
        };
        let releases = self.releases.iter().map(|release| {
            Ok(Release {
                url: uri::without_login(&address(&release.source)?),
                ..release.clone()
            })
        });
        let tools = host_arch().and_then(|host| self.tools.get(&host));
        Ok(Resolution {
            arch: self.inputs.arch,
            suite: self.inputs.suite.clone(),
            epoch: epoch.unwrap_or(self.epoch),
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
                .map(|(host, tools)| (host, tools.into_iter().map(unplaced).collect()))
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
fn address(source: &str, plan: &Plan, mirrors: &Mirrors) -> Result<String> {
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
    let found =
        found.with_context(|| format!("the lock has packages of {source:?}, which is not a source"))?;
    Ok(match &found.place {
        SourcePlace::Suite { .. } => mirrors.main.clone(),
        SourcePlace::Repository { url, .. } => url.clone(),
        SourcePlace::Directory { absolute, .. } => uri::directory(absolute),
    })
}

#[cfg(test)]
mod tests;
