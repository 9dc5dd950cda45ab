//! `clic content update`: files that are other ones now.

use anyhow::Result;
use clic_host::{Cancelled, Outcome, Sha256, Stage};
use clic_recipe::plan::{Bundle, ItemSource, Unpack};
use clic_recipe::{Tree, served};
use clic_store::{Download, Store, space};
use serde_json::json;

use super::edit::{newer, read, stated};
use super::{Fetch, Names, named, place};
use crate::context::Context;
use crate::output;

/// A file that is another one now.
struct Newer {
    bundle: String,
    path: String,
    from: u64,
    to: u64,
}

pub fn run(args: &Fetch, context: &Context) -> Result<Outcome> {
    let tree = context.tree()?;
    let mut found = Vec::new();
    // First what lies in the tree: until that is right, the bundle cannot be read.
    let (names, problems) = match args.names.bundles.as_slice() {
        [] => tree.bundle_names(),
        names => (names.to_vec(), Ok(())),
    };
    for name in &names {
        if tree.bundle_file(name)?.is_file() {
            local(&tree, name, context, &mut found)?;
        }
    }
    let store = args.from.store()?;
    // What is wrong with one does not keep the others from being looked at.
    let mut wrong: Option<anyhow::Error> = problems.err().map(Into::into);
    for name in &names {
        let one = Names {
            bundles: vec![name.clone()],
        };
        let updated = named(&one, context).and_then(|bundles| {
            bundles
                .iter()
                .try_for_each(|bundle| remote(&tree, bundle, &store, context, &mut found))
        });
        match updated {
            Ok(()) => {}
            Err(error) if error.is::<Cancelled>() => return Err(error),
            Err(error) if wrong.is_none() => wrong = Some(error),
            Err(error) => context.progress().note(format!("bundle {name}: {error:#}")),
        }
    }
    if wrong.is_none() || !found.is_empty() {
        said(&found, context)?;
    }
    wrong.map_or(Ok(Outcome::Done), Err)
}

/// The files beside `bundle.toml`.
fn local(tree: &Tree, bundle: &str, context: &Context, found: &mut Vec<Newer>) -> Result<()> {
    let file = tree.bundle_file(bundle)?;
    let stage = context
        .progress()
        .stage("update", "Look at the files in the tree", bundle);
    for item in stated(&read(&file)?) {
        let (Some(local), Some(sha256)) = (&item.local, item.sha256) else {
            continue;
        };
        // What is wrong with its path is told by whoever reads the bundle.
        if served(local).is_err() {
            continue;
        }
        let path = tree.inside(std::path::Path::new("content-bundles").join(bundle).join(local))?;
        if !path.is_file() {
            continue;
        }
        let failed = |error| space::io_error(error, &path);
        let size = path.metadata().map_err(failed)?.len();
        let now = Sha256::of_file(&path).map_err(failed)?;
        if now == sha256 && size == item.size {
            continue;
        }
        place::is_what_it_says(&path, &item.path, local)?;
        let unpacked = match item.unpack.as_deref() {
            Some(kind) => {
                let kind = if kind == "zip" { Unpack::Zip } else { Unpack::Tar };
                Some(clic_content::look(&path, kind, u64::MAX, item.start.as_deref())?)
            }
            None => None,
        };
        newer(&file, &item.path, now, size, unpacked)?;
        found.push(Newer {
            bundle: bundle.to_owned(),
            path: item.path,
            from: item.size,
            to: size,
        });
    }
    stage.finish();
    Ok(())
}

/// What is at addresses.
fn remote(
    tree: &Tree,
    bundle: &Bundle,
    store: &Store,
    context: &Context,
    found: &mut Vec<Newer>,
) -> Result<()> {
    let file = tree.bundle_file(&bundle.name)?;
    let stage = context
        .progress()
        .stage("update", "Look at the sources", &bundle.name);
    let result = bundle.items.iter().try_for_each(|item| -> Result<()> {
        let ItemSource::File {
            sha256,
            size,
            urls,
            local: None,
            unpack,
            ..
        } = &item.from
        else {
            return Ok(());
        };
        let Some(url) = urls.first() else { return Ok(()) };
        let Some(now) = changed(url, &item.path, *size, *sha256, store, &stage)? else {
            return Ok(());
        };
        let kept = store.path_of(now.sha256);
        place::is_what_it_says(&kept, &item.path, url)?;
        let unpacked = match unpack {
            None => None,
            Some((kind, _)) => Some(clic_content::look(&kept, *kind, u64::MAX, item.start.as_deref())?),
        };
        newer(&file, &item.path, now.sha256, now.size, unpacked)?;
        found.push(Newer {
            bundle: bundle.name.clone(),
            path: item.path.clone(),
            from: *size,
            to: now.size,
        });
        Ok(())
    });
    if result.is_ok() {
        stage.finish();
    }
    result
}

fn changed(
    url: &str,
    path: &str,
    size: u64,
    sha256: Sha256,
    store: &Store,
    stage: &Stage,
) -> Result<Option<Download>> {
    let agree = |_: Option<u64>| Ok(size.saturating_mul(2).max(place::LARGE));
    let now = store.learn(url, path, &agree, stage)?.download;
    Ok((now.sha256 != sha256).then_some(now))
}

fn said(newer: &[Newer], context: &Context) -> Result<()> {
    if context.json {
        let changed: Vec<_> = newer
            .iter()
            .map(|newer| json!({ "bundle": newer.bundle, "path": newer.path, "from": newer.from, "to": newer.to }))
            .collect();
        return output::json_line(&json!({ "event": "result", "changed": changed }));
    }
    if newer.is_empty() {
        return output::text("nothing changed\n");
    }
    let rows: Vec<Vec<String>> = newer
        .iter()
        .map(|newer| {
            let sizes = format!("{} -> {}", output::size(newer.from), output::size(newer.to));
            vec![newer.bundle.clone(), newer.path.clone(), sizes]
        })
        .collect();
    output::text(&output::table(&rows))
}
