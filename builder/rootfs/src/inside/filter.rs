//! Filters of system calls (`seccomp(2)`), as programs for the kernel's classic BPF.
//!
//! Written out, since what there is does not fit: libseccomp is a C library that every build would need, and rust-vmm's
//! seccompiler ends a program at its first call in the way of another machine, where ours only answers, and cannot tell
//! "one of these bits" from "this value".

use std::io;

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO, sock_filter, sock_fprog,
};

/// The kernel's name for this program's system calls (`linux/audit.h`): machine of the ELF header, 64 bits, little endian.
#[cfg(target_arch = "x86_64")]
pub const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub const ARCH: u32 = 0xc000_00b7;

/// x32's calls have x86-64's name and numbers from here on (`__X32_SYSCALL_BIT`); no other machine's have. Debian's kernels
/// know none unless they are started so.
const X32: u32 = 0x4000_0000;

/// Offsets in `struct seccomp_data` (`linux/seccomp.h`), in bytes. A word of a call has its lower half first.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;
const WORDS: u32 = 16;

/// The call does nothing, and returns this error; 0: it succeeds.
#[allow(clippy::cast_sign_loss, reason = "errors are positive")]
pub const fn fails(errno: i32) -> u32 {
    SECCOMP_RET_ERRNO | errno as u32
}

/// What a word of a call has to be. The kernel takes these from the lower 32 bits, whatever the upper ones are.
#[derive(Clone, Copy, Debug)]
pub enum Test {
    /// One of these.
    Is(&'static [u32]),
    /// None of these.
    IsNot(&'static [u32]),
    /// Has one of these bits.
    Has(u32),
    /// Not zero, in 64 bits.
    Given,
}

/// Calls that are not let through.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The call's number for this program's machine. One rule for each.
    pub call: libc::c_long,
    /// Which word (from 0) has to be what; all of them.
    pub when: &'static [(u32, Test)],
    /// What is done instead: [`fails`].
    pub answer: u32,
}

/// A filter, ready for the kernel.
#[derive(Debug)]
pub struct Filter(Vec<sock_filter>);

impl Filter {
    /// Lets everything through but `rules`. `others`: what is done with calls in the way of another machine.
    pub fn new(rules: &[Rule], others: u32) -> Self {
        let mut program = vec![
            load(MACHINE),
            jump(BPF_JEQ, ARCH, 1, 0),
            end(others),
            load(NUMBER),
        ];
        program.extend([jump(BPF_JGE, X32, 0, 1), end(fails(libc::ENOSYS))]);
        for rule in rules {
            let body = body(rule);
            program.push(jump(
                BPF_JEQ,
                u32::try_from(rule.call).unwrap_or(u32::MAX),
                0,
                short(body.len()),
            ));
            program.extend(body);
        }
        program.push(end(SECCOMP_RET_ALLOW));
        Self(program)
    }

