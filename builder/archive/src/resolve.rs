//! From names to exact packages: versions, addresses, hashes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use clic_debian::arch::{HOSTS, host_arch};
use clic_debian::uri::without_login;
use clic_host::UserError;
use clic_recipe::plan::{Arch, PackageRequest, PackageSource, Plan};
use clic_store::Session;

use crate::apt::{self, Apt, Line, Trust};
use crate::index::{Index, choose, printed};
use crate::key::Pins;
use crate::lock::Lock;
use crate::mirror::Mirrors;
use crate::options::ResolveOptions;
use crate::parts::{Dependencies, Part};
use crate::releases::releases;
use crate::resolution::{DEBIAN, Package, Resolution, SECURITY};
use crate::{sources, tools, unknown};

/// Stands for a merged /usr in a new tree, where `usrmerge` would move files around (and bring in perl).
const MERGED_USR: &str = "usr-is-merged";

/// Resolves the plan's packages, and those that every Debian system has, against the mirrors as they are now
/// (or, offline, as they were).
///
/// Errors: [`UserError`] for a package that does not exist or cannot be installed with the others,
/// [`apt::ArchiveError`] for a mirror that cannot be used.
pub fn resolve(
    plan: &Plan,
    mirrors: &Mirrors,
    options: &ResolveOptions,
    session: Session<'_>,
) -> Result<Resolution> {
    let hosts: Vec<Arch> = host_arch().into_iter().collect();
    let (mut resolution, tools) = resolve_for(plan, mirrors, options, session, &hosts)?;
    resolution.tools = tools.into_values().next().unwrap_or_default();
    Ok(resolution)
}

/// Resolves as [`resolve`] does, into a lock: with the tools for every kind of build host, so that all hosts make the same lock.
pub fn lock(plan: &Plan, mirrors: &Mirrors, options: &ResolveOptions, session: Session<'_>) -> Result<Lock> {
    let (resolution, tools) = resolve_for(plan, mirrors, options, session, &HOSTS)?;
    Lock::of(plan, &options.pins, resolution, tools)
}

/// With the tools for each of these hosts that needs some.
fn resolve_for(
    plan: &Plan,
    mirrors: &Mirrors,
    options: &ResolveOptions,
    session: Session<'_>,
    hosts: &[Arch],
) -> Result<(Resolution, BTreeMap<Arch, Vec<Package>>)> {
    let why = match &options.why {
        Some(why) => why,
        None if session.store.is_offline() => "offline: with the indexes of the last run",
        None => "the mirror decides on versions",
    };
    let stage = session.progress.stage("resolve", "Resolve packages", why);
    if mirrors.security.is_none() {
        session.progress.note("no security archive is known: the image has no security updates (name one with --security-mirror)");
    }
    let resolver = Resolver {
        plan,
        options,
        session,
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
    let makes = tools::make_content(&plan.bundles);
    for host in hosts.iter().filter(|host| **host != plan.arch || makes) {
        stage.message(format!("tools for {host}"));
        tools.insert(*host, resolver.tools(*host, &packages)?);
    }
    let newest = releases.iter().map(|release| release.date).max();
    let epoch = options.epoch.or(newest).context("no Release file was used")?;
    stage.finish();
    let resolution = Resolution {
        arch: plan.arch,
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

/// All ways to leave out some of the optional lines, the most lines first.
fn without_optional(lines: &[Line]) -> Vec<Vec<Line>> {
    let optional: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].optional).collect();
    let mut ways: Vec<Vec<Line>> = (1..1_usize << optional.len().min(8))
        .map(|way| {
            let gone = |at: usize| {
                let bit = optional.iter().position(|other| *other == at);
                bit.is_some_and(|bit| way >> bit & 1 == 1)
            };
            let kept = (0..lines.len()).filter(|at| !gone(*at));
            kept.map(|at| lines[at].clone()).collect()
        })
        .collect();
    ways.sort_by_key(|way| std::cmp::Reverse(way.len()));
    ways
}

/// Where the packages that apt speaks of were asked for, a line each.
fn asked_for(said: &str, requests: &[PackageRequest]) -> String {
    let words: BTreeSet<&str> = said
        .split(|c: char| c.is_whitespace() || "():,|".contains(c))
        .collect();
    requests
        .iter()
        .filter(|request| words.contains(request.name.as_str()))
        .map(|request| format!("\n{}: `{}` is asked for here", request.origin, request.name))
        .collect()
}

/// What every question to apt needs.
struct Resolver<'a> {
    plan: &'a Plan,
    options: &'a ResolveOptions,
    session: Session<'a>,
    lines: Vec<Line>,
}

