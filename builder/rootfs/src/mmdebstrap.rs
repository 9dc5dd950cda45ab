//! The engine that turns packages into a configured tree: Debian's mmdebstrap, fed from a private repository
//! that holds exactly the resolution. It needs no network and can install nothing else.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clic_host::{Cmd, Log, Stage, Unit, UserError};
use clic_recipe::plan::{Arch, DebFile, UnitState};
use clic_store::NoSpace;
use clic_store::space::{self, io_error};

use crate::sandbox::Sandbox;
use crate::tree::TreeSpec;
use crate::{control, files};

/// Where a step of the customisation is announced in the output.
const STEP: &str = "clic-step ";

/// What the engine works with.
pub(crate) struct Job<'a> {
    pub spec: &'a TreeSpec<'a>,
    /// The .debs in the order of the resolution's packages.
    pub debs: &'a [PathBuf],
    /// An empty directory for the engine alone.
    pub work: &'a Path,
    pub log: &'a Log,
    pub stage: &'a Stage,
    /// Bytes that the work was expected to need, for the error when the disk fills up all the same.
    pub needed: u64,
}

/// Installs and configures the packages, puts the files in place, changes units, runs commands, makes the
/// initramfs. What comes back is a tar file in `work` that still has the build's traces.
pub(crate) fn configure(job: &Job<'_>) -> Result<PathBuf> {
    let spec = job.spec;
    let sandbox = Sandbox::for_arch(spec.plan.arch)?;
    job.log.line(&format!("emulator: {}", sandbox.emulation()));
    let repository = job.work.join("repository");
    make_repository(spec, job.debs, &repository)?;
    let files = job.work.join("files.tar");
    files::pack(spec.files, spec.resolution.epoch, &files)?;
    let steps = steps(spec, &files);
    let customize = write(
        job.work,
        "customize",
        &customize_script(&steps, spec.resolution.epoch),
    )?;
    let preseeds = write(job.work, "preseeds", &(spec.plan.preseeds.join("\n") + "\n"))?;
    let essential = write(job.work, "essential", &essential_script(spec, &preseeds))?;
    let setup = write(job.work, "setup", &setup_script(spec.plan.arch))?;
    let tmp = job.work.join("tmp");
    std::fs::create_dir(&tmp).map_err(|error| io_error(error, &tmp))?;
    let raw = job.work.join("raw.tar");

    let names: Vec<&str> = spec
        .resolution
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let hook = |path: &Path| format!("sh {} \"$1\"", quoted(&path.to_string_lossy()));
    let cmd = environment(sandbox.cmd("mmdebstrap"), spec.resolution.epoch)
        .env("TMPDIR", &tmp)
        .args([
            "--verbose",
            "--mode=root",
            "--variant=apt",
            "--format=tar",
            "--skip=check/qemu",
        ])
        .arg(format!("--architectures={}", spec.plan.arch))
        .arg(format!("--include={}", names.join(",")))
        // The repository is ours alone; apt's own user could not read it.
        .arg(r#"--aptopt=APT::Sandbox::User "root""#)
        .arg(r#"--aptopt=Acquire::Languages "none""#)
        // The tree is thrown away if the build does not end well.
        .arg("--dpkgopt=force-unsafe-io")
        .arg(format!("--setup-hook={}", hook(&setup)))
        .arg(format!("--essential-hook={}", hook(&essential)))
        .arg(format!("--customize-hook={}", hook(&customize)))
        // No suite: the repository has no Release file, and what it holds was chosen already.
        .arg("")
        .arg(&raw)
        .arg(format!("deb [trusted=yes] copy:{} ./", url_path(&repository)));

    let at: Cell<Option<usize>> = Cell::new(None);
    let total = names.len() as u64;
    job.stage.total(Unit::Packages, total);
    let (mut unpacked, mut configured) = (BTreeSet::new(), BTreeSet::new());
    let result = cmd.logged(job.log, |line| {
        if let Some(number) = line.strip_prefix(STEP) {
            at.set(number.parse().ok());
            if let Some(step) = at.get().and_then(|at| steps.get(at)) {
                job.stage.message(&step.what);
            }
        } else if let Some(name) = package_after(line, "Unpacking ") {
            unpacked.insert(name.to_owned());
            job.stage.message(format!("unpack {name}"));
        } else if let Some(name) = package_after(line, "Setting up ") {
            configured.insert(name.to_owned());
            job.stage.message(format!("configure {name}"));
        } else {
            return;
        }
        // Unpacking and configuring are half of a package each.
        job.stage
            .set(((unpacked.len() + configured.len()) as u64 / 2).min(total));
    });
    let step = at.get().and_then(|at| steps.get(at));
    match (result, step) {
        (Ok(()), _) => {}
        (Err(error), _) if error.is::<clic_host::Cancelled>() => return Err(error),
        (Err(error), _) if format!("{error:#}").contains(&full_disk()) => {
            return Err(error.context(NoSpace {
                what: "building the tree".into(),
                dir: job.work.to_owned(),
                needed: job.needed,
                free: space::free(job.work).unwrap_or(0),
            }));
        }
        (Err(error), Some(step)) => {
            let error = error.context(format!("{} failed", step.what));
            return Err(match &step.help {
                Some(help) => error.context(UserError::new(step.what.clone() + " failed").help(help.clone())),
                None => error,
            });
        }
        (Err(error), None) => return Err(error.context("installing the packages failed")),
    }
    Ok(raw)
}

/// What every tool says when the disk is full: the C library's words for `ENOSPC`.
fn full_disk() -> String {
    let text = rustix::io::Errno::NOSPC.to_string();
    text.split(" (").next().unwrap_or(&text).to_owned()
}

/// `Setting up libc6:amd64 (2.36) ...`: libc6.
fn package_after<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    let name = line.strip_prefix(start)?.split(' ').next()?;
    name.split(':').next().filter(|name| !name.is_empty())
}

/// The variables that shape what maintainer scripts do.
fn environment(cmd: Cmd, epoch: u64) -> Cmd {
    variables(epoch)
        .into_iter()
        .fold(cmd, |cmd, (key, value)| cmd.env(key, value))
}

fn variables(epoch: u64) -> Vec<(&'static str, String)> {
    vec![
        ("SOURCE_DATE_EPOCH", epoch.to_string()),
        ("TZ", "UTC".into()),
        ("LC_ALL", "C.UTF-8".into()),
        ("HOME", "/root".into()),
        ("DEBIAN_FRONTEND", "noninteractive".into()),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true".into()),
        // One initramfs at the end, when all files are in place.
        ("INITRD", "No".into()),
        // Compiled Python must not depend on the order of its sets.
        ("PYTHONHASHSEED", "0".into()),
        ("SYSTEMD_OFFLINE", "1".into()),
    ]
}

/// A flat repository of symlinks into the store, with an index of the archive's own stanzas.
fn make_repository(spec: &TreeSpec<'_>, debs: &[PathBuf], dir: &Path) -> Result<()> {
    std::fs::create_dir(dir).map_err(|error| io_error(error, dir))?;
    let mut index = String::new();
    for (package, deb) in spec.resolution.packages.iter().zip(debs) {
        let name = format!("{}.deb", package.sha256);
        symlink(deb, dir.join(&name)).map_err(|error| io_error(error, &dir.join(&name)))?;
        if package.stanza.is_empty() {
            // From a lock, which has no stanzas.
            let file = DebFile {
                name,
                sha256: package.sha256.clone(),
                size: package.size,
            };
            index += &crate::sources::entry(deb, &file)?.map_err(anyhow::Error::msg)?;
            continue;
        }
        index += &local_stanza(&package.stanza, &name);
        index.push('\n');
    }
    let path = dir.join("Packages");
    std::fs::write(&path, index).map_err(|error| io_error(error, &path))
}

/// The stanza with the file in our repository instead of the archive's.
fn local_stanza(stanza: &str, file: &str) -> String {
    let other = |line: &&str| {
        !line
            .get(..9)
            .is_some_and(|start| start.eq_ignore_ascii_case("Filename:"))
    };
    debug_assert!(control::field(stanza, "Filename").is_some());
    let mut text: String = stanza
        .lines()
        .filter(other)
        .fold(String::new(), |text, line| text + line + "\n");
    text += &format!("Filename: ./{file}\n");
    text
}

fn write(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    std::fs::write(&path, text).map_err(|error| io_error(error, &path))?;
    Ok(path)
}

/// /usr is merged from the beginning, so that nothing has to be moved later.
fn setup_script(arch: Arch) -> String {
    // As in debootstrap: amd64 has a few more library directories.
    let more = match arch {
        Arch::Amd64 => " lib32 lib64 libx32",
        Arch::Arm64 => "",
    };
    format!(
        "set -eu\nfor dir in bin sbin lib{more}; do\n    mkdir -p \"$1/usr/$dir\"\n    ln -s \"usr/$dir\" \"$1/$dir\"\ndone\n"
    )
}

fn essential_script(spec: &TreeSpec<'_>, preseeds: &Path) -> String {
    if spec.plan.preseeds.is_empty() {
        return "exit 0\n".into();
    }
    format!(
        "set -eu\nchroot \"$1\" debconf-set-selections < {}\n",
        quoted(&preseeds.to_string_lossy())
    )
}

/// One thing done in the configured tree.
struct Step {
    /// For messages: `enabling ssh.service (overlay base)`.
    what: String,
    /// Shell lines; `in_tree` runs a command in the tree.
    script: String,
    /// If its failure is the recipe's fault: what to do.
    help: Option<String>,
}

fn steps(spec: &TreeSpec<'_>, files: &Path) -> Vec<Step> {
    let mut steps = vec![Step {
        what: "putting files in place".into(),
        script: format!(
            "in_tree tar --extract --file=- --preserve-permissions --same-owner --keep-directory-symlink < {}",
            quoted(&files.to_string_lossy())
        ),
        help: None,
    }];
    for unit in &spec.plan.units {
        let (verb, doing) = match unit.state {
            UnitState::Enabled => ("enable", "enabling"),
            UnitState::Disabled => ("disable", "disabling"),
            UnitState::Masked => ("mask", "masking"),
        };
        let name = quoted(&unit.name);
        steps.push(Step {
            what: format!("{doing} {} (from {})", unit.name, unit.from),
            // `mask` succeeds for a unit that is not there, but says so.
            script: format!(
                "said=$(in_tree systemctl {verb} -- {name} 2>&1) || {{ echo \"$said\"; exit 1; }}\n\
                 echo \"$said\"\ncase $said in *\"does not exist\"*) exit 1;; esac"
            ),
            help: Some(
                "no package or file of the recipe brings a unit of this name, or it cannot be changed so"
                    .into(),
            ),
        });
    }
    // Before the commands: its hooks fill /boot/firmware, which the Raspberry Pi's command empties.
    steps.push(Step {
        what: "making the initramfs".into(),
        script: INITRAMFS.into(),
        help: None,
    });
    for command in spec.commands {
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        steps.push(Step {
            what: format!("running {}", command.join(" ")),
            script: format!("in_tree {}", words.join(" ")),
            help: None,
        });
    }
    steps
}

/// The kernel's package has made /vmlinuz, but with `INITRD=No` no /initrd.img: its tool is asked once more.
const INITRAMFS: &str = "\
if [ -x \"$root/usr/sbin/update-initramfs\" ]; then
    in_tree update-initramfs -c -k all
    for image in \"$root\"/boot/initrd.img-*; do
        version=${image##*/initrd.img-}
        [ ! -x \"$root/usr/bin/linux-update-symlinks\" ] || [ ! -e \"$root/boot/vmlinuz-$version\" ] ||
            in_tree linux-update-symlinks upgrade \"$version\" \"/boot/vmlinuz-$version\"
    done
fi";

fn customize_script(steps: &[Step], epoch: u64) -> String {
    let mut script = String::from(
        "set -eu\nroot=$1\nin_tree() {\n    chroot \"$root\" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    );
    for (key, value) in variables(epoch).iter().filter(|(key, _)| *key != "INITRD") {
        let _ = write!(script, " {key}={}", quoted(value));
    }
    script += " \"$@\"\n}\n";
    for (number, step) in steps.iter().enumerate() {
        let _ = write!(
            script,
            "echo {}\n{}\n",
            quoted(&format!("{STEP}{number}")),
            step.script
        );
    }
    // What fails from here on is not the last step's doing.
    let _ = writeln!(script, "echo {}", quoted(&format!("{STEP}end")));
    script
}

/// One word for sh.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A path in an apt source: blanks and brackets would end it.
fn url_path(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str()
        .as_bytes()
        .iter()
        .fold(String::new(), |mut text, byte| {
            if byte.is_ascii_alphanumeric() || b"/-_.~+,:@".contains(byte) {
                text.push(char::from(*byte));
            } else {
                let _ = write!(text, "%{byte:02X}");
            }
            text
        })
}

/// Checks that the engine is on the host. Error: [`UserError`].
pub(crate) fn available() -> Result<()> {
    let found = Cmd::new("mmdebstrap")
        .arg("--version")
        .finish()
        .context("mmdebstrap");
    if found.is_ok_and(|finished| finished.status.success()) {
        return Ok(());
    }
    Err(UserError::new("mmdebstrap is not there")
        .help("sudo apt-get install mmdebstrap")
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_paths_are_quoted() {
        assert_eq!(quoted("a'b $c"), r"'a'\''b $c'");
        assert_eq!(url_path(Path::new("/a b/[c]%")), "/a%20b/%5Bc%5D%25");
    }

    #[test]
    fn packages_in_dpkgs_lines() {
        assert_eq!(
            package_after("Setting up libc6:amd64 (2.36-9) ...", "Setting up "),
            Some("libc6")
        );
        assert_eq!(
            package_after("Unpacking bash (5.2) over (5.1) ...", "Unpacking "),
            Some("bash")
        );
        assert_eq!(package_after("Setting upx", "Setting up "), None);
    }

    #[test]
    fn stanzas_point_into_our_repository() {
        let text = local_stanza("Package: a\nFilename: pool/a.deb\nSize: 1", "ab.deb");
        assert_eq!(text, "Package: a\nSize: 1\nFilename: ./ab.deb\n");
    }

    #[test]
    fn steps_are_announced_before_they_run() {
        let step = Step {
            what: "x".into(),
            script: "in_tree true".into(),
            help: None,
        };
        let script = customize_script(&[step], 7);
        assert!(
            script.contains("echo 'clic-step 0'\nin_tree true\necho 'clic-step end'\n"),
            "{script}"
        );
        assert!(
            script.contains("SOURCE_DATE_EPOCH='7'") && !script.contains("INITRD"),
            "{script}"
        );
        let checked = Cmd::new("sh")
            .arg("-n")
            .stdin(script.into_bytes())
            .finish()
            .unwrap();
        assert!(checked.status.success(), "{}", checked.stderr);
    }
}
