//! What an overlay puts into the image's tree: `files/`, and the entries of `overlay.toml` that refine it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clic_host::sha256::Hasher;
use clic_host::{Sha256, cancel};

use crate::bundle_files::is_litter;
use crate::checker::Checker;
use crate::debian;
use crate::nearest::nearest;
use crate::plan::{Content, Data};
use crate::raw::{At, RawFile, RawOverlay};
use crate::report::{Problem, Problems};
use crate::source::Origin;
use crate::tree::{Closed, Tree, image_path, inner_path, read_text};

/// Deepest directory under `files/`: a guard against endless recursion, far above any real path.
const DEEPEST: usize = 64;

/// Bytes that are hashed before we look whether to stop.
const PIECE: u64 = 64 << 20;

/// Something that an overlay puts into the image.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Absolute path in the image.
    pub(crate) path: String,
    pub(crate) kind: EntryKind,
    pub(crate) mode: u32,
    pub(crate) owner: String,
    pub(crate) group: String,
    /// Where it comes from, for errors.
    pub(crate) place: EntryPlace,
}

/// Kinds of entries.
#[derive(Debug)]
pub(crate) enum EntryKind {
    /// A file as it is. `said`: so `overlay.toml` says, with `template = false`.
    Plain {
        content: Content,
        said: bool,
    },
    /// A template: all of this file.
    Template(Origin),
    Directory,
    Symlink(String),
}

/// Where a file, a directory or a link of the image was declared.
#[derive(Clone, Debug)]
pub enum EntryPlace {
    /// In `overlay.toml`.
    Declared(Origin),
    /// By being there: path relative to the tree.
    File(PathBuf),
}

impl EntryPlace {
    /// A problem with the entry.
    pub fn problem(&self, message: String) -> Problem {
        match self {
            Self::Declared(origin) => Problem::at(origin, message),
            Self::File(name) => Problem::file(name, message),
        }
    }
}

impl std::fmt::Display for EntryPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Declared(origin) => origin.fmt(f),
            Self::File(name) => name.display().fmt(f),
        }
    }
}

impl Entry {
    /// The template, if it is one.
    pub(crate) fn template(&self) -> Option<&Origin> {
        match &self.kind {
            EntryKind::Template(origin) => Some(origin),
            _ => None,
        }
    }
}

