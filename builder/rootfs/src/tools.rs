//! Programs of the build host's architecture, from Debian packages of the image's suite: those that stand in for slow emulated
//! ones while a foreign tree is configured ([`tree`]), and those that make content ([`makers`]).
//!
//! They are in the lock, so that a build has them offline, but not in an image's identity or manifest: the first never shape
//! a result, only how long it takes.
//!
//! ```text
//! <store>/tools/<key>/tree      what was made of the packages
//! <store>/tools/<key>/sha256    the hash of all that is in it, looked at before each use
//! ```

use std::cell::Cell;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clic_archive::resolution::{Package, Resolution};
use clic_debian::deb::{self, Deb};
use clic_host::sha256::Hasher;
use clic_host::{Sha256, Stage, parallel};
use clic_recipe::plan::Arch;
use clic_store::Store;
use clic_store::space::io_error;
use clic_tree::{EntryType, Member, Source, Stream, Walk};
use rustix::fs::{AtFlags, Mode, OFlags};

use crate::accel;
use crate::inside::root::{Root, plain, split, unlink};

/// Where a package has programs and libraries; the rest of it is not unpacked.
const WANTED: [&str; 10] = [
    "bin",
    "sbin",
    "lib",
    "lib64",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib64",
    "usr/libexec",
    "usr/libx32",
];

/// The tools tree for a resolution's `tools`, on a build host of `host`: that in the store if it is whole, else a new
/// one. It stays while `store` is open.
pub fn tree(
    resolution: &Resolution,
    host: Arch,
    target: Arch,
    store: &Store,
    threads: usize,
    stage: &Stage,
) -> Result<PathBuf> {
    let key = key(&resolution.tools, target.debian());
    have(key, &resolution.tools, store, threads, stage, |place| {
        accel::fit(place, host, target)
    })
}

/// All of a resolution's `tools`, to be the root of a sandbox, with `/proc` and `/work` to mount on. As [`tree`] otherwise.
pub fn makers(resolution: &Resolution, store: &Store, threads: usize, stage: &Stage) -> Result<PathBuf> {
    let key = makers_key(resolution);
    have(key, &resolution.tools, store, threads, stage, |place| {
        accel::merge(place)?;
        for name in ["proc", "work"] {
            let path = place.join(name);
            std::fs::create_dir(&path).map_err(|error| io_error(error, &path))?;
        }
        Ok(())
    })
}

/// The hash of everything that shapes what [`makers`] returns.
pub fn makers_key(resolution: &Resolution) -> Sha256 {
    key(&resolution.tools, "makers")
}

fn have(
    key: Sha256,
    tools: &[Package],
    store: &Store,
    threads: usize,
    stage: &Stage,
    fit: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let dir = store.room("tools")?.join(key.to_string());
    let _held = store.lock(&format!("tools-{key}"))?;
    let (tree, hash) = (dir.join("tree"), dir.join("sha256"));
    if store.uses(&dir)? {
        let written = std::fs::read_to_string(&hash).unwrap_or_default();
        if digest(&tree).is_ok_and(|found| written.parse() == Ok(found)) {
            return Ok(tree);
        }
        stage.message("native tools: those in the store are damaged, so they are made again");
        tracing::warn!(tools = %key, "damaged tools removed from the store");
        std::fs::remove_dir_all(&dir).map_err(|error| io_error(error, &dir))?;
    } else {
        stage.message("native tools");
    }
    let scratch = store.scratch("tools")?;
    let new = scratch.path().join("new");
    let place = new.join("tree");
    std::fs::create_dir_all(&place).map_err(|error| io_error(error, &place))?;
    parallel::each(tools, threads, |package| {
        let deb = store.fetch(&package.download(), stage)?;
        extract(&deb, &place, package.installed_size)
            .with_context(|| format!("cannot unpack the tool {}", package.title()))
    })?;
    fit(&place)?;
    let digest = digest(&place)?;
    std::fs::write(new.join("sha256"), digest.to_string()).map_err(|error| io_error(error, &new))?;
    std::fs::rename(&new, &dir).map_err(|error| io_error(error, &dir))?;
    store.uses(&dir)?;
    Ok(tree)
}

/// The hash of everything that shapes a tools tree. `purpose`: what it is made into.
fn key(tools: &[Package], purpose: &str) -> Sha256 {
    let mut text = format!("{} {purpose}\n", env!("CLIC_ENGINE"));
    for package in tools {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", package.sha256);
    }
    Sha256::of(text)
}

/// Programs and libraries of a package; nothing leaves `dir`. Owners are ours: they become root in the sandbox. `stated`: bytes
/// that it takes by its own account.
fn extract(deb: &Path, dir: &Path, stated: u64) -> Result<()> {
    let deb = Deb::open(deb)?;
    let root = Root::open(dir)?;
    let left = Cell::new(deb::most(stated, deb.size()?));
    let mut walk = Walk::foreign(Stream(deb.data(&left)?));
    while let Some(member) = walk.advance()? {
        let shown = String::from_utf8_lossy(&member.path).into_owned();
        let path = plain(&member.path).with_context(|| format!("{shown:?} leads out of it"))?;
        let inside = Path::new(OsStr::from_bytes(&path));
        if WANTED.iter().any(|wanted| inside.starts_with(wanted)) {
            place(&root, &path, &member, &mut walk).with_context(|| format!("{shown:?}"))?;
        }
    }
    Ok(())
}

