//! `clic content add`: a file or an address, and everything that has to be said of it.

use std::fmt::Write as _;
use std::io::{IsTerminal, stderr, stdin};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clic_host::{Outcome, UserError};
use clic_recipe::plan::{BundleKind, Theme};
use clic_store::{Download, file_url, space, write_whole};
use serde_json::json;

use super::edit::{named, quoted, read};
use super::file_of;
use crate::context::Context;
use crate::mirror::MirrorArgs;
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file, which is copied beside bundle.toml; or an https: or http: address
    #[arg(value_name = "PATH_OR_URL")]
    place: String,
    /// The bundle: one of content-bundles/, or a new one
    #[arg(long = "to", value_name = "BUNDLE")]
    bundle: String,
    /// Also add the bundle to this recipe
    #[arg(long, value_name = "RECIPE")]
    recipe: Option<String>,
    /// Path in the bundle on the device [default: the file's name]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// It is an archive: unpack it
    #[arg(long, value_name = "KIND", value_parser = ["tar", "zip"], requires = "unpacked")]
    unpack: Option<String>,
    /// With --unpack: maximum size of all files in the archive, in bytes
    #[arg(long, value_name = "BYTES")]
    unpacked: Option<u64>,
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
    let file = file_of(&tree, &args.bundle)?;
    let before = if file.exists() { Some(read(&file)?) } else { None };
    // All questions come before any work.
    let head = match &before {
        Some(text) => text.clone(),
        None => head(args)?,
    };
    let recipe = match &args.recipe {
        Some(name) => Some(recipe_with(&tree, name, &args.bundle)?),
        None => None,
    };
    let remote = args.place.starts_with("https://") || args.place.starts_with("http://");
    let name = match &args.path {
        Some(path) => path.clone(),
        None => own_name(&args.place)?,
    };
    let store = args.from.store()?;
    let stage = context.progress().stage("add", "Look at the file", &args.place);
    let url = if remote {
        args.place.clone()
    } else {
        url_of(&args.place)?
    };
    let found = store.learn(&url, &name, &stage)?;
    stage.finish();

    let local = (!remote).then(|| Path::new("files").join(Path::new(&name).file_name().unwrap_or_default()));
    let text = format!(
        "{}\n\n{}",
        head.trim_end(),
        item(args, &name, &found, local.as_deref())
    );
    let dir = file.parent().unwrap_or(&file).to_owned();
    let new = !dir.exists();
    let copy = match &local {
        Some(local) => Some(tree.inside(Path::new("content-bundles").join(&args.bundle).join(local))?),
        None => None,
    };
    let result = place(&file, &text, copy.as_deref(), &store.path_of(found.sha256)).and_then(|()| {
        Ok(clic_recipe::Tree::open(tree.root())
            .map_err(clic_recipe::Report::from)?
            .bundles()?)
    });
    if let Err(error) = result {
        // Nothing that is not valid stays in the tree.
        undo(
            &file,
            before.as_deref(),
            copy.as_deref(),
            new.then_some(dir.as_path()),
        );
        return Err(error);
    }
    if let Some((path, text)) = &recipe {
        write_whole(path, text.as_bytes())?;
    }
    report(args, context, &name, &file, &found, before.is_none())?;
    Ok(Outcome::Done)
}

/// `new`: the bundle was not there before.
fn report(
    args: &Args,
    context: &Context,
    name: &str,
    file: &Path,
    found: &Download,
    new: bool,
) -> Result<()> {
    if context.json {
        return output::json_line(&json!({
            "event": "result", "bundle": args.bundle, "file": file, "path": name,
            "sha256": found.sha256, "size": found.size,
        }));
    }
    output::text(&format!(
        "{name} ({}) is in bundle {}: {}\n",
        output::size(found.size),
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

/// The address of a file of this machine.
fn url_of(place: &str) -> Result<String> {
    let path = std::path::absolute(place)?;
    if path.is_file() {
        return Ok(file_url(&path));
    }
    let (what, help) = if path.is_dir() {
        let help = "folders can't be added this way yet: copy it into content-bundles/NAME/ and name it there with `local`";
        (format!("{} is a folder", path.display()), help)
    } else {
        let help = "give the path of a file, or an address that begins with https://";
        (format!("there is no file {}", path.display()), help)
    };
    Err(UserError::new(what).help(help).into())
}

/// The recipe's file, and its text with the bundle in it.
fn recipe_with(tree: &clic_recipe::Tree, name: &str, bundle: &str) -> Result<(PathBuf, String)> {
    let recipes = tree.recipes()?;
    if !recipes.iter().any(|recipe| recipe.name == name) {
        let names: Vec<&str> = recipes.iter().map(|recipe| recipe.name.as_str()).collect();
        return Err(UserError::new(format!("there is no recipe `{name}`"))
            .help(format!("recipes: {}", names.join(", ")))
            .into());
    }
    let path = tree.inside(Path::new("recipes").join(format!("{name}.toml")))?;
    let text = read(&path)?;
    let text = named(&text, bundle).unwrap_or(text);
    Ok((path, text))
}

/// The last part of a path or address.
fn own_name(place: &str) -> Result<String> {
    let plain = place.split(['?', '#']).next().unwrap_or_default();
    let name = plain.rsplit('/').next().unwrap_or_default();
    if name.is_empty() {
        bail!(UserError::new(format!("{place} has no file name")).help("give one with --path"));
    }
    Ok(name.to_owned())
}

fn place(file: &Path, text: &str, copy: Option<&Path>, from: &Path) -> Result<()> {
    let dir = copy
        .and_then(Path::parent)
        .or_else(|| file.parent())
        .unwrap_or(file);
    std::fs::create_dir_all(dir).map_err(|error| space::io_error(error, dir))?;
    if let Some(copy) = copy {
        if copy.exists() {
            return Err(UserError::new(format!("{} exists already", copy.display()))
                .help("give the new one another name with --path")
                .into());
        }
        let mut to = clic_store::publish(copy)?;
        let mut from = std::fs::File::open(from).map_err(|error| space::io_error(error, from))?;
        std::io::copy(&mut from, to.file()).map_err(|error| space::io_error(error, copy))?;
        to.commit()?;
    }
    write_whole(file, text.as_bytes())
}

fn undo(file: &Path, before: Option<&str>, copy: Option<&Path>, new: Option<&Path>) {
    if let Some(new) = new {
        let _ = std::fs::remove_dir_all(new);
        return;
    }
    // A copy that was there before is not ours, and then the file was not written.
    let written = before.is_none_or(|before| read(file).is_ok_and(|now| now != before));
    if let (Some(before), true) = (before, written) {
        let _ = write_whole(file, before.as_bytes());
        if let Some(copy) = copy {
            let _ = std::fs::remove_file(copy);
        }
    }
}

fn item(args: &Args, name: &str, found: &Download, local: Option<&Path>) -> String {
    let mut text = format!("[[item]]\npath = {}\n", quoted(name));
    // Writing to a String cannot fail.
    if let Some(titles) = table(&args.title) {
        let _ = writeln!(text, "title = {titles}");
    }
    let _ = match local {
        Some(local) => writeln!(text, "local = {}", quoted(&local.display().to_string())),
        None => writeln!(text, "url = [{}]", quoted(&found.url)),
    };
    let _ = writeln!(
        text,
        "sha256 = {}\nsize = {}",
        quoted(&found.sha256.to_string()),
        found.size
    );
    if let (Some(kind), Some(unpacked)) = (&args.unpack, args.unpacked) {
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
