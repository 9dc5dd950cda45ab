//! The kernel starts this program (`binfmt_misc`, flags OPF) in place of every program of the target's
//! architecture. It executes the program's native twin if there is one that gives the same results, and QEMU
//! otherwise. `clic-rootfs` compiles it statically, embeds it and registers it; see its module `accel`.
//!
//! ```text
//! argv  [0] the path it was registered with  [1] the program's path  [2] the program's argv[0]  [3..] arguments
//! auxv  AT_EXECFD: the program, opened by the kernel
//! ```
//!
//! There is no runtime around `main`: Rust's own would change the disposition of SIGPIPE and the closed ones of
//! the descriptors 0 to 2, which the program must find as its parent left them.

#![cfg_attr(not(test), no_main)]
#![cfg_attr(test, allow(dead_code, reason = "main is the test harness's"))]

mod decide;

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_ulong};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use decide::{NATIVE, QEMU, STARTS, Way, decide, record};

/// `getauxval`'s name for the program that the kernel opened (linux/auxvec.h).
const AT_EXECFD: c_ulong = 2;

/// What a shell returns for a program that cannot be started.
const CANNOT_START: c_int = 126;

#[allow(unsafe_code, reason = "the C library's own, as their man pages declare them")]
unsafe extern "C" {
    fn getauxval(kind: c_ulong) -> c_ulong;
    fn execve(path: *const c_char, argv: *const *const c_char, environment: *const *const c_char) -> c_int;
}

/// Returns only if nothing could be executed.
#[allow(
    unsafe_code,
    reason = "the entry point of C: `words` are `count` pointers and a null, `environment` ends with a null, and \
              all of it lives as long as the process"
)]
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main(count: c_int, words: *const *const c_char, environment: *const *const c_char) -> c_int {
    let words = unsafe { std::slice::from_raw_parts(words, usize::try_from(count).unwrap_or(0) + 1) };
    let [registered, path, rest @ ..] = words else {
        return usage();
    };
    // argv[0] at least, and the null.
    if rest.len() < 2 {
        return usage();
    }
    let text = |pointer: *const c_char| unsafe { CStr::from_ptr(pointer) };
    let arguments: Vec<&[u8]> = rest[1..rest.len() - 1]
        .iter()
        .map(|&argument| text(argument).to_bytes())
        .collect();

    let opened = RawFd::try_from(unsafe { getauxval(AT_EXECFD) }).unwrap_or(-1);
    // Where the program really is, whatever links led to it. Without /proc nobody knows, and it is emulated.
    let real = std::fs::read_link(format!("/proc/self/fd/{opened}")).unwrap_or_default();
    let real = real.as_os_str().as_bytes();
    // The program would inherit it otherwise.
    if opened >= 0 {
        drop(unsafe { File::from_raw_fd(opened) });
    }

    if decide(real, &arguments) == Way::Native
        && let Ok(twin) = CString::new([NATIVE.as_bytes(), real].concat())
    {
        // Recorded before, since there is no after.
        let native = std::fs::exists(OsStr::from_bytes(twin.to_bytes())).unwrap_or(false);
        if native {
            log(Way::Native, real);
            unsafe { execve(twin.as_ptr(), rest.as_ptr(), environment) };
        }
    }

    log(
        Way::Emulated,
        if real.is_empty() {
            text(*path).to_bytes()
        } else {
            real
        },
    );
    // `-0`: the next word is the program's argv[0]. A relative path must not look like one of QEMU's options.
    let program = match text(*path).to_bytes() {
        dashed @ [b'-', ..] => CString::new([b"./", dashed].concat()).unwrap_or_default(),
        _ => text(*path).to_owned(),
    };
    let mut words = vec![*registered, c"-0".as_ptr(), rest[0], program.as_ptr()];
    words.extend_from_slice(&rest[1..]);
    let beside = [text(*registered).to_bytes(), decide::QEMU_BESIDE.as_bytes()].concat();
    let beside = CString::new(beside).unwrap_or_default();
    for qemu in [QEMU, &beside] {
        words[0] = qemu.as_ptr();
        unsafe { execve(qemu.as_ptr(), words.as_ptr(), environment) };
    }
    let error = std::io::Error::last_os_error();
    complain(&format!(
        "{}: no emulator for it at {} or {}: {error} (in a chroot within the tree, programs of the target \
         run only when the build does without native tools)",
        text(*path).to_string_lossy(),
        QEMU.to_string_lossy(),
        beside.to_string_lossy()
    ))
}

/// Appends one line to the file of starts. It is no reason to stop if that fails: in a nested chroot, or before
/// the tree is entered, there is none.
fn log(way: Way, program: &[u8]) {
    if let Ok(mut file) = OpenOptions::new().append(true).open(STARTS) {
        let _ = file.write_all(&record(way, program));
    }
}

fn usage() -> c_int {
    complain("the kernel starts this, for programs of another architecture; it is of no use by itself")
}

fn complain(message: &str) -> c_int {
    let _ = writeln!(std::io::stderr(), "clic-handler: {message}");
    CANNOT_START
}
