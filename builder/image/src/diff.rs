//! What changed between two images.

mod bytes;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use crate::read::{DiskImage, Entry, EntryKind, Package, Partition, Root, dpkg, human};

pub use bytes::{Bytes, ContentChange};
use bytes::{SHOWN, begin, content};

/// Lines of one section that the text shows; JSON has them all.
const MAX_LINES: usize = 200;

/// Bytes compared at once.
const CHUNK: usize = 1 << 20;

/// Largest file of a FAT file system whose bytes are compared one by one, in bytes: more than any kernel or initramfs.
const MAX_FAT_FILE: u64 = 512 << 20;

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

/// A file of either kind of file system.
struct Item {
    size: u64,
    /// Everything but the content, in the order in which it is told.
    facts: Vec<(&'static str, String)>,
    file: bool,
    mtime: i64,
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
            (Some(from), Some(to)) if dpkg::compare_versions(from, to) == Ordering::Greater => {
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

fn files(a: &DiskImage, b: &DiskImage, difference: &mut Difference) -> Result<()> {
    for old in a.partitions().iter().filter(|partition| partition.holds("fat")) {
        let Some(new) = b.partition(&old.name).filter(|partition| partition.holds("fat")) else {
            continue;
        };
        let (x, y) = (a.fat(old)?, b.fat(new)?);
        let items = |fat: &crate::read::Fat| -> Result<BTreeMap<Vec<u8>, Item>> {
            Ok(fat
                .walk()?
                .into_iter()
                .map(|entry| {
                    let kind = if entry.directory {
                        EntryKind::Directory
                    } else {
                        EntryKind::File
                    };
                    let facts = vec![("type", kind.to_string())];
                    (
                        entry.path.into_bytes(),
                        Item {
                            size: entry.size,
                            facts,
                            file: !entry.directory,
                            mtime: 0,
                        },
                    )
                })
                .collect())
        };
        let differs = |path: &[u8]| {
            let path = String::from_utf8_lossy(path);
            if x.sha256(&path)? == y.sha256(&path)? {
                return Ok(None);
            }
            let (old, new) = (x.read(&path, MAX_FAT_FILE)?, y.read(&path, MAX_FAT_FILE)?);
            Ok(Some(begin(0, &old, &new)))
        };
        compare(&old.name, &items(&x)?, &items(&y)?, differs, difference)?;
    }
    if let (Some(old), Some(_)) = (a.root_partition(), b.root_partition()) {
        let (x, y) = (a.root()?, b.root()?);
        compare(
            &old.name,
            &root_items(x)?,
            &root_items(y)?,
            |path| content(x, y, path),
            difference,
        )?;
    }
    Ok(())
}

fn root_items(root: &Root) -> Result<BTreeMap<Vec<u8>, Item>> {
    let mut items = BTreeMap::new();
    root.walk("/", &mut |entry: &Entry| {
        let mut facts = vec![("type", entry.kind.to_string())];
        if entry.kind == EntryKind::Symlink {
            let target = root.read_link(&entry.path)?.unwrap_or_default();
            facts.push(("target", String::from_utf8_lossy(&target).into_owned()));
        } else {
            facts.push(("mode", format!("{:04o}", entry.mode)));
        }
        facts.push(("owner", format!("{}:{}", entry.uid, entry.gid)));
        let file = entry.kind == EntryKind::File;
        let size = if file { entry.size } else { 0 };
        items.insert(
            entry.path.clone(),
            Item {
                size,
                facts,
                file,
                mtime: entry.mtime,
            },
        );
        Ok(())
    })?;
    Ok(items)
}

fn compare(
    partition: &str,
    a: &BTreeMap<Vec<u8>, Item>,
    b: &BTreeMap<Vec<u8>, Item>,
    differs: impl Fn(&[u8]) -> Result<Option<ContentChange>>,
    out: &mut Difference,
) -> Result<()> {
    let mut add = |path: &[u8], change, size, details, content| {
        let path = String::from_utf8_lossy(path).into_owned();
        out.files.push(FileChange {
            partition: partition.to_owned(),
            path,
            change,
            size,
            details,
            content,
        });
    };
    let mut paths: Vec<&Vec<u8>> = a.keys().chain(b.keys()).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        clic_host::cancel::check()?;
        match (a.get(path), b.get(path)) {
            (Some(old), None) => {
                add(
                    path,
                    FileChangeKind::Removed,
                    (Some(old.size), None),
                    Vec::new(),
                    None,
                );
            }
            (None, Some(new)) => {
                add(
                    path,
                    FileChangeKind::Added,
                    (None, Some(new.size)),
                    Vec::new(),
                    None,
                );
            }
            (Some(old), Some(new)) => {
                let mut details = Vec::new();
                for (what, from) in &old.facts {
                    let to = new
                        .facts
                        .iter()
                        .find(|(other, _)| other == what)
                        .map(|(_, to)| to);
                    if let Some(to) = to.filter(|to| *to != from) {
                        details.push(Detail {
                            what,
                            from: from.clone(),
                            to: to.clone(),
                        });
                    }
                }
                let content = if old.file && new.file {
                    differs(path)?
                } else {
                    None
                };
                if content.is_some() {
                    details.push(Detail {
                        what: "content",
                        from: human(old.size),
                        to: human(new.size),
                    });
                }
                if !details.is_empty() {
                    add(
                        path,
                        FileChangeKind::Changed,
                        (Some(old.size), Some(new.size)),
                        details,
                        content,
                    );
                } else if old.mtime != new.mtime {
                    out.only_times += 1;
                }
            }
            (None, None) => {}
        }
    }
    Ok(())
}

impl Difference {
    /// The difference for people.
    pub fn text(&self) -> String {
        if self.identical {
            return format!("{} and {} are identical\n", self.a, self.b);
        }
        let mut out = format!("{} -> {}\n", self.a, self.b);
        // Writing to a String cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        if let Some((a, b)) = self.size {
            writeln!(out, "size: {} -> {} ({a} -> {b} bytes)", human(a), human(b))?;
        }
        if let Some(first) = &self.first_difference {
            let place = first
                .partition
                .as_ref()
                .map_or("outside of all partitions".into(), |name| format!("in {name}"));
            writeln!(
                out,
                "bytes differ from {} on ({place}): {}",
                first.offset, first.bytes
            )?;
        }
        let partitions = self.partitions.iter().map(|change| match change.what {
            "added" => format!("+ {} ({})", change.partition, change.to),
            "removed" => format!("- {} ({})", change.partition, change.from),
            what => format!("~ {}: {what} {} -> {}", change.partition, change.from, change.to),
        });
        section(out, "Partitions", partitions)?;
        let packages = self.packages.iter().map(|change| {
            let version = |version: &Option<String>| version.clone().unwrap_or_default();
            match change.change {
                PackageChangeKind::Added => format!("+ {} {}", change.name, version(&change.to)),
                PackageChangeKind::Removed => format!("- {} {}", change.name, version(&change.from)),
                kind => format!(
                    "~ {} {} -> {}{}",
                    change.name,
                    version(&change.from),
                    version(&change.to),
                    if kind == PackageChangeKind::Downgraded {
                        " (downgrade)"
                    } else {
                        ""
                    }
                ),
            }
        });
        section(out, "Packages", packages)?;
        let files = self.files.iter().map(|change| {
            let place = if change.partition == "root" {
                change.path.clone()
            } else {
                format!("{}:{}", change.partition, change.path)
            };
            match change.change {
                FileChangeKind::Added => format!("+ {place} ({})", human(change.size.1.unwrap_or(0))),
                FileChangeKind::Removed => format!("- {place} ({})", human(change.size.0.unwrap_or(0))),
                FileChangeKind::Changed => {
                    let details: Vec<String> = change
                        .details
                        .iter()
                        .map(|detail| format!("{} {} -> {}", detail.what, detail.from, detail.to))
                        .collect();
                    let bytes = change
                        .content
                        .as_ref()
                        .map(|content| format!(", from byte {} on {}", content.offset, content.bytes))
                        .unwrap_or_default();
                    format!("~ {place}: {}{bytes}", details.join(", "))
                }
            }
        });
        section(out, "Files", files)?;
        if self.only_times > 0 {
            writeln!(out, "\n{} files differ in their times only", self.only_times)?;
        }
        if self.partitions.is_empty()
            && self.packages.is_empty()
            && self.files.is_empty()
            && self.only_times == 0
        {
            writeln!(
                out,
                "partitions, packages and files are the same: what differs is below them (boot code, free space, \
                 file system structures, extended attributes)"
            )?;
        }
        Ok(())
    }
}

fn section(out: &mut String, title: &str, lines: impl ExactSizeIterator<Item = String>) -> std::fmt::Result {
    let count = lines.len();
    if count == 0 {
        return Ok(());
    }
    writeln!(out, "\n{title} ({count})")?;
    for line in lines.take(MAX_LINES) {
        writeln!(out, "  {line}")?;
    }
    if count > MAX_LINES {
        writeln!(out, "  ... and {} more (--json has them all)", count - MAX_LINES)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
