//! Foreign architectures at native speed.
//!
//! Most of the time that emulation takes is the start of small programs by maintainer scripts. Their results do
//! not depend on the architecture: so the kernel is told (`binfmt_misc`, in the user namespace of the build) to
//! start a handler of ours instead of QEMU, which executes a native twin of the program if a reviewed list has
//! it, and QEMU if not.
//!
//! ```text
//! <tree>/.clic                    tmpfs, read-only, only while the build works in the tree
//!    tools/                       the tools tree, read-only: native programs and libraries of the same suite
//!    native/usr/bin/sed           a link to /.clic/tools/usr/bin/sed: sed may run natively
//!    modules/perl5/               perl's compiled modules: links, see `mirror`
//!    ld.so                        the loader that native programs name
//!    qemu                         the emulator
//!    starts                       one line for each start
//! <tree>/usr/lib/<host's triplet> the tools' libraries, where Debian's multiarch wants them, and a foreign tree
//!                                 has nothing
//! ```
//!
//! **No risk by hostile packages.** A package can place a file at a listed path; then a native program runs that
//! was not asked for, in the sandbox in which the package's own programs run, with the same rights. What runs is
//! always a file of the tools: the handler appends to `/.clic/native` the path that the kernel knows (without
//! `..` and links), and the links there are ours. The mounts are nosuid.
//!
//! Twins are of the same suite and, by [`Accel::prepare`], of the same version as the tree's own programs.

mod counts;
mod elf;
mod mirror;
mod tools;

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clic_archive::tools::GROUPS;
use clic_debian::arch::{Arch, names};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use rustix::mount::{MountFlags, UnmountFlags};
use serde::{Deserialize, Serialize};

use crate::binfmt::{self, Emulator};

pub use counts::Counts;
pub use tools::{fit, merge_all as merge};

use tools::{LOADER, MODULE_DIRS, MODULES, is_dir, is_file};

/// The handler, a static program for the host: see `handler/` in this crate.
const HANDLER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/handler"));

/// Mounted in the tree while the build works in it.
const MOUNT: &str = ".clic";

/// Everything that one build needs to accelerate. It can be handed to the process that works in the sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Accel {
    host: Arch,
    target: Arch,
    tools: PathBuf,
    emulator: PathBuf,
    handler: PathBuf,
    starts: PathBuf,
    /// The line for `binfmt_misc/register`.
    registration: String,
    /// Programs with a twin of the same version, below `/usr`.
    twins: Vec<String>,
}

impl Accel {
    /// Puts the handler and the file of starts into `scratch`, an empty directory that lives as long as the run.
    ///
    /// `tools` is what [`fit`] made, for the same two architectures. `same` tells whether the tree gets a package
    /// in the version that the tools have (see [`same_version`]); the programs of others are emulated, unless the
    /// tree does not have the package at all.
    pub fn prepare(
        tools: &Path,
        host: Arch,
        target: Arch,
        emulator: &Emulator,
        scratch: &Path,
        same: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let absolute = |path: &Path| path.canonicalize().with_context(|| path.display().to_string());
        let (tools, scratch) = (absolute(tools)?, absolute(scratch)?);
        let emulator = absolute(Path::new(emulator.interpreter()))?;
        let handler = scratch.join("handler");
        let starts = scratch.join("starts");
        place(&handler, HANDLER, 0o755)?;
        place(&starts, b"", 0o644)?;
        // For programs that are started from outside of the tree: the handler looks beside itself.
        symlink(&emulator, scratch.join("handler.qemu"))?;
        let registration = binfmt::line(target, &handler, "OPF")?;
        let twins = GROUPS
            .iter()
            .filter(|group| same(group.package))
            .flat_map(|group| group.programs)
            .filter(|program| is_file(&tools.join("usr").join(program)))
            .map(|&program| program.to_owned())
            .collect();
        Ok(Self {
            host,
            target,
            tools,
            emulator,
            handler,
            starts,
            registration,
            twins,
        })
    }

    /// The line to write to `binfmt_misc/register`, instead of the emulator's own.
    pub fn registration(&self) -> &str {
        &self.registration
    }

    /// Mounts the tools in `tree`, whose `/usr/lib` must be there already, and `/usr` merged. To be called in the
    /// sandbox, before programs of the tree are started. They need `/proc`, or all of them are emulated; and all are
    /// until the first [`Entered::refresh`].
    pub fn enter(&self, tree: &Path) -> Result<Entered<'_>> {
        let entered = Entered {
            accel: self,
            tree: tree.to_owned(),
        };
        if let Err(error) = entered.mount() {
            let _ = entered.unmount();
            return Err(error.context("the native tools cannot be mounted in the tree"));
        }
        Ok(entered)
    }

    /// The starts until now.
    pub fn counts(&self) -> Result<Counts> {
        let file = fs::File::open(&self.starts).with_context(|| self.starts.display().to_string())?;
        Ok(Counts::read(file)?)
    }
}

