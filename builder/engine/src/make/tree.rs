//! The layers that make a tree: packages of each part, then files, units and commands. Each one's result is taken up from the
//! store, or made in a sandbox.
//!
//! ```text
//! base ─▶ recipe ─▶ board ─▶ customize
//! what every     the recipe's   kernel, firmware,   files, units, initramfs,
//! tree has       packages       boot loader         boot loader's commands
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use clic_archive::Part;
use clic_host::{Sha256, Stage};
use clic_recipe::plan::{Preseed, TreeFile, TreeFileKind};
use clic_rootfs::files;
use clic_rootfs::inside::job::{Customize, Done, Job, JobPackage, JobUnit, LayerTar, Packages, Work};
use clic_rootfs::inside::restore;
use clic_rootfs::prefetch::Prefetch;
use clic_store::space::io_error;
use clic_tree::FileTree;

use super::workshop::Workshop;
use super::{Found, Site};
use crate::image::Image;
use crate::inputs::Inputs;
use crate::kept::{Kept, KeptLayer, Stored, Trace};
use crate::kernels::Kernels;
use crate::layer::{Layer, Make};
use crate::secrets::Secrets;

/// The tree's layers so far, and where those are made that the store does not have.
#[derive(Default)]
pub(crate) struct Stages<'a> {
    done: Vec<LayerTar>,
    /// Files that have to be put over them since they are different now.
    changed: Vec<&'a TreeFile>,
    /// What was done for the next one.
    prefetch: Option<Prefetch>,
    /// Once something has to be made.
    workshop: Option<Workshop>,
    /// Where it is made a second time.
    second: Option<Workshop>,
}

impl<'a> Site<'a> {
    /// Has a tree's layer.
    pub(super) fn stage(&mut self, layer: &Layer<'a>, next: Option<&Layer<'a>>) -> Result<()> {
        let progress = self.session.progress;
        // Who builds the same at the same time waits here, and then takes up what we made.
        let _held = self
            .session
            .store
            .lock_saying(&format!("layer-{}", layer.key), || {
                progress.note(format!(
                    "{}: another build is making it: waiting to use its result",
                    layer.title
                ));
            })?;
        let kept = match self.look(layer)? {
            Found::Layer {
                layer: kept,
                changed,
                why,
            } => {
                let stage = progress.stage(&layer.id, &layer.title, &why);
                if self.options.twice && changed.is_empty() {
                    self.compare(layer, &kept.tar.tar, &stage)?;
                }
                stage.finish();
                self.stages.changed = changed;
                kept
            }
            Found::Nothing { why } => {
                let stage = progress.stage(&layer.id, &layer.title, &why);
                let kept = self.make_stage(layer, next, &stage)?;
                self.stages.changed.clear();
                stage.finish();
                kept
            }
        };
        self.kept.note(&layer.id, &layer.inputs)?;
        self.stages.done.push(kept.tar);
        Ok(())
    }

    /// Makes it, while what can be done for the next one is done.
    fn make_stage(
        &mut self,
        layer: &Layer<'a>,
        next: Option<&Layer<'a>>,
        stage: &Stage,
    ) -> Result<KeptLayer> {
        let (image, store) = (self.image, self.session.store);
        let mut workshop = match self.stages.workshop.take() {
            Some(workshop) => workshop,
            None => Workshop::open(image, self.options, self.session, stage)?,
        };
        let next = next.and_then(|next| match next.make {
            Make::Packages(part) => Some(part),
            _ => None,
        });
        let over = &AtomicBool::new(false);
        let dir = workshop.dir().to_owned();
        let (result, prefetch) = std::thread::scope(|scope| {
            let prefetch = next.map(|part| {
                scope.spawn(move || Prefetch::prepare(image.resolution, part, store, &dir, over))
            });
            let result = self.work(layer, &mut workshop, stage);
            over.store(true, Ordering::Relaxed);
            (result, prefetch.map(std::thread::ScopedJoinHandle::join))
        });
        // Without it the next one does it all itself, and says what is wrong.
        self.stages.prefetch = prefetch.and_then(|prefetch| prefetch.ok()?.ok()?);
        self.stages.workshop = Some(workshop);
        let (done, tar) = result?;
        if self.is_to_be_compared(layer)? {
            self.compare(layer, &tar, stage)?;
        }
        let trace = done.read.as_ref().map(|read| Trace {
            files: image
                .regular_files()
                .map(|(file, sha256)| (file.path.clone(), sha256))
                .collect(),
            read: read.iter().cloned().collect(),
        });
        let traced = trace.is_some();
        let kept = self.kept.put(layer.key, &layer.inputs, done, trace, &tar)?;
        if traced {
            self.kept.note_shape(shape_of(layer, image)?.key()?, layer.key)?;
        }
        Ok(kept)
    }

