//! What a store holds, entry by entry.

use std::fs::{DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use clic_host::cancel;
use serde::Serialize;

use crate::layers::is_hash;
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
    /// It is no whole thing: a download begun, or half of a layer.
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
                        let partial = !is_hash(&name);
                        found.extend(look(root, Kind::Downloads, &[dir.path().join(name)], partial));
                    }
                }
            }
            Some(Kind::Layers) => {
                let files = list(&path)?;
                let has = |name: &str| files.iter().any(|(other, _)| other == name);
                for (name, entry) in &files {
                    let key = name.strip_suffix(".json").filter(|key| is_hash(key));
                    if key.is_some() {
                        let tar = entry.path().with_extension("tar");
                        found.extend(look(root, Kind::Layers, &[entry.path(), tar], false));
                    } else if !name
                        .strip_suffix(".tar")
                        .is_some_and(|key| has(&format!("{key}.json")))
                    {
                        found.extend(look(root, Kind::Layers, &[entry.path()], true));
                    }
                }
            }
            Some(kind @ (Kind::Tools | Kind::Indexes | Kind::Logs | Kind::Scratch)) => {
                for (_, entry) in list(&path)? {
                    found.extend(look(root, kind, &[entry.path()], false));
                }
            }
            Some(kind) => found.extend(look(root, kind, &[path], false)),
            None => {}
        }
    }
    found.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(found)
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
fn look(root: &Path, kind: Kind, paths: &[PathBuf], partial: bool) -> Option<Entry> {
    let first = paths.first()?;
    let mut entry = Entry {
        kind,
        name: first.strip_prefix(root).ok()?.display().to_string(),
        files: 0,
        bytes: 0,
        used: std::fs::symlink_metadata(first).ok()?.modified().ok()?,
        paths: paths.to_vec(),
        partial,
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
