//! Installs packages: unpacked by us, configured by the tree's own dpkg.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, bail};
use clic_debian::deb::{Control, Deb};
use clic_host::lines::Tail;
use rustix::fs::{AtFlags, Mode, OFlags};

use super::admin::Admin;
use super::chroot::Chroot;
use super::job::{Job, Packages};
use super::order::{self, Related};
use super::root::{Root, split};
use super::say::{self, Said};
use super::unpack::{Unit, Unpacked, conffiles, unpack};

/// Where dpkg keeps the control part of a package whose preinst runs. debconf and others look there.
const CONTROL: &str = "var/lib/dpkg/tmp.ci";
/// Lines of a failed script that its error repeats. The log has them all.
const TAIL: usize = 15;

/// Installs the job's packages into `root`.
pub fn install(root: &Root, job: &Job, packages: &Packages) -> Result<()> {
    if packages.base {
        begin(root, job)?;
    }
    let controls = packages
        .new
        .iter()
        .map(|package| Ok(Deb::open(&package.deb)?.control))
        .collect::<Result<Vec<_>>>()?;
    let related: Vec<Related<'_>> = packages
        .new
        .iter()
        .zip(&controls)
        .map(|(package, control)| Related {
            name: &package.name,
            pre_depends: order::relation(control.list("Pre-Depends")),
            depends: order::relation(control.list("Depends")),
            provides: order::names(control.list("Provides").unwrap_or_default()).collect(),
        })
        .collect();
    let installation = Installation {
        root,
        job,
        packages,
        controls: &controls,
        related: &related,
    };
    if packages.base {
        installation.base()
    } else {
        installation.further()
    }
}

/// What is installed where. Packages go by their index.
struct Installation<'a> {
    root: &'a Root,
    job: &'a Job,
    packages: &'a Packages,
    controls: &'a [Control],
    related: &'a [Related<'a>],
}

impl Installation<'_> {
    /// The packages that every tree has, in one round: nothing can run before all of it is there.
    fn base(&self) -> Result<()> {
        let all: Vec<usize> = (0..self.related.len()).collect();
        // Their scripts need what they bring, with its configuration.
        let unpacked = self.unpack(&all)?;
        for one in &unpacked {
            place_conffiles(self.root, one)?;
        }
        let chroot = Chroot::enter(self.root, self.job)?;
        self.preinst(&chroot, &all)?;
        Admin::read(self.root)?.add(&unpacked)?;
        if !self.packages.preseeds.is_empty() {
            // What asks questions comes after what takes the answers.
            let first = order::closure(self.related, |at| {
                self.controls[at].field("Essential") == Some("yes") || self.related[at].name == "debconf"
            });
            configure(&chroot, Some(&self.names(&first)))?;
            preseed(&chroot, self.root, &self.packages.preseeds)?;
        }
        configure(&chroot, None)?;
        chroot.leave()
    }

    /// Packages for a tree that has those.
    fn further(&self) -> Result<()> {
        let admin = Admin::read(self.root)?;
        let configured: HashSet<String> = admin.configured().map(str::to_owned).collect();
        let mut preseeded = self.packages.preseeds.is_empty();
        for round in order::rounds(self.related, &configured) {
            let chroot = Chroot::enter(self.root, self.job)?;
            if !preseeded {
                preseed(&chroot, self.root, &self.packages.preseeds)?;
                preseeded = true;
            }
            self.preinst(&chroot, &round.unpack)?;
            // Scripts may have said where files are to go.
            let unpacked = self.unpack(&round.unpack)?;
            chroot.refresh()?;
            Admin::read(self.root)?.add(&unpacked)?;
            let names = round.configure.map(|configure| self.names(&configure));
            configure(&chroot, names.as_deref())?;
            chroot.leave()?;
        }
        Ok(())
    }

    fn names(&self, which: &[usize]) -> Vec<String> {
        which.iter().map(|at| self.related[*at].name.to_owned()).collect()
    }

    fn unpack(&self, which: &[usize]) -> Result<Vec<Unpacked>> {
        let unit = |at: &usize| {
            let package = &self.packages.new[*at];
            Unit {
                name: &package.name,
                deb: &package.deb,
                installed_size: package.installed_size,
            }
        };
        let units: Vec<Unit<'_>> = which.iter().map(unit).collect();
        let admin = Admin::read(self.root)?;
        unpack(self.root, &admin, &units, self.job.threads, &|name| {
            say::say(&Said::Unpacked { package: name.into() });
        })
    }

    fn preinst(&self, chroot: &Chroot<'_>, which: &[usize]) -> Result<()> {
        let scripts: Vec<_> = which
            .iter()
            .map(|at| (&self.related[*at], &self.controls[*at]))
            .collect();
        preinst(chroot, self.root, &scripts)
    }
}

