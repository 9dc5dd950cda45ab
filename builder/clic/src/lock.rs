//! `clic lock`: exactly which packages an image is made of, written beside the recipe.

mod trust;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use anyhow::Result;
use clic_archive::{HostApt, Keep, Lock, Package, Pins, ResolveOptions};
use clic_debian::version;
use clic_engine::counted_on;
use clic_engine::resolution::{LockFile, State, open_sources};
use clic_host::{Outcome, Progress, UserError};
use clic_recipe::{Plan, nearest};
use clic_store::Session;
use serde::Serialize;
use serde_json::json;

use crate::context::Context;
use crate::mirror::MirrorArgs;
use crate::names;
use crate::output;

/// Record the exact packages of an image in a lock
///
/// Writes recipes/RECIPE-BOARD.lock. A build uses a lock that fits its recipe, and then downloads nothing that
/// the store has. A lock that fits is left as it is; one that does not is changed as little as possible.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  clic lock minimal --board x86-pc
  clic lock minimal --board x86-pc --check
  clic lock minimal --board x86-pc --update                    everything to what the mirror has now
  clic lock minimal --board x86-pc --update openssh-server     only this, and what it needs
  clic build minimal --board x86-pc --locked
  clic lock clic --board x86-pc --trust-key                    fetch keys of repositories, and confirm them

Keep the lock in version control, beside the recipe.")]
pub struct Args {
    /// Recipe: a name from `clic recipes`, or the path of a TOML file
    #[arg(add = names::recipes())]
    recipe: String,
    /// With --update: only these packages; all others keep their versions, if that is possible
    #[arg(value_name = "PACKAGE", requires = "update")]
    packages: Vec<String>,
    /// Board: a name from `clic boards`, or the path of a TOML file
    #[arg(short, long, add = names::boards())]
    board: String,
    /// Take what the mirror has now, and show what changed
    #[arg(long)]
    update: bool,
    /// Only check whether the lock fits; exit 1 if not. Uses no network
    #[arg(long, conflicts_with = "update")]
    check: bool,
    /// Confirm the keys of repositories that have no fingerprint in the recipe: download those that are not in the tree, show
    /// whose they are, and ask. With a fingerprint, you are not asked: exactly that key is accepted
    #[arg(long, value_name = "FINGERPRINT", num_args = 0..=1, value_parser = trust::fingerprint, conflicts_with = "check")]
    trust_key: Option<Vec<String>>,
    #[command(flatten)]
    from: MirrorArgs,
}

/// A package that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Change {
    name: String,
    #[serde(rename = "change")]
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Added,
    Removed,
    Upgraded,
    Downgraded,
    /// Same version, but other content or another source.
    Rebuilt,
}

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let tree = context.tree()?;
    let confirmed = match &args.trust_key {
        Some(given) => trust::confirm(&tree, args, given, context)?,
        None => Vec::new(),
    };
    let plan = clic_recipe::resolve(
        &tree,
        &args.recipe,
        &args.board,
        &clic_recipe::ResolveOptions::default(),
    )?;
    clic_engine::refused::check(&plan)?;
    let file = LockFile::new(&tree, &args.recipe, &args.board, &plan)?;
    if args.check {
        return check(&file, &plan, context);
    }
    clic_store::writable_file(&file.path, None)?;
    // A damaged lock is what this command fixes.
    let before = file.read().unwrap_or_else(|error| {
        context.say(&format!("the old lock is not used: {error:#}"));
        None
    });
    let mut pins = file.pins(before.as_ref(), &open_sources(&plan));
    for (source, fingerprint) in &confirmed {
        pins.confirm(source, fingerprint);
    }
    pins.check(&plan)?;
    let fits = before.as_ref().is_some_and(|lock| lock.misfits(&plan).is_empty());
    if let Some(lock) = before.as_ref().filter(|_| fits && !args.update) {
        return report(&file, lock, None, &[], 0, context);
    }
    for name in &args.packages {
        known(name, before.as_ref(), &file)?;
    }
    let keep = match &before {
        Some(lock) if !args.update || !args.packages.is_empty() => Keep::of(lock, &args.packages),
        _ => Keep::default(),
    };
    let lock = resolve(args, &plan, keep, pins, &context.progress())?;
    counted_on::check(&plan, &lock.packages)?;
    let (none, no_tools) = (Vec::new(), BTreeMap::new());
    let (packages, tools) = before
        .as_ref()
        .map_or((&none, &no_tools), |lock| (&lock.packages, &lock.tools));
    // A first lock has everything new: no news.
    let changes = before
        .as_ref()
        .map_or_else(Vec::new, |_| changes(packages, &lock.packages));
    let tools = lock
        .tools
        .iter()
        .filter(|_| before.is_some())
        .map(|(host, now)| self::changes(tools.get(host).unwrap_or(&none), now).len())
        .sum();
    let written = before.as_ref() != Some(&lock);
    if written {
        lock.write(&file.path)?;
    }
    let first = before.is_none();
    report(&file, &lock, written.then_some(first), &changes, tools, context)
}

