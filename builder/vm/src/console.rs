//! Judges a boot by what the machine prints: a failure is named as soon as it can be seen, not when time is up.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::terminal::{Plain, undouble};

/// Last lines that are kept for messages.
const KEPT: usize = 12;

/// What an initramfs' shell prints for its user. What failed stands before it.
const SHELL: [&str; 3] = ["BusyBox", "Enter 'help'", "(initramfs)"];

/// Why a machine did not come up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "text")]
pub enum Cause {
    /// The firmware found no boot loader on the disk.
    NothingToBoot(String),
    /// GRUB stopped.
    Grub(String),
    /// The kernel panicked.
    KernelPanic(String),
    /// The initramfs waited for the root file system in vain.
    NoRoot(String),
    /// The root file system has no init.
    NoInit(String),
    /// The initramfs gave up for another reason.
    Initramfs(String),
    /// systemd gave up before it could start anything.
    SystemdStopped(String),
    /// systemd went into emergency or rescue mode.
    Emergency(String),
    /// The machine restarted again and again.
    RebootLoop(String),
    /// The machine switched itself off.
    PoweredOff(String),
    /// Nothing happened for too long.
    Hung(String),
    /// It was still starting when time was up.
    TimedOut(String),
    /// It prints without end.
    Flood(String),
    /// QEMU itself stopped.
    Qemu(String),
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, text) = match self {
            Self::NothingToBoot(text) => ("the firmware found nothing to boot on the disk", text),
            Self::Grub(text) => ("GRUB failed", text),
            Self::KernelPanic(text) => ("the kernel panicked", text),
            Self::NoRoot(text) => ("the root file system was not found", text),
            Self::NoInit(text) => ("the root file system has no init", text),
            Self::Initramfs(text) => ("the initramfs gave up", text),
            Self::SystemdStopped(text) => ("systemd gave up", text),
            Self::Emergency(text) => ("the system is in emergency mode", text),
            Self::RebootLoop(text) => ("the machine restarts again and again", text),
            Self::PoweredOff(text) => ("the machine switched itself off", text),
            Self::Hung(text) => ("the boot hangs", text),
            Self::TimedOut(text) => ("the boot takes too long", text),
            Self::Flood(text) => ("the machine prints without end", text),
            Self::Qemu(text) => ("QEMU stopped", text),
        };
        if text.is_empty() {
            f.write_str(what)
        } else {
            write!(f, "{what}: {text}")
        }
    }
}

impl std::error::Error for Cause {}

/// How far a boot is, as far as the console tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before the kernel's first message: firmware or boot loader.
    Loader,
    /// The kernel has started.
    Kernel,
    /// systemd has started on the root file system.
    System,
}

impl Phase {
    /// For `the boot hangs in ...`.
    pub fn place(self) -> &'static str {
        match self {
            Self::Loader => "the firmware or boot loader",
            Self::Kernel => "the kernel or initramfs",
            Self::System => "the system",
        }
    }
}

/// Follows the text of one serial console.
#[derive(Debug)]
pub struct Console {
    text: Plain,
    last: VecDeque<String>,
    phase: Phase,
    grub_errors: Vec<String>,
    unmounted: Option<String>,
    cause: Option<Cause>,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            text: Plain::default(),
            last: VecDeque::new(),
            phase: Phase::Loader,
            grub_errors: Vec::new(),
            unmounted: None,
            cause: None,
        }
    }
}

impl Console {
    /// Takes more of the console's bytes, in pieces of any size.
    pub fn feed(&mut self, bytes: &[u8]) {
        for line in self.text.feed(bytes) {
            self.line(&line);
        }
        // Prompts end in no newline.
        let prompt = self.text.pending().trim_end().to_owned();
        self.prompt(&prompt);
    }

    /// Starts over, because the machine has: a restart's messages are not those of the boot before.
    pub fn restarted(&mut self) {
        let last = std::mem::take(&mut self.last);
        *self = Self {
            last,
            ..Self::default()
        };
    }

    /// What went wrong, as soon as that is certain.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// How far the boot is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What GRUB complained of; it may go on all the same.
    pub fn grub_errors(&self) -> Option<String> {
        (!self.grub_errors.is_empty()).then(|| self.grub_errors.join(" "))
    }

    /// The last line that was printed, for messages.
    pub fn last_line(&self) -> Option<&str> {
        self.last.back().map(String::as_str)
    }

    /// The last lines that were printed.
    pub fn last_lines(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }

    fn line(&mut self, line: &str) {
        let line = line.trim_end();
        if line.trim().is_empty() {
            return;
        }
        let single = undouble(line);
        let line = single.as_deref().unwrap_or(line);
        // Frames of menus and repetitions tell nothing.
        if line.chars().any(char::is_alphanumeric) && self.last.back().is_none_or(|last| last != line) {
            if self.last.len() == KEPT {
                self.last.pop_front();
            }
            self.last.push_back(line.to_owned());
        }
        let message = without_time(line);
        if message.len() != line.len() && self.phase == Phase::Loader {
            self.phase = Phase::Kernel;
        }
        if self.phase == Phase::Loader {
            self.loader_line(line.trim());
        }
        self.prompt(line);
        self.kernel_line(message.trim());
    }

