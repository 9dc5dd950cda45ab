//! From names to exact packages: versions, addresses, hashes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clic_host::{Log, Progress, UserError};
use clic_recipe::plan::{Arch, PackageRequest, PackageSource, Plan};
use clic_store::{Store, space};

use crate::accel;
use crate::apt::{self, Apt, Line, Trust};
use crate::control;
use crate::key::Pins;
use crate::lock::{self, Lock};
use crate::mirror::{Mirrors, without_login};
use crate::parts::{Dependencies, Part};
use crate::resolution::{Package, Release, Resolution};
use crate::tools::{HOSTS, host_arch};
use crate::{content, sources, unknown};

/// Stands for a merged /usr in a new tree, where `usrmerge` would move files around (and bring in perl).
const MERGED_USR: &str = "usr-is-merged";

/// The main archive's name among the sources.
pub const DEBIAN: &str = "debian";
/// The security archive's name among the sources.
pub const SECURITY: &str = "debian-security";

/// How to resolve.
#[derive(Clone, Debug, Default)]
pub struct ResolveOptions {
    /// Keys that sign the archives, instead of Debian's.
    pub keyring: Option<PathBuf>,
    /// The time that files are clamped to, in seconds since 1970, instead of the archive's own date
    /// (`SOURCE_DATE_EPOCH`).
    pub epoch: Option<u64>,
    /// Why there is something to resolve, if not because the mirror decides.
    pub why: Option<String>,
    /// What stays as it is, if that is still possible.
    pub keep: Keep,
    /// Repositories' keys that people have confirmed.
    pub pins: Pins,
}

/// Packages that keep their versions.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// The image's: name and version.
    packages: BTreeMap<String, String>,
    /// The tools', by the build host's architecture.
    tools: BTreeMap<String, BTreeMap<String, String>>,
    /// Those of what content is taken out of.
    content: BTreeMap<String, String>,
}

impl Keep {
    /// All that the lock has, except for the packages named.
    pub fn of(lock: &Lock, except: &[String]) -> Self {
        let versions = |packages: &[Package]| {
            packages
                .iter()
                .filter(|package| !except.contains(&package.name))
                .map(|package| (package.name.clone(), package.version.clone()))
                .collect()
        };
        Self {
            packages: versions(&lock.packages),
            content: versions(&lock.content),
            tools: lock
                .tools
                .iter()
                .map(|(host, tools)| (host.clone(), versions(tools)))
                .collect(),
        }
    }
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
        Ok(Self {
            epoch,
            ..Self::default()
        })
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
    let hosts: Vec<Arch> = host_arch().into_iter().collect();
    let (mut resolution, tools) = resolve_for(plan, mirrors, store, options, log, progress, &hosts)?;
    resolution.tools = tools.into_values().next().unwrap_or_default();
    Ok(resolution)
}

/// The same, as a lock: with the tools for every kind of build host, so that the lock is the same whoever makes it.
pub fn lock(
    plan: &Plan,
    mirrors: &Mirrors,
    store: &Store,
    options: &ResolveOptions,
    log: &Log,
    progress: &Progress,
) -> Result<Lock> {
    let (resolution, tools) = resolve_for(plan, mirrors, store, options, log, progress, &HOSTS)?;
    Lock::of(plan, &options.pins, resolution, tools)
}

