//! Exactly what is going to be in a tree: packages, and the state of the archives that they come from.

use std::path::PathBuf;

use anyhow::Result;
use clic_host::Progress;
use clic_store::{Download, Store, space};
use serde::Serialize;

use crate::parts::Part;

/// Exactly what is going to be in a tree.
#[derive(Clone, Debug, Serialize)]
pub struct Resolution {
    /// Debian architecture.
    pub arch: String,
    /// Debian suite.
    pub suite: String,
    /// The time that files are clamped to: seconds since 1970.
    pub epoch: u64,
    /// The Release files that say so, in the order of the sources.
    pub releases: Vec<Release>,
    /// Every package, sorted by name.
    pub packages: Vec<Package>,
    /// When the build host is of another architecture: packages for the host that stand in for slow emulated programs
    /// (see [`crate::tools`]), with all that they depend on, sorted by name. They are in no image, and shape none.
    #[serde(skip)]
    pub tools: Vec<Package>,
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
    /// Lower-case hex SHA-256 of the signed file.
    pub sha256: String,
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
    /// Lower-case hex SHA-256 of the .deb.
    pub sha256: String,
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
            sha256: self.sha256.clone(),
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

    /// The same for `tools`.
    pub fn tool_downloads(&self) -> Vec<Download> {
        self.tools.iter().map(Package::download).collect()
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

    /// Where the device gets its updates from, as `/etc/apt/sources.list`: the archives of this resolution. Those
    /// in a directory of the build host are left out.
    pub fn sources_list(&self) -> String {
        let mut text = String::new();
        for release in self
            .releases
            .iter()
            .filter(|release| release.url.starts_with("http"))
        {
            text += &format!(
                "deb {} {} {}\n",
                release.url,
                release.suite,
                release.components.join(" ")
            );
        }
        if text.is_empty() {
            text += "# The image was built from a mirror on the build host. Add a Debian mirror here.\n";
        }
        text
    }

    /// The package of this name.
    pub fn get(&self, name: &str) -> Option<&Package> {
        let at = self
            .packages
            .binary_search_by(|package| package.name.as_str().cmp(name))
            .ok()?;
        self.packages.get(at)
    }

    /// Has every .deb of `packages` and `tools` in the store, verified, and returns the paths of the `packages` in
    /// their order. For a tool's path ask [`Store::path_of`].
    pub fn download(&self, store: &Store, progress: &Progress) -> Result<Vec<PathBuf>> {
        let mut downloads = self.downloads();
        downloads.extend(self.tool_downloads());
        let missing = store.missing(&downloads);
        let why = if missing.is_empty() {
            "all packages are in the store: verifying".to_owned()
        } else {
            let size = missing.iter().map(|download| download.size).sum();
            format!(
                "{} of {} packages are not in the store: {}",
                missing.len(),
                downloads.len(),
                space::human(size)
            )
        };
        let stage = progress.stage("download", "Download packages", &why);
        let mut paths = store.fetch_all(&downloads, &stage)?;
        paths.truncate(self.packages.len());
        stage.finish();
        Ok(paths)
    }
}
