//! `overlays/*/overlay.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{At, RawValue};
use crate::plan::{Arch, UnitState};

/// An overlay: the packages, files, units and checks of one capability of the device.
///
/// Every file under `files/` is in the image at the same path: `files/etc/hostname` is `/etc/hostname`, with mode 0755 if
/// its owner may execute it and 0644 otherwise, owned by root.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Overlay")]
pub(crate) struct RawOverlay {
    /// Version of this file's format. Always 1 for now.
    #[allow(dead_code, reason = "checked before the rest of the file is read")]
    #[schemars(range(min = 1, max = 1))]
    pub(crate) schema: u32,
    /// One line: what the device can do with it.
    pub(crate) title: At<String>,
    /// A paragraph for people who choose overlays.
    pub(crate) description: At<String>,
    /// Overlays that must be in a recipe before this one.
    #[serde(default)]
    pub(crate) requires: Vec<At<String>>,
    /// The only Debian suites that it is for. All if left out.
    pub(crate) suites: Option<At<Vec<At<String>>>>,
    /// The only architectures of boards that it is for. All if left out.
    pub(crate) architectures: Option<At<Vec<Arch>>>,
    /// What the builder, recipes and other overlays find in this one, whatever its name is.
    #[serde(default)]
    pub(crate) provides: RawProvides,
    /// Paths of the portal, or of `YunoHost`'s domains, that are this overlay's own: no service can be there.
    #[serde(default)]
    pub(crate) own_paths: Vec<At<String>>,
    /// Debian packages.
    #[serde(default)]
    pub(crate) packages: Vec<At<String>>,
    /// More of them for boards of one architecture: `[packages-on]` with `amd64 = ["..."]`. Firmware of a PC's radios, say.
    #[serde(default)]
    pub(crate) packages_on: BTreeMap<Arch, Vec<At<String>>>,
    /// Answers to packages' questions, as `debconf-set-selections` reads them: `package question type value`. Templates; one that
    /// becomes empty is left out.
    #[serde(default)]
    pub(crate) preseeds: Vec<At<String>>,
    /// What a recipe can set: a table for each parameter, `[parameters.hostname]`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, RawParameter>")]
    pub(crate) parameters: BTreeMap<At<String>, RawParameter>,
    /// What must hold between parameters.
    #[serde(default)]
    pub(crate) rule: Vec<RawRule>,
    /// What packages must have made of files, because of preseeds or by themselves: looked at when the image is built.
    #[serde(default)]
    pub(crate) effect: Vec<RawEffect>,
    /// Says more about files of `files/` that need it: templates, modes, owners.
    #[serde(default)]
    pub(crate) file: Vec<RawFile>,
    /// Directories that need a mode or an owner, or stay empty. Parents of files make themselves.
    #[serde(default)]
    pub(crate) directory: Vec<RawDirectory>,
    /// Symbolic links.
    #[serde(default)]
    pub(crate) link: Vec<RawLink>,
    /// What happens to systemd units.
    #[serde(default)]
    pub(crate) unit: Vec<RawUnit>,
    /// What is done in the running system while the image is built.
    #[serde(default)]
    pub(crate) bake: Vec<RawBake>,
    /// Absolute paths of what a running system has for one run or one device, each with all that is below it. What a bake makes of
    /// them stays in its machine.
    #[serde(default)]
    pub(crate) of_one_run: Vec<At<String>>,
    /// Files that packages make with other bytes each time they are installed, and that are neither secret nor a name that must be
    /// unique.
    #[serde(default)]
    pub(crate) varies: Vec<RawVaries>,
    /// What a boot test must see when this overlay is in an image.
    #[serde(default)]
    pub(crate) check: Vec<RawCheck>,
}

