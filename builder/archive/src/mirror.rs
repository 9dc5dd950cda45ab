//! Where Debian comes from. No mirror is in the code: it is named on the command line, in the environment, or in
//! the build host's own apt sources.

use std::path::Path;

use anyhow::Result;
use clic_debian::control;
use clic_host::UserError;
use serde::Serialize;

/// The environment's mirror: the main archive's address, then (if given) the security archive's.
pub const MIRROR_VARIABLE: &str = "CLIC_DEBIAN_MIRROR";

/// The word that stands for "no security archive".
const NONE: &str = "none";

/// Addresses of Debian's archives, without a slash at their ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mirrors {
    /// The main archive: the directory that holds `dists/` and `pool/`.
    pub main: String,
    /// The security archive, if one is known.
    pub security: Option<String>,
}

impl Mirrors {
    /// Finds the mirrors. Each of the two is taken from the first place that names it: the options, then
    /// [`MIRROR_VARIABLE`], then the build host's apt sources. A security mirror `none` means to use none.
    pub fn find(main: Option<&str>, security: Option<&str>) -> Result<Self> {
        let variable = std::env::var(MIRROR_VARIABLE).unwrap_or_default();
        let needs_host = main.is_none() || security.is_none();
        let host = if needs_host {
            host_sources(Path::new("/etc/apt"))
        } else {
            Vec::new()
        };
        Self::choose(main, security, &variable, &host)
    }

    fn choose(main: Option<&str>, security: Option<&str>, variable: &str, host: &[Source]) -> Result<Self> {
        let mut words = variable.split_whitespace();
        let named = [(main, "--mirror"), (words.next(), MIRROR_VARIABLE)];
        let named_security = [(security, "--security-mirror"), (words.next(), MIRROR_VARIABLE)];
        if let Some(extra) = words.next() {
            return Err(UserError::new(format!(
                "{MIRROR_VARIABLE} names more than two addresses: {extra}"
            ))
            .help("it is the main archive's address, then (if you want) the security archive's")
            .into());
        }
        let pick = |named: [(Option<&str>, &str); 2], host: Option<String>| -> Result<Option<String>> {
            match named.into_iter().find_map(|(url, from)| Some((url?, from))) {
                Some((url, from)) => checked(url, from).map(Some),
                None => Ok(host),
            }
        };
        let security = match pick(named_security, best(host, |source| source.security))? {
            Some(url) if url == NONE => None,
            other => other,
        };
        let Some(main) = pick(named, best(host, |source| !source.security))? else {
            return Err(UserError::new("no Debian mirror is known: this machine's apt sources name none")
                .help(format!("name one with --mirror URL or {MIRROR_VARIABLE} (a directory that holds dists/ and pool/)"))
                .into());
        };
        if main == NONE {
            return Err(
                UserError::new("--mirror needs an address; only --security-mirror can be none").into(),
            );
        }
        Ok(Self { main, security })
    }
}

/// An address that apt and we can both use, without its last slashes.
fn checked(url: &str, from: &str) -> Result<String> {
    let wrong = |why: &str| {
        let example = "an address looks like http://HOST/debian or file:/srv/debian";
        Err(UserError::new(format!("{from}: {url:?} {why}"))
            .help(example)
            .into())
    };
    if url == NONE {
        return Ok(NONE.into());
    }
    if url
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || "[]\"'".contains(c))
    {
        return wrong("has a character that no address has");
    }
    let Some((scheme, rest)) = url.split_once(':') else {
        return wrong("is not an address");
    };
    match scheme {
        "http" | "https" => {
            let host = rest
                .strip_prefix("//")
                .and_then(|rest| rest.split('/').next())
                .unwrap_or("");
            if host.is_empty() {
                return wrong("names no host");
            }
        }
        // copy: is apt's other word for a directory of this machine.
        "file" | "copy" => {
            if !rest.strip_prefix("//").unwrap_or(rest).starts_with('/') {
                return wrong("names no absolute directory");
            }
        }
        _ => return wrong("is of a kind that is not supported (http, https and file are)"),
    }
    // apt leaves out the empty host of file:///, and so do we: addresses are compared.
    let url = if scheme == "http" || scheme == "https" {
        url.to_owned()
    } else {
        format!("{scheme}:{}", rest.strip_prefix("//").unwrap_or(rest))
    };
    Ok(url.trim_end_matches('/').to_owned())
}

/// One of Debian's own archives in the host's apt sources.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    url: String,
    security: bool,
    /// How sure we are that it is Debian's.
    sure: u8,
}

fn best(sources: &[Source], wanted: impl Fn(&Source) -> bool) -> Option<String> {
    let mut best: Option<&Source> = None;
    for source in sources.iter().filter(|source| wanted(source)) {
        if best.is_none_or(|best| source.sure > best.sure) {
            best = Some(source);
        }
    }
    best.map(|source| source.url.clone())
}

/// Debian's own archives among the apt sources of a machine. What cannot be read names nothing.
fn host_sources(etc: &Path) -> Vec<Source> {
    let mut files = vec![etc.join("sources.list")];
    let parts = std::fs::read_dir(etc.join("sources.list.d"));
    let mut parts: Vec<_> = parts
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    parts.sort();
    files.extend(parts);
    let mut found = Vec::new();
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => one_line(&text, &mut found),
            Some("sources") => deb822(&text, &mut found),
            _ => {}
        }
    }
    found
}

/// `deb [options] URL SUITE COMPONENTS`, one a line.
fn one_line(text: &str, found: &mut Vec<Source>) {
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
            Some((options, rest)) => (options, rest),
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let (Some(url), Some(suite)) = (words.next(), words.next()) else {
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
        found.extend(debian(url, &[suite], &components, signed_by));
    }
}

