//! What is in an image, for people and for programs.

use std::fmt::Write as _;

use anyhow::Result;
use clic_host::figures;
use clic_host::plain::one_line;
use clic_recipe::plan::Table;
use serde::Serialize;

use crate::embedded::ImageDescription;
use crate::read::{DiskImage, Entry, EntryKind, Fat, Package, Partition};
use crate::rules::{MAX_TEXT, grub, raspi};

mod path;
#[cfg(test)]
mod tests;

pub use path::{Found, FoundFile, ListedEntry, Listing, UnixFacts, inspect_path};

/// What is in an image.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The image's path as it was given.
    pub image: String,
    /// Its size in bytes.
    pub size: u64,
    /// Kind of partition table.
    pub table: Table,
    /// The disk's GUID or MBR disk id.
    pub disk_id: String,
    /// What is wrong with the partition table.
    pub problems: Vec<String>,
    /// Partitions in the order of the table.
    pub partitions: Vec<Partition>,
    /// What starts it, in the order in which it runs.
    pub boot: Vec<BootPiece>,
    /// What the file systems hold, in the order of the table.
    pub contents: Vec<Contents>,
    /// Packages that dpkg knows of, sorted by name.
    pub packages: Vec<Package>,
    /// What the image says of itself; `None` when CLIC! did not build it.
    pub description: Option<ImageDescription>,
}

/// A part of the boot chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BootPiece {
    /// What it is: `UEFI x64`, `kernel`.
    pub what: String,
    /// Where it is: `sector 0`, `esp:/EFI/BOOT/BOOTX64.EFI`, `/boot/vmlinuz-6.1`.
    pub place: String,
    /// Bytes, where it is a file; `None` when it is not a file or missing.
    pub size: Option<u64>,
    /// What more there is to say.
    pub note: String,
}

/// Counts of a file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// The partition's name.
    pub partition: String,
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Devices, pipes and sockets.
    pub others: u64,
    /// Bytes of the regular files, each name counted.
    pub bytes: u64,
}

/// Looks at everything in an image. Reads every directory, but only the files that it tells of.
pub fn inspect(image: &DiskImage) -> Result<Inspection> {
    let mut contents = Vec::new();
    for partition in image.partitions() {
        if partition.holds("fat") {
            contents.push(fat_contents(&image.fat(partition)?, &partition.name)?);
        }
    }
    let has_root = image.root_partition().is_some();
    if let Some(partition) = image.root_partition() {
        contents.push(root_contents(image, &partition.name)?);
    }
    Ok(Inspection {
        image: image.path().display().to_string(),
        size: image.size(),
        table: image.table().kind,
        disk_id: image.table().id.clone(),
        problems: image.table().problems.clone(),
        partitions: image.partitions().to_vec(),
        boot: boot_chain(image)?,
        contents,
        packages: if has_root { image.packages()? } else { Vec::new() },
        description: if has_root {
            image.description()?.cloned()
        } else {
            None
        },
    })
}

fn fat_contents(fat: &Fat, name: &str) -> Result<Contents> {
    let mut contents = Contents {
        partition: name.to_owned(),
        ..Contents::default()
    };
    for entry in fat.walk()? {
        if entry.directory {
            contents.directories += 1;
        } else {
            contents.files += 1;
            contents.bytes += entry.size;
        }
    }
    Ok(contents)
}

fn root_contents(image: &DiskImage, name: &str) -> Result<Contents> {
    let mut contents = Contents {
        partition: name.to_owned(),
        ..Contents::default()
    };
    image.root()?.walk("/", &mut |entry| {
        match entry.kind {
            EntryKind::File => {
                contents.files += 1;
                contents.bytes = contents.bytes.saturating_add(entry.size);
            }
            EntryKind::Directory => contents.directories += 1,
            EntryKind::Symlink => contents.symlinks += 1,
            _ => contents.others += 1,
        }
        Ok(())
    })?;
    Ok(contents)
}

fn boot_chain(image: &DiskImage) -> Result<Vec<BootPiece>> {
    let mut pieces = Vec::new();
    if image.table().kind == Table::Gpt {
        bios_pieces(image, &mut pieces)?;
    }
    if let Some(partition) = image.boot_partition() {
        let fat = image.fat(partition)?;
        uefi_pieces(&fat, &partition.name, &mut pieces)?;
        raspi_pieces(&fat, &partition.name, &mut pieces)?;
    }
    if image.root_partition().is_some() {
        menu_pieces(image, &mut pieces)?;
        let piece = root_piece(image, "init", "/sbin/init")?;
        pieces.push(piece);
    }
    Ok(pieces)
}

