//! From TOML text to a raw type, with errors for people.
//!
//! serde stops at the first thing that it does not like. We note it, take that key out of the parsed document and
//! try again, so that a person sees every slip of a file at once.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::checker::Checker;
use crate::nearest::advice;
use crate::report::Problem;
use crate::source::SourceFile;

/// The schema version that this program reads, of all kinds of files.
pub(crate) const SCHEMA: i64 = 1;

/// Most slips of a file's shape that are looked for: each takes another pass over the file.
const MOST_SLIPS: usize = 50;
/// Most elements of a list, and most keys of a table: far more than anybody writes, and few enough that every two of them can be
/// held against each other.
const MOST_ELEMENTS: usize = 5000;

/// Most passes over a file: those that tell a slip, and those that find out what stands for a missing value.
const MOST_PASSES: usize = 4 * MOST_SLIPS;
/// Keys whose values decide what others mean, so that nothing stands for them.
const DECISIVE: [&str; 7] = ["arch", "fs", "kind", "machine", "state", "table", "type"];

/// Reads a file. Every slip of its shape is in `problems`.
///
/// Where only required values are missing or wrong, something stands for each of them, so that all others are looked at all the same:
/// what is said of a stand-in is not told (see [`Problems::wrong`](crate::report::Problems::wrong)). `None` after any other slip:
/// later checks would produce consequences of it.
pub(crate) fn parse<T: DeserializeOwned>(checker: &mut Checker<'_>) -> Option<T> {
    let mut table = match DeTable::parse(&checker.file.text) {
        Ok(table) => table,
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            let said = error.message().replace('\n', ", ");
            if let Some(line) = unclosed(checker.file, checker.file.line(span.start)) {
                let message = format!("not valid TOML: is a `\"` missing on line {line}?");
                checker
                    .wrong(&checker.file.at(checker.file.line_span(line)), message)
                    .help("text stands between two of them, on one line");
            } else {
                let message = format!("not valid TOML: {said}");
                checker.wrong(&checker.file.at(span), message);
            }
            return None;
        }
    };
    check_schema(&table, checker)?;
    if let Some(span) = too_long(table.get_ref()) {
        checker
            .wrong(
                &checker.file.at(span),
                format!("more than {MOST_ELEMENTS} elements are too many to be meant"),
            )
            .help("leave out what is not needed");
        return None;
    }

    // Keys that were there, and were reported for what is in them.
    let mut removed: Vec<String> = Vec::new();
    let mut stand_ins = StandIns {
        next: checker.file.text.len() + 1,
        decisive: false,
    };
    let mut slips = 0;
    for _ in 0..MOST_PASSES {
        let error = match T::deserialize(toml::de::Deserializer::from(table.clone())) {
            Ok(value) => return (removed.is_empty() && !stand_ins.decisive).then_some(value),
            Err(error) => error,
        };
        let message = error.message();
        let span = error.span().unwrap_or(0..0);
        let mut told = checker.file.is_beyond(&span);
        if let Some(key) = quoted_after(message, "missing field ") {
            if let Some(at) = removed.iter().position(|name| name == key) {
                removed.remove(at);
                told = true;
            }
            if told {
                stand_ins.put(&mut table, &span, key)?;
                continue;
            }
        } else if told {
            stand_ins.suit(table.get_mut(), &span, message)?;
            continue;
        }
        // The whole document is meant when a key of the top level is missing: its first line is enough.
        let shown = if span == table.span() {
            checker.file.line_span(1)
        } else {
            span.clone()
        };
        checker.problems.push(explain(message, checker.file, shown));
        slips += 1;
        if slips == MOST_SLIPS {
            return None;
        }
        match quoted_after(message, "missing field ") {
            Some(key) => stand_ins.put(&mut table, &span, key)?,
            None => removed.push(remove(table.get_mut(), &span)?),
        }
    }
    None
}

/// What stands for required values that are missing or wrong. Their spans are beyond the end of the file, where nothing is written.
struct StandIns {
    next: usize,
    /// Whether one stands for what decides about other values, or for a list: then it cannot be told what its absence would bring.
    decisive: bool,
}

impl StandIns {
    /// Puts a text for a key into the table with this span. [`StandIns::suit`] makes something else of it, if that is wanted.
    fn put(&mut self, table: &mut Spanned<DeTable<'_>>, span: &Range<usize>, key: &str) -> Option<()> {
        let into = if table.span() == *span {
            table.get_mut()
        } else {
            table_at(table.get_mut(), span)?
        };
        self.decisive |= DECISIVE.contains(&key);
        self.next += 1;
        let place = self.next - 1..self.next;
        let key = Spanned::new(place.clone(), Cow::Owned(key.to_owned()));
        into.insert(key, Spanned::new(place, DeValue::String(Cow::Borrowed("x"))));
        Some(())
    }

