//! What the build host's apt is told: where Debian is, and how to get there. apt.conf(5), `apt_auth.conf(5)`,
//! apt-transport-http(1), apt-transport-https(1).
//!
//! Both our private apt and our own downloads take the host's ways. There are many (proxies by host, programs that find one, logins,
//! certificates, SOCKS, further kinds of addresses), and who knows them all is apt: where the host's apt is told of a way, apt itself
//! brings the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use clic_debian::uri;
use clic_host::{Cmd, UserError};
use clic_store::{Carrier, Refusal, Scratch, Store, space, without_login};

/// Variables by which people name proxies. apt reads them in lower case.
const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "no_proxy", "ftp_proxy"];
/// Kinds that apt has a program for, and that it uses only when it is told to.
const SWITCHED_OFF: [&str; 3] = ["ftp", "rsh", "ssh"];
/// Programs among apt's methods that bring nothing from anywhere.
const NO_PLACES: [&str; 3] = ["gpgv", "rred", "store"];

/// What the build host's apt is told.
#[derive(Clone, Debug)]
pub struct HostApt {
    /// Its options, in their order: names and values.
    options: Vec<(String, String)>,
    /// Proxies of the environment, by the names that apt reads.
    environment: BTreeMap<&'static str, String>,
    /// `auth.conf`, and the directory of further ones.
    logins: [PathBuf; 2],
    /// `sources.list`, and the directory of further ones.
    pub(crate) sources: [PathBuf; 2],
    /// What it has of archives.
    pub(crate) lists: PathBuf,
    /// Its programs for kinds of addresses.
    methods: PathBuf,
}

impl Default for HostApt {
    /// One that is told nothing.
    fn default() -> Self {
        let etc = Path::new("/etc/apt");
        Self {
            options: Vec::new(),
            environment: BTreeMap::new(),
            logins: [etc.join("auth.conf"), etc.join("auth.conf.d")],
            sources: [etc.join("sources.list"), etc.join("sources.list.d")],
            lists: "/var/lib/apt/lists".into(),
            methods: "/usr/lib/apt/methods".into(),
        }
    }
}

