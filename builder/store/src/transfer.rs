//! One file over the wire: a try, its resumption, and what its failure means.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use clic_host::sha256::Hasher;
use clic_host::{Stage, cancel};

use crate::Store;
use crate::answer::{Paced, coding};
use crate::carrier::{self, Brought, Carrier, Refusal};
use crate::request::{Download, FetchError};
use crate::space::io_error;

/// Downloads at a time. More gains nothing on one mirror and is impolite.
pub(crate) const WORKERS: usize = 6;
/// A connection that stays silent for this long is given up (and tried again).
const SILENCE: Duration = Duration::from_secs(30);
/// Bytes that are read at a time.
const BUFFER: usize = 128 * 1024;

/// Where a download under way is kept.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    crate::with_suffix(path, ".part")
}

/// Bytes of several downloads on one stage. What is discarded is taken back.
pub(crate) struct Meter<'a> {
    stage: &'a Stage,
    done: AtomicU64,
}

impl<'a> Meter<'a> {
    pub fn new(stage: &'a Stage) -> Self {
        Self {
            stage,
            done: AtomicU64::new(0),
        }
    }

    pub fn stage(&self) -> &Stage {
        self.stage
    }

    /// Moves one download's share from `from` bytes to `to` bytes.
    pub fn moved(&self, from: u64, to: u64) {
        // Modulo 2^64, so that a negative difference is taken back.
        let difference = to.wrapping_sub(from);
        let before = self.done.fetch_add(difference, Ordering::Relaxed);
        self.stage.set(before.wrapping_add(difference));
    }
}

/// One download's share of a [`Meter`].
pub(crate) struct Share<'a> {
    meter: &'a Meter<'a>,
    done: u64,
}

impl<'a> Share<'a> {
    pub fn new(meter: &'a Meter<'a>) -> Self {
        Self { meter, done: 0 }
    }

    pub fn set(&mut self, done: u64) {
        self.meter.moved(self.done, done);
        self.done = done;
    }
}

#[derive(Clone)]
pub(crate) struct Net {
    pub offline: bool,
    pub backoff: Duration,
    pub carrier: Option<Arc<dyn Carrier>>,
    agent: ureq::Agent,
}

impl Default for Net {
    fn default() -> Self {
        Self {
            offline: false,
            backoff: Duration::from_millis(500),
            carrier: None,
            agent: agent(|config| config),
        }
    }
}

impl Net {
    pub fn go_direct(&mut self) {
        self.agent = agent(|config| config.proxy(None));
    }

    /// Who brings what is at this address, if not we ourselves.
    pub fn carrier_of(&self, url: &str) -> Option<&dyn Carrier> {
        self.carrier.as_deref().filter(|carrier| carrier.takes(url))
    }
}

type Config = ureq::config::ConfigBuilder<ureq::typestate::AgentScope>;

fn agent(more: impl FnOnce(Config) -> Config) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("clic/", env!("CARGO_PKG_VERSION")))
        // The file itself: what is known of it are its own hash and size.
        .accept_encoding("identity")
        .save_redirect_history(true)
        .timeout_connect(Some(SILENCE))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .max_idle_connections_per_host(WORKERS);
    more(config).build().new_agent()
}

/// Why a try came to nothing.
pub(crate) enum Failure {
    /// Worth another try.
    Again(FetchError),
    /// Not worth another try.
    Failed(anyhow::Error),
}

impl Store {
    /// Asks a server once. The outer error: sockets are forbidden.
    pub(crate) fn get(
        &self,
        url: &str,
    ) -> Result<std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>> {
        self.online(url)?;
        Ok(self.net.agent.get(url).call())
    }

    /// An error if sockets are forbidden.
    pub(crate) fn online(&self, url: &str) -> Result<()> {
        if self.net.offline {
            let missing = vec![url.to_owned()];
            return Err(FetchError::Offline { missing }.into());
        }
        Ok(())
    }

    pub(crate) fn wait_before(&self, tries: u32) -> Result<()> {
        let mut left = self.net.backoff * 2u32.pow(tries.saturating_sub(2));
        while !left.is_zero() {
            cancel::check()?;
            let nap = left.min(Duration::from_millis(100));
            std::thread::sleep(nap);
            left -= nap;
        }
        Ok(())
    }
}

