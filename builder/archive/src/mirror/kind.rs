//! Kinds of addresses, and lists of mirrors: apt-transport-mirror(1).

use anyhow::Result;
use clic_debian::uri::{self, without_login};

use crate::host::HostApt;

/// What small file is at an address.
pub type Ask<'a> = dyn Fn(&str) -> Result<String> + 'a;

/// Why an address is of no use, after the address, and what to do.
pub(super) type Useless = (String, String);

const EXAMPLE: &str = "an address looks like http://HOST/debian or file:/srv/debian";

/// The address that apt and we can both use, without its last slashes; of a list of mirrors, one of them.
pub(super) fn followed(url: &str, host: &HostApt, ask: &Ask<'_>) -> Result<String, Useless> {
    let (scheme, rest) = parts(url)?;
    match scheme {
        "mirror+file" | "mirror+copy" => {
            let path = uri::decoded(absolute(rest)?);
            let text = std::fs::read_to_string(&path);
            listed(&text.map_err(|error| cannot_read(&error))?, &path, true, host)
        }
        "mirror" | "mirror+http" | "mirror+https" => {
            let scheme = scheme.strip_prefix("mirror+").unwrap_or("http");
            let place = checked(&format!("{scheme}:{rest}"), host)?;
            let text = ask(&place).map_err(|error| cannot_read(&format!("{error:#}")))?;
            listed(&text, &place, false, host)
        }
        _ => checked(url, host),
    }
}

/// The mirrors that a local list names, for who wants to know whose they are.
pub(super) fn of_local_list(url: &str) -> Vec<String> {
    let local = parts(url)
        .ok()
        .filter(|(scheme, _)| ["mirror+file", "mirror+copy"].contains(scheme));
    let path = local.and_then(|(_, rest)| absolute(rest).ok()).map(uri::decoded);
    let text = path
        .and_then(|path| std::fs::read_to_string(path).ok())
        .unwrap_or_default();
    lines(&text).map(|(url, _)| url.to_owned()).collect()
}

fn cannot_read(why: &dyn std::fmt::Display) -> Useless {
    (
        format!("is a list of mirrors that can't be read: {why}"),
        "fix it, or name a mirror itself".to_owned(),
    )
}

/// The first mirror of a list that has everything: those of the lowest number first, as apt does. Only a list of this machine may name
/// its directories.
fn listed(text: &str, place: &str, is_local: bool, host: &HostApt) -> Result<String, Useless> {
    let compressed = [".gz", ".xz", ".bz2", ".lzma", ".lz4", ".zst"]
        .iter()
        .any(|end| place.ends_with(end));
    if compressed {
        return Err(cannot_read(&"it is compressed"));
    }
    // What is said of a mirror beside its priority is what it alone has.
    let limits = |words: &str| {
        words
            .split_whitespace()
            .filter(|word| !word.starts_with("priority:"))
            .count()
    };
    let number = |words: &str| {
        let number = words
            .split_whitespace()
            .find_map(|word| word.strip_prefix("priority:")?.parse().ok());
        number.unwrap_or(u32::MAX)
    };
    let mut all: Vec<(&str, &str)> = lines(text).collect();
    all.sort_by_key(|(_, words)| (limits(words) > 0, number(words)));
    let mut useless = None;
    for (url, _) in all {
        let (scheme, _) = parts(url)?;
        let allowed = matches!(scheme, "http" | "https") || (is_local && !scheme.starts_with("mirror"));
        if !allowed {
            useless.get_or_insert((
                url,
                format!("a mirror of kind {scheme}: does not belong into this list"),
            ));
            continue;
        }
        match checked(url, host) {
            Ok(url) => return Ok(url),
            Err((why, _)) => drop(useless.get_or_insert((url, why))),
        }
    }
    Err(match useless {
        None => cannot_read(&"it names none"),
        Some((url, why)) => cannot_read(&format!("{} {why}", without_login(url))),
    })
}

/// The mirrors of a list, and what it says of each.
fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(char::is_whitespace).unwrap_or((line, "")))
}

fn parts(url: &str) -> Result<(&str, &str), Useless> {
    let strange = |c: char| c.is_whitespace() || c.is_control() || "[]\"'".contains(c);
    let is_cd = url.starts_with("cdrom:");
    match url.split_once(':') {
        _ if url.contains(strange) && !is_cd => {
            Err(("has a character that no address has".into(), EXAMPLE.into()))
        }
        None => Err(("is not an address".into(), EXAMPLE.into())),
        Some(parts) => Ok(parts),
    }
}

fn absolute(rest: &str) -> Result<&str, Useless> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.starts_with('/') {
        return Ok(path);
    }
    Err(("names no absolute directory".into(), EXAMPLE.into()))
}

/// An address that is no list, without its last slashes.
fn checked(url: &str, host: &HostApt) -> Result<String, Useless> {
    let (scheme, rest) = parts(url)?;
    // copy: is apt's other word for a directory of this machine.
    if matches!(scheme, "file" | "copy") {
        // apt leaves out the empty host of file:///, and so do we: addresses are compared.
        return Ok(format!("{scheme}:{}", absolute(rest)?)
            .trim_end_matches('/')
            .to_owned());
    }
    if !matches!(scheme, "http" | "https") {
        host.can(scheme)?;
    }
    let authority = rest.strip_prefix("//").and_then(|rest| rest.split('/').next());
    let names_host = authority.is_some_and(|authority| !authority.is_empty() && !authority.ends_with('@'));
    if !names_host {
        return Err(("names no host".into(), EXAMPLE.into()));
    }
    Ok(url.trim_end_matches('/').to_owned())
}
