//! Nothing in an image may be secret: all devices made from it would share it (invariant 5).

mod declared;
#[cfg(test)]
mod planted;

use anyhow::Result;

use super::{Context, Findings};
use crate::read::EntryKind;

/// Directories where people and packages keep keys: `YunoHost` its certification authority's below /usr/share.
const KEY_PLACES: [&str; 7] = [
    "/etc",
    "/root",
    "/home",
    "/var",
    "/usr/local",
    "/usr/share/yunohost",
    "/opt",
];

/// Larger files are not keys, in bytes.
const MAX_KEY: u64 = 64 << 10;

const ON_DEVICE: &str = "let it be made on the device at first boot";

pub(super) fn secrets(cx: &Context, out: &mut Findings) -> Result<()> {
    machine_id(cx, out)?;
    host_keys(cx, out)?;
    private_keys(cx, out)?;
    passwords(cx, out)?;
    authorized_keys(cx, out)?;
    seeds(cx, out)?;
    credentials(cx, out)?;
    declared::declared(cx, out)
}

fn machine_id(cx: &Context, out: &mut Findings) -> Result<()> {
    let root = cx.root()?;
    let path = "/etc/machine-id";
    match root.stat(path)? {
        None => out.add(
            format!("{path} is missing; expected: an empty file"),
            "leave it empty: systemd fills it at first boot",
        ),
        Some(entry) if entry.kind != EntryKind::File || entry.size != 0 => {
            out.add(
                format!(
                    "{path} is a {} of {} bytes; expected: an empty file",
                    entry.kind, entry.size
                ),
                "empty it: systemd fills it at first boot",
            );
        }
        Some(_) => {}
    }
    let path = "/var/lib/dbus/machine-id";
    if root
        .stat(path)?
        .is_some_and(|entry| entry.kind != EntryKind::Symlink)
    {
        out.add(
            format!("{path} is a file of its own"),
            "remove it, or make it a link to /etc/machine-id",
        );
    }
    Ok(())
}

fn host_keys(cx: &Context, out: &mut Findings) -> Result<()> {
    let root = cx.root()?;
    if !root.exists("/etc/ssh")? {
        return Ok(());
    }
    for entry in root.list("/etc/ssh")? {
        let name = String::from_utf8_lossy(entry.file_name()).into_owned();
        if name.starts_with("ssh_host_") && name.contains("_key") {
            out.add(format!("{} is an SSH host key", entry.display()), ON_DEVICE);
        }
    }
    Ok(())
}

/// Files with a PEM header of a private key at the beginning of a line (RFC 7468, section 10; OpenSSH's `PROTOCOL.key`).
fn private_keys(cx: &Context, out: &mut Findings) -> Result<()> {
    let root = cx.root()?;
    let mut found: Vec<String> = Vec::new();
    for top in KEY_PLACES {
        root.walk(top, &mut |entry| {
            let ssh = entry.path.starts_with(b"/etc/ssh/ssh_host_");
            if entry.kind == EntryKind::File && entry.size < MAX_KEY && entry.size > 0 && !ssh {
                let bytes = root.read(&entry.path, MAX_KEY)?;
                if has_private_key(&bytes) {
                    found.push(entry.display());
                }
            }
            Ok(())
        })?;
    }
    for path in found {
        let help = if path.ends_with("ssl-cert-snakeoil.key") {
            "remove it in the build; `make-ssl-cert generate-default-snakeoil` makes it on the device"
        } else {
            ON_DEVICE
        };
        out.add(format!("{path} holds a private key"), help);
    }
    Ok(())
}

fn has_private_key(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').any(|line| {
        let line = line.trim_ascii();
        let middle = line
            .strip_prefix(b"-----BEGIN ")
            .and_then(|rest| rest.strip_suffix(b"-----"));
        middle.is_some_and(|kind| kind.ends_with(b"PRIVATE KEY") || kind.ends_with(b"PRIVATE KEY BLOCK"))
    })
}

fn passwords(cx: &Context, out: &mut Findings) -> Result<()> {
    for (path, what) in [
        ("/etc/shadow", "password"),
        ("/etc/shadow-", "password"),
        ("/etc/passwd", "password"),
        ("/etc/passwd-", "password"),
    ] {
        let Some(text) = cx.text(path)? else { continue };
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let mut fields = line.split(':');
            let (name, field) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
            let help =
                format!("lock it in the image (passwd -l {name}); keys or a first-boot setup let people in");
            if field.is_empty() {
                out.add(format!("{path}: account {name} has an empty {what}"), help);
            } else if !(field.trim_start_matches(['!', '*']).is_empty()
                || (field == "x" && path.contains("passwd")))
            {
                out.add(format!("{path}: account {name} has a {what}"), help);
            }
        }
    }
    Ok(())
}