    /// Makes a layer once more, for a comparison. Returns its tar file, which is there until the next time.
    pub(super) fn work_again(&mut self, layer: &Layer<'_>, stage: &Stage) -> Result<PathBuf> {
        let mut workshop = match self.stages.second.take() {
            Some(workshop) => workshop,
            None => Workshop::open(self.image, self.options, self.session, stage)?,
        };
        let result = self.work(layer, &mut workshop, stage);
        self.stages.second = Some(workshop);
        result.map(|(_, tar)| tar)
    }

    fn work(&self, layer: &Layer<'_>, workshop: &mut Workshop, stage: &Stage) -> Result<(Done, PathBuf)> {
        let below = &self.stages.done;
        let dir = workshop.dir();
        let work = match layer.make {
            Make::Packages(part) => Work::Packages(self.packages(part, stage)?),
            Make::Customize => Work::Customize(self.customize(dir)?),
            _ => bail!("{} is not a layer of a tree", layer.id),
        };
        let job = Job {
            root: workshop.root_for(&layer.id, below.len()),
            arch: self.image.plan.arch,
            epoch: self.image.resolution.epoch,
            threads: self.options.threads as usize,
            accel: workshop.accel().cloned(),
            restore: workshop.lacks(below),
            work,
            tar: dir.join("changes.tar"),
            done: dir.join("done.json"),
        };
        workshop.run(&job, below.len(), self.session.log, stage)?;
        let text = std::fs::read(&job.done).map_err(|error| io_error(error, &job.done))?;
        Ok((
            serde_json::from_slice(&text).context("what the sandbox has done")?,
            job.tar,
        ))
    }

    fn packages(&self, part: Part, stage: &Stage) -> Result<Packages> {
        let packages: Vec<_> = self.image.resolution.part(part).collect();
        let downloads: Vec<_> = packages.iter().map(|package| package.download()).collect();
        let prefetch = self
            .stages
            .prefetch
            .as_ref()
            .filter(|prefetch| prefetch.is_of(part));
        let debs = if prefetch.is_some() {
            self.session.store.have_all(&downloads, stage)?
        } else {
            stage.message("verifying packages");
            self.session.store.fetch_all(&downloads, stage)?
        };
        let new = packages.into_iter().zip(debs).map(|(package, deb)| JobPackage {
            name: package.name.clone(),
            deb: prefetch
                .and_then(|prefetch| prefetch.deb(&package.name))
                .map_or(deb, Path::to_owned),
            installed_size: package.installed_size,
        });
        Ok(Packages {
            base: part == Part::Base,
            new: new.collect(),
            preseeds: preseeds(self.image, part),
        })
    }

    fn customize(&self, dir: &Path) -> Result<Customize> {
        let image = self.image;
        let packed = dir.join("files.tar");
        files::pack(&image.files, image.resolution.epoch, &packed)?;
        let units = image.plan.units.iter().map(|unit| JobUnit {
            name: unit.name.clone(),
            state: unit.state,
            from: unit.from.clone(),
            place: image.plan.place_of_unit(&unit.name),
        });
        Ok(Customize {
            files: packed,
            watch: image.regular_files().map(|(file, _)| file.path.clone()).collect(),
            secrets: secrets(image)?
                .patterns()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            units: units.collect(),
            kernel: Kernels::of(image.resolution).map(|kernels| kernels.first),
            commands: image.commands.clone(),
        })
    }

    /// The tree that its layers make.
    pub(super) fn put_together(&mut self) -> Result<()> {
        self.tree = restore::read(&self.stages.done)?;
        for file in &self.stages.changed {
            let TreeFileKind::File(content) = &file.kind else {
                continue;
            };
            self.tree.write_file(&file.path, content.data.read()?.to_vec());
        }
        let accel = self.stages.workshop.as_ref().and_then(Workshop::accel);
        self.starts = accel.map(clic_rootfs::accel::Accel::counts).transpose()?;
        if let Some(starts) = &self.starts {
            self.session.progress.note(starts.to_string());
        }
        // A tree is as large as all that comes after it.
        self.stages = Stages::default();
        Ok(())
    }
}

