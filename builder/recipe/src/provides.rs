//! What overlays provide: declared, and looked for.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::checker::Checker;
use crate::debian;
use crate::plan::{Capability, PlannedOverlay, Provides, YunoHost};
use crate::raw::{At, RawPlace, RawProvides};
use crate::service;
use crate::tree::{Kind, Tree, image_path};

/// Checks what an overlay says that it provides.
pub(crate) fn check(raw: RawProvides, checker: &mut Checker<'_>) -> Provides {
    Provides {
        first_boot: directory(raw.first_boot, checker),
        hotspot: raw.hotspot.is_some(),
        portal: directory(raw.portal, checker),
        services: directory(raw.services, checker),
        yunohost: raw.yunohost.map(|At { value, .. }| {
            if let Err(why) = debian::package_name(&value.package.value) {
                checker.wrong(&value.package, why);
            }
            YunoHost {
                package: value.package.value,
                ready: in_image(value.ready, checker),
            }
        }),
        zim: raw.zim.is_some(),
    }
}

fn directory(raw: Option<At<RawPlace>>, checker: &mut Checker<'_>) -> Option<String> {
    Some(in_image(raw?.value.directory, checker))
}

fn in_image(path: At<String>, checker: &mut Checker<'_>) -> String {
    if let Err(why) = image_path(&path.value) {
        checker.wrong(&path, why);
    }
    path.value
}

/// Checks the paths of the portal that are an overlay's own.
pub(crate) fn own_paths(raw: Vec<At<String>>, checker: &mut Checker<'_>) -> Vec<String> {
    let paths = checker.distinct(raw, "path");
    for path in paths.iter().filter(|path| !service::is_path(&path.value)) {
        checker
            .wrong(path, format!("`{}` is not a path on the portal", path.value))
            .help("write it like `/pads`: it begins with a slash and does not end with one");
    }
    paths.into_iter().map(|path| path.value).collect()
}

/// The overlay that provides a capability.
pub(crate) fn provider(overlays: &[PlannedOverlay], capability: Capability) -> Option<&PlannedOverlay> {
    overlays.iter().find(|overlay| overlay.provides.has(capability))
}

/// What an overlay of the tree says of itself, as far as it can be read: for what a recipe could have besides.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) name: String,
    /// Keys of the capabilities that it provides.
    pub(crate) provides: BTreeSet<String>,
    /// Overlays that it requires.
    pub(crate) requires: Vec<String>,
}

/// Of all overlays of a tree, read once.
pub(crate) fn offers(tree: &Tree) -> &[Offer] {
    tree.offers(|| {
        let names = tree.names(Kind::Overlay).unwrap_or_default();
        names.into_iter().filter_map(|name| offer(tree, name)).collect()
    })
}

fn offer(tree: &Tree, name: String) -> Option<Offer> {
    #[derive(Deserialize)]
    struct Overlay {
        #[serde(default)]
        provides: toml::Table,
        #[serde(default)]
        requires: Vec<String>,
    }
    let text = tree.read(&Kind::Overlay.file(&name)).ok()?;
    let overlay: Overlay = toml::from_str(&text.text).ok()?;
    Some(Offer {
        name,
        provides: overlay.provides.into_iter().map(|(key, _)| key).collect(),
        requires: overlay.requires,
    })
}
