//! From a plan to exact packages: by the lock beside the recipe if it fits, else by asking the mirror.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clic_archive::{Lock, Mirrors, Pins, Resolution, ResolveOptions};
use clic_debian::date::show as show_date;
use clic_host::{UserError, figures};
use clic_recipe::{Plan, Tree};
use clic_store::Session;

/// The lock file of a recipe on a board, whether it is there or not.
#[derive(Clone, Debug)]
pub struct LockFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its name for people: `recipes/minimal-x86-pc.lock`.
    pub shown: PathBuf,
    /// What makes it: `clic lock minimal --board x86-pc`.
    pub command: String,
    /// The recipe's name.
    recipe: String,
}

impl LockFile {
    /// Beside the recipe. `recipe` and `board` as they were asked for.
    ///
    /// Errors: it is a symbolic link, which could leave the tree.
    pub fn new(tree: &Tree, recipe: &str, board: &str, plan: &Plan) -> Result<Self> {
        let name = format!("{}-{}.lock", plan.recipe.name, plan.board.name);
        let is_toml = Path::new(recipe).extension().is_some_and(|end| end == "toml");
        let by_path = recipe.contains('/') || is_toml;
        let (path, shown) = if by_path {
            let recipe = Path::new(recipe);
            (tree.beside(recipe, &name)?, recipe.with_file_name(&name))
        } else {
            let shown = Path::new("recipes").join(&name);
            (tree.inside(&shown)?, shown)
        };
        Ok(Self {
            path,
            shown,
            command: format!("clic lock {recipe} --board {board}"),
            recipe: plan.recipe.name.clone(),
        })
    }

    /// The lock, if the file is there. A damaged one is an error.
    pub fn read(&self) -> Result<Option<Lock>> {
        Lock::read(&self.path, &self.shown, &self.command)
    }

    /// What the lock is to the plan.
    pub fn state(&self, plan: &Plan) -> Result<State> {
        Ok(State::of(self.read()?, plan))
    }

    /// The command by which a person confirms the key of a repository.
    pub fn trust_command(&self) -> String {
        format!("{} --trust-key", self.command)
    }

    /// The keys that were confirmed for `sources`: by this lock, whose content is `own`, else by the same recipe's locks for
    /// other boards. A key is confirmed once.
    pub fn pins(&self, own: Option<&Lock>, sources: &[&str]) -> Pins {
        let mut pins = Pins::new(self.trust_command());
        if let Some(lock) = own {
            pins.add(&lock.inputs.sources, &self.shown.display().to_string());
        }
        if sources.iter().any(|source| pins.get(source).is_none()) {
            for (path, shown) in self.siblings() {
                // What is damaged confirms nothing.
                let lock = Lock::read(&path, &shown, &self.command).ok().flatten();
                if let Some(lock) = lock.filter(|lock| lock.inputs.recipe == self.recipe) {
                    pins.add(&lock.inputs.sources, &shown.display().to_string());
                }
            }
        }
        pins
    }

    /// The locks beside this one that may be of the same recipe, sorted by name: where they are, and their names for people.
    fn siblings(&self) -> Vec<(PathBuf, PathBuf)> {
        let dir = match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let start = format!("{}-", self.recipe);
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        // A link could lead to somebody else's word.
        let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        let names = files.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names
            .filter(|name| {
                name.starts_with(&start) && Path::new(name).extension().is_some_and(|end| end == "lock")
            })
            .filter(|name| self.path.file_name().is_none_or(|own| own != name.as_str()))
            .collect();
        names.sort();
        names
            .into_iter()
            .map(|name| (self.path.with_file_name(&name), self.shown.with_file_name(&name)))
            .collect()
    }
}

/// The plan's sources whose keys people confirm.
pub fn open_sources(plan: &Plan) -> Vec<&str> {
    let open = plan.sources.iter().filter(|source| source.open_key().is_some());
    open.map(|source| source.name.as_str()).collect()
}

/// What a lock is to a plan.
#[derive(Debug)]
pub enum State {
    /// There is none.
    Missing,
    /// It is for this plan.
    Fits(Box<Lock>),
    /// It is for another one: what is different, a line each.
    Misfits(Vec<String>),
}

impl State {
    fn of(lock: Option<Lock>, plan: &Plan) -> Self {
        let Some(lock) = lock else {
            return Self::Missing;
        };
        let misfits = lock.misfits(plan);
        if misfits.is_empty() {
            Self::Fits(Box::new(lock))
        } else {
            Self::Misfits(misfits)
        }
    }
}

/// Where a build's packages come from.
#[derive(Debug)]
pub struct Packages {
    file: LockFile,
    state: State,
    pins: Pins,
}

impl Packages {
    /// Looks at the lock file, and at the keys that it confirms. With `locked`, anything but a lock that fits is the request's
    /// fault. Uses no network.
    pub fn find(file: LockFile, plan: &Plan, locked: bool) -> Result<Self> {
        let lock = file.read()?;
        let pins = file.pins(lock.as_ref(), &open_sources(plan));
        pins.check(plan)?;
        let state = State::of(lock, plan);
        let refused = |what: String| Err(UserError::new(what).help(file.command.clone()).into());
        match &state {
            State::Missing if locked => refused(format!("--locked: there is no {}", file.shown.display())),
            State::Misfits(misfits) if locked => refused(format!(
                "--locked: {} does not fit\n    {}",
                file.shown.display(),
                misfits.join("\n    ")
            )),
            _ => Ok(Self { file, state, pins }),
        }
    }

    /// The lock, if it fits.
    pub fn lock(&self) -> Option<&Lock> {
        match &self.state {
            State::Fits(lock) => Some(lock),
            _ => None,
        }
    }

    /// What the lock is to the plan, in a line for people.
    pub fn describe(&self) -> String {
        let shown = self.file.shown.display();
        match &self.state {
            State::Missing => format!("none ({} would make {shown})", self.file.command),
            State::Fits(lock) => fits(&self.file, lock),
            State::Misfits(misfits) => format!("{shown} does not fit: {}", misfits.join("; ")),
        }
    }

    /// The exact packages: those of the lock, or those that apt chooses now.
    pub fn resolve(&self, plan: &Plan, mirrors: &Mirrors, session: Session<'_>) -> Result<Resolution> {
        let progress = session.progress;
        let mut options = ResolveOptions::from_env()?;
        options.pins = self.pins.clone();
        match &self.state {
            State::Fits(lock) => {
                let stage = progress.stage("resolve", "Resolve packages", &fits(&self.file, lock));
                let update = format!("{} --update", self.file.command);
                let resolution = lock.resolution(plan, mirrors, options.epoch, &update)?;
                stage.finish();
                return Ok(resolution);
            }
            State::Misfits(misfits) => {
                let shown = self.file.shown.display();
                options.why = Some(format!("{shown} does not fit: {}", misfits.join("; ")));
                progress.note(format!(
                    "{shown} does not fit and is not changed; `{}` updates it",
                    self.file.command
                ));
            }
            State::Missing => {}
        }
        clic_archive::resolve(plan, mirrors, &options, session)
    }
}

fn fits(file: &LockFile, lock: &Lock) -> String {
    format!(
        "{} fits: {} as of {}",
        file.shown.display(),
        figures::counted(lock.packages.len() as u64, "package"),
        show_date(lock.epoch)
    )
}
