//! Puts the files of many packages into a tree at once, as `dpkg --unpack` would one after the other.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use clic_debian::deb::{self, Control, Deb};
use clic_host::parallel;
use clic_tree::{EntryType, Header, Member, Source, Stream, Walk, start_of};
use md5::Md5;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::admin::{Admin, Override};
use super::root::{Root, plain, split, times, unlink};
use super::sums::{self, Summed, Sums};

/// Ids that a sandbox has (see [`crate::sandbox::IDS`]).
const IDS: u64 = crate::sandbox::IDS as u64;
/// What every entry counts, whatever its size: a block of the archive, and about an inode of the tree. By its own account
/// (deb-src-control(5), `Installed-Size`) a package counts each as 1 KiB, so that no honest one is refused.
const ENTRY: u64 = 512;
/// Most directories above each other. Debian's deepest have about 30.
const MAX_DEPTH: usize = 256;
/// What dpkg puts behind a configuration file's name until the package is configured.
const NEW: &[u8] = b".dpkg-new";
const DAMAGED: &str = "its data.tar is damaged";

/// A package to unpack.
#[derive(Debug)]
pub struct Unit<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its .deb.
    pub deb: &'a Path,
    /// Bytes that it takes by its own account.
    pub installed_size: u64,
}

/// What was unpacked of a package.
#[derive(Debug)]
pub struct Unpacked {
    /// What the package says of itself.
    pub control: Control,
    /// Every path in it, in its order: `usr/bin/env`; the empty path for the root.
    pub paths: Vec<Vec<u8>>,
}

/// A directory as a package wants it.
struct Directory {
    path: Vec<u8>,
    metadata: Metadata,
}

/// An entry's properties.
#[derive(Clone, Copy)]
struct Metadata {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: i64,
}

/// Unpacks `units` with `threads` threads; results are in their order. `each` is told of every finished one.
///
/// The outcome is that of one after the other: of several packages with one directory the first decides how it looks,
/// and a file that two bring is an error unless one may replace the other's (`Replaces`).
pub fn unpack(
    root: &Root,
    admin: &Admin,
    units: &[Unit<'_>],
    threads: usize,
    each: &(dyn Fn(&str) + Sync),
) -> Result<Vec<Unpacked>> {
    // Large ones first, so that no thread is left alone with a kernel at the end.
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(units[*at].installed_size));
    let made = Mutex::new(HashSet::new());
    let all = Mutex::new(Vec::new());
    parallel::each(&order, threads, |at| {
        let unit = &units[*at];
        let mut one = One::new(root, admin, unit, &made);
        let unpacked = one
            .run(None)
            .with_context(|| format!("cannot unpack {}", unit.name))?;
        all.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((*at, unpacked, one.directories));
        each(unit.name);
        Ok(())
    })?;
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.sort_by_key(|(at, ..)| *at);
    let mut made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut unpacked = Vec::new();
    for (_, one, directories) in all {
        for directory in directories {
            settle(root, &directory, &mut made)?;
        }
        unpacked.push(one);
    }
    let mut again = disputes(admin, units, &unpacked)?;
    again.sort();
    for (at, paths) in again {
        One::new(root, admin, &units[at], &Mutex::new(HashSet::new()))
            .run(Some(&paths))
            .with_context(|| format!("cannot unpack {} again", units[at].name))?;
    }
    Ok(unpacked)
}

/// Gives a directory that was made now its metadata, if nobody did before.
fn settle(root: &Root, directory: &Directory, made: &mut HashSet<u64>) -> Result<()> {
    let failed = |error| root.failed(error, &directory.path);
    let fd = root
        .openat(&directory.path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
        .map_err(failed)?;
    let stat = rustix::fs::fstat(&fd).map_err(failed)?;
    if made.remove(&stat.st_ino) {
        let Metadata { mode, uid, gid, .. } = directory.metadata;
        rustix::fs::fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(failed)?;
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode)).map_err(failed)?;
    }
    Ok(())
}

