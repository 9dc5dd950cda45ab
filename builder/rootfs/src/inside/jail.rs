//! A program of the tree, with the tree and nothing else around it.
//!
//! chroot(8) alone hides little from root: `/proc/1/root` leads to the host, and so does a second chroot(2). A package's
//! scripts are the package's; they find here
//!
//! ```text
//! /              an empty file system of our own, read-only
//! /around/NAME   the tree with what is mounted in it, and the root of the program
//! /nothing       an empty directory, and the root of process 1
//! ```
//!
//! in mount and pid namespaces of its own, where nothing of the host is mounted, with the rights that [`super::rights`]
//! leaves. They take the way to `/` as well; should somebody find it, there is nothing to be found.
//!
//! What is mounted is the directory that the tree is in, not the tree: `/proc/self/mountinfo` tells of each mount below a
//! program's root from where on the host it is, and that one is above. That process 1 has another root than the program is
//! what tells programs that they run in a chroot (ischroot(1)).

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};

use anyhow::{Context, Result};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use rustix::process::{Pid, WaitOptions, WaitStatus, chdir, chroot, pivot_root, wait};

use super::rights;

/// Stands where a job's path stands otherwise. Behind it: a directory to mount on, the tree, program, arguments.
pub const ARGUMENT: &str = "in-tree";
/// The same, of the first process in the jail. Behind it: program, arguments. Anybody in there can read its words, and only it
/// its environment, which has the rest.
const FIRST: &str = "in-jail";
const TOP: &str = "CLIC_TOP";
const TREE: &str = "CLIC_TREE";
/// What shells say of a program that cannot be started.
const NOT_STARTED: u8 = 127;

/// What tells of the host's devices, disks, keys and start in /proc, or has a hand on them: nothing is in them here. Some are
/// missing in some kernels.
const HIDDEN: [&str; 28] = [
    "acpi",
    "asound",
    "bus",
    "cmdline",
    "consoles",
    "diskstats",
    "driver",
    "fb",
    "fs",
    "interrupts",
    "iomem",
    "ioports",
    "irq",
    "kcore",
    "key-users",
    "keys",
    "latency_stats",
    "locks",
    "mdstat",
    "modules",
    "partitions",
    "sched_debug",
    "scsi",
    "swaps",
    "sysrq-trigger",
    "timer_list",
    "tty",
    "vmallocinfo",
];

const QUIET: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NOEXEC)
    .union(MountFlags::NODEV);

/// A program in the jail, to be started by [`spawn`]. Its arguments, and what else there is to say, can be added.
pub fn command(top: &Path, tree: &Path) -> Command {
    // Whatever it is called by now, and without saying where it is.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("clic").args([super::ARGUMENT, FIRST]);
    command.env_clear().envs([(TOP, top), (TREE, tree)]);
    clic_host::detach(&mut command);
    command
}

/// Starts it as the first process of a pid namespace. It ends with the calling thread, which starts nothing else: once the
/// namespace has ended, nothing can be.
#[allow(unsafe_code, reason = "unshare(2), and prctl(2) of the child alone")]
pub fn spawn(command: &mut Command) -> Result<Child> {
    use rustix::process::{Signal, set_parent_process_death_signal};
    // SAFETY: of this thread, only what it starts is concerned.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } == -1 {
        return Err(std::io::Error::last_os_error()).context("making a pid namespace");
    }
    // SAFETY: one system call, which is all that may happen between fork and exec.
    unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) };
    command.spawn().context("starting this program again")
}

/// The command line of a program in the jail, word by word. `own` is this program.
pub fn words(own: &Path, top: &Path, tree: &Path) -> Vec<OsString> {
    let mut words = vec![own.as_os_str().to_owned()];
    words.extend([super::ARGUMENT, ARGUMENT].map(OsString::from));
    words.extend([top, tree].map(OsString::from));
    words
}

/// Whether this is ours to do, by the word behind [`super::ARGUMENT`].
pub fn is_meant(word: &OsStr) -> bool {
    word == ARGUMENT || word == FIRST
}

/// Does it: `word` and what is behind it.
pub fn main(word: &OsStr, words: impl Iterator<Item = OsString>) -> ExitCode {
    let result = if word == FIRST {
        first(words)
    } else {
        outside(words)
    };
    result.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::from(NOT_STARTED)
    })
}

