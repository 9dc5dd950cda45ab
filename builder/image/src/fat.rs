//! A FAT32 file system, written in one pass from a list of files.
//!
//! Everything is known beforehand, so every file is one contiguous run of clusters, in the order of the names, and the
//! bytes depend on nothing else. Layout and names follow Microsoft's "FAT: General Overview of On-Disk Format" 1.03
//! ("fatgen103"); section names below are its own.

mod names;

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail};
use clic_debian::date::Date;
use clic_host::{Stage, UserError, cancel};
use clic_tree::Content;

use crate::layout::SECTOR;
use names::ShortNames;

/// FAT32 begins at this many clusters: with fewer, readers take the volume for FAT16.
const MIN_CLUSTERS: u64 = 65_525;
/// Clusters 0 and 1 do not exist; their table entries hold the media type and the clean-shutdown flags.
const FIRST_CLUSTER: u32 = 2;
const END_OF_CHAIN: u32 = 0x0fff_ffff;
/// Reserved sectors: 32 is what everybody uses; more are added to align the first cluster.
const RESERVED: u64 = 32;
const FS_INFO_SECTOR: u64 = 1;
const BACKUP_BOOT_SECTOR: u64 = 6;
/// Bytes of a directory entry.
const ENTRY: usize = 32;
const ATTR_VOLUME_ID: u8 = 0x08;
const ATTR_DIRECTORY: u8 = 0x10;
const ATTR_ARCHIVE: u8 = 0x20;

/// What a volume is called and when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Label, at most 11 capital letters and digits.
    pub label: String,
    /// Volume id ("serial number").
    pub id: u32,
    /// Time of everything in it, in seconds since 1970. FAT knows 1980 to 2107 in steps of 2 seconds and no time zone:
    /// it is written in UTC.
    pub epoch: i64,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of a cluster.
    pub cluster: u64,
    /// Clusters in all.
    pub clusters: u64,
    /// Clusters in use.
    pub used: u64,
    /// Bytes of the image, from the volume's first one on, that a medium must have as they are, zeros included: boot
    /// sectors, both tables (zeros there say which clusters are free) and the clusters in use.
    pub in_use: Range<u64>,
}

/// A volume's shape, in sectors unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Geometry {
    total: u64,
    reserved: u64,
    fat: u64,
    per_cluster: u64,
    /// Number of clusters.
    clusters: u64,
}

impl Geometry {
    fn of(bytes: u64) -> Result<Self, UserError> {
        let total = bytes / SECTOR;
        if total > u64::from(u32::MAX) {
            return Err(UserError::new(
                "a FAT32 partition of more than 2 TiB is not possible",
            ));
        }
        // As mkfs.fat does up to 8 GiB: one sector up to 260 MiB (fewer would not be FAT32), then 4 KiB; beyond,
        // 32 KiB.
        let per_cluster = match bytes >> 20 {
            0..=260 => 1,
            261..=8192 => 8,
            _ => 64,
        };
        // Each of the two FATs has an entry of 4 bytes (128 in a sector) for every cluster and the two before them.
        let room = total.saturating_sub(RESERVED);
        let fat = (room + 2 * per_cluster).div_ceil(128 * per_cluster + 2);
        let reserved = (RESERVED + 2 * fat).next_multiple_of(8) - 2 * fat;
        let clusters = total.saturating_sub(reserved + 2 * fat) / per_cluster;
        if clusters < MIN_CLUSTERS {
            return Err(UserError::new(format!(
                "a partition of {} MiB is too small for FAT32",
                bytes >> 20
            ))
            .help("give it 33 MiB or more"));
        }
        Ok(Self {
            total,
            reserved,
            fat,
            per_cluster,
            clusters,
        })
    }

    fn cluster_bytes(&self) -> u64 {
        self.per_cluster * SECTOR
    }

    /// Byte of a cluster in the volume.
    fn at(&self, cluster: u32) -> u64 {
        let before = u64::from(cluster - FIRST_CLUSTER) * self.per_cluster;
        (self.reserved + 2 * self.fat + before) * SECTOR
    }
}

