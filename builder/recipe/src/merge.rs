//! Puts the overlays' contributions together, where two of them must not contradict each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use clic_host::Sha256;

use crate::debian;
use crate::nearest::advice;
use crate::overlay_files::{Entry, EntryKind, EntryPlace};
use crate::plan::{Content, Data, Preseed, TreeFile, TreeFileKind, UnitChange};
use crate::report::{Problem, Problems};
use crate::source::{Origin, Sited};
use crate::template::{self, Source, Values};

/// What happens to units, each with where it was said first.
#[derive(Default)]
pub(crate) struct Units(BTreeMap<String, (UnitChange, Origin)>);

impl Units {
    /// Notes what happens to a unit; two overlays must not disagree.
    pub(crate) fn add(&mut self, unit: &UnitChange, origin: &Origin, problems: &mut Problems) {
        let Some((earlier, first)) = self.0.get(&unit.name) else {
            self.0.insert(unit.name.clone(), (unit.clone(), origin.clone()));
            return;
        };
        if earlier.state != unit.state {
            problems
                .wrong(
                    origin,
                    format!(
                        "overlays `{}` and `{}` disagree about unit `{}`",
                        earlier.from, unit.from, unit.name
                    ),
                )
                .help(format!("the other one is at {first}"));
        }
    }

    /// Sorted by unit, and where each is written.
    pub(crate) fn finish(self) -> (Vec<UnitChange>, BTreeMap<String, Origin>) {
        let places = self
            .0
            .iter()
            .map(|(name, (_, origin))| (name.clone(), origin.clone()));
        let places = places.collect();
        (self.0.into_values().map(|(unit, _)| unit).collect(), places)
    }
}

/// debconf selections by package and question, each with the overlay that asked.
#[derive(Default)]
pub(crate) struct Preseeds(BTreeMap<(String, String), (Preseed, String)>);

