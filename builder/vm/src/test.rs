//! `clic test`: boots an image on every machine that its board stands for, and reports.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use clic_host::figures::counted;
use clic_host::progress::Unit;
use clic_host::{Progress, Sha256, Stage, UserError, parallel};
use clic_image::embedded::{IMAGE_DESCRIPTION_PATH, ImageDescription};
use clic_image::read::DiskImage;
use clic_recipe::plan::{Check, Machine};
use clic_store::Store;

use crate::accel::{Accel, AccelChoice, Chosen};
use crate::console::Cause;
use crate::guest::Guest;
use crate::judge::{self, Judged};
use crate::qemu::{Firmware, Setup, Target, file};
use crate::report::{Case, MachineReport, Report, Verdict, passed};
use crate::{checks, clone, cuts, raspi};

/// How a test is to be run.
#[derive(Clone, Debug)]
pub struct TestOptions {
    /// Where logs, screens and kept clones go: `<image's stem>.<machine>.log`, `.journal.log`, `.png`, `.img`.
    pub out_dir: PathBuf,
    /// Keeps logs, screen and clone of machines that passed too.
    pub keep: bool,
    /// Seconds from power-on to a verdict, instead of what the image says.
    pub timeout: Option<u64>,
    /// Which accelerator.
    pub accel: AccelChoice,
    /// Only these machines; all of the board's when empty.
    pub machines: Vec<Target>,
    /// Machines that run at the same time, at least 1.
    pub jobs: usize,
    /// How often the power fails while the machine starts, before the boot that is judged.
    pub power_cuts: u32,
    /// Leaves out the checks that take minutes on a machine that is emulated.
    pub quick: bool,
    /// Checks besides those that the image's overlays declare.
    pub extra_checks: Vec<Check>,
}

impl TestOptions {
    /// Everything that the image says, as many machines at a time as there are pairs of processors (each machine has
    /// two), results in `out_dir`.
    pub fn new(out_dir: impl Into<PathBuf>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            out_dir: out_dir.into(),
            keep: false,
            timeout: None,
            accel: AccelChoice::Auto,
            machines: Vec::new(),
            jobs: (processors / 2).max(1),
            power_cuts: 0,
            quick: false,
            extra_checks: Vec::new(),
        }
    }
}

/// Boots a clone of the image at `path` on each machine of its board and judges it. The image is only read. Scratch space
/// comes from `store`; it and every process are gone when this returns, or when this process dies.
///
/// A failed test is not an error: see [`Report::passed`]. Errors are a wrong request ([`UserError`]: no CLIC! image, a machine
/// of another board, firmware that is not installed) or a host that cannot do the work.
pub fn test(path: &Path, store: &Store, options: &TestOptions, progress: &Progress) -> Result<Report> {
    let image = DiskImage::open(path)?;
    let description = image.description()?.ok_or_else(|| {
        UserError::new(format!(
            "{} was not built by clic: it has no {IMAGE_DESCRIPTION_PATH}",
            path.display()
        ))
        .help("give the .img file that `clic build` wrote")
    })?;
    let targets = targets(description, &options.machines)?;
    let accel = match description.emulate.machine {
        Machine::Pc => options.accel.decide()?,
        Machine::Raspi3b => Chosen {
            kind: Accel::Tcg,
            why: "QEMU's Raspberry Pi cannot be accelerated".into(),
        },
    };
    std::fs::create_dir_all(&options.out_dir)
        .with_context(|| format!("cannot create {}", options.out_dir.display()))?;
    let mut checks = description.checks.clone();
    checks.extend(options.extra_checks.iter().cloned());
    let (left_out, checks): (Vec<_>, Vec<_>) =
        checks.into_iter().partition(|check| options.quick && check.long);
    let stage = progress.stage("hash", "Hash of the image", "the report names what was tested");
    let sha256 = Sha256::of_file(path).with_context(|| format!("reading {}", path.display()))?;
    stage.finish();
    let test = Test {
        path,
        description,
        store,
        options,
        progress,
        accel,
        checks: &checks,
        left_out: &left_out,
        sha256,
    };
    let expected = Expected {
        checks: checks.len() + OWN_CHECKS,
        machines: targets.len(),
        jobs: options.jobs,
        accel: test.accel.kind,
    };
    progress.note(expected.in_words());
    let machines = test.run_all(&targets)?;
    let name = format!("{}-{}", description.recipe.name, description.board.name);
    Ok(Report {
        image: path.to_owned(),
        name,
        sha256,
        image_cases: Vec::new(),
        machines,
    })
}

