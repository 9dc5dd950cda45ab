mod disk;

use std::path::Path;

use super::*;
use crate::testimage::{FAT_UUID, ROOT_UUID, TestImage, efi, patch};

fn violations(image: &TestImage, path: &Path) -> Vec<String> {
    let disk = DiskImage::open(path).unwrap();
    let expected = Expected::planned(image.description.clone());
    let found = verify(&disk, &expected).unwrap();
    assert!(found.iter().all(|violation| !violation.help.is_empty()));
    found
        .iter()
        .map(|violation| format!("{}: {}", violation.rule, violation.what))
        .collect()
}

/// Builds, and asserts that exactly these are found (each by its beginning).
fn expect(image: &TestImage, wanted: &[&str]) {
    let found = violations(image, &image.build());
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.starts_with(wanted), "found  {found}\nwanted {wanted}");
    }
}

fn x86(spoil: impl FnOnce(&mut TestImage), wanted: &[&str]) {
    let mut image = TestImage::x86();
    spoil(&mut image);
    expect(&image, wanted);
}

fn raspi(spoil: impl FnOnce(&mut TestImage), wanted: &[&str]) {
    let mut image = TestImage::raspi();
    spoil(&mut image);
    expect(&image, wanted);
}

/// Spoils bytes of a finished image for PCs.
fn patched(changes: &[(u64, &[u8])], wanted: &[&str]) {
    let image = TestImage::x86();
    let path = image.build();
    for (at, bytes) in changes {
        patch(&path, *at, bytes);
    }
    let found = violations(&image, &path);
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.starts_with(wanted), "found  {found}\nwanted {wanted}");
    }
}

#[test]
fn rules_have_names_of_their_own() {
    let mut ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), RULES.len());
}

#[test]
fn a_good_pc_image_passes() {
    x86(|_| {}, &[]);
    let image = TestImage::x86();
    let disk = DiskImage::open(&image.build()).unwrap();
    assert!(verify(&disk, &Expected::of(&disk).unwrap()).unwrap().is_empty());
}

#[test]
fn a_good_raspberry_pi_image_passes() {
    raspi(|_| {}, &[]);
}

#[test]
fn an_image_without_description_is_a_users_error() {
    let mut image = TestImage::x86();
    image.described = false;
    let disk = DiskImage::open(&image.build()).unwrap();
    let error = Expected::of(&disk).unwrap_err().downcast::<UserError>().unwrap();
    assert!(
        error
            .what
            .ends_with("was not built by CLIC!: it has no description"),
        "{error}"
    );
    assert_eq!(
        violations(&image, disk.path()),
        ["description: /usr/lib/clic/image.json is missing"]
    );
}

#[test]
fn a_description_of_something_else_is_found() {
    let mut image = TestImage::x86();
    let path = image.build();
    image.description.suite = "trixie".into();
    assert_eq!(
        violations(&image, &path),
        ["description: /usr/lib/clic/image.json does not describe the plan"]
    );
}

#[test]
fn no_init() {
    x86(
        |i| i.remove("/usr/sbin/init"),
        &["init: no init: /sbin/init is missing"],
    );
    x86(
        |i| i.remove("/usr/lib/systemd/systemd"),
        &["init: no init: /sbin/init points to /lib/systemd/systemd, which is missing"],
    );
    x86(
        |i| i.chmod("/usr/lib/systemd/systemd", 0o644),
        &["init: no init: /sbin/init leads to /usr/lib/systemd/systemd, a file with mode 0644"],
    );
    x86(
        |i| {
            i.write(
                "/usr/lib/systemd/systemd",
                &[
                    0x7f, b'E', b'L', b'F', 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 183, 0,
                ],
            );
            i.chmod("/usr/lib/systemd/systemd", 0o755);
        },
        &["init: no init: /usr/lib/systemd/systemd is not a program for amd64"],
    );
}

