//! A hostile package that tries every door out of the sandbox ([`SCRIPT`]). `docs/security.md` lists them.
//!
//! Its user is as users are: in a terminal, with keys, files and sockets open, and a token in the environment. Without a
//! terminal, which tests have or not as they are started, much of it would be shut by chance.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Command, Stdio};

use rustix::process::Resource;

use crate::support::{root, run, tool};
use crate::world::World;

const SCRIPT: &str = include_str!("doors.pl");

/// All of them, so that none is left out in silence.
const DOORS: [&str; 85] = [
    "terminal",
    "typing",
    "typing-on-its-own-terminal",
    "descriptors",
    "standard-input",
    "environment",
    "locale",
    "umask",
    "working-directory",
    "path-dir",
    "path-home",
    "path-place",
    "user-name",
    "control-groups",
    "host-sys",
    "host-hardware",
    "host-name",
    "domain-name",
    "other-processes",
    "process-1",
    "tracing-process-1",
    "keyrings",
    "add-key",
    "request-key",
    "list-of-keys",
    "io-uring",
    "bpf",
    "perf-events",
    "userfaultfd",
    "kexec",
    "kernel-modules",
    "reboot",
    "swap",
    "accounting",
    "quota",
    "kernel-log",
    "file-handles",
    "fanotify",
    "other-sockets",
    "raw-packets",
    "abstract-sockets",
    "host-network",
    "shared-memory",
    "user-namespaces",
    "cgroup-namespaces",
    "ipc-namespaces",
    "mount-namespaces",
    "net-namespaces",
    "pid-namespaces",
    "time-namespaces",
    "uts-namespaces",
    "namespaces-of-others",
    "mounting-tmpfs",
    "mounting-proc",
    "mounting-sysfs",
    "mounting-cgroup",
    "mounting-cgroup2",
    "mounting-devpts",
    "mounting-mqueue",
    "mounting-overlay",
    "mounting-binfmt_misc",
    "mounting-what-is-there",
    "binfmt",
    "pivot-root",
    "chroot",
    "device-nodes",
    "host-devices",
    "changing-devices",
    "settings-of-the-kernel",
    "clock",
    "setting-names",
    "realtime",
    "priority",
    "memory-that-stays",
    "limits",
    "processes-without-end",
    "core-dumps",
    "32-bit-programs",
    "x32",
    "capabilities",
    "inherited-capabilities",
    "signals",
    "unmounting",
    "program-of-the-builder",
    "system-call-filter",
];

/// Those that are open outside of the sandbox for every user, which shows that the script would find them.
const OPEN_OUTSIDE: [&str; 18] = [
    "terminal",
    "descriptors",
    "environment",
    "path-dir",
    "user-name",
    "host-sys",
    "host-hardware",
    "host-name",
    "other-processes",
    "keyrings",
    "add-key",
    "request-key",
    "list-of-keys",
    "abstract-sockets",
    "host-network",
    "shared-memory",
    "user-namespaces",
    "signals",
];

/// Set in the process that has a terminal.
const ON_TERMINAL: &str = "CLIC_TEST_ON_TERMINAL";
const TOKEN: &str = "a-secret-of-the-users";

/// Starts a program with a key in its session's keyring and a segment of shared memory: `PROGRAM ARGUMENTS...`.
const OUTSIDE: &str = r#"
    use POSIX ();
    my ($key, $control) = (POSIX::uname())[4] eq "aarch64" ? (217, 219) : (248, 250);
    my ($kind, $name, $secret) = ("user", "clic-outside", "secret");
    syscall($control, 1, 0) > 0 or die "no keyring: $!";
    syscall($key, $kind, $name, $secret, 6, -3) > 0 or die "no key: $!";
    my $id = shmget $ENV{SHM}, 4096, 01600;
    defined $id or die "no shared memory: $!";
    my $ended = system @ARGV;
    shmctl $id, 0, 0;
    exit $ended >> 8;
"#;

