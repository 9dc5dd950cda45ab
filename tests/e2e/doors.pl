# Tries every door that could lead out of the sandbox, and prints `door NAME: shut` or `door NAME: open (HOW)` for each.
# Its word: a file that tells what there is outside, as lines KEY=VALUE. What could end this program comes last.
use strict;
use warnings;
use Errno qw(EPERM EACCES ENOSYS EAFNOSUPPORT);
use POSIX ();
use Socket;

$| = 1;
open my $facts, "<", $ARGV[0] or die "$ARGV[0]: $!";
my %outside = map { chomp; split /=/, $_, 2 } <$facts>;
close $facts;

# The kernel's numbers: x86_64, aarch64 (asm/unistd_64.h, asm-generic/unistd.h).
my %numbers = (
    add_key => [248, 217], request_key => [249, 218], keyctl => [250, 219], io_uring_setup => [425, 425],
    io_uring_enter => [426, 426], io_uring_register => [427, 427], bpf => [321, 280], perf_event_open => [298, 241],
    userfaultfd => [323, 282], kexec_load => [246, 104], kexec_file_load => [320, 294], init_module => [175, 105],
    finit_module => [313, 273], delete_module => [176, 106], reboot => [169, 142], swapon => [167, 224],
    swapoff => [168, 225], acct => [163, 89], quotactl => [179, 60], syslog => [103, 116],
    open_by_handle_at => [304, 265], ptrace => [101, 117], unshare => [272, 97], clone => [56, 220],
    clone3 => [435, 435], setns => [308, 268], mount => [165, 40], umount2 => [166, 39], pivot_root => [155, 41],
    fsopen => [430, 430], open_tree => [428, 428], chroot => [161, 51], mknodat => [259, 33],
    clock_settime => [227, 112], settimeofday => [164, 170], adjtimex => [159, 171], sethostname => [170, 161],
    setdomainname => [171, 162], prlimit64 => [302, 261], sched_setscheduler => [144, 119], setpriority => [141, 140],
    fanotify_init => [300, 262],
);
my $arm = (POSIX::uname())[4] eq "aarch64" ? 1 : 0;

sub door {
    my ($name, @open) = @_;
    @open = grep { defined && length } @open;
    s/[^ -~]/?/g for @open;
    print "door $name: ", @open ? "open (" . join(", ", @open) . ")" : "shut", "\n";
}

# A call that the kernel or a filter refuses is a door that is shut. Anything else, also a complaint about what was
# asked, comes from behind it.
sub call {
    my ($name, @words) = @_;
    $! = 0;
    my $got = syscall($numbers{$name}[$arm], @words);
    return "" if $got == -1 && ($! == EPERM || $! == ENOSYS || $! == EACCES);
    return $got == -1 ? "$name: $!" : "$name returned $got";
}

# What a child finds, which may lose its terminal, its root or its life.
sub child {
    my ($what) = @_;
    pipe my $reads, my $writes or die;
    my $pid = fork // die;
    if (!$pid) {
        close $reads;
        syswrite $writes, join ", ", grep { defined && length } $what->();
        POSIX::_exit(0);
    }
    close $writes;
    local $/;
    my $said = <$reads>;
    waitpid $pid, 0;
    return $? ? "the trial ended with $?" : $said;
}

sub content {
    open my $file, "<", $_[0] or return "";
    local $/;
    return <$file> // "";
}

sub writes {
    my ($path, $text) = @_;
    sysopen my $file, $path, POSIX::O_WRONLY() or return "";
    return defined syswrite($file, $text) ? $path : "";
}

