//! Small images for tests, made by the usual tools (mke2fs, mkfs.fat, mtools, sfdisk) and not by this crate's writers,
//! so that reading and writing are not wrong in the same way.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use clic_host::{Cmd, Sha256};
use clic_recipe::plan::{
    Arch, Boot, Disk, Emulate, Filesystem, Machine, Named, Partition, PartitionSize, Table, UnitChange,
    UnitState,
};
use tempfile::TempDir;

use crate::embedded::{DescribedFile, DescribedKind, ImageDescription, SCHEMA};

pub(crate) const ROOT_UUID: &str = "11111111-2222-4333-8444-555555555555";
pub(crate) const FAT_UUID: &str = "ABCD-1234";
const MIB: u64 = 1 << 20;
const FAT_SIZE: u64 = 40 * MIB;
const ROOT_SIZE: u64 = 24 * MIB;

/// A tree, a FAT's files and a plan, to be spoiled by a test and then built.
pub(crate) struct TestImage {
    dir: TempDir,
    pub description: ImageDescription,
    /// debugfs commands for what a plain user's tree cannot say.
    pub debugfs: Vec<String>,
    /// Further options of mke2fs.
    pub mke2fs: Vec<String>,
    /// Whether the description goes into the tree.
    pub described: bool,
}

impl TestImage {
    fn new(boot: Boot) -> Self {
        let grub = boot == Boot::Grub;
        let part = |name: &str, fs, size, first_sector| Partition {
            name: name.into(),
            fs,
            size,
            first_sector,
        };
        let fit = PartitionSize::Fit { free: MIB };
        let (name, table, partitions) = if grub {
            let partitions = vec![
                part("bios", Filesystem::BiosBoot, PartitionSize::Fixed(MIB), None),
                part("esp", Filesystem::Fat32, PartitionSize::Fixed(FAT_SIZE), None),
                part("root", Filesystem::Ext4, fit, None),
            ];
            ("x86-pc", Table::Gpt, partitions)
        } else {
            let partitions = vec![
                part(
                    "firmware",
                    Filesystem::Fat32,
                    PartitionSize::Fixed(FAT_SIZE),
                    Some(8192),
                ),
                part("root", Filesystem::Ext4, fit, None),
            ];
            ("raspberry-pi", Table::Mbr, partitions)
        };
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::create_dir(dir.path().join("fat")).unwrap();
        fs::set_permissions(dir.path().join("root"), fs::Permissions::from_mode(0o755)).unwrap();
        let description = ImageDescription {
            schema: SCHEMA,
            recipe: Named {
                name: "minimal".into(),
                title: "Minimal".into(),
            },
            board: Named {
                name: name.into(),
                title: name.into(),
            },
            arch: if grub { Arch::Amd64 } else { Arch::Arm64 },
            suite: "bookworm".into(),
            consoles: vec!["tty1".into()],
            boot,
            disk: Disk { table, partitions },
            emulate: Emulate {
                machine: if grub { Machine::Pc } else { Machine::Raspi3b },
                memory: 1024,
                timeout: 60,
            },
            overlays: vec![],
            units: vec![],
            checks: vec![],
            files: vec![],
            authorized_keys: vec![],
            epoch: 1_700_000_000,
        };
        Self {
            dir,
            description,
            debugfs: vec![],
            mke2fs: vec![],
            described: true,
        }
    }

