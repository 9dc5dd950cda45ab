//! What lies beside a `bundle.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::bundle::is_plain;
use crate::checker::Checker;
use crate::overlay_files::{content_of, walk};
use crate::plan::Content;
use crate::raw::At;
use crate::report::Problem;
use crate::tree::{Closed, Kind, Tree};

/// Whether a path is of what file managers of macOS and Windows leave everywhere, and nobody wants to publish.
pub fn is_litter(path: &[u8]) -> bool {
    let names: [&[u8]; 4] = [b"__MACOSX", b".DS_Store", b"Thumbs.db", b"desktop.ini"];
    path.split(|byte| *byte == b'/')
        .any(|part| part.starts_with(b"._") || names.contains(&part))
}

/// The bundle's directory, relative to the tree.
fn home(bundle: &str) -> PathBuf {
    Path::new(Kind::Bundle.many()).join(bundle)
}

/// Whether `local` of a bundle is a directory, or leads to one, which [`directory`] refuses.
pub(crate) fn is_directory(tree: &Tree, bundle: &str, local: &str) -> bool {
    is_plain(local) && tree.root().join(home(bundle)).join(local).is_dir()
}

/// A regular file of a bundle's own directory: where it is. `None` if it is not there, which is not an error as long as it
/// can come from somewhere else; or if the path is wrong, which is.
pub(crate) fn file(
    tree: &Tree,
    bundle: &str,
    local: &At<String>,
    checker: &mut Checker<'_>,
) -> Option<PathBuf> {
    if !is_plain(&local.value) {
        checker
            .wrong(
                local,
                format!("`{}` can't be a path here", local.value.escape_debug()),
            )
            .help("write the path of a file or directory beside bundle.toml, like `files/candide.epub`");
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
    let mut files = Vec::new();
    found.retain(|path, _| !is_litter(path.as_bytes()));
    if found.is_empty() && checker.count() == before {
        checker.wrong(local, format!("`{}` has no file in it", local.value));
    }
    for (path, relative) in found {
        if !is_plain(path.trim_start_matches('/')) {
            let what = "has a backslash or control characters in its name, or too long a path";
            checker
                .problems
                .push(Problem::file(relative, what).help("rename it"));
            continue;
        }
        if let Some(content) = content_of(tree, &relative, checker.problems) {
            files.push((path.trim_start_matches('/').to_owned(), content));
        }
    }
    (checker.count() == before).then_some(files)
}
