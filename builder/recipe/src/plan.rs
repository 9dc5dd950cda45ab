//! The plan: everything resolved, nothing done. What every room to the right works from.

mod app;
mod asked;
mod bundle;
mod overlay;
mod places;
mod service;

use std::path::PathBuf;

use clic_host::Sha256;
use serde::{Deserialize, Serialize};

pub use crate::overlay_files::EntryPlace;
use crate::source::Origin;

pub use app::{Answer, App, AppFile, AppSource, Argument, Manifest, Question};
pub use asked::{Asked, Effect, Must, Preseed};
pub use bundle::{
    Bundle, BundleItem, BundleKind, CONTENT_DIRECTORY, InPackage, ItemSource, Texts, Theme, Unpack,
};
pub use overlay::{Capability, PlannedOverlay, Provides, Value, YunoHost};
pub use places::Places;
pub use service::{Category, FirstBoot, Place, Service, ServiceKind, ServiceState};

/// A recipe for one board, with every name looked up and every value checked.
///
/// Its JSON form is the same on every host: no path of the builder, no time, sorted lists. Its hash is
/// what identifiers (file system UUIDs, disk ids) come from.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The recipe.
    pub recipe: Named,
    /// The board.
    pub board: Named,
    /// Debian architecture.
    pub arch: Arch,
    /// Debian suite, e.g. `bookworm`.
    pub suite: String,
    /// Archive components, sorted, `main` first.
    pub components: Vec<String>,
    /// Packages asked for by recipe, board and overlays, sorted by name, each once.
    pub packages: Vec<PackageRequest>,
    /// Where packages come from beside Debian's own archives, in the recipe's order.
    pub sources: Vec<PackageSource>,
    /// debconf selections (`package question type value`), sorted.
    pub preseeds: Vec<Preseed>,
    /// What packages must have made of files, in the overlays' order.
    pub effects: Vec<Effect>,
    /// Files, directories and symlinks of the overlays, sorted by path.
    pub files: Vec<TreeFile>,
    /// What happens to systemd units, sorted by unit.
    pub units: Vec<UnitChange>,
    /// What is done in the running system while the image is built, in the overlays' order.
    pub bakes: Vec<Bake>,
    /// Absolute paths of what a running system has for one run or one device, with all that is below them: sorted, each once. A
    /// bake leaves them as they are.
    pub of_one_run: Vec<String>,
    /// What packages make with other bytes each time, in the overlays' order.
    #[serde(skip)]
    pub varies: Vec<Varies>,
    /// What a boot test must see, in the overlays' order.
    pub checks: Vec<Check>,
    /// The overlays in the order that the recipe lists them, with their parameters' final values.
    pub overlays: Vec<PlannedOverlay>,
    /// Content bundles, in the order that the recipe lists them.
    pub bundles: Vec<Bundle>,
    /// What people use, in the recipe's order.
    pub services: Vec<Service>,
    /// Kernel consoles, most important last, e.g. `["tty1", "ttyS0,115200"]`.
    pub consoles: Vec<String>,
    /// How the disk is divided.
    pub disk: Disk,
    /// How the board starts.
    pub boot: Boot,
    /// How to stand in for the board.
    pub emulate: Emulate,
    /// Largest size of the whole image in bytes that the recipe allows, if it names one.
    pub image_size: Option<u64>,
    /// Inodes left free in the root file system, if the recipe names a number.
    pub free_inodes: Option<u64>,
    /// Keys that may log in as root, as `ssh-keygen -l` lists them: `256 SHA256:... comment (ED25519)`.
    pub authorized_keys: Vec<String>,
    /// Where all that was written.
    #[serde(skip)]
    pub places: Places,
}

impl Plan {
    /// SHA-256 of the plan's JSON: equal plans have equal fingerprints, on every host.
    pub fn fingerprint(&self) -> Sha256 {
        // Serialising to memory fails only for maps whose keys are not text; ours are. A wrong but stable value
        // would be worse than a stop.
        let json =
            serde_json::to_vec(self).unwrap_or_else(|error| unreachable!("a plan is plain data: {error}"));
        Sha256::of(json)
    }
}

/// A thing's name (file stem) and title.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Named {
    /// The file's stem: `minimal`, `x86-pc`.
    pub name: String,
    /// One line for people.
    pub title: String,
}

