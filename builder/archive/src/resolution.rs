//! Exactly what is going to be in a tree: packages, and the state of the archives that they come from.

use std::path::PathBuf;

use anyhow::Result;
use clic_debian::date;
use clic_debian::uri::without_login;
use clic_host::{Sha256, figures};
use clic_recipe::plan::Arch;
use clic_store::{Download, FetchError, Session};
use serde::Serialize;

use crate::parts::Part;

/// The main archive's name among the sources.
pub const DEBIAN: &str = "debian";
/// The security archive's name among the sources.
pub const SECURITY: &str = "debian-security";

/// Exactly what is going to be in a tree.
#[derive(Clone, Debug, Serialize)]
pub struct Resolution {
    /// Debian architecture.
    pub arch: Arch,
    /// Debian suite.
    pub suite: String,
    /// The time that files are clamped to: seconds since 1970.
    pub epoch: u64,
    /// The Release files that say so, in the order of the sources.
    pub releases: Vec<Release>,
    /// Every package, sorted by name.
    pub packages: Vec<Package>,
    /// Packages that bundles take content out of, sorted by name. They are not installed.
    pub content: Vec<Package>,
    /// When the build host is of another architecture: packages for the host that stand in for slow emulated programs
    /// (see [`crate::tools`]), with all that they depend on, sorted by name. They are in no image, and shape none.
    #[serde(skip)]
    pub tools: Vec<Package>,
    /// If this comes from a lock: the command that updates it.
    #[serde(skip)]
    pub locked: Option<String>,
}

/// A Release file that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// Which source it is of: `debian`, `debian-security`, or a name that the recipe gives.
    pub source: String,
    /// The archive's address, without login.
    pub url: String,
    /// The suite asked for: `bookworm-security`.
    pub suite: String,
    /// The components used.
    pub components: Vec<String>,
    /// Its date, seconds since 1970.
    pub date: u64,
    /// SHA-256 of the signed file.
    pub sha256: Sha256,
}

/// One exact package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Package name.
    pub name: String,
    /// Version, with its epoch if it has one.
    pub version: String,
    /// Architecture, or `all`.
    pub arch: String,
    /// The source that it comes from: `debian`, `debian-security`, or a name that the recipe gives.
    pub source: String,
    /// Where from.
    #[serde(skip)]
    pub uri: String,
    /// Path in the archive.
    pub filename: String,
    /// SHA-256 of the .deb.
    pub sha256: Sha256,
    /// Bytes of the .deb.
    pub size: u64,
    /// Bytes that it takes when installed, by its own account.
    pub installed_size: u64,
    /// Nobody asked for it: it came as a dependency.
    pub automatic: bool,
    /// The part of the image that it belongs to.
    pub part: Part,
    /// Its control stanza in the archive's index.
    #[serde(skip)]
    pub stanza: String,
}

impl Package {
    /// `bash 5.2.15-2+b12`.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Its .deb, for the store.
    pub fn download(&self) -> Download {
        Download {
            // apt's copy: is our file:.
            url: self
                .uri
                .strip_prefix("copy:")
                .map_or_else(|| self.uri.clone(), |path| format!("file:{path}")),
            sha256: self.sha256,
            size: self.size,
            name: self.title(),
        }
    }
}

impl Resolution {
    /// What the store has to hold before a tree can be built, in the order of `packages`.
    pub fn downloads(&self) -> Vec<Download> {
        self.packages.iter().map(Package::download).collect()
    }

    /// What to download of `tools`.
    pub fn tool_downloads(&self) -> Vec<Download> {
        self.tools.iter().map(Package::download).collect()
    }

    /// What to download of `content`.
    pub fn content_downloads(&self) -> Vec<Download> {
        self.content.iter().map(Package::download).collect()
    }