    /// Makes of the stand-in with this span what a message says that is expected.
    fn suit(&mut self, table: &mut DeTable<'_>, span: &Range<usize>, message: &str) -> Option<()> {
        let (_, expected) = message.rsplit_once("expected ")?;
        let text = match expected_names(message).first() {
            Some(name) => format!("x = {name:?}"),
            None => match expected_in_words(expected).as_str() {
                "a list in brackets" => {
                    self.decisive = true;
                    "x = []".to_owned()
                }
                "true or false" => "x = false".to_owned(),
                "a table" => "x = {}".to_owned(),
                number if number.contains("number") => "x = 1".to_owned(),
                _ => return None,
            },
        };
        let value = toml::from_str::<toml::Table>(&text).ok()?.remove("x")?;
        let there = value_at(table, span)?;
        *there = match value {
            toml::Value::String(text) => DeValue::String(Cow::Owned(text)),
            toml::Value::Boolean(value) => DeValue::Boolean(value),
            toml::Value::Array(_) => DeValue::Array(DeArray::default()),
            toml::Value::Table(_) => DeValue::Table(DeTable::default()),
            _ => DeTable::parse("x = 1")
                .ok()?
                .into_inner()
                .remove("x")?
                .into_inner(),
        };
        Some(())
    }
}

/// The innermost table with this span: one that another's header makes has the same.
fn table_at<'m, 't>(table: &'m mut DeTable<'t>, span: &Range<usize>) -> Option<&'m mut DeTable<'t>> {
    match value_at(table, span)? {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// The innermost value with this span.
fn value_at<'m, 't>(table: &'m mut DeTable<'t>, span: &Range<usize>) -> Option<&'m mut DeValue<'t>> {
    table.iter_mut().find_map(|(_, value)| value_inside(value, span))
}

/// Like [`value_at`], with the value itself.
fn value_inside<'m, 't>(
    value: &'m mut Spanned<DeValue<'t>>,
    span: &Range<usize>,
) -> Option<&'m mut DeValue<'t>> {
    let here = value.span() == *span;
    let deeper = match value.get_ref() {
        DeValue::Table(table) => table.values().any(|value| has(value, span)),
        DeValue::Array(array) => array.iter().any(|value| has(value, span)),
        _ => false,
    };
    if !deeper {
        return here.then(|| value.get_mut());
    }
    match value.get_mut() {
        DeValue::Table(table) => value_at(table, span),
        DeValue::Array(array) => array.iter_mut().find_map(|value| value_inside(value, span)),
        _ => None,
    }
}

/// Whether a value, or one in it, has this span.
fn has(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    value.span() == *span
        || match value.get_ref() {
            DeValue::Table(table) => table.values().any(|value| has(value, span)),
            DeValue::Array(array) => array.iter().any(|value| has(value, span)),
            _ => false,
        }
}

/// The line with a text that does not end, if it is what the parser stumbled over at `line`: that one, or the last before it that
/// says something.
fn unclosed(file: &SourceFile, line: usize) -> Option<usize> {
    let text = |number: usize| file.text.get(file.whole_line(number)).unwrap_or_default();
    let says =
        |number: &usize| !text(*number).trim().is_empty() && !text(*number).trim_start().starts_with('#');
    let before = (1..line).rev().find(says);
    // Text of several lines has quotes of its own.
    if file.text.contains("\"\"\"") || file.text.contains("\'\'\'") {
        return None;
    }
    before
        .into_iter()
        .chain([line])
        .find(|number| is_open(text(*number)))
}

/// Whether a text begins on the line and does not end there.
fn is_open(line: &str) -> bool {
    let mut open = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (open, c) {
            (None, '#') => return false,
            (None, '"' | '\'') => open = Some(c),
            (Some('"'), '\\') => drop(chars.next()),
            (Some(quote), c) if c == quote => open = None,
            _ => {}
        }
    }
    open == Some('"')
}

/// Where there is a list or table with too many elements.
fn too_long(table: &DeTable<'_>) -> Option<Range<usize>> {
    let beyond = table.iter().nth(MOST_ELEMENTS).map(|(key, _)| key.span());
    beyond.or_else(|| table.values().find_map(too_long_inside))
}

/// Like [`too_long`], in a value. TOML's parser has bounded how deep that is.
fn too_long_inside(value: &Spanned<DeValue<'_>>) -> Option<Range<usize>> {
    match value.get_ref() {
        DeValue::Table(table) => too_long(table),
        DeValue::Array(array) => {
            let beyond = array.get(MOST_ELEMENTS).map(Spanned::span);
            beyond.or_else(|| array.iter().find_map(too_long_inside))
        }
        _ => None,
    }
}

/// A file of a newer version is told as that, not as a heap of unknown keys.
fn check_schema(table: &Spanned<DeTable<'_>>, checker: &mut Checker<'_>) -> Option<()> {
    let Some(value) = table.get_ref().get("schema") else {
        checker
            .wrong(&checker.beginning(), "the key `schema` is missing")
            .help(format!("start the file with `schema = {SCHEMA}`"));
        return None;
    };
    match value
        .get_ref()
        .as_integer()
        .and_then(|number| number.as_str().parse::<i64>().ok())
    {
        Some(SCHEMA) => Some(()),
        Some(number) => {
            let help = if number > SCHEMA {
                "use a newer clic, or the version of this file that belongs to this one".to_owned()
            } else {
                format!("schema versions start at 1; write `schema = {SCHEMA}`")
            };
            checker
                .wrong(
                    &checker.file.at(value.span()),
                    format!("schema {number} is not known; this clic reads schema {SCHEMA}"),
                )
                .help(help);
            None
        }
        None => {
            checker
                .wrong(&checker.file.at(value.span()), "`schema` must be a whole number")
                .help(format!("write `schema = {SCHEMA}`"));
            None
        }
    }
}

/// Takes out the key or list element that an error points at; the name of the key that went.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let here = table
        .iter()
        .find(|(key, value)| key.span() == *span || value.span() == *span)
        .map(|(key, _)| key.get_ref().to_string());
    if let Some(key) = &here {
        table.remove(key.as_str());
    }
    here.or_else(|| {
        table
            .iter_mut()
            .find_map(|(key, value)| remove_inside(key.get_ref(), value, span))
    })
}

