//! A running machine: its process, its console, its monitor and the agent in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clic_host::process::Running;
use clic_host::{Cmd, cancel};
use serde_json::json;

use crate::accel::{self, Accel};
use crate::agent::{self, Answer, Listener, MAX_OUTPUT, Said};
use crate::console::{Cause, Console, Phase};
use crate::qemu::{self, Printed, Setup, Target, file};
use crate::qmp::Qmp;
use crate::record::{MOST, Record};

/// How long QEMU's monitor may take. It answers in milliseconds unless the host is overloaded.
const MONITOR: Duration = Duration::from_secs(30);

/// How often the channels are looked at.
const TICK: Duration = Duration::from_millis(50);

/// How long QEMU may take to end once its monitor has.
const ENDING: Duration = Duration::from_secs(10);

/// Most pieces of what the agent says that are taken in one look.
const AT_ONCE: usize = 64;

/// Restarts that make a loop.
const LOOP: u32 = 3;

/// A boot loader that complained and then did nothing for this long has failed.
const LOADER_QUIET: Duration = Duration::from_secs(20);

/// How long a request to the agent stays unacknowledged before it is sent again.
const RESEND: Duration = Duration::from_secs(5);

/// Printing something within this time is a sign of life: systemd does so twice a second while something starts.
const LIVES: Duration = Duration::from_secs(10);

/// How many times its limit an answer may take from a guest that lives: an emulated Raspberry Pi has no time for its agent while
/// it does all that a first start has to do.
const BUSY: u32 = 4;

/// Seconds that the journal of a boot may take.
const JOURNAL: u64 = 60;

/// A machine under QEMU. Dropped, it is killed.
#[derive(Debug)]
pub struct Guest {
    target: Target,
    accel: Accel,
    qemu: Running,
    qmp: Qmp,
    dir: PathBuf,
    /// Console, firmware, QEMU's own messages.
    records: [Record; 3],
    log: File,
    console: Console,
    firmware_log: File,
    firmware: Console,
    agent: UnixStream,
    listener: Listener,
    /// What the agent said of the request with the number `asked`.
    heard: Vec<Said>,
    asked: u64,
    met: bool,
    /// Whether [`qemu::late_card`] is plugged in.
    card: bool,
    next: u64,
    begun: Instant,
    active: Instant,
    restarts: u32,
    stopped: Option<Cause>,
    shutdown: bool,
    forwards: BTreeMap<u16, u16>,
}

impl Guest {
    /// Starts the machine in `dir`, which has its disk (and whatever else `setup` names). Power-on is when this returns.
    pub fn start(setup: &Setup, dir: &Path) -> Result<Self> {
        Self::start_keeping(MOST, setup, dir)
    }

    /// Keeps at most `most` bytes of each kind of what it prints.
    fn start_keeping(most: u64, setup: &Setup, dir: &Path) -> Result<Self> {
        let (program, package) = setup.target.program();
        let (monitor, theirs) = UnixStream::pair().context("making a socket for QEMU")?;
        let (agent, port) = UnixStream::pair().context("making a socket for QEMU")?;
        agent
            .set_nonblocking(true)
            .context("setting up a socket for QEMU")?;
        let (console, console_port) = UnixStream::pair().context("making a socket for QEMU")?;
        let (firmware, firmware_port) = UnixStream::pair().context("making a socket for QEMU")?;
        let printed = Printed {
            console: console_port.as_raw_fd(),
            firmware: firmware_port.as_raw_fd(),
        };
        let cmd = Cmd::new(program)
            .clean_env()
            .current_dir(dir)
            .pass(console_port.into())
            .pass(firmware_port.into())
            .args(qemu::arguments(setup, printed)?);
        tracing::debug!("{}", cmd.line());
        let mut qemu = cmd
            .spawn(|command| {
                command
                    .stdin(OwnedFd::from(theirs))
                    .stdout(OwnedFd::from(port))
                    .stderr(Stdio::piped());
            })
            .with_context(|| format!("{program} is in Debian's package {package}"))?;
        let messages = qemu.child().stderr.take().context("a piped standard error")?;
        let (console, console_log) = record(console, &dir.join(file::CONSOLE), most)?;
        let (firmware, firmware_log) = record(firmware, &dir.join(file::FIRMWARE), most)?;
        let (messages, _) = record(messages, &dir.join(file::QEMU), most)?;
        let begun = Instant::now();
        let mut guest = Self {
            target: setup.target,
            accel: setup.accel,
            qemu,
            qmp: Qmp::new(monitor)?,
            dir: dir.to_owned(),
            records: [console, firmware, messages],
            log: console_log,
            console: Console::default(),
            firmware_log,
            firmware: Console::default(),
            agent,
            listener: Listener::default(),
            heard: Vec::new(),
            asked: 0,
            met: false,
            card: false,
            next: 1,
            begun,
            active: begun,
            restarts: 0,
            stopped: None,
            shutdown: false,
            forwards: BTreeMap::new(),
        };
        if guest.qmp.open(MONITOR).is_err() {
            // It ends at once; its messages say why.
            let begun = Instant::now();
            while !guest.ended()? && begun.elapsed() < ENDING {
                std::thread::sleep(TICK);
            }
            guest.pump()?;
            return Err(guest.quit_cause().into());
        }
        let network = guest.qmp.monitor("info usernet", MONITOR)?;
        guest.forwards = forwards(&network);
        Ok(guest)
    }

