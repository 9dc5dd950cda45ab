//! Nothing of the build is left behind.

use anyhow::Result;
use clic_tree::TRANSIENT;

use super::{Context, Findings};
use crate::read::{Entry, EntryKind};

pub(super) fn clean(cx: &Context, out: &mut Findings) -> Result<()> {
    leftovers(cx, out)?;
    resolv_conf(cx, out)?;
    host_names(cx, out)
}

fn leftovers(cx: &Context, out: &mut Findings) -> Result<()> {
    let root = cx.root()?;
    let transient = TRANSIENT
        .iter()
        .filter_map(|place| Some((place.path, place.file?)));
    for (top, what) in [("/var/lib/apt/lists", "an apt list")]
        .into_iter()
        .chain(transient)
    {
        root.walk(top, &mut |entry| {
            let path = entry.display();
            if !matches!(entry.kind, EntryKind::Directory | EntryKind::Symlink)
                && !may_stay(top, entry)
                && cx.planned(&path).is_none()
            {
                out.add(
                    format!("{path} ({} bytes) is {what}", entry.size),
                    format!("empty {top} at the end of the build"),
                );
            }
            Ok(())
        })?;
    }
    for path in [
        "/usr/sbin/policy-rc.d",
        "/root/.bash_history",
        "/etc/apt/apt.conf.d/99mmdebstrap",
    ] {
        if root.stat(path)?.is_some() && cx.planned(path).is_none() {
            out.add(
                format!("{path} is a leftover of the build"),
                "remove it at the end of the build",
            );
        }
    }
    Ok(())
}

/// What is no leftover: logs that are empty, and apt's locks.
fn may_stay(top: &str, entry: &Entry) -> bool {
    match top {
        "/var/log" => entry.size == 0,
        "/var/lib/apt/lists" | "/var/cache/apt" => entry.file_name() == b"lock",
        _ => false,
    }
}

/// A resolver that the build used is not a resolver of the device.
fn resolv_conf(cx: &Context, out: &mut Findings) -> Result<()> {
    let path = "/etc/resolv.conf";
    let own_file = cx
        .root()?
        .stat(path)?
        .is_some_and(|entry| entry.kind == EntryKind::File);
    if own_file && cx.planned(path).is_none() {
        let text = cx.text(path)?.unwrap_or_default();
        if let Some(line) = text
            .lines()
            .find(|line| line.trim_start().starts_with("nameserver"))
        {
            out.add(
                format!("{path} carries the builder's resolver: {}", line.trim()),
                "empty it or make it a link at the end of the build",
            );
        }
    }
    Ok(())
}

/// The builder's host name and directory in files where tools like to put them.
fn host_names(cx: &Context, out: &mut Findings) -> Result<()> {
    let node = rustix::system::uname();
    let node = node.nodename().to_string_lossy().into_owned();
    let here = std::env::current_dir()
        .map(|here| here.display().to_string())
        .unwrap_or_default();
    for path in [
        "/etc/hosts",
        "/etc/mailname",
        "/etc/hostname",
        "/etc/fstab",
        "/etc/mtab",
    ] {
        if cx.planned(path).is_some()
            || cx
                .root()?
                .stat(path)?
                .is_none_or(|entry| entry.kind != EntryKind::File)
        {
            continue;
        }
        let text = cx.text(path)?.unwrap_or_default();
        for (what, needle) in [("host name", &node), ("directory", &here)] {
            if telling(needle) && has_word(&text, needle) {
                out.add(
                    format!("{path} has the builder's {what} {needle} in it"),
                    "let an overlay write this file",
                );
            }
        }
    }
    Ok(())
}

/// Names that say something about one machine. Every system has a `localhost` and a `/`.
fn telling(name: &str) -> bool {
    name.len() > 2 && !matches!(name, "localhost" | "debian" | "clic" | "(none)")
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| c.is_whitespace() || c == '=' || c == ',')
        .any(|part| part == word)
}
