//! What happens inside of the sandbox, as root there: this program again, started by [`crate::layers`] with a [`Job`].
//!
//! ```text
//! restore earlier layers ─▶ snapshot ─▶ packages or customize ─▶ what changed, as a tar file
//! ```
//!
//! Nothing here opens a socket, and nothing reaches out of the tree: paths go through [`root::Root`], programs run in a
//! [`jail`].

pub(crate) mod admin;
mod changes;
mod chroot;
mod customize;
mod filter;
mod jail;
pub mod job;
pub(crate) mod order;
mod packages;
pub mod restore;
mod rights;
pub(crate) mod root;
pub mod say;
#[cfg(test)]
mod spoiled;
mod sums;
mod trace;
mod unpack;
mod unsynced;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clic_host::UserError;
use clic_store::space::io_error;

use job::{Done, Job, Work};
use root::Root;
use say::Said;

/// The first argument with which this program is started inside of a sandbox. The second is the job's path.
pub const ARGUMENT: &str = "inside-sandbox";

/// The words that start a program, which comes after them, in `tree` and nothing else around it. To be run in a sandbox.
/// `tree` has `/proc` mounted, and the directory that it is in has no secrets; `top` is an empty directory. `own` is this program,
/// as [`crate::own_program`] has it.
pub fn in_tree(own: &Path, top: &Path, tree: &Path) -> Vec<OsString> {
    jail::words(own, top, tree)
}

/// Does the job in a file. What goes wrong is said on standard output, for the process outside.
pub fn main(job: &Path) -> ExitCode {
    if jail::is_meant(job.as_os_str()) {
        return jail::main(job.as_os_str(), std::env::args_os().skip(3));
    }
    match run(job) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let user = error.chain().find_map(|error| error.downcast_ref::<UserError>());
            let full = |error: &(dyn std::error::Error + 'static)| {
                error
                    .downcast_ref::<std::io::Error>()
                    .is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull)
                    || error.downcast_ref::<clic_store::NoSpace>().is_some()
                    || error.to_string().contains(&full_disk())
            };
            say::say(&Said::Failed {
                why: format!("{error:#}"),
                help: user.map(|error| error.help.clone().unwrap_or_default()),
                no_space: error.chain().any(full),
            });
            ExitCode::FAILURE
        }
    }
}

/// What every tool says when the disk is full: the C library's words for `ENOSPC`.
fn full_disk() -> String {
    let text = rustix::io::Errno::NOSPC.to_string();
    text.split(" (").next().unwrap_or(&text).to_owned()
}

fn run(path: &Path) -> Result<()> {
    let text = std::fs::read(path).map_err(|error| io_error(error, path))?;
    let job: Job = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
    rights::own_keys().context("cannot leave the user's keyring")?;
    std::fs::create_dir_all(&job.root).map_err(|error| io_error(error, &job.root))?;
    rustix::fs::chmod(&job.root, rustix::fs::Mode::from_raw_mode(0o755))?;
    let root = Root::open(&job.root)?;
    if let Err(error) = unsynced::begin() {
        say::line(&format!("programs will wait for the disk: {error}"));
    }
    if !job.restore.is_empty() {
        say::say(&Said::Step {
            what: "reading the layers in the store".into(),
        });
        restore::restore(&root, &restore::read(&job.restore)?, job.threads)?;
    }
    let before = match &job.work {
        // Everything in a new tree is new.
        Work::Packages(packages) if packages.base => changes::Snapshot::new(),
        _ => changes::snapshot(&job.root)?,
    };
    let read = match &job.work {
        Work::Packages(work) => {
            packages::install(&root, &job, work)?;
            None
        }
        Work::Customize(work) => customize::customize(&root, &job, work)?,
    };
    say::say(&Said::Step {
        what: "keeping the result".into(),
    });
    let (tree, removed) = changes::changes(&job.root, &before)?;
    let written = tree.write(&job.tar, job.epoch)?;
    let done = Done {
        removed,
        sha256: written.sha256,
        size: written.size,
        entries: written.entries,
        read,
    };
    let done = serde_json::to_vec(&done)?;
    std::fs::write(&job.done, done).map_err(|error| io_error(error, &job.done))
}
