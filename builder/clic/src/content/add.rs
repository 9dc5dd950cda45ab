//! `clic content add`: a file or an address, and everything that has to be said of it.

use std::fmt::Write as _;
use std::io::{IsTerminal, stderr, stdin};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clic_host::{Outcome, UserError};
use clic_recipe::plan::{BundleKind, Theme, Unpack};
use clic_recipe::served;
use clic_store::{Download, Learned, space, write_whole};
use serde_json::json;

use super::edit::{named, quoted, read};
use super::place::{Limits, Place, is_what_it_says};
use crate::cache::parse_size;
use crate::context::Context;
use crate::mirror::MirrorArgs;
use crate::names;
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file, which is copied beside bundle.toml; or an https: or http: address
    #[arg(value_name = "PATH_OR_URL")]
    place: String,
    /// The bundle: one of content-bundles/, or a new one
    #[arg(long = "to", value_name = "BUNDLE", add = names::bundles())]
    bundle: String,
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
    /// Download without asking, however large the file is
    #[arg(long, short)]
    yes: bool,
    /// Download no more than this, and don't ask: 500M, 20G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max: Option<u64>,
    /// One line for people: --title fr="Candide" --title en="Candide"
    #[arg(long, value_name = "LANGUAGE=TEXT")]
    title: Vec<String>,
    /// For a new bundle: a paragraph for people, by language of the reader
    #[arg(long, value_name = "LANGUAGE=TEXT")]
    description: Vec<String>,
    /// For a new bundle: SPDX identifier of its licence, such as CC-BY-SA-4.0
    #[arg(long, value_name = "SPDX")]
    licence: Option<String>,
    /// For a new bundle: who made it
    #[arg(long, value_name = "WHO")]
    credit: Option<String>,
    /// For a new bundle: site, zim, videos, audio, books, course or files
    #[arg(long, value_parser = one_of::<BundleKind>)]
    kind: Option<String>,
    /// For a new bundle: arts, children, computing, school, ... (schemas/bundle.schema.json)
    #[arg(long, value_parser = one_of::<Theme>)]
    theme: Option<String>,
    /// For a new bundle: language of the content, such as fr
    #[arg(long)]
    language: Option<String>,
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
    let place = Place::of(&args.place)?;
    clic_store::writable_file(&file, None)?;
    let before = if file.exists() { Some(read(&file)?) } else { None };
    let head = match &before {
        Some(text) => text.clone(),
        None => head(args)?,
    };
    let recipe = match &args.recipe {
        Some(name) => Some(recipe_with(&tree, name, &args.bundle)?),
        None => None,
    };
    let store = args.from.store()?;
    let limits = Limits {
        yes: args.yes,
        max: args.max,
    };
    let Learned { download, offered } = place.learn(&limits, &store, context)?;
    let found = Found {
        name: name(args, &place, offered)?,
        unpacked: None,
        download,
    };
    let kept = store.path_of(found.download.sha256);
    is_what_it_says(&kept, &found.name, &args.place)?;
    let found = Found {
        unpacked: unpacked(args, &kept)?,
        ..found
    };

    let new = Written {
        file: &file,
        text: format!("{}\n\n{}", head.trim_end(), item(args, &found, &place)),
        copy: match &place {
            Place::Remote(_) => None,
            Place::Local(_) => {
                let copy = Path::new("content-bundles")
                    .join(&args.bundle)
                    .join(copy_of(&found.name));
                Some(tree.inside(copy)?)
            }
        },
    };
    new.write(&tree, &args.bundle, &kept)?;
    if let Some((path, text)) = &recipe {
        write_whole(path, text.as_bytes())?;
    }
    report(args, context, &found, &file, before.is_none())?;
    Ok(Outcome::Done)
}

/// What was found.
struct Found {
    /// Its path in the bundle.
    name: String,
    download: Download,
    /// Most bytes of its files, if it is an archive.
    unpacked: Option<u64>,
}

