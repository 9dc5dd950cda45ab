//! What an overlay is for: suites of Debian, and architectures.

use std::sync::Arc;

use crate::board::{Board, distinct, known_suite};
use crate::nearest::quoted;
use crate::plan::Arch;
use crate::raw::{At, sited};
use crate::recipe::Recipe;
use crate::report::{Problem, Problems};
use crate::source::{Sited, SourceFile};

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
        file: &Arc<SourceFile>,
        problems: &mut Problems,
    ) -> Self {
        let mut empty = |is_empty: bool, origin| {
            if is_empty {
                problems.push(
                    Problem::at(&origin, "this list is empty, so the overlay could never be used")
                        .help("leave this out if the overlay is for all of them"),
                );
            }
        };
        if let Some(list) = &suites {
            empty(list.value.is_empty(), list.origin(file));
        }
        if let Some(list) = &architectures {
            empty(list.value.is_empty(), list.origin(file));
        }
        let suites = distinct(
            sited(suites.map(|list| list.value).unwrap_or_default(), file),
            "suite",
            problems,
        );
        for suite in &suites {
            known_suite(suite, None, problems);
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
            problems.push(
                Problem::at(origin, format!("overlay `{name}` is not for suite `{suite}`")).help(format!(
                    "it is for {}; take one of them, or leave `{name}` out of `overlays`",
                    quoted(&self.suites)
                )),
            );
        }
        if !self.architectures.is_empty() && !self.architectures.contains(&board.arch) {
            let named = recipe
                .boards
                .iter()
                .find(|listed| listed.value == board.named.name);
            let known = self.architectures.iter().map(|arch| arch.debian());
            problems.push(
                Problem::at(
                    named.map_or(&overlay.origin, |board| &board.origin),
                    format!(
                        "overlay `{name}` is not for board `{}`, which is {}",
                        board.named.name, board.arch
                    ),
                )
                .help(format!(
                    "it is for {}; take the board out of `boards`, or leave `{name}` out of `overlays`",
                    quoted(&known.collect::<Vec<_>>())
                )),
            );
        }
    }
}
