//! A program of the tree, with the tree and nothing else around it.
//!
//! chroot(8) alone hides little from root: `/proc/1/root` leads to the host, and so does a second chroot(2). A package's
//! scripts are the package's; they find here
//!
//! ```text
//! /          an empty file system of our own, read-only, the root of process 1
//! /tree      the tree with what is mounted in it, and the root of the program
//! ```
//!
//! in mount and pid namespaces of its own, where nothing of the host is mounted and no process has another root. That
//! process 1 has another root than the program is what tells programs that they run in a chroot (ischroot(1)).

use std::ffi::{CStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind_recursive, mount_remount, unmount};
use rustix::process::{Pid, WaitOptions, WaitStatus, chdir, chroot, pivot_root, wait};

/// Stands where a job's path stands otherwise. Behind it: a directory to mount on, the tree, program, arguments.
pub const ARGUMENT: &str = "in-tree";
/// What shells say of a program that cannot be started.
const NOT_STARTED: u8 = 127;

/// unshare(1) with this program in it, up to the program of the tree.
pub fn command(top: &Path, tree: &Path) -> Result<Command> {
    let words = words(top, tree)?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    Ok(command)
}

/// The command line of a program in the jail, word by word.
pub fn words(top: &Path, tree: &Path) -> Result<Vec<OsString>> {
    let own = std::env::current_exe().context("cannot tell which program this is")?;
    let mut words: Vec<OsString> = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--"]
        .map(OsString::from)
        .into();
    words.push(own.into());
    words.extend([super::ARGUMENT, ARGUMENT].map(OsString::from));
    words.extend([top, tree].map(OsString::from));
    Ok(words)
}

/// The first process in there: makes it so, runs the program, and ends as it does.
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    run(words).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::from(NOT_STARTED)
    })
}

fn run(mut words: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let mut word = || words.next().context("too few arguments");
    let (top, tree, program) = (PathBuf::from(word()?), PathBuf::from(word()?), word()?);
    enter(&top, &tree).context("cannot shut the tree off from the host")?;
    let mut command = Command::new(&program);
    command.args(words);
    clic_host::detach(&mut command);
    // SAFETY: two system calls, which is all that may happen between fork and exec.
    #[allow(unsafe_code, reason = "chroot(2) of the child alone")]
    unsafe {
        command.pre_exec(|| {
            chroot("/tree")?;
            Ok(chdir("/")?)
        });
    }
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
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

fn enter(top: &Path, tree: &Path) -> rustix::io::Result<()> {
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    mount("clic", top, "tmpfs", quiet, Some(c"mode=755,size=64k"))?;
    let inner = top.join("tree");
    rustix::fs::mkdir(&inner, rustix::fs::Mode::from_raw_mode(0o755))?;
    mount_bind_recursive(tree, &inner)?;
    // That of the namespace above knows processes that have the host's root.
    let proc = inner.join("proc");
    unmount(&proc, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    mount("proc", &proc, "proc", quiet, None::<&CStr>)?;
    mount_remount(top, quiet | MountFlags::RDONLY, c"")?;
    chdir(top)?;
    // pivot_root(2): the old root comes to lie on the new one, and is taken off.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")
}

/// As a shell would say it.
fn code(status: WaitStatus) -> ExitCode {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    };
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
