//! `clic content add`: files, folders and addresses, and everything that has to be said of them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clic_host::{Outcome, Stage, UserError};
use clic_recipe::plan::{BundleKind, Theme, Unpack};
use clic_recipe::{Tree, same_place, served};
use clic_store::{Download, Learned, Store};
use serde_json::json;

use super::edit::{self, named, quoted, read, table};
use super::gather::{Gathered, Origin, Piece, gather, proposed};
use super::place::{LARGE, Limits, Place, is_what_it_says};
use super::talk::{self, head};
use super::written::Undo;
use crate::cache::parse_size;
use crate::context::Context;
use crate::mirror::MirrorArgs;
use crate::names;
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and folders, which are copied beside bundle.toml; or https: and http: addresses
    #[arg(value_name = "PATH_OR_URL", required = true)]
    places: Vec<String>,
    /// The bundle: one of content-bundles/, or a new one
    #[arg(long = "to", value_name = "BUNDLE", add = names::bundles())]
    pub bundle: String,
    /// Also add the bundle to this recipe
    #[arg(long, value_name = "RECIPE", add = names::recipes())]
    recipe: Option<String>,
    /// Path in the bundle on the device [default: the file's name]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// It is an archive: unpack it
    #[arg(long, value_name = "KIND", value_parser = ["tar", "zip"])]
    unpack: Option<String>,
    /// With --unpack: maximum size of all files in the archive, in bytes [default: what they have]
    #[arg(long, value_name = "BYTES", requires = "unpack")]
    unpacked: Option<u64>,
    /// Download or copy without asking, however much it is
    #[arg(long, short)]
    yes: bool,
    /// Download or copy no more than this, and don't ask: 500M, 20G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max: Option<u64>,
    /// One line for people: --title fr="Candide" [default: for a file in a bundle, what its name says]
    #[arg(long, value_name = "LANGUAGE=TEXT")]
    pub title: Vec<String>,
    /// For a new bundle: a paragraph for people, in one language of the readers or in several
    #[arg(long, value_name = "LANGUAGE=TEXT")]
    pub description: Vec<String>,
    /// For a new bundle: SPDX identifier of its licence, such as CC-BY-SA-4.0
    #[arg(long, value_name = "SPDX")]
    pub licence: Option<String>,
    /// For a new bundle: who made it
    #[arg(long, value_name = "WHO")]
    pub credit: Option<String>,
    /// For a new bundle: site, zim, videos, audio, books, course or files
    #[arg(long, value_parser = one_of::<BundleKind>)]
    pub kind: Option<String>,
    /// For a new bundle: arts, children, computing, school, ... (schemas/bundle.schema.json)
    #[arg(long, value_parser = one_of::<Theme>)]
    pub theme: Option<String>,
    /// For a new bundle: language of the content, such as fr
    #[arg(long)]
    pub language: Option<String>,
    #[command(flatten)]
    from: MirrorArgs,
}

fn one_of<T: serde::de::DeserializeOwned>(text: &str) -> Result<String, String> {
    let value = serde_json::Value::String(text.to_owned());
    match serde_json::from_value::<T>(value) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let tree = context.tree()?;
    // What becomes a path is looked at first, and all questions come before any work.
    let file = tree.bundle_file(&args.bundle)?;
    if let Some(path) = &args.path {
        served(path).map_err(UserError::new)?;
    }
    clic_store::writable_file(&file, None)?;
    let before = if file.exists() { Some(read(&file)?) } else { None };
    let recipe = match &args.recipe {
        Some(name) => Some(recipe_with(&tree, name, &args.bundle)?),
        None => None,
    };
    let mut found = gather(&args.places, args.path.as_deref())?;
    if let (Some(_), [_, _, ..]) = (&args.unpack, found.pieces.as_slice()) {
        return Err(UserError::new("--unpack is for one archive, and there are several files").into());
    }
    if let Some(text) = &before {
        taken(text, &found)?;
        if let (false, [_, _, ..]) = (args.title.is_empty(), found.pieces.as_slice()) {
            let what = "--title is for one file, or for a new bundle, and there are several files";
            return Err(UserError::new(what)
                .help("without it, files get what their names say; a terminal asks")
                .into());
        }
    }
    for line in found.said() {
        context.say(&line);
    }
    copies(args, &found)?;
    let head = match &before {
        Some(text) => text.clone(),
        None => head(args, &found)?,
    };
    let titles = item_titles(args, &head, &mut found)?;

    let store = args.from.store()?;
    let limits = Limits {
        yes: args.yes,
        max: args.max,
    };
    let mut added = Vec::new();
    for piece in found.pieces {
        added.push(learned(args, piece, &limits, &store, context)?);
    }
    let items: Vec<String> = added.iter().map(|one| one.item(args, &titles)).collect();
    let text = format!("{}\n\n{}", head.trim_end(), items.join("\n"));

    let mut undo = Undo::default();
    let stage = context
        .progress()
        .stage("add", "Copy into the tree", &args.bundle);
    for one in &added {
        one.copy(&tree, &args.bundle, &store, &mut undo, &stage)?;
    }
    stage.finish();
    tree.check_bundle(&args.bundle, &text)?;
    undo.text(&file, before.as_deref(), &text)?;
    if let Some((path, before, text)) = &recipe {
        undo.text(path, Some(before), text)?;
    }
    undo.keep();
    report(args, context, &added, &file, before.is_none())?;
    Ok(Outcome::Done)
}

