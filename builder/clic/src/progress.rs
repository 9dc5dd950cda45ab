//! How long work looks: bars on a terminal, one line a step elsewhere, JSON lines for programs.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clic_host::plain::one_line;
use clic_host::{Event, Log, Outcome, Sink, Unit};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{self, Style};

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
            Event::Total { .. } | Event::Advance { .. } | Event::Message { .. } => {}
        }
    }
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
    }
}

/// One plain line a step, with the time since the start; a further one now and then while a step is long.
pub struct Lines {
    begun: Instant,
    verbose: bool,
    stages: Mutex<HashMap<String, LineStage>>,
}

struct LineStage {
    title: String,
    total: Option<(Unit, u64)>,
    said: Instant,
}

/// A log that is silent for longer looks dead.
const HEARTBEAT: Duration = Duration::from_secs(30);

impl Lines {
    /// `verbose` also says what each stage is busy with, and how long it took.
    pub fn new(verbose: bool) -> Self {
        Self {
            begun: Instant::now(),
            verbose,
            stages: Mutex::default(),
        }
    }

    fn say(&self, text: &str) {
        let text = one_line(text);
        output::say(&format!("[{:>7.1} s] {text}", self.begun.elapsed().as_secs_f64()));
    }
}

impl Sink for Lines {
    fn event(&self, event: &Event) {
        let mut stages = lock(&self.stages);
        match event {
            Event::Start { stage, title, why } => {
                self.say(&format!("{title} ({why})"));
                let begun = LineStage {
                    title: title.clone(),
                    total: None,
                    said: Instant::now(),
                };
                stages.insert(stage.clone(), begun);
            }
            Event::Total { stage, unit, total } => {
                if let Some(stage) = stages.get_mut(stage) {
                    stage.total = Some((*unit, *total));
                }
            }
            Event::Advance { stage, done } => {
                if let Some(stage) = stages.get_mut(stage)
                    && stage.said.elapsed() >= HEARTBEAT
                {
                    stage.said = Instant::now();
                    self.say(&format!("{}: {}", stage.title, how_far(*done, stage.total)));
                }
            }
            Event::Message { stage, text } => {
                if let Some(stage) = stages.get_mut(stage)
                    && (self.verbose || stage.said.elapsed() >= HEARTBEAT)
                {
                    stage.said = Instant::now();
                    self.say(&format!("{}: {text}", stage.title));
                }
            }
            Event::End {
                stage,
                outcome,
                seconds,
            } => {
                if let Some(stage) = stages.remove(stage)
                    && (self.verbose || *outcome == Outcome::Failed)
                {
                    let word = outcome_word(*outcome);
                    self.say(&format!(
                        "{}: {word} in {}",
                        stage.title,
                        output::seconds(*seconds)
                    ));
                }
            }
            Event::Note { text } => self.say(&format!("note: {text}")),
        }
    }
}

/// `12.0 MB of 60.0 MB`, `3 of 260 packages`.
fn how_far(done: u64, total: Option<(Unit, u64)>) -> String {
    match total {
        Some((Unit::Bytes, total)) => format!("{} of {}", output::size(done), output::size(total)),
        Some((unit, total)) => format!("{done} of {total} {}", plural(unit)),
        None => format!("{done} done"),
    }
}

fn plural(unit: Unit) -> &'static str {
    match unit {
        Unit::Bytes => "bytes",
        Unit::Packages => "packages",
        Unit::Files => "files",
        Unit::Checks => "checks",
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

/// One bar for each running stage; a finished one leaves a line.
#[derive(Clone)]
pub struct Bars {
    style: Style,
    multi: MultiProgress,
    stages: Arc<Mutex<HashMap<String, BarStage>>>,
}

struct BarStage {
    title: String,
    why: String,
    bar: ProgressBar,
}

impl Bars {
    /// Bars on standard error.
    pub fn new(style: Style) -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        Self {
            style,
            multi,
            stages: Arc::default(),
        }
    }

    /// A writer to standard error that does not write across the bars.
    pub fn writer(&self) -> impl Write + use<> {
        AboveBars(self.multi.clone())
    }

    fn line(&self, text: &str) {
        // `MultiProgress::println` leaves the cursor at the end of its line when no bar follows.
        self.multi.suspend(|| output::say(text));
    }
}