/// One try of a download.
pub(crate) struct Try<'a> {
    pub net: &'a Net,
    pub job: &'a Download,
    /// Where its part file is.
    pub part: &'a Path,
    /// Which try it is, from 1.
    pub number: u32,
    /// What came last time was wrong.
    pub fresh: bool,
}

impl Try<'_> {
    /// Brings the rest of the file, to be after what its part file has.
    pub fn run(&self, file: &mut File, counted: &mut Share<'_>) -> Result<(), Failure> {
        let disk = |error| self.disk(error);
        // What is there counts, and goes into the hash.
        let mut have = file.metadata().map_err(disk)?.len();
        if have > self.job.size {
            file.set_len(0).map_err(disk)?;
            have = 0;
        }
        let Opened {
            mut source,
            have,
            coding,
        } = match self.net.carrier_of(&self.job.url) {
            Some(carrier) if have < self.job.size => Opened::plain(self.carried(carrier, counted)?, 0),
            _ => self.open(file, have)?,
        };
        let coded =
            coding.map(|coding| format!("; the server sent it with Content-Encoding: {coding}, unasked"));
        let coded = coded.unwrap_or_default();
        file.set_len(have).map_err(disk)?;
        file.seek(SeekFrom::Start(0)).map_err(disk)?;
        counted.set(0);
        let mut hash = Hasher::default();
        self.hash_begun(file, have, &mut hash)?;
        counted.set(have);
        let done = self.receive(&mut *source, file, have, &mut hash, counted, &coded)?;
        if done < self.job.size && local_path(&self.job.url).is_none() {
            return Err(self.unreachable(format!(
                "the connection ended after {done} of {} bytes{coded}",
                self.job.size
            )));
        }
        let got = hash.finish();
        self.forget_brought();
        if got == self.job.sha256 {
            return Ok(());
        }
        file.set_len(0).map_err(disk)?;
        Err(self.wrong(format!("sha256 {}", self.job.sha256), format!("{got}{coded}")))
    }

    /// What somebody else has brought. It comes to a file of its own, which may be replaced by another one meanwhile: ours is locked.
    fn carried(&self, carrier: &dyn Carrier, counted: &mut Share<'_>) -> Result<Box<dyn Read>, Failure> {
        let to = self.brought();
        let length = || std::fs::metadata(&to).map_or(0, |meta| meta.len());
        if self.fresh || length() > self.job.size {
            self.forget_brought();
        }
        if length() < self.job.size {
            let program = carrier.command(&self.job.url, &to, self.fresh);
            let ended = carrier::run(program.map_err(Failure::Failed)?, || {
                counted.set(length().min(self.job.size));
                length() <= self.job.size
            });
            if let Brought::Failed(said) = ended.map_err(Failure::Failed)? {
                return Err(match carrier.why(&said) {
                    Refusal::Status(status) => self.refused(status),
                    Refusal::Words(why) => self.unreachable(why),
                });
            }
        }
        if length() > self.job.size {
            self.forget_brought();
            return Err(self.wrong(format!("{} bytes", self.job.size), "more".into()));
        }
        let file = File::open(&to).map_err(|error| self.unreachable(format!("nothing came: {error}")))?;
        Ok(Box::new(file))
    }

    /// Where a carrier brings its file to.
    fn brought(&self) -> PathBuf {
        crate::with_suffix(self.part, ".brought")
    }

    fn forget_brought(&self) {
        let _ = std::fs::remove_file(self.brought());
    }

    /// What comes after the first `have` bytes.
    fn open(&self, file: &File, have: u64) -> Result<Opened, Failure> {
        let url = &self.job.url;
        if let Some(local) = local_path(url) {
            return match File::open(&local) {
                Ok(file) => Ok(Opened::plain(Box::new(file), 0)),
                Err(error) => Err(Failure::Failed(
                    anyhow::Error::new(error).context(format!("cannot read {url}")),
                )),
            };
        }
        if have == self.job.size {
            return Ok(Opened::plain(Box::new(io::empty()), have));
        }
        let mut request = self.net.agent.get(url);
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
        }
        if self.fresh {
            // A cache on the way may hold the wrong bytes.
            request = request.header("Cache-Control", "no-cache");
        }
        let response = request.call().map_err(|error| self.unreachable(why(&error)))?;
        let status = response.status().as_u16();
        let have = match status {
            206 if have > 0 && resumes(&response, have) => have,
            200 => 0,
            // The part that we have does not suit the server: begin again.
            206 | 416 if have > 0 => {
                file.set_len(0).map_err(|error| self.disk(error))?;
                return Err(self.unreachable(format!("the server cannot resume (it answered {status})")));
            }
            _ => return Err(self.refused(status)),
        };
        let coding = coding(&response);
        Ok(Opened {
            source: Box::new(Paced::new(response.into_body().into_reader())),
            have,
            coding,
        })
    }

    /// Hashes what an earlier try or run has brought.
    fn hash_begun(&self, file: &mut File, have: u64, hash: &mut Hasher) -> Result<(), Failure> {
        let mut buffer = vec![0; BUFFER];
        let mut done = 0;
        while done < have {
            let most = BUFFER.min(usize::try_from(have - done).unwrap_or(usize::MAX));
            let n = file.read(&mut buffer[..most]).map_err(|error| self.disk(error))?;
            if n == 0 {
                return Err(self.unreachable("the file on disk changed under us".into()));
            }
            hash.update(&buffer[..n]);
            done += n as u64;
        }
        Ok(())
    }

    /// Appends what comes to the `done` bytes that are there; returns how many there are at the end.
    fn receive(
        &self,
        source: &mut dyn Read,
        file: &mut File,
        mut done: u64,
        hash: &mut Hasher,
        counted: &mut Share<'_>,
        coded: &str,
    ) -> Result<u64, Failure> {
        let disk = |error| self.disk(error);
        let mut buffer = vec![0; BUFFER];
        loop {
            cancel::check().map_err(|error| Failure::Failed(error.into()))?;
            let n = match source.read(&mut buffer) {
                Ok(0) => return Ok(done),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.unreachable(error.to_string())),
            };
            done += n as u64;
            if done > self.job.size {
                file.set_len(0).map_err(disk)?;
                return Err(self.wrong(format!("{} bytes", self.job.size), format!("more{coded}")));
            }
            hash.update(&buffer[..n]);
            file.write_all(&buffer[..n]).map_err(disk)?;
            counted.set(done);
        }
    }

    fn disk(&self, error: io::Error) -> Failure {
        Failure::Failed(io_error(error, self.part))
    }

    fn unreachable(&self, why: String) -> Failure {
        Failure::Again(FetchError::Unreachable {
            name: self.job.name.clone(),
            url: self.job.url.clone(),
            why,
            tries: self.number,
        })
    }

    fn wrong(&self, expected: String, got: String) -> Failure {
        Failure::Again(FetchError::Wrong {
            name: self.job.name.clone(),
            url: self.job.url.clone(),
            expected,
            got,
            tries: self.number,
        })
    }

    /// The server answered, but not with the file.
    fn refused(&self, status: u16) -> Failure {
        let error = FetchError::Status {
            name: self.job.name.clone(),
            url: self.job.url.clone(),
            status,
            tries: self.number,
        };
        let passing = status >= 500 || matches!(status, 408 | 425 | 429);
        if passing {
            Failure::Again(error)
        } else {
            Failure::Failed(error.into())
        }
    }
}

/// Where a file comes from.
struct Opened {
    source: Box<dyn Read>,
    /// How many bytes that are here already count: a source that cannot resume begins at 0.
    have: u64,
    /// What the server did to the file.
    coding: Option<String>,
}

impl Opened {
    fn plain(source: Box<dyn Read>, have: u64) -> Self {
        Self {
            source,
            have,
            coding: None,
        }
    }
}

/// Whether this is what comes after the first `have` bytes.
fn resumes(response: &ureq::http::Response<ureq::Body>, have: u64) -> bool {
    let range = response
        .headers()
        .get("Content-Range")
        .and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
}

/// The path of a `file:` address (`file:/path` or `file:///path`), with `%XX` decoded.
pub(crate) fn local_path(url: &str) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let rest = url.strip_prefix("file:")?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if !path.starts_with('/') {
        return None;
    }
    let bytes = percent_encoding::percent_decode_str(path).collect();
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

/// What went wrong, without ureq's prefixes.
pub(crate) fn why(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "the server's name is not known (is there a network?)".into(),
        ureq::Error::Timeout(_) => format!("no answer for {} seconds", SILENCE.as_secs()),
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
