//! Bakes: what is done in the running system, one layer for each overlay with steps, then one for each app of `YunoHost`.
//!
//! What a bake sees and what makes it again are the same: the tree, and the bakes before it. Not in it, so that another service never
//! makes an earlier bake again:
//!
//! - services' files and the portal's pages ([`Image::late`]): they are for the device, nothing that is baked reads them;
//! - what the device makes of these at a first start, which the overlays say is of one run (`Plan::of_one_run`);
//! - the image's description, which lists all of those (it is there, as something must be started, but counts for nothing);
//! - folders of apps that come later.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use clic_content::app;
use clic_host::{Stage, UserError};
use clic_image::assemble::assemble;
use clic_recipe::Plan;
use clic_recipe::plan::{Bake, PartitionSize};
use clic_rootfs::inside::job::Done;
use clic_store::space::io_error;
use clic_tree::{FileTree, Kind, is_wanted};
use clic_vm::AccelChoice;
use clic_vm::bake::{self as machine, seal};

use super::{Found, Site, clean};
use crate::layer::{BakeLayer, Layer};
use crate::secrets::Secrets;

/// What a bake has made of the tree.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// New and changed entries.
    pub(crate) tree: FileTree,
    /// Paths that are gone.
    pub(crate) removed: Vec<Vec<u8>>,
}

impl<'a> Site<'a> {
    /// Lays over the tree what a bake changes: the store's layer of it, or what its machine leaves.
    pub(super) fn bake(&mut self, layer: &Layer<'a>, bake: &BakeLayer<'a>) -> Result<()> {
        if self.unbaked.is_none() {
            self.unbaked = Some(self.tree.clone());
        }
        if let Some(app) = bake.app() {
            app::lay(&mut self.tree, &app.service.name, app.files.clone())?;
        }
        self.lay_kept(layer, |site, stage| site.in_machine(bake, stage))
    }

    /// Lays a layer of changes over the tree: the store's, or what `make` finds.
    pub(crate) fn lay_kept(
        &mut self,
        layer: &Layer<'a>,
        make: impl FnOnce(&Self, &Stage) -> Result<Changes>,
    ) -> Result<()> {
        let (progress, store) = (self.session.progress, self.session.store);
        // Who bakes the same at the same time waits here, and then takes up what we made.
        let _held = store.lock_saying(&format!("layer-{}", layer.key), || {
            progress.note(format!(
                "{}: another build is making it: waiting to use its result",
                layer.title
            ));
        })?;
        let kept = match self.look(layer)? {
            Found::Layer { layer: kept, why, .. } => {
                progress.stage(&layer.id, &layer.title, &why).finish();
                kept
            }
            Found::Nothing { why } => {
                let stage = progress.stage(&layer.id, &layer.title, &why);
                let changes = make(self, &stage)?;
                let scratch = store.scratch("bake")?;
                let tar = scratch.path().join("changes.tar");
                let written = changes.tree.write(&tar, self.image.resolution.epoch)?;
                let done = Done {
                    removed: changes.removed,
                    sha256: written.sha256,
                    size: written.size,
                    entries: written.entries,
                    read: None,
                };
                let kept = self.kept.put(layer.key, &layer.inputs, done, None, &tar)?;
                stage.finish();
                kept
            }
        };
        self.kept.note(&layer.id, &layer.inputs)?;
        self.tree.lay(FileTree::read(&kept.tar.tar)?, &kept.tar.removed);
        Ok(())
    }

    /// Does a bake's steps in a machine of its own.
    fn in_machine(&self, bake: &BakeLayer<'_>, stage: &Stage) -> Result<Changes> {
        if let BakeLayer::Absent(service) = bake {
            bail!(
                "the archive of service `{}` is no longer in the store",
                service.name
            );
        }
        let (image, session) = (self.image, self.session);
        let steps: Vec<&Bake> = bake.steps().iter().collect();
        may_run(&steps, session.store.is_offline())?;
        let scratch = session.store.scratch("bake")?;
        let path = scratch.path().join("image.img");
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| io_error(error, &path))?;
        let mut tree = self.tree.clone();
        // Without it nothing can be started.
        clean::lay(&mut tree, &image.description)?;
        tree.clamp(image.resolution.epoch);
        let (free, memory) = bake.app().map_or((0, 0), |app| (app.free, app.memory));
        assemble(
            &roomy(image.plan, free),
            &image.ids,
            &tree,
            image.epoch,
            &file,
            "to be started",
            session.progress,
        )?;
        let options = machine::Options {
            epoch: image.epoch,
            accel: AccelChoice::Auto,
            memory: u32::try_from(memory >> 20).unwrap_or(u32::MAX),
            of_one_run: &image.plan.of_one_run,
            keep: self.options.keep.as_deref(),
        };
        let baked = machine::bake(&path, &steps, &options, session, stage)?;
        changes(&self.tree, &baked.tar, &baked.paths, &image.plan.of_one_run)
    }
}

