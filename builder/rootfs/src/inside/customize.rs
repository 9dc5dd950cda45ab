//! Makes an installed tree a recipe's own: files, units, the initramfs, and the boot loaders' commands.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, bail, ensure};
use clic_host::UserError;
use clic_recipe::plan::UnitState;
use clic_store::space::io_error;
use clic_tree::{EntryType, Header, Stream, Walk};
use glob::Pattern;
use rustix::fs::{Gid, Mode, OFlags, Uid};

use super::chroot::Chroot;
use super::job::{Customize, Job, JobUnit};
use super::root::{Root, plain, split, unlink};
use super::say::{self, Said};
use super::trace::Trace;
use crate::files::numbers;

/// Does the job's work in `root`.
/// Returns which of the watched files were read, if that can be told.
pub fn customize(root: &Root, job: &Job, work: &Customize) -> Result<Option<Vec<String>>> {
    step("putting files in place");
    place_files(root, work)?;
    // Before the initramfs, which has copies of some.
    remove_secrets(root, work)?;
    let beside = job.done.parent().context("a job without a directory")?;
    let trace = Trace::begin(root, &work.watch, beside)?;
    let chroot = Chroot::enter(root, job)?;
    for unit in &work.units {
        change(&chroot, unit)?;
    }
    // Before the commands: its hooks fill /boot/firmware, which the Raspberry Pi's command empties.
    initramfs(&chroot, root, work.kernel.as_deref())?;
    for command in &work.commands {
        let shown = command.join(" ");
        step(&format!("running {shown}"));
        let argv: Vec<&str> = command.iter().map(String::as_str).collect();
        chroot
            .run(&argv, &[], &mut say::line)
            .with_context(|| format!("running {shown} failed"))?;
    }
    chroot.leave()?;
    Ok(trace.map(|trace| trace.end(root)))
}

fn step(what: &str) {
    say::say(&Said::Step { what: what.into() });
}

/// The recipe's files, with owners by name as the tree knows them.
fn place_files(root: &Root, work: &Customize) -> Result<()> {
    let users = numbers(&root.read("etc/passwd")?.unwrap_or_default());
    let groups = numbers(&root.read("etc/group")?.unwrap_or_default());
    let file = File::open(&work.files).map_err(|error| io_error(error, &work.files))?;
    let mut walk = Walk::foreign(Stream(BufReader::new(file)));
    while let Some(member) = walk.advance()? {
        let path = plain(&member.path).context("a path that is not plain")?;
        let shown = String::from_utf8_lossy(&path).into_owned();
        let header = &member.header;
        let id = |name: Result<Option<&str>, std::str::Utf8Error>,
                  known: &std::collections::BTreeMap<String, u64>,
                  what| {
            let name = name.ok().flatten().unwrap_or("root");
            known
                .get(name)
                .and_then(|id| u32::try_from(*id).ok())
                .ok_or_else(|| {
                    UserError::new(format!("/{shown}: the tree has no {what} {name:?}"))
                        .help("use one that Debian or a package of the recipe creates")
                })
        };
        let owner = (
            id(header.username(), &users, "user")?,
            id(header.groupname(), &groups, "group")?,
        );
        let mut bytes = Vec::new();
        walk.content().read_to_end(&mut bytes)?;
        place(root, &path, header, owner, &bytes, member.link.as_deref())
            .with_context(|| format!("/{shown}"))?;
    }
    Ok(())
}

fn place(
    root: &Root,
    path: &[u8],
    header: &Header,
    (uid, gid): (u32, u32),
    bytes: &[u8],
    link: Option<&[u8]>,
) -> Result<()> {
    let mode = header.mode()? & 0o7777;
    let shown = std::str::from_utf8(path).context("a name that is not UTF-8")?;
    let failed = |error| root.failed(error, path);
    match header.entry_type() {
        EntryType::Symlink => {
            let (above, name) = split(path);
            let above = root.make_dirs(above)?;
            unlink(&above, name)?;
            let (target, name) = (
                std::ffi::OsStr::from_bytes(link.context("a symlink without a target")?),
                std::ffi::OsStr::from_bytes(name),
            );
            rustix::fs::symlinkat(target, &above, name).map_err(failed)?;
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(
                &above,
                name,
                Some(Uid::from_raw(uid)),
                Some(Gid::from_raw(gid)),
                flags,
            )
            .map_err(failed)?;
            return Ok(());
        }
        EntryType::Directory => drop(root.make_dirs(path)?),
        EntryType::Regular => root.write(shown, mode, bytes)?,
        other => bail!("an entry of type {other:?}"),
    }
    let fd = root
        .openat(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())
        .map_err(failed)?;
    rustix::fs::fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(failed)?;
    // chown takes set-id bits away.
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode)).map_err(failed)
}

/// Takes away what packages have made of the devices' own secrets, but for what the recipe itself has put there: if that is not an
/// empty file, the image is refused for it.
fn remove_secrets(root: &Root, work: &Customize) -> Result<()> {
    for pattern in &work.secrets {
        for path in matching(root, pattern)? {
            let asked_for = work.watch.iter().any(|file| file.trim_start_matches('/') == path);
            if !asked_for && root.is_filled(&path)? {
                root.remove(&path)?;
            }
        }
    }
    Ok(())
}

