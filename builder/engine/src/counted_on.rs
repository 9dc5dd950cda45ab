//! Packages that the builder counts on, whatever a recipe asks for: with another one in their place, a build would end in an image
//! that does not start, or that nobody can test.

use clic_archive::Package;
use clic_archive::parts::Dependencies;
use clic_recipe::plan::PackageRequest;
use clic_recipe::{Plan, Problem, Report};

/// A package that must be there.
struct Needed {
    name: &'static str,
    /// What it does here.
    why: &'static str,
    /// What apt takes in its place when it is asked to.
    instead: &'static [&'static str],
}

const NEEDED: [Needed; 2] = [
    Needed {
        name: "systemd-sysv",
        why: "overlays' units, the first boot, bakes and boot tests are systemd's",
        instead: &["finit-sysv", "runit-init", "sysvinit-core"],
    },
    Needed {
        name: "initramfs-tools",
        // `initramfs` in rootfs/src/inside/customize.rs
        why: "its update-initramfs makes what the kernel starts with",
        instead: &["dracut", "tiny-initramfs"],
    },
];

/// Looks for them among the exact packages of a plan.
///
/// Errors: one is missing; who asks for what came in its place, and where.
pub fn check(plan: &Plan, packages: &[Package]) -> Result<(), Report> {
    let missing = NEEDED.iter().filter(|needed| !has(packages, needed.name));
    Report::of(
        missing
            .flat_map(|needed| problems(needed, plan, packages))
            .collect(),
    )
}

fn has(packages: &[Package], name: &str) -> bool {
    packages.iter().any(|package| package.name == name)
}

fn problems(needed: &Needed, plan: &Plan, packages: &[Package]) -> Vec<Problem> {
    let Needed { name, why, instead } = needed;
    let Some(other) = instead.iter().find(|other| has(packages, other)) else {
        let what = format!("no package of the image brings `{name}`: {why}");
        let help = format!("add \"{name}\" to `packages` of recipe `{}`", plan.recipe.name);
        return vec![Problem::request(what).help(help)];
    };
    let told = askers(other, plan, packages).into_iter().map(|request| {
        let by = if request.name == *other {
            String::new()
        } else {
            format!(", which `{}` depends on,", request.name)
        };
        let what =
            format!("`{other}`{by} takes the place of `{name}`, and the builder counts on that: {why}");
        Problem::at(&request.origin, what).help(format!("leave `{}` out", request.name))
    });
    let told: Vec<Problem> = told.collect();
    if told.is_empty() {
        let what = format!("`{other}` is in the image in place of `{name}`: {why}");
        return vec![Problem::request(what).help(format!("add \"{name}\" to `packages`"))];
    }
    told
}

/// Who asks for a package: by its name, or else by something that depends on it.
fn askers<'p>(name: &str, plan: &'p Plan, packages: &[Package]) -> Vec<&'p PackageRequest> {
    let by_name = |request: &&PackageRequest| request.name == name;
    if let Some(request) = plan.packages.iter().find(by_name) {
        return vec![request];
    }
    let stanzas: Vec<(&str, &str)> = packages
        .iter()
        .map(|package| (package.name.as_str(), package.stanza.as_str()))
        .collect();
    let dependencies = Dependencies::new(&stanzas);
    let depends = |request: &&PackageRequest| dependencies.closure([request.name.as_str()]).contains(name);
    plan.packages.iter().filter(depends).collect()
}

#[cfg(test)]
mod tests {
    use clic_recipe::{ResolveOptions, Tree, resolve};

    use super::*;
    use crate::testing::{Kitchen, resolution};

    /// A plan that asks for these on a PC.
    fn plan(kitchen: &Kitchen, packages: &[&str]) -> Plan {
        let recipe = format!(
            "schema = 1\ntitle = \"T\"\nsuite = \"bookworm\"\nboards = [\"x86-pc\"]\noverlays = []\npackages = {packages:?}\n"
        );
        kitchen.write("recipes/bread.toml", &recipe);
        let tree = Tree::open(kitchen.dir.path()).unwrap();
        resolve(&tree, "bread", "x86-pc", &ResolveOptions::default())
            .unwrap_or_else(|report| panic!("{report}"))
    }

    #[test]
    fn what_takes_the_place_of_a_package_that_is_counted_on_is_told_with_who_asks_for_it() {
        let kitchen = Kitchen::new();
        let whole = [
            ("initramfs-tools", ""),
            ("linux-image-amd64", ""),
            ("systemd-sysv", ""),
        ];
        check(&plan(&kitchen, &[]), &resolution(&whole).packages).unwrap();

        let plan = plan(&kitchen, &["vim", "dracut-live"]);
        let mut packages = resolution(&[
            ("dracut", ""),
            ("dracut-live", ""),
            ("linux-image-amd64", ""),
            ("sysvinit-core", ""),
            ("vim", ""),
        ])
        .packages;
        packages[1].stanza = "Package: dracut-live\nDepends: dracut".to_owned();
        assert_eq!(
            check(&plan, &packages).unwrap_err().to_string(),
            "`sysvinit-core` is in the image in place of `systemd-sysv`: overlays' units, the first boot, bakes and boot tests are \
             systemd's\n  help: add \"systemd-sysv\" to `packages`\n\
             recipes/bread.toml:6:20: `dracut`, which `dracut-live` depends on, takes the place of `initramfs-tools`, and the \
             builder counts on that: its update-initramfs makes what the kernel starts with\n  help: leave `dracut-live` out"
        );
    }

    #[test]
    fn a_package_that_is_counted_on_and_that_nobody_asks_for_is_told() {
        let kitchen = Kitchen::new();
        let plan = plan(&kitchen, &["dracut"]);
        assert_eq!(
            check(&plan, &resolution(&[("dracut", "")]).packages)
                .unwrap_err()
                .to_string(),
            "no package of the image brings `systemd-sysv`: overlays' units, the first boot, bakes and boot tests are systemd's\n  \
             help: add \"systemd-sysv\" to `packages` of recipe `bread`\n\
             recipes/bread.toml:6:13: `dracut` takes the place of `initramfs-tools`, and the builder counts on that: its \
             update-initramfs makes what the kernel starts with\n  help: leave `dracut` out"
        );
    }
}
