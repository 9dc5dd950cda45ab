//! What there is in a tree, and whether all of it is valid.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::board::Power;
use crate::loader::Loader;
use crate::overlay::Overlay;
use crate::parameter::ParameterInfo;
use crate::plan::{Arch, Bundle, Capability, Plan};
use crate::report::{Problem, ProblemEntry, Report};
use crate::resolve::{ResolveOptions, plan};
use crate::source::{Sited, SourceFile};
use crate::sources::AbsentKey;
use crate::tree::{Kind, Tree};

/// A recipe, for lists.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct RecipeInfo {
    /// What `clic build` calls it.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Debian suite; none for a recipe that only others build on.
    pub suite: Option<String>,
    /// Boards that it can be built for; none for a recipe that only others build on.
    pub boards: Vec<String>,
    /// Its overlays.
    pub overlays: Vec<String>,
    /// Bytes of its content bundles; none for a recipe with one that can't be read.
    pub content: Option<u64>,
}

/// A board, for lists.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct BoardInfo {
    /// What `--board` calls it.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Debian architecture.
    pub arch: Arch,
    /// Debian suites that it can have.
    pub suites: Vec<String>,
    /// What it draws from its supply, if somebody measured it.
    pub power: Option<Power>,
}

/// An overlay, for lists.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct OverlayInfo {
    /// What `overlays` of a recipe calls it.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// A paragraph for people.
    pub description: String,
    /// Overlays that it needs before it.
    pub requires: Vec<String>,
    /// Its parameters, by name.
    pub parameters: BTreeMap<String, ParameterInfo>,
    /// Debian packages that it brings, on every board.
    pub packages: Vec<String>,
    /// Those that it brings besides, by the board's architecture.
    pub packages_on: BTreeMap<Arch, Vec<String>>,
    /// What the builder and other overlays find in it.
    pub provides: Vec<&'static str>,
}

impl OverlayInfo {
    fn of(overlay: &Overlay) -> Self {
        let values = |list: &[Sited<String>]| list.iter().map(|name| name.value.clone()).collect();
        let parameters = overlay.parameters.iter();
        let packages_on = overlay.packages_on.iter();
        let capabilities = Capability::ALL.into_iter();
        Self {
            name: overlay.name.clone(),
            title: overlay.title.clone(),
            description: overlay.description.clone(),
            requires: values(&overlay.requires),
            parameters: parameters
                .map(|(name, parameter)| (name.clone(), parameter.info()))
                .collect(),
            packages: values(&overlay.packages),
            packages_on: packages_on.map(|(arch, names)| (*arch, values(names))).collect(),
            provides: capabilities
                .filter(|capability| overlay.provides.has(*capability))
                .map(Capability::key)
                .collect(),
        }
    }
}

impl Tree {
    /// All recipes that can be read, sorted by name, and a report if others can't.
    pub fn recipes(&self) -> (Vec<RecipeInfo>, Result<(), Report>) {
        let mut loader = Loader::new(self);
        let mut list = Vec::new();
        for name in loader.names(Kind::Recipe).iter().cloned() {
            let recipe = loader.recipe(&name, &mut Vec::new());
            let whole = recipe.filter(|recipe| !loader.is_incomplete(recipe));
            list.extend(whole.map(|recipe| {
                let sizes = recipe.bundles.iter().map(|bundle| {
                    let known = self.has(Kind::Bundle, &bundle.value);
                    known
                        .then(|| loader.bundle(&bundle.value))?
                        .map(|bundle| bundle.size())
                });
                RecipeInfo {
                    content: sizes.sum(),
                    name,
                    title: recipe.named.title.clone(),
                    suite: recipe.suite.as_ref().map(|suite| suite.value.clone()),
                    boards: recipe.boards.iter().map(|board| board.value.clone()).collect(),
                    overlays: recipe
                        .overlays
                        .iter()
                        .map(|overlay| overlay.value.clone())
                        .collect(),
                }
            }));
        }
        (list, loader.problems.into_result())
    }

    /// All boards that can be read, sorted by name, and a report if others can't.
    pub fn boards(&self) -> (Vec<BoardInfo>, Result<(), Report>) {
        let mut loader = Loader::new(self);
        let mut list = Vec::new();
        for name in loader.names(Kind::Board).iter().cloned() {
            list.extend(loader.board(&name).map(|board| BoardInfo {
                name,
                title: board.named.title.clone(),
                arch: board.arch,
                suites: board.suites.clone(),
                power: board.power.clone(),
            }));
        }
        (list, loader.problems.into_result())
    }

    /// All bundles that can be read, sorted by name, and a report if others can't.
    pub fn bundles(&self) -> (Vec<Bundle>, Result<(), Report>) {
        let mut loader = Loader::new(self);
        let mut list = Vec::new();
        for name in loader.names(Kind::Bundle).iter() {
            list.extend(loader.bundle(name).map(|bundle| (*bundle).clone()));
        }
        (list, loader.problems.into_result())
    }

    /// Names of all bundles, whether they can be read or not, sorted, and a report of what can be none.
    pub fn bundle_names(&self) -> (Vec<String>, Result<(), Report>) {
        let mut loader = Loader::new(self);
        let names = loader.names(Kind::Bundle).to_vec();
        (names, loader.problems.into_result())
    }

