//! apt with a configuration of its own: it verifies signatures and resolves, for any architecture, as an
//! ordinary user, and never touches the build host's packages.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clic_host::{Cmd, Log, Progress, UserError, cancel};
use clic_store::{Lock, Proxy, Store, space};
use sha2::{Digest, Sha256};

use crate::indexes;
use crate::mirror::without_login;

/// Debian's keys, where Debian's own package puts them (`.pgp` since trixie).
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];

/// How often the indexes are asked for. apt retries single files by itself.
const TRIES: u32 = 3;

/// A line of sources: one suite of one archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What the source is called: `debian`, `debian-security`, or a name that the recipe gives.
    pub source: String,
    /// The archive's address.
    pub url: String,
    /// The suite: `bookworm`, `bookworm-updates`.
    pub suite: String,
    /// Its components.
    pub components: Vec<String>,
    /// An archive that lacks this suite is used without it.
    pub optional: bool,
    /// Why it is believed.
    pub trust: Trust,
}

/// Why a source is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Debian's own keys sign it.
    Debian,
    /// This key signs it.
    Key {
        /// A file name that says which format it is of.
        name: String,
        /// The key, checked.
        key: Arc<[u8]>,
    },
    /// It is a directory of this tree, and we write its index ourselves. `url` is where the index is.
    Directory {
        /// The index.
        index: String,
        /// Address of the directory itself.
        files: String,
    },
}

impl Line {
    /// Where the files of this source are.
    pub fn files(&self) -> &str {
        match &self.trust {
            Trust::Directory { files, .. } => files,
            _ => &self.url,
        }
    }

    /// How it is called in errors.
    fn whose(&self) -> String {
        match self.trust {
            Trust::Debian => DEBIAN_MIRROR.to_owned(),
            _ => format!("source {}", self.source),
        }
    }
}

/// How Debian's archives are called in errors.
const DEBIAN_MIRROR: &str = "the Debian mirror";

/// Why the indexes could not be had. `whose`: `the Debian mirror`, or `source NAME`.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The mirror cannot be reached, or what it serves does not fit together.
    #[error("{whose} cannot be used, tried {tries} times:\n{said}\n  help: check the network, or {}",
        if whose == DEBIAN_MIRROR { "name another mirror with --mirror URL" } else { "the `url` in the recipe" })]
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
        else { format!("see which suites {url}/dists/ has, and name one of them in this source; or mend its `url` (the directory that holds dists/ and pool/)") }
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

/// A private apt: its own state, sources and cache, kept in the store per sources and architecture.
#[derive(Debug)]
pub struct Apt {
    dir: PathBuf,
    log: Log,
    lines: Vec<Line>,
    _lock: Lock,
}

