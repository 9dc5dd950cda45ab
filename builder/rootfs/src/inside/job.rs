//! What the process inside of the sandbox is asked to do, and what it has done: JSON files between two processes of one
//! program.

use std::path::PathBuf;

use clic_host::Sha256;
use clic_recipe::plan::{Arch, UnitState};
use serde::{Deserialize, Serialize};

use crate::accel::Accel;

/// One stage of a tree.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// The tree's directory. Made if it is not there, in a directory that has nothing else (see `jail`).
    pub root: PathBuf,
    /// The tree's architecture.
    pub arch: Arch,
    /// The time that files are clamped to: seconds since 1970.
    pub epoch: u64,
    /// How much may go on at once.
    pub threads: usize,
    /// Has programs of a foreign tree run natively where that makes no difference.
    pub accel: Option<Accel>,
    /// Layers to put into the tree first, lowest first.
    pub restore: Vec<LayerTar>,
    /// The work itself.
    pub work: Work,
    /// Where the tar file with what changed goes.
    pub tar: PathBuf,
    /// Where [`Done`] goes.
    pub done: PathBuf,
}

/// A stage's result in the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LayerTar {
    /// What is new or has changed.
    pub tar: PathBuf,
    /// What is gone.
    pub removed: Vec<Vec<u8>>,
}

/// The work of a stage.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Install packages.
    Packages(Packages),
    /// Make it this recipe's.
    Customize(Customize),
}

/// Packages to install.
#[derive(Debug, Serialize, Deserialize)]
pub struct Packages {
    /// They are the tree's first.
    pub base: bool,
    /// In the order in which they are unpacked.
    pub new: Vec<JobPackage>,
    /// Answers for debconf, before the first of them.
    pub preseeds: Vec<String>,
}

/// A package to install.
#[derive(Debug, Serialize, Deserialize)]
pub struct JobPackage {
    /// Its name.
    pub name: String,
    /// The .deb in the store.
    pub deb: PathBuf,
    /// Bytes when installed, by its own account.
    pub installed_size: u64,
}

/// What makes a tree a recipe's.
#[derive(Debug, Serialize, Deserialize)]
pub struct Customize {
    /// The recipe's files, packed by [`crate::files::pack`].
    pub files: PathBuf,
    /// Those of them whose reading is to be told: regular files by absolute path.
    pub watch: Vec<String>,
    /// Secrets that each device makes, which packages may have made already: absolute paths, whose parts may have `*` and `?`.
    pub secrets: Vec<String>,
    /// Units to change.
    pub units: Vec<JobUnit>,
    /// Version of the kernel that starts, where there are several.
    pub kernel: Option<String>,
    /// Programs to run at the end, with their arguments.
    pub commands: Vec<Vec<String>>,
}

/// A unit to change.
#[derive(Debug, Serialize, Deserialize)]
pub struct JobUnit {
    /// Its name.
    pub name: String,
    /// What happens to it.
    pub state: UnitState,
    /// Who asks for it.
    pub from: String,
    /// Where that is written: `overlays/base/overlay.toml:12:8`.
    pub place: String,
}

/// What was done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Done {
    /// Paths that are gone.
    pub removed: Vec<Vec<u8>>,
    /// SHA-256 of the tar file.
    pub sha256: Sha256,
    /// Bytes of the tar file.
    pub size: u64,
    /// Entries in the tar file.
    pub entries: u64,
    /// Which of the recipe's files were read after they were put into the tree. `None` if that cannot be told.
    pub read: Option<Vec<String>>,
}

impl Job {
    /// The variables that shape what maintainer scripts do.
    pub fn variables(&self) -> Vec<(String, String)> {
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        vec![
            set("SOURCE_DATE_EPOCH", &self.epoch.to_string()),
            set("TZ", "UTC"),
            set("LC_ALL", "C.UTF-8"),
            set("HOME", "/root"),
            set("DEBIAN_FRONTEND", "noninteractive"),
            set("DEBCONF_NONINTERACTIVE_SEEN", "true"),
            // One initramfs at the end, when all files are in place.
            set("INITRD", "No"),
            // Compiled Python must not depend on the order of its sets.
            set("PYTHONHASHSEED", "0"),
            set("SYSTEMD_OFFLINE", "1"),
        ]
    }
}