/// What an overlay provides: a table for each capability, `[provides.portal]`. Of a recipe's overlays, one at most provides each.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Provides")]
pub(crate) struct RawProvides {
    /// It runs steps at a device's first boot. Services' steps are put into its directory.
    pub(crate) first_boot: Option<At<RawPlace>>,
    /// It lets people reach the device by wifi. The portal tells about it what its parameters `ssid`, `ssid_suffix`, `hidden`,
    /// `passphrase`, `domain` and `address` say.
    pub(crate) hotspot: Option<At<RawPresence>>,
    /// It serves the device's own pages, which the builder puts into its directory. Its parameters `language` and
    /// `show_passphrase` say what is in them.
    pub(crate) portal: Option<At<RawPlace>>,
    /// It switches services on and off. A file for each is put into its directory.
    pub(crate) services: Option<At<RawPlace>>,
    /// It has `YunoHost`, in which apps are installed. Its parameter `domain` says `YunoHost`'s first domain.
    pub(crate) yunohost: Option<At<RawYunoHost>>,
    /// It shows ZIM archives.
    pub(crate) zim: Option<At<RawPresence>>,
}

/// Where the builder puts files for an overlay.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Place")]
pub(crate) struct RawPlace {
    /// Absolute path of a directory in the image.
    pub(crate) directory: At<String>,
}

/// A capability of which nothing more is to be said.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Presence")]
pub(crate) struct RawPresence {}

/// An overlay's `YunoHost`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "YunoHost")]
pub(crate) struct RawYunoHost {
    /// The Debian package whose version is that of `YunoHost`.
    pub(crate) package: At<String>,
    /// Absolute path of a program in the image that ends when all of `YunoHost` runs.
    pub(crate) ready: At<String>,
}

/// A parameter that a recipe can set. In templates it is a variable of the same name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Parameter")]
pub(crate) struct RawParameter {
    /// Type of the value.
    #[serde(rename = "type")]
    pub(crate) kind: At<ParameterType>,
    /// What it does, for people who write recipes.
    pub(crate) description: At<String>,
    /// Value when the recipe sets none. Without a default, the recipe must set it.
    pub(crate) default: Option<At<RawValue>>,
    /// The only values that are allowed (of each element, for a list).
    pub(crate) choices: Option<At<Vec<At<String>>>>,
    /// What people write who mean one of the choices: `meant = { UK = "GB" }`. An error then says so.
    #[serde(default)]
    pub(crate) meant: BTreeMap<String, At<String>>,
    /// A regular expression that the whole text must match (of each element, for a list).
    pub(crate) pattern: Option<At<String>>,
    /// Smallest number.
    pub(crate) min: Option<At<i64>>,
    /// Largest number.
    pub(crate) max: Option<At<i64>>,
}

/// Something that must hold for the values of parameters, where types, choices and bounds of one of them can't say it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Rule")]
pub(crate) struct RawRule {
    /// The parameter whose line in the recipe is shown when the rule is broken.
    pub(crate) parameter: At<String>,
    /// An expression over parameters, of the template language, that must be true: `password or not public`. The filter
    /// `bytes` gives the length of a text in UTF-8.
    pub(crate) must: At<String>,
    /// What is wrong when it is not true. A template.
    pub(crate) message: At<String>,
    /// What to do then. A template.
    pub(crate) help: Option<At<String>>,
}

/// Types of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ParameterType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list of text.
    List,
}

/// What packages must have made of a file once all of them are configured: exactly one of `line`, `target`, which are templates. Where
/// a text becomes empty, nothing is asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Effect")]
pub(crate) struct RawEffect {
    /// Absolute path in the image.
    pub(crate) file: At<String>,
    /// A whole line that the file must have.
    pub(crate) line: Option<At<String>>,
    /// An absolute path that the file, a symbolic link, must lead to.
    pub(crate) target: Option<At<String>>,
}

/// Says more about a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "File")]
pub(crate) struct RawFile {
    /// Absolute path in the image.
    pub(crate) path: At<String>,
    /// The file in the overlay's directory, where it is not `files` plus the path.
    pub(crate) source: Option<At<String>>,
    /// Whether `{{ parameter }}` and `{% if %}` are filled in. Also there: `board.name`, `board.arch`, `recipe.name`,
    /// `recipe.title`, `suite`, `overlay`. `false`: such braces are meant for the device, and are left as they are.
    pub(crate) template: Option<bool>,
    /// Permissions in octal, e.g. `"0640"`.
    pub(crate) mode: Option<At<String>>,
    /// Owner's name. `root` if left out.
    pub(crate) owner: Option<At<String>>,
    /// Group's name. `root` if left out.
    pub(crate) group: Option<At<String>>,
}