#[test]
fn corrupt_grub_cfg() {
    let spoil = |text: String| move |i: &mut TestImage| i.plan("/boot/grub/grub.cfg", text.as_bytes(), 0o644);
    let entry = |linux: &str, initrd: &str| {
        format!("menuentry 'x' {{\nlinux {linux} root=UUID={ROOT_UUID}\ninitrd {initrd}\n}}\n")
    };
    x86(
        spoil(format!(
            "menuentry 'x' {{\nlinux /vmlinuz root=UUID={ROOT_UUID}\n"
        )),
        &["boot-menu: /boot/grub/grub.cfg is damaged: the `{` in line 1 has no end"],
    );
    x86(
        spoil("set timeout=1\n".into()),
        &["boot-menu: /boot/grub/grub.cfg is damaged: it has no menuentry"],
    );
    x86(
        spoil(entry("/vmlinuz-9", "/initrd.img")),
        &["boot-menu: /boot/grub/grub.cfg starts /vmlinuz-9, which is missing"],
    );
    x86(
        spoil(entry("/etc/passwd", "/initrd.img")),
        &["boot-menu: /boot/grub/grub.cfg starts /etc/passwd, which is not an amd64 kernel"],
    );
    x86(
        spoil(entry("/vmlinuz", "/etc/passwd")),
        &["boot-menu: /boot/grub/grub.cfg loads /etc/passwd, which is not an initramfs"],
    );
    x86(
        |i| {
            i.remove("/boot/grub/grub.cfg");
            i.description
                .files
                .retain(|file| file.path != "/boot/grub/grub.cfg");
        },
        &["boot-menu: /boot/grub/grub.cfg is missing"],
    );
    x86(
        |i| std::fs::remove_dir(i.path("/usr/lib/modules/6.1-amd64")).unwrap(),
        &["boot-menu: /lib/modules/6.1-amd64, the modules of vmlinuz-6.1-amd64, is missing"],
    );
}

#[test]
fn root_uuid_wrong() {
    let other = "99999999-2222-4333-8444-555555555555";
    x86(
        |i| {
            let text = std::fs::read_to_string(i.path("/boot/grub/grub.cfg")).unwrap();
            i.plan(
                "/boot/grub/grub.cfg",
                text.replace(ROOT_UUID, other).as_bytes(),
                0o644,
            );
        },
        &[
            &format!(
                "root-uuid: root UUID wrong: /boot/grub/grub.cfg (root=) names UUID={other}, the root file system is UUID={ROOT_UUID}"
            ),
            "root-uuid: root UUID wrong: /boot/grub/grub.cfg (root=)",
        ],
    );
    x86(
        |i| {
            i.plan(
                "/etc/fstab",
                format!("UUID={other} / ext4 defaults 0 1\n").as_bytes(),
                0o644,
            );
        },
        &["root-uuid: root UUID wrong: /etc/fstab (/) names UUID=9999"],
    );
    x86(
        |i| i.plan("/etc/fstab", b"# none\n", 0o644),
        &["root-uuid: /etc/fstab has no line for /"],
    );
    x86(
        |i| {
            let text =
                format!("UUID={ROOT_UUID} / ext4 defaults 0 1\nUUID=0000-0000 /boot/efi vfat noauto 0 0\n");
            i.plan("/etc/fstab", text.as_bytes(), 0o644);
        },
        &[
            "root-uuid: /etc/fstab mounts /boot/efi from UUID=0000-0000, which is not a partition of the image",
        ],
    );
    x86(
        |i| {
            let bytes = efi(0x8664, &format!("search.fs_uuid {other} root\n"));
            i.write("/usr/lib/clic/boot/bootx64.efi", &bytes);
            i.fat_write("EFI/BOOT/BOOTX64.EFI", &bytes);
        },
        &["root-uuid: root UUID wrong: esp:/EFI/BOOT/BOOTX64.EFI (search)"],
    );
    raspi(
        |i| i.fat_write("cmdline.txt", format!("root=UUID={other} rw\n").as_bytes()),
        &["root-uuid: root UUID wrong: firmware:/cmdline.txt (root=)"],
    );
    raspi(
        |i| i.plan("/etc/default/raspi-firmware", b"ROOTPART=LABEL=x\n", 0o644),
        &["root-uuid: root UUID wrong: /etc/default/raspi-firmware (ROOTPART) names LABEL=x"],
    );
}