/// A directory or file to be.
enum Node<'a> {
    Directory(BTreeMap<String, Node<'a>>),
    File(&'a Content),
}

/// Hands out clusters in one go, front to back.
struct Allocator {
    geometry: Geometry,
    /// The FAT so far.
    entries: Vec<u32>,
}

impl Allocator {
    /// A contiguous chain for `bytes`; cluster 0, which means "none", for no bytes.
    fn take(&mut self, bytes: u64) -> Result<u32> {
        let count = bytes.div_ceil(self.geometry.cluster_bytes());
        if count == 0 {
            return Ok(0);
        }
        let first = self.entries.len() as u64;
        let end = first + count;
        if end > self.geometry.clusters + u64::from(FIRST_CLUSTER) {
            bail!("the clusters ran out, which the check beforehand excludes");
        }
        for next in first + 1..end {
            self.entries.push(next as u32);
        }
        self.entries.push(END_OF_CHAIN);
        Ok(first as u32)
    }
}

/// Writes a volume of `bytes` at byte `offset` of `image`, which must read as zeros there (zeros are not written).
/// `files` are paths with `/` between names and without a leading one; directories come from the paths. `stage` advances by the bytes of the files.
///
/// # Errors
/// A [`UserError`] when the files do not fit, a name is not possible on FAT, or the partition is too small for FAT32.
pub fn write(
    volume: &Volume,
    files: &BTreeMap<String, Content>,
    image: &File,
    offset: u64,
    bytes: u64,
    stage: &Stage,
) -> Result<Stats> {
    let geometry = Geometry::of(bytes)?;
    let root = directories(files)?;
    fits(&geometry, files, &root)?;

    let mut writer = Writer {
        image,
        offset,
        stamp: stamp(volume.epoch),
        fat: Allocator {
            geometry,
            entries: vec![0x0fff_fff8, END_OF_CHAIN],
        },
        stage,
    };
    let mut label = Vec::new();
    label.extend(short_entry(
        &padded_label(&volume.label)?,
        ATTR_VOLUME_ID,
        0,
        0,
        writer.stamp,
    ));
    let first = writer.fat.take(directory_size(&root, Level::Root))?;
    writer.directory(&root, first, label)?;

    let entries = std::mem::take(&mut writer.fat.entries);
    let used = entries.len() as u64 - u64::from(FIRST_CLUSTER);
    let table: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    for copy in 0..2 {
        writer.put((geometry.reserved + copy * geometry.fat) * SECTOR, &table)?;
    }
    let boot = boot_sector(volume, &geometry, offset / SECTOR)?;
    let info = fs_info(&geometry, used);
    for start in [0, BACKUP_BOOT_SECTOR] {
        writer.put(start * SECTOR, &boot)?;
        writer.put((start + FS_INFO_SECTOR) * SECTOR, &info)?;
    }
    let end = geometry.at(FIRST_CLUSTER) + used * geometry.cluster_bytes();
    Ok(Stats {
        cluster: geometry.cluster_bytes(),
        clusters: geometry.clusters,
        used,
        in_use: offset..offset + end,
    })
}

/// Turns paths into directories. Names that differ only in case are one name to FAT.
fn directories(files: &BTreeMap<String, Content>) -> Result<BTreeMap<String, Node<'_>>> {
    let mut root = BTreeMap::new();
    let mut folded: BTreeMap<String, &str> = BTreeMap::new();
    for (path, data) in files {
        if data.size() > u64::from(u32::MAX) {
            return Err(UserError::new(format!("{path} is larger than the 4 GiB of a file on FAT")).into());
        }
        let mut at = &mut root;
        let mut end = 0;
        for name in path.split('/') {
            names::check(name).with_context(|| format!("{path:?} cannot be a file on FAT"))?;
            end += name.len();
            let so_far = &path[..end];
            let other = *folded.entry(so_far.to_ascii_lowercase()).or_insert(so_far);
            if other != so_far {
                bail!("{other:?} and {so_far:?} are one name on FAT");
            }
            if end == path.len() {
                if at.insert(name.to_owned(), Node::File(data)).is_some() {
                    bail!("{path:?} is both a file and a directory");
                }
                break;
            }
            match at
                .entry(name.to_owned())
                .or_insert_with(|| Node::Directory(BTreeMap::new()))
            {
                Node::Directory(inner) => at = inner,
                Node::File(_) => bail!("{path:?} lies below a file"),
            }
            end += 1;
        }
    }
    Ok(root)
}

/// Where a directory is.
#[derive(Clone, Copy)]
enum Level {
    Root,
    Below,
}

/// Bytes of a directory's entries: label or `.` and `..`, then every name with its long form, then the end mark.
fn directory_size(entries: &BTreeMap<String, Node<'_>>, level: Level) -> u64 {
    let own = match level {
        Level::Root => 1,
        Level::Below => 2,
    };
    let named: usize = entries.keys().map(|name| 1 + names::long_entries(name)).sum();
    ((own + named + 1) * ENTRY) as u64
}

