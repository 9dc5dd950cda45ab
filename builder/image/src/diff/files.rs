//! What changed in the files of two images: those of FAT file systems, and those of the root.

use std::collections::BTreeMap;

use anyhow::Result;
use clic_host::figures;

use super::bytes::{ContentChange, begin, content};
use super::{Detail, Difference, FileChange, FileChangeKind};
use crate::read::{DiskImage, Entry, EntryKind, Root};

/// Largest file of a FAT file system whose bytes are compared one by one, in bytes: more than any kernel or initramfs.
const MAX_FAT_FILE: u64 = 512 << 20;

/// A file of either kind of file system.
struct Item {
    size: u64,
    /// Everything but the content, in the order in which it is told.
    facts: Vec<(&'static str, String)>,
    file: bool,
    mtime: i64,
}

pub(super) fn files(a: &DiskImage, b: &DiskImage, difference: &mut Difference) -> Result<()> {
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
            (Some(old), None) => add(
                path,
                FileChangeKind::Removed,
                (Some(old.size), None),
                Vec::new(),
                None,
            ),
            (None, Some(new)) => add(
                path,
                FileChangeKind::Added,
                (None, Some(new.size)),
                Vec::new(),
                None,
            ),
            (Some(old), Some(new)) => {
                let content = if old.file && new.file {
                    differs(path)?
                } else {
                    None
                };
                let mut details = details(old, new);
                if content.is_some() {
                    details.push(Detail {
                        what: "content",
                        from: figures::size(old.size),
                        to: figures::size(new.size),
                    });
                }
                if !details.is_empty() {
                    let sizes = (Some(old.size), Some(new.size));
                    add(path, FileChangeKind::Changed, sizes, details, content);
                } else if old.mtime != new.mtime {
                    out.only_times += 1;
                }
            }
            (None, None) => {}
        }
    }
    Ok(())
}

/// The facts in which two items differ.
fn details(old: &Item, new: &Item) -> Vec<Detail> {
    let changed = |(what, from): &(&'static str, String)| {
        let (_, to) = new.facts.iter().find(|(other, _)| other == what)?;
        (to != from).then(|| Detail {
            what,
            from: from.clone(),
            to: to.clone(),
        })
    };
    old.facts.iter().filter_map(changed).collect()
}
