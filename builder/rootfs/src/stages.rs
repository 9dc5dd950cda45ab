//! Goes through a tree's stages: each one's result is taken up from the store, or made in a sandbox.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow};
use clic_host::{Log, Progress, Stage, Unit, UserError};
use clic_recipe::plan::{TreeFile, TreeFileKind};
use clic_store::space::io_error;
use clic_store::{NoSpace, Scratch, Store, space};
use serde::Serialize;

use crate::accel::{Accel, Counts, same_version};
use crate::ahead::Ahead;
use crate::inside::job::{Customize, Done, Job, JobPackage, JobUnit, LayerTar, Packages, Work};
use crate::inside::restore;
use crate::inside::say::{self, Said};
use crate::layers::{Last, Layer, Layers, Trace};
use crate::parts::Part;
use crate::steps::{Kind, Step, preseeds, regular_files, steps};
use crate::tree::TreeSpec;
use crate::{Sandbox, files, inside, tools};
use clic_tree::FileTree as TarTree;

/// A tree's stages on their way.
pub struct Stages<'a> {
    spec: &'a TreeSpec<'a>,
    store: &'a Store,
    log: &'a Log,
    progress: &'a Progress,
    layers: Layers<'a>,
    last: Last,
    /// What was done for the next stage.
    ahead: Option<Ahead>,
    /// Where the tree is made, once something has to be.
    work: Option<Workshop>,
}

/// A directory with a tree in it that has the first `stages` stages.
struct Workshop {
    scratch: Scratch,
    sandbox: Sandbox,
    accel: Option<Accel>,
    root: PathBuf,
    stages: usize,
    /// Bytes that the work was expected to need.
    needed: u64,
}

impl<'a> Stages<'a> {
    /// Works out nothing yet.
    pub fn new(
        spec: &'a TreeSpec<'a>,
        store: &'a Store,
        log: &'a Log,
        progress: &'a Progress,
    ) -> Result<Self> {
        let layers = Layers::of(store);
        let last = layers.last(&spec.name())?;
        Ok(Self {
            spec,
            store,
            log,
            progress,
            layers,
            last,
            ahead: None,
            work: None,
        })
    }

    /// Has every stage's layer, and returns the tree that they make; and how programs were started for it, if a foreign
    /// tree's were.
    pub fn run(mut self) -> Result<(TarTree, Option<Counts>)> {
        let mut done: Vec<LayerTar> = Vec::new();
        let mut changed = Vec::new();
        let steps = steps(self.spec)?;
        for (at, step) in steps.iter().enumerate() {
            let (layer, other) = self.step(step, steps.get(at + 1), &done)?;
            done.push(layer.tar);
            changed = other;
        }
        let mut tree = restore::read(&done)?;
        for file in changed {
            let TreeFileKind::File(content) = &file.kind else {
                continue;
            };
            tree.write_file(&file.path, content.data.read()?.to_vec());
        }
        let accel = self.work.as_ref().and_then(|work| work.accel.as_ref());
        let starts = accel.map(Accel::counts).transpose()?;
        Ok((tree, starts))
    }

