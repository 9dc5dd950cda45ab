//! Reading a finished image back: the raw file, never a mount, never root. Everything in it is hostile until
//! checked, so errors are [`UserError`]s that say which image, which partition and what is wrong.

use std::cell::OnceCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clic_debian::status;
use clic_host::UserError;
use serde::Serialize;

pub mod fat;
pub mod root;
pub mod table;
pub mod window;

pub use clic_debian::status::Package;
pub use fat::{Fat, FatEntry};
pub use root::{Entry, EntryKind, Root, RootFile};
pub use table::{DiskTable, SECTOR, TablePartition};
pub use window::{Window, WindowReader};

use crate::embedded::{self, ImageDescription};

/// Largest dpkg record that is read, in bytes. A desktop's is about 3 MB.
const MAX_STATUS: u64 = 64 << 20;

/// A raw disk image, opened to be read.
pub struct DiskImage {
    path: PathBuf,
    whole: Window,
    table: DiskTable,
    partitions: Vec<Partition>,
    root: OnceCell<Root>,
    description: OnceCell<Option<ImageDescription>>,
}

/// A partition and what it holds.
#[derive(Clone, Debug, Serialize)]
pub struct Partition {
    /// What we call it: the description's name, else the table's, else a guess from what it is.
    pub name: String,
    /// Its entry in the table.
    #[serde(flatten)]
    pub entry: TablePartition,
    /// File system found in it.
    pub fs: Option<FileSystem>,
}

impl Partition {
    /// First byte in the image.
    pub fn offset(&self) -> u64 {
        self.entry.first_sector.saturating_mul(SECTOR)
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.entry.sectors.saturating_mul(SECTOR)
    }

    /// Whether a file system of this kind (`ext4`, `fat32`, ...) is in it.
    pub fn holds(&self, kind: &str) -> bool {
        self.fs.as_ref().is_some_and(|fs| fs.kind.starts_with(kind))
    }
}

/// A file system found in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileSystem {
    /// `ext4`, `fat32`, `fat16` or `fat12`.
    pub kind: String,
    /// Label, if it has one.
    pub label: Option<String>,
    /// UUID, or a FAT's serial number (`1234-ABCD`).
    pub uuid: String,
}

impl DiskImage {
    /// Opens the image at `path` and reads its partition table. A [`UserError`] when it is missing, empty, a directory,
    /// compressed, truncated or no disk image at all.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| {
            let error = UserError::new(format!("cannot read the image {name}: {error}"));
            error.help("give the .img file that `clic build` wrote")
        })?;
        let metadata = file.metadata().with_context(|| format!("looking at {name}"))?;
        if metadata.is_dir() {
            let what = format!("{name} is a directory, not a disk image");
            return Err(UserError::new(what).help("give the .img file in it").into());
        }
        if !metadata.is_file() {
            return Err(UserError::new(format!("{name} is not a regular file"))
                .help("copy the device into a file first, or give the .img file that `clic build` wrote")
                .into());
        }
        if metadata.len() == 0 {
            let what = format!("{name} is empty");
            return Err(UserError::new(what)
                .help("build or download the image again")
                .into());
        }
        let whole = Window::new(Arc::new(file), 0, metadata.len());
        if let Some(error) = other_format(&whole, &name) {
            return Err(error.into());
        }
        let table = table::read(&whole, &name)?;
        let partitions = table.partitions.iter().map(|entry| find(&whole, entry)).collect();
        let mut image = Self {
            path: path.to_owned(),
            whole,
            table,
            partitions,
            root: OnceCell::new(),
            description: OnceCell::new(),
        };
        image.name_partitions();
        Ok(image)
    }

    /// Names by the description where it fits the table; else the table's labels; else what they hold.
    fn name_partitions(&mut self) {
        let planned: Vec<String> = match self.description() {
            Ok(Some(description)) => description
                .disk
                .partitions
                .iter()
                .map(|partition| partition.name.clone())
                .collect(),
            // A damaged root is told by whoever needs it.
            _ => Vec::new(),
        };
        if planned.len() == self.partitions.len() {
            for (partition, name) in self.partitions.iter_mut().zip(planned) {
                partition.name = name;
            }
        }
    }

    /// Where the image is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.whole.len()
    }

    /// The whole image's bytes.
    pub fn bytes(&self) -> &Window {
        &self.whole
    }

    /// Its partition table.
    pub fn table(&self) -> &DiskTable {
        &self.table
    }

    /// Its partitions in the order of the table.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The partition of this name, e.g. `firmware`.
    pub fn partition(&self, name: &str) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.name == name)
    }

    /// The partition with the root file system: the ext4 one called `root`, else the last ext4 one.
    pub fn root_partition(&self) -> Option<&Partition> {
        let mut ext4 = self.partitions.iter().filter(|partition| partition.holds("ext4"));
        let named = self
            .partitions
            .iter()
            .find(|partition| partition.holds("ext4") && partition.name == "root");
        named.or_else(|| ext4.next_back())
    }

    /// The FAT partition that the firmware reads: an ESP or a Raspberry Pi's.
    pub fn boot_partition(&self) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.holds("fat"))
    }

    /// A partition's bytes.
    pub fn window(&self, partition: &Partition) -> Window {
        self.whole.part(partition.offset(), partition.size())
    }

    /// Opens a FAT partition.
    pub fn fat(&self, partition: &Partition) -> Result<Fat> {
        Fat::open(self.window(partition), self.place(partition))
    }

    /// The root file system. A [`UserError`] when there is none or it is damaged.
    pub fn root(&self) -> Result<&Root> {
        if let Some(root) = self.root.get() {
            return Ok(root);
        }
        let partition = self.root_partition().ok_or_else(|| {
            UserError::new(format!(
                "{} has no ext4 partition to be its root",
                self.path.display()
            ))
            .help("give the .img file that `clic build` wrote")
        })?;
        let root = Root::open(self.window(partition), self.place(partition))?;
        Ok(self.root.get_or_init(|| root))
    }

    /// Its description, if it has one: `None` for an image that CLIC! did not build.
    pub fn description(&self) -> Result<Option<&ImageDescription>> {
        if let Some(description) = self.description.get() {
            return Ok(description.as_ref());
        }
        let root = self.root()?;
        let description = match root.stat_target(embedded::IMAGE_DESCRIPTION_PATH)? {
            None => None,
            Some(entry) => {
                let json = root.read(&entry.path, embedded::MAX_SIZE)?;
                let read = ImageDescription::from_json(&json);
                Some(read.with_context(|| format!("reading {}", self.path.display()))?)
            }
        };
        Ok(self.description.get_or_init(|| description).as_ref())
    }

    /// What dpkg says is in it, sorted by name. Empty when there is no dpkg.
    pub fn packages(&self) -> Result<Vec<Package>> {
        let status = self.root()?.text(status::STATUS, MAX_STATUS)?;
        Ok(status.map(|record| status::parse(&record)).unwrap_or_default())
    }

    /// `x86.img, partition 3 (root)`.
    fn place(&self, partition: &Partition) -> String {
        let file = self.path.file_name().unwrap_or(self.path.as_os_str());
        format!(
            "{}, partition {} ({})",
            file.display(),
            partition.entry.index,
            partition.name
        )
    }
}

