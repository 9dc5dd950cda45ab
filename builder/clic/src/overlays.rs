//! `clic overlays`: the capabilities that recipes can have, and what can be said to each.

use anyhow::Result;
use clic_host::{Outcome, UserError};
use clic_recipe::{Kind, OverlayInfo, Tree};
use serde_json::json;

use crate::context::Context;
use crate::{names, output};

/// List the overlays of the tree, or show one with its parameters
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  clic overlays
  clic overlays hotspot
  clic overlays hotspot --json | jq '.parameters | keys'")]
pub struct Args {
    /// Only this overlay, with its parameters, packages and what it provides
    #[arg(add = names::overlays())]
    name: Option<String>,
}

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let tree = context.tree()?;
    match &args.name {
        Some(name) => one(&tree, name, context),
        None => list(&tree, context),
    }
}

fn list(tree: &Tree, context: &Context) -> Result<Outcome> {
    // Those that can be read are listed whatever lies beside them.
    let (overlays, problems) = tree.overlays();
    if context.json {
        output::json(&json!({ "overlays": overlays }))?;
    } else {
        let row = |overlay: &OverlayInfo| vec![context.out.bold(&overlay.name), overlay.title.clone()];
        let rows: Vec<Vec<String>> = overlays.iter().map(row).collect();
        output::text(&output::table(&rows))?;
    }
    problems?;
    Ok(Outcome::Done)
}

fn one(tree: &Tree, name: &str, context: &Context) -> Result<Outcome> {
    let Some(overlay) = tree.overlay(name)? else {
        let names = tree.names(Kind::Overlay).unwrap_or_default();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let help = match clic_recipe::nearest(name, names.iter().copied(), 1).first() {
            Some(near) => format!("did you mean `{near}`? `clic overlays` lists them"),
            None => "`clic overlays` lists them".to_owned(),
        };
        return Err(UserError::new(format!("there is no overlay `{name}`"))
            .help(help)
            .into());
    };
    if context.json {
        output::json(&overlay)?;
    } else {
        output::text(&shown(&overlay, context))?;
    }
    Ok(Outcome::Done)
}

fn shown(overlay: &OverlayInfo, context: &Context) -> String {
    let style = context.out;
    let mut text = format!("{}\n", style.bold(&overlay.title));
    text += &paragraph(overlay.description.trim(), "");
    let mut facts = Vec::new();
    let mut fact = |title: &str, value: String| {
        if !value.is_empty() {
            facts.push(vec![style.dim(title), value]);
        }
    };
    fact("needs", overlay.requires.join(", "));
    fact("provides", overlay.provides.join(", "));
    fact("packages", overlay.packages.join(" "));
    for (arch, packages) in &overlay.packages_on {
        fact(&format!("on {arch}"), packages.join(" "));
    }
    if !facts.is_empty() {
        text.push('\n');
        text += &output::table(&facts);
    }
    for (name, parameter) in &overlay.parameters {
        let value = match parameter.default_written() {
            Some(default) => format!("{name} = {default}"),
            None => format!("{name} must be set"),
        };
        text = text + "\n" + &style.bold(&value) + "\n";
        text += &paragraph(&parameter.description, "  ");
        text += &paragraph(&parameter.accepts(), "  ");
    }
    text
}

/// Text in lines that can be read.
fn paragraph(text: &str, indent: &str) -> String {
    const COLUMNS: usize = 90;
    let words: Vec<&str> = text.split_whitespace().collect();
    let lines = output::wrap(&words, COLUMNS);
    lines.iter().map(|line| indent.to_owned() + line + "\n").collect()
}
