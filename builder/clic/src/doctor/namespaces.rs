//! What building without root rests on: namespaces, and ranges of subordinate ids.

use clic_rootfs::Sandbox;
use clic_rootfs::sandbox::obstacles;

use super::{Finding, State};

pub fn look(findings: &mut Vec<Finding>) {
    if rustix::process::geteuid().is_root() {
        let detail = "you are root: nothing here needs it, and an ordinary user is safer";
        findings.push(Finding::new("user", "Ordinary user", State::Fair, detail));
    } else {
        findings.push(Finding::good("user", "Ordinary user", "yes"));
    }
    match Sandbox::new() {
        Ok(_) => {
            let detail = "user, mount, pid and network namespaces work, with subordinate ids";
            findings.push(Finding::good("sandbox", "Sandbox", detail));
        }
        Err(error) => {
            let known = obstacles();
            if known.is_empty() {
                findings.push(Finding::of_error("sandbox", "Sandbox", &error));
            }
            findings.extend(
                known.into_iter().map(|obstacle| {
                    Finding::missing(obstacle.id, obstacle.title, obstacle.what, obstacle.fix)
                }),
            );
        }
    }
}
