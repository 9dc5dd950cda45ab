//! The throwaway copy that is booted in place of the image. The image itself is only ever read.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clic_host::{Cmd, cancel};
use clic_image::read::DiskImage;
use clic_recipe::plan::Machine;
use clic_store::space;

use crate::agent;

/// How much larger than the image a clone is, in bytes: a card or disk is larger too, so the first boot's growth is part
/// of the test. It is a hole: no disk space is used for it.
const GROWTH: u64 = 2 << 30;

/// Size of the clone of an image of `size` bytes. QEMU's Raspberry Pi takes SD cards with a power of two of bytes only.
pub fn clone_size(size: u64, machine: Machine) -> Option<u64> {
    let size = size.checked_add(GROWTH)?;
    match machine {
        Machine::Raspi3b => size.checked_next_power_of_two(),
        // QEMU rounds disks down to whole sectors.
        Machine::Pc => size.checked_next_multiple_of(4096),
    }
}

/// Copies `image` to `to`, enlarges it for `machine` and puts the agent into its root file system.
pub fn make(image: &DiskImage, machine: Machine, to: &Path) -> Result<()> {
    let from = File::open(image.path()).with_context(|| format!("cannot read {}", image.path().display()))?;
    let stored = from
        .metadata()
        .map_or(image.size(), |metadata| metadata.blocks().saturating_mul(512));
    let dir = to.parent().unwrap_or(Path::new("."));
    space::ensure(dir, stored.min(image.size()), "a copy of the image to boot")?;
    copy_sparse(from, to)?;
    let size = clone_size(image.size(), machine).context("the image is too large to be copied")?;
    let file = OpenOptions::new()
        .write(true)
        .open(to)
        .with_context(|| to.display().to_string())?;
    file.set_len(size).map_err(|error| space::io_error(error, to))?;
    drop(file);
    let root = image
        .root_partition()
        .context("the image has no ext4 partition to be its root")?;
    insert_agent(to, root.offset(), dir)
}

/// Writes one file, of root's and readable by all, into the root file system of the clone `disk`, by debugfs of e2fsprogs.
pub fn put(image: &DiskImage, disk: &Path, path: &str, content: &[u8]) -> Result<()> {
    let root = image
        .root_partition()
        .context("the image has no ext4 partition to be its root")?;
    let dir = disk.parent().unwrap_or(Path::new("."));
    let mut commands = Vec::new();
    for (end, _) in path.match_indices('/').skip(1) {
        commands.push(format!("mkdir {}", &path[..end]));
    }
    std::fs::write(dir.join("put"), content).map_err(|error| space::io_error(error, &dir.join("put")))?;
    commands.extend(write_commands("put", path));
    debugfs(disk, root.offset(), dir, commands, &[(path, content)])
}

/// debugfs's commands that write the file `name` to `path`.
fn write_commands(name: &str, path: &str) -> Vec<String> {
    let mut commands = vec![format!("rm {path}"), format!("write {name} {path}")];
    for field in ["mode 0100644", "uid 0", "gid 0"] {
        commands.push(format!("sif {path} {field}"));
    }
    commands
}

/// Copies by reference where the file system can, else the parts that are not holes.
fn copy_sparse(mut from: File, to: &Path) -> Result<()> {
    let full = |error: std::io::Error| space::io_error(error, to);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(to)
        .map_err(full)?;
    if rustix::fs::ioctl_ficlone(&file, &from).is_ok() {
        return Ok(());
    }
    let len = from.metadata()?.len();
    file.set_len(len).map_err(full)?;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < len {
        at = match rustix::fs::seek(&from, rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => data,
            // Only a hole is left.
            Err(rustix::io::Errno::NXIO) => break,
            // A file system without holes.
            Err(_) => from.seek(SeekFrom::Start(at))?,
        };
        let end = rustix::fs::seek(&from, rustix::fs::SeekFrom::Hole(at))
            .unwrap_or(len)
            .min(len);
        from.seek(SeekFrom::Start(at))?;
        file.seek(SeekFrom::Start(at)).map_err(full)?;
        while at < end {
            cancel::check()?;
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let len = match from.read(&mut buffer[..want]) {
                Ok(0) => bail!("the image became shorter while it was copied"),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("reading the image"),
            };
            file.write_all(&buffer[..len]).map_err(full)?;
            at += len as u64;
        }
    }
    Ok(())
}