/// Keys that let somebody in are allowed when the build recorded them.
fn authorized_keys(cx: &Context, out: &mut Findings) -> Result<()> {
    let root = cx.root()?;
    let mut places: Vec<String> = Vec::new();
    for home in cx.homes()?.iter().map(|home| home.trim_end_matches('/')) {
        places.extend(["authorized_keys", "authorized_keys2"].map(|name| format!("{home}/.ssh/{name}")));
    }
    for directory in ["/etc/ssh/authorized_keys", "/etc/ssh/authorized_keys.d"] {
        match root.stat_target(directory)? {
            Some(entry) if entry.kind == EntryKind::Directory => {
                places.extend(root.list(directory)?.iter().map(crate::read::Entry::display));
            }
            Some(_) => places.push(directory.to_owned()),
            None => {}
        }
    }
    places.sort();
    places.dedup();
    for path in places {
        let there = root
            .stat_target(&path)?
            .is_some_and(|entry| entry.kind == EntryKind::File && entry.size > 0);
        if there && cx.planned(&path).is_none() {
            out.add(
                format!("{path} allows a login that nobody asked for"),
                "use --authorized-key FILE, which records it",
            );
        }
    }
    Ok(())
}

fn seeds(cx: &Context, out: &mut Findings) -> Result<()> {
    for path in [
        "/var/lib/systemd/random-seed",
        "/var/lib/systemd/credential.secret",
        "/var/lib/urandom/random-seed",
        "/boot/loader/random-seed",
    ] {
        if cx.root()?.stat(path)?.is_some() {
            out.add(
                format!("{path} exists: every device would start from the same randomness"),
                ON_DEVICE,
            );
        }
    }
    Ok(())
}

/// What programs write when somebody logs in somewhere.
fn credentials(cx: &Context, out: &mut Findings) -> Result<()> {
    const IN_HOMES: [&str; 9] = [
        ".netrc",
        ".aws/credentials",
        ".docker/config.json",
        ".git-credentials",
        ".pypirc",
        ".npmrc",
        ".pgpass",
        ".config/gh/hosts.yml",
        ".kube/config",
    ];
    let root = cx.root()?;
    let mut places = vec!["/etc/apt/auth.conf".to_owned()];
    for home in cx.homes()?.iter().map(|home| home.trim_end_matches('/')) {
        places.extend(IN_HOMES.map(|name| format!("{home}/{name}")));
    }
    if root.exists("/etc/apt/auth.conf.d")? {
        places.extend(
            root.list("/etc/apt/auth.conf.d")?
                .iter()
                .map(crate::read::Entry::display),
        );
    }
    places.sort();
    places.dedup();
    for path in places {
        if root
            .stat_target(&path)?
            .is_some_and(|entry| entry.kind == EntryKind::File && entry.size > 0)
        {
            out.add(format!("{path} holds credentials"), "leave it out of the image");
        }
    }
    let mut lists = vec!["/etc/apt/sources.list".to_owned()];
    if root.exists("/etc/apt/sources.list.d")? {
        lists.extend(
            root.list("/etc/apt/sources.list.d")?
                .iter()
                .map(crate::read::Entry::display),
        );
    }
    for path in lists {
        let text = cx.text(&path)?.unwrap_or_default();
        let with_password = |word: &str| {
            let host = word
                .split_once("://")
                .map(|(_, rest)| rest.split('/').next().unwrap_or(""));
            host.is_some_and(|host| host.contains('@'))
        };
        if text.split_whitespace().any(with_password) {
            out.add(
                format!("{path} holds a mirror's credentials"),
                "give the mirror without user and password",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::has_private_key;

    #[test]
    fn keys_are_told_from_programs_that_handle_keys() {
        assert!(has_private_key(b"x\n-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"));
        assert!(has_private_key(b"-----BEGIN PRIVATE KEY-----\r\n"));
        assert!(!has_private_key(
            b"grep -q -- '-----BEGIN RSA PRIVATE KEY-----' \"$1\"\n"
        ));
        assert!(!has_private_key(b"-----BEGIN CERTIFICATE-----\n"));
    }
}
