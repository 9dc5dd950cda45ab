//! Reads recipes, boards, overlays and bundles, each once, and notes what is wrong with them once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use clic_host::{Cancelled, cancel};
use serde::de::DeserializeOwned;

use crate::board::{self, Board};
use crate::bundle;
use crate::checker::Checker;
use crate::debian;
use crate::document;
use crate::nearest::advice;
use crate::overlay::{self, Overlay};
use crate::plan::Bundle;
use crate::raw::{RawBoard, RawBundle, RawOverlay, RawRecipe};
use crate::recipe::{self, Recipe};
use crate::report::{Problem, Problems};
use crate::source::{Origin, Sited, SourceFile};
use crate::sources::AbsentKey;
use crate::tree::{Kind, Tree, read_text};

/// Most recipes that lead from one to the last by `extends`.
const MOST_PARENTS: usize = 16;

/// Everything read so far. `None`: it was tried, and `problems` says what is wrong.
pub(crate) struct Loader<'t> {
    pub(crate) tree: &'t Tree,
    pub(crate) problems: Problems,
    /// Keys of repositories that are not in the tree yet: for each plan that was made, those of its recipe.
    pub(crate) absent_keys: Vec<AbsentKey>,
    recipes: BTreeMap<String, Option<Rc<Recipe>>>,
    boards: BTreeMap<String, Option<Rc<Board>>>,
    overlays: BTreeMap<String, Option<Rc<Overlay>>>,
    bundles: BTreeMap<String, Option<Rc<Bundle>>>,
    /// Recipes, and what extends them, in which values are missing or cannot be used: held against boards and overlays all the same,
    /// but nothing to be listed.
    incomplete: BTreeSet<PathBuf>,
    /// What there is of each kind, once somebody asked.
    names: BTreeMap<Kind, Rc<[String]>>,
}

/// What was asked for on the command line: a name of the tree, or a path.
enum Asked {
    Name(String),
    Path(String, Arc<SourceFile>),
}

impl<'t> Loader<'t> {
    pub(crate) fn new(tree: &'t Tree) -> Self {
        Self {
            tree,
            problems: Problems::default(),
            absent_keys: Vec::new(),
            recipes: BTreeMap::new(),
            boards: BTreeMap::new(),
            overlays: BTreeMap::new(),
            bundles: BTreeMap::new(),
            incomplete: BTreeSet::new(),
            names: BTreeMap::new(),
        }
    }

    /// The recipe that somebody asked for by name or path.
    pub(crate) fn asked_recipe(&mut self, asked: &str) -> Option<Rc<Recipe>> {
        match self.asked(Kind::Recipe, asked)? {
            Asked::Name(name) => self.recipe(&name, &mut Vec::new()),
            Asked::Path(name, file) => self.recipe_file(&name, &file, &mut Vec::new()),
        }
    }

    /// The board that somebody asked for by name or path. True: it is one of the tree's, so that the recipe must name it.
    pub(crate) fn asked_board(&mut self, asked: &str) -> Option<(Rc<Board>, bool)> {
        match self.asked(Kind::Board, asked)? {
            Asked::Name(name) => Some((self.board(&name)?, true)),
            Asked::Path(name, file) => Some((self.board_of(&name, &file)?, false)),
        }
    }

