//! `clic plan`: what a build would put together.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clic_archive::Resolution;
use clic_engine::kernels::Kernels;
use clic_engine::resolution::{LockFile, Packages};
use clic_engine::{Forecast, apps};
use clic_host::Outcome;
use clic_recipe::Plan;
use clic_recipe::plan::{
    AppSource, Boot, Filesystem, Machine, Partition, PartitionSize, Place, Service, ServiceState, Table,
    TreeFileKind, UnitState,
};
use clic_recipe::{ResolveOptions, resolve};
use clic_store::{Session, Store};
use serde::Serialize;

use crate::context::Context;
use crate::mirror::MirrorArgs;
use crate::names;
use crate::output;

/// Show what a build would contain and do, without doing it
///
/// Shows for each stage whether its result is in the store, or why not, if a lock or --packages says which packages
/// there will be. Uses no network, unless --packages has to ask the mirror.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  clic plan minimal --board raspberry-pi
  clic plan minimal --board x86-pc --packages
  clic plan minimal --board x86-pc --json | jq '.packages[].name'")]
pub struct Args {
    /// Recipe: a name from `clic recipes`, or the path of a TOML file
    #[arg(add = names::recipes())]
    recipe: String,
    /// Board: a name from `clic boards`, or the path of a TOML file
    #[arg(short, long, add = names::boards())]
    board: String,
    /// Also resolve the exact packages: versions, sizes, and what would be downloaded
    #[arg(long)]
    packages: bool,
    /// Where the image would go
    #[arg(short, long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    #[command(flatten)]
    from: MirrorArgs,
}

/// What the mirror makes of a plan.
#[derive(Serialize)]
struct Exact {
    #[serde(flatten)]
    resolution: Resolution,
    /// Bytes of all packages.
    download_size: u64,
    /// Bytes of those that the store does not have.
    missing_size: u64,
    /// Bytes that they take when installed, by their own account.
    installed_size: u64,
    /// What a build would take from the store, and what it would do.
    #[serde(skip)]
    stages: Vec<Forecast>,
}

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let tree = context.tree()?;
    let plan = resolve(&tree, &args.recipe, &args.board, &ResolveOptions::default())?;
    clic_engine::refused::check(&plan)?;
    let lock = LockFile::new(&tree, &args.recipe, &args.board, &plan)?;
    let packages = Packages::find(lock, &plan, false)?;
    let unread = unread(&plan, args)?;
    let exact = if args.packages {
        Ok(exact(&plan, &packages, args, context)?)
    } else {
        locked(&plan, &packages, args)?
    };
    if context.json {
        let mut json = serde_json::to_value(&plan)?;
        if let (Ok(exact), Some(json)) = (&exact, json.as_object_mut()) {
            json.insert("stages".to_owned(), serde_json::to_value(&exact.stages)?);
            if args.packages {
                json.insert("resolution".to_owned(), serde_json::to_value(exact)?);
            }
        }
        output::json_line(&json)?;
        fits(&plan, &exact)?;
        return Ok(Outcome::Done);
    }
    output::text(&format!("{}\n", takes(&plan, exact.as_ref().ok())))?;
    output::text(&show(&plan, &packages, &unread, context))?;
    output::text(&show_stages(exact.as_ref(), context))?;
    if let (Ok(exact), true) = (&exact, args.packages) {
        output::text(&show_exact(exact))?;
    }
    fits(&plan, &exact)?;
    Ok(Outcome::Done)
}

/// Services whose archives the store does not have. Those that it has are looked at.
fn unread<'a>(plan: &'a Plan, args: &Args) -> Result<Vec<&'a str>> {
    let archived = |service: &&Service| service.app().is_some_and(|app| app.manifest.is_none());
    let mut unread = Vec::new();
    for service in plan.services.iter().filter(archived) {
        if apps::look(plan, service, &args.from.store()?)?.is_none() {
            unread.push(service.name.as_str());
        }
    }
    Ok(unread)
}

