//! The Raspberry Pi's boot chain: everything is on the FAT partition that its firmware reads.

use anyhow::Result;

use super::{Context, Findings, MAX_TEXT, system};
use crate::read::Fat;

/// What the firmware of a Pi 3 and Zero 2 W (`bootcode.bin`, `start.elf`) and of a Pi 4 (`start4.elf`) loads first.
const FIRMWARE: [&str; 5] = [
    "bootcode.bin",
    "start.elf",
    "fixup.dat",
    "start4.elf",
    "fixup4.dat",
];

/// Device trees of the boards that the image is for, under the names that Debian ships and `upstream_kernel=1` asks for.
const DEVICE_TREES: [(&str, &str); 4] = [
    ("bcm2837-rpi-3-b.dtb", "Pi 3 B"),
    ("bcm2837-rpi-3-b-plus.dtb", "Pi 3 B+"),
    ("bcm2711-rpi-4-b.dtb", "Pi 4 B"),
    ("bcm2837-rpi-zero-2-w.dtb", "Zero 2 W"),
];

/// First bytes of a flattened device tree (Devicetree Specification 0.4, section 5.2).
const DTB_MAGIC: [u8; 4] = [0xd0, 0x0d, 0xfe, 0xed];

/// Largest kernel, initramfs or firmware file that is read, in bytes.
const MAX_FILE: u64 = 512 << 20;

const REBUILD: &str =
    "build the image again; if the problem stays, the image room writes the firmware partition wrongly";

pub(super) fn firmware(cx: &Context, out: &mut Findings) -> Result<()> {
    let Some(partition) = cx
        .partition("firmware")
        .filter(|partition| partition.holds("fat"))
    else {
        out.add(
            "there is no firmware partition",
            "give the board's disk a FAT partition `firmware`",
        );
        return Ok(());
    };
    if partition.entry.index != 1 {
        out.add(
            format!(
                "the firmware partition is number {}, the boot ROM looks at 1",
                partition.entry.index
            ),
            REBUILD,
        );
    }
    let fat = cx.image.fat(partition)?;
    for name in FIRMWARE {
        if fat
            .entry(&format!("/{name}"))?
            .is_none_or(|entry| entry.size == 0)
        {
            out.add(
                format!("firmware:/{name} is missing"),
                "let the board bring the package raspi-firmware",
            );
        }
    }
    for (name, board) in DEVICE_TREES {
        let path = format!("/{name}");
        match fat.entry(&path)? {
            None => {
                let help =
                    "look in /usr/lib/linux-image-*/broadcom and /usr/lib/modules/*/dtb/broadcom of the tree";
                out.add(
                    format!("firmware:{path} (device tree of the {board}) is missing"),
                    help,
                );
            }
            Some(_) if !fat.read(&path, MAX_TEXT)?.starts_with(&DTB_MAGIC) => {
                out.add(format!("firmware:{path} is not a device tree"), REBUILD);
            }
            Some(_) => {}
        }
    }
    let mount = "/boot/firmware";
    if cx.root()?.exists(mount)?
        && let Some(first) = cx.root()?.list(mount)?.first()
    {
        let what = format!(
            "{} lies hidden below the mount point of the firmware partition",
            first.display()
        );
        out.add(what, "empty the mount point at the end of the build");
    }
    config(cx, &fat, out)?;
    command_line(&fat, out)
}