    fn asked(&mut self, kind: Kind, asked: &str) -> Option<Asked> {
        let path = Path::new(asked);
        let is_path = asked.contains('/') || path.extension().is_some_and(|extension| extension == "toml");
        if !is_path {
            if self.tree.has(kind, asked) {
                return Some(Asked::Name(asked.to_owned()));
            }
            let names = self.names(kind);
            self.problems.push(
                Problem::request(format!("there is no {} `{asked}`", kind.one())).help(advice(
                    asked,
                    kind.many(),
                    names.iter().map(String::as_str),
                )),
            );
            return None;
        }
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default()
            .to_owned();
        if let Err(why) = debian::our_name(&name) {
            self.problems.push(
                Problem::file(path, why).help("rename the file: its name becomes a part of file names"),
            );
            return None;
        }
        let read = match self.tree.relative(path) {
            // A path to a file of the tree is the same as its name.
            Some(inside) if inside == kind.file(&name) => return Some(Asked::Name(name)),
            Some(inside) => self.tree.read(&inside),
            None => read_text(path, path),
        };
        match read {
            Ok(file) => Some(Asked::Path(name, file)),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    /// Names of a kind; none if the directory can't be read.
    pub(crate) fn names(&mut self, kind: Kind) -> Rc<[String]> {
        if let Some(names) = self.names.get(&kind) {
            return names.clone();
        }
        let names = self.tree.names(kind).unwrap_or_else(|problem| {
            self.problems.push(problem);
            Vec::new()
        });
        let names: Rc<[String]> = names.into();
        self.names.insert(kind, names.clone());
        names
    }

    /// A recipe by name. `chain`: the recipes that led here by `extends`, with where each says so.
    pub(crate) fn recipe(&mut self, name: &str, chain: &mut Vec<(String, Origin)>) -> Option<Rc<Recipe>> {
        if let Some(recipe) = self.recipes.get(name) {
            return recipe.clone();
        }
        let file = self.read(Kind::Recipe, name);
        let recipe = file.and_then(|file| self.recipe_file(name, &file, chain));
        self.recipes.insert(name.to_owned(), recipe.clone());
        recipe
    }

    fn recipe_file(
        &mut self,
        name: &str,
        file: &Arc<SourceFile>,
        chain: &mut Vec<(String, Origin)>,
    ) -> Option<Rc<Recipe>> {
        let before = self.problems.count();
        let raw = self.parse::<RawRecipe>(file)?;
        let parent = match &raw.extends {
            None => None,
            Some(extends) => {
                let origin = extends.origin(file);
                chain.push((name.to_owned(), origin.clone()));
                let start = chain.iter().position(|(name, _)| *name == extends.value);
                if let Some(start) = start {
                    let cycle: Vec<&str> = chain
                        .iter()
                        .skip(start)
                        .map(|(name, _)| name.as_str())
                        .chain([extends.value.as_str()])
                        .collect();
                    self.problems
                        .wrong(
                            &origin,
                            format!("recipes extend each other in a circle: {}", cycle.join(" -> ")),
                        )
                        .help("remove `extends` from one of them");
                    chain.pop();
                    return None;
                }
                if chain.len() > MOST_PARENTS {
                    self.problems
                        .wrong(
                            &origin,
                            format!("more than {MOST_PARENTS} recipes extend each other"),
                        )
                        .help("put some of them together");
                    chain.pop();
                    return None;
                }
                let known = self.exists(
                    Kind::Recipe,
                    &Sited {
                        value: extends.value.clone(),
                        origin,
                    },
                );
                let parent = known.then(|| self.recipe(&extends.value, chain)).flatten();
                chain.pop();
                if self.incomplete.contains(&parent.as_ref()?.origin.file.name) {
                    self.incomplete.insert(file.name.clone());
                }
                Some(parent?)
            }
        };
        let recipe = recipe::check(name, raw, parent, &mut Checker::new(file, &mut self.problems));
        if self.problems.count() > before {
            self.incomplete.insert(file.name.clone());
        }
        Some(recipe)
    }

    /// A board by name.
    pub(crate) fn board(&mut self, name: &str) -> Option<Rc<Board>> {
        if let Some(board) = self.boards.get(name) {
            return board.clone();
        }
        let board = self
            .read(Kind::Board, name)
            .and_then(|file| self.board_of(name, &file));
        self.boards.insert(name.to_owned(), board.clone());
        board
    }

    fn board_of(&mut self, name: &str, file: &Arc<SourceFile>) -> Option<Rc<Board>> {
        let before = self.problems.count();
        let raw = self.parse::<RawBoard>(file)?;
        let board = board::check(name, raw, &mut Checker::new(file, &mut self.problems));
        board.filter(|_| self.problems.count() == before)
    }

    /// Whether a recipe was read in which values are missing, or cannot be used.
    pub(crate) fn is_incomplete(&self, recipe: &Recipe) -> bool {
        self.incomplete.contains(&recipe.origin.file.name)
    }

    /// Says which parameters of the overlays that were read have no effect, if nothing else is wrong: what is wrong may be where they
    /// are to have it.
    pub(crate) fn tell_idle(&mut self) {
        if self.problems.count() > 0 {
            return;
        }
        for parameter in self.overlays.values().flatten().flat_map(|overlay| &overlay.idle) {
            let name = &parameter.value;
            self.problems
                .wrong(&parameter.origin, format!("nothing reads the parameter `{name}`"))
                .help(format!(
                    "write `{{{{ {name} }}}}` where it has its effect (a file with `template = true`, a preseed, a bake, a check), \
                     or remove it"
                ));
        }
    }

    /// An overlay by name.
    pub(crate) fn overlay(&mut self, name: &str) -> Option<Rc<Overlay>> {
        if let Some(overlay) = self.overlays.get(name) {
            return overlay.clone();
        }
        let before = self.problems.count();
        let overlay = self.read(Kind::Overlay, name).and_then(|file| {
            let raw = self.parse::<RawOverlay>(&file)?;
            let overlay = overlay::check(self.tree, name, raw, &mut Checker::new(&file, &mut self.problems))?;
            // All of them are looked at, so that each is reported.
            let missing = overlay
                .requires
                .iter()
                .filter(|name| !self.exists(Kind::Overlay, name))
                .count();
            (missing == 0 && self.problems.count() == before).then_some(overlay)
        });
        self.overlays.insert(name.to_owned(), overlay.clone());
        overlay
    }

    /// A bundle by name.
    pub(crate) fn bundle(&mut self, name: &str) -> Option<Rc<Bundle>> {
        if let Some(bundle) = self.bundles.get(name) {
            return bundle.clone();
        }
        let bundle = self
            .read(Kind::Bundle, name)
            .and_then(|file| self.bundle_of(name, &file));
        self.bundles.insert(name.to_owned(), bundle.clone());
        bundle
    }

    /// Whether somebody asked us to stop, which is then noted.
    pub(crate) fn cancelled(&mut self) -> bool {
        let cancelled = cancel::requested();
        if cancelled {
            self.problems.push(Problem::request(Cancelled.to_string()));
        }
        cancelled
    }

    /// Whether to look at no further file and plan.
    pub(crate) fn stop(&mut self) -> bool {
        self.cancelled() || self.problems.enough()
    }

    /// The bundle that a text describes.
    pub(crate) fn bundle_of(&mut self, name: &str, file: &Arc<SourceFile>) -> Option<Rc<Bundle>> {
        let before = self.problems.count();
        let raw = self.parse::<RawBundle>(file)?;
        let bundle = bundle::check(self.tree, name, raw, &mut Checker::new(file, &mut self.problems));
        bundle.filter(|_| self.problems.count() == before)
    }

    /// Whether the tree has what a file names; if not, says so at that place.
    pub(crate) fn exists(&mut self, kind: Kind, name: &Sited<String>) -> bool {
        if self.tree.has(kind, &name.value) {
            return true;
        }
        let names = self.names(kind);
        self.problems
            .wrong(&name.origin, format!("unknown {} `{}`", kind.one(), name.value))
            .help(advice(&name.value, kind.many(), names.iter().map(String::as_str)));
        false
    }

    fn read(&mut self, kind: Kind, name: &str) -> Option<Arc<SourceFile>> {
        let relative = kind.file(name);
        if let Err(why) = debian::our_name(name) {
            self.problems
                .push(Problem::file(relative, why).help("rename it: its name becomes a part of file names"));
            return None;
        }
        self.tree
            .read(&relative)
            .map_err(|problem| self.problems.push(problem))
            .ok()
    }

    fn parse<T: DeserializeOwned>(&mut self, file: &Arc<SourceFile>) -> Option<T> {
        document::parse(&mut Checker::new(file, &mut self.problems))
    }
}
