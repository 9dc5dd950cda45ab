//! Secrets that an image says itself that each device makes: by the steps of its first start (overlay `base`), of which
//! services bring their own.

use anyhow::Result;
use glob::Pattern;

use super::{Context, Findings, ON_DEVICE};
use crate::first_start::{STEPS, Step};
use crate::read::{EntryKind, Root};

/// None of them is there; an empty file keeps a place.
pub(super) fn declared(cx: &Context, out: &mut Findings) -> Result<()> {
    let root = cx.root()?;
    if !root.exists(STEPS)? {
        return Ok(());
    }
    for entry in root.list(STEPS)? {
        let file = entry.display();
        let Some(text) = cx.text(&file)? else { continue };
        let step = match Step::parse(&text) {
            Ok(step) => step,
            Err(error) => {
                out.add(
                    format!("{file} is not a step of a first start: {error}"),
                    "overlays/base/README.md says what a step is",
                );
                continue;
            }
        };
        for pattern in step.secrets() {
            for path in matching(root, pattern)? {
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
