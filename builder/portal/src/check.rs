//! Whether a site can be shown: all that is wrong with it, at once.

use std::collections::BTreeSet;
use std::fmt;

use crate::site::{Bundle, Entry, Hotspot, Kind, Security, Service, Site, Texts};
use crate::{icons, link, media, strings};

/// Longest text, in characters. Longer ones are documents, not descriptions.
pub const MAX_TEXT: usize = 2000;

/// Longest title, in characters: some lines on a phone.
const MAX_TITLE: usize = 200;

/// Everything that is wrong with a [`Site`], each with the place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the portal can't be made:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n- {problem}"))
    }
}

impl std::error::Error for Problems {}

/// Where in the site we are, and what was found.
struct Check<'a> {
    site: &'a Site,
    place: String,
    problems: Vec<String>,
}

/// All problems of a site.
pub(crate) fn check(site: &Site) -> Result<(), Problems> {
    let mut check = Check {
        site,
        place: "site".to_owned(),
        problems: Vec::new(),
    };
    check.all();
    if check.problems.is_empty() {
        Ok(())
    } else {
        Err(Problems(check.problems))
    }
}

impl Check<'_> {
    fn say(&mut self, what: impl fmt::Display) {
        self.problems.push(format!("{}: {what}", self.place));
    }

    fn all(&mut self) {
        let site = self.site;
        if site.languages.is_empty() {
            self.say("it needs at least one language");
        }
        if site.languages.iter().collect::<BTreeSet<_>>().len() < site.languages.len() {
            self.say("a language is listed twice");
        }
        "edition".clone_into(&mut self.place);
        self.title("title", &site.edition.title);
        self.optional_text("welcome", &site.edition.welcome, MAX_TEXT);
        if let Some(version) = &site.edition.version {
            self.line("version", version, MAX_TITLE);
        }
        if let Some(hotspot) = &site.hotspot {
            "hotspot".clone_into(&mut self.place);
            self.hotspot(hotspot);
        }
        for (id, texts) in &site.themes {
            self.place = format!("theme `{}`", shown(id));
            self.id(id);
            self.title("name", texts);
        }
        let mut ids = BTreeSet::new();
        for service in &site.services {
            self.place = format!("service `{}`", shown(&service.id));
            if !ids.insert(&service.id) {
                self.say("another service has this id");
            }
            self.service(service);
        }
        let mut ids = BTreeSet::new();
        for bundle in &site.bundles {
            self.place = format!("bundle `{}`", shown(&bundle.id));
            if !ids.insert(&bundle.id) {
                self.say("another bundle has this id");
            }
            self.bundle(bundle);
        }
    }

    fn hotspot(&mut self, hotspot: &Hotspot) {
        if !(1..=32).contains(&hotspot.ssid.len()) {
            self.say(format_args!(
                "the SSID has {} bytes, and can have 1 to 32",
                hotspot.ssid.len()
            ));
        }
        self.line("SSID", &hotspot.ssid, 32);
        match (hotspot.security, &hotspot.passphrase) {
            (Security::Open, Some(_)) => self.say("an open wifi has no passphrase"),
            (Security::Wpa, Some(passphrase)) if !(8..=63).contains(&passphrase.len()) => {
                self.say("a passphrase has 8 to 63 characters");
            }
            (_, Some(passphrase)) => self.line("passphrase", passphrase, 63),
            (_, None) => {}
        }
        if !link::host(&hotspot.domain) {
            self.say(format_args!("`{}` is not a host name", shown(&hotspot.domain)));
        }
    }

    fn service(&mut self, service: &Service) {
        self.id(&service.id);
        self.title("title", &service.title);
        self.text("description", &service.description);
        self.theme(&service.theme);
        self.icon(service.icon.as_deref());
        if let Err(why) = link::service_path(&service.path) {
            self.say(format_args!("path `{}`: {why}", shown(&service.path)));
        }
        match &service.host {
            Some(host) if !link::host(host) => self.say(format_args!("`{}` is not a host name", shown(host))),
            None if service.https => self.say("`https` needs a `host`: the portal itself speaks HTTP"),
            _ => {}
        }
    }

    fn bundle(&mut self, bundle: &Bundle) {
        self.id(&bundle.id);
        self.title("title", &bundle.title);
        self.text("description", &bundle.description);
        self.theme(&bundle.theme);
        self.icon(bundle.icon.as_deref());
        if bundle.languages.is_empty() {
            self.say("it names no language of the content (`zxx` where nobody speaks)");
        }
        for language in bundle.languages.iter().filter(|tag| !is_language(tag)) {
            self.say(format_args!(
                "`{}` is not a language tag, such as `fr`",
                shown(language)
            ));
        }
        let spdx = &bundle.licence.spdx;
        let licensed = |byte: u8| byte.is_ascii_alphanumeric() || b".-+() :".contains(&byte);
        if spdx.trim().is_empty() || spdx.len() > MAX_TITLE || !spdx.bytes().all(licensed) {
            self.say(format_args!(
                "`{}` is not an SPDX licence, such as `CC-BY-SA-4.0`",
                shown(spdx)
            ));
        }
        self.line("credit", &bundle.licence.credit, MAX_TEXT);
        if let Some(source) = &bundle.licence.source {
            self.line("source", source, MAX_TEXT);
        }
        match &bundle.start {
            Some(_) if bundle.kind != Kind::Site => {
                self.say(format_args!(
                    "`start` means nothing for kind `{}`",
                    bundle.kind.name()
                ));
            }
            Some(start) => self.path("start", start),
            None => {}
        }
        if bundle.entries.is_empty() && bundle.kind != Kind::Site {
            self.say("it has no entries, so there is nothing to open");
        }
        let sum = bundle
            .entries
            .iter()
            .try_fold(0_u64, |sum, entry| sum.checked_add(entry.size));
        if sum.is_none_or(|sum| sum > bundle.size) {
            self.say(format_args!(
                "its entries are larger than its size, {} bytes",
                bundle.size
            ));
        }
        let mut paths = BTreeSet::new();
        for entry in &bundle.entries {
            if !paths.insert(&entry.path) {
                self.say(format_args!("entry `{}` is listed twice", shown(&entry.path)));
            }
            self.entry(entry, bundle.kind);
        }
    }

    fn entry(&mut self, entry: &Entry, kind: Kind) {
        let name = shown(&entry.path);
        self.path("entry", &entry.path);
        if let Some(media_type) = entry
            .media_type
            .as_deref()
            .filter(|text| !media::is_media_type(text))
        {
            self.say(format_args!(
                "entry `{name}`: `{}` is not a media type, such as `video/webm`",
                shown(media_type)
            ));
        }
        self.optional_text(&format!("title of entry `{name}`"), &entry.title, MAX_TITLE);
        self.optional_text(
            &format!("description of entry `{name}`"),
            &entry.description,
            MAX_TEXT,
        );
        // What kiwix-serve makes of other names depends on its version.
        let plain = |char: char| char.is_ascii_alphanumeric() || " +-._/".contains(char);
        if kind == Kind::Zim && !entry.path.chars().all(plain) {
            self.say(format_args!(
                "entry `{name}`: the name of a ZIM file has only A-Z, a-z, 0-9, blank and + - . _"
            ));
        }
    }

    fn path(&mut self, what: &str, path: &str) {
        if let Err(why) = link::inner_path(path) {
            self.say(format_args!("{what} `{}`: {why}", shown(path)));
        }
    }

    fn id(&mut self, id: &str) {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.is_empty() || id.len() > 64 || id.starts_with('-') || !id.bytes().all(allowed) {
            self.say("an id has lower case letters, digits and `-`, at most 64");
        }
    }

    fn theme(&mut self, theme: &str) {
        let known = strings::themes();
        if !known.contains(theme) && !self.site.themes.contains_key(theme) {
            let own = self.site.themes.keys().map(String::as_str);
            let known: BTreeSet<&str> = known.iter().map(String::as_str).chain(own).collect();
            let known = Vec::from_iter(known).join(", ");
            self.say(format_args!("unknown theme `{}`; known: {known}", shown(theme)));
        }
    }

    fn icon(&mut self, icon: Option<&str>) {
        if let Some(icon) = icon.filter(|icon| icons::drawing(icon).is_none()) {
            let known = icons::names().collect::<Vec<_>>().join(", ");
            self.say(format_args!("unknown icon `{}`; known: {known}", shown(icon)));
        }
    }

    fn title(&mut self, what: &str, texts: &Texts) {
        self.present(what, texts);
        self.optional_text(what, texts, MAX_TITLE);
        for text in texts.0.values().filter(|text| text.contains('\n')) {
            self.say(format_args!("{what} `{}` has more than one line", shown(text)));
        }
    }

    fn text(&mut self, what: &str, texts: &Texts) {
        self.present(what, texts);
        self.optional_text(what, texts, MAX_TEXT);
    }

    fn present(&mut self, what: &str, texts: &Texts) {
        if texts.0.is_empty() {
            self.say(format_args!("it has no {what}"));
        }
    }

    fn optional_text(&mut self, what: &str, texts: &Texts, limit: usize) {
        for (language, text) in &texts.0 {
            if !is_language(language) {
                self.say(format_args!(
                    "{what}: `{}` is not a language tag, such as `fr`",
                    shown(language)
                ));
            }
            self.harmless(what, text, limit);
        }
    }

    fn line(&mut self, what: &str, text: &str, limit: usize) {
        self.harmless(what, text, limit);
        if text.contains('\n') {
            self.say(format_args!("{what} has more than one line"));
        }
    }

    /// Refuses what no escaping makes harmless: texts that hide, turn around or flood what stands beside them.
    fn harmless(&mut self, what: &str, text: &str, limit: usize) {
        if text.trim().is_empty() {
            self.say(format_args!("{what} is empty"));
        }
        if text.chars().count() > limit {
            self.say(format_args!("{what} has more than {limit} characters"));
        }
        // Unicode's embedding, override and isolate characters change the order of the text around them.
        let turning = |char| matches!(char, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
        if let Some(found) = text
            .chars()
            .find(|&char| (char.is_control() && char != '\n') || turning(char))
        {
            self.say(format_args!(
                "{what} has the invisible character U+{:04X}",
                u32::from(found)
            ));
        }
    }
}

/// Whether this has the form of a BCP 47 language tag: `fr`, `pt-BR`, `zh-Hant`.
pub(crate) fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let first = parts.next().is_some_and(|part| {
        (2..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_lowercase())
    });
    first
        && parts.all(|part| {
            (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

/// A stranger's text in an error message: short, and without control characters.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", short.escape_debug())
}
