//! Reading a lock file as what it is: a text from outside, whose every value is checked before it is used.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use anyhow::Result;
use clic_debian::arch::{Arch, HOSTS};
use clic_host::{Sha256, UserError};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::inputs::Inputs;
use crate::lock::{FORMAT, Lock};
use crate::parts::Part;
use crate::resolution::{DEBIAN, Package, Release, SECURITY};

/// Largest lock file that is read, in bytes: ten times that of a desktop system.
const MOST_TEXT: u64 = 16 << 20;
/// Largest .deb, in bytes: its data member's size has ten decimal digits in ar's format.
const MOST_DEB: u64 = 9_999_999_999;
/// Largest package when installed, in bytes.
const MOST_INSTALLED: u64 = 1 << 40;
/// The last second of the year 9999: what every date format that we write can hold.
const MOST_DATE: u64 = 253_402_300_799;

/// What is wrong with a lock file.
#[derive(Debug)]
pub struct Wrong {
    /// What, without the file's name.
    pub what: String,
    /// Line, from 1.
    pub line: Option<usize>,
    /// A later version wrote it.
    pub newer: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawLock {
    #[allow(dead_code, reason = "checked before the rest of the file is read")]
    format: u32,
    #[serde(deserialize_with = "date")]
    epoch: u64,
    inputs_sha256: Spanned<String>,
    inputs: Inputs,
    #[serde(default)]
    release: Vec<Spanned<RawRelease>>,
    #[serde(default)]
    package: Vec<Spanned<RawPackage>>,
    #[serde(default)]
    content: Vec<Spanned<RawPackage>>,
    #[serde(default)]
    tool: Vec<Spanned<RawPackage>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRelease {
    source: String,
    #[serde(deserialize_with = "suite")]
    suite: String,
    components: Vec<String>,
    #[serde(deserialize_with = "date")]
    date: u64,
    sha256: Sha256,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawPackage {
    /// Of a tool, and only of one.
    host: Option<String>,
    #[serde(deserialize_with = "name")]
    name: String,
    #[serde(deserialize_with = "version")]
    version: String,
    arch: Option<String>,
    source: String,
    #[serde(deserialize_with = "path")]
    path: String,
    sha256: Sha256,
    #[serde(deserialize_with = "deb_size")]
    size: u64,
    #[serde(deserialize_with = "installed_size")]
    installed_size: u64,
    /// Of a package of the image, and only of one; and so is the next.
    part: Option<Part>,
    automatic: Option<bool>,
}

/// The text of a lock file; `None` if there is none.
pub fn text(path: &Path, shown: &Path) -> Result<Option<String>> {
    let wrong = |why: String| UserError::new(format!("{}: {why}", shown.display()));
    let meta = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| wrong(format!("cannot be read: {error}")))?,
    };
    // Opening a fifo would wait for ever.
    if !meta.is_file() {
        return Err(wrong("is not a regular file".to_owned()).into());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST_TEXT + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MOST_TEXT {
        return Err(wrong("is too large for a lock file".to_owned()).into());
    }
    let text =
        String::from_utf8(bytes).map_err(|_| wrong("is not a lock file: it is not text".to_owned()))?;
    Ok(Some(text))
}

/// Reads a lock file's text.
pub fn parse(text: &str) -> Result<Lock, Wrong> {
    let wrong = |what: String, at: Option<usize>| Wrong {
        what,
        line: at.map(|at| {
            text.as_bytes()
                .iter()
                .take(at)
                .filter(|byte| **byte == b'\n')
                .count()
                + 1
        }),
        newer: false,
    };
    let refused = |error: &toml::de::Error| {
        wrong(
            format!("this is not a lock: {}", error.message().trim()),
            error.span().map(|span| span.start),
        )
    };
    let table: toml::Table = text.parse().map_err(|error| refused(&error))?;
    match table.get("format").and_then(toml::Value::as_integer) {
        Some(format) if format == i64::from(FORMAT) => {}
        Some(format) => {
            return Err(Wrong {
                newer: format > i64::from(FORMAT),
                ..wrong(
                    format!("the lock is of format {format}; this version of clic reads format {FORMAT}"),
                    None,
                )
            });
        }
        None => {
            return Err(wrong(
                "this is not a lock: it does not say its format".to_owned(),
                None,
            ));
        }
    }
    let raw: RawLock = toml::from_str(text).map_err(|error| refused(&error))?;
    if raw.inputs_sha256.get_ref().parse() != Ok(raw.inputs.sha256()) {
        return Err(wrong(
            "the inputs are not those that the lock was made from: somebody changed this file".to_owned(),
            Some(raw.inputs_sha256.span().start),
        ));
    }
    let inputs = raw.inputs;
    // They are shown to people: quotes, backslashes and control characters (all that JSON escapes) are in no name.
    if serde_json::to_string(&inputs).map_or(true, |json| json.contains('\\')) {
        return Err(wrong(
            "the inputs have characters that no name has".to_owned(),
            Some(raw.inputs_sha256.span().start),
        ));
    }
    // A key is never just whatever is there.
    for source in inputs.sources.iter().filter(|source| source.key_sha256.is_some()) {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
        let is_whole = |text: &String| text.len() == 40 && text.bytes().all(hex);
        if !source.fingerprint.as_ref().is_some_and(is_whole) {
            return Err(wrong(
                format!("source {} has a key without its whole fingerprint", source.name),
                Some(raw.inputs_sha256.span().start),
            ));
        }
    }
    let mut sources: BTreeSet<&str> = [DEBIAN, SECURITY].into();
    sources.extend(inputs.sources.iter().map(|source| source.name.as_str()));
    let known = |source: &str, at: usize| {
        if sources.contains(source) {
            return Ok(());
        }
        Err(wrong(
            format!("{source:?} is not a source of this lock"),
            Some(at),
        ))
    };
    // A package of a system for `native`. What the image's own packages have beside is theirs alone.
    let exact = |raw: RawPackage, native: Arch, own: bool, at: usize| {
        known(&raw.source, at)?;
        let arch = raw.arch.unwrap_or_else(|| native.to_string());
        if arch != native.debian() && arch != "all" {
            return Err(wrong(
                format!("a package for {arch:?} in a system for {native}"),
                Some(at),
            ));
        }
        let part = match (own, raw.part, raw.automatic) {
            (true, Some(part), _) => part,
            (false, None, None) => Part::Base,
            (true, None, _) => return Err(wrong(format!("package {} has no part", raw.name), Some(at))),
            (false, ..) => {
                return Err(wrong(
                    format!(
                        "{} is not a package of the image, and has no part of it",
                        raw.name
                    ),
                    Some(at),
                ));
            }
        };
        Ok(Package {
            arch,
            name: raw.name,
            version: raw.version,
            source: raw.source,
            uri: String::new(),
            filename: raw.path,
            sha256: raw.sha256,
            size: raw.size,
            installed_size: raw.installed_size,
            automatic: !own || raw.automatic.unwrap_or(false),
            part,
            stanza: String::new(),
        })
    };
    // Each name once.
    let all = |list: Vec<Spanned<RawPackage>>, own: bool, kind: &str| {
        let mut packages = BTreeMap::new();
        for raw in list {
            let at = raw.span().start;
            let raw = raw.into_inner();
            if raw.host.is_some() {
                return Err(wrong(format!("{} is not a tool of a host", raw.name), Some(at)));
            }
            let package = exact(raw, inputs.arch, own, at)?;
            let name = package.name.clone();
            if packages.insert(name.clone(), package).is_some() {
                return Err(wrong(format!("{kind} {name} is in the lock twice"), Some(at)));
            }
        }
        Ok(packages)
    };

    let mut releases = Vec::new();
    for release in raw.release {
        let at = release.span().start;
        let release = release.into_inner();
        known(&release.source, at)?;
        releases.push(Release {
            source: release.source,
            url: String::new(),
            suite: release.suite,
            components: release.components,
            date: release.date,
            sha256: release.sha256,
        });
    }
    let packages = all(raw.package, true, "package")?;
    if packages.is_empty() {
        return Err(wrong("the lock has no packages".to_owned(), None));
    }
    let content = all(raw.content, false, "content package")?;
    if !content.keys().eq(inputs.content_packages.iter()) {
        return Err(wrong(
            "the packages that content comes out of are not those of the inputs".to_owned(),
            None,
        ));
    }
    let mut tools: BTreeMap<Arch, BTreeMap<String, Package>> = BTreeMap::new();
    for tool in raw.tool {
        let at = tool.span().start;
        let mut tool = tool.into_inner();
        let host = tool.host.take().unwrap_or_default();
        let Some(host) = HOSTS.into_iter().find(|known| known.debian() == host) else {
            return Err(wrong(
                format!("{host:?} is not an architecture of a build host"),
                Some(at),
            ));
        };
        let package = exact(tool, host, false, at)?;
        let name = package.name.clone();
        let same = tools.entry(host).or_default().insert(name.clone(), package);
        if same.is_some() {
            return Err(wrong(format!("tool {name} is in the lock twice"), Some(at)));
        }
    }
    Ok(Lock {
        inputs,
        epoch: raw.epoch,
        releases,
        packages: packages.into_values().collect(),
        content: content.into_values().collect(),
        tools: tools
            .into_iter()
            .map(|(host, tools)| (host, tools.into_values().collect()))
            .collect(),
    })
}

fn text_of<'de, D: Deserializer<'de>>(
    deserializer: D,
    what: &str,
    fits: impl Fn(&str) -> bool,
) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if fits(&text) {
        return Ok(text);
    }
    Err(serde::de::Error::custom(format!("{text:?} is not a {what}")))
}

fn number<'de, D: Deserializer<'de>>(deserializer: D, what: &str, most: u64) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    if number <= most {
        return Ok(number);
    }
    Err(serde::de::Error::custom(format!(
        "{number} is not a {what}: at most {most}"
    )))
}

/// Debian policy 5.6.1.
fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text_of(deserializer, "package name", |text| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
        text.len() >= 2 && !text.starts_with(['+', '-', '.']) && text.bytes().all(inner)
    })
}

/// Debian policy 5.6.12.
fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text_of(deserializer, "version", |text| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b".+-~:".contains(&byte);
        text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(inner)
    })
}

fn suite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text_of(deserializer, "suite", |text| plain_path(text, b"-._~+"))
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text_of(deserializer, "plain path of a .deb in an archive", |text| {
        plain_path(text, b"-._~+:%=@,()") && Path::new(text).extension().is_some_and(|end| end == "deb")
    })
}

/// Relative, no `.` and `..`, no empty parts, letters, digits and these.
fn plain_path(text: &str, others: &[u8]) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'/' || others.contains(&byte);
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    text.len() < 4096 && text.bytes().all(inner) && text.split('/').all(part)
}

fn deb_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    number(deserializer, "size of a .deb in bytes", MOST_DEB)
}

fn installed_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    number(deserializer, "size of a package in bytes", MOST_INSTALLED)
}

fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    number(deserializer, "date in seconds since 1970", MOST_DATE)
}
