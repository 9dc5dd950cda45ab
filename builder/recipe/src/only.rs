//! What an overlay is for: suites of Debian, and architectures.

use crate::board::{Board, known_suite};
use crate::checker::{Checker, Written};
use crate::nearest::quoted;
use crate::plan::Arch;
use crate::raw::At;
use crate::recipe::Recipe;
use crate::report::Problems;
use crate::source::Sited;

/// The only suites and architectures that an overlay is for. None of a kind: all.
#[derive(Debug)]
pub(crate) struct Only {
    suites: Vec<String>,
    architectures: Vec<Arch>,
}

impl Only {
    pub(crate) fn check(
        suites: Option<At<Vec<At<String>>>>,
        architectures: Option<At<Vec<Arch>>>,
        checker: &mut Checker<'_>,
    ) -> Self {
        if let Some(list) = suites.as_ref().filter(|list| list.value.is_empty()) {
            empty(list, checker);
        }
        if let Some(list) = architectures.as_ref().filter(|list| list.value.is_empty()) {
            empty(list, checker);
        }
        let suites = checker.distinct(suites.map(|list| list.value).unwrap_or_default(), "suite");
        for suite in &suites {
            known_suite(suite, None, checker.problems);
        }
        Self {
            suites: suites.into_iter().map(|suite| suite.value).collect(),
            architectures: architectures.map(|list| list.value).unwrap_or_default(),
        }
    }

    /// Says what is wrong with `overlay` of this recipe, of this suite, on this board.
    pub(crate) fn fits(
        &self,
        overlay: &Sited<String>,
        recipe: &Recipe,
        suite: Option<&str>,
        board: &Board,
        problems: &mut Problems,
    ) {
        let name = &overlay.value;
        if let Some(suite) = suite
            && !self.suites.is_empty()
            && !self.suites.iter().any(|known| known == suite)
        {
            // The line that names the suite, which may be the parent's.
            let origin = recipe
                .suite
                .as_ref()
                .map_or(&overlay.origin, |suite| &suite.origin);
            problems
                .wrong(origin, format!("overlay `{name}` is not for suite `{suite}`"))
                .help(format!(
                    "it is for {}; take one of them, or leave `{name}` out of `overlays`",
                    quoted(&self.suites)
                ));
        }
        if !self.architectures.is_empty() && !self.architectures.contains(&board.arch) {
            let named = recipe
                .boards
                .iter()
                .find(|listed| listed.value == board.named.name);
            let known = self.architectures.iter().map(|arch| arch.debian());
            problems
                .wrong(
                    named.map_or(&overlay.origin, |board| &board.origin),
                    format!(
                        "overlay `{name}` is not for board `{}`, which is {}",
                        board.named.name, board.arch
                    ),
                )
                .help(format!(
                    "it is for {}; take the board out of `boards`, or leave `{name}` out of `overlays`",
                    quoted(&known.collect::<Vec<_>>())
                ));
        }
    }
}

fn empty(list: &impl Written, checker: &mut Checker<'_>) {
    checker
        .wrong(list, "this list is empty, so the overlay could never be used")
        .help("leave this out if the overlay is for all of them");
}
