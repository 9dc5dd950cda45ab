//! Namespaces of our own: root inside, an ordinary user outside.
//!
//! A command in the sandbox has user, mount, pid, network, uts, ipc and cgroup namespaces. It is killed with us
//! (`clic_host::Cmd`, then `unshare --kill-child`), and as pid 1 of its namespace it takes every process and
//! mount with it: nothing is left even by `kill -9`.

use std::path::Path;

use anyhow::Result;
use clic_debian::arch::host_arch;
use clic_host::process::find;
use clic_host::{Cmd, UserError};
use clic_recipe::plan::Arch;

use crate::binfmt::{self, Emulator};

/// Ids that a Debian tree uses: 0 to 65535 (Debian policy 9.2.2).
pub const IDS: u32 = 65_536;

/// First id that `useradd` gives to a user's range (`SUB_UID_MIN` of login.defs).
const FIRST_SUBID: u32 = 100_000;

/// Most processes that there may be in a sandbox, together with the user's others. A user whose own limit is lower keeps a
/// quarter of it.
const PROCESSES: u64 = 16_384;

/// Runs first inside: the emulator's registration if its line is given, loopback, then the command.
/// `$1` registration or empty.
const ENTER: &str = r#"set -eu
umask 022
if [ -n "$1" ]; then
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    printf '%s' "$1" > /proc/sys/fs/binfmt_misc/register
fi
shift
ip link set lo up 2>/dev/null || :
exec "$@""#;

/// A way into namespaces that was tried and works.
#[derive(Clone, Debug)]
pub struct Sandbox {
    root: bool,
    emulator: Option<Emulator>,
    /// The line for `binfmt_misc/register` that is used instead of the emulator's own.
    instead: Option<String>,
}

impl Sandbox {
    /// Tries the namespaces. Errors: [`UserError`] that names what the host lacks and the command that fixes it.
    pub fn new() -> Result<Self> {
        let sandbox = Self {
            root: effective_root(),
            emulator: None,
            instead: None,
        };
        sandbox.try_it().map_err(|said| diagnose(&said, sandbox.root))?;
        Ok(sandbox)
    }

    /// Like [`Sandbox::new`], and able to run programs of `arch`, by emulation if need be.
    pub fn for_arch(arch: Arch) -> Result<Self> {
        let mut sandbox = Self::new()?;
        if Some(arch) == host_arch() {
            return Ok(sandbox);
        }
        let emulator = Emulator::find(arch)?;
        if sandbox.root {
            // Registering would change the host itself.
            return if binfmt::host_has(arch) {
                Ok(sandbox)
            } else {
                Err(binfmt::not_possible(arch, "as root, the host's own registration is needed").into())
            };
        }
        sandbox.emulator = Some(emulator);
        if let Err(said) = sandbox.try_it() {
            // Kernels before 6.7 have one table for all.
            if !binfmt::host_has(arch) {
                return Err(binfmt::not_possible(arch, &said).into());
            }
            sandbox.emulator = None;
        }
        Ok(sandbox)
    }

    /// The emulator that the sandbox registers for itself. `None` if nothing is emulated, or only as the host has it.
    pub fn emulator(&self) -> Option<&Emulator> {
        self.emulator.as_ref()
    }

    /// With another line for `binfmt_misc/register` than the emulator's own.
    #[must_use]
    pub fn registering(mut self, line: &str) -> Self {
        self.instead = Some(line.to_owned());
        self
    }

    /// How programs of a foreign architecture run, for logs.
    pub fn emulation(&self) -> String {
        self.emulator.as_ref().map_or_else(
            || "none, or the host's".into(),
            |emulator| emulator.interpreter().into(),
        )
    }

    /// `program` in the sandbox. Add arguments and environment to what is returned. The environment is clean.
    pub fn cmd(&self, program: &str) -> Cmd {
        let own = rustix::process::getrlimit(rustix::process::Resource::Nproc).maximum;
        let most = own.map_or(PROCESSES, |own| PROCESSES.min(own / 4 * 3));
        let mut cmd = Cmd::new("unshare").clean_env().processes(most);
        if !self.root {
            cmd = cmd.args(["--user", "--map-root-user", "--map-auto"]);
        }
        cmd = cmd.args([
            "--mount",
            "--pid",
            "--net",
            "--uts",
            "--ipc",
            "--cgroup",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ]);
        let own = || self.emulator.as_ref().map(Emulator::registration);
        let register = self.instead.clone().or_else(own).unwrap_or_default();
        cmd.args(["sh", "-c", ENTER, "sh", &register, program])
    }

