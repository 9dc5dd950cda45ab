//! A plan's sources: their files read, and what the device gets of them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::merge::content;
use crate::overlay_files::hash;
use crate::plan::{Content, DebFile, PackageSource, SourcePlace, TreeFile, TreeFileKind};
use crate::report::Problems;
use crate::source::{Origin, Sited};
use crate::sources::key::{AbsentKey, absent_key, read_key};
use crate::sources::{Place, Source, plain};
use crate::tree::{Closed, Tree};

/// apt's priority for what a source has beside the packages that are wanted from it: only if nobody else has it.
const REST: i16 = 100;
/// apt's priority for packages that are wanted from a source: above the 500 of everything else.
const WANTED: i16 = 990;

/// The sources of a plan, with their files read, and what the device gets of them; without those whose keys are not there yet,
/// which get into `absent`.
pub(crate) fn plan(
    tree: &Tree,
    sources: &[Source],
    suite: &str,
    components: &[String],
    absent: &mut Vec<AbsentKey>,
    problems: &mut Problems,
) -> (Vec<PackageSource>, Vec<(TreeFile, Origin)>) {
    let mut planned: Vec<PackageSource> = Vec::new();
    let mut files = Vec::new();
    let mut hosts: BTreeMap<String, &Source> = BTreeMap::new();
    for source in sources {
        if let Some(key) = absent_key(tree, source) {
            absent.push(key);
            continue;
        }
        let Some(place) = place(tree, source, suite, components, problems) else {
            continue;
        };
        let source_plan = PackageSource {
            name: source.name.value.clone(),
            place,
            packages: source.packages.clone(),
            priority: source.priority,
            origin: source.name.origin.clone(),
        };
        if let SourcePlace::Repository { url, .. } = &source_plan.place
            && let Some(other) = hosts.insert(host(url).to_owned(), source)
            && (other.is_pinned() || source.is_pinned())
        {
            problems
                .wrong(
                    &source.name.origin,
                    format!(
                        "apt can't tell the packages of sources `{}` and `{}` apart: they are on one host",
                        other.name.value, source.name.value
                    ),
                )
                .help("leave out `packages` and `priority` of both");
        }
        files.extend(
            device_files(&source_plan)
                .into_iter()
                .map(|file| (file, source.name.origin.clone())),
        );
        planned.push(source_plan);
    }
    (planned, files)
}

impl Source {
    fn is_pinned(&self) -> bool {
        self.priority.is_some() || !self.packages.is_empty()
    }
}

fn place(
    tree: &Tree,
    source: &Source,
    plan_suite: &str,
    plan_components: &[String],
    problems: &mut Problems,
) -> Option<SourcePlace> {
    match &source.place {
        Place::Suite(suite, own) => {
            let always = ["", "-updates", "-security"];
            if always
                .iter()
                .any(|end| suite.value == format!("{plan_suite}{end}"))
            {
                let help = if own.is_empty() {
                    "remove this source".to_owned()
                } else {
                    let own: Vec<String> = own.iter().map(|one| format!("\"{one}\"")).collect();
                    format!(
                        "remove this source, and write in the recipe: `components = [{}]`",
                        own.join(", ")
                    )
                };
                problems
                    .wrong(&suite.origin, format!("`{}` is always used", suite.value))
                    .help(help);
                return None;
            }
            Some(SourcePlace::Suite {
                suite: suite.value.clone(),
                components: if own.is_empty() { plan_components } else { own }.to_vec(),
            })
        }
        Place::Repository {
            url,
            suite,
            components,
            key,
            key_url: _,
            fingerprint,
        } => {
            let bytes = read_key(tree, key, problems)?;
            Some(SourcePlace::Repository {
                url: url.value.clone(),
                suite: suite.clone(),
                components: components.clone(),
                key: content(bytes),
                key_path: key.value.clone(),
                fingerprint: fingerprint.clone(),
            })
        }
        Place::Directory(path) => directory(tree, path, problems),
    }
}

