use super::*;

/// The cause after these bytes, fed in small pieces as a serial port brings them.
fn cause(text: &str) -> Option<Cause> {
    let mut console = Console::default();
    for piece in text.as_bytes().chunks(7) {
        console.feed(piece);
    }
    console.cause().cloned()
}

const KERNEL: &str = "[    0.000000] Linux version 6.1.0-56-amd64 (debian-kernel@lists.debian.org)\r\n";

#[test]
fn a_good_boot_has_no_cause() {
    let text = format!(
        "\x1b[H\x1b[J\x1b[1;1HWelcome to GRUB!\r\nerror: no suitable video mode found.\r\nLoading Linux 6.1.0-56-amd64 ...\r\n{KERNEL}\
         [    4.100000] EXT4-fs (sda3): error count since last fsck: 0\r\n\
         Begin: Running /scripts/local-block ... done.\r\n\
         [   19.100000] systemd[1]: Detected architecture x86-64.\r\n\
         Welcome to \x1b[1mDebian GNU/Linux 12 (bookworm)\x1b[0m!\r\n\
         [\x1b[0;32m  OK  \x1b[0m] Stopped target \x1b[0;1;39memergency.target\x1b[0m - Emergency Mode.\r\n\
         [\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mmulti-user.target\x1b[0m - Multi-User System.\r\n\
         Debian GNU/Linux 12 lab ttyS0\r\n\r\nlab login: "
    );
    assert_eq!(cause(&text), None);
    let mut console = Console::default();
    console.feed(text.as_bytes());
    assert_eq!(console.phase(), Phase::System);
    assert_eq!(console.grub_errors(), None);
}

#[test]
fn a_panic_is_named_with_its_text() {
    let text = format!(
        "{KERNEL}[    2.100000] /dev/root: Can't open blockdev\r\n\
         [    2.110000] VFS: Cannot open root device \"UUID=1\" or unknown-block(0,0): error -6\r\n\
         [    2.120000] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n\
         [    2.130000] ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0) ]---\r\n"
    );
    assert_eq!(
        cause(&text).unwrap().to_string(),
        "the kernel panicked: VFS: Unable to mount root fs on unknown-block(0,0) \
         (VFS: Cannot open root device \"UUID=1\" or unknown-block(0,0): error -6)"
    );
}

#[test]
fn a_wrong_root_is_named_with_its_uuid() {
    let text = format!(
        "{KERNEL}Begin: Waiting for root file system ... done.\r\n\
         Gave up waiting for root file system device.  Common problems:\r\n - Boot args (cat /proc/cmdline)\r\n\
         ALERT!  UUID=9999-2222 does not exist.  Dropping to a shell!\r\n\r\n\r\nBusyBox v1.35.0 built-in shell (ash)\r\n\
         Enter 'help' for a list of built-in commands.\r\n\r\n(initramfs) "
    );
    assert_eq!(
        cause(&text),
        Some(Cause::NoRoot("UUID=9999-2222 does not exist.".into()))
    );
}

#[test]
fn no_init_is_no_panic() {
    let text = format!(
        "{KERNEL}Target filesystem doesn't have requested /sbin/init.\r\nNo init found. Try passing init= bootarg.\r\n\r\n\
         (initramfs) "
    );
    assert_eq!(
        cause(&text).unwrap().to_string(),
        "the root file system has no init: Target filesystem doesn't have requested /sbin/init."
    );
}

#[test]
fn an_initramfs_shell_says_what_came_before() {
    let text = format!(
        "{KERNEL}mount: mounting /dev/sda3 on /root failed: Invalid argument\r\n\r\n\r\nBusyBox v1.35.0 built-in shell (ash)\r\nEnter 'help' for a list of built-in commands.\r\n\r\n(initramfs) "
    );
    assert_eq!(
        cause(&text),
        Some(Cause::Initramfs(
            "mount: mounting /dev/sda3 on /root failed: Invalid argument".into()
        ))
    );
}

#[test]
fn grubs_prompts_are_failures() {
    let text = "\x1b[H\x1b[Jerror: no such device: 1111-2222.\r\nEntering rescue mode...\r\ngrub rescue> ";
    assert_eq!(
        cause(text).unwrap().to_string(),
        "GRUB failed: error: no such device: 1111-2222. it stopped at its prompt (grub rescue>)"
    );
    let text = "error: file `/boot/grub/grub.cfg' not found.\r\n\x1b[m\x1b[2;1HGNU GRUB  version 2.06\r\n\x1b[7;1Hgrub> ";
    assert!(matches!(cause(text), Some(Cause::Grub(text)) if text.contains("grub.cfg' not found")));
}

