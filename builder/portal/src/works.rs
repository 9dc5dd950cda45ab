//! Works: the films, pieces and books that the files of a bundle are forms of.

use std::collections::BTreeMap;

use crate::check;
use crate::media;
use crate::site::{Bundle, Entry, Kind, Texts};

/// One thing to watch, hear or read, in one or several forms.
pub(crate) struct Work<'a> {
    /// Its name, if an entry has one.
    pub(crate) title: Option<&'a Texts>,
    pub(crate) description: Option<&'a Texts>,
    /// Seconds.
    pub(crate) duration: Option<u64>,
    /// In the order of the bundle; at least one.
    pub(crate) forms: Vec<&'a Entry>,
    pub(crate) picture: Option<&'a Entry>,
    /// Subtitles with their language.
    pub(crate) subtitles: Vec<(&'a Entry, &'a str)>,
}

impl Work<'_> {
    /// A name from the first file's, where nobody gave one.
    pub(crate) fn file_name(&self) -> String {
        self.forms.first().map_or_else(String::new, |entry| {
            let name = entry.path.rsplit('/').next().unwrap_or(&entry.path);
            let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
            stem.replace('_', " ")
        })
    }
}

/// The media type that is written, or that the name stands for.
pub(crate) fn media_type(entry: &Entry) -> &str {
    entry
        .media_type
        .as_deref()
        .unwrap_or_else(|| media::by_extension(&entry.path))
}

/// Puts the entries of a bundle together, in the order of each work's first entry.
pub(crate) fn of(bundle: &Bundle) -> Vec<Work<'_>> {
    let grouped = matches!(bundle.kind, Kind::Videos | Kind::Audio | Kind::Books);
    let mut groups: Vec<Vec<&Entry>> = Vec::new();
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &bundle.entries {
        let key = match &entry.work {
            Some(work) => work,
            None if grouped => stem(entry).0,
            None => entry.path.as_str(),
        };
        let group = *known.entry(key).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(entries) => entries.push(entry),
            None => groups.push(vec![entry]),
        }
    }
    groups.into_iter().map(work).collect()
}

fn work(entries: Vec<&Entry>) -> Work<'_> {
    let titles = |texts: fn(&Entry) -> &Texts| {
        entries
            .iter()
            .map(|entry| texts(entry))
            .find(|texts| !texts.0.is_empty())
    };
    let (title, description) = (titles(|entry| &entry.title), titles(|entry| &entry.description));
    let duration = entries.iter().find_map(|entry| entry.duration);
    let accompanies =
        |entry: &Entry| media_type(entry).starts_with("image/") || media_type(entry) == "text/vtt";
    let (mut beside, mut forms): (Vec<&Entry>, Vec<&Entry>) =
        entries.into_iter().partition(|entry| accompanies(entry));
    if forms.is_empty() {
        // Pictures by themselves are what there is.
        std::mem::swap(&mut beside, &mut forms);
    }
    Work {
        title,
        description,
        duration,
        forms,
        picture: beside
            .iter()
            .copied()
            .find(|entry| media_type(entry).starts_with("image/")),
        subtitles: beside
            .iter()
            .filter(|entry| media_type(entry) == "text/vtt")
            .map(|&entry| (entry, stem(entry).1.unwrap_or("und")))
            .collect(),
    }
}

/// The path without its extension, and for subtitles without the language, which comes second.
fn stem(entry: &Entry) -> (&str, Option<&str>) {
    let path = entry.path.as_str();
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    let without = |path: &'_ str| {
        path[name..]
            .rfind('.')
            .filter(|dot| *dot > 0)
            .map(|dot| name + dot)
    };
    let stem = without(path).map_or(path, |dot| &path[..dot]);
    if media_type(entry) == "text/vtt"
        && let Some(dot) = without(stem)
        && check::is_language(&stem[dot + 1..])
    {
        return (&stem[..dot], Some(&stem[dot + 1..]));
    }
    (stem, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(kind: &str, paths: &[&str]) -> Bundle {
        let entries: Vec<_> = paths
            .iter()
            .map(|path| serde_json::json!({ "path": path, "size": 1 }))
            .collect();
        serde_json::from_value(serde_json::json!({
            "id": "b", "kind": kind, "title": {"en": "B"}, "description": {"en": "b"}, "theme": "other",
            "languages": ["en"], "licence": {"spdx": "MIT", "credit": "me"}, "size": 9, "entries": entries,
        }))
        .unwrap()
    }

    #[test]
    fn forms_pictures_and_subtitles_of_one_film() {
        let bundle = bundle(
            "videos",
            &[
                "v.1/talk.webm",
                "v.1/talk.jpg",
                "v.1/talk.mp4",
                "v.1/talk.fr.vtt",
                "v.1/talk.pt-BR.vtt",
                "other.webm",
            ],
        );
        let works = of(&bundle);
        assert_eq!(works.len(), 2);
        let paths: Vec<_> = works[0].forms.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["v.1/talk.webm", "v.1/talk.mp4"]);
        assert_eq!(works[0].picture.unwrap().path, "v.1/talk.jpg");
        let languages: Vec<_> = works[0].subtitles.iter().map(|(_, language)| *language).collect();
        assert_eq!(languages, ["fr", "pt-BR"]);
        assert_eq!(works[0].file_name(), "talk");
    }

    #[test]
    fn pictures_alone_are_works_and_files_stay_apart() {
        assert_eq!(of(&bundle("books", &["plan.png"]))[0].forms.len(), 1);
        assert_eq!(of(&bundle("files", &["a.odt", "a.pdf"])).len(), 2);
        assert_eq!(
            of(&bundle("videos", &["noextension"]))[0].file_name(),
            "noextension"
        );
    }
}