/// Files that several packages bring: which package has to be unpacked once more for which paths, since it may replace
/// the others' and another one may have come last.
fn disputes(
    admin: &Admin,
    units: &[Unit<'_>],
    unpacked: &[Unpacked],
) -> Result<Vec<(usize, BTreeSet<Vec<u8>>)>> {
    let before = admin.owners()?;
    let mut owners: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut again: BTreeMap<usize, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for (at, one) in unpacked.iter().enumerate() {
        let directories: HashSet<&[u8]> = one.paths.iter().map(|path| split(path).0).collect();
        for path in &one.paths {
            // A directory that holds nothing of the package looks like a file here, and is looked at below.
            if directories.contains(path.as_slice()) {
                continue;
            }
            let place = admin.place(path, units[at].name);
            if let Some(owner) = before.get(path)
                && !is_directory(admin.root(), &place)
                && place == *path
                && !replaces(one, owner)
            {
                bail!(
                    "{} brings /{}, which {owner} has brought, and may not replace its files",
                    units[at].name,
                    String::from_utf8_lossy(path)
                );
            }
            let Some(other) = owners.insert(place.clone(), at) else {
                continue;
            };
            // Twice in one package: its last one counts, and has come last.
            if other == at || is_directory(admin.root(), &place) {
                continue;
            }
            let winner = match (
                replaces(one, units[other].name),
                replaces(&unpacked[other], units[at].name),
            ) {
                (true, _) => at,
                (false, true) => other,
                (false, false) => bail!(
                    "{} and {} both bring /{}, and neither may replace the other's files",
                    units[other].name,
                    units[at].name,
                    String::from_utf8_lossy(path)
                ),
            };
            owners.insert(place.clone(), winner);
            again.entry(winner).or_default().insert(path.clone());
        }
    }
    Ok(again.into_iter().collect())
}

fn replaces(one: &Unpacked, other: &str) -> bool {
    let list = one.control.list("Replaces").unwrap_or_default();
    super::order::names(list).any(|name| name == other)
}

fn is_directory(root: &Root, path: &[u8]) -> bool {
    root.dir(path).is_ok()
}

/// One package on its way.
struct One<'a> {
    root: &'a Root,
    admin: &'a Admin<'a>,
    unit: &'a Unit<'a>,
    /// Inodes of the directories that were made.
    made: &'a Mutex<HashSet<u64>>,
    directories: Vec<Directory>,
    /// The directory that was used last.
    above: Option<(Vec<u8>, OwnedFd)>,
    /// Bytes that it may still grow by, of those that it may take in all.
    left: u64,
    most: u64,
    /// Of a package that brings no sums of its files.
    sums: Option<Sums>,
}

impl<'a> One<'a> {
    fn new(root: &'a Root, admin: &'a Admin<'a>, unit: &'a Unit<'a>, made: &'a Mutex<HashSet<u64>>) -> Self {
        Self {
            root,
            admin,
            unit,
            made,
            directories: Vec::new(),
            above: None,
            left: 0,
            most: 0,
            sums: None,
        }
    }

    /// Unpacks it; of the entries only those in `only`, if given.
    fn run(&mut self, only: Option<&BTreeSet<Vec<u8>>>) -> Result<Unpacked> {
        let deb = Deb::open(self.unit.deb)?;
        let said = deb.control.field("Package").unwrap_or_default();
        ensure!(
            said == self.unit.name,
            "{} says that it is {said:?}",
            self.unit.deb.display()
        );
        self.most = deb::most(self.unit.installed_size, deb.size()?);
        self.left = self.most;
        let mut control = deb.control.clone();
        let conffiles = conffiles(&control)?;
        self.sums = control.file(sums::NAME).is_none().then(Sums::default);
        let mut newest = 0;
        let mut paths = Vec::new();
        // What may be read has a limit: contents are counted here, and the walk looks after the rest.
        let allowed = Cell::new(u64::MAX);
        let mut walk = Walk::foreign(Stream(deb.data(&allowed)?));
        while let Some(member) = walk.advance().context(DAMAGED)? {
            let shown = String::from_utf8_lossy(&member.path).into_owned();
            let path = plain(&member.path)
                .filter(|path| path.split(|byte| *byte == b'/').count() <= MAX_DEPTH)
                .with_context(|| format!("a path that no package may have: {:?}", start_of(&shown)))?;
            self.count(member.size)?;
            newest = newest.max(member.header.mtime()?);
            if only.is_none_or(|only| only.contains(&path)) {
                self.entry(&path, member, &mut walk, &conffiles)
                    .with_context(|| format!("/{}", String::from_utf8_lossy(&path)))?;
            }
            paths.push(path);
        }
        if let Some(sums) = self.sums.take() {
            control.files.push(sums.file(&paths, newest));
        }
        Ok(Unpacked { control, paths })
    }

