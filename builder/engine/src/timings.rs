//! How long each stage of a build took, for the manifest.

use std::sync::{Arc, Mutex, PoisonError};

use clic_host::{Event, Sink};
use clic_image::manifest::StageTime;

/// Remembers the stages that went by, in the order in which they began.
#[derive(Clone, Default)]
pub struct Timings(Arc<Mutex<Vec<StageTime>>>);

impl Timings {
    /// The stages so far.
    pub fn stages(&self) -> Vec<StageTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Sink for Timings {
    fn event(&self, event: &Event) {
        let mut stages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Start { stage, why, .. } => {
                stages.push(StageTime {
                    stage: stage.clone(),
                    why: why.clone(),
                    seconds: 0.0,
                });
            }
            Event::End { stage, seconds, .. } => {
                if let Some(begun) = stages.iter_mut().rev().find(|begun| begun.stage == *stage) {
                    begun.seconds = *seconds;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_in_their_order() {
        let timings = Timings::default();
        let start = |stage: &str| Event::Start {
            stage: stage.into(),
            title: String::new(),
            why: "new".into(),
        };
        let end = |stage: &str, seconds| Event::End {
            stage: stage.into(),
            outcome: clic_host::Outcome::Done,
            seconds,
        };
        for event in [
            start("resolve"),
            end("resolve", 1.5),
            start("image"),
            end("image", 2.0),
        ] {
            timings.event(&event);
        }
        let stages: Vec<(String, f64)> = timings
            .stages()
            .into_iter()
            .map(|time| (time.stage, time.seconds))
            .collect();
        assert_eq!(stages, [("resolve".to_owned(), 1.5), ("image".to_owned(), 2.0)]);
    }
}
