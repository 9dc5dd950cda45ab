//! Changing a `bundle.toml` and leaving everything in it as people wrote it.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use clic_host::{Sha256, UserError};
use clic_store::{space, write_whole};
use toml_edit::{Array, DocumentMut, Item, RawString, TableLike, Value};

/// A text as TOML writes it.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// `{ fr = "...", en = "..." }`.
pub fn table(texts: &[(String, String)]) -> String {
    let key = |text: &str| {
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !text.is_empty() && text.bytes().all(bare) {
            text.to_owned()
        } else {
            quoted(text)
        }
    };
    let pairs: Vec<String> = texts
        .iter()
        .map(|(language, text)| format!("{} = {}", key(language), quoted(text)))
        .collect();
    format!("{{ {} }}", pairs.join(", "))
}

/// Most bytes of a text that people write: what is larger is not read.
const MOST_TEXT: u64 = 1 << 20;

pub fn read(path: &Path) -> Result<String> {
    let meta = std::fs::metadata(path).map_err(|error| space::io_error(error, path))?;
    // A pipe would be waited for for ever.
    if !meta.is_file() || meta.len() > MOST_TEXT {
        let what = format!("{} is not a text that people write", path.display());
        return Err(UserError::new(what).into());
    }
    std::fs::read_to_string(path).map_err(|error| space::io_error(error, path))
}

/// A file that an item says it has.
#[derive(Debug, PartialEq, Eq)]
pub struct Stated {
    /// Path of the item in the bundle.
    pub path: String,
    /// Path of the file beside `bundle.toml`.
    pub local: Option<String>,
    pub sha256: Option<Sha256>,
    pub size: u64,
    pub unpack: Option<String>,
    pub start: Option<String>,
}

/// What the items of a bundle say, as far as that can be read whatever else is wrong with it.
pub fn stated(text: &str) -> Vec<Stated> {
    let document: DocumentMut = text.parse().unwrap_or_default();
    let one = |item: &dyn TableLike| -> Option<Stated> {
        let word = |key: &str| item.get(key).and_then(Item::as_str).map(str::to_owned);
        let size = item.get("size").and_then(Item::as_integer);
        Some(Stated {
            path: word("path")?,
            local: word("local"),
            sha256: word("sha256").and_then(|hash| hash.to_ascii_lowercase().parse().ok()),
            size: size.and_then(|size| size.try_into().ok()).unwrap_or(0),
            unpack: word("unpack"),
            start: word("start"),
        })
    };
    match document.get("item") {
        Some(Item::ArrayOfTables(items)) => items.iter().filter_map(|item| one(item)).collect(),
        Some(Item::Value(Value::Array(items))) => {
            let items = items.iter().filter_map(Value::as_inline_table);
            items.filter_map(|item| one(item)).collect()
        }
        _ => Vec::new(),
    }
}

/// Paths of the items of a bundle.
pub fn paths(text: &str) -> Vec<String> {
    stated(text).into_iter().map(|item| item.path).collect()
}

/// Language of a bundle, as far as that can be read.
pub fn language(text: &str) -> Option<String> {
    let document: DocumentMut = text.parse().ok()?;
    Some(document.get("language")?.as_str()?.to_owned())
}

/// Puts `hash` and `size` in place of those of the item at `item`; `unpacked`: most bytes of its files, if it is an archive.
pub fn newer(path: &Path, item: &str, hash: Sha256, size: u64, unpacked: Option<u64>) -> Result<()> {
    let text =
        replaced(&read(path)?, item, hash, size, unpacked).with_context(|| path.display().to_string())?;
    write_whole(path, text.as_bytes())
}

fn replaced(text: &str, path: &str, hash: Sha256, size: u64, unpacked: Option<u64>) -> Result<String> {
    let mut document: DocumentMut = text.parse()?;
    let mut found = false;
    let mut change = |item: &mut dyn TableLike| -> Result<()> {
        if item.get("path").and_then(Item::as_str) != Some(path) {
            return Ok(());
        }
        found = true;
        set(item, "sha256", hash.to_string().into());
        set(item, "size", number(size)?);
        if let Some(unpacked) = unpacked {
            set(item, "unpacked", number(unpacked)?);
        }
        Ok(())
    };
    match document.get_mut("item") {
        Some(Item::ArrayOfTables(items)) => items.iter_mut().try_for_each(|item| change(item))?,
        Some(Item::Value(Value::Array(items))) => {
            let mut items = items.iter_mut().filter_map(Value::as_inline_table_mut);
            items.try_for_each(|item| change(item))?;
        }
        _ => {}
    }
    ensure!(found, "there is no item `{path}`");
    Ok(as_before(text, document.to_string()))
}

