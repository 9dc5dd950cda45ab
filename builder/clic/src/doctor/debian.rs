//! Where packages come from and where they are kept: mirror, keys, disk space.

use std::path::{Path, PathBuf};

use super::{Finding, install};
use crate::output;

/// Bytes that a build of each shipped board keeps in the store and out/, and a second one beside it.
const ROOM_WANTED: u64 = 10_000_000_000;

/// Bytes below which a build of the smallest recipe fails.
const ROOM_NEEDED: u64 = 4_000_000_000;

pub fn look(findings: &mut Vec<Finding>) {
    findings.push(keyring());
    findings.push(disk_space());
}

fn keyring() -> Finding {
    const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
    if Path::new(KEYRING).is_file() {
        Finding::good("keyring", "Debian's keys", KEYRING)
    } else {
        Finding::missing(
            "keyring",
            "Debian's keys",
            format!("no {KEYRING}"),
            install(&["debian-archive-keyring"]),
        )
    }
}

fn disk_space() -> Finding {
    const ID: &str = "disk-space";
    const TITLE: &str = "Disk space";
    let store = store();
    let existing = store
        .ancestors()
        .find(|dir| dir.is_dir())
        .unwrap_or(Path::new("/"));
    let free = match rustix::fs::statvfs(existing) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => return Finding::fair(ID, TITLE, format!("{}: {error}", existing.display())),
    };
    let detail = format!("{} free for the store at {}", output::size(free), store.display());
    if free < ROOM_NEEDED {
        let detail = format!("{detail}; a build needs {}", output::size(ROOM_NEEDED));
        Finding::missing(
            ID,
            TITLE,
            detail,
            "export CLIC_CACHE=/a/directory/on/a/larger/disk",
        )
    } else if free < ROOM_WANTED {
        Finding::fair(
            ID,
            TITLE,
            format!("{detail}; {} is comfortable", output::size(ROOM_WANTED)),
        )
    } else {
        Finding::good(ID, TITLE, detail)
    }
}

fn store() -> PathBuf {
    let dir = |key: &str| {
        std::env::var_os(key)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    dir("CLIC_CACHE")
        .or_else(|| Some(dir("XDG_CACHE_HOME")?.join("clic")))
        .or_else(|| Some(dir("HOME")?.join(".cache/clic")))
        .unwrap_or_else(|| PathBuf::from("/"))
}
