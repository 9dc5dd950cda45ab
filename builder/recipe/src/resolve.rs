//! From a recipe and a board to a plan.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::board::Board;
use crate::keys::{self, AuthorizedKeys};
use crate::loader::Loader;
use crate::nearest::{advice, quoted};
use crate::overlay::{CheckTemplate, Overlay, ProbeTemplate};
use crate::overlay_files::{Entry, EntryKind, EntryPlace};
use crate::plan::{
    Check, Content, Data, PackageRequest, PartitionSize, Plan, PlannedOverlay, Probe, TreeFile, TreeFileKind,
    UnitChange, Value, hex,
};
use crate::recipe::Recipe;
use crate::report::{Problem, Problems, Report};
use crate::source::{Origin, Sited};
use crate::template::{self, Source, Surroundings, Values};
use crate::tree::{Kind, Tree};
use crate::{debian, disk, size};

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
        loader.problems.push(
            Problem::at(
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
            )),
        );
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
    let overlays = overlays(loader, recipe);
    let problems = &mut loader.problems;
    let disk = disk(recipe, board, problems);
    let (suite, overlays) = (suite?, overlays?);

    let mut files = Files::default();
    let mut preseeds = Preseeds::default();
    let mut units: BTreeMap<String, (UnitChange, Origin)> = BTreeMap::new();
    let mut checks = Vec::new();
    let mut planned = Vec::new();
    for overlay in &overlays {
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
                suite: &suite,
                overlay: &overlay.name,
            },
        );
        for preseed in &overlay.preseeds {
            preseeds.add(preseed, &overlay.name, &values, problems);
        }
        for entry in &overlay.entries {
            files.add(entry, &overlay.name, &values, problems);
        }
        for (unit, origin) in &overlay.units {
            add_unit(&mut units, unit, origin, problems);
        }
        checks.extend(
            overlay
                .checks
                .iter()
                .filter_map(|check| fill_check(check, &overlay.name, &values, problems)),
        );
        planned.push(PlannedOverlay {
            name: overlay.name.clone(),
            title: overlay.title.clone(),
            parameters,
        });
    }
    let mut authorized_keys = Vec::new();
    if let Some(given) = &options.authorized_keys {
        let (found, entries) = keys::plan(given, problems);
        authorized_keys = found;
        for (file, origin) in entries {
            files.insert(file, EntryPlace::Declared(origin), problems);
        }
    }
    let files = files.finish(problems);
    let packages = packages(recipe, board, &overlays);
    if problems.count() > before {
        return None;
    }
    Some(Plan {
        recipe: recipe.named.clone(),
        board: board.named.clone(),
        arch: board.arch,
        suite,
        components: board.components.clone(),
        packages,
        preseeds: preseeds.finish(),
        files,
        units: units.into_values().map(|(unit, _)| unit).collect(),
        checks,
        overlays: planned,
        consoles: board.consoles.clone(),
        disk: disk?,
        boot: board.boot,
        emulate: board.emulate.clone(),
        image_size: recipe.size.as_ref().map(|size| size.value),
        free_inodes: recipe.inodes,
        authorized_keys,
    })
}

fn suite(recipe: &Recipe, board: &Board, problems: &mut Problems) -> Option<String> {
    let Some(suite) = &recipe.suite else {
        let names = debian::SUITES.map(|suite| suite.name);
        problems.push(
            Problem::at(
                &recipe.origin,
                format!("recipe `{}` does not say its suite", recipe.named.name),
            )
            .help(format!("add `suite = \"...\"`; suites: {}", quoted(&names))),
        );
        return None;
    };
    if !board.suites.contains(&suite.value) {
        problems.push(
            Problem::at(
                &suite.origin,
                format!("board `{}` can't have suite `{}`", board.named.name, suite.value),
            )
            .help(format!("it can have: {}", quoted(&board.suites))),
        );
        return None;
    }
    Some(suite.value.clone())
}

