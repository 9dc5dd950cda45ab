//! A small tree in a temporary directory, to break in one place at a time.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};

use clic_recipe::{Plan, Report, ResolveOptions, Tree, check, resolve};

pub const RECIPE: &str = r#"schema = 1
title = "Test"
suite = "bookworm"
boards = ["pc", "pi"]
overlays = ["base"]
packages = ["openssh-server"]

[image]
size = "4G"

[parameters.base]
hostname = "box"
"#;

pub const PC: &str = r#"schema = 1
title = "PC"
arch = "amd64"
suites = ["bookworm"]
packages = ["linux-image-amd64"]
components = ["main"]
consoles = ["tty1", "ttyS0,115200"]

[disk]
table = "gpt"
partitions = [
    { name = "bios", fs = "bios-boot", size = "1M", first-sector = 2048 },
    { name = "esp", fs = "fat32", size = "64M" },
    { name = "root", fs = "ext4", size = "fit", free = "512M" },
]

[boot]
kind = "grub"

[emulate]
machine = "pc"
"#;

pub const PI: &str = r#"schema = 1
title = "Pi"
arch = "arm64"
suites = ["bookworm", "trixie"]
consoles = ["tty1"]

[disk]
table = "mbr"
partitions = [
    { name = "firmware", fs = "fat32", size = "256M", first-sector = 8192 },
    { name = "root", fs = "ext4", size = "fit", free = "64M" },
]

[boot]
kind = "raspi-firmware"

[emulate]
machine = "raspi3b"
memory = "1G"
timeout-seconds = 900
"#;

pub const OVERLAY: &str = r#"schema = 1
title = "Base"
description = "What every device needs"
packages = ["locales"]
preseeds = ["locales locales/default select {{ locale }}"]

[parameters.hostname]
type = "string"
default = "clic"
pattern = "[a-z0-9-]+"
description = "Name in the network"

[parameters.locale]
type = "string"
default = "fr_FR.UTF-8"
choices = ["fr_FR.UTF-8", "en_GB.UTF-8"]
description = "Language"

[parameters.clients]
type = "integer"
default = 8
min = 1
max = 50
description = "How many people"

[[file]]
path = "/etc/hostname"
template = true

[[unit]]
name = "ssh.service"
state = "enabled"

[[check]]
name = "SSH answers"
port = 22
contains = "SSH-2.0"

[[check]]
name = "there is room"
command = "test {{ clients }} -ge 1"
"#;

/// The tree; it goes when this goes.
pub struct TestTree {
    directory: tempfile::TempDir,
}

impl TestTree {
    /// A valid tree: recipe `minimal`, boards `pc` and `pi`, overlay `base`.
    pub fn new() -> Self {
        let tree = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        tree.write("recipes/minimal.toml", RECIPE);
        tree.write("boards/pc.toml", PC);
        tree.write("boards/pi.toml", PI);
        tree.write("overlays/base/overlay.toml", OVERLAY);
        tree.write("overlays/base/files/etc/hostname", "{{ hostname }}\n");
        tree.write("overlays/base/files/etc/motd", "hello\n");
        tree
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    pub fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Replaces the only occurrence of `from`.
    pub fn edit(&self, relative: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(relative)).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from:?} in {relative}");
        self.write(relative, &text.replace(from, to));
    }

    /// Adds to the end of a file.
    pub fn append(&self, relative: &str, more: &str) {
        let text = std::fs::read_to_string(self.path(relative)).unwrap();
        self.write(relative, &(text + more));
    }

    /// The number of the only line that is this.
    pub fn line(&self, relative: &str, wanted: &str) -> usize {
        let text = std::fs::read_to_string(self.path(relative)).unwrap();
        let line = text.lines().position(|line| line == wanted);
        line.unwrap_or_else(|| panic!("{wanted:?} in {relative}")) + 1
    }

    /// An overlay that does nothing but what `body` says.
    pub fn overlay(&self, name: &str, body: &str) {
        let head = "schema = 1\ntitle = \"T\"\ndescription = \"D\"\n";
        self.write(&format!("overlays/{name}/overlay.toml"), &format!("{head}{body}"));
    }

    pub fn tree(&self) -> Tree {
        Tree::open(self.directory.path()).unwrap_or_else(|problem| panic!("{problem}"))
    }

    pub fn resolve(&self, recipe: &str, board: &str) -> Result<Plan, Report> {
        resolve(&self.tree(), recipe, board, &ResolveOptions::default())
    }

    pub fn plan(&self) -> Plan {
        self.resolve("minimal", "pc")
            .unwrap_or_else(|report| panic!("\n{report}"))
    }

    /// Everything that `check` says about the tree.
    pub fn complaints(&self) -> String {
        match check(&self.tree(), None) {
            Ok(checked) => panic!("this tree is valid: {checked:?}"),
            Err(report) => report.to_string(),
        }
    }

    /// Everything that `check` says about a tree that may be valid: nothing then.
    pub fn said(&self) -> String {
        check(&self.tree(), None)
            .err()
            .map(|report| report.to_string())
            .unwrap_or_default()
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }
}
