//! Other machines on this one: QEMU's boards, their firmware, KVM, and arm64 programs.

use std::path::Path;

use anyhow::Result;
use clic_host::Cmd;

use super::{Finding, install, tools};

/// The kernel that gave each user namespace a binfmt_misc of its own.
const OWN_BINFMT: (u32, u32) = (6, 7);

pub fn look(findings: &mut Vec<Finding>) -> Result<()> {
    for machine in MACHINES {
        // A missing QEMU has its own line already.
        if let Some(path) = tools::find(machine.program) {
            findings.push(qemu_machine(machine, &path)?);
        }
    }
    findings.push(arm64_programs());
    Ok(())
}

struct Machine {
    id: &'static str,
    program: &'static str,
    package: &'static str,
    name: &'static str,
    title: &'static str,
}

const MACHINES: &[Machine] = &[
    Machine {
        id: "machine-pc",
        program: "qemu-system-x86_64",
        package: "qemu-system-x86",
        name: "q35",
        title: "QEMU machine for x86-pc",
    },
    Machine {
        id: "machine-raspi3b",
        program: "qemu-system-aarch64",
        package: "qemu-system-arm",
        name: "raspi3b",
        title: "QEMU machine for raspberry-pi",
    },
];

fn qemu_machine(machine: &Machine, path: &Path) -> Result<Finding> {
    let finished = Cmd::new(path).clean_env().args(["-machine", "help"]).finish()?;
    let known = String::from_utf8_lossy(&finished.stdout)
        .lines()
        .any(|line| line.split_whitespace().next() == Some(machine.name));
    Ok(if known {
        Finding::good(machine.id, machine.title, machine.name)
    } else {
        let detail = format!("{} does not know {}", machine.program, machine.name);
        Finding::missing(machine.id, machine.title, detail, install(&[machine.package]))
    })
}

fn arm64_programs() -> Finding {
    const ID: &str = "arm64-programs";
    const TITLE: &str = "arm64 programs";
    if std::env::consts::ARCH == "aarch64" {
        return Finding::good(ID, TITLE, "native");
    }
    let registered = std::fs::read_to_string("/proc/sys/fs/binfmt_misc/qemu-aarch64").unwrap_or_default();
    // F: the kernel holds the interpreter open, so that it works inside another root tree.
    let fixed = registered.lines().any(|line| {
        line.strip_prefix("flags:")
            .is_some_and(|flags| flags.contains('F'))
    });
    if registered.starts_with("enabled") && fixed {
        return Finding::good(ID, TITLE, "this machine's binfmt_misc runs them with qemu-user");
    }
    if tools::find("qemu-aarch64-static").is_none() {
        return Finding::missing(
            ID,
            TITLE,
            "no qemu-aarch64-static",
            install(&["qemu-user-static", "binfmt-support"]),
        );
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    match kernel_version(&release) {
        Some(version) if version >= OWN_BINFMT => Finding::good(
            ID,
            TITLE,
            format!("qemu-user in a binfmt_misc of our own (Linux {release})"),
        ),
        _ => Finding::missing(
            ID,
            TITLE,
            format!("Linux {release} has one binfmt_misc for all, and qemu-user is not registered in it"),
            "sudo apt-get install --yes --no-install-recommends qemu-user-static binfmt-support \
             && sudo update-binfmts --enable qemu-aarch64",
        ),
    }
}

/// `6.12.4-amd64` -> (6, 12).
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_compare_by_number() {
        assert_eq!(kernel_version("6.12.4-amd64"), Some((6, 12)));
        assert_eq!(kernel_version("6.1.0-31-amd64"), Some((6, 1)));
        assert!(kernel_version("6.12.0") > Some(OWN_BINFMT));
        assert_eq!(kernel_version("strange"), None);
    }
}