    /// Removes a directory whose files may belong to the ids of a sandbox: [`clic_store::Store::remover`].
    pub fn remove(dir: &Path) -> Result<()> {
        // No need for a trial: its failure is the command's failure.
        let sandbox = Self {
            root: effective_root(),
            emulator: None,
            instead: None,
        };
        let remove = || {
            let rm = sandbox
                .cmd("rm")
                .args(["-rf", "--one-file-system", "--"])
                .arg(dir);
            rm.cleans_up().output()
        };
        // Killed processes of a sandbox may take a moment to end, and put a last file there meanwhile.
        for _ in 0..5 {
            if remove().is_ok() {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        remove().map(drop)
    }

    /// What `unshare` says when it does not work.
    fn try_it(&self) -> Result<(), String> {
        match self.cmd("true").finish() {
            Ok(finished) if finished.status.success() => Ok(()),
            Ok(finished) => Err(finished.stderr.trim().to_owned()),
            Err(error) => Err(format!("{error:#}")),
        }
    }
}

fn effective_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A part of the host that is in the way of an ordinary user's sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Stable kebab-case name.
    pub id: &'static str,
    /// What it is about, for lists.
    pub title: &'static str,
    /// What is wrong.
    pub what: String,
    /// The command that fixes it.
    pub fix: String,
}

/// Everything known that may be in the way, most basic first. Nothing is tried, and some hosts make up for what is named
/// here (an `AppArmor` profile): ask when [`Sandbox::new`] has failed.
pub fn obstacles() -> Vec<Obstacle> {
    let mut found = Vec::new();
    let mut add = |id, title, what: String, fix: String| {
        found.push(Obstacle { id, title, what, fix });
    };
    let switches = [
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            1,
            "AppArmor keeps ordinary users from user namespaces",
            "0",
        ),
        (
            "kernel/unprivileged_userns_clone",
            0,
            "user namespaces are switched off for ordinary users",
            "1",
        ),
        (
            "user/max_user_namespaces",
            0,
            "no user namespaces are allowed",
            "15000",
        ),
    ];
    for (key, bad, what, good) in switches {
        let value = std::fs::read_to_string(Path::new("/proc/sys").join(key));
        if value.is_ok_and(|value| value.trim().parse() == Ok(bad)) {
            let key = key.replace('/', ".");
            let fix =
                format!("echo {key}={good} | sudo tee /etc/sysctl.d/60-clic.conf && sudo sysctl --system");
            add("user-namespaces", "User namespaces", what.to_owned(), fix);
        }
    }
    let absent: Vec<&str> = ["unshare", "newuidmap", "newgidmap"]
        .into_iter()
        .filter(|name| find(name).is_none())
        .collect();
    if !absent.is_empty() {
        let what = format!("{} is not there", absent.join(", "));
        let fix = "sudo apt-get install --yes --no-install-recommends uidmap util-linux".to_owned();
        add("id-map-tools", "newuidmap, newgidmap", what, fix);
    }
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (uids, gids) = (read("/etc/subuid"), read("/etc/subgid"));
    let user = user();
    if !effective_root() && (!has_range(&uids, &user) || !has_range(&gids, &user)) {
        let first = first_free(&uids).max(first_free(&gids));
        let last = first.saturating_add(IDS - 1);
        let name = &user.0;
        add(
            "subordinate-ids",
            "Subordinate ids",
            format!("{name} has no range of {IDS} subordinate ids in /etc/subuid and /etc/subgid"),
            format!("sudo usermod --add-subuids {first}-{last} --add-subgids {first}-{last} {name}"),
        );
    }
    found
}

/// Which part of the host is in the way.
fn diagnose(said: &str, root: bool) -> UserError {
    let what = "an unprivileged sandbox cannot be made";
    if root {
        return UserError::new(format!("{what}: {said}"))
            .help("in a container, its runtime must allow new namespaces");
    }
    // What newuidmap complains about is not AppArmor's doing.
    let of_ids = said.contains("newuidmap") || said.contains("newgidmap");
    let first = obstacles()
        .into_iter()
        .find(|obstacle| !of_ids || obstacle.id != "user-namespaces");
    match first {
        Some(obstacle) => {
            UserError::new(format!("{what}: {} ({said})", obstacle.what)).help(obstacle.fix)
        }
        None => UserError::new(format!("{what}: {said}")).help(
            "in a container, its runtime must allow user namespaces (seccomp, AppArmor); `clic doctor` says more",
        ),
    }
}

/// Name and number of the user that we are.
fn user() -> (String, String) {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    (name.unwrap_or_else(|| uid.clone()), uid)
}

/// The lines of subuid(5): owner, first id, count.
fn ranges(text: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        Some((
            fields.next()?,
            fields.next()?.parse().ok()?,
            fields.next()?.parse().ok()?,
        ))
    })
}

fn has_range(text: &str, (name, uid): &(String, String)) -> bool {
    // Id 0 is the user itself, so that a range may be one short.
    ranges(text).any(|(owner, _, count)| (owner == name || owner == uid) && count >= IDS - 1)
}

fn first_free(text: &str) -> u32 {
    ranges(text)
        .map(|(_, first, count)| first.saturating_add(count))
        .fold(FIRST_SUBID, u32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_subordinate_ids() {
        let ana = ("ana".to_owned(), "1000".to_owned());
        assert!(has_range("bo:1:65536\nana:100000:65536\n", &ana));
        assert!(has_range("1000:100000:65536", &ana));
        assert!(!has_range("ana:100000:1000\nbo:1:65536\nana:x:y\n", &ana));
        assert_eq!(first_free("a:100000:65536\nb:165536:65536\n"), 231_072);
        assert_eq!(first_free("a:4294967295:65536\n"), u32::MAX);
    }

    #[test]
    fn the_command_line_is_an_ordinary_users() {
        let line = Sandbox {
            root: false,
            emulator: None,
            instead: None,
        }
        .cmd("true")
        .line();
        assert!(
            line.starts_with("unshare --user --map-root-user --map-auto --mount --pid --net "),
            "{line}"
        );
        assert!(line.contains(" --kill-child "), "{line}");
    }

    #[test]
    fn root_inside_and_what_it_leaves_can_be_removed() {
        let sandbox = Sandbox::new().expect("this test needs user namespaces: see `clic doctor`");
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        let script = r#"mkdir -m 700 "$1" && touch "$1/file" && chown -R 33:33 "$1" && id -u"#;
        let said = sandbox
            .cmd("sh")
            .args(["-c", script, "sh"])
            .arg(&tree)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&said).trim(), "0");
        assert!(tree.exists());
        Sandbox::remove(&tree).unwrap();
        assert!(!tree.exists());
    }
}
