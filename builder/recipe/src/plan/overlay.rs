//! The plan's overlays, and what they are for each other and for the builder.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::provides::provider;

/// An overlay of the plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedOverlay {
    /// Directory name under `overlays/`.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Every parameter with its final value.
    pub parameters: BTreeMap<String, Value>,
    /// What others find in it.
    #[serde(skip)]
    pub provides: Provides,
    /// Paths of the portal, or of `YunoHost`'s domains, that are its own.
    #[serde(skip)]
    pub own_paths: Vec<String>,
}

/// A parameter's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Text.
    String(String),
    /// A list of text.
    List(Vec<String>),
}

/// What the builder, recipes and the device look for in an overlay, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Steps of a device's first boot are run.
    FirstBoot,
    /// People reach the device by its own wifi.
    Hotspot,
    /// The device's pages are served.
    Portal,
    /// Services are switched on and off.
    Services,
    /// `YunoHost`, in which apps are installed.
    YunoHost,
    /// ZIM archives are shown.
    Zim,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::FirstBoot,
        Self::Hotspot,
        Self::Portal,
        Self::Services,
        Self::YunoHost,
        Self::Zim,
    ];

    /// Parameters of the overlay that provides it which the builder itself reads.
    pub(crate) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Hotspot => &["address", "domain", "hidden", "passphrase", "ssid", "ssid_suffix"],
            Self::Portal => &["language", "show_passphrase"],
            Self::YunoHost => &["domain"],
            Self::FirstBoot | Self::Services | Self::Zim => &[],
        }
    }

    /// As overlays write it: `[provides.KEY]`.
    pub fn key(self) -> &'static str {
        match self {
            Self::FirstBoot => "first-boot",
            Self::Hotspot => "hotspot",
            Self::Portal => "portal",
            Self::Services => "services",
            Self::YunoHost => "yunohost",
            Self::Zim => "zim",
        }
    }
}

/// The capabilities of an overlay, with the places that others must know. Paths are absolute, in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provides {
    /// The directory of the steps of a device's first boot.
    pub first_boot: Option<String>,
    /// Whether it makes the device a hotspot.
    pub hotspot: bool,
    /// The directory of the portal's pages.
    pub portal: Option<String>,
    /// The directory of the services' files.
    pub services: Option<String>,
    /// `YunoHost`.
    pub yunohost: Option<YunoHost>,
    /// Whether it shows ZIM archives.
    pub zim: bool,
}

/// What is to be known of an overlay's `YunoHost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YunoHost {
    /// The Debian package whose version it has.
    pub package: String,
    /// A program that ends when all of it runs.
    pub ready: String,
}

impl Provides {
    /// Whether a capability is among them.
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::FirstBoot => self.first_boot.is_some(),
            Capability::Hotspot => self.hotspot,
            Capability::Portal => self.portal.is_some(),
            Capability::Services => self.services.is_some(),
            Capability::YunoHost => self.yunohost.is_some(),
            Capability::Zim => self.zim,
        }
    }
}

impl Plan {
    /// The overlay that provides a capability.
    pub fn provider(&self, capability: Capability) -> Option<&PlannedOverlay> {
        provider(&self.overlays, capability)
    }
}
