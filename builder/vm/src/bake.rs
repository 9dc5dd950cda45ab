//! Steps that need the running system, done in it: a copy of the image is booted, the steps run as root, and what they changed
//! is brought out.
//!
//! The system that runs can tell by [`MARK`] that it is being baked: what is made once on each device has to wait then. See
//! [`seal`] for what does not come out.

pub mod seal;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clic_host::{Log, Stage};
use clic_image::embedded::IMAGE_DESCRIPTION_PATH;
use clic_image::read::DiskImage;
use clic_recipe::plan::{Bake, Machine};
use clic_store::{Scratch, Session, space};

use crate::accel::{Accel, AccelChoice};
use crate::agent::Answer;
use crate::console::Cause;
use crate::guest::Guest;
use crate::qemu::{Setup, Target, file};
use crate::{clone, judge, raspi};

/// Is there while a system is being baked, and at no other time. For `ConditionPathExists=!` in units.
pub const MARK: &str = "/etc/clic/baking";
/// A system without a clock takes this file's time for the least that it can be (systemd, `clock_apply_epoch`): else it would
/// be older than the image, and what changes could not be told from what does not.
const CLOCK: &str = "/usr/lib/clock-epoch";
/// Where the guest leaves what it found.
const RESULT: &str = "/.clic-bake";
/// Memory of the guest in MiB, where the machine lets us choose: setting up takes more than running.
const MEMORY: u32 = 2048;
/// How much longer than in a test a system may take to start: it is not a verdict on it that the host has more to do, and one that
/// hangs is seen by what it does not print.
const PATIENCE: u64 = 4;
/// How long services may take to end: systemd's own limit for one is 90 s.
const ENDING: u64 = 300;
/// How long finding and packing what changed may take, on an emulated processor and a large disk.
const PACKING: u64 = 1800;
/// Lines of a failed step that are shown.
const LAST_LINES: usize = 15;

/// Writes what is in the file system, and what changed in it since the image was made, into [`RESULT`]. After that come the
/// image's time, which every file of it has as the time of its inode's last change, and directories that are left out: some
/// change while they are read. Of logs come the directories, and those that are not root's ([`clic_tree::is_wanted`]). Sockets and devices (postfix has some) are made by whoever runs.
const PACK: &str = r#"set -eu
result=$1 epoch=$2
shift 2
rm -rf "$result"
mkdir -m 700 "$result"
cd /
find . -xdev -path ".$result" -prune -o -print0 >"$result/paths"
for dir; do
    set -- "$@" -o -path "./$dir"
    shift
done
{
    find . -xdev \( -path ".$result" "$@" \) -prune -o -newerct "@$epoch" ! -type s ! -type b ! -type c -print0
    find ./var/log -xdev -path ./var/log/journal -prune -o -mindepth 1 -newerct "@$epoch" \( -type d -o -type f ! -uid 0 \) -print0
} >"$result/new"
tar --create --file "$result/tar" --null --no-recursion --files-from "$result/new" --numeric-owner --format=pax \
    --xattrs --xattrs-include='*' --warning=no-file-ignored
sync
"#;

/// How a bake is to be done.
#[derive(Debug)]
pub struct Options<'a> {
    /// The image's time, seconds since 1970.
    pub epoch: i64,
    /// Which accelerator.
    pub accel: AccelChoice,
    /// Least memory of the guest in MiB, where the machine lets us choose.
    pub memory: u32,
    /// What besides stays in the machine (see [`seal`]): absolute paths.
    pub of_one_run: &'a [String],
    /// Where a copy that boots goes if a step fails.
    pub keep: Option<&'a Path>,
}

/// What came out.
#[derive(Debug)]
pub struct Baked {
    /// A tar file of what is new or changed, with everything that [`seal`] takes away.
    pub tar: PathBuf,
    /// Every path that there is, each as `./etc/fstab` and a NUL.
    pub paths: PathBuf,
    _scratch: Scratch,
}

