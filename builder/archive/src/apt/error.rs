//! Why an archive cannot be used: apt's own words, understood.

use clic_debian::uri::without_login;

use super::{DEBIAN_MIRROR, Line};

/// Why the indexes could not be had. `whose`: `the Debian mirror`, or `source NAME`.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The mirror cannot be reached, or what it serves does not fit together.
    #[error(
        "{whose} cannot be used, tried {tries} times:\n{said}\n  help: {}",
        way_out(whose, said)
    )]
    Unreachable {
        /// What cannot be reached.
        whose: String,
        /// How often it was tried.
        tries: u32,
        /// apt's own words.
        said: String,
    },
    /// The mirror has no such suite.
    #[error(
        "{whose} has no suite {suite} for this: {url}\n{said}\n  help: {}",
        if whose == DEBIAN_MIRROR { "check the recipe's suite and the address (the directory that holds dists/ and pool/)".to_owned() }
        else { format!("see which suites {url}/dists/ has, and name one of them in this source; or fix its `url` (the directory that holds dists/ and pool/)") }
    )]
    NoSuite {
        /// What lacks it.
        whose: String,
        /// Suite asked for.
        suite: String,
        /// The archive's address.
        url: String,
        /// apt's own words.
        said: String,
    },
    /// What the mirror serves is not signed by whom it should be.
    #[error("{whose}'s signature is not good:\n{said}\n  help: {}",
        if whose == DEBIAN_MIRROR { "the keys come from the package debian-archive-keyring; update it, or use another mirror" }
        else { "the recipe's `key` must be the one that the repository is signed with now, and not expired; ask its makers" })]
    Signature {
        /// Whose signature.
        whose: String,
        /// apt's own words.
        said: String,
    },
    /// The mirror serves an old state, or this machine's clock is wrong.
    #[error(
        "{whose} serves indexes of another time, or this machine's clock is wrong:\n{said}\n  help: use a mirror that is kept up to date; for a snapshot set Acquire::Check-Valid-Until \"false\" in /etc/apt/apt.conf.d"
    )]
    Expired {
        /// Whose indexes.
        whose: String,
        /// apt's own words.
        said: String,
    },
}

/// What to do about a mirror that cannot be reached.
fn way_out(whose: &str, said: &str) -> &'static str {
    let answered = |status: &str| said.lines().any(|line| line.trim_start().starts_with(status));
    if answered("401 ") || answered("407 ") {
        return "name the login in /etc/apt/auth.conf, which your user must be able to read (apt_auth.conf(5))";
    }
    if whose == DEBIAN_MIRROR {
        return "check the network, or name another mirror with --mirror URL";
    }
    "check the network, or the `url` in the recipe"
}

/// apt's lines that say what is wrong.
pub(super) fn complaints(finished: &clic_host::process::Finished) -> String {
    let stdout = String::from_utf8_lossy(&finished.stdout).into_owned();
    let mut lines: Vec<String> = Vec::new();
    let mut errors = stdout.lines().peekable();
    while let Some(line) = errors.next() {
        if line.starts_with("Err:") {
            lines.push(line.into());
            if let Some(reason) = errors.next_if(|next| next.starts_with(' ')) {
                lines.push(reason.into());
            }
        }
    }
    let said = |line: &&str| line.starts_with("E:") || line.starts_with("W:");
    lines.extend(finished.stderr.lines().filter(said).map(str::to_owned));
    if lines.is_empty() {
        lines.push(finished.stderr.trim().to_owned());
    }
    lines
        .iter()
        .fold(String::new(), |text, line| text + "    " + line + "\n")
        .trim_end()
        .to_owned()
}

/// As much of it as people read.
fn beginning(said: &str) -> String {
    const LINES: usize = 12;
    said.lines().take(LINES).collect::<Vec<_>>().join("\n")
}

/// Whether apt's words are about the archive at `url`, and not about one whose address begins like that.
fn is_about(said: &str, url: &str) -> bool {
    let url = without_login(url);
    said.match_indices(&url).any(|(at, _)| {
        matches!(
            said[at + url.len()..].chars().next(),
            None | Some(' ' | '/' | '\'')
        )
    })
}

