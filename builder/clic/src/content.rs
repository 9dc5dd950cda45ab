//! `clic content`: what there is to read, watch and hear, and bringing in more.

mod add;
mod edit;
mod gather;
mod open;
mod place;
mod remove;
mod talk;
mod update;
mod written;

use anyhow::Result;
use clap::Subcommand;
use clic_content::downloads;
use clic_host::{Outcome, UserError};
use clic_recipe::plan::{Bundle, ItemSource};
use serde_json::json;

use crate::context::Context;
use crate::mirror::MirrorArgs;
use crate::names;
use crate::output;

/// List, check and download content bundles, or add your own content
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A bundle is a directory in content-bundles/ with a bundle.toml, which says what it is, its language, its licence and where
it comes from. A recipe lists bundles in `bundles`; `clic plan` shows how much space they take.

Examples:
  clic content ls
  clic content fetch cahier-debian
  clic content add ~/Books/candide.epub --to candide
  clic content add ~/films --to films --recipe nomad
  clic content add https://example.org/film.webm --to films --licence CC-BY-4.0 --credit \"Jeanne Dupont\"
  clic content update films
  clic content remove films old-film.webm")]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the bundles of the tree, with their licences and sizes (the default)
    Ls,
    /// Check bundles and their archives without downloading anything, and show what the store has of them
    Check(Names),
    /// Download the files of bundles into the store, so that a build needs no network for them
    Fetch(Fetch),
    /// Add files, folders or addresses to a bundle: hashes and sizes are computed, you are asked for the rest
    ///
    /// A folder with an index.html becomes one item of pages. Of any other, each file becomes an item, and so does each file of the
    /// folders in it; those in deeper folders are to be added by themselves. Hidden files, links, and what file managers leave
    /// everywhere stay behind, which is said.
    Add(Box<add::Args>),
    /// Look again at files beside bundle.toml and at what comes from addresses, and update bundle.toml where they changed
    Update(Fetch),
    /// Open a bundle's bundle.toml in your editor ($VISUAL, $EDITOR), and check it
    Edit(open::Args),
    /// Remove a bundle, and its name in recipes; or one item of it
    Remove(remove::Args),
}

#[derive(Debug, clap::Args)]
struct Names {
    /// Only these bundles
    #[arg(add = names::bundles())]
    bundles: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Fetch {
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    from: MirrorArgs,
}

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    match args.action.as_ref().unwrap_or(&Action::Ls) {
        Action::Ls => list(context),
        Action::Check(names) => check(names, context),
        Action::Fetch(args) => fetch(args, context),
        Action::Add(args) => add::run(args, context),
        Action::Update(args) => update::run(args, context),
        Action::Edit(args) => open::run(args, context),
        Action::Remove(args) => remove::run(args, context),
    }
}

/// The bundles of these names, in their order; all of them without one. What is wrong with others does not matter then.
fn named(names: &Names, context: &Context) -> Result<Vec<Bundle>> {
    let tree = context.tree()?;
    if names.bundles.is_empty() {
        let (all, problems) = tree.bundles();
        problems?;
        return Ok(all);
    }
    let one = |name: &String| -> Result<Bundle> {
        let found = tree.bundle(name)?;
        found.ok_or_else(|| unknown(name, &tree.bundles().0))
    };
    names.bundles.iter().map(one).collect()
}

fn unknown(name: &str, all: &[Bundle]) -> anyhow::Error {
    let names: Vec<&str> = all.iter().map(|bundle| bundle.name.as_str()).collect();
    let near = clic_recipe::nearest(name, names.iter().copied(), 1);
    let help = match near.first() {
        Some(near) => format!("did you mean `{near}`? `clic content ls` lists them"),
        None => "`clic content ls` lists them".to_owned(),
    };
    UserError::new(format!("there is no bundle `{name}`"))
        .help(help)
        .into()
}

/// The bundle's title in a language of the terminal's: English, else French, else any.
fn title(bundle: &Bundle) -> &str {
    let texts = &bundle.title;
    let text = texts.get("en").or_else(|| texts.get("fr"));
    text.or_else(|| texts.values().next()).map_or("", String::as_str)
}

fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn list(context: &Context) -> Result<Outcome> {
    // Those that can be read are listed whatever lies beside them.
    let (bundles, problems) = context.tree()?.bundles();
    if context.json {
        output::json(&json!({ "bundles": bundles }))?;
        problems?;
        return Ok(Outcome::Done);
    }
    let mut rows = Vec::new();
    for bundle in &bundles {
        rows.push(vec![
            context.out.bold(&bundle.name),
            word(bundle.kind),
            bundle.language.clone(),
            output::size(bundle.size()),
            bundle.licence.clone(),
            title(bundle).to_owned(),
        ]);
    }
    output::text(&output::table(&rows))?;
    problems?;
    Ok(Outcome::Done)
}

fn check(names: &Names, context: &Context) -> Result<Outcome> {
    let bundles = named(names, context)?;
    let store = Context::store()?;
    let mut rows = Vec::new();
    let mut reports = Vec::new();
    for bundle in &bundles {
        clic_content::look_into(bundle, &store, &context.progress())?;
        let downloads = downloads(std::slice::from_ref(bundle));
        let missing = store.missing(&downloads);
        let bytes: u64 = missing.iter().map(|download| download.size).sum();
        let packages = bundle.items.iter().any(|item| item.package().is_some());
        let state = match (missing.is_empty(), downloads.is_empty()) {
            (false, _) => format!("{} to fetch", output::size(bytes)),
            (true, false) => "all in the store".to_owned(),
            (true, true) if packages => "from Debian packages, downloaded by the build".to_owned(),
            (true, true) => "all in the tree".to_owned(),
        };
        rows.push(vec![context.out.good("ok"), bundle.name.clone(), state]);
        reports.push(json!({ "name": bundle.name, "valid": true, "to-fetch": bytes }));
    }
    if context.json {
        output::json(&json!({ "bundles": reports }))?;
    } else {
        output::text(&output::table(&rows))?;
    }
    Ok(Outcome::Done)
}

fn fetch(args: &Fetch, context: &Context) -> Result<Outcome> {
    let bundles = named(&args.names, context)?;
    let store = args.from.store()?;
    let fetched = clic_content::fetch(&bundles, &store, &context.progress())?;
    let packages: Vec<&str> = bundles
        .iter()
        .flat_map(|bundle| &bundle.items)
        .filter(|item| matches!(item.from, ItemSource::PackageDirectory { .. }))
        .filter_map(|item| Some(item.package()?.name.as_str()))
        .collect();
    if context.json {
        output::json_line(&json!({ "event": "result", "files": fetched, "with-the-build": packages }))?;
        return Ok(Outcome::Done);
    }
    output::text(&format!("files in the store: {fetched}\n"))?;
    if !packages.is_empty() {
        context.say(&format!(
            "files from Debian packages are downloaded by the build, which knows their versions: {}",
            packages.join(", ")
        ));
    }
    Ok(Outcome::Done)
}
