//! The Raspberry Pi's own firmware: it reads a FAT partition with its files, a kernel, an initramfs and device trees.
//!
//! Debian's package raspi-firmware fills that partition on a device, by a hook that runs after every upgrade of kernel,
//! initramfs or firmware. We write the same files with the same bytes, so that the first upgrade changes nothing but
//! what it means to.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clic_debian::version;
use clic_recipe::plan::{Plan, TreeFile};
use clic_tree::{Content, FileTree, Follow};

use crate::ids::Ids;
use crate::table::BOOT_CODE;

use super::{FatContent, Loader, TreeCommand, data, directory, file, firmware, root_argument};

/// Where raspi-firmware keeps the firmware's files.
const FIRMWARE: &str = "/usr/lib/raspi-firmware";

/// Files without which no Pi 3, Zero 2 W (the first three) or Pi 4 starts.
const NEEDED: [&str; 5] = [
    "bootcode.bin",
    "start.elf",
    "fixup.dat",
    "start4.elf",
    "fixup4.dat",
];

/// Device trees of the models that the board stands for.
const MODELS: [&str; 4] = [
    "bcm2837-rpi-3-b.dtb",
    "bcm2837-rpi-3-b-plus.dtb",
    "bcm2837-rpi-zero-2-w.dtb",
    "bcm2711-rpi-4-b.dtb",
];

/// What the hook itself writes at the top of config.txt, and then for 64-bit kernels.
const CONFIG_HEAD: &str = "\
# Do not modify this file!
#
# It is automatically generated upon install or update of either the
# firmware or the Linux kernel.
#
# If you need to set boot-time parameters, do so via the
# /etc/default/raspi-firmware, /etc/default/raspi-firmware-custom or
# /etc/default/raspi-extra-cmdline files.

# Switch the CPU from ARMv7 into ARMv8 (aarch64) mode
arm_64bit=1

enable_uart=1
upstream_kernel=1

";

/// Settings and mount point of the package's hook.
pub(super) fn tree_files(plan: &Plan, ids: &Ids) -> Result<Vec<TreeFile>> {
    let defaults = format!(
        "# Read by the hooks of raspi-firmware, which write /boot/firmware/config.txt and cmdline.txt anew after\n\
         # every upgrade of kernel, initramfs or firmware.\n\
         ROOTPART=\"{}\"\n\
         CONSOLES=\"{}\"\n\
         # A size for the contiguous memory area would keep a Pi 4 from starting; this image is for all models.\n\
         CMA=0\n",
        root_argument(plan, ids)?,
        plan.consoles.join(" ")
    );
    Ok(vec![
        directory("/boot/firmware"),
        file("/etc/default/raspi-firmware", defaults),
    ])
}

/// The hook has filled the mount point while packages were configured: those files are written to their own partition,
/// and below the mount point they would only take room.
pub(super) fn tree_commands() -> Vec<TreeCommand> {
    vec![TreeCommand::new(
        "emptying the mount point of the firmware partition",
        ["find", "/boot/firmware", "-mindepth", "1", "-delete"],
    )]
}

/// The content of the firmware partition.
pub(super) fn loader(plan: &Plan, ids: &Ids, tree: &FileTree) -> Result<Loader> {
    let mut files = BTreeMap::new();
    copy_tree(tree, FIRMWARE, "", &mut files)?;
    if let Some(missing) = NEEDED.iter().find(|name| !files.contains_key(**name)) {
        bail!("the tree has no {FIRMWARE}/{missing}: package raspi-firmware brings it");
    }

    let version = first(tree)
        .or_else(|| newest(tree, "vmlinuz-"))
        .context("the tree has no kernel (/boot/vmlinuz-*): which package brings it?")?;
    for name in [format!("vmlinuz-{version}"), format!("initrd.img-{version}")] {
        let from = if name.starts_with('v') {
            "the kernel's package"
        } else {
            "update-initramfs -c"
        };
        let content = data(tree, &format!("/boot/{name}"), from)?.clone();
        files.insert(name, content);
    }
    for (name, content) in device_trees(tree, &version)? {
        files.insert(name, content);
    }

    let text = |text: String| Content::Bytes(Arc::from(text.into_bytes()));
    files.insert(
        "config.txt".into(),
        text(config(&version, custom(tree, CUSTOM_CONFIG)?.as_deref())),
    );
    let extra = custom(tree, CUSTOM_COMMAND_LINE)?;
    files.insert(
        "cmdline.txt".into(),
        text(command_line(plan, ids, extra.as_deref())?),
    );
    Ok(Loader {
        volumes: BTreeMap::from([(
            firmware(plan)?.name.clone(),
            FatContent {
                label: "FIRMWARE".into(),
                files,
            },
        )]),
        boot_code: [0; BOOT_CODE],
        raw: BTreeMap::new(),
    })
}

