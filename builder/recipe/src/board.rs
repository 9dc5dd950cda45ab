//! Boards: from TOML to checked values.

use std::rc::Rc;

use serde::Serialize;

use crate::checker::Checker;
use crate::debian::{self, COMPONENTS, SUITES};
use crate::disk;
use crate::nearest::{advice, quoted};
use crate::plan::{Arch, Boot, Disk, Emulate, Machine, Named, Table};
use crate::raw::{At, RawBoard, RawEmulate, RawPower};
use crate::report::{Problem, Problems};
use crate::size::{self, MIB};
use crate::source::Sited;

/// Seconds that an emulated boot may take when the board does not say. The slowest measured: a Raspberry Pi with a
/// dozen services, under 450 s.
const TIMEOUT: u64 = 600;

/// A board with every value checked.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) named: Named,
    pub(crate) arch: Arch,
    pub(crate) suites: Vec<String>,
    pub(crate) packages: Vec<Sited<String>>,
    /// In the order of [`COMPONENTS`].
    pub(crate) components: Vec<String>,
    pub(crate) consoles: Vec<String>,
    pub(crate) disk: Disk,
    pub(crate) boot: Boot,
    pub(crate) emulate: Emulate,
    /// Bytes that a device has at least.
    pub(crate) memory: u64,
    pub(crate) power: Option<Power>,
}

/// What a board draws from its supply.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Power {
    /// Watts when it does nothing.
    pub idle_watts: f64,
    /// Watts with all cores busy.
    pub load_watts: f64,
    /// Who measured it.
    pub source: String,
}

/// Checks a board. `None` when anything is wrong with it.
pub(crate) fn check(name: &str, raw: RawBoard, checker: &mut Checker<'_>) -> Option<Rc<Board>> {
    let before = checker.count();
    let arch = raw.arch.value;
    let suites = suites(raw.suites, arch, checker);
    let packages = packages(raw.packages, checker);
    let components = components(raw.components, checker);
    let consoles = consoles(raw.consoles, checker);
    let disk = disk::check(raw.disk, raw.boot.kind.value, checker);
    boot_fits(&raw.boot.kind, arch, disk.as_ref(), checker);
    let emulate = emulate(raw.emulate, arch, raw.boot.kind.value, checker);
    let memory = raw.memory.map(|memory| {
        size::parse_mib(&memory.value).unwrap_or_else(|why| {
            checker.wrong(&memory, why);
            0
        })
    });
    let power = raw.power.and_then(|power| check_power(power, checker));
    checker.title(&raw.title);
    (checker.count() == before).then_some(())?;
    Some(Rc::new(Board {
        named: Named {
            name: name.to_owned(),
            title: raw.title.value,
        },
        arch,
        suites,
        packages,
        components,
        consoles,
        disk: disk?,
        boot: raw.boot.kind.value,
        memory: memory.unwrap_or(u64::from(emulate.memory) * MIB),
        emulate,
        power,
    }))
}

fn suites(raw: At<Vec<At<String>>>, arch: Arch, checker: &mut Checker<'_>) -> Vec<String> {
    if raw.value.is_empty() {
        checker
            .wrong(&raw, "a board needs at least one suite")
            .help(format!("suites: {}", quoted(&SUITES.map(|suite| suite.name))));
    }
    let list = checker.distinct(raw.value, "suite");
    for suite in &list {
        known_suite(suite, Some(arch), checker.problems);
    }
    list.into_iter().map(|suite| suite.value).collect()
}

/// A suite that we know and, when an architecture is given, that has it.
pub(crate) fn known_suite(suite: &Sited<String>, arch: Option<Arch>, problems: &mut Problems) {
    let Some(known) = SUITES.iter().find(|known| known.name == suite.value) else {
        problems
            .wrong(&suite.origin, format!("unknown suite `{}`", suite.value))
            .help(advice(&suite.value, "suites", SUITES.map(|suite| suite.name)));
        return;
    };
    if let Some(arch) = arch.filter(|arch| !known.archs.contains(arch)) {
        problems.wrong(
            &suite.origin,
            format!("Debian {} has no kernel for {arch}", suite.value),
        );
    }
}

/// Package names that could exist, each once in one list.
pub(crate) fn packages(raw: Vec<At<String>>, checker: &mut Checker<'_>) -> Vec<Sited<String>> {
    let list = checker.distinct(raw, "package");
    for package in &list {
        if let Err(why) = debian::package_name(&package.value) {
            checker.wrong(&package.origin, why).help(
                "package names are lower case letters, digits, `+`, `-` and `.`; no version, no architecture",
            );
        }
    }
    list
}

pub(crate) fn components(raw: Vec<At<String>>, checker: &mut Checker<'_>) -> Vec<String> {
    let list = checker.distinct(raw, "component");
    for component in &list {
        if !COMPONENTS.contains(&component.value.as_str()) {
            checker
                .wrong(
                    &component.origin,
                    format!("unknown component `{}`", component.value),
                )
                .help(advice(&component.value, "components", COMPONENTS));
        }
    }
    let list: Vec<String> = list.into_iter().map(|component| component.value).collect();
    all_components(&list, &[])
}