/// All entries of an overlay, sorted by path.
pub(crate) fn collect(tree: &Tree, name: &str, raw: &RawOverlay, checker: &mut Checker<'_>) -> Vec<Entry> {
    let overlay = PathBuf::from("overlays").join(name);
    let mut found = BTreeMap::new();
    let link = |path: &str, target: &str| {
        format!("remove it and write in overlay.toml: [[link]] path = {path:?}, target = {target:?}")
    };
    walk(
        tree,
        &overlay.join("files"),
        "",
        &link,
        0,
        &mut found,
        checker.problems,
    );
    found.retain(|path, _| !is_left_behind(path));

    let mut entries: Vec<Entry> = Vec::new();
    let mut refined = BTreeSet::new();
    for declared in &raw.file {
        let origin = declared.path.origin(checker.file);
        let path = &declared.path.value;
        if let Err(why) = image_path(path) {
            checker.wrong(&origin, why);
            continue;
        }
        if !refined.insert(path.clone()) {
            checker
                .wrong(&origin, format!("{path} has two [[file]] entries"))
                .help("merge them");
            continue;
        }
        let Some(source) = source_of(tree, &overlay, declared, &found, checker) else {
            continue;
        };
        let mode = mode(declared.mode.as_ref(), checker);
        entries.extend(
            file_entry(tree, path, &source, declared.template, checker.problems).map(|(kind, executable)| {
                Entry {
                    path: path.clone(),
                    kind,
                    mode: mode.unwrap_or(executable),
                    owner: user(declared.owner.as_ref(), checker),
                    group: user(declared.group.as_ref(), checker),
                    place: EntryPlace::Declared(origin),
                }
            }),
        );
    }
    for (path, source) in found.iter().filter(|(path, _)| !refined.contains(*path)) {
        if let Err(why) = image_path(path) {
            checker.problems.push(Problem::file(source, why));
            continue;
        }
        entries.extend(
            file_entry(tree, path, source, None, checker.problems).map(|(kind, mode)| Entry {
                path: path.clone(),
                kind,
                mode,
                owner: "root".to_owned(),
                group: "root".to_owned(),
                place: EntryPlace::File(source.clone()),
            }),
        );
    }
    for declared in &raw.directory {
        let origin = declared.path.origin(checker.file);
        if let Err(why) = image_path(&declared.path.value) {
            checker.wrong(&origin, why);
        }
        entries.push(Entry {
            path: declared.path.value.clone(),
            kind: EntryKind::Directory,
            mode: mode(declared.mode.as_ref(), checker).unwrap_or(0o755),
            owner: user(declared.owner.as_ref(), checker),
            group: user(declared.group.as_ref(), checker),
            place: EntryPlace::Declared(origin),
        });
    }
    for declared in &raw.link {
        let origin = declared.path.origin(checker.file);
        if let Err(why) = image_path(&declared.path.value) {
            checker.wrong(&origin, why);
        }
        let target = &declared.target.value;
        if target.is_empty() || target.len() >= 4096 || target.chars().any(char::is_control) {
            checker.wrong(&declared.target, "this can't be the target of a link");
        }
        entries.push(Entry {
            path: declared.path.value.clone(),
            kind: EntryKind::Symlink(target.clone()),
            mode: 0o777,
            owner: "root".to_owned(),
            group: "root".to_owned(),
            place: EntryPlace::Declared(origin),
        });
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
}

/// Whether a path is of what file managers, editors and git users leave in directories, and no image wants: `.gitkeep` holds an empty
/// one for git.
fn is_left_behind(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let of_an_editor = name.ends_with('~')
        || name.starts_with('#') && name.ends_with('#')
        || name.starts_with(".#")
        || name.starts_with('.') && matches!(name.rsplit_once('.'), Some((_, "swp" | "swo")));
    of_an_editor || name == ".gitkeep" || is_litter(path.as_bytes())
}

/// Finds every regular file below a directory: `inside` and its path there, and its path relative to the tree. `link`: what
/// to do about a symbolic link at a path, with its target.
pub(crate) fn walk(
    tree: &Tree,
    directory: &Path,
    inside: &str,
    link: &dyn Fn(&str, &str) -> String,
    depth: usize,
    found: &mut BTreeMap<String, PathBuf>,
    problems: &mut Problems,
) {
    let unreadable = |error: std::io::Error| Problem::file(directory, format!("can't be read: {error}"));
    let full = match tree.place(directory) {
        Ok(full) => full,
        // An overlay may bring no file of its own.
        Err(Closed::Absent(_)) if depth == 0 => return,
        Err(closed) => return problems.push(closed.problem()),
    };
    if !full.is_dir() {
        return problems.push(Problem::file(directory, "must be a directory, not a file"));
    }
    if depth > DEEPEST {
        return problems.push(Problem::file(directory, "is in too many nested directories"));
    }
    let entries = match std::fs::read_dir(full).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(entries) => entries,
        Err(error) => return problems.push(unreadable(error)),
    };
    for entry in entries {
        let relative = directory.join(entry.file_name());
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            problems.push(Problem::file(relative, "has a name that is not UTF-8").help("rename it"));
            continue;
        };
        let path = format!("{inside}/{name}");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(tree, &relative, &path, link, depth + 1, found, problems),
            Ok(kind) if kind.is_file() => {
                found.insert(path, relative);
            }
            Ok(kind) if kind.is_symlink() => {
                let target = std::fs::read_link(entry.path()).unwrap_or_default();
                problems.push(
                    Problem::file(relative, "is a symbolic link; only regular files are taken")
                        .help(link(&path, &target.display().to_string())),
                );
            }
            Ok(_) => {
                problems.push(Problem::file(relative, "is neither a file nor a directory").help("remove it"));
            }
            Err(error) => problems.push(unreadable(error)),
        }
    }
}

