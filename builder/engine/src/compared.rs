//! Packages whose results were compared: installed twice, they made the same, or what was different is known.
//!
//! ```text
//! compared.txt        names, of all packages of the recipes that we ship: their builds are compared by night
//! <store>/compared    names and versions, one each line, of others that were compared with this store
//! ```

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use clic_archive::{Part, Resolution};
use clic_store::space::io_error;
use clic_store::{Store, publish};

/// One name each line. `scripts/compared` writes it.
const SHIPPED: &str = include_str!("compared.txt");

/// What was compared so far.
#[derive(Debug)]
pub struct Compared<'a> {
    store: &'a Store,
    path: PathBuf,
    ours: BTreeSet<String>,
}

impl<'a> Compared<'a> {
    /// As a store and we know it.
    pub fn of(store: &'a Store) -> Result<Self> {
        let path = store.dir().join("compared");
        let ours = match std::fs::read_to_string(&path) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(io_error(error, &path)),
        };
        Ok(Self { store, path, ours })
    }

    /// Whether a package was compared.
    pub fn has(&self, name: &str, version: &str) -> bool {
        SHIPPED.lines().any(|shipped| shipped == name) || self.ours.contains(&format!("{name} {version}"))
    }

    /// Names of a part's packages that were not; of very many, some.
    pub fn lacks(&self, resolution: &Resolution, part: Part) -> Vec<String> {
        const SHOWN: usize = 3;
        let packages = resolution.part(part);
        let lacking = packages.filter(|package| !self.has(&package.name, &package.version));
        let mut names: Vec<String> = lacking.map(|package| package.name.clone()).collect();
        let more = names.len().saturating_sub(SHOWN);
        names.truncate(SHOWN);
        if more > 0 {
            names.push(format!("{more} more"));
        }
        names
    }

    /// Notes packages and their versions.
    pub fn note(&self, packages: &[(&str, &str)]) -> Result<()> {
        if packages.is_empty() {
            return Ok(());
        }
        let _held = self.store.lock("compared")?;
        // Another build may have noted something meanwhile.
        let mut ours = Self::of(self.store)?.ours;
        ours.extend(packages.iter().map(|(name, version)| format!("{name} {version}")));
        let mut file = publish(&self.path)?;
        let lines: Vec<&str> = ours.iter().map(String::as_str).collect();
        std::io::Write::write_all(file.file(), (lines.join("\n") + "\n").as_bytes())
            .map_err(|error| io_error(error, &self.path))?;
        file.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compared_is_known_by_name_and_version() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let compared = Compared::of(&store).unwrap();
        assert!(compared.has("base-files", "any"));
        assert!(!compared.has("munge", "0.5"));
        compared.note(&[("munge", "0.5")]).unwrap();
        // One that was read before.
        compared.note(&[("nsd", "4")]).unwrap();
        let compared = Compared::of(&store).unwrap();
        assert!(compared.has("munge", "0.5") && compared.has("nsd", "4"));
        assert!(!compared.has("munge", "0.6") && !compared.has("mun", "0.5"));
    }

    #[test]
    fn our_list_is_sorted_and_has_each_name_once() {
        let names: Vec<&str> = SHIPPED.lines().collect();
        assert!(names.is_sorted_by(|one, other| one < other));
    }
}
