//! What this room has for the content of an image: the packages that were resolved, and programs that make things of them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use clic_archive::Resolution;
use clic_content::{Package, Supplies};
use clic_host::{Sha256, Stage};
use clic_recipe::plan::Bundle;
use clic_store::{Session, Store};
use clic_tree::FileTree;

use clic_rootfs::{ENGINE, Sandbox, inside, tools};

/// Lays the files of `bundles` over `tree`: [`clic_content::lay`] with what this room has for it.
pub fn lay(
    tree: &mut FileTree,
    bundles: &[Bundle],
    resolution: &Resolution,
    session: Session<'_>,
) -> Result<()> {
    let packages: BTreeMap<&str, Package> = resolution
        .content
        .iter()
        .map(|package| {
            let has = Package {
                download: package.download(),
                installed_size: package.installed_size,
            };
            (package.name.as_str(), has)
        })
        .collect();
    let supplies = Supplies {
        engine: ENGINE,
        epoch: resolution.epoch,
        packages,
        makers: &Makers {
            resolution,
            store: session.store,
        },
    };
    clic_content::lay(tree, bundles, &supplies, session)
}

/// The tools of a resolution, in a sandbox.
struct Makers<'a> {
    resolution: &'a Resolution,
    store: &'a Store,
}

impl clic_content::Makers for Makers<'_> {
    fn key(&self) -> Sha256 {
        tools::makers_key(self.resolution)
    }

    fn run(&self, script: &str, work: &Path, stage: &Stage) -> Result<()> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let tools = tools::makers(self.resolution, self.store, threads, stage)?;
        let own = clic_rootfs::own_program(work)?;
        Sandbox::new()?
            .cmd("sh")
            .args(["-c", script, "sh"])
            .arg(tools)
            .arg(work)
            .args(inside::in_tree(&own, &work.join("jail"), &work.join("tree")))
            .output()?;
        Ok(())
    }
}