    /// From now on, for this thread and all that it starts. Unlike most who filter calls, we leave set-user-id programs as
    /// they are, which the owner of a user namespace may. No memory is allocated.
    pub fn begin(&self) -> io::Result<()> {
        let program = sock_fprog {
            len: u16::try_from(self.0.len()).unwrap_or(u16::MAX),
            filter: self.0.as_ptr().cast_mut(),
        };
        // SAFETY: the kernel copies the program, which lives until the call is over, and does not write to it.
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
}

/// What follows once a rule's number is found: the answer if all tests hold, else the call is let through.
fn body(rule: &Rule) -> Vec<sock_filter> {
    let mut body = vec![end(rule.answer), end(SECCOMP_RET_ALLOW)];
    for (word, test) in rule.when.iter().rev() {
        let low = WORDS + 8 * word;
        // From behind a test's last jump to the last line.
        let out = short(body.len() - 1);
        let mut test = match test {
            Test::Is(values) => among(low, values, 0, out),
            Test::IsNot(values) => among(low, values, out, 0),
            Test::Has(bits) => vec![load(low), jump(BPF_JSET, *bits, 0, out)],
            Test::Given => vec![
                load(low),
                jump(BPF_JEQ, 0, 0, 2),
                load(low + 4),
                jump(BPF_JEQ, 0, out, 0),
            ],
        };
        test.append(&mut body);
        body = test;
    }
    body
}

/// Goes on `yes` lines later if the word is one of `values`, else `no` lines.
fn among(word: u32, values: &[u32], yes: u8, no: u8) -> Vec<sock_filter> {
    let mut lines = vec![load(word)];
    for (at, value) in values.iter().enumerate() {
        let left = short(values.len() - 1 - at);
        lines.push(jump(BPF_JEQ, *value, yes + left, if left == 0 { no } else { 0 }));
    }
    lines
}

fn short(lines: usize) -> u8 {
    u8::try_from(lines).unwrap_or(u8::MAX)
}

fn line(code: u32, yes: u8, no: u8, value: u32) -> sock_filter {
    sock_filter {
        code: u16::try_from(code).unwrap_or(u16::MAX),
        jt: yes,
        jf: no,
        k: value,
    }
}

fn load(offset: u32) -> sock_filter {
    line(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset)
}

fn jump(how: u32, value: u32, yes: u8, no: u8) -> sock_filter {
    line(BPF_JMP | how | BPF_K, yes, no, value)
}

fn end(answer: u32) -> sock_filter {
    line(BPF_RET | BPF_K, 0, 0, answer)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What the kernel does with a call, by its manual of BPF.
    pub fn answer(filter: &Filter, machine: u32, number: u32, words: &[u64]) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = &filter.0[at];
            at += 1;
            let skip = |yes: bool| usize::from(if yes { step.jt } else { step.jf });
            match u32::from(step.code) {
                code if code == BPF_LD | BPF_W | BPF_ABS => {
                    let word = |offset: u32| words.get(offset as usize / 8).copied().unwrap_or(0);
                    loaded = match step.k {
                        NUMBER => number,
                        MACHINE => machine,
                        low if (low - WORDS).is_multiple_of(8) => word(low - WORDS) as u32,
                        high => (word(high - WORDS - 4) >> 32) as u32,
                    };
                }
                code if code == BPF_RET | BPF_K => return step.k,
                code if code == BPF_JMP | BPF_JEQ | BPF_K => at += skip(loaded == step.k),
                code if code == BPF_JMP | BPF_JGE | BPF_K => at += skip(loaded >= step.k),
                code if code == BPF_JMP | BPF_JSET | BPF_K => at += skip(loaded & step.k != 0),
                code => panic!("unknown code {code}"),
            }
        }
    }

    #[test]
    fn tests_of_words() {
        let rule = |call, when| Rule {
            call,
            when,
            answer: fails(9),
        };
        let rules = [
            rule(1, &[]),
            rule(2, &[(1, Test::Is(&[5, 6])), (2, Test::Given)]),
            rule(3, &[(0, Test::IsNot(&[1, 2, 3]))]),
            rule(4, &[(0, Test::Has(0x11)), (1, Test::Is(&[7]))]),
        ];
        let filter = Filter::new(&rules, fails(1));
        let ask = |number, words: &[u64]| answer(&filter, ARCH, number, words) == fails(9);
        assert!(ask(1, &[]) && !ask(5, &[5, 5, 5]));
        assert!(ask(2, &[0, 5, 1]) && ask(2, &[0, 6, 1 << 40]) && ask(2, &[0, 6 | 1 << 35, 1]));
        assert!(!ask(2, &[0, 5, 0]) && !ask(2, &[0, 4, 1]) && !ask(2, &[5, 7, 1]));
        assert!(ask(3, &[4]) && ask(3, &[0]) && ![1, 2, 3].iter().any(|word| ask(3, &[*word])));
        assert!(ask(4, &[0x10, 7]) && ask(4, &[0x13, 7]) && !ask(4, &[2, 7]) && !ask(4, &[0x10, 8]));
        // 32-bit programs of both machines, and x32.
        for (machine, number) in [(0x4000_0003, 1), (0x4000_0028, 5), (0x4000_0003, X32)] {
            assert_eq!(answer(&filter, machine, number, &[]), fails(1));
        }
        for number in [X32, X32 | 5, u32::MAX] {
            assert_eq!(answer(&filter, ARCH, number, &[]), fails(libc::ENOSYS));
        }
    }
}
