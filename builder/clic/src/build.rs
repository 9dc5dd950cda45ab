//! `clic build`: from a recipe to an image, stage by stage.

pub mod apps;
mod bake;
pub mod finished;
mod outputs;
pub mod parts;
mod portal;
mod secrets;
mod services;
mod timings;
pub mod works;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use clic_debian::uri::without_login;
use clic_host::{Log, Outcome, Progress, UserError};
use clic_image::assemble::assemble;
use clic_image::compress::Compression;
use clic_image::embedded::{IMAGE_DESCRIPTION_PATH, ImageDescription};
use clic_image::manifest::{self, Manifest};
use clic_image::read::DiskImage;
use clic_image::rules::{Expected, verify};
use clic_recipe::plan::TreeFile;
use clic_recipe::{AuthorizedKeys, Plan};
use clic_rootfs::accel::Counts;
use clic_rootfs::{Mirrors, Sandbox};
use clic_store::{NoSpace, Publishing, Store, space};
use serde_json::json;

use crate::build::bake::Bakery;
use crate::build::finished::{Earlier, Finished};
use crate::build::outputs::{Outputs, Written};
use crate::build::parts::Parts;
use crate::build::secrets::Secrets;
use crate::build::timings::Timings;
use crate::context::Context;
use crate::failure::is_request;
use crate::fits;
use crate::mirror::MirrorArgs;
use crate::output;
use crate::progress::{Both, Logged};
use crate::resolution::{LockFile, Packages};

/// Build the image of a recipe for a board
///
/// Writes DIR/RECIPE-BOARD.img with its .manifest.json, .bmap and .sha256. Each file appears under its name
/// only when it is whole; what an earlier build left there is replaced then.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  clic build minimal --board x86-pc
  clic build minimal --board raspberry-pi --zst --authorized-key ~/.ssh/id_ed25519.pub
  clic build minimal --board x86-pc --mirror http://mirror.example/debian

The Debian mirror is --mirror, else CLIC_DEBIAN_MIRROR, else this machine's own apt sources.
An image is written to a disk or card with e.g. `bmaptool copy IMAGE /dev/sdX`, or with dd.")]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Args {
    /// Recipe: a name from `clic recipes`, or the path of a TOML file
    recipe: String,
    /// Board: a name from `clic boards`, or the path of a TOML file
    #[arg(short, long)]
    board: String,
    /// Where the image goes
    #[arg(short, long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    #[command(flatten)]
    from: MirrorArgs,
    /// Build only what recipes/RECIPE-BOARD.lock says; refuse if there is none or it does not fit (see `clic lock`)
    #[arg(long)]
    locked: bool,
    /// Let the owners of these SSH public keys log in as root. Recorded in the image and the manifest
    #[arg(long, value_name = "FILE")]
    authorized_key: Option<PathBuf>,
    /// Also write the image compressed with zstd (.img.zst)
    #[arg(long)]
    zst: bool,
    /// Also write the image compressed with xz (.img.xz)
    #[arg(long)]
    xz: bool,
    /// Threads for work that can be shared out [default: as many as there are processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Build everything again, whatever the store holds of earlier builds
    #[arg(long)]
    rebuild: bool,
    /// When a step in the running system fails, keep the copy in which it did, as DIR/RECIPE-BOARD.failed.img
    #[arg(long)]
    keep: bool,
    /// Emulate every program of a board of another architecture: slow, for the same bytes
    #[arg(long)]
    no_accelerate: bool,
}

pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let begun = Instant::now();
    // Everything that can be wrong with the request is looked at before the store, a socket or `--out` is touched.
    let options = clic_recipe::ResolveOptions {
        authorized_keys: args.authorized_key.as_deref().map(authorized_keys).transpose()?,
    };
    let tree = context.tree()?;
    let plan = clic_recipe::resolve(&tree, &args.recipe, &args.board, &options)?;
    let lock = LockFile::new(&tree, &args.recipe, &args.board, &plan);
    let packages = Packages::find(lock, &plan, args.locked)?;
    let mirrors = args.from.find()?;
    Sandbox::for_arch(plan.arch)?;
    let store = args.from.store()?;

    let name = format!("{}-{}", plan.recipe.name, plan.board.name);
    let log = log(&store, &name)?;
    let timings = Timings::default();
    let logged = Both(Arc::new(Logged(log.clone())), Arc::new(timings.clone()));
    let progress = Progress::new(Arc::new(Both(context.sink(), Arc::new(logged))));
    let build = Build {
        args,
        name: &name,
        plan: &plan,
        packages: &packages,
        mirrors: &mirrors,
        store: &store,
        log: &log,
        begun,
        progress,
    };
    let written = build.run(&timings).map_err(|error| {
        if error.chain().any(is_request) {
            return error;
        }
        error.context(format!("{name} was not built (log: {})", log.path().display()))
    })?;
    report(&written, begun.elapsed().as_secs_f64(), context)?;
    Ok(Outcome::Done)
}

fn authorized_keys(path: &Path) -> Result<AuthorizedKeys> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        UserError::new(format!(
            "--authorized-key: cannot read {}: {error}",
            path.display()
        ))
        .help("give a file of SSH public keys, such as ~/.ssh/id_ed25519.pub")
    })?;
    Ok(AuthorizedKeys {
        name: path.to_owned(),
        text,
    })
}

/// A new log in the store, in place of the last one of that name: `NAME.log`, or `NAME-2.log` while somebody writes to that.
pub fn log(store: &Store, name: &str) -> Result<Log> {
    let room = store.room("logs")?;
    let mut number = 1;
    loop {
        let file = match number {
            1 => format!("{name}.log"),
            _ => format!("{name}-{number}.log"),
        };
        let path = room.join(file);
        let log = Log::claim(&path).map_err(|error| clic_store::space::io_error(error, &path))?;
        if let Some(log) = log {
            return Ok(log);
        }
        number += 1;
    }
}

struct Build<'a> {
    args: &'a Args,
    name: &'a str,
    plan: &'a Plan,
    packages: &'a Packages,
    mirrors: &'a Mirrors,
    store: &'a Store,
    log: &'a Log,
    begun: Instant,
    progress: Progress,
}

