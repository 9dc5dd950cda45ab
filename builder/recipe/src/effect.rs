//! What overlays say that packages make of files.

use crate::checker::Checker;
use crate::plan::{Effect, Must};
use crate::raw::RawEffect;
use crate::report::Problems;
use crate::source::Sited;
use crate::template::{self, Source, Values};
use crate::tree::image_path;

/// An effect before its text is filled in.
#[derive(Debug)]
pub(crate) struct EffectTemplate {
    file: String,
    pub(crate) text: Sited<String>,
    is_target: bool,
}

/// Exactly one of `line` and `target`.
pub(crate) fn check(raw: RawEffect, checker: &mut Checker<'_>) -> Option<EffectTemplate> {
    if let Err(why) = image_path(&raw.file.value) {
        checker.wrong(&raw.file, why);
    }
    let is_target = raw.target.is_some();
    let text = match (raw.line, raw.target) {
        (Some(text), None) | (None, Some(text)) => text.sited(checker.file),
        (line, _) => {
            let found = if line.is_some() { "both" } else { "none" };
            checker
                .wrong(
                    &raw.file,
                    format!("an effect has exactly one of `line`, `target`; this has {found}"),
                )
                .help("`line`: the file has this line; `target`: the link leads to this path");
            return None;
        }
    };
    Some(EffectTemplate {
        file: raw.file.value,
        text,
        is_target,
    })
}

impl EffectTemplate {
    /// With its text filled in. `None` where that is empty: there is no such effect on this board or in this suite.
    pub(crate) fn fill(&self, values: &Values, problems: &mut Problems) -> Option<Effect> {
        let text = &self.text;
        let filled = template::render(Source::Inline(&text.origin, &text.value), values, problems)?;
        if filled.is_empty() {
            return None;
        }
        if self.is_target
            && let Err(why) = image_path(&filled)
        {
            problems.wrong(&text.origin, why);
            return None;
        }
        Some(Effect {
            file: self.file.clone(),
            must: if self.is_target {
                Must::Target(filled)
            } else {
                Must::Line(filled)
            },
            asked: values.asked(text),
        })
    }
}