#[test]
fn overlay_files_are_compared() {
    x86(
        |i| i.chmod("/etc/hostname", 0o600),
        &["files: /etc/hostname: mode is 0600; planned: 0644 (overlay base)"],
    );
    x86(
        |i| i.write("/etc/hostname", b"fox\n"),
        &["files: /etc/hostname: content is different; planned: sha256"],
    );
    x86(
        |i| i.write("/etc/hostname", b"longer\n"),
        &["files: /etc/hostname: size is 7 bytes; planned: 4 bytes (overlay base)"],
    );
    x86(
        |i| i.remove("/etc/hostname"),
        &["files: /etc/hostname is missing (overlay base)"],
    );
    x86(
        |i| i.debugfs.push("sif /etc/hostname uid 5".into()),
        &["files: /etc/hostname: owner is 5; planned: root (0) (overlay base)"],
    );
    x86(
        |i| {
            i.remove("/etc/localtime");
            i.link("/etc/localtime", "/elsewhere");
        },
        &["files: /etc/localtime: target is /elsewhere; planned: /usr/share/zoneinfo/UTC"],
    );
    x86(
        |i| {
            i.remove("/etc/hostname");
            i.link("/etc/hostname", "/etc/os-release");
        },
        &["files: /etc/hostname: type is symlink; planned: file"],
    );
    x86(
        |i| i.description.files[0].group = "nobody".into(),
        &["files: /boot/grub/grub.cfg: group nobody does not exist in the image"],
    );
}

#[test]
fn units_and_packages_are_looked_at() {
    let ssh = "/etc/systemd/system/multi-user.target.wants/ssh.service";
    x86(|i| i.remove(ssh), &["units: unit ssh.service is not enabled"]);
    x86(
        |i| i.description.units[0].state = clic_recipe::plan::UnitState::Disabled,
        &["units: unit ssh.service is enabled; planned: disabled"],
    );
    x86(
        |i| i.description.units[0].state = clic_recipe::plan::UnitState::Masked,
        &["units: unit ssh.service is not masked"],
    );
    x86(
        |i| i.package_status("grub-pc", "2", "install ok half-configured"),
        &["packages: package grub-pc is half-configured, not installed"],
    );
}

#[test]
fn secrets_are_found() {
    x86(
        |i| i.write("/etc/machine-id", b"0123456789abcdef0123456789abcdef\n"),
        &["secrets: /etc/machine-id is a file of 33 bytes; expected: an empty file"],
    );
    x86(
        |i| i.remove("/etc/machine-id"),
        &["secrets: /etc/machine-id is missing"],
    );
    x86(
        |i| {
            i.write(
                "/etc/ssh/ssh_host_ed25519_key",
                b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
            );
            i.write("/etc/ssh/ssh_host_ed25519_key.pub", b"ssh-ed25519 AAAA\n");
        },
        &[
            "secrets: /etc/ssh/ssh_host_ed25519_key is an SSH host key",
            "secrets: /etc/ssh/ssh_host_ed25519_key.pub is an SSH host key",
        ],
    );
    x86(
        |i| {
            i.write(
                "/etc/ssl/private/ssl-cert-snakeoil.key",
                b"-----BEGIN PRIVATE KEY-----\nMII\n",
            );
            i.write(
                "/var/lib/x/ca.pem",
                b"cert\n-----BEGIN RSA PRIVATE KEY-----\nMII\n",
            );
        },
        &[
            "secrets: /etc/ssl/private/ssl-cert-snakeoil.key holds a private key",
            "secrets: /var/lib/x/ca.pem holds a private key",
        ],
    );
    x86(
        |i| {
            i.write(
                "/etc/shadow",
                b"root::1::::::\nuser:$y$abc:1::::::\nold:!$6$x:1::::::\nok:!*:1::::::\n",
            );
        },
        &[
            "secrets: /etc/shadow: account root has an empty password",
            "secrets: /etc/shadow: account user has a password",
            "secrets: /etc/shadow: account old has a password",
        ],
    );
    x86(
        |i| {
            i.write(
                "/usr/lib/clic/first-boot.d/50-pads.toml",
                b"schema = 1\ntitle = \"the pads' secrets\"\nsecrets = [\"/srv/pads/*/token\"]\nnever-in-image = [\"/srv/none\"]\n\
                  [[file]]\npath = \"/srv/pads/salt\"\ntext = \"x\"\n[[certificate]]\nkey = \"/srv/pads/empty\"\n",
            );
            i.write("/usr/lib/clic/first-boot.d/60-bad.toml", b"schema = 1\n");
            i.write("/srv/pads/one/token", b"t");
            i.write("/srv/pads/salt", b"s");
            i.write("/srv/pads/empty", b"");
        },
        &[
            "secrets: /srv/pads/salt is a secret that each device makes (/usr/lib/clic/first-boot.d/50-pads.toml: the pads' secrets)",
            "secrets: /srv/pads/one/token is a secret that each device makes",
            "secrets: /usr/lib/clic/first-boot.d/60-bad.toml is not a step of a first start: missing field `title`",
        ],
    );
    x86(
        |i| i.write("/root/.ssh/authorized_keys", b"ssh-ed25519 AAAA me\n"),
        &["secrets: /root/.ssh/authorized_keys allows a login that nobody asked for"],
    );
    x86(
        |i| i.plan("/root/.ssh/authorized_keys", b"ssh-ed25519 AAAA me\n", 0o600),
        &[],
    );
    x86(
        |i| {
            i.write("/var/lib/systemd/random-seed", b"x");
            i.write("/var/lib/dbus/machine-id", b"x");
            i.write("/root/.netrc", b"machine x\n");
            i.write(
                "/etc/apt/sources.list",
                b"deb https://me:pw@host/debian bookworm main\n",
            );
        },
        &[
            "secrets: /var/lib/dbus/machine-id is a file of its own",
            "secrets: /var/lib/systemd/random-seed exists: every device would start from the same randomness",
            "secrets: /root/.netrc holds credentials",
            "secrets: /etc/apt/sources.list holds a mirror's credentials",
        ],
    );
}