#[test]
fn a_prompt_on_two_terminals_is_one() {
    // GRUB writes whole strings to each terminal once its normal mode is loaded, single characters before.
    let text = "device or file completions.\r\n\r\n\rgrub>grub>  ";
    assert!(matches!(cause(text), Some(Cause::Grub(_))));
    let text = "eerrrroorr::  nnoo  ssuucchh  ddeevviiccee::  11111111..\r\n\r\nggrruubb  rreessccuuee>>  ";
    assert!(
        matches!(cause(text), Some(Cause::Grub(text)) if text.starts_with("error: no such device: 1111."))
    );
}

#[test]
fn a_grub_that_complains_may_go_on() {
    let mut console = Console::default();
    console.feed(b"error: syntax error.\r\nerror: Incorrect command.\r\nerror: syntax error.\r\nSyntax error at line 3\r\n");
    assert_eq!(console.cause(), None);
    let errors = console.grub_errors().unwrap();
    assert_eq!(
        errors,
        "error: syntax error. error: Incorrect command. Syntax error at line 3"
    );
}

#[test]
fn a_firmware_without_anything_to_boot() {
    assert!(matches!(
        cause("Booting from Hard Disk...\nNo bootable device.\n"),
        Some(Cause::NothingToBoot(_))
    ));
    let text = "BdsDxe: failed to load Boot0001 \"UEFI QEMU HARDDISK QM00001 \" from PciRoot(0x0): Not Found\r\n\
                BdsDxe: No bootable option or device was found.\r\nBdsDxe: Press any key to enter the Boot Manager Menu.\r\n";
    assert!(matches!(cause(text), Some(Cause::NothingToBoot(_))));
}

#[test]
fn emergency_mode_is_seen_even_when_root_is_locked() {
    let text = format!(
        "{KERNEL}[\x1b[0;1;31mFAILED\x1b[0m] Failed to mount data.mount - /data.\r\n\
         Cannot open access to console, the root account is locked.\r\nSee sulogin(8) man page for more details.\r\n"
    );
    assert!(matches!(cause(&text), Some(Cause::Emergency(_))));
    assert!(matches!(
        cause(&format!(
            "{KERNEL}You are in emergency mode. After logging in, ...\r\n"
        )),
        Some(Cause::Emergency(_))
    ));
}

#[test]
fn systemds_last_words_are_kept() {
    let text = format!(
        "{KERNEL}[    9.100000] systemd[1]: Failed to mount tmpfs at /run: No such file or directory\r\n[!!!!!!] Failed to mount API filesystems.\r\n[    9.200000] systemd[1]: Freezing execution.\r\n"
    );
    assert_eq!(
        cause(&text),
        Some(Cause::SystemdStopped(
            "[!!!!!!] Failed to mount API filesystems.".into()
        ))
    );
}

#[test]
fn words_of_a_program_are_no_failure() {
    // GRUB's and the initramfs' words, said by something else later.
    let text = format!(
        "{KERNEL}[   20.000000] systemd[1]: Detected architecture arm64.\r\nerror: no such device\r\ngrub> is a prompt\r\nNo bootable device\r\n"
    );
    assert_eq!(cause(&text), None);
}

#[test]
fn after_a_restart_the_loader_is_looked_at_again() {
    let mut console = Console::default();
    console.feed(KERNEL.as_bytes());
    assert_eq!(console.phase(), Phase::Kernel);
    console.restarted();
    assert_eq!(console.phase(), Phase::Loader);
    assert_eq!(console.last_line(), Some(KERNEL.trim_end()));
}

#[test]
fn the_last_lines_are_worth_reading() {
    let mut console = Console::default();
    console.feed(b"a\r\nBegin: x ... done.\r\nBegin: x ... done.\r\n+-----+\r\n|     |\r\nb\r\n");
    assert_eq!(console.last_lines(), ["a", "Begin: x ... done.", "b"]);
}

#[test]
fn garbage_is_survived() {
    let mut console = Console::default();
    let mut state: u32 = 1;
    let bytes: Vec<u8> = (0..200_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    console.feed(&bytes);
    assert_eq!(console.cause(), None);
    assert!(console.last_lines().len() <= KEPT);
}
