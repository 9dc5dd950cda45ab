//! What a page shows, in the words of one language: between the site and the templates.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::site::{Bundle, Kind, Language, Service, Site, State, Texts};
use crate::strings;
use crate::{licence, link, media, works};

/// A text, with its language where that is not the page's, so that a screen reader pronounces it rightly.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) lang: Option<String>,
}

impl Text {
    fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            lang: None,
        }
    }
}

/// The text in the page's language, else in the site's other languages, else in any.
pub(crate) fn pick(texts: &Texts, language: Language, site: &Site) -> Option<Text> {
    let tag = language.tag();
    let of = |tag: &str| texts.0.get_key_value(tag);
    let (found, text) = of(tag)
        .or_else(|| site.languages.iter().find_map(|other| of(other.tag())))
        .or_else(|| texts.0.first_key_value())?;
    Some(Text {
        text: text.clone(),
        lang: (found != tag).then(|| found.clone()),
    })
}

/// Its paragraphs: pieces between empty lines.
pub(crate) fn paragraphs(text: Option<Text>) -> Vec<Text> {
    let Some(Text { text, lang }) = text else {
        return Vec::new();
    };
    text.split("\n\n")
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
        .map(|piece| Text {
            text: piece.to_owned(),
            lang: lang.clone(),
        })
        .collect()
}

/// A language by its tag and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Tongue {
    name: String,
    pub(crate) tag: String,
}

fn tongue(tag: &str, language: Language) -> Tongue {
    let primary = tag.split('-').next().unwrap_or(tag);
    Tongue {
        name: strings::get(language, "language", primary)
            .unwrap_or(tag)
            .to_owned(),
        tag: tag.to_owned(),
    }
}

/// Names of languages as one text: `French, English`.
fn tongues(tags: &[String], language: Language) -> String {
    let names: Vec<String> = tags.iter().map(|tag| tongue(tag, language).name).collect();
    names.join(", ")
}

/// A tile of the home page.
#[derive(Debug, Serialize)]
pub(crate) struct Tile {
    title: Text,
    description: Text,
    /// Where it leads; nowhere for what can't be used now.
    url: Option<String>,
    icon: String,
    /// Class of the icon's colour.
    tint: &'static str,
    /// Small words below: kind, languages, size.
    facts: Vec<Text>,
    /// Tags of the content's languages, for the filter.
    tongues: String,
}

/// Tiles under a theme's name.
#[derive(Debug, Serialize)]
pub(crate) struct Theme {
    id: String,
    name: Text,
    tiles: Vec<Tile>,
}

/// All that a page's templates need from one site in one language.
pub(crate) struct Viewer<'a> {
    pub(crate) site: &'a Site,
    pub(crate) language: Language,
}