fn check(file: &LockFile, plan: &Plan, context: &Context) -> Result<Outcome> {
    let (state, differences) = match file.state(plan)? {
        State::Missing => ("missing", Vec::new()),
        State::Fits(_) => ("fits", Vec::new()),
        State::Misfits(misfits) => ("misfits", misfits),
    };
    let shown = file.shown.display();
    if context.json {
        output::json(&json!({ "lock": file.shown, "state": state, "differences": differences }))?;
    } else {
        output::text(&match state {
            "fits" => format!("{shown} fits"),
            "missing" => format!("there is no {shown}\n  help: {}", file.command),
            _ => format!(
                "{shown} does not fit\n    {}\n  help: {}",
                differences.join("\n    "),
                file.command
            ),
        })?;
    }
    Ok(if state == "fits" {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

/// Only what is in the lock can be updated in it.
fn known(name: &str, lock: Option<&Lock>, file: &LockFile) -> Result<()> {
    let shown = file.shown.display();
    let Some(lock) = lock else {
        return Err(
            UserError::new(format!("{name} cannot be updated: there is no lock {shown}"))
                .help(file.command.clone())
                .into(),
        );
    };
    let tools = lock.tools.values().flatten();
    let mut names = lock
        .packages
        .iter()
        .chain(tools)
        .map(|package| package.name.as_str());
    if names.any(|other| other == name) {
        return Ok(());
    }
    let error = UserError::new(format!("there is no package {name} in {shown}"));
    let near = nearest(name, lock.packages.iter().map(|package| package.name.as_str()), 1);
    Err(match near.first() {
        Some(near) => error.help(format!("did you mean {near}?")).into(),
        None => error.into(),
    })
}

fn resolve(args: &Args, plan: &Plan, keep: Keep, pins: Pins, progress: &Progress) -> Result<Lock> {
    let mirrors = args.from.find()?;
    let store = args.from.store()?;
    let log = store.claim_log(&format!("{}-{}.lock", plan.recipe.name, plan.board.name))?;
    let options = ResolveOptions {
        host: HostApt::ask(),
        keep,
        pins,
        ..ResolveOptions::default()
    };
    let session = Session {
        store: &store,
        log: &log,
        progress,
    };
    clic_archive::lock(plan, &mirrors, &options, session)
}

/// Sorted by name.
fn changes(before: &[Package], now: &[Package]) -> Vec<Change> {
    let by_name = |packages: &[Package]| -> BTreeMap<String, Package> {
        packages
            .iter()
            .map(|package| (package.name.clone(), package.clone()))
            .collect()
    };
    let (before, now) = (by_name(before), by_name(now));
    let mut names: Vec<&String> = before.keys().chain(now.keys()).collect();
    names.sort();
    names.dedup();
    let change = |name: &String| {
        let (from, to) = (before.get(name), now.get(name));
        let kind = match (from, to) {
            (Some(from), Some(to)) => match version::compare(&from.version, &to.version) {
                Ordering::Less => Kind::Upgraded,
                Ordering::Greater => Kind::Downgraded,
                Ordering::Equal if from.sha256 != to.sha256 => Kind::Rebuilt,
                Ordering::Equal => return None,
            },
            (None, _) => Kind::Added,
            (_, None) => Kind::Removed,
        };
        Some(Change {
            name: name.clone(),
            kind,
            from: from.map(|package| package.version.clone()),
            to: to.map(|package| package.version.clone()),
        })
    };
    names.into_iter().filter_map(change).collect()
}

fn line(change: &Change) -> String {
    let name = &change.name;
    let from = change.from.as_deref().unwrap_or_default();
    let to = change.to.as_deref().unwrap_or_default();
    match change.kind {
        Kind::Added => format!("+ {name} {to}"),
        Kind::Removed => format!("- {name} {from}"),
        Kind::Upgraded => format!("~ {name} {from} -> {to}"),
        Kind::Downgraded => format!("~ {name} {from} -> {to} (downgrade)"),
        Kind::Rebuilt => format!("~ {name} {to} (same version, different content)"),
    }
}

/// `written`: whether it is the first one, if it was written.
fn report(
    file: &LockFile,
    lock: &Lock,
    written: Option<bool>,
    changes: &[Change],
    tools: usize,
    context: &Context,
) -> Result<Outcome> {
    if context.json {
        output::json_line(&json!({
            "event": "result",
            "lock": file.shown,
            "written": written.is_some(),
            "packages": lock.packages.len(),
            "epoch": lock.epoch,
            "changes": changes,
            "tool_changes": tools,
        }))?;
        return Ok(Outcome::Done);
    }
    let shown = context.out.bold(&file.shown.display().to_string());
    let count = |kind: Kind, word: &str| {
        let count = changes.iter().filter(|change| change.kind == kind).count();
        (count > 0).then(|| format!("{count} {word}"))
    };
    let mut counts: Vec<String> = [
        (Kind::Added, "added"),
        (Kind::Removed, "removed"),
        (Kind::Upgraded, "upgraded"),
        (Kind::Downgraded, "downgraded"),
        (Kind::Rebuilt, "rebuilt"),
    ]
    .into_iter()
    .filter_map(|(kind, word)| count(kind, word))
    .collect();
    if tools > 0 {
        counts.push(format!("{tools} of the build's own tools"));
    }
    let lines: String = changes.iter().map(|change| line(change) + "\n").collect();
    let packages = output::counted(lock.packages.len(), "package");
    let what = match (written, counts.is_empty()) {
        (None, _) => format!("is up to date: {packages}"),
        (Some(true), _) => format!("written: {packages}"),
        (Some(false), true) => {
            format!("written: {packages}, as before; only inputs or the archive's date changed")
        }
        (Some(false), false) => format!("written: {packages} ({})", counts.join(", ")),
    };
    output::text(&format!("{lines}{shown} {what}\n"))?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use clic_archive::Part;
    use clic_host::Sha256;

    use super::*;

    fn package(name: &str, version: &str, content: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            arch: "all".into(),
            source: "debian".into(),
            uri: String::new(),
            filename: "x.deb".into(),
            sha256: Sha256::of(content),
            size: 1,
            installed_size: 1,
            automatic: false,
            part: Part::Base,
            stanza: String::new(),
        }
    }

    #[test]
    fn every_change_has_its_word() {
        let before = [
            package("a", "1.0", "x"),
            package("b", "1:1.0", "x"),
            package("c", "1.0~rc1", "x"),
            package("d", "1", "x"),
            package("same", "1", "x"),
        ];
        let now = [
            package("b", "2.0", "y"),
            package("c", "1.0", "y"),
            package("d", "1", "y"),
            package("e", "1", "y"),
            package("same", "1", "x"),
        ];
        let lines: Vec<String> = changes(&before, &now).iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "- a 1.0",
                "~ b 1:1.0 -> 2.0 (downgrade)",
                "~ c 1.0~rc1 -> 1.0",
                "~ d 1 (same version, different content)",
                "+ e 1",
            ]
        );
    }
}