/// The answers for debconf that a part's packages need: those of base packages before these, the rest before the recipe's
/// (or the board's, if the recipe has no packages of its own).
fn preseeds(image: &Image<'_>, part: Part) -> Vec<String> {
    let packages = &image.resolution.packages;
    let has = |part: Part| packages.iter().any(|package| package.part == part);
    let last = [Part::Recipe, Part::Board].into_iter().find(|part| has(*part));
    let of = |preseed: &Preseed| {
        let base = packages
            .iter()
            .any(|package| package.part == Part::Base && package.name == preseed.package);
        if base {
            Part::Base
        } else {
            last.unwrap_or(Part::Base)
        }
    };
    let all = image.plan.preseeds.iter();
    all.filter(|preseed| of(preseed) == part)
        .map(Preseed::to_string)
        .collect()
}

/// What shapes the packages of a part.
pub(super) fn add_packages(inputs: &mut Inputs, image: &Image<'_>, part: Part) {
    for package in image.resolution.part(part) {
        inputs.add_package(package);
    }
    for preseed in preseeds(image, part) {
        inputs.add(format!("preseed {preseed}"), "");
    }
}

/// Whether what regular files contain counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    Counted,
    LeftOut,
}

/// Secrets that each device of this image makes, but for those of services: they come late.
fn secrets(image: &Image<'_>) -> Result<Secrets> {
    Secrets::of_files(&image.files)
}

/// What shapes the last layer of a tree.
pub(super) fn add_files(inputs: &mut Inputs, image: &Image<'_>, contents: Contents) -> Result<()> {
    for file in &image.files {
        inputs.add(
            format!("file {} of {}", file.path, file.from),
            shape(file, contents),
        );
    }
    for unit in &image.plan.units {
        inputs.add(format!("unit {}", unit.name), format!("{:?}", unit.state));
    }
    if let Some(kernels) = Kernels::of(image.resolution) {
        inputs.add("kernel that starts", kernels.first);
    }
    for (number, command) in image.commands.iter().enumerate() {
        inputs.add(format!("command {number}"), command.join("\u{0}"));
    }
    for pattern in secrets(image)?.patterns() {
        inputs.add(format!("secret {pattern}"), "");
    }
    Ok(())
}

/// What shapes the last layer of a tree, but for the contents of files.
fn shape_of(layer: &Layer<'_>, image: &Image<'_>) -> Result<Inputs> {
    let mut shape = layer.inputs.below();
    add_files(&mut shape, image, Contents::LeftOut)?;
    Ok(shape)
}

/// Everything of a file that shapes a tree.
pub(super) fn shape(file: &TreeFile, contents: Contents) -> String {
    let kind = match &file.kind {
        TreeFileKind::File(content) if contents == Contents::Counted => content.sha256.to_string(),
        TreeFileKind::File(_) => "file".into(),
        TreeFileKind::Directory => "directory".into(),
        TreeFileKind::Symlink(target) => format!("-> {target}"),
    };
    format!("{kind} {:04o} {}:{}", file.mode, file.owner, file.group)
}

/// A layer that was made with other contents of some files, none of which anything read; and those files.
pub(super) fn unread<'a>(
    layer: &Layer<'_>,
    image: &'a Image<'_>,
    kept: &Kept<'_>,
) -> Result<Option<(KeptLayer, Vec<&'a TreeFile>)>> {
    for key in kept.of_shape(shape_of(layer, image)?.key()?)? {
        let Stored::Whole(found) = kept.get(key)? else {
            continue;
        };
        let Some(trace) = &found.trace else { continue };
        let now: BTreeMap<&str, Sha256> = image
            .regular_files()
            .map(|(file, sha256)| (file.path.as_str(), sha256))
            .collect();
        let is_same = |path: &str| trace.files.get(path) == now.get(path);
        if !trace.read.iter().all(|path| is_same(path)) {
            continue;
        }
        let changed: Vec<&TreeFile> = image
            .regular_files()
            .map(|(file, _)| file)
            .filter(|file| !is_same(&file.path))
            .collect();
        // What a command has replaced without reading it is not ours to replace.
        let tree = FileTree::read(&found.tar.tar)?;
        let as_placed = |file: &&TreeFile| -> Result<bool> {
            let there = tree.content(&file.path)?;
            Ok(there.is_some_and(|bytes| trace.files.get(&file.path) == Some(&Sha256::of(bytes))))
        };
        let placed = changed.iter().map(as_placed).collect::<Result<Vec<bool>>>()?;
        if placed.into_iter().all(|same| same) {
            return Ok(Some((found, changed)));
        }
    }
    Ok(None)
}