    /// One bundle, whatever else lies beside it. Nothing, if there is none of this name.
    pub fn bundle(&self, name: &str) -> Result<Option<Bundle>, Report> {
        let mut loader = Loader::new(self);
        if !self.has(Kind::Bundle, name) {
            return Ok(None);
        }
        let bundle = loader.bundle(name).map(|bundle| (*bundle).clone());
        loader.problems.into_result().map(|()| bundle)
    }

    /// Whether `text` describes a bundle, before it is written: what it names beside it is there already.
    pub fn check_bundle(&self, name: &str, text: &str) -> Result<(), Report> {
        let mut loader = Loader::new(self);
        let shown = format!(
            "{} (as it would be; nothing was written)",
            Kind::Bundle.file(name).display()
        );
        loader.bundle_of(name, &SourceFile::new(shown, text));
        loader.problems.into_result()
    }

    /// All overlays that can be read, sorted by name, and a report if others can't.
    pub fn overlays(&self) -> (Vec<OverlayInfo>, Result<(), Report>) {
        let mut loader = Loader::new(self);
        let mut list = Vec::new();
        for name in loader.names(Kind::Overlay).iter() {
            list.extend(loader.overlay(name).map(|overlay| OverlayInfo::of(&overlay)));
        }
        (list, loader.problems.into_result())
    }

    /// One overlay, whatever else lies beside it. Nothing, if there is none of this name.
    pub fn overlay(&self, name: &str) -> Result<Option<OverlayInfo>, Report> {
        let mut loader = Loader::new(self);
        if !self.has(Kind::Overlay, name) {
            return Ok(None);
        }
        let overlay = loader.overlay(name).map(|overlay| OverlayInfo::of(&overlay));
        loader.problems.into_result().map(|()| overlay)
    }
}

/// What [`check`] found valid.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Checked {
    /// Files read, relative to the tree, sorted.
    pub files: Vec<PathBuf>,
    /// Plans that were made: recipe and board.
    pub plans: Vec<(String, String)>,
    /// Keys of repositories that somebody has to confirm before a recipe can be built: that is not wrong.
    pub keys: Vec<ProblemEntry>,
}

/// Checks one recipe with each of its boards, or everything that is in the tree, used or not. Everything that is
/// wrong is in the report.
pub fn check(tree: &Tree, recipe: Option<&str>) -> Result<Checked, Report> {
    check_with(tree, recipe, &|_| Vec::new())
}

/// Like [`check`]; and what `refused` says of a plan is wrong, too.
pub fn check_with(
    tree: &Tree,
    recipe: Option<&str>,
    refused: &dyn Fn(&Plan) -> Vec<Problem>,
) -> Result<Checked, Report> {
    let mut loader = Loader::new(tree);
    let mut files = Vec::new();
    let mut recipes = Vec::new();
    if let Some(asked) = recipe {
        if let Some(recipe) = loader.asked_recipe(asked) {
            let overlays = recipe
                .overlays
                .iter()
                .map(|overlay| Kind::Overlay.file(&overlay.value));
            let boards = recipe.boards.iter().map(|board| Kind::Board.file(&board.value));
            let bundles = recipe
                .bundles
                .iter()
                .map(|bundle| Kind::Bundle.file(&bundle.value));
            files.extend(
                overlays
                    .chain(boards)
                    .chain(bundles)
                    .chain([recipe.origin.file.name.clone()]),
            );
            if recipe.boards.is_empty() {
                loader
                    .problems
                    .wrong(
                        &recipe.origin,
                        format!("recipe `{}` is for no board", recipe.named.name),
                    )
                    .help("add `boards = [...]`");
            }
            recipes.push(recipe);
        }
    } else {
        for kind in [Kind::Recipe, Kind::Board, Kind::Overlay, Kind::Bundle] {
            for name in loader.names(kind).iter() {
                if loader.stop() {
                    break;
                }
                files.push(kind.file(name));
                match kind {
                    Kind::Recipe => recipes.extend(loader.recipe(name, &mut Vec::new())),
                    Kind::Board => drop(loader.board(name)),
                    Kind::Overlay => drop(loader.overlay(name)),
                    Kind::Bundle => drop(loader.bundle(name)),
                }
            }
        }
    }
    let mut plans = Vec::new();
    let mut keys: Vec<ProblemEntry> = Vec::new();
    for recipe in recipes {
        // A recipe without boards is there for others to extend; its overlays are looked at all the same.
        if recipe.boards.is_empty() {
            for overlay in &recipe.overlays {
                loader.exists(Kind::Overlay, overlay);
            }
        }
        for name in &recipe.boards {
            if loader.stop() {
                break;
            }
            if !loader.exists(Kind::Board, name) {
                continue;
            }
            let Some(board) = loader.board(&name.value) else {
                continue;
            };
            let plan: Option<Plan> = plan(&mut loader, &recipe, &board, &ResolveOptions::default());
            if let Some(plan) = plan {
                for problem in refused(&plan) {
                    loader.problems.push(problem);
                }
                plans.push((plan.recipe.name, plan.board.name));
            }
            // The first board's stand for those of all.
            let absent = std::mem::take(&mut loader.absent_keys);
            if recipe
                .boards
                .first()
                .is_some_and(|first| first.value == name.value)
            {
                let note = |key: AbsentKey| key.problem(&recipe.named.name, &name.value).entry();
                keys.extend(absent.into_iter().map(note));
            }
        }
    }
    loader.tell_idle();
    loader.problems.into_result()?;
    files.sort();
    files.dedup();
    Ok(Checked { files, plans, keys })
}
