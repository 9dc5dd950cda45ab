use clic_recipe::plan::{
    Arch, Disk, Emulate, Filesystem, Machine, Named, Partition, PartitionSize, Plan, Table,
};

use super::*;

const MIB: u64 = 1 << 20;

/// A plan with nothing in it but a board.
pub(crate) fn plan(boot: Boot) -> Plan {
    let partition = |name: &str, fs, size| Partition {
        name: name.into(),
        fs,
        size,
        first_sector: None,
    };
    let root = partition("root", Filesystem::Ext4, PartitionSize::Fit { free: 64 * MIB });
    let (name, arch, serial, table, partitions) = match boot {
        Boot::Grub => {
            let bios = partition("bios", Filesystem::BiosBoot, PartitionSize::Fixed(MIB));
            let esp = partition("esp", Filesystem::Fat32, PartitionSize::Fixed(64 * MIB));
            (
                "x86-pc",
                Arch::Amd64,
                "ttyS0,115200",
                Table::Gpt,
                vec![bios, esp, root],
            )
        }
        Boot::RaspiFirmware => {
            let mut firmware = partition("firmware", Filesystem::Fat32, PartitionSize::Fixed(256 * MIB));
            firmware.first_sector = Some(8192);
            (
                "raspberry-pi",
                Arch::Arm64,
                "ttyS1,115200",
                Table::Mbr,
                vec![firmware, root],
            )
        }
    };
    Plan {
        recipe: Named {
            name: "minimal".into(),
            title: "Minimal".into(),
        },
        board: Named {
            name: name.into(),
            title: name.into(),
        },
        arch,
        suite: "bookworm".into(),
        components: vec!["main".into()],
        packages: vec![],
        sources: vec![],
        preseeds: vec![],
        effects: vec![],
        files: vec![],
        units: vec![],
        bakes: vec![],
        checks: vec![],
        overlays: vec![],
        bundles: vec![],
        services: vec![],
        consoles: vec!["tty1".into(), serial.into()],
        disk: Disk { table, partitions },
        boot,
        emulate: Emulate {
            machine: Machine::Pc,
            memory: 1024,
            timeout: 300,
        },
        image_size: None,
        authorized_keys: vec![],
        free_inodes: None,
        of_one_run: vec![],
        varies: vec![],
        places: clic_recipe::plan::Places::default(),
    }
}

fn text(files: &[TreeFile], path: &str) -> String {
    let found = files
        .iter()
        .find(|file| file.path == path)
        .unwrap_or_else(|| panic!("no {path}"));
    let TreeFileKind::File(content) = &found.kind else {
        panic!("{path} is not a file")
    };
    let bytes = content.data.read().unwrap();
    assert_eq!(content.size, bytes.len() as u64);
    assert_eq!(content.sha256, Sha256::of(&bytes));
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn both_boards_mount_by_uuid() {
    let ids = Ids::derive(b"fstab");
    let root = format!(
        "UUID={}  /  ext4  noatime,errors=remount-ro  0  1\n",
        ids.fs_uuid("root")
    );
    let pc = tree_files(&plan(Boot::Grub), &[], &ids, 0).unwrap();
    let esp = ids.fat_uuid("esp");
    assert_eq!(
        text(&pc, "/etc/fstab"),
        format!("{root}UUID={esp}  /boot/efi  vfat  noauto,umask=0077  0  0\n")
    );
    let pi = tree_files(&plan(Boot::RaspiFirmware), &[], &ids, 0).unwrap();
    let firmware = ids.fat_uuid("firmware");
    assert_eq!(
        text(&pi, "/etc/fstab"),
        format!("{root}UUID={firmware}  /boot/firmware  vfat  noatime,umask=0077,nofail  0  2\n")
    );
}

#[test]
fn the_description_lists_every_other_file() {
    let files = tree_files(&plan(Boot::Grub), &[], &Ids::derive(b"x"), 12).unwrap();
    let description = ImageDescription::from_json(text(&files, IMAGE_DESCRIPTION_PATH).as_bytes()).unwrap();
    assert_eq!(description.epoch, 12);
    let listed: Vec<&str> = description.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        listed,
        [
            "/boot/efi",
            "/boot/grub/grub.cfg",
            "/etc/default/grub",
            "/etc/fstab",
            "/etc/grub.d/01_clic-serial",
            "/etc/initramfs-tools/conf.d/clic-root",
            "/usr/lib/clic/boot/early.cfg"
        ]
    );
    let script = files
        .iter()
        .find(|file| file.path.starts_with("/etc/grub.d"))
        .unwrap();
    assert_eq!(script.mode, 0o755);
    assert!(
        files
            .iter()
            .all(|file| file.from == "clic" && file.owner == "root" && file.group == "root")
    );
}

#[test]
fn an_overlay_cannot_bring_what_the_image_makes() {
    let mut plan = plan(Boot::Grub);
    plan.files = vec![TreeFile {
        from: "mine".into(),
        ..file("/etc/fstab", "x")
    }];
    let error = tree_files(&plan, &plan.files, &Ids::derive(b"x"), 0)
        .unwrap_err()
        .downcast::<UserError>()
        .unwrap();
    assert_eq!(
        error.what,
        "overlay \"mine\" brings /etc/fstab, which every image makes itself"
    );
}

#[test]
fn a_board_without_the_partitions_it_needs_is_refused() {
    let mut no_root = plan(Boot::Grub);
    no_root.disk.partitions.pop();
    let error = tree_files(&no_root, &[], &Ids::derive(b"x"), 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "board \"x86-pc\" has no ext4 partition for the root file system"
    );
    let mut no_fat = plan(Boot::RaspiFirmware);
    no_fat.disk.partitions.remove(0);
    let error = tree_files(&no_fat, &[], &Ids::derive(b"x"), 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "board \"raspberry-pi\" has no fat32 partition for its firmware"
    );
}
