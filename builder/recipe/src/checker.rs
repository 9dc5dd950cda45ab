//! One file that is being checked: where its values stand, and what is wrong with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use clic_host::Sha256;
use clic_host::plain::hidden;

use crate::raw::At;
use crate::report::{Noted, Problems};
use crate::source::{Origin, Sited, SourceFile};

/// A file, and where problems with it are noted.
pub(crate) struct Checker<'a> {
    pub(crate) file: &'a Arc<SourceFile>,
    pub(crate) problems: &'a mut Problems,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(file: &'a Arc<SourceFile>, problems: &'a mut Problems) -> Self {
        Self { file, problems }
    }

    /// Notes that what stands there is wrong.
    pub(crate) fn wrong(&mut self, place: &impl Written, what: impl Into<String>) -> Noted<'_> {
        self.problems.wrong(&place.place(self.file), what)
    }

    /// Notes each of these keys that is there, where it has no meaning for `what`.
    pub(crate) fn meaningless<'k>(
        &mut self,
        keys: impl IntoIterator<Item = (&'k str, Option<Origin>)>,
        what: &str,
        help: &str,
    ) {
        for (key, origin) in keys {
            if let Some(origin) = origin {
                self.wrong(&origin, format!("`{key}` has no meaning for {what}"))
                    .help(help);
            }
        }
    }

    /// A SHA-256 as `sha256sum` prints it.
    pub(crate) fn sha256(&mut self, raw: &At<String>) -> Option<Sha256> {
        let sha256 = raw.value.parse().ok();
        if sha256.is_none() {
            self.wrong(raw, "this is not a SHA-256")
                .help("64 hexadecimal digits, in lower case, as `sha256sum FILE` prints them");
        }
        sha256
    }

    /// A title: something, on one line.
    pub(crate) fn title(&mut self, title: &At<String>) {
        if title.value.trim().is_empty() {
            self.wrong(title, "the title is empty");
        }
        if let Some(c) = title.value.chars().find(|c| hidden(*c)) {
            let what = format!(
                "the title has a character that nobody sees: {}",
                c.escape_default()
            );
            self.wrong(title, what).help("a title is one line of text");
        }
    }

    /// How much is wrong so far, in all files.
    pub(crate) fn count(&self) -> usize {
        self.problems.count()
    }

    /// The file as a whole: its first line.
    pub(crate) fn beginning(&self) -> Origin {
        self.file.at(self.file.line_span(1))
    }

    /// Every element of a list with its place, and a problem for each that is in it twice.
    pub(crate) fn distinct(&mut self, list: Vec<At<String>>, kind: &str) -> Vec<Sited<String>> {
        let mut seen = BTreeSet::new();
        for element in &list {
            if !seen.insert(&element.value) {
                self.wrong(
                    element,
                    format!("{kind} `{}` is in this list twice", element.value),
                )
                .help("remove one of them");
            }
        }
        self.sited(list)
    }

    /// Every element of a list with its place.
    pub(crate) fn sited<T>(&self, list: Vec<At<T>>) -> Vec<Sited<T>> {
        list.into_iter().map(|element| element.sited(self.file)).collect()
    }
}

/// Something that stands in a file.
pub(crate) trait Written {
    /// Where it stands, `file` being the one that is checked.
    fn place(&self, file: &Arc<SourceFile>) -> Origin;
}

impl<T> Written for At<T> {
    fn place(&self, file: &Arc<SourceFile>) -> Origin {
        self.origin(file)
    }
}

impl<T> Written for Sited<T> {
    fn place(&self, _: &Arc<SourceFile>) -> Origin {
        self.origin.clone()
    }
}

impl Written for Origin {
    fn place(&self, _: &Arc<SourceFile>) -> Origin {
        self.clone()
    }
}
