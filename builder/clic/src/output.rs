//! Results on standard output, and how figures are written for people.

use std::io::{self, Write};

use anyhow::Result;
pub use clic_host::figures::size;
use serde::Serialize;

/// Standard output was closed by its reader.
#[derive(Debug)]
pub struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("standard output was closed")
    }
}

impl std::error::Error for ReaderGone {}

/// Writes bytes to standard output. Unlike `print!`, a closed pipe is not a panic.
pub fn bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        other => Ok(other?),
    }
}

/// Standard output for whoever wants a writer. A closed pipe is [`ReaderGone`] here too.
pub struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match io::stdout().lock().write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(io::Error::other(ReaderGone)),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().lock().flush()
    }
}

/// Writes text to standard output, ending with a newline.
pub fn text(text: &str) -> Result<()> {
    let newline = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    bytes(format!("{text}{newline}").as_bytes())
}

/// Writes one JSON object, laid out for reading.
pub fn json(value: &impl Serialize) -> Result<()> {
    text(&serde_json::to_string_pretty(value)?)
}

/// Writes one JSON object on one line.
pub fn json_line(value: &impl Serialize) -> Result<()> {
    text(&serde_json::to_string(value)?)
}

/// Lays out rows in columns, two spaces apart. The last column is left as long as it is.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| width(cell))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, wanted) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', wanted - width(cell) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Columns that a text takes on a terminal, not counting colour sequences. Good for the scripts that our
/// titles are written in; wide characters count as one.
fn width(text: &str) -> usize {
    let mut count = 0;
    let mut in_sequence = false;
    for c in text.chars() {
        match (in_sequence, c) {
            (false, '\x1b') => in_sequence = true,
            (true, 'm') => in_sequence = false,
            (true, _) => {}
            (false, _) => count += 1,
        }
    }
    count
}

/// A duration in seconds for people: `3.2 s`, `4 min 05 s`.
pub fn seconds(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    #[allow(clippy::cast_sign_loss, reason = "at least 60 here")]
    let whole = seconds.round() as u64;
    if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colors: bool,
}

impl Style {
    /// With colours or without.
    pub fn new(colors: bool) -> Self {
        Self { colors }
    }

    /// Whether there are colours.
    pub fn colors(self) -> bool {
        self.colors
    }

    /// Passed, ready.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Works, but could be better.
    pub fn fair(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Failed, missing.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Headings.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Details.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// `code` is an SGR parameter of ECMA-48 (`31` is red).
    fn paint(self, code: &str, text: &str) -> String {
        if self.colors {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_their_units() {
        assert_eq!(seconds(3.21), "3.2 s");
        assert_eq!(seconds(245.4), "4 min 05 s");
        assert_eq!(seconds(3_660.0), "1 h 01 min");
    }

    #[test]
    fn columns_line_up_in_spite_of_colours() {
        let style = Style::new(true);
        let rows = vec![
            vec![style.good("ok"), "a".to_owned()],
            vec!["missing".to_owned(), "b".to_owned(), String::new()],
        ];
        assert_eq!(table(&rows), "\x1b[32mok\x1b[0m       a\nmissing  b\n");
    }
}