    /// Counts an entry of so many bytes against what the package says of its size.
    fn count(&mut self, size: u64) -> Result<()> {
        let left = self.left.checked_sub(size.saturating_add(ENTRY));
        self.left = left.with_context(|| {
            let [most, stated] = [self.most, self.unit.installed_size].map(clic_host::figures::size);
            format!(
                "the package grows beyond {most}, too much for one that is to take {stated} (Installed-Size)"
            )
        })?;
        Ok(())
    }

    fn entry(
        &mut self,
        path: &[u8],
        member: Member,
        walk: &mut Walk<impl Source>,
        conffiles: &BTreeSet<Vec<u8>>,
    ) -> Result<()> {
        let kind = member.header.entry_type();
        let metadata = self.metadata(path, &member.header)?;
        if member.is_directory() {
            return self.directory(path, metadata);
        }
        ensure!(!path.is_empty(), "it would replace the root directory");
        let place = self.place(path, conffiles);
        let (above, name) = split(&place);
        let link = member.link;
        // The target before the place: both may be needed open.
        let target = match kind {
            EntryType::Link => Some(self.linked(path, link.as_deref().unwrap_or_default(), conffiles)?),
            _ => None,
        };
        let dir = self.above(above)?;
        let name = OsStr::from_bytes(name);
        match kind {
            EntryType::Regular | EntryType::Continuous => {
                let mut file = Summed {
                    inner: create(dir, name, &metadata)?,
                    hash: self.sums.as_ref().map(|_| Md5::default()),
                };
                std::io::copy(&mut walk.content(), &mut file)?;
                file.flush()?;
                if let (Some(sums), Some(hash)) = (&mut self.sums, file.hash) {
                    sums.note(path, hash);
                }
                finish(&file.inner, &metadata)?;
            }
            EntryType::Symlink => {
                let target = link.filter(|target| !target.is_empty() && !target.contains(&0));
                symlink(
                    &target.context("a symlink without a target")?,
                    dir,
                    name,
                    &metadata,
                )?;
            }
            EntryType::Link => {
                let (from, from_name) = target.context("a hard link without a target")?;
                let from_name = OsStr::from_bytes(&from_name);
                once_more(dir, name, || {
                    rustix::fs::linkat(&from, from_name, dir, name, AtFlags::empty())
                })?;
            }
            EntryType::Block | EntryType::Char => {
                bail!("it is a device, which no package may bring: the device's kernel makes them")
            }
            other => bail!("an entry of type {other:?}, which is not expected in a package"),
        }
        Ok(())
    }

    /// The file that a hard link at `path` is a link to: its directory and its name there.
    fn linked(
        &mut self,
        path: &[u8],
        link: &[u8],
        conffiles: &BTreeSet<Vec<u8>>,
    ) -> Result<(OwnedFd, Vec<u8>)> {
        let target = plain(link).filter(|path| !path.is_empty()).with_context(|| {
            let shown = String::from_utf8_lossy(link);
            format!(
                "a hard link to a path that no package may have: {:?}",
                start_of(&shown)
            )
        })?;
        if let Some(sums) = &mut self.sums {
            sums.link(path, &target);
        }
        let target = self.place(&target, conffiles);
        let (above, name) = split(&target);
        let dir = self
            .root
            .dir(above)
            .map_err(|error| self.root.failed(error, &target))?;
        Ok((dir, name.to_vec()))
    }

    /// Where an entry goes: diversions first, then the configuration files' temporary names.
    fn place(&self, path: &[u8], conffiles: &BTreeSet<Vec<u8>>) -> Vec<u8> {
        let mut place = self.admin.place(path, self.unit.name);
        if conffiles.contains(path) {
            place.extend_from_slice(NEW);
        }
        place
    }

    fn metadata(&self, path: &[u8], header: &Header) -> Result<Metadata> {
        let (uid, gid) = (header.uid()?, header.gid()?);
        ensure!(
            uid < IDS && gid < IDS,
            "it belongs to {uid}:{gid}, which Debian does not use"
        );
        let mut metadata = Metadata {
            mode: header.mode()? & 0o7777,
            uid: u32::try_from(uid)?,
            gid: u32::try_from(gid)?,
            mtime: i64::try_from(header.mtime()?).unwrap_or(i64::MAX),
        };
        if let Some(Override { uid, gid, mode }) = self.admin.stat_override(path) {
            (metadata.uid, metadata.gid, metadata.mode) = (*uid, *gid, *mode);
        }
        Ok(metadata)
    }

