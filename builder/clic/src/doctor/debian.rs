//! Where packages come from and where they are kept: mirror, keys, disk space.

use std::path::Path;

use clic_archive::Mirrors;
use clic_store::{Store, space, without_login};

use super::{Finding, install};
use crate::mirror::MirrorArgs;
use crate::output;

/// Bytes that a build of each shipped board keeps in the store and out/, and a second one beside it.
const ROOM_WANTED: u64 = 10_000_000_000;

/// Bytes below which a build of the smallest recipe fails.
const ROOM_NEEDED: u64 = 4_000_000_000;

/// The mirror that builds would use, for `--json`.
pub fn look(findings: &mut Vec<Finding>) -> Option<Mirrors> {
    let mirrors = MirrorArgs::default().find().map(|found| Mirrors {
        main: without_login(&found.main),
        security: found.security.as_deref().map(without_login),
    });
    findings.push(mirror(&mirrors));
    findings.push(keyring());
    findings.push(disk_space());
    mirrors.ok()
}

fn mirror(mirrors: &anyhow::Result<Mirrors>) -> Finding {
    const ID: &str = "mirror";
    const TITLE: &str = "Debian mirror";
    match mirrors {
        Ok(Mirrors {
            main,
            security: Some(security),
        }) => Finding::good(ID, TITLE, format!("{main}, {security}")),
        Ok(Mirrors { main, security: None }) => Finding::fair(
            ID,
            TITLE,
            format!("{main}; none for security updates (--security-mirror names one)"),
        ),
        Err(error) => Finding::of_error(ID, TITLE, error),
    }
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
    let store = match Store::default_dir() {
        Ok(store) => store,
        Err(error) => return Finding::of_error(ID, TITLE, &error),
    };
    let free = match space::free(&store) {
        Ok(free) => free,
        Err(error) => return Finding::fair(ID, TITLE, format!("{}: {error}", store.display())),
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
