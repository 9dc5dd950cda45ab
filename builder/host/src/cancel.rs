//! Ctrl-C and its kin: one flag, and every child that we started ends.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static CANCELLED: AtomicBool = AtomicBool::new(false);
static CHILDREN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// The work was stopped by a signal. `clic` answers it with exit code 130.
#[derive(Debug, Clone, Copy)]
pub struct Cancelled;

impl std::fmt::Display for Cancelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped on request; no finished file was changed")
    }
}

impl std::error::Error for Cancelled {}

/// Handles SIGINT, SIGTERM and SIGHUP for the rest of the process's life. The first one cancels, so that
/// scratch files are removed on the way out; a second one exits at once with 130.
pub fn install() -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _ in signals.forever() {
                if CANCELLED.swap(true, Ordering::SeqCst) {
                    std::process::exit(130);
                }
                kill_children();
            }
        })?;
    Ok(())
}

/// Whether a signal asked us to stop.
pub fn requested() -> bool {
    CANCELLED.load(Ordering::SeqCst)
}

/// `Err(Cancelled)` once a signal asked us to stop. Call it between units of long work.
pub fn check() -> Result<(), Cancelled> {
    if requested() { Err(Cancelled) } else { Ok(()) }
}

/// Remembers a child (leader of its own process group), so that a signal ends it.
pub(crate) fn register(pid: u32) {
    lock().insert(pid.cast_signed());
    // A signal that came between the spawn and this line has already swept the set.
    if requested() {
        kill_children();
    }
}

pub(crate) fn forget(pid: u32) {
    lock().remove(&pid.cast_signed());
}

fn kill_children() {
    for pid in lock().iter().filter_map(|pid| Pid::from_raw(*pid)) {
        // It may have ended by itself meanwhile; that is what we want.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

fn lock() -> std::sync::MutexGuard<'static, BTreeSet<i32>> {
    CHILDREN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
