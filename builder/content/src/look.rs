//! Looking into archives before anything is built of them: whether they can be unpacked, and how much that will be.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use clic_host::Progress;
use clic_recipe::plan::{Bundle, BundleItem, ItemSource, Unpack};
use clic_store::Store;
use clic_tree::FileTree;

use crate::unpack::{Files, archive};
use crate::{blame_and, whose};

/// Reads a whole archive, of which nothing is kept: returns the bytes of its files. `start`: a file that must be in it.
///
/// Errors: [`clic_host::UserError`] for one that cannot be unpacked, has more than `most` bytes, or lacks `start`.
pub fn look(path: &Path, kind: Unpack, most: u64, start: Option<&str>) -> Result<u64> {
    let mut files = Files::only_looking(most);
    let looked = archive(path, kind, &mut files).and_then(|()| {
        let left = files.left();
        let tree = files.finish()?;
        has_start(&tree, start)?;
        Ok(most - left)
    });
    looked.map_err(|error| blame_and(error, "make the archive anew, or use another one"))
}

/// Whether the page that opens first is there.
pub(crate) fn has_start(tree: &FileTree, start: Option<&str>) -> Result<()> {
    let Some(start) = start else { return Ok(()) };
    let is_file = tree.get(start).is_some_and(|entry| !entry.is_directory());
    if is_file {
        return Ok(());
    }
    // A directory around everything is what most archives have.
    let deeper = format!("/{start}");
    let near = tree.paths().find(|path| path.ends_with(deeper.as_bytes()));
    let hint = near.map_or_else(String::new, |path| {
        format!("; is it `{}`?", String::from_utf8_lossy(path))
    });
    Err(anyhow!("its first page, {start:?}, is not there{hint}"))
}

/// Looks into the archive of an item, if it is one.
pub(crate) fn item(bundle: &Bundle, item: &BundleItem, file: &Path) -> Result<()> {
    let ItemSource::File {
        unpack: Some((kind, most)),
        ..
    } = &item.from
    else {
        return Ok(());
    };
    look(file, *kind, *most, item.start.as_deref()).with_context(|| whose(bundle, item))?;
    Ok(())
}

/// Looks into all archives of a bundle that are here: in the store, or in the tree that people edit.
///
/// Errors: [`clic_host::UserError`] for one that cannot be unpacked as the bundle says.
pub fn look_into(bundle: &Bundle, store: &Store, progress: &Progress) -> Result<()> {
    let archives = bundle.items.iter().filter_map(|item| match &item.from {
        ItemSource::File {
            sha256,
            local,
            unpack: Some(_),
            ..
        } => Some((item, *sha256, local)),
        _ => None,
    });
    let mut archives = archives.peekable();
    if archives.peek().is_none() {
        return Ok(());
    }
    let stage = progress.stage("look", "Look into the archives", &bundle.name);
    for (item, sha256, local) in archives {
        stage.message(&item.path);
        let file = match local {
            Some(path) => Some(path.clone()),
            None => store.verified(sha256)?,
        };
        if let Some(file) = file {
            self::item(bundle, item, &file)?;
        }
    }
    stage.finish();
    Ok(())
}

#[cfg(test)]
mod tests;