impl Build<'_> {
    fn run(&self, timings: &Timings) -> Result<Written> {
        let (plan, progress) = (self.plan, &self.progress);
        fits::check(plan, None)?;
        let resolution = self
            .packages
            .resolve(plan, self.mirrors, self.store, self.log, progress)?;
        // What is hopeless already is refused before it is downloaded.
        fits::check(plan, Some(resolution.installed_size()))?;
        let inputs = finished::inputs(plan, &resolution)?;
        let finished = Finished::of(self.store, self.name, &self.args.out)?;
        let why = if self.args.rebuild {
            "--rebuild".to_owned()
        } else {
            match finished.look(
                &inputs,
                &self.forms().map(Compression::extension).collect::<Vec<_>>(),
            ) {
                Earlier::Same(written) => {
                    progress
                        .stage("image", "Write the image", finished::SAME)
                        .finish();
                    return Ok(written);
                }
                Earlier::Different(why) => why,
            }
        };
        let parts = Parts::new(plan, &resolution)?;
        // Before any stage begins: an app that does not suit ends the build.
        let apps = apps::ready(plan, &resolution, self.store, progress)?;
        resolution.have(self.store, progress)?;
        let (ids, epoch) = (&parts.ids, parts.epoch);
        let mut files: Vec<&TreeFile> = parts.files.iter().chain(&parts.late).collect();
        let spec = parts.spec(
            self.threads() as usize,
            self.args.rebuild,
            !self.args.no_accelerate,
        );
        let bakery = Bakery {
            plan,
            parts: &parts,
            apps,
            resolution: &resolution,
            name: self.name,
            store: self.store,
            log: self.log,
            progress,
            rebuild: self.args.rebuild,
            keep: self
                .args
                .keep
                .then(|| self.args.out.join(format!("{}.failed.img", self.name))),
        };
        let root = clic_rootfs::build(&spec, self.store, self.log, progress, |tree| {
            if plan.bakes.is_empty() && bakery.apps.is_empty() {
                return Ok(false);
            }
            let changed = bakery.bake(tree)?;
            Secrets::remove(tree, &parts.files)?;
            if !changed.is_empty() {
                files.retain(|file| !changed.contains(file.path.as_str()));
                let described = ImageDescription::new(plan, epoch, files.iter().copied());
                tree.write_file(IMAGE_DESCRIPTION_PATH, described.to_json()?);
            }
            Ok(true)
        })?;
        let description = ImageDescription::new(plan, epoch, files.iter().copied());
        let tree = &root.tree;

        let out = &self.args.out;
        std::fs::create_dir_all(out).map_err(|error| space::io_error(error, out))?;
        // At least the files' own bytes; how much more, the file systems decide.
        space::ensure(out, root.bytes, "writing the image")?;
        let free = space::free(out).unwrap_or(0);
        let full = |error| with_figures(error, out, root.bytes, free);
        let mut image = clic_store::publish(&out.join(format!("{}.img", self.name)))?;
        let assembled = assemble(plan, ids, tree, epoch, image.file(), &why, progress).map_err(full)?;
        self.verify(&image, description)?;

        let (mut outputs, scan) = Outputs::new(out, self.name, image, &assembled.in_use, progress)?;
        for form in self.forms() {
            outputs.compress(form, self.threads(), progress).map_err(full)?;
        }
        let releases = resolution.releases.iter().map(release).collect();
        let packages = resolution.packages.iter().map(package).collect();
        let manifest = Manifest::new(
            plan,
            ids,
            epoch,
            &assembled,
            &scan,
            releases,
            packages,
            files,
            self.how(timings, root.starts.as_ref()),
        )?;
        outputs.add("manifest.json", manifest.to_json()?.as_bytes())?;
        let written = outputs.commit()?;
        finished.note(inputs, &written)?;
        Ok(written)
    }

    /// The compressed forms that are asked for.
    fn forms(&self) -> impl Iterator<Item = Compression> {
        let asked = [(self.args.zst, Compression::Zst), (self.args.xz, Compression::Xz)];
        asked
            .into_iter()
            .filter_map(|(wanted, form)| wanted.then_some(form))
    }

    /// The part of the manifest that decides no byte of the image.
    fn how(&self, timings: &Timings, starts: Option<&Counts>) -> manifest::Build {
        let Args {
            from,
            locked,
            zst,
            xz,
            jobs,
            rebuild,
            no_accelerate,
            ..
        } = self.args;
        let flags = [
            ("--offline", from.offline),
            ("--locked", *locked),
            ("--zst", *zst),
            ("--xz", *xz),
            ("--rebuild", *rebuild),
            ("--no-accelerate", *no_accelerate),
        ];
        let flags = flags
            .into_iter()
            .filter(|(_, set)| *set)
            .map(|(name, _)| (name, String::new()));
        let mirrors = [
            ("--mirror", &from.mirror),
            ("--security-mirror", &from.security_mirror),
        ];
        // A login in the address is nobody else's business.
        let mirrors = mirrors
            .into_iter()
            .filter_map(|(name, url)| Some((name, without_login(url.as_deref()?))));
        let jobs = jobs.iter().map(|jobs| ("--jobs", jobs.to_string()));
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        manifest::Build {
            clic: env!("CARGO_PKG_VERSION").to_owned(),
            tools: crate::doctor::tools::versions(),
            host_kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            host_arch: std::env::consts::ARCH.to_owned(),
            started: i64::try_from(started.saturating_sub(self.begun.elapsed().as_secs()))
                .unwrap_or_default(),
            stages: timings.stages(),
            starts: starts.map(|starts| manifest::Starts {
                native: starts.native,
                emulated: starts.emulated,
            }),
            options: flags
                .chain(mirrors)
                .chain(jobs)
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        }
    }

    /// Reads the image back with our own readers and holds it against the rules.
    fn verify(&self, image: &Publishing, description: ImageDescription) -> Result<()> {
        let stage = self
            .progress
            .stage("verify", "Read the image back", "the image is new");
        let violations = verify(&DiskImage::open(image.path())?, &Expected::planned(description))?;
        if !violations.is_empty() {
            let found: Vec<String> = violations.iter().map(ToString::to_string).collect();
            self.log.line(&found.join("\n"));
            let what = if found.len() == 1 {
                "a rule".into()
            } else {
                format!("{} rules", found.len())
            };
            bail!(
                "the image breaks {what}, so it was thrown away\n{}",
                found.join("\n")
            );
        }
        stage.finish();
        Ok(())
    }

    fn threads(&self) -> u32 {
        let all =
            || std::thread::available_parallelism().map_or(1, |all| u32::try_from(all.get()).unwrap_or(1));
        self.args.jobs.map_or_else(all, u32::from)
    }
}

