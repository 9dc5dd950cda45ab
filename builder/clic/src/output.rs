//! The border to whoever watches: all that is printed goes through here, results to standard output and the rest to standard
//! error. What others wrote (names, titles, files, servers, guests) can not steer a terminal: hidden characters are written out,
//! and only the colours that we gave ourselves become escape sequences. Logins of addresses are left out.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::sync::LazyLock;

use anyhow::Result;
pub use clic_host::figures::size;
use clic_host::plain::{ascii, hidden, one_line, without_logins};
use serde::Serialize;
use unicode_width::UnicodeWidthChar as _;

/// Stands for ESC in our own colours on their way to the border: a private character that each run chooses anew, so that nobody
/// can have written it before.
static ESCAPE: LazyLock<char> = LazyLock::new(|| {
    // Planes 15 and 16 are for private use, but for the last two of each.
    let chosen = RandomState::new().build_hasher().finish() % 0xfffe;
    u32::try_from(chosen)
        .ok()
        .and_then(|at| char::from_u32(0xf_0000 + at))
        .unwrap_or('\u{f0000}')
});

/// Standard output was closed by its reader.
#[derive(Debug)]
pub struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("standard output was closed")
    }
}

impl std::error::Error for ReaderGone {}

/// Whether the locale's characters are those of Unicode (POSIX.1, environment variables: the first of these that is set).
pub fn unicode() -> bool {
    static UNICODE: LazyLock<bool> = LazyLock::new(|| {
        let set = |name: &&str| std::env::var(name).is_ok_and(|value| !value.is_empty());
        let names = ["LC_ALL", "LC_CTYPE", "LANG"];
        let locale = names
            .into_iter()
            .find(set)
            .and_then(|name| std::env::var(name).ok());
        locale.is_some_and(|locale| is_utf8(&locale))
    });
    *UNICODE
}

/// `fr_FR.UTF-8`, `C.utf8@euro`.
fn is_utf8(locale: &str) -> bool {
    let charset = locale.split_once('.').map_or("", |(_, charset)| charset);
    let charset = charset.split('@').next().unwrap_or_default();
    ["utf-8", "utf8"].contains(&charset.to_ascii_lowercase().as_str())
}

/// The text as a terminal of this locale can show it: see above.
pub fn shown(text: &str) -> String {
    let written = written(text);
    if unicode() { written } else { ascii(&written) }
}

/// The text as it may be written: see above.
fn written(text: &str) -> String {
    let text = without_logins(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.find(|c| c == *ESCAPE || hidden(c) && c != '\n' && c != '\t') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let mut chars = from.chars();
        let c = chars.next().unwrap_or_default();
        rest = chars.as_str();
        if c == *ESCAPE && is_colour(rest) {
            out.push('\x1b');
        } else {
            out.extend(c.escape_default());
        }
    }
    out.push_str(rest);
    out
}

/// Whether a text begins with the rest of an SGR sequence of ECMA-48.
fn is_colour(text: &str) -> bool {
    let parameters = text.strip_prefix('[').unwrap_or_default();
    parameters
        .trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
        .starts_with('m')
}

/// A text whose escape sequences are all our own colours.
pub fn ours(text: &str) -> String {
    text.replace('\x1b', ESCAPE.encode_utf8(&mut [0; 4]))
}

/// Writes bytes to standard output as they are. Unlike `print!`, a closed pipe is not a panic.
pub fn bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        other => Ok(other?),
    }
}

/// Standard output for the bytes of a file. A closed pipe is [`ReaderGone`] here too. Into a pipe or a file they go as they are; on
/// a terminal, what would steer it is written out.
pub struct Out {
    terminal: bool,
}

impl Out {
    pub fn new() -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = io::stdout().lock();
        let result = if self.terminal {
            out.write_all(on_terminal(bytes).as_bytes()).map(|()| bytes.len())
        } else {
            out.write(bytes)
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(io::Error::other(ReaderGone)),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().lock().flush()
    }
}

/// A piece of a file as a terminal may have it. A character that the piece ends within is shown as damaged.
fn on_terminal(bytes: &[u8]) -> String {
    shown(&String::from_utf8_lossy(bytes))
}

