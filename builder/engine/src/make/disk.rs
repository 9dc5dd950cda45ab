//! The image file: written, read back and checked against the rules, given its name with the files beside it.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use clic_host::Sha256;
use clic_image::assemble::{Assembled, assemble};
use clic_image::embedded::ImageDescription;
use clic_image::manifest::{self, Manifest};
use clic_image::read::DiskImage;
use clic_image::rules::{Expected, verify};
use clic_recipe::plan::{Content, Data, TreeFile, TreeFileKind};
use clic_store::{NoSpace, Publishing, space};

use super::Site;
use crate::finished::{self, Earlier, Finished};
use crate::inputs::Inputs;
use crate::layer::Layer;
use crate::outputs::{Outputs, Written};
use crate::tools;

/// An image on its way.
pub(super) struct Disk<'a> {
    finished: &'a Finished,
    /// Everything that shapes it.
    inputs: Inputs,
    file: Option<(Publishing, Assembled)>,
    /// Bytes that were free before it was written.
    free: u64,
    pub(super) written: Option<Written>,
}

impl<'a> Disk<'a> {
    /// Nothing yet; `finished` is what is there of an earlier build.
    pub(super) fn new(finished: &'a Finished) -> Self {
        Self {
            finished,
            inputs: Inputs::default(),
            file: None,
            free: 0,
            written: None,
        }
    }
}

impl Site<'_> {
    /// Writes the image under a temporary name.
    pub(super) fn assemble(&mut self, layer: &Layer<'_>) -> Result<()> {
        let (image, out) = (self.image, self.disk.finished.dir());
        let why = if self.options.rebuild {
            "--rebuild".to_owned()
        } else {
            match self.disk.finished.look(&layer.inputs, &self.options.extensions()) {
                Earlier::Same(_) => finished::SAME.to_owned(),
                Earlier::Different(why) => why,
            }
        };
        std::fs::create_dir_all(out).map_err(|error| space::io_error(error, out))?;
        // At least the files' own bytes; how much more, the file systems decide.
        space::ensure(out, self.bytes, "writing the image")?;
        self.disk.free = space::free(out).unwrap_or(0);
        let mut file = clic_store::publish(&out.join(format!("{}.img", image.name())))?;
        let assembled = assemble(
            image.plan,
            &image.ids,
            &self.tree,
            image.epoch,
            file.file(),
            &why,
            self.session.progress,
        )
        .map_err(|error| self.with_figures(error))?;
        self.disk.file = Some((file, assembled));
        self.disk.inputs = layer.inputs.clone();
        Ok(())
    }

    /// Reads the image back with our own readers and checks it against the rules.
    pub(super) fn verify(&mut self) -> Result<()> {
        let stage = self
            .session
            .progress
            .stage("verify", "Read the image back", "the image is new");
        let (file, _) = self.disk.file.as_ref().context("there is no image yet")?;
        let image = DiskImage::open(file.path())?;
        let violations = verify(&image, &Expected::planned(self.description.clone()))?;
        if !violations.is_empty() {
            let found: Vec<String> = violations.iter().map(ToString::to_string).collect();
            self.session.log.line(&found.join("\n"));
            let what = if found.len() == 1 {
                "a rule".into()
            } else {
                format!("{} rules", found.len())
            };
            bail!("the image breaks {what}, so it was deleted\n{}", found.join("\n"));
        }
        stage.finish();
        Ok(())
    }

    /// Writes the files beside the image, and gives all of them their names.
    pub(super) fn publish(&mut self) -> Result<()> {
        let (image, progress) = (self.image, self.session.progress);
        let (file, assembled) = self.disk.file.take().context("there is no image yet")?;
        let name = image.name();
        let (mut outputs, scan) =
            Outputs::new(self.disk.finished.dir(), &name, file, &assembled.in_use, progress)?;
        for form in &self.options.forms {
            outputs
                .compress(*form, self.options.threads, progress)
                .map_err(|error| self.with_figures(error))?;
        }
        let description = written(&image.description, &self.description)?;
        let manifest = Manifest::new(
            image.plan,
            &image.ids,
            image.epoch,
            &assembled,
            &scan,
            image.resolution.releases.iter().map(release).collect(),
            image.resolution.packages.iter().map(package).collect(),
            self.files.iter().copied().chain([&description]),
            self.how(),
        )?;
        outputs.add("manifest.json", manifest.to_json()?.as_bytes())?;
        let written = outputs.commit()?;
        self.disk
            .finished
            .note(std::mem::take(&mut self.disk.inputs), &written)?;
        self.disk.written = Some(written);
        Ok(())
    }

    /// The part of the manifest that decides no byte of the image.
    fn how(&self) -> manifest::Build {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let passed = self
            .options
            .begun
            .map(|begun| begun.elapsed())
            .unwrap_or_default();
        manifest::Build {
            clic: env!("CARGO_PKG_VERSION").to_owned(),
            tools: tools::versions(),
            host_kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            host_arch: std::env::consts::ARCH.to_owned(),
            started: i64::try_from(now.saturating_sub(passed).as_secs()).unwrap_or_default(),
            stages: self.options.timings.stages(),
            starts: self.starts.as_ref().map(|starts| manifest::Starts {
                native: starts.native,
                emulated: starts.emulated,
            }),
            options: self.options.asked.clone(),
        }
    }

    /// An error while writing results, with figures if it is that the disk is full.
    fn with_figures(&self, error: anyhow::Error) -> anyhow::Error {
        with_figures(error, self.disk.finished.dir(), self.bytes, self.disk.free)
    }
}

/// The description's file as it is in the image.
fn written(planned: &TreeFile, description: &ImageDescription) -> Result<TreeFile> {
    let bytes = description.to_json()?;
    Ok(TreeFile {
        kind: TreeFileKind::File(Content {
            sha256: Sha256::of(&bytes),
            size: bytes.len() as u64,
            data: Data::Bytes(bytes.into()),
        }),
        ..planned.clone()
    })
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

fn release(release: &clic_archive::Release) -> manifest::Release {
    // Where a directory of the build host is, is nobody else's business.
    let is_elsewhere = release.url.starts_with("http");
    manifest::Release {
        source: release.source.clone(),
        url: is_elsewhere.then(|| release.url.clone()),
        suite: release.suite.clone(),
        date: i64::try_from(release.date).unwrap_or(i64::MAX),
        sha256: release.sha256,
    }
}

fn package(package: &clic_archive::Package) -> manifest::Package {
    manifest::Package {
        name: package.name.clone(),
        arch: package.arch.clone(),
        version: package.version.clone(),
        sha256: package.sha256,
        size: package.size,
    }
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
