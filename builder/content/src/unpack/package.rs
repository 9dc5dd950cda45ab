//! Files out of Debian packages.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clic_debian::deb::{self, Deb};
use clic_tree::{Member, Stream, Walk};

use super::{Files, plain};

/// How often links are followed before they count as a circle (Linux: 40).
const MOST_LINKS: usize = 40;

/// Takes files out of a Debian package, under their numbers in `paths`. What the package does not have is not there then.
pub fn package_files(deb: &Path, installed_size: u64, paths: &[&str], files: &mut Files) -> Result<()> {
    each(&Deb::open(deb)?, installed_size, |name, member, content| {
        let wanted = |path: &&str| path.trim_start_matches('/').as_bytes() == name;
        let Some(number) = paths.iter().position(wanted) else {
            return Ok(());
        };
        ensure!(
            member.is_file(),
            "{} is not a regular file in the package",
            paths[number]
        );
        files.take(number.to_string().as_bytes(), content)
    })?;
    ensure!(files.count > 0, "the package has no {}", paths.join(", "));
    Ok(())
}

/// Takes everything below a directory of a Debian package. A link to a file of the same package becomes that file; one that
/// leads elsewhere would lead nowhere on the device: it is refused, or left out.
pub fn package_directory(
    deb: &Path,
    installed_size: u64,
    path: &str,
    leave_out_links: bool,
    files: &mut Files,
) -> Result<()> {
    let deb = Deb::open(deb)?;
    let below = format!("{}/", path.trim_matches('/'));
    // Every link of the package, to follow one over others.
    let mut links: BTreeMap<String, String> = BTreeMap::new();
    each(&deb, installed_size, |name, member, content| {
        let kind = member.header.entry_type();
        let inside = name.strip_prefix(below.as_bytes());
        if kind.is_symlink() || kind.is_hard_link() {
            let (name, target) = link(name, member)?;
            links.insert(name, target);
            return Ok(());
        }
        match inside {
            Some(inside) if member.is_file() => files.take(inside, content),
            Some(inside) if !member.is_directory() => {
                bail!("{:?} is a device", String::from_utf8_lossy(inside))
            }
            _ => Ok(()),
        }
    })?;
    let mut wanted = ends(&links, &below);
    for (target, names) in &wanted {
        let known = target
            .strip_prefix(&below)
            .and_then(|target| files.number(target));
        if let Some(number) = known {
            for name in names {
                files.link(name, number)?;
            }
        }
    }
    if wanted.is_empty() {
        ensure!(files.count > 0, "the package has nothing in {path}");
        return Ok(());
    }
    each(&deb, installed_size, |name, member, content| {
        // What lies in the directory was taken the first time.
        if !member.is_file() || name.starts_with(below.as_bytes()) {
            return Ok(());
        }
        let Some(names) = std::str::from_utf8(name)
            .ok()
            .and_then(|name| wanted.remove(name))
        else {
            return Ok(());
        };
        let mut number = None;
        for name in names {
            match number {
                None => {
                    files.take(name.as_bytes(), content)?;
                    number = files.number(name);
                }
                Some(number) => files.link(name, number)?,
            }
        }
        Ok(())
    })?;
    wanted.retain(|target, _| {
        target
            .strip_prefix(&below)
            .is_none_or(|target| files.number(target).is_none())
    });
    if let (Some((target, names)), false) = (wanted.first_key_value(), leave_out_links) {
        bail!(
            "{path}/{} is a link to /{target}, which is not a file of the package",
            names.first().copied().unwrap_or_default()
        );
    }
    ensure!(files.count > 0, "the package has nothing in {path}");
    Ok(())
}

/// A link's own name, and the path in the package that it says.
fn link(name: &[u8], member: &Member) -> Result<(String, String)> {
    let target = member.link.clone().context("a link without a target")?;
    let target = String::from_utf8(target).context("a link's target is not UTF-8")?;
    let name = plain(name)?;
    let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
    let absolute = if member.header.entry_type().is_hard_link() || target.starts_with('/') {
        lexical(&target)
    } else {
        lexical(&format!("{parent}/{target}"))
    };
    Ok((name, absolute))
}

/// What links of the directory `below` come to: names in it, by the package's file.
fn ends<'a>(links: &'a BTreeMap<String, String>, below: &str) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut ends: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, target) in links {
        let Some(inside) = name.strip_prefix(below) else {
            continue;
        };
        let mut target = target.as_str();
        for _ in 0..MOST_LINKS {
            match links.get(target) {
                Some(next) => target = next,
                None => break,
            }
        }
        ends.entry(target).or_default().push(inside);
    }
    ends
}

/// Goes through the entries of a package: names without `./` before them.
fn each(
    deb: &Deb,
    installed_size: u64,
    mut visit: impl FnMut(&[u8], &Member, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let left = Cell::new(deb::most(installed_size, deb.size()?));
    let mut walk = Walk::foreign(Stream(deb.data(&left)?));
    while let Some(member) = walk.advance().context("the package is damaged")? {
        let name = member.path.strip_prefix(b"./").unwrap_or(&member.path);
        visit(name, &member, &mut walk.content())?;
    }
    Ok(())
}

/// `/a/b/../c` as `a/c`: what it says, whatever is there.
fn lexical(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}
