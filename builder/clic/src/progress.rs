//! How long work looks: bars on a terminal, one line a step elsewhere, JSON lines for programs.

mod bars;
mod lines;
mod rate;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clic_host::{Event, Log, Outcome, Sink, Unit};

pub use self::bars::Bars;
pub use self::lines::Lines;
use crate::output;

/// Says nothing.
pub struct Quiet;

impl Sink for Quiet {
    fn event(&self, _: &Event) {}
}

/// Reports to two places.
pub struct Both(pub Arc<dyn Sink>, pub Arc<dyn Sink>);

impl Sink for Both {
    fn event(&self, event: &Event) {
        self.0.event(event);
        self.1.event(event);
    }
}

/// Marks the stages in the log of the run, between what the tools print.
pub struct Logged(pub Log);

impl Sink for Logged {
    fn event(&self, event: &Event) {
        match event {
            Event::Start { stage, title, why } => self.0.line(&format!("=== {stage}: {title} ({why})")),
            Event::End {
                stage,
                outcome,
                seconds,
            } => {
                self.0.line(&format!(
                    "=== {stage}: {} in {}",
                    outcome_word(*outcome),
                    output::seconds(*seconds)
                ));
            }
            Event::Note { text } => self.0.line(&format!("=== note: {text}")),
            Event::Total { .. } | Event::Advance { .. } | Event::Message { .. } | Event::Stopping => {}
        }
    }
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Stopped => "stopped",
    }
}

/// A stage under way, for people.
struct Shown {
    title: String,
    why: String,
    begun: Instant,
    total: Option<(Unit, u64)>,
    done: u64,
    /// What it is busy with.
    message: String,
}

impl Shown {
    fn new(title: String, why: String) -> Self {
        Self {
            title,
            why,
            begun: Instant::now(),
            total: None,
            done: 0,
            message: String::new(),
        }
    }

    /// Its title, and what it is busy with: `Base system (configure dpkg)`.
    fn busy(&self) -> String {
        if self.message.is_empty() {
            self.title.clone()
        } else {
            format!("{} ({})", self.title, self.message)
        }
    }
}

/// What is said at once when a signal comes, for work that has to end: it names what is waited for.
fn stopping<'a>(stages: impl Iterator<Item = &'a Shown>) -> String {
    let mut running: Vec<&Shown> = stages.collect();
    running.sort_by_key(|stage| stage.begun);
    let names: Vec<String> = running.into_iter().map(Shown::busy).collect();
    match names.as_slice() {
        [] => "Stopping…".to_owned(),
        names => format!("Stopping… This waits for the end of: {}", names.join(", ")),
    }
}

/// `12.0 MB of 60.0 MB`, `3 of 260 packages`.
fn how_far(done: u64, total: Option<(Unit, u64)>) -> String {
    match total {
        Some((Unit::Bytes, total)) => format!("{} of {}", output::size(done), output::size(total)),
        Some((unit, total)) => format!("{done} of {}", output::counted(total, one(unit))),
        None => format!("{done} done"),
    }
}

fn one(unit: Unit) -> &'static str {
    match unit {
        Unit::Bytes => "byte",
        Unit::Packages => "package",
        Unit::Files => "file",
        Unit::Checks => "check",
    }
}

/// Every event as one JSON object on a line of standard output.
#[derive(Default)]
pub struct JsonLines {
    said: Mutex<HashMap<String, Instant>>,
}

/// Ten reports of one stage a second are as many as anybody can use.
const JSON_PAUSE: Duration = Duration::from_millis(100);

impl Sink for JsonLines {
    fn event(&self, event: &Event) {
        let mut said = lock(&self.said);
        match event {
            Event::Advance { stage, .. } => {
                if said.get(stage).is_some_and(|at| at.elapsed() < JSON_PAUSE) {
                    return;
                }
                said.insert(stage.clone(), Instant::now());
            }
            Event::End { stage, .. } => {
                said.remove(stage);
            }
            _ => {}
        }
        // The work goes on when its reader is gone; the result line will say so.
        let _ = output::json_line(event);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_said_in_its_unit() {
        assert_eq!(
            how_far(12_000_000, Some((Unit::Bytes, 60_000_000))),
            "12.0 MB of 60.0 MB"
        );
        assert_eq!(how_far(3, Some((Unit::Packages, 260))), "3 of 260 packages");
        assert_eq!(how_far(1, Some((Unit::Checks, 1))), "1 of 1 check");
        assert_eq!(how_far(3, None), "3 done");
    }

    #[test]
    fn who_stops_is_told_what_is_waited_for() {
        let mut first = Shown::new("Base system".into(), "why".into());
        first.message = "configure dpkg".into();
        let second = Shown::new("Downloads".into(), "why".into());
        assert_eq!(stopping(std::iter::empty()), "Stopping…");
        assert_eq!(
            stopping([&second, &first].into_iter()),
            "Stopping… This waits for the end of: Base system (configure dpkg), Downloads"
        );
    }
}