/// Refuses steps that need the internet where that is not to be asked. Results of theirs that the store has are taken up before that.
fn may_run(steps: &[&Bake], offline: bool) -> Result<()> {
    let Some(step) = steps.iter().find(|step| step.network && offline) else {
        return Ok(());
    };
    Err(UserError::new(format!(
        "`{}` of {} needs the internet, which --offline forbids, and the store has no result of it",
        step.name, step.from
    ))
    .help("build once without --offline: what did not change is not done again")
    .into())
}

/// The plan with at least this much free space on the disk, which only the bake sees: as large as it needs to be, whatever the
/// recipe allows the image.
fn roomy(plan: &Plan, least: u64) -> Plan {
    let mut plan = plan.clone();
    if least > 0 {
        plan.image_size = None;
    }
    for partition in &mut plan.disk.partitions {
        if let PartitionSize::Fit { free } = &mut partition.size {
            *free = least.max(*free);
        }
    }
    plan
}

/// What a bake changed, without what belongs to one run or one device, and without secrets that each device makes.
fn changes(before: &FileTree, tar: &Path, paths: &Path, of_one_run: &[String]) -> Result<Changes> {
    let mut tree = FileTree::read(tar).context("what the bake changed")?;
    let secrets = Secrets::declared([before, &tree])?;
    let stays = |path: &[u8]| {
        let path = String::from_utf8_lossy(path);
        seal::stays(&path, of_one_run) || secrets.has(&path)
    };
    let found: Vec<Vec<u8>> = tree.paths().map(<[u8]>::to_vec).collect();
    for path in found {
        if !stays(&path) {
            continue;
        }
        let name = String::from_utf8_lossy(&path).into_owned();
        let is_new = before.get(&path).is_none();
        match tree.get(&path) {
            Some(entry) if is_new && is_wanted(&name, entry) => {
                if entry.kind != Kind::Directory {
                    tree.write_file(&name, Vec::new());
                }
            }
            _ => tree.remove(&path),
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
    use clic_tree::{Content, Entry};

    use super::*;

    #[test]
    fn what_changed_comes_out_and_what_a_run_leaves_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (tar, paths) = (dir.path().join("tar"), dir.path().join("paths"));
        let mut before = FileTree::default();
        for path in ["/etc/kept", "/etc/gone", "/var/log/gone"] {
            before.write_file(path, b"old".to_vec());
        }
        let step = b"title = 'pads'\nsecrets = ['/etc/pads/*.key']\n";
        before.write_file("/usr/lib/clic/first-boot.d/50-pads.toml", step.to_vec());
        // An empty one keeps its place.
        before.write_file("/etc/pads/a.key", Vec::new());
        let mut after = FileTree::default();
        for path in [
            "/etc/new",
            "/var/log/new",
            "/etc/machine-id",
            "/var/lib/bans/list",
            "/etc/pads/a.key",
            "/etc/pads/b.key",
        ] {
            after.write_file(path, b"new".to_vec());
        }
        let number = after.add(Content::Bytes(b"spoken".as_slice().into()));
        for (path, kind) in [
            ("var/log/redis", Kind::Directory),
            ("var/log/pads.log", Kind::File(number)),
            ("var/log/journal/0", Kind::Directory),
        ] {
            let entry = Entry {
                uid: 106,
                ..Entry::new(kind, 0o750)
            };
            after.insert(path.into(), entry);
        }
        after.write(&tar, 7).unwrap();
        let gone = ["etc/gone", "var/log/gone", "etc/pads/a.key"].map(str::as_bytes);
        let mut there = b".\0".to_vec();
        for path in before.paths().filter(|path| !gone.contains(path)) {
            there.extend([b"./", path, b"\0"].concat());
        }
        std::fs::write(&paths, there).unwrap();
        let changes = changes(&before, &tar, &paths, &["/var/lib/bans".to_owned()]).unwrap();
        let new: Vec<&[u8]> = changes.tree.paths().collect();
        assert!(new.contains(&&b"etc/new"[..]), "{new:?}");
        assert!(!new.iter().any(|path| path.starts_with(b"var/log/new")
            || path.starts_with(b"var/lib/bans")
            || path.ends_with(b".key")
            || path.starts_with(b"var/log/journal")
            || *path == b"etc/machine-id"));
        let log = changes
            .tree
            .get("var/log/pads.log")
            .map(|entry| (entry.uid, entry.mode));
        assert_eq!(
            (log, changes.tree.size("var/log/pads.log")),
            (Some((106, 0o750)), Some(0))
        );
        assert!(new.contains(&&b"var/log/redis"[..]), "{new:?}");
        assert_eq!(changes.removed, [b"etc/gone".to_vec()]);
    }

    #[test]
    fn only_what_has_to_be_made_with_internet_is_refused_offline() {
        let step = |network| Bake {
            name: "app wiki is installed".to_owned(),
            from: "service wiki".to_owned(),
            command: "true".to_owned(),
            timeout: 1,
            network,
        };
        let (near, far) = (step(false), step(true));
        may_run(&[&near], true).unwrap();
        may_run(&[&near, &far], false).unwrap();
        let said = may_run(&[&near, &far], true).unwrap_err().to_string();
        assert!(
            said.starts_with(
                "`app wiki is installed` of service wiki needs the internet, which --offline forbids"
            ),
            "{said}"
        );
    }
}
