//! `clic doctor`: is this machine ready, and if not, the commands that make it so.

mod debian;
mod emulation;
mod namespaces;
pub mod tools;

use anyhow::Result;
use clic_host::{Outcome, UserError};
use serde::Serialize;
use serde_json::json;

use crate::context::Context;
use crate::output;

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// Stable, kebab-case.
    id: String,
    /// What was looked at.
    title: String,
    /// How it is.
    state: State,
    /// What was seen.
    detail: String,
    /// The command that fixes it.
    fix: Option<String>,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// As it should be.
    Good,
    /// It works, but slower or less than it could.
    Fair,
    /// Builds or tests fail without it.
    Missing,
}

impl Finding {
    fn new(id: &str, title: &str, state: State, detail: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            title: title.into(),
            state,
            detail: detail.into(),
            fix: None,
        }
    }

    fn good(id: &str, title: &str, detail: impl Into<String>) -> Self {
        Self::new(id, title, State::Good, detail)
    }

    fn fair(id: &str, title: &str, detail: impl Into<String>) -> Self {
        Self::new(id, title, State::Fair, detail)
    }

    /// What a room says it lacks: its help is the command that fixes it.
    fn of_error(id: &str, title: &str, error: &anyhow::Error) -> Self {
        match error.chain().find_map(|cause| cause.downcast_ref::<UserError>()) {
            Some(UserError { what, help }) => Self {
                fix: help.clone(),
                ..Self::new(id, title, State::Missing, what.clone())
            },
            None => Self::new(id, title, State::Missing, format!("{error:#}")),
        }
    }

    fn missing(id: &str, title: &str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            fix: Some(fix.into()),
            ..Self::new(id, title, State::Missing, detail)
        }
    }
}

/// The command that installs Debian packages.
fn install(packages: &[&str]) -> String {
    format!(
        "sudo apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    )
}

pub fn run(context: &Context) -> Result<Outcome> {
    let mut findings = Vec::new();
    namespaces::look(&mut findings);
    tools::look(&mut findings);
    emulation::look(&mut findings)?;
    let mirrors = debian::look(&mut findings);
    let ready = findings.iter().all(|finding| finding.state != State::Missing);
    if context.json {
        output::json(&json!({ "ready": ready, "findings": findings, "mirror": mirrors }))?;
    } else {
        show(&findings, context)?;
    }
    Ok(if ready { Outcome::Done } else { Outcome::Failed })
}

fn show(findings: &[Finding], context: &Context) -> Result<()> {
    let style = context.out;
    let state = |state| match state {
        State::Good => style.good("ok"),
        State::Fair => style.fair("could be better"),
        State::Missing => style.bad("missing"),
    };
    let mut rows = Vec::new();
    for finding in findings {
        rows.push(vec![
            state(finding.state),
            finding.title.clone(),
            finding.detail.clone(),
        ]);
        if let Some(fix) = &finding.fix {
            rows.push(vec![
                String::new(),
                String::new(),
                format!("fix: {}", style.bold(fix)),
            ]);
        }
    }
    let missing = findings
        .iter()
        .filter(|finding| finding.state == State::Missing)
        .count();
    let verdict = match missing {
        0 => style.good("This machine is ready."),
        1 => style.bad("This machine is not ready: one thing is missing."),
        n => style.bad(&format!("This machine is not ready: {n} things are missing.")),
    };
    output::text(&format!("{}\n{verdict}\n", output::table(&rows)))
}