    /// Messages of firmware and boot loader, which have no other mark than coming first.
    fn loader_line(&mut self, line: &str) {
        if line.starts_with("error: ") || line.starts_with("Syntax error at line") {
            if self.grub_errors.len() < 4 && !self.grub_errors.iter().any(|known| known == line) {
                self.grub_errors.push(line.to_owned());
            }
        } else if let Some(at) = line.find("grub_")
            && line.contains("not found")
        {
            // `symbol `grub_...' not found`: core image and modules of different versions.
            self.grub_errors.push(line.get(at..).unwrap_or(line).to_owned());
        }
        let nothing = [
            "No bootable device",
            "No bootable option or device was found",
            "Boot failed: not a bootable disk",
        ];
        if nothing.iter().any(|text| line.contains(text)) {
            self.found(Cause::NothingToBoot(line.to_owned()));
        } else if line.contains("UEFI Interactive Shell") || line.contains(">>Start PXE") {
            self.found(Cause::NothingToBoot(format!(
                "it went on to \"{}\"",
                line.trim_start_matches('>')
            )));
        } else if line.starts_with("Loading Linux") || line.contains("EFI stub: ") {
            // GRUB's own errors before this one were survived.
            self.grub_errors.clear();
        }
    }

    fn kernel_line(&mut self, line: &str) {
        if let Some((_, text)) = line.split_once("Kernel panic - not syncing: ") {
            let text = match &self.unmounted {
                Some(why) => format!("{text} ({why})"),
                None => text.to_owned(),
            };
            self.found(Cause::KernelPanic(text));
        } else if line.starts_with("VFS: Cannot open root device") {
            self.unmounted = Some(line.to_owned());
        } else if line.contains("Target filesystem doesn't have requested")
            || line.contains("No init found. Try passing init=")
            || line.contains("No working init found")
        {
            self.found(Cause::NoInit(line.to_owned()));
        } else if let Some(at) = line.find("ALERT! ") {
            let text = line.get(at + 7..).unwrap_or_default().trim();
            let text = text.split("  Dropping to").next().unwrap_or(text);
            self.found(Cause::NoRoot(text.to_owned()));
        } else if line.contains("Gave up waiting for root") {
            self.found(Cause::NoRoot(String::new()));
        } else if line.starts_with("You are in emergency mode")
            || line.starts_with("You are in rescue mode")
            || line.starts_with("Welcome to emergency mode")
            || line.contains("Reached target emergency.target")
            || line.contains("Reached target rescue.target")
            || line.starts_with("Cannot open access to console, the root account is locked")
        {
            self.found(Cause::Emergency(String::new()));
        } else if line.contains("systemd[1]: Freezing execution")
            || line.starts_with("[!!!!!!]")
            || line.contains("systemd[1]: Failed to start up manager")
        {
            self.found(Cause::SystemdStopped(line.to_owned()));
        } else if self.phase == Phase::Kernel
            && (line.starts_with("systemd[1]: Detected architecture") || line.starts_with("Welcome to "))
        {
            self.phase = Phase::System;
        }
    }

    fn prompt(&mut self, text: &str) {
        let text = text.trim();
        let single = undouble(text);
        let text = single.as_deref().unwrap_or(text);
        // The prompt comes twice where GRUB has two terminals that end in one port.
        if self.phase == Phase::Loader && (text.starts_with("grub>") || text.starts_with("grub rescue>")) {
            let prompt = if text.starts_with("grub>") {
                "grub>"
            } else {
                "grub rescue>"
            };
            let stopped = format!("it stopped at its prompt ({prompt})");
            let text = match self.grub_errors() {
                Some(errors) => format!("{errors} {stopped}"),
                None => format!("{stopped}, as it does when it finds no grub.cfg"),
            };
            self.found(Cause::Grub(text));
        } else if self.phase == Phase::Loader && text == "Shell>" {
            self.found(Cause::NothingToBoot("it went on to the UEFI shell".into()));
        } else if text == "(initramfs)" || text.starts_with("(initramfs) ") {
            let why = self
                .last
                .iter()
                .rev()
                .find(|line| !SHELL.iter().any(|text| line.contains(text)));
            let why = why.map_or_else(|| "it opened a shell".into(), Clone::clone);
            self.found(Cause::Initramfs(why));
        }
    }

    /// The first cause is the cause, what follows are consequences; a later line may only say it better.
    fn found(&mut self, cause: Cause) {
        match (&self.cause, &cause) {
            (None, _) => self.cause = Some(cause),
            (Some(Cause::NoRoot(text)), Cause::NoRoot(better)) if text.is_empty() && !better.is_empty() => {
                self.cause = Some(cause);
            }
            _ => {}
        }
    }
}

/// `[    1.234567] text` without its time.
fn without_time(line: &str) -> &str {
    let Some((time, rest)) = line
        .trim_start()
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    else {
        return line;
    };
    let mut parts = time.trim().splitn(2, '.');
    let digits = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    if digits(parts.next()) && digits(parts.next()) {
        rest.trim_start()
    } else {
        line
    }
}

#[cfg(test)]
mod tests;
