//! `clic check`: is everything that people wrote valid?

use anyhow::Result;
use clic_host::Outcome;
use serde_json::json;

use crate::context::Context;
use crate::output;

/// Check the TOML files of the tree, without building anything
///
/// Every recipe with each of its boards, every overlay and every content bundle; or one recipe with each of its boards. Opens no
/// socket. Exits 2 when something is wrong, and says all of it.
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
    let checked = clic_recipe::check(&context.tree()?, args.recipe.as_deref())?;
    if context.json {
        let plans: Vec<_> = checked
            .plans
            .iter()
            .map(|(recipe, board)| json!({ "recipe": recipe, "board": board }))
            .collect();
        output::json(&json!({ "valid": true, "files": checked.files, "plans": plans }))?;
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
    output::text(&files.chain(plans).collect::<String>())?;
    Ok(Outcome::Done)
}