impl Viewer<'_> {
    fn text(&self, texts: &Texts) -> Text {
        pick(texts, self.language, self.site).unwrap_or_else(|| Text::plain(""))
    }

    fn word(&self, section: &str, key: &str) -> &'static str {
        strings::text(self.language, section, key)
    }

    /// A theme's name: the site's own goes before the built-in one.
    pub(crate) fn theme_name(&self, id: &str) -> Text {
        match self.site.themes.get(id) {
            Some(texts) => self.text(texts),
            None => Text::plain(self.word("theme", id)),
        }
    }

    /// Path of a bundle's page.
    pub(crate) fn bundle_url(&self, bundle: &Bundle) -> String {
        format!("/{}/{}/", self.language.tag(), bundle_path(bundle))
    }

    pub(crate) fn service_tiles(&self) -> Vec<Tile> {
        self.site
            .services
            .iter()
            .map(|service| {
                let mut facts = vec![self.theme_name(&service.theme)];
                let note = match service.state {
                    State::On => None,
                    State::Later => Some("later"),
                    State::Online => Some("online"),
                    State::Off => Some("off"),
                };
                facts.extend(note.map(|note| Text::plain(self.word("home", note))));
                Tile {
                    title: self.text(&service.title),
                    description: self.text(&service.description),
                    url: service_url(service),
                    icon: service.icon.clone().unwrap_or_else(|| "box".to_owned()),
                    tint: "service",
                    facts,
                    tongues: String::new(),
                }
            })
            .collect()
    }

    fn bundle_tile(&self, bundle: &Bundle) -> Tile {
        let facts = [
            self.kind_and_count(bundle),
            tongues(&bundle.languages, self.language),
            strings::size(self.language, bundle.size),
        ];
        Tile {
            title: self.text(&bundle.title),
            description: paragraphs(Some(self.text(&bundle.description)))
                .into_iter()
                .next()
                .unwrap_or_else(|| Text::plain("")),
            url: Some(self.bundle_url(bundle)),
            icon: icon(bundle),
            tint: bundle.kind.name(),
            facts: facts.into_iter().map(Text::plain).collect(),
            tongues: bundle.languages.join(" "),
        }
    }

    /// `3 videos`, or `Wiki` where the number of files says nothing.
    pub(crate) fn kind_and_count(&self, bundle: &Bundle) -> String {
        match bundle.kind {
            Kind::Site | Kind::Zim => self.word("kind", bundle.kind.name()).to_owned(),
            kind => strings::count(self.language, kind.name(), works::of(bundle).len()),
        }
    }

    /// Content by theme, themes in the order of their names.
    pub(crate) fn themes(&self) -> Vec<Theme> {
        let mut themes: BTreeMap<&str, Vec<Tile>> = BTreeMap::new();
        for bundle in &self.site.bundles {
            themes
                .entry(&bundle.theme)
                .or_default()
                .push(self.bundle_tile(bundle));
        }
        let mut themes: Vec<Theme> = themes
            .into_iter()
            .map(|(id, tiles)| Theme {
                id: id.to_owned(),
                name: self.theme_name(id),
                tiles,
            })
            .collect();
        // "More" comes last in every language.
        themes.sort_by_cached_key(|theme| {
            (
                theme.id == "other",
                theme.name.text.to_lowercase(),
                theme.id.clone(),
            )
        });
        themes
    }

    /// Languages of all content, by name.
    pub(crate) fn content_languages(&self) -> Vec<Tongue> {
        let mut all: Vec<Tongue> = self
            .site
            .bundles
            .iter()
            .flat_map(|bundle| &bundle.languages)
            // Without words, or with many: for everybody.
            .filter(|tag| !["mul", "zxx"].contains(&tag.as_str()))
            .map(|tag| tongue(tag, self.language))
            .map(|Tongue { name, tag }| Tongue {
                name: capitalised(&name),
                tag,
            })
            .collect();
        all.sort();
        all.dedup();
        all
    }

    pub(crate) fn bundle(&self, bundle: &Bundle) -> BundleView {
        let works: Vec<WorkView> = works::of(bundle)
            .iter()
            .map(|work| self.work(bundle, work))
            .collect();
        let start = bundle.start.as_deref().unwrap_or("index.html");
        BundleView {
            id: bundle.id.clone(),
            kind: bundle.kind.name(),
            icon: icon(bundle),
            title: self.text(&bundle.title),
            description: paragraphs(Some(self.text(&bundle.description))),
            facts: self.kind_and_count(bundle),
            tongues: tongues(&bundle.languages, self.language),
            size: strings::size(self.language, bundle.size),
            theme: self.theme_name(&bundle.theme),
            licence: self.licence(bundle),
            open: (bundle.kind == Kind::Site).then(|| link::content(&bundle.id, start)),
            has_epub: bundle
                .entries
                .iter()
                .any(|entry| works::media_type(entry) == "application/epub+zip"),
            works,
        }
    }

    pub(crate) fn licence(&self, bundle: &Bundle) -> LicenceView {
        let licence = &bundle.licence;
        LicenceView {
            name: licence::name(&licence.spdx),
            spdx: licence.spdx.clone(),
            says: self.word("licence", licence::family(&licence.spdx)),
            credit: licence.credit.clone(),
            source: licence.source.clone(),
        }
    }

    fn work(&self, bundle: &Bundle, work: &works::Work<'_>) -> WorkView {
        let title = work
            .title
            .map_or_else(|| Text::plain(work.file_name()), |title| self.text(title));
        let form = |entry: &crate::site::Entry| FormView {
            url: link::content(&bundle.id, &entry.path),
            media_type: works::media_type(entry).to_owned(),
            label: media::label(&entry.path),
            size: strings::size(self.language, entry.size),
        };
        let forms: Vec<FormView> = work.forms.iter().map(|entry| form(entry)).collect();
        let has = |kind: &str| forms.iter().any(|form| form.media_type.starts_with(kind));
        let player = if has("video/") {
            Some("video")
        } else if has("audio/") {
            Some("audio")
        } else {
            None
        };
        // What a browser shows by itself, best first.
        let read = ["text/html", "application/pdf", "text/plain", "image/"]
            .iter()
            .find_map(|kind| forms.iter().find(|form| form.media_type.starts_with(kind)))
            .map(|form| form.url.clone());
        let zim = work
            .forms
            .first()
            .filter(|_| bundle.kind == Kind::Zim)
            .map(|entry| ZimView {
                url: link::zim(&entry.path),
                name: link::zim_name(&entry.path),
            });
        WorkView {
            title,
            description: work.description.map(|texts| self.text(texts)),
            duration: work.duration.map(strings::duration),
            player,
            poster: work.picture.map(|entry| link::content(&bundle.id, &entry.path)),
            subtitles: work
                .subtitles
                .iter()
                .map(|(entry, tag)| SubtitleView {
                    url: link::content(&bundle.id, &entry.path),
                    tongue: tongue(tag, self.language),
                })
                .collect(),
            read,
            zim,
            // A page of a book is not a book: saved by itself it lacks its pictures and its neighbours.
            downloads: forms
                .iter()
                .filter(|form| bundle.kind == Kind::Files || form.media_type != "text/html")
                .cloned()
                .collect(),
            forms,
        }
    }
}

