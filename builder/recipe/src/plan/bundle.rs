//! The plan's content: what there is to read, watch and hear.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clic_host::Sha256;
use serde::{Deserialize, Serialize};

use super::Content;
use crate::source::Origin;

/// Where content is in the image: a directory for each bundle.
pub const CONTENT_DIRECTORY: &str = "srv/clic/content";

/// Content for everybody to read, with what has to be said of it.
#[derive(Clone, Debug, Serialize)]
pub struct Bundle {
    /// Directory name under `content-bundles/`.
    pub name: String,
    /// What it is.
    pub kind: BundleKind,
    /// Where the portal files it.
    pub theme: Theme,
    /// Language of the content (ISO 639), or `mul`.
    pub language: String,
    /// One line, by language of the reader.
    pub title: Texts,
    /// A paragraph, by language of the reader.
    pub description: Texts,
    /// SPDX expression.
    pub licence: String,
    /// Who made it.
    pub credit: String,
    /// What is in it, in the order that the portal shows.
    pub items: Vec<BundleItem>,
}

impl Bundle {
    /// Bytes of its files on the device, at most.
    pub fn size(&self) -> u64 {
        self.items
            .iter()
            .map(BundleItem::size)
            .fold(0, u64::saturating_add)
    }
}

/// Text by language: `fr`, `en`.
pub type Texts = BTreeMap<String, String>;

/// What a [`Bundle`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BundleKind {
    /// A web site: pages that link to each other.
    Site,
    /// ZIM archives, served with full-text search.
    Zim,
    /// Videos to watch.
    Videos,
    /// Music, readings, podcasts.
    Audio,
    /// Books to read or to take home.
    Books,
    /// Steps, one after the other.
    Course,
    /// Files to take home.
    Files,
}

/// Where the portal files a [`Bundle`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// Stories, theatre, films, pictures.
    Arts,
    /// For children.
    Children,
    /// Here and around.
    City,
    /// Free culture, commons.
    Commons,
    /// Computers and the internet.
    Computing,
    /// Garden and kitchen.
    Food,
    /// Health.
    Health,
    /// Reference works, sciences.
    Knowledge,
    /// Languages.
    Languages,
    /// Making and repairing.
    Making,
    /// Music and sounds.
    Music,
    /// Living things.
    Nature,
    /// Rights and society.
    Rights,
    /// School and learning.
    School,
    /// Talking and meeting.
    Talk,
    /// Writing and working together.
    Work,
    /// None of these.
    Other,
}

/// Kinds of archives that are unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unpack {
    /// A tar file, compressed with gzip, bzip2, xz, lzma, lzip, zstd, or not.
    Tar,
    /// A zip file.
    Zip,
}

/// What a ZIM file may be larger than its pages, in bytes: it is compressed, but even the smallest has two indexes of about
/// 200 KB.
const ZIM_INDEX: u64 = 1 << 20;

/// A file or a directory of a [`Bundle`].
#[derive(Clone, Debug, Serialize)]
pub struct BundleItem {
    /// Where it is in the bundle on the device, without a slash at either end.
    pub path: String,
    /// One line, by language of the reader; may be empty.
    pub title: Texts,
    /// Whether the portal shows it by itself.
    pub listed: bool,
    /// Of a directory: the page that opens first, relative to `path`.
    pub start: Option<String>,
    /// What it is and where it comes from.
    pub from: ItemSource,
    /// What it is comes as one ZIM file.
    pub zim: bool,
    /// Where it is written.
    #[serde(skip)]
    pub origin: Origin,
}

/// What an item is and where it comes from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemSource {
    /// One file that is known by its hash.
    File {
        /// SHA-256 of its bytes.
        sha256: Sha256,
        /// Bytes.
        size: u64,
        /// Addresses, tried in this order.
        urls: Vec<String>,
        /// A Debian package that has it.
        package: Option<InPackage>,
        /// In the tree that people edit, where it is now.
        #[serde(skip)]
        local: Option<PathBuf>,
        /// It is an archive whose files are taken, at most that many bytes of them.
        unpack: Option<(Unpack, u64)>,
    },
    /// A directory out of a Debian package.
    PackageDirectory {
        /// Which one.
        package: InPackage,
        /// Bytes of all files in it, at most.
        size: u64,
        /// Links that lead out of it are left out instead of refused.
        leave_out_links: bool,
    },
    /// A directory of the tree that people edit: relative paths and contents, sorted.
    Directory(Vec<(String, Content)>),
}

/// A path in a Debian package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InPackage {
    /// The package's name.
    pub name: String,
    /// Absolute path in it.
    pub path: String,
}

impl BundleItem {
    /// Bytes of its files on the device, at most.
    pub fn size(&self) -> u64 {
        let files = match &self.from {
            ItemSource::File {
                unpack: Some((_, size)),
                ..
            }
            | ItemSource::File { size, .. }
            | ItemSource::PackageDirectory { size, .. } => *size,
            ItemSource::Directory(files) => files.iter().map(|(_, content)| content.size).sum(),
        };
        files.saturating_add(if self.zim { ZIM_INDEX } else { 0 })
    }

    /// Whether it comes as many files.
    pub fn has_files(&self) -> bool {
        !matches!(&self.from, ItemSource::File { unpack: None, .. })
    }

    /// Whether it is a directory on the device.
    pub fn is_directory(&self) -> bool {
        self.has_files() && !self.zim
    }

    /// The Debian package that it can come from.
    pub fn package(&self) -> Option<&InPackage> {
        match &self.from {
            ItemSource::File { package, .. } => package.as_ref(),
            ItemSource::PackageDirectory { package, .. } => Some(package),
            ItemSource::Directory(_) => None,
        }
    }
}
