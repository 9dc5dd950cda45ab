//! `clic build`: from a recipe to an image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use clic_debian::uri::without_login;
use clic_engine::resolution::{LockFile, Packages};
use clic_engine::{Options, Timings, Written};
use clic_host::{Outcome, Progress, UserError};
use clic_image::compress::Compression;
use clic_recipe::AuthorizedKeys;
use clic_rootfs::Sandbox;
use clic_store::Session;
use serde_json::json;

use crate::context::Context;
use crate::failure::is_request;
use crate::mirror::MirrorArgs;
use crate::names;
use crate::output;
use crate::progress::{Both, Logged};

/// Build the image of a recipe for a board
///
/// Writes DIR/RECIPE-BOARD.img with its .manifest.json, .bmap and .sha256. A file gets its name
/// only when it is complete, and then replaces the file of an earlier build.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  clic build minimal --board x86-pc
  clic build minimal --board raspberry-pi --zst --authorized-key ~/.ssh/id_ed25519.pub
  clic build minimal --board x86-pc --mirror http://mirror.example/debian

The Debian mirror is --mirror, else CLIC_DEBIAN_MIRROR, else this machine's own apt sources.
Write an image to a disk or card with e.g. `bmaptool copy IMAGE /dev/sdX`, or with dd.")]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Args {
    /// Recipe: a name from `clic recipes`, or the path of a TOML file
    #[arg(add = names::recipes())]
    recipe: String,
    /// Board: a name from `clic boards`, or the path of a TOML file
    #[arg(short, long, add = names::boards())]
    board: String,
    /// Where the image goes
    #[arg(short, long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    #[command(flatten)]
    from: MirrorArgs,
    /// Build exactly what recipes/RECIPE-BOARD.lock says; fail if there is none or it does not fit (see `clic lock`)
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
    /// Number of threads [default: one for each processor]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Build everything again, even if the store has results of earlier builds
    #[arg(long)]
    rebuild: bool,
    /// Install all packages twice, and refuse what is different: a secret that all devices would share, or noise
    #[arg(long)]
    twice: bool,
    /// If a bake fails, keep the copy of the system in which it failed, as DIR/RECIPE-BOARD.failed.img
    #[arg(long)]
    keep: bool,
    /// Emulate all programs of a board of another architecture: slower, with the same result
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
    clic_engine::refused::check(&plan)?;
    let lock = LockFile::new(&tree, &args.recipe, &args.board, &plan)?;
    let packages = Packages::find(lock, &plan, args.locked)?;
    clic_store::writable(&args.out, Some("--out"))?;
    let mirrors = args.from.find()?;
    Sandbox::for_arch(plan.arch)?;
    let store = args.from.store()?;

    let name = format!("{}-{}", plan.recipe.name, plan.board.name);
    let log = store.claim_log(&name)?;
    let timings = Timings::default();
    let logged = Both(Arc::new(Logged(log.clone())), Arc::new(timings.clone()));
    let progress = Progress::new(Arc::new(Both(context.sink(), Arc::new(logged))));
    let session = Session {
        store: &store,
        log: &log,
        progress: &progress,
    };
    let options = args.options(&name, timings, begun);
    let written = clic_engine::build(&plan, &packages, &mirrors, &args.out, &options, session);
    let written = written.map_err(|error| {
        if error.chain().any(is_request) {
            return error;
        }
        error.context(format!("{name} was not built (log: {})", log.path().display()))
    })?;
    report(&written, begun.elapsed().as_secs_f64(), context)?;
    Ok(Outcome::Done)
}

impl Args {
    /// How the image `name` is to be built.
    fn options(&self, name: &str, timings: Timings, begun: Instant) -> Options {
        let all =
            || std::thread::available_parallelism().map_or(1, |all| u32::try_from(all.get()).unwrap_or(1));
        let forms = [(self.zst, Compression::Zst), (self.xz, Compression::Xz)];
        let forms = forms
            .into_iter()
            .filter_map(|(wanted, form)| wanted.then_some(form));
        Options {
            threads: self.jobs.map_or_else(all, u32::from),
            rebuild: self.rebuild,
            twice: self.twice,
            accelerate: !self.no_accelerate,
            keep: self.keep.then(|| self.out.join(format!("{name}.failed.img"))),
            forms: forms.collect(),
            asked: self.asked(),
            timings,
            begun: Some(begun),
        }
    }

    /// What was asked for beyond recipe and board, by option.
    fn asked(&self) -> BTreeMap<String, String> {
        let flags = [
            ("--offline", self.from.offline),
            ("--locked", self.locked),
            ("--zst", self.zst),
            ("--xz", self.xz),
            ("--rebuild", self.rebuild),
            ("--twice", self.twice),
            ("--no-accelerate", self.no_accelerate),
        ];
        let flags = flags
            .into_iter()
            .filter(|(_, set)| *set)
            .map(|(name, _)| (name, String::new()));
        let mirrors = [
            ("--mirror", &self.from.mirror),
            ("--security-mirror", &self.from.security_mirror),
        ];
        // A login in the address is nobody else's business.
        let mirrors = mirrors
            .into_iter()
            .filter_map(|(name, url)| Some((name, without_login(url.as_deref()?))));
        let jobs = self.jobs.iter().map(|jobs| ("--jobs", jobs.to_string()));
        flags
            .chain(mirrors)
            .chain(jobs)
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
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
        vec![style.dim("sha256"), image.sha256.to_string()],
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
