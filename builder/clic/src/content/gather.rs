//! What somebody wants to add, as one list: files, addresses, and what is in folders. Looked at before anything is asked or copied.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clic_host::{UserError, cancel};
use clic_recipe::{is_litter, same_place, served};
use clic_store::space::io_error;

use super::place::Place;
use crate::output;

/// Most files and folders of one folder that becomes a list: nobody finds anything in a longer one.
const MOST_IN_LIST: usize = 2000;
/// Most files and folders of a folder of pages.
const MOST_PAGES: usize = 50_000;
/// The deepest folder of pages, as everywhere in a tree.
const DEEPEST: usize = 32;
/// How many of many are named in a message.
const NAMED: usize = 10;
/// The page that opens first, by the names that people give it.
const INDEX: [&str; 4] = ["index.html", "index.htm", "Index.html", "INDEX.HTM"];

/// One item to be.
#[derive(Debug)]
pub struct Piece {
    /// Where it comes from.
    pub from: Origin,
    /// As people named it.
    pub given: String,
    /// Its path in the bundle; of an address, nobody knows it yet.
    pub path: Option<String>,
    /// What it may be called.
    pub title: String,
    /// Bytes of it that are here.
    pub size: u64,
}

/// Where a piece comes from.
#[derive(Debug)]
pub enum Origin {
    /// A file of this machine, or an address.
    File(Place),
    /// A folder of pages: its files, each relative to it, and which one opens first.
    Pages {
        dir: PathBuf,
        files: Vec<PathBuf>,
        start: &'static str,
    },
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Gathered {
    pub pieces: Vec<Piece>,
    /// What of folders stays behind, each with the reason.
    pub left_out: Vec<String>,
    wrong: Vec<String>,
}

/// Looks at all places that were named, in their order. Errors: all that is wrong with any of them, in one.
pub fn gather(places: &[String], path: Option<&str>) -> Result<Gathered> {
    let mut found = Gathered::default();
    for given in places {
        cancel::check()?;
        let dir = std::path::absolute(given)?;
        if dir.is_dir() {
            found.folder(given, &dir)?;
            continue;
        }
        match Place::of(given) {
            Ok(place) => found.file(given, place, path),
            // One alone says what to do about it, too.
            Err(error) if places.len() == 1 => return Err(error),
            Err(error) => {
                let user = error.downcast_ref::<UserError>();
                found
                    .wrong
                    .push(user.map_or_else(|| error.to_string(), |user| user.what.clone()));
            }
        }
    }
    found.settle(path)
}

impl Gathered {
    fn file(&mut self, given: &str, place: Place, path: Option<&str>) {
        let own = match &place {
            Place::Local(file) => match file.file_name().and_then(|name| name.to_str()) {
                Some(name) => Some(name.to_owned()),
                None if path.is_some() => None,
                None => {
                    self.wrong
                        .push(format!("{} has a name that is not UTF-8", file.display()));
                    return;
                }
            },
            Place::Remote(_) => None,
        };
        let size = match &place {
            Place::Local(file) => file.metadata().map_or(0, |meta| meta.len()),
            Place::Remote(_) => 0,
        };
        self.pieces.push(Piece {
            title: own.as_deref().map(proposed).unwrap_or_default(),
            from: Origin::File(place),
            given: given.to_owned(),
            path: own,
            size,
        });
    }

    /// A folder with a first page is one item of pages; of any other, each file is one, and so is each file of the folders in it.
    fn folder(&mut self, given: &str, dir: &Path) -> Result<()> {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(start) = first_page(dir) {
            return self.pages(given, dir, name, start);
        }
        let before = self.pieces.len();
        for entry in self.entries(dir, "", MOST_IN_LIST)? {
            let Entry { path, name, kind } = entry;
            match kind {
                Kind::File(size) => self.listed(path, name, size),
                Kind::Folder => match first_page(&path) {
                    Some(start) => self.pages(&path.display().to_string(), &path, name, start)?,
                    None => self.below(&path, &name)?,
                },
            }
        }
        if self.pieces.len() == before && self.wrong.is_empty() {
            self.wrong
                .push(format!("there is no file to add in {}", dir.display()));
        }
        Ok(())
    }

