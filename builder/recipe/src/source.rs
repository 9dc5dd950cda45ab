//! Where things were written: for errors that show the line.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use clic_host::plain::one_line;

/// A place in a file that a person wrote.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Bytes of the file that are meant.
    pub span: Range<usize>,
}

impl Origin {
    /// Line and column of the first byte that is meant.
    pub fn position(&self) -> Position {
        self.file.position(self.span.start)
    }
}

/// `recipes/minimal.toml:7:13`.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Position { line, column } = self.position();
        write!(f, "{}:{line}:{column}", shown(&self.file.name))
    }
}

/// A line and a column, both counted from 1; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// A file that a person wrote, kept for errors.
#[derive(Debug)]
pub struct SourceFile {
    /// Path relative to the tree, as shown in errors: `recipes/minimal.toml`.
    pub name: PathBuf,
    /// Its whole text.
    pub text: String,
    /// Where its lines start: looked up often in a file with many mistakes.
    starts: OnceLock<Vec<usize>>,
}

impl SourceFile {
    /// Keeps a file's text under the name that errors show.
    pub fn new(name: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            text: text.into(),
            starts: OnceLock::new(),
        })
    }

    fn starts(&self) -> &[usize] {
        self.starts.get_or_init(|| {
            let after = self.text.match_indices('\n').map(|(newline, _)| newline + 1);
            std::iter::once(0).chain(after).collect()
        })
    }

    /// How many lines there are; after a newline at the end comes an empty one.
    pub(crate) fn lines(&self) -> usize {
        self.starts().len()
    }

    /// The line of a byte, counted from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.starts().partition_point(|start| *start <= offset)
    }

    /// The bytes of a line, counted from 1, without its newline.
    pub(crate) fn whole_line(&self, line: usize) -> Range<usize> {
        let start = |line: usize| self.starts().get(line).copied();
        match start(line.saturating_sub(1)) {
            Some(from) => from..start(line).map_or(self.text.len(), |next| next - 1),
            None => self.text.len()..self.text.len(),
        }
    }

    /// Line and column of a byte. An offset past the end means the end.
    pub fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line(offset);
        let start = self.whole_line(line).start;
        Position {
            line,
            column: self.text[start..offset].chars().count() + 1,
        }
    }

    /// The bytes of a line, counted from 1, without leading blanks and without its end.
    pub fn line_span(&self, line: usize) -> Range<usize> {
        let whole = self.whole_line(line);
        let text = &self.text[whole.clone()];
        let start = whole.start + (text.len() - text.trim_start().len());
        start..(whole.start + text.trim_end().len()).max(start)
    }

    /// Whether nothing is written at a span: it begins after the end of the text.
    pub(crate) fn is_beyond(&self, span: &Range<usize>) -> bool {
        span.start > self.text.len()
    }

    /// A place in this file.
    pub fn at(self: &Arc<Self>, span: Range<usize>) -> Origin {
        Origin {
            file: self.clone(),
            span,
        }
    }
}

/// A path for people: on one line, whatever its name.
pub(crate) fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy()).into_owned()
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Sited<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let file = SourceFile::new("a.toml", "é = 1\n  title = 2\n");
        assert_eq!(file.position(0), Position { line: 1, column: 1 });
        assert_eq!(file.position(3), Position { line: 1, column: 3 });
        assert_eq!(
            file.position(1),
            Position { line: 1, column: 1 },
            "inside of a character"
        );
        assert_eq!(file.position(9), Position { line: 2, column: 3 });
        assert_eq!(file.position(9999), Position { line: 3, column: 1 });
        assert_eq!(&file.text[file.line_span(2)], "title = 2");
        assert_eq!(file.line_span(77), 19..19);
    }
}
