//! `clic check`: is everything that people wrote valid?

use anyhow::Result;
use clic_host::Outcome;
use serde_json::json;

use crate::context::Context;
use crate::output;

/// Check the TOML files of the tree, without building anything
///
/// Every recipe with each of its boards, every overlay and every content bundle; or one recipe with each of its boards. Uses no
/// network. Exits 2 if anything is wrong, and reports all of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  clic check
  clic check minimal")]
pub struct Args {
    /// Only this recipe: a name from `clic recipes`, or the path of a TOML file
    recipe: Option<String>,
}

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let tree = context.tree()?;
    let checked = clic_recipe::check_with(&tree, args.recipe.as_deref(), &clic_engine::refused::foreseen)?;
    if context.json {
        let plans: Vec<_> = checked
            .plans
            .iter()
            .map(|(recipe, board)| json!({ "recipe": recipe, "board": board }))
            .collect();
        output::json(&json!({
            "valid": true, "files": checked.files, "plans": plans, "keys": checked.keys,
        }))?;
        return Ok(Outcome::Done);
    }
    let ok = context.out.good("ok");
    let files = checked
        .files
        .iter()
        .map(|file| format!("{ok}  {}\n", file.display()));
    let plans = checked
        .plans
        .iter()
        .map(|(recipe, board)| format!("{ok}  {recipe} on {board}\n"));
    // Nothing is wrong with that; it is still to be done before a build.
    let note = context.out.fair("to confirm");
    let keys = checked.keys.iter().map(|key| {
        let (file, help) = (
            key.file.as_deref().unwrap_or_default(),
            key.help.as_deref().unwrap_or_default(),
        );
        let line = key.line.unwrap_or_default();
        format!("{note}  {file}:{line}: {}\n    help: {help}\n", key.message)
    });
    output::text(&files.chain(plans).chain(keys).collect::<String>())?;
    Ok(Outcome::Done)
}