    /// A good image for PCs.
    pub fn x86() -> Self {
        let mut image = Self::new(Boot::Grub);
        image.system("amd64", 62, &kernel(0x202, b"HdrS"));
        let menu = format!(
            "set timeout=2\nmenuentry 'Debian' {{\n  linux /vmlinuz root=UUID={ROOT_UUID} ro\n  initrd /initrd.img\n}}\n\
             if [ -e /vmlinuz.old ]; then\nmenuentry 'old' {{\n  linux /vmlinuz.old root=UUID={ROOT_UUID}\n  \
             initrd /initrd.img.old\n}}\nfi\n"
        );
        image.plan("/boot/grub/grub.cfg", menu.as_bytes(), 0o644);
        let mut core = vec![b'c'; 1100];
        core[500..512].copy_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0x20, 8]);
        image.write("/usr/lib/clic/boot/core.img", &core);
        for (name, machine) in [("x64", 0x8664_u16), ("ia32", 0x014c)] {
            let bytes = efi(
                machine,
                &format!("search.fs_uuid {ROOT_UUID} root\nset prefix=($root)/boot/grub\n"),
            );
            image.write(&format!("/usr/lib/clic/boot/boot{name}.efi"), &bytes);
            image.fat_write(&format!("EFI/BOOT/BOOT{}.EFI", name.to_uppercase()), &bytes);
        }
        image
    }

    /// A good image for Raspberry Pis.
    pub fn raspi() -> Self {
        let mut image = Self::new(Boot::RaspiFirmware);
        let kernel = kernel(56, b"ARM\x64");
        image.system("arm64", 183, &kernel);
        image.mkdir("/boot/firmware");
        let defaults = format!("ROOTPART=\"UUID={ROOT_UUID}\"\nCMA=0\n");
        image.plan("/etc/default/raspi-firmware", defaults.as_bytes(), 0o644);
        for name in [
            "bootcode.bin",
            "start.elf",
            "fixup.dat",
            "start4.elf",
            "fixup4.dat",
            "overlays/x.dtbo",
        ] {
            image.fat_write(name, name.as_bytes());
        }
        for name in [
            "2837-rpi-3-b",
            "2837-rpi-3-b-plus",
            "2711-rpi-4-b",
            "2837-rpi-zero-2-w",
        ] {
            image.fat_write(&format!("bcm{name}.dtb"), &[0xd0, 0x0d, 0xfe, 0xed, 0, 0]);
        }
        image.fat_write("vmlinuz-6.1-arm64", &kernel);
        image.fat_write("initrd.img-6.1-arm64", INITRAMFS);
        image.fat_write(
            "config.txt",
            b"arm_64bit=1\nupstream_kernel=1\nkernel=vmlinuz-6.1-arm64\ninitramfs initrd.img-6.1-arm64\n",
        );
        image.fat_write(
            "cmdline.txt",
            format!("console=tty1 root=UUID={ROOT_UUID} rw rootwait\n").as_bytes(),
        );
        image
    }

    fn system(&mut self, arch: &str, machine: u8, kernel: &[u8]) {
        for (path, target) in [("lib", "usr/lib"), ("sbin", "usr/sbin"), ("bin", "usr/bin")] {
            self.mkdir(&format!("/{target}"));
            self.link(&format!("/{path}"), target);
        }
        for path in [
            "/var/log",
            "/var/lib/apt/lists/partial",
            "/root",
            "/home",
            "/tmp",
            "/etc/ssh",
            "/run",
        ] {
            self.mkdir(path);
        }
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        elf[18] = machine;
        self.write("/usr/lib/systemd/systemd", &elf);
        self.chmod("/usr/lib/systemd/systemd", 0o755);
        self.link("/usr/sbin/init", "/lib/systemd/systemd");
        self.write(&format!("/boot/vmlinuz-6.1-{arch}"), kernel);
        self.write(&format!("/boot/initrd.img-6.1-{arch}"), INITRAMFS);
        self.mkdir(&format!("/usr/lib/modules/6.1-{arch}"));
        self.link("/vmlinuz", &format!("boot/vmlinuz-6.1-{arch}"));
        self.link("/initrd.img", &format!("boot/initrd.img-6.1-{arch}"));
        let passwd = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:d:/usr/sbin:/bin/false\n";
        self.write("/etc/passwd", passwd.as_bytes());
        self.write("/etc/group", b"root:x:0:\ndaemon:x:1:\nshadow:x:42:\n");
        self.write(
            "/etc/shadow",
            b"root:*:19000:0:99999:7:::\ndaemon:!:19000::::::\n",
        );
        self.write("/etc/machine-id", b"");
        self.write("/etc/os-release", b"ID=debian\n");
        let fstab =
            format!("UUID={ROOT_UUID} / ext4 defaults 0 1\nUUID={FAT_UUID} /boot/x vfat noauto 0 0\n");
        self.plan("/etc/fstab", fstab.as_bytes(), 0o644);
        self.plan("/etc/hostname", b"box\n", 0o644);
        self.plan_link("/etc/localtime", "/usr/share/zoneinfo/UTC");
        self.package_status("base-files", "12.4", "install ok installed");
        self.write("/var/log/lastlog", b"");
        self.link(
            "/etc/systemd/system/multi-user.target.wants/ssh.service",
            "/lib/systemd/system/ssh.service",
        );
        self.description.units.push(UnitChange {
            name: "ssh.service".into(),
            state: UnitState::Enabled,
            from: "base".into(),
        });
    }

    /// Adds a package to dpkg's record.
    pub fn package_status(&self, name: &str, version: &str, status: &str) {
        let path = self.path("/var/lib/dpkg/status");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        write!(
            file,
            "Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: {version}\n\n"
        )
        .unwrap();
    }

    /// Where a path of the tree is on this machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path.trim_start_matches('/'))
    }

    pub fn mkdir(&self, path: &str) {
        fs::create_dir_all(self.path(path)).unwrap();
    }

    pub fn link(&self, path: &str, target: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        symlink(target, self.path(path)).unwrap();
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), bytes).unwrap();
        self.chmod(path, 0o644);
    }

    pub fn chmod(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    /// Writes a file and records it as planned.
    pub fn plan(&mut self, path: &str, bytes: &[u8], mode: u32) {
        self.write(path, bytes);
        self.chmod(path, mode);
        self.describe(
            path,
            DescribedKind::File {
                sha256: Sha256::of(bytes),
                size: bytes.len() as u64,
            },
            mode,
        );
    }

    pub fn plan_link(&mut self, path: &str, target: &str) {
        self.link(path, target);
        self.describe(
            path,
            DescribedKind::Symlink {
                target: target.into(),
            },
            0o777,
        );
    }

    fn describe(&mut self, path: &str, kind: DescribedKind, mode: u32) {
        self.description.files.retain(|file| file.path != path);
        self.description.files.push(DescribedFile {
            path: path.into(),
            from: "base".into(),
            kind,
            mode,
            owner: "root".into(),
            group: "root".into(),
        });
        self.description.files.sort_by(|a, b| a.path.cmp(&b.path));
    }

    pub fn fat_path(&self, path: &str) -> PathBuf {
        self.dir.path().join("fat").join(path)
    }

    pub fn fat_write(&self, path: &str, bytes: &[u8]) {
        fs::create_dir_all(self.fat_path(path).parent().unwrap()).unwrap();
        fs::write(self.fat_path(path), bytes).unwrap();
    }

    /// Makes the image; it lives as long as this value.
    pub fn build(&self) -> PathBuf {
        if self.described {
            self.write("/usr/lib/clic/image.json", &self.description.to_json().unwrap());
        }
        let dir = self.dir.path();
        let image = dir.join("test.img");
        let (fat, root) = (dir.join("fat.img"), dir.join("root.img"));
        self.make_root(&root);
        make_fat(&dir.join("fat"), &fat);
        let grub = self.description.boot == Boot::Grub;
        let fat_at = if grub { 2 * MIB } else { 4 * MIB };
        let root_at = fat_at + FAT_SIZE;
        let file = File::create(&image).unwrap();
        file.set_len(root_at + ROOT_SIZE + MIB).unwrap();
        sfdisk(&image, grub, fat_at / 512, root_at / 512);
        copy(&fat, &file, fat_at);
        copy(&root, &file, root_at);
        if grub {
            self.boot_loader(&image);
        }
        image
    }

    fn make_root(&self, to: &Path) {
        let tree = self.dir.path().join("root");
        let size = format!("{}k", ROOT_SIZE / 1024);
        let mke2fs = Cmd::new("mke2fs")
            .clean_env()
            .args(["-q", "-F", "-t", "ext4", "-U", ROOT_UUID]);
        run(mke2fs
            .args(&self.mke2fs)
            .arg("-d")
            .arg(tree.as_os_str())
            .arg(to)
            .arg(size));
        let mut commands = String::new();
        own(&tree, &tree, &mut commands);
        for command in &self.debugfs {
            commands.push_str(command);
            commands.push('\n');
        }
        run(Cmd::new("debugfs")
            .clean_env()
            .args(["-w", "-f", "-"])
            .arg(to)
            .stdin(commands));
    }

    /// Stands in for grub-install.
    fn boot_loader(&self, image: &Path) {
        let mut boot = vec![0x90; 440];
        boot[0x180..0x185].copy_from_slice(b"GRUB ");
        boot[0x5c..0x64].copy_from_slice(&2048_u64.to_le_bytes());
        boot[0x64] = 0xff;
        patch(image, 0, &boot);
        patch(image, 446, &[0x80]);
        let mut core = fs::read(self.path("/usr/lib/clic/boot/core.img")).unwrap();
        core[500..508].copy_from_slice(&2049_u64.to_le_bytes());
        patch(image, 2048 * 512, &core);
    }
}

