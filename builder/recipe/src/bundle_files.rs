//! What lies beside a `bundle.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::checker::Checker;
use crate::overlay_files::{content_of, walk};
use crate::plan::Content;
use crate::raw::At;
use crate::tree::{Closed, Kind, Tree, plain_path};

/// The bundle's directory, relative to the tree.
fn home(bundle: &str) -> PathBuf {
    Path::new(Kind::Bundle.many()).join(bundle)
}

/// Whether `local` of a bundle is a directory, or leads to one, which [`directory`] refuses.
pub(crate) fn is_directory(tree: &Tree, bundle: &str, local: &str) -> bool {
    plain_path(local).is_ok() && tree.root().join(home(bundle)).join(local).is_dir()
}

/// A regular file of a bundle's own directory: where it is. `None` if it is not there, which is not an error as long as it
/// can come from somewhere else; or if the path is wrong, which is.
pub(crate) fn file(
    tree: &Tree,
    bundle: &str,
    local: &At<String>,
    checker: &mut Checker<'_>,
) -> Option<PathBuf> {
    if let Err(why) = plain_path(&local.value) {
        checker.wrong(local, why);
        return None;
    }
    let relative = home(bundle).join(&local.value);
    let path = match tree.place(&relative) {
        Ok(path) => path,
        Err(closed) => {
            let help = match closed {
                Closed::Link(_) => "put the file itself there",
                _ => "`local` is relative to the directory of bundle.toml",
            };
            checker.wrong(local, closed.to_string()).help(help);
            return None;
        }
    };
    if !path.is_file() {
        checker.wrong(local, format!("{} is not a regular file", relative.display()));
        return None;
    }
    Some(path)
}

/// Every file of a directory of the bundle's own: relative path and content, sorted.
pub(crate) fn directory(
    tree: &Tree,
    bundle: &str,
    local: &At<String>,
    checker: &mut Checker<'_>,
) -> Option<Vec<(String, Content)>> {
    let before = checker.count();
    let directory = home(bundle).join(&local.value);
    let link = |_: &str, _: &str| "put the file itself there".to_owned();
    let mut found = BTreeMap::new();
    walk(tree, &directory, "", &link, 0, &mut found, checker.problems);
    if found.is_empty() && checker.count() == before {
        checker.wrong(local, format!("`{}` has no file in it", local.value));
    }
    let mut files = Vec::new();
    for (path, relative) in found {
        if let Some(content) = content_of(tree, &relative, checker.problems) {
            files.push((path.trim_start_matches('/').to_owned(), content));
        }
    }
    (checker.count() == before).then_some(files)
}
