//! QEMU's command line for each machine that an image is tried on. Files are named relative to the run's own directory,
//! which is QEMU's working directory, so that no path needs quoting.

use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clic_host::UserError;
use clic_recipe::plan::Machine;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::accel::{Accel, PC_CPU};

/// A machine that an image is booted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A PC with a BIOS (`SeaBIOS`).
    Bios,
    /// A PC with 64-bit UEFI (OVMF).
    UefiX64,
    /// A PC with 32-bit UEFI and a 64-bit processor (OVMF for ia32).
    UefiIa32,
    /// A Raspberry Pi 3 B.
    Raspi3b,
}

impl Target {
    /// Every machine.
    pub const ALL: [Self; 4] = [Self::Bios, Self::UefiX64, Self::UefiIa32, Self::Raspi3b];

    /// The machines that stand in for a board.
    pub fn of(machine: Machine) -> &'static [Self] {
        match machine {
            Machine::Pc => &[Self::Bios, Self::UefiX64, Self::UefiIa32],
            Machine::Raspi3b => &[Self::Raspi3b],
        }
    }

    /// Its name in results: `bios`, `uefi-x64`, `uefi-ia32`, `raspi3b`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::UefiX64 => "uefi-x64",
            Self::UefiIa32 => "uefi-ia32",
            Self::Raspi3b => "raspi3b",
        }
    }

    /// The QEMU program and the Debian package that it comes in.
    pub fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::Raspi3b => ("qemu-system-aarch64", "qemu-system-arm"),
            _ => ("qemu-system-x86_64", "qemu-system-x86"),
        }
    }

    /// Files that its firmware consists of (code, variables) and the Debian package that they come in.
    fn firmware(self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Self::UefiX64 => Some(("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd", "ovmf")),
            // Debian builds the 4 MiB form for ia32 with secure boot support only, which needs SMM.
            Self::UefiIa32 => Some(("OVMF32_CODE_4M.secboot.fd", "OVMF32_VARS_4M.fd", "ovmf-ia32")),
            Self::Bios | Self::Raspi3b => None,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Names of the files in a run's directory.
pub mod file {
    /// The clone of the image.
    pub const DISK: &str = "disk.img";
    /// UEFI variables.
    pub const VARS: &str = "vars.fd";
    /// What the first serial port printed.
    pub const CONSOLE: &str = "console.log";
    /// What `SeaBIOS` printed for its developers.
    pub const FIRMWARE: &str = "firmware.log";
    /// QEMU's own messages.
    pub const QEMU: &str = "qemu.log";
    /// What the guest's journal had.
    pub const JOURNAL: &str = "journal.log";
    /// The screen.
    pub const SCREEN: &str = "screen.png";
}

/// Where Debian's OVMF packages put their files.
const OVMF: &str = "/usr/share/OVMF";

/// UEFI firmware on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// Code, read-only.
    pub code: PathBuf,
    /// Empty variables, to be copied for every run.
    pub vars: PathBuf,
}

impl Firmware {
    /// Finds what `target` needs; `None` when QEMU brings it. A [`UserError`] names the package that is missing.
    pub fn find(target: Target) -> Result<Option<Self>> {
        let Some((code, vars, package)) = target.firmware() else {
            return Ok(None);
        };
        let found = Self {
            code: Path::new(OVMF).join(code),
            vars: Path::new(OVMF).join(vars),
        };
        for path in [&found.code, &found.vars] {
            if !path.is_file() {
                return Err(UserError::new(format!("{target} needs {}", path.display()))
                    .help(format!("sudo apt-get install {package}"))
                    .into());
            }
        }
        Ok(Some(found))
    }
}

/// All that a command line depends on.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The machine.
    pub target: Target,
    /// The accelerator.
    pub accel: Accel,
    /// Memory in MiB. A Raspberry Pi 3 has 1024, whatever this says.
    pub memory: u32,
    /// TCP ports of the guest that are reachable from the host.
    pub ports: &'a [u16],
    /// Whether the guest reaches the network of the host, and so the internet.
    pub network: bool,
    /// UEFI firmware, for machines that have it.
    pub firmware: Option<&'a Firmware>,
    /// What a Raspberry Pi boots, and its command line.
    pub raspi: Option<&'a crate::raspi::Boot>,
}

