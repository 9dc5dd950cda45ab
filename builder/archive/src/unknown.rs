//! Packages that do not exist: where they were asked for, and what may have been meant.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use clic_host::{Progress, UserError};
use clic_recipe::plan::{PackageRequest, Plan};
use clic_store::{Session, space};

use crate::apt::{Apt, Line};
use crate::index::Index;
use crate::options::ResolveOptions;
use crate::resolution::DEBIAN;

/// Every component that Debian has, for hints about where a package is.
const ALL_COMPONENTS: [&str; 4] = ["main", "contrib", "non-free", "non-free-firmware"];

/// Where the packages of other components and architectures are: `name -> (arch, component)`.
pub type Elsewhere = BTreeMap<String, BTreeSet<(String, String)>>;

/// Looks at every component and architecture that we build for. Only done for an error's hint.
pub fn elsewhere(
    plan: &Plan,
    lines: &[Line],
    options: &ResolveOptions,
    session: Session<'_>,
) -> Result<Elsewhere> {
    let mut found = Elsewhere::new();
    if session.store.is_offline() {
        return Ok(found);
    }
    let lines: Vec<Line> = lines
        .iter()
        .filter(|line| line.source == DEBIAN && line.suite == plan.suite)
        .map(|line| Line {
            components: ALL_COMPONENTS.map(str::to_owned).to_vec(),
            ..line.clone()
        })
        .collect();
    let progress = Progress::silent();
    let apt = Apt::new(
        Session {
            progress: &progress,
            ..session
        },
        &lines,
        &["amd64", "arm64"],
        options,
    )?;
    apt.update(&progress)?;
    for path in apt.lists()? {
        // ..._dists_bookworm_non-free_binary-arm64_Packages
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut parts = name.rsplit('_');
        let (Some("Packages"), Some(arch), Some(component)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let arch = arch.strip_prefix("binary-").unwrap_or(arch);
        let text = std::fs::read(&path).map_err(|error| space::io_error(error, &path))?;
        for package in String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| line.strip_prefix("Package: "))
        {
            found
                .entry(package.to_owned())
                .or_default()
                .insert((arch.to_owned(), component.to_owned()));
        }
    }
    Ok(found)
}

/// The error that names every unknown package, its place in the recipe, and what may be meant.
pub fn error(
    unknown: &[&PackageRequest],
    index: &Index<'_>,
    elsewhere: &Elsewhere,
    plan: &Plan,
) -> anyhow::Error {
    let (suite, arch) = (&plan.suite, plan.arch.debian());
    let mut what = String::new();
    let mut help = Vec::new();
    for request in unknown {
        let name = &request.name;
        if !what.is_empty() {
            what.push('\n');
        }
        what += &format!(
            "{}: there is no package {name:?} in {suite} for {arch}",
            request.origin
        );
        if let Some(providers) = index.provided.get(name.as_str()) {
            let mut providers = providers.clone();
            providers.sort_unstable();
            help.push(format!(
                "{name} is a name that several packages provide; ask for one of them: {}",
                providers.join(", ")
            ));
            continue;
        }
        if let Some(places) = elsewhere.get(name) {
            let here = places.iter().find(|(other, _)| other == arch || other == "all");
            help.push(if let Some((_, component)) = here {
                format!("{name} is in the component {component}: add it in recipes/{}.toml: `components = [\"{component}\"]`", plan.recipe.name)
            } else {
                let archs: BTreeSet<&str> = places.iter().map(|(arch, _)| arch.as_str()).collect();
                format!(
                    "{name} exists only for {}",
                    archs.into_iter().collect::<Vec<_>>().join(", ")
                )
            });
            continue;
        }
        let near = nearest(name, index.stanzas.keys().copied());
        if !near.is_empty() {
            help.push(format!("{name}: did you mean {}?", near.join(", ")));
        }
    }
    let error = UserError::new(what);
    if help.is_empty() {
        error.into()
    } else {
        error.help(help.join("\n  help: ")).into()
    }
}

/// Up to three names that look like this one, the nearest first.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(i64, &str)> = names
        .filter_map(|other| {
            let likeness = strsim::jaro_winkler(name, other);
            // Per mille, so that it can be sorted by.
            #[allow(clippy::cast_possible_truncation, reason = "between 0 and 1000")]
            let likeness = (likeness * 1000.0) as i64;
            let close = strsim::damerau_levenshtein(name, other) <= 1 + name.len() / 4;
            (close || (likeness >= 930 && other.starts_with(name))).then_some((likeness, other))
        })
        .collect();
    near.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    near.into_iter().take(3).map(|(_, other)| other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_of_another_component_says_what_the_recipe_lacks() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let tree = clic_recipe::Tree::open(&root).unwrap();
        let options = clic_recipe::ResolveOptions::default();
        let plan = clic_recipe::resolve(&tree, "minimal", "x86-pc", &options).unwrap();
        let request = PackageRequest {
            name: "fonts-of-theirs".into(),
            ..plan.packages[0].clone()
        };
        let place = ("amd64".to_owned(), "contrib".to_owned());
        let elsewhere = Elsewhere::from([("fonts-of-theirs".to_owned(), BTreeSet::from([place]))]);
        let said = error(&[&request], &Index::new(""), &elsewhere, &plan).to_string();
        let help = "help: fonts-of-theirs is in the component contrib: add it in recipes/minimal.toml: `components = [\"contrib\"]`";
        assert!(said.ends_with(help), "{said}");
    }

    #[test]
    fn near_names() {
        let names = [
            "openssh-server",
            "openssh-client",
            "opensshd",
            "bash",
            "linux-image-amd64",
        ];
        assert_eq!(nearest("openssh-sever", names.into_iter())[0], "openssh-server");
        assert_eq!(
            nearest("linux-image-amd46", names.into_iter()),
            ["linux-image-amd64"]
        );
        assert!(nearest("zzzzzz", names.into_iter()).is_empty());
    }
}
