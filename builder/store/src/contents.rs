//! What a store holds, entry by entry.

use std::ffi::OsStr;
use std::fs::{DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use clic_host::{Sha256, cancel};
use serde::Serialize;

use crate::space::io_error;

/// What an [`Entry`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A file that was downloaded.
    Downloads,
    /// A finished stage of a tree.
    Layers,
    /// Programs for the build host.
    Tools,
    /// What apt knows of an archive.
    Indexes,
    /// What a run said.
    Logs,
    /// Space of one run, gone with it.
    Scratch,
    /// Something else that a room keeps.
    Other,
}

impl Kind {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Downloads => "downloads",
            Self::Layers => "layers",
            Self::Tools => "tools",
            Self::Indexes => "indexes",
            Self::Logs => "logs",
            Self::Scratch => "scratch",
            Self::Other => "other",
        }
    }

    fn of(room: &str) -> Option<Self> {
        Some(match room {
            "downloads" => Self::Downloads,
            "layers" => Self::Layers,
            "tools" => Self::Tools,
            "apt" => Self::Indexes,
            "logs" => Self::Logs,
            "tmp" => Self::Scratch,
            // Empty files.
            "locks" | "runs" => return None,
            _ => Self::Other,
        })
    }
}

/// One thing that a store holds, which comes and goes as a whole.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its path in the store.
    pub name: String,
    /// Files that it has.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// When it was last used.
    pub used: SystemTime,
    /// Absolute paths of its files or directories, in the order that they are to be removed in.
    pub(crate) paths: Vec<PathBuf>,
    /// It is not a complete thing: a download begun, or half of a layer.
    pub(crate) partial: bool,
}

/// Everything in the store at `root`, sorted by kind and name. A store that is not there yet holds nothing, and what a
/// running build removes while we look is left out. Symlinks are not followed.
pub fn contents(root: &Path) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    for (name, entry) in list(root)? {
        let path = entry.path();
        match Kind::of(&name) {
            Some(Kind::Downloads) => {
                for (_, dir) in list(&path.join("sha256"))? {
                    cancel::check()?;
                    for (name, _) in list(&dir.path())? {
                        let partial = hash(name.as_ref()).is_none();
                        let entry = look(root, Kind::Downloads, &[dir.path().join(name)]);
                        found.extend(entry.map(|entry| Entry { partial, ..entry }));
                    }
                }
            }
            Some(Kind::Layers) => {
                let files = list(&path)?;
                let has = |name: &str| files.iter().any(|(other, _)| other == name);
                for (name, entry) in &files {
                    let key = name.strip_suffix(".json").and_then(|key| hash(key.as_ref()));
                    if key.is_some() {
                        let tar = entry.path().with_extension("tar");
                        found.extend(look(root, Kind::Layers, &[entry.path(), tar]));
                    } else if !name
                        .strip_suffix(".tar")
                        .is_some_and(|key| has(&format!("{key}.json")))
                    {
                        let entry = look(root, Kind::Layers, &[entry.path()]);
                        found.extend(entry.map(|entry| Entry {
                            partial: true,
                            ..entry
                        }));
                    }
                }
            }
            Some(kind @ (Kind::Tools | Kind::Indexes | Kind::Logs | Kind::Scratch)) => {
                for (_, entry) in list(&path)? {
                    found.extend(look(root, kind, &[entry.path()]));
                }
            }
            Some(kind) => found.extend(look(root, kind, &[path])),
            None => {}
        }
    }
    found.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(found)
}

/// The hash that a download or a layer has as its name.
pub(crate) fn hash(name: &OsStr) -> Option<Sha256> {
    name.to_str()?.parse().ok()
}

/// Names and entries of a directory; none if it is not there.
fn list(dir: &Path) -> Result<Vec<(String, DirEntry)>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        other => other.map_err(|error| io_error(error, dir))?,
    };
    let entries = entries.flatten();
    Ok(entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry))
        .collect())
}

/// `None` if the first path is gone.
fn look(root: &Path, kind: Kind, paths: &[PathBuf]) -> Option<Entry> {
    let first = paths.first()?;
    let mut entry = Entry {
        kind,
        name: first.strip_prefix(root).ok()?.display().to_string(),
        files: 0,
        bytes: 0,
        used: std::fs::symlink_metadata(first).ok()?.modified().ok()?,
        paths: paths.to_vec(),
        partial: false,
    };
    for path in paths {
        if let Ok(meta) = std::fs::symlink_metadata(path) {
            add(path, &meta, &mut entry, 0);
        }
    }
    Some(entry)
}

