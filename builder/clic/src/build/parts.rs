//! What a plan and its exact packages decide about an image, before anything is done.

use anyhow::{Context as _, Result};
use clic_archive::Resolution;
use clic_image::boot;
use clic_image::ids::Ids;
use clic_recipe::Plan;
use clic_recipe::plan::TreeFile;
use clic_rootfs::TreeSpec;

use crate::build::{portal, services};

/// Identifiers, files and commands of one image.
pub struct Parts<'a> {
    plan: &'a Plan,
    resolution: &'a Resolution,
    /// The image's date: seconds since 1970.
    pub epoch: i64,
    /// UUIDs, disk ids and the like.
    pub ids: Ids,
    /// The overlays' files, then the image's own.
    pub files: Vec<TreeFile>,
    /// The services' files and the portal's pages, which the device reads and nothing before that: they come last, so that neither
    /// the tree nor a bake is made again because of another service or tile.
    pub late: Vec<TreeFile>,
    commands: Vec<Vec<String>>,
    sources_list: String,
}

impl<'a> Parts<'a> {
    /// Works them out.
    pub fn new(plan: &'a Plan, resolution: &'a Resolution) -> Result<Self> {
        let epoch = i64::try_from(resolution.epoch).context("the archive's date is beyond all calendars")?;
        let ids = Ids::derive(&fingerprint(plan, resolution)?);
        let mut late = services::files(plan)?;
        late.extend(portal::files(plan)?);
        let mut files = plan.files.clone();
        let others: Vec<TreeFile> = files.iter().chain(&late).cloned().collect();
        files.extend(boot::tree_files(plan, &others, &ids, epoch)?);
        let commands = boot::tree_commands(plan);
        Ok(Self {
            plan,
            resolution,
            epoch,
            ids,
            files,
            late,
            commands: commands.into_iter().map(|command| command.argv).collect(),
            sources_list: resolution.sources_list(),
        })
    }

    /// What the tree is made of; `rebuild` and `accelerate` as in [`TreeSpec`].
    pub fn spec(&self, threads: usize, rebuild: bool, accelerate: bool) -> TreeSpec<'_> {
        TreeSpec {
            plan: self.plan,
            resolution: self.resolution,
            files: &self.files,
            late: &self.late,
            commands: &self.commands,
            sources_list: &self.sources_list,
            threads,
            rebuild,
            accelerate,
        }
    }
}

/// What an image's identifiers are made from: which recipe, which board, and exactly which packages; nothing of where it
/// was built. Not the overlays' files: with each of their changes the identifiers would, and with these every file that
/// names one, down to the initramfs.
fn fingerprint(plan: &Plan, resolution: &Resolution) -> Result<Vec<u8>> {
    let packages: Vec<_> = resolution
        .packages
        .iter()
        .map(|package| (&package.name, &package.version, &package.sha256))
        .collect();
    let image = (&plan.recipe.name, &plan.board.name, &plan.disk);
    Ok(serde_json::to_vec(&(image, resolution.epoch, packages))?)
}
