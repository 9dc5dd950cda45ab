//! Where things were written: for errors that show the line.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

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
        write!(f, "{}:{line}:{column}", self.file.name.display())
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
}

impl SourceFile {
    /// Keeps a file's text under the name that errors show.
    pub fn new(name: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            text: text.into(),
        })
    }

    /// Line and column of a byte. An offset past the end means the end.
    pub fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
        }
    }

    /// The bytes of a line, counted from 1, without leading blanks and without its end.
    pub fn line_span(&self, line: usize) -> Range<usize> {
        let mut start = 0;
        for (number, text) in self.text.split_inclusive('\n').enumerate() {
            if number + 1 == line {
                let blanks = text.len() - text.trim_start().len();
                return start + blanks..(start + text.trim_end().len()).max(start + blanks);
            }
            start += text.len();
        }
        self.text.len()..self.text.len()
    }

    /// A place in this file.
    pub fn at(self: &Arc<Self>, span: Range<usize>) -> Origin {
        Origin {
            file: self.clone(),
            span,
        }
    }
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