/// Much is not copied without a question, as it is not downloaded.
fn copies(args: &Args, found: &Gathered) -> Result<()> {
    let size = found.size();
    if let Some(max) = args.max.filter(|max| size > *max) {
        let [size, max] = [size, max].map(output::size);
        return Err(UserError::new(format!("{size} would be copied, more than --max allows ({max})")).into());
    }
    if args.yes || args.max.is_some() || size <= LARGE {
        return Ok(());
    }
    let size = output::size(size);
    if !talk::asks() {
        return Err(
            UserError::new(format!("{size} would be copied; nothing was changed"))
                .help("`--yes` copies it without asking, and `--max SIZE` all that is not larger")
                .into(),
        );
    }
    if talk::agreed(&format!("{size} would be copied into the tree. Go on (y/n)?"))? {
        Ok(())
    } else {
        Err(UserError::new("nothing was copied, and nothing was changed").into())
    }
}

/// What is in the bundle already has its place.
fn taken(text: &str, found: &Gathered) -> Result<()> {
    let there = edit::paths(text);
    let mut twice = found.pieces.iter().filter_map(|piece| piece.path.as_deref());
    let twice = twice.find(|path| there.iter().any(|other| same_place(other) == same_place(path)));
    match twice {
        None => Ok(()),
        Some(path) => Err(UserError::new(format!("`{path}` exists already in the bundle"))
            .help("give the new one another name with --path; if the file changed, copy it there and run `clic content update`")
            .into()),
    }
}

/// How each item is called by options; without them, items of files get what is proposed, in the language of the bundle.
fn item_titles(args: &Args, head: &str, found: &mut Gathered) -> Result<Titles> {
    let given = talk::texts("--title", &args.title)?;
    if let ([_], false) = (found.pieces.as_slice(), given.is_empty()) {
        return Ok(Titles::Given(given));
    }
    talk::titles(found)?;
    let language = edit::language(head).filter(|language| language != "mul");
    Ok(Titles::Proposed(language.unwrap_or_else(|| "fr".to_owned())))
}

enum Titles {
    /// Of the only item.
    Given(Vec<(String, String)>),
    /// Each item's own, in this language.
    Proposed(String),
}

/// A piece of which everything is known.
struct Added {
    /// Its path in the bundle.
    name: String,
    title: String,
    what: What,
}

enum What {
    File {
        download: Download,
        /// Most bytes of its files, if it is an archive.
        unpacked: Option<u64>,
        /// It has an address; others are copied beside bundle.toml.
        remote: bool,
    },
    Pages {
        dir: PathBuf,
        files: Vec<PathBuf>,
        start: &'static str,
        size: u64,
    },
}

/// Has a piece in the store, and looks at what it is.
fn learned(args: &Args, piece: Piece, limits: &Limits, store: &Store, context: &Context) -> Result<Added> {
    let place = match piece.from {
        Origin::File(place) => place,
        Origin::Pages { dir, files, start } => {
            return Ok(Added {
                name: piece.path.unwrap_or_default(),
                title: piece.title,
                what: What::Pages {
                    dir,
                    files,
                    start,
                    size: piece.size,
                },
            });
        }
    };
    let Learned { download, offered } = place.learn(limits, store, context)?;
    let Some(name) = piece.path.or(offered) else {
        return Err(UserError::new(format!("{} has no file name", piece.given))
            .help("give one with --path")
            .into());
    };
    served(&name).map_err(|why| UserError::new(why).help("give it another name with --path"))?;
    let kept = store.path_of(download.sha256);
    is_what_it_says(&kept, &name, &piece.given)?;
    let title = if piece.title.is_empty() {
        proposed(&name)
    } else {
        piece.title
    };
    Ok(Added {
        name,
        title,
        what: What::File {
            unpacked: unpacked(args, &kept)?,
            remote: matches!(place, Place::Remote(_)),
            download,
        },
    })
}

