//! What an image says about itself: `/usr/lib/clic/image.json`. It is what lets an image be tested and inspected
//! without the recipe that it came from.

use anyhow::{Context, Result};
use clic_host::{Sha256, UserError};
use clic_recipe::plan::{
    Arch, Boot, Check, Disk, Emulate, Named, Plan, TreeFile, TreeFileKind, UnitChange, Value,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where the description is in the root file system.
pub const IMAGE_DESCRIPTION_PATH: &str = "/usr/lib/clic/image.json";

/// The form that this version writes, and the newest that it reads.
pub const SCHEMA: u32 = 1;

/// Larger than any honest description: a bound on what a hostile image can make us read, in bytes.
pub const MAX_SIZE: u64 = 4 << 20;

/// What an image is and what must be true of it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct ImageDescription {
    /// [`SCHEMA`] of the version that wrote it.
    pub schema: u32,
    /// The recipe.
    pub recipe: Named,
    /// The board.
    pub board: Named,
    /// Debian architecture.
    pub arch: Arch,
    /// Debian suite.
    pub suite: String,
    /// Kernel consoles, most important last.
    pub consoles: Vec<String>,
    /// How the board starts.
    pub boot: Boot,
    /// How the disk was planned to be cut.
    pub disk: Disk,
    /// How to stand in for the board.
    pub emulate: Emulate,
    /// The overlays, in the recipe's order.
    pub overlays: Vec<DescribedOverlay>,
    /// What was done to systemd units, sorted by unit.
    pub units: Vec<UnitChange>,
    /// What a boot test must see.
    pub checks: Vec<Check>,
    /// The entries that we put into the root tree ourselves, sorted by path, without this description.
    pub files: Vec<DescribedFile>,
    /// Keys that may log in as root, as `ssh-keygen -l` lists them: a choice made at build time, on record.
    pub authorized_keys: Vec<String>,
    /// The time that every later time stamp is clamped to, in seconds since 1970.
    pub epoch: i64,
}

/// An overlay with its parameters' final values.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct DescribedOverlay {
    /// Directory name under `overlays/`.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Every parameter.
    pub parameters: BTreeMap<String, Value>,
}

/// One entry that we put into the root tree.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct DescribedFile {
    /// Absolute path.
    pub path: String,
    /// Who brought it: an overlay's name, or `clic`.
    pub from: String,
    /// What it is.
    #[serde(flatten)]
    pub kind: DescribedKind,
    /// Permission bits, written in octal (`"0644"`). Of no meaning for symlinks.
    #[serde(with = "octal")]
    pub mode: u32,
    /// Owner's name in the image's `/etc/passwd`.
    pub owner: String,
    /// Group's name in the image's `/etc/group`.
    pub group: String,
}

/// What a [`DescribedFile`] is.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DescribedKind {
    /// A regular file.
    File {
        /// SHA-256 of its content.
        sha256: Sha256,
        /// Bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: String,
    },
}

impl ImageDescription {
    /// Describes the image that `plan` makes. `files` are all entries that we add to the tree: the plan's own and
    /// those that the boot loader needs; the description's own path is left out. `epoch` in seconds since 1970.
    pub fn new<'a>(plan: &Plan, epoch: i64, files: impl IntoIterator<Item = &'a TreeFile>) -> Self {
        let mut files: Vec<DescribedFile> = files
            .into_iter()
            .filter(|file| file.path != IMAGE_DESCRIPTION_PATH)
            .map(DescribedFile::from)
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self {
            schema: SCHEMA,
            recipe: plan.recipe.clone(),
            board: plan.board.clone(),
            arch: plan.arch,
            suite: plan.suite.clone(),
            consoles: plan.consoles.clone(),
            boot: plan.boot,
            disk: plan.disk.clone(),
            emulate: plan.emulate.clone(),
            overlays: plan
                .overlays
                .iter()
                .map(|overlay| DescribedOverlay {
                    name: overlay.name.clone(),
                    title: overlay.title.clone(),
                    parameters: overlay.parameters.clone(),
                })
                .collect(),
            units: plan.units.clone(),
            checks: plan.checks.clone(),
            files,
            authorized_keys: plan.authorized_keys.clone(),
            epoch,
        }
    }

    /// Its JSON, indented, with a final newline: the bytes of [`IMAGE_DESCRIPTION_PATH`].
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self).context("writing the image's description")?;
        json.push(b'\n');
        Ok(json)
    }

    /// Reads it back. A [`UserError`] when it is not a description or one of a newer schema.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let broken = |error: serde_json::Error| {
            UserError::new(format!(
                "{IMAGE_DESCRIPTION_PATH} in the image is damaged: {error}"
            ))
            .help("build the image again")
        };
        let Version { schema } = serde_json::from_slice(json).map_err(broken)?;
        if schema != SCHEMA {
            return Err(UserError::new(format!(
                "the image's description has schema {schema}, this clic reads {SCHEMA}"
            ))
            .help("use the version of clic that built the image, or build it again")
            .into());
        }
        Ok(serde_json::from_slice(json).map_err(broken)?)
    }

    /// The entry that we put at `path`, if we did.
    pub fn file(&self, path: &str) -> Option<&DescribedFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl From<&TreeFile> for DescribedFile {
    fn from(file: &TreeFile) -> Self {
        Self {
            path: file.path.clone(),
            from: file.from.clone(),
            kind: match &file.kind {
                TreeFileKind::File(content) => DescribedKind::File {
                    sha256: content.sha256,
                    size: content.size,
                },
                TreeFileKind::Directory => DescribedKind::Directory,
                TreeFileKind::Symlink(target) => DescribedKind::Symlink {
                    target: target.clone(),
                },
            },
            mode: file.mode,
            owner: file.owner.clone(),
            group: file.group.clone(),
        }
    }
}

