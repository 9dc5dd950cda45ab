//! apt with a configuration of its own: it verifies signatures and resolves, for any architecture, as an
//! ordinary user, and never touches the build host's packages.

mod conf;
mod error;
mod lists;
mod uris;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use clic_debian::uri::without_login;
use clic_host::sha256::Hasher;
use clic_host::{Cmd, Log, Progress, Sha256, UserError, cancel};
use clic_store::{Lock, Session, Store, space};

use crate::host::HostApt;
use crate::indexes;
use crate::options::ResolveOptions;

use conf::configuration;
pub use error::{ArchiveError, missing_suite};
use error::{complaints, explain};
pub use lists::{release, release_of};
pub use uris::{PrintedUri, printed_uri};

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
    /// The archive's address, maybe with a login, which apt finds in a file.
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

/// A private apt: its own state, sources and cache, kept in the store per sources and architecture.
#[derive(Debug)]
pub struct Apt {
    dir: PathBuf,
    host: HostApt,
    log: Log,
    lines: Vec<Line>,
    _lock: Lock,
}

impl Apt {
    /// Sets apt up for `lines` and waits for other runs that use the same. `options` say whose keys are believed, and what
    /// the host's apt knows of ways.
    pub fn new(
        session: Session<'_>,
        lines: &[Line],
        archs: &[&str],
        options: &ResolveOptions,
    ) -> Result<Self> {
        let store = session.store;
        let keyring = find_keyring(options.keyring.as_deref())?;
        let mut key = Hasher::default();
        key.update(format!("{}\n{}\n", keyring.display(), archs.join(" ")));
        for line in lines {
            let (url, suite) = (without_login(&line.url), &line.suite);
            key.update(format!("{url} {suite} {}\n", line.components.join(" ")));
            // Whom we believed once, we need not believe with another key: offline, nobody looks at signatures again.
            match &line.trust {
                Trust::Debian => {}
                Trust::Key { name, key: public } => {
                    key.update(format!("{name} {}\n", public.len()));
                    key.update(public);
                }
                Trust::Directory { files, .. } => key.update(format!("{files}\n")),
            }
        }
        let name = format!("apt/{:.16}", key.finish());
        let lock = store.lock_saying(&name, || {
            session
                .progress
                .note("another build is using the package indexes: waiting");
        })?;
        let dir = store.room(&name)?;
        takeable(&dir)?;
        for sub in ["lists/partial", "cache/archives/partial", "state", "etc", "log"] {
            store.room(&format!("{name}/{sub}"))?;
        }
        let mut lines = lines.to_vec();
        let mut sources = String::new();
        for line in &mut lines {
            let trust = accept(line, store, &name, &keyring)?;
            let components = line.components.join(" ");
            let url = without_login(&line.url);
            let entry = format!("deb [{trust}] {url} {} {components}", line.suite);
            writeln!(sources, "{}", entry.trim_end())?;
        }
        write(&dir.join("sources.list"), &sources)?;
        // Nothing is installed.
        write(&dir.join("status"), "")?;
        write(&dir.join("preferences"), "")?;
        let urls = lines.iter().map(|line| line.url.as_str());
        let logins = options.host.logins(urls, &dir.join("auth.conf"))?;
        let ways = options.host.ways(&logins);
        write(&dir.join("apt.conf"), &configuration(&dir, archs, &ways))?;
        Ok(Self {
            dir,
            host: options.host.clone(),
            log: session.log.clone(),
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
                if damaged.is_empty() {
                    return Ok(());
                }
                if tries == TRIES {
                    let names: Vec<String> = damaged.into_iter().map(|(name, _)| name).collect();
                    return Err(UserError::new(format!(
                        "package indexes in the store are damaged each time they are downloaded: {}",
                        names.join(", ")
                    ))
                    .help("look at the store's disk: it does not keep what is written to it")
                    .into());
                }
                for (name, _) in damaged {
                    progress.note(format!(
                        "the package index {name} in the store is damaged: downloading it again"
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

    /// Whether indexes of all sources are there from an earlier run.
    pub fn has_lists(&self) -> bool {
        let archives = |line: &&Line| !matches!(line.trust, Trust::Directory { .. });
        self.lists().is_ok_and(|lists| {
            let packages = |path: &PathBuf| path.to_string_lossy().ends_with("_Packages");
            let mut archives = self.lines.iter().filter(archives);
            lists.iter().any(packages) && archives.all(|line| release(line, &lists).is_some())
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
        let cmd = Cmd::new(program).clean_env();
        self.host
            .environ(cmd.env("APT_CONFIG", self.dir.join("apt.conf")))
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<clic_host::process::Finished> {
        let cmd = self.cmd(program).args(args);
        let line = cmd.line();
        self.log.line(&format!("+ {line}"));
        let finished = cmd.finish()?;
        let stdout = String::from_utf8_lossy(&finished.stdout);
        let mut log = self.log.part();
        stdout
            .lines()
            .chain(finished.stderr.lines())
            .for_each(|line| log.line(line));
        Ok(finished)
    }
}

/// What makes apt believe a line, as an option of it. What that needs is put into the room `name`.
fn accept(line: &mut Line, store: &Store, name: &str, keyring: &Path) -> Result<String> {
    Ok(match &line.trust {
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
    })
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

/// Refuses a directory that cannot be written into apt's files: `sources.list` takes words apart at blanks, and has no quotes.
fn takeable(dir: &Path) -> Result<()> {
    let plain =
        |text: &str| !text.contains(|c: char| c.is_whitespace() || c.is_control() || "[]\"".contains(c));
    if dir.to_str().is_some_and(plain) {
        return Ok(());
    }
    Err(UserError::new(format!(
        "apt cannot work in {}: its path has blanks, quotes or brackets",
        dir.display()
    ))
    .help("put the store elsewhere: CLIC_CACHE=DIR")
    .into())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| space::io_error(error, path))
}

/// A Release file for an index that we wrote: apt knows the source by its origin.
fn local_release(source: &str, index: &str) -> String {
    let sha256 = Sha256::of(index);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_apt_cannot_be_told_of_is_refused() {
        takeable(Path::new("/home/a-b_c/été/.cache/clic/apt/0f")).unwrap();
        for path in ["/home/a b/store", "/srv/\"x\"", "/srv/[x]", "/srv/a\nb"] {
            let said = takeable(Path::new(path)).unwrap_err();
            assert!(
                said.is::<UserError>() && said.to_string().starts_with("apt cannot work in /"),
                "{said}"
            );
        }
    }
}
