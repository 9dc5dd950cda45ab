//! A build that is watched by its events, and may be stopped at one.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A build whose events are read as they come.
pub struct Running {
    pub child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    pub events: Vec<Value>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            lines,
            events: Vec::new(),
        }
    }

    /// Reads until there is such an event; false if the build ended before.
    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> bool {
        for line in self.lines.by_ref() {
            self.events
                .push(serde_json::from_str(&line.unwrap()).expect("JSON lines"));
            if self.events.last().is_some_and(&wanted) {
                return true;
            }
        }
        false
    }

    /// Reads until a stage is busy with what begins with `what`, and so is under way; panics if it never is.
    #[track_caller]
    pub fn until_busy(&mut self, stage: &str, what: &str) {
        let busy = |event: &Value| {
            let text = event["text"].as_str().unwrap_or_default();
            event["event"] == "message" && event["stage"] == stage && text.starts_with(what)
        };
        assert!(
            self.until(busy),
            "`{stage}` did not come to {what:?}: {:#?}",
            self.events
        );
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(),
            signal,
        )
        .unwrap();
    }

    /// Waits for its good end; all of its events.
    #[track_caller]
    pub fn done(mut self) -> Vec<Value> {
        self.until(|_| false);
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {:#?}", self.events);
        self.events
    }
}

/// Why a stage ran.
#[track_caller]
pub fn why<'a>(events: &'a [Value], stage: &str) -> &'a str {
    let start = events
        .iter()
        .find(|event| event["event"] == "start" && event["stage"] == stage);
    start.unwrap_or_else(|| panic!("no stage {stage}: {events:#?}"))["why"]
        .as_str()
        .unwrap()
}

pub fn notes(events: &[Value]) -> Vec<&str> {
    let notes = events.iter().filter(|event| event["event"] == "note");
    notes.filter_map(|event| event["text"].as_str()).collect()
}