# Terminals, by every way to one.
my @ways = ("/dev/tty", "/dev/console", </dev/pts/[0-9]*>, </proc/[0-9]*/fd/*>);
my (@terminals, @typed);
for my $way (@ways) {
    next unless sysopen my $terminal, $way, POSIX::O_RDWR() | POSIX::O_NOCTTY() | POSIX::O_NONBLOCK();
    next unless -t $terminal;
    push @terminals, $way;
    push @typed, "TIOCSTI on $way" if ioctl $terminal, 0x5412, my $key = "x";
    push @typed, "TIOCLINUX on $way" if ioctl $terminal, 0x541c, my $paste = "\3\0";
}
door "terminal", @terminals, grep { $_ != 0 } (split " ", content("/proc/self/stat") =~ s/.*\)//sr)[4];
door "typing", @typed;
door "typing-on-its-own-terminal", child(sub {
    open my $master, "+<", "/dev/ptmx" or return;
    ioctl $master, 0x40045431, my $unlock = pack "i", 0;
    my $slave = ioctl $master, 0x5441, 2 or return "no terminal: $!";
    $SIG{HUP} = "IGNORE";
    POSIX::setsid();
    open my $terminal, "+<&=", 0 + $slave or return "open: $!";
    ioctl $terminal, 0x540e, 0 or return "no terminal of its own: $!";
    return ioctl($terminal, 0x5412, my $key = "x") ? "TIOCSTI" : "";
});

# What it was started with.
door "descriptors", grep { (readlink // "") =~ m{^\Q$outside{dir}\E} } </proc/[0-9]*/fd/*>;
my $stdin = readlink "/proc/self/fd/0";
door "standard-input", $stdin eq "/dev/null" ? "" : $stdin;
my $usual = qr/^(PATH|TZ|LC_ALL|HOME|PWD|OLDPWD|SHLVL|_|INITRD|SOURCE_DATE_EPOCH|PYTHONHASHSEED|SYSTEMD_OFFLINE|DEBIAN_FRONTEND|DEBCONF_\w+|DPKG_\w+)$/;
door "environment", (grep { $_ !~ $usual } sort keys %ENV),
    grep { index(content($_), $outside{token}) >= 0 } </proc/[0-9]*/environ>;
door "locale", ($ENV{LC_ALL} // "") eq "C.UTF-8" ? "" : "LC_ALL";
door "umask", umask == 022 ? "" : sprintf "%o", umask;
door "working-directory", POSIX::getcwd() eq "/" ? "" : POSIX::getcwd();

# What tells of the user and the host.
my %tells = map { $_ => content($_) } map { glob "/proc/[0-9]*/$_" }
    qw(cmdline environ mountinfo mounts mountstats cgroup maps status);
$tells{$_} = readlink($_) // "" for map { glob "/proc/[0-9]*/$_" } qw(exe cwd root fd/*);
for my $of (qw(dir home place)) {
    door "path-$of", grep { index($tells{$_}, $outside{$of}) >= 0 } sort keys %tells;
}
door "user-name", $outside{user} eq getpwuid($<) ? "it runs as the user" : "",
    grep { $tells{$_} =~ m{(?<![\w/])\Q$outside{user}\E(?![\w/])} } sort keys %tells;
door "control-groups", grep { !m{:/$} } split /\n/, content("/proc/self/cgroup");
door "host-sys", </sys/*>;
door "host-hardware", grep { -d $_ ? glob "$_/*" : length content($_) } map { "/proc/$_" } qw(
    acpi asound bus cmdline consoles diskstats driver fb fs interrupts iomem ioports irq locks mdstat modules partitions
    scsi swaps tty);
door "host-name", (POSIX::uname())[1] eq $outside{host} ? $outside{host} : "";
door "domain-name", content("/proc/sys/kernel/domainname") eq "(none)\n" ? "" : "domainname";

# Other processes.
door "other-processes", index(content("/proc/$outside{pid}/cmdline"), "e2e") >= 0 ? "/proc/$outside{pid}" : "";
door "process-1", (grep { defined readlink } map { "/proc/1/$_" } qw(exe root cwd fd/0 ns/mnt)),
    grep { length content($_) } map { "/proc/1/$_" } qw(environ maps exe);
door "tracing-process-1", child(sub { call("ptrace", 0x4206, 1, 0, 0) });

# Keys.
door "keyrings", call("keyctl", 0, -3, 0);
door "add-key", call("add_key", "user", "clic-door", "x", 1, -2);
door "request-key", call("request_key", "user", "clic-outside", 0, -3);
door "list-of-keys", grep { length content($_) } "/proc/keys", "/proc/key-users";

# Parts of the kernel that no script needs.
my $zeros = "\0" x 256;
door "io-uring", call("io_uring_setup", 1, my $parameters = $zeros), call("io_uring_enter", -1, 0, 0, 0, 0, 0),
    call("io_uring_register", -1, 0, 0, 0);
door "bpf", call("bpf", 0, $zeros, 120);
door "perf-events", call("perf_event_open", pack("L2Q5", 1, 112, 0, 0, 0, 0, 0x61) . $zeros, 0, -1, -1, 0);
door "userfaultfd", call("userfaultfd", 1);
door "kexec", call("kexec_load", 0, 0, 0, -1), call("kexec_file_load", -1, -1, 0, 0, -1);
door "kernel-modules", call("init_module", 0, 0, 0), call("finit_module", -1, "", 0), call("delete_module", "clic-no", 0);
door "reboot", call("reboot", 1, 2, 3, 0);
door "swap", call("swapon", "/no-such-file", 0), call("swapoff", "/no-such-file");
door "accounting", call("acct", "/no-such-file");
door "quota", call("quotactl", 0x80000700 - (1 << 32), 0, 0, my $quota = $zeros);
door "kernel-log", call("syslog", 10, 0, 0);
door "file-handles", call("open_by_handle_at", -100, pack("L2", 8, 1) . $zeros, 0);
door "fanotify", call("fanotify_init", 4, 0);
my @others = grep { my $family = $_; !grep { $_ == $family } 0, 1, 2, 10, 16 } 0 .. 46;
door "other-sockets", map {
    my ($family, @made) = $_;
    for my $type (1, 2, 3, 5) {
        push @made, $family if socket my $socket, $family, $type, 0 or $! != EAFNOSUPPORT && $! != EPERM;
    }
    $made[0];
} @others;
door "raw-packets", (socket my $raw, AF_INET, SOCK_RAW, 1) ? "ICMP" : "";

# What the host shares with its users.
door "abstract-sockets", child(sub {
    socket my $socket, AF_UNIX, SOCK_STREAM, 0 or return;
    connect($socket, pack("Sa*", AF_UNIX, "\0$outside{abstract}")) ? $outside{abstract} : "";
});
door "host-network", child(sub {
    socket my $socket, AF_INET, SOCK_STREAM, 0 or return;
    connect($socket, sockaddr_in($outside{port}, inet_aton("127.0.0.1"))) ? $outside{port} : "";
}), grep { $_ ne "lo" } content("/proc/net/dev") =~ /^\s*(\S+):/mg;
door "shared-memory", defined shmget($outside{shm}, 0, 0) ? $outside{shm} : "";

# Namespaces, mounts, devices.
my %flags = (
    mount => 0x20000, cgroup => 0x2000000, uts => 0x4000000, ipc => 0x8000000, user => 0x10000000, pid => 0x20000000,
    net => 0x40000000, time => 0x80,
);
door "user-namespaces", child(sub { call("unshare", $flags{user}) }), child(sub {
    my $got = syscall $numbers{clone}[$arm], $flags{user} | 17, 0, 0, 0, 0;
    POSIX::_exit(0) if $got == 0;
    $got > 0 ? "clone" : "";
}), child(sub {
    my $got = syscall $numbers{clone3}[$arm], pack("Q11", $flags{user}, 0, 0, 0, 17, (0) x 6), 88;
    POSIX::_exit(0) if $got == 0;
    $got > 0 ? "clone3" : "";
});
for my $kind (grep { $_ ne "user" } sort keys %flags) {
    door "$kind-namespaces", child(sub { call("unshare", $flags{$kind}) });
}
door "namespaces-of-others", child(sub {
    my @opened = map { my $opened; open($opened, "<", $_) ? $opened : () }
        map { ("/proc/1/ns/$_", "/proc/self/ns/$_") } qw(mnt net uts ipc pid);
    map { call("setns", fileno $_, 0) } @opened;
});
mkdir "/tmp/door" or die "/tmp/door: $!" unless -d "/tmp/door";
for my $kind (qw(tmpfs proc sysfs cgroup cgroup2 devpts mqueue overlay binfmt_misc)) {
    door "mounting-$kind", child(sub {
        my $got = call("mount", "none", "/tmp/door", $kind, 0, 0);
        call("umount2", "/tmp/door", 2) if $got;
        $got;
    });
}
door "mounting-what-is-there", call("mount", "/etc", "/tmp/door", 0, 0x1000, 0), call("open_tree", -100, "/", 0x8001),
    call("fsopen", "tmpfs", 0);
door "binfmt", glob "/proc/sys/fs/binfmt_misc/*";
door "pivot-root", child(sub { call("pivot_root", "/tmp/door", "/tmp/door") });
door "chroot", child(sub { call("chroot", "/tmp/door") }), child(sub {
    chroot "/tmp/door" or return;
    chdir ".." for 1 .. 64;
    chroot "." or return;
    -e $outside{dir} ? "$outside{dir} is there" : index(content("/proc/self/mountinfo"), $outside{place}) >= 0 ? "mounts" : "";
});
door "device-nodes", grep { length } map {
    my $got = call("mknodat", -100, "/tmp/node", 0020666, $_);
    unlink "/tmp/node";
    $got;
} 0x10b, 0x500, 0xae8;
my %devices = map { ("/dev/$_" => 1) } qw(null zero full random urandom fd stdin stdout stderr ptmx tty pts shm);
door "host-devices", grep { !$devices{$_} } </dev/*>;
door "changing-devices", (map { chmod(0666, $_) ? $_ : "" } grep { -c && !-l } sort keys %devices),
    map { utime(1, 1, $_) ? $_ : "" } "/dev/null";

# Settings of the kernel.
door "settings-of-the-kernel", map { writes("/proc/$_", "0\n") } qw(
    sys/kernel/hostname sys/kernel/core_pattern sys/net/ipv4/ip_forward sys/user/max_user_namespaces sys/vm/drop_caches
    sysrq-trigger irq/default_smp_affinity);
door "clock", call("clock_settime", 0, pack "q2", time, 0), call("settimeofday", pack("q2", time, 0), 0),
    call("adjtimex", pack("L", 1) . $zeros);
door "setting-names", call("sethostname", "x", 1), call("setdomainname", "x", 1);

# Getting more than others, and staying.
door "realtime", call("sched_setscheduler", 0, 1, pack "i", 1);
door "priority", call("setpriority", 0, 0, -5);
door "memory-that-stays", writes("/proc/self/oom_score_adj", "-1000");
my $limit = "\0" x 16;
syscall $numbers{prlimit64}[$arm], 0, 7, 0, $limit;
my (undef, $hard) = unpack "Q2", $limit;
door "limits", call("prlimit64", 0, 7, pack("Q2", $hard, $hard + 1), 0);
syscall $numbers{prlimit64}[$arm], 0, 6, 0, $limit;
my ($processes) = unpack "Q2", $limit;
door "processes-without-end", $processes > 16384 ? $processes : "";
sub dumps {
    my $pid = fork // die;
    kill SEGV => $$ if !$pid;
    waitpid $pid, 0;
    return $? & 128 ? "dumped" : "";
}
door "core-dumps", dumps(), child(sub {
    syscall $numbers{prlimit64}[$arm], 0, 4, my $none = pack("Q2", 0, 0), 0;
    syscall $numbers{prlimit64}[$arm], 0, 4, 0, $limit;
    my ($core) = unpack "Q2", $limit;
    ($core == 1 || $outside{core} == 0 ? "" : "limit $core", dumps());
});

# Other ways to ask the kernel: a program of 32 bits that ends with 42, and x32's numbers.
my $code = $arm ? pack "L3", 0xe3a0002a, 0xe3a07001, 0xef000000 : pack "H*", "b801000000bb2a000000cd80";
my $program = pack("a16 S2 L5 S6", "\x7fELF\1\1\1", 2, $arm ? 40 : 3, 1, 0x10054, 52, 0, $arm ? 0x5000000 : 0, 52, 32, 1, 0, 0, 0);
$program .= pack "L8", 1, 0, 0x10000, 0x10000, 84 + length $code, 84 + length $code, 5, 0x1000;
# Outside, /tmp is everybody's.
my $place = (-w $outside{dir} ? $outside{dir} : "/tmp") . "/program-32";
open my $file, ">", $place or die "$place: $!";
print $file $program, $code;
close $file;
chmod 0755, $place;
my $ended = system $place;
unlink $place;
door "32-bit-programs", $ended == 42 << 8 ? "it ran" : "";
door "x32", $arm || syscall(0x40000000 | 39) == -1 ? "" : "getpid";

my %status = content("/proc/self/status") =~ /^(\w+):\s*(.*)$/mg;
door "capabilities", map { $status{$_} eq $outside{capabilities} ? "" : "$_ $status{$_}" } qw(CapPrm CapEff CapBnd);
door "inherited-capabilities", map { $status{$_} =~ /^0+$/ ? "" : "$_ $status{$_}" } qw(CapInh CapAmb);
door "system-call-filter", ($status{Seccomp} // 0) == 2 ? "" : "none";
door "program-of-the-builder", map { my $path = $_; sysopen(my $file, $path, POSIX::O_WRONLY()) ? $path : "" }
    grep { (readlink // "") =~ m{/clic$} || $_ eq "/proc/1/exe" } </proc/[0-9]*/exe>;

# Last: what could end it.
door "signals", kill(0, $outside{pid}) && index(content("/proc/$outside{pid}/cmdline"), "e2e") >= 0 ? $outside{pid} : "";
door "unmounting", map { call("umount2", $_, 2) } "/sys", "/proc/sys", "/proc";
print "all doors tried\n";
