//! Putting entries into a tree and taking them out, such that it stays one: each has a directory above it, and each
//! hard link a file.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};

use super::{Kind, Node, Tree, normalise, parent};

impl Tree {
    /// Puts an entry at an absolute path and creates the directories above it (0755, root's) if there are none.
    /// What was there is replaced; a directory that has children can only be replaced by a directory.
    pub fn insert(&mut self, path: impl AsRef<[u8]>, node: Node) -> Result<()> {
        let path = normalise(path.as_ref())?;
        let shown = || String::from_utf8_lossy(&path).into_owned();
        if let Kind::Hardlink(target) = &node.kind {
            let known = self
                .get(target)
                .is_some_and(|at| !matches!(at.kind, Kind::Directory | Kind::Hardlink(_)));
            ensure!(
                known && *target != path,
                "{}: no file {} to link to",
                shown(),
                String::from_utf8_lossy(target)
            );
        }
        if !node.is_directory() {
            ensure!(path != b"/", "/ must be a directory");
            ensure!(
                self.children(&path).next().is_none(),
                "{} is a directory with files in it",
                shown()
            );
        }
        let mtime = node.mtime;
        let mut above = parent(&path);
        while let Some(directory) = above {
            match self.get(directory) {
                Some(node) if node.is_directory() => break,
                Some(_) => {
                    bail!(
                        "cannot put {} below {}: no directory",
                        shown(),
                        String::from_utf8_lossy(directory)
                    )
                }
                None => self
                    .entries
                    .insert(directory.to_vec(), Node::directory(0o755, mtime)),
            };
            above = parent(directory);
        }
        if self.get(&path).is_some_and(|old| !old.is_directory()) {
            self.remove(&path);
        }
        self.entries.insert(path, node);
        Ok(())
    }

    /// Takes out an entry with all below it; whether there was one. Other names of a removed file keep its bytes.
    /// `/` stays, empty.
    pub fn remove(&mut self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        let below =
            |other: &[u8]| other == path || other.strip_prefix(path).is_some_and(|rest| rest[0] == b'/');
        if path == b"/" {
            self.entries.retain(|path, _| path == b"/");
            return true;
        }
        let gone: Vec<Vec<u8>> = self
            .entries
            .range(path.to_vec()..)
            .map(|(path, _)| path)
            .take_while(|other| other.starts_with(path))
            .filter(|other| below(other))
            .cloned()
            .collect();
        let mut removed = BTreeMap::new();
        for path in gone {
            if let Some(node) = self.entries.remove(&path) {
                removed.insert(path, node);
            }
        }
        // The first of the names that are left becomes the file itself.
        let mut heirs: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        if removed.values().any(|node| !node.is_directory()) {
            for (path, node) in &mut self.entries {
                let Kind::Hardlink(target) = &mut node.kind else {
                    continue;
                };
                let Some(file) = removed.get(target) else { continue };
                if let Some(heir) = heirs.get(target) {
                    target.clone_from(heir);
                } else {
                    heirs.insert(target.clone(), path.clone());
                    *node = file.clone();
                }
            }
        }
        !removed.is_empty()
    }
}
