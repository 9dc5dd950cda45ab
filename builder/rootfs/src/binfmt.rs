//! Programs of another architecture: QEMU registered with `binfmt_misc` in our own user namespace.
//!
//! Since Linux 6.7 every user namespace can have its own table of interpreters; before that the host's table
//! counts for all.

use std::path::Path;

use anyhow::Result;
use clic_debian::arch::host_arch;
use clic_host::UserError;
use clic_recipe::plan::Arch;

/// What the ELF header of an architecture looks like, as Debian's qemu-user registers it (from QEMU's
/// scripts/qemu-binfmt-conf.sh).
struct Elf {
    qemu: &'static str,
    magic: &'static str,
    mask: &'static str,
}

const fn elf(arch: Arch) -> Elf {
    match arch {
        Arch::Arm64 => Elf {
            qemu: "aarch64",
            magic: r"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00",
            mask: r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff",
        },
        Arch::Amd64 => Elf {
            qemu: "x86_64",
            magic: r"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00",
            mask: r"\xff\xff\xff\xff\xff\xfe\xfe\xfc\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff",
        },
    }
}

/// An emulator on the host.
#[derive(Clone, Debug)]
pub struct Emulator {
    arch: Arch,
    interpreter: String,
    /// O: the kernel opens the program; P: it passes the original `argv[0]`; F: it opens the interpreter now,
    /// so that the tree need not hold it.
    flags: &'static str,
}

impl Emulator {
    /// The host's QEMU for `arch`. Error: [`UserError`] that names the packages.
    pub fn find(arch: Arch) -> Result<Self> {
        let name = elf(arch).qemu;
        // Debian's name for "keep argv[0]" comes first; a dynamic qemu could not find its libraries in the tree,
        // but qemu-<arch> is static where there is no qemu-<arch>-static (since trixie).
        let candidates = [
            (format!("/usr/libexec/qemu-binfmt/{name}-binfmt-P"), "OPF"),
            (format!("/usr/bin/qemu-{name}-static"), "OF"),
            (format!("/usr/bin/qemu-{name}"), "OF"),
        ];
        let found = candidates.into_iter().find(|(path, _)| Path::new(path).exists());
        match found {
            Some((interpreter, flags)) => Ok(Self {
                arch,
                interpreter,
                flags,
            }),
            None => Err(not_possible(arch, "QEMU's user emulation is not there").into()),
        }
    }

    #[cfg(test)]
    pub(crate) fn at(arch: Arch, path: &Path) -> Self {
        Self {
            arch,
            interpreter: path.to_str().unwrap().into(),
            flags: "OF",
        }
    }

    /// The line to write to `binfmt_misc/register`.
    pub fn registration(&self) -> String {
        registration(self.arch, ':', &self.interpreter, self.flags)
    }

    /// The program that emulates.
    pub fn interpreter(&self) -> &str {
        &self.interpreter
    }
}

/// The longest line that the kernel takes, in bytes (`MAX_REGISTER_LENGTH` of `fs/binfmt_misc.c`).
const LONGEST: usize = 1920;

/// The line that registers `interpreter`, wherever it is, for programs of `arch`. Error: [`UserError`] for a path
/// that the kernel cannot be told.
pub(crate) fn line(arch: Arch, interpreter: &Path, flags: &str) -> Result<String> {
    let wrong = |why| {
        UserError::new(format!(
            "cannot register {} with binfmt_misc: {why}",
            interpreter.display()
        ))
        .help("let CLIC_CACHE name a directory with a plain path")
    };
    let path = interpreter.to_str().ok_or_else(|| wrong("it is not UTF-8"))?;
    // The first character of the line separates its fields.
    let separator = [':', '|', ',', ';', '!', '%']
        .into_iter()
        .find(|&separator| !path.contains(separator) && !path.contains('\n'))
        .ok_or_else(|| wrong("it has too many special characters"))?;
    let line = registration(arch, separator, path, flags);
    if line.len() >= LONGEST {
        return Err(wrong("it is too long").into());
    }
    Ok(line)
}

fn registration(arch: Arch, separator: char, interpreter: &str, flags: &str) -> String {
    let Elf { qemu, magic, mask } = elf(arch);
    let name = format!("clic-{qemu}");
    let fields = ["", &name, "M", "", magic, mask, interpreter, flags];
    fields.join(&separator.to_string())
}

/// Whether the host itself runs programs of `arch` in any tree: a registration with the flag F.
pub fn host_has(arch: Arch) -> bool {
    let path = format!("/proc/sys/fs/binfmt_misc/qemu-{}", elf(arch).qemu);
    std::fs::read_to_string(path).is_ok_and(|text| registration_suits(&text))
}

fn registration_suits(text: &str) -> bool {
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    text.starts_with("enabled") && flags.is_some_and(|flags| flags.contains('F'))
}

/// The error for a host that cannot run programs of `arch`.
pub fn not_possible(arch: Arch, why: &str) -> UserError {
    UserError::new(format!(
        "this machine ({}) cannot run programs of {arch}: {why}",
        host_arch().map_or(std::env::consts::ARCH, Arch::debian)
    ))
    .help(
        "sudo apt-get install qemu-user-static binfmt-support (Debian 13 and later: qemu-user-binfmt); \
         with Linux 6.7 or later the emulator alone is enough",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_line() {
        let emulator = Emulator {
            arch: Arch::Arm64,
            interpreter: "/usr/bin/qemu-aarch64-static".into(),
            flags: "OF",
        };
        let line = emulator.registration();
        assert!(
            line.starts_with(r":clic-aarch64:M::\x7f\x45\x4c\x46\x02"),
            "{line}"
        );
        assert!(
            line.ends_with(r"\xff\xff\xff:/usr/bin/qemu-aarch64-static:OF"),
            "{line}"
        );
        // The kernel takes 1920 bytes at most, and 20 bytes of magic (each written as \xNN).
        assert_eq!(line.split(':').nth(4).unwrap().len(), 20 * 4);
        assert_eq!(line.split(':').nth(5).unwrap().len(), 20 * 4);
    }

    #[test]
    fn a_registration_of_any_path() {
        let line = |path: &str| line(Arch::Arm64, Path::new(path), "OPF").map_err(|error| error.to_string());
        let plain = line("/a/handler").unwrap();
        assert!(plain.starts_with(r":clic-aarch64:M::\x7f"), "{plain}");
        assert!(plain.ends_with(r"\xff:/a/handler:OPF"), "{plain}");
        let colon = line("/a:b/handler").unwrap();
        assert!(colon.starts_with(r"|clic-aarch64|M||\x7f"), "{colon}");
        assert!(colon.ends_with(r"\xff|/a:b/handler|OPF"), "{colon}");
        let long = line(&"/long".repeat(500)).unwrap_err();
        assert!(long.starts_with("cannot register /long"), "{long}");
        assert!(
            long.contains("/long with binfmt_misc: it is too long\n  help: "),
            "{long}"
        );
        let special = line("/a\nb").unwrap_err();
        assert!(
            special.contains("it has too many special characters"),
            "{special}"
        );
    }

    #[test]
    fn the_hosts_registration_must_work_in_any_tree() {
        assert!(registration_suits(
            "enabled\ninterpreter /usr/bin/q\nflags: OCF\n"
        ));
        assert!(!registration_suits("enabled\ninterpreter /usr/bin/q\nflags: \n"));
        assert!(!registration_suits(
            "disabled\ninterpreter /usr/bin/q\nflags: F\n"
        ));
    }
}
