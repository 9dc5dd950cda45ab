//! From an error to an exit code and a message.

use std::process::ExitCode;

use clic_host::{Cancelled, UserError, cancel};
use clic_recipe::{Problem, Report};
use serde_json::json;

use crate::context::Context;
use crate::output;

/// What a failed command tells its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The work failed.
    Work,
    /// The request was wrong.
    Request,
    /// A signal stopped it.
    Cancelled,
    /// Whoever read our output went away (`clic boards | head -1`): not worth a word.
    ReaderGone,
}

impl Kind {
    fn exit_code(self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Work => 1,
            Self::Request => 2,
            // 128 + SIGINT, as shells do.
            Self::Cancelled => 130,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Work | Self::ReaderGone => "work",
            Self::Request => "request",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An error on its way out.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    error: anyhow::Error,
}

impl Failure {
    /// Judges an error by what its chain holds.
    pub fn of(error: anyhow::Error) -> Self {
        let kind = if cancel::requested() || error.chain().any(is::<Cancelled>) {
            Kind::Cancelled
        } else if error.chain().any(is_request) {
            Kind::Request
        } else if error.chain().any(reader_gone) {
            Kind::ReaderGone
        } else {
            Kind::Work
        };
        Self { kind, error }
    }

    /// Says it on standard error (and as JSON on standard output where that was asked for).
    pub fn report(&self, context: &Context) -> ExitCode {
        if self.kind != Kind::ReaderGone {
            output::say(&self.text(context));
            if context.json {
                // Nothing is left to tell it to when standard output is closed as well.
                let _ = output::json_line(&json!({
                    "event": "error",
                    "kind": self.kind.name(),
                    "exit": self.kind.exit_code(),
                    "message": self.plain(),
                    "problems": self.problems().map(Report::entries).unwrap_or_default(),
                }));
            }
        }
        ExitCode::from(self.kind.exit_code())
    }

    /// For people: what people wrote is shown with its lines.
    fn text(&self, context: &Context) -> String {
        if self.kind == Kind::Cancelled {
            return self.plain();
        }
        let error = context.style.bad("error:");
        match self.problems() {
            // A request on the command line alone has no lines to show.
            Some(report)
                if report
                    .problems()
                    .iter()
                    .any(|problem| problem.position().is_some()) =>
            {
                let width = Context::width();
                let rendered = output::ours(&report.render(width, context.style.colors(), output::unicode()));
                let above: Vec<String> = self
                    .error
                    .chain()
                    .take_while(|cause| !cause.is::<Report>())
                    .map(ToString::to_string)
                    .collect();
                if above.is_empty() {
                    let what = mistakes(report);
                    format!("{error} {what}\n{}", rendered.trim_end())
                } else {
                    format!("{error} {}\n{}", above.join("\n  because: "), rendered.trim_end())
                }
            }
            _ => format!("{error} {}", self.plain()),
        }
    }

    /// What is wrong with what people wrote, if that is it.
    fn problems(&self) -> Option<&Report> {
        self.error
            .chain()
            .find_map(|cause| cause.downcast_ref::<Report>())
    }

    /// The causes from the outermost to the root, each on its own line unless the one before already says it.
    fn plain(&self) -> String {
        if self.kind == Kind::Cancelled {
            return Cancelled.to_string();
        }
        let mut lines: Vec<String> = Vec::new();
        for cause in self.error.chain() {
            let text = cause.to_string();
            if !lines.last().is_some_and(|last| last.ends_with(&text)) {
                lines.push(text);
            }
        }
        lines.join("\n  because: ")
    }
}

/// `1 mistake in recipes/nomad.toml`, `3 mistakes`.
fn mistakes(report: &Report) -> String {
    let count = output::counted(report.count(), "mistake");
    let mut files = report.problems().iter().map(Problem::file_name);
    let first = files.next().flatten();
    match first {
        // Where others are not listed, nobody knows where they are.
        Some(file) if report.count() == report.problems().len() && files.all(|other| other == first) => {
            format!("{count} in {}", file.display())
        }
        _ => count,
    }
}

/// Whether a link of an error's chain is a `T`.
pub fn is<T: std::error::Error + 'static>(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<T>()
}

pub fn is_request(cause: &(dyn std::error::Error + 'static)) -> bool {
    is::<UserError>(cause) || is::<Report>(cause)
}

/// Also inside of an [`std::io::Error`], whose own cause the chain leaves out.
fn reader_gone(cause: &(dyn std::error::Error + 'static)) -> bool {
    let inner = cause
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    is::<output::ReaderGone>(cause) || inner.is_some_and(|inner| is::<output::ReaderGone>(inner))
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn exit_codes_follow_the_chain() {
        let wrong = Err::<(), _>(UserError::new("no board x").help("clic boards")).context("building");
        assert_eq!(Failure::of(wrong.unwrap_err()).kind.exit_code(), 2);
        assert_eq!(Failure::of(anyhow!("disk full")).kind.exit_code(), 1);
        let stopped = Err::<(), _>(Cancelled).context("downloading");
        assert_eq!(Failure::of(stopped.unwrap_err()).kind.exit_code(), 130);
    }

    #[test]
    fn causes_are_listed_once() {
        let error = anyhow!("no space left")
            .context("cannot write a.img")
            .context("building: cannot write a.img");
        assert_eq!(
            Failure::of(error).plain(),
            "building: cannot write a.img\n  because: no space left"
        );
    }
}