/// The file that a `[[file]]` entry is about, relative to the tree.
fn source_of(
    tree: &Tree,
    overlay: &Path,
    declared: &RawFile,
    found: &BTreeMap<String, PathBuf>,
    checker: &mut Checker<'_>,
) -> Option<PathBuf> {
    let Some(source) = &declared.source else {
        let path = &declared.path.value;
        let there = found.get(path).cloned();
        if there.is_none() {
            let missing = overlay.join("files").join(path.trim_start_matches('/'));
            let problem = Problem::at(
                &declared.path.origin(checker.file),
                format!("there is no file {}", missing.display()),
            );
            let near = nearest(path, found.keys().map(String::as_str), 1);
            checker.problems.push(match near.first() {
                Some(name) => problem.help(format!("did you mean `{name}`?")),
                None => problem.help("make that file, or name another one with `source`"),
            });
        }
        return there;
    };
    let origin = source.origin(checker.file);
    let inner = match inner_path(&source.value) {
        Ok(inner) => inner,
        Err(why) => {
            checker.wrong(&origin, why);
            return None;
        }
    };
    let relative = overlay.join(inner);
    if let Err(closed) = tree.place(&relative) {
        checker
            .wrong(&origin, closed.to_string())
            .help("`source` is relative to the overlay's directory");
        return None;
    }
    Some(relative)
}

/// The content, and the mode that the file itself asks for.
fn file_entry(
    tree: &Tree,
    path: &str,
    source: &Path,
    template: Option<bool>,
    problems: &mut Problems,
) -> Option<(EntryKind, u32)> {
    let full = match tree.place(source) {
        Ok(full) => full,
        Err(closed) => {
            problems.push(closed.problem());
            return None;
        }
    };
    let result = full
        .symlink_metadata()
        .map_err(|error| format!("can't be read: {error}"))
        .and_then(|metadata| {
            if !metadata.is_file() {
                return Err(format!("is not a regular file, so it can't be {path}"));
            }
            // The checkout's umask decides about other bits; git keeps only this one.
            Ok(if metadata.permissions().mode() & 0o100 == 0 {
                0o644
            } else {
                0o755
            })
        });
    let mode = match result {
        Ok(mode) => mode,
        Err(why) => {
            problems.push(Problem::file(source, why));
            return None;
        }
    };
    if template == Some(true) {
        return match read_text(&full, source) {
            Ok(text) => Some((EntryKind::Template(text.at(0..0)), mode)),
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
    }
    let said = template.is_some();
    content_of(tree, source, problems).map(|content| (EntryKind::Plain { content, said }, mode))
}

/// The content of a regular file of the tree.
pub(crate) fn content_of(tree: &Tree, relative: &Path, problems: &mut Problems) -> Option<Content> {
    let content = tree.place(relative).map_err(Closed::problem).and_then(|full| {
        let unreadable = |error| Problem::file(relative, format!("can't be read: {error}"));
        let (sha256, size) = hash(&full).map_err(unreadable)?;
        let data = Data::File(full);
        Ok(Content { sha256, size, data })
    });
    content.map_err(|problem| problems.push(problem)).ok()
}

/// SHA-256 and bytes of a file. It may be all holes, and have any size: whoever asks us to stop is heard.
pub(crate) fn hash(path: &Path) -> std::io::Result<(Sha256, u64)> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Hasher::default();
    let mut size = 0;
    loop {
        cancel::check().map_err(std::io::Error::other)?;
        match std::io::copy(&mut file.by_ref().take(PIECE), &mut hasher)? {
            0 => return Ok((hasher.finish(), size)),
            more => size += more,
        }
    }
}

fn mode(raw: Option<&At<String>>, checker: &mut Checker<'_>) -> Option<u32> {
    let raw = raw?;
    match debian::mode(&raw.value) {
        Ok(mode) => Some(mode),
        Err(why) => {
            checker.wrong(raw, why);
            None
        }
    }
}

fn user(raw: Option<&At<String>>, checker: &mut Checker<'_>) -> String {
    let Some(raw) = raw else { return "root".to_owned() };
    if let Err(why) = debian::user_name(&raw.value) {
        checker.wrong(raw, why);
    }
    raw.value.clone()
}
