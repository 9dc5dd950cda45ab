//! What a program that we start gets of us: three standard streams, and nothing else.

use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Gives a program a session of its own, and no descriptor beyond the three standard streams.
///
/// Without a session of its own it would keep our terminal, where it could type what the user's shell then runs
/// (`TIOCSTI`); without a terminal, `/dev/tty` is an error (`ENXIO`) for it. The leader of a session leads a process group
/// too: a terminal's Ctrl-C reaches only us, and `kill` with the negative process id reaches the group. Whatever else is
/// open was left so by who started us, or is ours.
///
/// Do not set a process group as well: the leader of one cannot begin a session.
pub fn detach(command: &mut Command) {
    passing(command, Vec::new());
}

/// As [`detach`], with these descriptors for the program.
#[allow(unsafe_code)]
pub(crate) fn passing(command: &mut Command, passed: Vec<RawFd>) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; these are system calls. They close nothing
    // before exec: the standard library reports a failed exec through a descriptor of its own.
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
            if libc::close_range(3, libc::c_uint::MAX, flags) == -1 {
                return Err(std::io::Error::last_os_error());
            }
            for fd in &passed {
                if libc::fcntl(*fd, libc::F_SETFD, 0) == -1 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};

    use crate::Cmd;

    /// Set in the process that has a terminal.
    const ON_TERMINAL: &str = "CLIC_TEST_ON_TERMINAL";
    /// Types into each terminal that it can find, and says which.
    const TYPES: &str = r#"
        for my $place ("/dev/tty", map { "/proc/self/fd/$_" } 0 .. 30) {
            next unless open my $terminal, "+<", $place;
            next unless -t $terminal;
            print "terminal: $place\n";
            print "typed: $place\n" if ioctl $terminal, 0x5412, my $key = "x";
            print "pasted: $place\n" if ioctl $terminal, 0x541c, my $paste = "\3\0";
        }
        print "tried\n";
    "#;

    /// With a terminal, which tests otherwise have or not as they are started.
    #[test]
    fn a_program_has_no_terminal() {
        if std::env::var_os(ON_TERMINAL).is_none() {
            let name = format!("{}::a_program_has_no_terminal", module_path!());
            let name = name.split_once("::").unwrap().1;
            let own = std::env::current_exe().unwrap();
            let line = format!("'{}' --exact '{name}' --nocapture", own.display());
            let ran = Command::new("script")
                .args(["--quiet", "--return", "--command", &line, "/dev/null"])
                .env(ON_TERMINAL, "1")
                .stdin(Stdio::null())
                .output()
                .expect("script(1) of util-linux (Debian package bsdutils) is needed");
            let said = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        // That it would be seen: a program that is started otherwise has it.
        let seen = Command::new("perl").args(["-e", TYPES]).output().unwrap();
        let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
        assert!(seen.contains("terminal: /dev/tty\n"), "{seen}");

        let perl = || Cmd::new("perl").args(["-e", TYPES]);
        assert_eq!(String::from_utf8_lossy(&perl().output().unwrap()), "tried\n");
        // Nor by the streams that nobody has set.
        let mut running = perl()
            .spawn(|command| {
                command.stdout(Stdio::piped());
            })
            .unwrap();
        let seen = std::io::read_to_string(running.child().stdout.take().unwrap()).unwrap();
        assert_eq!(seen, "tried\n");
        assert!(running.wait().unwrap().success());
    }

    #[test]
    fn a_program_has_no_descriptor_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "x").unwrap();
        // dup(2) gives descriptors that exec does not close.
        let leak = |path: &Path| rustix::io::dup(std::fs::File::open(path).unwrap()).unwrap();
        let _open = [leak(dir.path()), leak(&file)];
        let list = ["-c", "ls -l /proc/self/fd"];
        let place = dir.path().to_str().unwrap();
        // That it would be seen.
        let seen = Command::new("sh").args(list).output().unwrap();
        let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
        assert_eq!(seen.matches(place).count(), 2, "{seen}");
        let seen = Cmd::new("sh").args(list).output().unwrap();
        let seen = String::from_utf8_lossy(&seen).into_owned();
        assert!(!seen.contains(place) && seen.contains(" 2 -> "), "{seen}");
    }
}