const INITRAMFS: &[u8] = b"070701 an initramfs";

fn kernel(at: usize, magic: &[u8]) -> Vec<u8> {
    let mut kernel = vec![7; 4096];
    kernel[at..at + magic.len()].copy_from_slice(magic);
    kernel
}

/// The least that is an EFI application.
pub(crate) fn efi(machine: u16, config: &str) -> Vec<u8> {
    let mut bytes = vec![0; 256];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x40;
    bytes[0x40..0x44].copy_from_slice(b"PE\0\0");
    bytes[0x44..0x46].copy_from_slice(&machine.to_le_bytes());
    bytes[0x40 + 92] = 10;
    bytes.extend_from_slice(config.as_bytes());
    bytes
}

/// Overwrites bytes of an image.
pub(crate) fn patch(image: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new()
        .write(true)
        .open(image)
        .unwrap()
        .write_all_at(bytes, at)
        .unwrap();
}

/// debugfs commands that give everything below `at` to root.
fn own(top: &Path, at: &Path, commands: &mut String) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(top).unwrap().display().to_string();
        commands.extend(["sif \"/", &name, "\" uid 0\nsif \"/", &name, "\" gid 0\n"]);
        if path.symlink_metadata().unwrap().is_dir() {
            own(top, &path, commands);
        }
    }
}