    fn directory(&mut self, path: &[u8], metadata: Metadata) -> Result<()> {
        if !path.is_empty() {
            let (above, name) = split(path);
            let dir = self.above(above)?;
            match rustix::fs::mkdirat(dir, OsStr::from_bytes(name), Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    let stat = rustix::fs::statat(dir, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(std::io::Error::from)?;
                    self.made
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .insert(stat.st_ino);
                }
                Err(Errno::EXIST) => {
                    // A symlink to a directory is one, as for dpkg.
                    ensure!(
                        is_directory(self.root, path),
                        "a directory, where there is something else already"
                    );
                }
                Err(error) => return Err(std::io::Error::from(error).into()),
            }
        }
        self.directories.push(Directory {
            path: path.to_vec(),
            metadata,
        });
        Ok(())
    }

    /// The directory `path`, open; made if the package forgot it.
    fn above(&mut self, path: &[u8]) -> Result<&OwnedFd> {
        if self.above.as_ref().is_none_or(|(last, _)| last != path) {
            self.above = Some((path.to_vec(), self.root.make_dirs(path)?));
        }
        let (_, fd) = self.above.as_ref().context("a directory that was just opened")?;
        Ok(fd)
    }
}

/// A new file, empty and not yet as it is to be.
fn create(dir: &OwnedFd, name: &OsStr, metadata: &Metadata) -> Result<std::fs::File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(metadata.mode);
    let fd = once_more(dir, name, || rustix::fs::openat(dir, name, flags, mode))?;
    Ok(fd.into())
}

/// Gives a written file its owner, mode and time.
fn finish(file: &std::fs::File, metadata: &Metadata) -> std::io::Result<()> {
    // chown takes set-id bits away, so that the mode comes after it.
    if (metadata.uid, metadata.gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
        rustix::fs::fchown(file, Some(uid), Some(gid))?;
    }
    if metadata.mode & 0o7022 != 0 {
        rustix::fs::fchmod(file, Mode::from_raw_mode(metadata.mode))?;
    }
    Ok(rustix::fs::futimens(file, &times(metadata.mtime))?)
}

fn symlink(target: &[u8], dir: &OwnedFd, name: &OsStr, metadata: &Metadata) -> Result<()> {
    once_more(dir, name, || {
        rustix::fs::symlinkat(OsStr::from_bytes(target), dir, name)
    })?;
    let failed = |error: Errno| std::io::Error::from(error);
    if (metadata.uid, metadata.gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
        rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    }
    rustix::fs::utimensat(dir, name, &times(metadata.mtime), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    Ok(())
}

/// Makes an entry; one of that name that is there already gives way, unless it is a directory.
fn once_more<T>(dir: &OwnedFd, name: &OsStr, make: impl Fn() -> rustix::io::Result<T>) -> Result<T> {
    match make() {
        Err(Errno::EXIST) => {}
        result => return result.map_err(|error| std::io::Error::from(error).into()),
    }
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(std::io::Error::from)?;
    ensure!(
        FileType::from_raw_mode(stat.st_mode) != FileType::Directory,
        "there is a directory of that name already"
    );
    unlink(dir, name.as_bytes())?;
    make().map_err(|error| std::io::Error::from(error).into())
}

/// The paths that dpkg treats as configuration.
pub fn conffiles(control: &Control) -> Result<BTreeSet<Vec<u8>>> {
    let Some(file) = control.file("conffiles") else {
        return Ok(BTreeSet::new());
    };
    let text = String::from_utf8_lossy(&file.bytes).into_owned();
    text.lines()
        .map(str::trim_end)
        // `remove-on-upgrade /path`: the package does not bring it (any more).
        .filter(|line| line.starts_with('/'))
        .map(|line| {
            plain(line.as_bytes())
                .filter(|path| !path.is_empty())
                .with_context(|| {
                    format!(
                        "its conffiles list a path that no package may have: {:?}",
                        start_of(line)
                    )
                })
        })
        .collect()
}

#[cfg(test)]
mod tests;
