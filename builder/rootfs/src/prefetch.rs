//! What can be done for a stage while the one before it is made: scripts of packages keep one processor busy at most.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use clic_archive::parts::Part;
use clic_archive::resolution::{Package, Resolution};
use clic_debian::deb;
use clic_store::Store;
use clic_store::space::{self, io_error};
use tempfile::TempDir;

/// Packages that take less than this to download, in bytes, are unpacked as they are: a tenth of a second of `xz`.
const LARGE: u64 = 4 << 20;
/// Copies are made where the disk has this many times what all packages take when installed. A build takes 2.5 times that.
const PLENTY: u64 = 4;

/// The packages of one part, verified, the large ones uncompressed.
#[derive(Debug)]
pub struct Prefetch {
    part: Part,
    /// By package.
    uncompressed: BTreeMap<String, PathBuf>,
    _dir: TempDir,
}

impl Prefetch {
    /// Verifies every package of `part` in the store, and then makes uncompressed copies of the large ones in `dir`, largest
    /// first, until it is `over`. `None` if the packages are not all verified by then; whoever wants them does it then.
    pub fn prepare(
        resolution: &Resolution,
        part: Part,
        store: &Store,
        dir: &Path,
        over: &AtomicBool,
    ) -> Result<Option<Self>> {
        let mut large: Vec<(&Package, PathBuf)> = Vec::new();
        for package in resolution.part(part) {
            if over.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let Some(path) = store.whole(package.sha256)? else {
                return Ok(None);
            };
            if package.size >= LARGE {
                large.push((package, path));
            }
        }
        // What a stage itself needs was looked for; these copies must never be what it lacks.
        if !space::free(dir).is_ok_and(|free| free / PLENTY > resolution.installed_size()) {
            large.clear();
        }
        large.sort_by_key(|(package, _)| std::cmp::Reverse(package.size));
        let dir = tempfile::Builder::new()
            .prefix("prefetch-")
            .tempdir_in(dir)
            .map_err(|error| io_error(error, dir))?;
        let mut uncompressed = BTreeMap::new();
        for (package, path) in large {
            let to = dir.path().join(format!("{}.deb", package.name));
            // What goes wrong here is said when the package itself is unpacked.
            if deb::uncompressed(&path, &to, deb::most(package.installed_size, package.size), over)
                .unwrap_or(false)
            {
                uncompressed.insert(package.name.clone(), to);
            } else {
                let _ = std::fs::remove_file(&to);
            }
        }
        Ok(Some(Self {
            part,
            uncompressed,
            _dir: dir,
        }))
    }

    /// Whether these are the packages of `part`.
    pub fn is_of(&self, part: Part) -> bool {
        self.part == part
    }

    /// The uncompressed copy of a package, if there is one.
    pub fn deb(&self, name: &str) -> Option<&Path> {
        self.uncompressed.get(name).map(PathBuf::as_path)
    }
}
