//! Nobody in a sandbox waits for the disk: a tree that is not finished is thrown away, and what is kept of it is synced
//! by who keeps it.

use std::io;

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
    sock_filter, sock_fprog,
};

/// What asks the kernel to write everything now.
const CALLS: [libc::c_long; 6] = [
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_sync_file_range,
    libc::SYS_msync,
];

/// The kernel's name for this program's system calls (`linux/audit.h`): machine of the ELF header, 64 bits, little endian.
#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

/// Offsets in `struct seccomp_data` (`linux/seccomp.h`), in bytes.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;

/// From now on, for this process and all that it starts, these calls do nothing and succeed. To be called before there
/// are threads. Unlike most who filter calls, we leave set-user-id programs as they are, which the owner of a
/// user namespace may.
pub fn begin() -> io::Result<()> {
    let mut program = filter();
    let program = sock_fprog {
        len: u16::try_from(program.len()).unwrap_or(u16::MAX),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, which lives until the call is over.
    #[allow(unsafe_code, reason = "rustix has no seccomp(2)")]
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Allows everything but [`CALLS`], which return 0. Calls in the way of another machine (32-bit programs) are allowed.
fn filter() -> Vec<sock_filter> {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the codes fit: BPF's instructions have 16 bits"
    )]
    let load = |offset: u32| sock_filter {
        code: (BPF_LD | BPF_W | BPF_ABS) as u16,
        jt: 0,
        jf: 0,
        k: offset,
    };
    #[allow(clippy::cast_possible_truncation, reason = "as above")]
    let equal = |value: u32, yes: u8, no: u8| sock_filter {
        code: (BPF_JMP | BPF_JEQ | BPF_K) as u16,
        jt: yes,
        jf: no,
        k: value,
    };
    #[allow(clippy::cast_possible_truncation, reason = "as above")]
    let end = |what: u32| sock_filter {
        code: (BPF_RET | BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: what,
    };
    #[allow(clippy::cast_possible_truncation, reason = "there are six")]
    let calls = CALLS.len() as u8;
    let mut program = vec![load(MACHINE), equal(ARCH, 0, calls + 1), load(NUMBER)];
    for (call, after) in CALLS.iter().zip((0..calls).rev()) {
        // Past the calls that follow, and past "allow".
        program.push(equal(u32::try_from(*call).unwrap_or(u32::MAX), after + 1, 0));
    }
    program.extend([end(SECCOMP_RET_ALLOW), end(SECCOMP_RET_ERRNO)]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_jump_ends_at_a_verdict() {
        let program = filter();
        let run = |machine: u32, number: u32| {
            let (mut at, mut loaded) = (0, 0);
            loop {
                let step = &program[at];
                at += 1;
                match u32::from(step.code) {
                    code if code == BPF_LD | BPF_W | BPF_ABS => {
                        loaded = if step.k == NUMBER { number } else { machine };
                    }
                    code if code == BPF_RET | BPF_K => return step.k,
                    _ => at += usize::from(if loaded == step.k { step.jt } else { step.jf }),
                }
            }
        };
        for call in CALLS {
            assert_eq!(run(ARCH, u32::try_from(call).unwrap()), SECCOMP_RET_ERRNO);
            assert_eq!(run(0x4000_0003, u32::try_from(call).unwrap()), SECCOMP_RET_ALLOW);
        }
        assert_eq!(
            run(ARCH, u32::try_from(libc::SYS_openat).unwrap()),
            SECCOMP_RET_ALLOW
        );
    }
}
