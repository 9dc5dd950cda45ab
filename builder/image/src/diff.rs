//! What changed between two images.

mod bytes;
mod files;
mod text;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use anyhow::Result;
use clic_debian::version;
use serde::Serialize;

use crate::read::{DiskImage, Package, Partition};

use bytes::SHOWN;
pub use bytes::{Bytes, ContentChange};
use files::files;

/// Bytes compared at once.
const CHUNK: usize = 1 << 20;

/// What changed from one image to another.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Path of the first image.
    pub a: String,
    /// Path of the second image.
    pub b: String,
    /// Whether they are the same to the byte. Then everything else is empty.
    pub identical: bool,
    /// Where their bytes differ first.
    pub first_difference: Option<FirstDifference>,
    /// Sizes in bytes, when they differ.
    pub size: Option<(u64, u64)>,
    /// Partition tables and partitions.
    pub partitions: Vec<PartitionChange>,
    /// Packages, sorted by name.
    pub packages: Vec<PackageChange>,
    /// Files, sorted by partition and path.
    pub files: Vec<FileChange>,
    /// Files that differ in their time only.
    pub only_times: u64,
}

/// Where two images begin to differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirstDifference {
    /// Byte in both images.
    pub offset: u64,
    /// The partition of the first image that it is in.
    pub partition: Option<String>,
    /// What is there.
    pub bytes: Bytes,
}

/// A change of a partition, or of the table (`partition` is `table`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionChange {
    /// The partition's name.
    pub partition: String,
    /// What changed: `first-sector`, `sectors`, `type`, `uuid`, `fs`, `fs-uuid`, `fs-label`, `added`, `removed`, `kind`, `id`.
    pub what: &'static str,
    /// Before.
    pub from: String,
    /// After.
    pub to: String,
}

/// A change of an installed package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// Name, with the architecture where one is installed for several.
    pub name: String,
    /// What happened to it.
    pub change: PackageChangeKind,
    /// Version before.
    pub from: Option<String>,
    /// Version after.
    pub to: Option<String>,
}

/// What happened to a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Its version is higher.
    Upgraded,
    /// Its version is lower.
    Downgraded,
}

/// A change of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// The partition's name.
    pub partition: String,
    /// Absolute path in it.
    pub path: String,
    /// What happened to it.
    pub change: FileChangeKind,
    /// Bytes before and after; `None` on the side where it is not.
    pub size: (Option<u64>, Option<u64>),
    /// What about it changed.
    pub details: Vec<Detail>,
    /// Of a regular file whose content changed: from where on.
    pub content: Option<ContentChange>,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is different.
    Changed,
}

/// One thing about a file that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// `content`, `mode`, `owner`, `type` or `target`.
    pub what: &'static str,
    /// Before.
    pub from: String,
    /// After.
    pub to: String,
}

/// Compares two images: first their bytes; when these differ, what is in them.
pub fn diff(a: &DiskImage, b: &DiskImage) -> Result<Difference> {
    let first_difference = first_difference(a, b)?;
    let mut difference = Difference {
        a: a.path().display().to_string(),
        b: b.path().display().to_string(),
        identical: first_difference.is_none(),
        first_difference,
        size: (a.size() != b.size()).then_some((a.size(), b.size())),
        partitions: Vec::new(),
        packages: Vec::new(),
        files: Vec::new(),
        only_times: 0,
    };
    if difference.identical {
        return Ok(difference);
    }
    difference.partitions = partitions(a, b);
    difference.packages = packages(&installed(a)?, &installed(b)?);
    files(a, b, &mut difference)?;
    Ok(difference)
}

fn first_difference(a: &DiskImage, b: &DiskImage) -> Result<Option<FirstDifference>> {
    let shorter = a.size().min(b.size());
    let mut at = 0;
    let mut found = None;
    while at < shorter && found.is_none() {
        clic_host::cancel::check()?;
        let len = CHUNK.min(usize::try_from(shorter - at).unwrap_or(CHUNK));
        let (x, y) = (a.bytes().bytes(at, len)?, b.bytes().bytes(at, len)?);
        if x != y {
            let inside = x.iter().zip(&y).position(|(x, y)| x != y).unwrap_or(0);
            let rest = |bytes: &[u8]| bytes.get(inside..).unwrap_or_default().to_vec();
            found = Some((at + inside as u64, Bytes::of(&rest(&x), &rest(&y))));
        }
        at += len as u64;
    }
    if found.is_none() && a.size() != b.size() {
        let rest = |image: &DiskImage| -> Result<Vec<u8>> {
            let left = usize::try_from(image.size() - shorter).unwrap_or(SHOWN);
            Ok(image.bytes().bytes(shorter, left.min(SHOWN))?)
        };
        found = Some((shorter, Bytes::of(&rest(a)?, &rest(b)?)));
    }
    Ok(found.map(|(offset, bytes)| FirstDifference {
        offset,
        bytes,
        partition: a
            .partitions()
            .iter()
            .find(|p| (p.offset()..p.offset().saturating_add(p.size())).contains(&offset))
            .map(|p| p.name.clone()),
    }))
}

