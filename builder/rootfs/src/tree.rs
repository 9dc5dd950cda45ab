//! From a resolution to a configured, clean tree, stage by stage.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use clic_host::{Log, Progress};
use clic_recipe::plan::{Plan, TreeFile, TreeFileKind};
use clic_store::{Store, space};
use serde::Serialize;

use crate::accel::Counts;
use crate::stages::Stages;
use crate::{Resolution, clean, content, files};
use clic_debian::control;
use clic_tree::{FileTree as TarTree, Follow, shown};

/// What a tree is made of.
#[derive(Clone, Copy, Debug)]
pub struct TreeSpec<'a> {
    /// Architecture, preseeds and units.
    pub plan: &'a Plan,
    /// The packages.
    pub resolution: &'a Resolution,
    /// Everything that is put into the tree: the overlays' files and the image's own.
    pub files: &'a [TreeFile],
    /// Laid over the finished tree, in which nothing reads them: neither its stages nor a bake are made again when one of them
    /// changes. All regular files, of root.
    pub late: &'a [TreeFile],
    /// Run in the tree, in order, once packages and files are in place: program and arguments.
    pub commands: &'a [Vec<String>],
    /// The device's `/etc/apt/sources.list` (see [`Resolution::sources_list`]), unless `files` bring one.
    pub sources_list: &'a str,
    /// How much may go on at once.
    pub threads: usize,
    /// Make everything again, whatever the store holds.
    pub rebuild: bool,
    /// Have programs of a foreign tree run natively where that makes no difference.
    pub accelerate: bool,
}

impl TreeSpec<'_> {
    /// What its stages' inputs are remembered under: `minimal-x86-pc`.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.plan.recipe.name, self.plan.board.name)
    }
}

/// A finished tree. Its contents are in the store's layers.
#[derive(Debug)]
pub struct RootTree {
    /// Every entry.
    pub tree: TarTree,
    /// Every installed package, sorted by name, as the tree's own database has them.
    pub packages: Vec<Installed>,
    /// Number of entries (hard links included).
    pub entries: u64,
    /// Bytes of all regular files.
    pub bytes: u64,
    /// How programs of a foreign tree were started. `None` if none was by us: all stages were in the store, or the tree
    /// is of the host's own architecture, or nothing was accelerated.
    pub starts: Option<Counts>,
}

/// A package in a tree's database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Installed {
    /// Package name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture, or `all`.
    pub arch: String,
}

/// Builds the tree of `spec`, then lets `bake` change it, before content and what is late are laid over it. `bake` returns whether it
/// did anything. The store has its packages ([`Resolution::have`]); they are verified as they are opened.
///
/// Errors: [`clic_host::UserError`] for a host that lacks something, a unit or an owner that does not exist;
/// [`space::NoSpace`] before anything is unpacked; else the failing step with the end of its output.
pub fn build(
    spec: &TreeSpec<'_>,
    store: &Store,
    log: &Log,
    progress: &Progress,
    bake: impl FnOnce(&mut TarTree) -> Result<bool>,
) -> Result<RootTree> {
    let resolution = spec.resolution;
    let (mut tree, starts) = Stages::new(spec, store, log, progress)?.run()?;
    if let Some(starts) = &starts {
        progress.note(starts.to_string());
    }

    let stage = progress.stage("clean", "Clean the tree", "from the layers, every time");
    let packages = installed(&tree)?;
    compare(resolution, &packages)?;
    files::verify(&tree, spec.files)?;
    finish(&mut tree, spec);
    stage.finish();
    if bake(&mut tree)? {
        finish(&mut tree, spec);
    }
    late(&mut tree, spec.late)?;
    content::lay(&mut tree, &spec.plan.bundles, resolution, store, progress)?;
    tree.clamp(resolution.epoch);
    let (entries, bytes) = tree.count();
    log.line(&format!("tree: {entries} entries, {}", space::human(bytes)));
    Ok(RootTree {
        tree,
        packages,
        entries,
        bytes,
        starts,
    })
}

