//! `clic recipes`: the recipes of the tree.

use anyhow::Result;
use clic_host::Outcome;
use serde_json::json;

use crate::context::Context;
use crate::output;

pub fn run(context: &Context) -> Result<Outcome> {
    // Those that can be read are listed whatever lies beside them.
    let (listed, problems) = context.tree()?.recipes();
    if context.json {
        output::json(&json!({ "recipes": listed }))?;
        problems?;
        return Ok(Outcome::Done);
    }
    let rows: Vec<Vec<String>> = listed
        .iter()
        .map(|recipe| {
            let boards = if recipe.boards.is_empty() {
                context.out.dim("for other recipes to extend")
            } else {
                recipe.boards.join(", ")
            };
            let carried = match recipe.content {
                Some(0) => "-".to_owned(),
                Some(bytes) => format!("{} of content", output::size(bytes)),
                None => "?".to_owned(),
            };
            vec![
                context.out.bold(&recipe.name),
                boards,
                carried,
                recipe.title.clone(),
            ]
        })
        .collect();
    output::text(&output::table(&rows))?;
    problems?;
    Ok(Outcome::Done)
}
