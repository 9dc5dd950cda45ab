//! `clic content remove`: a bundle, or an item of one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clic_host::{Outcome, UserError};
use clic_recipe::{Tree, served};
use clic_store::{space, write_whole};

use super::edit::{read, stated, unnamed, without};
use super::{talk, unknown};
use crate::context::Context;
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle
    bundle: String,
    /// Only this item of it, by its path in the bundle
    path: Option<String>,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
}

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let tree = context.tree()?;
    let file = tree.bundle_file(&args.bundle)?;
    if !file.is_file() {
        return Err(unknown(&args.bundle, &tree.bundles().0));
    }
    match &args.path {
        Some(path) => item(args, &tree, &file, path)?,
        None => bundle(args, &tree, &file)?,
    }
    Ok(Outcome::Done)
}

/// Somebody agrees, or has said so.
fn agreed(args: &Args, what: &str) -> Result<()> {
    if args.yes {
        return Ok(());
    }
    if !talk::asks() {
        return Err(
            UserError::new(format!("{what} would be removed; nothing was changed"))
                .help("`--yes` removes it without asking")
                .into(),
        );
    }
    if talk::agreed(&format!("Remove {what} (y/n)?"))? {
        Ok(())
    } else {
        Err(UserError::new("nothing was changed").into())
    }
}

/// One item, and its file if that is a copy of ours which no other item has.
fn item(args: &Args, tree: &Tree, file: &Path, path: &str) -> Result<()> {
    let before = read(file)?;
    let items = stated(&before);
    let Some(item) = items.iter().find(|item| item.path == path) else {
        let near = clic_recipe::nearest(path, items.iter().map(|item| item.path.as_str()), 1);
        let help = match near.first() {
            Some(near) => format!("did you mean `{near}`?"),
            None => "bundle.toml lists them".to_owned(),
        };
        return Err(
            UserError::new(format!("bundle `{}` has no item `{path}`", args.bundle))
                .help(help)
                .into(),
        );
    };
    if items.len() == 1 {
        return Err(
            UserError::new(format!("`{path}` is all that is in bundle `{}`", args.bundle))
                .help(format!(
                    "remove the bundle: `clic content remove {}`",
                    args.bundle
                ))
                .into(),
        );
    }
    let local = item.local.as_deref().filter(|local| served(local).is_ok());
    let local = local.filter(|local| {
        items
            .iter()
            .filter(|other| other.local.as_deref() == Some(*local))
            .count()
            == 1
    });
    let copy = match local {
        Some(local) => Some(tree.inside(Path::new("content-bundles").join(&args.bundle).join(local))?),
        None => None,
    };
    let text = without(&before, path).map_err(|error| UserError::new(error.to_string()))?;
    agreed(args, &format!("{path} of bundle {}", args.bundle))?;
    // First the text: a file that nobody names is in nobody's way.
    write_whole(file, text.as_bytes())?;
    if let Some(copy) = copy {
        gone(&copy)?;
        let home = file.parent().unwrap_or(file);
        // Directories that were there for this file alone are empty.
        for dir in copy.ancestors().skip(1).take_while(|dir| *dir != home) {
            let _ = std::fs::remove_dir(dir);
        }
    }
    output::text(&format!("{path} is no longer in bundle {}\n", args.bundle))
}

/// A whole bundle, and its name in the recipes.
fn bundle(args: &Args, tree: &Tree, file: &Path) -> Result<()> {
    let home = file.parent().unwrap_or(file);
    let recipes = recipes(tree, &args.bundle)?;
    let mut what = format!("bundle {} ({})", args.bundle, home.display());
    for (path, _) in &recipes {
        let name = path.file_stem().unwrap_or_default().display();
        // Writing to a String cannot fail.
        let _ = write!(what, ", and its name in recipe {name}");
    }
    agreed(args, &what)?;
    // First the names: a recipe that names what is not there is wrong, and a bundle that nobody names is not.
    for (path, text) in &recipes {
        write_whole(path, text.as_bytes())?;
    }
    gone(home)?;
    output::text(&format!("removed: {what}\n"))
}

/// The recipes that name a bundle: their files, and their texts without it.
fn recipes(tree: &Tree, bundle: &str) -> Result<Vec<(PathBuf, String)>> {
    let (all, _) = tree.recipes();
    let mut found = Vec::new();
    for recipe in all {
        let path = tree.recipe_file(&recipe.name)?;
        if let Some(text) = unnamed(&read(&path)?, bundle) {
            found.push((path, text));
        }
    }
    Ok(found)
}

fn gone(path: &Path) -> Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    removed.map_err(|error| space::io_error(error, path))
}
