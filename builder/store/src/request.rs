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
    #[error("cannot download {}: {why}\n  from {}, tried {}", without_login(.name), without_login(.url), times(*.tries))]
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
    #[error("cannot download {}: the server answered {status}\n  from {}, tried {}{}", without_login(.name), without_login(.url), times(*.tries), advice(*.status))]
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
        "{} has the wrong content: expected {expected}, got {got}\n  from {}, tried {}; what was received is discarded",
        without_login(.name), without_login(.url), times(*.tries)
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
        .map(|name| without_login(name))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(", ...");
    }
    text
}

/// An address without the user name and password that it may carry: for whatever is shown, written down or shipped.
pub fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.into();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// What to do about a status, if there is something.
fn advice(status: u16) -> &'static str {
    match status {
        401 => {
            "\n  help: name the login in /etc/apt/auth.conf, which your user must be able to read (apt_auth.conf(5))"
        }
        407 => {
            "\n  help: name the proxy's login in /etc/apt/auth.conf, which your user must be able to read (apt_auth.conf(5))"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_stay_on_the_build_host() {
        for (url, shown) in [
            (
                "https://me:secret@mirror.example:8/debian/x@y",
                "https://mirror.example:8/debian/x@y",
            ),
            ("http://mirror.example", "http://mirror.example"),
            (
                "http://me:p@ss@mirror.example?x=a/b",
                "http://mirror.example?x=a/b",
            ),
            (
                "mirror+http://me@mirror.example/list",
                "mirror+http://mirror.example/list",
            ),
            ("file:/srv/debian", "file:/srv/debian"),
        ] {
            assert_eq!(without_login(url), shown);
        }
    }

    #[test]
    fn no_error_shows_a_login() {
        let url = "http://me:secret@mirror.example/pool/a.deb".to_owned();
        let name = url.clone();
        let errors = [
            FetchError::Offline {
                missing: vec![url.clone()],
            },
            FetchError::Unreachable {
                name: name.clone(),
                url: url.clone(),
                why: "dark".into(),
                tries: 1,
            },
            FetchError::Status {
                name: name.clone(),
                url: url.clone(),
                status: 401,
                tries: 1,
            },
            FetchError::Wrong {
                name,
                url,
                expected: "1 bytes".into(),
                got: "more".into(),
                tries: 1,
            },
        ];
        for error in errors {
            let said = error.to_string();
            assert!(!said.contains("secret") && !said.contains("me:"), "{said}");
            assert!(said.contains("http://mirror.example/pool/a.deb"), "{said}");
        }
    }

    #[test]
    fn a_login_that_is_missing_has_its_place_named() {
        let said = |status| {
            let (name, url) = ("a 1".to_owned(), "http://m/a.deb".to_owned());
            FetchError::Status {
                name,
                url,
                status,
                tries: 1,
            }
            .to_string()
        };
        assert!(said(401).ends_with("tried once\n  help: name the login in /etc/apt/auth.conf, which your user must be able to read (apt_auth.conf(5))"));
        assert!(said(407).contains("the proxy's login in /etc/apt/auth.conf"));
        assert!(said(404).ends_with("tried once"));
    }
}
