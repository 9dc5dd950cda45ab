//! Long work shows itself: stages that say why they run and how far they are.
//!
//! Rooms report to a [`Progress`]; the command line decides how it looks (bars, plain lines, JSON lines).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cancel;

/// What a stage counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes, shown as kB, MB or GB.
    Bytes,
    /// Debian packages.
    Packages,
    /// Files and directories.
    Files,
    /// Checks of a boot test.
    Checks,
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It did its work.
    Done,
    /// It was left before its end, by an error.
    Failed,
    /// It was left before its end, by a signal.
    Stopped,
}

/// One thing that happened. `stage` is a short, stable, kebab-case id (`resolve`, `download`, `tree`, ...).
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A stage begins; `why` says what made it run (invariant 9).
    Start {
        /// Stable id.
        stage: String,
        /// What a person reads.
        title: String,
        /// Why it runs, e.g. `no cached tree`, `input changed: packages`.
        why: String,
    },
    /// The stage knows how much there is to do.
    Total {
        /// Stable id.
        stage: String,
        /// What is counted.
        unit: Unit,
        /// How many in all.
        total: u64,
    },
    /// `done` of the total are done.
    Advance {
        /// Stable id.
        stage: String,
        /// How many so far.
        done: u64,
    },
    /// What the stage is busy with, e.g. a package name. Replaces the message before.
    Message {
        /// Stable id.
        stage: String,
        /// What a person reads.
        text: String,
    },
    /// The stage ended.
    End {
        /// Stable id.
        stage: String,
        /// How it ended.
        outcome: Outcome,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// Something worth a person's eye that is not an error.
    Note {
        /// What a person reads.
        text: String,
    },
    /// A signal came: stages that run are on their way to their end.
    Stopping,
}

/// Where events go.
pub trait Sink: Send + Sync {
    /// Takes one event. Called from any thread; must be quick.
    fn event(&self, event: &Event);
}

struct Silent;

impl Sink for Silent {
    fn event(&self, _: &Event) {}
}

/// A handle that rooms report to. Cheap to clone.
#[derive(Clone)]
pub struct Progress(Arc<dyn Sink>);

impl Progress {
    /// Reports to `sink`.
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self(sink)
    }

    /// Reports to nobody.
    pub fn silent() -> Self {
        Self(Arc::new(Silent))
    }

    /// Begins a stage. Dropped without [`Stage::finish`], it ends as `Failed`, or as `Stopped` if a signal came.
    pub fn stage(&self, id: &str, title: &str, why: &str) -> Stage {
        self.0.event(&Event::Start {
            stage: id.into(),
            title: title.into(),
            why: why.into(),
        });
        Stage {
            progress: self.clone(),
            id: id.into(),
            begun: Instant::now(),
            done: AtomicU64::new(0),
            finished: false,
        }
    }

    /// Says something worth a person's eye that is not an error.
    pub fn note(&self, text: impl Into<String>) {
        self.0.event(&Event::Note { text: text.into() });
    }
}

/// A stage under way.
pub struct Stage {
    progress: Progress,
    id: String,
    begun: Instant,
    done: AtomicU64,
    finished: bool,
}

impl Stage {
    /// Says something worth a person's eye that is not an error.
    pub fn note(&self, text: impl Into<String>) {
        self.progress.note(text);
    }

    /// Says how much there is to do.
    pub fn total(&self, unit: Unit, total: u64) {
        self.progress.0.event(&Event::Total {
            stage: self.id.clone(),
            unit,
            total,
        });
    }

    /// `more` further units are done. May be called from several threads.
    pub fn advance(&self, more: u64) {
        let done = self.done.fetch_add(more, Ordering::Relaxed) + more;
        self.progress.0.event(&Event::Advance {
            stage: self.id.clone(),
            done,
        });
    }

    /// `done` units are done in all.
    pub fn set(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.progress.0.event(&Event::Advance {
            stage: self.id.clone(),
            done,
        });
    }

    /// Says what the stage is busy with.
    pub fn message(&self, text: impl Into<String>) {
        self.progress.0.event(&Event::Message {
            stage: self.id.clone(),
            text: text.into(),
        });
    }

    /// How long the stage has run.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Ends the stage well.
    pub fn finish(mut self) {
        self.finished = true;
        self.end(Outcome::Done);
    }

    fn end(&self, outcome: Outcome) {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.progress.0.event(&Event::End {
            stage: self.id.clone(),
            outcome,
            seconds,
        });
    }
}

/// How a stage ended that was left before its end.
fn left(stopped: bool) -> Outcome {
    if stopped {
        Outcome::Stopped
    } else {
        Outcome::Failed
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.finished {
            self.end(left(cancel::requested()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn what_a_signal_ends_has_not_failed() {
        assert_eq!((left(true), left(false)), (Outcome::Stopped, Outcome::Failed));
        assert_eq!(
            serde_json::to_string(&Event::Stopping).unwrap(),
            r#"{"event":"stopping"}"#
        );
    }

    struct Recorder(Mutex<Vec<String>>);

    impl Sink for Recorder {
        fn event(&self, event: &Event) {
            let text = match event {
                Event::Start { stage, why, .. } => format!("start {stage} because {why}"),
                Event::Advance { done, .. } => format!("at {done}"),
                Event::End { outcome, .. } => format!("{outcome:?}"),
                other => format!("{other:?}"),
            };
            self.0.lock().unwrap().push(text);
        }
    }

    #[test]
    fn a_stage_left_early_has_failed() {
        let recorder = Arc::new(Recorder(Mutex::new(Vec::new())));
        let progress = Progress::new(recorder.clone());
        let stage = progress.stage("tree", "Root tree", "no cached tree");
        stage.advance(2);
        stage.advance(3);
        drop(stage);
        progress.stage("image", "Image", "tree changed").finish();
        assert_eq!(
            *recorder.0.lock().unwrap(),
            [
                "start tree because no cached tree",
                "at 2",
                "at 5",
                "Failed",
                "start image because tree changed",
                "Done"
            ]
        );
    }
}
