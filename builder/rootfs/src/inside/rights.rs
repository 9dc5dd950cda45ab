//! What a program of the tree may do: what installing needs, and nothing else. The other walls are [`super::jail`]'s.

use std::io;

use libc::{EAFNOSUPPORT, ENOSYS, EPERM, SECCOMP_RET_KILL_PROCESS};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::filter::{Filter, Rule, Test, fails};

/// Capabilities that are left, by their numbers (`linux/capability.h`). They are container engines' usual ones without those
/// that no script needs: `chroot` would lead to what lies around the tree, `mknod` makes nothing in a user namespace, and raw
/// packets and audit messages have nobody who reads them.
const KEPT: [u32; 10] = [
    0,  // chown
    1,  // dac_override
    3,  // fowner
    4,  // fsetid
    5,  // kill
    6,  // setgid
    7,  // setuid
    8,  // setpcap
    10, // net_bind_service
    31, // setfcap
];

/// There are 64 at most (`struct __user_cap_data_struct`, version 3).
const CAPABILITIES: u32 = 64;

/// The families of sockets that there are: local, IPv4, IPv6, netlink. The others are not kept apart by a network namespace
/// (vsock), or are parts of the kernel that nobody here needs.
const FAMILIES: &[u32] = &[1, 2, 10, 16];

/// `CLONE_NEWUSER`: who makes a user namespace has all rights in it again.
const NEW_USER: u32 = 0x1000_0000;

/// Typing into a terminal: `TIOCSTI`, `TIOCLINUX` (`asm-generic/ioctls.h`).
const TYPING: &[u32] = &[0x5412, 0x541c];

/// `RLIMIT_CORE` (`asm-generic/resource.h`).
const CORE: &[u32] = &[4];

/// As if the kernel had been built without it: programs know how to go on then.
const fn absent(call: libc::c_long) -> Rule {
    Rule {
        call,
        when: &[],
        answer: fails(ENOSYS),
    }
}

const RULES: &[Rule] = &[
    // Keys are the user's, not the namespace's.
    absent(libc::SYS_add_key),
    absent(libc::SYS_request_key),
    absent(libc::SYS_keyctl),
    // Large parts of the kernel that have had holes, and that no script needs.
    absent(libc::SYS_io_uring_setup),
    absent(libc::SYS_io_uring_enter),
    absent(libc::SYS_io_uring_register),
    absent(libc::SYS_bpf),
    absent(libc::SYS_perf_event_open),
    absent(libc::SYS_userfaultfd),
    // The machine's. They need rights over the host as well, which a build as root in a container may have.
    absent(libc::SYS_kexec_load),
    absent(libc::SYS_kexec_file_load),
    absent(libc::SYS_init_module),
    absent(libc::SYS_finit_module),
    absent(libc::SYS_delete_module),
    absent(libc::SYS_reboot),
    absent(libc::SYS_swapon),
    absent(libc::SYS_swapoff),
    absent(libc::SYS_acct),
    absent(libc::SYS_quotactl),
    absent(libc::SYS_quotactl_fd),
    absent(libc::SYS_open_by_handle_at),
    // The kernel's log is the host's.
    absent(libc::SYS_syslog),
    Rule {
        call: libc::SYS_socket,
        when: &[(0, Test::IsNot(FAMILIES))],
        answer: fails(EAFNOSUPPORT),
    },
    Rule {
        call: libc::SYS_socketpair,
        when: &[(0, Test::IsNot(FAMILIES))],
        answer: fails(EAFNOSUPPORT),
    },
    Rule {
        call: libc::SYS_unshare,
        when: &[(0, Test::Has(NEW_USER))],
        answer: fails(EPERM),
    },
    Rule {
        call: libc::SYS_clone,
        when: &[(0, Test::Has(NEW_USER))],
        answer: fails(EPERM),
    },
    // Its flags are out of a filter's sight. The C library then uses clone(2).
    absent(libc::SYS_clone3),
    Rule {
        call: libc::SYS_ioctl,
        when: &[(1, Test::Is(TYPING))],
        answer: fails(EPERM),
    },
    // No dumps for the host's collector, which is started for every limit but 1, 0 included: see `limits`. Scripts that want
    // none get what they want.
    Rule {
        call: libc::SYS_prlimit64,
        when: &[(1, Test::Is(CORE)), (2, Test::Given)],
        answer: fails(0),
    },
    Rule {
        call: libc::SYS_setrlimit,
        when: &[(0, Test::Is(CORE))],
        answer: fails(0),
    },
];

/// Programs of 32 bits would need a second list; no package of the architectures that we build for has one that its
/// scripts start. The emulator's calls are the host's, whatever it emulates.
pub fn filter() -> Filter {
    Filter::new(RULES, SECCOMP_RET_KILL_PROCESS)
}