fn partitions(a: &DiskImage, b: &DiskImage) -> Vec<PartitionChange> {
    let mut changes = Vec::new();
    let mut change = |partition: &str, what, from: String, to: String| {
        if from != to {
            changes.push(PartitionChange {
                partition: partition.to_owned(),
                what,
                from,
                to,
            });
        }
    };
    change(
        "table",
        "kind",
        format!("{:?}", a.table().kind),
        format!("{:?}", b.table().kind),
    );
    change("table", "id", a.table().id.clone(), b.table().id.clone());
    let place = |p: &Partition| {
        format!(
            "sectors {} to {}",
            p.entry.first_sector,
            p.entry
                .first_sector
                .saturating_add(p.entry.sectors)
                .saturating_sub(1)
        )
    };
    for old in a.partitions() {
        let Some(new) = b.partition(&old.name) else {
            change(&old.name, "removed", place(old), String::new());
            continue;
        };
        change(
            &old.name,
            "first-sector",
            old.entry.first_sector.to_string(),
            new.entry.first_sector.to_string(),
        );
        change(
            &old.name,
            "sectors",
            old.entry.sectors.to_string(),
            new.entry.sectors.to_string(),
        );
        change(&old.name, "type", old.entry.kind.clone(), new.entry.kind.clone());
        change(&old.name, "uuid", old.entry.uuid.clone(), new.entry.uuid.clone());
        let fs = |p: &Partition| {
            p.fs.clone().unwrap_or_else(|| crate::read::FileSystem {
                kind: "none".into(),
                label: None,
                uuid: String::new(),
            })
        };
        let (x, y) = (fs(old), fs(new));
        change(&old.name, "fs", x.kind, y.kind);
        change(&old.name, "fs-uuid", x.uuid, y.uuid);
        change(
            &old.name,
            "fs-label",
            x.label.unwrap_or_default(),
            y.label.unwrap_or_default(),
        );
    }
    for new in b.partitions() {
        if a.partition(&new.name).is_none() {
            change(&new.name, "added", String::new(), place(new));
        }
    }
    changes
}

fn installed(image: &DiskImage) -> Result<Vec<Package>> {
    let all = if image.root_partition().is_some() {
        image.packages()?
    } else {
        Vec::new()
    };
    Ok(all.into_iter().filter(Package::installed).collect())
}

fn packages(a: &[Package], b: &[Package]) -> Vec<PackageChange> {
    let several = |name: &str| {
        [a, b]
            .iter()
            .any(|all| all.iter().filter(|p| p.name == name).count() > 1)
    };
    let name = |package: &Package| {
        if several(&package.name) {
            format!("{}:{}", package.name, package.architecture)
        } else {
            package.name.clone()
        }
    };
    let map = |all: &[Package]| -> BTreeMap<String, String> {
        all.iter()
            .map(|package| (name(package), package.version.clone()))
            .collect()
    };
    let (a, b) = (map(a), map(b));
    let mut changes = Vec::new();
    for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
        let (from, to) = (a.get(name), b.get(name));
        let change = match (from, to) {
            (Some(from), Some(to)) if from == to => continue,
            (Some(from), Some(to)) if version::compare(from, to) == Ordering::Greater => {
                PackageChangeKind::Downgraded
            }
            (Some(_), Some(_)) => PackageChangeKind::Upgraded,
            (None, _) => PackageChangeKind::Added,
            (_, None) => PackageChangeKind::Removed,
        };
        changes.push(PackageChange {
            name: name.clone(),
            change,
            from: from.cloned(),
            to: to.cloned(),
        });
    }
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}

#[cfg(test)]
mod tests;
