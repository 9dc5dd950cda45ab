//! Makes a layer of a tree twice and looks for what is different. What packages make anew each time they are installed is a secret
//! that all devices would share, a name that must be each device's own, or noise that keeps an image from being the same to the bit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use clic_host::{Stage, UserError, figures};
use clic_image::first_start::Like;
use clic_rootfs::clean;
use clic_tree::FileTree;

use super::Site;
use super::clean::{WRITTEN, differs};
use crate::compared::Compared;
use crate::layer::{Layer, Make};
use crate::secrets::Secrets;

/// How many paths an error names, and how many of one directory.
const SHOWN: usize = 40;
const TOGETHER: usize = 4;

impl<'a> Site<'a> {
    /// Whether a layer that was just made is to be made once more: it has packages that nobody has compared yet, or all are wanted
    /// twice.
    pub(super) fn is_to_be_compared(&self, layer: &Layer<'a>) -> Result<bool> {
        match layer.make {
            _ if self.options.twice => Ok(true),
            Make::Packages(part) => {
                let lacking = Compared::of(self.session.store)?.lacks(self.image.resolution, part);
                Ok(!lacking.is_empty())
            }
            _ => Ok(false),
        }
    }

    /// Makes a layer once more.
    ///
    /// Errors: it is different from `first`, the tar file of the same layer, in what neither a step of the first start nor an overlay
    /// speaks of.
    pub(super) fn compare(&mut self, layer: &Layer<'a>, first: &Path, stage: &Stage) -> Result<()> {
        stage.message("once more, to see whether the result is the same");
        let second = self.work_again(layer, stage)?;
        let mut trees = [first, &second].map(FileTree::read);
        let [Ok(first), Ok(second)] = &mut trees else {
            let [first, second] = trees;
            return first.and(second).map(drop).context("what was made twice");
        };
        for tree in [&mut *first, &mut *second] {
            clean::clean(tree, &BTreeSet::new());
        }
        let secrets = Secrets::of_files(self.image.files.iter().chain(&self.image.late))?;
        let varies = self
            .image
            .plan
            .varies
            .iter()
            .filter_map(|varies| Like::new(&varies.path));
        let varies: Vec<Like> = varies.collect();
        let expected = |path: &str| {
            let absolute = format!("/{path}");
            WRITTEN.contains(&path)
                || secrets.has(path)
                || secrets.is_made_on_device(path)
                || varies.iter().any(|like| like.has(&absolute))
        };
        let found = differences(first, second, &expected)?;
        let compared = Compared::of(self.session.store)?;
        let Make::Packages(part) = layer.make else {
            return refuse(&found, &[]);
        };
        let new: Vec<(&str, &str)> = self
            .image
            .resolution
            .part(part)
            .map(|package| (package.name.as_str(), package.version.as_str()))
            .filter(|(name, version)| !compared.has(name, version))
            .collect();
        refuse(&found, &new)?;
        compared.note(&new)
    }
}

/// Paths that are something else in the other tree, sorted, but for the expected ones.
fn differences(one: &FileTree, other: &FileTree, expected: &dyn Fn(&str) -> bool) -> Result<Vec<String>> {
    let paths: BTreeSet<&[u8]> = one.paths().chain(other.paths()).collect();
    let mut found = Vec::new();
    for path in paths {
        let path = String::from_utf8_lossy(path);
        if differs(one, other, &path)? && !expected(&path) {
            found.push(format!("/{path}"));
        }
    }
    Ok(found)
}

/// Paths; many of one directory are one line.
fn by_directory(paths: &[String]) -> Vec<String> {
    let mut directories: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for path in paths {
        let (directory, _) = path.rsplit_once('/').unwrap_or_default();
        directories.entry(directory).or_default().push(path);
    }
    let mut lines = Vec::new();
    for (directory, paths) in directories {
        if paths.len() > TOGETHER {
            lines.push(format!(
                "{directory}/* ({})",
                figures::counted(paths.len() as u64, "file")
            ));
        } else {
            lines.extend(paths.into_iter().cloned());
        }
    }
    lines
}

/// `new`: packages that may have made them, with their versions.
fn refuse(found: &[String], new: &[(&str, &str)]) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let mut why = String::from(
        "made twice, these files are different: a secret or a name that all devices would share, or noise",
    );
    let lines = by_directory(found);
    for line in lines.iter().take(SHOWN) {
        why.push_str("\n  ");
        why.push_str(line);
    }
    if lines.len() > SHOWN {
        why.push_str(&format!("\n  and {} more", lines.len() - SHOWN));
    }
    if !new.is_empty() && new.len() <= SHOWN {
        let names: Vec<&str> = new.iter().map(|(name, _)| *name).collect();
        why.push_str(&format!(
            "\nnew here, and so likely to have made them: {}",
            names.join(", ")
        ));
    }
    let path = &found[0];
    let help = format!(
        "if devices must not share them, let each make its own: write a step of the first start into an overlay of yours, \
         `files/usr/lib/clic/first-boot.d/50-NAME.toml`, with `never-in-image = [\"{path}\"]` and what makes it \
         (overlays/base/README.md); if they may, write this into its overlay.toml:\n[[varies]]\npath = \"{path}\"\nwhy = \"...\""
    );
    Err(UserError::new(why).help(help).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_different_is_told_by_its_path_unless_it_is_expected() {
        let mut one = FileTree::default();
        for path in ["/etc/key", "/etc/same", "/etc/own", "/var/only"] {
            one.write_file(path, b"1".to_vec());
        }
        let mut other = one.clone();
        other.write_file("/etc/key", b"2".to_vec());
        other.write_file("/etc/own", b"2".to_vec());
        other.remove(b"var/only");
        other.write_symlink("/etc/link", "same");
        let found = differences(&one, &other, &|path| path == "etc/own").unwrap();
        assert_eq!(found, ["/etc/key", "/etc/link", "/var/only"]);
        assert_eq!(differences(&one, &one.clone(), &|_| false).unwrap(), [""; 0]);
    }

    #[test]
    fn a_refusal_names_files_packages_and_the_lines_to_write() {
        refuse(&[], &[("munge", "1")]).unwrap();
        let mut found: Vec<String> = (0..50).map(|n| format!("/etc/{n:02}/key")).collect();
        found.extend((0..9).map(|n| format!("/var/lib/ldap/{n}")));
        let error = refuse(&found, &[("munge", "0.5")]).unwrap_err();
        let said = error.to_string();
        let told = [
            "/etc/00/key\n",
            "/etc/39/key\n",
            "and 11 more",
            "made them: munge",
        ];
        for part in told {
            assert!(said.contains(part), "{part:?} in {said}");
        }
        assert!(!said.contains("/etc/40/key"));
        assert_eq!(by_directory(&found).last().unwrap(), "/var/lib/ldap/* (9 files)");
        let help = format!("{:?}", error.downcast_ref::<UserError>().unwrap());
        for part in ["never-in-image", "[[varies]]", "/etc/00/key"] {
            assert!(help.contains(part), "{part:?} in {help}");
        }
    }
}