/// The machines to boot, in a fixed order.
fn targets(description: &ImageDescription, wanted: &[Target]) -> Result<Vec<Target>> {
    let all = Target::of(description.emulate.machine);
    for target in wanted {
        if !all.contains(target) {
            let names: Vec<&str> = all.iter().map(|target| target.name()).collect();
            let what = format!("board {} cannot be tried on {target}", description.board.name);
            return Err(UserError::new(what)
                .help(format!("its machines are: {}", names.join(", ")))
                .into());
        }
    }
    let chosen = all
        .iter()
        .filter(|target| wanted.is_empty() || wanted.contains(target));
    let chosen: Vec<Target> = chosen.copied().collect();
    for target in &chosen {
        Firmware::find(*target)?;
    }
    Ok(chosen)
}

/// Checks of every machine besides those of the overlays: it boots, and no unit failed.
const OWN_CHECKS: usize = 2;

/// What a test will be like, for whoever waits for it.
struct Expected {
    checks: usize,
    machines: usize,
    jobs: usize,
    accel: Accel,
}

impl Expected {
    /// Minutes, about: measured on two processors of 2026 with images of 18 and 58 checks, whose last forty are slow ones. KVM
    /// is five to ten times faster.
    fn minutes(&self) -> usize {
        let seconds = 120 + 18 * self.checks.saturating_sub(18);
        let seconds = match self.accel {
            Accel::Tcg => seconds,
            Accel::Kvm => seconds / 6,
        };
        let rounds = self.machines.div_ceil(self.jobs.max(1));
        (seconds * rounds).div_ceil(60)
    }

    fn in_words(&self) -> String {
        let checks = counted(self.checks as u64, "check");
        let each = match self.machines {
            1 => String::new(),
            machines => format!(" on each of {machines} machines"),
        };
        let accel = match self.accel {
            Accel::Tcg => "without",
            Accel::Kvm => "with",
        };
        let minutes = counted(self.minutes() as u64, "minute");
        format!("{checks}{each}; about {minutes} {accel} KVM")
    }
}

struct Test<'a> {
    path: &'a Path,
    description: &'a ImageDescription,
    store: &'a Store,
    options: &'a TestOptions,
    progress: &'a Progress,
    accel: Chosen,
    checks: &'a [Check],
    left_out: &'a [Check],
    sha256: Sha256,
}

/// What is known of a machine after its boot.
struct Seen {
    judged: Judged,
    restarts: u32,
    journal: Option<PathBuf>,
    screen: Option<PathBuf>,
}

impl Seen {
    /// Of a machine that did not start.
    fn nothing(cause: Cause) -> Self {
        let cases = vec![Case::new(judge::BOOTS, Duration::ZERO, Err(cause.to_string()))];
        Self {
            judged: Judged {
                verdict: Verdict::Failed { cause },
                time: Duration::ZERO,
                cases,
            },
            restarts: 0,
            journal: None,
            screen: None,
        }
    }
}

/// How long a new machine takes until it is up; `None` if it does not come up.
fn start_time(setup: &Setup, dir: &Path, timeout: Duration, stage: &Stage) -> Result<Option<Duration>> {
    match Guest::start(setup, dir) {
        Ok(mut guest) => judge::start_time(&mut guest, timeout, stage),
        Err(error) => error.downcast::<Cause>().map(|_| None),
    }
}

