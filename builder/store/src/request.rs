//! What is asked of the store, and why it could not be had.

use clic_host::Sha256;

/// A file to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// Where from: `http:`, `https:`, or `file:`.
    pub url: String,
    /// What its content must have.
    pub sha256: Sha256,
    /// Bytes.
    pub size: u64,
    /// What people call it.
    pub name: String,
}

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Sockets are forbidden and files are missing.
    #[error("offline, and {} of the files needed {} not in the store: {}\n  help: run once without --offline",
        .missing.len(), if .missing.len() == 1 { "is" } else { "are" }, list(.missing))]
    Offline {
        /// Names of what is missing.
        missing: Vec<String>,
    },
    /// The server cannot be reached, or the connection broke.
    #[error("cannot download {name}: {why}\n  from {url}, tried {}", times(*.tries))]
    Unreachable {
        /// What people call the file.
        name: String,
        /// Where from.
        url: String,
        /// What went wrong the last time.
        why: String,
        /// How often it was tried.
        tries: u32,
    },
    /// The server answered, but not with the file.
    #[error("cannot download {name}: the server answered {status}\n  from {url}, tried {}", times(*.tries))]
    Status {
        /// What people call the file.
        name: String,
        /// Where from.
        url: String,
        /// HTTP status.
        status: u16,
        /// How often it was tried.
        tries: u32,
    },
    /// It is larger than it may be.
    #[error("{name} is larger than {}: the download was stopped\n  from {url}", clic_host::figures::size(*.most))]
    TooLarge {
        /// What people call the file.
        name: String,
        /// Where from.
        url: String,
        /// Bytes that might have come.
        most: u64,
    },
    /// The server sent something else.
    #[error(
        "{name} has the wrong content: expected {expected}, got {got}\n  from {url}, tried {}; what was received is discarded",
        times(*.tries)
    )]
    Wrong {
        /// What people call the file.
        name: String,
        /// Where from.
        url: String,
        /// `sha256 <hash>` or `<n> bytes`.
        expected: String,
        /// Lower-case hex SHA-256 of what came.
        got: String,
        /// How often it was tried.
        tries: u32,
    },
}

/// How often, in words.
fn times(tries: u32) -> String {
    match tries {
        1 => "once".to_owned(),
        _ => format!("{tries} times"),
    }
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(", ...");
    }
    text
}

/// What an address begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http:`
    Http,
    /// `https:`
    Https,
}

/// How to reach servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// As `http_proxy`, `https_proxy` and `no_proxy` say.
    Environment,
    /// Without a proxy.
    Direct,
    /// By this one: `http://host:port`.
    Url(String),
}
