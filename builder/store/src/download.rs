//! Fetching files that are known by their hash: in parallel, resumable, retried, verified.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use clic_host::{Sha256, Stage, Unit, UserError, cancel, figures, parallel};

use crate::request::{Download, FetchError, without_login};
use crate::space::{self, io_error};
use crate::transfer::{Failure, Meter, Share, Try, WORKERS, local_path, part_of};
use crate::{Store, is_at, publish};

/// How often a download is tried before it counts as failed.
const TRIES: u32 = 4;

impl Store {
    /// Where the file of this hash is or would be. No check is made.
    pub fn path_of(&self, sha256: Sha256) -> PathBuf {
        let name = sha256.to_string();
        let dir = self.dir().join("downloads/sha256");
        dir.join(&name[..2]).join(name)
    }

    /// The file of this hash, read and verified now; `None` if the store has no such file. A damaged one is
    /// removed and counts as missing. For the moment of use, after [`Store::have_all`]; [`Store::fetch`] also gets
    /// what turns out to be damaged again.
    pub fn verified(&self, sha256: Sha256) -> Result<Option<PathBuf>> {
        Ok(match self.look_at(sha256)? {
            Found::Whole(path) => Some(path),
            Found::Damaged | Found::Nothing => None,
        })
    }

    /// A stored file, verified; a damaged one stays, for the caller to report and replace.
    pub fn whole(&self, sha256: Sha256) -> Result<Option<PathBuf>> {
        let path = self.path_of(sha256);
        if !self.uses(&path)? {
            return Ok(None);
        }
        let whole = Sha256::of_file(&path).is_ok_and(|found| found == sha256);
        Ok(whole.then_some(path))
    }