/// Gives configuration files their names already, as debootstrap does: scripts of the first packages read what dpkg would
/// put there only later. dpkg finds there what it was about to put.
fn place_conffiles(root: &Root, one: &Unpacked) -> Result<()> {
    for path in conffiles(&one.control)? {
        let path = String::from_utf8(path).context("a configuration file's name")?;
        let new = format!("{path}.dpkg-new");
        let Some(bytes) = root.read(&new)? else { continue };
        // As the tree has it, wherever its symlinks would lead on the host.
        let stat = root
            .openat(new.as_bytes(), OFlags::PATH, Mode::empty())
            .and_then(rustix::fs::fstat)
            .map_err(|error| root.failed(error, new.as_bytes()))?;
        root.write(&path, stat.st_mode & 0o7777, &bytes)?;
        root.set_time(&path, u64::try_from(stat.st_mtime).unwrap_or(0))?;
    }
    Ok(())
}

/// What has to be there before the first package: a merged /usr, and dpkg's database.
fn begin(root: &Root, job: &Job) -> Result<()> {
    // As in debootstrap: amd64 has a few more library directories.
    let more: &[&str] = match job.arch {
        clic_recipe::plan::Arch::Amd64 => &["lib32", "lib64", "libx32"],
        clic_recipe::plan::Arch::Arm64 => &[],
    };
    for dir in ["bin", "sbin", "lib"].iter().chain(more) {
        root.make_dirs(format!("usr/{dir}").as_bytes())?;
        let link = root.path().join(dir);
        std::os::unix::fs::symlink(format!("usr/{dir}"), &link)
            .map_err(|error| clic_store::space::io_error(error, &link))?;
    }
    Admin::create(root)
}

/// Answers to questions that packages would ask.
fn preseed(chroot: &Chroot<'_>, root: &Root, preseeds: &[String]) -> Result<()> {
    let file = "run/clic-preseeds";
    root.write(file, 0o600, (preseeds.join("\n") + "\n").as_bytes())?;
    chroot
        .run(
            &["debconf-set-selections", "/run/clic-preseeds"],
            &[],
            &mut say::line,
        )
        .context("the answers for debconf (preseeds) are not accepted")
}

/// Runs the scripts that come before unpacking, in the packages' order.
fn preinst(chroot: &Chroot<'_>, root: &Root, packages: &[(&Related<'_>, &Control)]) -> Result<()> {
    let running = dpkg_version(root)?;
    for (related, control) in packages {
        if control.file("preinst").is_none() {
            continue;
        }
        let field = |name: &str| control.field(name).unwrap_or_default().to_owned();
        for file in &control.files {
            root.write(&format!("{CONTROL}/{}", file.name), file.mode, &file.bytes)?;
        }
        root.write(
            &format!("{CONTROL}/control"),
            0o644,
            (control.stanza.clone() + "\n").as_bytes(),
        )?;
        let environment = [
            ("DPKG_MAINTSCRIPT_PACKAGE", related.name.to_owned()),
            ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1".to_owned()),
            ("DPKG_MAINTSCRIPT_ARCH", field("Architecture")),
            ("DPKG_MAINTSCRIPT_NAME", "preinst".to_owned()),
            ("DPKG_MAINTSCRIPT_DEBUG", "0".to_owned()),
            ("DPKG_RUNNING_VERSION", running.clone()),
            ("DPKG_ADMINDIR", "/var/lib/dpkg".to_owned()),
            ("DPKG_ROOT", String::new()),
            ("DPKG_COLORS", "never".to_owned()),
            ("DPKG_FORCE", String::new()),
        ];
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        let script = format!("/{CONTROL}/preinst");
        say::line(&format!("Preparing {} ({}) ...", related.name, field("Version")));
        let result = chroot.run(&[&script, "install"], &environment, &mut say::line);
        for file in control
            .files
            .iter()
            .map(|file| file.name.as_str())
            .chain(["control"])
        {
            root.remove(&format!("{CONTROL}/{file}"))?;
        }
        result.with_context(|| format!("the preinst script of {} failed", related.name))?;
    }
    let (above, name) = split(CONTROL.as_bytes());
    let remove = |above| rustix::fs::unlinkat(above, OsStr::from_bytes(name), AtFlags::REMOVEDIR);
    match root.dir(above).and_then(remove) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(root.failed(error, CONTROL.as_bytes())),
    }
}