/// Writes the agent into the ext4 file system at byte `offset` of `disk`, by debugfs of e2fsprogs.
fn insert_agent(disk: &Path, offset: u64, dir: &Path) -> Result<()> {
    // `mkdir` and `rm` may fail: what counts is looked at afterwards.
    let mut commands = vec![
        "mkdir /etc/systemd/system".to_owned(),
        "mkdir /etc/systemd/system/sysinit.target.wants".to_owned(),
    ];
    for (name, content, path) in [
        ("agent.sh", agent::SCRIPT, agent::SCRIPT_PATH),
        ("agent.service", agent::UNIT, agent::UNIT_PATH),
    ] {
        std::fs::write(dir.join(name), content).map_err(|error| space::io_error(error, &dir.join(name)))?;
        commands.extend(write_commands(name, path));
    }
    commands.push(format!("rm {}", agent::WANTS_PATH));
    commands.push(format!(
        "symlink {} ../clic-test-agent.service",
        agent::WANTS_PATH
    ));
    let wanted: [(&str, &[u8]); 2] = [
        (agent::SCRIPT_PATH, agent::SCRIPT.as_bytes()),
        (agent::WANTS_PATH, agent::UNIT.as_bytes()),
    ];
    debugfs(disk, offset, dir, commands, &wanted)
}

/// Runs debugfs's commands on the file system at byte `offset` of `disk`. What they are for is looked at afterwards: `wanted`
/// has paths with what a reader finds there then.
fn debugfs(
    disk: &Path,
    offset: u64,
    dir: &Path,
    mut commands: Vec<String>,
    wanted: &[(&str, &[u8])],
) -> Result<()> {
    commands.push(String::new());
    std::fs::write(dir.join("commands.debugfs"), commands.join("\n"))?;
    let name = disk
        .file_name()
        .context("a clone without a name")?
        .to_string_lossy()
        .into_owned();
    let output = Cmd::new("debugfs")
        .clean_env()
        .current_dir(dir)
        .args(["-w", "-f", "commands.debugfs", &format!("{name}?offset={offset}")])
        .finish()
        .context("debugfs (Debian package e2fsprogs) puts files into the clone")?;
    let clone = DiskImage::open(disk)?;
    let root = clone.root()?;
    for (path, content) in wanted {
        let there = root.resolve(path)?.is_some() && root.read(path, 1 << 20)? == *content;
        ensure!(
            there,
            "{path} could not be put into the clone:\n{}",
            output.stderr.trim()
        );
    }
    Ok(())
}

/// Copies a file that shall survive the scratch directory, by reference or by its parts that are not holes.
pub fn keep(from: &Path, to: PathBuf) -> Result<PathBuf> {
    match std::fs::remove_file(&to) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", to.display()));
        }
        _ => {}
    }
    if std::fs::rename(from, &to).is_err() {
        copy_sparse(File::open(from)?, &to)?;
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sd_card_has_a_power_of_two() {
        assert_eq!(clone_size(1, Machine::Raspi3b), Some(4 << 30));
        assert_eq!(clone_size(2 << 30, Machine::Raspi3b), Some(4 << 30));
        assert_eq!(clone_size((2 << 30) + 1, Machine::Raspi3b), Some(8 << 30));
        assert_eq!(clone_size(u64::MAX - 5, Machine::Raspi3b), None);
        assert_eq!(clone_size((1 << 30) + 512, Machine::Pc), Some((3 << 30) + 4096));
    }

    #[test]
    fn a_copy_is_the_same_and_has_the_holes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"begin").unwrap();
        file.seek(SeekFrom::Start(8 << 20)).unwrap();
        file.write_all(b"end").unwrap();
        file.set_len(16 << 20).unwrap();
        let copy = dir.path().join("b");
        copy_sparse(File::open(&path).unwrap(), &copy).unwrap();
        assert!(std::fs::read(&path).unwrap() == std::fs::read(&copy).unwrap());
        assert!(copy.metadata().unwrap().blocks() * 512 < 4 << 20);
    }
}