/// With the tools for each of these hosts that needs some.
fn resolve_for(
    plan: &Plan,
    mirrors: &Mirrors,
    store: &Store,
    options: &ResolveOptions,
    log: &Log,
    progress: &Progress,
    hosts: &[Arch],
) -> Result<(Resolution, BTreeMap<Arch, Vec<Package>>)> {
    let why = match &options.why {
        Some(why) => why,
        None if store.is_offline() => "offline: with the indexes of the last run",
        None => "the mirror decides on versions",
    };
    let stage = progress.stage("resolve", "Resolve packages", why);
    if mirrors.security.is_none() {
        progress.note("no security archive is known: the image has no security updates (name one with --security-mirror)");
    }
    let resolver = Resolver {
        plan,
        store,
        options,
        log,
        progress,
        lines: lines(plan, mirrors, &options.pins)?,
    };
    stage.message("indexes");
    let apt = resolver.open(plan.arch)?;
    let releases = releases(&apt)?;
    stage.message("dependencies");
    let packages = resolver.packages(&apt)?;
    let content = resolver.content(&apt)?;
    drop(apt);
    let mut tools = BTreeMap::new();
    let makes = content::needs_makers(&plan.bundles);
    for host in hosts.iter().filter(|host| **host != plan.arch || makes) {
        stage.message(format!("tools for {host}"));
        tools.insert(*host, resolver.tools(*host, &packages, makes)?);
    }
    let newest = releases.iter().map(|release| release.date).max();
    let epoch = options.epoch.or(newest).context("no Release file was used")?;
    stage.finish();
    let resolution = Resolution {
        arch: plan.arch.debian().into(),
        suite: plan.suite.clone(),
        epoch,
        releases,
        packages,
        content,
        tools: Vec::new(),
        locked: None,
    };
    Ok((resolution, tools))
}

/// What every question to apt needs.
struct Resolver<'a> {
    plan: &'a Plan,
    store: &'a Store,
    options: &'a ResolveOptions,
    log: &'a Log,
    progress: &'a Progress,
    lines: Vec<Line>,
}

