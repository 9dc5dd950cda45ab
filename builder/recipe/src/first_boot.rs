//! Steps of a device's first boot that services bring: what makes a service's secrets anew on each device.

use std::path::Path;

use serde::Deserialize;

use crate::checker::Checker;
use crate::document;
use crate::merge::content;
use crate::plan::{Capability, FirstBoot, PlannedOverlay, Service, TreeFile};
use crate::provides::provider;
use crate::raw::At;
use crate::report::Problems;
use crate::tree::{Closed, Tree, plain_path};

/// Where services' steps stand among all: after those of the machine and of `YunoHost`.
const NUMBER: u8 = 70;

/// A step, as far as it is looked at here. The rest is for the device's own program, which a boot test has check it.
#[derive(Deserialize)]
struct Step {
    #[expect(dead_code, reason = "a step without one is refused")]
    title: String,
}

/// What a recipe says: the path of a file in the tree.
pub(crate) fn check(raw: Option<&At<String>>, checker: &mut Checker<'_>) -> Option<FirstBoot> {
    let raw = raw?;
    let origin = raw.origin(checker.file);
    if let Err(why) = plain_path(&raw.value) {
        checker
            .wrong(&origin, why)
            .help("a file of this tree, such as `steps/pads.toml`");
        return None;
    }
    Some(FirstBoot {
        source: raw.value.clone(),
        path: String::new(),
        content: None,
        origin,
    })
}

/// Reads a service's step. `files` are those that the image has besides.
pub(crate) fn complete(
    tree: &Tree,
    service: &mut Service,
    overlays: &[PlannedOverlay],
    files: &[TreeFile],
    problems: &mut Problems,
) {
    let Some(step) = &mut service.first_boot else {
        return;
    };
    let provider = provider(overlays, Capability::FirstBoot);
    if let Some(directory) = provider.and_then(|overlay| overlay.provides.first_boot.as_ref()) {
        step.path = format!("{directory}/{NUMBER}-{}.toml", service.name);
    }
    if let Some(other) = files.iter().find(|other| other.path == step.path) {
        let what = format!("overlay `{}` brings {} already", other.from, step.path);
        problems
            .wrong(&step.origin, what)
            .help("give the service another name, or leave one of them out");
    }
    let name = Path::new(&step.source);
    if let Err(Closed::Absent(_)) = tree.place(name) {
        let help = "`first-boot` is relative to the tree: a file as the overlay `base` reads them";
        problems
            .wrong(&step.origin, format!("there is no file {}", step.source))
            .help(help);
        return;
    }
    let text = match tree.read(name) {
        Ok(text) => text,
        Err(problem) => return problems.push(problem),
    };
    if document::parse::<Step>(&mut Checker::new(&text, problems)).is_some() {
        step.content = Some(content(text.text.clone().into_bytes()));
    }
}