/// Further lines for config.txt and words for the command line, which the hook takes from files that an overlay may bring.
const CUSTOM_CONFIG: &str = "/etc/default/raspi-firmware-custom";
const CUSTOM_COMMAND_LINE: &str = "/etc/default/raspi-extra-cmdline";

/// A file's text as the shell's `$(cat ...)` gives it, if the tree has the file.
fn custom(tree: &FileTree, path: &str) -> Result<Option<String>> {
    if tree.get(path).is_none() {
        return Ok(None);
    }
    let text = String::from_utf8(tree.read_file(path)?).with_context(|| format!("{path} is not UTF-8"))?;
    Ok(Some(text.trim_end_matches('\n').to_owned()))
}

/// config.txt as the hook writes it.
fn config(version: &str, custom: Option<&str>) -> String {
    let custom = custom
        .map(|lines| format!("\n# Inserted by {CUSTOM_CONFIG}\n{lines}\n"))
        .unwrap_or_default();
    format!(
        "{CONFIG_HEAD}kernel=vmlinuz-{version}\n\
         # For details on the initramfs directive, see\n\
         # https://www.raspberrypi.org/forums/viewtopic.php?f=63&t=10532\n\
         initramfs initrd.img-{version}\n{custom}"
    )
}

/// cmdline.txt as the hook writes it with our settings: a space before every console, none for CMA=0.
fn command_line(plan: &Plan, ids: &Ids, extra: Option<&str>) -> Result<String> {
    let consoles: Vec<String> = plan
        .consoles
        .iter()
        .map(|console| format!(" console={console}"))
        .collect();
    let consoles = consoles.concat();
    Ok(format!(
        "{consoles} root={} rw fsck.repair=yes net.ifnames=0  rootwait {}\n",
        root_argument(plan, ids)?,
        extra.unwrap_or_default()
    ))
}

/// Adds every file below `directory` under its path there.
fn copy_tree(
    tree: &FileTree,
    directory: &str,
    prefix: &str,
    to: &mut BTreeMap<String, Content>,
) -> Result<()> {
    for (name, entry) in tree.children(directory) {
        let name =
            std::str::from_utf8(name).with_context(|| format!("a name in {directory} is not UTF-8"))?;
        let (path, inner) = (format!("{directory}/{name}"), format!("{prefix}{name}"));
        if entry.is_directory() {
            copy_tree(tree, &path, &format!("{inner}/"), to)?;
        } else {
            to.insert(inner, data(tree, &path, "raspi-firmware")?.clone());
        }
    }
    Ok(())
}

/// The version of the kernel that /vmlinuz leads to: of several, the one that was chosen when the tree was made.
fn first(tree: &FileTree) -> Option<String> {
    let path = tree.resolve("vmlinuz", Follow::All).ok()?;
    let version = path.strip_prefix(b"boot/vmlinuz-")?;
    Some(String::from_utf8_lossy(version).into_owned())
}

/// The newest version among `/boot/<prefix><version>`, by the order that the hook uses.
fn newest(tree: &FileTree, prefix: &str) -> Option<String> {
    tree.children("/boot")
        .filter_map(|(name, _)| std::str::from_utf8(name).ok()?.strip_prefix(prefix))
        .filter(|version| !version.ends_with(".dpkg-bak") && !version.ends_with(".old-dkms"))
        .max_by(|a, b| version::compare_part(a, b))
        .map(str::to_owned)
}