/// Tools that are mounted in a tree.
#[derive(Debug)]
#[must_use = "leave() takes the mounts away"]
pub struct Entered<'a> {
    accel: &'a Accel,
    tree: PathBuf,
}

impl Entered<'_> {
    /// Looks at the tree again: to be called when packages were unpacked. Returns what is emulated though it is
    /// on the list, each with the reason.
    pub fn refresh(&self) -> Result<Vec<String>> {
        let mount = self.tree.join(MOUNT);
        // Else a script that cleans up too much would take the links away, and all would be emulated.
        protect(&mount, Access::ReadWrite)?;
        let emulated = self.look(&mount)?;
        protect(&mount, Access::ReadOnly)?;
        Ok(emulated)
    }

    fn look(&self, mount: &Path) -> Result<Vec<String>> {
        let mut emulated = Vec::new();
        let mut perl = true;
        let (own, seen) = (
            self.tree.join("usr/lib").join(names(self.accel.target).triplet),
            mount.join(MODULES),
        );
        for dir in MODULE_DIRS {
            let seen = seen.join(dir);
            // It is mounted, and stays.
            for entry in fs::read_dir(&seen)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    fs::remove_file(entry.path())?;
                }
            }
            let shown = format!("/{MOUNT}/tools/{MODULES}/{dir}");
            let twins = self.accel.tools.join(MODULES).join(dir);
            if let Some(missing) = mirror::mirror(&own.join(dir), &twins, &shown, &seen)? {
                emulated.push(format!(
                    "perl, since its module {dir}/{missing} has no native twin"
                ));
                perl = false;
            }
        }

        let diversions = fs::read(self.tree.join("var/lib/dpkg/diversions")).unwrap_or_default();
        let diversions = String::from_utf8_lossy(&diversions);
        // Three lines each: the path, where it is instead, the package that wants it so.
        let diverted: Vec<&str> = diversions.lines().step_by(3).collect();
        for program in &self.accel.twins {
            let link = mount.join("native/usr").join(program);
            let is_diverted = [format!("/usr/{program}"), format!("/{program}")]
                .iter()
                .any(|path| diverted.contains(&path.as_str()));
            if is_diverted {
                emulated.push(format!("/usr/{program}, since a package diverts it"));
            }
            match fs::remove_file(&link) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| link.display().to_string());
                }
                _ => {}
            }
            if !is_diverted && (perl || program != "bin/perl") {
                symlink(format!("/{MOUNT}/tools/usr/{program}"), &link)
                    .with_context(|| link.display().to_string())?;
            }
        }
        Ok(emulated)
    }

    /// Takes the mounts and their directories away: the tree is as it would be without them. To be called when
    /// all programs of the tree have ended.
    pub fn leave(self) -> Result<()> {
        self.keep_starts().context("the starts cannot be kept")?;
        self.unmount()
            .context("the native tools cannot be taken out of the tree")
    }

    /// Adds the starts of these programs to the file of all.
    fn keep_starts(&self) -> Result<()> {
        let new = fs::File::open(self.tree.join(MOUNT).join("starts"))?;
        let mut all = fs::File::options().append(true).open(&self.accel.starts)?;
        std::io::copy(&mut new.take(counts::READ), &mut all)?;
        Ok(())
    }

    /// The mount points, and the directories whose times they must not change.
    fn points(&self) -> [(PathBuf, PathBuf); 2] {
        let libraries = self.tree.join("usr/lib");
        [
            (self.tree.join(MOUNT), self.tree.clone()),
            (libraries.join(names(self.accel.host).triplet), libraries),
        ]
    }

    fn mount(&self) -> Result<()> {
        let Accel {
            tools, host, target, ..
        } = self.accel;
        for dir in [
            self.tree.clone(),
            self.tree.join("usr"),
            self.tree.join("usr/lib"),
        ] {
            if !is_dir(&dir) {
                bail!("{} is not a directory", dir.display());
            }
        }
        let points = self.points();
        // Nothing of the tree is hidden, and nothing outside of it is followed to.
        if let Some((there, _)) = points.iter().find(|(point, _)| point.symlink_metadata().is_ok()) {
            bail!("{} is in the tree, which is for {target}", there.display());
        }
        for (point, parent) in &points {
            let keep = Times::of(parent)?;
            fs::create_dir(point).with_context(|| point.display().to_string())?;
            fs::set_permissions(point, Permissions::from_mode(0o755))?;
            keep.restore(parent)?;
        }
        let [(mount, _), (libraries, _)] = points;
        let nothing_special = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("clic", &mount, "tmpfs", nothing_special, c"mode=755,size=256m")
            .with_context(|| format!("a tmpfs on {}", mount.display()))?;
        for dir in [
            "tools",
            "native",
            "native/usr",
            "native/usr/bin",
            "native/usr/sbin",
            MODULES,
        ] {
            make_dir(&mount.join(dir))?;
        }
        for dir in MODULE_DIRS {
            make_dir(&mount.join(MODULES).join(dir))?;
        }
        // A mount of it would tell which disk of the host it is on.
        place(&mount.join("qemu"), &fs::read(&self.accel.emulator)?, 0o755)?;
        // Users of the tree start programs too.
        place(&mount.join("starts"), b"", 0o666)?;
        let native = names(*host);
        let loader = format!("tools/usr/lib/{}/{}", native.triplet, native.loader);
        symlink(loader, self.tree.join(LOADER.trim_start_matches('/')))?;
        show(tools, &mount.join("tools"))?;
        // Over itself, so that it stays writable when the rest is not.
        bind(&mount.join("starts"), &mount.join("starts"), Access::ReadWrite)?;
        bind(
            &mount.join("tools/usr/lib").join(native.triplet),
            &libraries,
            Access::ReadOnly,
        )?;
        for dir in MODULE_DIRS {
            bind(
                &mount.join(MODULES).join(dir),
                &libraries.join(dir),
                Access::ReadOnly,
            )?;
        }
        Ok(())
    }

    /// Also after a part of [`Self::mount`] only.
    fn unmount(&self) -> Result<()> {
        for (point, parent) in self.points() {
            if !is_dir(&point) {
                continue;
            }
            // With everything that is mounted in it. A mount point is never another file system's root here, so
            // what is not a mount point was made by us and is empty, or was there and stays.
            match rustix::mount::unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error).with_context(|| point.display().to_string()),
            }
            let keep = Times::of(&parent)?;
            fs::remove_dir(&point).with_context(|| point.display().to_string())?;
            keep.restore(&parent)?;
        }
        Ok(())
    }
}

