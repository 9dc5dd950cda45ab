//! What a build leaves in a tree that does not belong in an image, each with its reason.

use std::collections::BTreeSet;

use clic_tree::{FileTree, Kind, TRANSIENT, is_wanted};

/// What happens to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Do {
    /// The entry goes.
    Remove,
    /// The directory stays, everything below goes.
    Clear,
    /// Directories stay, everything else below goes.
    ClearFiles,
    /// Entries directly in the directory whose names end so go.
    RemoveEnding(&'static str),
    /// Entries directly in the directory whose names begin so go.
    RemoveBeginning(&'static str),
    /// A regular file stays, empty.
    Truncate,
}

/// One rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Absolute path.
    pub path: &'static str,
    /// What happens to it.
    pub action: Do,
    /// Why.
    pub why: &'static str,
}

const fn rule(path: &'static str, action: Do, why: &'static str) -> Rule {
    Rule { path, action, why }
}

/// The rules beside those of [`TRANSIENT`]. What a recipe puts there itself is never touched.
pub const RULES: &[Rule] = &[
    rule(
        "/var/lib/apt/lists",
        Do::ClearFiles,
        "indexes of the build's package source; the directory `partial` in it is a part of package apt",
    ),
    rule(
        "/etc/apt/apt.conf.d/99mmdebstrap",
        Do::Remove,
        "settings of the build",
    ),
    rule(
        "/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
        Do::Remove,
        "settings of the build",
    ),
    rule(
        "/etc/apt/sources.list.d",
        Do::RemoveBeginning("0000"),
        "the build's package source",
    ),
    rule(
        "/var/log/wtmp",
        Do::Truncate,
        "logins of the build; the file must exist for logins to be noted",
    ),
    rule(
        "/var/log/btmp",
        Do::Truncate,
        "failed logins of the build; the file must exist",
    ),
    rule(
        "/var/log/lastlog",
        Do::Truncate,
        "last logins of the build; the file must exist",
    ),
    rule(
        "/var/log/faillog",
        Do::Truncate,
        "failed logins of the build; the file must exist",
    ),
    rule(
        "/var/cache/debconf",
        Do::RemoveEnding("-old"),
        "debconf's backups of its own databases",
    ),
    rule(
        "/var/cache/ldconfig/aux-cache",
        Do::Remove,
        "inode numbers of the build's file system",
    ),
    rule("/var/cache/man", Do::Clear, "made again by man-db's timer"),
    rule(
        "/var/cache/fontconfig",
        Do::ClearFiles,
        "times of the build's directories; made again when needed",
    ),
    rule(
        "/var/lib/dpkg",
        Do::RemoveEnding("-old"),
        "dpkg's backups of its own databases",
    ),
    rule(
        "/var/lib/dpkg/updates",
        Do::ClearFiles,
        "dpkg's journal, empty after each run",
    ),
    rule(
        "/var/lib/dpkg/available",
        Do::Truncate,
        "what dselect knew; apt does not use it",
    ),
    rule(
        "/var/lib/ucf",
        Do::RemoveBeginning("hashfile."),
        "ucf's backups of its own database",
    ),
    rule(
        "/var/lib/ucf",
        Do::RemoveBeginning("registry."),
        "ucf's backups of its own database",
    ),
    rule(
        "/etc",
        Do::RemoveBeginning("passwd-"),
        "backup of an account database",
    ),
    rule(
        "/etc",
        Do::RemoveBeginning("group-"),
        "backup of an account database",
    ),
    rule(
        "/etc",
        Do::RemoveBeginning("shadow-"),
        "backup of an account database",
    ),
    rule(
        "/etc",
        Do::RemoveBeginning("gshadow-"),
        "backup of an account database",
    ),
    rule(
        "/etc",
        Do::RemoveBeginning("subuid-"),
        "backup of an account database",
    ),
    rule(
        "/etc",
        Do::RemoveBeginning("subgid-"),
        "backup of an account database",
    ),
    rule("/etc/.pwd.lock", Do::Remove, "a lock of the build"),
    rule("/etc/hostname", Do::Remove, "the build host's name"),
    rule("/etc/resolv.conf", Do::Remove, "the build host's name servers"),
    rule(
        "/etc/.resolv.conf.systemd-resolved.bak",
        Do::Remove,
        "the build host's name servers, kept by systemd-resolved's package",
    ),
    rule(
        "/etc/machine-id",
        Do::Truncate,
        "made on the device at first boot",
    ),
    rule(
        "/var/lib/dbus/machine-id",
        Do::Remove,
        "dbus uses /etc/machine-id",
    ),
    rule(
        "/var/lib/systemd/random-seed",
        Do::Remove,
        "every device needs its own",
    ),
    rule(
        "/var/lib/systemd/credential.secret",
        Do::Remove,
        "every device needs its own",
    ),
    rule(
        "/etc/ssh",
        Do::RemoveBeginning("ssh_host_"),
        "host keys are made on the device at first boot",
    ),
    rule(
        "/etc/ssl/private/ssl-cert-snakeoil.key",
        Do::Remove,
        "a secret key that every device would share",
    ),
    rule(
        "/etc/ssl/certs/ssl-cert-snakeoil.pem",
        Do::Remove,
        "the certificate of that key",
    ),
    rule(
        "/etc/postsrsd.secret",
        Do::Remove,
        "a secret that every device would share",
    ),
    rule(
        "/etc/fake-hwclock.data",
        Do::Remove,
        "the time of the build; a device notes its own when it is switched off",
    ),
    rule(
        "/var/backups",
        Do::ClearFiles,
        "copies of databases, made by cron jobs and scripts of packages",
    ),
    rule(
        "/usr/sbin/policy-rc.d",
        Do::Remove,
        "kept services from starting during the build",
    ),
    rule(
        "/root/.bash_history",
        Do::Remove,
        "what was typed during the build",
    ),
    rule(
        "/var/lib/initramfs-tools",
        Do::ClearFiles,
        "checksums of initramfs files that boot loaders of old needed",
    ),
];