fn bios_pieces(image: &DiskImage, pieces: &mut Vec<BootPiece>) -> Result<()> {
    let code = image.bytes().bytes(0, 440)?;
    let piece = |what: &str, place: String, note: String| BootPiece {
        what: what.into(),
        place,
        size: None,
        note,
    };
    if code.iter().any(|byte| *byte != 0) {
        let grub = code.windows(5).any(|part| part == b"GRUB ");
        let loads = grub::le(&code, 0x5c, 8).unwrap_or(0);
        let note = if grub {
            format!("GRUB, loads sector {loads}")
        } else {
            "not GRUB's".into()
        };
        pieces.push(piece("BIOS", "sector 0".into(), note));
    }
    if let Some(partition) = image.partition("bios") {
        let empty = image
            .window(partition)
            .bytes(0, 4096)?
            .iter()
            .all(|byte| *byte == 0);
        let note = if empty { "empty" } else { "GRUB's core image" };
        pieces.push(piece(
            "BIOS",
            format!("partition {} (bios)", partition.entry.index),
            note.into(),
        ));
    }
    Ok(())
}

fn fat_piece(fat: &Fat, partition: &str, what: &str, path: &str) -> Result<BootPiece> {
    let entry = fat.entry(path)?.filter(|entry| !entry.directory);
    Ok(BootPiece {
        what: what.into(),
        place: format!("{partition}:{path}"),
        size: entry.as_ref().map(|entry| entry.size),
        note: if entry.is_some() {
            String::new()
        } else {
            "missing".into()
        },
    })
}

fn uefi_pieces(fat: &Fat, partition: &str, pieces: &mut Vec<BootPiece>) -> Result<()> {
    for (what, name) in [
        ("UEFI x64", "BOOTX64.EFI"),
        ("UEFI ia32", "BOOTIA32.EFI"),
        ("UEFI arm64", "BOOTAA64.EFI"),
    ] {
        let piece = fat_piece(fat, partition, what, &format!("/EFI/BOOT/{name}"))?;
        if piece.size.is_some() {
            pieces.push(piece);
        }
    }
    Ok(())
}

fn raspi_pieces(fat: &Fat, partition: &str, pieces: &mut Vec<BootPiece>) -> Result<()> {
    if fat.entry("/config.txt")?.is_none() {
        return Ok(());
    }
    for (what, name) in [
        ("firmware Pi 3", "start.elf"),
        ("firmware Pi 4", "start4.elf"),
        ("settings", "config.txt"),
    ] {
        pieces.push(fat_piece(fat, partition, what, &format!("/{name}"))?);
    }
    let text = fat.read("/config.txt", MAX_TEXT)?;
    let config = raspi::Config::parse(&String::from_utf8_lossy(&text));
    let trees = fat.list("/")?;
    let trees = trees
        .iter()
        .filter(|entry| entry.path.to_lowercase().ends_with(".dtb"))
        .count();
    pieces.push(BootPiece {
        what: "device trees".into(),
        place: format!("{partition}:/"),
        size: None,
        note: format!("{trees} .dtb files"),
    });
    for name in &config.kernels {
        pieces.push(fat_piece(fat, partition, "kernel", &format!("/{name}"))?);
    }
    for name in &config.initramfs {
        pieces.push(fat_piece(fat, partition, "initramfs", &format!("/{name}"))?);
    }
    let mut piece = fat_piece(fat, partition, "command line", "/cmdline.txt")?;
    if piece.size.is_some() {
        let text = fat.read("/cmdline.txt", MAX_TEXT)?;
        piece.note = joined(&String::from_utf8_lossy(&text));
    }
    pieces.push(piece);
    Ok(())
}

fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn menu_pieces(image: &DiskImage, pieces: &mut Vec<BootPiece>) -> Result<()> {
    let path = "/boot/grub/grub.cfg";
    let root = image.root()?;
    let Some(text) = root.text(path, MAX_TEXT)? else {
        return Ok(());
    };
    let mut menu = root_piece(image, "menu", path)?;
    match grub::parse(text.as_bytes()) {
        Err(why) => {
            menu.note = format!("damaged: {why}");
            pieces.push(menu);
        }
        Ok(commands) => {
            pieces.push(menu);
            for command in commands {
                let what = match command.words.first().map(String::as_str) {
                    Some("linux") => "kernel",
                    Some("initrd") => "initramfs",
                    _ => continue,
                };
                let Some(file) = command.words.get(1) else {
                    continue;
                };
                if !command.runs(root)? {
                    continue;
                }
                let mut piece = root_piece(image, what, &grub::plain(file))?;
                if what == "kernel" && piece.size.is_some() {
                    piece.note = command.words.get(2..).unwrap_or(&[]).join(" ");
                }
                if !pieces
                    .iter()
                    .any(|other| other.what == piece.what && other.place == piece.place)
                {
                    pieces.push(piece);
                }
            }
        }
    }
    Ok(())
}

fn root_piece(image: &DiskImage, what: &str, path: &str) -> Result<BootPiece> {
    let target = image.root()?.stat_target(path)?;
    Ok(BootPiece {
        what: what.into(),
        place: target.as_ref().map_or_else(|| path.to_owned(), Entry::display),
        size: target.as_ref().map(|entry| entry.size),
        note: if target.is_some() {
            String::new()
        } else {
            "missing".into()
        },
    })
}

