//! Makes layers: what shapes each, what the store has of it, and what it does to a build on its way.

pub mod bake;
mod clean;
mod disk;
mod makers;
mod tree;
mod twice;
mod workshop;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clic_image::compress::Compression;
use clic_image::embedded::ImageDescription;
use clic_recipe::plan::TreeFile;
use clic_rootfs::accel::Counts;
use clic_store::Session;
use clic_tree::FileTree;
use clic_vm::bake::seal;

use crate::apps;
use crate::compared::Compared;
use crate::finished::{self, Finished};
use crate::image::Image;
use crate::inputs::Inputs;
use crate::kept::{Kept, KeptLayer, Stored};
use crate::layer::{Layer, Make};
use crate::make::disk::Disk;
use crate::make::tree::{Contents, Stages};
use crate::outputs::Written;
use crate::timings::Timings;

/// Why an app's layer is not there, and nothing that it shapes.
pub(crate) const ABSENT: &str = "an app's archive is not in the store";

/// How an image is to be built: nothing here decides any of its bytes.
#[derive(Default)]
pub struct Options {
    /// How much may go on at once.
    pub threads: u32,
    /// Make everything again, whatever the store holds.
    pub rebuild: bool,
    /// Install everything twice, and refuse what is different.
    pub twice: bool,
    /// Have programs of a foreign tree run natively where that makes no difference.
    pub accelerate: bool,
    /// Where a copy that boots goes when a bake's step fails.
    pub keep: Option<PathBuf>,
    /// Compressed forms to write besides.
    pub forms: Vec<Compression>,
    /// What was asked for on the command line, by option, for the manifest.
    pub asked: BTreeMap<String, String>,
    /// How long each stage took so far, for the manifest.
    pub timings: Timings,
    /// When the build began.
    pub begun: Option<Instant>,
}

impl Options {
    /// Of the compressed forms: `zst`.
    pub(crate) fn extensions(&self) -> Vec<&'static str> {
        self.forms.iter().map(|form| form.extension()).collect()
    }
}

/// A build on its way.
pub struct Site<'a> {
    image: &'a Image<'a>,
    options: &'a Options,
    session: Session<'a>,
    kept: Kept<'a>,
    stages: Stages<'a>,
    tree: FileTree,
    /// As it was before the first bake, if there is one.
    unbaked: Option<FileTree>,
    /// How programs of a foreign tree were started.
    starts: Option<Counts>,
    /// What we have put into the tree ourselves. What a bake has made of a file is the bake's.
    files: Vec<&'a TreeFile>,
    description: ImageDescription,
    /// Bytes of all files of the finished tree.
    bytes: u64,
    disk: Disk<'a>,
}

impl<'a> Site<'a> {
    /// Nothing is done yet. `finished`: where the image goes.
    pub fn new(
        image: &'a Image<'a>,
        options: &'a Options,
        session: Session<'a>,
        finished: &'a Finished,
    ) -> Result<Self> {
        let files: Vec<&TreeFile> = image.files.iter().chain(&image.late).collect();
        Ok(Self {
            image,
            options,
            session,
            kept: Kept::of(session.store, &image.name())?,
            stages: Stages::default(),
            tree: FileTree::default(),
            unbaked: None,
            starts: None,
            description: ImageDescription::new(image.plan, image.epoch, files.iter().copied()),
            files,
            bytes: 0,
            disk: Disk::new(finished),
        })
    }

    /// Has one layer. `next` is the one that comes after it.
    pub(crate) fn make(&mut self, layer: &Layer<'a>, next: Option<&Layer<'a>>) -> Result<()> {
        match &layer.make {
            Make::Resolve => {
                apps::fetch(self.image.plan, self.session)?;
                self.image.resolution.have(self.session).map(drop)
            }
            Make::Packages(_) | Make::Customize => self.stage(layer, next),
            Make::Clean => self.clean(),
            Make::Bake(bake) => self.bake(layer, bake),
            Make::Late => self.late(),
            Make::Content => self.content(),
            Make::Assemble => self.assemble(layer),
            Make::Verify => self.verify(),
            Make::Publish => self.publish(),
            #[cfg(test)]
            Make::Probe(name, made) => self.lay_kept(layer, |_, _| {
                made.lock().unwrap().push(*name);
                Ok(bake::Changes::default())
            }),
        }
    }

