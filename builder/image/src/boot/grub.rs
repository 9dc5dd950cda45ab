//! GRUB for PCs: one disk that starts from BIOS, 64-bit UEFI and 32-bit UEFI.
//!
//! `grub-install` wants to be root on the running machine, so none of it is used. GRUB's images are linked by the tree's
//! own `grub-mkimage` and hold every module that a menu needs, the device's later ones included. They are therefore
//! independent of the modules in `/usr/lib/grub`, which a package upgrade may replace at any time.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use clic_recipe::plan::{Filesystem, Plan, TreeFile};
use clic_tree::FileTree;

use crate::ids::Ids;
use crate::layout::{Layout, SECTOR};
use crate::table::BOOT_CODE;

use super::{FatContent, Loader, TreeCommand, data, directory, file, root, root_argument};

/// Where the tree keeps what `grub-mkimage` made.
pub const DIRECTORY: &str = "/usr/lib/clic/boot";

/// Seconds that the menu shows: enough to press a key, not enough to annoy.
const TIMEOUT: u32 = 2;

/// Modules of every platform: reading our disk, running our menu and any that Debian's `update-grub` writes, and the
/// commands that help a person at the prompt.
const MODULES: &[&str] = &[
    "part_gpt",
    "part_msdos",
    "ext2",
    "fat", // disks
    "normal",
    "configfile",
    "search",
    "search_fs_uuid",
    "search_fs_file",
    "search_label", // finding the menu
    "linux",
    "gzio",
    "all_video",
    "video",
    "loadenv",
    "minicmd", // starting a kernel
    "test",
    "true",
    "echo",
    "regexp",
    "sleep",
    "keystatus",
    "eval", // what menus are written with
    "terminal",
    "serial",
    "gfxterm",
    "gfxmenu",
    "font",
    "gettext", // talking to people
    "cat",
    "ls",
    "help",
    "probe",
    "halt",
    "reboot",
    "chain",
];

/// A platform that GRUB is linked for.
struct Target {
    /// GRUB's name of it, also the directory of its modules.
    format: &'static str,
    /// Debian package with its modules.
    package: &'static str,
    /// File in [`DIRECTORY`].
    image: &'static str,
    /// Modules beside [`MODULES`].
    modules: &'static [&'static str],
    /// Where the ESP has it, if it is for UEFI: the removable-medium path, which needs no boot entry in firmware.
    esp: Option<&'static str>,
}

const BIOS: Target = Target {
    format: "i386-pc",
    package: "grub-pc-bin",
    image: "core.img",
    modules: &["biosdisk", "vbe", "vga"],
    esp: None,
};

const TARGETS: [Target; 3] = [
    BIOS,
    Target {
        format: "x86_64-efi",
        package: "grub-efi-amd64-bin",
        image: "bootx64.efi",
        modules: &["efi_gop", "efi_uga", "efifwsetup"],
        esp: Some("EFI/BOOT/BOOTX64.EFI"),
    },
    Target {
        format: "i386-efi",
        package: "grub-efi-ia32-bin",
        image: "bootia32.efi",
        modules: &["efi_gop", "efi_uga", "efifwsetup"],
        esp: Some("EFI/BOOT/BOOTIA32.EFI"),
    },
];

/// Files that GRUB and the device's own `update-grub` need.
pub(super) fn tree_files(plan: &Plan, ids: &Ids) -> Result<Vec<TreeFile>> {
    let uuid = ids.fs_uuid(&root(plan)?.name).to_string();
    let mut files = vec![
        directory("/boot/efi"),
        file("/boot/grub/grub.cfg", menu(plan, ids)?),
        file("/etc/default/grub", defaults(plan)),
        file(&format!("{DIRECTORY}/early.cfg"), early(&uuid)),
    ];
    if let Some(serial) = serial(plan) {
        // Not GRUB_TERMINAL=serial: on a PC without a serial port that ends in two errors and a pause of ten seconds
        // at every boot.
        let script = format!("#!/bin/sh\ncat <<'END'\n{serial}END\n");
        files.push(TreeFile {
            mode: 0o755,
            ..file("/etc/grub.d/01_clic-serial", script)
        });
    }
    Ok(files)
}