impl HostApt {
    /// Asks the host's apt, with the `APT_CONFIG` and the proxies of our environment.
    pub fn ask() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let config = std::env::var_os("APT_CONFIG").map(PathBuf::from);
        Self::told(config.as_deref(), variable)
    }

    /// Asks with this `APT_CONFIG` and this environment.
    pub fn told(config: Option<&Path>, variable: impl Fn(&str) -> Option<String>) -> Self {
        let ask = |args: &[&str]| {
            let mut cmd = Cmd::new("apt-config").clean_env().args(args);
            if let Some(config) = config {
                cmd = cmd.env("APT_CONFIG", config);
            }
            // Where there is no apt, it is told nothing.
            String::from_utf8_lossy(&cmd.output().unwrap_or_default()).into_owned()
        };
        let mut host = Self {
            options: ask(&["dump"]).lines().filter_map(option).collect(),
            environment: environment(variable),
            ..Self::default()
        };
        let paths = ask(&[
            "shell",
            "0",
            "Dir::Etc::netrc/f",
            "1",
            "Dir::Etc::netrcparts/d",
            "2",
            "Dir::Etc::sourcelist/f",
            "3",
            "Dir::Etc::sourceparts/d",
            "4",
            "Dir::State::lists/d",
            "5",
            "Dir::Bin::methods/d",
        ]);
        for (name, path) in paths.lines().filter_map(|line| line.split_once("='")) {
            let path = PathBuf::from(path.trim_end_matches('\'').replace(r"'\''", "'"));
            match name {
                "0" => host.logins[0] = path,
                "1" => host.logins[1] = path,
                "2" => host.sources[0] = path,
                "3" => host.sources[1] = path,
                "4" => host.lists = path,
                "5" => host.methods = path,
                _ => {}
            }
        }
        host
    }

    /// One that has everything below `dir`, for tests.
    #[cfg(test)]
    pub(crate) fn at(dir: &Path) -> Self {
        Self {
            logins: [dir.join("auth.conf"), dir.join("auth.conf.d")],
            sources: [dir.join("sources.list"), dir.join("sources.list.d")],
            lists: dir.join("lists"),
            methods: dir.join("methods"),
            ..Self::default()
        }
    }

    /// What decides how places are reached, as lines for another apt's configuration, with the logins in the file `logins`. Nothing that
    /// weakens the check of signatures.
    pub(crate) fn ways(&self, logins: &Path) -> String {
        let options = self.options.iter().filter(|(name, _)| is_way(name));
        let mut text: String = options
            .map(|(name, value)| format!("{name} \"{value}\";\n"))
            .collect();
        for (name, path) in [("netrc", logins), ("netrcparts", &self.logins[1])] {
            text += &format!("Dir::Etc::{name} \"{}\";\n", path.display());
        }
        text
    }

    /// The file with the logins: `own`, with those that are in addresses, or else the host's. apt never hears of a login as a part
    /// of an address, so none can be in what it says.
    pub(crate) fn logins<'a>(&self, urls: impl IntoIterator<Item = &'a str>, own: &Path) -> Result<PathBuf> {
        let mut text = String::new();
        for url in urls {
            text += &login(url)?.unwrap_or_default();
        }
        if text.is_empty() {
            return Ok(self.logins[0].clone());
        }
        // The first that fits counts.
        text += &std::fs::read_to_string(&self.logins[0]).unwrap_or_default();
        private(own, &text)?;
        Ok(own.to_owned())
    }

    /// The environment that apt's programs need.
    pub(crate) fn environ(&self, cmd: Cmd) -> Cmd {
        self.environment
            .iter()
            .fold(cmd, |cmd, (name, value)| cmd.env(name, value))
    }

    /// Whether it is told anything about how to reach places on the web.
    fn has_ways(&self) -> bool {
        let about = |name: &str| {
            let groups = [
                "Acquire::http",
                "Acquire::https",
                "Acquire::ForceIPv4",
                "Acquire::ForceIPv6",
            ];
            groups.iter().any(|group| is_below(name, group))
        };
        self.options.iter().any(|(name, _)| about(name)) || !self.environment.is_empty() || self.has_logins()
    }

    fn has_logins(&self) -> bool {
        let [file, dir] = &self.logins;
        let parts = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let parts = parts
            .map(|part| part.path())
            .filter(|part| part.extension().is_some_and(|end| end == "conf"));
        // One that we may not read counts: apt says so when it matters.
        let has = |path: &Path| std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() > 0);
        parts.chain([file.clone()]).any(|path| has(&path))
    }

    /// Whether its apt can bring files of this kind of address; else why not, after the address, and what to do.
    pub(crate) fn can(&self, scheme: &str) -> Result<(), (String, String)> {
        let switch = format!("Dir::Bin::Methods::{scheme}");
        let named = self
            .options
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&switch));
        if scheme == "cdrom" {
            let help = "mount it, and name its directory: file:/media/cdrom";
            return Err(("is a CD, which apt asks a person for".into(), help.into()));
        }
        if SWITCHED_OFF.contains(&scheme) && named.is_none() {
            let help = "name an address with https: or http:, or switch it on in /etc/apt/apt.conf.d: ";
            return Err((
                format!("is of a kind that this machine's apt has switched off ({scheme}:)"),
                format!("{help}{switch} \"{scheme}\";"),
            ));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
        let is_there = !NO_PLACES.contains(&scheme)
            && !scheme.starts_with("mirror")
            && scheme.chars().all(plain)
            && (named.is_some() || self.methods.join(scheme).is_file());
        if is_there {
            return Ok(());
        }
        let package = match scheme {
            "tor" | "tor+http" | "tor+https" | "tor+mirror" => "apt-transport-tor",
            "s3" => "apt-transport-s3",
            _ => {
                let help = "an address looks like http://HOST/debian or file:/srv/debian";
                return Err((
                    "is of a kind that this machine's apt cannot reach".into(),
                    help.into(),
                ));
            }
        };
        Err((
            format!("is of a kind that this machine's apt cannot reach yet ({scheme}:)"),
            format!("sudo apt-get install {package}"),
        ))
    }

    /// The store, whose downloads take the ways of the host's apt.
    #[must_use]
    pub fn carries_for(self, store: Store) -> Store {
        let helper = self.methods.join("../apt-helper");
        if !helper.is_file() {
            return store;
        }
        let carrier = AptCarrier {
            store: store.clone(),
            has_ways: self.has_ways(),
            host: self,
            helper,
            configs: Mutex::default(),
        };
        store.carrier(Arc::new(carrier))
    }
}