impl Test<'_> {
    /// Runs the machines, at most `jobs` at a time; the reports in the order of `targets`.
    fn run_all(&self, targets: &[Target]) -> Result<Vec<MachineReport>> {
        let reports = Mutex::new(Vec::new());
        // QEMU lives and dies with the thread that starts it, so each machine is driven by one thread to its end.
        parallel::each(targets, self.options.jobs, |target| {
            let report = self.run(*target)?;
            reports
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(report);
            Ok(())
        })?;
        let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
        reports.sort_by_key(|report: &MachineReport| report.name);
        Ok(reports)
    }

    /// Runs one machine; once more without KVM when KVM turns out not to carry a whole boot.
    fn run(&self, target: Target) -> Result<MachineReport> {
        let report = self.attempt(target, &self.accel)?;
        let Verdict::Failed { cause } = &report.verdict else {
            return Ok(report);
        };
        let kvm = self.accel.kind == Accel::Kvm && self.options.accel == AccelChoice::Auto;
        match cause {
            Cause::Qemu(why) if kvm => {
                let why = format!("KVM failed: {why}");
                self.progress
                    .note(format!("{target}: {why}; trying again without"));
                self.attempt(
                    target,
                    &Chosen {
                        kind: Accel::Tcg,
                        why,
                    },
                )
            }
            _ => Ok(report),
        }
    }

    fn attempt(&self, target: Target, accel: &Chosen) -> Result<MachineReport> {
        let title = format!("Boot on {target}");
        let why = format!("{}: {}", accel.kind, accel.why);
        let stage = self.progress.stage(&format!("boot-{target}"), &title, &why);
        let cuts = self.options.power_cuts;
        stage.total(
            Unit::Checks,
            (self.checks.len() + OWN_CHECKS) as u64 + u64::from(cuts),
        );
        stage.message("cloning the image");
        let scratch = self.store.scratch("vm")?;
        let dir = scratch.path();
        let machine = self.description.emulate.machine;
        // Opened anew: a reader of the image belongs to one thread.
        let image = DiskImage::open(self.path)?;
        let firmware = Firmware::find(target)?;
        let new_machine = || {
            clone::make(&image, machine, &dir.join(file::DISK))?;
            if let Some(firmware) = &firmware {
                std::fs::copy(&firmware.vars, dir.join(file::VARS))
                    .context("copying the firmware's variables")?;
            }
            anyhow::Ok(())
        };
        new_machine()?;
        let raspi = match machine {
            Machine::Raspi3b => Some(raspi::Boot::extract(&image, dir)?),
            Machine::Pc => None,
        };
        let ports = checks::ports(self.checks);
        let setup = Setup {
            target,
            accel: accel.kind,
            memory: self.description.emulate.memory,
            ports: &ports,
            network: false,
            firmware: firmware.as_ref(),
            raspi: raspi.as_ref(),
        };
        let timeout = Duration::from_secs(self.options.timeout.unwrap_or(self.description.emulate.timeout));
        let mut cut = Vec::new();
        if cuts > 0
            && let Some(start) = start_time(&setup, dir, timeout, &stage)?
        {
            // The first start is what power fails in first.
            std::fs::remove_file(dir.join(file::DISK)).context("removing a clone")?;
            new_machine()?;
            cut = cuts::cut(&setup, dir, start, cuts, self.seed(), &stage)?;
        }
        let seen = self.boot(&setup, dir, timeout, &stage)?;
        let left_out = self.left_out.iter();
        let left_out = left_out.map(|check| Case::skipped(&check.name, "long, and left out by --quick"));
        let mut report = MachineReport {
            name: target,
            accelerator: accel.clone(),
            boot_seconds: seen.judged.time.as_secs_f64(),
            restarts: seen.restarts,
            verdict: seen.judged.verdict,
            cases: cut.into_iter().chain(seen.judged.cases).chain(left_out).collect(),
            log: None,
            journal: None,
            screen: None,
            disk: None,
        };
        self.keep(&mut report, dir, seen.journal.as_deref(), seen.screen.as_deref())?;
        if report.passed() {
            stage.finish();
        }
        Ok(report)
    }

    /// The boot that is judged.
    fn boot(&self, setup: &Setup, dir: &Path, timeout: Duration, stage: &Stage) -> Result<Seen> {
        let mut guest = match Guest::start(setup, dir) {
            Ok(guest) => guest,
            Err(error) => return Ok(Seen::nothing(error.downcast::<Cause>()?)),
        };
        let judged = judge::judge(&mut guest, timeout, self.checks, stage)?;
        let restarts = guest.restarts();
        let mut journal = None;
        if guest.met() && (self.options.keep || !passed(&judged.verdict, &judged.cases)) {
            stage.message("taking its journal");
            journal = guest.journal()?;
        }
        Ok(Seen {
            judged,
            restarts,
            journal,
            // A machine that is gone has no screen.
            screen: guest.screenshot().ok(),
        })
    }

    /// Tells images apart, for [`cuts::cut`].
    fn seed(&self) -> u32 {
        let [a, b, c, d, ..] = *self.sha256.as_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Moves what a person wants to see out of the scratch directory. What an earlier run left under these names would
    /// tell of another boot, so it goes.
    fn keep(
        &self,
        report: &mut MachineReport,
        dir: &Path,
        journal: Option<&Path>,
        screen: Option<&Path>,
    ) -> Result<()> {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let to = |extension: &str| {
            self.options
                .out_dir
                .join(format!("{stem}.{}.{extension}", report.name))
        };
        let (log, said, png, disk) = (to("log"), to("journal.log"), to("png"), to("img"));
        for old in [&log, &said, &png, &disk] {
            let _ = std::fs::remove_file(old);
        }
        if self.options.keep || !report.passed() {
            report.log = Some(clone::keep(&dir.join(file::CONSOLE), log)?);
            report.journal = journal.map(|journal| clone::keep(journal, said)).transpose()?;
            report.screen = screen.map(|screen| clone::keep(screen, png)).transpose()?;
        }
        if self.options.keep {
            report.disk = Some(clone::keep(&dir.join(file::DISK), disk)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_for_how_long() {
        let said = |checks, machines, jobs, accel| {
            Expected {
                checks,
                machines,
                jobs,
                accel,
            }
            .in_words()
        };
        assert_eq!(
            said(58, 1, 1, Accel::Tcg),
            "58 checks; about 14 minutes without KVM"
        );
        assert_eq!(
            said(18, 3, 1, Accel::Tcg),
            "18 checks on each of 3 machines; about 6 minutes without KVM"
        );
        assert_eq!(
            said(18, 3, 3, Accel::Kvm),
            "18 checks on each of 3 machines; about 1 minute with KVM"
        );
    }
}