impl Resolver<'_> {
    /// apt for packages of this architecture, with its indexes. An optional suite that the mirror lacks is left out.
    fn open(&self, arch: Arch) -> Result<Apt> {
        let mut lines = self.lines.clone();
        let mut fewer = without_optional(&lines).into_iter();
        loop {
            let apt = Apt::new(self.session, &lines, &[arch.debian()], self.options)?;
            if self.session.store.is_offline() {
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
                match fewer.next() {
                    Some(less) => lines = less,
                    None => bail!(clic_store::FetchError::Offline {
                        missing: vec![format!("the package indexes of {} {arch}", self.plan.suite)]
                    }),
                }
                continue;
            }
            match apt.update(self.session.progress) {
                Ok(()) => return Ok(apt),
                Err(error) => match apt::missing_suite(&error, &lines) {
                    Some(missing) => {
                        self.session.progress.note(format!(
                            "{} has no {}: the image is made without it",
                            without_login(&missing.url),
                            missing.suite
                        ));
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
                    "{} for {} cannot install the packages asked for together:\n{said}{}",
                    plan.suite,
                    plan.arch,
                    asked_for(&said, &plan.packages)
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
        let elsewhere = unknown::elsewhere(self.plan, apt.lines(), self.options, self.session);
        unknown::error(unknown, index, &elsewhere.unwrap_or_default(), self.plan)
    }

    /// The tools for a build host of this architecture, sorted by name. `tree` are the packages that they work on.
    fn tools(&self, host: Arch, tree: &[Package]) -> Result<Vec<Package>> {
        let apt = self.open(host)?;
        let mut keep = self.options.keep.tools.get(&host).cloned().unwrap_or_default();
        apt.prefer(&self.preferences(&keep))?;
        let text = apt.available()?;
        let index = Index::new(&text);
        let tree = tree
            .iter()
            .map(|package| (package.name.as_str(), package.arch.as_str()));
        let mut names: Vec<&str> = Vec::new();
        if host != self.plan.arch {
            names.extend(tools::packages(&self.plan.suite, tree));
            names.retain(|name| index.stanzas.contains_key(name));
        }
        if tools::make_content(&self.plan.bundles) {
            names.extend(tools::MAKERS);
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

    /// Chooses as [`choose`] does, but keeps the versions in `keep`, except those that are in the way. `index` is
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clic_host::{Log, Progress};
    use clic_store::Store;

    use super::*;

    /// What resolving `minimal` against this mirror says.
    fn refused(mirror: &Path) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let tree = clic_recipe::Tree::open(&root).unwrap();
        let options = clic_recipe::ResolveOptions::default();
        let plan = clic_recipe::resolve(&tree, "minimal", "x86-pc", &options).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let log = Log::claim(&dir.path().join("log")).unwrap().unwrap();
        let mirrors = Mirrors {
            main: format!("file:{}", mirror.display()),
            security: None,
        };
        let options = ResolveOptions::default();
        let session = Session {
            store: &store,
            log: &log,
            progress: &Progress::silent(),
        };
        let error = resolve(&plan, &mirrors, &options, session).unwrap_err();
        assert!(
            !error.is::<UserError>(),
            "a mirror's fault is not the request's: {error}"
        );
        format!("{error:#}")
    }

    #[test]
    fn a_refusal_says_where_its_packages_are_asked_for() {
        let recipe = clic_recipe::source::SourceFile::new("recipes/r.toml", "x\npackages\n");
        let request = |name: &str| PackageRequest {
            name: name.into(),
            board_only: false,
            origin: recipe.at(2..10),
        };
        let requests = ["chrony", "systemd", "systemd-timesyncd"].map(request);
        let said = "The following packages have unmet dependencies:\n chrony : Conflicts: time-daemon\n \
                    systemd-timesyncd : Conflicts: time-daemon";
        assert_eq!(
            asked_for(said, &requests),
            "\nrecipes/r.toml:2:1: `chrony` is asked for here\nrecipes/r.toml:2:1: `systemd-timesyncd` is asked for here"
        );
    }

    #[test]
    fn optional_suites_are_left_out_in_all_ways() {
        let line = |suite: &str, optional| Line {
            source: "debian".into(),
            url: "http://h/debian".into(),
            suite: suite.into(),
            components: Vec::new(),
            optional,
            trust: Trust::Debian,
        };
        let lines = [line("main", false), line("updates", true), line("security", true)];
        let ways: Vec<Vec<String>> = without_optional(&lines)
            .into_iter()
            .map(|way| way.into_iter().map(|line| line.suite).collect())
            .collect();
        assert_eq!(
            ways,
            [vec!["main", "security"], vec!["main", "updates"], vec!["main"]]
        );
        assert!(without_optional(&lines[..1]).is_empty());
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
