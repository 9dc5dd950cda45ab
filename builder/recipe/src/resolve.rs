//! From a recipe and a board to a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::app;
use crate::board::{Board, all_components};
use crate::draft::Draft;
use crate::first_boot;
use crate::keys::{self, AuthorizedKeys};
use crate::loader::Loader;
use crate::nearest::{advice, quoted};
use crate::overlay::Overlay;
use crate::plan::{
    Bundle, Capability, PackageRequest, PartitionSize, Places, Plan, PlannedOverlay, Service, Value,
};
use crate::recipe::Recipe;
use crate::report::{Problem, Problems, Report};
use crate::service;
use crate::source::Sited;
use crate::sources::AbsentKey;
use crate::template::{self, Source, Surroundings, Values};
use crate::tree::{Kind, Tree};
use crate::{debian, disk, needs, pages, size, sources};

/// What a person chooses beside the recipe and the board.
#[derive(Clone, Debug, Default)]
pub struct ResolveOptions {
    /// Keys that may log in as root.
    pub authorized_keys: Option<AuthorizedKeys>,
}

/// Looks up every name and checks every value. `recipe` and `board` are names of the tree or paths of TOML files.
///
/// Everything that is wrong is in the report, not only the first.
pub fn resolve(tree: &Tree, recipe: &str, board: &str, options: &ResolveOptions) -> Result<Plan, Report> {
    let mut loader = Loader::new(tree);
    let plan = asked(&mut loader, recipe, board, options);
    for key in std::mem::take(&mut loader.absent_keys) {
        loader.problems.push(key.problem(recipe, board));
    }
    finish(loader, plan)
}

/// Resolves where keys of repositories may not be there yet, for who downloads them: those keys, and the plan without the
/// sources that need them.
pub fn resolve_without_keys(
    tree: &Tree,
    recipe: &str,
    board: &str,
    options: &ResolveOptions,
) -> Result<(Plan, Vec<AbsentKey>), Report> {
    let mut loader = Loader::new(tree);
    let plan = asked(&mut loader, recipe, board, options);
    let absent = std::mem::take(&mut loader.absent_keys);
    finish(loader, plan).map(|plan| (plan, absent))
}

fn finish(mut loader: Loader<'_>, plan: Option<Plan>) -> Result<Plan, Report> {
    loader.tell_idle();
    loader.problems.into_result()?;
    plan.ok_or_else(|| Problem::request("the plan could not be made, and no reason was noted").into())
}

fn asked(loader: &mut Loader<'_>, recipe: &str, board: &str, options: &ResolveOptions) -> Option<Plan> {
    let recipe = loader.asked_recipe(recipe);
    let board = loader.asked_board(board);
    let (recipe, (board, of_the_tree)) = (recipe?, board?);
    if of_the_tree && !recipe.boards.iter().any(|name| name.value == board.named.name) {
        let names: Vec<&str> = recipe.boards.iter().map(|name| name.value.as_str()).collect();
        let origin = recipe
            .boards
            .first()
            .map_or(&recipe.origin, |first| &first.origin);
        loader
            .problems
            .wrong(
                origin,
                format!(
                    "recipe `{}` is not for board `{}`",
                    recipe.named.name, board.named.name
                ),
            )
            .help(format!(
                "its boards: {}; add `{}` to `boards` if it should be one",
                quoted(&names),
                board.named.name
            ));
        return None;
    }
    plan(loader, &recipe, &board, options)
}

