//! One way to run another program.
//!
//! Every child dies with us (`PR_SET_PDEATHSIG`), has a session of its own without a terminal ([`crate::detach`]: none of
//! those that we start asks a person anything), and is ended by [`crate::cancel`]. An error carries the command and its
//! last lines.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use crate::lines::{Tail, each_line, each_line_of, first_bytes};
use crate::{Log, cancel, detach};

/// Lines of a failed program that its error repeats. The log has them all.
const TAIL: usize = 15;
/// Most that [`Cmd::finish`] takes of a program's standard output, in bytes. The largest that there is comes from apt, which
/// prints all stanzas of a suite: less than 100 MB for Debian's.
const MOST_OUTPUT: u64 = 1 << 30;
/// Longest line that [`Cmd::heard`] passes on, in bytes: an error with the last lines of a script is one.
const MESSAGE: usize = 4 << 20;
/// Most of a standard error that is kept, in bytes.
const MOST_ERRORS: u64 = 1 << 20;

/// Where [`Cmd::clean_env`] looks for programs: the system's directories, with those for administrators, which an
/// ordinary user's `PATH` lacks on Debian.
pub const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a program is that [`Cmd::clean_env`] would start.
pub fn find(program: &str) -> Option<PathBuf> {
    let executable = |file: &PathBuf| {
        std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    SYSTEM_PATH
        .split(':')
        .map(|dir| Path::new(dir).join(program))
        .find(executable)
}

/// A program to run, with its arguments.
#[derive(Debug)]
pub struct Cmd {
    command: Command,
    stdin: Option<Vec<u8>>,
    passed: Vec<OwnedFd>,
    cleans_up: bool,
}

/// What a finished program left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error, lossily decoded.
    pub stderr: String,
}

/// A child that is killed (with its process group) and reaped when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    reaped: bool,
    cleans_up: bool,
}