/// Like [`remove`], inside of the value of `key`, which stands for a list element that has no name.
fn remove_inside(key: &str, value: &mut Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<String> {
    match value.get_mut() {
        DeValue::Table(table) => remove(table, span),
        DeValue::Array(array) => {
            if let Some(found) = array
                .iter_mut()
                .find_map(|element| remove_inside(key, element, span))
            {
                return Some(found);
            }
            let before = array.len();
            *array = array
                .iter()
                .filter(|element| element.span() != *span)
                .cloned()
                .collect();
            (array.len() < before).then(|| key.to_owned())
        }
        _ => None,
    }
}

/// serde's and toml's messages in the words of somebody who edits TOML.
fn explain(message: &str, file: &Arc<SourceFile>, span: Range<usize>) -> Problem {
    let origin = file.at(span);
    if let Some(key) = quoted_after(message, "unknown field ") {
        let known = expected_names(message);
        return Problem::at(&origin, format!("unknown key `{key}`")).help(advice(key, "keys here", known));
    }
    if let Some(value) = quoted_after(message, "unknown variant ") {
        let known = expected_names(message);
        return Problem::at(&origin, format!("unknown value `{value}`")).help(advice(value, "values", known));
    }
    if let Some(key) = quoted_after(message, "missing field ") {
        return Problem::at(&origin, format!("the key `{key}` is missing here"))
            .help(format!("add `{key} = ...`"));
    }
    let rest = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = rest.and_then(|rest| rest.rsplit_once(", expected ")) {
        let (found, expected) = (found_in_words(found), expected_in_words(expected));
        return Problem::at(&origin, format!("this must be {expected}, but it is {found}"));
    }
    Problem::at(&origin, message.replace('\n', ", "))
}

/// The text between the backquotes that follow `prefix`.
fn quoted_after<'m>(message: &'m str, prefix: &str) -> Option<&'m str> {
    message.strip_prefix(prefix)?.strip_prefix('`')?.split('`').next()
}

/// The names that a message lists after `expected`.
fn expected_names(message: &str) -> Vec<&str> {
    let list = message.rsplit_once(", expected ").map_or("", |(_, list)| list);
    list.split('`').skip(1).step_by(2).collect()
}

fn found_in_words(found: &str) -> String {
    if let Some(text) = found.strip_prefix("string ") {
        return format!("the text {text}");
    }
    match found.split_once(' ') {
        Some(("integer", number)) => format!("the number {}", number.trim_matches('`')),
        Some(("floating", rest)) => format!(
            "the number {}",
            rest.trim_start_matches("point ").trim_matches('`')
        ),
        Some(("boolean", value)) => value.trim_matches('`').to_owned(),
        _ if found == "map" => "a table".to_owned(),
        _ if found == "sequence" => "a list".to_owned(),
        _ => found.to_owned(),
    }
}

fn expected_in_words(expected: &str) -> String {
    match expected {
        "a string" | "str" | "string" => "text in quotes".to_owned(),
        "a sequence" => "a list in brackets".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "i64" | "i32" => "a whole number".to_owned(),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "u32" | "u64" => "a whole number, 0 or more".to_owned(),
        "f64" => "a number".to_owned(),
        "a map" => "a table".to_owned(),
        _ if expected.starts_with("struct ") => "a table".to_owned(),
        _ if expected.contains("enum ")
            || expected.contains("variant")
            || expected.contains("string or table") =>
        {
            "text in quotes".to_owned()
        }
        _ => expected.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_end_is_found_on_its_line() {
        for (line, open) in [
            ("title = \"a", true),
            ("    \"a, # b", true),
            ("title = \"a\" # it's \"", false),
            ("title = \"a\\\"b\"", false),
            ("title = 'a\"b'", false),
            ("[table]", false),
        ] {
            assert_eq!(is_open(line), open, "{line}");
        }
    }
}
