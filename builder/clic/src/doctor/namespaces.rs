//! What building without root rests on: user namespaces and ranges of subordinate ids.

use std::path::Path;

use clic_host::Cmd;

use super::{Finding, State, install};

/// Ids that a Debian tree needs: 0 to 65535.
const IDS: u32 = 65_536;

/// Where `useradd` starts to give out ranges (`SUB_UID_MIN` of login.defs).
const FIRST_SUBID: u32 = 100_000;

pub fn look(findings: &mut Vec<Finding>) {
    let user = User::current();
    if user.uid == 0 {
        findings.push(Finding::new(
            "user",
            "Ordinary user",
            State::Fair,
            "you are root: nothing here needs it, and an ordinary user is safer",
        ));
    } else {
        findings.push(Finding::good("user", "Ordinary user", user.name.clone()));
    }
    findings.push(user_namespaces());
    let helpers = id_map_helpers();
    let can_map = helpers.state == State::Good;
    findings.push(helpers);
    let ranges = subordinate_ids(&user);
    let has_ranges = ranges.state == State::Good;
    findings.push(ranges);
    // Tried only when its parts are there: else its message would only repeat theirs.
    if can_map && has_ranges {
        findings.push(whole_sandbox());
    }
}

struct User {
    name: String,
    uid: u32,
}

impl User {
    fn current() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse::<u32>().ok()? == uid).then(|| name.to_owned())
        });
        Self {
            name: name.unwrap_or_else(|| uid.to_string()),
            uid,
        }
    }
}

fn user_namespaces() -> Finding {
    const ID: &str = "user-namespaces";
    const TITLE: &str = "User namespaces";
    let trial = Cmd::new("unshare")
        .clean_env()
        .args(["--user", "--map-root-user", "--mount", "true"])
        .finish();
    let why = match trial {
        Ok(finished) if finished.status.success() => return Finding::good(ID, TITLE, "allowed"),
        Ok(finished) => finished.stderr.trim().to_owned(),
        Err(error) => format!("{error:#}"),
    };
    let persist = |key: &str, value: &str| {
        format!("echo {key}={value} | sudo tee /etc/sysctl.d/60-clic.conf && sudo sysctl --system")
    };
    let (detail, mend) = if sysctl("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        (
            "Ubuntu's AppArmor keeps ordinary users from using them".to_owned(),
            persist("kernel.apparmor_restrict_unprivileged_userns", "0"),
        )
    } else if sysctl("kernel/unprivileged_userns_clone") == Some(0) {
        (
            "switched off for ordinary users".to_owned(),
            persist("kernel.unprivileged_userns_clone", "1"),
        )
    } else if sysctl("user/max_user_namespaces") == Some(0) {
        (
            "none are allowed".to_owned(),
            persist("user.max_user_namespaces", "15000"),
        )
    } else {
        // A container's seccomp filter is the usual cause; the container's owner has to change that.
        (
            format!("{why}; in a container, its runtime must allow them"),
            "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined ...".to_owned(),
        )
    };
    Finding::missing(ID, TITLE, detail, mend)
}

fn sysctl(key: &str) -> Option<u64> {
    std::fs::read_to_string(Path::new("/proc/sys").join(key))
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn id_map_helpers() -> Finding {
    const ID: &str = "id-map-helpers";
    const TITLE: &str = "newuidmap, newgidmap";
    let absent: Vec<&str> = ["newuidmap", "newgidmap"]
        .into_iter()
        .filter(|name| super::tools::find(name).is_none())
        .collect();
    if absent.is_empty() {
        return Finding::good(ID, TITLE, "there");
    }
    Finding::missing(
        ID,
        TITLE,
        format!("no {}", absent.join(", no ")),
        install(&["uidmap"]),
    )
}

fn subordinate_ids(user: &User) -> Finding {
    const ID: &str = "subordinate-ids";
    const TITLE: &str = "Subordinate ids";
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (uids, gids) = (read("/etc/subuid"), read("/etc/subgid"));
    let have = |text: &str| Range::of(text, user).find(|range| range.count >= IDS);
    if let (Some(uid), Some(gid)) = (have(&uids), have(&gids)) {
        return Finding::good(ID, TITLE, format!("users {uid}, groups {gid}"));
    }
    let lacking = match (have(&uids), have(&gids)) {
        (Some(_), None) => "groups (/etc/subgid)",
        (None, Some(_)) => "users (/etc/subuid)",
        _ => "users and groups (/etc/subuid, /etc/subgid)",
    };
    let first = first_free(&uids).max(first_free(&gids));
    let last = first.saturating_add(IDS - 1);
    Finding::missing(
        ID,
        TITLE,
        format!("{} has no range of {IDS} {lacking}", user.name),
        format!(
            "sudo usermod --add-subuids {first}-{last} --add-subgids {first}-{last} {}",
            user.name
        ),
    )
}

/// A line of subuid(5).
struct Range {
    first: u32,
    count: u32,
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}-{}",
            self.first,
            self.first.saturating_add(self.count.saturating_sub(1))
        )
    }
}

impl Range {
    fn parse(line: &str) -> Option<(&str, Self)> {
        let mut fields = line.trim().split(':');
        let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        Some((
            owner,
            Self {
                first: first.parse().ok()?,
                count: count.parse().ok()?,
            },
        ))
    }

    fn all(text: &str) -> impl Iterator<Item = (&str, Self)> {
        text.lines().filter_map(Self::parse)
    }

    fn of<'t>(text: &'t str, user: &User) -> impl Iterator<Item = Self> + 't {
        let (name, uid) = (user.name.clone(), user.uid.to_string());
        Self::all(text)
            .filter(move |(owner, _)| *owner == name || *owner == uid)
            .map(|(_, range)| range)
    }
}

/// The first id after every range that is given out.
fn first_free(text: &str) -> u32 {
    Range::all(text)
        .map(|(_, range)| range.first.saturating_add(range.count))
        .fold(FIRST_SUBID, u32::max)
}

fn whole_sandbox() -> Finding {
    const ID: &str = "sandbox";
    const TITLE: &str = "Sandbox";
    let trial = Cmd::new("unshare")
        .clean_env()
        .args([
            "--user",
            "--map-auto",
            "--map-root-user",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "true",
        ])
        .finish();
    match trial {
        Ok(finished) if finished.status.success() => {
            Finding::good(ID, TITLE, "user, mount and pid namespaces work")
        }
        Ok(finished) => Finding::missing(
            ID,
            TITLE,
            finished.stderr.trim().to_owned(),
            "sudo apt-get install --reinstall --yes uidmap",
        ),
        Err(error) => Finding::missing(ID, TITLE, format!("{error:#}"), install(&["util-linux"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_the_next_free_one_is_offered() {
        let text = "# a comment\nana:100000:65536\n1002:165536:65536\nbroken line\nbo:1:x\n";
        let bo = User {
            name: "bo".into(),
            uid: 1002,
        };
        let ranges: Vec<String> = Range::of(text, &bo).map(|range| range.to_string()).collect();
        assert_eq!(ranges, ["165536-231071"]);
        assert_eq!(first_free(text), 231_072);
        assert_eq!(first_free(""), FIRST_SUBID);
    }
}
