//! Directories whose content is of one run of a system, so that no image has it, whoever left it there: the build, which cleans
//! them; a bake, whose changes of them are left out; or something else, which the rules of images tell.

use crate::{Entry, Kind};

/// A directory whose content is of one run. It itself stays.
#[derive(Clone, Copy, Debug)]
pub struct Transient {
    /// Absolute path.
    pub path: &'static str,
    /// Why nothing in it belongs in an image.
    pub why: &'static str,
    /// Whether directories in it stay, which packages bring.
    pub directories_stay: bool,
    /// What a file in it is, if an image is to be searched for some.
    pub file: Option<&'static str>,
}

/// All of them.
pub const TRANSIENT: [Transient; 9] = [
    Transient {
        path: "/var/cache/apt",
        why: "packages and caches of the build",
        directories_stay: true,
        file: Some("apt's cache"),
    },
    Transient {
        path: "/var/log",
        why: "logs of the build, with its times",
        directories_stay: true,
        file: Some("a log of the build"),
    },
    Transient {
        path: "/tmp",
        why: "temporary",
        directories_stay: false,
        file: Some("a temporary file"),
    },
    Transient {
        path: "/var/tmp",
        why: "temporary",
        directories_stay: false,
        file: Some("a temporary file"),
    },
    Transient {
        path: "/run",
        why: "a tmpfs on the device",
        directories_stay: false,
        file: Some("a file of a running system"),
    },
    mounted("/dev", "the device's kernel mounts devtmpfs here"),
    mounted("/proc", "the device's kernel mounts it"),
    mounted("/sys", "the device's kernel mounts it"),
    mounted(
        "/boot/firmware",
        "a mount point; the firmware partition is written by the image room",
    ),
];

const fn mounted(path: &'static str, why: &'static str) -> Transient {
    Transient {
        path,
        why,
        directories_stay: false,
        file: None,
    }
}

/// Whether something in a directory of [`TRANSIENT`] stays all the same, a file without its content: directories of logs, and logs of
/// those who are not root, who may not be able to make them. `path` has no slash at either end.
pub fn is_wanted(path: &str, entry: &Entry) -> bool {
    let Some(name) = path.strip_prefix("var/log/") else {
        return false;
    };
    // Each device has a journal under its own name.
    let journal = name
        .strip_prefix("journal")
        .is_some_and(|rest| rest.starts_with('/'));
    match entry.kind {
        Kind::Directory => !journal,
        Kind::File(_) => !journal && entry.uid != 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_has_a_reason_and_a_plain_path() {
        for place in TRANSIENT {
            let plain = place.path.starts_with('/') && !place.path.ends_with('/');
            assert!(plain && !place.why.is_empty(), "{place:?}");
        }
    }
}
