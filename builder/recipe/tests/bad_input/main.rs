//! Everything that people can get wrong in a tree: each slip is told with its place and a way out.

mod checks;
mod disk;
mod files;
mod hostile;
mod names;
mod parameters;
mod report;
mod shape;
mod templates;
#[path = "../testtree/mod.rs"]
mod testtree;
mod tree;

use std::fmt::Write as _;

use testtree::TestTree;

const RECIPE: &str = "recipes/minimal.toml";
const PC: &str = "boards/pc.toml";
const PI: &str = "boards/pi.toml";
const OVERLAY: &str = "overlays/base/overlay.toml";

/// A file, what is replaced in it and by what, and what must be said: the start of a line, and of the help.
type Slip = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

fn told(slips: &[Slip]) {
    let mut wrong = String::new();
    for (file, from, to, message, help) in slips {
        let tree = TestTree::new();
        tree.edit(file, from, to);
        let said = tree.complaints();
        let lines: Vec<&str> = said.lines().collect();
        let at = lines.iter().position(|line| line.starts_with(message));
        let advice = at.and_then(|at| lines.get(at + 1)).copied().unwrap_or_default();
        let advised = help.is_empty() || (advice.starts_with("  help: ") && advice.contains(help));
        // One slip is one problem, however many boards the recipe has.
        let once = lines.iter().filter(|line| !line.starts_with("  help: ")).count() == 1;
        if at.is_none() || !advised || !once {
            let _ = writeln!(
                wrong,
                "\nslip:   {to}\nwanted: {message}\n  help: {help}\nsaid:   {said}"
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
