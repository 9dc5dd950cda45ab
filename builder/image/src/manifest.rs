//! The manifest beside an image: what is in it, and how it came to be.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clic_host::{Sha256, UserError};
use clic_recipe::plan::{Arch, Boot, Filesystem, Named, Plan, Table, TreeFile, UnitChange};
use serde::{Deserialize, Serialize};

use crate::assemble::Assembled;
use crate::embedded::{DescribedFile, DescribedOverlay};
use crate::ids::Ids;
use crate::scan::Scan;
use crate::table;

/// The form that this version writes and reads. 2: a release is known by its source.
pub const SCHEMA: u32 = 2;

/// Everything about one image. All but `build` follows from the inputs: two builds of one lock have it alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`] of the version that wrote it.
    pub schema: u32,
    /// The image file.
    pub image: ImageFile,
    /// The recipe.
    pub recipe: Named,
    /// The board.
    pub board: Named,
    /// Debian architecture.
    pub arch: Arch,
    /// Debian suite.
    pub suite: String,
    /// Archive components, `main` first.
    pub components: Vec<String>,
    /// The overlays, in the recipe's order.
    pub overlays: Vec<DescribedOverlay>,
    /// Keys that may log in as root, as `ssh-keygen -l` lists them. A choice made when building, never a default.
    pub authorized_keys: Vec<String>,
    /// What was done to systemd units.
    pub units: Vec<UnitChange>,
    /// The archives' state: their release files, sorted by source.
    pub releases: Vec<Release>,
    /// Installed packages, sorted by name and architecture.
    pub packages: Vec<Package>,
    /// Entries that were put into the root tree beside the packages', sorted by path.
    pub files: Vec<DescribedFile>,
    /// The disk.
    pub disk: DiskMap,
    /// How this one build went. Differs between builds of the same bytes.
    pub build: Build,
}

/// The image file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// SHA-256 of the raw image.
    pub sha256: Sha256,
    /// Bytes of the raw image.
    pub size: u64,
    /// Bytes of it that a medium must have; the rest is free space.
    pub mapped: u64,
    /// The time that every later time stamp in it is clamped to, in seconds since 1970.
    pub epoch: i64,
}

/// What an archive said of itself: its release file (`InRelease`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Release {
    /// Which source it is of: `debian`, `debian-security`, or a name that the recipe gives. Two sources may have a suite of one name.
    pub source: String,
    /// The archive's address, without login. `None` for a directory of the build host.
    pub url: Option<String>,
    /// The suite: `bookworm`.
    pub suite: String,
    /// Its `Date`, in seconds since 1970.
    pub date: i64,
    /// SHA-256 of the file.
    pub sha256: Sha256,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Architecture, `all` included.
    pub arch: String,
    /// Version.
    pub version: String,
    /// SHA-256 of its .deb.
    pub sha256: Sha256,
    /// Bytes of its .deb.
    pub size: u64,
}

/// The disk's map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskMap {
    /// Kind of partition table.
    pub table: Table,
    /// GUID of a GPT disk; signature of an MBR disk in hex with `0x`.
    pub id: String,
    /// How it starts.
    pub boot: Boot,
    /// Sectors of 512 bytes in all.
    pub sectors: u64,
    /// Partitions in the order of the table.
    pub partitions: Vec<PartitionMap>,
}

/// A partition of the disk's map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionMap {
    /// Number in the table, from 1.
    pub number: u32,
    /// Name: `root`, `esp`, `firmware`, `bios`.
    pub name: String,
    /// Type GUID, or type byte in hex with `0x`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `PARTUUID` as Linux shows it.
    pub uuid: String,
    /// First sector.
    pub first_sector: u64,
    /// Length in sectors.
    pub sectors: u64,
    /// What it holds.
    pub fs: Filesystem,
    /// `UUID` of the file system as Linux shows it, if there is one.
    pub fs_uuid: Option<String>,
}

/// How one build went: nothing here decides any byte of the image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// Version of clic.
    pub clic: String,
    /// Versions of the tools that were driven, by name.
    pub tools: BTreeMap<String, String>,
    /// The host's kernel release.
    pub host_kernel: String,
    /// The host's architecture, as the kernel names it.
    pub host_arch: String,
    /// When it began, in seconds since 1970.
    pub started: i64,
    /// Stages and how long each took, in their order.
    pub stages: Vec<StageTime>,
    /// How programs of a foreign tree were started, if that was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Starts>,
    /// What was asked for on the command line beyond recipe and board, by option.
    pub options: BTreeMap<String, String>,
}

