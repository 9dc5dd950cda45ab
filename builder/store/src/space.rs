//! Disk space: asked for before work begins, and named when it runs out.

use std::io;
use std::path::{Path, PathBuf};

use clic_host::figures::size;

/// The disk is full, or would be.
#[derive(Debug, thiserror::Error)]
#[error("disk full: {what} needs {} in {}, which has {} free\n  help: free some space, or set CLIC_CACHE (the store) or --out (the results) to a larger disk",
    size(*.needed), .dir.display(), size(*.free))]
pub struct NoSpace {
    /// What the room is for, e.g. `downloading 120 files`.
    pub what: String,
    /// Where it was needed.
    pub dir: PathBuf,
    /// Bytes needed.
    pub needed: u64,
    /// Bytes that an ordinary user may still write there.
    pub free: u64,
}

/// Bytes that an ordinary user may still write to the file system of `path`, which need not exist yet.
pub fn free(path: &Path) -> io::Result<u64> {
    let mut probe = path;
    loop {
        match rustix::fs::statvfs(probe) {
            Ok(stat) => return Ok(stat.f_bavail.saturating_mul(stat.f_frsize)),
            Err(rustix::io::Errno::NOENT) => match probe.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => probe = parent,
                Some(_) => probe = Path::new("."),
                None => return Err(rustix::io::Errno::NOENT.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
}

/// An error unless `needed` bytes fit in the file system of `dir`. `what` completes "... needs 3 GB".
pub fn ensure(dir: &Path, needed: u64, what: &str) -> anyhow::Result<()> {
    let free = free(dir).map_err(|error| io_error(error, dir))?;
    if needed > free {
        return Err(NoSpace {
            what: what.into(),
            dir: dir.into(),
            needed,
            free,
        }
        .into());
    }
    Ok(())
}

/// An error about `path`, with a full disk explained. Use it wherever something is written.
pub fn io_error(error: io::Error, path: &Path) -> anyhow::Error {
    let full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    );
    let shown = path.display().to_string();
    if full {
        let free = free(path).map_or_else(|_| "an unknown amount".into(), size);
        let what = format!(
            "disk full while writing {shown}: {free} free\n  help: free some space, or set CLIC_CACHE (the store) or --out (the results) to a larger disk"
        );
        return anyhow::Error::new(error).context(what);
    }
    anyhow::Error::new(error).context(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_says_how_much() {
        let dir = tempfile::tempdir().unwrap();
        let error = ensure(&dir.path().join("not/there"), u64::MAX, "the image")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("disk full: the image needs 18446744.07 TB in "),
            "{error}"
        );
        assert!(error.contains(" free\n  help: "), "{error}");
        ensure(dir.path(), 1, "the image").unwrap();
    }

    #[test]
    fn what_fits_exactly_fits_and_one_byte_more_does_not() {
        // It has no room for files, ever, so nobody else changes how much is free while this runs.
        let nothing = Path::new("/proc");
        assert_eq!(free(nothing).unwrap(), 0);
        ensure(nothing, 0, "a file").unwrap();
        let error = ensure(nothing, 1, "a file").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("disk full: a file needs 1 B in /proc, which has 0 B free\n"),
            "{error}"
        );
    }

    #[test]
    fn a_full_disk_is_named_wherever_it_happens() {
        let error = io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        let text = format!("{:#}", io_error(error, Path::new("/some/file")));
        assert!(text.starts_with("disk full while writing /some/file: "), "{text}");
    }
}