impl Apt {
    /// Sets apt up for `lines` and waits for other runs that use the same. `keyring` replaces Debian's.
    pub fn new(
        store: &Store,
        log: &Log,
        lines: &[Line],
        archs: &[&str],
        keyring: Option<&Path>,
        progress: &Progress,
    ) -> Result<Self> {
        let keyring = find_keyring(keyring)?;
        let mut key = Sha256::new();
        key.update(format!("{}\n{}\n", keyring.display(), archs.join(" ")));
        for line in lines {
            let (url, suite) = (&line.url, &line.suite);
            key.update(format!("{url} {suite} {}\n", line.components.join(" ")));
            if let Trust::Directory { files, .. } = &line.trust {
                key.update(format!("{files}\n"));
            }
        }
        let key: String = key
            .finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let name = format!("apt/{key}");
        let lock = store.lock_saying(&name, || {
            progress.note("another build is at the package indexes: waiting for it");
        })?;
        let dir = store.room(&name)?;
        for sub in ["lists/partial", "cache/archives/partial", "state", "etc", "log"] {
            store.room(&format!("{name}/{sub}"))?;
        }
        let mut lines = lines.to_vec();
        let mut sources = String::new();
        for line in &mut lines {
            let options = match &line.trust {
                Trust::Debian => format!("signed-by={}", keyring.display()),
                Trust::Key { name: key_name, key } => {
                    let path = store.room(&format!("{name}/keys"))?.join(key_name);
                    std::fs::write(&path, key).map_err(|error| space::io_error(error, &path))?;
                    format!("signed-by={}", path.display())
                }
                Trust::Directory { index, .. } => {
                    let local = store.room(&format!("{name}/local/{}", line.source))?;
                    write(&local.join("Packages"), index)?;
                    write(&local.join("Release"), &local_release(&line.source, index))?;
                    line.url = format!("file:{}", local.display());
                    // We have just written it ourselves.
                    "trusted=yes".to_owned()
                }
            };
            let components = line.components.join(" ");
            let entry = format!("deb [{options}] {} {} {components}", line.url, line.suite);
            writeln!(sources, "{}", entry.trim_end())?;
        }
        write(&dir.join("sources.list"), &sources)?;
        // Nothing is installed.
        write(&dir.join("status"), "")?;
        write(&dir.join("preferences"), "")?;
        write(
            &dir.join("apt.conf"),
            &configuration(&dir, archs, &host_acquire()),
        )?;
        Ok(Self {
            dir,
            log: log.clone(),
            lines,
            _lock: lock,
        })
    }

    /// The sources; those that are directories with the address of their index.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// What apt prefers: `apt_preferences(5)`.
    pub fn prefer(&self, text: &str) -> Result<()> {
        write(&self.dir.join("preferences"), text)
    }

    /// Fetches the indexes and verifies their signatures.
    pub fn update(&self, progress: &Progress) -> Result<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            let finished = self.run("apt-get", &["update", "--quiet"])?;
            if finished.status.success() {
                // apt does not read again what it has from earlier.
                let damaged = indexes::remove_damaged(&self.dir.join("lists"))?;
                if damaged.is_empty() || tries == TRIES {
                    return Ok(());
                }
                for (name, _) in damaged {
                    progress.note(format!(
                        "the package index {name} in the store is damaged: getting it again"
                    ));
                }
                continue;
            }
            cancel::check()?;
            let error = explain(&complaints(&finished), &self.lines, tries);
            if tries == TRIES || !matches!(error, ArchiveError::Unreachable { .. }) {
                return Err(error.into());
            }
            for _ in 0..tries * 20 {
                cancel::check()?;
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// The indexes that are not what the signed Release files say, for who cannot get them again.
    pub fn damaged(&self) -> Result<Vec<String>> {
        let damaged = indexes::damaged(&self.dir.join("lists"))?;
        Ok(damaged.into_iter().map(|(name, _)| name).collect())
    }

    /// Whether indexes are there from an earlier run.
    pub fn has_lists(&self) -> bool {
        self.lists().is_ok_and(|lists| {
            lists
                .iter()
                .any(|path| path.to_string_lossy().ends_with("_Packages"))
        })
    }

    /// The files that `update` brought, sorted.
    pub fn lists(&self) -> Result<Vec<PathBuf>> {
        let dir = self.dir.join("lists");
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&dir).map_err(|error| space::io_error(error, &dir))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    }

