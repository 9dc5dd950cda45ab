//! The packages of an image, from dpkg's own record, and how their versions compare.

use std::cmp::Ordering;

use serde::Serialize;

/// Where dpkg keeps its record.
pub const STATUS: &str = "/var/lib/dpkg/status";

/// A package that dpkg knows of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture, `all` included.
    pub architecture: String,
    /// `install ok installed` when it is installed and configured.
    pub status: String,
    /// What it says to take on disk, in kibibytes.
    pub installed_size: Option<u64>,
}

impl Package {
    /// Whether it is installed and configured.
    pub fn installed(&self) -> bool {
        self.status.split(' ').next_back() == Some("installed")
    }
}

/// Reads dpkg's status file: its paragraphs, sorted by name and architecture. Paragraphs without a name are left out.
pub fn parse(status: &str) -> Vec<Package> {
    let mut packages: Vec<Package> = status.split("\n\n").filter_map(paragraph).collect();
    packages.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
    packages
}

fn paragraph(text: &str) -> Option<Package> {
    let field = |name: &str| {
        text.lines().find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(':')?;
            Some(value.trim().to_owned())
        })
    };
    Some(Package {
        name: field("Package")?,
        version: field("Version").unwrap_or_default(),
        architecture: field("Architecture").unwrap_or_default(),
        status: field("Status").unwrap_or_default(),
        installed_size: field("Installed-Size").and_then(|size| size.parse().ok()),
    })
}

/// Compares two versions as dpkg does (Debian policy, section 5.6.12).
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let (a_epoch, a) = epoch(a);
    let (b_epoch, b) = epoch(b);
    let (a, a_revision) = a.rsplit_once('-').unwrap_or((a, ""));
    let (b, b_revision) = b.rsplit_once('-').unwrap_or((b, ""));
    a_epoch
        .cmp(&b_epoch)
        .then_with(|| part(a, b))
        .then_with(|| part(a_revision, b_revision))
}

fn epoch(version: &str) -> (u64, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    }
}

/// Alternates between text, where `~` sorts before the end and letters before the rest, and numbers.
fn part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        loop {
            let (x, y) = (weight(a.first()), weight(b.first()));
            if x != y {
                return x.cmp(&y);
            }
            if x == 0 {
                break;
            }
            (a, b) = (a.get(1..).unwrap_or(&[]), b.get(1..).unwrap_or(&[]));
        }
        let (x, rest_a) = number(a);
        let (y, rest_b) = number(b);
        let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// Weight of a character outside of numbers; digits and the end weigh nothing.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

/// The leading digits without leading zeros, and what follows.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    (digits.get(zeros..).unwrap_or(&[]), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_dpkg_says() {
        use Ordering::{Equal, Greater, Less};
        for (a, b, order) in [
            ("1.0", "1.0", Equal),
            ("1.0~rc1", "1.0", Less),
            ("1.10", "1.9", Greater),
            ("1:0.1", "2.0", Greater),
            ("6.1.176-1", "6.1.99-1", Greater),
            ("2.36-9+deb12u9", "2.36-9+deb12u13", Less),
            ("1.0-1", "1.0", Greater),
            ("1.0a", "1.0+", Less),
            ("007", "7", Equal),
        ] {
            assert_eq!(compare_versions(a, b), order, "{a} {b}");
            assert_eq!(compare_versions(b, a), order.reverse(), "{b} {a}");
        }
    }

    #[test]
    fn a_status_file_is_read_whole() {
        let status = "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.2\n\n\
                      Package: apt\nStatus: deinstall ok config-files\nVersion: 2\nDescription: x\n Package: y\n\n\n";
        let packages = parse(status);
        assert_eq!(packages.len(), 2);
        assert_eq!(
            (packages[0].name.as_str(), packages[0].installed()),
            ("apt", false)
        );
        assert_eq!(
            (packages[1].version.as_str(), packages[1].installed()),
            ("1:1.2", true)
        );
        assert!(parse("garbage \0\u{fffd}").is_empty());
    }
}
