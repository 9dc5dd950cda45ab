//! Changing a `bundle.toml` and leaving everything in it as people wrote it.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use clic_host::{Sha256, UserError};
use clic_store::{Download, space, write_whole};
use toml_edit::{Array, DocumentMut, Item, RawString, TableLike, Value};

/// A text as TOML writes it.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
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

/// Puts hash and size of `now` in place of those of the item with the hash `before`; `unpacked`: most bytes of its files, if it
/// is an archive.
pub fn newer(path: &Path, before: Sha256, now: &Download, unpacked: Option<u64>) -> Result<()> {
    let text = replaced(&read(path)?, before, now, unpacked).with_context(|| path.display().to_string())?;
    write_whole(path, text.as_bytes())
}

fn replaced(text: &str, before: Sha256, now: &Download, unpacked: Option<u64>) -> Result<String> {
    let mut document: DocumentMut = text.parse()?;
    let before = before.to_string();
    let mut found = false;
    let mut change = |item: &mut dyn TableLike| -> Result<()> {
        if item.get("sha256").and_then(Item::as_str) != Some(before.as_str()) {
            return Ok(());
        }
        found = true;
        set(item, "sha256", now.sha256.to_string().into());
        set(item, "size", number(now.size)?);
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
    ensure!(found, "no item with the hash {before} is in the file");
    Ok(as_before(text, document.to_string()))
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
        let now = Download {
            url: "https://example.org/b".to_owned(),
            sha256: new,
            size: 77,
            name: "b".to_owned(),
        };
        let wanted = format!(
            "# {two}\nschema = 1\n\n{}{}",
            item("a", one, 1),
            item("b", new, 77)
        );
        assert_eq!(replaced(&text, two, &now, Some(77)).unwrap(), wanted);
        let said = replaced("schema = 1", one, &now, None).unwrap_err().to_string();
        assert!(said.starts_with("no item with the hash"), "{said}");
        let inline = format!("item = [{{ sha256 = '{two}', size = 1 }}]\n");
        let wanted = format!("item = [{{ sha256 = \"{new}\", size = 77 }}]\n");
        assert_eq!(replaced(&inline, two, &now, None).unwrap(), wanted);
    }

    #[test]
    fn texts_are_quoted_as_toml_reads_them() {
        for text in ["plain", "with \"quotes\" and \\", "l'été\nsecond"] {
            let value: toml::Table = format!("text = {}", quoted(text)).parse().unwrap();
            assert_eq!(value["text"].as_str(), Some(text));
        }
    }
}
