//! Bakes: what the recipe's overlays do in the running system, one layer for each overlay.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clic_host::{Log, Progress, Stage, UserError};
use clic_image::assemble::assemble;
use clic_image::tree::Tree;
use clic_recipe::Plan;
use clic_recipe::plan::Bake;
use clic_rootfs::bake::{self, Changes};
use clic_rootfs::tarball::{Entry, Kind, TarTree};
use clic_rootfs::{Inputs, Resolution};
use clic_store::Store;
use clic_store::space::io_error;
use clic_vm::AccelChoice;
use clic_vm::bake::{self as machine, seal};

use crate::build::parts::Parts;
use crate::build::secrets::Secrets;

/// Everything that bakes of one image need.
pub struct Bakery<'a> {
    pub plan: &'a Plan,
    pub parts: &'a Parts<'a>,
    pub resolution: &'a Resolution,
    /// Recipe and board.
    pub name: &'a str,
    pub store: &'a Store,
    pub log: &'a Log,
    pub progress: &'a Progress,
    pub rebuild: bool,
    /// Where a copy that boots goes when a step fails.
    pub keep: Option<PathBuf>,
}

impl Bakery<'_> {
    /// Refuses what can't be done, before anything is.
    pub fn check(plan: &Plan, offline: bool) -> Result<()> {
        let Some(step) = plan.bakes.iter().find(|step| step.network && offline) else {
            return Ok(());
        };
        Err(UserError::new(format!(
            "`{}` of {} needs the internet, and --offline keeps it away",
            step.name, step.from
        ))
        .help("build once without --offline: a bake that did not change is not done again")
        .into())
    }

    /// Does them all, one overlay after the other. Returns the image's own files that are others since, or gone: what a step has
    /// made of a file is the step's.
    pub fn bake(&self, tree: &mut TarTree) -> Result<BTreeSet<&str>> {
        let raw = tree.clone();
        let mut inputs = self.inputs()?;
        for steps in self.plan.bakes.chunk_by(|one, other| one.from == other.from) {
            for step in steps {
                inputs.add(
                    format!("step {} of {}", step.name, step.from),
                    serde_json::to_string(step)?,
                );
            }
            let bake = bake::Bake {
                name: self.name,
                from: &steps[0].from,
                inputs: &inputs,
                rebuild: self.rebuild,
                epoch: self.resolution.epoch,
            };
            bake::lay(&bake, tree, self.store, self.progress, |before, stage| {
                self.one(&steps.iter().collect::<Vec<_>>(), before, stage)
            })?;
        }
        let mut changed = BTreeSet::new();
        for file in &self.parts.files {
            if differs(&raw, tree, &file.path)? {
                changed.insert(file.path.as_str());
            }
        }
        Ok(changed)
    }

    /// What shapes every bake: the tree, and who bakes.
    fn inputs(&self) -> Result<Inputs> {
        let mut inputs = Inputs::default();
        inputs.add("clic's engine", clic_rootfs::ENGINE);
        inputs.add("clic's seal", seal::VERSION.to_string());
        inputs.add("date of the archive", self.resolution.epoch.to_string());
        for package in &self.resolution.packages {
            inputs.add_package(package);
        }
        for file in &self.parts.files {
            inputs.add(format!("file {}", file.path), serde_json::to_string(file)?);
        }
        inputs.add("units", serde_json::to_string(&self.plan.units)?);
        inputs.add(
            "answers to packages' questions",
            serde_json::to_string(&self.plan.preseeds)?,
        );
        Ok(inputs)
    }

    fn one(&self, steps: &[&Bake], before: &TarTree, stage: &Stage) -> Result<Changes> {
        let scratch = self.store.scratch("bake")?;
        let path = scratch.path().join("image.img");
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| io_error(error, &path))?;
        let mut tree = before.clone();
        tree.clamp(self.resolution.epoch);
        let tree = Tree::from_root(&tree)?;
        assemble(
            self.plan,
            &self.parts.ids,
            &tree,
            self.parts.epoch,
            &file,
            "to be started",
            self.progress,
        )?;
        let options = machine::Options {
            epoch: self.parts.epoch,
            accel: AccelChoice::Auto,
            keep: self.keep.as_deref(),
        };
        let baked = machine::bake(&path, steps, &options, self.store, self.log, stage)?;
        changes(before, &baked.tar, &baked.paths)
    }
}