#[test]
fn every_door_is_shut() {
    let shm = std::process::id().to_string();
    if std::env::var_os(ON_TERMINAL).is_none() {
        let own = std::env::current_exe().unwrap();
        let name = "doors::every_door_is_shut";
        let line = format!(
            "perl -e '{OUTSIDE}' '{}' --exact {name} --nocapture",
            own.display()
        );
        let mut on_terminal = Command::new("script");
        on_terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        on_terminal.envs([
            (ON_TERMINAL, "1"),
            ("TOKEN", TOKEN),
            ("SHM", &shm),
            ("SHELL", "/bin/sh"),
        ]);
        let said = run(on_terminal.stdin(Stdio::null()));
        assert!(
            said.code == Some(0) && said.stdout.contains("1 passed"),
            "{}",
            said.stdout
        );
        return;
    }
    let world = World::new();
    // dup(2) gives descriptors that exec does not close.
    let leak = |place: &str| rustix::io::dup(std::fs::File::open(world.at(place)).unwrap()).unwrap();
    let _open = [leak("outside"), leak("outside/sentinel")];
    let name = format!("clic-door-{shm}");
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let limit = |resource| rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let facts = [
        (
            "dir",
            world
                .at("")
                .display()
                .to_string()
                .trim_end_matches('/')
                .to_owned(),
        ),
        ("home", std::env::var("HOME").unwrap()),
        ("place", "home-of-the-tree".into()),
        ("user", tool("id", ["-un"]).trim().to_owned()),
        ("token", TOKEN.into()),
        (
            "host",
            rustix::system::uname().nodename().to_str().unwrap().to_owned(),
        ),
        ("pid", shm.clone()),
        ("abstract", name),
        ("port", tcp.local_addr().unwrap().port().to_string()),
        ("shm", std::env::var("SHM").unwrap()),
        ("core", limit(Resource::Core).to_string()),
        // chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, setfcap.
        ("capabilities", format!("{:016x}", 0x8000_05fb_u64)),
    ];
    let facts: Vec<String> = facts
        .iter()
        .map(|(key, value)| format!("{key}={value}\n"))
        .collect();
    let facts = facts.concat();
    std::fs::write(world.at("work/facts"), &facts).unwrap();

    let mut outside = Command::new("perl");
    let said = run(outside
        .arg(root().join("tests/e2e/doors.pl"))
        .arg(world.at("work/facts")));
    let found = doors(&said.stdout);
    let seen: Vec<&str> = OPEN_OUTSIDE
        .into_iter()
        .filter(|door| found[*door] != "shut")
        .collect();
    assert_eq!(seen, OPEN_OUTSIDE, "{}{}", said.stdout, said.stderr);
    let typing = std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").unwrap_or_else(|_| "1".into());
    if typing.trim() == "1" {
        for door in ["typing", "typing-on-its-own-terminal"] {
            assert!(found[door].contains("TIOCSTI"), "{}", said.stdout);
        }
    } else {
        eprintln!(
            "dev.tty.legacy_tiocsti is 0: here nobody can type into a terminal, and the doors `typing...` prove nothing"
        );
    }

    for script in ["preinst", "postinst"] {
        let text = format!(
            "cat >/tmp/doors.pl <<'DOORS'\n{SCRIPT}DOORS\ncat >/tmp/facts <<'FACTS'\n{facts}FACTS\n\
             perl /tmp/doors.pl /tmp/facts"
        );
        let deb = world.package("hostile", script, &text);
        let installed = world.install("hostile", &deb);
        assert_eq!(installed.failed, None, "{}", installed.printed);
        assert!(
            installed.printed.contains("all doors tried\n"),
            "{}",
            installed.printed
        );
        let found = doors(&installed.printed);
        let open: Vec<_> = found.iter().filter(|(_, how)| **how != "shut").collect();
        assert!(open.is_empty(), "{script}: {open:#?}");
        std::fs::remove_file(world.at("work/done.json")).unwrap();
    }
}

/// What the script found, by door: all of [`DOORS`], and no other.
fn doors(printed: &str) -> BTreeMap<&str, &str> {
    let lines = printed
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix("door "));
    let found: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    let mut names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    let mut wanted = DOORS.to_vec();
    names.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(names, wanted, "{printed}");
    found.into_iter().collect()
}

/// Each is explained.
#[test]
fn the_list_of_doors_is_the_documents() {
    let text = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    for door in DOORS {
        assert!(text.contains(&format!("`{door}`")), "{door}");
    }
}
