//! `clic check`: is everything that people wrote valid?

use anyhow::Result;
use clic_host::Outcome;
use clic_recipe::Checked;
use serde_json::json;

use crate::context::Context;
use crate::names;
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
    #[arg(add = names::recipes())]
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
    // A line for each recipe; the rest is in the last one.
    let mut recipes: Vec<(&str, Vec<&str>)> = Vec::new();
    for (recipe, board) in &checked.plans {
        match recipes.last_mut().filter(|last| last.0 == recipe) {
            Some((_, boards)) => boards.push(board),
            None => recipes.push((recipe.as_str(), vec![board.as_str()])),
        }
    }
    let plans = recipes
        .iter()
        .map(|(recipe, boards)| format!("{ok}  {recipe} on {}\n", boards.join(", ")));
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
    let verdict = format!("{}: nothing wrong\n", summed_up(&checked));
    output::text(&plans.chain(keys).chain([verdict]).collect::<String>())?;
    Ok(Outcome::Done)
}

/// `3 recipes, 2 boards, 8 overlays, 6 bundles`.
fn summed_up(checked: &Checked) -> String {
    let kinds = [
        ("recipes", "recipe"),
        ("boards", "board"),
        ("overlays", "overlay"),
        ("content-bundles", "bundle"),
    ];
    let count = |(directory, one): &(&str, &str)| {
        let count = checked
            .files
            .iter()
            .filter(|file| file.starts_with(directory))
            .count();
        (count > 0).then(|| output::counted(count, one))
    };
    let counts: Vec<String> = kinds.iter().filter_map(count).collect();
    if counts.is_empty() {
        output::counted(checked.files.len(), "file")
    } else {
        counts.join(", ")
    }
}