/// What GRUB runs first: it is linked into every image. Only simple commands; the script language comes with the menu,
/// which `normal` reads from `$prefix/grub.cfg` afterwards.
fn early(uuid: &str) -> String {
    format!("search.fs_uuid {uuid} root\nset prefix=($root)/boot/grub\n")
}

/// Commands that use the first serial console as well as the screen, if the board has one and the machine too: `serial`
/// fails where there is no port, because GRUB looks for the chip first.
fn serial(plan: &Plan) -> Option<String> {
    let (unit, speed) = plan.consoles.iter().find_map(|console| {
        let port = console.strip_prefix("ttyS")?;
        let (unit, mode) = port.split_once(',').unwrap_or((port, "9600"));
        let digits = mode.find(|c: char| !c.is_ascii_digit()).unwrap_or(mode.len());
        Some((unit.parse::<u32>().ok()?, mode[..digits].parse::<u32>().ok()?))
    })?;
    Some(format!(
        "if serial --unit={unit} --speed={speed}; then\n  \
           terminal_input --append serial\n  \
           terminal_output --append serial\nfi\n"
    ))
}

/// The kernel's arguments after `root=... ro`. A box in a cupboard has nobody to answer fsck's questions.
fn arguments(plan: &Plan) -> String {
    let consoles = plan.consoles.iter().map(|console| format!("console={console}"));
    let words: Vec<String> = std::iter::once("fsck.repair=yes".into())
        .chain(consoles)
        .collect();
    words.join(" ")
}

/// The menu until the device's first `update-grub`.
fn menu(plan: &Plan, ids: &Ids) -> Result<String> {
    let arguments = format!("root={} ro {}", root_argument(plan, ids)?, arguments(plan));
    let entry = |title: &str, old: &str, more: &str| {
        format!(
            "menuentry '{title}' {{\n  linux /vmlinuz{old} {}\n  initrd /initrd.img{old}\n}}\n",
            format!("{arguments} {more}").trim_end()
        )
    };
    // The root account is locked, and a recovery shell that asks for its password helps nobody. Who can choose this
    // entry can as well write init=/bin/sh behind another.
    let rescue = "systemd.unit=rescue.target systemd.setenv=SYSTEMD_SULOGIN_FORCE=1";
    Ok(format!(
        "# For the first boots. The device's own update-grub replaces it.\n\
         set default=0\n\
         set timeout_style=menu\n\
         set timeout={TIMEOUT}\n\
         terminal_input console\n\
         terminal_output console\n\
         {}\n{}{}if [ -e /vmlinuz.old ]; then\n{}fi\n",
        serial(plan).unwrap_or_default(),
        entry("Debian GNU/Linux", "", ""),
        entry("Debian GNU/Linux (recovery mode)", "", rescue),
        entry("Debian GNU/Linux (previous kernel)", ".old", ""),
    ))
}

/// Settings from which `update-grub` makes a menu with the same command line.
fn defaults(plan: &Plan) -> String {
    format!(
        "# Read by update-grub.\n\
         GRUB_DEFAULT=0\n\
         GRUB_TIMEOUT={TIMEOUT}\n\
         GRUB_DISTRIBUTOR=Debian\n\
         GRUB_CMDLINE_LINUX_DEFAULT=\"\"\n\
         GRUB_CMDLINE_LINUX=\"{}\"\n\
         # The serial port, if there is one, is added by /etc/grub.d/01_clic-serial.\n\
         GRUB_TERMINAL=console\n\
         GRUB_DISABLE_OS_PROBER=true\n",
        arguments(plan)
    )
}

/// Links GRUB for every platform with the tree's own tool: another release's may not even run here, and modules only
/// fit the tool that they came with.
pub(super) fn tree_commands(_: &Plan) -> Vec<TreeCommand> {
    TARGETS
        .iter()
        .map(|target| {
            let mut argv = vec![
                "grub-mkimage".to_owned(),
                format!("--format={}", target.format),
                format!("--directory=/usr/lib/grub/{}", target.format),
                "--prefix=/boot/grub".to_owned(),
                format!("--config={DIRECTORY}/early.cfg"),
                format!("--output={DIRECTORY}/{}", target.image),
            ];
            argv.extend(
                MODULES
                    .iter()
                    .chain(target.modules)
                    .map(|module| (*module).to_owned()),
            );
            TreeCommand::new(&format!("linking GRUB for {}", target.format), argv)
        })
        .collect()
}

