//! What a recipe's overlays need of each other, and what its services and bundles need of them: told all at once, each with the
//! whole list of overlays to write.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::overlay::Overlay;
use crate::plan::{Bundle, BundleKind, Capability, Service};
use crate::provides::{Offer, offers};
use crate::recipe::Recipe;
use crate::report::Problems;
use crate::source::Origin;
use crate::tree::Tree;

/// Something that needs an overlay.
struct Need {
    origin: Origin,
    /// ``overlay `portal` needs `base` before it``.
    message: String,
    help: Help,
}

/// What to do about a [`Need`].
enum Help {
    /// To write the list of overlays, with what is missing.
    List,
    /// There is more than one way, or none.
    Choose(String),
}

/// Says what overlays need before them, and which there must be for the recipe's services and bundles. `whole`: no other overlay of
/// the recipe could not be read, which might be what is missing.
pub(crate) fn check(
    tree: &Tree,
    recipe: &Recipe,
    overlays: &[Rc<Overlay>],
    whole: bool,
    bundles: &[Bundle],
    problems: &mut Problems,
) {
    let mut needs = before(recipe, overlays);
    let mut more = Vec::new();
    if whole {
        for (capability, origin, what) in wanted(recipe, overlays, bundles) {
            let offers = offers(tree).iter();
            let by: Vec<&str> = offers
                .filter(|offer| offer.provides.contains(capability.key()))
                .map(|offer| offer.name.as_str())
                .collect();
            let key = capability.key();
            let (needed, help) = match by[..] {
                [] => (
                    format!("an overlay that provides `{key}`"),
                    Help::Choose(format!(
                        "no overlay of this tree does: its overlay.toml would have `[provides.{key}]`"
                    )),
                ),
                [one] => {
                    more.push(one.to_owned());
                    (format!("the overlay `{one}`"), Help::List)
                }
                _ => (
                    format!("the overlay {}", either(&by, '`')),
                    Help::Choose(format!("add {} to the recipe's `overlays`", either(&by, '"'))),
                ),
            };
            needs.push(Need {
                origin,
                message: format!("{what} {needed}"),
                help,
            });
        }
    }
    if needs.is_empty() {
        return;
    }
    let listed = recipe.overlays.iter().map(|overlay| overlay.value.clone());
    let list = in_order(offers(tree), listed.chain(more));
    for need in needs {
        problems.wrong(&need.origin, need.message).help(match need.help {
            Help::List => format!("write `overlays = {list:?}`"),
            Help::Choose(what) => what,
        });
    }
}

/// Overlays that stand before what they require, or without it.
fn before(recipe: &Recipe, overlays: &[Rc<Overlay>]) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut there = BTreeSet::new();
    for name in &recipe.overlays {
        if let Some(overlay) = overlays.iter().find(|overlay| overlay.name == name.value) {
            let missing: Vec<&str> = overlay
                .requires
                .iter()
                .map(|required| required.value.as_str())
                .filter(|required| !there.contains(required))
                .collect();
            if !missing.is_empty() {
                let needed = crate::nearest::quoted(&missing);
                needs.push(Need {
                    origin: name.origin.clone(),
                    message: format!("overlay `{}` needs {needed} before it", name.value),
                    help: Help::List,
                });
            }
        }
        there.insert(name.value.as_str());
    }
    needs
}

/// The capabilities that none of a recipe's overlays provides and that something of it needs: for each, the first that does, and
/// what is said of that.
fn wanted(
    recipe: &Recipe,
    overlays: &[Rc<Overlay>],
    bundles: &[Bundle],
) -> Vec<(Capability, Origin, String)> {
    let has = |capability| overlays.iter().any(|overlay| overlay.provides.has(capability));
    let service = |of: fn(&Service) -> Option<Origin>, capability, what: &str| {
        let first = recipe
            .services
            .iter()
            .find_map(|service| Some((service, of(service)?)))?;
        let what = format!("service `{}` {what}needs", first.0.name);
        Some((capability, first.1, what))
    };
    let zim = || {
        let bundle = bundles.iter().find(|bundle| bundle.kind == BundleKind::Zim)?;
        let listed = recipe.bundles.iter().find(|listed| listed.value == bundle.name)?;
        let what = format!("bundle `{}` has ZIM archives and needs", bundle.name);
        // Without pages there is nothing from which an archive could be opened.
        has(Capability::Portal).then(|| (Capability::Zim, listed.origin.clone(), what))
    };
    let app = |service: &Service| service.app().map(|_| service.origin.clone());
    let step = |service: &Service| service.first_boot.as_ref().map(|step| step.origin.clone());
    [
        service(|service| Some(service.origin.clone()), Capability::Services, ""),
        service(app, Capability::YunoHost, "is an app of YunoHost and "),
        service(step, Capability::FirstBoot, "has a step of first boot and "),
        zim(),
    ]
    .into_iter()
    .flatten()
    .filter(|(capability, ..)| !has(*capability))
    .collect()
}

/// These overlays, each after those that it requires, which are added where they are missing.
fn in_order(offers: &[Offer], names: impl Iterator<Item = String>) -> Vec<String> {
    let mut list = Vec::new();
    let mut seen = BTreeSet::new();
    for name in names {
        add(offers, &name, &mut seen, &mut list);
    }
    list
}

/// Each overlay is gone into once, so a circle ends.
fn add(offers: &[Offer], name: &str, seen: &mut BTreeSet<String>, list: &mut Vec<String>) {
    if !seen.insert(name.to_owned()) {
        return;
    }
    let offer = offers.iter().find(|offer| offer.name == name);
    for required in offer.iter().flat_map(|offer| &offer.requires) {
        add(offers, required, seen, list);
    }
    list.push(name.to_owned());
}

fn either(names: &[&str], quote: char) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{quote}{name}{quote}")).collect();
    quoted.join(" or ")
}
