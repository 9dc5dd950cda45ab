//! What is done to a finished tree: it is held against what was resolved, what a build leaves is taken away, and what only the device
//! reads is laid over it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use clic_archive::Resolution;
use clic_debian::control;
use clic_host::figures;
use clic_image::embedded::{IMAGE_DESCRIPTION_PATH, ImageDescription};
use clic_recipe::Report;
use clic_recipe::plan::{TreeFile, TreeFileKind};
use clic_rootfs::{asked, clean, files};
use clic_tree::{Entry, FileTree, Follow, Kind, shown};

use super::{Site, makers};
use crate::image::Image;
use crate::refused;
use crate::secrets::Secrets;

impl Site<'_> {
    /// Puts the tree together and cleans it.
    pub(super) fn clean(&mut self) -> Result<()> {
        self.put_together()?;
        let image = self.image;
        let stage = self
            .session
            .progress
            .stage("clean", "Clean the tree", "from the layers, every time");
        compare(image.resolution, &installed(&self.tree)?)?;
        let mut problems = files::problems(&self.tree, &image.files, image.plan.places.files())?;
        problems.extend(asked::problems(
            &self.tree,
            &image.plan.preseeds,
            &image.plan.effects,
        )?);
        Report::of(problems).context("what the recipe asks is not what came out")?;
        Secrets::remove_made_on_device(&mut self.tree, &image.files)?;
        finish(&mut self.tree, image);
        stage.finish();
        Ok(())
    }

    /// Takes away what bakes have left, and lays over the tree what only the device reads.
    pub(super) fn late(&mut self) -> Result<()> {
        let image = self.image;
        if let Some(unbaked) = self.unbaked.take() {
            let changed = changed(&unbaked, &self.tree, &image.files)?;
            self.files.retain(|file| !changed.contains(file.path.as_str()));
            for path in changed {
                self.session.log.line(&format!("a bake has changed {path}"));
            }
            finish(&mut self.tree, image);
        }
        for file in &image.late {
            lay(&mut self.tree, file)?;
        }
        // Those of services, and what bakes left.
        Secrets::remove(&mut self.tree, &image.files)?;
        self.description = ImageDescription::new(image.plan, image.epoch, self.files.iter().copied());
        write(
            &mut self.tree,
            IMAGE_DESCRIPTION_PATH,
            self.description.to_json()?,
        )
    }

    /// Lays content bundles over the tree; with that it is finished.
    pub(super) fn content(&mut self) -> Result<()> {
        let (image, session) = (self.image, self.session);
        makers::lay(&mut self.tree, &image.plan.bundles, image.resolution, session)?;
        refused::check_pages(image.plan, &self.tree)?;
        self.tree.clamp(image.resolution.epoch);
        let (entries, bytes) = self.tree.count();
        self.bytes = bytes;
        let entries = figures::counted(entries, "entry");
        session
            .log
            .line(&format!("tree: {entries}, {}", figures::size(bytes)));
        Ok(())
    }
}

/// A package in a tree's database.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Installed {
    /// Package name.
    name: String,
    /// Version.
    version: String,
    /// Architecture, or `all`.
    arch: String,
}

/// What [`finish`] writes, whatever packages made of it.
pub(super) const WRITTEN: [&str; 4] = [
    "etc/apt/sources.list",
    "etc/machine-id",
    "etc/resolv.conf",
    "var/lib/apt/extended_states",
];

/// Takes the build's traces away and writes what only we know.
fn finish(tree: &mut FileTree, image: &Image<'_>) {
    // Both as asked for and where symlinks of the tree lead.
    let ours: BTreeSet<String> = image
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
        tree.write_file("/etc/apt/sources.list", image.sources_list.as_bytes().to_vec());
    }
    if theirs("/etc/machine-id") && image.resolution.get("systemd").is_some() {
        // Empty means "not yet": systemd makes one at first boot (machine-id(5)).
        tree.write_file("/etc/machine-id", Vec::new());
    }
    if theirs("/etc/resolv.conf") && image.resolution.get("systemd-resolved").is_some() {
        tree.write_symlink("/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
    }
    if image.resolution.get("apt").is_some() {
        tree.write_file(
            "/var/lib/apt/extended_states",
            extended_states(image.resolution).into_bytes(),
        );
    }
}

/// Lays a file over a finished tree.
pub(super) fn lay(tree: &mut FileTree, file: &TreeFile) -> Result<()> {
    let TreeFileKind::File(content) = &file.kind else {
        bail!("{} is not a file", file.path);
    };
    write(tree, &file.path, content.data.read()?.to_vec())
}

/// Writes a file, in directories that need not be there.
fn write(tree: &mut FileTree, path: &str, bytes: Vec<u8>) -> Result<()> {
    let path = path.trim_start_matches('/');
    if let Some((parent, _)) = path.rsplit_once('/') {
        tree.make_directories(parent)?;
    }
    tree.write_file(path, bytes);
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
fn installed(tree: &FileTree) -> Result<Vec<Installed>> {
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

/// Those of `files` that bakes have made something else of, or taken away: what a step has made of a file is the step's.
fn changed<'a>(before: &FileTree, after: &FileTree, files: &'a [TreeFile]) -> Result<BTreeSet<&'a str>> {
    let mut changed = BTreeSet::new();
    for file in files {
        if differs(before, after, &file.path)? {
            changed.insert(file.path.as_str());
        }
    }
    Ok(changed)
}

/// Whether what is at `path` is something else in another tree.
pub(super) fn differs(one: &FileTree, other: &FileTree, path: &str) -> Result<bool> {
    let (Some(before), Some(after)) = (one.get(path), other.get(path)) else {
        return Ok(one.get(path).is_some() != other.get(path).is_some());
    };
    let looks = |entry: &Entry| (entry.mode, entry.uid, entry.gid);
    let same_kind = match (&before.kind, &after.kind) {
        // Numbers of contents are each tree's own.
        (Kind::File(_), Kind::File(_)) => one.content(path)? == other.content(path)?,
        (before, after) => before == after,
    };
    Ok(!same_kind || looks(before) != looks(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_another_now_is_told() {
        let mut before = FileTree::default();
        before.write_file("/etc/shift", b"x".to_vec());
        before.write_file("/etc/same", b"same".to_vec());
        before.write_file("/etc/other", b"old".to_vec());
        before.write_file("/etc/gone", b"old".to_vec());
        let mut after = before.clone();
        after.remove(b"etc/gone");
        after.write_file("/etc/other", b"new".to_vec());
        after.write_file("/etc/same", b"same".to_vec());
        after.write_symlink("/etc/shift", "same");
        let told: Vec<&str> = ["/etc/same", "/etc/other", "/etc/gone", "/etc/shift", "/etc/never"]
            .into_iter()
            .filter(|path| differs(&before, &after, path).unwrap())
            .collect();
        assert_eq!(told, ["/etc/other", "/etc/gone", "/etc/shift"]);
    }
}