/// Puts one entry into the tree, in the place of what is there, unless both are directories.
fn place(root: &Root, path: &[u8], member: &Member, walk: &mut Walk<impl Source>) -> Result<()> {
    let failed = |error| root.failed(error, path);
    // Whatever the umask: others of the sandbox run them too.
    let mode = Mode::from_raw_mode(member.header.mode()? & 0o777);
    if member.is_directory() {
        root.make_dirs(path)?;
        let fd = root.openat(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
        return rustix::fs::fchmod(fd.map_err(failed)?, mode | Mode::RWXU).map_err(failed);
    }
    let (above, name) = split(path);
    let (above, name) = (root.make_dirs(above)?, OsStr::from_bytes(name));
    unlink(&above, name.as_bytes())?;
    let target = member.link.as_deref().unwrap_or_default();
    match member.header.entry_type() {
        _ if member.is_file() => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file: File = rustix::fs::openat(&above, name, flags, Mode::RUSR)
                .map_err(failed)?
                .into();
            std::io::copy(&mut walk.content(), &mut file)?;
            file.set_permissions(Permissions::from_mode(mode.as_raw_mode()))?;
            Ok(())
        }
        EntryType::Symlink => rustix::fs::symlinkat(OsStr::from_bytes(target), &above, name).map_err(failed),
        EntryType::Link => {
            let target = plain(target).context("a link that leads out of it")?;
            let (dir, file) = split(&target);
            let dir = root.dir(dir).map_err(failed)?;
            rustix::fs::linkat(dir, OsStr::from_bytes(file), &above, name, AtFlags::empty()).map_err(failed)
        }
        other => bail!("an entry of type {other:?}, which is not expected in a package"),
    }
}

/// The hash of names, modes and contents of everything below `dir`.
fn digest(dir: &Path) -> Result<Sha256> {
    let mut hash = Hasher::default();
    add(&mut hash, dir)?;
    Ok(hash.finish())
}

fn add(hash: &mut Hasher, dir: &Path) -> Result<()> {
    let failed = |error| io_error(error, dir);
    let entries = std::fs::read_dir(dir).map_err(failed)?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let failed = |error| io_error(error, &path);
        let meta = entry.metadata().map_err(failed)?;
        let content = if meta.is_symlink() {
            let target = std::fs::read_link(&path).map_err(failed)?;
            Sha256::of(target.as_os_str().as_bytes()).to_string()
        } else if meta.is_file() {
            Sha256::of_file(&path).map_err(failed)?.to_string()
        } else {
            String::new()
        };
        hash.update(entry.file_name().as_bytes());
        hash.update(format!("\0{:o} {content}\n", meta.permissions().mode()));
        if meta.is_dir() {
            add(hash, &path)?;
            hash.update("..\n");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clic_debian::testdeb::{deb, directory, file, hard_link, symlink};

    /// They are unpacked on the host, as its user.
    #[test]
    fn a_hostile_tool_stays_in_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        let target = outside.to_str().unwrap();
        let cases = [
            vec![
                symlink("./usr/bin/a", target),
                file("./usr/bin/a/hit", b"x", 0o755),
            ],
            vec![
                symlink("./usr/bin/a", "../../../outside/hit"),
                file("./usr/bin/a", b"x", 0o755),
            ],
            vec![file("usr/bin/../../../outside/hit", b"x", 0o755)],
            vec![file("./usr/bin/a", &vec![0; 130 << 20], 0o755)],
        ];
        for (number, entries) in cases.iter().enumerate() {
            let tree = dir.path().join(format!("tree{number}"));
            std::fs::create_dir(&tree).unwrap();
            let path = dir.path().join("tool.deb");
            std::fs::write(&path, deb("tool", &[], entries)).unwrap();
            let result = extract(&path, &tree, 0);
            assert_eq!(
                std::fs::read_dir(&outside).unwrap().count(),
                0,
                "{number}: {result:?}"
            );
        }
        let bomb = format!(
            "{:#}",
            extract(&dir.path().join("tool.deb"), &dir.path().join("tree3"), 0).unwrap_err()
        );
        assert!(bomb.contains("it unpacks to more than is allowed"), "{bomb}");
    }

    #[test]
    fn a_tool_is_unpacked_as_it_is_packed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let path = dir.path().join("tool.deb");
        let entries = [
            directory("./usr"),
            directory("./usr/bin"),
            file("./usr/bin/a", b"program", 0o4755),
            symlink("./usr/bin/b", "a"),
            hard_link("./usr/bin/c", "./usr/bin/a"),
            file("./usr/share/doc", b"not wanted", 0o644),
            file("./usr/lib/deep/down/lib.so", b"library", 0o644),
        ];
        std::fs::write(&path, deb("tool", &[], &entries)).unwrap();
        // Twice: what is there gives way.
        for _ in 0..2 {
            extract(&path, &tree, 0).unwrap();
        }
        let bin = tree.join("usr/bin");
        assert_eq!(std::fs::read(bin.join("c")).unwrap(), b"program");
        let mode = std::fs::metadata(bin.join("a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        assert_eq!(std::fs::read_link(bin.join("b")).unwrap(), Path::new("a"));
        assert_eq!(
            std::fs::read(tree.join("usr/lib/deep/down/lib.so")).unwrap(),
            b"library"
        );
        assert!(!tree.join("usr/share").exists());
    }
}