/// Applies the rules, except to the paths in `ours` (absolute, as the recipe names them) and to the directories
/// that lead there.
pub fn clean(tree: &mut FileTree, ours: &BTreeSet<String>) {
    for rule in rules() {
        apply(tree, &rule, ours);
    }
}

/// All rules, in the order in which they are applied.
fn rules() -> impl Iterator<Item = Rule> {
    let transient = TRANSIENT.into_iter().map(|place| Rule {
        path: place.path,
        action: if place.directories_stay {
            Do::ClearFiles
        } else {
            Do::Clear
        },
        why: place.why,
    });
    transient.chain(RULES.iter().copied())
}

fn apply(tree: &mut FileTree, rule: &Rule, ours: &BTreeSet<String>) {
    let is_ours = |path: &str| {
        let inside = format!("{path}/");
        ours.contains(path)
            || ours
                .range(inside.clone()..)
                .next()
                .is_some_and(|path| path.starts_with(&inside))
    };
    let path = rule.path;
    if rule.action == Do::Truncate {
        if matches!(tree.get(path).map(|entry| &entry.kind), Some(Kind::File(_))) && !is_ours(path) {
            tree.write_file(path, Vec::new());
        }
        return;
    }
    if rule.action == Do::Remove {
        if !is_ours(path) {
            tree.remove(path.trim_start_matches('/').as_bytes());
        }
        return;
    }
    let kept_empty = |path: &str| {
        RULES
            .iter()
            .any(|rule| rule.action == Do::Truncate && rule.path == path)
    };
    for below in tree.below(path) {
        let shown = format!("/{}", String::from_utf8_lossy(&below));
        let name = shown.strip_prefix(path).unwrap_or("").trim_start_matches('/');
        let is_directory = tree
            .get(&shown)
            .is_some_and(|entry| entry.kind == Kind::Directory);
        let goes = match rule.action {
            Do::Clear => true,
            Do::ClearFiles => !is_directory && !kept_empty(&shown),
            Do::RemoveEnding(end) => !name.contains('/') && name.ends_with(end),
            Do::RemoveBeginning(start) => !name.contains('/') && name.starts_with(start),
            Do::Remove | Do::Truncate => false,
        };
        if !goes || is_ours(&shown) {
            continue;
        }
        if tree
            .get(&shown)
            .is_some_and(|entry| is_wanted(&shown[1..], entry))
        {
            tree.write_file(&shown, Vec::new());
        } else {
            tree.remove(&below);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> FileTree {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tar");
        let mut builder = tar::Builder::new(std::fs::File::create(&path).unwrap());
        for path in paths {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            header.set_uid(if path.contains("daemon") { 106 } else { 0 });
            header.set_gid(0);
            header.set_mtime(0);
            let directory = path.ends_with('/');
            header.set_entry_type(if directory {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            header.set_size(if directory { 0 } else { 3 });
            builder
                .append_data(&mut header, path, if directory { &b""[..] } else { b"abc" })
                .unwrap();
        }
        builder.finish().unwrap();
        drop(builder);
        FileTree::read(&path).unwrap()
    }

    #[test]
    fn nothing_of_the_build_stays() {
        let mut tree = tree(&[
            "./",
            "./etc/",
            "./etc/passwd",
            "./etc/passwd-",
            "./etc/machine-id",
            "./etc/hostname",
            "./etc/ssh/",
            "./etc/ssh/ssh_host_rsa_key",
            "./etc/ssh/sshd_config",
            "./dev/",
            "./dev/null",
            "./var/log/",
            "./var/log/apt/",
            "./var/log/apt/term.log",
            "./var/log/btmp",
            "./var/log/daemon.log",
            "./var/log/daemon/",
            "./var/log/journal/",
            "./var/log/journal/daemon/",
            "./var/log/journal/daemon/system.journal",
            "./tmp/",
            "./tmp/x",
            "./usr/sbin/policy-rc.d",
            "./var/lib/apt/lists/",
            "./var/lib/apt/lists/lock",
            "./var/lib/apt/lists/partial/",
            "./var/lib/apt/lists/partial/Packages",
            "./var/lib/dpkg/",
            "./var/lib/dpkg/status",
            "./var/lib/dpkg/status-old",
            "./var/lib/dpkg/info/",
            "./var/lib/dpkg/info/x-old",
        ]);
        clean(&mut tree, &BTreeSet::new());
        for gone in [
            "etc/passwd-",
            "etc/hostname",
            "etc/ssh/ssh_host_rsa_key",
            "dev/null",
            "var/log/apt/term.log",
            "var/log/journal/daemon/system.journal",
            "tmp/x",
            "usr/sbin/policy-rc.d",
            "var/lib/apt/lists/lock",
            "var/lib/apt/lists/partial/Packages",
            "var/lib/dpkg/status-old",
        ] {
            assert_eq!(tree.get(gone), None, "{gone}");
        }
        for stays in [
            "etc/passwd",
            "etc/ssh/sshd_config",
            "dev",
            "var/log/apt",
            "var/log/daemon",
            "tmp",
            "var/lib/apt/lists/partial",
            "var/lib/dpkg/status",
            "var/lib/dpkg/info/x-old",
        ] {
            assert!(tree.get(stays).is_some(), "{stays}");
        }
        assert_eq!(
            (tree.size("etc/machine-id"), tree.size("var/log/btmp")),
            (Some(0), Some(0))
        );
        // Its daemon may not be able to make it.
        let log = tree.get("var/log/daemon.log").map(|entry| entry.uid);
        assert_eq!((log, tree.size("var/log/daemon.log")), (Some(106), Some(0)));
    }

    #[test]
    fn what_a_recipe_brings_is_not_touched() {
        let mut tree = tree(&[
            "./",
            "./etc/hostname",
            "./var/log/",
            "./var/log/portal/",
            "./var/log/portal/x",
            "./var/log/y",
        ]);
        let ours = ["/etc/hostname", "/var/log/portal/x"].map(str::to_owned).into();
        clean(&mut tree, &ours);
        assert!(tree.get("etc/hostname").is_some() && tree.get("var/log/portal/x").is_some());
        assert!(tree.get("var/log/y").is_none());
    }

    #[test]
    fn every_rule_has_a_reason_and_a_plain_path() {
        for rule in rules() {
            assert!(
                rule.path.starts_with('/') && !rule.path.ends_with('/') && !rule.why.is_empty(),
                "{rule:?}"
            );
        }
    }
}