impl Inspection {
    /// The inspection for people; with `packages`, each of them, and otherwise how many there are.
    pub fn text(&self, packages: bool) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out, packages);
        out
    }

    fn write(&self, out: &mut String, packages: bool) -> std::fmt::Result {
        writeln!(
            out,
            "{}  {} ({} bytes)",
            self.image,
            figures::size(self.size),
            self.size
        )?;
        self.write_description(out)?;
        self.write_partitions(out)?;
        for problem in &self.problems {
            writeln!(out, "  wrong: {}", one_line(problem))?;
        }
        writeln!(out, "\nBoot chain")?;
        let rows = self.boot.iter().map(|piece| {
            let size = piece.size.map_or("-".into(), figures::size);
            vec![piece.what.clone(), piece.place.clone(), size, piece.note.clone()]
        });
        out.push_str(&columns(&["what", "where", "size", ""], rows));
        writeln!(out, "\nContents")?;
        let rows = self.contents.iter().map(|contents| {
            vec![
                contents.partition.clone(),
                contents.files.to_string(),
                contents.directories.to_string(),
                contents.symlinks.to_string(),
                figures::size(contents.bytes),
            ]
        });
        out.push_str(&columns(
            &["partition", "files", "directories", "links", "size"],
            rows,
        ));
        self.write_packages(out, packages)
    }

    fn write_description(&self, out: &mut String) -> std::fmt::Result {
        let Some(description) = &self.description else {
            return writeln!(out, "not built by CLIC!: it has no description of itself");
        };
        let mut line = |what: &str, text: &str| writeln!(out, "{what:<8} {}", one_line(text));
        let named = |name: &str, title: &str| format!("{name}: {title}");
        line(
            "recipe",
            &named(&description.recipe.name, &description.recipe.title),
        )?;
        line("board", &named(&description.board.name, &description.board.title))?;
        line(
            "system",
            &format!("Debian {} {}", description.suite, description.arch),
        )?;
        let overlays: Vec<&str> = description
            .overlays
            .iter()
            .map(|overlay| overlay.name.as_str())
            .collect();
        let overlays = overlays.join(", ");
        line("overlays", if overlays.is_empty() { "none" } else { &overlays })?;
        for key in &description.authorized_keys {
            line("key", key)?;
        }
        Ok(())
    }

    fn write_partitions(&self, out: &mut String) -> std::fmt::Result {
        let kind = if self.table == Table::Gpt { "GPT" } else { "MBR" };
        writeln!(out, "\nPartitions ({kind}, disk {})", self.disk_id)?;
        let rows = self.partitions.iter().map(|partition| {
            let fs = partition.fs.as_ref();
            vec![
                partition.entry.index.to_string(),
                partition.name.clone(),
                figures::size(partition.size()),
                partition.entry.first_sector.to_string(),
                partition.entry.sectors.to_string(),
                partition.entry.type_name.to_owned(),
                fs.map_or("-".into(), |fs| fs.kind.clone()),
                fs.map_or("-".into(), |fs| fs.uuid.clone()),
            ]
        });
        out.push_str(&columns(
            &[
                "#",
                "name",
                "size",
                "first sector",
                "sectors",
                "type",
                "fs",
                "UUID",
            ],
            rows,
        ));
        Ok(())
    }

    fn write_packages(&self, out: &mut String, each: bool) -> std::fmt::Result {
        let installed: Vec<&Package> = self
            .packages
            .iter()
            .filter(|package| package.installed())
            .collect();
        if !each {
            let kib = installed.iter().filter_map(|package| package.installed_size);
            let bytes = kib.fold(0_u64, |sum, kib| sum.saturating_add(kib.saturating_mul(1024)));
            let count = figures::counted(installed.len() as u64, "package");
            return writeln!(out, "\n{count}, {} installed", figures::size(bytes));
        }
        writeln!(out, "\nPackages ({})", installed.len())?;
        let rows = installed.iter().map(|package| {
            let size = package
                .installed_size
                .map_or("-".into(), |kib| figures::size(kib.saturating_mul(1024)));
            vec![
                package.name.clone(),
                package.version.clone(),
                package.architecture.clone(),
                size,
            ]
        });
        out.push_str(&columns(&["name", "version", "arch", "size"], rows));
        Ok(())
    }
}

/// Rows below a head, each column as wide as its widest cell. A cell is one line, whatever is in it.
pub(crate) fn columns(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head = head.iter().map(|cell| (*cell).to_owned()).collect();
    let one_line = |cell: &String| one_line(cell).into_owned();
    let rows: Vec<Vec<String>> = std::iter::once(head)
        .chain(rows)
        .map(|row: Vec<String>| row.iter().map(one_line).collect())
        .collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "  {cell:<width$}");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
