//! Recipes: the chain of `extends`, merged into one.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::board::{all_components, components, known_suite, packages};
use crate::checker::Checker;
use crate::disk::FREE_LEAST;
use crate::plan::{Named, Service};
use crate::raw::{RawRecipe, RawValue};
use crate::service;
use crate::size;
use crate::source::{Origin, Sited};
use crate::sources::{self, Source};

/// Most free inodes that a recipe can ask for: ext4 counts them in 32 bits.
const MOST_INODES: u64 = 4_000_000_000;

/// A recipe with everything that it inherits, every value checked that does not need a board or an overlay.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) named: Named,
    /// Where the recipe itself starts, for errors about something that it does not say.
    pub(crate) origin: Origin,
    pub(crate) suite: Option<Sited<String>>,
    pub(crate) boards: Vec<Sited<String>>,
    pub(crate) overlays: Vec<Sited<String>>,
    pub(crate) bundles: Vec<Sited<String>>,
    pub(crate) packages: Vec<Sited<String>>,
    /// Beside the board's, sorted, `main` first.
    pub(crate) components: Vec<String>,
    pub(crate) sources: Vec<Source>,
    pub(crate) services: Vec<Service>,
    /// Bytes.
    pub(crate) free: Option<u64>,
    /// Bytes.
    pub(crate) size: Option<Sited<u64>>,
    pub(crate) inodes: Option<u64>,
    /// By overlay: where it is named, and the values by parameter.
    pub(crate) parameters: BTreeMap<String, Settings>,
}

/// What a recipe sets for an overlay.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where the overlay's name is written.
    pub(crate) origin: Origin,
    /// Where each parameter's name is written, and its value.
    pub(crate) values: BTreeMap<String, (Origin, Sited<RawValue>)>,
}

impl Recipe {
    /// Where the recipe sets each parameter of an overlay, by the parameter's name.
    pub(crate) fn set_in(&self, overlay: &str) -> BTreeMap<String, Origin> {
        let settings = self.parameters.get(overlay);
        let values = settings.into_iter().flat_map(|settings| &settings.values);
        values
            .map(|(name, (_, value))| (name.clone(), value.origin.clone()))
            .collect()
    }
}

/// Checks a recipe's own values and puts them on top of its parent's. What cannot be used is left out once it has been told, so that
/// what the recipe names elsewhere is looked at in the same round.
pub(crate) fn check(
    name: &str,
    raw: RawRecipe,
    parent: Option<Rc<Recipe>>,
    checker: &mut Checker<'_>,
) -> Rc<Recipe> {
    checker.title(&raw.title);
    let suite = raw.suite.map(|suite| suite.sited(checker.file));
    if let Some(suite) = &suite {
        known_suite(suite, None, checker.problems);
    }
    let boards = checker.distinct(raw.boards, "board");
    let overlays = checker.distinct(raw.overlays, "overlay");
    let bundles = checker.distinct(raw.bundles, "bundle");
    let packages = packages(raw.packages, checker);
    let components = components(raw.components, checker);
    let sources = sources::check(raw.source, checker);
    let inherited = parent.as_deref().map_or(&[][..], |parent| &parent.services);
    let services = service::check_all(raw.service, inherited, checker);
    let free = raw
        .image
        .free
        .and_then(|free| crate::disk::free_space(&free, checker));
    let size = raw.image.max_size.and_then(|size| {
        let origin = size.origin(checker.file);
        match size::parse_mib(&size.value) {
            Ok(value) if value > FREE_LEAST => return Some(Sited { value, origin }),
            Ok(_) => {
                checker.wrong(&origin, format!("{} is too small for a system", size.value));
            }
            Err(why) => {
                checker.wrong(&origin, why);
            }
        }
        None
    });
    let inodes = raw.image.inodes.map(|inodes| {
        if inodes.value > MOST_INODES {
            checker
                .wrong(&inodes, "ext4 can't have that many inodes")
                .help(format!("at most {MOST_INODES}"));
        }
        inodes.value
    });

    let mut recipe = match parent {
        Some(parent) => Rc::unwrap_or_clone(parent),
        None => Recipe {
            named: Named {
                name: String::new(),
                title: String::new(),
            },
            origin: checker.beginning(),
            suite: None,
            boards: Vec::new(),
            overlays: Vec::new(),
            bundles: Vec::new(),
            packages: Vec::new(),
            components: Vec::new(),
            sources: Vec::new(),
            services: Vec::new(),
            free: None,
            size: None,
            inodes: None,
            parameters: BTreeMap::new(),
        },
    };
    recipe.named = Named {
        name: name.to_owned(),
        title: raw.title.value,
    };
    recipe.origin = checker.beginning();
    recipe.suite = suite.or(recipe.suite);
    append(&mut recipe.boards, boards);
    append(&mut recipe.overlays, overlays);
    append(&mut recipe.bundles, bundles);
    append(&mut recipe.packages, packages);
    recipe.components = all_components(&recipe.components, &components);
    sources::extend(&mut recipe.sources, sources);
    service::extend(&mut recipe.services, services);
    recipe.free = free.or(recipe.free);
    recipe.size = size.or(recipe.size);
    recipe.inodes = inodes.or(recipe.inodes);
    for (overlay, values) in raw.parameters {
        let origin = overlay.origin(checker.file);
        let settings = recipe
            .parameters
            .entry(overlay.value)
            .or_insert_with(|| Settings {
                origin,
                values: BTreeMap::new(),
            });
        for (key, value) in values {
            let origin = key.origin(checker.file);
            settings
                .values
                .insert(key.value, (origin, value.sited(checker.file)));
        }
    }
    Rc::new(recipe)
}

/// Adds what is not there yet: a child may repeat what its parent has.
fn append(list: &mut Vec<Sited<String>>, more: Vec<Sited<String>>) {
    let there: BTreeSet<String> = list.iter().map(|present| present.value.clone()).collect();
    list.extend(more.into_iter().filter(|element| !there.contains(&element.value)));
}
