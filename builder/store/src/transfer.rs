//! One file over the wire: a try, its resumption, and what its failure means.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use clic_host::{Stage, cancel, sha256};

use crate::Store;
use crate::request::{Download, FetchError, Proxy};
use crate::space::io_error;

/// Downloads at a time. More gains nothing on one mirror and is impolite.
pub(crate) const WORKERS: usize = 6;
/// A connection that stays silent for this long is given up (and tried again).
const SILENCE: Duration = Duration::from_secs(30);

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
    http: ureq::Agent,
    https: ureq::Agent,
}

impl Default for Net {
    fn default() -> Self {
        let agent = agent(&Proxy::Environment);
        Self {
            offline: false,
            backoff: Duration::from_millis(500),
            http: agent.clone(),
            https: agent,
        }
    }
}

impl Net {
    pub fn set_proxy(&mut self, https: bool, proxy: &Proxy) {
        *(if https { &mut self.https } else { &mut self.http }) = agent(proxy);
    }
}

fn agent(proxy: &Proxy) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("clic/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(SILENCE))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .max_idle_connections_per_host(WORKERS);
    let config = match proxy {
        Proxy::Environment => config,
        Proxy::Direct => config.proxy(None),
        // apt's own words for a proxy were accepted by apt; what ureq cannot parse leaves the environment's.
        Proxy::Url(url) => match ureq::Proxy::new(url) {
            Ok(proxy) => config.proxy(Some(proxy)),
            Err(_) => config,
        },
    };
    config.build().new_agent()
}

/// What one try came to.
pub(crate) enum Try {
    Done,
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
        if self.net.offline {
            return Err(FetchError::Offline {
                missing: vec![url.to_owned()],
            }
            .into());
        }
        let agent = if url.starts_with("https:") {
            &self.net.https
        } else {
            &self.net.http
        };
        Ok(agent.get(url).call())
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

    pub(crate) fn try_once(
        &self,
        job: &Download,
        file: &mut File,
        tries: u32,
        fresh: bool,
        counted: &mut Share<'_>,
    ) -> Try {
        let unreachable = |why: String| {
            Try::Again(FetchError::Unreachable {
                name: job.name.clone(),
                url: job.url.clone(),
                why,
                tries,
            })
        };
        let wrong = |expected: String, got: String| {
            Try::Again(FetchError::Wrong {
                name: job.name.clone(),
                url: job.url.clone(),
                expected,
                got,
                tries,
            })
        };
        macro_rules! write_it {
            ($result:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(error) => return Try::Failed(io_error(error, &part_of(&self.path_of(job.sha256)))),
                }
            };
        }
        // What is there counts, and goes into the hash.
        let mut hash = sha256::Hasher::default();
        let mut have = write_it!(file.metadata()).len();
        if have > job.size {
            write_it!(file.set_len(0));
            have = 0;
        }
        let mut source: Box<dyn Read> = if let Some(local) = local_path(&job.url) {
            have = 0;
            match File::open(&local) {
                Ok(file) => Box::new(file),
                Err(error) => {
                    return Try::Failed(
                        anyhow::Error::new(error).context(format!("cannot read {}", job.url)),
                    );
                }
            }
        } else if have == job.size {
            Box::new(io::empty())
        } else {
            let agent = if job.url.starts_with("https:") {
                &self.net.https
            } else {
                &self.net.http
            };
            let mut request = agent.get(&job.url);
            if have > 0 {
                request = request.header("Range", format!("bytes={have}-"));
            }
            if fresh {
                // A cache on the way may hold the wrong bytes.
                request = request.header("Cache-Control", "no-cache");
            }
            let response = match request.call() {
                Ok(response) => response,
                Err(error) => return unreachable(why(&error)),
            };
            let status = response.status().as_u16();
            let resumes = |response: &ureq::http::Response<ureq::Body>| {
                let range = response
                    .headers()
                    .get("Content-Range")
                    .and_then(|range| range.to_str().ok());
                range.is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
            };
            match status {
                206 if have > 0 && resumes(&response) => {}
                200 => have = 0,
                // The part that we have does not suit the server: begin again.
                206 | 416 if have > 0 => {
                    write_it!(file.set_len(0));
                    return unreachable(format!("the server cannot resume (it answered {status})"));
                }
                _ => {
                    let error = FetchError::Status {
                        name: job.name.clone(),
                        url: job.url.clone(),
                        status,
                        tries,
                    };
                    let passing = status >= 500 || matches!(status, 408 | 425 | 429);
                    return if passing {
                        Try::Again(error)
                    } else {
                        Try::Failed(error.into())
                    };
                }
            }
            Box::new(response.into_body().into_reader())
        };
        write_it!(file.set_len(have));
        write_it!(file.seek(SeekFrom::Start(0)));
        counted.set(0);
        let mut buffer = vec![0; 128 * 1024];
        let mut done = 0;
        while done < have {
            let most = buffer
                .len()
                .min(usize::try_from(have - done).unwrap_or(usize::MAX));
            let n = write_it!(file.read(&mut buffer[..most]));
            if n == 0 {
                return unreachable("the file on disk changed under us".into());
            }
            hash.update(&buffer[..n]);
            done += n as u64;
        }
        counted.set(done);
        loop {
            if let Err(error) = cancel::check() {
                return Try::Failed(error.into());
            }
            let n = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return unreachable(error.to_string()),
            };
            done += n as u64;
            if done > job.size {
                write_it!(file.set_len(0));
                return wrong(format!("{} bytes", job.size), "more".into());
            }
            hash.update(&buffer[..n]);
            write_it!(file.write_all(&buffer[..n]));
            counted.set(done);
        }
        if done < job.size && local_path(&job.url).is_none() {
            return unreachable(format!("the connection ended after {done} of {} bytes", job.size));
        }
        let got = hash.finish();
        if got == job.sha256 {
            return Try::Done;
        }
        write_it!(file.set_len(0));
        wrong(format!("sha256 {}", job.sha256), got.to_string())
    }
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
