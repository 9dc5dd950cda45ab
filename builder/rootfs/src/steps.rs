//! The stages of a tree, and everything that shapes each one's result.
//!
//! ```text
//! base ─▶ recipe ─▶ board ─▶ customize
//! what every     the recipe's   kernel, firmware,   files, units, initramfs,
//! tree has       packages       boot loader         boot loader's commands
//! ```

use anyhow::Result;
use clic_archive::parts::Part;
use clic_recipe::plan::{TreeFile, TreeFileKind};

use crate::layers::Inputs;
use crate::tree::TreeSpec;

/// One stage.
pub struct Step {
    /// Short name: `base`.
    pub id: &'static str,
    /// For people.
    pub title: &'static str,
    /// All that shapes its result.
    pub inputs: Inputs,
    /// The inputs without the contents of files.
    pub shape: Inputs,
    /// What is done.
    pub kind: Kind,
}

/// What a stage does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A part's packages are installed.
    Packages(Part),
    /// Files, units and commands.
    Customize,
}

/// The answers for debconf that a part's packages need: those of base packages before these, the rest before the recipe's
/// (or the board's, if the recipe has no packages of its own).
pub fn preseeds(spec: &TreeSpec<'_>, part: Part) -> Vec<String> {
    let packages = &spec.resolution.packages;
    let has = |part: Part| packages.iter().any(|package| package.part == part);
    let last = [Part::Recipe, Part::Board].into_iter().find(|part| has(*part));
    let of = |line: &String| {
        let owner = line.split_ascii_whitespace().next().unwrap_or_default();
        let base = packages
            .iter()
            .any(|package| package.part == Part::Base && package.name == owner);
        if base {
            Part::Base
        } else {
            last.unwrap_or(Part::Base)
        }
    };
    spec.plan
        .preseeds
        .iter()
        .filter(|line| of(line) == part)
        .cloned()
        .collect()
}

/// The stages with their inputs; one without packages is left out.
pub fn steps(spec: &TreeSpec<'_>) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for (part, id, title) in [
        (Part::Base, "base", "Base system"),
        (Part::Recipe, "recipe", "Packages of the recipe"),
        (Part::Board, "board", "Packages of the board"),
    ] {
        let packages: Vec<_> = spec
            .resolution
            .packages
            .iter()
            .filter(|package| package.part == part)
            .collect();
        if packages.is_empty() {
            continue;
        }
        let mut inputs = common(spec, steps.last())?;
        for package in packages {
            inputs.add_package(package);
        }
        for preseed in preseeds(spec, part) {
            inputs.add(format!("preseed {preseed}"), "");
        }
        steps.push(Step {
            id,
            title,
            shape: inputs.clone(),
            inputs,
            kind: Kind::Packages(part),
        });
    }
    let below = common(spec, steps.last())?;
    steps.push(Step {
        id: "customize",
        title: "Files, units, initramfs",
        inputs: customized(below.clone(), spec, true),
        shape: customized(below, spec, false),
        kind: Kind::Customize,
    });
    Ok(steps)
}

/// The last stage's inputs; `contents`: with those of regular files.
fn customized(mut inputs: Inputs, spec: &TreeSpec<'_>, contents: bool) -> Inputs {
    for file in spec.files {
        inputs.add(
            format!("file {} of {}", file.path, file.from),
            shape(file, contents),
        );
    }
    for unit in &spec.plan.units {
        inputs.add(format!("unit {}", unit.name), format!("{:?}", unit.state));
    }
    for (number, command) in spec.commands.iter().enumerate() {
        inputs.add(format!("command {number}"), command.join("\u{0}"));
    }
    inputs
}

/// What shapes every stage, and the one below.
fn common(spec: &TreeSpec<'_>, below: Option<&Step>) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    if let Some(below) = below {
        inputs.add(format!("stage {}", below.id), below.inputs.key()?);
    } else {
        inputs.add("engine", env!("CLIC_ENGINE"));
        inputs.add("architecture", spec.plan.arch.debian());
        inputs.add("suite", &spec.resolution.suite);
        inputs.add("date of the archive", spec.resolution.epoch.to_string());
    }
    Ok(inputs)
}

/// Everything of a file that shapes the tree.
fn shape(file: &TreeFile, contents: bool) -> String {
    let kind = match &file.kind {
        TreeFileKind::File(content) if contents => content.sha256.clone(),
        TreeFileKind::File(_) => "file".into(),
        TreeFileKind::Directory => "directory".into(),
        TreeFileKind::Symlink(target) => format!("-> {target}"),
    };
    format!("{kind} {:04o} {}:{}", file.mode, file.owner, file.group)
}

/// The regular files that are put into the tree, with their hashes.
pub fn regular_files<'a>(spec: &TreeSpec<'a>) -> impl Iterator<Item = (&'a TreeFile, &'a str)> {
    spec.files.iter().filter_map(|file| match &file.kind {
        TreeFileKind::File(content) => Some((file, content.sha256.as_str())),
        _ => None,
    })
}
