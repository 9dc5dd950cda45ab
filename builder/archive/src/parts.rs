//! Which part of an image a package belongs to: what every image of a suite has, what the recipe adds, and what only
//! the board needs. Two boards of one architecture have the first two in common.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use clic_debian::control;

/// The part of an image that a package belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Packages of priority required, apt, and all that these depend on.
    Base,
    /// What the recipe and its overlays ask for, and all that this depends on.
    Recipe,
    /// What only the board asks for: kernel, firmware, boot loader.
    Board,
}

/// Who depends on whom among the packages of one resolution.
pub struct Dependencies<'a> {
    needs: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Dependencies<'a> {
    /// Reads `Pre-Depends`, `Depends` and `Provides` of `(name, control stanza)`. Of alternatives, and of those that
    /// provide a name, all that are in the set count: any of them may be the one that is used.
    pub fn new(packages: &[(&'a str, &'a str)]) -> Self {
        let mut called: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
        for (name, stanza) in packages {
            called.entry(name).or_default().push(name);
            for provided in names(stanza, "Provides") {
                called.entry(provided).or_default().push(name);
            }
        }
        let mut needs = BTreeMap::new();
        for (name, stanza) in packages {
            let wanted = ["Pre-Depends", "Depends"]
                .into_iter()
                .flat_map(|field| names(stanza, field));
            let mut found: Vec<&str> = wanted
                .filter_map(|wanted| called.get(wanted))
                .flatten()
                .copied()
                .collect();
            found.sort_unstable();
            found.dedup();
            needs.insert(*name, found);
        }
        Self { needs }
    }

    /// Those of `roots` that are in the set, and everything that they depend on.
    pub fn closure<'r>(&self, roots: impl IntoIterator<Item = &'r str>) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&'a str> = roots
            .into_iter()
            .filter_map(|root| self.needs.get_key_value(root))
            .map(|(name, _)| *name)
            .collect();
        while let Some(name) = open.pop() {
            if found.insert(name) {
                open.extend(self.needs.get(name).into_iter().flatten());
            }
        }
        found
    }
}

/// The package names of a relationship field: `a (>= 1) | b:any, c [amd64]` names a, b and c.
fn names<'s>(stanza: &'s str, field: &str) -> impl Iterator<Item = &'s str> + use<'s> {
    let list = control::value(stanza, field).unwrap_or_default();
    list.split([',', '|']).filter_map(|one| {
        let name = one.trim().split([' ', '(', '[', ':', '<']).next()?;
        (!name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closures_follow_alternatives_and_what_is_provided() {
        let set = [
            (
                "bash",
                "Package: bash\nPre-Depends: libc6 (>= 2.36)\nDepends: base-files (>= 2), awk",
            ),
            ("libc6", "Package: libc6\n"),
            ("base-files", "Package: base-files\nDepends: bash"),
            ("mawk", "Package: mawk\nProvides: awk"),
            ("gawk", "Package: gawk\nProvides: awk (= 1), other"),
            // Folded, as whoever makes a package by hand may write it.
            ("sshd", "Package: sshd\nDepends: missing\n | perl:any,\n libc6"),
            ("perl", "Package: perl\nRecommends: kernel"),
            ("kernel", "Package: kernel\n"),
        ];
        let dependencies = Dependencies::new(&set);
        let closure = |root: &str| dependencies.closure([root]).into_iter().collect::<Vec<_>>();
        assert_eq!(closure("bash"), ["base-files", "bash", "gawk", "libc6", "mawk"]);
        assert_eq!(closure("sshd"), ["libc6", "perl", "sshd"]);
        assert_eq!(closure("not-there"), [""; 0]);
    }
}
