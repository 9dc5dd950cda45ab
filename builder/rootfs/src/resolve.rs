//! From names to exact packages: versions, addresses, hashes.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clic_host::{Log, Progress, UserError};
use clic_recipe::plan::{PackageRequest, Plan};
use clic_store::{Download, Store, space};
use serde::Serialize;

use crate::apt::{self, Apt, Line};
use crate::control;
use crate::mirror::{Mirrors, without_login};
use crate::unknown;

/// Stands for a merged /usr in a new tree, where `usrmerge` would move files around (and bring in perl).
const MERGED_USR: &str = "usr-is-merged";

/// How to resolve.
#[derive(Clone, Debug, Default)]
pub struct ResolveOptions {
    /// Keys that sign the archives, instead of Debian's.
    pub keyring: Option<PathBuf>,
    /// The time that files are clamped to, in seconds since 1970, instead of the archive's own date
    /// (`SOURCE_DATE_EPOCH`).
    pub epoch: Option<u64>,
}

impl ResolveOptions {
    /// With `SOURCE_DATE_EPOCH`, if that is set.
    pub fn from_env() -> Result<Self> {
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(text) if !text.is_empty() => Some(text.parse().map_err(|_| {
                UserError::new(format!(
                    "SOURCE_DATE_EPOCH is {text:?}, which is no number of seconds since 1970"
                ))
            })?),
            _ => None,
        };
        Ok(Self { keyring: None, epoch })
    }
}

/// Exactly what is going to be in a tree.
#[derive(Clone, Debug, Serialize)]
pub struct Resolution {
    /// Debian architecture.
    pub arch: String,
    /// Debian suite.
    pub suite: String,
    /// The time that files are clamped to: seconds since 1970.
    pub epoch: u64,
    /// The Release files that say so, in the order of the sources.
    pub releases: Vec<Release>,
    /// Every package, sorted by name.
    pub packages: Vec<Package>,
}

/// A Release file that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// The archive's address, without login.
    pub url: String,
    /// The suite asked for: `bookworm-security`.
    pub suite: String,
    /// The components used.
    pub components: Vec<String>,
    /// Its date, seconds since 1970.
    pub date: u64,
    /// Lower-case hex SHA-256 of the signed file.
    pub sha256: String,
}

/// One exact package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Package name.
    pub name: String,
    /// Version, with its epoch if it has one.
    pub version: String,
    /// Architecture, or `all`.
    pub arch: String,
    /// Where from.
    #[serde(skip)]
    pub uri: String,
    /// Path in the archive.
    pub filename: String,
    /// Lower-case hex SHA-256 of the .deb.
    pub sha256: String,
    /// Bytes of the .deb.
    pub size: u64,
    /// Bytes that it takes when installed, by its own account.
    pub installed_size: u64,
    /// Nobody asked for it: it came as a dependency.
    pub automatic: bool,
    /// Its control stanza in the archive's index.
    #[serde(skip)]
    pub stanza: String,
}

impl Package {
    /// `bash 5.2.15-2+b12`.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

impl Resolution {
    /// What the store has to hold before a tree can be built.
    pub fn downloads(&self) -> Vec<Download> {
        let download = |package: &Package| Download {
            // apt's copy: is our file:.
            url: package
                .uri
                .strip_prefix("copy:")
                .map_or_else(|| package.uri.clone(), |path| format!("file:{path}")),
            sha256: package.sha256.clone(),
            size: package.size,
            name: package.title(),
        };
        self.packages.iter().map(download).collect()
    }

    /// Bytes of all .debs.
    pub fn download_size(&self) -> u64 {
        self.packages
            .iter()
            .fold(0, |sum, package| sum.saturating_add(package.size))
    }

    /// Bytes of all packages when installed, by their own account; the tree is about a quarter larger
    /// (initramfs, package database, block sizes).
    pub fn installed_size(&self) -> u64 {
        self.packages
            .iter()
            .fold(0, |sum, package| sum.saturating_add(package.installed_size))
    }

    /// Where the device gets its updates from, as `/etc/apt/sources.list`: the archives of this resolution. Those
    /// in a directory of the build host are left out.
    pub fn sources_list(&self) -> String {
        let mut text = String::new();
        for release in self
            .releases
            .iter()
            .filter(|release| release.url.starts_with("http"))
        {
            text += &format!(
                "deb {} {} {}\n",
                release.url,
                release.suite,
                release.components.join(" ")
            );
        }
        if text.is_empty() {
            text += "# The image was built from a mirror on the build host. Add a Debian mirror here.\n";
        }
        text
    }

