//! For pipes, files and the simplest terminals: one plain line a step, with the time since the start, and a further one now and
//! then while a step is long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use clic_host::plain::one_line;
use clic_host::{Event, Outcome, Sink};

use super::{Shown, how_far, lock, outcome_word, stopping};
use crate::output;

/// A log that is silent for longer looks dead.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The reporter. Cloning shares it.
pub struct Lines(Arc<Inner>);

struct Inner {
    begun: Instant,
    verbose: bool,
    stages: Mutex<HashMap<String, Line>>,
}

struct Line {
    shown: Shown,
    said: Instant,
}

impl Lines {
    /// `verbose` also says what each stage is busy with, and how long it took.
    pub fn new(verbose: bool) -> Self {
        let inner = Arc::new(Inner {
            begun: Instant::now(),
            verbose,
            stages: Mutex::default(),
        });
        let watched = Arc::downgrade(&inner);
        // Without it there are only fewer lines.
        let _ = std::thread::Builder::new()
            .name("heartbeat".into())
            .spawn(move || heartbeats(&watched));
        Self(inner)
    }
}

/// Says now and then that stages are still running, until nobody reports any more.
fn heartbeats(lines: &Weak<Inner>) {
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let Some(lines) = lines.upgrade() else { return };
        for line in lines.due(Instant::now()) {
            lines.say(&line);
        }
    }
}

impl Inner {
    fn say(&self, text: &str) {
        let text = one_line(text);
        output::say(&format!("[{:>7.1} s] {text}", self.begun.elapsed().as_secs_f64()));
    }

    /// A line for each stage of which nothing was said for long.
    fn due(&self, now: Instant) -> Vec<String> {
        let mut stages = lock(&self.stages);
        let silent = |line: &&mut Line| now.saturating_duration_since(line.said) >= HEARTBEAT;
        let mut due: Vec<&mut Line> = stages.values_mut().filter(silent).collect();
        due.sort_by_key(|line| line.shown.begun);
        let still = |line: &mut Line| {
            line.said = now;
            let Shown {
                title,
                message,
                total,
                done,
                begun,
                ..
            } = &line.shown;
            let mut parts = Vec::new();
            if total.is_some() || *done > 0 {
                parts.push(how_far(*done, *total));
            }
            if !message.is_empty() {
                parts.push(message.clone());
            }
            if parts.is_empty() {
                let time = now.saturating_duration_since(*begun).as_secs_f64();
                parts.push(format!("still at it after {}", output::seconds(time)));
            }
            format!("{title}: {}", parts.join(", "))
        };
        due.into_iter().map(still).collect()
    }
}

impl Sink for Lines {
    fn event(&self, event: &Event) {
        let Self(lines) = self;
        let mut stages = lock(&lines.stages);
        match event {
            Event::Start { stage, title, why } => {
                lines.say(&format!("{title} ({why})"));
                let line = Line {
                    shown: Shown::new(title.clone(), why.clone()),
                    said: Instant::now(),
                };
                stages.insert(stage.clone(), line);
            }
            Event::Total { stage, unit, total } => {
                if let Some(line) = stages.get_mut(stage) {
                    line.shown.total = Some((*unit, *total));
                }
            }
            Event::Advance { stage, done } => {
                if let Some(line) = stages.get_mut(stage) {
                    line.shown.done = *done;
                }
            }
            Event::Message { stage, text } => {
                if let Some(line) = stages.get_mut(stage) {
                    line.shown.message.clone_from(text);
                    if lines.verbose {
                        line.said = Instant::now();
                        lines.say(&format!("{}: {text}", line.shown.title));
                    }
                }
            }
            Event::End {
                stage,
                outcome,
                seconds,
            } => {
                if let Some(line) = stages.remove(stage)
                    && (lines.verbose || *outcome != Outcome::Done)
                {
                    let (title, word) = (line.shown.title, outcome_word(*outcome));
                    lines.say(&format!("{title}: {word} in {}", output::seconds(*seconds)));
                }
            }
            Event::Note { text } => lines.say(&format!("note: {text}")),
            Event::Stopping => lines.say(&stopping(stages.values().map(|line| &line.shown))),
        }
    }
}

#[cfg(test)]
mod tests {
    use clic_host::Unit;

    use super::*;

    #[test]
    fn a_long_stage_says_that_it_lives() {
        let lines = Lines::new(false);
        let stage = || "boot".to_owned();
        lines.event(&Event::Start {
            stage: stage(),
            title: "Boot on bios".into(),
            why: "tcg".into(),
        });
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert_eq!(lines.0.due(later(5)), [""; 0]);
        assert_eq!(lines.0.due(later(75)).len(), 1);
        lines.event(&Event::Total {
            stage: stage(),
            unit: Unit::Checks,
            total: 58,
        });
        lines.event(&Event::Advance {
            stage: stage(),
            done: 45,
        });
        lines.event(&Event::Message {
            stage: stage(),
            text: "two guests join".into(),
        });
        assert_eq!(lines.0.due(later(80)), [""; 0], "it was just said");
        assert_eq!(
            lines.0.due(later(90)),
            ["Boot on bios: 45 of 58 checks, two guests join"]
        );
        lines.event(&Event::End {
            stage: stage(),
            outcome: Outcome::Done,
            seconds: 90.0,
        });
        assert_eq!(lines.0.due(later(900)), [""; 0]);
    }
}
