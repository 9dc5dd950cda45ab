//! `[[service]]` in `recipes/*.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::At;
use crate::plan::{Category, ServiceKind, ServiceState};

/// Something that a person uses, with a tile on the portal. One of the same name as the parent recipe's replaces that.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Service")]
pub(crate) struct RawService {
    /// A short name: lower case letters, digits and `-`.
    pub(crate) name: At<String>,
    /// What it is made of.
    pub(crate) kind: At<ServiceKind>,
    /// What people call it, by language of the reader: at least `fr` and `en`.
    #[schemars(with = "BTreeMap<String, String>")]
    pub(crate) title: At<BTreeMap<At<String>, At<String>>>,
    /// What one does with it, in a sentence, by language of the reader: at least `fr` and `en`.
    #[schemars(with = "BTreeMap<String, String>")]
    pub(crate) description: At<BTreeMap<At<String>, At<String>>>,
    /// Where the portal shows it.
    pub(crate) category: At<Category>,
    /// Whether it runs from the start. `dormant`: it is there, and `clic-service enable` switches it on, with no internet.
    #[serde(default)]
    pub(crate) state: ServiceState,
    /// Where it is on the portal: `/pads`.
    pub(crate) path: At<String>,
    /// Debian packages that it is.
    #[serde(default)]
    pub(crate) packages: Vec<At<String>>,
    /// systemd units that run it.
    #[serde(default)]
    pub(crate) units: Vec<At<String>>,
    /// TCP port of the device on which it answers to HTTP, for the device itself: the portal's server leads there.
    pub(crate) port: Option<At<u16>>,
    /// Of kind `static`: the directory in the image that is shown, e.g. `/usr/share/clic/pads`.
    pub(crate) root: Option<At<String>>,
    /// Memory that it takes while it runs, e.g. `64M`.
    pub(crate) ram: At<String>,
    /// Room that it needs on the disk to begin, e.g. `20M`, beside its packages.
    pub(crate) disk: Option<At<String>>,
    /// Seconds that it may take to start. 60 if left out.
    pub(crate) start_seconds: Option<At<u64>>,
    /// Services that it does not work without.
    #[serde(default)]
    pub(crate) needs: Vec<At<String>>,
    /// Services that can't run beside it.
    #[serde(default)]
    pub(crate) conflicts: Vec<At<String>>,
}