    /// Seconds since power-on.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether the agent in the guest has been heard since the last restart.
    pub fn met(&self) -> bool {
        self.met
    }

    /// How often the machine restarted by itself.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// What the console tells.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The host's port that leads to this TCP port of the guest.
    pub fn port(&self, guest: u16) -> Option<u16> {
        self.forwards.get(&guest).copied()
    }

    /// Whether a connection through [`Guest::port`] has reached the guest's program. QEMU itself accepts connections
    /// whether or not anything listens in the guest.
    pub fn connected(&mut self, guest: u16) -> Result<bool> {
        let network = self.qmp.monitor("info usernet", MONITOR);
        Ok(established(&self.alive(network)?, guest))
    }

    /// Looks at all channels once. A cause, once found, stays.
    pub fn pump(&mut self) -> Result<()> {
        cancel::check()?;
        self.read_events()?;
        self.read_logs();
        self.read_agent();
        self.late_card()?;
        if self.stopped.is_none() && self.ended()? {
            self.read_logs();
            self.stopped = Some(self.quit_cause());
        }
        if self.records.iter().any(Record::is_full) {
            let place = self.dir.join(file::CONSOLE);
            let kept = place.metadata().map_or(0, |console| console.len());
            self.stopped
                .get_or_insert(Cause::Flood(format!("{kept} bytes of its console were kept")));
        }
        Ok(())
    }

    /// Whether QEMU has ended. All that it printed has been recorded then.
    fn ended(&mut self) -> Result<bool> {
        let ended = self.qemu.try_wait()?.is_some();
        if ended {
            self.records.iter_mut().for_each(Record::end);
        }
        Ok(ended)
    }

    fn read_logs(&mut self) {
        let mut buffer = [0; 8192];
        let logs = [
            (&mut self.firmware_log, &mut self.firmware),
            (&mut self.log, &mut self.console),
        ];
        for (log, console) in logs {
            while let Ok(len @ 1..) = log.read(&mut buffer) {
                console.feed(&buffer[..len]);
                self.active = Instant::now();
            }
        }
    }