impl Sink for Bars {
    fn event(&self, event: &Event) {
        let mut stages = lock(&self.stages);
        match event {
            Event::Start { stage, title, why } => {
                let bar = self.multi.add(ProgressBar::no_length());
                bar.set_style(spinner());
                bar.set_prefix(one_line(title).into_owned());
                bar.enable_steady_tick(Duration::from_millis(200));
                stages.insert(
                    stage.clone(),
                    BarStage {
                        title: one_line(title).into_owned(),
                        why: one_line(why).into_owned(),
                        bar,
                    },
                );
            }
            Event::Total { stage, unit, total } => {
                if let Some(stage) = stages.get(stage) {
                    stage.bar.set_style(bar_style(*unit));
                    stage.bar.set_length(*total);
                }
            }
            Event::Advance { stage, done } => {
                if let Some(stage) = stages.get(stage) {
                    stage.bar.set_position(*done);
                }
            }
            Event::Message { stage, text } => {
                if let Some(stage) = stages.get(stage) {
                    stage.bar.set_message(one_line(text).into_owned());
                }
            }
            Event::End {
                stage,
                outcome,
                seconds,
            } => {
                if let Some(stage) = stages.remove(stage) {
                    stage.bar.finish_and_clear();
                    self.multi.remove(&stage.bar);
                    let word = match outcome {
                        Outcome::Done => self.style.good("  done"),
                        Outcome::Failed => self.style.bad("failed"),
                    };
                    let time = output::seconds(*seconds);
                    let why = self.style.dim(&format!("({})", stage.why));
                    self.line(&format!("{word} {:<28} {time:>12}  {why}", stage.title));
                }
            }
            Event::Note { text } => self.line(&format!("{} {text}", self.style.fair("  note"))),
        }
    }
}

/// The templates are ours, so that they parse is a matter of the test below; a default style is not a disaster.
fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

const SPINNER: &str = "{spinner} {prefix:<28} {elapsed:>5}  {wide_msg}";
const BYTES: &str = "{spinner} {prefix:<28} [{bar:24}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}, {eta} left  {wide_msg}";
const COUNT: &str = "{spinner} {prefix:<28} [{bar:24}] {pos}/{len}, {eta} left  {wide_msg}";

fn spinner() -> ProgressStyle {
    template(SPINNER)
}

fn bar_style(unit: Unit) -> ProgressStyle {
    match unit {
        Unit::Bytes => template(BYTES),
        Unit::Packages | Unit::Files | Unit::Checks => template(COUNT),
    }
}

struct AboveBars(MultiProgress);

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.suspend(|| output::StandardError.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        output::StandardError.flush()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_parse() {
        for text in [SPINNER, BYTES, COUNT] {
            assert!(ProgressStyle::with_template(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn progress_is_said_in_its_unit() {
        assert_eq!(
            how_far(12_000_000, Some((Unit::Bytes, 60_000_000))),
            "12.0 MB of 60.0 MB"
        );
        assert_eq!(how_far(3, Some((Unit::Packages, 260))), "3 of 260 packages");
        assert_eq!(how_far(3, None), "3 done");
    }

    #[test]
    fn bars_survive_unknown_stages() {
        let bars = Bars::new(Style::new(false));
        bars.event(&Event::Advance {
            stage: "never-begun".into(),
            done: 1,
        });
        bars.event(&Event::End {
            stage: "never-begun".into(),
            outcome: Outcome::Done,
            seconds: 0.0,
        });
    }
}