/// Takes the build's traces away and writes what only we know.
fn finish(tree: &mut TarTree, spec: &TreeSpec<'_>) {
    // Both as asked for and where symlinks of the tree lead.
    let ours: BTreeSet<String> = spec
        .files
        .iter()
        .flat_map(|file| {
            [
                Some(file.path.clone()),
                tree.resolve(&file.path, Follow::Directories)
                    .map(|path| shown(&path))
                    .ok(),
            ]
        })
        .flatten()
        .collect();
    clean::clean(tree, &ours);
    let theirs = |path: &str| !ours.contains(path);
    if theirs("/etc/apt/sources.list") {
        tree.write_file("/etc/apt/sources.list", spec.sources_list.as_bytes().to_vec());
    }
    if theirs("/etc/machine-id") && spec.resolution.get("systemd").is_some() {
        // Empty means "not yet": systemd makes one at first boot (machine-id(5)).
        tree.write_file("/etc/machine-id", Vec::new());
    }
    if theirs("/etc/resolv.conf") && spec.resolution.get("systemd-resolved").is_some() {
        tree.write_symlink("/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
    }
    if spec.resolution.get("apt").is_some() {
        tree.write_file(
            "/var/lib/apt/extended_states",
            extended_states(spec.resolution).into_bytes(),
        );
    }
}

/// Lays files over a finished tree.
fn late(tree: &mut TarTree, files: &[TreeFile]) -> Result<()> {
    for file in files {
        let path = file.path.trim_start_matches('/');
        let TreeFileKind::File(content) = &file.kind else {
            bail!("{} is no file", file.path);
        };
        if let Some((parent, _)) = path.rsplit_once('/') {
            tree.make_directories(parent)?;
        }
        tree.write_file(path, content.data.read()?.to_vec());
    }
    Ok(())
}

/// What apt knows of packages that nobody asked for, so that `apt autoremove` on the device can tell an old
/// kernel from one that is wanted.
fn extended_states(resolution: &Resolution) -> String {
    let automatic = resolution.packages.iter().filter(|package| package.automatic);
    // apt files packages of architecture `all` under the native one.
    automatic
        .map(|package| {
            format!(
                "Package: {}\nArchitecture: {}\nAuto-Installed: 1\n\n",
                package.name, resolution.arch
            )
        })
        .collect()
}

/// The packages in the tree's own database. One that is not fully installed is an error.
fn installed(tree: &TarTree) -> Result<Vec<Installed>> {
    let status = tree
        .content("var/lib/dpkg/status")?
        .context("the tree has no package database")?;
    let status = String::from_utf8_lossy(&status).into_owned();
    let mut packages = Vec::new();
    for stanza in control::stanzas(&status) {
        let get = |field: &str| control::field(stanza, field).unwrap_or_default().to_owned();
        let package = Installed {
            name: get("Package"),
            version: get("Version"),
            arch: get("Architecture"),
        };
        let state = get("Status");
        if state != "install ok installed" {
            bail!(
                "{} {} was not installed completely: its state is {state:?}",
                package.name,
                package.version
            );
        }
        packages.push(package);
    }
    packages.sort();
    Ok(packages)
}

/// The tree holds exactly the resolution.
fn compare(resolution: &Resolution, installed: &[Installed]) -> Result<()> {
    let wanted: BTreeMap<&str, (&str, &str)> = resolution
        .packages
        .iter()
        .map(|package| {
            (
                package.name.as_str(),
                (package.version.as_str(), package.arch.as_str()),
            )
        })
        .collect();
    let found: BTreeMap<&str, (&str, &str)> = installed
        .iter()
        .map(|package| {
            (
                package.name.as_str(),
                (package.version.as_str(), package.arch.as_str()),
            )
        })
        .collect();
    let names: BTreeSet<&str> = wanted.keys().chain(found.keys()).copied().collect();
    let show = |package: Option<&(&str, &str)>| {
        package.map_or("nothing".to_owned(), |(version, arch)| {
            format!("{version} {arch}")
        })
    };
    let differences: Vec<String> = names
        .into_iter()
        .filter(|name| wanted.get(name) != found.get(name))
        .map(|name| {
            format!(
                "{name}: resolved {}, installed {}",
                show(wanted.get(name)),
                show(found.get(name))
            )
        })
        .collect();
    if !differences.is_empty() {
        bail!(
            "the tree does not hold what was resolved:\n{}",
            differences.join("\n")
        );
    }
    Ok(())
}
