//! Text of others where people read it: what steers a terminal, or hides or turns round what stands there, is made visible.

use std::borrow::Cow;

/// Whether a character does something else than to be seen: controls, and what Unicode has to turn text round (UAX 9), to break
/// lines and to be invisible. A newline and a tab are these too.
pub fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{2028}' | '\u{2029}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with each hidden character written out (`\u{1b}`); newlines and tabs stay.
pub fn plain(text: &str) -> Cow<'_, str> {
    written_out(text, |c| hidden(c) && c != '\n' && c != '\t')
}

/// Like [`plain`], and one line: a name that has a newline in it is still one name.
pub fn one_line(text: &str) -> Cow<'_, str> {
    written_out(text, hidden)
}

fn written_out(text: &str, out: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&out) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if out(c) {
            written.extend(c.escape_default());
        } else {
            written.push(c);
        }
    }
    Cow::Owned(written)
}

/// The text without the logins of addresses in it: `http://me:secret@host/` as `http://host/`.
pub fn without_logins(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "://";
    if !text.contains(BEGIN) || !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let (before, after) = rest.split_at(at + BEGIN.len());
        out.push_str(before);
        // Where the part with the host ends (RFC 3986, section 3.2), or the address, in whatever it is written.
        let end = |c: char| c.is_whitespace() || c.is_control() || "/?#\"'`<>\\".contains(c);
        let authority = &after[..after.find(end).unwrap_or(after.len())];
        rest = &after[authority.rfind('@').map_or(0, |at| at + 1)..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// In ASCII: our own signs by ones that look alike, others' letters by their numbers.
pub fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '…' => out.push_str("..."),
            '–' | '—' => out.push('-'),
            '‘' | '’' => out.push('\''),
            '“' | '”' | '«' | '»' => out.push('"'),
            '→' => out.push_str("->"),
            '×' => out.push('x'),
            c if c.is_ascii() => out.push(c),
            c => out.extend(c.escape_default()),
        }
    }
    out
}

/// The text, cut after `most` characters, with a mark where that was done.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        assert_eq!(
            plain("a\u{1b}[2Jb\r\u{9b}1m\u{7f}"),
            "a\\u{1b}[2Jb\\r\\u{9b}1m\\u{7f}"
        );
        assert_eq!(
            plain("abc\u{202e}def\u{2066}\u{feff}"),
            "abc\\u{202e}def\\u{2066}\\u{feff}"
        );
        assert_eq!(plain("one\ttwo\nthree"), "one\ttwo\nthree");
        assert_eq!(one_line("one\ttwo\nthree"), "one\\ttwo\\nthree");
        assert!(matches!(plain("Médiathèque «été» 日本"), Cow::Borrowed(_)));
    }

    #[test]
    fn logins_are_nobody_elses_business() {
        for (text, without) in [
            (
                "from http://me:secret@host:8/a@b, 3 B",
                "from http://host:8/a@b, 3 B",
            ),
            ("\"https://me@host\" ftp://a:b@c", "\"https://host\" ftp://c"),
            ("http://a@b:c@host", "http://host"),
            ("https://host/~a@b and a@b", "https://host/~a@b and a@b"),
            ("a@b ://", "a@b ://"),
        ] {
            assert_eq!(without_logins(text), without);
        }
    }

    #[test]
    fn what_looks_alike_stands_for_what_ascii_lacks() {
        assert_eq!(
            ascii("“été” … → café\u{1b}[0m"),
            "\"\\u{e9}t\\u{e9}\" ... -> caf\\u{e9}\u{1b}[0m"
        );
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(cut("été", 3), "été");
        assert_eq!(cut("étés", 3), "été…");
    }
}
