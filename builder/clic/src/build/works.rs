//! Which bakes an image has, and what shapes each: the same for who makes them and for who only asks.

use anyhow::Result;
use clic_archive::Resolution;
use clic_image::embedded::IMAGE_DESCRIPTION_PATH;
use clic_recipe::Plan;
use clic_recipe::plan::Bake;
use clic_rootfs::{Inputs, bake};
use clic_vm::bake::seal;

use crate::build::apps::App;
use crate::build::parts::Parts;

/// One bake.
pub struct Work<'a> {
    /// The layer's name among those of the image.
    pub id: String,
    /// What is done, for people.
    pub title: String,
    /// In order.
    pub steps: Vec<&'a Bake>,
    /// The app whose folder is there for it, and for those after it.
    pub app: Option<&'a App<'a>>,
    /// Least memory in bytes of the machine.
    pub memory: u64,
    /// Free space in bytes of its disk, if the board's is not enough.
    pub free: u64,
    /// Everything that shapes the result, all bakes before it included.
    pub inputs: Inputs,
}

impl<'a> Work<'a> {
    /// As it is looked up in the store, for the image `name`; `rebuild` as in [`bake::Bake`].
    pub fn looked_up(&'a self, name: &'a str, resolution: &Resolution, rebuild: bool) -> bake::Bake<'a> {
        bake::Bake {
            name,
            id: &self.id,
            title: &self.title,
            inputs: &self.inputs,
            rebuild,
            epoch: resolution.epoch,
        }
    }
}

/// All bakes, in order: one for each overlay with steps, then one for each app.
pub fn works<'a>(
    plan: &'a Plan,
    parts: &Parts<'_>,
    resolution: &Resolution,
    apps: &'a [App<'a>],
) -> Result<Vec<Work<'a>>> {
    let mut inputs = all(plan, parts, resolution)?;
    let mut works = Vec::new();
    for steps in plan.bakes.chunk_by(|one, other| one.from == other.from) {
        let from = &steps[0].from;
        add_steps(&mut inputs, steps)?;
        works.push(Work {
            id: format!("bake-{from}"),
            title: format!("Bake {from}"),
            steps: steps.iter().collect(),
            app: None,
            memory: 0,
            free: 0,
            inputs: inputs.clone(),
        });
    }
    for app in apps {
        let name = &app.service.name;
        inputs.add(format!("app of service {name}"), &app.identity);
        add_steps(&mut inputs, &app.steps)?;
        works.push(Work {
            id: format!("service-{name}"),
            title: format!("Service {name}"),
            steps: app.steps.iter().collect(),
            app: Some(app),
            memory: app.memory,
            free: app.free,
            inputs: inputs.clone(),
        });
    }
    Ok(works)
}

fn add_steps(inputs: &mut Inputs, steps: &[Bake]) -> Result<()> {
    for step in steps {
        inputs.add(
            format!("step {} of {}", step.name, step.from),
            serde_json::to_string(step)?,
        );
    }
    Ok(())
}

/// What shapes every bake: the tree, and who bakes.
fn all(plan: &Plan, parts: &Parts<'_>, resolution: &Resolution) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    inputs.add("clic's engine", clic_rootfs::ENGINE);
    inputs.add("clic's seal", seal::VERSION.to_string());
    inputs.add("date of the archive", resolution.epoch.to_string());
    for package in &resolution.packages {
        inputs.add_package(package);
    }
    let described = |path: &str| path == IMAGE_DESCRIPTION_PATH;
    for file in parts.files.iter().filter(|file| !described(&file.path)) {
        inputs.add(format!("file {}", file.path), serde_json::to_string(file)?);
    }
    inputs.add("units", serde_json::to_string(&plan.units)?);
    inputs.add(
        "answers to packages' questions",
        serde_json::to_string(&plan.preseeds)?,
    );
    Ok(inputs)
}
