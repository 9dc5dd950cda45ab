//! `content-bundles/*/bundle.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::At;
use crate::plan::{BundleKind, Theme, Unpack};

/// A content bundle: books, videos, a course, a wiki, which a recipe puts on the device for everybody to read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Bundle")]
pub(crate) struct RawBundle {
    /// Version of this file's format. Always 1 for now.
    #[allow(dead_code, reason = "checked before the rest of the file is read")]
    #[schemars(range(min = 1, max = 1))]
    pub(crate) schema: u32,
    /// What it is, which decides how the portal shows it.
    pub(crate) kind: At<BundleKind>,
    /// Where the portal files it.
    pub(crate) theme: At<Theme>,
    /// Language of the content: `fr`, `en`, ..., or `mul` for several (ISO 639, as in HTML's `lang`).
    pub(crate) language: At<String>,
    /// One line for people, by language of the reader: `title = { fr = "...", en = "..." }`. At least `fr` and `en`.
    #[schemars(with = "BTreeMap<String, String>")]
    pub(crate) title: At<BTreeMap<At<String>, At<String>>>,
    /// A paragraph for people, by language of the reader. At least `fr` and `en`.
    #[schemars(with = "BTreeMap<String, String>")]
    pub(crate) description: At<BTreeMap<At<String>, At<String>>>,
    /// Under which licence everybody may have it: an SPDX expression, such as `CC-BY-SA-4.0`.
    pub(crate) licence: At<String>,
    /// Who made it, as the licence wants them to be named.
    pub(crate) credit: At<String>,
    /// What is in it, in the order that the portal shows.
    #[serde(default)]
    pub(crate) item: Vec<RawItem>,
}

/// A file or a directory of a bundle. It comes from addresses (`url`), out of a Debian package (`package` with `file` or
/// `directory`), or from the bundle's own directory (`local`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Item")]
pub(crate) struct RawItem {
    /// Where it is in the bundle on the device: `candide.epub`, `L'été à Nîmes.pdf`, `pages`. Any name without a backslash,
    /// control characters or a dot at its beginning.
    pub(crate) path: At<String>,
    /// Whether the portal shows it by itself: not so for a style sheet or a picture that others use. `true` if left out.
    #[serde(default = "yes")]
    pub(crate) listed: bool,
    /// One line for people, by language of the reader. Without one, the file's name is shown.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub(crate) title: Option<At<BTreeMap<At<String>, At<String>>>>,
    /// Addresses (`https:`, `http:`) of the same file, tried in this order.
    #[serde(default)]
    pub(crate) url: Vec<At<String>>,
    /// A Debian package that has it. The package is not installed: only the content is taken out of it.
    pub(crate) package: Option<At<String>>,
    /// With `package`: absolute path of the file in it.
    pub(crate) file: Option<At<String>>,
    /// With `package`: absolute path of a directory in it, of which everything is taken.
    pub(crate) directory: Option<At<String>>,
    /// With `directory`: links that lead out of it are left out instead of refused. For scripts, say, that a book shares with
    /// others and can be read without.
    #[serde(default)]
    pub(crate) leave_out_links: bool,
    /// A file or directory in the bundle's own directory, beside `bundle.toml`, by the name that it has.
    pub(crate) local: Option<At<String>>,
    /// SHA-256 of the file, 64 hexadecimal digits. `clic content add` works it out.
    pub(crate) sha256: Option<At<String>>,
    /// Bytes of the file; of a package's directory: bytes of all files in it, at most.
    pub(crate) size: Option<At<u64>>,
    /// The file is an archive; what is in it is taken, below `path`.
    pub(crate) unpack: Option<At<Unpack>>,
    /// With `unpack`: bytes of all files in the archive, at most.
    pub(crate) unpacked: Option<At<u64>>,
    /// The directory or archive becomes one ZIM file, named by `path`: people search its pages by their words on the device
    /// (overlay `kiwix`), and take it home for their Kiwix.
    #[serde(default)]
    pub(crate) zim: Option<At<bool>>,
    /// Of a directory, an archive or a ZIM file: the page that opens first, e.g. `index.html`.
    pub(crate) start: Option<At<String>>,
}

fn yes() -> bool {
    true
}
