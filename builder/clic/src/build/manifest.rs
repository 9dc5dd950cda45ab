//! The manifest: what is in an image and where it came from. All but its `build` is the same for the same bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use clic_host::{Event, Sink};
use clic_image::embedded::{DescribedFile, ImageDescription};
use clic_image::layout::Layout;
use clic_recipe::Plan;
use clic_recipe::plan::{Arch, Named, PlannedOverlay};
use clic_rootfs::resolve::{Package, Release};
use clic_rootfs::{Resolution, sandbox};
use serde::Serialize;

/// Goes up when a key changes its meaning.
const SCHEMA: u32 = 1;

/// What is in an image.
#[derive(Serialize)]
pub struct Manifest<'a> {
    schema: u32,
    recipe: &'a Named,
    board: &'a Named,
    arch: Arch,
    suite: &'a str,
    /// Seconds since 1970 that no time in the image is after.
    source_date_epoch: u64,
    /// Hash of the resolved recipe.
    plan_sha256: String,
    image: ImageFile<'a>,
    disk: &'a Layout,
    archives: &'a [Release],
    packages: &'a [Package],
    overlays: &'a [PlannedOverlay],
    files: &'a [DescribedFile],
    authorized_keys: &'a [String],
    build: Build,
}

/// The image that the manifest is about.
#[derive(Serialize)]
pub struct ImageFile<'a> {
    /// Its name, without a directory.
    pub file: &'a str,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: &'a str,
}

/// What may differ between two builds of the same image.
#[derive(Serialize)]
struct Build {
    clic: &'static str,
    host_arch: &'static str,
    kernel: String,
    tools: BTreeMap<&'static str, String>,
    /// Seconds that each stage took.
    seconds: BTreeMap<String, f64>,
}

impl<'a> Manifest<'a> {
    /// Gathers what is known. `timings` are those of the stages that have ended.
    pub fn new(
        plan: &'a Plan,
        resolution: &'a Resolution,
        description: &'a ImageDescription,
        layout: &'a Layout,
        image: ImageFile<'a>,
        timings: &Timings,
    ) -> Self {
        Self {
            schema: SCHEMA,
            recipe: &plan.recipe,
            board: &plan.board,
            arch: plan.arch,
            suite: &plan.suite,
            source_date_epoch: resolution.epoch,
            plan_sha256: hex(&plan.fingerprint()),
            image,
            disk: layout,
            archives: &resolution.releases,
            packages: &resolution.packages,
            overlays: &plan.overlays,
            files: &description.files,
            authorized_keys: &plan.authorized_keys,
            build: Build {
                clic: env!("CARGO_PKG_VERSION"),
                host_arch: sandbox::host_arch(),
                kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
                tools: crate::doctor::tools::versions(),
                seconds: timings.seconds(),
            },
        }
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Remembers how long each stage took.
#[derive(Clone, Default)]
pub struct Timings(Arc<Mutex<BTreeMap<String, f64>>>);

impl Timings {
    fn seconds(&self) -> BTreeMap<String, f64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Sink for Timings {
    fn event(&self, event: &Event) {
        if let Event::End { stage, seconds, .. } = event {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(stage.clone(), *seconds);
        }
    }
}