/// The recipe's overlays in its order, each after those that it requires; values only for those that are there.
fn overlays(loader: &mut Loader<'_>, recipe: &Recipe) -> Option<Vec<Rc<Overlay>>> {
    let before = loader.problems.count();
    let mut complete = true;
    let mut list: Vec<Rc<Overlay>> = Vec::new();
    for name in &recipe.overlays {
        if !loader.exists(Kind::Overlay, name) {
            continue;
        }
        let Some(overlay) = loader.overlay(&name.value) else {
            complete = false;
            continue;
        };
        for required in &overlay.requires {
            if !list.iter().any(|earlier| earlier.name == required.value) {
                loader.problems.push(
                    Problem::at(
                        &name.origin,
                        format!("overlay `{}` needs `{}` before it", name.value, required.value),
                    )
                    .help(format!(
                        "put `{}` before `{}` in `overlays`",
                        required.value, name.value
                    )),
                );
            }
        }
        list.push(overlay);
    }
    for (name, settings) in &recipe.parameters {
        let names = || recipe.overlays.iter().map(|overlay| overlay.value.as_str());
        if !names().any(|overlay| overlay == name) {
            loader.problems.push(
                Problem::at(
                    &settings.origin,
                    format!("parameters for `{name}`, which is no overlay of this recipe"),
                )
                .help(advice(name, "overlays of this recipe", names())),
            );
        }
    }
    (complete && loader.problems.count() == before).then_some(list)
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
            problems.push(
                Problem::at(
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
                )),
            );
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
            problems.push(
                Problem::at(
                    origin,
                    format!("overlay `{}` has no parameter `{name}`", overlay.name),
                )
                .help(advice(name, "parameters", names)),
            );
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
            problems.push(
                Problem::at(
                    origin.unwrap_or(&recipe.origin),
                    format!("parameter `{name}` of overlay `{}` must be set", overlay.name),
                )
                .help(format!(
                    "add `{name} = ...` to `[parameters.{}]`: {}",
                    overlay.name, parameter.description
                )),
            );
        }
    }
    (problems.count() == before).then_some(values)
}

/// Sorted, each once, with the place that an error is most useful at: the recipe's own line before others'.
fn packages(recipe: &Recipe, board: &Board, overlays: &[Rc<Overlay>]) -> Vec<PackageRequest> {
    let mut found: BTreeMap<&str, &Origin> = BTreeMap::new();
    let lists = [&recipe.packages, &board.packages]
        .into_iter()
        .chain(overlays.iter().map(|overlay| &overlay.packages));
    for package in lists.flatten() {
        found.entry(&package.value).or_insert(&package.origin);
    }
    found
        .into_iter()
        .map(|(name, origin)| PackageRequest {
            name: name.to_owned(),
            origin: origin.clone(),
        })
        .collect()
}

fn add_unit(
    units: &mut BTreeMap<String, (UnitChange, Origin)>,
    unit: &UnitChange,
    origin: &Origin,
    problems: &mut Problems,
) {
    if let Some((earlier, first)) = units.get(&unit.name) {
        if earlier.state != unit.state {
            problems.push(
                Problem::at(
                    origin,
                    format!(
                        "overlays `{}` and `{}` disagree about unit `{}`",
                        earlier.from, unit.from, unit.name
                    ),
                )
                .help(format!("the other one is at {first}")),
            );
        }
        return;
    }
    units.insert(unit.name.clone(), (unit.clone(), origin.clone()));
}

/// debconf selections by package and question, each with who asked.
#[derive(Default)]
struct Preseeds(BTreeMap<(String, String), (String, String, Origin)>);

impl Preseeds {
    fn add(&mut self, preseed: &Sited<String>, overlay: &str, values: &Values, problems: &mut Problems) {
        let Some(line) = template::render(Source::Inline(&preseed.origin, &preseed.value), values, problems)
        else {
            return;
        };
        let wrong = |why: String| {
            Problem::at(&preseed.origin, why)
                .help("write `package question type value`, like debconf-set-selections")
        };
        if line.chars().any(char::is_control) {
            return problems.push(wrong("a preseed is one line without tabs".to_owned()));
        }
        let line = line.trim().to_owned();
        let mut words = line.splitn(4, ' ');
        let (Some(package), Some(question), Some(kind)) = (words.next(), words.next(), words.next()) else {
            return problems.push(wrong(format!("`{line}` is not a preseed")));
        };
        if debian::package_name(package).is_err() || question.is_empty() {
            return problems.push(wrong(format!("`{line}` is not a preseed")));
        }
        if !debian::QUESTION_TYPES.contains(&kind) {
            return problems.push(
                Problem::at(
                    &preseed.origin,
                    format!("unknown type of debconf question `{kind}`"),
                )
                .help(advice(kind, "types", debian::QUESTION_TYPES)),
            );
        }
        let key = (package.to_owned(), question.to_owned());
        match self.0.get(&key) {
            Some((other, _, _)) if *other == line => {}
            Some((_, other, first)) => problems.push(
                Problem::at(
                    &preseed.origin,
                    format!("overlays `{other}` and `{overlay}` answer `{question}` differently"),
                )
                .help(format!("the other one is at {first}")),
            ),
            None => {
                self.0
                    .insert(key, (line, overlay.to_owned(), preseed.origin.clone()));
            }
        }
    }

    fn finish(self) -> Vec<String> {
        self.0.into_values().map(|(line, _, _)| line).collect()
    }
}

/// Entries of the tree by path, each with where it was declared.
#[derive(Default)]
struct Files(BTreeMap<String, (TreeFile, EntryPlace)>);