#[test]
fn leftovers_are_found() {
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    x86(
        |i| {
            i.write("/var/lib/apt/lists/deb_InRelease", b"x");
            i.write("/var/lib/apt/lists/lock", b"");
            i.write("/var/cache/apt/pkgcache.bin", b"x");
            i.write("/var/log/dpkg.log", b"x");
            i.write("/usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n");
            i.write("/etc/resolv.conf", b"# x\nnameserver 192.0.2.1\n");
        },
        &[
            "clean: /var/lib/apt/lists/deb_InRelease (1 bytes) is an apt list",
            "clean: /var/cache/apt/pkgcache.bin (1 bytes) is apt's cache",
            "clean: /var/log/dpkg.log (1 bytes) is a log of the build",
            "clean: /usr/sbin/policy-rc.d is a leftover of the build",
            "clean: /etc/resolv.conf carries the builder's resolver: nameserver 192.0.2.1",
        ],
    );
    if node.len() > 2 && !matches!(node.as_str(), "localhost" | "debian" | "clic") {
        x86(
            |i| i.write("/etc/mailname", format!("{node}\n").as_bytes()),
            &[&format!(
                "clean: /etc/mailname has the builder's host name {node} in it"
            )],
        );
    }
}

#[test]
fn the_bios_chain_is_checked() {
    let bios = 2048 * 512;
    patched(
        &[(0x5c, &[1])],
        &["boot-bios: boot.img loads sector 2049, the BIOS boot partition begins at sector 2048"],
    );
    patched(
        &[(0x64, &[0])],
        &["boot-bios: boot.img is not patched to boot from the drive that the BIOS names"],
    );
    patched(&[(446, &[0])], &["boot-bios: no entry of the MBR is active"]);
    patched(&[(0, &[0; 440])], &["boot-bios: sector 0 has no GRUB boot code"]);
    patched(
        &[(bios, &[0; 2048])],
        &["boot-bios: the BIOS boot partition is empty: core.img is missing"],
    );
    patched(
        &[(bios + 500, &[2, 0])],
        &["boot-bios: core.img's blocklist begins at sector 2; expected: 2049"],
    );
    patched(
        &[(bios + 508, &[9])],
        &["boot-bios: core.img's blocklist is 9 sectors to segment 0x820; expected: 2 to 0x820"],
    );
    patched(
        &[(bios + 900, b"xx")],
        &["boot-bios: core.img in the BIOS boot partition is not /usr/lib/clic/boot/core.img"],
    );
}

#[test]
fn the_uefi_chain_is_checked() {
    x86(
        |i| std::fs::remove_file(i.fat_path("EFI/BOOT/BOOTIA32.EFI")).unwrap(),
        &["boot-uefi: esp:/EFI/BOOT/BOOTIA32.EFI is missing"],
    );
    x86(
        |i| i.fat_write("EFI/BOOT/BOOTX64.EFI", b"MZ"),
        &["boot-uefi: esp:/EFI/BOOT/BOOTX64.EFI is not an EFI program"],
    );
    x86(
        |i| i.fat_write("EFI/BOOT/BOOTX64.EFI", &efi(0x014c, "")),
        &["boot-uefi: esp:/EFI/BOOT/BOOTX64.EFI is for machine 0x014c; expected: 0x8664"],
    );
    x86(
        |i| i.fat_write("EFI/BOOT/BOOTX64.EFI", &efi(0x8664, "")),
        &["boot-uefi: esp:/EFI/BOOT/BOOTX64.EFI is not /usr/lib/clic/boot/bootx64.efi"],
    );
}

