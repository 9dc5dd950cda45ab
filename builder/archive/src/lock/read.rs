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
    let place = Place { text };
    place.check_format()?;
    let raw: RawLock = toml::from_str(text).map_err(|error| place.refused(&error))?;
    place.check_inputs(&raw)?;
    let entries = Entries {
        sources: [DEBIAN, SECURITY]
            .into_iter()
            .chain(raw.inputs.sources.iter().map(|source| source.name.as_str()))
            .collect(),
        inputs: &raw.inputs,
        place,
    };
    let releases = entries.releases(raw.release)?;
    let packages = entries.packages(raw.package, Role::Image)?;
    if packages.is_empty() {
        return Err(place.wrong("the lock has no packages".to_owned(), None));
    }
    let content = entries.packages(raw.content, Role::Content)?;
    if !content.keys().eq(raw.inputs.content_packages.iter()) {
        return Err(place.wrong(
            "the packages that content comes out of are not those of the inputs".to_owned(),
            None,
        ));
    }
    let tools = entries.tools(raw.tool)?;
    Ok(Lock {
        inputs: raw.inputs,
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

/// Says where in a lock file something is wrong.
#[derive(Clone, Copy)]
struct Place<'a> {
    text: &'a str,
}

impl Place<'_> {
    /// `at`: bytes before it.
    fn wrong(self, what: String, at: Option<usize>) -> Wrong {
        let lines = |at| {
            let before = self.text.as_bytes().iter().take(at);
            before.filter(|byte| **byte == b'\n').count()
        };
        Wrong {
            what,
            line: at.map(|at| lines(at) + 1),
            newer: false,
        }
    }

    fn refused(self, error: &toml::de::Error) -> Wrong {
        self.wrong(
            format!("this is not a lock: {}", error.message().trim()),
            error.span().map(|span| span.start),
        )
    }

    /// Refuses other formats, by their number and not by what else they have.
    fn check_format(self) -> Result<(), Wrong> {
        let table: toml::Table = self.text.parse().map_err(|error| self.refused(&error))?;
        match table.get("format").and_then(toml::Value::as_integer) {
            Some(format) if format == i64::from(FORMAT) => Ok(()),
            Some(format) => Err(Wrong {
                newer: format > i64::from(FORMAT),
                ..self.wrong(
                    format!("the lock is of format {format}; this version of clic reads format {FORMAT}"),
                    None,
                )
            }),
            None => Err(self.wrong("this is not a lock: it does not say its format".to_owned(), None)),
        }
    }

    fn check_inputs(self, raw: &RawLock) -> Result<(), Wrong> {
        let inputs = &raw.inputs;
        let refuse = |what: String| Err(self.wrong(what, Some(raw.inputs_sha256.span().start)));
        if raw.inputs_sha256.get_ref().parse() != Ok(inputs.sha256()) {
            return refuse(
                "the inputs are not those that the lock was made from: somebody changed this file".to_owned(),
            );
        }
        // They are shown to people: quotes, backslashes and control characters (all that JSON escapes) are in no name.
        if serde_json::to_string(inputs).map_or(true, |json| json.contains('\\')) {
            return refuse("the inputs have characters that no name has".to_owned());
        }
        // A key is never just whatever is there.
        for source in inputs.sources.iter().filter(|source| source.key_sha256.is_some()) {
            let hex = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
            let is_whole = |text: &String| text.len() == 40 && text.bytes().all(hex);
            if !source.fingerprint.as_ref().is_some_and(is_whole) {
                return refuse(format!(
                    "source {} has a key without its whole fingerprint",
                    source.name
                ));
            }
        }
        Ok(())
    }
}

/// What a package is in the lock for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Image,
    Content,
    Tool,
}

impl Role {
    /// How a package of it is called in errors.
    fn name(self) -> &'static str {
        match self {
            Self::Image => "package",
            Self::Content => "content package",
            Self::Tool => "tool",
        }
    }
}

/// Reads entries by the inputs, which are checked.
struct Entries<'a> {
    sources: BTreeSet<&'a str>,
    inputs: &'a Inputs,
    place: Place<'a>,
}

impl Entries<'_> {
    fn known(&self, source: &str, at: usize) -> Result<(), Wrong> {
        if self.sources.contains(source) {
            return Ok(());
        }
        let what = format!("{source:?} is not a source of this lock");
        Err(self.place.wrong(what, Some(at)))
    }

    fn releases(&self, list: Vec<Spanned<RawRelease>>) -> Result<Vec<Release>, Wrong> {
        let release = |raw: Spanned<RawRelease>| {
            let at = raw.span().start;
            let raw = raw.into_inner();
            self.known(&raw.source, at)?;
            Ok(Release {
                source: raw.source,
                url: String::new(),
                suite: raw.suite,
                components: raw.components,
                date: raw.date,
                sha256: raw.sha256,
            })
        };
        list.into_iter().map(release).collect()
    }

    /// Each name once.
    fn packages(
        &self,
        list: Vec<Spanned<RawPackage>>,
        role: Role,
    ) -> Result<BTreeMap<String, Package>, Wrong> {
        let mut packages = BTreeMap::new();
        for raw in list {
            let at = raw.span().start;
            let raw = raw.into_inner();
            if raw.host.is_some() {
                let what = format!("{} is not a tool of a host", raw.name);
                return Err(self.place.wrong(what, Some(at)));
            }
            let package = self.package(raw, self.inputs.arch, role, at)?;
            self.add(&mut packages, package, role, at)?;
        }
        Ok(packages)
    }

    /// By build host; each name once on each.
    fn tools(
        &self,
        list: Vec<Spanned<RawPackage>>,
    ) -> Result<BTreeMap<Arch, BTreeMap<String, Package>>, Wrong> {
        let mut tools: BTreeMap<Arch, BTreeMap<String, Package>> = BTreeMap::new();
        for raw in list {
            let at = raw.span().start;
            let mut raw = raw.into_inner();
            let host = raw.host.take().unwrap_or_default();
            let Some(host) = HOSTS.into_iter().find(|known| known.debian() == host) else {
                let what = format!("{host:?} is not an architecture of a build host");
                return Err(self.place.wrong(what, Some(at)));
            };
            let package = self.package(raw, host, Role::Tool, at)?;
            self.add(tools.entry(host).or_default(), package, Role::Tool, at)?;
        }
        Ok(tools)
    }

    fn add(
        &self,
        packages: &mut BTreeMap<String, Package>,
        package: Package,
        role: Role,
        at: usize,
    ) -> Result<(), Wrong> {
        let name = package.name.clone();
        if packages.insert(name.clone(), package).is_some() {
            let what = format!("{} {name} is in the lock twice", role.name());
            return Err(self.place.wrong(what, Some(at)));
        }
        Ok(())
    }

    /// A package of a system for `native`.
    fn package(&self, raw: RawPackage, native: Arch, role: Role, at: usize) -> Result<Package, Wrong> {
        let refuse = |what: String| Err(self.place.wrong(what, Some(at)));
        self.known(&raw.source, at)?;
        let arch = raw.arch.unwrap_or_else(|| native.to_string());
        if arch != native.debian() && arch != "all" {
            return refuse(format!("a package for {arch:?} in a system for {native}"));
        }
        // What the image's own packages have beside is theirs alone.
        let own = role == Role::Image;
        let part = match (own, raw.part, raw.automatic) {
            (true, Some(part), _) => part,
            (false, None, None) => Part::Base,
            (true, None, _) => return refuse(format!("package {} has no part", raw.name)),
            (false, ..) => {
                return refuse(format!(
                    "{} is not a package of the image, and has no part of it",
                    raw.name
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
    }
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