/// Adds up regular files. What a directory holds directly says when it was used.
fn add(path: &Path, meta: &Metadata, entry: &mut Entry, depth: u32) {
    if depth <= 1
        && let Ok(modified) = meta.modified()
    {
        entry.used = entry.used.max(modified);
    }
    if meta.is_file() {
        entry.files += 1;
        entry.bytes = entry.bytes.saturating_add(meta.len());
    } else if meta.is_dir() && !cancel::requested() {
        for (_, inner) in list(path).unwrap_or_default() {
            if let Ok(meta) = inner.metadata() {
                add(&inner.path(), &meta, entry, depth + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::Duration;

    fn write(root: &Path, name: &str, bytes: usize) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, vec![b'x'; bytes]).unwrap();
    }

    fn day(number: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(number * 24 * 3600)
    }

    #[test]
    fn each_room_has_its_kind_and_its_entries() {
        let dir = tempfile::tempdir().unwrap();
        let hash = "0f".repeat(32);
        for (name, bytes) in [
            (format!("downloads/sha256/0f/{hash}"), 1),
            (format!("downloads/sha256/0f/{hash}.part"), 2),
            (format!("layers/{hash}.json"), 3),
            (format!("layers/{hash}.tar"), 4),
            (format!("layers/{}.tar", "a0".repeat(32)), 5),
            ("layers/notes.json".to_owned(), 6),
            ("tools/qemu/bin/qemu".to_owned(), 7),
            ("tools/qemu/share/bios".to_owned(), 8),
            ("apt/one/lists/a".to_owned(), 9),
            ("logs/run.log".to_owned(), 10),
            ("tmp/tree-1/etc/x".to_owned(), 11),
            ("tmp/tree-1.lock".to_owned(), 0),
            ("mirrors/a".to_owned(), 12),
            ("mirrors/b/c".to_owned(), 13),
            ("locks/gc".to_owned(), 14),
            ("runs/run-1".to_owned(), 15),
        ] {
            write(dir.path(), &name, bytes);
        }
        let found: Vec<(String, String, u64, u64, bool)> = contents(dir.path())
            .unwrap()
            .into_iter()
            .map(|entry| {
                let kind = entry.kind.name().to_owned();
                (kind, entry.name, entry.files, entry.bytes, entry.partial)
            })
            .collect();
        let row =
            |kind: &str, name: String, files, bytes, partial| (kind.to_owned(), name, files, bytes, partial);
        assert_eq!(
            found,
            [
                row("downloads", format!("downloads/sha256/0f/{hash}"), 1, 1, false),
                row(
                    "downloads",
                    format!("downloads/sha256/0f/{hash}.part"),
                    1,
                    2,
                    true
                ),
                row("layers", format!("layers/{hash}.json"), 2, 7, false),
                row("layers", format!("layers/{}.tar", "a0".repeat(32)), 1, 5, true),
                row("layers", "layers/notes.json".into(), 1, 6, true),
                row("tools", "tools/qemu".into(), 2, 15, false),
                row("indexes", "apt/one".into(), 1, 9, false),
                row("logs", "logs/run.log".into(), 1, 10, false),
                row("scratch", "tmp/tree-1".into(), 1, 11, false),
                row("scratch", "tmp/tree-1.lock".into(), 1, 0, false),
                row("other", "mirrors".into(), 2, 25, false),
            ]
        );
    }

    #[test]
    fn what_lies_directly_in_a_directory_says_when_it_was_used() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "tools/qemu/marker", 1);
        write(dir.path(), "tools/qemu/bin/deep", 1);
        let set = |name: &str, when| {
            let file = File::open(dir.path().join(name)).unwrap();
            file.set_modified(when).unwrap();
        };
        let used = || contents(dir.path()).unwrap()[0].used;
        set("tools/qemu/bin/deep", day(9));
        set("tools/qemu/bin", day(1));
        set("tools/qemu/marker", day(2));
        set("tools/qemu", day(3));
        assert_eq!(used(), day(3));
        set("tools/qemu/marker", day(4));
        assert_eq!(used(), day(4));
        set("tools/qemu/bin", day(5));
        assert_eq!(used(), day(5), "but not what lies deeper");
    }

    #[test]
    fn what_cannot_be_read_is_no_empty_store() {
        let dir = tempfile::tempdir().unwrap();
        let name = "x".repeat(300);
        let error = contents(&dir.path().join(&name)).unwrap_err();
        assert!(format!("{error:#}").contains(&name), "{error:#}");
    }
}