    /// The layer of a stage, and files that have to be put over it since they are different now.
    fn step(
        &mut self,
        step: &Step,
        next: Option<&Step>,
        below: &[LayerTar],
    ) -> Result<(Layer, Vec<&'a TreeFile>)> {
        let key = step.inputs.key()?;
        // Who builds the same at the same time waits here, and then takes up what we made.
        let _held = self.store.lock_saying(&format!("layer-{key}"), || {
            let what = step.title;
            self.progress.note(format!(
                "{what}: another build is at it: waiting, to take up what it makes"
            ));
        })?;
        let why = match look(self.spec, &self.layers, &self.last, step)? {
            Found::Layer { layer, changed, why } => {
                self.progress.stage(step.id, step.title, &why).finish();
                self.last.note(step.id, &step.inputs)?;
                return Ok((layer, changed));
            }
            Found::Nothing { why } => why,
        };
        let stage = self.progress.stage(step.id, step.title, &why);
        let mut workshop = match self.work.take() {
            Some(workshop) => workshop,
            None => Workshop::open(self.spec, self.store, self.log, &stage)?,
        };
        let next = next.and_then(|next| match next.kind {
            Kind::Packages(part) => Some(part),
            Kind::Customize => None,
        });
        let over = AtomicBool::new(false);
        let (store, resolution, over) = (self.store, self.spec.resolution, &over);
        let dir = workshop.scratch.path().to_owned();
        let (result, ahead) = std::thread::scope(|scope| {
            let ahead =
                next.map(|part| scope.spawn(move || Ahead::prepare(resolution, part, store, &dir, over)));
            let result = self.make(step, below, &mut workshop, &stage);
            over.store(true, Ordering::Relaxed);
            (result, ahead.map(std::thread::ScopedJoinHandle::join))
        });
        // Without it the next stage does it all itself, and says what is wrong.
        self.ahead = ahead.and_then(|ahead| ahead.ok()?.ok()?);
        self.work = Some(workshop);
        let (done, tar) = result?;
        let trace = done.read.as_ref().map(|read| Trace {
            files: regular_files(self.spec)
                .map(|(file, sha256)| (file.path.clone(), sha256.to_owned()))
                .collect(),
            read: read.iter().cloned().collect(),
        });
        let traced = trace.is_some();
        let layer = self.layers.put(&key, &step.inputs, done, trace, &tar)?;
        if traced {
            self.layers.note_shape(&step.shape.key()?, &key)?;
        }
        self.last.note(step.id, &step.inputs)?;
        stage.finish();
        Ok((layer, Vec::new()))
    }

    fn make(
        &self,
        step: &Step,
        below: &[LayerTar],
        workshop: &mut Workshop,
        stage: &Stage,
    ) -> Result<(Done, PathBuf)> {
        let dir = workshop.scratch.path();
        let mut restore = Vec::new();
        if workshop.stages != below.len() {
            workshop.root = dir.join(format!("root-{}", step.id));
            restore = below.to_vec();
        }
        let job = Job {
            root: workshop.root.clone(),
            arch: self.spec.plan.arch,
            epoch: self.spec.resolution.epoch,
            threads: self.spec.threads,
            accel: workshop.accel.clone(),
            restore,
            work: self.work_of(step, dir, stage)?,
            tar: dir.join("changes.tar"),
            done: dir.join("done.json"),
        };
        workshop.run(&job, self.log, stage)?;
        workshop.stages = below.len() + 1;
        let text = std::fs::read(&job.done).map_err(|error| io_error(error, &job.done))?;
        Ok((
            serde_json::from_slice(&text).context("what the sandbox has done")?,
            job.tar,
        ))
    }

    fn work_of(&self, step: &Step, dir: &Path, stage: &Stage) -> Result<Work> {
        let spec = self.spec;
        match step.kind {
            Kind::Packages(part) => {
                let packages: Vec<_> = spec.resolution.part(part).collect();
                let downloads: Vec<_> = packages.iter().map(|package| package.download()).collect();
                let ahead = self.ahead.as_ref().filter(|ahead| ahead.is_of(part));
                let debs = if ahead.is_some() {
                    self.store.have_all(&downloads, stage)?
                } else {
                    stage.message("verifying packages");
                    self.store.fetch_all(&downloads, stage)?
                };
                let new = packages.into_iter().zip(debs).map(|(package, deb)| JobPackage {
                    name: package.name.clone(),
                    deb: ahead
                        .and_then(|ahead| ahead.deb(&package.name))
                        .map_or(deb, Path::to_owned),
                    installed_size: package.installed_size,
                });
                Ok(Work::Packages(Packages {
                    base: part == Part::Base,
                    new: new.collect(),
                    preseeds: preseeds(spec, part),
                }))
            }
            Kind::Customize => {
                let packed = dir.join("files.tar");
                files::pack(spec.files, spec.resolution.epoch, &packed)?;
                let units = spec.plan.units.iter().map(|unit| JobUnit {
                    name: unit.name.clone(),
                    state: unit.state,
                    from: unit.from.clone(),
                });
                Ok(Work::Customize(Customize {
                    files: packed,
                    watch: regular_files(spec).map(|(file, _)| file.path.clone()).collect(),
                    units: units.collect(),
                    commands: spec.commands.to_vec(),
                }))
            }
        }
    }
}

