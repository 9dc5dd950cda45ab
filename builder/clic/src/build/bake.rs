//! Bakes: what is done in the running system, one layer for each overlay with steps, then one for each app of `YunoHost`.
//!
//! What a bake sees and what makes it again are the same: packages, overlays' files, units, the bakes before it. Not in it, so that
//! another service never makes an earlier bake again:
//!
//! - services' files and the portal's pages ([`Parts::late`]): they are for the device, nothing that is baked reads them;
//! - what `clic-service` makes of these at a first start ([`OF_SERVICES`]): it is the device's to make;
//! - the image's description, which lists all of those (it is there, as something must be started, but counts for nothing);
//! - folders of apps that come later.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clic_host::{Log, Progress, Stage, UserError};
use clic_image::assemble::assemble;
use clic_recipe::Plan;
use clic_recipe::plan::{Bake, PartitionSize};
use clic_rootfs::bake::{self, Changes};
use clic_rootfs::{Resolution, app};
use clic_store::Store;
use clic_store::space::io_error;
use clic_tree::{Entry, FileTree as TarTree, Kind};
use clic_vm::AccelChoice;
use clic_vm::bake::{self as machine, seal};

use crate::build::apps::App;
use crate::build::parts::Parts;
use crate::build::secrets::Secrets;
use crate::build::works::{Work, works};

/// Directories in which `clic-service` puts, at a device's first start, what follows from the services' files.
const OF_SERVICES: [&str; 2] = ["etc/nginx/clic.d/services/", "var/lib/clic/services/"];

/// Everything that bakes of one image need.
pub struct Bakery<'a> {
    pub plan: &'a Plan,
    pub parts: &'a Parts<'a>,
    /// In the recipe's order.
    pub apps: Vec<App<'a>>,
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
    /// Does them all, one after the other. Returns the image's own files that are others since, or gone: what a step has made of a
    /// file is the step's.
    pub fn bake(&self, tree: &mut TarTree) -> Result<BTreeSet<&str>> {
        let raw = tree.clone();
        for work in works(self.plan, self.parts, self.resolution, &self.apps)? {
            if let Some(app) = work.app {
                app::lay(tree, &app.service.name, app.files.clone())?;
            }
            let bake = work.looked_up(self.name, self.resolution, self.rebuild);
            bake::lay(&bake, tree, self.store, self.progress, |before, stage| {
                self.one(&work, before, stage)
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

    /// Does one, in a machine of its own.
    fn one(&self, work: &Work<'_>, before: &TarTree, stage: &Stage) -> Result<Changes> {
        may_run(&work.steps, self.store.is_offline())?;
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
        assemble(
            &roomy(self.plan, work.free),
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
            memory: u32::try_from(work.memory >> 20).unwrap_or(u32::MAX),
            keep: self.keep.as_deref(),
        };
        let baked = machine::bake(&path, &work.steps, &options, self.store, self.log, stage)?;
        let mut changes = changes(before, &baked.tar, &baked.paths)?;
        leave_out_services(&mut changes);
        Ok(changes)
    }
}

/// Refuses steps that need the internet where that is not to be asked. Results of theirs that the store has are taken up before that.
fn may_run(steps: &[&Bake], offline: bool) -> Result<()> {
    let Some(step) = steps.iter().find(|step| step.network && offline) else {
        return Ok(());
    };
    Err(UserError::new(format!(
        "`{}` of {} needs the internet, --offline keeps it away, and the store has no result of it",
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

/// Takes out of a bake's changes what a device makes at its first start.
fn leave_out_services(changes: &mut Changes) {
    let theirs = |path: &[u8]| {
        OF_SERVICES
            .iter()
            .any(|directory| path.starts_with(directory.as_bytes()))
    };
    let paths: Vec<Vec<u8>> = changes
        .tree
        .paths()
        .filter(|path| theirs(path))
        .map(<[u8]>::to_vec)
        .collect();
    for path in paths {
        changes.tree.remove(&path);
    }
    changes.removed.retain(|path| !theirs(path));
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
        for path in [
            "/etc/new",
            "/var/log/new",
            "/etc/machine-id",
            "/etc/pads/a.key",
            "/etc/pads/b.key",
        ] {
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
        assert!(!new.iter().any(|path| path.starts_with(b"var/log/new")
            || path.ends_with(b".key")
            || *path == b"etc/machine-id"));
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
                "`app wiki is installed` of service wiki needs the internet, --offline keeps it away"
            ),
            "{said}"
        );
    }

    #[test]
    fn what_clic_service_makes_of_services_does_not_come_out() {
        let mut tree = TarTree::default();
        for path in [
            "/etc/nginx/clic.d/services/wiki.conf",
            "/var/lib/clic/services/portal.json",
            "/etc/wiki",
        ] {
            tree.write_file(path, b"x".to_vec());
        }
        let removed = vec![b"var/lib/clic/services/old.json".to_vec(), b"etc/old".to_vec()];
        let mut changes = Changes { tree, removed };
        leave_out_services(&mut changes);
        assert_eq!(changes.tree.paths().collect::<Vec<_>>(), [b"etc/wiki"]);
        assert_eq!(changes.removed, [b"etc/old".to_vec()]);
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