fn config(cx: &Context, fat: &Fat, out: &mut Findings) -> Result<()> {
    let path = "/config.txt";
    if fat.entry(path)?.is_none() {
        out.add("firmware:/config.txt is missing", REBUILD);
        return Ok(());
    }
    let text = String::from_utf8_lossy(&fat.read(path, MAX_TEXT)?).into_owned();
    let config = Config::parse(&text);
    if config.kernels.is_empty() {
        out.add(
            "firmware:/config.txt names no kernel (no `kernel=` line)",
            REBUILD,
        );
    }
    if config.initramfs.is_empty() {
        out.add(
            "firmware:/config.txt names no initramfs (no `initramfs` line)",
            REBUILD,
        );
    }
    if !config.arm_64bit {
        out.add(
            "firmware:/config.txt does not say arm_64bit=1, so a Pi 3 starts a 32-bit kernel",
            REBUILD,
        );
    }
    for name in &config.kernels {
        if let Some(bytes) = copied(cx, fat, name, "kernel", out)? {
            if !system::is_arm64_kernel(&bytes) {
                out.add(format!("firmware:/{name} is not an arm64 kernel"), REBUILD);
            }
            system::modules(cx, name, out)?;
        }
    }
    for name in &config.initramfs {
        if let Some(bytes) = copied(cx, fat, name, "initramfs", out)?
            && !system::is_initramfs(&bytes)
        {
            out.add(format!("firmware:/{name} is not an initramfs"), REBUILD);
        }
    }
    Ok(())
}

/// First bytes of a file that config.txt names, which must be the one in the root's `/boot`.
fn copied(cx: &Context, fat: &Fat, name: &str, what: &str, out: &mut Findings) -> Result<Option<Vec<u8>>> {
    let path = format!("/{name}");
    if fat.entry(&path)?.is_none_or(|entry| entry.directory) {
        out.add(
            format!("firmware:/config.txt names the {what} {name}, which is missing"),
            REBUILD,
        );
        return Ok(None);
    }
    let bytes = fat.read(&path, MAX_FILE)?;
    let original = format!("/boot/{name}");
    let root = cx.root()?;
    if !root.exists(&original)? {
        out.add(
            format!("firmware:{path} has no {original} that it could be a copy of"),
            REBUILD,
        );
    } else if root.read(&original, MAX_FILE)? != bytes {
        out.add(format!("firmware:{path} is not the {what} {original}"), REBUILD);
    }
    Ok(Some(bytes))
}

/// What we need to know of a config.txt (Raspberry Pi documentation, "config.txt"). Conditional sections are all read:
/// what any board loads must be there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub kernels: Vec<String>,
    pub initramfs: Vec<String>,
    arm_64bit: bool,
}

impl Config {
    pub fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for line in text
            .lines()
            .map(|line| line.split('#').next().unwrap_or("").trim())
        {
            if let Some(name) = line.strip_prefix("kernel=") {
                config.kernels.push(name.trim().to_owned());
            } else if let Some(rest) = line
                .strip_prefix("initramfs")
                .filter(|rest| rest.starts_with([' ', '=']))
            {
                // `initramfs NAME followkernel`, or an address; several names are joined by commas.
                let names = rest
                    .trim_start_matches([' ', '='])
                    .split_whitespace()
                    .next()
                    .unwrap_or("");
                config.initramfs.extend(
                    names
                        .split(',')
                        .filter(|name| !name.is_empty())
                        .map(str::to_owned),
                );
            } else if line == "arm_64bit=1" {
                config.arm_64bit = true;
            }
        }
        config
    }
}

fn command_line(fat: &Fat, out: &mut Findings) -> Result<()> {
    let path = "/cmdline.txt";
    if fat.entry(path)?.is_none() {
        out.add("firmware:/cmdline.txt is missing", REBUILD);
        return Ok(());
    }
    let text = fat.read(path, MAX_TEXT)?;
    let text = String::from_utf8_lossy(&text);
    let lines = text.trim_end_matches('\n').lines().count();
    if lines != 1 {
        out.add(
            format!("firmware:/cmdline.txt has {lines} lines, the firmware reads only the first"),
            REBUILD,
        );
    }
    if !text
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .any(|word| word.starts_with("root="))
    {
        out.add("firmware:/cmdline.txt has no root=", REBUILD);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_txt_is_read_over_all_its_sections() {
        let text = "arm_64bit=1\n# kernel=old\nkernel=vmlinuz-6.1\n[pi4]\ninitramfs a,b followkernel # x\n";
        let config = Config {
            kernels: vec!["vmlinuz-6.1".into()],
            initramfs: vec!["a".into(), "b".into()],
            arm_64bit: true,
        };
        assert_eq!(Config::parse(text), config);
    }
}
