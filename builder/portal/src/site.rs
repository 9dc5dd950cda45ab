//! What the portal shows: the input of [`crate::generate`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything that the portal of one device says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Site {
    /// Languages of the pages. The first is for people whose browser asks for none of them.
    pub languages: Vec<Language>,
    /// What the whole is called.
    pub edition: Edition,
    /// The device's wifi, if it has one.
    pub hotspot: Option<Hotspot>,
    /// Names of themes beyond the built-in ones (`strings/*.toml`), by id.
    #[serde(default)]
    pub themes: BTreeMap<String, Texts>,
    /// What people can use, in the order of the tiles.
    #[serde(default)]
    pub services: Vec<Service>,
    /// What people can read, watch and hear, in the order of the tiles within a theme.
    #[serde(default)]
    pub bundles: Vec<Bundle>,
}

/// A language of the portal itself. Content can be in any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// French.
    Fr,
}

impl Language {
    /// Every language that the portal speaks.
    pub const ALL: [Self; 2] = [Self::En, Self::Fr];

    /// BCP 47 tag, which is also the directory of its pages.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fr => "fr",
        }
    }
}

/// A text by language (BCP 47 tag). Never empty once checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Texts(pub BTreeMap<String, String>);

impl<const N: usize> From<[(&str, &str); N]> for Texts {
    fn from(texts: [(&str, &str); N]) -> Self {
        Self(
            texts
                .into_iter()
                .map(|(language, text)| (language.to_owned(), text.to_owned()))
                .collect(),
        )
    }
}

/// What the edition calls itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Edition {
    /// Name of the place: `Nomad`.
    pub title: Texts,
    /// What the home page says first; an empty line begins a paragraph.
    #[serde(default)]
    pub welcome: Texts,
    /// Version of the image, as people would name it in a question.
    pub version: Option<String>,
}

/// The wifi, for the page that says how to join it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hotspot {
    /// Name of the network, at most 32 bytes (IEEE 802.11).
    pub ssid: String,
    /// Whether each device adds characters of its own to the name: then no QR code can be made for it here.
    #[serde(default)]
    pub ssid_suffix: bool,
    /// Whether the name is left out of the list of networks.
    #[serde(default)]
    pub hidden: bool,
    /// Open, or with a passphrase.
    pub security: Security,
    /// The passphrase, if everybody who reads the page may know it.
    pub passphrase: Option<String>,
    /// Name of the device: `clic.internal`.
    pub domain: String,
    /// Address of the device, for those whose browser does not ask our DNS.
    pub address: std::net::IpAddr,
}

/// How one gets into the wifi.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Everybody can join.
    Open,
    /// WPA2 or WPA3 with a passphrase.
    Wpa,
}

/// Something to use: a pad, a chat, a map.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    /// Lower case letters, digits, `-`.
    pub id: String,
    /// Name.
    pub title: Texts,
    /// What one does with it, in a sentence.
    pub description: Texts,
    /// A theme's id.
    pub theme: String,
    /// Path on the portal's own host, or on `host`: `/pads/`. It may have a query and a fragment.
    #[serde(default = "root")]
    pub path: String,
    /// Another name of the device: `pads.clic.internal`.
    pub host: Option<String>,
    /// Whether it is reached by HTTPS; means something only with `host`.
    #[serde(default)]
    pub https: bool,
    /// Name of a built-in icon.
    pub icon: Option<String>,
    /// Whether it can be used.
    #[serde(default)]
    pub state: State,
}

impl Service {
    /// Scheme and host where it is, if that is not where the portal is: `https://pads.clic.internal`.
    pub(crate) fn origin(&self) -> Option<String> {
        let scheme = if self.https { "https" } else { "http" };
        self.host.as_ref().map(|host| format!("{scheme}://{host}"))
    }
}

fn root() -> String {
    "/".to_owned()
}

/// Whether a service can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Always.
    #[default]
    On,
    /// Once somebody has set the device up.
    Later,
    /// Only while the device reaches the internet.
    Online,
    /// Not now: it is shown, greyed, so that people know that it exists.
    Off,
}

/// Content: what is in `/srv/clic/content/<id>/`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bundle {
    /// Lower case letters, digits, `-`: the directory's name.
    pub id: String,
    /// What it is, which decides how its page looks.
    pub kind: Kind,
    /// Name.
    pub title: Texts,
    /// What it is, in some sentences; an empty line begins a paragraph.
    pub description: Texts,
    /// A theme's id.
    pub theme: String,
    /// Languages of the content (BCP 47), most of it first; `zxx` where nobody speaks.
    pub languages: Vec<String>,
    /// What people may do with it.
    pub licence: Licence,
    /// All of it, in bytes.
    pub size: u64,
    /// Path of the page to begin with, for kind `site`, relative to the bundle; default `index.html`.
    pub start: Option<String>,
    /// Name of a built-in icon; default by kind.
    pub icon: Option<String>,
    /// The files that people open or download, in order. A `site` may have none.
    #[serde(default)]
    pub entries: Vec<Entry>,
}

/// Kinds of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Web pages.
    Site,
    /// ZIM archives, read through kiwix-serve at `/zim/`.
    Zim,
    /// Films.
    Videos,
    /// Music, talks.
    Audio,
    /// Books.
    Books,
    /// Steps in an order.
    Course,
    /// Anything to take along.
    Files,
}

impl Kind {
    /// As it is written in TOML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Zim => "zim",
            Self::Videos => "videos",
            Self::Audio => "audio",
            Self::Books => "books",
            Self::Course => "course",
            Self::Files => "files",
        }
    }
}

/// Under which terms content comes, and whom to thank.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Licence {
    /// SPDX identifier or expression: `CC-BY-SA-4.0`.
    pub spdx: String,
    /// Authors, as the licence wants them named.
    pub credit: String,
    /// Where it comes from. Shown as text, never as a link: there may be no internet.
    pub source: Option<String>,
}

/// A file of a bundle.
///
/// Files whose paths differ only in their extension are forms of one work: `tale.html`, `tale.epub` and `tale.pdf`
/// are a book, `talk.webm`, `talk.mp4`, `talk.jpg` (the picture) and `talk.fr.vtt` (subtitles) a film. `work` says so
/// where the names do not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Entry {
    /// Path relative to the bundle.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Media type; default by the path's extension.
    pub media_type: Option<String>,
    /// Name of the work; default: the first file of the work that has one, else the file's name.
    #[serde(default)]
    pub title: Texts,
    /// What it is, in a sentence.
    #[serde(default)]
    pub description: Texts,
    /// Seconds, of sound and video.
    pub duration: Option<u64>,
    /// Entries with the same `work` are forms of one.
    pub work: Option<String>,
}