    /// The package of this name.
    pub fn get(&self, name: &str) -> Option<&Package> {
        let at = self
            .packages
            .binary_search_by(|package| package.name.as_str().cmp(name))
            .ok()?;
        self.packages.get(at)
    }

    /// Has every .deb in the store, verified, and returns their paths in the order of `packages`.
    pub fn download(&self, store: &Store, progress: &Progress) -> Result<Vec<PathBuf>> {
        let downloads = self.downloads();
        let missing = store.missing(&downloads);
        let why = if missing.is_empty() {
            "all packages are in the store: verifying".to_owned()
        } else {
            let size = missing.iter().map(|download| download.size).sum();
            format!(
                "{} of {} packages are not in the store: {}",
                missing.len(),
                downloads.len(),
                space::human(size)
            )
        };
        let stage = progress.stage("download", "Download packages", &why);
        let paths = store.fetch_all(&downloads, &stage)?;
        stage.finish();
        Ok(paths)
    }
}

/// The store with the host's own ways to mirrors: its apt's proxies.
#[must_use]
pub fn with_host_proxies(store: Store) -> Store {
    let [http, https] = apt::host_proxies();
    store.proxy(false, &http).proxy(true, &https)
}

/// Resolves the plan's packages, and those that every Debian system has, against the mirrors as they are now
/// (or, offline, as they were).
///
/// Errors: [`UserError`] for a package that does not exist or cannot be installed with the others,
/// [`apt::ArchiveError`] for a mirror that cannot be used.
pub fn resolve(
    plan: &Plan,
    mirrors: &Mirrors,
    store: &Store,
    options: &ResolveOptions,
    log: &Log,
    progress: &Progress,
) -> Result<Resolution> {
    let why = if store.is_offline() {
        "offline: with the indexes of the last run"
    } else {
        "the mirror decides on versions"
    };
    let stage = progress.stage("resolve", "Resolve packages", why);
    let arch = plan.arch.debian();
    let mut lines = lines(&plan.suite, mirrors);
    if mirrors.security.is_none() {
        progress.note("no security archive is known: the image has no security updates (name one with --security-mirror)");
    }
    stage.message("indexes");
    let apt = loop {
        let apt = Apt::new(
            store,
            log,
            &lines,
            &plan.components,
            &[arch],
            options.keyring.as_deref(),
        )?;
        if store.is_offline() {
            if apt.has_lists() {
                break apt;
            }
            // An optional suite that the mirror lacks was left out when the indexes were fetched.
            match lines.iter().rposition(|line| line.optional) {
                Some(at) => drop(lines.remove(at)),
                None => bail!(clic_store::FetchError::Offline {
                    missing: vec![format!(
                        "the package indexes of {} {arch} from {}",
                        plan.suite, mirrors.main
                    )]
                }),
            }
            continue;
        }
        match apt.update(&lines) {
            Ok(()) => break apt,
            Err(error) => match apt::missing_suite(&error, &lines) {
                Some(missing) => {
                    tracing::info!("{} has no {}", missing.url, missing.suite);
                    let missing = missing.clone();
                    lines.retain(|line| *line != missing);
                }
                None => return Err(error),
            },
        }
    };
    let releases = releases(&apt, &lines, &plan.components)?;
    stage.message("dependencies");
    let text = apt.available()?;
    let index = Index::new(&text);

    let unknown: Vec<&PackageRequest> = plan
        .packages
        .iter()
        .filter(|request| !index.stanzas.contains_key(request.name.as_str()))
        .collect();
    if !unknown.is_empty() {
        // Best effort: the error stands without the hint.
        let elsewhere = unknown::elsewhere(plan, &lines, store, options, log).unwrap_or_default();
        return Err(unknown::error(&unknown, &index, &elsewhere, plan));
    }
    let requested: BTreeSet<&str> = plan
        .packages
        .iter()
        .map(|request| request.name.as_str())
        .collect();
    let mut wanted: BTreeSet<&str> = index.base.iter().copied().collect();
    wanted.extend(
        ["apt", MERGED_USR]
            .into_iter()
            .filter(|name| index.stanzas.contains_key(name)),
    );
    let base = wanted.clone();
    wanted.extend(&requested);
    let names: Vec<&str> = wanted.into_iter().collect();
    let uris = apt.install_uris(&names)?.map_err(|said| {
        UserError::new(format!(
            "{} for {arch} cannot install the packages asked for together:\n{said}",
            plan.suite
        ))
        .help("leave one of them out of the recipe, or let it take another suite")
    })?;

    let mut packages = Vec::new();
    for line in uris.lines().filter(|line| line.starts_with('\'')) {
        let printed = apt::printed_uri(line)?;
        let stanza = index.stanzas.get(printed.name).copied();
        let stanza =
            stanza.with_context(|| format!("apt chose {}, which its index does not have", printed.name))?;
        let automatic = !requested.contains(printed.name) && !base.contains(printed.name);
        packages.push(package(&printed, stanza, automatic)?);
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    let newest = releases.iter().map(|release| release.date).max();
    let epoch = options.epoch.or(newest).context("no Release file was used")?;
    stage.finish();
    Ok(Resolution {
        arch: arch.into(),
        suite: plan.suite.clone(),
        epoch,
        releases,
        packages,
    })
}

/// The suites that go into a tree of `suite`.
fn lines(suite: &str, mirrors: &Mirrors) -> Vec<Line> {
    let line = |url: &str, suite: String, optional| Line {
        url: url.into(),
        suite,
        optional,
    };
    let mut lines = vec![
        line(&mirrors.main, suite.into(), false),
        line(&mirrors.main, format!("{suite}-updates"), true),
    ];
    if let Some(security) = &mirrors.security {
        lines.push(line(security, format!("{suite}-security"), true));
    }
    lines
}

/// The candidates of every package.
pub(crate) struct Index<'a> {
    pub stanzas: HashMap<&'a str, &'a str>,
    /// Essential packages and those of priority required.
    base: Vec<&'a str>,
    /// Virtual packages and who provides them.
    pub provided: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Index<'a> {
    fn new(text: &'a str) -> Self {
        let mut index = Self {
            stanzas: HashMap::new(),
            base: Vec::new(),
            provided: HashMap::new(),
        };
        for stanza in control::stanzas(text) {
            let Some(name) = control::field(stanza, "Package") else {
                continue;
            };
            index.stanzas.insert(name, stanza);
            let essential = control::field(stanza, "Essential") == Some("yes");
            if essential || control::field(stanza, "Priority") == Some("required") {
                index.base.push(name);
            }
            for provided in control::field(stanza, "Provides")
                .into_iter()
                .flat_map(|list| list.split(','))
            {
                if let Some(provided) = provided.split_whitespace().next() {
                    index.provided.entry(provided).or_default().push(name);
                }
            }
        }
        index
    }
}

fn package(printed: &apt::PrintedUri<'_>, stanza: &str, automatic: bool) -> Result<Package> {
    let get = |field: &str| {
        control::field(stanza, field)
            .with_context(|| format!("the index's entry of {} has no {field}", printed.name))
    };
    if get("Version")? != printed.version {
        bail!(
            "apt chose {} {}, but its index has {}",
            printed.name,
            printed.version,
            get("Version")?
        );
    }
    let number = |field: &str| -> Result<u64> {
        get(field)?
            .parse()
            .with_context(|| format!("{field} of {} is no number", printed.name))
    };
    Ok(Package {
        name: printed.name.into(),
        version: printed.version.clone(),
        arch: printed.arch.into(),
        uri: printed.uri.into(),
        filename: get("Filename")?.into(),
        sha256: get("SHA256")?.to_ascii_lowercase(),
        size: number("Size")?,
        // In KiB, and left out by a few packages.
        installed_size: number("Installed-Size").unwrap_or(0).saturating_mul(1024),
        automatic,
        stanza: stanza.trim_end().to_owned(),
    })
}

/// The Release files that the indexes came by.
fn releases(apt: &Apt, lines: &[Line], components: &[String]) -> Result<Vec<Release>> {
    let lists = apt.lists()?;
    let mut releases = Vec::new();
    for line in lines {
        let ends = [
            format!("dists_{}_InRelease", line.suite),
            format!("dists_{}_Release", line.suite),
        ];
        let start = list_name(&line.url);
        let path = lists.iter().find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            ends.iter().any(|end| {
                name.strip_prefix(&start)
                    .is_some_and(|rest| rest.trim_start_matches('_') == end)
            })
        });
        let path =
            path.with_context(|| format!("apt kept no Release file of {} {}", line.url, line.suite))?;
        releases.push(release(path, line, components)?);
    }
    Ok(releases)
}

