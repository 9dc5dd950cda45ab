//! Secrets that each device makes. While an image is baked, its first start makes throw-away ones, so that what needs them
//! runs; they do not come out. What packages made of them when they were installed is taken away before anything copies it. So
//! is what packages make anew each time, such as an empty database, if a step makes it on the device; that stays after a bake.

use std::collections::BTreeSet;

use anyhow::Result;
use clic_image::first_start::{Like, STEPS, Step};
use clic_recipe::plan::{TreeFile, TreeFileKind};
use clic_tree::{Entry, FileTree, Kind};

/// Where the secrets are, and what else devices make themselves.
#[derive(Debug, Default)]
pub struct Secrets {
    secrets: Vec<(String, Like)>,
    made_on_device: Vec<Like>,
}

impl Secrets {
    /// As the steps of the first start say that are in any of `trees`.
    pub fn declared<'a>(trees: impl IntoIterator<Item = &'a FileTree>) -> Result<Self> {
        let mut secrets = Self::default();
        for tree in trees {
            for path in tree.below(STEPS) {
                let path = String::from_utf8_lossy(&path).into_owned();
                secrets.add(&tree.content(&path)?.unwrap_or_default());
            }
        }
        Ok(secrets)
    }

    /// As the steps of the first start say that are among `files`, which an image is to have.
    pub fn of_files<'a>(files: impl IntoIterator<Item = &'a TreeFile>) -> Result<Self> {
        let mut secrets = Self::default();
        for file in files {
            let TreeFileKind::File(content) = &file.kind else {
                continue;
            };
            if file
                .path
                .strip_prefix(STEPS)
                .is_some_and(|rest| rest.starts_with('/'))
            {
                secrets.add(&content.data.read()?);
            }
        }
        Ok(secrets)
    }

    /// Those of a step. One that can't be read says nothing here: the image is refused for it in the end.
    fn add(&mut self, step: &[u8]) {
        if let Ok(step) = Step::parse(&String::from_utf8_lossy(step)) {
            let patterns = step
                .secrets()
                .filter_map(|text| Some((text.to_owned(), Like::new(text)?)));
            self.secrets.extend(patterns);
            self.made_on_device
                .extend(step.made_on_device().filter_map(Like::new));
        }
    }

    /// Absolute paths of secrets, whose parts may have `*` and `?`.
    pub fn patterns(&self) -> BTreeSet<&str> {
        self.secrets.iter().map(|(pattern, _)| pattern.as_str()).collect()
    }

    /// Takes the declared ones out of `tree`, but for what is asked for in `files`: if that is not an empty file, the image is refused
    /// for it.
    pub fn remove(tree: &mut FileTree, files: &[TreeFile]) -> Result<()> {
        let secrets = Self::declared([&*tree])?;
        take_away(tree, files, |tree, path, entry| {
            matches!(entry.kind, Kind::File(_)) && secrets.has(path) && tree.size(path) != Some(0)
        });
        Ok(())
    }

    /// Takes what devices make themselves out of `tree`, but for what is asked for in `files`. Not after a bake, which works with it.
    pub fn remove_made_on_device(tree: &mut FileTree, files: &[TreeFile]) -> Result<()> {
        let secrets = Self::declared([&*tree])?;
        take_away(tree, files, |_, path, _| secrets.is_made_on_device(path));
        Ok(())
    }

    /// Whether a path of a tree, without a slash at either end, is what devices make themselves, without being a secret.
    pub fn is_made_on_device(&self, path: &str) -> bool {
        let path = format!("/{path}");
        self.made_on_device.iter().any(|like| like.has_above(&path))
    }

    /// Whether a path of a tree, without a slash at either end, is one of them.
    pub fn has(&self, path: &str) -> bool {
        let path = format!("/{path}");
        self.secrets.iter().any(|(_, like)| like.has(&path))
    }
}

