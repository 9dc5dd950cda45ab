//! Spoiled copies of what a machine says: nothing panics, and nothing grows without end (`clic_host::spoil`).

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use clic_host::spoil::{spoiled, try_reader};

use crate::agent::{Listener, MAX_OUTPUT, Said};
use crate::console::Console;
use crate::qmp::Qmp;
use crate::{checks, guest, raspi};

#[test]
fn what_a_guest_says_does_not_panic() {
    let good = "noise@clic-hello\n@clic-ack 3\n@clic-out 3 YWJj\n@clic-out 3 ZGVm\n@clic-err 3 eA==\n@clic-end 3 0 123\n".repeat(3);
    let words = [
        "@clic-",
        "@clic-out 3 ",
        "@clic-end 3 ",
        "\n",
        "\r",
        "99999999999999999999",
        "====",
        "-1",
    ];
    try_reader("the agent in a guest", 3000, |random| {
        let bytes = spoiled(good.as_bytes(), &words, random);
        let mut listener = Listener::default();
        let half = random.below(bytes.len() + 1);
        for part in [&bytes[..half], &bytes[half..]] {
            for said in listener.feed(part) {
                if let Said::Answer(_, answer) = said {
                    assert!(answer.stdout.len() <= MAX_OUTPUT && answer.stderr.len() <= MAX_OUTPUT);
                }
            }
        }
    });
}

#[test]
fn what_a_console_shows_does_not_panic() {
    let good = "\u{1b}[2J\u{1b}[1;1HGNU GRUB\r\nerror: file `/x' not found.\r\nSyntax error at line 3\r\nLoading Linux 6.1 ...\r\n\
                [    0.000000] Linux version 6.1\r\n[    1.5] VFS: Cannot open root device \"x\" or unknown-block(0,0)\r\n\
                [    2.0] Kernel panic - not syncing: VFS: Unable to mount\r\nBusyBox v1.35\r\nEnter 'help'\r\n(initramfs) \
                \u{1b}]0;title\u{7}systemd[1]: Freezing execution.\r\nYou are in emergency mode. eerrrroorr::\r\n"
        .repeat(2);
    let words = [
        "\u{1b}[",
        "\u{1b}]",
        "\n",
        "\u{8}",
        "error: ",
        "[ 1.0] ",
        "é",
        "grub_",
        "Kernel panic - not syncing: ",
    ];
    try_reader("consoles", 3000, |random| {
        let bytes = spoiled(good.as_bytes(), &words, random);
        let mut console = Console::default();
        for part in bytes.chunks(1 + random.below(64)) {
            console.feed(part);
            console.phase().place();
        }
        let said: usize = console.last_lines().iter().map(String::len).sum();
        let cause = console.cause().map_or(0, |cause| cause.to_string().len());
        let grub = console.grub_errors().map_or(0, |text| text.len());
        assert!(said + cause + grub <= 3 * bytes.len() + 8192);
    });
}

#[test]
fn what_qemu_says_does_not_panic() {
    let good = "{\"QMP\": {}}\r\n{\"event\": \"RESET\", \"data\": {\"guest\": true}}\r\n{\"return\": {}, \"id\": 1}\r\n\
                {\"id\": 1, \"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}}\r\n";
    let usernet = "Hub -1 (net):\r\n  TCP[ESTABLISHED]   24       127.0.0.1 34567       10.0.2.15    22     0     0\r\n  \
                   TCP[HOST_FORWARD]  12       127.0.0.1 34567       10.0.2.15    22     0     0\r\n";
    let words = [
        "{",
        "[",
        "\"event\"",
        "\"id\": 1",
        "\n",
        "TCP[HOST_FORWARD]",
        "99999999999999999999",
        " ",
    ];
    try_reader("QEMU", 2000, |random| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut qmp = Qmp::new(ours).unwrap();
        theirs
            .write_all(&spoiled(good.as_bytes(), &words, random))
            .unwrap();
        drop(theirs);
        for event in qmp.events() {
            assert!(event.get("event").is_some(), "{event}");
        }
        let text = spoiled(usernet.as_bytes(), &words, random);
        let text = String::from_utf8_lossy(&text);
        guest::established(&text, 22);
    });
}

#[test]
fn what_services_and_cards_say_does_not_panic() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nLocation: /x\r\n\r\n<p>Bonjour";
    let config = "[pi4]\nkernel=a.img\n[all]\narm_64bit=1\ninitramfs initrd.img followkernel\ncmdline=cmdline.txt # x\n\
                  os_prefix=old/\ndevice_tree=x.dtb\nupstream_kernel=1\n";
    let words = [
        "\r\n\r\n",
        "HTTP/",
        "=",
        "[",
        "]",
        "#",
        "../",
        "é",
        "\0",
        "initramfs ",
    ];
    try_reader("answers of services, config.txt", 3000, |random| {
        let _ = checks::parse(&spoiled(answer.as_bytes(), &words, random));
        let text = spoiled(config.as_bytes(), &words, random);
        let text = String::from_utf8_lossy(&text);
        raspi::Config::parse(&text);
        assert!(raspi::command_line(&text).ends_with("console=ttyAMA0,115200"));
    });
}