/// Permission bits as people write them.
mod octal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    pub fn serialize<S: Serializer>(mode: &u32, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{mode:04o}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        let text = String::deserialize(from)?;
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(mode),
            _ => Err(D::Error::custom(format!(
                "{text:?} are not permission bits, e.g. \"0644\""
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> ImageDescription {
        let file = |path: &str, kind| DescribedFile {
            path: path.into(),
            from: "base".into(),
            kind,
            mode: 0o640,
            owner: "root".into(),
            group: "root".into(),
        };
        ImageDescription {
            schema: SCHEMA,
            recipe: Named {
                name: "minimal".into(),
                title: "Minimal".into(),
            },
            board: Named {
                name: "x86-pc".into(),
                title: "PC".into(),
            },
            arch: Arch::Amd64,
            suite: "bookworm".into(),
            consoles: vec!["tty1".into()],
            boot: Boot::Grub,
            disk: Disk {
                table: clic_recipe::plan::Table::Gpt,
                partitions: vec![],
            },
            emulate: Emulate {
                machine: clic_recipe::plan::Machine::Pc,
                memory: 1024,
                timeout: 60,
            },
            overlays: vec![],
            units: vec![],
            checks: vec![],
            files: vec![
                file(
                    "/etc/x",
                    DescribedKind::File {
                        sha256: Sha256::of("x"),
                        size: 1,
                    },
                ),
                file("/etc/y", DescribedKind::Symlink { target: "x".into() }),
                file("/etc/z", DescribedKind::Directory),
            ],
            authorized_keys: vec![],
            epoch: 1_700_000_000,
        }
    }

    #[test]
    fn it_comes_back_as_it_was_written() {
        let json = description().to_json().unwrap();
        assert!(String::from_utf8_lossy(&json).contains(r#""mode": "0640""#));
        assert_eq!(ImageDescription::from_json(&json).unwrap(), description());
    }

    #[test]
    fn what_spoiled_images_say_of_themselves_does_not_panic() {
        use clic_host::spoil::{spoiled, try_reader};
        let good = description().to_json().unwrap();
        let step =
            b"title = \"Keys\"\nsecrets = [\"/etc/x/*\"]\nnever-in-image = []\n[[file]]\npath = \"/etc/y\"\n";
        let words = [
            "{",
            "[",
            "\"schema\": 1",
            "-1",
            "99999999999999999999",
            "null",
            "\"0644\"",
            "[[file]]",
            "**",
        ];
        try_reader("descriptions of images", 1000, |random| {
            if let Err(error) = ImageDescription::from_json(&spoiled(&good, &words, random)) {
                assert!(error.is::<UserError>(), "{error:?}");
            }
            let step = spoiled(step, &words, random);
            if let Ok(step) = crate::first_start::Step::parse(&String::from_utf8_lossy(&step)) {
                for like in step.secrets().filter_map(crate::first_start::Like::new) {
                    like.has("/etc/ssh/ssh_host_rsa_key");
                }
            }
        });
    }

    #[test]
    fn a_newer_schema_is_named() {
        let error = ImageDescription::from_json(br#"{"schema": 7, "future": []}"#).unwrap_err();
        let error = error.downcast::<UserError>().unwrap();
        assert_eq!(
            error.what,
            "the image's description has schema 7, this clic reads 1"
        );
    }

    #[test]
    fn garbage_is_a_clear_error() {
        let error = ImageDescription::from_json(b"\x00\xff").unwrap_err().to_string();
        assert!(
            error.starts_with("/usr/lib/clic/image.json in the image is damaged"),
            "{error}"
        );
        let json = String::from_utf8(description().to_json().unwrap())
            .unwrap()
            .replace("0640", "9");
        let error = ImageDescription::from_json(json.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains("\"9\" are not permission bits"), "{error}");
    }
}