/// Two lists of components as one, sorted, with `main` first: everything depends on that.
pub(crate) fn all_components(one: &[String], other: &[String]) -> Vec<String> {
    let has = |known: &str| one.iter().chain(other).any(|component| component == known);
    COMPONENTS
        .into_iter()
        .filter(|known| *known == "main" || has(known))
        .map(str::to_owned)
        .collect()
}

fn consoles(raw: At<Vec<At<String>>>, checker: &mut Checker<'_>) -> Vec<String> {
    if raw.value.is_empty() {
        checker
            .wrong(&raw, "a board needs at least one console")
            .help("write the most important last: `[\"tty1\", \"ttyS0,115200\"]`");
    }
    let list = checker.distinct(raw.value, "console");
    for console in &list {
        if let Err(why) = debian::console(&console.value) {
            checker.wrong(&console.origin, why);
        }
    }
    list.into_iter().map(|console| console.value).collect()
}

/// Boot loader, architecture and partition table belong together.
fn boot_fits(kind: &At<Boot>, arch: Arch, disk: Option<&Disk>, checker: &mut Checker<'_>) {
    let (name, wanted_arch, wanted_table) = match kind.value {
        Boot::Grub => ("grub", Arch::Amd64, Table::Gpt),
        Boot::RaspiFirmware => ("raspi-firmware", Arch::Arm64, Table::Mbr),
    };
    let origin = kind.origin(checker.file);
    if arch != wanted_arch {
        checker
            .wrong(
                &origin,
                format!("`{name}` starts {wanted_arch} boards, and this board is {arch}"),
            )
            .help(match kind.value {
                Boot::Grub => "arm64 boards start with `raspi-firmware`",
                Boot::RaspiFirmware => "amd64 boards start with `grub`",
            });
    }
    if disk.is_some_and(|disk| disk.table != wanted_table) {
        checker.problems.push(match kind.value {
            Boot::Grub => Problem::at(&origin, "`grub` needs `table = \"gpt\"`")
                .help("one image then starts on BIOS, UEFI x64 and UEFI ia32"),
            Boot::RaspiFirmware => Problem::at(&origin, "`raspi-firmware` needs `table = \"mbr\"`")
                .help("the boot ROM of Raspberry Pi 0 to 3 does not read a GPT"),
        });
    }
}

fn emulate(raw: RawEmulate, arch: Arch, boot: Boot, checker: &mut Checker<'_>) -> Emulate {
    let (name, wanted_arch, wanted_boot) = match raw.machine.value {
        Machine::Pc => ("pc", Arch::Amd64, Boot::Grub),
        Machine::Raspi3b => ("raspi3b", Arch::Arm64, Boot::RaspiFirmware),
    };
    if arch != wanted_arch || boot != wanted_boot {
        checker
            .wrong(&raw.machine, format!("machine `{name}` can't emulate this board"))
            .help("`pc` is for amd64 with grub, `raspi3b` for arm64 with raspi-firmware");
    }
    let memory = raw
        .memory
        .map_or(1024, |memory| check_memory(&memory, raw.machine.value, checker));
    let timeout = raw.timeout_seconds.map_or(TIMEOUT, |timeout| {
        if !(10..=7200).contains(&timeout.value) {
            checker
                .wrong(
                    &timeout,
                    format!("{} seconds is not a sensible time for a boot", timeout.value),
                )
                .help("from 10 to 7200");
        }
        timeout.value
    });
    Emulate {
        machine: raw.machine.value,
        memory,
        timeout,
    }
}

/// Memory of the guest in MiB.
fn check_memory(memory: &At<String>, machine: Machine, checker: &mut Checker<'_>) -> u32 {
    match size::parse_mib(&memory.value) {
        Err(why) => {
            checker.wrong(memory, why);
        }
        Ok(bytes) if machine == Machine::Raspi3b && bytes != 1024 * MIB => checker
            .wrong(memory, "the `raspi3b` always has 1G of memory")
            .help("write `memory = \"1G\"`"),
        Ok(bytes) if !(128 * MIB..=64 * 1024 * MIB).contains(&bytes) => checker
            .wrong(
                memory,
                format!("{} is not a sensible memory for a test", memory.value),
            )
            .help("from 128M to 64G"),
        Ok(bytes) => return u32::try_from(bytes / MIB).unwrap_or(1024),
    }
    1024
}

fn check_power(raw: RawPower, checker: &mut Checker<'_>) -> Option<Power> {
    let before = checker.count();
    for watts in [&raw.idle_watts, &raw.load_watts] {
        if !(watts.value.is_finite() && watts.value > 0.0 && watts.value < 10_000.0) {
            checker.wrong(watts, "this must be more than 0 and less than 10000 watts");
        }
    }
    if raw.load_watts.value < raw.idle_watts.value {
        checker.wrong(&raw.load_watts, "a busy board can't draw less than an idle one");
    }
    (checker.count() == before).then_some(Power {
        idle_watts: raw.idle_watts.value,
        load_watts: raw.load_watts.value,
        source: raw.source.value,
    })
}
