//! The way of a build, from exact packages to a verified image under its name: one list of layers, each over the one before it.
//! `clic plan` asks [`Pipeline::forecast`] what the store has of it; `clic build` has [`Pipeline::run`] make what it has not.

use anyhow::{Context as _, Result};
use clic_archive::Part;
use serde::Serialize;

use crate::apps::App;
use crate::finished::{self, Earlier, Finished};
use crate::image::Image;
use crate::inputs::Inputs;
use crate::kept::Kept;
use crate::layer::{Layer, Make, bakes};
use crate::make::{ABSENT, Found, Site, look};
use crate::outputs::Written;

/// What a build would do for a layer.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    /// Its short name: `base`.
    pub stage: String,
    /// For people.
    pub title: String,
    /// Whether its result is there.
    pub cached: bool,
    /// Why, or why not.
    pub why: String,
}

/// Layers of one image, lowest first.
#[derive(Default)]
pub struct Pipeline<'a>(Vec<Layer<'a>>);

impl<'a> Pipeline<'a> {
    /// The whole way. `apps`: those of the recipe whose folders the store has.
    pub fn new(image: &'a Image<'a>, apps: &'a [App<'a>]) -> Result<Self> {
        use Make::Packages;
        let mut way = Self::default();
        way.lay("resolve", "Resolve packages", Make::Resolve, image)?;
        way.lay("base", "Base system", Packages(Part::Base), image)?;
        way.lay("recipe", "Packages of the recipe", Packages(Part::Recipe), image)?;
        way.lay("board", "Packages of the board", Packages(Part::Board), image)?;
        way.lay("customize", "Files, units, initramfs", Make::Customize, image)?;
        way.lay("clean", "Clean the tree", Make::Clean, image)?;
        for bake in bakes(image.plan, apps) {
            way.lay(&bake.id(), &bake.title(), Make::Bake(bake), image)?;
        }
        way.lay("late", "What only the device reads", Make::Late, image)?;
        way.lay("content", "Content", Make::Content, image)?;
        way.lay("image", "Write the image", Make::Assemble, image)?;
        way.lay("verify", "Read the image back", Make::Verify, image)?;
        way.lay("publish", "Checksums and names", Make::Publish, image)?;
        Ok(way)
    }

    /// The layers, lowest first.
    pub fn layers(&self) -> &[Layer<'a>] {
        &self.0
    }

    /// Everything that shapes the image.
    pub(crate) fn inputs_of_image(&self) -> Result<&Inputs> {
        let image = self.0.iter().find(|layer| matches!(layer.make, Make::Assemble));
        Ok(&image.context("a way without an image")?.inputs)
    }

    fn lacks_archive(&self) -> bool {
        self.0.iter().any(Layer::is_absent)
    }

    /// Puts a layer over the others; a part of the packages that has none is left out.
    pub fn lay(&mut self, id: &str, title: &str, make: Make<'a>, image: &Image<'_>) -> Result<()> {
        if let Make::Packages(part) = make
            && image.resolution.part(part).next().is_none()
        {
            return Ok(());
        }
        let mut inputs = self
            .0
            .last()
            .map_or_else(Inputs::default, |below| below.inputs.above());
        make.add_inputs(image, &mut inputs)?;
        self.0.push(Layer {
            id: id.to_owned(),
            title: title.to_owned(),
            key: inputs.key()?,
            inputs,
            make,
        });
        Ok(())
    }

    /// What the store, and the directory that an image goes to, have of each layer that is kept. Only sizes are looked at, not
    /// contents.
    pub fn forecast(&self, image: &Image<'a>, kept: &Kept<'_>, finished: &Finished) -> Result<Vec<Forecast>> {
        let mut found = Vec::new();
        for layer in &self.0 {
            let (cached, why) = match &layer.make {
                // What an app's archive makes of the image is not known before it is there.
                Make::Assemble if self.lacks_archive() => (false, ABSENT.to_owned()),
                Make::Assemble => match finished.look(&layer.inputs, &[]) {
                    Earlier::Same(_) => (true, finished::SAME.to_owned()),
                    Earlier::Different(why) => (false, why),
                },
                make if make.is_kept() => match look(layer, image, kept)? {
                    Found::Layer { why, .. } => (true, why),
                    Found::Nothing { why } => (false, why),
                },
                _ => continue,
            };
            found.push(Forecast {
                stage: layer.id.clone(),
                title: layer.title.clone(),
                cached,
                why,
            });
        }
        Ok(found)
    }

    /// Has every layer, one after the other, and returns what was written in the end.
    ///
    /// Errors: of the first layer that cannot be made.
    pub fn run(&self, mut site: Site<'a>) -> Result<Written> {
        for (at, layer) in self.0.iter().enumerate() {
            site.make(layer, self.0.get(at + 1))?;
        }
        site.written()
    }
}

#[cfg(test)]
mod tests;
