//! `clic test`: boots an image in QEMU and judges it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use clic_host::{Outcome, Progress, Sha256};
use clic_image::read::DiskImage;
use clic_image::rules::{Expected, Violation, verify};
use clic_store::space;
use clic_vm::{AccelChoice, Case, Report, Status, Target, TestOptions};
use serde_json::{Value, json};

use crate::context::Context;
use crate::output;

/// Boot an image in QEMU and test it
///
/// Reads the image back and checks the rules for all images, then boots a temporary copy on each machine of its board,
/// waits until the system is up, and runs the checks of its overlays. The image itself is never changed. Exits 1 if
/// anything fails.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  clic test out/minimal-x86-pc.img
  clic test out/minimal-x86-pc.img --machine bios --keep
  clic test out/nomad-x86-pc.img --quick
  clic test out/minimal-raspberry-pi.img --junit junit.xml --json
  clic test out/nomad-x86-pc.img --machine uefi-x64 --power-cuts 5")]
pub struct Args {
    /// The image
    image: PathBuf,
    /// Only this machine: bios, uefi-x64, uefi-ia32 or raspi3b. Can be given several times [default: all machines of the board]
    #[arg(short, long, value_name = "NAME", value_parser = machine)]
    machine: Vec<Target>,
    #[allow(clippy::doc_markdown, reason = "what people read in --help")]
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Where serial logs, journals and screenshots go [default: beside the image]
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Also keep the logs, the screenshot and the copy of machines that passed
    #[arg(long)]
    keep: bool,
    /// Boot the image even if it breaks a rule, which fails the test all the same
    #[arg(long)]
    boot_anyway: bool,
    /// Seconds from power-on after which a boot counts as hung [default: what the image says]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: Option<u64>,
    /// First cut the power this many times, at moments spread over the machine's start
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    power_cuts: u32,
    /// Leave out the checks that take minutes without KVM
    #[arg(long)]
    quick: bool,
    /// Accelerator: auto (KVM if it works), kvm, or tcg
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "WHAT"
    )]
    accel: Accelerator,
    /// Machines that run at the same time
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Accelerator {
    #[default]
    Auto,
    Kvm,
    Tcg,
}

fn machine(name: &str) -> Result<Target, String> {
    Target::ALL
        .into_iter()
        .find(|target| target.name() == name)
        .ok_or_else(|| {
            let names: Vec<&str> = Target::ALL.iter().map(|target| target.name()).collect();
            format!("there is no machine {name}; machines are {}", names.join(", "))
        })
}

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let progress = context.progress();
    // What cannot be written should not be found out after ten minutes of booting.
    if let Some(junit) = &args.junit {
        clic_store::writable_file(junit, Some("--junit"))?;
    }
    let beside = args
        .image
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let options = TestOptions {
        keep: args.keep,
        timeout: args.timeout,
        accel: match args.accel {
            Accelerator::Auto => AccelChoice::Auto,
            Accelerator::Kvm => AccelChoice::Kvm,
            Accelerator::Tcg => AccelChoice::Tcg,
        },
        machines: args.machine.clone(),
        power_cuts: args.power_cuts,
        quick: args.quick,
        jobs: usize::from(args.jobs),
        ..TestOptions::new(args.logs.as_deref().unwrap_or(beside))
    };
    // That there is no image is told below.
    if args.logs.is_some() || args.image.exists() {
        clic_store::writable(&options.out_dir, Some("--logs"))?;
    }
    let (rules, kept) = rules(&args.image, &progress)?;
    let report = if kept || args.boot_anyway {
        let mut report = clic_vm::test(&args.image, &Context::store()?, &options, &progress)?;
        report.image_cases.splice(0..0, rules);
        report
    } else {
        context.say("The image breaks a rule, so it is not booted (--boot-anyway does).");
        unbooted(&args.image, rules)?
    };
    if let Some(path) = &args.junit {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|error| space::io_error(error, dir))?;
        }
        clic_store::write_whole(path, report.junit()?.as_bytes())?;
    }
    show(&report, context)?;
    Ok(if report.passed() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

/// The rules that `clic build` checks its images against, as cases of the report, and whether all are kept.
fn rules(path: &Path, progress: &Progress) -> Result<(Vec<Case>, bool)> {
    let image = DiskImage::open(path)?;
    let expected = Expected::of(&image)?;
    let stage = progress.stage("verify", "Read the image back", "before it boots");
    let begun = Instant::now();
    let violations = verify(&image, &expected)?;
    let time = begun.elapsed();
    stage.finish();
    if violations.is_empty() {
        return Ok((vec![Case::new("every rule is kept", time, Ok(()))], true));
    }
    let case = |violation: Violation| {
        let message = format!("{}\nhelp: {}", violation.what, violation.help);
        Case::new(format!("rule {}", violation.rule), Duration::ZERO, Err(message))
    };
    Ok((violations.into_iter().map(case).collect(), false))
}

/// The report on an image that was not booted.
fn unbooted(path: &Path, cases: Vec<Case>) -> Result<Report> {
    let image = DiskImage::open(path)?;
    let name = image
        .description()?
        .map(|image| format!("{}-{}", image.recipe.name, image.board.name));
    let sha256 = Sha256::of_file(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(Report {
        image: path.to_owned(),
        name: name.unwrap_or_default(),
        sha256,
        image_cases: cases,
        machines: Vec::new(),
    })
}

fn show(report: &Report, context: &Context) -> Result<()> {
    if context.json {
        let mut result = json!({ "event": "result", "passed": report.passed() });
        if let (Value::Object(result), Value::Object(report)) = (&mut result, serde_json::to_value(report)?) {
            result.extend(report);
        }
        output::json_line(&result)?;
    } else {
        output::text(&report.text())?;
    }
    if !report.passed() {
        output::say(&format!(
            "{} {} is not good",
            context.style.bad("error:"),
            report.image.display()
        ));
        for line in failures(report) {
            output::say(&format!("  {line}"));
        }
    }
    Ok(())
}

/// What failed, once more and by itself: the table above it may be long.
fn failures(report: &Report) -> Vec<String> {
    let image = report.image_cases.iter().map(|case| ("image", case));
    let machines = report
        .machines
        .iter()
        .flat_map(|machine| machine.cases.iter().map(|case| (machine.name.name(), case)));
    let mut lines = Vec::new();
    for (place, case) in image
        .chain(machines)
        .filter(|(_, case)| case.status == Status::Failed)
    {
        lines.push(format!("{place}: {}", case.name));
        lines.extend(
            case.message
                .iter()
                .flat_map(|text| text.lines())
                .map(|line| format!("  {line}")),
        );
    }
    for machine in &report.machines {
        lines.extend(
            machine
                .log
                .iter()
                .map(|log| format!("{}: console in {}", machine.name, log.display())),
        );
    }
    lines
}
