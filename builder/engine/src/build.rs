//! From a plan to an image, or to what a build would do.

use std::path::Path;

use anyhow::Result;
use clic_archive::{Mirrors, Resolution};
use clic_recipe::Plan;
use clic_store::{Session, Store};

use crate::apps;
use crate::counted_on;
use crate::finished::{self, Earlier, Finished};
use crate::fits;
use crate::image::Image;
use crate::kept::Kept;
use crate::kernels::Kernels;
use crate::make::{Options, Site};
use crate::outputs::Written;
use crate::pipeline::{Forecast, Pipeline};
use crate::resolution::Packages;

/// Builds the image of a plan into the directory `out`.
///
/// Errors: [`clic_host::UserError`] for what the request or the host lacks; else the layer that failed, with the end of what was said.
pub fn build(
    plan: &Plan,
    packages: &Packages,
    mirrors: &Mirrors,
    out: &Path,
    options: &Options,
    session: Session<'_>,
) -> Result<Written> {
    fits::check(plan, None)?;
    let resolution = packages.resolve(plan, mirrors, session)?;
    // What is hopeless already is refused before it is downloaded.
    fits::check(plan, Some(resolution.installed_size()))?;
    counted_on::check(plan, &resolution.packages)?;
    if let Some(kernels) = Kernels::of(&resolution) {
        session.progress.note(format!("of several kernels, {kernels}"));
    }
    let image = Image::new(plan, &resolution)?;
    let finished = Finished::of(session.store, &image.name(), out)?;
    let mut apps = apps::there(plan, &resolution, session.store)?;
    if apps.len() < apps::count(plan) {
        apps::fetch(plan, session)?;
        apps = apps::there(plan, &resolution, session.store)?;
    }
    let pipeline = Pipeline::new(&image, &apps)?;
    if !options.rebuild
        && !options.twice
        && let Earlier::Same(written) = finished.look(pipeline.inputs_of_image()?, &options.extensions())
    {
        let stage = session.progress.stage("image", "Write the image", finished::SAME);
        stage.finish();
        return Ok(written);
    }
    // Nothing is downloaded for an image that could not be written.
    fits::room(plan, resolution.installed_size(), out)?;
    pipeline.run(Site::new(&image, options, session, &finished)?)
}

/// What a build of exactly these packages would do, and what it would take up; `out` is where the image would go. Uses no network.
///
/// Errors: an app that does not suit, packages that the builder counts on and that are not there, and files that get into each other's way.
pub fn forecast(plan: &Plan, resolution: &Resolution, store: &Store, out: &Path) -> Result<Vec<Forecast>> {
    apps::suit(plan, resolution)?;
    counted_on::check(plan, &resolution.packages)?;
    let image = Image::new(plan, resolution)?;
    let apps = apps::there(plan, resolution, store)?;
    let name = image.name();
    let kept = Kept::of(store, &name)?.unverified();
    let finished = Finished::of(store, &name, out)?;
    Pipeline::new(&image, &apps)?.forecast(&image, &kept, &finished)
}
