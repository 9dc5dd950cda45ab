//! Which kernel starts, where an image has several.

use std::cmp::Ordering;

use clic_archive::{Package, Part, Resolution};
use clic_debian::version;

/// The kernels of an image that has more than one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernels {
    /// The version of the one that starts, as `uname -r` says it: `6.1.0-47-rt-amd64`.
    pub first: String,
    /// Those of the others, the next best first.
    pub others: Vec<String>,
}

impl Kernels {
    /// The kernels of exact packages; `None` if there are not several. What the recipe or an overlay asks for comes before what only
    /// the board does, then the highest version.
    pub fn of(resolution: &Resolution) -> Option<Self> {
        let mut found: Vec<(&Package, &str)> = resolution
            .packages
            .iter()
            .filter_map(|package| Some((package, version_of(&package.name)?)))
            .collect();
        found.sort_by(|a, b| order(b, a));
        found.dedup_by_key(|(_, version)| *version);
        let mut versions = found.into_iter().map(|(_, version)| version.to_owned());
        let first = versions.next()?;
        let others: Vec<String> = versions.collect();
        (!others.is_empty()).then_some(Self { first, others })
    }
}

/// For people.
impl std::fmt::Display for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} starts, not {}", self.first, self.others.join(" or "))
    }
}

/// What a package calls the kernel that it brings: `linux-image-6.1.0-47-amd64`. The names without a number only lead to one.
fn version_of(package: &str) -> Option<&str> {
    let version = package.strip_prefix("linux-image-")?;
    let version = version.strip_suffix("-unsigned").unwrap_or(version);
    (version.starts_with(|c: char| c.is_ascii_digit()) && !version.ends_with("-dbg")).then_some(version)
}

fn order(a: &(&Package, &str), b: &(&Package, &str)) -> Ordering {
    let asked = |package: &Package| package.part != Part::Board;
    asked(a.0)
        .cmp(&asked(b.0))
        .then_with(|| version::compare_part(a.1, b.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::resolution;

    /// These packages; those with `!` only the board asks for.
    fn kernels(names: &[&str]) -> Option<Kernels> {
        let packages: Vec<(&str, &str)> = names.iter().map(|name| (name.trim_matches('!'), "1")).collect();
        let mut resolution = resolution(&packages);
        for (package, name) in resolution.packages.iter_mut().zip(names) {
            if name.ends_with('!') {
                package.part = Part::Board;
            }
        }
        Kernels::of(&resolution)
    }

    #[test]
    fn one_kernel_is_no_choice() {
        assert_eq!(kernels(&["bash"]), None);
        assert_eq!(
            kernels(&[
                "linux-image-amd64!",
                "linux-image-6.1.0-47-amd64!",
                "linux-image-6.1.0-47-amd64-dbg"
            ]),
            None
        );
    }

    #[test]
    fn what_the_recipe_asks_for_starts_and_of_that_the_highest_version() {
        let said = |names: &[&str]| kernels(names).unwrap().to_string();
        assert_eq!(
            said(&["linux-image-6.1.0-47-amd64!", "linux-image-6.1.0-47-rt-amd64"]),
            "6.1.0-47-rt-amd64 starts, not 6.1.0-47-amd64"
        );
        // Even if it is older.
        assert_eq!(
            said(&["linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-47-amd64!"]),
            "6.1.0-9-cloud-amd64 starts, not 6.1.0-47-amd64"
        );
        assert_eq!(
            said(&[
                "linux-image-6.1.0-47-amd64!",
                "linux-image-6.1.0-9-rt-amd64",
                "linux-image-6.12.9+bpo-rt-amd64-unsigned",
            ]),
            "6.12.9+bpo-rt-amd64 starts, not 6.1.0-9-rt-amd64 or 6.1.0-47-amd64"
        );
    }
}