/// Paths that are like `pattern`, part by part, without a slash in front.
fn matching(root: &Root, pattern: &str) -> Result<Vec<String>> {
    let mut found = vec![String::new()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let part = Pattern::new(part).with_context(|| format!("the pattern {pattern}"))?;
        let mut next = Vec::new();
        for above in found {
            let names = root.names(&above)?.into_iter().filter(|name| part.matches(name));
            next.extend(names.map(|name| format!("{above}/{name}").trim_start_matches('/').to_owned()));
        }
        found = next;
    }
    Ok(found)
}

fn change(chroot: &Chroot<'_>, unit: &JobUnit) -> Result<()> {
    let (verb, doing) = match unit.state {
        UnitState::Enabled => ("enable", "enabling"),
        UnitState::Disabled => ("disable", "disabling"),
        UnitState::Masked => ("mask", "masking"),
    };
    let what = format!("{doing} {} (from {})", unit.name, unit.from);
    step(&what);
    let mut unknown = false;
    let result = chroot.run(&["systemctl", verb, "--", &unit.name], &[], &mut |line| {
        say::line(line);
        // `mask` succeeds for a unit that is not there, but says so.
        unknown |= line.contains("does not exist");
    });
    if result.is_ok() && !unknown {
        return Ok(());
    }
    let error = result
        .err()
        .unwrap_or_else(|| anyhow::anyhow!("systemctl: there is no such unit"));
    Err(error.context(
        UserError::new(format!("{}: {what} failed", unit.place))
            .help("no package or file of the recipe brings a unit of this name, or it cannot be changed so"),
    ))
}

/// Where mkinitramfs looks for shell code of other packages, and what it finds there of ours (see the file).
const SHORTCUTS_DIR: &str = "usr/share/initramfs-tools/conf-hooks.d";
const SHORTCUTS: &str = "usr/share/initramfs-tools/conf-hooks.d/clic-build";

/// The kernel's package has made /vmlinuz, but with `INITRD=No` no /initrd.img: its tool is asked once more. Of several kernels the last
/// that was installed is there then; `first` is the one that it shall be.
fn initramfs(chroot: &Chroot<'_>, root: &Root, first: Option<&str>) -> Result<()> {
    let has = |path: &str| root.openat(path.as_bytes(), OFlags::PATH, Mode::empty()).is_ok();
    if !has("usr/sbin/update-initramfs") {
        return Ok(());
    }
    step("making the initramfs");
    let run = |argv: &[&str]| {
        // Set for the packages' own attempts, which came too early.
        chroot
            .run(argv, &[("INITRD", "Yes")], &mut say::line)
            .context("making the initramfs failed")
    };
    if root.dir(SHORTCUTS_DIR.as_bytes()).is_ok() {
        root.write(SHORTCUTS, 0o644, include_bytes!("initramfs.sh"))?;
    }
    run(&["update-initramfs", "-c", "-k", "all"])?;
    root.remove(SHORTCUTS)?;
    if !has("usr/bin/linux-update-symlinks") {
        return Ok(());
    }
    let boot = root.path().join("boot");
    let mut versions: Vec<String> = std::fs::read_dir(&boot)
        .map_err(|error| io_error(error, &boot))?
        .flatten()
        .filter_map(|entry| {
            Some(
                entry
                    .file_name()
                    .to_str()?
                    .strip_prefix("initrd.img-")?
                    .to_owned(),
            )
        })
        .collect();
    versions.sort();
    for version in versions {
        let kernel = format!("/boot/vmlinuz-{version}");
        if has(kernel.trim_start_matches('/')) {
            run(&["linux-update-symlinks", "upgrade", &version, &kernel])?;
        }
    }
    if let Some(version) = first {
        let kernel = format!("/boot/vmlinuz-{version}");
        ensure!(
            has(kernel.trim_start_matches('/')),
            "the kernel that is to start, {version}, has no {kernel}"
        );
        run(&["linux-update-symlinks", "install", version, &kernel])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_packages_made_go_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        for path in [
            "etc/bind/rndc.key",
            "etc/dkim/a.key",
            "etc/dkim/b.pub",
            "etc/asked.key",
            "etc/other",
        ] {
            root.write(path, 0o600, b"x").unwrap();
        }
        root.write("etc/dkim/empty.key", 0o600, b"").unwrap();
        root.write("etc/dkim/old.key/kept", 0o600, b"x").unwrap();
        std::os::unix::fs::symlink("b.pub", dir.path().join("etc/dkim/link.key")).unwrap();
        let work = Customize {
            files: "files.tar".into(),
            watch: vec!["/etc/asked.key".into()],
            secrets: [
                "/etc/bind/rndc.key",
                "/etc/*/*.key",
                "/etc/asked.key",
                "/etc/other/x",
                "/never/*",
            ]
            .map(str::to_owned)
            .to_vec(),
            units: Vec::new(),
            kernel: None,
            commands: Vec::new(),
        };
        remove_secrets(&root, &work).unwrap();
        assert_eq!(root.names("etc").unwrap(), ["asked.key", "bind", "dkim", "other"]);
        assert_eq!(root.names("etc/bind").unwrap(), [""; 0]);
        let left = ["b.pub", "empty.key", "link.key", "old.key"];
        assert_eq!(root.names("etc/dkim").unwrap(), left);
    }
}