impl Preseeds {
    pub(crate) fn add(
        &mut self,
        preseed: &Sited<String>,
        overlay: &str,
        values: &Values,
        problems: &mut Problems,
    ) {
        let Some(line) = template::render(Source::Inline(&preseed.origin, &preseed.value), values, problems)
        else {
            return;
        };
        let wrong = |why: String| {
            Problem::at(&preseed.origin, why)
                .help("write `package question type value`, like debconf-set-selections")
        };
        if line.chars().any(char::is_control) {
            return problems.push(wrong("a preseed is one line without tabs".to_owned()));
        }
        let line = line.trim().to_owned();
        // How an overlay says that it has no answer for this board or suite.
        if line.is_empty() && preseed.value.contains('{') {
            return;
        }
        let mut words = line.splitn(4, ' ');
        let (Some(package), Some(question), Some(kind)) = (words.next(), words.next(), words.next()) else {
            return problems.push(wrong(format!("`{line}` is not a preseed")));
        };
        if debian::package_name(package).is_err() || question.is_empty() {
            return problems.push(wrong(format!("`{line}` is not a preseed")));
        }
        if !debian::QUESTION_TYPES.contains(&kind) {
            return problems
                .wrong(
                    &preseed.origin,
                    format!("unknown type of debconf question `{kind}`"),
                )
                .help(advice(kind, "types", debian::QUESTION_TYPES));
        }
        let value = words.next().unwrap_or_default();
        if kind == "boolean" && !["true", "false"].contains(&value) {
            return problems
                .wrong(
                    &preseed.origin,
                    format!("`{question}` is answered by `true` or `false`, not by `{value}`"),
                )
                .help("write one of these");
        }
        let key = (package.to_owned(), question.to_owned());
        let new = Preseed {
            package: package.to_owned(),
            question: question.to_owned(),
            kind: kind.to_owned(),
            value: value.to_owned(),
            asked: values.asked(preseed),
        };
        match self.0.get(&key) {
            Some((other, _)) if (&other.kind, &other.value) == (&new.kind, &new.value) => {}
            Some((other, by)) => problems
                .wrong(
                    &preseed.origin,
                    format!("overlays `{by}` and `{overlay}` answer `{question}` differently"),
                )
                .help(format!("the other one is at {}", other.asked.at)),
            None => {
                self.0.insert(key, (new, overlay.to_owned()));
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<Preseed> {
        self.0.into_values().map(|(preseed, _)| preseed).collect()
    }
}

/// Entries of the tree by path, each with where it was declared.
#[derive(Default)]
pub(crate) struct Files(BTreeMap<String, (TreeFile, EntryPlace)>);

impl Files {
    pub(crate) fn add(&mut self, entry: &Entry, overlay: &str, values: &Values, problems: &mut Problems) {
        let kind = match &entry.kind {
            EntryKind::Plain { content, .. } => TreeFileKind::File(content.clone()),
            EntryKind::Directory => TreeFileKind::Directory,
            EntryKind::Symlink(target) => TreeFileKind::Symlink(target.clone()),
            EntryKind::Template(origin) => match template::render(Source::File(origin), values, problems) {
                Some(text) => TreeFileKind::File(content(text.into_bytes())),
                None => return,
            },
        };
        let file = TreeFile {
            path: entry.path.clone(),
            from: overlay.to_owned(),
            kind,
            mode: entry.mode,
            owner: entry.owner.clone(),
            group: entry.group.clone(),
        };
        self.insert(file, entry.place.clone(), problems);
    }

    /// Adds what something else than an overlay declares.
    pub(crate) fn declare(&mut self, entries: Vec<(TreeFile, Origin)>, problems: &mut Problems) {
        for (file, origin) in entries {
            self.insert(file, EntryPlace::Declared(origin), problems);
        }
    }

    fn insert(&mut self, file: TreeFile, place: EntryPlace, problems: &mut Problems) {
        if let Some((earlier, first)) = self.0.get(&file.path) {
            let both_directories = matches!(
                (&earlier.kind, &file.kind),
                (TreeFileKind::Directory, TreeFileKind::Directory)
            );
            let same =
                (earlier.mode, &earlier.owner, &earlier.group) == (file.mode, &file.owner, &file.group);
            if !(both_directories && same) {
                problems.push(clash(&file, &place, earlier, first));
            }
            return;
        }
        self.0.insert(file.path.clone(), (file, place));
    }

    /// Sorted by path, and nothing below something that is not a directory; and where each was declared.
    pub(crate) fn finish(self, problems: &mut Problems) -> (Vec<TreeFile>, BTreeMap<String, EntryPlace>) {
        for (path, (file, place)) in &self.0 {
            let above = path
                .char_indices()
                .filter(|(_, c)| *c == '/')
                .map(|(index, _)| &path[..index]);
            for above in above {
                if let Some((parent, first)) = self.0.get(above)
                    && !matches!(parent.kind, TreeFileKind::Directory)
                {
                    problems.push(clash(file, place, parent, first));
                }
            }
        }
        self.0
            .into_iter()
            .map(|(path, (file, place))| (file, (path, place)))
            .unzip()
    }
}

/// Two entries that can't both be in one image.
fn clash(file: &TreeFile, place: &EntryPlace, other: &TreeFile, first: &EntryPlace) -> Problem {
    let message = match (file.path == other.path, file.from == other.from) {
        (true, true) => format!("overlay `{}` brings {} twice", file.from, file.path),
        (true, false) => format!(
            "overlays `{}` and `{}` both bring {}",
            other.from, file.from, file.path
        ),
        (false, true) => {
            format!(
                "overlay `{}` brings {} below {}, which is not a directory",
                file.from, file.path, other.path
            )
        }
        (false, false) => format!(
            "overlay `{}` brings {} below {}, which overlay `{}` brings and which is not a directory",
            file.from, file.path, other.path, other.from
        ),
    };
    place.problem(message).help(format!("the other one is {first}"))
}

/// Bytes in memory as a file's content.
pub(crate) fn content(bytes: Vec<u8>) -> Content {
    Content {
        sha256: Sha256::of(&bytes),
        size: bytes.len() as u64,
        data: Data::Bytes(Arc::from(bytes)),
    }
}