/// Brings files with apt's own programs.
struct AptCarrier {
    /// Where configurations are put: they may have secrets.
    store: Store,
    host: HostApt,
    helper: PathBuf,
    has_ways: bool,
    configs: Mutex<Configs>,
}

#[derive(Default)]
struct Configs {
    dir: Option<Scratch>,
    /// By the login that is in it.
    files: BTreeMap<Option<String>, PathBuf>,
}

impl AptCarrier {
    /// A configuration for this address.
    fn config(&self, url: &str) -> Result<PathBuf> {
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        let login = login(url)?;
        if let Some(path) = configs.files.get(&login) {
            return Ok(path.clone());
        }
        if configs.dir.is_none() {
            configs.dir = Some(self.store.scratch("apt")?);
        }
        let dir = configs.dir.as_ref().map(Scratch::path).context("just made")?;
        let number = configs.files.len();
        let path = dir.join(format!("{number}.conf"));
        let logins = self.host.logins([url], &dir.join(format!("{number}.auth")))?;
        let text = format!(
            "{}Acquire::Retries \"0\";\nAPT::Sandbox::User \"root\";\nDir \"{}\";\nDir::Etc::parts \"/dev/null\";\n\
             Dir::Etc::main \"/dev/null\";\n",
            self.host.ways(&logins),
            dir.display(),
        );
        private(&path, &text)?;
        configs.files.insert(login, path.clone());
        Ok(path)
    }
}

impl Carrier for AptCarrier {
    fn takes(&self, url: &str) -> bool {
        let Some((scheme, rest)) = url.split_once(':') else {
            return false;
        };
        match scheme {
            "file" | "copy" => false,
            "http" | "https" => rest.starts_with("//") && (self.has_ways || without_login(url) != url),
            _ => self.host.can(scheme).is_ok(),
        }
    }

    fn command(&self, url: &str, to: &Path, fresh: bool) -> Result<Cmd> {
        // apt takes an address as a line of its protocol.
        if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let what = format!("{:?} has a blank, which no address has", without_login(url));
            return Err(UserError::new(what).help("write it as %20").into());
        }
        let cmd = Cmd::new(&self.helper)
            .clean_env()
            .env("APT_CONFIG", self.config(url)?);
        let mut cmd = self.host.environ(cmd);
        if fresh {
            cmd = cmd.args([
                "-o",
                "Acquire::http::No-Cache=true",
                "-o",
                "Acquire::https::No-Cache=true",
            ]);
        }
        // Everybody on the machine can read command lines.
        Ok(cmd.arg("download-file").arg(without_login(url)).arg(to))
    }

    fn why(&self, said: &str) -> Refusal {
        refusal(said)
    }
}

/// The login of an address, as `apt_auth.conf(5)` has it.
fn login(url: &str) -> Result<Option<String>> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Ok(None);
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((login, host)) = authority.rsplit_once('@') else {
        return Ok(None);
    };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (user, password) = (uri::decoded(user), uri::decoded(password));
    if [&user, &password]
        .iter()
        .any(|text| text.contains(|c: char| c.is_whitespace() || c.is_control()))
    {
        let what = format!("the login in the address of {} has a blank", without_login(url));
        return Err(UserError::new(what)
            .help("apt_auth.conf(5) has no way to say it: take another password")
            .into());
    }
    Ok(Some(format!(
        "machine {scheme}://{host} login {user} password {password}\n"
    )))
}

