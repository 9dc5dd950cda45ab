//! Where a tree's layers are made: a directory with a tree in it, and the sandbox that works on it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use clic_host::{Log, Stage, Unit, UserError};
use clic_rootfs::accel::{Accel, same_version};
use clic_rootfs::inside::job::{Job, LayerTar, Work};
use clic_rootfs::inside::say::{self, Said};
use clic_rootfs::{Sandbox, inside, tools};
use clic_store::space::io_error;
use clic_store::{NoSpace, Scratch, Session, Store, space};

use super::Options;
use crate::image::Image;

/// A directory with a tree in it that has the first `stages` layers.
pub(super) struct Workshop {
    scratch: Scratch,
    sandbox: Sandbox,
    accel: Option<Accel>,
    root: PathBuf,
    stages: usize,
    /// Bytes that the work was expected to need.
    needed: u64,
}

impl Workshop {
    /// An empty one.
    pub(super) fn open(
        image: &Image<'_>,
        options: &Options,
        session: Session<'_>,
        stage: &Stage,
    ) -> Result<Self> {
        let store = session.store;
        let mut sandbox = Sandbox::for_arch(image.plan.arch)?;
        session.log.line(&format!("emulator: {}", sandbox.emulation()));
        // The tree and its layers, both with initramfs and databases.
        let needed = image.resolution.installed_size().saturating_mul(5) / 2;
        space::ensure(store.dir(), needed, "building the tree")?;
        let scratch = store.scratch("tree")?;
        let accel = accelerate(image, options, &sandbox, scratch.path(), store, stage)?;
        if let Some(accel) = &accel {
            sandbox = sandbox.registering(accel.registration());
        }
        Ok(Self {
            root: scratch.path().join("root/tree"),
            scratch,
            sandbox,
            accel,
            stages: 0,
            needed,
        })
    }

    /// Where files may be put for a job.
    pub(super) fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// What has a foreign tree's programs run natively.
    pub(super) fn accel(&self) -> Option<&Accel> {
        self.accel.as_ref()
    }

    /// The directory in which a layer is made over `below` others: the one with these in it, or a new one.
    pub(super) fn root_for(&self, id: &str, below: usize) -> PathBuf {
        if self.stages == below {
            self.root.clone()
        } else {
            self.scratch.path().join(format!("root-{id}/tree"))
        }
    }

    /// The layers that have to be put there first.
    pub(super) fn lacks(&self, below: &[LayerTar]) -> Vec<LayerTar> {
        if self.stages == below.len() {
            Vec::new()
        } else {
            below.to_vec()
        }
    }

    /// Does a job inside of the sandbox, over `below` layers.
    pub(super) fn run(&mut self, job: &Job, below: usize, log: &Log, stage: &Stage) -> Result<()> {
        self.root.clone_from(&job.root);
        self.start(job, log, stage)?;
        self.stages = below + 1;
        Ok(())
    }

    fn start(&self, job: &Job, log: &Log, stage: &Stage) -> Result<()> {
        let path = self.scratch.path().join("job.json");
        std::fs::write(&path, serde_json::to_vec(job)?).map_err(|error| io_error(error, &path))?;
        let program = clic_rootfs::own_program(self.scratch.path())?;
        let program = program.to_str().context("this program's path is not UTF-8")?;
        let new: BTreeSet<&str> = match &job.work {
            Work::Packages(packages) => packages.new.iter().map(|package| package.name.as_str()).collect(),
            Work::Customize(_) => BTreeSet::new(),
        };
        let total = new.len() as u64;
        if total > 0 {
            stage.total(Unit::Packages, total);
        }
        let failed = RefCell::new(None);
        let step = RefCell::new(None);
        let (mut unpacked, mut configured) = (BTreeSet::<&str>::new(), BTreeSet::<&str>::new());
        let result = self
            .sandbox
            .cmd(program)
            .arg(inside::ARGUMENT)
            .arg(&path)
            .heard(log, |line| {
                match say::heard(line) {
                    Some(Said::Unpacked { package }) => {
                        stage.message(format!("unpack {package}"));
                        unpacked.extend(new.get(package.as_str()));
                    }
                    Some(Said::Configuring { package }) => {
                        stage.message(format!("configure {package}"));
                        // Those of earlier layers, too; and a script can print what dpkg does, with any name.
                        configured.extend(new.get(package.as_str()));
                    }
                    Some(Said::Step { what }) => {
                        log.line(&format!("== {what}"));
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

/// What has a foreign tree's programs run natively. `None` where nothing is emulated, where it is not wanted, and where
/// the host's own table of interpreters is all there is.
fn accelerate(
    image: &Image<'_>,
    options: &Options,
    sandbox: &Sandbox,
    scratch: &Path,
    store: &Store,
    stage: &Stage,
) -> Result<Option<Accel>> {
    let (Some(emulator), Some(host)) = (sandbox.emulator(), clic_debian::arch::host_arch()) else {
        return Ok(None);
    };
    let resolution = image.resolution;
    if !options.accelerate || resolution.tools.is_empty() {
        return Ok(None);
    }
    let target = image.plan.arch;
    let tree = tools::tree(resolution, host, target, store, options.threads as usize, stage)?;
    let own = scratch.join("accel");
    std::fs::create_dir(&own).map_err(|error| io_error(error, &own))?;
    let same = |name: &str| match (resolution.get(name), resolution.tool(name)) {
        (Some(theirs), Some(ours)) => same_version(&theirs.version, &ours.version),
        (theirs, ours) => theirs.is_none() && ours.is_some(),
    };
    Accel::prepare(&tree, host, target, emulator, &own, same).map(Some)
}
