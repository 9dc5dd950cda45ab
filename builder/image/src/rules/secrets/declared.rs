//! Secrets that an image says itself that each device makes: by the steps of its first start (overlay `first-boot`), of which
//! services bring their own.

use anyhow::Result;
use glob::Pattern;
use serde::Deserialize;

use super::{Context, Findings, ON_DEVICE};
use crate::read::{EntryKind, Root};

/// Where the steps are.
const STEPS: &str = "/usr/lib/clic/first-boot.d";

/// What a step says of secrets, of all that it says.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Step {
    title: String,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    never_in_image: Vec<String>,
    #[serde(default)]
    file: Vec<File>,
    #[serde(default)]
    certificate: Vec<Certificate>,
}

#[derive(Deserialize)]
struct File {
    path: String,
}

#[derive(Deserialize)]
struct Certificate {
    key: String,
}

/// None of them is there; an empty file keeps a place.
pub(super) fn declared(cx: &Context, out: &mut Findings) -> Result<()> {
    let root = cx.root()?;
    if !root.exists(STEPS)? {
        return Ok(());
    }
    for entry in root.list(STEPS)? {
        let file = entry.display();
        let Some(text) = cx.text(&file)? else { continue };
        let step: Step = match toml::from_str(&text) {
            Ok(step) => step,
            Err(error) => {
                out.add(
                    format!("{file} is no step of a first start: {}", error.message()),
                    "the overlay `first-boot` says what a step is",
                );
                continue;
            }
        };
        let made = step.file.into_iter().map(|file| file.path);
        let keys = step.certificate.into_iter().map(|certificate| certificate.key);
        for pattern in made.chain(keys).chain(step.secrets).chain(step.never_in_image) {
            for path in matching(root, &pattern)? {
                let what = format!(
                    "{path} is a secret that each device makes ({}: {})",
                    file, step.title
                );
                out.add(what, ON_DEVICE);
            }
        }
    }
    Ok(())
}

/// Regular files with something in them whose absolute path is like `pattern`, part by part.
fn matching(root: &Root, pattern: &str) -> Result<Vec<String>> {
    let mut found = vec![String::new()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let Ok(like) = Pattern::new(part) else {
            return Ok(Vec::new());
        };
        let mut next = Vec::new();
        for above in found {
            let dir = if above.is_empty() { "/" } else { &above };
            let is_directory = |entry: crate::read::Entry| entry.kind == EntryKind::Directory;
            if !root.stat_target(dir)?.is_some_and(is_directory) {
                continue;
            }
            for entry in root.list(dir)? {
                let name = String::from_utf8_lossy(entry.file_name()).into_owned();
                if like.matches(&name) {
                    next.push(format!("{above}/{name}"));
                }
            }
        }
        found = next;
    }
    let mut files = Vec::new();
    for path in found {
        let entry = root.stat_target(&path)?;
        if entry.is_some_and(|entry| entry.kind == EntryKind::File && entry.size > 0) {
            files.push(path);
        }
    }
    Ok(files)
}