/// A directory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Directory")]
pub(crate) struct RawDirectory {
    /// Absolute path in the image.
    pub(crate) path: At<String>,
    /// Permissions in octal. `"0755"` if left out.
    pub(crate) mode: Option<At<String>>,
    /// Owner's name. `root` if left out.
    pub(crate) owner: Option<At<String>>,
    /// Group's name. `root` if left out.
    pub(crate) group: Option<At<String>>,
}

/// Files that vary from build to build.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Varies")]
pub(crate) struct RawVaries {
    /// Absolute path in the image. A part of it may have `*` and `?`; `**` is any number of directories.
    pub(crate) path: At<String>,
    /// Why devices may share them, in a few words.
    pub(crate) why: At<String>,
}

/// A symbolic link.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Link")]
pub(crate) struct RawLink {
    /// Absolute path of the link in the image.
    pub(crate) path: At<String>,
    /// What it points to.
    pub(crate) target: At<String>,
}

/// What happens to a systemd unit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Unit")]
pub(crate) struct RawUnit {
    /// Name with its suffix: `ssh.service`.
    pub(crate) name: At<String>,
    /// Its state in the image.
    pub(crate) state: UnitState,
}

/// A step that is done as root in the running system, in QEMU, while the image is built; what it changes is in the image. For
/// what can't be done without services that run. `/etc/clic/baking` is there meanwhile, so that units which belong to a device's
/// first start can wait: `ConditionPathExists=!/etc/clic/baking`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Bake")]
pub(crate) struct RawBake {
    /// What it does: `the wiki is set up`. A template.
    pub(crate) name: At<String>,
    /// A shell command. A template.
    pub(crate) command: At<String>,
    /// How long it may take. 600 if left out.
    pub(crate) timeout_seconds: Option<At<u64>>,
    /// Whether it may reach the internet. If left out, it may not, and the step works offline.
    #[serde(default)]
    pub(crate) network: bool,
}

/// What a boot test must see: exactly one of `command`, `unit`, `port`, `file`, `http`. Texts are templates.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Check")]
pub(crate) struct RawCheck {
    /// A sentence that is true when the check passes: `SSH answers`.
    pub(crate) name: At<String>,
    /// A shell command run as root in the device.
    pub(crate) command: Option<At<String>>,
    /// With `command`: the exit code that passes. 0 if left out.
    pub(crate) exit: Option<At<i32>>,
    /// A systemd unit that must be active.
    pub(crate) unit: Option<At<String>>,
    /// A TCP port that must answer from outside.
    pub(crate) port: Option<At<u16>>,
    /// A file that must exist in the running device.
    pub(crate) file: Option<At<String>>,
    /// With `file`: permissions in octal that it must have.
    pub(crate) mode: Option<At<String>>,
    /// With `command`, `port` or `file`: text that the output, the first bytes or the file must contain.
    pub(crate) contains: Option<At<String>>,
    /// An HTTP request from outside.
    pub(crate) http: Option<At<RawHttp>>,
    /// How long it may take to become true. 30 if left out.
    pub(crate) timeout_seconds: Option<At<u64>>,
    /// Whether it takes minutes on a machine that is emulated: `clic test --quick` leaves it out. No later check may count on it.
    #[serde(default)]
    pub(crate) long: bool,
}

/// An HTTP request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Http")]
pub(crate) struct RawHttp {
    /// TCP port. 80 if left out.
    #[serde(default = "http_port")]
    pub(crate) port: u16,
    /// Path with a leading slash.
    pub(crate) path: At<String>,
    /// Value of the `Host` header, if the service needs one.
    pub(crate) host: Option<At<String>>,
    /// Status that passes. 200 if left out.
    #[serde(default = "http_status")]
    pub(crate) status: u16,
    /// Text that the body must contain.
    pub(crate) contains: Option<At<String>>,
}

fn http_port() -> u16 {
    80
}

fn http_status() -> u16 {
    200
}