/// An error while writing results, with figures if it is that the disk is full: `free` bytes were not enough.
fn with_figures(error: anyhow::Error, out: &Path, needed: u64, free: u64) -> anyhow::Error {
    let is_full = |error: &(dyn std::error::Error + 'static)| {
        error.downcast_ref::<std::io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            )
        })
    };
    if !error.chain().any(is_full) {
        return error;
    }
    error.context(NoSpace {
        what: "writing the image".to_owned(),
        dir: out.to_owned(),
        needed: needed.max(free.saturating_add(1)),
        free,
    })
}

fn release(release: &clic_rootfs::Release) -> manifest::Release {
    manifest::Release {
        path: format!("dists/{}/InRelease", release.suite),
        date: i64::try_from(release.date).unwrap_or(i64::MAX),
        sha256: release.sha256.clone(),
    }
}

fn package(package: &clic_rootfs::Package) -> manifest::Package {
    manifest::Package {
        name: package.name.clone(),
        arch: package.arch.clone(),
        version: package.version.clone(),
        sha256: package.sha256.clone(),
        size: package.size,
    }
}

fn report(written: &Written, seconds: f64, context: &Context) -> Result<()> {
    let image = &written.image;
    if context.json {
        return output::json_line(&json!({
            "event": "result",
            "image": image.path,
            "size": image.size,
            "sha256": image.sha256,
            "others": written.others,
            "seconds": seconds,
        }));
    }
    let style = context.out;
    let mut rows = vec![
        vec![
            style.dim("image"),
            format!(
                "{} ({})",
                style.bold(&image.path.display().to_string()),
                output::size(image.size)
            ),
        ],
        vec![style.dim("sha256"), image.sha256.clone()],
    ];
    for other in &written.others {
        rows.push(vec![
            style.dim("with"),
            format!("{} ({})", other.path.display(), output::size(other.size)),
        ]);
    }
    rows.push(vec![style.dim("time"), output::seconds(seconds)]);
    rows.push(vec![
        style.dim("next"),
        format!("clic test {}", image.path.display()),
    ]);
    output::text(&output::table(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_fills_up_while_the_image_is_written_is_said_with_figures() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = anyhow::Error::new(full()).context("writing partition \"root\"");
        let text = format!(
            "{:#}",
            with_figures(error, Path::new("out"), 900_000_000, 100_000_000)
        );
        assert!(
            text.starts_with("disk full: writing the image needs 900.0 MB in out, which has 100.0 MB free"),
            "{text}"
        );
        assert!(text.contains("writing partition \"root\""), "{text}");
        // The estimate was too low: at least it was more than there was.
        let text = with_figures(full().into(), Path::new("out"), 0, 100_000_000).to_string();
        assert!(
            text.starts_with("disk full: writing the image needs 100.0 MB in out"),
            "{text}"
        );
        let other = with_figures(anyhow::anyhow!("else"), Path::new("out"), 1, 1).to_string();
        assert_eq!(other, "else");
    }
}