    /// The files of a folder in the folder: the deepest that becomes a list.
    fn below(&mut self, dir: &Path, name: &str) -> Result<()> {
        for Entry { path, name, kind } in self.entries(dir, name, MOST_IN_LIST)? {
            match kind {
                Kind::File(size) => self.listed(path, name, size),
                Kind::Folder => match first_page(&path) {
                    Some(start) => self.pages(&path.display().to_string(), &path, name, start)?,
                    None => self.wrong.push(format!(
                        "{} is a folder in a folder in the folder: add it by itself",
                        path.display()
                    )),
                },
            }
        }
        Ok(())
    }

    fn listed(&mut self, path: PathBuf, name: String, size: u64) {
        self.pieces.push(Piece {
            given: path.display().to_string(),
            title: proposed(&name),
            from: Origin::File(Place::Local(path)),
            path: Some(name),
            size,
        });
    }

    fn pages(&mut self, given: &str, dir: &Path, name: String, start: &'static str) -> Result<()> {
        let (mut files, mut size) = (Vec::new(), 0);
        let mut waiting = vec![(dir.to_owned(), String::new(), 0)];
        while let Some((at, inside, depth)) = waiting.pop() {
            for Entry { path, name, kind } in self.entries(&at, &inside, MOST_PAGES)? {
                match kind {
                    Kind::File(bytes) => {
                        size += bytes;
                        files.push(PathBuf::from(name));
                    }
                    Kind::Folder if depth < DEEPEST => waiting.push((path, name, depth + 1)),
                    Kind::Folder => self
                        .wrong
                        .push(format!("{} is in too many folders", path.display())),
                }
            }
            if files.len() + waiting.len() > MOST_PAGES {
                return Err(too_many(dir, MOST_PAGES));
            }
        }
        files.sort();
        self.pieces.push(Piece {
            given: given.to_owned(),
            title: proposed(&name),
            path: Some(name),
            size,
            from: Origin::Pages {
                dir: dir.to_owned(),
                files,
                start,
            },
        });
        Ok(())
    }

    /// What of a directory is taken, in the order that people see: names with `inside` before them.
    fn entries(&mut self, dir: &Path, inside: &str, most: usize) -> Result<Vec<Entry>> {
        let failed = |error| io_error(error, dir);
        let mut found = Vec::new();
        for (count, entry) in std::fs::read_dir(dir).map_err(failed)?.enumerate() {
            cancel::check()?;
            if count >= most {
                return Err(too_many(dir, most));
            }
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let shown = path.display();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                self.wrong
                    .push(format!("{shown} has a name that is not UTF-8: rename it"));
                continue;
            };
            let litter = name.starts_with(['.', '~']) || name.ends_with('~') || is_litter(name.as_bytes());
            // Of the entry itself: no link is followed, wherever it leads.
            let meta = path.symlink_metadata().map_err(|error| io_error(error, &path))?;
            let kind = match meta.file_type() {
                _ if litter => {
                    self.left_out
                        .push(format!("{shown} (hidden, or left by a program)"));
                    continue;
                }
                kind if kind.is_symlink() => {
                    self.left_out.push(format!("{shown} (a link)"));
                    continue;
                }
                kind if kind.is_dir() => Kind::Folder,
                kind if kind.is_file() => Kind::File(meta.len()),
                _ => {
                    self.left_out
                        .push(format!("{shown} (neither a file nor a folder)"));
                    continue;
                }
            };
            let name = match inside {
                "" => name.to_owned(),
                _ => format!("{inside}/{name}"),
            };
            found.push(Entry { path, name, kind });
        }
        found.sort_by(|one, other| natural(&one.name, &other.name));
        Ok(found)
    }

