//! Keeping the store small and sound: what was not used for longest goes first, and what is damaged goes at once.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use clic_host::{Sha256, Stage, Unit, cancel};
use serde::Serialize;

use crate::contents::{Entry, Kind, contents, hash};
use crate::scratch::remove_tree;
use crate::{Store, run};

/// How long an interrupted download waits for somebody to resume it.
const PART_KEPT: Duration = Duration::from_secs(24 * 3600);

/// What [`Store::gc`] did, or would do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Collected {
    /// What went, in the order that it went in.
    pub removed: Vec<Removed>,
    /// Bytes that it took.
    pub freed: u64,
    /// Bytes that are left.
    pub left: u64,
    /// Bytes of those that runs use now, so that they could not go.
    pub in_use: u64,
}

/// Something that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// What it was.
    pub kind: Kind,
    /// Its path in the store.
    pub name: String,
    /// Bytes that it took.
    pub bytes: u64,
    /// Why it went.
    pub why: String,
}

/// What [`Store::verify`] found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verified {
    /// Downloads and layers that were read.
    pub checked: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// What was damaged, and is gone now.
    pub damaged: Vec<Removed>,
}

impl Store {
    /// Removes what dead runs left, then what was not used for longest, until at most `max` bytes are left. What a
    /// living run uses stays. With `dry`, only says what would go.
    pub fn gc(&self, max: u64, dry: bool) -> Result<Collected> {
        // Nobody begins to use anything from here on.
        let _collecting = run::collecting(self.dir())?;
        let oldest = run::oldest(self.dir(), &self.run)?;
        let in_use = |entry: &Entry| oldest.is_some_and(|oldest| entry.used >= oldest);
        let dead = self.dead_scratch();
        let now = SystemTime::now();
        let mut done = Collected::default();
        let mut rest = Vec::new();
        for entry in contents(self.dir())? {
            let why = match entry.kind {
                Kind::Scratch if dead.contains(&entry.name) => Some("left by a killed run"),
                Kind::Downloads if entry.partial && stale(&entry, now) => {
                    Some("a download that nobody resumed")
                }
                Kind::Layers if entry.partial && !in_use(&entry) => Some("half of a layer"),
                _ => None,
            };
            match why {
                Some(why) => self.collect(&entry, why, dry, &mut done)?,
                None => rest.push(entry),
            }
        }
        done.left = rest.iter().map(|entry| entry.bytes).sum();
        rest.sort_by(|a, b| (a.used, &a.name).cmp(&(b.used, &b.name)));
        for entry in &rest {
            if matches!(entry.kind, Kind::Scratch | Kind::Other) || entry.partial {
                continue;
            }
            // Whoever works in an index holds the lock of its name from before.
            let held = match entry.kind {
                Kind::Indexes => match self.try_lock(&entry.name)? {
                    None => continue,
                    held => held,
                },
                _ => None,
            };
            if in_use(entry) {
                done.in_use = done.in_use.saturating_add(entry.bytes);
            } else if done.left > max {
                self.collect(entry, "not used for longest", dry, &mut done)?;
                done.left -= entry.bytes;
            }
            drop(held);
        }
        if !dry {
            self.remove_free_locks();
        }
        Ok(done)
    }

    /// Lock files that nobody holds. [`Store::lock`] notices when the one that it waited for is gone.
    fn remove_free_locks(&self) {
        let locks = std::fs::read_dir(self.dir().join("locks"));
        for entry in locks.into_iter().flatten().flatten() {
            // Held by ourselves, and taken without that check.
            if entry.file_name() == "gc" {
                continue;
            }
            if File::open(entry.path())
                .is_ok_and(|file| file.try_lock().is_ok() && std::fs::remove_file(entry.path()).is_ok())
            {
                tracing::debug!(lock = %entry.path().display(), "nobody holds it");
            }
        }
    }

    fn collect(&self, entry: &Entry, why: &str, dry: bool, done: &mut Collected) -> Result<()> {
        cancel::check()?;
        if !dry {
            for path in &entry.paths {
                remove_tree(path, self.remover.as_ref())?;
            }
        }
        done.freed = done.freed.saturating_add(entry.bytes);
        done.removed.push(Removed {
            kind: entry.kind,
            name: entry.name.clone(),
            bytes: entry.bytes,
            why: why.to_owned(),
        });
        Ok(())
    }

    /// Reads every download and every layer, and removes those whose content is not what their name or their
    /// description says.
    pub fn verify(&self, stage: &Stage) -> Result<Verified> {
        let entries: Vec<Entry> = contents(self.dir())?
            .into_iter()
            .filter(|entry| matches!(entry.kind, Kind::Downloads | Kind::Layers) && !entry.partial)
            .collect();
        stage.total(Unit::Bytes, entries.iter().map(|entry| entry.bytes).sum());
        let mut found = Verified::default();
        for entry in entries {
            cancel::check()?;
            let Some(path) = entry.paths.first() else { continue };
            let Some(hash) = path.file_stem().and_then(hash) else {
                continue;
            };
            let why = if entry.kind == Kind::Layers {
                self.damaged_layer(hash)?
            } else {
                damaged_download(path, hash)?
            };
            stage.advance(entry.bytes);
            found.checked += 1;
            found.bytes = found.bytes.saturating_add(entry.bytes);
            if let Some(why) = why {
                for path in &entry.paths {
                    remove_tree(path, None)?;
                }
                found.damaged.push(Removed {
                    kind: entry.kind,
                    name: entry.name,
                    bytes: entry.bytes,
                    why,
                });
            }
        }
        Ok(found)
    }

    fn damaged_layer(&self, key: Sha256) -> Result<Option<String>> {
        // Whoever puts one holds this lock while its two files do not fit together.
        let _lock = self.lock("layers")?;
        let layers = self.layers();
        Ok(match layers.read(key)? {
            None if !layers.has(key) => None,
            None => {
                Some("its description is damaged, or its tar file is not there or of another size".to_owned())
            }
            Some(layer) if layer.verify()? => None,
            Some(_) => Some("its tar file has another content".to_owned()),
        })
    }
}

/// `None` also if somebody removed it meanwhile.
fn damaged_download(path: &Path, name: Sha256) -> Result<Option<String>> {
    match Sha256::of_file(path) {
        Ok(found) if found == name => Ok(None),
        Ok(found) => Ok(Some(format!("its content has the hash {found}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(crate::space::io_error(error, path)),
    }
}

/// A part file that nobody writes to, and nobody has for long.
fn stale(entry: &Entry, now: SystemTime) -> bool {
    let age = now.duration_since(entry.used).unwrap_or_default();
    let free = |path: &std::path::PathBuf| File::open(path).is_ok_and(|file| file.try_lock().is_ok());
    age >= PART_KEPT && entry.paths.iter().all(free)
}

#[cfg(test)]
mod tests;