/// Removes each entry that `goes`, but for those in `files`, and the directories that lead there.
fn take_away(tree: &mut FileTree, files: &[TreeFile], goes: impl Fn(&FileTree, &str, &Entry) -> bool) {
    let asked_for = |path: &str| {
        files.iter().any(|file| {
            let file = file.path.trim_matches('/');
            file == path || file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
        })
    };
    let paths: Vec<String> = tree
        .entries()
        .map(|(path, entry)| (String::from_utf8_lossy(path).into_owned(), entry))
        .filter(|(path, entry)| goes(tree, path, entry) && !asked_for(path))
        .map(|(path, _)| path)
        .collect();
    for path in paths {
        tree.remove(path.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_those_that_steps_declare() {
        let (mut before, mut baked) = (FileTree::default(), FileTree::default());
        let step = |path: &str| format!("schema = 1\ntitle = \"x\"\nsecrets = [\"{path}\"]\n").into_bytes();
        before.write_file(&format!("{STEPS}/40-yunohost.toml"), step("/etc/certs/*/key.pem"));
        before.write_file(&format!("{STEPS}/41-wrong.toml"), b"no step".to_vec());
        baked.write_file(&format!("{STEPS}/70-wiki.toml"), step("/etc/wiki.key"));
        let secrets = Secrets::declared([&before, &baked]).unwrap();
        assert!(secrets.has("etc/certs/clic.internal/key.pem"));
        assert!(secrets.has("etc/wiki.key"));
        assert!(!secrets.has("etc/certs/clic.internal/crt.pem"));
        assert!(!secrets.has("etc/wiki.conf"));
    }

    #[test]
    fn what_devices_make_themselves_goes_with_all_below_it_and_is_no_secret() {
        let mut tree = FileTree::default();
        let step = "title = 'x'\nmade-on-device = ['/srv/db/*/main']\n";
        tree.write_file(&format!("{STEPS}/16-db.toml"), step.into());
        for path in [
            "/srv/db/15/main/base/1",
            "/srv/db/15/main/ours.conf",
            "/srv/db/15/other",
        ] {
            tree.write_file(path, "x".into());
        }
        let asked = TreeFile {
            path: "/srv/db/15/main/ours.conf".into(),
            from: "wiki".into(),
            kind: TreeFileKind::Directory,
            mode: 0o644,
            owner: "root".into(),
            group: "root".into(),
        };
        let secrets = Secrets::declared([&tree]).unwrap();
        assert!(secrets.is_made_on_device("srv/db/15/main/base/1") && !secrets.has("srv/db/15/main"));
        Secrets::remove_made_on_device(&mut tree, &[asked]).unwrap();
        let there =
            ["base", "base/1", "ours.conf"].map(|name| tree.get(format!("srv/db/15/main/{name}")).is_some());
        assert_eq!(there, [false, false, true]);
        assert!(tree.get("srv/db/15/other").is_some());
    }

    #[test]
    fn what_packages_made_goes_and_what_somebody_asks_for_stays() {
        let mut tree = FileTree::default();
        let step = "title = 'x'\nnever-in-image = ['/root/.rnd', '/etc/*.key', '/etc/asked']\n";
        tree.write_file(&format!("{STEPS}/40-yunohost.toml"), step.into());
        for (path, bytes) in [
            ("/root/.rnd", "x"),
            ("/etc/a.key", ""),
            ("/etc/b", "x"),
            ("/etc/asked", "x"),
        ] {
            tree.write_file(path, bytes.into());
        }
        let asked = TreeFile {
            path: "/etc/asked".into(),
            from: "wiki".into(),
            kind: TreeFileKind::Directory,
            mode: 0o644,
            owner: "root".into(),
            group: "root".into(),
        };
        Secrets::remove(&mut tree, &[asked]).unwrap();
        let there = ["root/.rnd", "etc/a.key", "etc/b", "etc/asked"].map(|path| tree.get(path).is_some());
        assert_eq!(there, [false, true, true, true]);
    }
}
