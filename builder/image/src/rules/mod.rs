//! What must be true of a finished image, read back from its bytes. A registry: an issue that adds a capability
//! adds its rules to [`RULES`].

use std::cell::OnceCell;
use std::collections::BTreeMap;

use anyhow::Result;
use clic_host::UserError;
use clic_recipe::plan::Boot;
use serde::Serialize;

use crate::embedded::{DescribedFile, ImageDescription};
use crate::read::{DiskImage, Partition, Root};

mod clean;
mod disk;
mod elf;
mod files;
pub(crate) mod grub;
mod identity;
pub(crate) mod raspi;
mod secrets;
mod system;

#[cfg(test)]
mod tests;

/// One thing that must be true.
pub struct Rule {
    /// Stable kebab-case name.
    pub id: &'static str,
    /// What is true when nothing is found.
    pub title: &'static str,
    /// What goes wrong for people when it is broken.
    pub why: &'static str,
    /// The boot loader that it is about; `None` for every image.
    pub only: Option<Boot>,
    /// Looks, and tells what it finds.
    pub check: fn(&Context, &mut Findings) -> Result<()>,
}

/// Every rule, in the order in which they are applied and told.
pub const RULES: &[Rule] = &[
    Rule {
        id: "partition-table",
        title: "the partition table is sane and as planned",
        why: "firmware and kernels refuse or misread a disk whose table is wrong",
        only: None,
        check: disk::partition_table,
    },
    Rule {
        id: "file-systems",
        title: "every file system is clean and as large as planned",
        why: "a damaged file system loses data or stops the first boot",
        only: None,
        check: disk::file_systems,
    },
    Rule {
        id: "description",
        title: "the image describes itself as planned",
        why: "without its description the image cannot be tested or inspected by itself",
        only: None,
        check: files::description,
    },
    Rule {
        id: "root-uuid",
        title: "everything that names a file system names one of this image",
        why: "the kernel waits for a root file system that never comes",
        only: None,
        check: identity::root_uuid,
    },
    Rule {
        id: "boot-bios",
        title: "a BIOS finds GRUB",
        why: "old PCs stop at a blinking cursor",
        only: Some(Boot::Grub),
        check: grub::bios,
    },
    Rule {
        id: "boot-uefi",
        title: "UEFI firmware of 64 and 32 bits finds GRUB",
        why: "the PC offers no boot entry for the disk",
        only: Some(Boot::Grub),
        check: grub::uefi,
    },
    Rule {
        id: "boot-menu",
        title: "GRUB's menu leads to a kernel and an initramfs",
        why: "GRUB ends at its prompt",
        only: Some(Boot::Grub),
        check: grub::menu,
    },
    Rule {
        id: "boot-raspi",
        title: "the Raspberry Pi's firmware finds all that it loads",
        why: "the board shows the rainbow screen or stays dark",
        only: Some(Boot::RaspiFirmware),
        check: raspi::firmware,
    },
    Rule {
        id: "init",
        title: "the kernel finds an init to start",
        why: "the kernel panics: no working init found",
        only: None,
        check: system::init,
    },
    Rule {
        id: "packages",
        title: "every package is unpacked and configured",
        why: "apt refuses to work on the device until somebody repairs it",
        only: None,
        check: system::packages,
    },
    Rule {
        id: "files",
        title: "every file of an overlay is there as it was written",
        why: "the device behaves differently from its recipe",
        only: None,
        check: files::files,
    },
    Rule {
        id: "units",
        title: "systemd units are enabled, disabled and masked as planned",
        why: "a service does not start, or one starts that must not",
        only: None,
        check: system::units,
    },
    Rule {
        id: "secrets",
        title: "no secret is in the image",
        why: "all devices made from the image would share it",
        only: None,
        check: secrets::secrets,
    },
    Rule {
        id: "clean",
        title: "nothing of the build is left in the image",
        why: "the image is larger than it must be and shows details of the machine that built it",
        only: None,
        check: clean::clean,
    },
];

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The rule's id.
    pub rule: &'static str,
    /// What was found where, and what was expected.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] {}\n  help: {}", self.rule, self.what, self.help)
    }
}

/// What an image is held against.
#[derive(Clone, Debug)]
pub struct Expected {
    description: ImageDescription,
}

impl Expected {
    /// What was planned. An image whose own description differs breaks the rule `description`.
    pub fn planned(description: ImageDescription) -> Self {
        Self { description }
    }

    /// What the image says of itself. A [`UserError`] when it says nothing.
    pub fn of(image: &DiskImage) -> Result<Self> {
        let Some(description) = image.description()? else {
            let what = format!(
                "{} was not built by CLIC!: it has no description",
                image.path().display()
            );
            return Err(UserError::new(what)
                .help("give an image that `clic build` wrote")
                .into());
        };
        Ok(Self {
            description: description.clone(),
        })
    }
}