/// The plan of a recipe on a board. `None` when anything is wrong, which is then in the loader's problems.
pub(crate) fn plan(
    loader: &mut Loader<'_>,
    recipe: &Recipe,
    board: &Board,
    options: &ResolveOptions,
) -> Option<Plan> {
    let before = loader.problems.count();
    let suite = suite(recipe, board, &mut loader.problems);
    let (overlays, whole) = overlays(loader, recipe, suite.as_deref(), board);
    let bundles = bundles(loader, recipe);
    let (tree, problems) = (loader.tree, &mut loader.problems);
    needs::check(tree, recipe, &overlays, whole, &bundles, problems);
    let disk = disk(recipe, board, problems);
    // Where the recipe has none, or one that cannot be, the rest is looked at all the same.
    let suite = suite.or_else(|| board.suites.first().cloned())?;

    let mut draft = draft(recipe, board, &suite, &overlays, problems);
    let mut services = services(tree, recipe, board, &draft.overlays, problems);
    draft.add_units(&services, problems);
    let (authorized_keys, entries) = options
        .authorized_keys
        .as_ref()
        .map(|given| keys::plan(given, problems))
        .unwrap_or_default();
    draft.files.declare(entries, problems);
    let components = all_components(&board.components, &recipe.components);
    let absent = &mut loader.absent_keys;
    let (sources, entries) = sources::plan(tree, &recipe.sources, &suite, &components, absent, problems);
    draft.files.declare(entries, problems);
    let (files, file_places) = draft.files.finish(problems);
    for service in &mut services {
        first_boot::complete(tree, service, &draft.overlays, &files, problems);
    }
    // What runs in the system while it is built may make anything.
    let made = !draft.bakes.is_empty() || services.iter().any(|service| service.app().is_some());
    pages::check(&services, &files, &bundles, made, problems);
    let packages = packages(recipe, board, &overlays, &services);
    if loader.problems.count() > before {
        return None;
    }
    let (units, unit_places) = draft.units.finish();
    Some(Plan {
        recipe: recipe.named.clone(),
        board: board.named.clone(),
        arch: board.arch,
        suite,
        components,
        packages,
        sources,
        preseeds: draft.preseeds.finish(),
        effects: draft.effects,
        files,
        bakes: draft.bakes,
        of_one_run: draft.of_one_run.into_iter().collect(),
        varies: draft.varies,
        checks: draft.checks,
        units,
        overlays: draft.overlays,
        bundles,
        services,
        consoles: board.consoles.clone(),
        disk: disk?,
        boot: board.boot,
        emulate: board.emulate.clone(),
        image_size: recipe.size.as_ref().map(|size| size.value),
        free_inodes: recipe.inodes,
        authorized_keys,
        places: Places {
            recipe: Some(recipe.origin.clone()),
            files: file_places,
            units: unit_places,
        },
    })
}

/// What the overlays bring, each with the values that the recipe gives to its parameters.
fn draft(
    recipe: &Recipe,
    board: &Board,
    suite: &str,
    overlays: &[Rc<Overlay>],
    problems: &mut Problems,
) -> Draft {
    let mut draft = Draft::default();
    for overlay in overlays {
        let Some(parameters) = parameters(recipe, overlay, problems) else {
            continue;
        };
        let values = Values::new(
            &parameters,
            &Surroundings {
                board: &board.named.name,
                arch: board.arch.debian(),
                recipe: &recipe.named.name,
                title: &recipe.named.title,
                suite,
                overlay: &overlay.name,
            },
            recipe.set_in(&overlay.name),
        );
        rules(recipe, overlay, &values, problems);
        draft.add_overlay(overlay, parameters, &values, problems);
    }
    draft
}

/// The recipe's services, held against each other, the overlays and the board.
fn services(
    tree: &Tree,
    recipe: &Recipe,
    board: &Board,
    overlays: &[PlannedOverlay],
    problems: &mut Problems,
) -> Vec<Service> {
    let mut services = recipe.services.clone();
    let on = app::Target {
        arch: board.arch,
        board: &board.named.name,
        emulate: &board.emulate,
    };
    for service in &mut services {
        app::complete(tree, service, overlays, on, problems);
    }
    service::together(&services, board.memory, &board.named.name, problems);
    service::own_paths(&services, overlays, problems);
    services
}

