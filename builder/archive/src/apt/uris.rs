//! What `apt-get --print-uris` prints: where the files of packages are.

use anyhow::{Context, Result};
use clic_debian::uri::without_login;

/// One line of `apt-get --print-uris`: `'URI' FILE SIZE HASH`.
#[derive(Debug, PartialEq, Eq)]
pub struct PrintedUri<'a> {
    /// Where from.
    pub uri: &'a str,
    /// Package name.
    pub name: &'a str,
    /// Version, with its epoch.
    pub version: String,
    /// Architecture, or `all`.
    pub arch: &'a str,
}

impl PrintedUri<'_> {
    /// Whether this is a file of the archive at `url`.
    pub fn is_of(&self, url: &str) -> bool {
        without_login(self.uri)
            .strip_prefix(&without_login(url))
            .is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Reads one line of `apt-get --print-uris`.
pub fn printed_uri(line: &str) -> Result<PrintedUri<'_>> {
    let parse = || {
        let (uri, rest) = line.strip_prefix('\'')?.split_once("' ")?;
        let file = rest.split(' ').next()?.strip_suffix(".deb")?;
        let mut parts = file.split('_');
        let (name, version, arch) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || name.is_empty() || version.is_empty() {
            return None;
        }
        // apt writes the epoch's colon as %3a in file names.
        let version = version.replace("%3a", ":").replace("%3A", ":");
        Some(PrintedUri {
            uri,
            name,
            version,
            arch,
        })
    };
    parse().with_context(|| format!("apt printed an address that cannot be read: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_addresses() {
        let line = "'http://h/pool/a/attr/libattr1_2.5.1-4_arm64.deb' libattr1_1%3a2.5.1-4_arm64.deb 21888 MD5Sum:5f";
        let printed = printed_uri(line).unwrap();
        assert_eq!(
            (printed.name, printed.version.as_str(), printed.arch),
            ("libattr1", "1:2.5.1-4", "arm64")
        );
        assert_eq!(printed.uri, "http://h/pool/a/attr/libattr1_2.5.1-4_arm64.deb");
        for wrong in ["", "'http://h/x.deb'", "'http://h/x' x 1 y", "'u' a_b.deb 1 h"] {
            assert!(printed_uri(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_belong_to_archives() {
        let of = |uri: &str, url: &str| {
            let line = format!("'{uri}' a_1_all.deb 1 MD5Sum:5f");
            printed_uri(&line).unwrap().is_of(url)
        };
        assert!(of("http://h/debian/pool/a.deb", "http://h/debian"));
        assert!(of("http://h/debian/pool/a.deb", "http://me:pw@h/debian"));
        assert!(of("file:/srv/debian/pool/a.deb", "file:/srv/debian"));
        assert!(!of("http://h/debian-security/pool/a.deb", "http://h/debian"));
    }
}
