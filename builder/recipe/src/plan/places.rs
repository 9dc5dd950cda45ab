//! Where what is in a plan was written: for problems that only show later.

use std::collections::BTreeMap;

use super::Plan;
use crate::overlay_files::EntryPlace;
use crate::report::Problem;
use crate::source::Origin;

/// Where a plan's parts were written. None of it is a part of the plan's text.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The recipe's first line.
    pub(crate) recipe: Option<Origin>,
    /// Files, directories and symlinks, by path.
    pub(crate) files: BTreeMap<String, EntryPlace>,
    /// Units, by name.
    pub(crate) units: BTreeMap<String, Origin>,
}

impl Places {
    /// Where files, directories and symlinks were written, by path.
    pub fn files(&self) -> &BTreeMap<String, EntryPlace> {
        &self.files
    }
}

impl Plan {
    /// A problem with the recipe as a whole. Lines after the message's first one are a part of the help.
    pub fn problem(&self, message: &str, help: Option<&str>) -> Problem {
        let (message, more) = message.split_once('\n').unwrap_or((message, ""));
        let problem = match &self.places.recipe {
            Some(origin) => Problem::at(origin, message),
            None => Problem::request(message),
        };
        let help: Vec<&str> = [help.unwrap_or_default(), more]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        if help.is_empty() {
            problem
        } else {
            problem.help(help.join("\n"))
        }
    }

    /// A problem with a file, directory or symlink that an overlay brings.
    pub fn problem_of_file(&self, path: &str, message: &str) -> Problem {
        match self.places.files.get(path) {
            Some(place) => place.problem(message.to_owned()),
            None => Problem::request(message),
        }
    }

    /// Where it is written what happens to a unit: `overlays/base/overlay.toml:12:8`.
    pub fn place_of_unit(&self, unit: &str) -> String {
        self.places
            .units
            .get(unit)
            .map(Origin::to_string)
            .unwrap_or_default()
    }
}
