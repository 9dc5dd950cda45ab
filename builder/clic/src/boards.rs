//! `clic boards`: the boards of the tree.

use anyhow::Result;
use clic_host::Outcome;
use serde_json::json;

use crate::context::Context;
use crate::output;

pub fn run(context: &Context) -> Result<Outcome> {
    // Those that can be read are listed whatever lies beside them.
    let (boards, problems) = context.tree()?.boards();
    if context.json {
        output::json(&json!({ "boards": boards }))?;
        problems?;
        return Ok(Outcome::Done);
    }
    let rows: Vec<Vec<String>> = boards
        .iter()
        .map(|board| {
            let name = context.out.bold(&board.name);
            vec![
                name,
                board.arch.to_string(),
                board.suites.join(", "),
                board.title.clone(),
            ]
        })
        .collect();
    output::text(&output::table(&rows))?;
    problems?;
    Ok(Outcome::Done)
}