    fn read_agent(&mut self) {
        let mut buffer = [0; 8192];
        // A guest may talk without end.
        for _ in 0..AT_ONCE {
            match self.agent.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => {
                    let said = self.listener.feed(&buffer[..len]);
                    // Noise of the firmware on this port is not a sign of the agent.
                    if !said.is_empty() {
                        self.met = true;
                        self.active = Instant::now();
                    }
                    let asked = self.asked;
                    let said = said.into_iter().filter(|said| said.of() == Some(asked));
                    let room = AT_ONCE.saturating_sub(self.heard.len());
                    self.heard.extend(said.take(room));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }

    /// Plugs in the network card of a machine that gets it late: now that the agent is there, and out again when it restarts.
    fn late_card(&mut self) -> Result<()> {
        if self.met == self.card || self.stopped.is_some() {
            return Ok(());
        }
        let Some(card) = qemu::late_card(self.target) else {
            return Ok(());
        };
        let answer = if self.met {
            self.qmp.call("device_add", &card, MONITOR)
        } else {
            let card = json!({ "id": qemu::LATE_CARD });
            self.qmp.call("device_del", &card, MONITOR)
        };
        self.card = self.met;
        self.alive(answer).map(drop)
    }

    fn read_events(&mut self) -> Result<()> {
        for event in self.qmp.events() {
            match event["event"].as_str() {
                Some("RESET") => {
                    self.read_logs();
                    self.restarts += 1;
                    self.active = Instant::now();
                    if self.restarts >= LOOP {
                        let last = self.last_words();
                        self.stopped.get_or_insert(Cause::RebootLoop(format!(
                            "{} times so far{last}",
                            self.restarts
                        )));
                    }
                    // What made it restart is the cause, not that it did.
                    if self.console.cause().is_none() {
                        self.console.restarted();
                    }
                    self.met = false;
                }
                Some("SHUTDOWN") => self.shutdown = true,
                Some("STOP") => {
                    let status = self.qmp.call("query-status", &json!({}), MONITOR);
                    let status = self.alive(status)?;
                    let status = status["status"].as_str().unwrap_or_default();
                    if ["internal-error", "io-error"].contains(&status) {
                        let why = accel::why(&self.messages()).unwrap_or_default();
                        self.stopped
                            .get_or_insert(Cause::Qemu(format!("{status} {why}").trim().to_owned()));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What QEMU answered. That it does not is the machine's failure (a [`Cause`]), not ours.
    fn alive<T>(&mut self, answer: Result<T>) -> Result<T> {
        answer.or_else(|error| {
            cancel::check()?;
            Err(if self.ended()? {
                self.quit_cause()
            } else {
                Cause::Qemu(format!("{error:#}"))
            }
            .into())
        })
    }

    fn quit_cause(&self) -> Cause {
        if self.shutdown {
            Cause::PoweredOff(self.last_words().trim_start_matches("; ").to_owned())
        } else {
            Cause::Qemu(accel::why(&self.messages()).unwrap_or_else(|| "it ended without a message".into()))
        }
    }

    fn messages(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.join(file::QEMU)).unwrap_or_default()).into_owned()
    }

    fn last_words(&self) -> String {
        let last = self.console.last_line().or(self.firmware.last_line());
        last.map_or_else(String::new, |line| {
            format!("; the console's last line is \"{}\"", line.trim())
        })
    }

    /// Why the machine no longer runs, whatever its console said before: [`Cause::PoweredOff`] if its system switched it off.
    pub fn stopped(&self) -> Option<&Cause> {
        self.stopped.as_ref()
    }

    /// What is known to be wrong, first of what happened.
    pub fn cause(&self) -> Option<Cause> {
        let causes = [self.console.cause(), self.stopped.as_ref(), self.firmware.cause()];
        if let Some(cause) = causes.into_iter().flatten().next() {
            return Some(cause.clone());
        }
        if self.met {
            return None;
        }
        let quiet = self.active.elapsed();
        if self.console.phase() == Phase::Loader
            && quiet > LOADER_QUIET
            && let Some(errors) = self.console.grub_errors()
        {
            return Some(Cause::Grub(errors));
        }
        if quiet > self.patience() {
            let seconds = quiet.as_secs();
            let last = self.last_words();
            let text = match self.console.phase() {
                Phase::Loader if self.console.last_line().is_none() => {
                    format!("the disk's boot loader has printed nothing for {seconds} s{last}")
                }
                phase => format!("nothing from {} for {seconds} s{last}", phase.place()),
            };
            return Some(Cause::Hung(text));
        }
        None
    }

    /// How long a boot may print nothing. An initramfs that waits for its root prints nothing for 30 s by itself; GRUB
    /// loads an initramfs for 20 s on a busy host, and a firmware that got a tenth of a processor was silent for over 60 s.
    fn patience(&self) -> Duration {
        Duration::from_secs(match (self.target, self.accel, self.console.phase()) {
            (Target::Raspi3b, ..) => 90,
            (_, Accel::Tcg, Phase::Loader) => 120,
            (_, Accel::Tcg, _) => 90,
            (_, Accel::Kvm, _) => 45,
        })
    }

    /// Lets the machine run for `time`, looking at its channels.
    pub fn watch(&mut self, time: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.pump()?;
            let left = time.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(TICK.min(left));
        }
    }

    /// Runs a shell command in the guest, as root, for at most `seconds`. An error of type [`Cause`] when the machine
    /// does not live to answer.
    pub fn run(&mut self, command: &str, seconds: u64) -> Result<Answer> {
        let id = self.next;
        self.next += 1;
        let request = agent::request(id, seconds, command);
        // The guest kills the command 5 s after its time; the rest is for a slow line and a busy host.
        let limit = Duration::from_secs(seconds + 45);
        let begun = Instant::now();
        let mut sent: Option<Instant> = None;
        let mut acknowledged = false;
        self.heard.clear();
        self.asked = id;
        loop {
            let again = if acknowledged { limit / 2 } else { RESEND };
            if sent.is_none_or(|sent| sent.elapsed() > again) {
                // A full line is one that the guest does not read; the time limit tells.
                let _ = self.agent.write(&request);
                sent = Some(Instant::now());
            }
            self.pump()?;
            for said in std::mem::take(&mut self.heard) {
                match said {
                    Said::Ack(_) => acknowledged = true,
                    Said::Answer(_, answer) => return Ok(answer),
                    Said::Damaged(_) => {
                        acknowledged = false;
                        sent = None;
                    }
                    Said::Hello => {}
                }
            }
            if let Some(cause) = self.stopped.clone() {
                return Err(self.console.cause().cloned().unwrap_or(cause).into());
            }
            // In emergency mode the agent answers still, and is asked for the reason.
            if let Some(cause) = self.console.cause()
                && !matches!(cause, Cause::Emergency(_))
            {
                return Err(cause.clone().into());
            }
            if is_late(begun.elapsed(), self.active.elapsed(), limit) {
                let what = command.lines().next().unwrap_or_default();
                let text = format!("it no longer answers (asked for: {what}){}", self.last_words());
                return Err(Cause::Hung(text).into());
            }
            std::thread::sleep(TICK);
        }
    }

    /// Takes what the system's journal has of this boot, its end if it is long. `None` when the machine does not live to tell.
    pub fn journal(&mut self) -> Result<Option<PathBuf>> {
        let command =
            format!("journalctl --boot --no-pager --output=short-monotonic | tail --bytes={MAX_OUTPUT}");
        match self.run(&command, JOURNAL) {
            Ok(answer) => {
                let path = self.dir.join(file::JOURNAL);
                std::fs::write(&path, &answer.stdout)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                Ok(Some(path))
            }
            Err(error) => error.downcast::<Cause>().map(|_| None),
        }
    }

    /// Takes a picture of the screen, a PNG. QEMU can since 7.1.
    pub fn screenshot(&mut self) -> Result<PathBuf> {
        let arguments = json!({ "filename": file::SCREEN, "format": "png" });
        self.qmp.call("screendump", &arguments, MONITOR)?;
        Ok(self.dir.join(file::SCREEN))
    }
}

impl Drop for Guest {
    /// Once it is gone, its logs have all that it printed.
    fn drop(&mut self) {
        self.qemu.end();
        self.records.iter_mut().for_each(Record::end);
    }
}

/// Has what comes from a machine written to `path`, which the second can be read from while it is.
fn record(from: impl Read + Send + 'static, path: &Path, most: u64) -> Result<(Record, File)> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let follow = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok((Record::begin(from, file, most), follow))
}

/// Host ports by guest port, from what QEMU prints for `info usernet`.
fn forwards(text: &str) -> BTreeMap<u16, u16> {
    let rows = text.lines().filter_map(|line| row(line, "TCP[HOST_FORWARD]"));
    rows.map(|(host, guest)| (guest, host)).collect()
}

/// Whether a connection from outside to this port of the guest is established.
pub(crate) fn established(text: &str, guest: u16) -> bool {
    let host = forwards(text).get(&guest).copied();
    host.is_some_and(|host| {
        text.lines()
            .filter_map(|line| row(line, "TCP[ESTABLISHED]"))
            .any(|ports| ports == (host, guest))
    })
}

/// Source and destination port of a row: `STATE FD SOURCE PORT DESTINATION PORT RECEIVED SENT`.
fn row(line: &str, state: &str) -> Option<(u16, u16)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [kind, _, _, source, _, destination, ..] = words.as_slice() else {
        return None;
    };
    (*kind == state).then_some((source.parse().ok()?, destination.parse().ok()?))
}

/// Whether an answer that has taken so long does not come any more; `quiet`: since the guest last gave a sign of life.
fn is_late(asked: Duration, quiet: Duration, limit: Duration) -> bool {
    asked > limit && (quiet > LIVES || asked > limit * BUSY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERNET: &str = "Hub -1 (net):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  TCP[ESTABLISHED]   24       127.0.0.1 34567       10.0.2.15    22     0     0\r\n  TCP[SYN_SENT]      25       127.0.0.1 34568       10.0.2.15    80     0     0\r\n  TCP[HOST_FORWARD]  13       127.0.0.1 34568       10.0.2.15    80     0     0\r\n  TCP[HOST_FORWARD]  12       127.0.0.1 34567       10.0.2.15    22     0     0\r\n  UDP[235 sec]       26       10.0.2.15 34567         10.0.2.3   123     0     0\r\n";

    #[test]
    fn forwarded_ports_are_found() {
        assert_eq!(forwards(USERNET), BTreeMap::from([(22, 34567), (80, 34568)]));
    }

    #[test]
    fn who_still_speaks_is_waited_for_but_not_for_ever() {
        let seconds = Duration::from_secs;
        let limit = seconds(55);
        assert!(!is_late(seconds(54), seconds(54), limit));
        assert!(is_late(seconds(56), seconds(11), limit));
        assert!(!is_late(seconds(56), seconds(1), limit));
        assert!(is_late(limit * BUSY + seconds(1), seconds(0), limit));
    }

    /// A boot sector that prints without end.
    #[test]
    fn a_machine_that_prints_without_end_is_stopped() {
        #[rustfmt::skip]
        let program = [
            0xba, 0xf8, 0x03,   // mov dx, 0x3f8: the first serial port
            0xb0, b'x',         // mov al, 'x'
            0xee,               // again: out dx, al
            0xeb, 0xfd,         // jmp again
        ];
        let dir = tempfile::tempdir().unwrap();
        let mut disk = vec![0; 1 << 20];
        disk[..program.len()].copy_from_slice(&program);
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        std::fs::write(dir.path().join(file::DISK), disk).unwrap();
        let setup = Setup {
            target: Target::Bios,
            accel: Accel::Tcg,
            memory: 64,
            ports: &[],
            network: false,
            firmware: None,
            raspi: None,
        };
        let mut guest = Guest::start_keeping(50_000, &setup, dir.path()).unwrap();
        while guest.stopped().is_none() {
            guest.watch(TICK).unwrap();
        }
        let cause = guest.stopped().unwrap().to_string();
        assert_eq!(
            cause,
            "the machine prints without end: 50000 bytes of its console were kept"
        );
        drop(guest);
        let console = std::fs::read(dir.path().join(file::CONSOLE)).unwrap();
        assert!(console.len() == 50_000 && console.ends_with(b"xxx"));
        let firmware = std::fs::read_to_string(dir.path().join(file::FIRMWARE)).unwrap();
        assert!(firmware.contains("SeaBIOS"), "{firmware}");
    }

    #[test]
    fn a_connection_that_qemu_alone_accepted_is_none() {
        assert!(established(USERNET, 22));
        assert!(!established(USERNET, 80));
        assert!(!established(USERNET, 443));
    }
}
