//! The lines around a mistake, as a report shows them: few, short, and without anything that steers a terminal.

use std::ops::Range;

use clic_host::plain::{ascii, hidden};
use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use crate::source::{Origin, Position, SourceFile, shown};

/// Most bytes of a line that are shown, and how many of them stand before what is meant.
const MOST_LINE: usize = 240;
const BEFORE: usize = 60;
/// Most lines that are shown of what is meant: all of a long table is of no use.
const MOST_LINES: usize = 5;

/// A part of a file, with what is meant in it.
#[derive(Debug)]
pub(super) struct Excerpt {
    name: String,
    text: String,
    /// The line of the file that the text begins with, from 0.
    first: usize,
    /// Where what is meant begins, in the file.
    position: Position,
    /// What is meant, in bytes of the text.
    span: Range<usize>,
}

impl Excerpt {
    /// What stands at a place, and a line before and after it. Without `unicode`, in ASCII.
    pub(super) fn of(origin: &Origin, unicode: bool) -> Self {
        let mark = if unicode { "…" } else { "..." };
        let file = &*origin.file;
        let start = origin.span.start.min(file.text.len());
        let end = origin.span.end.clamp(start, file.text.len());
        let line = file.line(start);
        let last = file
            .line(end.saturating_sub(1).max(start))
            .min(line + MOST_LINES - 1);
        let (from, to) = (line.saturating_sub(1).max(1), (last + 1).min(file.lines()));
        let mut excerpt = Self {
            name: if unicode {
                shown(&file.name)
            } else {
                ascii(&shown(&file.name))
            },
            text: String::new(),
            first: from - 1,
            position: file.position(start),
            span: 0..0,
        };
        let (mut begins, mut ends) = (None, None);
        for number in from..=to {
            let mut line = file.whole_line(number);
            if file.text[line.clone()].ends_with('\r') {
                line.end -= 1;
            }
            let part = window(file, &line, start);
            if part.start > line.start {
                excerpt.text.push_str(mark);
            }
            for (at, c) in file.text[part.clone()].char_indices() {
                let at = part.start + at;
                if at >= start {
                    begins.get_or_insert(excerpt.text.len());
                }
                if at >= end && begins.is_some() {
                    ends.get_or_insert(excerpt.text.len());
                }
                if c != '\t' && (hidden(c) || !unicode && !c.is_ascii()) {
                    excerpt.text.extend(c.escape_default());
                } else {
                    excerpt.text.push(c);
                }
            }
            if start <= line.end {
                begins.get_or_insert(excerpt.text.len());
            }
            if end <= part.end || number == last {
                ends.get_or_insert(excerpt.text.len());
            }
            if part.end < line.end {
                excerpt.text.push_str(mark);
            }
            if number < file.lines() {
                excerpt.text.push('\n');
            }
        }
        let begins = begins.unwrap_or_default();
        excerpt.span = begins..ends.unwrap_or(begins).max(begins);
        excerpt
    }

    pub(super) fn span(&self) -> SourceSpan {
        self.span.clone().into()
    }
}

/// The bytes of a line that are shown: its beginning, or what is around `start` if that is far behind.
fn window(file: &SourceFile, line: &Range<usize>, start: usize) -> Range<usize> {
    let boundary = |mut at: usize| {
        while !file.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let far = line.contains(&start) && start - line.start > MOST_LINE - BEFORE;
    let from = if far { boundary(start - BEFORE) } else { line.start };
    from..boundary((from + MOST_LINE).min(line.end)).max(from)
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let part = self.text.read_span(span, before, after)?;
        // Without context, what is asked for is the place of what is meant.
        let (line, column) = if before == 0 {
            (self.position.line - 1, self.position.column - 1)
        } else {
            (self.first + part.line(), 0)
        };
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            part.data(),
            *part.span(),
            line,
            column,
            part.line_count(),
        )))
    }
}
