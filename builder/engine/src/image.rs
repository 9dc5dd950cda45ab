//! What a plan and its exact packages decide about an image, before anything is done.

use anyhow::{Context as _, Result};
use clic_archive::Resolution;
use clic_host::Sha256;
use clic_image::boot;
use clic_image::embedded::IMAGE_DESCRIPTION_PATH;
use clic_image::ids::Ids;
use clic_recipe::Plan;
use clic_recipe::plan::{TreeFile, TreeFileKind};

use crate::{portal, services};

/// Identifiers, files and commands of one image.
pub struct Image<'a> {
    /// The recipe on its board.
    pub plan: &'a Plan,
    /// The exact packages.
    pub resolution: &'a Resolution,
    /// The image's date: seconds since 1970.
    pub epoch: i64,
    /// UUIDs, disk ids and the like.
    pub ids: Ids,
    /// What is put into the tree: the overlays' files, then the image's own.
    pub files: Vec<TreeFile>,
    /// The services' files and the portal's pages, which the device reads and nothing before that: they come last, so that neither
    /// the tree nor a bake is made again because of another service or tile. All regular files, of root.
    pub late: Vec<TreeFile>,
    /// The image's description of itself, which lists all of these. It comes last, too.
    pub description: TreeFile,
    /// Run in the tree, in order, once packages and files are in place: program and arguments.
    pub commands: Vec<Vec<String>>,
    /// The device's `/etc/apt/sources.list` (see [`Resolution::sources_list`]), unless `files` bring one.
    pub sources_list: String,
}

impl<'a> Image<'a> {
    /// Works it out.
    ///
    /// Errors: files that get into each other's way; services and content that the recipe has nothing to show with.
    pub fn new(plan: &'a Plan, resolution: &'a Resolution) -> Result<Self> {
        let epoch = i64::try_from(resolution.epoch).context("the archive's date is beyond all calendars")?;
        let ids = Ids::derive(&fingerprint(plan, resolution)?);
        let mut late = services::files(plan)?;
        late.extend(portal::files(plan)?);
        let mut files = plan.files.clone();
        let others: Vec<TreeFile> = files.iter().chain(&late).cloned().collect();
        files.extend(boot::tree_files(plan, &others, &ids, epoch)?);
        let at = files.iter().position(|file| file.path == IMAGE_DESCRIPTION_PATH);
        let description = files.remove(at.context("an image without its description")?);
        let commands = boot::tree_commands(plan);
        Ok(Self {
            plan,
            resolution,
            epoch,
            ids,
            files,
            late,
            description,
            commands: commands.into_iter().map(|command| command.argv).collect(),
            sources_list: resolution.sources_list(),
        })
    }

    /// Recipe and board: `clic-x86-pc`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.plan.recipe.name, self.plan.board.name)
    }

    /// The regular files that are put into the tree, with their hashes.
    pub fn regular_files(&self) -> impl Iterator<Item = (&TreeFile, Sha256)> {
        self.files.iter().filter_map(|file| match &file.kind {
            TreeFileKind::File(content) => Some((file, content.sha256.parse().ok()?)),
            _ => None,
        })
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
