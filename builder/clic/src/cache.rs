//! `clic cache`: what the store holds, and keeping it small and sound.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Subcommand;
use clic_host::Outcome;
use clic_store::{Collected, Entry, Kind, Removed, Store, contents};
use serde_json::json;

use crate::context::Context;
use crate::output;

/// Show or clean the store: downloads, layers and other things kept between builds
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The store is $CLIC_CACHE, else $XDG_CACHE_HOME/clic, else ~/.cache/clic. You can delete it while no build is running.

Examples:
  clic cache ls
  clic cache gc --max 20G
  clic cache verify")]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what is in the store and how large it is (the default)
    Ls,
    /// Remove what was not used for the longest time, and leftovers of killed builds
    ///
    /// Never removes what a running build uses. What is removed is downloaded or built again when needed.
    Gc(GcArgs),
    /// Read everything and remove what is damaged; exits 1 if anything was damaged
    Verify,
}

#[derive(Debug, clap::Args)]
struct GcArgs {
    /// Maximum size of the store: bytes, or with K, M, G, T (powers of 1000)
    #[arg(long, value_name = "SIZE", default_value = "20G", value_parser = parse_size)]
    max: u64,
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
}

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    match args.action.as_ref().unwrap_or(&Action::Ls) {
        Action::Ls => list(context),
        Action::Gc(args) => gc(args, context),
        Action::Verify => verify(context),
    }
}

/// `20G`, `500M`, `0`: bytes in powers of 1000, as sizes are shown.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "write a whole number of bytes, or one with K, M, G or T, like 20G".to_owned();
    let text = text.trim().trim_end_matches(['B', 'b']);
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 1,
        "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(wrong)
}

fn list(context: &Context) -> Result<Outcome> {
    let dir = Store::default_dir()?;
    let mut kinds: BTreeMap<Kind, (u64, u64, u64)> = BTreeMap::new();
    for Entry {
        kind, files, bytes, ..
    } in contents(&dir)?
    {
        let sums = kinds.entry(kind).or_default();
        sums.0 += 1;
        sums.1 += files;
        sums.2 = sums.2.saturating_add(bytes);
    }
    let total: u64 = kinds.values().map(|(_, _, bytes)| bytes).sum();
    if context.json {
        let kinds: BTreeMap<&str, _> = kinds
            .iter()
            .map(|(kind, (entries, files, bytes))| {
                let sums = json!({ "entries": entries, "files": files, "bytes": bytes });
                (kind.name(), sums)
            })
            .collect();
        output::json(&json!({ "store": dir, "bytes": total, "kinds": kinds }))?;
        return Ok(Outcome::Done);
    }
    let mut rows: Vec<Vec<String>> = kinds
        .iter()
        .map(|(kind, (entries, files, bytes))| {
            let count = if entries == files {
                format!("{entries}")
            } else {
                format!("{entries} ({})", output::counted(*files, "file"))
            };
            vec![kind.name().to_owned(), count, output::size(*bytes)]
        })
        .collect();
    rows.push(vec!["in all".into(), String::new(), output::size(total)]);
    output::text(&format!(
        "{}\n{}",
        context.out.bold(&dir.display().to_string()),
        output::table(&rows)
    ))?;
    Ok(Outcome::Done)
}

fn gc(args: &GcArgs, context: &Context) -> Result<Outcome> {
    let store = Context::store()?;
    let done = store.gc(args.max, args.dry_run)?;
    if context.json {
        let mut json = serde_json::to_value(&done)?;
        if let Some(json) = json.as_object_mut() {
            json.insert("dry_run".to_owned(), args.dry_run.into());
            json.insert("max".to_owned(), args.max.into());
        }
        output::json(&json)?;
    } else {
        output::text(&told(&done, args))?;
    }
    Ok(Outcome::Done)
}