fn fits(plan: &Plan, exact: &Result<Exact, String>) -> Result<()> {
    clic_engine::fits::check(plan, exact.as_ref().ok().map(|exact| exact.installed_size))
}

fn exact(plan: &Plan, packages: &Packages, args: &Args, context: &Context) -> Result<Exact> {
    let mirrors = args.from.find()?;
    let store = args.from.store()?;
    let log = format!("{}-{}.plan", plan.recipe.name, plan.board.name);
    let log = store.claim_log(&log)?;
    let session = Session {
        store: &store,
        log: &log,
        progress: &context.progress(),
    };
    let resolution = packages.resolve(plan, &mirrors, session)?;
    Exact::of(plan, resolution, &store, &args.out)
}

/// The exact plan by a lock that fits, which uses no network. What else a build would need may be missing: that is no
/// error here, and is shown in place of the stages.
fn locked(plan: &Plan, packages: &Packages, args: &Args) -> Result<Result<Exact, String>> {
    let Some(lock) = packages.lock() else {
        return Ok(Err(
            "known once the packages are: with a lock or --packages".to_owned()
        ));
    };
    let (mirrors, store) = match (args.from.find_in_store(), args.from.store()) {
        (Ok(mirrors), Ok(store)) => (mirrors, store),
        (Err(error), _) | (_, Err(error)) => return Ok(Err(format!("not known: {error}"))),
    };
    let resolution = lock.resolution(
        plan,
        &mirrors,
        clic_archive::ResolveOptions::from_env()?.epoch,
        "",
    )?;
    Exact::of(plan, resolution, &store, &args.out).map(Ok)
}

impl Exact {
    fn of(plan: &Plan, resolution: Resolution, store: &Store, out: &Path) -> Result<Self> {
        let stages = clic_engine::forecast(plan, &resolution, store, out)?;
        let downloads = resolution.downloads();
        let missing = store.missing(&downloads);
        let missing_size = missing.iter().map(|download| download.size).sum();
        Ok(Self {
            download_size: resolution.download_size(),
            missing_size,
            installed_size: resolution.installed_size(),
            stages,
            resolution,
        })
    }
}

/// What it takes, first of all: the image, and the card to buy for it.
fn takes(plan: &Plan, exact: Option<&Exact>) -> String {
    let mut text = match exact.and_then(|exact| clic_engine::fits::image_size(plan, exact.installed_size)) {
        Some(size) => format!("Image about {}: {}.", output::size(size), card(size)),
        None => match plan.image_size {
            Some(most) => format!(
                "How large the image becomes: with --packages; at most {}.",
                output::size(most)
            ),
            None => "How large the image becomes: with --packages.".to_owned(),
        },
    };
    if let Some(exact) = exact.filter(|exact| exact.missing_size > 0) {
        let _ = write!(text, " To download: {}.", output::size(exact.missing_size));
    }
    text
}

/// The card or disk to buy for an image. What is sold as 4 GB often has somewhat less.
fn card(bytes: u64) -> String {
    let fits = |gb: &u64| bytes <= gb * 950_000_000;
    match [4, 8, 16, 32, 64, 128, 256, 512].iter().find(|gb| fits(gb)) {
        Some(gb) => format!("a card or disk of {gb} GB or more"),
        None => "a disk that is larger than that".to_owned(),
    }
}

fn show_stages(exact: Result<&Exact, &String>, context: &Context) -> String {
    let exact = match exact {
        Ok(exact) => exact,
        Err(why) => return format!("{}{why}\n", context.out.dim(&format!("{:<10}", "stages"))),
    };
    let mut rows = vec![vec![
        context.out.dim("stage"),
        context.out.dim("store"),
        context.out.dim("why"),
    ]];
    rows.extend(exact.stages.iter().map(|stage| {
        let cached = if stage.cached { "has it" } else { "to do" };
        vec![stage.title.clone(), cached.to_owned(), stage.why.clone()]
    }));
    format!("\n{}", output::table(&rows))
}