impl Added {
    fn size(&self) -> u64 {
        match &self.what {
            What::File { download, .. } => download.size,
            What::Pages { size, .. } => *size,
        }
    }

    /// Copies what lies on this machine.
    fn copy(&self, tree: &Tree, bundle: &str, store: &Store, undo: &mut Undo, stage: &Stage) -> Result<()> {
        let to = Path::new("content-bundles")
            .join(bundle)
            .join(copy_of(&self.name));
        match &self.what {
            What::File { remote: true, .. } => Ok(()),
            What::File { download, .. } => undo.copy(tree, &to, &store.path_of(download.sha256), stage),
            What::Pages { dir, files, .. } => files
                .iter()
                .try_for_each(|file| undo.copy(tree, &to.join(file), &dir.join(file), stage)),
        }
    }

    /// Its `[[item]]`.
    fn item(&self, args: &Args, titles: &Titles) -> String {
        let mut text = format!("[[item]]\npath = {}\n", quoted(&self.name));
        let title = match titles {
            Titles::Given(all) => table(all),
            Titles::Proposed(language) => table(&[(language.clone(), self.title.clone())]),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "title = {title}");
        let copy = quoted(&copy_of(&self.name).display().to_string());
        let _ = match &self.what {
            What::Pages { start, .. } => {
                return format!("{text}local = {copy}\nstart = {}\n", quoted(start));
            }
            What::File { remote: false, .. } => writeln!(text, "local = {copy}"),
            What::File { download, .. } => writeln!(text, "url = [{}]", quoted(&download.url)),
        };
        if let What::File {
            download, unpacked, ..
        } = &self.what
        {
            let _ = writeln!(
                text,
                "sha256 = {}\nsize = {}",
                quoted(&download.sha256.to_string()),
                download.size
            );
            if let (Some(kind), Some(unpacked)) = (&args.unpack, unpacked) {
                let _ = writeln!(text, "unpack = {}\nunpacked = {unpacked}", quoted(kind));
            }
        }
        text
    }
}

/// Looks into an archive: it can be unpacked, and has so many bytes.
fn unpacked(args: &Args, kept: &Path) -> Result<Option<u64>> {
    let kind = match args.unpack.as_deref() {
        Some("tar") => Unpack::Tar,
        Some(_) => Unpack::Zip,
        None => return Ok(None),
    };
    let found = clic_content::look(kept, kind, args.unpacked.unwrap_or(u64::MAX), None)?;
    Ok(Some(args.unpacked.unwrap_or(found)))
}

/// Where the copy of a file of this machine goes, beside bundle.toml: two with different paths are two.
fn copy_of(name: &str) -> PathBuf {
    Path::new("files").join(name)
}

/// `new`: the bundle was not there before.
fn report(args: &Args, context: &Context, added: &[Added], file: &Path, new: bool) -> Result<()> {
    for one in added {
        if context.json {
            let mut line = json!({
                "event": "result", "bundle": args.bundle, "file": file, "path": one.name, "size": one.size(),
            });
            if let What::File { download, .. } = &one.what {
                line["sha256"] = json!(download.sha256);
            }
            output::json_line(&line)?;
        } else {
            output::text(&format!(
                "{} ({}) is in bundle {}: {}\n",
                one.name,
                output::size(one.size()),
                args.bundle,
                file.display()
            ))?;
        }
    }
    if let Some(name) = &args.recipe {
        context.say(&format!(
            "it is in recipe {name}; the plan of the image: clic plan {name} --board BOARD"
        ));
    } else if new {
        context.say(&format!("add it to a recipe: bundles = [\"{}\"]", args.bundle));
    }
    Ok(())
}

/// The recipe's file, its text, and that with the bundle in it.
fn recipe_with(tree: &Tree, name: &str, bundle: &str) -> Result<(PathBuf, String, String)> {
    let path = tree.recipe_file(name)?;
    if !path.is_file() {
        // Whatever else may be wrong with them: this is only advice.
        let (recipes, _) = tree.recipes();
        let names: Vec<&str> = recipes.iter().map(|recipe| recipe.name.as_str()).collect();
        return Err(UserError::new(format!("there is no recipe `{name}`"))
            .help(format!("recipes: {}", names.join(", ")))
            .into());
    }
    clic_store::writable_file(&path, None)?;
    let before = read(&path)?;
    match named(&before, bundle) {
        Ok(text) => Ok((path, before, text)),
        Err(error) => Err(UserError::new(format!("{}: {error}", path.display())).into()),
    }
}