impl Cmd {
    /// `program` is looked up in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: Command::new(program),
            stdin: None,
            passed: Vec::new(),
            cleans_up: false,
        }
    }

    /// Gives the program this descriptor, under the number that it has here ([`OwnedFd::as_raw_fd`]). It gets no others.
    #[must_use]
    pub fn pass(mut self, fd: OwnedFd) -> Self {
        self.passed.push(fd);
        self
    }

    /// Allows the user no more than `most` processes (`RLIMIT_NPROC`), as far as the program and what it starts is concerned.
    /// In a user namespace that it makes, all of it counts together, and the user's other processes too (Linux 5.14).
    #[must_use]
    pub fn processes(mut self, most: u64) -> Self {
        let limit = rustix::process::Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        let set = move || {
            Ok(rustix::process::setrlimit(
                rustix::process::Resource::Nproc,
                limit,
            )?)
        };
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; this is one prlimit(2).
        #[allow(unsafe_code, reason = "a limit of the child alone")]
        unsafe {
            self.command.pre_exec(set);
        }
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets one variable of the program's environment.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Starts from an empty environment: what the host has set must not shape a result. Only `PATH`
    /// (the usual system directories) and `LC_ALL=C.UTF-8` are set; add the rest with [`Cmd::env`] afterwards.
    #[must_use]
    pub fn clean_env(mut self) -> Self {
        self.command
            .env_clear()
            .env("PATH", SYSTEM_PATH)
            .env("LC_ALL", "C.UTF-8");
        self
    }

    /// Runs in `dir`.
    #[must_use]
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Gives the program these bytes to read.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// This one takes away what cancelled work left: it runs although a signal asked us to stop. Keep it short.
    #[must_use]
    pub fn cleans_up(mut self) -> Self {
        self.cleans_up = true;
        self
    }

    /// The command line, for messages.
    pub fn line(&self) -> String {
        let quoted = |word: &OsStr| {
            let word = word.to_string_lossy();
            if !word.is_empty()
                && word
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c))
            {
                word.into_owned()
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        };
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(quoted).collect::<Vec<_>>().join(" ")
    }

    fn program(&self) -> OsString {
        self.command.get_program().to_owned()
    }

    /// Runs it to its end, whatever that is, and keeps what it printed. Error: it printed more than can be meant.
    pub fn finish(mut self) -> Result<Finished> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let input = self.stdin.take();
        let mut running = self.spawn_with(input.is_some())?;
        let out = running.child.stdout.take().context("a piped standard output")?;
        let err = running.child.stderr.take().context("a piped standard error")?;
        let to = running.child.stdin.take();
        let (stdout, stderr) = std::thread::scope(|scope| {
            scope.spawn(move || feed(to, input));
            let err = scope.spawn(move || first_bytes(err, MOST_ERRORS));
            (first_bytes(out, MOST_OUTPUT), err.join())
        });
        let status = running.wait()?;
        let (stderr, _) = stderr.map_err(|_| anyhow::anyhow!("reading standard error panicked"))??;
        let (stdout, all) = stdout?;
        if all > MOST_OUTPUT {
            bail!(
                "{} printed {all} bytes, more than the {MOST_OUTPUT} that are read",
                running.name
            );
        }
        Ok(Finished {
            status,
            stdout,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })
    }

    /// Runs it; its standard output, or an error with its last lines when it fails.
    pub fn output(self) -> Result<Vec<u8>> {
        let line = self.line();
        let finished = self.finish()?;
        if !finished.status.success() {
            let tail: Vec<&str> = finished.stderr.lines().rev().take(TAIL).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!("{}: {}\n{}", line, how_it_ended(finished.status), tail.join("\n"));
        }
        Ok(finished.stdout)
    }

    /// Runs it: each line of its standard output goes to `hear`, its standard error to `log`. An error with the last lines of
    /// the log when it fails.
    pub fn heard(mut self, log: &Log, hear: impl FnMut(&str)) -> Result<()> {
        let line = self.line();
        log.line(&format!("+ {line}"));
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let input = self.stdin.take();
        let mut running = self.spawn_with(input.is_some())?;
        let out = running.child.stdout.take().context("a piped standard output")?;
        let err = running.child.stderr.take().context("a piped standard error")?;
        let to = running.child.stdin.take();
        let (heard, logged) = std::thread::scope(|scope| {
            scope.spawn(move || feed(to, input));
            let logged = scope.spawn(move || {
                let (mut tail, mut part) = (Tail::new(TAIL), log.part());
                let read = each_line(err, |text| {
                    part.line(text);
                    tail.push(text);
                });
                read.map(|()| tail)
            });
            (each_line_of(MESSAGE, out, hear), logged.join())
        });
        let status = running.wait()?;
        heard?;
        let tail = logged.map_err(|_| anyhow::anyhow!("reading standard error panicked"))??;
        if !status.success() {
            bail!(
                "{line}: {}\n{}\nthe whole log: {}",
                how_it_ended(status),
                tail.text(),
                log.path().display()
            );
        }
        Ok(())
    }

    /// Starts it and returns at once. Standard streams are as set by `configure` (e.g. files or pipes), else `/dev/null`.
    pub fn spawn(mut self, configure: impl FnOnce(&mut Command)) -> Result<Running> {
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        configure(&mut self.command);
        self.spawn_child()
    }

    fn spawn_with(&mut self, wants_input: bool) -> Result<Running> {
        self.command.stdin(if wants_input {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        self.spawn_child()
    }

    fn spawn_child(&mut self) -> Result<Running> {
        if !self.cleans_up {
            cancel::check()?;
        }
        let name = self.program().to_string_lossy().into_owned();
        let passed: Vec<RawFd> = self.passed.iter().map(AsRawFd::as_raw_fd).collect();
        detach::passing(&mut self.command, passed);
        die_with_parent(&mut self.command);
        let child = self
            .command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        if !self.cleans_up {
            cancel::register(child.id());
        }
        Ok(Running {
            child,
            name,
            reaped: false,
            cleans_up: self.cleans_up,
        })
    }
}

impl Running {
    /// The child itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end. `Err(Cancelled)` when a signal asked us to stop meanwhile.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let status = self
            .child
            .wait()
            .with_context(|| format!("waiting for {}", self.name))?;
        self.reap();
        if !self.cleans_up {
            cancel::check()?;
        }
        Ok(status)
    }

    /// Its status if it has ended already.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        let status = self
            .child
            .try_wait()
            .with_context(|| format!("waiting for {}", self.name))?;
        if status.is_some() {
            self.reap();
        }
        Ok(status)
    }

    /// Ends it with its process group, if it has not ended.
    pub fn end(&mut self) {
        if !self.reaped {
            if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
                let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            }
            let _ = self.child.wait();
            self.reap();
        }
    }

    fn reap(&mut self) {
        if !std::mem::replace(&mut self.reaped, true) {
            cancel::forget(self.child.id());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// `exit code 3`, `killed by signal 9`.
fn how_it_ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Writes `input` to a child that may stop reading at any time.
fn feed(to: Option<impl Write>, input: Option<Vec<u8>>) {
    if let (Some(mut to), Some(input)) = (to, input) {
        // A child that exits early closes the pipe; its status tells the story.
        let _ = to.write_all(&input);
    }
}

/// The kernel ends the child when the thread that started it ends, so that `kill -9` of `clic` leaves
/// nothing behind. Start long-lived children from a thread that outlives them.
#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
    use rustix::process::{Signal, set_parent_process_death_signal};
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; this is one prctl(2).
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read};

    #[test]
    fn a_failure_names_the_command_and_its_last_lines() {
        let error = Cmd::new("sh")
            .args(["-c", "echo no such thing >&2; exit 3"])
            .output()
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("sh -c 'echo no such thing >&2; exit 3': exit code 3"),
            "{text}"
        );
        assert!(text.ends_with("no such thing"), "{text}");
    }

    #[test]
    fn input_larger_than_a_pipe_comes_back_whole() {
        let input = vec![b'x'; 1 << 20];
        assert_eq!(Cmd::new("cat").stdin(input.clone()).output().unwrap(), input);
    }

    #[test]
    fn a_logged_failure_names_the_log() {
        let dir = std::env::temp_dir().join(format!("clic-host-{}", std::process::id()));
        let log = Log::claim(&dir.join("build.log")).unwrap().unwrap();
        let mut seen = Vec::new();
        let error = Cmd::new("sh")
            .args(["-c", "echo one; echo two >&2; echo three >&2; exit 1"])
            .heard(&log, |line| seen.push(line.to_owned()))
            .unwrap_err()
            .to_string();
        assert_eq!(seen, ["one"]);
        assert!(
            error.contains("exit code 1\ntwo\nthree\n") && error.contains("build.log"),
            "{error}"
        );
        assert!(
            std::fs::read_to_string(log.path())
                .unwrap()
                .ends_with("\ntwo\nthree\n")
        );
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_program_gets_the_descriptors_that_are_passed() {
        let (mut ours, theirs) = std::io::pipe().unwrap();
        let theirs = OwnedFd::from(theirs);
        let number = theirs.as_raw_fd();
        let script = format!("echo hello >&{number}");
        Cmd::new("sh")
            .args(["-c", &script])
            .pass(theirs)
            .output()
            .unwrap();
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello\n");
    }

    #[test]
    fn a_limit_of_processes_holds() {
        let said = Cmd::new("grep")
            .args(["processes", "/proc/self/limits"])
            .processes(1234)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(said.matches(" 1234 ").count(), 2, "{said}");
    }

    #[test]
    fn errors_without_end_are_cut() {
        let script = "head -c 20000000 /dev/zero >&2; echo out";
        let finished = Cmd::new("sh").args(["-c", script]).finish().unwrap();
        assert_eq!(finished.stderr.len() as u64, MOST_ERRORS);
        assert_eq!(finished.stdout, b"out\n");
    }

    #[test]
    fn a_dropped_child_is_gone_with_its_group() {
        let mut running = Cmd::new("sh")
            .args(["-c", "sleep 1000 & echo $!; wait"])
            .spawn(|command| {
                command.stdout(Stdio::piped());
            });
        let running = running.as_mut().unwrap();
        let mut line = String::new();
        BufReader::new(running.child().stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let pid = rustix::process::Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        assert!(rustix::process::test_kill_process(pid).is_ok());
        let dropped = std::mem::replace(running, Cmd::new("true").spawn(|_| {}).unwrap());
        drop(dropped);
        let gone = (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            // A zombie that init has not reaped yet still answers kill(2).
            let state = std::fs::read_to_string(format!("/proc/{}/stat", line.trim())).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        });
        assert!(gone, "the grandchild is still there");
    }
}