fn show_exact(exact: &Exact) -> String {
    let packages = &exact.resolution.packages;
    let mut rows: Vec<Vec<String>> = Vec::new();
    for package in packages {
        rows.push(vec![
            package.name.clone(),
            package.version.clone(),
            package.arch.clone(),
            output::size(package.size),
        ]);
    }
    let kernels = Kernels::of(&exact.resolution)
        .map(|kernels| format!("of several kernels, {kernels}\n"))
        .unwrap_or_default();
    format!(
        "
{}
{kernels}{}, {} installed; {} to download, of which the store has {}
",
        output::table(&rows),
        output::counted(packages.len(), "package"),
        output::size(exact.installed_size),
        output::size(exact.download_size),
        output::size(exact.download_size - exact.missing_size.min(exact.download_size)),
    )
}

fn show(plan: &Plan, packages: &Packages, unread: &[&str], context: &Context) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{} ({})\n{} ({}, {})\n",
        context.out.bold(&plan.recipe.title),
        plan.recipe.name,
        context.out.bold(&plan.board.title),
        plan.board.name,
        plan.arch,
    );
    let mut section = |title: &str, lines: Vec<String>| {
        for (index, line) in lines.iter().enumerate() {
            let title = if index == 0 { title } else { "" };
            let _ = writeln!(text, "{}{line}", context.out.dim(&format!("{title:<10}")));
        }
    };
    section(
        "suite",
        vec![format!("{} ({})", plan.suite, plan.components.join(", "))],
    );
    let names: Vec<&str> = plan
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    section("packages", output::wrap(&names, 90));
    section("lock", vec![packages.describe()]);
    section("overlays", plan.overlays.iter().flat_map(overlay).collect());
    section("content", content(plan));
    section("services", services(plan, unread));
    section("files", plan.files.iter().map(file).collect());
    section(
        "units",
        plan.units
            .iter()
            .map(|unit| format!("{} {}", unit.name, unit_state(unit.state)))
            .collect(),
    );
    section(
        "disk",
        std::iter::once(table(plan.disk.table))
            .chain(plan.disk.partitions.iter().map(partition))
            .collect(),
    );
    let boot = match plan.boot {
        Boot::Grub => "GRUB for BIOS, UEFI x64 and UEFI ia32",
        Boot::RaspiFirmware => "Raspberry Pi firmware",
    };
    section(
        "boot",
        vec![format!("{boot}; consoles {}", plan.consoles.join(", "))],
    );
    let machine = match plan.emulate.machine {
        Machine::Pc => "a PC with BIOS, UEFI x64 and UEFI ia32",
        Machine::Raspi3b => "a Raspberry Pi 3 B",
    };
    section(
        "test",
        vec![format!(
            "{} on {machine}, at most {} s a boot",
            output::counted(plan.checks.len(), "check"),
            plan.emulate.timeout
        )],
    );
    text
}

fn overlay(overlay: &clic_recipe::plan::PlannedOverlay) -> Vec<String> {
    let parameters = overlay
        .parameters
        .iter()
        .map(|(name, value)| format!("  {name} = {}", value.written()));
    std::iter::once(format!("{}: {}", overlay.name, overlay.title))
        .chain(parameters)
        .collect()
}

/// A line for each bundle, and what all of them take on the card.
fn content(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<String> = plan
        .bundles
        .iter()
        .map(|bundle| {
            let size = output::size(bundle.size());
            let files = output::counted(bundle.items.len(), "file");
            format!("{}: {size}, {files}, {}", bundle.name, bundle.licence)
        })
        .collect();
    if lines.len() > 1 {
        let all: u64 = plan.bundles.iter().map(clic_recipe::plan::Bundle::size).sum();
        lines.push(format!("in all: {}", output::size(all)));
    }
    lines
}

