//! Names for completion: what the tree has of recipes, boards, overlays and bundles.

use std::path::PathBuf;

use clap_complete::CompletionCandidate;
use clap_complete::engine::ArgValueCandidates;
use clic_host::plain::hidden;
use clic_recipe::{Kind, Tree};

/// Names of recipes.
pub fn recipes() -> ArgValueCandidates {
    of(Kind::Recipe)
}

/// Names of boards.
pub fn boards() -> ArgValueCandidates {
    of(Kind::Board)
}

/// Names of overlays.
pub fn overlays() -> ArgValueCandidates {
    of(Kind::Overlay)
}

/// Names of bundles.
pub fn bundles() -> ArgValueCandidates {
    of(Kind::Bundle)
}

fn of(kind: Kind) -> ArgValueCandidates {
    ArgValueCandidates::new(move || names(kind).into_iter().map(CompletionCandidate::new).collect())
}

/// Whoever presses Tab outside of any tree gets no name, and no error.
fn names(kind: Kind) -> Vec<String> {
    let tree = match root(std::env::args_os()) {
        Some(root) => Tree::open(&root).ok(),
        None => std::env::current_dir().ok().and_then(|dir| Tree::find(&dir).ok()),
    };
    let mut names = tree.and_then(|tree| tree.names(kind).ok()).unwrap_or_default();
    // What a shell shows by itself does not go through our border.
    names.retain(|name| !name.contains(hidden));
    names
}

/// The directory behind `--root`, in a command line that is not finished.
fn root(words: impl Iterator<Item = std::ffi::OsString>) -> Option<PathBuf> {
    let mut words =
        words.skip_while(|word| word != "--root" && !word.to_string_lossy().starts_with("--root="));
    let word = words.next()?;
    match word.to_string_lossy().strip_prefix("--root=") {
        Some(root) => Some(root.into()),
        None => words.next().map(PathBuf::from),
    }
}