/// The path in the bundle: as it was asked for, or the file's name as it is.
fn name(args: &Args, place: &Place, offered: Option<String>) -> Result<String> {
    let own = match place {
        Place::Local(path) => path.file_name().map(|name| {
            name.to_str().map(str::to_owned).ok_or_else(|| {
                UserError::new(format!("{} has a name that is not UTF-8", path.display()))
                    .help("rename it, or give the name that it should have with --path")
            })
        }),
        Place::Remote(_) => offered.map(Ok),
    };
    let name = match (&args.path, own) {
        (Some(path), _) => return Ok(path.clone()),
        (None, Some(own)) => own?,
        (None, None) => {
            bail!(UserError::new(format!("{} has no file name", args.place)).help("give one with --path"))
        }
    };
    served(&name).map_err(|why| UserError::new(why).help("give it another name with --path"))?;
    Ok(name)
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
fn report(args: &Args, context: &Context, found: &Found, file: &Path, new: bool) -> Result<()> {
    let Found { name, download, .. } = found;
    if context.json {
        return output::json_line(&json!({
            "event": "result", "bundle": args.bundle, "file": file, "path": name,
            "sha256": download.sha256, "size": download.size,
        }));
    }
    output::text(&format!(
        "{name} ({}) is in bundle {}: {}\n",
        output::size(download.size),
        args.bundle,
        file.display()
    ))?;
    if let Some(name) = &args.recipe {
        context.say(&format!(
            "it is in recipe {name}; the plan of the image: clic plan {name} --board BOARD"
        ));
    } else if new {
        context.say(&format!("add it to a recipe: bundles = [\"{}\"]", args.bundle));
    }
    Ok(())
}

/// The recipe's file, and its text with the bundle in it.
fn recipe_with(tree: &clic_recipe::Tree, name: &str, bundle: &str) -> Result<(PathBuf, String)> {
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
    match named(&read(&path)?, bundle) {
        Ok(text) => Ok((path, text)),
        Err(error) => Err(UserError::new(format!("{}: {error}", path.display())).into()),
    }
}

/// What a bundle becomes.
struct Written<'a> {
    file: &'a Path,
    text: String,
    copy: Option<PathBuf>,
}

impl Written<'_> {
    /// Writes the copy of the file `from`, and then the description, if it is valid with it. Otherwise nothing stays.
    fn write(&self, tree: &clic_recipe::Tree, bundle: &str, from: &Path) -> Result<()> {
        let home = self.file.parent().unwrap_or(self.file);
        let new = !home.exists();
        let dir = self.copy.as_deref().and_then(Path::parent).unwrap_or(home);
        if let Some(copy) = &self.copy
            && copy.exists()
        {
            return Err(UserError::new(format!("{} exists already", copy.display()))
                .help("give the new one another name with --path")
                .into());
        }
        let made = std::fs::create_dir_all(dir).map_err(|error| space::io_error(error, dir));
        let written = made.and_then(|()| self.copied(from)).and_then(|()| {
            tree.check_bundle(bundle, &self.text)?;
            write_whole(self.file, self.text.as_bytes())
        });
        if written.is_err() {
            if new {
                let _ = std::fs::remove_dir_all(home);
            } else if let Some(copy) = &self.copy {
                let _ = std::fs::remove_file(copy);
                // Directories that were made for this file alone are empty.
                for dir in copy.ancestors().skip(1).take_while(|dir| *dir != home) {
                    let _ = std::fs::remove_dir(dir);
                }
            }
        }
        written
    }

    fn copied(&self, from: &Path) -> Result<()> {
        let Some(copy) = &self.copy else { return Ok(()) };
        let mut to = clic_store::publish(copy)?;
        let mut from = std::fs::File::open(from).map_err(|error| space::io_error(error, from))?;
        std::io::copy(&mut from, to.file()).map_err(|error| space::io_error(error, copy))?;
        to.commit()
    }
}