fn clusters_of_directories(entries: &BTreeMap<String, Node<'_>>, level: Level, cluster: u64) -> u64 {
    let below: u64 = entries
        .values()
        .map(|node| match node {
            Node::Directory(inner) => clusters_of_directories(inner, Level::Below, cluster),
            Node::File(_) => 0,
        })
        .sum();
    directory_size(entries, level).div_ceil(cluster) + below
}

fn fits(
    geometry: &Geometry,
    files: &BTreeMap<String, Content>,
    root: &BTreeMap<String, Node<'_>>,
) -> Result<(), UserError> {
    let cluster = geometry.cluster_bytes();
    let contents: u64 = files.values().map(|data| data.size().div_ceil(cluster)).sum();
    let needed = contents + clusters_of_directories(root, Level::Root, cluster);
    if needed <= geometry.clusters {
        return Ok(());
    }
    let mut largest: Vec<(&String, u64)> = files.iter().map(|(path, data)| (path, data.size())).collect();
    largest.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let largest: Vec<String> = largest
        .iter()
        .take(5)
        .map(|(path, len)| format!("\n  {path:<40} {:>8} KiB", len.div_ceil(1024)))
        .collect();
    let kib = |clusters: u64| (clusters * cluster).div_ceil(1024);
    Err(UserError::new(format!(
        "the FAT partition is too small: its files need {} KiB, it has {} KiB. The largest:{}",
        kib(needed),
        kib(geometry.clusters),
        largest.concat()
    ))
    .help("give the partition a larger size in the board's [disk]"))
}

struct Writer<'a> {
    image: &'a File,
    /// Where the volume begins in the image, in bytes.
    offset: u64,
    stamp: (u16, u16),
    fat: Allocator,
    stage: &'a Stage,
}

impl Writer<'_> {
    fn put(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.image
            .write_all_at(bytes, self.offset + at)
            .context("writing the FAT partition")
    }

    /// Writes the entries of the directory at `cluster`, behind those in `bytes`, and everything below it.
    fn directory(
        &mut self,
        entries: &BTreeMap<String, Node<'_>>,
        cluster: u32,
        mut bytes: Vec<u8>,
    ) -> Result<()> {
        let mut short = ShortNames::default();
        for (name, node) in entries {
            cancel::check()?;
            let short = short.pick(name)?;
            names::push_long(&mut bytes, name, &short);
            match node {
                Node::Directory(inner) => {
                    let first = self.fat.take(directory_size(inner, Level::Below))?;
                    bytes.extend(short_entry(&short, ATTR_DIRECTORY, first, 0, self.stamp));
                    // The root directory is cluster 0 to those who point up at it ("Directory Structure").
                    let up = if cluster == FIRST_CLUSTER { 0 } else { cluster };
                    let mut dots = Vec::new();
                    dots.extend(short_entry(b".          ", ATTR_DIRECTORY, first, 0, self.stamp));
                    dots.extend(short_entry(b"..         ", ATTR_DIRECTORY, up, 0, self.stamp));
                    self.directory(inner, first, dots)?;
                }
                Node::File(data) => {
                    let first = self.fat.take(data.size())?;
                    bytes.extend(short_entry(
                        &short,
                        ATTR_ARCHIVE,
                        first,
                        data.size() as u32,
                        self.stamp,
                    ));
                    self.content(first, data)
                        .with_context(|| format!("writing {name}"))?;
                }
            }
        }
        self.put(self.fat.geometry.at(cluster), &bytes)
    }

    fn content(&self, first: u32, data: &Content) -> Result<()> {
        let mut buffer = vec![0; usize::try_from(data.size()).unwrap_or(usize::MAX).min(1 << 20)];
        let opened = data.open().context("reading the tree")?;
        let mut done = 0;
        while done < data.size() {
            cancel::check()?;
            let left = usize::try_from(data.size() - done).unwrap_or(usize::MAX);
            let size = left.min(buffer.len());
            opened
                .read_at(done, &mut buffer[..size])
                .context("reading the tree")?;
            self.put(self.fat.geometry.at(first) + done, &buffer[..size])?;
            done += size as u64;
            self.stage.advance(size as u64);
        }
        Ok(())
    }
}

