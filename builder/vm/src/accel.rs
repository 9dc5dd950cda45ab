//! Whether KVM works here. `/dev/kvm` may exist and be useless, so it is tried: a tiny program runs under it.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::Result;
use clic_host::{Cmd, UserError, cancel};
use serde::{Deserialize, Serialize};

/// The oldest processor that Debian's amd64 runs on, without AMD's nested virtualisation which no Intel host has. The same
/// with every accelerator, so that a program that needs a newer processor is found.
pub const PC_CPU: &str = "qemu64,-svm";

/// How QEMU runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// By the processor's virtualisation.
    Kvm,
    /// By translating them: works everywhere, several times slower.
    Tcg,
}

impl std::fmt::Display for Accel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// Which accelerator is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccelChoice {
    /// KVM where it works, else TCG.
    #[default]
    Auto,
    /// KVM or an error.
    Kvm,
    /// TCG.
    Tcg,
}

/// The accelerator of a run and why it is that one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Which.
    pub kind: Accel,
    /// Why, e.g. `KVM works`, `KVM: emulation failure`.
    pub why: String,
}

impl AccelChoice {
    /// Decides for an x86 guest, by trial. A [`UserError`] when KVM is demanded and does not work.
    pub fn decide(self) -> Result<Chosen> {
        match (self, probe()) {
            (Self::Tcg, _) => Ok(Chosen {
                kind: Accel::Tcg,
                why: "asked for".into(),
            }),
            (_, Ok(())) => Ok(Chosen {
                kind: Accel::Kvm,
                why: "KVM works".into(),
            }),
            (Self::Auto, Err(why)) => Ok(Chosen {
                kind: Accel::Tcg,
                why: format!("no KVM: {why}"),
            }),
            (Self::Kvm, Err(why)) => Err(UserError::new(format!(
                "KVM was asked for but does not work: {why}"
            ))
            .help("test without it, which is slower, or fix it: `clic doctor` says how")
            .into()),
        }
    }
}

/// Tries KVM by running a program under it, once per process. The error says what failed.
pub fn probe() -> Result<(), String> {
    static RESULT: OnceLock<Result<(), String>> = OnceLock::new();
    RESULT
        .get_or_init(|| {
            if cfg!(target_arch = "x86_64") {
                try_kvm()
            } else {
                Err("the host is not x86-64".into())
            }
        })
        .clone()
}

/// How long the program may take. Under working KVM it is done in a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the program writes to the exit port when it has computed the right number.
const RIGHT: u8 = 0x21;

/// A boot sector that goes from real mode to 64-bit mode, adds up 1 to 1000000 with SSE2 and compares. SSE2 is the
/// point: a KVM without hardware behind it, which interprets instruction by instruction, stops at it with the same
/// "emulation failure" as in a real boot.
#[rustfmt::skip]
const PROGRAM: [u8; 192] = [
    0xfa,                                           // cli
    0x31, 0xc0,                                     // xor ax, ax
    0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0,             // mov ds, ax; mov es, ax; mov ss, ax
    0xbc, 0x00, 0x7c,                               // mov sp, 0x7c00
    0xbf, 0x00, 0x10, 0xb9, 0x00, 0x18,             // mov di, 0x1000; mov cx, 0x1800
    0xfc, 0xf3, 0xab,                               // cld; rep stosw: clear three page tables
    0x66, 0xc7, 0x06, 0x00, 0x10, 0x03, 0x20, 0, 0, // mov dword [0x1000], 0x2003
    0x66, 0xc7, 0x06, 0x00, 0x20, 0x03, 0x30, 0, 0, // mov dword [0x2000], 0x3003
    0x66, 0xc7, 0x06, 0x00, 0x30, 0x83, 0x00, 0, 0, // mov dword [0x3000], 0x83: the first 2 MiB, one to one
    0x66, 0xb8, 0x00, 0x10, 0x00, 0x00,             // mov eax, 0x1000
    0x0f, 0x22, 0xd8, 0x0f, 0x20, 0xe0,             // mov cr3, eax; mov eax, cr4
    0x66, 0x0d, 0x20, 0x02, 0x00, 0x00,             // or eax, PAE | OSFXSR
    0x0f, 0x22, 0xe0,                               // mov cr4, eax
    0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0,             // mov ecx, EFER
    0x0f, 0x32, 0x0d, 0x00, 0x01, 0x0f, 0x30,       // rdmsr; or ax, LME; wrmsr
    0x0f, 0x20, 0xc0,                               // mov eax, cr0
    0x66, 0x0d, 0x01, 0x00, 0x00, 0x80,             // or eax, PG | PE
    0x0f, 0x22, 0xc0,                               // mov cr0, eax
    0x66, 0x0f, 0x01, 0x16, 0xb8, 0x7c,             // lgdt [0x7cb8]
    0xea, 0x69, 0x7c, 0x08, 0x00,                   // jmp 8:0x7c69, 64-bit from here
    0x31, 0xc0,                                     // xor eax, eax
    0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0,             // mov ds, eax; mov es, eax; mov ss, eax
    0xb9, 0x40, 0x42, 0x0f, 0x00,                   // mov ecx, 1000000
    0x66, 0x0f, 0xef, 0xc0,                         // pxor xmm0, xmm0
    0x66, 0x48, 0x0f, 0x6e, 0xc9,                   // again: movq xmm1, rcx
    0x66, 0x0f, 0xd4, 0xc1,                         // paddq xmm0, xmm1
    0xff, 0xc9, 0x75, 0xf3,                         // dec ecx; jnz again
    0x66, 0x48, 0x0f, 0x7e, 0xc0,                   // movq rax, xmm0
    0x48, 0xba, 0x20, 0x29, 0x5a, 0x6a, 0x74, 0, 0, 0, // mov rdx, 500000500000
    0x48, 0x39, 0xd0,                               // cmp rax, rdx
    0xb0, RIGHT, 0x74, 0x02, 0xb0, 0x22,            // mov al, RIGHT; je done; mov al, 0x22
    0xe6, 0xf4,                                     // done: out 0xf4, al
    0xf4, 0xeb, 0xfd,                               // hlt; jmp $ - 1
    0x0f, 0x1f, 0x40, 0x00,                         // (to a multiple of 8)
    0, 0, 0, 0, 0, 0, 0, 0,                         // 0x7ca8: the null descriptor
    0, 0, 0, 0, 0, 0x9a, 0x20, 0,                   // 64-bit code
    0x0f, 0x00, 0xa8, 0x7c, 0, 0, 0, 0,             // 0x7cb8: limit and address of the table
];