/// Programs of a foreign tree that a build started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starts {
    /// By a native twin.
    pub native: u64,
    /// By the emulator.
    pub emulated: u64,
}

/// A stage of a build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// The stage's stable id.
    pub stage: String,
    /// Why it ran.
    pub why: String,
    /// Seconds.
    pub seconds: f64,
}

impl Manifest {
    /// Describes a finished image. `files` are all entries put into the root tree beside the packages'; `epoch` in seconds
    /// since 1970. Packages, files and releases may come in any order.
    #[allow(clippy::too_many_arguments)] // each is a different fact; a struct for one call would only rename them
    pub fn new<'a>(
        plan: &Plan,
        ids: &Ids,
        epoch: i64,
        assembled: &Assembled,
        scan: &Scan,
        mut releases: Vec<Release>,
        mut packages: Vec<Package>,
        files: impl IntoIterator<Item = &'a TreeFile>,
        build: Build,
    ) -> Result<Self> {
        releases.sort();
        packages.sort();
        let mut files: Vec<DescribedFile> = files.into_iter().map(DescribedFile::from).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mapped: u64 = scan
            .mapped
            .iter()
            .map(|run| (run.last - run.first + 1) * crate::scan::BLOCK)
            .sum();
        Ok(Self {
            schema: SCHEMA,
            image: ImageFile {
                sha256: scan.sha256,
                size: scan.size,
                mapped: mapped.min(scan.size),
                epoch,
            },
            recipe: plan.recipe.clone(),
            board: plan.board.clone(),
            arch: plan.arch,
            suite: plan.suite.clone(),
            components: plan.components.clone(),
            overlays: plan
                .overlays
                .iter()
                .map(|overlay| DescribedOverlay {
                    name: overlay.name.clone(),
                    title: overlay.title.clone(),
                    parameters: overlay.parameters.clone(),
                })
                .collect(),
            authorized_keys: plan.authorized_keys.clone(),
            units: plan.units.clone(),
            releases,
            packages,
            files,
            disk: disk_map(plan, ids, assembled)?,
            build,
        })
    }

    /// Its JSON, indented, with a final newline.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self).context("writing the manifest")? + "\n")
    }

    /// Reads it back. A [`UserError`] when it is not a manifest or one of another schema.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let broken =
            |error: serde_json::Error| UserError::new(format!("this is not a manifest of an image: {error}"));
        let Version { schema } = serde_json::from_slice(json).map_err(broken)?;
        if schema != SCHEMA {
            return Err(UserError::new(format!(
                "the manifest has schema {schema}, this clic reads {SCHEMA}"
            ))
            .help("use the version of clic that built the image")
            .into());
        }
        Ok(serde_json::from_slice(json).map_err(broken)?)
    }
}