/// What a build would do for a stage.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    /// Short name: `base`.
    pub stage: String,
    /// For people.
    pub title: String,
    /// Whether its result is in the store.
    pub cached: bool,
    /// Why, or why not.
    pub why: String,
}

/// What [`Stages::run`] would find in `store`. Only sizes are looked at, not contents.
pub fn forecast(spec: &TreeSpec<'_>, store: &Store) -> Result<Vec<Forecast>> {
    let layers = Layers::unverified(store);
    let last = layers.last(&spec.name())?;
    let all = steps(spec)?;
    let each = all.iter().map(|step| {
        let (cached, why) = match look(spec, &layers, &last, step)? {
            Found::Layer { why, .. } => (true, why),
            Found::Nothing { why } => (false, why),
        };
        Ok(Forecast {
            stage: step.id.to_owned(),
            title: step.title.to_owned(),
            cached,
            why,
        })
    });
    each.collect()
}

/// What the store has of a stage.
enum Found<'a> {
    /// A result, and the files that have to be put over it since they are different now.
    Layer {
        layer: Layer,
        changed: Vec<&'a TreeFile>,
        why: String,
    },
    Nothing {
        why: String,
    },
}

fn look<'a>(spec: &TreeSpec<'a>, layers: &Layers<'_>, last: &Last, step: &Step) -> Result<Found<'a>> {
    if spec.rebuild {
        return Ok(Found::Nothing {
            why: "--rebuild".into(),
        });
    }
    let mut damaged = false;
    if let Some(layer) = layers.get(&step.inputs.key()?, &mut damaged)? {
        return Ok(Found::Layer {
            layer,
            changed: Vec::new(),
            why: "in the store: nothing that shapes it changed".into(),
        });
    }
    if step.kind == Kind::Customize
        && let Some((layer, changed)) = traced(spec, layers, step)?
    {
        let names: Vec<&str> = changed.iter().map(|file| file.path.as_str()).collect();
        let why = format!(
            "in the store: nothing in it read what changed ({})",
            names.join(", ")
        );
        return Ok(Found::Layer { layer, changed, why });
    }
    Ok(Found::Nothing {
        why: Layers::why(last, step.id, &step.inputs, damaged),
    })
}

/// A layer that was made with other contents of some files, none of which anything read; and those files.
fn traced<'a>(
    spec: &TreeSpec<'a>,
    layers: &Layers<'_>,
    step: &Step,
) -> Result<Option<(Layer, Vec<&'a TreeFile>)>> {
    let shape = step.shape.key()?;
    for key in layers.of_shape(&shape)? {
        let Some(layer) = layers.get(&key, &mut false)? else {
            continue;
        };
        let Some(trace) = &layer.trace else { continue };
        let now: BTreeMap<&str, &str> = regular_files(spec)
            .map(|(file, sha256)| (file.path.as_str(), sha256))
            .collect();
        let is_same = |path: &str| trace.files.get(path).map(String::as_str) == now.get(path).copied();
        if !trace.read.iter().all(|path| is_same(path)) {
            continue;
        }
        let changed: Vec<&TreeFile> = regular_files(spec)
            .map(|(file, _)| file)
            .filter(|file| !is_same(&file.path))
            .collect();
        // What a command has replaced without reading it is not ours to replace.
        let tree = TarTree::read(&layer.tar.tar)?;
        let as_placed = |file: &&TreeFile| -> Result<bool> {
            let there = tree.content(&file.path)?;
            Ok(there.is_some_and(|bytes| trace.files.get(&file.path) == Some(&files::hash(&bytes))))
        };
        if changed
            .iter()
            .map(as_placed)
            .collect::<Result<Vec<bool>>>()?
            .into_iter()
            .all(|same| same)
        {
            return Ok(Some((layer, changed)));
        }
    }
    Ok(None)
}