fn told(done: &Collected, args: &GcArgs) -> String {
    let verb = if args.dry_run { "would remove" } else { "removed" };
    let mut text = Vec::new();
    let mut whys: BTreeMap<(Kind, &str), (u64, u64)> = BTreeMap::new();
    for Removed { kind, bytes, why, .. } in &done.removed {
        let sums = whys.entry((*kind, why)).or_default();
        sums.0 += 1;
        sums.1 += bytes;
    }
    for ((kind, why), (count, bytes)) in whys {
        let (kind, bytes) = (kind.name(), output::size(bytes));
        text.push(format!("{verb} {count} of {kind}, {bytes} ({why})\n"));
    }
    let what = if done.removed.is_empty() {
        "nothing to remove".to_owned()
    } else {
        format!("{verb} {} in all", output::size(done.freed))
    };
    let in_use = match done.in_use {
        0 => String::new(),
        bytes => format!(", of which running builds use {}", output::size(bytes)),
    };
    let over = if done.left > args.max {
        format!(
            "\nThat is more than {}: the rest is in use.",
            output::size(args.max)
        )
    } else {
        String::new()
    };
    let text = text.concat();
    format!("{text}{what}: {} left{in_use}{over}", output::size(done.left))
}

fn verify(context: &Context) -> Result<Outcome> {
    let store = Context::store()?;
    let progress = context.progress();
    let stage = progress.stage("verify", "Read the store", "asked for");
    let mut found = store.verify(&stage)?;
    stage.message("indexes");
    for (name, bytes) in clic_archive::apt::verify(&store)? {
        found.damaged.push(Removed {
            kind: Kind::Indexes,
            name,
            bytes,
            why: "its content is not what the signed Release file says".to_owned(),
        });
    }
    stage.finish();
    let sound = found.damaged.is_empty();
    if context.json {
        let mut json = serde_json::to_value(&found)?;
        if let Some(json) = json.as_object_mut() {
            json.insert("event".to_owned(), "result".into());
        }
        output::json_line(&json)?;
    } else {
        let mut lines: Vec<String> = found
            .damaged
            .iter()
            .map(|damaged| format!("damaged and removed: {} ({})", damaged.name, damaged.why))
            .collect();
        let verdict = match found.damaged.len() {
            0 => "all sound".to_owned(),
            1 => "1 was damaged; the next build replaces it".to_owned(),
            n => format!("{n} were damaged; the next build replaces them"),
        };
        let bytes = output::size(found.bytes);
        lines.push(format!(
            "files and layers: {} read, {bytes}: {verdict}",
            found.checked
        ));
        output::text(&lines.join("\n"))?;
    }
    Ok(if sound { Outcome::Done } else { Outcome::Failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal() {
        for (text, bytes) in [
            ("0", 0),
            ("20G", 20_000_000_000),
            ("1500", 1500),
            ("500m", 500_000_000),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "-1", "1.5G", "20X", "99999999999T", "1 G"] {
            assert!(parse_size(text).unwrap_err().contains("like 20G"), "{text}");
        }
    }

    #[test]
    fn what_went_is_summed_up() {
        let removed = |kind, name: &str, why: &str| Removed {
            kind,
            name: name.into(),
            bytes: 1000,
            why: why.into(),
        };
        let mut done = Collected {
            removed: vec![
                removed(Kind::Scratch, "tmp/a", "left by a killed run"),
                removed(Kind::Downloads, "a", "not used for longest"),
                removed(Kind::Downloads, "b", "not used for longest"),
            ],
            freed: 3000,
            left: 5000,
            in_use: 4000,
        };
        let mut args = GcArgs {
            max: 4000,
            dry_run: false,
        };
        assert_eq!(
            told(&done, &args),
            "removed 2 of downloads, 2.0 kB (not used for longest)\nremoved 1 of scratch, 1.0 kB (left by a killed run)\n\
             removed 3.0 kB in all: 5.0 kB left, of which running builds use 4.0 kB\n\
             That is more than 4.0 kB: the rest is in use."
        );
        args.dry_run = true;
        args.max = 5000;
        done.removed.clear();
        done.in_use = 0;
        assert_eq!(told(&done, &args), "nothing to remove: 5.0 kB left");
    }
}
