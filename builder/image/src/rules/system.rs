//! What the kernel and systemd need: kernel files, modules, init, packages, units.

use anyhow::Result;
use clic_debian::status;
use clic_recipe::plan::{Arch, UnitState};

use super::{Context, Findings, elf};

use crate::read::{EntryKind, Root};

/// Whether these first bytes are a compressed or plain cpio archive, as kernels take it
/// (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`, `lib/decompress.c`).
pub(super) fn is_initramfs(head: &[u8]) -> bool {
    const MAGICS: [&[u8]; 7] = [
        b"070701",
        &[0x1f, 0x8b],
        &[0xfd, b'7', b'z', b'X', b'Z'],
        &[0x28, 0xb5, 0x2f, 0xfd],
        &[0x02, 0x21, 0x4c, 0x18],
        &[0x5d, 0, 0],
        b"BZh",
    ];
    MAGICS.iter().any(|magic| head.starts_with(magic))
}

/// Linux, `Documentation/arch/x86/boot.rst`: `HdrS` at 0x202.
pub(super) fn is_bzimage(head: &[u8]) -> bool {
    head.get(0x202..0x206) == Some(b"HdrS")
}

/// Linux, `Documentation/arch/arm64/booting.rst`: "ARM\x64" at 56.
pub(super) fn is_arm64_kernel(head: &[u8]) -> bool {
    head.get(56..60) == Some(b"ARM\x64")
}

/// A kernel that a boot loader's configuration names: there, and one of this architecture, with its modules.
pub(super) fn kernel(cx: &Context, named_by: &str, path: &str, out: &mut Findings) -> Result<()> {
    let root = cx.root()?;
    let help = "let the board bring a kernel package";
    let Some(entry) = root.stat_target(path)? else {
        out.add(format!("{named_by} starts {path}, which is missing"), help);
        return Ok(());
    };
    let head = if entry.kind == EntryKind::File {
        root.head(&entry.path, 1024)?
    } else {
        Vec::new()
    };
    let right = match cx.expected.arch {
        Arch::Amd64 => is_bzimage(&head),
        Arch::Arm64 => is_arm64_kernel(&head),
    };
    if !right {
        out.add(
            format!(
                "{named_by} starts {path}, which is not an {} kernel",
                cx.expected.arch
            ),
            help,
        );
        return Ok(());
    }
    modules(cx, &String::from_utf8_lossy(entry.file_name()), out)
}

/// The modules of a kernel called `vmlinuz-VERSION`.
pub(super) fn modules(cx: &Context, kernel: &str, out: &mut Findings) -> Result<()> {
    if let Some(version) = kernel.strip_prefix("vmlinuz-") {
        let path = format!("/lib/modules/{version}");
        if !cx
            .root()?
            .stat_target(&path)?
            .is_some_and(|entry| entry.kind == EntryKind::Directory)
        {
            out.add(
                format!("{path}, the modules of {kernel}, is missing"),
                "let the board bring one kernel package, whole",
            );
        }
    }
    Ok(())
}

pub(super) fn init(cx: &Context, out: &mut Findings) -> Result<()> {
    let root = cx.root()?;
    let path = "/sbin/init";
    let help = "let the recipe bring systemd-sysv";
    let Some(entry) = root.stat_target(path)? else {
        let what = match root.read_link(path)? {
            Some(target) => format!(
                "no init: {path} points to {}, which is missing",
                String::from_utf8_lossy(&target)
            ),
            None => format!("no init: {path} is missing"),
        };
        out.add(what, help);
        return Ok(());
    };
    if entry.kind != EntryKind::File || entry.mode & 0o111 == 0 {
        out.add(
            format!(
                "no init: {path} leads to {}, a {} with mode {:04o}",
                entry.display(),
                entry.kind,
                entry.mode
            ),
            help,
        );
        return Ok(());
    }
    let head = root.head(&entry.path, 64)?;
    let script = head.starts_with(b"#!");
    if !script && elf::machine(&head) != Some(elf::of(cx.expected.arch)) {
        out.add(
            format!(
                "no init: {} is not a program for {}",
                entry.display(),
                cx.expected.arch
            ),
            help,
        );
    }
    Ok(())
}

pub(super) fn packages(cx: &Context, out: &mut Findings) -> Result<()> {
    let packages = cx.image.packages()?;
    if packages.is_empty() {
        out.add(
            format!("{} names no package", status::STATUS),
            "build the image again",
        );
    }
    for package in packages {
        let state = package.status.split(' ').next_back().unwrap_or("");
        if !matches!(state, "installed" | "config-files" | "not-installed") {
            out.add(
                format!("package {} is {state}, not installed", package.name),
                "read the build's log for what its scripts said",
            );
        }
    }
    Ok(())
}

pub(super) fn units(cx: &Context, out: &mut Findings) -> Result<()> {
    let root = cx.root()?;
    for unit in &cx.expected.units {
        let own = format!("/etc/systemd/system/{}", unit.name);
        let masked = root.read_link(&own)?.is_some_and(|target| target == b"/dev/null");
        let enabled = enabled(root, &unit.name)?;
        let help = format!(
            "overlay {} asks for it; look at the unit's [Install] section",
            unit.from
        );
        match unit.state {
            UnitState::Masked if !masked => {
                out.add(
                    format!(
                        "unit {} is not masked: {own} is not a link to /dev/null",
                        unit.name
                    ),
                    help,
                );
            }
            UnitState::Enabled if masked => {
                out.add(format!("unit {} is masked; planned: enabled", unit.name), help);
            }
            UnitState::Enabled if !enabled => {
                out.add(
                    format!(
                        "unit {} is not enabled: nothing in /etc/systemd/system wants it",
                        unit.name
                    ),
                    help,
                );
            }
            UnitState::Disabled if enabled => {
                out.add(format!("unit {} is enabled; planned: disabled", unit.name), help);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a link in `/etc/systemd/system` pulls the unit in: in a `.wants`, `.requires` or `.upholds` directory under its
/// own name, or as an alias beside it.
fn enabled(root: &Root, unit: &str) -> Result<bool> {
    let top = "/etc/systemd/system";
    if !root
        .stat_target(top)?
        .is_some_and(|entry| entry.kind == EntryKind::Directory)
    {
        return Ok(false);
    }
    let mut links = Vec::new();
    for entry in root.list(top)? {
        let name = String::from_utf8_lossy(entry.file_name()).into_owned();
        if entry.kind == EntryKind::Symlink && name != unit {
            links.push(entry);
        } else if entry.kind == EntryKind::Directory
            && [".wants", ".requires", ".upholds"]
                .iter()
                .any(|suffix| name.ends_with(suffix))
            && root
                .list(&entry.path)?
                .iter()
                .any(|link| link.file_name() == unit.as_bytes())
        {
            return Ok(true);
        }
    }
    for link in links {
        let target = root.read_link(&link.path)?.unwrap_or_default();
        if target.rsplit(|byte| *byte == b'/').next() == Some(unit.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}
