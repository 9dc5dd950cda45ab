//! Everything that people can get wrong in a tree: each slip is told with its place and a way out.

mod testtree;

use std::fmt::Write as _;

use clic_recipe::{ResolveOptions, Tree, check, resolve};
use testtree::TestTree;

const RECIPE: &str = "recipes/minimal.toml";
const PC: &str = "boards/pc.toml";
const PI: &str = "boards/pi.toml";
const OVERLAY: &str = "overlays/base/overlay.toml";

/// A file, what is replaced in it and by what, and what must be said: the start of a line, and of the help.
type Slip = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

fn told(slips: &[Slip]) {
    let mut wrong = String::new();
    for (file, from, to, message, help) in slips {
        let tree = TestTree::new();
        tree.edit(file, from, to);
        let said = tree.complaints();
        let lines: Vec<&str> = said.lines().collect();
        let at = lines.iter().position(|line| line.starts_with(message));
        let advice = at.and_then(|at| lines.get(at + 1)).copied().unwrap_or_default();
        let advised = help.is_empty() || (advice.starts_with("  help: ") && advice.contains(help));
        // One slip is one problem, however many boards the recipe has.
        let once = lines.iter().filter(|line| !line.starts_with("  help: ")).count() == 1;
        if at.is_none() || !advised || !once {
            let _ = writeln!(
                wrong,
                "\nslip:   {to}\nwanted: {message}\n  help: {help}\nsaid:   {said}"
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn shape() {
    told(&[
        (
            RECIPE,
            "packages = [",
            "pakages = [",
            "recipes/minimal.toml:6:1: unknown key `pakages`",
            "did you mean `packages`? keys here: `schema`",
        ),
        (
            RECIPE,
            "size = \"4G\"",
            "sise = \"4G\"",
            "recipes/minimal.toml:9:1: unknown key `sise`",
            "did you mean `size`? keys here: `free`, `size`, `inodes`",
        ),
        (
            RECIPE,
            "boards = [\"pc\", \"pi\"]",
            "boards = \"pc\"",
            "recipes/minimal.toml:4:10: this must be a list in brackets, but it is the text \"pc\"",
            "",
        ),
        (
            RECIPE,
            "[\"openssh-server\"]",
            "[\"openssh-server\", 7]",
            "recipes/minimal.toml:6:31: this must be text in quotes, but it is the number 7",
            "",
        ),
        (
            RECIPE,
            "title = \"Test\"",
            "title = true",
            "recipes/minimal.toml:2:9: this must be text in quotes, but it is true",
            "",
        ),
        (
            RECIPE,
            "title = \"Test\"\n",
            "",
            "recipes/minimal.toml:1:1: the key `title` is missing here",
            "add `title = ...`",
        ),
        (
            RECIPE,
            "title = \"Test\"",
            "title = \"\"",
            "recipes/minimal.toml:2:9: the title is empty",
            "",
        ),
        (
            RECIPE,
            "schema = 1\n",
            "",
            "recipes/minimal.toml:1:1: the key `schema` is missing",
            "start the file with `schema = 1`",
        ),
        (
            RECIPE,
            "schema = 1",
            "schema = 2",
            "recipes/minimal.toml:1:10: schema 2 is not known; this clic reads schema 1",
            "newer clic",
        ),
        (
            RECIPE,
            "schema = 1",
            "schema = 0",
            "recipes/minimal.toml:1:10: schema 0 is not known",
            "start at 1",
        ),
        (
            RECIPE,
            "schema = 1",
            "schema = \"1\"",
            "recipes/minimal.toml:1:10: `schema` must be a whole number",
            "schema = 1",
        ),
        (
            RECIPE,
            "title = \"Test\"",
            "title = \"Test",
            "recipes/minimal.toml:2:",
            "",
        ),
        (
            RECIPE,
            "suite = \"bookworm\"",
            "suite = \"bookworm\"\nsuite = \"trixie\"",
            "recipes/minimal.toml:4:1: not valid TOML: duplicate key",
            "",
        ),
        (
            PC,
            "arch = \"amd64\"",
            "arch = \"i386\"",
            "boards/pc.toml:3:8: unknown value `i386`",
            "values: `amd64`, `arm64`",
        ),
        (
            PC,
            "table = \"gpt\"",
            "table = \"gtp\"",
            "boards/pc.toml:10:9: unknown value `gtp`",
            "did you mean `gpt`?",
        ),
        (
            PC,
            "name = \"esp\", fs = \"fat32\"",
            "name = \"esp\"",
            "boards/pc.toml:13:5: the key `fs` is missing here",
            "",
        ),
        (
            PC,
            "first-sector = 2048",
            "first_sector = 2048",
            "boards/pc.toml:12:53: unknown key `first_sector`",
            "did you mean `first-sector`?",
        ),
        (
            PC,
            "first-sector = 2048",
            "first-sector = -1",
            "boards/pc.toml:12:68: this must be a whole number, 0 or more, but it is the number -1",
            "",
        ),
        (
            PC,
            "[boot]\nkind = \"grub\"\n",
            "",
            "boards/pc.toml:1:1: the key `boot` is missing here",
            "",
        ),
        (
            OVERLAY,
            "state = \"enabled\"",
            "state = \"enable\"",
            "overlays/base/overlay.toml:32:9: unknown value `enable`",
            "did you mean `enabled`?",
        ),
        (
            OVERLAY,
            "type = \"integer\"",
            "type = \"number\"",
            "overlays/base/overlay.toml:20:8: unknown value `number`",
            "`string`, `integer`, `boolean`, `list`",
        ),
        (
            OVERLAY,
            "port = 22",
            "port = 70000",
            "overlays/base/overlay.toml:36:8: this must be a whole number from 0 to 65535, but it is the number 70000",
            "",
        ),
    ]);
}

#[test]
fn names() {
    told(&[
        (
            RECIPE,
            "\"pi\"]",
            "\"pie\"]",
            "recipes/minimal.toml:4:17: unknown board `pie`",
            "did you mean `pi`? boards: `pc`, `pi`",
        ),
        (
            RECIPE,
            "\"pi\"]",
            "\"../pi\"]",
            "recipes/minimal.toml:4:17: unknown board `../pi`",
            "boards: `pc`, `pi`",
        ),
        (
            RECIPE,
            "overlays = [\"base\"]",
            "overlays = [\"base\", \"hotspot\"]",
            "recipes/minimal.toml:5:21: unknown overlay `hotspot`",
            "overlays: `base`",
        ),
        (
            RECIPE,
            "[parameters.base]",
            "[parameters.bass]",
            "recipes/minimal.toml:11:13: parameters for `bass`, which is no overlay of this recipe",
            "did you mean `base`?",
        ),
        (
            RECIPE,
            "hostname = ",
            "hostnam = ",
            "recipes/minimal.toml:12:1: overlay `base` has no parameter `hostnam`",
            "did you mean `hostname`? parameters: `clients`, `hostname`, `locale`",
        ),
        (
            RECIPE,
            "\"bookworm\"",
            "\"bokworm\"",
            "recipes/minimal.toml:3:9: unknown suite `bokworm`",
            "did you mean `bookworm`? suites: `bookworm`, `trixie`",
        ),
        (
            RECIPE,
            "\"bookworm\"",
            "\"trixie\"",
            "recipes/minimal.toml:3:9: board `pc` can't have suite `trixie`",
            "it can have: `bookworm`",
        ),
        (
            RECIPE,
            "suite = \"bookworm\"",
            "",
            "recipes/minimal.toml:1:1: recipe `minimal` does not say its suite",
            "`bookworm`",
        ),
        (
            RECIPE,
            "suite = \"bookworm\"",
            "extends = \"other\"",
            "recipes/minimal.toml:3:11: unknown recipe `other`",
            "recipes: `minimal`",
        ),
        (
            RECIPE,
            "\"openssh-server\"",
            "\"OpenSSH\"",
            "recipes/minimal.toml:6:13: `OpenSSH` can't be a Debian package",
            "no version",
        ),
        (
            RECIPE,
            "\"openssh-server\"",
            "\"ssh\", \"ssh\"",
            "recipes/minimal.toml:6:20: package `ssh` is in this list twice",
            "remove one",
        ),
        (
            PC,
            "[\"main\"]",
            "[\"main\", \"nonfree\"]",
            "boards/pc.toml:6:23: unknown component `nonfree`",
            "did you mean `non-free`?",
        ),
        (
            PC,
            "\"ttyS0,115200\"",
            "\"ttyS0 115200\"",
            "boards/pc.toml:7:21: `ttyS0 115200` can't be a kernel console",
            "",
        ),
        (
            PI,
            "\"trixie\"",
            "\"buster\"",
            "boards/pi.toml:4:23: unknown suite `buster`",
            "suites: `bookworm`, `trixie`",
        ),
        (
            OVERLAY,
            "\"ssh.service\"",
            "\"ssh\"",
            "overlays/base/overlay.toml:31:8: `ssh` can't be a systemd unit",
            "",
        ),
        (
            OVERLAY,
            "description = \"What",
            "requires = [\"net\"]\ndescription = \"What",
            "overlays/base/overlay.toml:3:13: unknown overlay `net`",
            "",
        ),
    ]);
}

#[test]
fn parameters() {
    told(&[
        (
            RECIPE,
            "hostname = \"box\"",
            "hostname = 7",
            "recipes/minimal.toml:12:12: `hostname` must be text in quotes, but this is the number 7",
            "write `\"7\"`",
        ),
        (
            RECIPE,
            "hostname = \"box\"",
            "hostname = \"My Box\"",
            "recipes/minimal.toml:12:12: `hostname` can't be \"My Box\"",
            "it must match `[a-z0-9-]+`",
        ),
        (
            RECIPE,
            "hostname = \"box\"",
            "hostname = \"box\\n\"",
            "recipes/minimal.toml:12:12: `hostname` can't be \"box\\n\"",
            "",
        ),
        (
            RECIPE,
            "hostname = \"box\"",
            "locale = \"fr_FR\"",
            "recipes/minimal.toml:12:10: `locale` can't be \"fr_FR\"",
            "choices: `fr_FR.UTF-8`, `en_GB.UTF-8`",
        ),
        (
            RECIPE,
            "hostname = \"box\"",
            "clients = 51",
            "recipes/minimal.toml:12:11: `clients` is from 1 to 50, and 51 is not",
            "",
        ),
        (
            RECIPE,
            "hostname = \"box\"",
            "clients = \"5\"",
            "recipes/minimal.toml:12:11: `clients` must be a whole number, but this is the text \"5\"",
            "without quotes",
        ),
        (
            RECIPE,
            "hostname = \"box\"",
            "clients = 1.5",
            "recipes/minimal.toml:12:11: `clients` must be a whole number, but this is the number 1.5",
            "",
        ),
        (
            OVERLAY,
            "default = 8\n",
            "",
            "recipes/minimal.toml:11:13: parameter `clients` of overlay `base` must be set",
            "add `clients = ...` to `[parameters.base]`: How many people",
        ),
        (
            OVERLAY,
            "default = 8",
            "default = 0",
            "overlays/base/overlay.toml:21:11: `clients` is from 1 to 50, and 0 is not",
            "",
        ),
        (
            OVERLAY,
            "max = 50",
            "max = 0",
            "overlays/base/overlay.toml:23:7: `max` is less than `min`, 1",
            "",
        ),
        (
            OVERLAY,
            "pattern = \"[a-z0-9-]+\"",
            "pattern = \"[a-z\"",
            "overlays/base/overlay.toml:10:11: not a regular expression: unclosed character class",
            "",
        ),
        (
            OVERLAY,
            "pattern = \"[a-z0-9-]+\"",
            "min = 3",
            "overlays/base/overlay.toml:10:7: `min` belongs to integers, and `hostname` is text in quotes",
            "",
        ),
        (
            OVERLAY,
            "[parameters.clients]",
            "[parameters.max-clients]",
            "overlays/base/overlay.toml:19:13: `max-clients` can't be a parameter's name",
            "",
        ),
        (
            OVERLAY,
            "[parameters.clients]",
            "[parameters.board]",
            "overlays/base/overlay.toml:19:13: `board` already means something in templates",
            "",
        ),
        (
            OVERLAY,
            "description = \"Language\"",
            "description = \" \"",
            "overlays/base/overlay.toml:17:15: parameter `locale` has no description",
            "",
        ),
    ]);
}

/// What the type of one parameter can't say.
#[test]
fn rules_between_parameters() {
    const RULE: &str = "[[rule]]\nparameter = \"hostname\"\nmust = \"hostname | bytes <= (3 if clients > 9 else 4)\"\n\
        message = \"{{ hostname }} is {{ hostname | bytes }} bytes long\"\nhelp = \"shorten it, or have 9 clients\"\n\n[[file]]";
    let tree = TestTree::new();
    tree.edit(OVERLAY, "[[file]]", RULE);
    tree.edit(OVERLAY, "[a-z0-9-]+", ".*");
    check(&tree.tree(), None).unwrap();

    // Two characters, five bytes.
    tree.edit(RECIPE, "hostname = \"box\"", "hostname = \"\u{e9}\u{20ac}\"");
    let said = tree.complaints();
    assert!(
        said.contains("recipes/minimal.toml:12:12: \u{e9}\u{20ac} is 5 bytes long")
            && said.contains("shorten it, or have 9 clients"),
        "{said}"
    );
    tree.edit(RECIPE, "hostname = \"\u{e9}\u{20ac}\"", "hostname = \"abcd\"");
    check(&tree.tree(), None).unwrap();
    tree.edit(RECIPE, "hostname = \"abcd\"", "hostname = \"abcd\"\nclients = 10");
    let said = tree.complaints();
    assert!(
        said.contains("recipes/minimal.toml:12:12: abcd is 4 bytes long"),
        "{said}"
    );

    // A default that breaks a rule is told where the rule is.
    tree.edit(RECIPE, "hostname = \"abcd\"\nclients = 10", "clients = 10");
    let said = tree.complaints();
    assert!(
        said.contains("overlays/base/overlay.toml:28:8: clic is 4 bytes long"),
        "{said}"
    );
}

#[test]
fn rules_that_are_wrong() {
    let rule = |parameter: &str, must: &str| {
        format!("[[rule]]\nparameter = \"{parameter}\"\nmust = \"{must}\"\nmessage = \"no\"\n\n[[file]]")
    };
    for (parameter, must, message) in [
        (
            "hostnam",
            "true",
            "overlays/base/overlay.toml:27:13: a rule about `hostnam`, which is no parameter",
        ),
        (
            "hostname",
            "client > 3",
            "overlays/base/overlay.toml:28:8: unknown parameter `client` in a template",
        ),
        (
            "hostname",
            "clients >",
            "overlays/base/overlay.toml:28:8: wrong template",
        ),
        (
            "hostname",
            "clients | bytes > 3",
            "overlays/base/overlay.toml:28:8: wrong template",
        ),
    ] {
        let tree = TestTree::new();
        tree.edit(OVERLAY, "[[file]]", &rule(parameter, must));
        let said = tree.complaints();
        assert!(said.contains(message), "{must}: {said}");
    }
}

#[test]
fn sizes_and_disks() {
    told(&[
        (
            RECIPE,
            "size = \"4G\"",
            "size = \"512M\"",
            "recipes/minimal.toml:9:8: an image of 512M can't hold the fixed partitions and the free space of board `pc`",
            "they take 579M without any package",
        ),
        (
            RECIPE,
            "size = \"4G\"",
            "size = \"4\"",
            "recipes/minimal.toml:9:8: `4` is not a size",
            "",
        ),
        (
            RECIPE,
            "size = \"4G\"",
            "size = \"99999999999G\"",
            "recipes/minimal.toml:9:8: `99999999999G` is more than any disk",
            "",
        ),
        (
            RECIPE,
            "size = \"4G\"",
            "free = \"1M\"",
            "recipes/minimal.toml:9:8: 1M free is too little",
            "at least 16M",
        ),
        (
            RECIPE,
            "size = \"4G\"",
            "free = \"100K\"",
            "recipes/minimal.toml:9:8: `100K` is not a multiple of 1 MiB",
            "",
        ),
        (
            RECIPE,
            "size = \"4G\"",
            "inodes = 5000000000",
            "recipes/minimal.toml:9:10: ext4 can't have that many inodes",
            "",
        ),
        (
            PC,
            "size = \"64M\"",
            "size = \"8M\"",
            "boards/pc.toml:13:42: 8M is too small for a FAT32 file system",
            "at least 33M",
        ),
        (
            PC,
            "size = \"64M\"",
            "size = \"64M\", free = \"1G\"",
            "boards/pc.toml:13:56: `free` belongs to `size = \"fit\"`",
            "",
        ),
        (
            PC,
            "size = \"64M\"",
            "size = \"64M\", first-sector = 2048",
            "boards/pc.toml:13:64: partition `esp` overlaps the one before it, which ends at sector 4096",
            "write 4096 or more",
        ),
        (
            PC,
            "first-sector = 2048",
            "first-sector = 34",
            "boards/pc.toml:12:68: sector 34 is not at a whole mebibyte",
            "multiple of 2048",
        ),
        (
            PC,
            "first-sector = 2048",
            "first-sector = 9223372036854775807",
            "boards/pc.toml:12:68: this sector is on no disk",
            "",
        ),
        (
            PC,
            "name = \"root\"",
            "name = \"system\"",
            "boards/pc.toml:9:1: no partition is named `root`",
            "add `{ name = \"root\"",
        ),
        (
            PC,
            "size = \"fit\", free = \"512M\"",
            "size = \"2G\"",
            "boards/pc.toml:14:42: the root must have `size = \"fit\"`",
            "grows on the device",
        ),
        (
            PC,
            ", free = \"512M\"",
            "",
            "boards/pc.toml:14:42: a partition that fits its content needs `free`",
            "",
        ),
        (
            PC,
            "name = \"esp\"",
            "name = \"bios\"",
            "boards/pc.toml:13:14: two partitions are named `bios`",
            "",
        ),
        (
            PC,
            "    { name = \"bios\", fs = \"bios-boot\", size = \"1M\", first-sector = 2048 },\n",
            "",
            "boards/pc.toml:9:1: `grub` needs exactly one `bios-boot` partition, and here are 0",
            "",
        ),
        (
            PC,
            "\"gpt\"",
            "\"mbr\"",
            "boards/pc.toml:18:8: `grub` needs `table = \"gpt\"`",
            "",
        ),
        (
            PI,
            "\"mbr\"",
            "\"gpt\"",
            "boards/pi.toml:15:8: `raspi-firmware` needs `table = \"mbr\"`",
            "boot ROM",
        ),
        (
            PI,
            "size = \"256M\"",
            "size = \"128M\"",
            "boards/pi.toml:10:47: 128M is too small for two kernels and the firmware",
            "256M",
        ),
        (
            PI,
            "    { name = \"root\", fs = \"ext4\", size = \"fit\", free = \"64M\" },\n]",
            "    { name = \"root\", fs = \"ext4\", size = \"fit\", free = \"64M\" },\n    { name = \"data\", fs = \"ext4\", size = \"64M\" },\n]",
            "boards/pi.toml:11:5: the root must be the last partition",
            "grows to the end",
        ),
        (
            PI,
            "    { name = \"root\"",
            "    { name = \"a\", fs = \"ext4\", size = \"64M\" },\n    { name = \"b\", fs = \"ext4\", size = \"64M\" },\n    { name = \"c\", fs = \"ext4\", size = \"64M\" },\n    { name = \"root\"",
            "boards/pi.toml:14:5: an MBR holds at most 4 partitions",
            "",
        ),
        (
            PI,
            "size = \"256M\"",
            "size = \"3T\"",
            "boards/pi.toml:10:5: an MBR can't hold more than 2T",
            "",
        ),
        (
            PI,
            "timeout-seconds = 900",
            "timeout-seconds = 0",
            "boards/pi.toml:20:19: 0 seconds is no sensible time for a boot",
            "",
        ),
        (
            PI,
            "memory = \"1G\"",
            "memory = \"2G\"",
            "boards/pi.toml:19:10: the `raspi3b` always has 1G of memory",
            "",
        ),
    ]);
}

#[test]
fn the_board_fits_together() {
    let tree = TestTree::new();
    tree.edit(PC, "arch = \"amd64\"", "arch = \"arm64\"");
    let said = tree.complaints();
    assert!(said.contains("boards/pc.toml:18:8: `grub` starts amd64 boards, and this board is arm64\n  help: arm64 boards start with `raspi-firmware`"), "{said}");
    assert!(
        said.contains("boards/pc.toml:21:11: machine `pc` can't stand in for this board"),
        "{said}"
    );
    tree.edit(PC, "fs = \"ext4\"", "fs = \"fat32\"");
    assert!(
        tree.complaints()
            .contains("boards/pc.toml:14:27: the root must be `ext4`")
    );
}

#[test]
fn files() {
    told(&[
        (
            OVERLAY,
            "path = \"/etc/hostname\"",
            "path = \"/etc/hostnam\"",
            "overlays/base/overlay.toml:27:8: there is no file overlays/base/files/etc/hostnam",
            "did you mean `/etc/hostname`?",
        ),
        (
            OVERLAY,
            "path = \"/etc/hostname\"",
            "path = \"etc/hostname\"",
            "overlays/base/overlay.toml:27:8: `etc/hostname` must be an absolute path",
            "",
        ),
        (
            OVERLAY,
            "path = \"/etc/hostname\"",
            "path = \"/etc/../hostname\"",
            "overlays/base/overlay.toml:27:8: `/etc/../hostname` must be written without `.`, `..`",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "source = \"../../recipes/minimal.toml\"",
            "overlays/base/overlay.toml:28:10: `../../recipes/minimal.toml` leaves the overlay's directory",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "source = \"/etc/passwd\"",
            "overlays/base/overlay.toml:28:10: `/etc/passwd` leaves the overlay's directory",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "source = \"files/nothing\"",
            "overlays/base/overlay.toml:28:10: there is no file overlays/base/files/nothing",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "mode = \"rw-r--r--\"",
            "overlays/base/overlay.toml:28:8: `rw-r--r--` is not a mode",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "owner = \"Root\"",
            "overlays/base/overlay.toml:28:9: `Root` can't be the name of a user or group",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "mode = \"0644\"\n[[file]]\npath = \"/etc/hostname\"",
            "overlays/base/overlay.toml:30:8: /etc/hostname has two [[file]] entries",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "[[link]]\npath = \"/lib/x\"\ntarget = \"y\"",
            "overlays/base/overlay.toml:29:8: `/lib` is a link to `/usr/lib` in Debian; write `/usr/lib/x`",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "[[directory]]\npath = \"/etc/machine-id\"",
            "overlays/base/overlay.toml:29:8: `/etc/machine-id` is written by clic itself",
            "",
        ),
        (
            OVERLAY,
            "template = true",
            "[[link]]\npath = \"/etc/motd/x\"\ntarget = \"y\"",
            "overlays/base/overlay.toml:29:8: overlay `base` brings /etc/motd/x below /etc/motd, which is no directory",
            "overlays/base/files/etc/motd",
        ),
    ]);
}

#[test]
fn links_and_special_files_are_refused() {
    let tree = TestTree::new();
    std::os::unix::fs::symlink("/etc/passwd", tree.path("overlays/base/files/etc/passwd")).unwrap();
    std::os::unix::net::UnixListener::bind(tree.path("overlays/base/files/etc/socket")).unwrap();
    let said = tree.complaints();
    assert!(
        said.contains(
            "overlays/base/files/etc/passwd: is a symbolic link; only regular files are taken\n  help: remove it and write \
             in overlay.toml: [[link]] path = \"/etc/passwd\", target = \"/etc/passwd\""
        ),
        "{said}"
    );
    assert!(
        said.contains("overlays/base/files/etc/socket: is neither a file nor a directory"),
        "{said}"
    );

    let tree = TestTree::new();
    std::os::unix::fs::symlink("/etc", tree.path("overlays/base/outside")).unwrap();
    tree.edit(OVERLAY, "template = true", "source = \"outside/passwd\"");
    let said = tree.complaints();
    assert!(
        said.contains("overlays/base/overlay.toml:28:10: overlays/base/outside is a symbolic link"),
        "{said}"
    );

    let tree = TestTree::new();
    std::fs::rename(tree.path("overlays/base/files"), tree.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../../elsewhere", tree.path("overlays/base/files")).unwrap();
    let said = tree.complaints();
    assert!(
        said.contains("overlays/base/files: must be a directory, not a link or a file"),
        "{said}"
    );
}

#[test]
fn two_overlays_can_not_write_one_path() {
    let tree = TestTree::new();
    tree.edit(RECIPE, "[\"base\"]", "[\"base\", \"portal\"]");
    tree.overlay("portal", "[[unit]]\nname = \"ssh.service\"\nstate = \"masked\"\n");
    tree.write("overlays/portal/files/etc/motd", "portal\n");
    tree.write("overlays/portal/files/etc/hostname/x", "portal\n");
    let said = tree.complaints();
    for wanted in [
        "overlays/portal/files/etc/motd: overlays `base` and `portal` both bring /etc/motd\n  help: the other one is overlays/base/files/etc/motd",
        "overlays/portal/files/etc/hostname/x: overlay `portal` brings /etc/hostname/x below /etc/hostname, which overlay `base` brings and which is no directory\n  help: the other one is overlays/base/overlay.toml:27:8",
        "overlays/portal/overlay.toml:5:8: overlays `base` and `portal` disagree about unit `ssh.service`\n  help: the other one is at overlays/base/overlay.toml:31:8",
    ] {
        assert!(said.contains(wanted), "wanted: {wanted}\nsaid: {said}");
    }
}

#[test]
fn one_overlay_can_not_write_one_path_twice() {
    let tree = TestTree::new();
    tree.append(
        OVERLAY,
        "[[link]]\npath = \"/etc/motd\"\ntarget = \"/run/motd\"\n",
    );
    let said = tree.complaints();
    assert!(
        said.contains("overlay `base` brings /etc/motd twice\n  help: the other one is overlays/base/"),
        "{said}"
    );
}

#[test]
fn overlays_come_after_what_they_require() {
    let tree = TestTree::new();
    tree.overlay("portal", "requires = [\"base\"]\n");
    tree.edit(RECIPE, "[\"base\"]", "[\"portal\", \"base\"]");
    let said = tree.complaints();
    assert!(
        said.contains("recipes/minimal.toml:5:13: overlay `portal` needs `base` before it\n  help: put `base` before `portal`"),
        "{said}"
    );
}

#[test]
fn templates() {
    told(&[
        (
            "overlays/base/files/etc/hostname",
            "{{ hostname }}",
            "a\n  {{ hotname }}",
            "overlays/base/files/etc/hostname:2:6: unknown parameter `hotname` in a template",
            "did you mean `hostname`? known here: `clients`",
        ),
        (
            "overlays/base/files/etc/hostname",
            "{{ hostname }}",
            "a\n{{ hostname",
            "overlays/base/files/etc/hostname:",
            "",
        ),
        (
            "overlays/base/files/etc/hostname",
            "{{ hostname }}",
            "a\n{{ hostname | nofilter }}",
            "overlays/base/files/etc/hostname:2:",
            "",
        ),
        (
            "overlays/base/files/etc/hostname",
            "{{ hostname }}",
            "\n{{ board.nmae }}",
            "overlays/base/files/etc/hostname:2:",
            "board.name",
        ),
        (
            "overlays/base/files/etc/hostname",
            "{{ hostname }}",
            "\n{% include '/etc/passwd' %}",
            "overlays/base/files/etc/hostname:2:",
            "",
        ),
        (
            OVERLAY,
            "select {{ locale }}",
            "select {{ local }}",
            "overlays/base/overlay.toml:5:13: unknown parameter `local` in a template",
            "did you mean `locale`?",
        ),
        (
            OVERLAY,
            "select {{ locale }}",
            "pick {{ locale }}",
            "overlays/base/overlay.toml:5:13: unknown type of debconf question `pick`",
            "`multiselect`",
        ),
        (
            OVERLAY,
            "locales locales/default select {{ locale }}",
            "locales",
            "overlays/base/overlay.toml:5:13: `locales` is not a preseed",
            "package question type value",
        ),
        (
            OVERLAY,
            "locales locales/default select {{ locale }}",
            "a a/b note x\\nc c/d note y",
            "overlays/base/overlay.toml:5:13: a preseed is one line",
            "",
        ),
    ]);
}

#[test]
fn checks() {
    told(&[
        (
            OVERLAY,
            "port = 22",
            "port = 22\nunit = \"ssh.service\"",
            "overlays/base/overlay.toml:35:8: a check has exactly one of `command`, `unit`, `port`, `file`, `http`; this has `unit`, `port`",
            "two checks",
        ),
        (
            OVERLAY,
            "port = 22\ncontains = \"SSH-2.0\"",
            "",
            "overlays/base/overlay.toml:35:8: a check has exactly one of `command`, `unit`, `port`, `file`, `http`; this has none",
            "",
        ),
        (
            OVERLAY,
            "port = 22",
            "unit = \"ssh.service\"",
            "overlays/base/overlay.toml:37:12: `contains` has no meaning for a check of kind `unit`",
            "it belongs to `command`, `port`, `file`",
        ),
        (
            OVERLAY,
            "port = 22",
            "http = { path = \"/\" }",
            "overlays/base/overlay.toml:37:12: `contains` has no meaning for a check of kind `http`",
            "write it inside",
        ),
        (
            OVERLAY,
            "port = 22\ncontains = \"SSH-2.0\"",
            "http = { path = \"x\" }",
            "overlays/base/overlay.toml:36:17: an HTTP path starts with a slash",
            "",
        ),
        (
            OVERLAY,
            "port = 22\ncontains = \"SSH-2.0\"",
            "http = { path = \"/\", status = 99 }",
            "overlays/base/overlay.toml:36:8: 99 is not an HTTP status",
            "",
        ),
        (
            OVERLAY,
            "port = 22",
            "port = 0",
            "overlays/base/overlay.toml:36:8: port 0 can't be connected to",
            "",
        ),
        (
            OVERLAY,
            "port = 22",
            "file = \"etc/x\"",
            "overlays/base/overlay.toml:36:8: this must be an absolute path",
            "",
        ),
        (
            OVERLAY,
            "port = 22",
            "port = 22\ntimeout-seconds = 0",
            "overlays/base/overlay.toml:37:19: 0 seconds is no sensible timeout",
            "",
        ),
        (
            OVERLAY,
            "port = 22",
            "port = 22\nexit = 1",
            "overlays/base/overlay.toml:37:8: `exit` has no meaning for a check of kind `port`",
            "it belongs to `command`",
        ),
    ]);
}

#[test]
fn extends_in_a_circle() {
    let tree = TestTree::new();
    let body = |parent: &str| format!("schema = 1\ntitle = \"T\"\nextends = \"{parent}\"\n");
    tree.write("recipes/a.toml", &body("b"));
    tree.write("recipes/b.toml", &body("c"));
    tree.write("recipes/c.toml", &body("a"));
    tree.write("recipes/me.toml", &body("me"));
    let said = tree.resolve("b", "pc").unwrap_err().to_string();
    assert_eq!(
        said,
        "recipes/a.toml:3:11: recipes extend each other in a circle: b -> c -> a -> b\n  help: remove `extends` from one of them"
    );
    let said = tree.resolve("me", "pc").unwrap_err().to_string();
    assert!(
        said.starts_with("recipes/me.toml:3:11: recipes extend each other in a circle: me -> me"),
        "{said}"
    );
}

#[test]
fn every_slip_of_a_file_at_once() {
    let tree = TestTree::new();
    tree.write(
        RECIPE,
        "schema = 1\ntitel = \"T\"\nsuite = 7\nboards = [\"pc\", 3]\noverlays = \"base\"\n[image]\nfre = \"1G\"\nsize = 4\n",
    );
    let said = tree.complaints();
    for wanted in [
        "recipes/minimal.toml:2:1: unknown key `titel`\n  help: did you mean `title`?",
        "recipes/minimal.toml:3:9: this must be text in quotes, but it is the number 7",
        "recipes/minimal.toml:4:17: this must be text in quotes, but it is the number 3",
        "recipes/minimal.toml:5:12: this must be a list in brackets, but it is the text \"base\"",
        "recipes/minimal.toml:7:1: unknown key `fre`\n  help: did you mean `free`?",
        "recipes/minimal.toml:8:8: this must be text in quotes, but it is the number 4",
        "recipes/minimal.toml:1:1: the key `title` is missing here",
    ] {
        assert!(said.contains(wanted), "wanted: {wanted}\nsaid: {said}");
    }
}

#[test]
fn every_file_of_a_tree_at_once_used_or_not() {
    let tree = TestTree::new();
    tree.edit(RECIPE, "\"openssh-server\"", "\"A\"");
    tree.write("boards/unused.toml", "schema = 1\n");
    tree.overlay("unused", "[[unit]]\nname = \"x\"\nstate = \"enabled\"\n");
    std::fs::create_dir(tree.path("overlays/empty")).unwrap();
    let said = tree.complaints();
    for wanted in [
        "recipes/minimal.toml:6:13: `A` can't be a Debian package",
        "boards/unused.toml:1:1: the key `",
        "overlays/unused/overlay.toml:5:8: `x` can't be a systemd unit",
        "overlays/empty/overlay.toml: there is no such file",
    ] {
        assert!(said.contains(wanted), "wanted: {wanted}\nsaid: {said}");
    }
}

#[test]
fn what_the_command_line_names() {
    let tree = TestTree::new();
    let said = |recipe: &str, board: &str| tree.resolve(recipe, board).unwrap_err().to_string();
    assert_eq!(
        said("minimol", "pc"),
        "there is no recipe `minimol`\n  help: did you mean `minimal`? recipes: `minimal`"
    );
    assert_eq!(
        said("minimal", "toaster"),
        "there is no board `toaster`\n  help: boards: `pc`, `pi`"
    );
    assert_eq!(
        said("..", "pc"),
        "there is no recipe `..`\n  help: recipes: `minimal`"
    );
    assert_eq!(
        said("/nowhere/x.toml", "pc"),
        "/nowhere/x.toml: there is no such file"
    );
    assert!(said("/dev/null.toml", "pc").contains("there is no such file"));
    // Both at once.
    assert_eq!(said("x", "y").matches("there is no").count(), 2);

    tree.edit(RECIPE, "[\"pc\", \"pi\"]", "[\"pi\"]");
    assert!(said("minimal", "pc").starts_with(
        "recipes/minimal.toml:4:11: recipe `minimal` is not for board `pc`\n  help: its boards: `pi`;"
    ));
}

#[test]
fn files_that_are_no_text() {
    let tree = TestTree::new();
    std::fs::write(tree.path(RECIPE), b"schema = 1\ntitle = \"\xff\"\n").unwrap();
    assert!(
        tree.complaints()
            .contains("recipes/minimal.toml: is not UTF-8 text (line 2)")
    );
    std::fs::write(tree.path(RECIPE), vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(
        tree.complaints()
            .contains("recipes/minimal.toml: is larger than 1048576 bytes")
    );
    std::fs::remove_file(tree.path(RECIPE)).unwrap();
    std::fs::create_dir(tree.path(RECIPE)).unwrap();
    assert!(
        tree.complaints()
            .contains("recipes/minimal.toml: is not a regular file")
    );
}

#[test]
fn a_tree_that_is_none() {
    let empty = tempfile::tempdir().unwrap();
    let said = Tree::open(empty.path()).unwrap_err().to_string();
    assert!(
        said.contains("has no directory `recipes/`") && said.contains("--root DIR"),
        "{said}"
    );
    let said = Tree::find(empty.path()).unwrap_err().to_string();
    assert!(
        said.contains("nor a directory above it has recipes/ and boards/"),
        "{said}"
    );
}

/// Whatever is in a file, there is an answer.
#[test]
fn garbage_does_not_stop_us() {
    let texts = [testtree::RECIPE, testtree::PC, testtree::OVERLAY];
    let files = [RECIPE, PC, OVERLAY];
    let tree = TestTree::new();
    for (file, text) in files.iter().zip(texts) {
        for cut in (0..text.len()).step_by(3) {
            tree.write(file, &text[..cut]);
            let _ = check(&tree.tree(), None);
            let end = (cut + 7).min(text.len());
            tree.write(file, &format!("{}{}", &text[..cut], &text[end..]));
            if let Err(report) = resolve(&tree.tree(), "minimal", "pc", &ResolveOptions::default()) {
                assert!(!report.render(80, true).is_empty());
            }
        }
        tree.write(file, text);
    }
}

#[test]
fn rendered_with_the_line() {
    let tree = TestTree::new();
    tree.edit(RECIPE, "overlays = [\"base\"]", "overlays = [\"bas\"]");
    let report = tree.resolve("minimal", "pc").unwrap_err();
    let text = report.render(80, false);
    for wanted in [
        "unknown overlay `bas`",
        "recipes/minimal.toml:5:13",
        "overlays = [\"bas\"]",
        "did you mean `base`?",
    ] {
        assert!(text.contains(wanted), "wanted {wanted} in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colour was asked for");
    assert!(report.render(80, true).contains('\u{1b}'));

    let entries = serde_json::to_value(report.entries()).unwrap();
    let first = &entries[0];
    assert_eq!(first["file"], "recipes/minimal.toml");
    assert_eq!(
        (first["line"].as_u64(), first["column"].as_u64()),
        (Some(5), Some(13))
    );
    assert_eq!(first["message"], "unknown overlay `bas`");
    assert!(first["help"].as_str().unwrap().contains("`base`"));
}