fn suite(recipe: &Recipe, board: &Board, problems: &mut Problems) -> Option<String> {
    let Some(suite) = &recipe.suite else {
        let names = debian::SUITES.map(|suite| suite.name);
        problems
            .wrong(
                &recipe.origin,
                format!("recipe `{}` does not say its suite", recipe.named.name),
            )
            .help(format!("add `suite = \"...\"`; suites: {}", quoted(&names)));
        return None;
    };
    if !debian::SUITES.iter().any(|known| known.name == suite.value) {
        // Told where it was read.
        return None;
    }
    if !board.suites.contains(&suite.value) {
        problems
            .wrong(
                &suite.origin,
                format!("board `{}` can't have suite `{}`", board.named.name, suite.value),
            )
            .help(format!("it can have: {}", quoted(&board.suites)));
        return None;
    }
    Some(suite.value.clone())
}

/// The recipe's overlays in its order, and whether all of them could be read; values only for those that are there.
fn overlays(
    loader: &mut Loader<'_>,
    recipe: &Recipe,
    suite: Option<&str>,
    board: &Board,
) -> (Vec<Rc<Overlay>>, bool) {
    let mut complete = true;
    let mut list: Vec<Rc<Overlay>> = Vec::new();
    for name in &recipe.overlays {
        if loader.cancelled() {
            return (list, false);
        }
        if !loader.exists(Kind::Overlay, name) {
            complete = false;
            continue;
        }
        let Some(overlay) = loader.overlay(&name.value) else {
            complete = false;
            continue;
        };
        twice(name, &overlay, &list, &mut loader.problems);
        overlay
            .only
            .fits(name, recipe, suite, board, &mut loader.problems);
        list.push(overlay);
    }
    let names = || recipe.overlays.iter().map(|overlay| overlay.value.as_str());
    let chosen: BTreeSet<&str> = names().collect();
    for (name, settings) in &recipe.parameters {
        if !chosen.contains(name.as_str()) {
            loader
                .problems
                .wrong(
                    &settings.origin,
                    format!("parameters for `{name}`, but this recipe has no such overlay"),
                )
                .help(advice(name, "overlays of this recipe", names()));
        }
    }
    (list, complete)
}

/// Says what an overlay provides that an earlier one does already.
fn twice(name: &Sited<String>, overlay: &Overlay, earlier: &[Rc<Overlay>], problems: &mut Problems) {
    for capability in Capability::ALL {
        if !overlay.provides.has(capability) {
            continue;
        }
        let both = |other: &&Rc<Overlay>| other.provides.has(capability) && other.name != overlay.name;
        if let Some(other) = earlier.iter().find(both) {
            let (one, two, key) = (&other.name, &overlay.name, capability.key());
            problems
                .wrong(
                    &name.origin,
                    format!("overlays `{one}` and `{two}` both provide `{key}`"),
                )
                .help("leave one of them out of `overlays`");
        }
    }
}

/// The recipe's bundles in its order; those that are wrong are in the problems.
fn bundles(loader: &mut Loader<'_>, recipe: &Recipe) -> Vec<Bundle> {
    let mut list = Vec::new();
    for name in &recipe.bundles {
        if loader.cancelled() {
            break;
        }
        if loader.exists(Kind::Bundle, name) {
            list.extend(loader.bundle(&name.value).map(|bundle| (*bundle).clone()));
        }
    }
    list
}

/// The board's disk with the recipe's free space, if the image can be as small as the recipe wants.
fn disk(recipe: &Recipe, board: &Board, problems: &mut Problems) -> Option<crate::plan::Disk> {
    let mut disk = board.disk.clone();
    if let Some(wanted) = recipe.free {
        for partition in &mut disk.partitions {
            if let PartitionSize::Fit { free } = &mut partition.size {
                *free = wanted;
            }
        }
    }
    let least = disk::least_size(&disk);
    match &recipe.size {
        Some(size) if size.value < least => {
            problems
                .wrong(
                    &size.origin,
                    format!(
                        "an image of {} can't hold the fixed partitions and the free space of board `{}`",
                        size::in_words(size.value),
                        board.named.name
                    ),
                )
                .help(format!(
                    "they take {} without any package; raise `size`, or lower `free`",
                    size::in_words(least)
                ));
            None
        }
        _ => Some(disk),
    }
}

