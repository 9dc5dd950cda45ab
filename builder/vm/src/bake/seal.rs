//! What of a running system belongs in an image, and what belongs to that run alone.

use clic_tree::TRANSIENT;

/// Another one whenever something else comes out of the same bake, or its secrets are others: what was baked before is baked
/// again.
pub const VERSION: u32 = 3;

/// Directories whose content is of one run, or of one device, beside those that no image has anything in ([`TRANSIENT`]). They
/// themselves stay as they are.
const INSIDE: [&str; 6] = [
    // Mounted over while it runs.
    "boot/efi",
    // Written by whatever runs.
    "root/.cache",
    "var/lib/private/systemd",
    "var/lib/systemd/timers",
    "var/lib/systemd/timesync",
    "lost+found",
];

/// Paths that are of one device, or the way in that the bake used.
const EXACTLY: [&str; 15] = [
    "",
    ".clic-bake",
    "etc/.updated",
    "etc/adjtime",
    "etc/clic/baking",
    "etc/machine-id",
    "etc/systemd/system/clic-test-agent.service",
    "etc/systemd/system/sysinit.target.wants/clic-test-agent.service",
    "usr/lib/clic-test-agent.sh",
    "usr/lib/clock-epoch",
    "var/.updated",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/catalog/database",
    "var/lib/systemd/credential.secret",
    "var/lib/systemd/random-seed",
];

/// Paths, without a slash at either end, of what is of one run or one device with all that is below: that of every system, and what
/// overlays say of themselves in `of_one_run`.
pub(super) fn inside(of_one_run: &[String]) -> impl Iterator<Item = &str> {
    let transient = TRANSIENT.iter().map(|place| place.path.trim_matches('/'));
    let theirs = of_one_run.iter().map(|path| path.trim_matches('/'));
    INSIDE.into_iter().chain(transient).chain(theirs)
}

/// Whether a path, without a slash at either end, stays as the image has it.
pub fn stays(path: &str, of_one_run: &[String]) -> bool {
    let below = |dir: &str| {
        path.strip_prefix(dir)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    EXACTLY.contains(&path) || inside(of_one_run).any(below) || path.starts_with("etc/ssh/ssh_host_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent;

    #[test]
    fn what_a_run_leaves_stays_behind() {
        let theirs = ["/var/lib/clic/first-boot", "/etc/issue"].map(str::to_owned);
        for path in [
            "",
            "proc",
            "run/systemd/units",
            "var/log/journal/x/system.journal",
            "etc/ssh/ssh_host_ed25519_key.pub",
            "etc/machine-id",
            "tmp",
            "var/lib/clic/first-boot/done",
            "etc/issue",
        ] {
            assert!(stays(path, &theirs), "{path}");
        }
        for path in [
            "etc",
            "var/lib/clic/services/portal.json",
            "etc/yunohost/installed",
            "var/lib/mysql/ibdata1",
            "var/logs",
            "runner",
            "etc/issue.net",
            "var/lib/clic/first-boots",
        ] {
            assert!(!stays(path, &theirs), "{path}");
        }
    }

    #[test]
    fn the_way_in_does_not_come_out() {
        for path in [
            agent::SCRIPT_PATH,
            agent::UNIT_PATH,
            agent::WANTS_PATH,
            super::super::MARK,
        ] {
            assert!(stays(path.trim_start_matches('/'), &[]), "{path}");
        }
    }
}