/// A file that only its user can read.
fn private(path: &Path, text: &str) -> Result<()> {
    let failed = |error| space::io_error(error, path);
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// A line of `apt-config dump`: `Name "value";`. What is not set to anything says nothing.
fn option(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_suffix("\";")?.split_once(" \"")?;
    // A configuration has no way to write a quote.
    let plain = !name.is_empty() && !value.is_empty() && !value.contains('"');
    plain.then(|| (name.to_owned(), value.to_owned()))
}

/// Whether an option is of this group, or the group itself: apt does not tell capitals from small letters.
fn is_below(name: &str, group: &str) -> bool {
    let start = name.get(..group.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(group))
        && matches!(name.get(group.len()..), Some(rest) if rest.is_empty() || rest.starts_with("::"))
}

/// Whether an option is about how to reach places.
fn is_way(name: &str) -> bool {
    const NOT_THESE: [&str; 10] = [
        "Acquire::AllowInsecureRepositories",
        "Acquire::AllowWeakRepositories",
        "Acquire::AllowDowngradeToInsecureRepositories",
        "Acquire::IndexTargets",
        "Acquire::Changelogs",
        "Acquire::CompressionTypes",
        "Acquire::GzipIndexes",
        "Acquire::Languages",
        "Acquire::cdrom",
        // Its options can make gpgv take what it would refuse.
        "Acquire::gpgv",
    ];
    let is_switch =
        is_below(name, "Dir::Bin::Methods") && !name.eq_ignore_ascii_case("Dir::Bin::Methods::gpgv");
    is_switch || (is_below(name, "Acquire") && !NOT_THESE.iter().any(|group| is_below(name, group)))
}

/// Proxies of the environment, as apt reads them: others also write them in capitals, and one for all.
fn environment(variable: impl Fn(&str) -> Option<String>) -> BTreeMap<&'static str, String> {
    let either = |name: &str| variable(name).or_else(|| variable(&name.to_ascii_uppercase()));
    let of = |name: &'static str| {
        let all = || either("all_proxy").filter(|_| name != "no_proxy");
        let value = either(name).or_else(all)?;
        // apt lets the proxy look up names in any case, and knows that only under its exact word.
        let value = match value.strip_prefix("socks5://") {
            Some(rest) => format!("socks5h://{rest}"),
            None => value,
        };
        Some((name, value))
    };
    PROXIES.into_iter().filter_map(of).collect()
}

/// What apt-helper's last words mean: `E: Failed to fetch ADDRESS  REASON`.
fn refusal(said: &str) -> Refusal {
    // Newer programs of apt write the whole word.
    let error = |line| str::strip_prefix(line, "E: ").or_else(|| str::strip_prefix(line, "Error: "));
    let errors = || said.lines().filter_map(error);
    let failed = errors().find_map(|line| line.strip_prefix("Failed to fetch "));
    let reason = failed
        .and_then(|rest| rest.split_once(' '))
        .map_or("", |(_, reason)| reason.trim());
    let status = reason.split_once(' ').and_then(|(first, _)| first.parse().ok());
    if let Some(status) = status.filter(|status| (300..600).contains(status)) {
        return Refusal::Status(status);
    }
    if !reason.is_empty() {
        return Refusal::Words(reason.to_owned());
    }
    let other = errors().find(|line| !line.starts_with("Failed to fetch") && *line != "Download Failed");
    let other = other.or_else(|| said.lines().rev().find(|line| !line.trim().is_empty()));
    Refusal::Words(other.unwrap_or("apt did not say why").to_owned())
}

#[cfg(test)]
mod tests;
