//! Ctrl-C and its kin: one flag, and every child that we started ends.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How long a terminal may take to show a line.
const PATIENCE: Duration = Duration::from_millis(500);

static CANCELLED: AtomicBool = AtomicBool::new(false);
static CHILDREN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// The work was stopped by a signal. `clic` answers it with exit code 130.
#[derive(Debug, Clone, Copy)]
pub struct Cancelled;

impl std::fmt::Display for Cancelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "Stopped. No finished image was changed; what was downloaded is kept: the same command goes on from here.",
        )
    }
}

impl std::error::Error for Cancelled {}

/// Handles SIGINT, SIGTERM and SIGHUP for the rest of the process's life. The first one cancels, so that
/// scratch files are removed on the way out, and calls `stopping`, for whoever waits; a second one exits at once with 130.
pub fn install(stopping: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let mut stopping = Some(stopping);
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _ in signals.forever() {
                if CANCELLED.swap(true, Ordering::SeqCst) {
                    std::process::exit(130);
                }
                if let Some(stopping) = stopping.take() {
                    // Before anything ends, but on its own: a terminal that takes nothing must not keep the children alive, nor
                    // a second signal out.
                    let (done, said) = mpsc::channel();
                    std::thread::spawn(move || {
                        stopping();
                        let _ = done.send(());
                    });
                    let _ = said.recv_timeout(PATIENCE);
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
