//! Changing a `bundle.toml` and leaving everything in it as people wrote it.

use std::path::Path;

use anyhow::{Context as _, Result};
use clic_host::{Sha256, UserError};
use clic_store::{Download, space, write_whole};

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

/// Puts hash and size of `now` in place of those of the item with the hash `before`.
pub fn newer(path: &Path, before: Sha256, now: &Download) -> Result<()> {
    let text = replaced(&read(path)?, before, now).with_context(|| path.display().to_string())?;
    write_whole(path, text.as_bytes())
}

fn replaced(text: &str, before: Sha256, now: &Download) -> Result<String> {
    let (before, after) = (before.to_string(), now.sha256.to_string());
    let at = text
        .find(&before)
        .context("the item's hash is not in the file as it is written here")?;
    let start = text[..at]
        .rfind("[[item]]")
        .context("the item does not begin with [[item]]")?;
    let end = text[at..].find("[[item]]").map_or(text.len(), |end| at + end);
    let lines: Vec<String> = text[start..end]
        .lines()
        .map(|line| {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            match key.trim() {
                "sha256" if value.contains(&before) => line.replace(&before, &after),
                "size" => format!("{key}= {}", now.size),
                _ => line.to_owned(),
            }
        })
        .collect();
    Ok(format!(
        "{}{}\n{}",
        &text[..start],
        lines.join("\n"),
        &text[end..]
    ))
}

/// Names `bundle` in a recipe's text. `None` if it is there already.
pub fn named(text: &str, bundle: &str) -> Option<String> {
    let quoted = quoted(bundle);
    let top = text.find("\n[").unwrap_or(text.len());
    let Some(at) = text[..top].find("\nbundles = [") else {
        return Some(format!("{}\nbundles = [{quoted}]{}", text[..top].trim_end(), {
            let rest = text[top..].trim_start_matches('\n');
            if rest.is_empty() {
                "\n".to_owned()
            } else {
                format!("\n\n{rest}")
            }
        }));
    };
    let open = at + "\nbundles = [".len();
    let close = open + text[open..].find(']')?;
    let list = &text[open..close];
    if list.contains(&quoted) {
        return None;
    }
    let end = list.trim_end();
    let comma = if end.is_empty() || end.ends_with(',') {
        ""
    } else {
        ","
    };
    let (before, after) = if list.contains('\n') {
        ("\n    ", ",\n")
    } else if end.is_empty() {
        ("", "")
    } else {
        (" ", "")
    };
    Some(format!(
        "{}{end}{comma}{before}{quoted}{after}{}",
        &text[..open],
        &text[close..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_names_a_bundle_however_its_list_is_written() {
        let cases = [
            ("a = 1\n", "a = 1\nbundles = [\"x\"]\n"),
            (
                "a = 1\n\n[image]\nb = 2\n",
                "a = 1\nbundles = [\"x\"]\n\n[image]\nb = 2\n",
            ),
            ("a = 1\nbundles = []\n", "a = 1\nbundles = [\"x\"]\n"),
            ("a = 1\nbundles = [\"w\"]\n", "a = 1\nbundles = [\"w\", \"x\"]\n"),
            (
                "a = 1\nbundles = [\n    \"w\",\n]\n[image]\n",
                "a = 1\nbundles = [\n    \"w\",\n    \"x\",\n]\n[image]\n",
            ),
        ];
        for (before, after) in cases {
            assert_eq!(named(before, "x").as_deref(), Some(after));
            assert_eq!(named(after, "x"), None);
        }
    }

    #[test]
    fn only_the_item_that_changed_is_written_anew() {
        let item = |path: &str, hash: Sha256, size: u64| {
            format!("[[item]]\n# A comment.\npath = \"{path}\"\nsize = {size}\nsha256 = \"{hash}\"\n")
        };
        let (one, two, new) = (Sha256::of("one"), Sha256::of("two"), Sha256::of("new"));
        let text = format!("schema = 1\n\n{}{}", item("a", one, 1), item("b", two, 1));
        let now = Download {
            url: "https://example.org/b".to_owned(),
            sha256: new,
            size: 77,
            name: "b".to_owned(),
        };
        let wanted = format!("schema = 1\n\n{}{}", item("a", one, 1), item("b", new, 77));
        assert_eq!(replaced(&text, two, &now).unwrap(), wanted);
        let said = replaced("schema = 1", one, &now).unwrap_err().to_string();
        assert!(said.contains("hash is not in the file"), "{said}");
    }

    #[test]
    fn texts_are_quoted_as_toml_reads_them() {
        for text in ["plain", "with \"quotes\" and \\", "l'été\nsecond"] {
            let value: toml::Table = format!("text = {}", quoted(text)).parse().unwrap();
            assert_eq!(value["text"].as_str(), Some(text));
        }
    }
}