fn try_kvm() -> Result<(), String> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "there is no /dev/kvm".to_owned(),
            std::io::ErrorKind::PermissionDenied => "/dev/kvm may not be opened by this user".to_owned(),
            _ => format!("/dev/kvm cannot be opened: {error}"),
        })?;
    let dir = tempfile::tempdir().map_err(|error| format!("no scratch space to try it: {error}"))?;
    run("kvm", dir.path()).map_err(|error| format!("{error:#}"))?
}

/// Runs [`PROGRAM`] under QEMU's accelerator `accel`. The inner error says how the trial failed.
fn run(accel: &str, dir: &Path) -> Result<Result<(), String>> {
    let mut sector = [0; 512];
    sector[..PROGRAM.len()].copy_from_slice(&PROGRAM);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(dir.join("sector"), sector)?;
    let log = dir.join("log");
    let stderr = File::create(&log)?;
    let mut qemu = Cmd::new("qemu-system-x86_64")
        .current_dir(dir)
        .args(["-accel", accel, "-cpu", PC_CPU, "-machine", "pc", "-m", "64"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args([
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=1",
            "-drive",
            "file=sector,format=raw,if=ide",
        ])
        .spawn(|command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        })?;
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = qemu.try_wait()? {
            break Some(status);
        }
        // QEMU stays, paused, when KVM gives up.
        let stopped = std::fs::read_to_string(&log).is_ok_and(|text| text.contains("KVM internal error"));
        if stopped || begun.elapsed() > PATIENCE {
            break None;
        }
        cancel::check()?;
        std::thread::sleep(Duration::from_millis(20));
    };
    drop(qemu);
    // isa-debug-exit ends QEMU with the value doubled plus one.
    if status.and_then(|status| status.code()) == Some(i32::from(RIGHT) * 2 + 1) {
        return Ok(Ok(()));
    }
    let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
    Ok(Err(why(&text).unwrap_or_else(|| match status {
        Some(status) => format!("a trial program under {accel} ended with {status}"),
        None => format!(
            "a trial program under {accel} did not end within {} s",
            PATIENCE.as_secs()
        ),
    })))
}

/// The line of QEMU's messages that says why KVM failed.
pub(crate) fn why(messages: &str) -> Option<String> {
    if messages.contains("KVM internal error") {
        let failure = messages.lines().any(|line| line.trim() == "emulation failure");
        let what = "a trial program stopped with \"KVM internal error\"";
        return Some(if failure {
            format!("{what}: emulation failure")
        } else {
            what.into()
        });
    }
    let mut lines = messages
        .lines()
        .filter(|line| !line.contains("warning:") && !line.trim().is_empty());
    lines
        .next_back()
        .map(|line| line.trim_start_matches("qemu-system-x86_64: ").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The program is right where every instruction works.
    #[test]
    fn the_program_computes_under_translation() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            run("tcg", dir.path()).expect("qemu-system-x86_64 is needed"),
            Ok(())
        );
    }

    #[test]
    fn a_missing_accelerator_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = run("nothing", dir.path())
            .expect("qemu-system-x86_64 is needed")
            .unwrap_err();
        assert!(error.contains("nothing"), "{error}");
    }

    #[test]
    fn kvms_own_words_are_found() {
        let text = "qemu-system-x86_64: warning: host doesn't support requested feature\nKVM internal error. Suberror: 1\nextra data[0]: 0x1\nemulation failure\nRAX=0\n";
        assert_eq!(
            why(text).unwrap(),
            "a trial program stopped with \"KVM internal error\": emulation failure"
        );
        let text = "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69\n";
        assert_eq!(why(text).unwrap(), "error: failed to set MSR 0x10a to 0x69");
    }
}