/// Debian architectures that we build for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

impl Arch {
    /// As Debian writes it.
    pub fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.debian())
    }
}

/// A package that somebody asked for.
#[derive(Clone, Debug, Serialize)]
pub struct PackageRequest {
    /// Debian package name.
    pub name: String,
    /// Only the board asks for it (kernel, firmware, boot loader), not the recipe or an overlay.
    pub board_only: bool,
    /// Where it was asked for first, so that an unknown name can be shown in its file.
    #[serde(skip)]
    pub origin: Origin,
}

/// Files that vary from build to build, and that devices may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Varies {
    /// Absolute path; a part of it may have `*` and `?`, and `**` is any number of directories.
    pub path: String,
    /// Why.
    pub why: String,
}

/// A step that is done as root in the running system while the image is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bake {
    /// What it does.
    pub name: String,
    /// The overlay that it is of.
    pub from: String,
    /// A shell command.
    pub command: String,
    /// Seconds that it may take.
    pub timeout: u64,
    /// Whether it may reach the internet.
    pub network: bool,
}

/// A source of packages beside Debian's own suites.
#[derive(Clone, Debug, Serialize)]
pub struct PackageSource {
    /// The recipe's name for it: lower case letters, digits and `-`.
    pub name: String,
    /// Where it is.
    pub place: SourcePlace,
    /// Packages that are taken from here even if Debian has them too, sorted. If there are some, everything else of
    /// this source is only taken when nobody else has it.
    pub packages: Vec<String>,
    /// apt's priority of `packages`, or of the whole source if there are none (`apt_preferences(5)`).
    pub priority: Option<i16>,
    /// Where it is written.
    #[serde(skip)]
    pub origin: Origin,
}

/// Where a [`PackageSource`] is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourcePlace {
    /// Another suite of the Debian mirror.
    Suite {
        /// `bookworm-backports`.
        suite: String,
        /// Components, sorted, `main` first.
        components: Vec<String>,
    },
    /// A repository of somebody else.
    Repository {
        /// Its address, without a slash at its end.
        url: String,
        /// `bookworm`, `stable`.
        suite: String,
        /// Its components.
        components: Vec<String>,
        /// The key file.
        key: Content,
        /// Where the key file is in the tree that people edit.
        #[serde(skip)]
        key_path: String,
        /// The key's fingerprint, 40 hexadecimal digits, upper case, if the recipe says it. If not, the lock does: a person
        /// confirmed it once.
        fingerprint: Option<String>,
    },
    /// A directory of .deb files in the tree that people edit.
    Directory {
        /// Path relative to the tree.
        path: String,
        /// Its .deb files, sorted by name.
        files: Vec<DebFile>,
        /// Where it is on the build host.
        #[serde(skip)]
        absolute: PathBuf,
    },
}

/// A .deb file in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DebFile {
    /// File name.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Bytes.
    pub size: u64,
}

/// One entry that we put into the root tree ourselves.
#[derive(Clone, Debug, Serialize)]
pub struct TreeFile {
    /// Absolute path in the tree, without `.` or `..`: `/etc/hostname`.
    pub path: String,
    /// Who brings it: an overlay's name, or `clic` for what the image itself needs.
    pub from: String,
    /// What it is.
    pub kind: TreeFileKind,
    /// Permission bits, e.g. `0o644`. Ignored for symlinks.
    pub mode: u32,
    /// Owner's name, looked up in the tree's own `/etc/passwd`.
    pub owner: String,
    /// Group's name, looked up in the tree's own `/etc/group`.
    pub group: String,
}

/// What a [`TreeFile`] is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TreeFileKind {
    /// A regular file.
    File(Content),
    /// A directory.
    Directory,
    /// A symbolic link to this target.
    Symlink(String),
}

/// A regular file's content.
#[derive(Clone, Debug, Serialize)]
pub struct Content {
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Bytes.
    pub size: u64,
    /// The bytes themselves.
    #[serde(skip)]
    pub data: Data,
}

/// Where a content's bytes are.
#[derive(Clone, Debug)]
pub enum Data {
    /// In memory (rendered templates, generated files).
    Bytes(std::sync::Arc<[u8]>),
    /// In a file of the tree that people edit.
    File(PathBuf),
}

