//! `clic cache`: what the store holds.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use clic_host::{Outcome, cancel};
use serde_json::json;

use crate::context::Context;
use crate::output;

/// Look at the store: downloads and other things kept between builds
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The store is $CLIC_CACHE, else $XDG_CACHE_HOME/clic, else ~/.cache/clic. It may be deleted when no build runs.

Example:
  clic cache ls")]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what the store holds and how large it is (the default)
    Ls,
}

/// Files and their bytes under one directory of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    files: u64,
    bytes: u64,
}

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    match args.action.as_ref().unwrap_or(&Action::Ls) {
        Action::Ls => list(context),
    }
}

fn list(context: &Context) -> Result<Outcome> {
    let dir = clic_store::Store::default_dir()?;
    let parts = held(&dir)?;
    let total: u64 = parts.values().map(|held| held.bytes).sum();
    if context.json {
        let parts: BTreeMap<&str, _> = parts
            .iter()
            .map(|(name, held)| (name.as_str(), json!({ "files": held.files, "bytes": held.bytes })))
            .collect();
        output::json(&json!({ "store": dir, "bytes": total, "parts": parts }))?;
        return Ok(Outcome::Done);
    }
    let mut rows: Vec<Vec<String>> = parts
        .iter()
        .map(|(name, held)| {
            vec![
                name.clone(),
                format!("{} files", held.files),
                output::size(held.bytes),
            ]
        })
        .collect();
    rows.push(vec!["in all".into(), String::new(), output::size(total)]);
    output::text(&format!(
        "{}\n{}",
        context.out.bold(&dir.display().to_string()),
        output::table(&rows)
    ))?;
    Ok(Outcome::Done)
}

/// Sums by the store's top directories. A store that is not there yet holds nothing.
fn held(store: &Path) -> Result<BTreeMap<String, Held>> {
    let mut parts = BTreeMap::new();
    let entries = match std::fs::read_dir(store) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(parts),
        other => other.with_context(|| format!("cannot read the store {}", store.display()))?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let mut held = Held::default();
            sum(&entry.path(), &mut held)?;
            parts.insert(entry.file_name().to_string_lossy().into_owned(), held);
        }
    }
    Ok(parts)
}

/// Adds up regular files; symlinks are not followed. A running build may remove or hide what we look at.
fn sum(dir: &Path, held: &mut Held) -> Result<()> {
    cancel::check()?;
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => sum(&entry.path(), held)?,
            Ok(meta) if meta.is_file() => {
                held.files += 1;
                held.bytes = held.bytes.saturating_add(meta.len());
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_follow_no_symlink_and_a_missing_store_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert!(held(&dir.path().join("none")).unwrap().is_empty());
        std::fs::create_dir_all(dir.path().join("downloads/sha256")).unwrap();
        std::fs::write(dir.path().join("downloads/sha256/a"), "12345").unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("downloads/usr")).unwrap();
        let parts = held(dir.path()).unwrap();
        assert_eq!(parts["downloads"], Held { files: 1, bytes: 5 });
    }
}
