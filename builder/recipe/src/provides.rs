//! What overlays provide: declared, and looked for.

use serde::Deserialize;

use crate::checker::Checker;
use crate::debian;
use crate::plan::{Absent, Capability, PlannedOverlay, Provides, YunoHost};
use crate::raw::{At, RawPlace, RawProvides};
use crate::service;
use crate::tree::{Kind, Provided, Tree, image_path};

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

/// What none of a recipe's overlays provides.
pub(crate) fn absent(tree: &Tree, overlays: &[PlannedOverlay]) -> Vec<Absent> {
    Capability::ALL
        .into_iter()
        .filter(|capability| provider(overlays, *capability).is_none())
        .map(|capability| Absent::of(tree, capability))
        .collect()
}

impl Absent {
    /// A capability that a recipe does without, and the overlays of the tree that provide it, as far as they can be read.
    pub(crate) fn of(tree: &Tree, capability: Capability) -> Self {
        let by = |(_, keys): &&Provided| keys.contains(capability.key());
        let found = tree.provided(|| all(tree)).iter().filter(by);
        Self {
            capability,
            providers: found.map(|(name, _)| name.clone()).collect(),
        }
    }
}

/// What each overlay of a tree says that it provides, as far as it can be read.
fn all(tree: &Tree) -> Vec<Provided> {
    #[derive(Deserialize)]
    struct Overlay {
        #[serde(default)]
        provides: toml::Table,
    }
    let names = tree.names(Kind::Overlay).unwrap_or_default().into_iter();
    names
        .filter_map(|name| {
            let text = tree.read(&Kind::Overlay.file(&name)).ok()?;
            let overlay: Overlay = toml::from_str(&text.text).ok()?;
            Some((name, overlay.provides.into_iter().map(|(key, _)| key).collect()))
        })
        .collect()
}
