//! Downloads that another program makes: one that knows ways which we do not.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clic_host::{Cmd, cancel};

use crate::Store;
use crate::space::io_error;

/// How often we look how far it is.
const LOOK: Duration = Duration::from_millis(50);
/// Most bytes of what it says that are read.
const WORDS: u64 = 64 << 10;

/// A program that brings what is at some addresses.
pub trait Carrier: Send + Sync {
    /// Whether it is to bring what is at this address.
    fn takes(&self, url: &str) -> bool;

    /// The program that brings it: into the file `to`, behind the bytes that are there. `fresh`: from no cache on the way.
    ///
    /// Errors: an address that it could never bring.
    fn command(&self, url: &str, to: &Path, fresh: bool) -> Result<Cmd>;

    /// Why it brought nothing, by its last words.
    fn why(&self, said: &str) -> Refusal;
}

/// Why nothing was brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server's answer was this HTTP status.
    Status(u16),
    /// Something else, in words without the address.
    Words(String),
}

/// How a carrier's program ended.
pub(crate) enum Brought {
    Whole,
    /// With these last words.
    Failed(String),
    /// Because we said so.
    Stopped,
}

/// Runs a carrier's program until it ends, or until `goes_on` says no.
pub(crate) fn run(program: Cmd, mut goes_on: impl FnMut() -> bool) -> Result<Brought> {
    let mut words = tempfile::tempfile().context("cannot make a temporary file")?;
    let writer = words.try_clone()?;
    let mut running = program.spawn(|command| {
        command.stderr(writer);
    })?;
    let status = loop {
        if let Some(status) = running.try_wait()? {
            break status;
        }
        cancel::check()?;
        if !goes_on() {
            return Ok(Brought::Stopped);
        }
        std::thread::sleep(LOOK);
    };
    cancel::check()?;
    if status.success() {
        return Ok(Brought::Whole);
    }
    let mut said = Vec::new();
    words.rewind()?;
    words.take(WORDS).read_to_end(&mut said)?;
    Ok(Brought::Failed(String::from_utf8_lossy(&said).into_owned()))
}

impl Store {
    /// What is at an address that `carrier` takes, as a file without a name. It is stopped when it brings more than `most` bytes; then
    /// the file has more. The inner error: why nothing came.
    pub(crate) fn brought(
        &self,
        carrier: &dyn Carrier,
        url: &str,
        most: u64,
        mut grown: impl FnMut(u64),
    ) -> Result<Result<File, Refusal>> {
        let scratch = self.scratch("brought")?;
        let to = scratch.path().join("file");
        let program = carrier.command(url, &to, false)?;
        let ended = run(program, || {
            let length = std::fs::metadata(&to).map_or(0, |meta| meta.len());
            grown(length);
            length <= most
        })?;
        Ok(match ended {
            Brought::Failed(said) => Err(carrier.why(&said)),
            Brought::Whole | Brought::Stopped => Ok(File::open(&to).map_err(|error| io_error(error, &to))?),
        })
    }
}

#[cfg(test)]
mod tests;