/// Runs a program in the jail, with our environment.
fn outside(mut words: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let mut word = || words.next().context("too few arguments");
    let (top, tree) = (PathBuf::from(word()?), PathBuf::from(word()?));
    let mut command = command(&top, &tree);
    command.args(words).envs(std::env::vars_os());
    let status = spawn(&mut command)?.wait()?;
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => code_of(code),
        (None, signal) => code_of(128 + signal.unwrap_or_default()),
    })
}

/// The first process in there: makes it so, runs the program, and ends as it does.
fn first(mut words: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let place = |key| {
        std::env::var_os(key)
            .map(PathBuf::from)
            .context("it is to be started by ours")
    };
    let (top, tree) = (place(TOP)?, place(TREE)?);
    rights::limit().context("cannot limit what a program may use")?;
    let root = enter(&top, &tree).context("cannot shut the tree off from the host")?;
    let filter = rights::filter();
    let program = words.next().context("too few arguments")?;
    let mut command = Command::new(&program);
    command.args(words).env_remove(TOP).env_remove(TREE);
    clic_host::detach(&mut command);
    // SAFETY: system calls, which is all that may happen between fork and exec.
    #[allow(unsafe_code, reason = "chroot(2) and rights of the child alone")]
    unsafe {
        command.pre_exec(move || {
            chroot(&root)?;
            chdir("/")?;
            rights::drop_capabilities()?;
            filter.begin()
        });
    }
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    chroot("/nothing")?;
    chdir("/")?;
    let child = Pid::from_child(&child);
    // Whose parents have ended become ours.
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => return Ok(code(status)),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting for the program"),
        }
    }
}

/// Makes the jail the only thing there is for this process; where the tree is in it.
fn enter(top: &Path, tree: &Path) -> Result<PathBuf> {
    let (Some(around), Some(name)) = (tree.parent(), tree.file_name()) else {
        anyhow::bail!("{} is not a directory in another", tree.display());
    };
    own_mounts()?;
    mount("clic", top, "tmpfs", QUIET, Some(c"mode=755,size=64k"))?;
    let inner = top.join("around");
    for dir in [&inner, &top.join("nothing")] {
        std::fs::create_dir(dir)?;
    }
    std::fs::write(top.join("empty"), "")?;
    mount_bind_recursive(around, &inner)?;
    // That of the namespace above knows processes that have the host's root.
    let proc = inner.join(name).join("proc");
    unmount(&proc, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    mount("proc", &proc, "proc", QUIET, None::<&CStr>)?;
    mount_remount(top, QUIET | MountFlags::RDONLY, c"")?;
    hide(top, &proc)?;
    chdir(top)?;
    // pivot_root(2): the old root comes to lie on the new one, and is taken off.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    Ok(Path::new("/around").join(name))
}

/// Mounts of our own from now on, of which nobody else learns.
#[allow(unsafe_code, reason = "unshare(2)")]
fn own_mounts() -> Result<()> {
    // SAFETY: there is one thread, which does not mind.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } == -1 {
        return Err(std::io::Error::last_os_error()).context("making a mount namespace");
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).context("making mounts private")
}

fn hide(top: &Path, proc: &Path) -> Result<()> {
    for name in HIDDEN {
        let place = proc.join(name);
        let Ok(what) = std::fs::symlink_metadata(&place) else {
            continue;
        };
        let nothing = if what.is_dir() { "nothing" } else { "empty" };
        mount_bind(top.join(nothing), &place).with_context(|| format!("hiding /proc/{name}"))?;
    }
    // Root of a build in a container might set what is the host's.
    let settings = proc.join("sys");
    let flags = QUIET | MountFlags::BIND | MountFlags::RDONLY;
    mount_bind(&settings, &settings)
        .and_then(|()| mount_remount(&settings, flags, c""))
        .context("protecting /proc/sys")
}

/// As a shell would say it.
fn code(status: WaitStatus) -> ExitCode {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code_of(code),
        (None, Some(signal)) => code_of(128 + signal),
        (None, None) => code_of(255),
    }
}

fn code_of(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
