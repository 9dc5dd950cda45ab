//! The tree as a place where programs run: what a system has mounted, and nothing of the host.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use clic_debian::arch::host_arch;
use clic_host::lines::{Tail, each_line};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

use super::jail;
use super::job::Job;
use super::root::Root;
use super::say;
use crate::accel::Entered;

/// Lines of a failed program that its error repeats. The log has them all.
const TAIL: usize = 20;
/// Says that no service may be started (invoke-rc.d(8): 101 is "forbidden by policy").
const POLICY: &[u8] = b"#!/bin/sh\nexit 101\n";
const POLICY_PATH: &str = "usr/sbin/policy-rc.d";
/// Settings of `MariaDB` for its first start, by its package's script. It reserves 8 TiB of addresses for a buffer that it might
/// grow one day; qemu-user before 8.1 notes something on each page of them, 24 GB in all, for a minute. Versions that do not
/// know the setting go on (`loose`).
const MARIADB: &[u8] = b"[mariadbd]\nloose-innodb-buffer-pool-size-max=256M\n";
/// Where it looks for them (mariadbd(8), `MYSQL_HOME`), gone with the other mounts.
const MARIADB_HOME: &str = "run/clic-mariadb";
/// What a system is called until its recipe says it. Scripts ask for their host's name (`hostname --fqdn`) and write it down,
/// into certificates too; the build host's would make another image of it. `.internal` is nobody's (ICANN, 2024).
const HOSTNAME: (&str, &[u8]) = ("etc/hostname", b"clic\n");
/// Without it a script that looks that name up waits for a name server that is not there.
const HOSTS: (&str, &[u8]) = (
    "etc/hosts",
    b"127.0.0.1 localhost\n127.0.1.1 clic.internal clic\n::1 localhost ip6-localhost ip6-loopback\n",
);
/// What a program finds in /dev: numbers are the kernel's (Documentation/admin-guide/devices.txt), the nodes the host's.
const NODES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
const DEV_LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    // Nobody is there to be asked. A name that leads nowhere, since root who writes to a missing one makes a file of it, in
    // which the next to ask would read its question as the answer.
    ("tty", "/proc/self/no-terminal"),
];

/// A tree with the usual mounts; they go when this is dropped.
#[derive(Debug)]
pub struct Chroot<'a> {
    root: &'a Root,
    /// An empty directory for the programs' own view to be mounted on.
    top: PathBuf,
    variables: Vec<(String, String)>,
    mounted: Vec<PathBuf>,
    /// Files that stand in for those that the tree does not have yet.
    lent: Vec<(&'static str, &'static [u8])>,
    native: Option<Entered<'a>>,
}

impl<'a> Chroot<'a> {
    /// Mounts what programs expect. The job's variables are all that they have in their environment, besides `PATH`.
    pub fn enter(root: &'a Root, job: &'a Job) -> Result<Self> {
        let beside = job.done.parent().context("a job without a directory")?;
        let top = beside.join("top");
        std::fs::create_dir_all(&top).map_err(|error| clic_store::space::io_error(error, &top))?;
        let mut chroot = Self {
            root,
            top,
            variables: job.variables(),
            mounted: Vec::new(),
            lent: Vec::new(),
            native: None,
        };
        chroot.name()?;
        let quiet = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
        chroot.mount("proc", "proc", quiet, None)?;
        // The host's devices are nobody's business, and not the same on another host.
        chroot.mount(
            "sys",
            "tmpfs",
            quiet | MountFlags::RDONLY,
            Some(c"mode=755,size=4k"),
        )?;
        chroot.mount("dev", "tmpfs", MountFlags::NOSUID, Some(c"mode=755"))?;
        chroot.devices().context("making /dev")?;
        chroot.mount(
            "run",
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV,
            Some(c"mode=755"),
        )?;
        chroot.mount(
            "tmp",
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV,
            Some(c"mode=1777"),
        )?;
        root.make_dirs(b"run/lock")?;
        if Some(job.arch) != host_arch() {
            root.make_dirs(MARIADB_HOME.as_bytes())?;
            root.write(&format!("{MARIADB_HOME}/my.cnf"), 0o644, MARIADB)?;
            let home = ("MYSQL_HOME".to_owned(), format!("/{MARIADB_HOME}"));
            chroot.variables.push(home);
        }
        root.write(POLICY_PATH, 0o755, POLICY)?;
        if let Some(accel) = &job.accel {
            chroot.native = Some(accel.enter(root.path())?);
            chroot.refresh()?;
        }
        Ok(chroot)
    }

    /// To be called when packages were unpacked: what they brought decides what may run natively.
    pub fn refresh(&self) -> Result<()> {
        if let Some(native) = &self.native {
            for program in native.refresh()? {
                say::line(&format!("emulated: {program}"));
            }
        }
        Ok(())
    }