/// What has a foreign tree's programs run natively. `None` where nothing is emulated, where it is not wanted, and where
/// the host's own table of interpreters is all there is.
fn accelerate(
    spec: &TreeSpec<'_>,
    sandbox: &Sandbox,
    scratch: &Path,
    store: &Store,
    stage: &Stage,
) -> Result<Option<Accel>> {
    let (Some(emulator), Some(host)) = (sandbox.emulator(), clic_debian::arch::host_arch()) else {
        return Ok(None);
    };
    let resolution = spec.resolution;
    if !spec.accelerate || resolution.tools.is_empty() {
        return Ok(None);
    }
    let target = spec.plan.arch;
    let tree = tools::tree(resolution, host, target, store, spec.threads, stage)?;
    let own = scratch.join("accel");
    std::fs::create_dir(&own).map_err(|error| io_error(error, &own))?;
    let same = |name: &str| match (resolution.get(name), resolution.tool(name)) {
        (Some(theirs), Some(ours)) => same_version(&theirs.version, &ours.version),
        (theirs, ours) => theirs.is_none() && ours.is_some(),
    };
    Accel::prepare(&tree, host, target, emulator, &own, same).map(Some)
}

impl Workshop {
    fn open(spec: &TreeSpec<'_>, store: &Store, log: &Log, stage: &Stage) -> Result<Self> {
        let mut sandbox = Sandbox::for_arch(spec.plan.arch)?;
        log.line(&format!("emulator: {}", sandbox.emulation()));
        // The tree and its layers, both with initramfs and databases.
        let needed = spec.resolution.installed_size().saturating_mul(5) / 2;
        space::ensure(store.dir(), needed, "building the tree")?;
        let scratch = store.scratch("tree")?;
        let accel = accelerate(spec, &sandbox, scratch.path(), store, stage)?;
        if let Some(accel) = &accel {
            sandbox = sandbox.registering(accel.registration());
        }
        Ok(Self {
            root: scratch.path().join("root"),
            scratch,
            sandbox,
            accel,
            stages: 0,
            needed,
        })
    }

    /// Does a job inside of the sandbox.
    fn run(&self, job: &Job, log: &Log, stage: &Stage) -> Result<()> {
        let path = self.scratch.path().join("job.json");
        std::fs::write(&path, serde_json::to_vec(job)?).map_err(|error| io_error(error, &path))?;
        let program = std::env::current_exe().context("cannot tell which program this is")?;
        let program = program.to_str().context("this program's path is not UTF-8")?;
        let total = match &job.work {
            Work::Packages(packages) => packages.new.len() as u64,
            Work::Customize(_) => 0,
        };
        if total > 0 {
            stage.total(Unit::Packages, total);
        }
        let failed = RefCell::new(None);
        let step = RefCell::new(None);
        let (mut unpacked, mut configured) = (BTreeSet::new(), BTreeSet::new());
        let result = self
            .sandbox
            .cmd(program)
            .arg(inside::ARGUMENT)
            .arg(&path)
            .logged(log, |line| {
                match say::heard(line) {
                    Some(Said::Unpacked { package }) => {
                        stage.message(format!("unpack {package}"));
                        unpacked.insert(package);
                    }
                    Some(Said::Configuring { package }) => {
                        stage.message(format!("configure {package}"));
                        configured.insert(package);
                    }
                    Some(Said::Step { what }) => {
                        stage.message(&what);
                        *step.borrow_mut() = Some(what);
                    }
                    Some(said @ Said::Failed { .. }) => *failed.borrow_mut() = Some(said),
                    None => return,
                }
                if total > 0 {
                    // Unpacking and configuring are half of a package each.
                    stage.set(((unpacked.len() + configured.len()) as u64 / 2).min(total));
                }
            });
        let Err(error) = result else { return Ok(()) };
        if error.is::<clic_host::Cancelled>() {
            return Err(error);
        }
        let Some(Said::Failed { why, help, no_space }) = failed.into_inner() else {
            return Err(error.context("the sandbox ended before its work was done"));
        };
        let mut error = anyhow!("{why}");
        if no_space {
            error = error.context(NoSpace {
                what: "building the tree".into(),
                dir: self.scratch.path().to_owned(),
                needed: self.needed,
                free: space::free(self.scratch.path()).unwrap_or(0),
            });
        }
        match help {
            Some(help) => Err(UserError::new(why).help(help).into()),
            None => Err(error),
        }
    }
}