/// The version of the tree's dpkg, without what Debian adds.
fn dpkg_version(root: &Root) -> Result<String> {
    let status = root.read_text("var/lib/dpkg/status")?;
    let version = clic_debian::control::stanzas(&status)
        .find(|stanza| clic_debian::control::field(stanza, "Package") == Some("dpkg"))
        .and_then(|stanza| clic_debian::control::field(stanza, "Version"))
        .unwrap_or_default();
    Ok(version
        .split(['-', '+', '~'])
        .next()
        .unwrap_or(version)
        .to_owned())
}

/// Has the tree's dpkg configure these packages, or all.
fn configure(chroot: &Chroot<'_>, names: Option<&[String]>) -> Result<()> {
    let mut argv = vec!["dpkg", "--force-unsafe-io", "--configure"];
    match names {
        Some(names) => argv.extend(names.iter().map(String::as_str)),
        None => argv.push("--pending"),
    }
    // The lines since the last package began, and the last complaint of dpkg's own. A script can print such lines, too, or stop
    // dpkg, whose rights it has: nothing but words for people comes from them.
    let mut since = Tail::new(TAIL);
    let mut failed: Option<Failed> = None;
    let result = chroot.run(&argv, &[], &mut |line| {
        say::line(line);
        if let Some(name) =
            package_after(line, "Setting up ").or_else(|| package_after(line, "Processing triggers for "))
        {
            say::say(&Said::Configuring { package: name.into() });
            since.clear();
        } else if let Some(package) = package_after(line, "dpkg: error processing package ") {
            if failed.is_none() {
                failed = Some(Failed {
                    package: package.to_owned(),
                    lines: std::mem::replace(&mut since, Tail::new(TAIL)).text(),
                    script: None,
                });
            }
        } else if let Some(failed) = failed.as_mut().filter(|failed| failed.script.is_none()) {
            failed.script = Some(line.trim().to_owned());
        } else {
            // Why it failed is what it said last.
            since.push(line);
        }
    });
    let Err(error) = result else { return Ok(()) };
    match failed {
        Some(Failed {
            package,
            script,
            lines,
        }) => {
            bail!(
                "{package} cannot be configured: {}\n{}",
                script.unwrap_or_else(|| "dpkg does not say why".into()),
                lines
            )
        }
        None => Err(error),
    }
}

/// What dpkg says of a package that it could not configure.
struct Failed {
    package: String,
    /// `installed x package post-installation script subprocess returned error exit status 1`
    script: Option<String>,
    /// What the script printed.
    lines: String,
}

/// `Setting up libc6:amd64 (2.36) ...`: libc6. Only what can be a package's name (Debian policy 5.6.7).
fn package_after<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    let name = line.strip_prefix(start)?.split([' ', ':']).next()?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (first, rest) = name.as_bytes().split_first()?;
    let right = plain(*first) && rest.iter().all(|byte| plain(*byte) || b"+-.".contains(byte));
    right.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_in_dpkgs_lines() {
        assert_eq!(
            package_after("Setting up libc6:amd64 (2.36-9) ...", "Setting up "),
            Some("libc6")
        );
        assert_eq!(
            package_after(
                "Processing triggers for man-db (2.11) ...",
                "Processing triggers for "
            ),
            Some("man-db")
        );
        assert_eq!(package_after("Setting upx", "Setting up "), None);
        for forged in ["../evil (1)", "\u{1b}[2J (1)", " (1)", "Evil (1)", ""] {
            assert_eq!(
                package_after(&format!("Setting up {forged}"), "Setting up "),
                None
            );
        }
    }
}