/// Runs `steps` in a copy of the image at `path`.
///
/// Errors: a step that fails or takes too long, by name with its last lines; a system that does not start.
pub fn bake(
    path: &Path,
    steps: &[&Bake],
    options: &Options<'_>,
    session: Session<'_>,
    stage: &Stage,
) -> Result<Baked> {
    let image = DiskImage::open(path)?;
    let description = image
        .description()?
        .with_context(|| format!("the image has no {IMAGE_DESCRIPTION_PATH}"))?;
    let machine = description.emulate.machine;
    let target = match machine {
        Machine::Pc => Target::Bios,
        Machine::Raspi3b => Target::Raspi3b,
    };
    let accel = match machine {
        Machine::Pc => options.accel.decide()?.kind,
        Machine::Raspi3b => Accel::Tcg,
    };
    stage.message("cloning the image");
    let scratch = session.store.scratch("bake")?;
    let dir = scratch.path();
    let disk = dir.join(file::DISK);
    clone::make(&image, machine, &disk)?;
    clone::put(&image, &disk, MARK, b"")?;
    clone::put(&image, &disk, CLOCK, b"")?;
    let raspi = match machine {
        Machine::Raspi3b => Some(raspi::Boot::extract(&image, dir)?),
        Machine::Pc => None,
    };
    let setup = Setup {
        target,
        accel,
        memory: MEMORY.max(description.emulate.memory).max(options.memory),
        ports: &[],
        network: steps.iter().any(|step| step.network),
        firmware: None,
        raspi: raspi.as_ref(),
    };
    let timeout = Duration::from_secs(description.emulate.timeout.saturating_mul(PATIENCE));
    let result = work(&setup, dir, timeout, steps, options, session.log, stage);
    if let Err(error) = result {
        if error.is::<clic_host::Cancelled>() {
            return Err(error);
        }
        let console = std::fs::read(dir.join(file::CONSOLE)).unwrap_or_default();
        session.log.line(&String::from_utf8_lossy(&console));
        return Err(match options.keep {
            Some(to) if disk.exists() => {
                let above = to.parent().unwrap_or(Path::new("."));
                std::fs::create_dir_all(above).map_err(|error| space::io_error(error, above))?;
                let kept = clone::keep(&disk, to.to_owned())?;
                error.context(format!("baking failed; the copy is in {}", kept.display()))
            }
            _ => error,
        });
    }
    stage.message("copying what changed");
    let disk = DiskImage::open(&disk)?;
    let root = disk.root()?;
    let bring = |name: &str| -> Result<PathBuf> {
        let to = dir.join(name);
        let mut file = File::create(&to).map_err(|error| space::io_error(error, &to))?;
        root.copy(format!("{RESULT}/{name}"), &mut file)?;
        Ok(to)
    };
    Ok(Baked {
        tar: bring("tar")?,
        paths: bring("paths")?,
        _scratch: scratch,
    })
}

fn work(
    setup: &Setup<'_>,
    dir: &Path,
    timeout: Duration,
    steps: &[&Bake],
    options: &Options<'_>,
    log: &Log,
    stage: &Stage,
) -> Result<()> {
    let mut guest = Guest::start(setup, dir)?;
    if judge::start_time(&mut guest, timeout, stage)?.is_none() {
        let cause = guest
            .cause()
            .map_or_else(String::new, |cause| format!(": {cause}"));
        bail!("the system does not start{cause}");
    }
    for step in steps {
        stage.message(&step.name);
        log.line(&format!("bake step of {}: {}", step.from, step.name));
        let answer = guest.run(&step.command, step.timeout).map_err(died)?;
        note(&answer, log);
        match answer.status {
            0 => {}
            124 => bail!(failed(
                step,
                &format!("did not end within {} s", step.timeout),
                &answer
            )),
            status => bail!(failed(step, &format!("ended with {status}"), &answer)),
        }
    }
    stage.message("ending services");
    // What they hold open or in memory has to be on the disk.
    must(&mut guest, "systemctl isolate rescue.target", ENDING)?;
    stage.message("finding what changed");
    let left_out: Vec<String> = seal::inside(options.of_one_run)
        .map(|path| format!("'{}'", path.replace('\'', r"'\''")))
        .collect();
    let (epoch, left_out) = (options.epoch, left_out.join(" "));
    let pack = format!("set -- {RESULT} {epoch} {left_out}\n{PACK}");
    must(&mut guest, &pack, PACKING)?;
    power_off(&mut guest)
}

fn died(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Cause>() {
        Ok(cause) => anyhow!("the machine died: {cause}"),
        Err(error) => error,
    }
}

fn note(answer: &Answer, log: &Log) {
    for text in [answer.text(), answer.error_text()] {
        if !text.is_empty() {
            log.line(&text);
        }
    }
}

fn failed(step: &Bake, how: &str, answer: &Answer) -> String {
    let (text, errors) = (answer.text(), answer.error_text());
    let lines: Vec<&str> = text.lines().chain(errors.lines()).collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    let mut all = vec![format!("step `{}` of {} {how}", step.name, step.from)];
    all.extend(last.iter().map(|line| format!("  {line}")));
    all.join("\n")
}

/// One of our own commands.
fn must(guest: &mut Guest, command: &str, seconds: u64) -> Result<()> {
    let answer = guest.run(command, seconds).map_err(died)?;
    if answer.status != 0 {
        bail!(
            "the changed system could not be copied out: {} ({})",
            answer.error_text(),
            answer.status
        );
    }
    Ok(())
}

/// Switches the system off. That its console tells of rescue mode, in which it is, is not a failure here.
fn power_off(guest: &mut Guest) -> Result<()> {
    let begun = Instant::now();
    // The answer may be lost on the way.
    let said = guest.run("systemctl poweroff --no-block", 30).map(drop);
    loop {
        match guest.stopped() {
            Some(Cause::PoweredOff(_)) => return Ok(()),
            Some(cause) => bail!("the machine died: {cause}"),
            None if begun.elapsed() > Duration::from_secs(ENDING) => {
                return Err(said
                    .err()
                    .map_or_else(|| anyhow!("the machine does not switch itself off"), died));
            }
            None => guest.watch(Duration::from_secs(1))?,
        }
    }
}
