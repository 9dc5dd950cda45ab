//! One path of an image: a file's bytes or a directory's listing.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::Result;
use clic_host::{UserError, figures};
use serde::Serialize;

use super::columns;
use crate::read::{DiskImage, EntryKind, Fat, FatEntry};

/// What a path of an image leads to.
pub enum Found<'a> {
    /// A regular file; [`FoundFile::copy`] gives its bytes.
    File(FoundFile<'a>),
    /// A directory and what is in it.
    Directory(Listing),
}

/// A regular file of an image.
pub enum FoundFile<'a> {
    /// In the root file system, by its real path.
    Root(&'a DiskImage, Vec<u8>),
    /// In a FAT partition.
    Fat(Box<Fat>, String),
}

impl FoundFile<'_> {
    /// Copies the file's bytes to `out`; how many.
    pub fn copy(&self, out: &mut impl Write) -> Result<u64> {
        match self {
            Self::Root(image, path) => image.root()?.copy(path, out),
            Self::Fat(fat, path) => fat.copy(path, out),
        }
    }
}

/// A directory of an image.
#[derive(Clone, Debug, Serialize)]
pub struct Listing {
    /// Where it is, with its partition's name: `root:/etc`.
    pub directory: String,
    /// What is in it, sorted by name.
    pub entries: Vec<ListedEntry>,
}

/// A line of a [`Listing`].
#[derive(Clone, Debug, Serialize)]
pub struct ListedEntry {
    /// Name.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes.
    pub size: u64,
    /// Permission bits in octal, numeric owner and group, and seconds since 1970; `None` on FAT.
    pub unix: Option<UnixFacts>,
    /// Target of a symbolic link.
    pub target: Option<String>,
}

/// What FAT does not have.
#[derive(Clone, Debug, Serialize)]
pub struct UnixFacts {
    /// Permission bits in octal: `0644`.
    pub mode: String,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
}

/// Looks up a path: absolute in the root file system, or `PARTITION:/path`. Symbolic links are followed inside the
/// image. A [`UserError`] when there is nothing, or neither a file nor a directory.
pub fn inspect_path<'a>(image: &'a DiskImage, path: &str) -> Result<Found<'a>> {
    let (name, inner) = match path.split_once(":/") {
        Some((name, inner)) if !name.contains('/') => (Some(name), format!("/{inner}")),
        _ => (None, path.to_owned()),
    };
    let names: Vec<&str> = image
        .partitions()
        .iter()
        .filter(|p| p.fs.is_some())
        .map(|p| p.name.as_str())
        .collect();
    let names = names.join(", ");
    if !inner.starts_with('/') {
        return Err(UserError::new(format!("{path} is not an absolute path"))
            .help(format!(
                "write /{path}, or PARTITION:/{path} with one of: {names}"
            ))
            .into());
    }
    let root = image.root_partition();
    let partition = match name {
        None => root,
        Some(name) => image.partition(name),
    };
    let Some(partition) = partition.filter(|partition| partition.fs.is_some()) else {
        let what = format!("the image has no file system called {}", name.unwrap_or("root"));
        return Err(UserError::new(what).help(format!("it has: {names}")).into());
    };
    if partition.holds("fat") {
        return in_fat(image.fat(partition)?, &partition.name, &inner);
    }
    if root.is_none_or(|root| root.entry.index != partition.entry.index) {
        let what = format!(
            "partition {} is not the root file system, the only ext4 that is read",
            partition.name
        );
        return Err(UserError::new(what).into());
    }
    in_root(image, &partition.name, &inner)
}

fn missing(place: &str) -> UserError {
    UserError::new(format!("there is no {place} in the image"))
}

fn in_fat<'a>(fat: Fat, name: &str, path: &str) -> Result<Found<'a>> {
    let place = format!("{name}:{path}");
    let entry = fat.entry(path)?.ok_or_else(|| missing(&place))?;
    if !entry.directory {
        return Ok(Found::File(FoundFile::Fat(Box::new(fat), entry.path)));
    }
    let listed = |entry: FatEntry| ListedEntry {
        name: entry.path.rsplit('/').next().unwrap_or("").to_owned(),
        kind: if entry.directory {
            EntryKind::Directory
        } else {
            EntryKind::File
        },
        size: entry.size,
        unix: None,
        target: None,
    };
    let entries = fat.list(path)?.into_iter().map(listed).collect();
    Ok(Found::Directory(Listing {
        directory: place,
        entries,
    }))
}

fn in_root<'a>(image: &'a DiskImage, name: &str, path: &str) -> Result<Found<'a>> {
    let root = image.root()?;
    let Some(entry) = root.stat_target(path)? else {
        return Err(match root.read_link(path)? {
            Some(target) => {
                let target = String::from_utf8_lossy(&target).into_owned();
                UserError::new(format!("{path} points to {target}, which is not in the image"))
            }
            None => missing(path),
        }
        .into());
    };
    match entry.kind {
        EntryKind::File => Ok(Found::File(FoundFile::Root(image, entry.path))),
        EntryKind::Directory => {
            let mut entries = Vec::new();
            for entry in root.list(&entry.path)? {
                let target = if entry.kind == EntryKind::Symlink {
                    root.read_link(&entry.path)?
                } else {
                    None
                };
                entries.push(ListedEntry {
                    name: String::from_utf8_lossy(entry.file_name()).into_owned(),
                    kind: entry.kind,
                    size: entry.size,
                    unix: Some(UnixFacts {
                        mode: format!("{:04o}", entry.mode),
                        uid: entry.uid,
                        gid: entry.gid,
                        mtime: entry.mtime,
                    }),
                    target: target.map(|target| String::from_utf8_lossy(&target).into_owned()),
                });
            }
            let directory = format!("{name}:{}", entry.display());
            Ok(Found::Directory(Listing { directory, entries }))
        }
        kind => Err(UserError::new(format!("{path} is a {kind}"))
            .help("give the path of a file or directory")
            .into()),
    }
}

impl Listing {
    /// The listing for people.
    pub fn text(&self) -> String {
        let rows = self.entries.iter().map(|entry| {
            let mut name = entry.name.clone();
            match (&entry.target, entry.kind) {
                (Some(target), _) => {
                    let _ = write!(name, " -> {target}");
                }
                (None, EntryKind::Directory) => name.push('/'),
                _ => {}
            }
            let size = if entry.kind == EntryKind::File {
                figures::size(entry.size)
            } else {
                "-".into()
            };
            match &entry.unix {
                Some(unix) => vec![
                    unix.mode.clone(),
                    unix.uid.to_string(),
                    unix.gid.to_string(),
                    size,
                    name,
                ],
                None => vec![size, name],
            }
        });
        let unix = self.entries.first().is_none_or(|entry| entry.unix.is_some());
        let head: &[&str] = if unix {
            &["mode", "uid", "gid", "size", "name"]
        } else {
            &["size", "name"]
        };
        format!("{}\n{}", self.directory, columns(head, rows))
    }
}
