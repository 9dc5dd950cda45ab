//! Nobody in a sandbox waits for the disk: a tree that is not finished is thrown away, and what is kept of it is synced
//! by who keeps it.

use std::io;

use super::filter::{Filter, Rule, fails};

/// What asks the kernel to write everything now.
const CALLS: [libc::c_long; 6] = [
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_sync_file_range,
    libc::SYS_msync,
];

/// From now on, for this process and all that it starts, these calls do nothing and succeed. To be called before there
/// are threads.
pub fn begin() -> io::Result<()> {
    filter().begin()
}

/// Calls in the way of another machine (32-bit programs) are let through.
fn filter() -> Filter {
    let rules = CALLS.map(|call| Rule {
        call,
        when: &[],
        answer: fails(0),
    });
    Filter::new(&rules, libc::SECCOMP_RET_ALLOW)
}

#[cfg(test)]
mod tests {
    use libc::SECCOMP_RET_ALLOW;

    use super::super::filter::{ARCH, tests::answer};
    use super::*;

    #[test]
    fn syncing_succeeds_at_once() {
        let run = |machine, call: libc::c_long| answer(&filter(), machine, u32::try_from(call).unwrap(), &[]);
        for call in CALLS {
            assert_eq!(run(ARCH, call), fails(0));
            assert_eq!(run(0x4000_0003, call), SECCOMP_RET_ALLOW);
        }
        assert_eq!(run(ARCH, libc::SYS_openat), SECCOMP_RET_ALLOW);
    }
}
