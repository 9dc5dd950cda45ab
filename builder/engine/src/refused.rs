//! What a build would refuse for what a plan alone says, where only rooms after `recipe` know of it; and, once the tree is there, for
//! what packages do not bring.

use clic_host::UserError;
use clic_image::boot;
use clic_image::ids::Ids;
use clic_recipe::plan::Place;
use clic_recipe::{Plan, Problem, Report};
use clic_tree::{FileTree, Follow, Kind};

use crate::{fits, portal};

/// Everything that a build would refuse before it asks for packages.
pub fn foreseen(plan: &Plan) -> Vec<Problem> {
    let mut problems = without_sizes(plan);
    if let Err(error) = fits::check(plan, None) {
        problems.push(of(plan, &error));
    }
    problems
}

/// Like [`foreseen`], for who tells by itself that there is no room.
///
/// Errors: a [`Report`] of all of it.
pub fn check(plan: &Plan) -> Result<(), Report> {
    Report::of(without_sizes(plan))
}

fn without_sizes(plan: &Plan) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Err(error) = portal::files(plan) {
        // A line for each.
        let text = format!("{error:#}");
        let (whole, each) = text
            .split_once(":\n- ")
            .unwrap_or(("the portal can't be made", &text));
        let each = each.split("\n- ");
        problems.extend(each.map(|one| plan.problem(&format!("{whole}: {one}"), None)));
    }
    match boot::tree_files(plan, &[], &Ids::derive(&[]), 0) {
        Ok(own) => {
            let taken = plan
                .files
                .iter()
                .filter(|file| own.iter().any(|own| own.path == file.path));
            problems.extend(taken.map(|file| {
                let UserError { what, help } = boot::taken(file);
                let problem = plan.problem_of_file(&file.path, &what);
                match help {
                    Some(help) => problem.help(help),
                    None => problem,
                }
            }));
        }
        Err(error) => problems.push(of(plan, &error)),
    }
    problems
}

/// A problem with the recipe: what an error says, and its help.
fn of(plan: &Plan, error: &anyhow::Error) -> Problem {
    match error.downcast_ref::<UserError>() {
        Some(UserError { what, help }) => plan.problem(what, help.as_deref()),
        None => plan.problem(&format!("{error:#}"), None),
    }
}

/// Whether the pages that services show are in a finished tree.
///
/// Errors: a [`Report`] of those that are not, each with its place in the recipe.
pub fn check_pages(plan: &Plan, tree: &FileTree) -> Result<(), Report> {
    let mut problems = Vec::new();
    for service in &plan.services {
        let Place::Root(root) = &service.place else {
            continue;
        };
        let there = tree.resolve(root, Follow::All).ok();
        if !there
            .and_then(|at| tree.get(&at))
            .is_some_and(|entry| matches!(entry.kind, Kind::Directory))
        {
            let what = format!(
                "service `{}` shows {root}, and the image has no such directory",
                service.name
            );
            problems.push(Problem::at(&service.place_origin, what).help(
                "no package, overlay or bundle of this recipe brings it; an overlay can, in its `files/` or, if it is empty at \
                 first, with `[[directory]]`",
            ));
        }
    }
    Report::of(problems)
}

#[cfg(test)]
mod tests {
    use clic_recipe::{ResolveOptions, Tree, resolve};

    use super::*;
    use crate::testing::Kitchen;

    #[test]
    fn pages_that_no_package_brings_are_told_with_their_place() {
        let kitchen = Kitchen::new();
        let head = "schema = 1\ntitle = \"T\"\ndescription = \"D\"\n";
        let provides = "[provides.services]\ndirectory = \"/srv/services\"\n";
        kitchen.write("overlays/switches/overlay.toml", &format!("{head}{provides}"));
        kitchen.write(
            "recipes/pages.toml",
            "schema = 1\ntitle = \"T\"\nsuite = \"bookworm\"\nboards = [\"x86-pc\"]\noverlays = [\"switches\"]\n[[service]]\n\
             name = \"pages\"\nkind = \"static\"\ntitle = { fr = \"P\", en = \"P\" }\ndescription = { fr = \"D\", en = \"D\" }\n\
             category = \"learning\"\npath = \"/pages\"\nroot = \"/usr/share/pages\"\n",
        );
        let tree = Tree::open(kitchen.dir.path()).unwrap();
        let plan = resolve(&tree, "pages", "x86-pc", &ResolveOptions::default()).unwrap();
        let mut image = FileTree::default();
        image.make_directories("usr/share").unwrap();
        let said = check_pages(&plan, &image).unwrap_err().to_string();
        assert!(
            said.starts_with(
                "recipes/pages.toml:13:8: service `pages` shows /usr/share/pages, and the image has no such directory\n  help: "
            ),
            "{said}"
        );
        image.make_directories("usr/share/pages").unwrap();
        check_pages(&plan, &image).unwrap();
    }
}
