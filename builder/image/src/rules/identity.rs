//! Everything that names a file system must name one of this image.

use anyhow::Result;
use clic_recipe::plan::Boot;

use super::{Context, Findings, MAX_TEXT};
use crate::read::Partition;

const HELP: &str = "build the image again; if an overlay brings this file, let it not name a file system";

pub(super) fn root_uuid(cx: &Context, out: &mut Findings) -> Result<()> {
    let Some(root) = cx.image.root_partition() else {
        out.add(
            "there is no ext4 partition to be the root",
            "build the image again",
        );
        return Ok(());
    };
    fstab(cx, root, out)?;
    match cx.expected.boot {
        Boot::Grub => {
            let path = "/boot/grub/grub.cfg";
            if let Some(text) = cx.text(path)? {
                arguments(path, &text, root, out);
                searches(path, &text, root, out);
            }
            embedded_config(cx, root, out)?;
        }
        Boot::RaspiFirmware => {
            if let Some(partition) = cx.image.boot_partition() {
                let fat = cx.image.fat(partition)?;
                if fat.entry("/cmdline.txt")?.is_some() {
                    let text = fat.read("/cmdline.txt", MAX_TEXT)?;
                    arguments(
                        "firmware:/cmdline.txt",
                        &String::from_utf8_lossy(&text),
                        root,
                        out,
                    );
                }
            }
            let path = "/etc/default/raspi-firmware";
            for line in cx.text(path)?.unwrap_or_default().lines() {
                if let Some(value) = line.trim().strip_prefix("ROOTPART=") {
                    spec(path, "ROOTPART", value.trim_matches(['"', '\'']), root, out);
                }
            }
        }
    }
    Ok(())
}

/// Every device in `/etc/fstab` is one of the image, and `/` is the root.
fn fstab(cx: &Context, root: &Partition, out: &mut Findings) -> Result<()> {
    let path = "/etc/fstab";
    let text = cx.text(path)?.unwrap_or_default();
    let mut has_root = false;
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let mut words = line.split_whitespace();
        let (Some(device), Some(mount)) = (words.next(), words.next()) else {
            continue;
        };
        if mount == "/" {
            has_root = true;
            spec(path, "/", device, root, out);
        } else if device.contains('=')
            && !cx
                .image
                .partitions()
                .iter()
                .any(|partition| names(partition, device))
        {
            out.add(
                format!("{path} mounts {mount} from {device}, which is not a partition of the image"),
                HELP,
            );
        }
    }
    if !has_root {
        out.add(
            format!("{path} has no line for /"),
            "build the image again; the image room writes this file",
        );
    }
    Ok(())
}

/// `root=` of kernel command lines, wherever they are in a text.
fn arguments(path: &str, text: &str, root: &Partition, out: &mut Findings) {
    for word in text.split_whitespace() {
        if let Some(value) = word.strip_prefix("root=") {
            spec(path, "root=", value.trim_matches(['"', '\'']), root, out);
        }
    }
}

/// `search ... --fs-uuid ... UUID` and `search.fs_uuid UUID ...` of GRUB scripts.
fn searches(path: &str, text: &str, root: &Partition, out: &mut Findings) {
    for line in text.lines() {
        let Some(at) = line.find("search") else { continue };
        let words: Vec<&str> = line.get(at..).unwrap_or("").split_whitespace().collect();
        let by_uuid = words
            .iter()
            .any(|word| matches!(*word, "--fs-uuid" | "-u" | "search.fs_uuid"));
        let uuid = words
            .iter()
            .find(|word| word.len() == 36 && uuid::Uuid::try_parse(word).is_ok());
        if let (true, Some(uuid)) = (by_uuid, uuid) {
            spec(path, "search", &format!("UUID={uuid}"), root, out);
        }
    }
}

/// The configuration inside GRUB's EFI binaries is plain text; core.img's is compressed and cannot be read.
fn embedded_config(cx: &Context, root: &Partition, out: &mut Findings) -> Result<()> {
    let Some(partition) = cx.image.boot_partition() else {
        return Ok(());
    };
    let fat = cx.image.fat(partition)?;
    for path in ["/EFI/BOOT/BOOTX64.EFI", "/EFI/BOOT/BOOTIA32.EFI"] {
        if fat.entry(path)?.is_some() {
            let bytes = fat.read(path, super::grub::MAX_EFI)?;
            let text: Vec<&str> = bytes.utf8_chunks().map(|chunk| chunk.valid()).collect();
            searches(
                &format!("{}:{path}", partition.name),
                &text.join("\n").replace('\0', "\n"),
                root,
                out,
            );
        }
    }
    Ok(())
}

/// Whether a device as `fstab` and the kernel write it is this partition.
fn names(partition: &Partition, device: &str) -> bool {
    let Some((kind, value)) = device.split_once('=') else {
        return false;
    };
    let value = value.trim_matches('"');
    let fs = partition.fs.as_ref();
    match kind {
        "UUID" => fs.is_some_and(|fs| fs.uuid.eq_ignore_ascii_case(value)),
        "LABEL" => fs.is_some_and(|fs| fs.label.as_deref() == Some(value)),
        "PARTUUID" => partition.entry.uuid.eq_ignore_ascii_case(value),
        "PARTLABEL" => partition.entry.label.as_deref() == Some(value),
        _ => false,
    }
}

fn spec(path: &str, whose: &str, device: &str, root: &Partition, out: &mut Findings) {
    if !names(root, device) {
        let uuid = root.fs.as_ref().map_or("unknown", |fs| fs.uuid.as_str());
        out.add(
            format!("root UUID wrong: {path} ({whose}) names {device}, the root file system is UUID={uuid}"),
            HELP,
        );
    }
}
