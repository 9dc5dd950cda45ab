//! `[[service]]` in `recipes/*.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{At, RawValue};
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
    /// What people do with it, in a sentence, by language of the reader: at least `fr` and `en`.
    #[schemars(with = "BTreeMap<String, String>")]
    pub(crate) description: At<BTreeMap<At<String>, At<String>>>,
    /// Where the portal shows it.
    pub(crate) category: At<Category>,
    /// Whether it runs from the start. `dormant`: it is installed but stopped, and `clic-service enable` starts it, without internet.
    #[serde(default)]
    pub(crate) state: ServiceState,
    /// Where it is on the portal: `/pads`. Of a `YunoHost` app: on its `domain`, where it can be `/`.
    pub(crate) path: At<String>,
    /// Debian packages that it is.
    #[serde(default)]
    pub(crate) packages: Vec<At<String>>,
    /// systemd units that run it.
    #[serde(default)]
    pub(crate) units: Vec<At<String>>,
    /// TCP port of the device on which it answers to HTTP, for the device itself: the portal's server leads there.
    pub(crate) port: Option<At<u16>>,
    /// With `port`: how large a file may be that somebody sends it, e.g. `512M`. Every guest may: it is for the service to say how much
    /// it keeps. Texts of up to 64 KiB if left out.
    pub(crate) uploads: Option<At<String>>,
    /// Of kind `static`: the directory in the image that is shown, e.g. `/usr/share/clic/pads`.
    pub(crate) root: Option<At<String>>,
    /// Of kind `yunohost-app`: the app's directory in this tree, e.g. `apps/my_webapp`, with its `manifest.toml`.
    pub(crate) directory: Option<At<String>>,
    /// Of kind `yunohost-app`, instead of `directory`: address of an archive of the app at one commit, as code forges offer it
    /// (`.tar.gz`).
    pub(crate) url: Option<At<String>>,
    /// With `url`: SHA-256 of the archive, 64 hexadecimal digits.
    pub(crate) sha256: Option<At<String>>,
    /// With `url`: bytes of the archive.
    pub(crate) size: Option<At<u64>>,
    /// With `url`: the app's id, as its manifest says it. `name` if left out.
    pub(crate) app: Option<At<String>>,
    /// Of kind `yunohost-app`: the domain of `YunoHost` that it is on. That of the overlay `yunohost` if left out.
    pub(crate) domain: Option<At<String>>,
    /// Of kind `yunohost-app`: answers to the questions of the app's installation, beside `domain` and `path`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, RawValue>")]
    pub(crate) arguments: BTreeMap<At<String>, At<RawValue>>,
    /// Of kind `yunohost-app`: its permissions that are given while it is on. `["main"]` if left out.
    pub(crate) permissions: Option<Vec<At<String>>>,
    /// Of kind `yunohost-app`: groups of `YunoHost` that get them. `["visitors", "all_users"]`, which is everybody, if left out.
    pub(crate) groups: Option<Vec<At<String>>>,
    /// Of kind `yunohost-app`: whether its installation, while the image is built, may reach the internet. If not, the Debian
    /// packages that its manifest names are installed and locked with all others.
    pub(crate) network: Option<At<bool>>,
    /// Of kind `yunohost-app`: seconds that its installation may take, on an emulated processor. 3600 if left out.
    pub(crate) install_seconds: Option<At<u64>>,
    /// Memory that it takes while it runs, e.g. `64M`; of kind `static` none. Of a `YunoHost` app in a directory: what its manifest says, if that is more.
    pub(crate) ram: Option<At<String>>,
    /// Room that it needs on the disk to begin, e.g. `20M`, beside its packages. As `ram`, of a `YunoHost` app.
    pub(crate) disk: Option<At<String>>,
    /// Seconds that it may take to start. 60 if left out.
    pub(crate) start_seconds: Option<At<u64>>,
    /// A file of this tree, e.g. `steps/pads.toml`: a step of the device's first boot, which makes the service's secrets anew on each
    /// device (overlay `base` says how to write it).
    pub(crate) first_boot: Option<At<String>>,
    /// Services that it does not work without.
    #[serde(default)]
    pub(crate) needs: Vec<At<String>>,
    /// Services that can't run beside it.
    #[serde(default)]
    pub(crate) conflicts: Vec<At<String>>,
}