/// How apt begins the file names of what it got from `url`: without scheme and login, slashes as underscores.
fn list_name(url: &str) -> String {
    let url = without_login(url);
    let rest = url.split_once(':').map_or(url.as_str(), |(_, rest)| rest);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    rest.replace('_', "%5f").replace('/', "_")
}

fn release(path: &Path, line: &Line, components: &[String]) -> Result<Release> {
    let sha256 = clic_store::sha256_of(path).map_err(|error| space::io_error(error, path))?;
    let text = std::fs::read(path).map_err(|error| space::io_error(error, path))?;
    let text = String::from_utf8_lossy(&text);
    let date = text
        .lines()
        .find_map(|line| line.strip_prefix("Date:"))
        .and_then(|date| control::date(date.trim()));
    let date =
        date.with_context(|| format!("the Release file of {} {} has no date", line.url, line.suite))?;
    Ok(Release {
        url: without_login(&line.url),
        suite: line.suite.clone(),
        components: components.to_vec(),
        date,
        sha256,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "Package: bash\nEssential: yes\nPriority: required\nVersion: 5.2\nFilename: pool/bash.deb\n\
        Size: 10\nInstalled-Size: 3\nSHA256: AB\n\nPackage: nginx-light\nProvides: httpd, nginx (= 1)\nPriority: optional\n\n\
        Package: mount\nPriority: required\n\nPackage: openssh-server\n\nPackage: openssh-client\n";

    #[test]
    fn the_base_and_what_is_provided() {
        let index = Index::new(INDEX);
        assert_eq!(index.base, ["bash", "mount"]);
        assert_eq!(index.provided["nginx"], ["nginx-light"]);
    }

    #[test]
    fn a_package_is_what_the_index_says() {
        let index = Index::new(INDEX);
        let line = "'http://h/pool/bash.deb' bash_5.2_amd64.deb 10 MD5Sum:x";
        let found = package(&apt::printed_uri(line).unwrap(), index.stanzas["bash"], false).unwrap();
        assert_eq!(
            (found.sha256.as_str(), found.size, found.installed_size),
            ("ab", 10, 3072)
        );
        let line = line.replace("5.2", "5.3");
        let error = package(&apt::printed_uri(&line).unwrap(), index.stanzas["bash"], false).unwrap_err();
        assert_eq!(error.to_string(), "apt chose bash 5.3, but its index has 5.2");
        let line = "'http://h/x.deb' mount_1_amd64.deb 10 MD5Sum:x";
        let error = package(&apt::printed_uri(line).unwrap(), index.stanzas["mount"], false).unwrap_err();
        assert_eq!(error.to_string(), "the index's entry of mount has no Version");
    }

    #[test]
    fn names_of_apts_lists() {
        assert_eq!(
            list_name("http://me:pw@mirror.example/debian"),
            "mirror.example_debian"
        );
        assert_eq!(list_name("file:/srv/a_b"), "_srv_a%5fb");
        assert_eq!(list_name("file:///srv/debian"), "_srv_debian");
    }

    /// What resolving `minimal` against this mirror says.
    fn refused(mirror: &Path) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let tree = clic_recipe::Tree::open(&root).unwrap();
        let options = clic_recipe::ResolveOptions::default();
        let plan = clic_recipe::resolve(&tree, "minimal", "x86-pc", &options).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let log = Log::create(&dir.path().join("log")).unwrap();
        let mirrors = Mirrors {
            main: format!("file:{}", mirror.display()),
            security: None,
        };
        let options = ResolveOptions::default();
        let error = resolve(&plan, &mirrors, &store, &options, &log, &Progress::silent()).unwrap_err();
        assert!(
            !error.is::<UserError>(),
            "a mirror's fault is not the request's: {error}"
        );
        format!("{error:#}")
    }

    #[test]
    fn a_directory_that_is_no_mirror() {
        let dir = tempfile::tempdir().unwrap();
        let error = refused(dir.path());
        assert!(
            error.starts_with("the Debian mirror has no suite bookworm for this: file:/"),
            "{error}"
        );
    }

    #[test]
    fn an_archive_that_debian_did_not_sign() {
        let dir = tempfile::tempdir().unwrap();
        for suite in ["bookworm", "bookworm-updates"] {
            let dists = dir.path().join("dists").join(suite);
            std::fs::create_dir_all(&dists).unwrap();
            let release =
                format!("Origin: Debian\nSuite: {suite}\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n");
            std::fs::write(dists.join("Release"), release).unwrap();
        }
        let error = refused(dir.path());
        assert!(
            error.starts_with("the Debian mirror's signature is not good:"),
            "{error}"
        );
    }
}
