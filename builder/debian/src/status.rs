//! The packages of an image, from dpkg's own record.

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

#[cfg(test)]
mod tests {
    use super::*;

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