/// The network card of a machine that gets it only once its system runs: arguments of QEMU's `device_add`.
///
/// A Raspberry Pi's is on USB. Linux' driver of its controller (dwc2) starts its host side over a moment after it has found
/// what is plugged in, since QEMU's controller says at power-on that the kind of its plug has changed; on a busy host it has
/// forgotten the device by then: "Not connected", and no network until the next boot (one boot in a dozen or so).
/// Plugged in later, it is found as on a board.
pub fn late_card(target: Target) -> Option<Value> {
    // Right into the controller's one port: else QEMU puts a hub in between.
    (target == Target::Raspi3b)
        .then(|| json!({ "driver": "usb-net", "netdev": "net", "id": LATE_CARD, "port": "1" }))
}

/// What [`late_card`] is called.
pub const LATE_CARD: &str = "card";

/// Descriptors of QEMU's that are sockets: what a machine prints.
#[derive(Clone, Copy, Debug)]
pub struct Printed {
    /// The first serial port.
    pub console: RawFd,
    /// What `SeaBIOS` prints for its developers.
    pub firmware: RawFd,
}

/// QEMU's arguments. QEMU's standard input is the socket of its monitor, its standard output the socket of the guest's
/// second serial port: sockets without a name cannot collide or be left behind.
pub fn arguments(setup: &Setup, printed: Printed) -> Result<Vec<String>> {
    let mut args = Arguments(Vec::new());
    args.add(&[
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-name",
        setup.target.name(),
    ]);
    args.add(&[
        "-chardev",
        "socket,id=monitor,fd=0",
        "-mon",
        "chardev=monitor,mode=control",
    ]);
    args.add(&[
        "-chardev",
        &format!("socket,id=console,fd={}", printed.console),
        "-serial",
        "chardev:console",
    ]);
    args.add(&["-chardev", "socket,id=agent,fd=1", "-serial", "chardev:agent"]);
    // `restrict`: a boot test never depends on the internet, nor reaches it.
    let restrict = if setup.network { "off" } else { "on" };
    let mut network = vec![format!("user,id=net,restrict={restrict}")];
    network.extend(
        setup
            .ports
            .iter()
            .map(|port| format!("hostfwd=tcp:127.0.0.1:0-:{port}")),
    );
    args.add(&["-netdev", &network.join(",")]);
    if setup.target == Target::Raspi3b {
        args.add_raspi(setup.raspi.context("a Raspberry Pi without its boot files")?);
    } else {
        args.add_pc(setup);
        args.add_firmware(setup, printed);
    }
    Ok(args.0)
}

/// Words of QEMU's command line.
struct Arguments(Vec<String>);

impl Arguments {
    fn add(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
    }

    fn add_raspi(&mut self, boot: &crate::raspi::Boot) {
        let path = |path: &Path| path.display().to_string();
        self.add(&["-accel", "tcg,thread=multi", "-machine", "raspi3b", "-m", "1024"]);
        self.add(&[
            "-kernel",
            &path(&boot.kernel),
            "-dtb",
            &path(&boot.dtb),
            "-append",
            &boot.append,
        ]);
        if let Some(initramfs) = &boot.initramfs {
            self.add(&["-initrd", &path(initramfs)]);
        }
        self.add(&[
            "-drive",
            &format!("file={},format=raw,if=sd,cache=unsafe", file::DISK),
        ]);
    }