fn find(disk: &Window, entry: &TablePartition) -> Partition {
    let window = disk.part(
        entry.first_sector.saturating_mul(SECTOR),
        entry.sectors.saturating_mul(SECTOR),
    );
    let fs = if let Some(facts) = root::detect(&window) {
        Some(FileSystem {
            kind: "ext4".into(),
            label: facts.label,
            uuid: facts.uuid,
        })
    } else {
        fat::detect(&window).map(|facts| FileSystem {
            kind: facts.kind.into(),
            label: facts.label,
            uuid: facts.uuid,
        })
    };
    let guess = match (entry.kind.as_str(), &fs) {
        (table::TYPE_ESP | "0xef", _) => Some("esp".to_owned()),
        (table::TYPE_BIOS_BOOT, _) => Some("bios".to_owned()),
        ("0x0c" | "0x0b", _) => Some("firmware".to_owned()),
        (_, Some(fs)) if fs.kind == "ext4" => Some("root".to_owned()),
        _ => None,
    };
    let name = entry
        .label
        .clone()
        .or(guess)
        .unwrap_or_else(|| format!("partition{}", entry.index));
    Partition {
        name,
        entry: entry.clone(),
        fs,
    }
}

/// Files that are not raw images but that people mistake for one, told by their first bytes.
fn other_format(file: &Window, name: &str) -> Option<UserError> {
    let head = file.bytes(0, 8).ok()?;
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let (what, help) = if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        (
            "compressed with zstd",
            format!("decompress it first: zstd -d {name} -o {stem}"),
        )
    } else if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        (
            "compressed with xz",
            format!("decompress it first: xz -dk {name}"),
        )
    } else if head.starts_with(&[0x1f, 0x8b]) {
        (
            "compressed with gzip",
            format!("decompress it first: gzip -dk {name}"),
        )
    } else if head.starts_with(b"BZh") {
        (
            "compressed with bzip2",
            format!("decompress it first: bzip2 -dk {name}"),
        )
    } else if head.starts_with(b"PK\x03\x04") {
        ("a zip archive", format!("unpack it first: unzip {name}"))
    } else if head.starts_with(b"QFI\xfb") {
        (
            "a qcow2 image",
            format!("convert it first: qemu-img convert -O raw {name} {stem}.img"),
        )
    } else {
        return None;
    };
    Some(UserError::new(format!("{name} is {what}, not a raw disk image")).help(help))
}

#[cfg(test)]
mod tests;
