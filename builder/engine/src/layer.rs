//! A layer of an image, and what is done for it: values, no code that crosses rooms.

use anyhow::Result;
use clic_archive::Part;
use clic_host::Sha256;
use clic_recipe::Plan;
use clic_recipe::plan::{Bake, Service};

use crate::apps::App;
use crate::inputs::Inputs;

/// What is done for a layer.
pub enum Make<'a> {
    /// Has the exact packages in the store.
    Resolve,
    /// Installs the packages of one part.
    Packages(Part),
    /// Puts files into the tree, switches units, runs the boot loader's commands.
    Customize,
    /// Takes away what a build leaves in a tree, and writes what only we know.
    Clean,
    /// Does steps in the running system.
    Bake(BakeLayer<'a>),
    /// Lays over the tree what only the device reads.
    Late,
    /// Lays content bundles over the tree.
    Content,
    /// Writes the image.
    Assemble,
    /// Reads it back and checks it against the rules.
    Verify,
    /// Gives it its name, and those of the files beside it.
    Publish,
    /// Leaves nothing but its name where it is told to.
    #[cfg(test)]
    Probe(&'static str, &'a std::sync::Mutex<Vec<&'static str>>),
}

/// One layer of an image.
pub struct Layer<'a> {
    /// Short name among those of the image: `base`, `bake-yunohost`.
    pub id: String,
    /// What is done, for people.
    pub title: String,
    /// Hash of the key of the layer below and everything that shapes this one.
    pub key: Sha256,
    /// All of that, by name.
    pub inputs: Inputs,
    /// What is done.
    pub make: Make<'a>,
}

impl Layer<'_> {
    /// Whether nothing is known of it, since an app's archive is not there.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.make, Make::Bake(BakeLayer::Absent(_)))
    }
}

/// What is done in the running system, in one machine.
#[derive(Clone, Copy)]
pub enum BakeLayer<'a> {
    /// The steps of an overlay.
    Overlay(&'a [Bake]),
    /// The installation of an app, whose folder is there for it and for those after it.
    App(&'a App<'a>),
    /// The installation of an app whose archive the store does not have: what is done for it is not known.
    Absent(&'a Service),
}

/// All bakes, in order: one for each overlay with steps, then one for each app.
pub(crate) fn bakes<'a>(plan: &'a Plan, apps: &'a [App<'a>]) -> impl Iterator<Item = BakeLayer<'a>> {
    let overlays = plan.bakes.chunk_by(|one, other| one.from == other.from);
    let services = plan.services.iter().filter(|service| service.app().is_some());
    let absent = services.skip(apps.len());
    overlays
        .map(BakeLayer::Overlay)
        .chain(apps.iter().map(BakeLayer::App))
        .chain(absent.map(BakeLayer::Absent))
}

impl<'a> BakeLayer<'a> {
    /// The layer's name among those of the image.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::Overlay(steps) => format!("bake-{}", from(steps)),
            Self::App(App { service, .. }) | Self::Absent(service) => format!("service-{}", service.name),
        }
    }

    /// What is done, for people.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Overlay(steps) => format!("Bake {}", from(steps)),
            Self::App(App { service, .. }) | Self::Absent(service) => format!("Service {}", service.name),
        }
    }

    /// Notes the steps in their order, after the app's folder.
    pub(crate) fn add_inputs(&self, inputs: &mut Inputs) -> Result<()> {
        if let Self::App(app) = self {
            inputs.add(format!("app of service {}", app.service.name), &app.identity);
        }
        for step in self.steps() {
            inputs.add(
                format!("step {} of {}", step.name, step.from),
                serde_json::to_string(step)?,
            );
        }
        Ok(())
    }

    /// In order.
    pub(crate) fn steps(&self) -> &'a [Bake] {
        match self {
            Self::Overlay(steps) => steps,
            Self::App(app) => &app.steps,
            Self::Absent(_) => &[],
        }
    }

    pub(crate) fn app(&self) -> Option<&'a App<'a>> {
        match self {
            Self::App(app) => Some(app),
            Self::Overlay(_) | Self::Absent(_) => None,
        }
    }
}

fn from(steps: &[Bake]) -> &str {
    steps.first().map_or("", |step| step.from.as_str())
}