    fn add_pc(&mut self, setup: &Setup) {
        match setup.accel {
            Accel::Kvm => self.add(&["-accel", "kvm"]),
            Accel::Tcg => self.add(&["-accel", "tcg,thread=multi"]),
        }
        self.add(&[
            "-cpu",
            PC_CPU,
            "-smp",
            "2",
            "-m",
            &setup.memory.to_string(),
            "-vga",
            "std",
        ]);
        // An AHCI disk (which q35 has) and Intel's gigabit network: what the PCs have that people give away. Nothing else is
        // booted from: no network boot, no option ROM.
        self.add(&[
            "-drive",
            &format!("file={},format=raw,if=none,id=disk,cache=unsafe", file::DISK),
        ]);
        self.add(&[
            "-device",
            "ide-hd,drive=disk,bus=ide.0,bootindex=0",
            "-boot",
            "strict=on",
        ]);
        self.add(&["-device", "e1000,netdev=net,romfile="]);
        let machine = if setup.target == Target::UefiIa32 {
            "q35,smm=on"
        } else {
            "q35"
        };
        self.add(&["-machine", machine]);
    }

    /// What a PC begins with.
    fn add_firmware(&mut self, setup: &Setup, printed: Printed) {
        let Some(firmware) = setup.firmware else {
            // SeaBIOS says here what it shows on the screen only, such as "No bootable device".
            self.add(&["-chardev", &format!("socket,id=firmware,fd={}", printed.firmware)]);
            self.add(&["-device", "isa-debugcon,iobase=0x402,chardev=firmware"]);
            return;
        };
        if setup.target == Target::UefiIa32 {
            self.add(&["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        }
        let code = firmware.code.display();
        self.add(&[
            "-drive",
            &format!("if=pflash,unit=0,format=raw,readonly=on,file={code}"),
        ]);
        self.add(&[
            "-drive",
            &format!("if=pflash,unit=1,format=raw,file={}", file::VARS),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: Printed = Printed {
        console: 7,
        firmware: 9,
    };

    fn setup(target: Target) -> Setup<'static> {
        Setup {
            target,
            accel: Accel::Tcg,
            memory: 512,
            ports: &[22, 80],
            network: false,
            firmware: None,
            raspi: None,
        }
    }

    #[test]
    fn ports_are_chosen_by_the_system() {
        let args = arguments(&setup(Target::Bios), PRINTED).unwrap().join(" ");
        assert!(
            args.contains("restrict=on,hostfwd=tcp:127.0.0.1:0-:22,hostfwd=tcp:127.0.0.1:0-:80"),
            "{args}"
        );
        assert!(args.contains("-m 512"), "{args}");
        assert!(
            args.contains("socket,id=console,fd=7 ") && args.contains("socket,id=firmware,fd=9 "),
            "{args}"
        );
    }

    #[test]
    fn a_raspberry_pi_has_its_own_memory() {
        let boot = crate::raspi::Boot {
            kernel: "kernel".into(),
            initramfs: None,
            dtb: "dtb".into(),
            append: "root=UUID=1 console=ttyAMA0,115200".into(),
        };
        let setup = Setup {
            raspi: Some(&boot),
            ..setup(Target::Raspi3b)
        };
        let args = arguments(&setup, PRINTED).unwrap();
        assert!(args.windows(2).any(|pair| pair == ["-m", "1024"]), "{args:?}");
        assert!(
            args.windows(2)
                .any(|pair| pair == ["-append", "root=UUID=1 console=ttyAMA0,115200"]),
            "{args:?}"
        );
        assert!(!args.iter().any(|arg| arg == "-initrd"), "{args:?}");
    }

    #[test]
    fn ia32_firmware_runs_in_system_management_mode() {
        let firmware = Firmware {
            code: "/c.fd".into(),
            vars: "/v.fd".into(),
        };
        let setup = Setup {
            firmware: Some(&firmware),
            ..setup(Target::UefiIa32)
        };
        let args = arguments(&setup, PRINTED).unwrap().join(" ");
        assert!(args.contains("-machine q35,smm=on"), "{args}");
        assert!(args.contains("readonly=on,file=/c.fd"), "{args}");
        assert!(args.contains("unit=1,format=raw,file=vars.fd"), "{args}");
    }
}
