//! Other machines on this one: QEMU's boards, their firmware, KVM, and arm64 programs.

use anyhow::Result;
use clic_host::process::find;
use clic_host::{Cmd, UserError};
use clic_recipe::plan::Arch;
use clic_rootfs::Sandbox;
use clic_vm::Target;
use clic_vm::qemu::Firmware;

use super::{Finding, install};

pub fn look(findings: &mut Vec<Finding>) -> Result<()> {
    for target in Target::ALL {
        let (program, package) = target.program();
        // A missing QEMU has its own line already.
        if find(program).is_some() {
            findings.push(machine(target, program, package)?);
        }
    }
    findings.push(kvm());
    findings.push(arm64_programs());
    Ok(())
}

/// Whether QEMU knows the machine and its firmware is there.
fn machine(target: Target, program: &str, package: &str) -> Result<Finding> {
    let id = format!("machine-{target}");
    let title = format!("Test machine {target}");
    let name = if target == Target::Raspi3b {
        "raspi3b"
    } else {
        "q35"
    };
    let listed = Cmd::new(program)
        .clean_env()
        .args(["-machine", "help"])
        .finish()?;
    let known = String::from_utf8_lossy(&listed.stdout)
        .lines()
        .any(|line| line.split_whitespace().next() == Some(name));
    if !known {
        return Ok(Finding::missing(
            &id,
            &title,
            format!("{program} does not know {name}"),
            install(&[package]),
        ));
    }
    Ok(match Firmware::find(target) {
        Ok(None) => Finding::good(&id, &title, format!("{name} of {program}")),
        Ok(Some(firmware)) => Finding::good(&id, &title, format!("{name} with {}", firmware.code.display())),
        Err(error) => Finding::of_error(&id, &title, &error),
    })
}

fn kvm() -> Finding {
    const ID: &str = "kvm";
    const TITLE: &str = "KVM";
    match clic_vm::accel::probe() {
        Ok(()) => Finding::good(ID, TITLE, "works: a program ran under it"),
        Err(why) => {
            let mut finding = Finding::fair(
                ID,
                TITLE,
                format!("{why}; boot tests run without it, 5 to 10 times slower"),
            );
            if why.contains("may not be opened") {
                finding.fix = Some("sudo usermod --append --groups kvm \"$USER\", then log in again".into());
            }
            finding
        }
    }
}

fn arm64_programs() -> Finding {
    const ID: &str = "arm64-programs";
    const TITLE: &str = "arm64 programs";
    if clic_debian::arch::host_arch() == Some(Arch::Arm64) {
        return Finding::good(ID, TITLE, "native");
    }
    match Sandbox::for_arch(Arch::Arm64) {
        Ok(sandbox) => Finding::good(ID, TITLE, format!("emulated by {}", sandbox.emulation())),
        Err(error)
            if error
                .downcast_ref::<UserError>()
                .is_some_and(|error| error.what.contains("sandbox")) =>
        {
            Finding::fair(ID, TITLE, "not tried: the sandbox does not work")
        }
        Err(error) => Finding::of_error(ID, TITLE, &error),
    }
}