impl Data {
    /// Reads the bytes.
    pub fn read(&self) -> std::io::Result<std::sync::Arc<[u8]>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::File(path) => Ok(std::fs::read(path)?.into()),
        }
    }
}

/// What happens to a systemd unit while building.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct UnitChange {
    /// Unit name with its suffix: `ssh.service`.
    pub name: String,
    /// Enabled, disabled or masked.
    pub state: UnitState,
    /// The overlay that asked.
    pub from: String,
}

/// State of a unit in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnitState {
    /// `systemctl enable`.
    Enabled,
    /// `systemctl disable`.
    Disabled,
    /// `systemctl mask`.
    Masked,
}

/// One thing that a boot test asserts. Written into the image (`/usr/lib/clic/image.json`), so that an image
/// can be tested by itself.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Check {
    /// A sentence that is true when the check passes: `SSH answers`.
    pub name: String,
    /// The overlay that declares it.
    pub from: String,
    /// What is looked at.
    pub probe: Probe,
    /// How long it may take to become true, in seconds.
    pub timeout: u64,
    /// Whether it takes minutes on a machine that is emulated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub long: bool,
}

/// What a [`Check`] looks at.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Probe {
    /// A shell command run as root in the guest.
    Command {
        /// Run by `/bin/sh -c`.
        command: String,
        /// Exit code that passes.
        exit: i32,
        /// Text that its standard output must contain.
        contains: Option<String>,
    },
    /// A systemd unit is active.
    Unit {
        /// Name with suffix.
        unit: String,
    },
    /// A TCP port of the guest answers a connection from outside.
    Port {
        /// Port number.
        port: u16,
        /// Text that the first bytes received must contain, e.g. `SSH-2.0`.
        contains: Option<String>,
    },
    /// A file of the running guest.
    File {
        /// Absolute path.
        path: String,
        /// Text that it must contain.
        contains: Option<String>,
        /// Permission bits that it must have, e.g. `0o644`.
        mode: Option<u32>,
    },
    /// An HTTP request from outside the guest.
    Http {
        /// Port number.
        port: u16,
        /// Path with a leading slash.
        path: String,
        /// Value of the Host header.
        host: Option<String>,
        /// Status that passes.
        status: u16,
        /// Text that the body must contain.
        contains: Option<String>,
    },
}

/// How the disk is divided.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Disk {
    /// Kind of partition table.
    pub table: Table,
    /// Partitions in the order of the table.
    pub partitions: Vec<Partition>,
}

/// Kinds of partition tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// GUID partition table with a protective MBR.
    Gpt,
    /// DOS partition table, primary partitions only.
    Mbr,
}

/// A partition.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Partition {
    /// `root`, `firmware`, `esp`, `bios`.
    pub name: String,
    /// What it holds.
    pub fs: Filesystem,
    /// Its size.
    pub size: PartitionSize,
    /// First sector (512 bytes each) if it must be there; else the next multiple of 1 MiB.
    pub first_sector: Option<u64>,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Filesystem {
    /// FAT32.
    Fat32,
    /// ext4.
    Ext4,
    /// No file system: GRUB's core image for BIOSes.
    BiosBoot,
}

/// Size of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionSize {
    /// Bytes.
    Fixed(u64),
    /// As large as its content plus this many free bytes.
    Fit {
        /// Bytes left free for the file system's user.
        free: u64,
    },
}

/// How a board starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Boot {
    /// GRUB for BIOS, UEFI x64 and UEFI ia32 on one GPT disk.
    Grub,
    /// Raspberry Pi firmware on a FAT partition, with config.txt and cmdline.txt.
    RaspiFirmware,
}

/// How to stand in for the board in QEMU.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Emulate {
    /// `pc` (three firmwares, through the image's boot loader) or `raspi3b`.
    pub machine: Machine,
    /// Guest memory in MiB, where the machine lets us choose.
    pub memory: u32,
    /// Seconds from power-on to a verdict after which a boot counts as hung (without acceleration).
    pub timeout: u64,
}

/// QEMU machines that we know how to drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    /// An x86 PC, started by BIOS, UEFI x64 and UEFI ia32.
    Pc,
    /// A Raspberry Pi 3 B.
    Raspi3b,
}
