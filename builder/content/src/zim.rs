//! Pages as one ZIM file, which kiwix-serve shows and searches, and people take home for their Kiwix.
//!
//! libzim makes it, from the image's own suite, started by `zim.py` in a sandbox.

mod settle;

use std::fs::File;

use anyhow::{Context, Result};
use clic_host::{Sha256, Stage};
use clic_recipe::plan::{Bundle, BundleItem, Texts};
use clic_store::Scratch;
use clic_store::space::io_error;
use clic_tree::{FileTree, NEW};
use serde::Serialize;

use crate::Makers;

const SCRIPT: &str = include_str!("zim.sh");
const PROGRAM: &str = include_str!("zim.py");
/// 48 by 48 pixels, as every ZIM file has one.
const ICON: &[u8] = include_bytes!("zim.png");

/// What a ZIM file says of itself (<https://wiki.openzim.org/wiki/Metadata>).
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Words {
    name: String,
    title: String,
    description: String,
    /// ISO 639-3.
    language: String,
    creator: String,
    publisher: &'static str,
    license: String,
    /// `2026-11-26`.
    date: String,
    tags: &'static str,
    /// Path of its first page.
    start: String,
}

impl Words {
    /// What the bundle says of an item. `day`: the image's date, as `2026-11-26`.
    pub fn of(bundle: &Bundle, item: &BundleItem, day: String) -> Self {
        let (language, region) = bundle.language.split_once('-').unwrap_or((&bundle.language, ""));
        let long = isolang::Language::from_639_1(language).map_or(language, |found| found.to_639_3());
        let stem = item.path.strip_suffix(".zim").unwrap_or(&item.path);
        let title = said(&item.title, language).or_else(|| said(&bundle.title, language));
        Self {
            name: [stem, language, region]
                .iter()
                .filter(|part| !part.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join("_"),
            title: title.unwrap_or_else(|| stem.to_owned()),
            description: said(&bundle.description, language).unwrap_or_default(),
            language: long.to_owned(),
            creator: bundle.credit.clone(),
            publisher: "CLIC!",
            license: bundle.licence.clone(),
            date: day,
            tags: "_ftindex:yes;_pictures:yes;_videos:yes",
            start: item.start.clone().unwrap_or_default(),
        }
    }
}

/// The text in the language of the content, else in one that there is.
fn said(texts: &Texts, language: &str) -> Option<String> {
    let found = texts.get(language).or_else(|| texts.values().next());
    found.cloned()
}

/// Makes `out.zim` in `scratch` of `pages`. `identity` is what its numbers come from.
///
/// Errors: pages that have no first page, or that libzim does not take.
pub fn make(
    makers: &dyn Makers,
    pages: &FileTree,
    words: &Words,
    identity: &[u8],
    scratch: &Scratch,
    stage: &Stage,
) -> Result<File> {
    let work = scratch.path();
    let write = |name: &str, bytes: &[u8]| {
        let path = work.join(name);
        std::fs::write(&path, bytes).map_err(|error| io_error(error, &path))
    };
    anyhow::ensure!(
        pages.get(&words.start).is_some(),
        "its first page, {:?}, is not there",
        words.start
    );
    write("words.json", &serde_json::to_vec(words)?)?;
    write("icon.png", ICON)?;
    write("zim.py", PROGRAM.as_bytes())?;
    pages.write(&work.join("pages.tar"), NEW.into())?;
    makers
        .run(SCRIPT, work, stage)
        .context("no ZIM file can be made of it")?;
    let path = work.join("out.zim");
    let mut file = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|error| io_error(error, &path))?;
    let sum = Sha256::of(identity);
    let number = std::array::from_fn(|at| sum.as_bytes()[at]);
    settle::settle(&mut file, number).context("libzim made a ZIM file of an unknown kind")?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clic_recipe::plan::{BundleKind, ItemSource, Theme};
    use clic_recipe::source::SourceFile;

    #[test]
    fn a_zim_file_says_what_the_bundle_does() {
        let texts = |text: &str| Texts::from([("fr".into(), text.to_owned()), ("en".into(), "x".into())]);
        let item = BundleItem {
            path: "dessin.zim".into(),
            title: Texts::new(),
            listed: true,
            start: Some("index.html".into()),
            from: ItemSource::Directory(Vec::new()),
            zim: true,
            origin: SourceFile::new("bundle.toml", "").at(0..0),
        };
        let bundle = Bundle {
            name: "dessin".into(),
            kind: BundleKind::Zim,
            theme: Theme::Arts,
            language: "fr-CA".into(),
            title: texts("Dessiner"),
            description: texts("Un livre"),
            licence: "CC0-1.0".into(),
            credit: "Ada".into(),
            items: Vec::new(),
        };
        let words = Words::of(&bundle, &item, "2026-11-26".into());
        assert_eq!(
            (&*words.name, &*words.title, &*words.description, &*words.language),
            ("dessin_fr_CA", "Dessiner", "Un livre", "fra")
        );
        let other = Bundle {
            language: "mul".into(),
            ..bundle
        };
        assert_eq!(Words::of(&other, &item, String::new()).language, "mul");
    }
}