pub(super) fn explain(said: &str, lines: &[Line], tries: u32) -> ArchiveError {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let said_so = beginning(said);
    let whose = whose(said, lines);
    // A clear answer about the content first: an unreachable mirror also "is not signed" and "does not have a
    // Release file".
    if has(&["is not valid yet", "is expired", "has expired"]) {
        return ArchiveError::Expired { whose, said: said_so };
    }
    let bad = [
        "NO_PUBKEY",
        "BADSIG",
        "EXPKEYSIG",
        "REVKEYSIG",
        "couldn't be verified",
        "Clearsigned file",
        "NODATA",
    ];
    if has(&bad) || (has(&["is not signed"]) && !has(&["Failed to fetch"])) {
        return ArchiveError::Signature { whose, said: said_so };
    }
    let answered = has(&["404 ", "410 ", "File not found"]);
    if answered && has(&["does not have a Release file"]) {
        let missing = lines
            .iter()
            .find(|line| said.contains(&format!("{} {} Release'", without_login(&line.url), line.suite)));
        if let Some(line) = missing {
            return ArchiveError::NoSuite {
                whose: line.whose(),
                suite: line.suite.clone(),
                url: without_login(&line.url),
                said: said_so,
            };
        }
    }
    ArchiveError::Unreachable {
        whose,
        tries,
        said: said_so,
    }
}

/// Whose fault it is: that of the first source in the lines about signatures and dates, else in any line but those about
/// optional suites.
fn whose(said: &str, lines: &[Line]) -> String {
    let content = [
        "GPG error:",
        "is not signed",
        "is expired",
        "has expired",
        "is not valid yet",
    ];
    let about = |line: &Line| {
        let mut all = said.lines().filter(|said| is_about(said, &line.url));
        all.any(|said| content.iter().any(|word| said.contains(word)))
    };
    let mentioned = |line: &Line| {
        let mut all = said
            .lines()
            .filter(|said| said.contains(&format!("{} {}", without_login(&line.url), line.suite)));
        !line.optional && all.next().is_some()
    };
    let found = lines.iter().find(|line| about(line));
    let found = found.or_else(|| lines.iter().find(|line| mentioned(line)));
    found.map_or_else(|| DEBIAN_MIRROR.to_owned(), Line::whose)
}

/// Which of the optional lines an error is about, if that is all that is wrong.
pub fn missing_suite<'a>(error: &anyhow::Error, lines: &'a [Line]) -> Option<&'a Line> {
    match error.downcast_ref()? {
        ArchiveError::NoSuite { suite, url, .. } => lines
            .iter()
            .find(|line| line.optional && line.suite == *suite && without_login(&line.url) == *url),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apt::Trust;

    #[test]
    fn apts_words_are_understood() {
        let line = Line {
            source: "debian".into(),
            url: "http://h/debian".into(),
            suite: "bookworm-updates".into(),
            components: vec!["main".into()],
            optional: true,
            trust: Trust::Debian,
        };
        let lines = [line];
        let said = "    Err:2 http://h/debian bookworm-updates Release\n      404  Not Found [IP: 1.2.3.4 80]\n    \
                    E: The repository 'http://h/debian bookworm-updates Release' does not have a Release file.";
        let error = anyhow::Error::from(explain(said, &lines, 1));
        assert_eq!(missing_suite(&error, &lines), Some(&lines[0]));
        let said = "    Err:1 http://h/debian bookworm InRelease\n      Could not connect to h:80 (1.2.3.4). - connect (111: Connection refused)";
        assert!(matches!(
            explain(said, &lines, 3),
            ArchiveError::Unreachable { tries: 3, .. }
        ));
        let said = "W: GPG error: http://h/debian bookworm InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY X";
        assert!(matches!(explain(said, &lines, 1), ArchiveError::Signature { .. }));
        let said =
            "E: Release file for http://h/debian/dists/bookworm/InRelease is expired (invalid since 3d).";
        assert!(matches!(explain(said, &lines, 1), ArchiveError::Expired { .. }));
        let said = "E: Failed to fetch http://h/debian/dists/x/InRelease  400  Bad Request\nE: The repository 'http://h/debian x InRelease' is not signed.";
        assert!(matches!(
            explain(said, &lines, 1),
            ArchiveError::Unreachable { .. }
        ));
        // However much else is wrong, and not blamed on one whose address is the beginning of another's.
        let many = "    Err:1 http://h/debian x\n      bad\n".repeat(10);
        let said =
            format!("{many}    E: Release file for http://h/debian-security/dists/x/InRelease is expired");
        let expired = explain(&said, &lines, 1);
        assert!(matches!(&expired, ArchiveError::Expired { said, .. } if said.lines().count() == 12));
        assert!(is_about("E: http://h/debian/dists/x", "http://h/debian"));
        assert!(!is_about(
            "E: http://h/debian-security/dists/x",
            "http://h/debian"
        ));
        let said = "E: The repository 'file:/srv/debian x Release' is not signed.";
        assert!(matches!(explain(said, &lines, 1), ArchiveError::Signature { .. }));
    }
}