impl Resolver<'_> {
    /// apt for packages of this architecture, with its indexes. An optional suite that the mirror lacks is left out.
    fn open(&self, arch: Arch) -> Result<Apt> {
        let mut lines = self.lines.clone();
        loop {
            let apt = Apt::new(
                self.store,
                self.log,
                &lines,
                &[arch.debian()],
                self.options.keyring.as_deref(),
                self.progress,
            )?;
            if self.store.is_offline() {
                if apt.has_lists() {
                    let damaged = apt.damaged()?;
                    if damaged.is_empty() {
                        return Ok(apt);
                    }
                    let missing = damaged
                        .into_iter()
                        .map(|name| format!("{name} (what is there is damaged)"))
                        .collect();
                    bail!(clic_store::FetchError::Offline { missing });
                }
                // An optional suite that the mirror lacks was left out when the indexes were fetched.
                match lines.iter().rposition(|line| line.optional) {
                    Some(at) => drop(lines.remove(at)),
                    None => bail!(clic_store::FetchError::Offline {
                        missing: vec![format!("the package indexes of {} {arch}", self.plan.suite)]
                    }),
                }
                continue;
            }
            match apt.update(self.progress) {
                Ok(()) => return Ok(apt),
                Err(error) => match apt::missing_suite(&error, &lines) {
                    Some(missing) => {
                        tracing::info!("{} has no {}", missing.url, missing.suite);
                        let missing = missing.clone();
                        lines.retain(|line| *line != missing);
                    }
                    None => return Err(error),
                },
            }
        }
    }

    /// The image's packages, sorted by name.
    fn packages(&self, apt: &Apt) -> Result<Vec<Package>> {
        let plan = self.plan;
        let mut keep = self.options.keep.packages.clone();
        apt.prefer(&self.preferences(&keep))?;
        let text = apt.available()?;
        let index = Index::new(&text);
        let unknown: Vec<&PackageRequest> = plan
            .packages
            .iter()
            .filter(|request| !index.stanzas.contains_key(request.name.as_str()))
            .collect();
        if !unknown.is_empty() {
            return Err(self.unknown(&unknown, &index, apt));
        }
        let mut base: BTreeSet<&str> = index.base.iter().copied().collect();
        base.extend(
            ["apt", MERGED_USR]
                .into_iter()
                .filter(|name| index.stanzas.contains_key(name)),
        );
        let asked = |board_only: bool| {
            plan.packages
                .iter()
                .filter(move |request| request.board_only == board_only)
                .map(|request| request.name.as_str())
        };
        let mut wanted = base.clone();
        wanted.extend(asked(false).chain(asked(true)));
        let names: Vec<&str> = wanted.iter().copied().collect();
        let mut packages = self
            .choose_keeping(apt, &index, &mut keep, &names)?
            .map_err(|said| {
                UserError::new(format!(
                    "{} for {} cannot install the packages asked for together:\n{said}",
                    plan.suite, plan.arch
                ))
                .help("leave one of them out of the recipe, or let it take another suite")
            })?;
        let stanzas: Vec<(&str, &str)> = packages
            .iter()
            .map(|package| (package.name.as_str(), package.stanza.as_str()))
            .collect();
        let dependencies = Dependencies::new(&stanzas);
        let base = dependencies.closure(base.iter().copied());
        let recipe = dependencies.closure(asked(false));
        let part = |name: &str| {
            if base.contains(name) {
                Part::Base
            } else if recipe.contains(name) {
                Part::Recipe
            } else {
                Part::Board
            }
        };
        let parts: Vec<Part> = packages.iter().map(|package| part(&package.name)).collect();
        for (package, part) in packages.iter_mut().zip(parts) {
            package.automatic = !wanted.contains(package.name.as_str());
            package.part = part;
        }
        Ok(packages)
    }

    /// The packages that bundles take content out of, sorted by name. They are not installed, and neither is what they
    /// depend on.
    fn content(&self, apt: &Apt) -> Result<Vec<Package>> {
        let items = self.plan.bundles.iter().flat_map(|bundle| &bundle.items);
        let wanted: BTreeMap<&str, PackageRequest> = items
            .filter_map(|item| {
                let name = &item.package()?.name;
                let request = PackageRequest {
                    name: name.clone(),
                    board_only: false,
                    origin: item.origin.clone(),
                };
                Some((name.as_str(), request))
            })
            .collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        apt.prefer(&self.preferences(&self.options.keep.content))?;
        let text = apt.available()?;
        let index = Index::new(&text);
        let is_unknown = |request: &&PackageRequest| !index.stanzas.contains_key(request.name.as_str());
        let unknown: Vec<&PackageRequest> = wanted.values().filter(is_unknown).collect();
        if !unknown.is_empty() {
            return Err(self.unknown(&unknown, &index, apt));
        }
        let names: Vec<&str> = wanted.keys().copied().collect();
        let mut packages = printed(&apt.download_uris(&names)?, apt, &index)?;
        for package in &mut packages {
            package.automatic = true;
        }
        Ok(packages)
    }

    fn unknown(&self, unknown: &[&PackageRequest], index: &Index<'_>, apt: &Apt) -> anyhow::Error {
        // Best effort: the error stands without the hint.
        let elsewhere = unknown::elsewhere(self.plan, apt.lines(), self.store, self.options, self.log);
        unknown::error(unknown, index, &elsewhere.unwrap_or_default(), self.plan)
    }

    /// The tools for a build host of this architecture, sorted by name. `tree` are the packages that they work on; `makes`:
    /// content is made too.
    fn tools(&self, host: Arch, tree: &[Package], makes: bool) -> Result<Vec<Package>> {
        let apt = self.open(host)?;
        let mut keep = self
            .options
            .keep
            .tools
            .get(host.debian())
            .cloned()
            .unwrap_or_default();
        apt.prefer(&self.preferences(&keep))?;
        let text = apt.available()?;
        let index = Index::new(&text);
        let tree = tree
            .iter()
            .map(|package| (package.name.as_str(), package.arch.as_str()));
        let mut names: Vec<&str> = Vec::new();
        if host != self.plan.arch {
            names.extend(accel::packages(&self.plan.suite, tree));
            names.retain(|name| index.stanzas.contains_key(name));
        }
        if makes {
            names.extend(content::MAKERS);
        }
        let mut tools = self
            .choose_keeping(&apt, &index, &mut keep, &names)?
            .map_err(|said| {
                anyhow::anyhow!(
                    "{} for {host} cannot install the build's own tools:\n{said}",
                    self.plan.suite
                )
            })?;
        for tool in &mut tools {
            tool.automatic = true;
        }
        Ok(tools)
    }

    /// The same as [`choose`], with the versions in `keep`, of which those that are in the way are given up. `index` is
    /// what apt has with all of them.
    fn choose_keeping(
        &self,
        apt: &Apt,
        index: &Index<'_>,
        keep: &mut BTreeMap<String, String>,
        names: &[&str],
    ) -> Result<Result<Vec<Package>, String>> {
        let mut chosen = choose(apt, index, names)?;
        while let Err(said) = &chosen
            && !keep.is_empty()
        {
            let all = keep.len();
            for word in said.split(|c: char| c.is_whitespace() || "():,|".contains(c)) {
                keep.remove(word);
            }
            if keep.len() == all {
                keep.clear();
            }
            apt.prefer(&self.preferences(keep))?;
            let text = apt.available()?;
            chosen = choose(apt, &Index::new(&text), names)?;
        }
        Ok(chosen)
    }

    /// What apt prefers: the versions to keep before what the recipe's sources want.
    fn preferences(&self, keep: &BTreeMap<String, String>) -> String {
        let kept = keep.iter().map(|(name, version)| {
            format!("Package: {name}\nPin: version {version}\nPin-Priority: 1001\n\n")
        });
        let wanted = self.plan.sources.iter().map(PackageSource::preferences);
        kept.chain(wanted).collect()
    }
}