fn item(args: &Args, found: &Found, place: &Place) -> String {
    let Found { name, download, .. } = found;
    let mut text = format!("[[item]]\npath = {}\n", quoted(name));
    // Writing to a String cannot fail.
    if let Some(titles) = table(&args.title) {
        let _ = writeln!(text, "title = {titles}");
    }
    let _ = match place {
        Place::Local(_) => {
            let copy = copy_of(name).display().to_string();
            writeln!(text, "local = {}", quoted(&copy))
        }
        Place::Remote(_) => writeln!(text, "url = [{}]", quoted(&download.url)),
    };
    let _ = writeln!(
        text,
        "sha256 = {}\nsize = {}",
        quoted(&download.sha256.to_string()),
        download.size
    );
    if let (Some(kind), Some(unpacked)) = (&args.unpack, found.unpacked) {
        let _ = writeln!(text, "unpack = {}\nunpacked = {unpacked}", quoted(kind));
    }
    text
}

/// `{ fr = "...", en = "..." }` of `fr=...` and `en=...`.
fn table(texts: &[String]) -> Option<String> {
    let pairs: Vec<String> = texts
        .iter()
        .filter_map(|text| text.split_once('='))
        .map(|(language, text)| format!("{} = {}", key(language), quoted(text)))
        .collect();
    (!pairs.is_empty()).then(|| format!("{{ {} }}", pairs.join(", ")))
}

/// A key as it can be written bare, or quoted.
fn key(text: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !text.is_empty() && text.bytes().all(bare) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// The beginning of a new bundle. What was not said is asked for, where there is somebody to ask.
fn head(args: &Args) -> Result<String> {
    let mut missing = Vec::new();
    let asks = stdin().is_terminal() && stderr().is_terminal();
    let mut one = |given: Option<&String>, flag: &'static str, question: &str| -> Result<String> {
        if let Some(given) = given {
            return Ok(given.clone());
        }
        if asks {
            return ask(question);
        }
        missing.push(flag);
        Ok(String::new())
    };
    let kind = one(
        args.kind.as_ref(),
        "--kind",
        "What kind of content is it (site, zim, videos, audio, books, course, files)?",
    )?;
    let theme = one(
        args.theme.as_ref(),
        "--theme",
        "Which theme (arts, children, computing, food, health, knowledge, languages, making, music, nature, rights, school, ...)?",
    )?;
    let language = one(
        args.language.as_ref(),
        "--language",
        "In which language (fr, en, ...)?",
    )?;
    let licence = one(
        args.licence.as_ref(),
        "--licence",
        "Which licence does it have (SPDX: CC-BY-SA-4.0, CC0-1.0, ...)?",
    )?;
    let credit = one(args.credit.as_ref(), "--credit", "Who made it?")?;
    let mut in_both = |given: &[String], flags: [&'static str; 2], what: &str| -> Result<String> {
        let mut all = given.to_vec();
        for (language, flag) in ["fr", "en"].into_iter().zip(flags) {
            let is_said = given
                .iter()
                .any(|text| text.split_once('=').is_some_and(|(name, _)| name == language));
            if !is_said {
                all.push(format!(
                    "{language}={}",
                    one(None, flag, &format!("{what} ({language})?"))?
                ));
            }
        }
        Ok(table(&all).unwrap_or_default())
    };
    let title = in_both(
        &args.title,
        ["--title fr=...", "--title en=..."],
        "Title in one line",
    )?;
    let description = in_both(
        &args.description,
        ["--description fr=...", "--description en=..."],
        "What is it, in a few sentences",
    )?;
    if !missing.is_empty() {
        return Err(UserError::new(format!(
            "bundle `{}` is new and needs a description: {} missing",
            args.bundle,
            missing.join(", ")
        ))
        .help("give these options, or run this in a terminal, which asks you for them")
        .into());
    }
    Ok(format!(
        "#:schema ../../schemas/bundle.schema.json\nschema = 1\nkind = {}\ntheme = {}\nlanguage = {}\ntitle = {title}\n\
         description = {description}\nlicence = {}\ncredit = {}\n",
        quoted(&kind),
        quoted(&theme),
        quoted(&language),
        quoted(&licence),
        quoted(&credit),
    ))
}

fn ask(question: &str) -> Result<String> {
    loop {
        output::ask(question)?;
        let mut line = String::new();
        if stdin().read_line(&mut line)? == 0 {
            bail!(UserError::new("no answer").help("nothing was changed"));
        }
        if !line.trim().is_empty() {
            return Ok(line.trim().to_owned());
        }
    }
}
