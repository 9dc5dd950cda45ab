//! What all work of one run goes with.

use anyhow::Result;
use clic_host::{Log, Progress};

use crate::{Store, space};

/// Where results are kept, where everything is written down, and who is told.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    /// Keeps downloads and layers.
    pub store: &'a Store,
    /// Has all that programs say.
    pub log: &'a Log,
    /// Hears of stages and how far they are.
    pub progress: &'a Progress,
}

impl Store {
    /// A new log, in place of the last one of that name: `NAME.log`, or `NAME-2.log` while somebody writes to that.
    pub fn claim_log(&self, name: &str) -> Result<Log> {
        let room = self.room("logs")?;
        let mut number = 1;
        loop {
            let file = match number {
                1 => format!("{name}.log"),
                _ => format!("{name}-{number}.log"),
            };
            let path = room.join(file);
            let log = Log::claim(&path).map_err(|error| space::io_error(error, &path))?;
            if let Some(log) = log {
                return Ok(log);
            }
            number += 1;
        }
    }
}