/// Standard error for who wants a writer and writes whole lines.
pub struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write_all(on_terminal(bytes).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// Writes a line, or several, to standard error. Nobody is left to be told when that is closed.
pub fn say(text: &str) {
    let _ = io::stderr()
        .lock()
        .write_all(format!("{}\n", shown(text)).as_bytes());
}

/// Writes a question to standard error; the answer comes on the same line.
pub fn ask(question: &str) -> Result<()> {
    let mut to = io::stderr().lock();
    to.write_all(format!("{} ", shown(question)).as_bytes())?;
    Ok(to.flush()?)
}

/// Answers a command line that is not one, or that asks for help. clap repeats words of it, which may be names of others' files.
pub fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if text == shown(&text) {
        // With its colours. Nobody is left to be told when its reader is gone.
        let _ = error.print();
    } else {
        say(text.trim_end());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Writes text to standard output, ending with a newline.
pub fn text(text: &str) -> Result<()> {
    let newline = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    // What others read, names above all, stays as it is.
    let text = if io::stdout().is_terminal() {
        shown(text)
    } else {
        written(text)
    };
    bytes(format!("{text}{newline}").as_bytes())
}

/// Writes one JSON object, laid out for reading.
pub fn json(value: &impl Serialize) -> Result<()> {
    bytes(format!("{}\n", in_json(&serde_json::to_string_pretty(value)?)).as_bytes())
}

/// Writes one JSON object on one line.
pub fn json_line(value: &impl Serialize) -> Result<()> {
    bytes(format!("{}\n", in_json(&serde_json::to_string(value)?)).as_bytes())
}

/// JSON with the hidden characters that it would allow as escapes; they can only be in its strings.
fn in_json(text: &str) -> String {
    let text = &*without_logins(text);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) && c != '\n' {
            let units = c.encode_utf16(&mut [0; 2]).to_vec();
            out.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// Lays out rows in columns, two spaces apart. The last column is left as long as it is. A cell is one line, whatever is in it.
pub fn table(rows: &[Vec<String>]) -> String {
    let one_line = |cell: &String| one_line(cell).into_owned();
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(one_line).collect())
        .collect();
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
    for row in &rows {
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

/// Columns that a text takes on a terminal, not counting colour sequences.
pub fn width(text: &str) -> usize {
    let mut count = 0;
    let mut in_sequence = false;
    for c in text.chars() {
        match (in_sequence, c) {
            (false, c) if c == *ESCAPE => in_sequence = true,
            (true, 'm') => in_sequence = false,
            (true, _) => {}
            (false, c) => count += c.width().unwrap_or(0),
        }
    }
    count
}

/// The text, cut to at most so many columns, with a mark where that was done. It must have no colours.
pub fn fitted(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mark = if unicode() { "…" } else { "..." };
    let room = columns.saturating_sub(width(mark));
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= room
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    if columns >= width(mark) {
        cut.push_str(mark);
    }
    cut
}

/// The text, with spaces up to so many columns.
pub fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Words in lines of at most `width` columns.
pub fn wrap(words: &[&str], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if self::width(line) + 1 + self::width(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push((*word).to_owned()),
        }
    }
    lines
}

/// `1 file`, `3 files`.
pub fn counted(count: impl TryInto<u64>, one: &str) -> String {
    clic_host::figures::counted(count.try_into().unwrap_or(u64::MAX), one)
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
            format!("{escape}[{code}m{text}{escape}[0m", escape = *ESCAPE)
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
        assert_eq!(written(&table(&rows)), "\x1b[32mok\x1b[0m       a\nmissing  b\n");
    }

    #[test]
    fn only_our_own_colours_reach_a_terminal() {
        let name = "\x1b[31m\x1b[2Jname\r\u{202e}";
        let shown = written(&Style::new(true).bold(name));
        assert_eq!(shown, "\x1b[1m\\u{1b}[31m\\u{1b}[2Jname\\r\\u{202e}\x1b[0m");
        // Who guessed our character could only colour what he wrote.
        assert!(!written(&format!("{}]0;title", *ESCAPE)).contains('\x1b'));
        assert_eq!(written(&ours("\x1b[1;31mred\x1b[0m")), "\x1b[1;31mred\x1b[0m");
        assert_eq!(on_terminal(b"a\x1b[2J\xff\n"), "a\\u{1b}[2J\u{fffd}\n");
    }

    #[test]
    fn text_is_cut_by_the_columns_that_it_takes() {
        assert_eq!(fitted("Médiathèque", 11), "Médiathèque");
        assert_eq!(width(&fitted("Médiathèque", 6)), 6);
        assert_eq!(width(&fitted("日本語の本", 6)), 5);
        assert_eq!(padded("日本", 6), "日本  ");
        assert_eq!(fitted("anything", 0), "");
    }

    #[test]
    fn a_locale_without_unicode_gets_ascii() {
        for (locale, unicode) in [
            ("fr_FR.UTF-8", true),
            ("C.utf8", true),
            ("fr_FR.utf8@euro", true),
            ("C", false),
            ("fr_FR.ISO-8859-1", false),
            ("utf8", false),
        ] {
            assert_eq!(is_utf8(locale), unicode, "{locale}");
        }
    }

    #[test]
    fn long_lists_are_wrapped() {
        assert_eq!(wrap(&["abc", "de", "f"], 6), ["abc de", "f"]);
        assert_eq!(wrap(&["été", "à"], 5), ["été à"]);
        assert_eq!(wrap(&[], 6), Vec::<String>::new());
    }

    #[test]
    fn a_cell_forges_no_line() {
        let rows = vec![vec!["a\nok  b".to_owned(), "c".to_owned()]];
        assert_eq!(table(&rows), "a\\nok  b  c\n");
    }

    #[test]
    fn json_has_no_hidden_characters_and_says_the_same() {
        let text = "a\x1b\x7f\u{9b}\u{202e}\u{e0041}b\n";
        let json = in_json(&serde_json::to_string_pretty(&[text]).unwrap());
        assert!(!json.chars().any(|c| hidden(c) && c != '\n'), "{json:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
    }
}