    /// What the store has of a layer, if that is to be used.
    fn look(&self, layer: &Layer<'_>) -> Result<Found<'a>> {
        if self.options.rebuild && !layer.is_absent() {
            return Ok(Found::nothing("--rebuild"));
        }
        look(layer, self.image, &self.kept)
    }

    /// The tree as it is so far.
    #[cfg(test)]
    pub(crate) fn tree(&self) -> &FileTree {
        &self.tree
    }

    /// What was written, once all layers are made.
    pub(crate) fn written(self) -> Result<Written> {
        self.disk.written.context("a build without an end")
    }
}

impl Make<'_> {
    /// Whether the result stays in the store, or is the image itself.
    pub(crate) fn is_kept(&self) -> bool {
        #[cfg(test)]
        if let Self::Probe(..) = self {
            return true;
        }
        matches!(
            self,
            Self::Packages(_) | Self::Customize | Self::Bake(_) | Self::Assemble
        )
    }

    /// Notes everything that shapes the result, beside the layers below.
    pub(crate) fn add_inputs(&self, image: &Image<'_>, inputs: &mut Inputs) -> Result<()> {
        let resolution = image.resolution;
        match self {
            Self::Resolve => {
                inputs.add("engine", clic_rootfs::ENGINE);
                inputs.add("architecture", image.plan.arch.debian());
                inputs.add("suite", &resolution.suite);
                inputs.add("date of the archive", resolution.epoch.to_string());
            }
            Self::Packages(part) => tree::add_packages(inputs, image, *part),
            Self::Customize => tree::add_files(inputs, image, Contents::Counted)?,
            Self::Clean => {
                inputs.add("the device's package sources", &image.sources_list);
                let automatic = resolution.packages.iter().filter(|package| package.automatic);
                let names: Vec<&str> = automatic.map(|package| package.name.as_str()).collect();
                inputs.add("packages that came as dependencies", names.join(" "));
                // What comes out of the bakes over it: said once, for all of them.
                inputs.add("clic's seal", seal::VERSION.to_string());
                inputs.add("what is of one run", image.plan.of_one_run.join(" "));
            }
            Self::Bake(bake) => bake.add_inputs(inputs)?,
            Self::Late => {
                for file in image.late.iter().chain([&image.description]) {
                    inputs.add(
                        format!("file {} of {}", file.path, file.from),
                        tree::shape(file, Contents::Counted),
                    );
                }
            }
            Self::Content => {
                inputs.add("content bundles", serde_json::to_string(&image.plan.bundles)?);
                for package in &resolution.content {
                    inputs.add(format!("content of package {}", package.name), package.sha256);
                }
                if clic_archive::tools::make_content(&image.plan.bundles) {
                    let makers = clic_rootfs::tools::makers_key(resolution);
                    inputs.add("tools that make content", makers);
                }
            }
            Self::Assemble => finished::add_inputs(inputs, image)?,
            Self::Verify | Self::Publish => {}
            #[cfg(test)]
            Self::Probe(name, _) => inputs.add("probe", *name),
        }
        Ok(())
    }
}

/// What the store has of a layer.
pub(crate) enum Found<'a> {
    /// A result, and the files that have to be put over it since they are different now.
    Layer {
        layer: KeptLayer,
        changed: Vec<&'a TreeFile>,
        why: String,
    },
    Nothing {
        why: String,
    },
}

impl Found<'_> {
    fn nothing(why: impl Into<String>) -> Self {
        Self::Nothing { why: why.into() }
    }
}

/// Looks for a layer in the store.
pub(crate) fn look<'a>(layer: &Layer<'_>, image: &'a Image<'_>, kept: &Kept<'_>) -> Result<Found<'a>> {
    if layer.is_absent() {
        return Ok(Found::nothing(ABSENT));
    }
    let stored = kept.get(layer.key)?;
    let damaged = matches!(stored, Stored::Damaged);
    if let Stored::Whole(found) = stored {
        let why = match layer.make {
            Make::Bake(_) => "the store has it: no input changed",
            _ => "in the store: no input changed",
        };
        return Ok(Found::Layer {
            layer: found,
            changed: Vec::new(),
            why: why.to_owned(),
        });
    }
    if let Make::Customize = layer.make
        && let Some((found, changed)) = tree::unread(layer, image, kept)?
    {
        let names: Vec<&str> = changed.iter().map(|file| file.path.as_str()).collect();
        let why = format!(
            "in the store: it did not read what changed ({})",
            names.join(", ")
        );
        return Ok(Found::Layer {
            layer: found,
            changed,
            why,
        });
    }
    let mut why = if damaged {
        "its layer in the store is damaged".to_owned()
    } else {
        kept.why(&layer.id, &layer.inputs)
    };
    if let Make::Packages(part) = layer.make {
        let names = Compared::of(kept.store())?.lacks(image.resolution, part);
        if !names.is_empty() {
            why.push_str(&format!(
                "; installed twice: not compared yet are {}",
                names.join(", ")
            ));
        }
    }
    Ok(Found::nothing(why))
}