/// A directory entry ("FAT 32 Byte Directory Entry Structure").
fn short_entry(
    name: &[u8; 11],
    attributes: u8,
    cluster: u32,
    size: u32,
    (date, time): (u16, u16),
) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[..11].copy_from_slice(name);
    entry[11] = attributes;
    entry[14..16].copy_from_slice(&time.to_le_bytes());
    entry[16..18].copy_from_slice(&date.to_le_bytes());
    entry[18..20].copy_from_slice(&date.to_le_bytes());
    entry[20..22].copy_from_slice(&((cluster >> 16) as u16).to_le_bytes());
    entry[22..24].copy_from_slice(&time.to_le_bytes());
    entry[24..26].copy_from_slice(&date.to_le_bytes());
    entry[26..28].copy_from_slice(&((cluster & 0xffff) as u16).to_le_bytes());
    entry[28..32].copy_from_slice(&size.to_le_bytes());
    entry
}

fn padded_label(label: &str) -> Result<[u8; 11]> {
    let fine = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_ ".contains(&byte);
    if label.is_empty() || label.len() > 11 || !label.bytes().all(fine) {
        bail!("{label:?} is not a FAT label: 1 to 11 capital letters and digits");
    }
    let mut padded = [b' '; 11];
    padded[..label.len()].copy_from_slice(label.as_bytes());
    Ok(padded)
}

/// The boot sector ("Boot Sector and BPB"), `hidden` sectors behind the beginning of the disk.
fn boot_sector(volume: &Volume, geometry: &Geometry, hidden: u64) -> Result<[u8; 512]> {
    let mut sector = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    // Jump to 0x5a, where a BIOS that starts this partition is told to try the next device (INT 18h).
    put(0x00, &[0xeb, 0x58, 0x90]);
    // The name that the specification recommends: some readers trust the fields below only with it.
    put(0x03, b"MSWIN4.1");
    put(0x0b, &512u16.to_le_bytes());
    put(0x0d, &[geometry.per_cluster as u8]);
    put(0x0e, &(geometry.reserved as u16).to_le_bytes());
    put(0x10, &[2]);
    put(0x15, &[0xf8]);
    // A geometry for BIOSes that ask: 63 sectors, 255 heads, as they themselves invent for large disks.
    put(0x18, &63u16.to_le_bytes());
    put(0x1a, &255u16.to_le_bytes());
    put(
        0x1c,
        &u32::try_from(hidden)
            .context("a FAT partition beyond 2 TiB")?
            .to_le_bytes(),
    );
    put(0x20, &(geometry.total as u32).to_le_bytes());
    put(0x24, &(geometry.fat as u32).to_le_bytes());
    put(0x2c, &FIRST_CLUSTER.to_le_bytes());
    put(0x30, &(FS_INFO_SECTOR as u16).to_le_bytes());
    put(0x32, &(BACKUP_BOOT_SECTOR as u16).to_le_bytes());
    put(0x40, &[0x80, 0, 0x29]);
    put(0x43, &volume.id.to_le_bytes());
    put(0x47, &padded_label(&volume.label)?);
    put(0x52, b"FAT32   ");
    put(0x5a, &[0xcd, 0x18, 0xeb, 0xfe]);
    put(0x1fe, &[0x55, 0xaa]);
    Ok(sector)
}

/// The sector that says where free clusters are ("FAT32 `FSInfo` Sector Structure").
fn fs_info(geometry: &Geometry, used: u64) -> [u8; 512] {
    let mut sector = [0; 512];
    // All ones when there is none.
    let next = if used < geometry.clusters {
        used as u32 + FIRST_CLUSTER
    } else {
        u32::MAX
    };
    sector[..4].copy_from_slice(b"RRaA");
    sector[484..488].copy_from_slice(b"rrAa");
    sector[488..492].copy_from_slice(&((geometry.clusters - used) as u32).to_le_bytes());
    sector[492..496].copy_from_slice(&next.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Seconds since 1970 as FAT's date and time in UTC, cut to what FAT can say.
fn stamp(epoch: i64) -> (u16, u16) {
    // 1980-01-01 00:00:00 and 2107-12-31 23:59:58.
    let date = Date::of(epoch.clamp(315_532_800, 4_354_819_198).unsigned_abs());
    let day = ((date.year - 1980) << 9) | (date.month << 5) | date.day;
    let time = (date.hour << 11) | (date.minute << 5) | (date.second / 2);
    // Below 2^16, by the clamp above.
    (day as u16, time as u16)
}

#[cfg(test)]
mod tests;