    fn look_at(&self, sha256: Sha256) -> Result<Found> {
        let path = self.path_of(sha256);
        if !self.uses(&path)? {
            return Ok(Found::Nothing);
        }
        match Sha256::of_file(&path) {
            Ok(found) if found == sha256 => Ok(Found::Whole(path)),
            Ok(_) => {
                tracing::debug!(path = %path.display(), "damaged file removed from the store");
                std::fs::remove_file(&path).map_err(|error| io_error(error, &path))?;
                Ok(Found::Damaged)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
            Err(error) => Err(io_error(error, &path)),
        }
    }

    /// Which of these are not in the store, by a look at their sizes: a forecast, not a verification.
    pub fn missing<'a>(&self, downloads: &'a [Download]) -> Vec<&'a Download> {
        let there = |download: &Download| {
            std::fs::metadata(self.path_of(download.sha256)).is_ok_and(|meta| meta.len() == download.size)
        };
        downloads.iter().filter(|download| !there(download)).collect()
    }

    /// [`Store::fetch_all`] for one file.
    pub fn fetch(&self, download: &Download, stage: &Stage) -> Result<PathBuf> {
        let mut paths = self.fetch_all(std::slice::from_ref(download), stage)?;
        paths.pop().context("one path for one download")
    }

    /// Has all of these in the store, every one verified during this call, and returns their paths in the same
    /// order. What is there is not fetched again; what a killed run began is resumed.
    ///
    /// Errors: [`FetchError`], [`space::NoSpace`] before anything is fetched when the sum does not fit.
    pub fn fetch_all(&self, downloads: &[Download], stage: &Stage) -> Result<Vec<PathBuf>> {
        self.get_all(downloads, stage, |jobs, meter| {
            let missing = Mutex::new(Vec::new());
            parallel::each(jobs, WORKERS, |job| {
                match self.look_at(job.sha256)? {
                    Found::Whole(_) => {
                        meter.moved(0, job.size);
                        return Ok(());
                    }
                    Found::Damaged => say_damaged(job, stage),
                    Found::Nothing => {}
                }
                missing.lock().unwrap_or_else(PoisonError::into_inner).push(*job);
                Ok(())
            })?;
            Ok(missing.into_inner().unwrap_or_else(PoisonError::into_inner))
        })
    }

    /// Has all files in the store, but only compares the size of those that are there, which costs nothing: whoever opens a file calls
    /// [`Store::verified`] or [`Store::fetch`] at that moment. What is fetched is verified as it comes.
    pub fn have_all(&self, downloads: &[Download], stage: &Stage) -> Result<Vec<PathBuf>> {
        self.get_all(downloads, stage, |jobs, meter| {
            let paths: Vec<PathBuf> = jobs.iter().map(|job| self.path_of(job.sha256)).collect();
            let there = self.run.uses(self.dir(), &paths)?;
            let mut missing = Vec::new();
            for ((job, path), there) in jobs.iter().zip(&paths).zip(there) {
                if there && std::fs::metadata(path).is_ok_and(|meta| meta.len() == job.size) {
                    meter.moved(0, job.size);
                    continue;
                }
                if there {
                    say_damaged(job, stage);
                }
                missing.push(*job);
            }
            Ok(missing)
        })
    }

    /// `look` says which jobs are not in the store.
    fn get_all(
        &self,
        downloads: &[Download],
        stage: &Stage,
        look: impl for<'a> Fn(&[&'a Download], &Meter<'_>) -> Result<Vec<&'a Download>>,
    ) -> Result<Vec<PathBuf>> {
        // The same content asked for twice is one job.
        let mut jobs: BTreeMap<Sha256, &Download> = BTreeMap::new();
        for download in downloads {
            self.check_request(download)?;
            jobs.entry(download.sha256).or_insert(download);
        }
        let jobs: Vec<&Download> = jobs.into_values().collect();
        stage.total(Unit::Bytes, jobs.iter().map(|job| job.size).sum());

        let meter = Meter::new(stage);

        // First what is there already: that says what is left to fetch, before a socket is opened.
        let mut missing = look(&jobs, &meter)?;
        // Large ones first, so that the last worker is not left alone with a kernel.
        missing.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.sha256.cmp(&b.sha256)));

        let remote: Vec<String> = missing
            .iter()
            .filter(|job| local_path(&job.url).is_none())
            .map(|job| job.name.clone())
            .collect();
        if self.net.offline && !remote.is_empty() {
            return Err(FetchError::Offline { missing: remote }.into());
        }
        let begun = |job: &Download| {
            std::fs::metadata(part_of(&self.path_of(job.sha256))).map_or(0, |meta| meta.len())
        };
        let needed = missing
            .iter()
            .map(|job| job.size.saturating_sub(begun(job)))
            .sum();
        space::ensure(
            self.dir(),
            needed,
            &format!("downloading {}", figures::counted(missing.len() as u64, "file")),
        )?;

        parallel::each(&missing, WORKERS, |job| self.fetch_one(job, &meter))?;
        Ok(downloads
            .iter()
            .map(|download| self.path_of(download.sha256))
            .collect())
    }

    fn check_request(&self, download: &Download) -> Result<()> {
        let url = &download.url;
        let is_web = url.starts_with("http://") || url.starts_with("https://");
        if is_web || local_path(url).is_some() || self.net.carrier_of(url).is_some() {
            return Ok(());
        }
        Err(UserError::new(format!(
            "{}: {} is not an http:, https: or file: address",
            download.name,
            without_login(url)
        ))
        .into())
    }

    fn fetch_one(&self, job: &Download, meter: &Meter<'_>) -> Result<()> {
        let path = self.path_of(job.sha256);
        let dir = path.parent().context("a stored file has a directory")?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| io_error(error, dir))?;
        let part = part_of(&path);
        let Some(mut file) = self.open_part(&part, &path, job)? else {
            meter.moved(0, job.size);
            return Ok(());
        };
        meter.stage().message(&job.name);
        // What this job has added to the stage: taken back when what was received is discarded.
        let mut counted = Share::new(meter);
        let mut fresh = false;
        for tries in 1..=TRIES {
            if tries > 1 {
                self.wait_before(tries)?;
            }
            let next = Try {
                net: &self.net,
                job,
                part: &part,
                number: tries,
                fresh,
            };
            match next.run(&mut file, &mut counted) {
                Ok(()) => break,
                Err(Failure::Failed(error)) => return Err(error),
                Err(Failure::Again(error)) if tries == TRIES => return Err(error.into()),
                Err(Failure::Again(error)) => {
                    fresh = matches!(error, FetchError::Wrong { .. });
                    tracing::debug!("{error}; trying again");
                }
            }
        }
        file.sync_all().map_err(|error| io_error(error, &part))?;
        std::fs::rename(&part, &path).map_err(|error| io_error(error, &path))?;
        publish::sync_parent(&path)?;
        counted.set(job.size);
        Ok(())
    }

    /// The part file, locked against other runs; `None` if one of them has finished the file meanwhile.
    fn open_part(&self, part: &Path, path: &Path, job: &Download) -> Result<Option<File>> {
        loop {
            cancel::check()?;
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(part);
            let file = file.map_err(|error| io_error(error, part))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => {
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                }
                Err(std::fs::TryLockError::Error(error)) => return Err(io_error(error, part)),
            }
            if self.verified(job.sha256)?.is_some() {
                if is_at(&file, part) {
                    let _ = std::fs::remove_file(part);
                }
                return Ok(None);
            }
            // Whoever held the lock may have renamed this very file to its final name and lost it since.
            if is_at(&file, part) && !path.exists() {
                return Ok(Some(file));
            }
        }
    }
}

/// What the store has of a file.
enum Found {
    Whole(PathBuf),
    /// Something else under its name, which is gone now.
    Damaged,
    Nothing,
}

fn say_damaged(job: &Download, stage: &Stage) {
    stage.note(format!(
        "{} in the store is damaged: downloading it again",
        job.name
    ));
}

#[cfg(test)]
mod tests;