/// The files of the ESP, the boot code, and the core image for the BIOS boot partition.
pub(super) fn loader(tree: &FileTree, layout: &Layout) -> Result<Loader> {
    let esp = layout
        .holding(Filesystem::Fat32)
        .context("the layout has no EFI system partition")?;
    let bios = layout
        .holding(Filesystem::BiosBoot)
        .context("the layout has no BIOS boot partition")?;
    let mut content = FatContent {
        label: "ESP".into(),
        files: BTreeMap::new(),
    };
    for target in &TARGETS {
        if let Some(path) = target.esp {
            let from = format!("grub-mkimage ({})", target.package);
            let linked = data(tree, &format!("{DIRECTORY}/{}", target.image), &from)?;
            content.files.insert(path.into(), linked.clone());
        }
    }
    let boot_image = tree
        .read_file("/usr/lib/grub/i386-pc/boot.img")
        .context("package grub-pc-bin brings boot.img")?;
    let core_image = tree
        .read_file(format!("{DIRECTORY}/{}", BIOS.image))
        .with_context(|| format!("grub-mkimage ({}) makes core.img", BIOS.package))?;
    let core = core(&core_image, bios.first)?;
    ensure!(
        core.len() as u64 <= bios.bytes(),
        "GRUB's core image has {} bytes, its partition {:?} has {}",
        core.len(),
        bios.name,
        bios.bytes()
    );
    Ok(Loader {
        volumes: BTreeMap::from([(esp.name.clone(), content)]),
        boot_code: boot_code(&boot_image, bios.first)?,
        raw: BTreeMap::from([(bios.name.clone(), core)]),
    })
}

/// Where boot.img keeps the sector of the core image (`GRUB_BOOT_MACHINE_KERNEL_SECTOR`), a 64-bit number.
const KERNEL_SECTOR: usize = 0x5c;
/// The BIOS drive to read it from; 0xff means the drive that the BIOS started (`GRUB_BOOT_MACHINE_BOOT_DRIVE`).
const BOOT_DRIVE: usize = 0x64;
/// A jump over the fix for BIOSes that pass a wrong drive number (`GRUB_BOOT_MACHINE_DRIVE_CHECK`). Two NOPs in its
/// place turn the fix on, as grub-install does on hard disks.
const DRIVE_CHECK: usize = 0x66;
/// The list of blocks at the end of the core image's first sector (`GRUB_BOOT_MACHINE_LIST_SIZE` from its end): first
/// sector (64 bits), number of sectors (16), segment to load to (16).
const BLOCK_LIST: usize = 500;
/// The segment behind the 512 bytes at 0x8000 that the first sector itself takes.
const LOAD_SEGMENT: u16 = 0x820;