#[test]
fn the_raspberry_pi_chain_is_checked() {
    let remove =
        |name: &'static str| move |i: &mut TestImage| std::fs::remove_file(i.fat_path(name)).unwrap();
    raspi(
        remove("start4.elf"),
        &["boot-raspi: firmware:/start4.elf is missing"],
    );
    raspi(
        remove("bcm2711-rpi-4-b.dtb"),
        &["boot-raspi: firmware:/bcm2711-rpi-4-b.dtb (device tree of the Pi 4 B) is missing"],
    );
    raspi(
        remove("vmlinuz-6.1-arm64"),
        &["boot-raspi: firmware:/config.txt names the kernel vmlinuz-6.1-arm64, which is missing"],
    );
    raspi(
        |i| i.fat_write("initrd.img-6.1-arm64", b"070701 another"),
        &["boot-raspi: firmware:/initrd.img-6.1-arm64 is not the initramfs /boot/initrd.img-6.1-arm64"],
    );
    raspi(
        |i| i.fat_write("config.txt", b"arm_64bit=1\ninitramfs initrd.img-6.1-arm64\n"),
        &["boot-raspi: firmware:/config.txt names no kernel"],
    );
    raspi(
        |i| i.fat_write("cmdline.txt", format!("root=UUID={ROOT_UUID}\nrw\n").as_bytes()),
        &["boot-raspi: firmware:/cmdline.txt has 2 lines, the firmware reads only the first"],
    );
    raspi(
        remove("cmdline.txt"),
        &["boot-raspi: firmware:/cmdline.txt is missing"],
    );
    raspi(
        |i| i.write("/boot/firmware/config.txt", b"x"),
        &["boot-raspi: /boot/firmware/config.txt lies hidden below the mount point"],
    );
}

#[test]
fn only_an_id_as_file_systems_have_it_is_looked_at_in_a_search() {
    let other = "99999999-2222-4333-8444-555555555555";
    let menu = |search: String, wanted: &[&str]| {
        x86(
            |i| {
                let text = std::fs::read_to_string(i.path("/boot/grub/grub.cfg")).unwrap();
                i.plan("/boot/grub/grub.cfg", (search + "\n" + &text).as_bytes(), 0o644);
            },
            wanted,
        );
    };
    // Hints and numbers of volume groups come before the id; without hyphens, in braces or as a URN they are none.
    let plain = other.replace('-', "");
    for word in [plain.clone(), format!("{{{other}}}"), format!("urn:uuid:{other}")] {
        menu(
            format!("search --no-floppy --hint {word} --fs-uuid --set=root {ROOT_UUID}"),
            &[],
        );
    }
    for search in [
        format!("search --no-floppy --hint {plain} --fs-uuid --set=root {other}"),
        format!("search -u {other}"),
        format!("search.fs_uuid {other} root"),
    ] {
        menu(
            search,
            &[&format!(
                "root-uuid: root UUID wrong: /boot/grub/grub.cfg (search) names UUID={other}"
            )],
        );
    }
    // By label or by file, an id is something else.
    menu(format!("search --label {other}"), &[]);
    menu(format!("search --no-floppy --fs-uuid {FAT_UUID}"), &[]);
}

#[test]
fn a_damaged_root_is_told_once_per_cause() {
    // The free block count of the superblock, and the superblock's checksum with it.
    let image = TestImage::x86();
    let path = image.build();
    let root = (2 + 40) * (1 << 20);
    patch(&path, root + 1024 + 0x0c, &[1, 2, 3]);
    let found = violations(&image, &path);
    assert!(
        found[0].starts_with("file-systems: e2fsck finds partition 3 (root) damaged"),
        "{found:#?}"
    );
    assert!(
        found
            .iter()
            .filter(|line| line.contains("superblock checksum"))
            .count()
            <= 1,
        "{found:#?}"
    );
}