/// What a rule looks at.
pub struct Context<'a> {
    /// The image.
    pub image: &'a DiskImage,
    /// What it is meant to be.
    pub expected: &'a ImageDescription,
    accounts: OnceCell<Accounts>,
}

/// Numeric ids by name, from the image's own files.
#[derive(Debug, Default)]
struct Accounts {
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
    homes: Vec<String>,
}

/// Largest text file of the system that a rule reads, in bytes.
pub(crate) const MAX_TEXT: u64 = 4 << 20;

impl<'a> Context<'a> {
    fn new(image: &'a DiskImage, expected: &'a ImageDescription) -> Self {
        Self {
            image,
            expected,
            accounts: OnceCell::new(),
        }
    }

    /// The root file system.
    pub fn root(&self) -> Result<&'a Root> {
        self.image.root()
    }

    /// The partition that the plan calls `name`.
    pub fn partition(&self, name: &str) -> Option<&'a Partition> {
        let at = self
            .expected
            .disk
            .partitions
            .iter()
            .position(|partition| partition.name == name);
        at.and_then(|at| self.image.partitions().get(at))
            .or_else(|| self.image.partition(name))
    }

    /// The text of a file of the root; `None` when it is not there.
    pub fn text(&self, path: &str) -> Result<Option<String>> {
        self.root()?.text(path, MAX_TEXT)
    }

    /// Our own entry at `path`, if the plan has one.
    pub fn planned(&self, path: &str) -> Option<&'a DescribedFile> {
        self.expected.file(path)
    }

    fn accounts(&self) -> Result<&Accounts> {
        if let Some(accounts) = self.accounts.get() {
            return Ok(accounts);
        }
        let mut accounts = Accounts::default();
        for line in self.text("/etc/passwd")?.unwrap_or_default().lines() {
            let fields: Vec<&str> = line.split(':').collect();
            if let [name, _, uid, _, _, home, ..] = fields.as_slice() {
                if let Ok(uid) = uid.parse() {
                    accounts.users.insert((*name).to_owned(), uid);
                }
                accounts.homes.push((*home).to_owned());
            }
        }
        for line in self.text("/etc/group")?.unwrap_or_default().lines() {
            let fields: Vec<&str> = line.split(':').collect();
            if let [name, _, gid, ..] = fields.as_slice()
                && let Ok(gid) = gid.parse()
            {
                accounts.groups.insert((*name).to_owned(), gid);
            }
        }
        accounts.homes.sort();
        accounts.homes.dedup();
        Ok(self.accounts.get_or_init(|| accounts))
    }

    /// Numeric id of a user of the image.
    pub fn uid(&self, name: &str) -> Result<Option<u32>> {
        Ok(self
            .accounts()?
            .users
            .get(name)
            .copied()
            .or_else(|| name.parse().ok()))
    }

    /// Numeric id of a group of the image.
    pub fn gid(&self, name: &str) -> Result<Option<u32>> {
        Ok(self
            .accounts()?
            .groups
            .get(name)
            .copied()
            .or_else(|| name.parse().ok()))
    }

    /// Home directories of the image's accounts, sorted.
    pub fn homes(&self) -> Result<&[String]> {
        Ok(&self.accounts()?.homes)
    }
}

/// Where a rule tells what it finds.
pub struct Findings {
    rule: &'static str,
    found: Vec<Violation>,
}

impl Findings {
    /// Something is wrong: what was found where and what was expected, and what to do.
    pub fn add(&mut self, what: impl Into<String>, help: impl Into<String>) {
        self.found.push(Violation {
            rule: self.rule,
            what: what.into(),
            help: help.into(),
        });
    }
}

/// Applies every rule that concerns the image; what is broken, in the order of the rules. What cannot be read is a
/// violation of the rule that wanted to read it.
///
/// # Errors
/// When a tool that a rule needs is missing or the work is cancelled.
pub fn verify(image: &DiskImage, expected: &Expected) -> Result<Vec<Violation>> {
    verify_with(RULES, image, expected)
}

/// [`verify`] with other rules.
pub fn verify_with(rules: &[Rule], image: &DiskImage, expected: &Expected) -> Result<Vec<Violation>> {
    let context = Context::new(image, &expected.description);
    let mut all: Vec<Violation> = Vec::new();
    for rule in rules {
        clic_host::cancel::check()?;
        if rule.only.is_some_and(|only| only != context.expected.boot) {
            continue;
        }
        let mut findings = Findings {
            rule: rule.id,
            found: Vec::new(),
        };
        if let Err(error) = (rule.check)(&context, &mut findings) {
            let user = error
                .chain()
                .find_map(|cause| cause.downcast_ref::<UserError>())
                .cloned();
            let Some(user) = user else { return Err(error) };
            // The same damage stops many rules; it is told by the first.
            if !all.iter().any(|violation| violation.what == user.what) {
                findings.add(
                    user.what,
                    user.help.unwrap_or_else(|| "build the image again".into()),
                );
            }
        }
        all.append(&mut findings.found);
    }
    Ok(all)
}
