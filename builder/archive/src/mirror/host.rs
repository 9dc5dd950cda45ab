//! Debian's archives among the apt sources of the build host: sources.list(5).

use std::path::{Path, PathBuf};

use clic_debian::control;
use clic_debian::uri::without_login;
use clic_host::UserError;

use super::MIRROR_VARIABLE;
use super::kind::{Ask, followed, of_local_list};
use crate::apt;
use crate::host::HostApt;

/// Who Debian says that it is in its Release files.
const DEBIAN: &str = "Debian";

/// What the host's apt sources name.
#[derive(Debug, Default)]
pub(super) struct Sources {
    found: Vec<Source>,
    /// Those that look like Debian's and are of no use, with the reasons.
    passed: Vec<String>,
}

/// One of Debian's own archives in the host's apt sources.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    url: String,
    /// One of its suites.
    suite: String,
    security: bool,
    /// How sure we are that it is Debian's.
    sure: u8,
    /// Nothing but its suite is like Debian's: it has to say itself that it is.
    guessed: bool,
}

impl Sources {
    /// Looks into the host's sources. What cannot be read names nothing.
    pub fn read(&mut self, host: &HostApt) {
        let [list, dir] = &host.sources;
        let lists = files(&host.lists);
        let mut parts = files(dir);
        parts.sort();
        for file in [list.clone()].into_iter().chain(parts) {
            let Ok(text) = std::fs::read_to_string(&file) else {
                continue;
            };
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("list") => self.one_line(&text, &lists),
                Some("sources") => self.deb822(&text, &lists),
                _ => {}
            }
        }
    }

    /// `deb [options] URL SUITE COMPONENTS`, one a line.
    fn one_line(&mut self, text: &str, lists: &[PathBuf]) {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or("").trim();
            let Some(rest) = line
                .strip_prefix("deb")
                .filter(|rest| rest.starts_with([' ', '\t', '[']))
            else {
                continue;
            };
            let rest = rest.trim_start();
            let (options, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                Some((options, rest)) => (options, rest.trim_start()),
                None => ("", rest),
            };
            // The name of a CD is in brackets, and has blanks.
            let end = match (rest.starts_with("cdrom:["), rest.find(']')) {
                (true, Some(end)) => end + 1,
                _ => 0,
            };
            let end = end + rest[end..].find(char::is_whitespace).unwrap_or(rest.len() - end);
            let (url, rest) = rest.split_at(end);
            let mut words = rest.split_whitespace();
            let Some(suite) = words.next() else {
                continue;
            };
            let signed_by = options
                .split_whitespace()
                .find_map(|option| {
                    option
                        .split_once('=')
                        .filter(|(name, _)| name.eq_ignore_ascii_case("signed-by"))
                })
                .map(|(_, value)| value);
            let components: Vec<&str> = words.collect();
            self.look(url, &[suite], &components, signed_by, lists);
        }
    }

    /// Stanzas with Types, URIs, Suites, Components, Enabled and Signed-By.
    fn deb822(&mut self, text: &str, lists: &[PathBuf]) {
        for stanza in control::stanzas(text).map(control::stanza) {
            let words = |field: &str| {
                stanza
                    .get(field)
                    .unwrap_or("")
                    .split_whitespace()
                    .collect::<Vec<_>>()
            };
            let disabled = ["no", "false", "off", "0", "without", "disable"];
            if stanza
                .get("Enabled")
                .is_some_and(|value| disabled.iter().any(|word| value.eq_ignore_ascii_case(word)))
            {
                continue;
            }
            if !words("Types").contains(&"deb") {
                continue;
            }
            for url in words("URIs") {
                let (suites, components) = (words("Suites"), words("Components"));
                self.look(url, &suites, &components, stanza.get("Signed-By"), lists);
            }
        }
    }

    /// Takes this source if it is one of Debian's archives. Other projects use Debian's suite names and paths too: what the archive
    /// itself said to the host's apt counts most; without that the component, the path and the key all have a say, and apt checks
    /// the signature in the end.
    fn look(
        &mut self,
        url: &str,
        suites: &[&str],
        components: &[&str],
        signed_by: Option<&str>,
        lists: &[PathBuf],
    ) {
        let signed_by_debian = signed_by.map(|key| key.contains("debian-archive"));
        if !components.contains(&"main") || signed_by_debian == Some(false) {
            return;
        }
        let aside = |suite: &&str| {
            ["-backports", "-backports-sloppy", "-proposed-updates"]
                .iter()
                .any(|end| suite.ends_with(end))
        };
        let Some(suite) = suites.iter().find(|suite| !aside(suite)) else {
            return;
        };
        let release = suites.iter().find_map(|suite| apt::release_of(url, suite, lists));
        let origin = release.and_then(|path| std::fs::read(path).ok());
        let origin = origin.and_then(|text| origin_of(&String::from_utf8_lossy(&text)));
        if let Some(other) = origin.as_deref().filter(|origin| *origin != DEBIAN) {
            self.pass(url, &format!("is the archive of {other}"));
            return;
        }
        let named_so = |url: &str| url.split('/').any(|segment| segment.starts_with("debian"));
        let looks = named_so(url) || of_local_list(url).iter().any(|url| named_so(url));
        let is_security = |suite: &&str| suite.ends_with("-security") || suite.ends_with("/updates");
        let serves_updates = suites.iter().any(|suite| suite.ends_with("-updates"));
        let sure = u8::from(origin.is_some()) * 4
            + u8::from(signed_by_debian == Some(true)) * 2
            + u8::from(serves_updates);
        self.found.push(Source {
            url: url.to_owned(),
            suite: (*suite).to_owned(),
            security: suites.iter().any(is_security),
            sure,
            guessed: origin.is_none() && !looks,
        });
    }

    fn pass(&mut self, url: &str, why: &str) {
        let passed = format!("{} {why}", without_login(url));
        if !self.passed.contains(&passed) {
            self.passed.push(passed);
        }
    }

    /// The one that is most surely Debian's main archive, or the security archive.
    pub fn best(&mut self, security: bool, host: &HostApt, ask: &Ask<'_>) -> Option<String> {
        let mut wanted: Vec<Source> = self
            .found
            .extract_if(.., |source| source.security == security)
            .collect();
        wanted.sort_by_key(|source| (source.guessed, std::cmp::Reverse(source.sure)));
        for source in wanted {
            match followed(&source.url, host, ask) {
                Err(_) if source.guessed && !source.url.starts_with("mirror") => {}
                Err((why, _)) => self.pass(&source.url, &why),
                // Nothing but its path says that it is Debian's: the archive knows. Without an answer, apt's check has to do.
                Ok(url) if source.sure == 0 || source.guessed => {
                    let release = ask(&format!("{url}/dists/{}/InRelease", source.suite));
                    match release.ok().and_then(|text| origin_of(&text)) {
                        Some(origin) if origin == DEBIAN => return Some(url),
                        None if !source.guessed => return Some(url),
                        Some(other) => self.pass(&source.url, &format!("is the archive of {other}")),
                        None => {}
                    }
                }
                Ok(url) => return Some(url),
            }
        }
        None
    }

    /// What to say when there is none.
    pub fn none(&self) -> UserError {
        let what = match self.passed.as_slice() {
            [] => "this machine's apt sources name none".to_owned(),
            passed => format!(
                "this machine's apt sources name none that can be used: {}",
                passed.join("; ")
            ),
        };
        UserError::new(format!("no Debian mirror is known: {what}")).help(format!(
            "name one with --mirror URL or {MIRROR_VARIABLE} (a directory that holds dists/ and pool/)"
        ))
    }
}

/// Who a Release file says that it is of, as it can be shown.
fn origin_of(release: &str) -> Option<String> {
    let origin = release
        .lines()
        .find_map(|line| line.strip_prefix("Origin:"))?
        .trim();
    Some(origin.escape_debug().to_string())
}

/// The files in a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