/// A line for each service, and what those that run take together.
fn services(plan: &Plan, unread: &[&str]) -> Vec<String> {
    let line = |service: &Service| {
        let (kind, source) = match &service.place {
            Place::Port(_) => ("debian", String::new()),
            Place::Root(_) => ("static", String::new()),
            Place::YunoHost(app) => (
                "YunoHost app",
                match &app.source {
                    AppSource::Directory { path, .. } => format!(", {path}"),
                    AppSource::Archive { url, .. } => format!(", {url}"),
                },
            ),
        };
        let state = match service.state {
            ServiceState::Enabled => "enabled",
            ServiceState::Dormant => "dormant",
        };
        let note = if unread.contains(&service.name.as_str()) {
            "; not in the store yet: checked when it is built"
        } else {
            ""
        };
        format!(
            "{}: {state}, {} of memory, {} on the disk ({kind}{source}{note})",
            service.name,
            binary_size(service.ram),
            binary_size(service.disk),
        )
    };
    let mut lines: Vec<String> = plan.services.iter().map(line).collect();
    if lines.len() > 1 {
        let on = |service: &&Service| service.state == ServiceState::Enabled;
        let ram: u64 = plan.services.iter().filter(on).map(|service| service.ram).sum();
        let disk: u64 = plan.services.iter().map(|service| service.disk).sum();
        lines.push(format!(
            "in all: {} of memory from the start, {} on the disk",
            binary_size(ram),
            binary_size(disk)
        ));
    }
    lines
}

fn file(file: &clic_recipe::plan::TreeFile) -> String {
    let detail = match &file.kind {
        TreeFileKind::File(content) => {
            format!(
                "{:04o} {}:{}, {}",
                file.mode,
                file.owner,
                file.group,
                output::size(content.size)
            )
        }
        TreeFileKind::Directory => format!("{:04o} {}:{}, directory", file.mode, file.owner, file.group),
        TreeFileKind::Symlink(target) => format!("-> {target}"),
    };
    format!("{} ({detail})", file.path)
}

fn unit_state(state: UnitState) -> &'static str {
    match state {
        UnitState::Enabled => "enabled",
        UnitState::Disabled => "disabled",
        UnitState::Masked => "masked",
    }
}

fn table(table: Table) -> String {
    match table {
        Table::Gpt => "GPT".to_owned(),
        Table::Mbr => "MBR".to_owned(),
    }
}

fn partition(partition: &Partition) -> String {
    let fs = match partition.fs {
        Filesystem::Fat32 => "FAT32",
        Filesystem::Ext4 => "ext4",
        Filesystem::BiosBoot => "GRUB's core image",
    };
    let size = match partition.size {
        PartitionSize::Fixed(bytes) => binary_size(bytes),
        PartitionSize::Fit { free } => format!("as large as its content and {} free", binary_size(free)),
    };
    let at = partition
        .first_sector
        .map(|sector| format!(", from sector {sector}"))
        .unwrap_or_default();
    format!("  {}: {fs}, {size}{at}", partition.name)
}

/// Bytes as boards and recipes write them, in powers of 1024 where they are whole.
fn binary_size(bytes: u64) -> String {
    match bytes {
        0 => "nothing".to_owned(),
        _ if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_is_the_next_that_is_sold() {
        for (bytes, gb) in [
            (0, 4),
            (1_900_000_000, 4),
            (3_990_000_000, 8),
            (4 << 30, 8),
            (60_000_000_000, 64),
        ] {
            assert_eq!(
                card(bytes),
                format!("a card or disk of {gb} GB or more"),
                "{bytes}"
            );
        }
        assert_eq!(card(u64::MAX), "a disk that is larger than that");
    }

    #[test]
    fn sizes_are_shown_as_they_were_written() {
        assert_eq!(binary_size(512 << 20), "512 MiB");
        assert_eq!(binary_size(2 << 30), "2 GiB");
        assert_eq!(binary_size(1000), "1000 B");
    }
}