/// The code of boot.img for sector 0, which loads the core image from `core_sector`.
fn boot_code(boot_image: &[u8], core_sector: u64) -> Result<[u8; BOOT_CODE]> {
    ensure!(
        boot_image.len() == 512 && boot_image[510..] == [0x55, 0xaa],
        "/usr/lib/grub/i386-pc/boot.img is not a boot sector"
    );
    let mut code = [0; BOOT_CODE];
    code.copy_from_slice(&boot_image[..BOOT_CODE]);
    code[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&core_sector.to_le_bytes());
    code[BOOT_DRIVE] = 0xff;
    code[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
    Ok(code)
}

/// The core image as it lies on the disk from sector `first` on: whole sectors, and its first one knows where the
/// others are.
fn core(core_image: &[u8], first: u64) -> Result<Vec<u8>> {
    let sectors = (core_image.len() as u64).div_ceil(SECTOR);
    let mut core = core_image.to_vec();
    core.resize((sectors * SECTOR) as usize, 0);
    let rest = u16::try_from(sectors.saturating_sub(1)).context("GRUB's core image is larger than 32 MiB")?;
    // grub-mkimage has filled in the length already; anything else there is not the format that we know.
    ensure!(
        core.get(BLOCK_LIST + 8..BLOCK_LIST + 10) == Some(&rest.to_le_bytes()) && rest > 0,
        "{DIRECTORY}/{} is not a core image for BIOSes",
        BIOS.image
    );
    core[BLOCK_LIST..BLOCK_LIST + 8].copy_from_slice(&(first + 1).to_le_bytes());
    core[BLOCK_LIST + 10..BLOCK_LIST + 12].copy_from_slice(&LOAD_SEGMENT.to_le_bytes());
    Ok(core)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::tests::plan;
    use clic_recipe::plan::Boot;

    #[test]
    fn the_menu_starts_the_root_by_its_uuid_on_every_console() {
        let plan = plan(Boot::Grub);
        let ids = Ids::derive(b"menu");
        let menu = menu(&plan, &ids).unwrap();
        let line = format!(
            "  linux /vmlinuz root=UUID={} ro fsck.repair=yes console=tty1 console=ttyS0,115200\n  initrd /initrd.img\n",
            ids.fs_uuid("root")
        );
        assert!(menu.contains(&line), "{menu}");
        assert!(
            menu.contains("if serial --unit=0 --speed=115200; then\n  terminal_input --append serial\n"),
            "{menu}"
        );
        assert!(menu.contains("if [ -e /vmlinuz.old ]; then\nmenuentry"), "{menu}");
        assert!(
            defaults(&plan)
                .contains("GRUB_CMDLINE_LINUX=\"fsck.repair=yes console=tty1 console=ttyS0,115200\"\n")
        );
        assert_eq!(
            early("1-2"),
            "search.fs_uuid 1-2 root\nset prefix=($root)/boot/grub\n"
        );
    }

    #[test]
    fn a_board_without_serial_console_never_names_one() {
        let mut plan = plan(Boot::Grub);
        plan.consoles = vec!["tty1".into()];
        assert_eq!(serial(&plan), None);
        let files = tree_files(&plan, &Ids::derive(b"x")).unwrap();
        assert!(files.iter().all(|file| !file.path.contains("serial")));
        plan.consoles = vec!["ttyS1,57600n8".into()];
        assert!(
            serial(&plan)
                .unwrap()
                .starts_with("if serial --unit=1 --speed=57600; then")
        );
    }

    #[test]
    fn boot_code_and_core_know_where_the_core_lies() {
        let mut image = vec![0x11; 512];
        image[510..].copy_from_slice(&[0x55, 0xaa]);
        let code = boot_code(&image, 2048).unwrap();
        assert_eq!(code[0x5c..0x64], [0, 8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(code[0x64..0x68], [0xff, 0x11, 0x90, 0x90]);
        assert!(code[..0x5c].iter().chain(&code[0x68..]).all(|byte| *byte == 0x11));

        let mut image = vec![0x22; 512 * 3 + 1];
        image[500..512].copy_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0x20, 0x08]);
        let placed = core(&image, 2048).unwrap();
        assert_eq!(placed.len(), 4 * 512);
        assert_eq!(placed[500..512], [1, 8, 0, 0, 0, 0, 0, 0, 3, 0, 0x20, 0x08]);
        assert_eq!(placed[512 * 3..512 * 3 + 2], [0x22, 0]);
    }

    #[test]
    fn files_that_are_not_grubs_are_refused() {
        assert!(
            boot_code(b"garbage", 1)
                .unwrap_err()
                .to_string()
                .contains("boot.img is not a boot sector")
        );
        for garbage in [&b""[..], b"x", &[0; 512], &[0; 5000]] {
            let error = core(garbage, 1).unwrap_err().to_string();
            assert_eq!(
                error,
                "/usr/lib/clic/boot/core.img is not a core image for BIOSes"
            );
        }
    }

    #[test]
    fn each_platform_is_linked_with_its_own_modules() {
        let commands = tree_commands(&plan(Boot::Grub));
        let formats: Vec<&str> = commands.iter().map(|command| command.argv[1].as_str()).collect();
        assert_eq!(
            formats,
            ["--format=i386-pc", "--format=x86_64-efi", "--format=i386-efi"]
        );
        assert!(commands[0].argv.contains(&"biosdisk".to_owned()));
        assert!(!commands[1].argv.contains(&"biosdisk".to_owned()));
    }
}