fn make_fat(from: &Path, to: &Path) {
    let blocks = (FAT_SIZE / 1024).to_string();
    let id = FAT_UUID.replace('-', "");
    run(Cmd::new("mkfs.fat")
        .clean_env()
        .args(["-F", "32", "-s", "1", "-n", "BOOT", "-i", &id, "-C"])
        .arg(to)
        .arg(blocks));
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        run(Cmd::new("mcopy")
            .clean_env()
            .args(["-s", "-Q", "-i"])
            .arg(to)
            .arg(path)
            .arg("::/"));
    }
}

fn sfdisk(image: &Path, grub: bool, fat: u64, root: u64) {
    let root_sectors = ROOT_SIZE / 512;
    let fat_sectors = FAT_SIZE / 512;
    let script = if grub {
        format!(
            "label: gpt\nlabel-id: AAAAAAAA-0000-4000-8000-000000000000\n\
             start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, name=bios, uuid=AAAAAAAA-0000-4000-8000-000000000001\n\
             start={fat}, size={fat_sectors}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=esp, uuid=AAAAAAAA-0000-4000-8000-000000000002\n\
             start={root}, size={root_sectors}, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=root, uuid=AAAAAAAA-0000-4000-8000-000000000003\n"
        )
    } else {
        format!(
            "label: dos\nlabel-id: 0x12345678\nstart={fat}, size={fat_sectors}, type=c\nstart={root}, size={root_sectors}, type=83\n"
        )
    };
    run(Cmd::new("sfdisk")
        .clean_env()
        .args(["-q", "--no-reread", "--no-tell-kernel"])
        .arg(image)
        .stdin(script));
}

/// Copies a file into an image, leaving its holes.
fn copy(from: &Path, file: &File, at: u64) {
    let bytes = fs::read(from).unwrap();
    for (number, block) in (0_u64..).zip(bytes.chunks(4096)) {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, at + number * 4096).unwrap();
        }
    }
}

/// Runs a tool that tests need; its absence fails the test with the reason.
fn run(command: Cmd) {
    let line = command.line();
    command
        .output()
        .unwrap_or_else(|error| panic!("{line}: {error:#} (packages: e2fsprogs dosfstools mtools fdisk)"));
}
