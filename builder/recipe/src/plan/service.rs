//! The plan's services: what people use.

use serde::{Deserialize, Serialize};

use super::{App, Content, Texts};
use crate::source::Origin;

/// Something that a person uses, with a tile on the portal.
#[derive(Clone, Debug, Serialize)]
pub struct Service {
    /// Lower case letters, digits and `-`.
    pub name: String,
    /// What it is made of.
    pub kind: ServiceKind,
    /// What people call it, by language of the reader.
    pub title: Texts,
    /// What people do with it, by language of the reader.
    pub description: Texts,
    /// Where the portal shows it.
    pub category: Category,
    /// Whether it runs from the start.
    pub state: ServiceState,
    /// Where it is on the portal, or on the domain of a `YunoHost` app, without a slash at its end.
    pub path: String,
    /// Where that is written.
    #[serde(skip)]
    pub path_origin: Origin,
    /// Debian packages.
    pub packages: Vec<String>,
    /// systemd units.
    pub units: Vec<String>,
    /// What the portal's server does with its path.
    pub place: Place,
    /// Where that is written.
    #[serde(skip)]
    pub place_origin: Origin,
    /// Bytes that somebody may send it at once; 0 for what fits into memory.
    pub uploads: u64,
    /// Bytes of memory while it runs.
    pub ram: u64,
    /// Bytes on the disk to begin with, beside its packages.
    pub disk: u64,
    /// Seconds that it may take to start.
    pub start_seconds: u64,
    /// Services that it does not work without.
    pub needs: Vec<String>,
    /// Services that can't run beside it.
    pub conflicts: Vec<String>,
    /// What makes its secrets anew on each device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_boot: Option<FirstBoot>,
    /// Where it is written.
    #[serde(skip)]
    pub origin: Origin,
}

/// A step of a device's first boot that a [`Service`] brings.
#[derive(Clone, Debug, Serialize)]
pub struct FirstBoot {
    /// The file, relative to the tree.
    pub source: String,
    /// Its absolute path in the image.
    pub path: String,
    /// What is in it; a complete plan has that.
    pub content: Option<Content>,
    /// Where the recipe names it.
    #[serde(skip)]
    pub origin: Origin,
}

/// What a [`Service`] is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceKind {
    /// Debian packages with their units.
    Debian,
    /// A directory of pages.
    Static,
    /// An app of `YunoHost`, installed while the image is built.
    YunohostApp,
}

/// Whether a [`Service`] runs from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// It does.
    #[default]
    Enabled,
    /// Somebody has to switch it on.
    Dormant,
}

/// Where the portal shows a [`Service`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Keeping and passing on files.
    Files,
    /// Writing, alone and together.
    Writing,
    /// Watching and listening.
    Video,
    /// Learning.
    Learning,
    /// Talking and giving.
    Exchange,
    /// Deciding together: polls and votes.
    Participation,
}

/// What the portal's server does with a [`Service`]'s path.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Shows this directory of the image.
    Root(String),
    /// Leads to this TCP port of the device.
    Port(u16),
    /// Nothing: `YunoHost` leads to this app, on its domain by HTTPS.
    #[serde(rename = "yunohost")]
    YunoHost(Box<App>),
}

impl Service {
    /// The app, if it is one.
    pub fn app(&self) -> Option<&App> {
        match &self.place {
            Place::YunoHost(app) => Some(app),
            Place::Root(_) | Place::Port(_) => None,
        }
    }
}