    /// Every name can be one on a box, and no two are one there.
    fn settle(mut self, path: Option<&str>) -> Result<Self> {
        match (path, self.pieces.as_mut_slice()) {
            (Some(path), [one]) => one.path = Some(path.to_owned()),
            (Some(_), [_, _, ..]) => {
                return Err(
                    UserError::new("--path is for one file or address, and there are several").into(),
                );
            }
            _ => {}
        }
        let mut places = BTreeMap::new();
        for piece in &self.pieces {
            let Some(name) = &piece.path else { continue };
            if let Err(why) = served(name) {
                self.wrong.push(why);
            }
            if let Some(other) = places.insert(same_place(name), name) {
                self.wrong.push(format!(
                    "`{other}` and `{name}` are one name on many disks: rename one"
                ));
            }
            if let Origin::Pages { dir, files, .. } = &piece.from {
                let bad = files
                    .iter()
                    .filter_map(|file| served(&file.to_string_lossy()).err());
                let bad = bad.map(|why| format!("in {}: {why}", dir.display()));
                self.wrong.extend(bad);
            }
        }
        if self.wrong.is_empty() {
            return Ok(self);
        }
        let help = if self.pieces.len() == 1 {
            "rename it, or give it another name with --path"
        } else {
            "nothing was asked, copied or changed"
        };
        Err(UserError::new(few(&self.wrong)).help(help).into())
    }

    /// Bytes of this machine that would be copied.
    pub fn size(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.size).sum()
    }

    /// What it is and what stays behind, for people.
    pub fn said(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let [_, _, ..] = self.pieces.as_slice() {
            lines.push(format!(
                "{} items, {}",
                self.pieces.len(),
                output::size(self.size())
            ));
        }
        if !self.left_out.is_empty() {
            lines.push(format!("left out: {}", few(&self.left_out)));
        }
        lines
    }
}

struct Entry {
    path: PathBuf,
    name: String,
    kind: Kind,
}

enum Kind {
    File(u64),
    Folder,
}

fn too_many(dir: &Path, most: usize) -> anyhow::Error {
    UserError::new(format!(
        "{} has more than {most} files and folders",
        dir.display()
    ))
    .help("add parts of it, or pack it as one zip file or tar and add that with --unpack")
    .into()
}

/// The first of many, a line each.
fn few(all: &[String]) -> String {
    let text = all[..all.len().min(NAMED)].join("\n    ");
    match all.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text}\n    and {more} more"),
    }
}

fn first_page(dir: &Path) -> Option<&'static str> {
    let is = |name: &&&str| dir.join(name).symlink_metadata().is_ok_and(|meta| meta.is_file());
    INDEX.iter().find(is).copied()
}

/// A title out of a file's name: without its ending and the number at its beginning, and with blanks where people who make files
/// avoid them. `03_le-petit_prince.epub`: `Le petit prince`.
pub fn proposed(path: &str) -> String {
    /// Numbers of more digits are years and titles.
    const DIGITS: usize = 3;
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && ending.len() <= 5 && !ending.contains(' ') => stem,
        _ => name,
    };
    let spaced = |text: &str| {
        text.replace(['_', '-'], " ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let digits = stem.bytes().take_while(u8::is_ascii_digit).count();
    let rest = stem[digits..].strip_prefix(['_', '-', ' ', '.', ')']).map(spaced);
    let rest = rest.filter(|rest| (1..=DIGITS).contains(&digits) && rest.chars().any(char::is_alphabetic));
    let title = rest.unwrap_or_else(|| spaced(stem));
    let mut chars = title.trim_start_matches(['.', ')', ' ']).chars();
    let first = chars.next();
    // One that says nothing is better than none.
    first.map_or_else(
        || name.to_owned(),
        |first| first.to_uppercase().chain(chars).collect(),
    )
}

/// `2 b` before `10 a`, as people count.
fn natural(one: &str, other: &str) -> Ordering {
    // A number where the name has one, else a letter.
    let key = |text: &str| -> Vec<(u64, Option<char>)> {
        let mut parts: Vec<(u64, Option<char>)> = Vec::new();
        let mut counting = false;
        for c in text.to_lowercase().chars() {
            match (c.to_digit(10), parts.last_mut()) {
                (Some(digit), Some((number, _))) if counting => {
                    *number = number.saturating_mul(10).saturating_add(digit.into());
                }
                (Some(digit), _) => parts.push((digit.into(), None)),
                (None, _) => parts.push((0, Some(c))),
            }
            counting = c.is_ascii_digit();
        }
        parts
    };
    let order = |(number, letter): &(u64, Option<char>)| (*letter, *number);
    key(one)
        .iter()
        .map(order)
        .cmp(key(other).iter().map(order))
        .then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests;