    /// The control stanzas of every package's candidate version, as one text.
    pub fn available(&self) -> Result<String> {
        let stdout = self.cmd("apt-cache").arg("dumpavail").output()?;
        // Descriptions are UTF-8; a byte that is not must not stop a build.
        Ok(String::from_utf8(stdout)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// Where the candidate versions of `names` are, without anything that they depend on: one line of `--print-uris` each.
    pub fn download_uris(&self, names: &[&str]) -> Result<String> {
        let fixed = ["download", "--print-uris", "--quiet=2", "--"];
        let finished = self.run("apt-get", &[&fixed[..], names].concat())?;
        if !finished.status.success() {
            bail!(
                "apt cannot say where {} are: {}",
                names.join(", "),
                finished.stderr.trim()
            );
        }
        Ok(String::from_utf8_lossy(&finished.stdout).into_owned())
    }

    /// What apt would download to install `names` on an empty system: one line of `--print-uris` each.
    /// `Err(text)` is apt's explanation of why it cannot.
    pub fn install_uris(&self, names: &[&str]) -> Result<Result<String, String>> {
        let fixed = ["install", "--print-uris", "--yes", "--quiet=2", "--"];
        let finished = self.run("apt-get", &[&fixed[..], names].concat())?;
        let stdout = String::from_utf8_lossy(&finished.stdout).into_owned();
        if finished.status.success() {
            return Ok(Ok(stdout));
        }
        // Less quiet, for the explanation that the quiet run does not print.
        let fixed = ["install", "--simulate", "--yes", "--quiet", "--"];
        let finished = self.run("apt-get", &[&fixed[..], names].concat())?;
        let stdout = String::from_utf8_lossy(&finished.stdout).into_owned();
        let explanation = stdout.split_once("The following packages have unmet dependencies:");
        let explanation = explanation.map_or("", |(_, rest)| rest.trim_matches('\n'));
        Ok(Err(format!("{explanation}\n{}", finished.stderr.trim())
            .trim_matches('\n')
            .to_owned()))
    }

    fn cmd(&self, program: &str) -> Cmd {
        let mut cmd = Cmd::new(program)
            .clean_env()
            .env("APT_CONFIG", self.dir.join("apt.conf"));
        for name in [
            "http_proxy",
            "https_proxy",
            "no_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "NO_PROXY",
            "all_proxy",
        ] {
            if let Some(value) = std::env::var_os(name) {
                cmd = cmd.env(name, value);
            }
        }
        cmd
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<clic_host::process::Finished> {
        let cmd = self.cmd(program).args(args);
        let line = cmd.line();
        self.log.line(&format!("+ {line}"));
        let finished = cmd.finish()?;
        let stdout = String::from_utf8_lossy(&finished.stdout);
        stdout
            .lines()
            .chain(finished.stderr.lines())
            .for_each(|line| self.log.line(line));
        Ok(finished)
    }
}

/// Reads all indexes of the store, and removes those that are not what the signed Release files say: names and bytes. The
/// next resolution gets them anew.
pub fn verify(store: &Store) -> Result<Vec<(String, u64)>> {
    let rooms = store.dir().join("apt");
    let mut damaged = Vec::new();
    for room in std::fs::read_dir(rooms).into_iter().flatten().flatten() {
        let name = format!("apt/{}", room.file_name().to_string_lossy());
        let _lock = store.lock(&name)?;
        let found = indexes::remove_damaged(&room.path().join("lists"))?;
        damaged.extend(
            found
                .into_iter()
                .map(|(file, bytes)| (format!("{name}/lists/{file}"), bytes)),
        );
    }
    Ok(damaged)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| space::io_error(error, path))
}

/// A Release file for an index that we wrote: apt knows the source by its origin.
fn local_release(source: &str, index: &str) -> String {
    let sha256: String = Sha256::digest(index)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // A fixed date: the same files make the same index.
    format!(
        "Origin: clic-{source}\nLabel: clic-{source}\nDate: Thu, 01 Jan 1970 00:00:00 UTC\nSHA256:\n {sha256} {} Packages\n",
        index.len()
    )
}

fn find_keyring(named: Option<&Path>) -> Result<PathBuf> {
    let path = match named {
        Some(path) => Some(std::path::absolute(path)?).filter(|path| path.is_file()),
        None => KEYRINGS.iter().map(PathBuf::from).find(|path| path.is_file()),
    };
    path.ok_or_else(|| {
        let name = named.unwrap_or(Path::new(KEYRINGS[0]));
        UserError::new(format!("Debian's keys are not there: {}", name.display()))
            .help("sudo apt-get install debian-archive-keyring")
            .into()
    })
}

/// The private configuration. `acquire` are the host's lines: the mirror is the host's choice, and so is how to
/// reach it (proxies, certificates, time-outs).
fn configuration(dir: &Path, archs: &[&str], acquire: &str) -> String {
    let dir = dir.display();
    let list: String = archs.iter().map(|arch| format!(" \"{arch}\";")).collect();
    format!(
        r#"Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
{acquire}Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::GzipIndexes "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
APT::Update::Error-Mode "any";
APT::Architecture "{first}";
APT::Architectures {{{list} }};
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Dir "{dir}";
Dir::State "{dir}/state";
Dir::State::status "{dir}/status";
Dir::State::lists "{dir}/lists";
Dir::Cache "{dir}/cache";
Dir::Log "{dir}/log";
Dir::Etc "{dir}/etc";
Dir::Etc::sourcelist "{dir}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::main "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Dir::Etc::preferences "{dir}/preferences";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::netrc "/etc/apt/auth.conf";
Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
"#,
        first = archs.first().copied().unwrap_or_default(),
    )
}

/// What the host's administrator said about reaching mirrors. Nothing that weakens the check of signatures.
fn host_acquire() -> String {
    let dump = Cmd::new("apt-config")
        .clean_env()
        .args(["dump", "Acquire"])
        .output()
        .unwrap_or_default();
    acquire_lines(&String::from_utf8_lossy(&dump))
}

fn acquire_lines(dump: &str) -> String {
    const NOT_THESE: [&str; 9] = [
        "Acquire::AllowInsecureRepositories",
        "Acquire::AllowWeakRepositories",
        "Acquire::AllowDowngradeToInsecureRepositories",
        "Acquire::IndexTargets",
        "Acquire::Changelogs",
        "Acquire::CompressionTypes",
        "Acquire::GzipIndexes",
        "Acquire::Languages",
        "Acquire::cdrom",
    ];
    let wanted = |line: &&str| {
        let name = line.split([' ', '"']).next().unwrap_or("");
        let under = |group: &&str| {
            name.get(..group.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(group))
                && matches!(name.get(group.len()..), Some(rest) if rest.is_empty() || rest.starts_with("::"))
        };
        name.starts_with("Acquire::") && !NOT_THESE.iter().any(under) && !line.ends_with(" \"\";")
    };
    dump.lines()
        .filter(wanted)
        .fold(String::new(), |text, line| text + line + "\n")
}

/// The proxies that the host's apt uses, for our own downloads: for http, then for https.
pub fn host_proxies() -> [Proxy; 2] {
    let get = |key: &str| -> Proxy {
        let value = Cmd::new("apt-config")
            .clean_env()
            .args(["shell", "V", key])
            .output()
            .unwrap_or_default();
        let value = String::from_utf8_lossy(&value);
        match value
            .trim()
            .strip_prefix("V='")
            .and_then(|value| value.strip_suffix('\''))
        {
            None | Some("") => Proxy::Environment,
            Some("DIRECT") => Proxy::Direct,
            Some(url) => Proxy::Url(url.to_owned()),
        }
    };
    let http = get("Acquire::http::Proxy");
    // apt's https method falls back to the proxy for http.
    let https = match get("Acquire::https::Proxy") {
        Proxy::Environment => http.clone(),
        other => other,
    };
    [http, https]
}

/// apt's lines that say what is wrong.
fn complaints(finished: &clic_host::process::Finished) -> String {
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
    lines.truncate(12);
    lines
        .iter()
        .fold(String::new(), |text, line| text + "    " + line + "\n")
        .trim_end()
        .to_owned()
}

fn explain(said: &str, lines: &[Line], tries: u32) -> ArchiveError {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let said_so = said.to_owned();
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
            .find(|line| said.contains(&format!("{} {} Release'", line.url, line.suite)));
        if let Some(line) = missing {
            return ArchiveError::NoSuite {
                whose: line.whose(),
                suite: line.suite.clone(),
                url: line.url.clone(),
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
        let mut all = said.lines().filter(|said| said.contains(&line.url));
        all.any(|said| content.iter().any(|word| said.contains(word)))
    };
    let mentioned = |line: &Line| {
        let mut all = said
            .lines()
            .filter(|said| said.contains(&format!("{} {}", line.url, line.suite)));
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
            .find(|line| line.optional && line.suite == *suite && line.url == *url),
        _ => None,
    }
}

/// One line of `apt-get --print-uris`: `'URI' FILE SIZE HASH`.
#[derive(Debug, PartialEq, Eq)]
pub struct PrintedUri<'a> {
    /// Where from.
    pub uri: &'a str,
    /// Package name.
    pub name: &'a str,
    /// Version, with its epoch.
    pub version: String,
    /// Architecture, or `all`.
    pub arch: &'a str,
}

impl PrintedUri<'_> {
    /// Whether this is a file of the archive at `url`.
    pub fn is_of(&self, url: &str) -> bool {
        without_login(self.uri)
            .strip_prefix(&without_login(url))
            .is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Reads one line of `apt-get --print-uris`.
pub fn printed_uri(line: &str) -> Result<PrintedUri<'_>> {
    let parse = || {
        let (uri, rest) = line.strip_prefix('\'')?.split_once("' ")?;
        let file = rest.split(' ').next()?.strip_suffix(".deb")?;
        let mut parts = file.split('_');
        let (name, version, arch) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || name.is_empty() || version.is_empty() {
            return None;
        }
        // apt writes the epoch's colon as %3a in file names.
        let version = version.replace("%3a", ":").replace("%3A", ":");
        Some(PrintedUri {
            uri,
            name,
            version,
            arch,
        })
    };
    parse().with_context(|| format!("apt printed an address that cannot be read: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_addresses() {
        let line = "'http://h/pool/a/attr/libattr1_2.5.1-4_arm64.deb' libattr1_1%3a2.5.1-4_arm64.deb 21888 MD5Sum:5f";
        let printed = printed_uri(line).unwrap();
        assert_eq!(
            (printed.name, printed.version.as_str(), printed.arch),
            ("libattr1", "1:2.5.1-4", "arm64")
        );
        assert_eq!(printed.uri, "http://h/pool/a/attr/libattr1_2.5.1-4_arm64.deb");
        for wrong in ["", "'http://h/x.deb'", "'http://h/x' x 1 y", "'u' a_b.deb 1 h"] {
            assert!(printed_uri(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_belong_to_archives() {
        let of = |uri: &str, url: &str| {
            let line = format!("'{uri}' a_1_all.deb 1 MD5Sum:5f");
            printed_uri(&line).unwrap().is_of(url)
        };
        assert!(of("http://h/debian/pool/a.deb", "http://h/debian"));
        assert!(of("http://h/debian/pool/a.deb", "http://me:pw@h/debian"));
        assert!(of("file:/srv/debian/pool/a.deb", "file:/srv/debian"));
        assert!(!of("http://h/debian-security/pool/a.deb", "http://h/debian"));
    }

    #[test]
    fn the_hosts_way_to_mirrors_is_kept_but_not_what_weakens_signatures() {
        let dump = "Acquire \"\";\nAcquire::AllowInsecureRepositories \"1\";\nacquire::http \"\";\nAcquire::http::Proxy \"http://p:3128\";\n\
                    Acquire::Check-Valid-Until \"false\";\nAcquire::IndexTargets::deb::Packages::Optional \"0\";\nAcquire::Languages:: \"none\";\n\
                    Acquire::allowweakrepositories \"1\";\nDir \"/\";\n";
        assert_eq!(
            acquire_lines(dump),
            "Acquire::http::Proxy \"http://p:3128\";\nAcquire::Check-Valid-Until \"false\";\n"
        );
    }

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
        let said = "E: The repository 'file:/srv/debian x Release' is not signed.";
        assert!(matches!(explain(said, &lines, 1), ArchiveError::Signature { .. }));
    }
}