/// A bundle's text without the item at `path`. Errors: it has none.
pub fn without(text: &str, path: &str) -> Result<String> {
    let mut document: DocumentMut = text.parse()?;
    let is = |item: &dyn TableLike| item.get("path").and_then(Item::as_str) == Some(path);
    let before = stated(text).len();
    match document.get_mut("item") {
        Some(Item::ArrayOfTables(items)) => {
            items.retain(|item| !is(item));
            // The blank line before the first of them was the other one's.
            if let Some(first) = items.iter_mut().next()
                && first
                    .decor()
                    .prefix()
                    .and_then(RawString::as_str)
                    .unwrap_or_default()
                    .is_empty()
            {
                first.decor_mut().set_prefix("\n");
            }
        }
        Some(Item::Value(Value::Array(items))) => {
            items.retain(|item| !item.as_inline_table().is_some_and(|item| is(item)));
        }
        _ => {}
    }
    let after = as_before(text, document.to_string());
    ensure!(stated(&after).len() < before, "there is no item `{path}`");
    Ok(after)
}

/// A recipe's text without `bundle` in its `bundles`; `None` if it is not there.
pub fn unnamed(text: &str, bundle: &str) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let bundles = document.get_mut("bundles")?.as_array_mut()?;
    let at = bundles.iter().position(|name| name.as_str() == Some(bundle))?;
    let raw = |raw: Option<&RawString>| raw.and_then(RawString::as_str).unwrap_or_default().to_owned();
    let gone = bundles.get(at)?.decor().clone();
    bundles.remove(at);
    if let Some(next) = bundles.get_mut(at) {
        // What stands before the first of a line stands before the next one now.
        let prefix = raw(next.decor().prefix());
        if at == 0 && !prefix.contains('\n') {
            next.decor_mut().set_prefix(raw(gone.prefix()));
        }
    } else {
        let comment = raw(gone.suffix());
        if !comment.trim().is_empty() {
            bundles.set_trailing(format!("{comment}{}", raw(Some(bundles.trailing()))));
        }
    }
    Some(as_before(text, document.to_string()))
}

/// What `toml_edit` wrote, with the ends of lines and the byte order mark that the file had.
fn as_before(before: &str, mut after: String) -> String {
    const MARK: char = '\u{feff}';
    if before.contains("\r\n") {
        after = after.replace("\r\n", "\n").replace('\n', "\r\n");
    }
    if before.starts_with(MARK) && !after.starts_with(MARK) {
        after.insert(0, MARK);
    }
    after
}

fn number(number: u64) -> Result<Value> {
    Ok(i64::try_from(number)?.into())
}

/// Another value in the place of the one that is there, with the blanks and comments around it.
fn set(table: &mut dyn TableLike, key: &str, value: Value) {
    let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) else {
        return;
    };
    let decor = old.decor().clone();
    *old = value;
    *old.decor_mut() = decor;
}

/// A recipe's text with `bundle` named in it; the same text if it is there already.
pub fn named(text: &str, bundle: &str) -> Result<String> {
    let mut document: DocumentMut = text.parse()?;
    let Some(item) = document.get_mut("bundles") else {
        let mut bundles = Array::new();
        bundles.push(bundle);
        document.insert("bundles", toml_edit::value(bundles));
        return Ok(as_before(text, document.to_string()));
    };
    let bundles = item.as_array_mut().context("`bundles` is not a list")?;
    if bundles.iter().any(|name| name.as_str() == Some(bundle)) {
        return Ok(text.to_owned());
    }
    push(bundles, bundle);
    Ok(as_before(text, document.to_string()))
}

