//! `clic content edit`: a bundle's text in the editor of who edits it.

use std::process::Command;

use anyhow::Result;
use clic_host::{Outcome, UserError};

use super::unknown;
use crate::context::Context;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle
    bundle: String,
}

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let tree = context.tree()?;
    let file = tree.bundle_file(&args.bundle)?;
    if !file.is_file() {
        return Err(unknown(&args.bundle, &tree.bundles().0));
    }
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(|name| {
        let editor = std::env::var(name).ok()?;
        (!editor.trim().is_empty()).then_some(editor)
    });
    let editor = editor.unwrap_or_else(|| "sensible-editor".to_owned());
    // A command with arguments, as everybody reads these variables.
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or_default();
    let status = Command::new(program)
        .args(words)
        .arg(&file)
        .status()
        .map_err(|error| {
            UserError::new(format!("the editor `{editor}` cannot be started: {error}")).help(format!(
                "name yours: `EDITOR=nano clic content edit {}`",
                args.bundle
            ))
        })?;
    if !status.success() {
        return Err(UserError::new(format!("the editor `{editor}` ended with {status}")).into());
    }
    tree.bundle(&args.bundle)?;
    context.say(&format!("{}: nothing is wrong", file.display()));
    Ok(Outcome::Done)
}