    /// The packages of one part, sorted by name.
    pub fn part(&self, part: Part) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(move |package| package.part == part)
    }

    /// Bytes of all .debs.
    pub fn download_size(&self) -> u64 {
        self.packages
            .iter()
            .fold(0, |sum, package| sum.saturating_add(package.size))
    }

    /// Bytes of all packages when installed, by their own account; the tree is about a quarter larger
    /// (initramfs, package database, block sizes).
    pub fn installed_size(&self) -> u64 {
        self.packages
            .iter()
            .fold(0, |sum, package| sum.saturating_add(package.installed_size))
    }

    /// Where the device gets its updates from, as `/etc/apt/sources.list`: the Debian mirrors of this resolution. Those
    /// in a directory of the build host are left out; repositories of others have files of their own in the plan.
    pub fn sources_list(&self) -> String {
        let mirror = self.releases.iter().find(|release| release.source == DEBIAN);
        let is_debian = |release: &&Release| {
            [DEBIAN, SECURITY].contains(&release.source.as_str())
                || mirror.is_some_and(|mirror| mirror.url == release.url)
        };
        let text: String = self
            .releases
            .iter()
            .filter(|release| release.url.starts_with("http"))
            .filter(is_debian)
            .map(|release| {
                let components = release.components.join(" ");
                format!("deb {} {} {components}\n", release.url, release.suite)
            })
            .collect();
        if text.is_empty() {
            return "# The image was built from a mirror on the build host. Add a Debian mirror here.\n"
                .to_owned();
        }
        text
    }

    /// The package of this name.
    pub fn get(&self, name: &str) -> Option<&Package> {
        find(&self.packages, name)
    }

    /// The package of this name among `tools`.
    pub fn tool(&self, name: &str) -> Option<&Package> {
        find(&self.tools, name)
    }

    /// The package of this name among `content`.
    pub fn content_package(&self, name: &str) -> Option<&Package> {
        find(&self.content, name)
    }

    /// Has every .deb of `packages`, `content` and `tools` in the store, and returns the paths of the `packages` in their order. For a
    /// tool's path ask [`Store::path_of`]. Of what is there already only the size is looked at: whoever opens a .deb calls
    /// [`Store::fetch`] with its [`Package::download`] at that moment, which verifies it, and gets it again if it is
    /// damaged.
    pub fn have(&self, session: Session<'_>) -> Result<Vec<PathBuf>> {
        let Session { store, progress, .. } = session;
        let mut downloads = self.downloads();
        downloads.extend(self.content_downloads());
        downloads.extend(self.tool_downloads());
        let missing = store.missing(&downloads);
        let why = if missing.is_empty() {
            "all packages are in the store".into()
        } else {
            let size = missing.iter().map(|download| download.size).sum();
            format!(
                "not in the store: {} of {}, {}",
                missing.len(),
                figures::counted(downloads.len() as u64, "package"),
                figures::size(size)
            )
        };
        let stage = progress.stage("download", "Download packages", &why);
        let mut paths = store
            .have_all(&downloads, &stage)
            .map_err(|error| self.explain(error))?;
        paths.truncate(self.packages.len());
        stage.finish();
        Ok(paths)
    }

    /// A mirror keeps only what is current: that is what a lock is at odds with.
    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let (
            Some(update),
            Some(FetchError::Status {
                name, url, status, ..
            }),
        ) = (&self.locked, error.downcast_ref::<FetchError>())
        else {
            return error;
        };
        // 403 is what some archives answer for what they no longer have.
        if !matches!(status, 403 | 404 | 410) {
            return error;
        }
        Dropped {
            name: name.clone(),
            url: without_login(url),
            status: *status,
            date: snapshot_time(
                self.releases
                    .iter()
                    .map(|release| release.date)
                    .max()
                    .unwrap_or(0),
            ),
            update: update.clone(),
        }
        .into()
    }
}

fn find<'a>(packages: &'a [Package], name: &str) -> Option<&'a Package> {
    let at = packages.binary_search_by(|package| package.name.as_str().cmp(name));
    packages.get(at.ok()?)
}

/// The mirror no longer has a package of the lock.
#[derive(Debug, thiserror::Error)]
#[error(
    "the mirror no longer has {name}, which the lock asks for (it answered {status} for {url})\n  \
     help: a store that has the package needs no mirror: build with the CLIC_CACHE that the lock was first built with;\n  \
     or name an archive that keeps old states with --mirror URL, e.g. a Debian snapshot of {date};\n  \
     or take what the mirror has now: {update}"
)]
pub struct Dropped {
    /// Name and version of the package.
    pub name: String,
    /// Where it was.
    pub url: String,
    /// What the mirror answered.
    pub status: u16,
    /// The lock's date as snapshots are named: `20261122T204225Z`.
    pub date: String,
    /// The command that updates the lock.
    pub update: String,
}

/// `2026-07-11 10:16:37 UTC` as `20260711T101637Z`.
fn snapshot_time(seconds: u64) -> String {
    let shown = date::show(seconds);
    let digits: String = shown.chars().filter(char::is_ascii_digit).collect();
    format!(
        "{}T{}Z",
        digits.get(..8).unwrap_or_default(),
        digits.get(8..).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_gets_the_debian_mirrors_and_nothing_unsigned() {
        let release = |source: &str, url: &str, suite: &str| Release {
            source: source.into(),
            url: url.into(),
            suite: suite.into(),
            components: vec!["main".into()],
            date: 1,
            sha256: Sha256::of(source),
        };
        let mut resolution = Resolution {
            arch: Arch::Amd64,
            suite: "bookworm".into(),
            epoch: 1,
            releases: vec![
                release("debian", "http://m/debian", "bookworm"),
                release("debian-security", "http://m/security", "bookworm-security"),
                release("backports", "http://m/debian", "bookworm-backports"),
                release("theirs", "https://theirs/debian", "stable"),
            ],
            packages: Vec::new(),
            content: Vec::new(),
            tools: Vec::new(),
            locked: None,
        };
        assert_eq!(
            resolution.sources_list(),
            "deb http://m/debian bookworm main\ndeb http://m/security bookworm-security main\n\
             deb http://m/debian bookworm-backports main\n"
        );
        for release in &mut resolution.releases {
            release.url = "file:/srv/debian".into();
        }
        assert!(resolution.sources_list().starts_with("# The image was built"));
    }

    #[test]
    fn dates_as_snapshots_have_them() {
        assert_eq!(snapshot_time(1_783_764_997), "20260711T101637Z");
    }
}