/// Stanzas with Types, URIs, Suites, Components, Enabled and Signed-By.
fn deb822(text: &str, found: &mut Vec<Source>) {
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
            found.extend(debian(
                url,
                &words("Suites"),
                &words("Components"),
                stanza.get("Signed-By"),
            ));
        }
    }
}

/// Whether this source is one of Debian's archives. Other projects use Debian's suite names too, so the
/// component, the path and the key all have a say; apt checks the signature in the end.
fn debian(url: &str, suites: &[&str], components: &[&str], signed_by: Option<&str>) -> Option<Source> {
    let url = checked(url, "").ok()?;
    let path = url.split_once(':')?.1;
    let named_so = path.split('/').any(|segment| segment.starts_with("debian"));
    let signed_by_debian = signed_by.map(|key| key.contains("debian-archive"));
    if !named_so || !components.contains(&"main") || signed_by_debian == Some(false) {
        return None;
    }
    let is_security = |suite: &&str| suite.ends_with("-security") || suite.ends_with("/updates");
    let security = suites.iter().any(is_security);
    let aside = |suite: &&str| {
        ["-backports", "-backports-sloppy", "-proposed-updates"]
            .iter()
            .any(|end| suite.ends_with(end))
    };
    if suites.is_empty() || suites.iter().all(aside) {
        return None;
    }
    let serves_updates = suites.iter().any(|suite| suite.ends_with("-updates"));
    let sure = u8::from(signed_by_debian == Some(true)) * 2 + u8::from(serves_updates);
    Some(Source { url, security, sure })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(list: &str, sources: &str) -> Vec<Source> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sources.list.d")).unwrap();
        std::fs::write(dir.path().join("sources.list"), list).unwrap();
        std::fs::write(dir.path().join("sources.list.d/debian.sources"), sources).unwrap();
        std::fs::write(
            dir.path().join("sources.list.d/old.list.save"),
            "deb http://old/debian bookworm main",
        )
        .unwrap();
        host_sources(dir.path())
    }

    fn choose(
        main: Option<&str>,
        security: Option<&str>,
        variable: &str,
        host: &[Source],
    ) -> Result<(String, String), String> {
        Mirrors::choose(main, security, variable, host)
            .map(|mirrors| (mirrors.main, mirrors.security.unwrap_or_default()))
            .map_err(|error| {
                assert!(error.is::<UserError>());
                error.to_string()
            })
    }

    #[test]
    fn the_hosts_own_sources() {
        let found = host(
            "# comment\ndeb-src http://a/debian bookworm main\ndeb [arch=amd64] http://a.example/debian/ trixie main # x\n\
             deb http://docker.example/linux/debian bookworm stable\ndeb http://sury.example/php bookworm main\n",
            "Types: deb\nURIs: http://no.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\nEnabled: no\n\n\
             Types: deb\nURIs: http://z.example/debian\nSuites: bookworm bookworm-updates\nComponents: main contrib\n\
             Signed-By: /usr/share/keyrings/other.gpg\n\n\
             Types: deb deb-src\nURIs: http://b.example/debian-security\nSuites: bookworm-security\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
        );
        assert_eq!(
            choose(None, None, "", &found),
            Ok((
                "http://a.example/debian".into(),
                "http://b.example/debian-security".into()
            ))
        );
    }

    #[test]
    fn the_surest_source_wins() {
        let found = host(
            "deb http://zabbix.example/zabbix/debian bookworm main\n\
             deb http://m.example/debian bookworm-backports main\n\
             deb http://m.example/debian bookworm main\ndeb http://m.example/debian bookworm-updates main\n",
            "",
        );
        assert_eq!(
            choose(None, None, "", &found),
            Ok(("http://m.example/debian".into(), String::new()))
        );
    }

    #[test]
    fn options_win_over_the_environment_over_the_host() {
        let found = host(
            "deb http://h.example/debian bookworm main\ndeb http://h.example/debian-security bookworm-security main\n",
            "",
        );
        let both = "http://e.example/debian/  file:///srv/debian-security";
        assert_eq!(
            choose(Some("http://o.example/debian"), None, both, &found),
            Ok((
                "http://o.example/debian".into(),
                "file:/srv/debian-security".into()
            ))
        );
        assert_eq!(
            choose(None, None, "http://e.example/debian", &found),
            Ok((
                "http://e.example/debian".into(),
                "http://h.example/debian-security".into()
            ))
        );
        assert_eq!(
            choose(None, Some("none"), "", &found),
            Ok(("http://h.example/debian".into(), String::new()))
        );
    }

    #[test]
    fn no_mirror_says_what_to_do() {
        let error = choose(None, None, "", &host("", "")).unwrap_err();
        assert!(error.starts_with("no Debian mirror is known"), "{error}");
        assert!(
            error.contains("--mirror URL") && error.contains("CLIC_DEBIAN_MIRROR"),
            "{error}"
        );
    }

    #[test]
    fn addresses_that_are_none() {
        for (url, why) in [
            ("mirror.example/debian", "is not an address"),
            (
                "ftp://mirror.example/debian",
                "is of a kind that is not supported",
            ),
            ("http:///debian", "names no host"),
            ("file:debian", "names no absolute directory"),
            (
                "http://a/debian [trusted=yes]",
                "has a character that no address has",
            ),
            ("http://a/\ndeb", "has a character that no address has"),
        ] {
            let error = choose(Some(url), Some("none"), "", &[]).unwrap_err();
            assert!(
                error.starts_with("--mirror: ") && error.contains(why),
                "{url}: {error}"
            );
        }
        let error = choose(None, None, "http://a/debian http://b/x http://c/y", &[]).unwrap_err();
        assert!(error.contains("more than two"), "{error}");
    }
}