/// Directory of a bundle's page, below the language's.
pub(crate) fn bundle_path(bundle: &Bundle) -> String {
    format!("bundle/{}", bundle.id)
}

/// With a capital, as a word by itself has in both languages.
pub(crate) fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

/// Where a service is, if it can be used.
pub(crate) fn service_url(service: &Service) -> Option<String> {
    matches!(service.state, State::On | State::Online)
        .then(|| link::service(service.origin().as_deref(), &service.path))
}

fn icon(bundle: &Bundle) -> String {
    bundle.icon.clone().unwrap_or_else(|| {
        match bundle.kind {
            Kind::Site => "globe",
            Kind::Zim => "wiki",
            Kind::Videos => "film",
            Kind::Audio => "music",
            Kind::Books => "book",
            Kind::Course => "course",
            Kind::Files => "files",
        }
        .to_owned()
    })
}

/// A bundle's page.
#[derive(Debug, Serialize)]
pub(crate) struct BundleView {
    id: String,
    kind: &'static str,
    icon: String,
    pub(crate) title: Text,
    description: Vec<Text>,
    facts: String,
    tongues: String,
    size: String,
    theme: Text,
    licence: LicenceView,
    /// The first page of a site.
    open: Option<String>,
    has_epub: bool,
    works: Vec<WorkView>,
}

/// A licence in words.
#[derive(Debug, Serialize)]
pub(crate) struct LicenceView {
    name: String,
    spdx: String,
    says: &'static str,
    credit: String,
    source: Option<String>,
}

/// A work of a bundle.
#[derive(Debug, Serialize)]
struct WorkView {
    title: Text,
    description: Option<Text>,
    duration: Option<String>,
    player: Option<&'static str>,
    poster: Option<String>,
    subtitles: Vec<SubtitleView>,
    read: Option<String>,
    zim: Option<ZimView>,
    /// For the player.
    forms: Vec<FormView>,
    /// To take along.
    downloads: Vec<FormView>,
}

#[derive(Debug, Serialize)]
struct SubtitleView {
    url: String,
    tongue: Tongue,
}

#[derive(Debug, Serialize)]
struct ZimView {
    url: String,
    name: String,
}

/// A file of a work.
#[derive(Clone, Debug, Serialize)]
struct FormView {
    url: String,
    media_type: String,
    label: String,
    size: String,
}