/// What apt would install on an empty system to have `names`, sorted by name. `Err(text)` is apt's explanation of why
/// it cannot.
fn choose(apt: &Apt, index: &Index<'_>, names: &[&str]) -> Result<Result<Vec<Package>, String>> {
    let uris = match apt.install_uris(names)? {
        Ok(uris) => uris,
        Err(said) => return Ok(Err(said)),
    };
    printed(&uris, apt, index).map(Ok)
}

/// The packages of lines that apt printed, sorted by name.
fn printed(uris: &str, apt: &Apt, index: &Index<'_>) -> Result<Vec<Package>> {
    let mut packages = Vec::new();
    for line in uris.lines().filter(|line| line.starts_with('\'')) {
        let printed = apt::printed_uri(line)?;
        let stanza = index.stanzas.get(printed.name).copied();
        let stanza =
            stanza.with_context(|| format!("apt chose {}, which its index does not have", printed.name))?;
        packages.push(package(&printed, stanza, apt.lines())?);
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

/// The suites that go into a tree of the plan.
fn lines(plan: &Plan, mirrors: &Mirrors, pins: &Pins) -> Result<Vec<Line>> {
    let suite = &plan.suite;
    let line = |source: &str, url: &str, suite: String, optional| Line {
        source: source.into(),
        url: url.into(),
        suite,
        components: plan.components.clone(),
        optional,
        trust: Trust::Debian,
    };
    let mut lines = vec![
        line(DEBIAN, &mirrors.main, suite.into(), false),
        line(DEBIAN, &mirrors.main, format!("{suite}-updates"), true),
    ];
    if let Some(security) = &mirrors.security {
        lines.push(line(SECURITY, security, format!("{suite}-security"), true));
    }
    for source in &plan.sources {
        lines.push(sources::line(source, mirrors, pins)?);
    }
    Ok(lines)
}

/// The candidates of every package.
pub(crate) struct Index<'a> {
    pub stanzas: HashMap<&'a str, &'a str>,
    /// Packages of priority required, which all of Debian's essential ones are. That another repository calls a package
    /// essential (`YunoHost` does) means that it is hard to remove, not that every system begins with it.
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
            if control::field(stanza, "Priority") == Some("required") {
                index.base.push(name);
            }
            for provided in control::value(stanza, "Provides")
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

/// What the index says of a package that apt chose. Who asked for it is not known here.
fn package(printed: &apt::PrintedUri<'_>, stanza: &str, lines: &[Line]) -> Result<Package> {
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
    // Suites of one mirror share its address, and its first name is the mirror's own.
    let line = lines
        .iter()
        .rev()
        .filter(|line| printed.is_of(&line.url))
        .max_by_key(|line| line.url.len())
        .with_context(|| {
            format!(
                "apt chose {} from {}, which is none of its sources",
                printed.name,
                without_login(printed.uri)
            )
        })?;
    let filename = get("Filename")?;
    let filename = filename.strip_prefix("./").unwrap_or(filename);
    Ok(Package {
        uri: lock::uri(line.files(), filename),
        name: printed.name.into(),
        version: printed.version.clone(),
        arch: printed.arch.into(),
        source: line.source.clone(),
        filename: filename.into(),
        sha256: get("SHA256")?.to_ascii_lowercase(),
        size: number("Size")?,
        // In KiB, and left out by a few packages.
        installed_size: number("Installed-Size").unwrap_or(0).saturating_mul(1024),
        automatic: false,
        part: Part::Base,
        stanza: stanza.trim_end().to_owned(),
    })
}

/// The Release files that the indexes came by.
fn releases(apt: &Apt) -> Result<Vec<Release>> {
    let lists = apt.lists()?;
    let mut releases = Vec::new();
    // A directory has no state but that of its files.
    let archives = |line: &&Line| !matches!(line.trust, Trust::Directory { .. });
    for line in apt.lines().iter().filter(archives) {
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
        releases.push(release(path, line)?);
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

fn release(path: &Path, line: &Line) -> Result<Release> {
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
        source: line.source.clone(),
        url: without_login(&line.url),
        suite: line.suite.clone(),
        components: line.components.clone(),
        date,
        sha256,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "Package: bash\nEssential: yes\nPriority: required\nVersion: 5.2\nFilename: pool/bash.deb\n\
        Size: 10\nInstalled-Size: 3\nSHA256: AB\n\nPackage: nginx-light\nProvides: httpd, nginx (= 1)\nPriority: optional\n\n\
        Package: mount\nPriority: required\n\nPackage: openssh-server\n\nPackage: openssh-client\n\n\
        Package: yunohost\nEssential: yes\nPriority: optional\n";

    #[test]
    fn the_base_and_what_is_provided() {
        let index = Index::new(INDEX);
        assert_eq!(index.base, ["bash", "mount"]);
        assert_eq!(index.provided["nginx"], ["nginx-light"]);
    }

    #[test]
    fn a_package_is_what_the_index_says() {
        let index = Index::new(INDEX);
        let lines = ["http://h", "http://h/security"].map(|url| Line {
            source: url.into(),
            url: url.into(),
            suite: "bookworm".into(),
            components: Vec::new(),
            optional: false,
            trust: Trust::Debian,
        });
        let line = "'http://h/security/pool/bash.deb' bash_5.2_amd64.deb 10 MD5Sum:x";
        let found = package(&apt::printed_uri(line).unwrap(), index.stanzas["bash"], &lines).unwrap();
        assert_eq!(
            (found.source.as_str(), found.filename.as_str()),
            ("http://h/security", "pool/bash.deb")
        );
        assert_eq!(
            (found.sha256.as_str(), found.size, found.installed_size),
            ("ab", 10, 3072)
        );
        let line = line.replace("5.2", "5.3");
        let error = package(&apt::printed_uri(&line).unwrap(), index.stanzas["bash"], &lines).unwrap_err();
        assert_eq!(error.to_string(), "apt chose bash 5.3, but its index has 5.2");
        let line = "'http://h/x.deb' mount_1_amd64.deb 10 MD5Sum:x";
        let error = package(&apt::printed_uri(line).unwrap(), index.stanzas["mount"], &lines).unwrap_err();
        assert_eq!(error.to_string(), "the index's entry of mount has no Version");
        let line = "'http://other/pool/bash.deb' bash_5.2_amd64.deb 10 MD5Sum:x";
        let error = package(&apt::printed_uri(line).unwrap(), index.stanzas["bash"], &lines).unwrap_err();
        assert_eq!(
            error.to_string(),
            "apt chose bash from http://other/pool/bash.deb, which is none of its sources"
        );
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