/// Whether two Debian versions of a package come from the same source: binary rebuilds (`+b1`) differ between
/// architectures.
pub fn same_version(a: &str, b: &str) -> bool {
    fn source(version: &str) -> &str {
        match version.rsplit_once("+b") {
            Some((source, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
                source
            }
            _ => version,
        }
    }
    source(a) == source(b)
}

/// What may be done with what is below a mount.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    ReadOnly,
    ReadWrite,
}

/// Mounts a directory read-only, as an overlay where that works: of a bind mount `/proc/self/mountinfo` tells where on the
/// host it is, and of this only what it is told here.
fn show(from: &Path, to: &Path) -> Result<()> {
    let dir = |path: &Path| fs::File::open(path).with_context(|| path.display().to_string());
    // Without an upper layer, the kernel wants two of them; `to` is empty.
    let (lower, empty) = (dir(from)?, dir(to)?);
    let place = |file: &fs::File| format!("/proc/self/fd/{}", file.as_raw_fd());
    let layers = CString::new(format!("lowerdir={}:{}", place(&lower), place(&empty)))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    if rustix::mount::mount("clic", to, "overlay", flags, layers.as_c_str()).is_ok() {
        return Ok(());
    }
    bind(from, to, Access::ReadOnly)
}

fn bind(from: &Path, to: &Path, access: Access) -> Result<()> {
    let what = || format!("{} on {}", from.display(), to.display());
    rustix::mount::mount_bind(from, to).with_context(what)?;
    protect(to, access)
}

/// Sets the flags of one mount; those of others of the same file system stay.
fn protect(mount: &Path, access: Access) -> Result<()> {
    let mut flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
    if access == Access::ReadOnly {
        flags |= MountFlags::RDONLY;
    }
    rustix::mount::mount_remount(mount, flags, c"").with_context(|| mount.display().to_string())
}

/// Whatever the umask.
fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)))
        .with_context(|| path.display().to_string())
}

fn place(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create_new(path)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))
    };
    write().with_context(|| path.display().to_string())
}

/// Access and modification time of a directory.
struct Times(Timestamps);

impl Times {
    fn of(path: &Path) -> Result<Self> {
        let stat = fs::symlink_metadata(path).with_context(|| path.display().to_string())?;
        let time = |seconds: i64, nanoseconds: i64| Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        };
        Ok(Self(Timestamps {
            last_access: time(stat.atime(), stat.atime_nsec()),
            last_modification: time(stat.mtime(), stat.mtime_nsec()),
        }))
    }

    fn restore(&self, path: &Path) -> Result<()> {
        rustix::fs::utimensat(CWD, path, &self.0, AtFlags::SYMLINK_NOFOLLOW)
            .with_context(|| path.display().to_string())
    }
}

#[cfg(test)]
mod tests;
