//! What a Raspberry Pi's firmware would load, found as it finds it: from `config.txt` on the FAT partition. QEMU does not
//! run that firmware, so this is its stand-in (see "config.txt" in the Raspberry Pi documentation).

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clic_host::UserError;
use clic_image::read::{DiskImage, Fat};

/// Largest text file that is read, in bytes.
const MAX_TEXT: u64 = 64 << 10;
/// Largest kernel, initramfs or DTB that is copied, in bytes.
const MAX_FILE: u64 = 512 << 20;

/// The device tree of a Pi 3 B in Debian's kernels, and in Raspberry Pi's own.
const DTBS: [&str; 2] = ["bcm2837-rpi-3-b.dtb", "bcm2710-rpi-3-b.dtb"];

/// What `config.txt` says for a Raspberry Pi 3 B.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The kernel's file.
    pub kernel: String,
    /// The initramfs' file, if there is one.
    pub initramfs: Option<String>,
    /// The device tree's file, if it is named.
    pub device_tree: Option<String>,
    /// Whether mainline's device tree names come first.
    pub upstream_kernel: bool,
    /// The kernel command line's file.
    pub cmdline: String,
}

impl Config {
    /// Reads `config.txt` as a Pi 3 B does: settings under filters for other models do not count, the last one wins.
    pub fn parse(text: &str) -> Self {
        let mut config = Self {
            cmdline: "cmdline.txt".into(),
            ..Self::default()
        };
        let mut prefix = String::new();
        let mut wide = true;
        let mut kernel = None;
        let (mut model, mut other) = (true, true);
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if let Some(filter) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                match filter.trim().to_ascii_lowercase().as_str() {
                    "all" => (model, other) = (true, true),
                    "pi3" => model = true,
                    name if name.starts_with("pi") || name.starts_with("cm") || name == "none" => {
                        model = false;
                    }
                    // Monitors, serial numbers, GPIO levels: never true in QEMU.
                    _ => other = false,
                }
                continue;
            }
            if !(model && other) {
                continue;
            }
            let (key, value) = match line.split_once('=') {
                Some((key, value)) => (key.trim(), value.trim()),
                None => line
                    .split_once(char::is_whitespace)
                    .map_or((line, ""), |(key, value)| (key, value.trim())),
            };
            match key {
                "kernel" => kernel = Some(value.to_owned()),
                // `initramfs NAME followkernel` is the documented form.
                "initramfs" => {
                    let name = value.split_ascii_whitespace().next();
                    config.initramfs = name.map(str::to_owned);
                }
                "device_tree" => config.device_tree = Some(value.to_owned()),
                "upstream_kernel" => config.upstream_kernel = value == "1",
                "cmdline" => value.clone_into(&mut config.cmdline),
                "os_prefix" => value.clone_into(&mut prefix),
                "arm_64bit" => wide = value != "0",
                _ => {}
            }
        }
        let default = if wide { "kernel8.img" } else { "kernel7.img" };
        config.kernel = prefix.clone() + &kernel.unwrap_or_else(|| default.into());
        config.initramfs = config.initramfs.map(|name| prefix.clone() + &name);
        config.device_tree = config.device_tree.map(|name| prefix.clone() + &name);
        config.cmdline = prefix + &config.cmdline;
        config
    }

    /// Device tree files in the order in which they are tried.
    fn device_trees(&self) -> Vec<String> {
        match &self.device_tree {
            Some(name) => vec![name.clone()],
            None if self.upstream_kernel => DTBS.map(str::to_owned).to_vec(),
            None => DTBS.iter().rev().map(|name| (*name).to_owned()).collect(),
        }
    }
}

/// The kernel command line for QEMU's raspi3b: the image's own, but its log goes to the PL011, which is QEMU's first
/// serial port, and the mini-UART (`ttyS1`, QEMU's second) is left to the tester.
pub fn command_line(text: &str) -> String {
    let words = text.split_ascii_whitespace().filter(|word| {
        let port = word
            .strip_prefix("console=")
            .map(|port| port.split(',').next().unwrap_or(port));
        !port.is_some_and(|port| ["ttyS1", "serial0", "serial1", "ttyAMA0"].contains(&port))
    });
    words
        .chain(["console=ttyAMA0,115200"])
        .collect::<Vec<_>>()
        .join(" ")
}

/// What QEMU is given instead of the firmware.
#[derive(Debug)]
pub struct Boot {
    /// The kernel, copied out of the image.
    pub kernel: PathBuf,
    /// The initramfs, copied out of the image.
    pub initramfs: Option<PathBuf>,
    /// The device tree, copied out of the image.
    pub dtb: PathBuf,
    /// The command line.
    pub append: String,
}

