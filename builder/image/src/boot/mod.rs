//! What makes an image start: files for its root tree, commands to run in that tree, and the boot partitions' content.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use clic_host::{Sha256, UserError};
use clic_recipe::plan::{Boot, Content, Data, Filesystem, Partition, Plan, TreeFile, TreeFileKind};
use clic_tree::{FileTree, Follow, Kind};

use crate::embedded::{IMAGE_DESCRIPTION_PATH, ImageDescription};
use crate::ids::Ids;
use crate::layout::Layout;
use crate::table::BOOT_CODE;

pub mod grub;
pub mod raspi;

/// Who brings the files of this room, in [`TreeFile::from`].
pub const FROM: &str = "clic";

/// A command to run as root in the finished tree, after every package is configured, the files are in place and the
/// initramfs is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeCommand {
    /// What it does, for people.
    pub title: String,
    /// Program and arguments.
    pub argv: Vec<String>,
}

impl TreeCommand {
    fn new<S: AsRef<str>>(title: &str, argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            title: title.into(),
            argv: argv.into_iter().map(|word| word.as_ref().to_owned()).collect(),
        }
    }
}

/// All entries that an image adds to the root tree by itself, sorted by path: how it starts, what it mounts, and
/// (`/usr/lib/clic/image.json`) what it is. `others` are the files that come from elsewhere: the overlays' and what is
/// generated. `epoch` in seconds since 1970.
///
/// # Errors
/// A [`UserError`] when `others` bring one of these paths, or the board's disk lacks a partition that it needs to start.
pub fn tree_files(plan: &Plan, others: &[TreeFile], ids: &Ids, epoch: i64) -> Result<Vec<TreeFile>> {
    let mut files = vec![fstab(plan, ids)?, initramfs()];
    files.extend(match plan.boot {
        Boot::Grub => grub::tree_files(plan, ids)?,
        Boot::RaspiFirmware => raspi::tree_files(plan, ids)?,
    });
    let description = ImageDescription::new(plan, epoch, others.iter().chain(&files)).to_json()?;
    files.push(file(IMAGE_DESCRIPTION_PATH, description));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    for own in &files {
        if let Some(other) = others.iter().find(|other| other.path == own.path) {
            return Err(taken(other).into());
        }
    }
    Ok(files)
}

/// That an overlay brings what is the image's own.
pub fn taken(file: &TreeFile) -> UserError {
    UserError::new(format!(
        "overlay {:?} brings {}, which every image makes itself",
        file.from, file.path
    ))
    .help("take the file out of the overlay")
}

/// The commands that make the boot loaders' parts with the tree's own tools, in their order.
pub fn tree_commands(plan: &Plan) -> Vec<TreeCommand> {
    match plan.boot {
        Boot::Grub => grub::tree_commands(plan),
        Boot::RaspiFirmware => raspi::tree_commands(),
    }
}

/// What goes outside the root file system so that the image starts.
#[derive(Debug)]
pub struct Loader {
    /// Label and files of the FAT partitions, by the partition's name.
    pub volumes: BTreeMap<String, FatContent>,
    /// Boot code for sector 0.
    pub boot_code: [u8; BOOT_CODE],
    /// Bytes to put at the beginning of a partition without a file system, by the partition's name.
    pub raw: BTreeMap<String, Vec<u8>>,
}

/// What a FAT partition holds.
#[derive(Debug, Default)]
pub struct FatContent {
    /// Label.
    pub label: String,
    /// Contents by path, with `/` between names and without a leading one.
    pub files: BTreeMap<String, clic_tree::Content>,
}

/// Gathers what the board needs to start from the finished tree.
///
/// # Errors
/// Names what is missing in the tree and the package or step that should have brought it.
pub fn loader(plan: &Plan, ids: &Ids, tree: &FileTree, layout: &Layout) -> Result<Loader> {
    match plan.boot {
        Boot::Grub => grub::loader(tree, layout),
        Boot::RaspiFirmware => raspi::loader(plan, ids, tree),
    }
}

/// The partition with the root file system.
pub(crate) fn root(plan: &Plan) -> Result<&Partition> {
    let found = plan
        .disk
        .partitions
        .iter()
        .find(|partition| partition.fs == Filesystem::Ext4);
    Ok(found.ok_or_else(|| {
        UserError::new(format!(
            "board {:?} has no ext4 partition for the root file system",
            plan.board.name
        ))
    })?)
}

/// The partition that firmware reads.
fn firmware(plan: &Plan) -> Result<&Partition> {
    let found = plan
        .disk
        .partitions
        .iter()
        .find(|partition| partition.fs == Filesystem::Fat32);
    Ok(found.ok_or_else(|| {
        UserError::new(format!(
            "board {:?} has no fat32 partition for its firmware",
            plan.board.name
        ))
    })?)
}

/// `root=` for the kernel's command line.
fn root_argument(plan: &Plan, ids: &Ids) -> Result<String> {
    Ok(format!("UUID={}", ids.fs_uuid(&root(plan)?.name)))
}

fn fstab(plan: &Plan, ids: &Ids) -> Result<TreeFile> {
    let fat = ids.fat_uuid(&firmware(plan)?.name);
    let firmware = match plan.boot {
        // Nothing on a running system needs the ESP, and what is not mounted is not torn by a power cut.
        Boot::Grub => format!("UUID={fat}  /boot/efi  vfat  noauto,umask=0077  0  0\n"),
        // Upgrades of kernel and firmware write to it. A card whose FAT is damaged should still boot: nofail.
        Boot::RaspiFirmware => format!("UUID={fat}  /boot/firmware  vfat  noatime,umask=0077,nofail  0  2\n"),
    };
    let root = root_argument(plan, ids)?;
    let text = format!("{root}  /  ext4  noatime,errors=remount-ro  0  1\n{firmware}");
    Ok(file("/etc/fstab", text))
}

/// By itself update-initramfs looks at the mounted root to know which fsck the initramfs needs, and in a build finds none:
/// no root file system would ever be checked before it is mounted.
fn initramfs() -> TreeFile {
    file(
        "/etc/initramfs-tools/conf.d/clic-root",
        "# The root file system, for the initramfs to have its fsck.\nFSTYPE=ext4\n",
    )
}

/// A regular file of root's, mode 0644.
fn file(path: &str, content: impl Into<Vec<u8>>) -> TreeFile {
    let bytes: Vec<u8> = content.into();
    TreeFile {
        path: path.into(),
        from: FROM.into(),
        kind: TreeFileKind::File(Content {
            sha256: Sha256::of(&bytes),
            size: bytes.len() as u64,
            data: Data::Bytes(Arc::from(bytes)),
        }),
        mode: 0o644,
        owner: "root".into(),
        group: "root".into(),
    }
}

/// A directory of root's, mode 0755.
fn directory(path: &str) -> TreeFile {
    TreeFile {
        kind: TreeFileKind::Directory,
        mode: 0o755,
        ..file(path, Vec::new())
    }
}

/// Where a regular file's bytes are; symbolic and hard links are followed. `from` says which package or step brings
/// it, for the error.
fn data<'a>(tree: &'a FileTree, path: &str, from: &str) -> Result<&'a clic_tree::Content> {
    let missing = || format!("the tree has no {path}, which {from} brings");
    let at = tree.resolve(path, Follow::All).with_context(missing)?;
    match tree.get(&at).map(|entry| &entry.kind) {
        Some(Kind::File(number)) => Ok(tree.content_of(*number)),
        _ => anyhow::bail!("{path} in the tree is not a regular file; {from} brings it"),
    }
}

#[cfg(test)]
pub(crate) mod tests;
