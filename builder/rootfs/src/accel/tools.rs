//! The tools tree: native programs of the target's suite, from packages that were extracted and nothing else.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, bail};
use clic_archive::tools::GROUPS;
use clic_debian::arch::{Arch, names};

use super::elf;

/// Where native programs find their loader, in the tree.
pub(super) const LOADER: &str = "/.clic/ld.so";

/// Compiled perl modules wait here, below the tools tree, for [`super::mirror`].
pub(super) const MODULES: &str = "modules";

/// Directories of compiled perl modules in `/usr/lib/<triplet>`: those of perl itself, those of other packages.
pub(super) const MODULE_DIRS: [&str; 2] = ["perl", "perl5"];

/// Directories that are links into `/usr` in Debian since bookworm.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Makes `dir`, which holds the packages of [`clic_archive::tools::packages`] extracted for the architecture `host`, into a
/// tools tree for trees of `target`: `/usr` merged, listed programs and libraries only, no set-user-id bits,
/// programs that start with the loader below `/.clic`, and a dpkg that knows what it works for.
///
/// What is in `dir` afterwards depends on the packages alone. Errors name the file that does not fit.
pub fn fit(dir: &Path, host: Arch, target: Arch) -> Result<()> {
    let native = names(host);
    merge_all(dir)?;
    let usr = dir.join("usr");
    let libraries = usr.join("lib").join(native.triplet);
    let loader = libraries.join(native.loader);
    if !is_file(&loader) {
        bail!(
            "the tools have no {}: is libc6 of {host} among them?",
            loader.display()
        );
    }
    let modules = dir.join(MODULES);
    move_modules(&libraries, &modules)?;
    let kept = dir.join("kept");
    for sub in ["bin", "sbin", "lib"] {
        fs::create_dir_all(kept.join(sub))?;
    }
    keep_programs(&usr, &kept, host, target)?;
    fs::rename(&libraries, kept.join("lib").join(native.triplet))?;

    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name() == MODULES || entry.file_name() == "kept" {
            continue;
        }
        let path = entry.path();
        let removed = if entry.file_type()?.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.with_context(|| path.display().to_string())?;
    }
    fs::rename(&kept, &usr)?;
    // Users of the tree run them too.
    for path in [
        dir,
        &usr,
        &usr.join("bin"),
        &usr.join("sbin"),
        &usr.join("lib"),
        &modules,
    ] {
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Moves directories of compiled perl modules to where a mirror of them can be mounted in their place.
fn move_modules(libraries: &Path, modules: &Path) -> Result<()> {
    fs::create_dir(modules).with_context(|| modules.display().to_string())?;
    for name in MODULE_DIRS {
        let from = libraries.join(name);
        let to = modules.join(name);
        if is_dir(&from) {
            fs::rename(&from, &to).with_context(|| from.display().to_string())?;
        } else {
            fs::create_dir(&to)?;
        }
        // Something to mount the mirror on.
        fs::create_dir(&from).with_context(|| from.display().to_string())?;
    }
    Ok(())
}

/// Puts the listed programs into `kept`, fit for trees of `target`.
fn keep_programs(usr: &Path, kept: &Path, host: Arch, target: Arch) -> Result<()> {
    for group in GROUPS {
        for program in group.programs {
            let from = usr.join(program);
            if !is_file(&from) {
                continue;
            }
            let wrong = || format!("the tool {program} of {} does not fit", group.package);
            let mut bytes = fs::read(&from).with_context(wrong)?;
            if !elf::set_loader(&mut bytes, LOADER).with_context(wrong)? {
                bail!("{}: it is not a dynamic program", wrong());
            }
            if group.knows_arch {
                elf::replace_word(&mut bytes, host.debian(), target.debian()).with_context(wrong)?;
            }
            let to = kept.join(program);
            fs::write(&to, bytes).with_context(|| to.display().to_string())?;
            fs::set_permissions(&to, Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// Moves what packages have outside of `/usr` into it, as it is in a Debian tree.
pub fn merge_all(dir: &Path) -> Result<()> {
    MERGED.iter().try_for_each(|name| merge_usr(dir, name))
}

/// Moves what is in `/<name>` to `/usr/<name>`, and leaves a link, as Debian's usrmerge does.
fn merge_usr(dir: &Path, name: &str) -> Result<()> {
    let (old, new) = (dir.join(name), dir.join("usr").join(name));
    if !is_dir(&old) {
        return Ok(());
    }
    fs::create_dir_all(&new)?;
    merge(&old, &new)?;
    symlink(format!("usr/{name}"), &old).with_context(|| old.display().to_string())
}

fn merge(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match fs::symlink_metadata(&target) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::rename(&path, &target).with_context(|| path.display().to_string())?;
            }
            Ok(there) if there.is_dir() && entry.file_type()?.is_dir() => merge(&path, &target)?,
            Ok(_) => bail!(
                "{} and {} are both in the tools",
                path.display(),
                target.display()
            ),
            Err(error) => return Err(error).with_context(|| target.display().to_string()),
        }
    }
    fs::remove_dir(from).with_context(|| from.display().to_string())
}

/// Whether it is a regular file, and no link to one.
pub(super) fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// Whether it is a directory, and no link to one.
pub(super) fn is_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}