/// Adds to a list as it is written: on the same line or on one of its own, and after the comments that are there.
fn push(list: &mut Array, text: &str) {
    let raw = |raw: Option<&RawString>| raw.and_then(RawString::as_str).unwrap_or_default().to_owned();
    let mut tail = String::new();
    let mut before = String::new();
    if let Some(last) = list.len().checked_sub(1).and_then(|last| list.get_mut(last)) {
        before = raw(last.decor().prefix());
        tail = raw(last.decor().suffix());
        last.decor_mut().set_suffix("");
    }
    tail.push_str(list.trailing().as_str().unwrap_or_default());
    let mut value = Value::from(text);
    if tail.contains('\n') {
        let indent = before.rfind('\n').map_or("    ", |line| &before[line + 1..]);
        value
            .decor_mut()
            .set_prefix(format!("{}\n{indent}", tail.trim_end()));
        list.set_trailing("\n");
        list.set_trailing_comma(true);
    } else {
        value
            .decor_mut()
            .set_prefix(if list.is_empty() { "" } else { " " });
    }
    list.push_formatted(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_names_a_bundle_however_its_list_is_written() {
        let cases = [
            ("a = 1\n", "a = 1\nbundles = [\"x\"]\n"),
            ("", "bundles = [\"x\"]\n"),
            (
                "a = 1\n\n# Of the image.\n[image]\nb = 2\n",
                "a = 1\nbundles = [\"x\"]\n\n# Of the image.\n[image]\nb = 2\n",
            ),
            ("bundles=[]\na = 1\n", "bundles=[\"x\"]\na = 1\n"),
            ("bundles = [\"w\"] # mine\n", "bundles = [\"w\", \"x\"] # mine\n"),
            (
                "bundles = ['w']\r\na = 1\r\n",
                "bundles = ['w', \"x\"]\r\na = 1\r\n",
            ),
            ("\u{feff}a = 1\n", "\u{feff}a = 1\nbundles = [\"x\"]\n"),
            // Others look like it.
            (
                "# bundles = [\"x\"]\nbundles = ['w']\n",
                "# bundles = [\"x\"]\nbundles = ['w', \"x\"]\n",
            ),
            (
                "bundles = [\n    \"w\",\n]\n[image]\n",
                "bundles = [\n    \"w\",\n    \"x\",\n]\n[image]\n",
            ),
            (
                "bundles = [\n  # ours ]\n  \"w\" # last\n]\n",
                "bundles = [\n  # ours ]\n  \"w\", # last\n  \"x\",\n]\n",
            ),
            (
                "bundles = [\n  \"w\", # last\n]\n",
                "bundles = [\n  \"w\", # last\n  \"x\",\n]\n",
            ),
        ];
        for (before, after) in cases {
            assert_eq!(named(before, "x").unwrap(), after);
            assert_eq!(named(after, "x").unwrap(), after);
        }
        assert_eq!(
            named("bundles = \"w\"", "x").unwrap_err().to_string(),
            "`bundles` is not a list"
        );
    }

    #[test]
    fn only_the_item_that_changed_is_written_anew() {
        let item = |path: &str, hash: Sha256, size: u64| {
            format!(
                "[[item]]\n# A comment.\npath = \"{path}\"\nsize   = {size} # bytes\n\nsha256 = \"{hash}\"\nunpacked = {size}\n"
            )
        };
        let (one, two, new) = (Sha256::of("one"), Sha256::of("two"), Sha256::of("new"));
        let text = format!(
            "# {two}\nschema = 1\n\n{}{}",
            item("a", one, 1),
            item("b", two, 1)
        );
        let wanted = format!(
            "# {two}\nschema = 1\n\n{}{}",
            item("a", one, 1),
            item("b", new, 77)
        );
        assert_eq!(replaced(&text, "b", new, 77, Some(77)).unwrap(), wanted);
        let said = replaced("schema = 1", "b", new, 77, None)
            .unwrap_err()
            .to_string();
        assert_eq!(said, "there is no item `b`");
        let inline = format!("item = [{{ path = 'b', sha256 = '{two}', size = 1 }}]\n");
        let wanted = format!("item = [{{ path = 'b', sha256 = \"{new}\", size = 77 }}]\n");
        assert_eq!(replaced(&inline, "b", new, 77, None).unwrap(), wanted);
        assert_eq!(paths(&text), ["a", "b"]);
        assert_eq!(stated(&text)[1].sha256, Some(two));
        // One item goes, and nothing else.
        let left = without(&text, "a").unwrap();
        assert_eq!(left, format!("# {two}\nschema = 1\n\n{}", item("b", two, 1)));
        assert_eq!(
            without(&text, "c").unwrap_err().to_string(),
            "there is no item `c`"
        );
        assert_eq!(without(&inline, "b").unwrap(), "item = []\n");
    }

    #[test]
    fn a_recipe_forgets_a_bundle_and_keeps_its_comments() {
        let cases = [
            ("bundles = [\"x\"]\n", "bundles = []\n"),
            ("bundles = [\"x\", \"w\"] # mine\n", "bundles = [\"w\"] # mine\n"),
            ("bundles = [\"w\", \"x\"] # mine\n", "bundles = [\"w\"] # mine\n"),
            ("bundles = ['w', 'x', 'y']\r\n", "bundles = ['w', 'y']\r\n"),
            (
                "# ours\nbundles = [\n    # first\n    \"w\",\n    \"x\",\n    \"y\",\n]\n[image]\n",
                "# ours\nbundles = [\n    # first\n    \"w\",\n    \"y\",\n]\n[image]\n",
            ),
        ];
        for (before, after) in cases {
            assert_eq!(unnamed(before, "x").as_deref(), Some(after));
            assert_eq!(unnamed(after, "x"), None);
        }
        assert_eq!(unnamed("a = 1\n", "x"), None);
    }

    #[test]
    fn texts_are_quoted_as_toml_reads_them() {
        for text in ["plain", "with \"quotes\" and \\", "l'été\nsecond"] {
            let value: toml::Table = format!("text = {}", quoted(text)).parse().unwrap();
            assert_eq!(value["text"].as_str(), Some(text));
        }
    }
}
