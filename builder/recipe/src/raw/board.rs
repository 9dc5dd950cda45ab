//! `boards/*.toml`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::At;
use crate::plan::{Arch, Boot, Filesystem, Machine, Table};

/// A board: the hardware, how its disk is divided and how it starts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Board")]
pub(crate) struct RawBoard {
    /// Version of this file's format. Always 1 for now.
    #[allow(dead_code, reason = "checked before the rest of the file is read")]
    #[schemars(range(min = 1, max = 1))]
    pub(crate) schema: u32,
    /// One line that names the machines that this is for.
    pub(crate) title: At<String>,
    /// Debian architecture.
    pub(crate) arch: At<Arch>,
    /// Debian suites whose kernel and firmware start this board.
    pub(crate) suites: At<Vec<At<String>>>,
    /// Debian packages that the hardware needs: kernel, boot loader, firmware.
    #[serde(default)]
    pub(crate) packages: Vec<At<String>>,
    /// Archive components that the packages come from.
    #[serde(default = "main_component")]
    pub(crate) components: Vec<At<String>>,
    /// Kernel consoles, the most important last: `["tty1", "ttyS0,115200"]`.
    pub(crate) consoles: At<Vec<At<String>>>,
    /// How the disk is divided.
    pub(crate) disk: At<RawDisk>,
    /// How the board starts.
    pub(crate) boot: RawBoot,
    /// How `clic test` stands in for the board.
    pub(crate) emulate: RawEmulate,
    /// Memory that a device of this board has at least, e.g. `512M`. As in `emulate` if left out.
    pub(crate) memory: Option<At<String>>,
    /// What the board draws from its supply.
    pub(crate) power: Option<RawPower>,
}

fn main_component() -> Vec<At<String>> {
    vec![At {
        value: "main".to_owned(),
        span: 0..0,
    }]
}

/// How the disk is divided.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Disk")]
pub(crate) struct RawDisk {
    /// Kind of partition table.
    pub(crate) table: At<Table>,
    /// Partitions in the order of the table. The last one is `root`, so that it can grow to the size of the disk.
    pub(crate) partitions: Vec<At<RawPartition>>,
}

/// A partition.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Partition")]
pub(crate) struct RawPartition {
    /// A short name: `root`, `firmware`, `esp`, `bios`.
    pub(crate) name: At<String>,
    /// What it holds.
    pub(crate) fs: At<Filesystem>,
    /// A size in whole mebibytes (`512M`), or `fit`: as large as the content plus `free`. Only the root fits.
    pub(crate) size: At<String>,
    /// With `size = "fit"`: space left free, e.g. `512M`. A recipe can say otherwise.
    pub(crate) free: Option<At<String>>,
    /// First sector (512 bytes each) where the boot ROM wants it; a multiple of 2048. Else the next free mebibyte.
    pub(crate) first_sector: Option<At<u64>>,
}

/// How the board starts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "BootLoader")]
pub(crate) struct RawBoot {
    /// The boot loader.
    pub(crate) kind: At<Boot>,
}

/// How `clic test` stands in for the board.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Emulation")]
pub(crate) struct RawEmulate {
    /// The machine of QEMU.
    pub(crate) machine: At<Machine>,
    /// Memory of the guest, e.g. `1G`. The `raspi3b` always has `1G`.
    pub(crate) memory: Option<At<String>>,
    /// Seconds from power-on to a verdict, without acceleration, after which a boot counts as hung. 600 if left out.
    pub(crate) timeout_seconds: Option<At<u64>>,
}

/// What the board draws from its supply, in watts, with nothing plugged in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Power")]
pub(crate) struct RawPower {
    /// Doing nothing.
    pub(crate) idle_watts: At<f64>,
    /// With all cores busy.
    pub(crate) load_watts: At<f64>,
    /// Who measured it.
    pub(crate) source: At<String>,
}