/// The .deb files of a directory of the tree, hashed.
fn directory(tree: &Tree, path: &Sited<String>, problems: &mut Problems) -> Option<SourcePlace> {
    let mut wrong = |why: String| {
        problems
            .wrong(&path.origin, format!("directory `{}` {why}", path.value))
            .help("it is a directory of this tree with .deb files in it");
        None
    };
    let absolute = match tree.place(Path::new(&path.value)) {
        Ok(absolute) => absolute,
        Err(Closed::Absent(_)) => return wrong("is not there".to_owned()),
        Err(closed) => return wrong(format!("is not opened: {closed}")),
    };
    let entries = match std::fs::read_dir(&absolute) {
        Ok(entries) => entries,
        Err(error) => return wrong(format!("can't be read: {error}")),
    };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_deb = |name: &&str| Path::new(name).extension().is_some_and(|end| end == "deb");
        let Some(name) = name.to_str().filter(is_deb) else {
            continue;
        };
        if !plain(name, "-._~+%:") {
            return wrong(format!("has a file with a strange name: {name:?}"));
        }
        // Not through a symlink: it could lead anywhere.
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            return wrong(format!("has `{name}`, which is not a regular file"));
        }
        match hash(&entry.path()) {
            Ok((sha256, size)) => files.push(DebFile {
                name: name.to_owned(),
                sha256,
                size,
            }),
            Err(error) => return wrong(format!("has `{name}`, which can't be read: {error}")),
        }
    }
    if files.is_empty() {
        return wrong("has no .deb files".to_owned());
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Some(SourcePlace::Directory {
        path: path.value.clone(),
        files,
        absolute: std::path::absolute(&absolute).unwrap_or(absolute),
    })
}

/// The host of a checked address, without its port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or_default()
}

impl PackageSource {
    /// How `apt_preferences(5)` names the packages of this source.
    pub fn pin(&self) -> String {
        match &self.place {
            SourcePlace::Suite { suite, .. } => format!("release n={suite}"),
            SourcePlace::Repository { url, .. } => format!("origin \"{}\"", host(url)),
            SourcePlace::Directory { .. } => format!("release o=clic-{}", self.name),
        }
    }

    /// What `apt_preferences(5)` has to say of this source: nothing, if the recipe says nothing.
    pub fn preferences(&self) -> String {
        let pin = self.pin();
        let stanza = |packages: &str, priority: i16| {
            format!("Package: {packages}\nPin: {pin}\nPin-Priority: {priority}\n\n")
        };
        match (self.packages.is_empty(), self.priority) {
            (true, None) => String::new(),
            (true, Some(priority)) => stanza("*", priority),
            (false, priority) => {
                stanza(&self.packages.join(" "), priority.unwrap_or(WANTED)) + &stanza("*", REST)
            }
        }
    }

    /// The key of a repository, and its path in the tree, if the recipe does not say its fingerprint.
    pub fn open_key(&self) -> Option<(&Content, &str)> {
        match &self.place {
            SourcePlace::Repository {
                key,
                key_path,
                fingerprint: None,
                ..
            } => Some((key, key_path)),
            _ => None,
        }
    }

    /// The name of the key file of a repository: apt tells the two formats by it.
    pub fn key_name(&self) -> String {
        let armored = matches!(&self.place, SourcePlace::Repository { key, .. }
            if key.data.read().is_ok_and(|bytes| bytes.first().is_some_and(|first| first & 0x80 == 0)));
        format!("{}.{}", self.name, if armored { "asc" } else { "gpg" })
    }
}

/// So that the device gets updates from the same place. Suites of the Debian mirror stand in `/etc/apt/sources.list`;
/// a directory is only on the build host.
fn device_files(source: &PackageSource) -> Vec<TreeFile> {
    let file = |path: String, kind| TreeFile {
        path,
        from: "clic".to_owned(),
        kind,
        mode: 0o644,
        owner: "root".to_owned(),
        group: "root".to_owned(),
    };
    let name = &source.name;
    let mut files = Vec::new();
    if let SourcePlace::Repository {
        url,
        suite,
        components,
        key,
        ..
    } = &source.place
    {
        let key_path = format!("/etc/apt/keyrings/{}", source.key_name());
        let text = format!(
            "Types: deb\nURIs: {url}\nSuites: {suite}\nComponents: {}\nSigned-By: {key_path}\n",
            components.join(" ")
        );
        files.push(file(key_path, TreeFileKind::File(key.clone())));
        let path = format!("/etc/apt/sources.list.d/{name}.sources");
        files.push(file(path, TreeFileKind::File(content(text.into_bytes()))));
    }
    let preferences = source.preferences();
    if !preferences.is_empty() && !matches!(source.place, SourcePlace::Directory { .. }) {
        let path = format!("/etc/apt/preferences.d/{name}");
        files.push(file(path, TreeFileKind::File(content(preferences.into_bytes()))));
    }
    files
}