impl Boot {
    /// Copies what the firmware would load from `image` into `dir`. A [`UserError`] names what is missing.
    pub fn extract(image: &DiskImage, dir: &Path) -> Result<Self> {
        let name = image.path().display();
        let partition = image.boot_partition().ok_or_else(|| {
            UserError::new(format!(
                "{name} has no FAT partition for a Raspberry Pi's firmware"
            ))
            .help("give the .img file that `clic build` wrote for a Raspberry Pi")
        })?;
        let fat = image.fat(partition)?;
        let text = |path: &str| -> Result<String> {
            Ok(String::from_utf8_lossy(&fat.read(&absolute(path), MAX_TEXT)?).into_owned())
        };
        let config = Config::parse(&text("config.txt")?);
        let dtb = config.device_trees();
        let mut found = None;
        for name in &dtb {
            if fat.entry(&absolute(name))?.is_some() {
                found = Some(name);
                break;
            }
        }
        let Some(dtb) = found else {
            let what = format!("{name}: no device tree for a Raspberry Pi 3 B on its firmware partition");
            return Err(UserError::new(what)
                .help(format!("config.txt leads to {}", dtb.join(" or ")))
                .into());
        };
        Ok(Self {
            kernel: copy(&fat, &config.kernel, dir.join("kernel"))?,
            initramfs: match &config.initramfs {
                Some(name) => Some(copy(&fat, name, dir.join("initramfs"))?),
                None => None,
            },
            dtb: copy(&fat, dtb, dir.join("dtb"))?,
            append: command_line(&text(&config.cmdline)?),
        })
    }
}

/// `config.txt` names files from the partition's top, the reader from `/`.
fn absolute(name: &str) -> String {
    format!("/{}", name.trim_start_matches('/'))
}

fn copy(fat: &Fat, from: &str, to: PathBuf) -> Result<PathBuf> {
    let from = &absolute(from);
    if let Some(entry) = fat.entry(from)?
        && entry.size > MAX_FILE
    {
        return Err(UserError::new(format!(
            "{from} on the firmware partition has {} bytes",
            entry.size
        ))
        .into());
    }
    let mut file = File::create(&to).with_context(|| format!("cannot create {}", to.display()))?;
    fat.copy(from, &mut file)?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debians_config() {
        let config = Config::parse(
            "# made by a hook\narm_64bit=1\nenable_uart=1\nupstream_kernel=1\nkernel=vmlinuz-6.1.0-56-arm64\n\
             # For a Pi 4\ninitramfs initrd.img-6.1.0-56-arm64\n",
        );
        assert_eq!(config.kernel, "vmlinuz-6.1.0-56-arm64");
        assert_eq!(config.initramfs.as_deref(), Some("initrd.img-6.1.0-56-arm64"));
        assert_eq!(config.cmdline, "cmdline.txt");
        assert_eq!(config.device_trees(), DTBS);
    }

    #[test]
    fn other_models_sections_do_not_count() {
        let config = Config::parse(
            "kernel=a\r\n[pi4]\nkernel=b\ninitramfs x followkernel\n[pi3]\nkernel = c\n[pi3+]\nkernel=d\n[all]\n\
             [gpio4=1]\nkernel=e\n[pi3]\nkernel=f\n[all]\nos_prefix=new/\n[none]\ncmdline=no.txt\n",
        );
        assert_eq!(config.kernel, "new/c");
        assert_eq!(config.initramfs, None);
        assert_eq!(config.cmdline, "new/cmdline.txt");
    }

    #[test]
    fn defaults_are_the_firmwares() {
        assert_eq!(Config::parse("").kernel, "kernel8.img");
        assert_eq!(Config::parse("arm_64bit=0").kernel, "kernel7.img");
        assert_eq!(
            Config::parse("").device_trees().first().map(String::as_str),
            Some("bcm2710-rpi-3-b.dtb")
        );
        assert_eq!(Config::parse("device_tree=my.dtb").device_trees(), ["my.dtb"]);
    }

    #[test]
    fn the_testers_port_is_no_console() {
        assert_eq!(
            command_line("console=tty1 console=ttyS1,115200 root=UUID=1-2 rw rootwait\n"),
            "console=tty1 root=UUID=1-2 rw rootwait console=ttyAMA0,115200"
        );
        assert_eq!(command_line("console=serial0,115200"), "console=ttyAMA0,115200");
    }
}