/// Takes the other capabilities from what the calling thread executes next. It keeps its own until then. No memory is
/// allocated.
pub fn drop_capabilities() -> io::Result<()> {
    for capability in (0..CAPABILITIES).filter(|number| !KEPT.contains(number)) {
        // SAFETY: a number is passed, and nothing is written.
        #[allow(unsafe_code, reason = "prctl(2), for one number")]
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) };
        if result == -1 {
            let error = io::Error::last_os_error();
            // Beyond the last that this kernel knows.
            return match error.raw_os_error() {
                Some(libc::EINVAL) => Ok(()),
                _ => Err(error),
            };
        }
    }
    Ok(())
}

/// Limits for this process and all that it starts, and that the kernel ends it first when memory is short: nobody's work is
/// lost by it but the build's.
pub fn limit() -> io::Result<()> {
    for (resource, most) in [
        // For 1 the kernel starts no collector of dumps, and writes none (core(5)).
        (Resource::Core, 1),
        // Members of the group `audio` have more.
        (Resource::Rtprio, 0),
        (Resource::Nice, 0),
    ] {
        let hard = getrlimit(resource).maximum.map_or(most, |hard| hard.min(most));
        let limit = Rlimit {
            current: Some(hard),
            maximum: Some(hard),
        };
        setrlimit(resource, limit)?;
    }
    std::fs::write("/proc/self/oom_score_adj", "800")
}

/// An empty keyring for the session of this process and all that it starts, instead of the user's. Without an error where keys
/// are out of reach already.
pub fn own_keys() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: numbers are passed, and nothing is written.
    #[allow(unsafe_code, reason = "rustix has no keyctl(2)")]
    let result = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, 0) };
    if result != -1 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(ENOSYS | EPERM) => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use libc::SECCOMP_RET_ALLOW;

    use super::super::filter::{ARCH, tests::answer};
    use super::*;

    fn ask(call: libc::c_long, words: &[u64]) -> u32 {
        answer(&filter(), ARCH, u32::try_from(call).unwrap(), words)
    }

    #[test]
    fn what_installing_needs_is_let_through() {
        for call in [
            libc::SYS_openat,
            libc::SYS_execve,
            libc::SYS_mount,
            libc::SYS_chroot,
            libc::SYS_clock_settime,
        ] {
            assert_eq!(ask(call, &[0; 6]), SECCOMP_RET_ALLOW);
        }
        for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK] {
            assert_eq!(
                ask(libc::SYS_socket, &[u64::try_from(family).unwrap()]),
                SECCOMP_RET_ALLOW
            );
        }
        // As fork() and threads do.
        let fork =
            u64::try_from(libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD).unwrap();
        let thread =
            libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
        for flags in [fork, u64::try_from(thread).unwrap()] {
            assert_eq!(ask(libc::SYS_clone, &[flags]), SECCOMP_RET_ALLOW);
        }
        // TCGETS, and reading a limit.
        assert_eq!(ask(libc::SYS_ioctl, &[0, 0x5401]), SECCOMP_RET_ALLOW);
        assert_eq!(ask(libc::SYS_prlimit64, &[0, 4, 0, 1]), SECCOMP_RET_ALLOW);
        assert_eq!(ask(libc::SYS_prlimit64, &[0, 7, 1, 0]), SECCOMP_RET_ALLOW);
    }

    #[test]
    fn the_rest_is_refused() {
        for call in [
            libc::SYS_keyctl,
            libc::SYS_io_uring_setup,
            libc::SYS_clone3,
            libc::SYS_quotactl_fd,
        ] {
            assert_eq!(ask(call, &[0; 6]), fails(ENOSYS));
        }
        for family in [libc::AF_VSOCK, libc::AF_ALG, libc::AF_PACKET, libc::AF_BLUETOOTH] {
            assert_eq!(
                ask(libc::SYS_socket, &[u64::try_from(family).unwrap()]),
                fails(EAFNOSUPPORT)
            );
        }
        let user = u64::from(NEW_USER);
        assert_eq!(ask(libc::SYS_unshare, &[user | 0x20000]), fails(EPERM));
        assert_eq!(ask(libc::SYS_clone, &[user | 0x11]), fails(EPERM));
        // The kernel looks at 32 bits of an ioctl's number.
        for number in [0x5412, 0x541c, 0x5412 | 1 << 32] {
            assert_eq!(ask(libc::SYS_ioctl, &[0, number, 0]), fails(EPERM));
        }
        assert_eq!(ask(libc::SYS_prlimit64, &[0, 4, 1 << 33, 0]), fails(0));
        // 32-bit programs of both machines, x32.
        for machine in [0x4000_0003, 0x4000_0028] {
            assert_eq!(answer(&filter(), machine, 4, &[]), SECCOMP_RET_KILL_PROCESS);
        }
        assert_eq!(answer(&filter(), ARCH, 0x4000_0027, &[]), fails(ENOSYS));
    }
}