fn disk_map(plan: &Plan, ids: &Ids, assembled: &Assembled) -> Result<DiskMap> {
    let layout = &assembled.layout;
    let partitions: Result<Vec<PartitionMap>> = layout
        .partitions
        .iter()
        .map(|place| {
            let (kind, uuid) = match layout.table {
                Table::Gpt => (
                    table::type_guid(place.fs, plan.arch).to_string(),
                    ids.partition_guid(&place.name).to_string(),
                ),
                Table::Mbr => (
                    format!("{:#04x}", table::type_code(place.fs)?),
                    format!("{:08x}-{:02x}", ids.mbr_signature(), place.number),
                ),
            };
            Ok(PartitionMap {
                number: place.number,
                name: place.name.clone(),
                kind,
                uuid,
                first_sector: place.first,
                sectors: place.sectors,
                fs: place.fs,
                fs_uuid: match place.fs {
                    Filesystem::Ext4 => Some(ids.fs_uuid(&place.name).to_string()),
                    Filesystem::Fat32 => Some(ids.fat_uuid(&place.name)),
                    Filesystem::BiosBoot => None,
                },
            })
        })
        .collect();
    Ok(DiskMap {
        table: layout.table,
        id: match layout.table {
            Table::Gpt => ids.disk_guid().to_string(),
            Table::Mbr => format!("{:#010x}", ids.mbr_signature()),
        },
        boot: plan.boot,
        sectors: layout.sectors,
        partitions: partitions?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{self, tests::plan};
    use crate::ext4;
    use crate::layout::Layout;
    use crate::scan::Mapped;

    fn manifest(boot: Boot) -> Manifest {
        let plan = plan(boot);
        let ids = Ids::derive(b"manifest");
        let assembled = Assembled {
            layout: Layout::new(&plan.disk, 64 << 20, None).unwrap(),
            root: ext4::Stats {
                blocks: 0,
                free_blocks: 0,
                available: 0,
                inodes: 0,
                free_inodes: 0,
                in_use: vec![],
            },
            volumes: BTreeMap::new(),
            in_use: vec![],
        };
        let scan = Scan {
            size: 130 << 20,
            sha256: Sha256::of("image"),
            mapped: vec![Mapped {
                first: 0,
                last: 9,
                sha256: Sha256::of("mapped"),
            }],
        };
        let package = |name: &str| Package {
            name: name.into(),
            arch: "amd64".into(),
            version: "1".into(),
            sha256: Sha256::of(name),
            size: 1,
        };
        let files = boot::tree_files(&plan, &plan.files, &ids, 7).unwrap();
        let packages = vec![package("zlib1g"), package("adduser")];
        Manifest::new(
            &plan,
            &ids,
            7,
            &assembled,
            &scan,
            vec![],
            packages,
            &files,
            Build::default(),
        )
        .unwrap()
    }

    #[test]
    fn it_comes_back_as_it_was_written() {
        let manifest = manifest(Boot::Grub);
        let json = manifest.to_json().unwrap();
        assert_eq!(Manifest::from_json(json.as_bytes()).unwrap(), manifest);
        assert_eq!(manifest.packages[0].name, "adduser", "sorted");
        assert_eq!(manifest.image.mapped, 40_960);
        assert!(
            json.contains("\"path\": \"/usr/lib/clic/image.json\""),
            "the description too"
        );
    }

    #[test]
    fn spoiled_manifests_do_not_panic() {
        use clic_host::spoil::{spoiled, try_reader};
        let good = manifest(Boot::Grub).to_json().unwrap();
        let words = [
            "{",
            "[",
            "\"schema\": 2",
            "-1",
            "99999999999999999999",
            "null",
            "\\u0000",
        ];
        try_reader("manifests", 1000, |random| {
            let bytes = spoiled(good.as_bytes(), &words, random);
            match Manifest::from_json(&bytes) {
                Ok(read) => drop(read.to_json().unwrap()),
                Err(error) => assert!(
                    error.is::<UserError>() && error.to_string().len() < 1000,
                    "{error}"
                ),
            }
        });
    }

    #[test]
    fn partitions_are_named_as_linux_names_them() {
        let ids = Ids::derive(b"manifest");
        let pc = manifest(Boot::Grub).disk;
        assert_eq!(pc.id, ids.disk_guid().to_string());
        assert_eq!(pc.partitions[0].fs_uuid, None);
        assert_eq!(pc.partitions[1].fs_uuid, Some(ids.fat_uuid("esp")));
        assert_eq!(pc.partitions[2].kind, "4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
        let pi = manifest(Boot::RaspiFirmware).disk;
        assert_eq!(pi.id, format!("{:#010x}", ids.mbr_signature()));
        assert_eq!(
            (pi.partitions[0].kind.as_str(), pi.partitions[0].first_sector),
            ("0x0c", 8192)
        );
        assert_eq!(pi.partitions[1].uuid, format!("{:08x}-02", ids.mbr_signature()));
    }

    #[test]
    fn another_schema_and_garbage_are_clear_errors() {
        let why = |json: &[u8]| {
            Manifest::from_json(json)
                .unwrap_err()
                .downcast::<UserError>()
                .unwrap()
                .what
        };
        assert_eq!(
            why(b"{\"schema\": 9}"),
            "the manifest has schema 9, this clic reads 2"
        );
        assert!(why(b"\xff\x00").starts_with("this is not a manifest of an image"));
        assert!(why(b"{\"schema\": 2}").starts_with("this is not a manifest of an image: missing field"));
    }
}