/// The device trees of the kernel, by name. Kernels up to 6.12 keep them beside the modules' package, later ones with
/// the modules.
fn device_trees(tree: &FileTree, version: &str) -> Result<BTreeMap<String, Content>> {
    let places = [
        format!("/usr/lib/linux-image-{version}/broadcom"),
        format!("/usr/lib/modules/{version}/dtb/broadcom"),
    ];
    let mut found = BTreeMap::new();
    for place in &places {
        for (name, _) in tree.children(place) {
            let Ok(name) = std::str::from_utf8(name) else {
                continue;
            };
            let Some(model) = name.strip_suffix(".dtb") else {
                continue;
            };
            if model.starts_with("bcm") {
                let content = data(tree, &format!("{place}/{name}"), "the kernel's package")?;
                found.entry(name.to_owned()).or_insert_with(|| content.clone());
            }
        }
    }
    if let Some(missing) = MODELS.iter().find(|name| !found.contains_key(**name)) {
        bail!(
            "kernel {version} has no device tree {missing}, neither in {} nor in {}",
            places[0],
            places[1]
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::tests::plan;
    use crate::testtree::{file, rooted};
    use clic_recipe::plan::Boot;

    fn tree(versions: &[&str], place: &str) -> FileTree {
        let mut tree = rooted();
        let mut put = |path: String| file(&mut tree, &path, path.as_bytes(), 0o644, 0);
        for name in NEEDED {
            put(format!("{FIRMWARE}/{name}"));
        }
        put(format!("{FIRMWARE}/overlays/some.dtbo"));
        for version in versions {
            put(format!("/boot/vmlinuz-{version}"));
            put(format!("/boot/initrd.img-{version}"));
            for model in MODELS {
                put(place.replace('V', version) + "/" + model);
            }
            put(place.replace('V', version) + "/bcm2835-other.txt");
        }
        tree
    }

    fn content(tree: &FileTree, name: &str) -> String {
        let loader = loader(&plan(Boot::RaspiFirmware), &Ids::derive(b"pi"), tree).unwrap();
        let Content::Bytes(bytes) = &loader.volumes["firmware"].files[name] else {
            panic!("{name} is not text")
        };
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn the_newest_kernel_is_started_wherever_its_device_trees_are() {
        for place in [
            "/usr/lib/linux-image-V/broadcom",
            "/usr/lib/modules/V/dtb/broadcom",
        ] {
            let tree = tree(&["6.1.0-9-arm64", "6.1.0-56-arm64"], place);
            let loader = loader(&plan(Boot::RaspiFirmware), &Ids::derive(b"pi"), &tree).unwrap();
            let names: Vec<&str> = loader.volumes["firmware"]
                .files
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(
                names,
                [
                    "bcm2711-rpi-4-b.dtb",
                    "bcm2837-rpi-3-b-plus.dtb",
                    "bcm2837-rpi-3-b.dtb",
                    "bcm2837-rpi-zero-2-w.dtb",
                    "bootcode.bin",
                    "cmdline.txt",
                    "config.txt",
                    "fixup.dat",
                    "fixup4.dat",
                    "initrd.img-6.1.0-56-arm64",
                    "overlays/some.dtbo",
                    "start.elf",
                    "start4.elf",
                    "vmlinuz-6.1.0-56-arm64",
                ]
            );
            let config = content(&tree, "config.txt");
            assert!(config.contains(
                "\narm_64bit=1\n\nenable_uart=1\nupstream_kernel=1\n\nkernel=vmlinuz-6.1.0-56-arm64\n"
            ));
            assert!(config.ends_with("\ninitramfs initrd.img-6.1.0-56-arm64\n"));
        }
    }

    #[test]
    fn of_several_kernels_the_one_that_was_chosen_is_started() {
        let mut tree = tree(
            &["6.1.0-9-rt-arm64", "6.1.0-56-arm64"],
            "/usr/lib/linux-image-V/broadcom",
        );
        tree.write_symlink("/vmlinuz", "boot/vmlinuz-6.1.0-9-rt-arm64");
        let config = content(&tree, "config.txt");
        assert!(config.contains("\nkernel=vmlinuz-6.1.0-9-rt-arm64\n"), "{config}");
        assert!(
            config.ends_with("\ninitramfs initrd.img-6.1.0-9-rt-arm64\n"),
            "{config}"
        );
    }

    #[test]
    fn the_command_line_is_the_hooks() {
        let tree = tree(&["6.1"], "/usr/lib/linux-image-V/broadcom");
        assert_eq!(
            content(&tree, "cmdline.txt"),
            format!(
                " console=tty1 console=ttyS1,115200 root=UUID={} rw fsck.repair=yes net.ifnames=0  rootwait \n",
                Ids::derive(b"pi").fs_uuid("root")
            )
        );
    }

    #[test]
    fn overlays_may_add_to_both() {
        let mut tree = tree(&["6.1"], "/usr/lib/linux-image-V/broadcom");
        file(&mut tree, CUSTOM_CONFIG, *b"dtparam=audio=on\n\n", 0o644, 0);
        file(&mut tree, CUSTOM_COMMAND_LINE, *b"quiet\n", 0o644, 0);
        assert!(content(&tree, "cmdline.txt").ends_with(" rootwait quiet\n"));
        assert!(
            content(&tree, "config.txt")
                .ends_with("6.1\n\n# Inserted by /etc/default/raspi-firmware-custom\ndtparam=audio=on\n")
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let place = "/usr/lib/linux-image-V/broadcom";
        let why = |tree: &FileTree| {
            let error = loader(&plan(Boot::RaspiFirmware), &Ids::derive(b"pi"), tree).unwrap_err();
            format!("{error:#}")
        };
        let without = |path: &str| {
            let mut tree = tree(&["6.1"], place);
            assert!(tree.get(path).is_some());
            tree.remove(path.as_bytes());
            why(&tree)
        };
        assert_eq!(
            without("/usr/lib/raspi-firmware/start4.elf"),
            "the tree has no /usr/lib/raspi-firmware/start4.elf: package raspi-firmware brings it"
        );
        assert!(without("/boot/vmlinuz-6.1").starts_with("the tree has no kernel"));
        assert!(
            without("/boot/initrd.img-6.1")
                .starts_with("the tree has no /boot/initrd.img-6.1, which update-initramfs")
        );
        assert!(
            without("/usr/lib/linux-image-6.1/broadcom/bcm2711-rpi-4-b.dtb")
                .starts_with("kernel 6.1 has no device tree bcm2711-rpi-4-b.dtb, neither in /usr/lib/linux-image-6.1/broadcom")
        );
        assert!(why(&tree(&[], place)).starts_with("the tree has no kernel"));
    }

    #[test]
    fn versions_have_debians_order() {
        let mut versions = [
            "6.1.0-10-arm64",
            "6.1.0-9-arm64",
            "6.12~rc1",
            "6.12",
            "6.1.0-9-rt-arm64",
            "6.012.1",
            "6.12+x",
        ];
        versions.sort_by(|a, b| version::compare_part(a, b));
        assert_eq!(
            versions,
            [
                "6.1.0-9-arm64",
                "6.1.0-9-rt-arm64",
                "6.1.0-10-arm64",
                "6.12~rc1",
                "6.12",
                "6.12+x",
                "6.012.1"
            ]
        );
    }

    #[test]
    fn the_hook_is_told_what_we_wrote() {
        let files = tree_files(&plan(Boot::RaspiFirmware), &Ids::derive(b"pi")).unwrap();
        let clic_recipe::plan::TreeFileKind::File(content) = &files[1].kind else {
            panic!("no file")
        };
        let text = String::from_utf8(content.data.read().unwrap().to_vec()).unwrap();
        assert!(
            text.contains(&format!(
                "\nROOTPART=\"UUID={}\"\n",
                Ids::derive(b"pi").fs_uuid("root")
            )),
            "{text}"
        );
        assert!(text.contains("\nCONSOLES=\"tty1 ttyS1,115200\"\n"), "{text}");
        assert!(text.contains("\nCMA=0\n"), "{text}");
    }
}