impl Files {
    fn add(&mut self, entry: &Entry, overlay: &str, values: &Values, problems: &mut Problems) {
        let kind = match &entry.kind {
            EntryKind::Plain(content) => TreeFileKind::File(content.clone()),
            EntryKind::Directory => TreeFileKind::Directory,
            EntryKind::Symlink(target) => TreeFileKind::Symlink(target.clone()),
            EntryKind::Template(origin) => match template::render(Source::File(origin), values, problems) {
                Some(text) => TreeFileKind::File(content(text.into_bytes())),
                None => return,
            },
        };
        let file = TreeFile {
            path: entry.path.clone(),
            from: overlay.to_owned(),
            kind,
            mode: entry.mode,
            owner: entry.owner.clone(),
            group: entry.group.clone(),
        };
        self.insert(file, entry.place.clone(), problems);
    }

    fn insert(&mut self, file: TreeFile, place: EntryPlace, problems: &mut Problems) {
        if let Some((earlier, first)) = self.0.get(&file.path) {
            let both_directories = matches!(
                (&earlier.kind, &file.kind),
                (TreeFileKind::Directory, TreeFileKind::Directory)
            );
            let same =
                (earlier.mode, &earlier.owner, &earlier.group) == (file.mode, &file.owner, &file.group);
            if !(both_directories && same) {
                problems.push(clash(&file, &place, earlier, first));
            }
            return;
        }
        self.0.insert(file.path.clone(), (file, place));
    }

    /// Sorted by path, and nothing below something that is no directory.
    fn finish(self, problems: &mut Problems) -> Vec<TreeFile> {
        for (path, (file, place)) in &self.0 {
            let above = path
                .char_indices()
                .filter(|(_, c)| *c == '/')
                .map(|(index, _)| &path[..index]);
            for above in above {
                if let Some((parent, first)) = self.0.get(above)
                    && !matches!(parent.kind, TreeFileKind::Directory)
                {
                    problems.push(clash(file, place, parent, first));
                }
            }
        }
        self.0.into_values().map(|(file, _)| file).collect()
    }
}

/// Two entries that can't both be in one image.
fn clash(file: &TreeFile, place: &EntryPlace, other: &TreeFile, first: &EntryPlace) -> Problem {
    let message = match (file.path == other.path, file.from == other.from) {
        (true, true) => format!("overlay `{}` brings {} twice", file.from, file.path),
        (true, false) => format!(
            "overlays `{}` and `{}` both bring {}",
            other.from, file.from, file.path
        ),
        (false, true) => {
            format!(
                "overlay `{}` brings {} below {}, which is no directory",
                file.from, file.path, other.path
            )
        }
        (false, false) => format!(
            "overlay `{}` brings {} below {}, which overlay `{}` brings and which is no directory",
            file.from, file.path, other.path, other.from
        ),
    };
    place.problem(message).help(format!("the other one is {first}"))
}

/// Bytes in memory as a file's content.
pub(crate) fn content(bytes: Vec<u8>) -> Content {
    Content {
        sha256: hex(&Sha256::digest(&bytes)),
        size: bytes.len() as u64,
        data: Data::Bytes(Arc::from(bytes)),
    }
}

/// A check with its texts filled in.
fn fill_check(
    check: &CheckTemplate,
    overlay: &str,
    values: &Values,
    problems: &mut Problems,
) -> Option<Check> {
    let mut fill =
        |text: &Sited<String>| template::render(Source::Inline(&text.origin, &text.value), values, problems);
    let name = fill(&check.name);
    let contains = match &check.contains {
        None => None,
        Some(text) => Some(fill(text)?),
    };
    let probe = match &check.probe {
        ProbeTemplate::Command { command, exit } => Probe::Command {
            command: fill(command)?,
            exit: *exit,
            contains,
        },
        ProbeTemplate::Unit(unit) => {
            let name = fill(unit)?;
            if let Err(why) = debian::unit_name(&name) {
                problems.push(Problem::at(&unit.origin, why));
                return None;
            }
            Probe::Unit { unit: name }
        }
        ProbeTemplate::Port(port) => Probe::Port {
            port: *port,
            contains,
        },
        ProbeTemplate::File { path, mode } => Probe::File {
            path: fill(path)?,
            contains,
            mode: *mode,
        },
        ProbeTemplate::Http {
            port,
            path,
            host,
            status,
        } => Probe::Http {
            port: *port,
            path: fill(path)?,
            host: match host {
                None => None,
                Some(host) => Some(fill(host)?),
            },
            status: *status,
            contains,
        },
    };
    Some(Check {
        name: name?,
        from: overlay.to_owned(),
        probe,
        timeout: check.timeout,
    })
}