    /// Mounts a file system on a directory of the tree, which may not be a symlink to somewhere else.
    fn mount(
        &mut self,
        dir: &str,
        kind: &str,
        flags: MountFlags,
        data: Option<&std::ffi::CStr>,
    ) -> Result<()> {
        self.root.make_dirs(dir.as_bytes())?;
        let fd = self
            .root
            .openat(
                dir.as_bytes(),
                OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW,
                Mode::empty(),
            )
            .map_err(|error| self.root.failed(error, dir.as_bytes()))?;
        mount(kind, through(&fd), kind, flags, data)
            .with_context(|| format!("cannot mount {kind} on /{dir} of the tree"))?;
        self.mounted.push(self.root.path().join(dir));
        Ok(())
    }

    /// Gives the system a name that it can look up, and that it has on every host.
    fn name(&mut self) -> Result<()> {
        for (path, content) in [HOSTNAME, HOSTS] {
            if self.root.read(path)?.is_none() {
                self.root.make_dirs(b"etc")?;
                self.root.write(path, 0o644, content)?;
                self.lent.push((path, content));
            }
        }
        let name = self.root.read_text(HOSTNAME.0)?;
        rustix::system::sethostname(name.trim().as_bytes())
            .with_context(|| format!("/{} of the tree is not a host name", HOSTNAME.0))?;
        // As the kernel has it until somebody sets it.
        rustix::system::setdomainname(b"(none)").context("setting the NIS domain")
    }

    fn devices(&mut self) -> Result<()> {
        let dev = self.root.path().join("dev");
        for name in NODES {
            let node = dev.join(name);
            std::fs::write(&node, "")?;
            mount_bind(Path::new("/dev").join(name), &node).with_context(|| format!("/dev/{name}"))?;
            self.mounted.push(node);
        }
        for (name, target) in DEV_LINKS {
            std::os::unix::fs::symlink(target, dev.join(name))?;
        }
        for name in ["pts", "shm"] {
            std::fs::create_dir(dev.join(name))?;
        }
        self.mount(
            "dev/pts",
            "devpts",
            MountFlags::NOSUID | MountFlags::NOEXEC,
            Some(c"newinstance,ptmxmode=0666,mode=620"),
        )?;
        self.mount(
            "dev/shm",
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV,
            Some(c"mode=1777"),
        )
    }

    /// Runs a program of the tree as root; each line of its output goes to `each`. Its error has the last lines.
    pub fn run(&self, argv: &[&str], more: &[(&str, &str)], each: &mut dyn FnMut(&str)) -> Result<()> {
        let (reader, writer) = std::io::pipe()?;
        let mut command = jail::command(&self.top, self.root.path());
        command
            .args(argv)
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .envs(self.variables.iter().map(|(key, value)| (key, value)))
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let mut tail = Tail::new(TAIL);
        let status = std::thread::scope(|scope| -> Result<_> {
            let waiter = scope.spawn(move || -> Result<_> {
                let child = jail::spawn(&mut command);
                // It holds the pipe's write ends; without this the reader never sees the end.
                drop(command);
                let status = child?.wait()?;
                // What a script left running holds the pipe open, and has no business in a tree.
                end_all();
                Ok(status)
            });
            each_line(reader, |line| {
                each(line);
                tail.push(line);
            })?;
            waiter
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        if !status.success() {
            bail!("{}: {status}\n{}", argv.join(" "), tail.text());
        }
        Ok(())
    }

    /// Unmounts everything and takes away what [`Chroot::enter`] put into the tree.
    pub fn leave(mut self) -> Result<()> {
        end_all();
        if let Some(native) = self.native.take() {
            native.leave()?;
        }
        self.unmount();
        for (path, content) in std::mem::take(&mut self.lent) {
            // What a script made of it is the script's.
            if self.root.read(path)?.as_deref() == Some(content) {
                self.root.remove(path)?;
            }
        }
        self.root.remove(POLICY_PATH)
    }

    fn unmount(&mut self) {
        for place in self.mounted.drain(..).rev() {
            // Gone with the namespace in any case.
            let _ = unmount(&place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
    }
}

impl Drop for Chroot<'_> {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// An open file as a path.
fn through(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Ends every other process of our namespace, whose first process we are.
fn end_all() {
    if !rustix::process::getpid().is_init() {
        return;
    }
    // Who was just being started may be missed by one look.
    for _ in 0..10 {
        let others: Vec<_> = std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(rustix::process::Pid::from_raw)
            .filter(|pid| !pid.is_init())
            .filter(|pid| rustix::process::kill_process(*pid, rustix::process::Signal::KILL).is_ok())
            .collect();
        let alive = |pid: &rustix::process::Pid| {
            let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
            // `12 (name) S ...`: Z is an ended process that nobody asked about.
            status.is_ok_and(|text| !text.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
        };
        if !others.iter().any(alive) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
