//! Sizes, partitions, and boards that do not fit together.

use crate::testtree::TestTree;
use crate::{PC, PI, RECIPE, told};

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
            "max-size = \"4 Go\"",
            "recipes/minimal.toml:9:12: `4 Go` is not a size; did you mean `4G`?",
            "",
        ),
        (
            RECIPE,
            "size = \"4G\"",
            "size = \"4G\"\nmax-size = \"4G\"",
            "recipes/minimal.toml:8:1: duplicate field `max-size`",
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
            "boards/pc.toml:12:68: no disk has this sector",
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
            "boards/pi.toml:20:19: 0 seconds is not a sensible time for a boot",
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

/// The longest name, the smallest and the largest partitions that are accepted, and one step beyond each.
#[test]
fn disks_at_their_limits() {
    const SIZE: &str = "size = \"16T\"";
    const ESP: &str = "{ name = \"esp\", fs = \"fat32\", size = \"64M\" }";
    const FIRMWARE: &str = "size = \"256M\", first-sector = 8192";
    const ROOT: &str = "    { name = \"root\", fs = \"ext4\", size = \"fit\", free = \"64M\" },";
    let esp = |name: &str, size: &str| format!("{{ name = \"{name}\", fs = \"fat32\", size = \"{size}\" }}");
    let more = |count: usize| {
        let data = |n| format!("    {{ name = \"d{n}\", fs = \"ext4\", size = \"16M\" }},\n");
        (0..count).map(data).collect::<String>() + ROOT
    };
    let firmware = |size: &str, first: u64| format!("size = \"{size}\", first-sector = {first}");
    let long = "n".repeat(37);
    for (file, from, to, said) in [
        (PC, ESP, esp(&long[1..], "64M"), String::new()),
        (
            PC,
            ESP,
            esp(&long, "64M"),
            format!("`{long}` can't be a partition's name"),
        ),
        (PC, ESP, esp("esp", "33M"), String::new()),
        (
            PC,
            ESP,
            esp("esp", "32M"),
            "32M is too small for a FAT32 file system".into(),
        ),
        (PI, ROOT, more(2), String::new()),
        (PI, ROOT, more(3), "an MBR holds at most 4 partitions".into()),
        (PI, FIRMWARE, firmware("256M", 2048), String::new()),
        (
            PI,
            FIRMWARE,
            firmware("256M", 0),
            "sector 0 is not at a whole mebibyte".into(),
        ),
        (
            PI,
            FIRMWARE,
            firmware("255M", 8192),
            "255M is too small for two kernels".into(),
        ),
        (PI, ROOT, ROOT.replace("64M", "16M"), String::new()),
        (
            PI,
            ROOT,
            ROOT.replace("64M", "15M"),
            "15M free is too little".into(),
        ),
        (
            PI,
            ROOT,
            more(1).replace("\"16M", "\"15M"),
            "15M is too small for an ext4".into(),
        ),
        (
            PI,
            ROOT,
            ROOT.replace("free", "first-sector = 532480, free"),
            String::new(),
        ),
        (
            PI,
            ROOT,
            ROOT.replace("free", "first-sector = 530432, free"),
            "partition `root` overlaps the one before it, which ends at sector 532480".into(),
        ),
        // 2 TiB are 2097152 MiB: 4 before the firmware, 64 of free space, and an MBR can't name the last sector.
        (PI, FIRMWARE, firmware("2097083M", 8192), String::new()),
        (
            PI,
            FIRMWARE,
            firmware("2097084M", 8192),
            "an MBR can't hold more than 2T".into(),
        ),
        (RECIPE, SIZE, "size = \"579M\"".into(), String::new()),
        (
            RECIPE,
            SIZE,
            "size = \"578M\"".into(),
            "an image of 578M can't hold the fixed partitions".into(),
        ),
        (
            RECIPE,
            SIZE,
            "size = \"17M\"".into(),
            "an image of 17M can't hold the fixed partitions".into(),
        ),
        (
            RECIPE,
            SIZE,
            "size = \"16M\"".into(),
            "16M is too small for a system".into(),
        ),
        (RECIPE, SIZE, "inodes = 4000000000".into(), String::new()),
        (
            RECIPE,
            SIZE,
            "inodes = 4000000001".into(),
            "ext4 can't have that many inodes".into(),
        ),
    ] {
        let tree = TestTree::new();
        // So large an image that only the board's own limits count.
        tree.edit(RECIPE, "size = \"4G\"", SIZE);
        tree.edit(file, from, &to);
        let found = tree.said();
        assert!(
            found.contains(&said) && found.is_empty() == said.is_empty(),
            "{to}: {found}"
        );
    }
}

#[test]
fn boards_at_their_limits() {
    let emulate = |more: &str| format!("machine = \"pc\"\n{more}");
    let power = |idle: &str, load: &str| {
        emulate(&format!(
            "\n[power]\nidle-watts = {idle}\nload-watts = {load}\nsource = \"us\"\n"
        ))
    };
    for (to, said) in [
        (emulate("timeout-seconds = 10\n"), ""),
        (
            emulate("timeout-seconds = 9\n"),
            "9 seconds is not a sensible time",
        ),
        (emulate("timeout-seconds = 7200\n"), ""),
        (
            emulate("timeout-seconds = 7201\n"),
            "7201 seconds is not a sensible time",
        ),
        (emulate("memory = \"128M\"\n"), ""),
        (emulate("memory = \"127M\"\n"), "127M is not a sensible memory"),
        (emulate("memory = \"64G\"\n"), ""),
        (
            emulate("memory = \"65537M\"\n"),
            "65537M is not a sensible memory",
        ),
        (power("0.1", "9999.9"), ""),
        (power("5.0", "5.0"), ""),
        (power("0.0", "5.0"), "more than 0 and less than 10000 watts"),
        (power("5.0", "10000.0"), "more than 0 and less than 10000 watts"),
        (power("5.0", "inf"), "more than 0 and less than 10000 watts"),
        (
            power("5.1", "5.0"),
            "a busy board can't draw less than an idle one",
        ),
    ] {
        let tree = TestTree::new();
        tree.edit(PC, "machine = \"pc\"\n", &to);
        let found = tree.said();
        assert!(
            found.contains(said) && found.is_empty() == said.is_empty(),
            "{to}: {found}"
        );
    }
}

#[test]
fn the_board_fits_together() {
    let tree = TestTree::new();
    tree.edit(PC, "arch = \"amd64\"", "arch = \"arm64\"");
    let said = tree.complaints();
    assert!(said.contains("boards/pc.toml:18:8: `grub` starts amd64 boards, and this board is arm64\n  help: arm64 boards start with `raspi-firmware`"), "{said}");
    assert!(
        said.contains("boards/pc.toml:21:11: machine `pc` can't emulate this board"),
        "{said}"
    );
    tree.edit(PC, "fs = \"ext4\"", "fs = \"fat32\"");
    assert!(
        tree.complaints()
            .contains("boards/pc.toml:14:27: the root must be `ext4`")
    );
}