/// Every parameter's final value.
fn parameters(
    recipe: &Recipe,
    overlay: &Overlay,
    problems: &mut Problems,
) -> Option<BTreeMap<String, Value>> {
    let before = problems.count();
    let settings = recipe.parameters.get(&overlay.name);
    let mut values: BTreeMap<String, Value> = overlay
        .parameters
        .iter()
        .filter_map(|(name, parameter)| Some((name.clone(), parameter.default.clone()?)))
        .collect();
    for (name, (origin, value)) in settings.iter().flat_map(|settings| &settings.values) {
        let Some(parameter) = overlay.parameters.get(name) else {
            let names = overlay.parameters.keys().map(String::as_str);
            problems
                .wrong(
                    origin,
                    format!("overlay `{}` has no parameter `{name}`", overlay.name),
                )
                .help(advice(name, "parameters", names));
            continue;
        };
        if let Some(value) = parameter.accept(name, value.value.clone(), &value.origin, problems) {
            values.insert(name.clone(), value);
        }
    }
    for (name, parameter) in &overlay.parameters {
        let set = settings.is_some_and(|settings| settings.values.contains_key(name));
        if parameter.default.is_none() && !set {
            let origin = settings.map(|settings| &settings.origin).or_else(|| {
                recipe
                    .overlays
                    .iter()
                    .find(|listed| listed.value == overlay.name)
                    .map(|listed| &listed.origin)
            });
            problems
                .wrong(
                    origin.unwrap_or(&recipe.origin),
                    format!("parameter `{name}` of overlay `{}` must be set", overlay.name),
                )
                .help(format!(
                    "add `{name} = ...` to `[parameters.{}]`: {}",
                    overlay.name, parameter.description
                ));
        }
    }
    (problems.count() == before).then_some(values)
}

/// Whether the values fit together.
fn rules(recipe: &Recipe, overlay: &Overlay, values: &Values, problems: &mut Problems) {
    for rule in &overlay.rules {
        if template::holds(&rule.must, values, problems) != Some(false) {
            continue;
        }
        let mut fill = |text: &Sited<String>| {
            template::render(Source::Inline(&text.origin, &text.value), values, problems)
        };
        let (message, help) = (fill(&rule.message), rule.help.as_ref().and_then(&mut fill));
        let Some(message) = message else { continue };
        // Where the recipe sets the value; a default that breaks a rule is the overlay's mistake.
        let set = recipe
            .parameters
            .get(&overlay.name)
            .and_then(|settings| settings.values.get(&rule.parameter));
        let problem = Problem::at(set.map_or(&rule.must.origin, |(_, value)| &value.origin), message);
        problems.push(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }
}

/// Sorted, each once, with the place that an error is most useful at: the recipe's own line before others'.
fn packages(
    recipe: &Recipe,
    board: &Board,
    overlays: &[Rc<Overlay>],
    services: &[Service],
) -> Vec<PackageRequest> {
    let mut found: BTreeMap<&str, PackageRequest> = BTreeMap::new();
    let lists = [(&recipe.packages, false), (&board.packages, true)]
        .into_iter()
        .chain(overlays.iter().map(|overlay| (&overlay.packages, false)))
        .chain(
            overlays
                .iter()
                .filter_map(|overlay| Some((overlay.packages_on.get(&board.arch)?, false))),
        );
    for (list, by_board) in lists {
        for package in list {
            let request = found.entry(&package.value).or_insert_with(|| PackageRequest {
                name: package.value.clone(),
                board_only: true,
                origin: package.origin.clone(),
            });
            request.board_only &= by_board;
        }
    }
    for service in services {
        for name in &service.packages {
            let request = found.entry(name).or_insert_with(|| PackageRequest {
                name: name.clone(),
                board_only: true,
                origin: service.origin.clone(),
            });
            request.board_only = false;
        }
    }
    found.into_values().collect()
}