/// Whether what is at `path` is something else in another tree.
fn differs(one: &TarTree, other: &TarTree, path: &str) -> Result<bool> {
    let (Some(before), Some(after)) = (one.get(path), other.get(path)) else {
        return Ok(one.get(path).is_some() != other.get(path).is_some());
    };
    let looks = |entry: &Entry| (entry.mode, entry.uid, entry.gid);
    let same_kind = match (&before.kind, &after.kind) {
        // Numbers of contents are each tree's own.
        (Kind::File(_), Kind::File(_)) => one.content(path)? == other.content(path)?,
        (before, after) => before == after,
    };
    Ok(!same_kind || looks(before) != looks(after))
}

/// What a bake changed, without what belongs to one run or one device, and without secrets that each device makes.
fn changes(before: &TarTree, tar: &Path, paths: &Path) -> Result<Changes> {
    let mut tree = TarTree::read(tar).context("what the bake changed")?;
    let secrets = Secrets::declared([before, &tree])?;
    let stays = |path: &[u8]| {
        let path = String::from_utf8_lossy(path);
        seal::stays(&path) || secrets.has(&path)
    };
    let found: Vec<Vec<u8>> = tree.paths().map(<[u8]>::to_vec).collect();
    for path in found {
        if stays(&path) {
            tree.remove(&path);
        }
    }
    let there = std::fs::read(paths).map_err(|error| io_error(error, paths))?;
    let there: BTreeSet<&[u8]> = there
        .split(|byte| *byte == 0)
        .map(|path| path.strip_prefix(b"./").unwrap_or(path))
        .collect();
    let gone = |path: &&[u8]| !there.contains(path) && !stays(path);
    let removed = before.paths().filter(gone).map(<[u8]>::to_vec).collect();
    Ok(Changes { tree, removed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_comes_out_and_what_a_run_leaves_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (tar, paths) = (dir.path().join("tar"), dir.path().join("paths"));
        let mut before = TarTree::default();
        for path in ["/etc/kept", "/etc/gone", "/var/log/gone"] {
            before.write_file(path, b"old".to_vec());
        }
        let step = b"title = 'pads'\nsecrets = ['/etc/pads/*.key']\n";
        before.write_file("/usr/lib/clic/first-boot.d/50-pads.toml", step.to_vec());
        // An empty one keeps its place.
        before.write_file("/etc/pads/a.key", Vec::new());
        let mut after = TarTree::default();
        for path in ["/etc/new", "/var/log/new", "/etc/machine-id", "/etc/pads/a.key", "/etc/pads/b.key"] {
            after.write_file(path, b"new".to_vec());
        }
        after.write(&tar, 7).unwrap();
        let gone = ["etc/gone", "var/log/gone", "etc/pads/a.key"].map(str::as_bytes);
        let mut there = b".\0".to_vec();
        for path in before.paths().filter(|path| !gone.contains(path)) {
            there.extend([b"./", path, b"\0"].concat());
        }
        std::fs::write(&paths, there).unwrap();
        let changes = changes(&before, &tar, &paths).unwrap();
        let new: Vec<&[u8]> = changes.tree.paths().collect();
        assert!(new.contains(&&b"etc/new"[..]), "{new:?}");
        assert!(
            !new.iter()
                .any(|path| path.starts_with(b"var/log/new") || path.ends_with(b".key") || *path == b"etc/machine-id")
        );
        assert_eq!(changes.removed, [b"etc/gone".to_vec()]);
    }

    #[test]
    fn a_file_that_is_another_now_is_told() {
        let mut before = TarTree::default();
        before.write_file("/etc/shift", b"x".to_vec());
        before.write_file("/etc/same", b"same".to_vec());
        before.write_file("/etc/other", b"old".to_vec());
        before.write_file("/etc/gone", b"old".to_vec());
        let mut after = before.clone();
        after.remove(b"etc/gone");
        after.write_file("/etc/other", b"new".to_vec());
        after.write_file("/etc/same", b"same".to_vec());
        after.write_symlink("/etc/shift", "same");
        let told: Vec<&str> = ["/etc/same", "/etc/other", "/etc/gone", "/etc/shift", "/etc/never"]
            .into_iter()
            .filter(|path| differs(&before, &after, path).unwrap())
            .collect();
        assert_eq!(told, ["/etc/other", "/etc/gone", "/etc/shift"]);
    }
}
