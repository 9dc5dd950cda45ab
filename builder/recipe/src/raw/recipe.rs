//! `recipes/*.toml`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use super::{At, RawService};

/// A recipe: one edition of the image, for one or several boards.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Recipe")]
pub(crate) struct RawRecipe {
    /// Version of this file's format. Always 1 for now.
    #[allow(dead_code, reason = "checked before the rest of the file is read")]
    #[schemars(range(min = 1, max = 1))]
    pub(crate) schema: u32,
    /// One line that says what the image is for.
    pub(crate) title: At<String>,
    /// Name of a recipe that this one builds on. Lists (`boards`, `overlays`, `bundles`, `packages`,
    /// `components`) are added to that recipe's;
    /// other keys replace its values; parameters are replaced one by one.
    pub(crate) extends: Option<At<String>>,
    /// Debian suite, e.g. `bookworm`.
    pub(crate) suite: Option<At<String>>,
    /// Names of the boards that the recipe can be built for: files of `boards/` without `.toml`.
    #[serde(default)]
    pub(crate) boards: Vec<At<String>>,
    /// Names of overlays, i.e. directories of `overlays/`: the capabilities of the device.
    #[serde(default)]
    pub(crate) overlays: Vec<At<String>>,
    /// Names of content bundles, i.e. directories of `content-bundles/`: what there is to read, watch and hear.
    #[serde(default)]
    pub(crate) bundles: Vec<At<String>>,
    /// What people use, with a tile on the portal.
    #[serde(default)]
    pub(crate) service: Vec<RawService>,
    /// Debian packages beside those of the board and the overlays.
    #[serde(default)]
    pub(crate) packages: Vec<At<String>>,
    /// Components of Debian's archives that packages come from, beside those of the board, e.g. `contrib`.
    #[serde(default)]
    pub(crate) components: Vec<At<String>>,
    /// Where packages come from beside Debian's own archives. One of the same name as the parent's replaces that.
    #[serde(default)]
    pub(crate) source: Vec<RawSource>,
    /// Size of the image.
    #[serde(default)]
    pub(crate) image: RawImage,
    /// Values for the overlays' parameters: a table for each overlay, `[parameters.base]`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, BTreeMap<String, RawValue>>")]
    pub(crate) parameters: BTreeMap<At<String>, BTreeMap<At<String>, At<RawValue>>>,
}

/// A source of packages: another suite of the Debian mirror (`suite` alone), a repository of somebody else (`url`), or a
/// directory of .deb files (`directory`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Source")]
pub(crate) struct RawSource {
    /// A short name: lower case letters, digits and `-`.
    pub(crate) name: At<String>,
    /// The suite, e.g. `bookworm-backports`.
    pub(crate) suite: Option<At<String>>,
    /// Components. Of a suite of the Debian mirror: those of the board and the recipe if left out.
    #[serde(default)]
    pub(crate) components: Vec<At<String>>,
    /// Address of a repository: the directory that holds `dists/`.
    pub(crate) url: Option<At<String>>,
    /// The repository's public key: path of a file in this tree, e.g. `keys/them.asc`. It gets into the image. With `key-url`
    /// it is `keys/NAME.asc` if left out.
    pub(crate) key: Option<At<String>>,
    /// Where the repository's makers publish that key: `clic lock --trust-key` fetches it from there when the file is not in
    /// the tree.
    pub(crate) key_url: Option<At<String>>,
    /// The key's fingerprint, 40 hexadecimal digits. Another key in the file is refused. With `key-url` it can be left out: then
    /// a person confirms the key once, and the lock pins its fingerprint.
    pub(crate) fingerprint: Option<At<String>>,
    /// Path of a directory of .deb files in this tree, e.g. `debs`.
    pub(crate) directory: Option<At<String>>,
    /// Packages that are to come from here even if Debian has them too. Everything else of this source is then only taken
    /// if nobody else has it. This asks for no package: `packages` of the recipe does.
    #[serde(default)]
    pub(crate) packages: Vec<At<String>>,
    /// apt's priority for `packages` (990 if left out), or for the whole source if there are none. Debian's own is 500.
    pub(crate) priority: Option<At<i64>>,
}

/// Size of the image.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Image")]
pub(crate) struct RawImage {
    /// Space left free in the root file system, e.g. `512M`, instead of what the board says. `K`, `M` and `G` are powers
    /// of 1024; whole mebibytes.
    pub(crate) free: Option<At<String>>,
    /// Largest size of the whole image, e.g. `4G`: it becomes as large as its content and the free space need, and building is
    /// refused when that is more. (`size` means the same.)
    #[serde(alias = "size")]
    pub(crate) max_size: Option<At<String>>,
    /// Inodes left free in the root file system, i.e. how many more files it can hold. Usually the size is enough to say.
    pub(crate) inodes: Option<At<u64>>,
}

/// A value for a parameter: text, a whole number, true or false, or a list of text. The overlay says which.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct RawValue(pub(crate) toml::Value);

impl JsonSchema for RawValue {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "A value for a parameter: text, a whole number, true or false, or a list of text. The overlay says which.",
            "anyOf": [
                { "type": "string" },
                { "type": "integer" },
                { "type": "boolean" },
                { "type": "array", "items": { "type": "string" } },
            ],
        })
    }
}
