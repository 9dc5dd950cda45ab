//! apt's index of all candidates, and the packages that apt chose out of it.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use clic_debian::{control, deb, uri};

use crate::apt::{self, Apt, Line};
use crate::parts::Part;
use crate::resolution::Package;

/// The candidates of every package.
pub(crate) struct Index<'a> {
    pub stanzas: HashMap<&'a str, &'a str>,
    /// Packages of priority required, which all of Debian's essential ones are. That another repository calls a package
    /// essential (`YunoHost` does) means that it is hard to remove, not that every system begins with it.
    pub(crate) base: Vec<&'a str>,
    /// Virtual packages and who provides them.
    pub provided: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut index = Self {
            stanzas: HashMap::new(),
            base: Vec::new(),
            provided: HashMap::new(),
        };
        for stanza in control::stanzas(text) {
            let Some(name) = control::field(stanza, "Package") else {
                continue;
            };
            index.stanzas.insert(name, stanza);
            if control::field(stanza, "Priority") == Some("required") {
                index.base.push(name);
            }
            for provided in control::value(stanza, "Provides")
                .into_iter()
                .flat_map(|list| list.split(','))
            {
                if let Some(provided) = provided.split_whitespace().next() {
                    index.provided.entry(provided).or_default().push(name);
                }
            }
        }
        index
    }
}

/// What apt would install on an empty system to have `names`, sorted by name. `Err(text)` is apt's explanation of why
/// it cannot.
pub(crate) fn choose(apt: &Apt, index: &Index<'_>, names: &[&str]) -> Result<Result<Vec<Package>, String>> {
    let uris = match apt.install_uris(names)? {
        Ok(uris) => uris,
        Err(said) => return Ok(Err(said)),
    };
    printed(&uris, apt, index).map(Ok)
}

/// The packages of lines that apt printed, sorted by name.
pub(crate) fn printed(uris: &str, apt: &Apt, index: &Index<'_>) -> Result<Vec<Package>> {
    let mut packages = Vec::new();
    for line in uris.lines().filter(|line| line.starts_with('\'')) {
        let printed = apt::printed_uri(line)?;
        let stanza = index.stanzas.get(printed.name).copied();
        let stanza =
            stanza.with_context(|| format!("apt chose {}, which its index does not have", printed.name))?;
        packages.push(package(&printed, stanza, apt.lines())?);
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

/// What the index says of a package that apt chose. Who asked for it is not known here.
pub(crate) fn package(printed: &apt::PrintedUri<'_>, stanza: &str, lines: &[Line]) -> Result<Package> {
    let get = |field: &str| {
        control::field(stanza, field)
            .with_context(|| format!("the index's entry of {} has no {field}", printed.name))
    };
    if get("Version")? != printed.version {
        bail!(
            "apt chose {} {}, but its index has {}",
            printed.name,
            printed.version,
            get("Version")?
        );
    }
    let number = |field: &str| -> Result<u64> {
        get(field)?
            .parse()
            .with_context(|| format!("{field} of {} is not a number", printed.name))
    };
    // Suites of one mirror share its address, and its first name is the mirror's own.
    let line = lines
        .iter()
        .rev()
        .filter(|line| printed.is_of(&line.url))
        .max_by_key(|line| line.url.len())
        .with_context(|| {
            format!(
                "apt chose {} from {}, which is none of its sources",
                printed.name,
                uri::without_login(printed.uri)
            )
        })?;
    let filename = get("Filename")?;
    let filename = filename.strip_prefix("./").unwrap_or(filename);
    Ok(Package {
        uri: uri::file(line.files(), filename),
        name: printed.name.into(),
        version: printed.version.clone(),
        arch: printed.arch.into(),
        source: line.source.clone(),
        filename: filename.into(),
        sha256: get("SHA256")?
            .to_ascii_lowercase()
            .parse()
            .with_context(|| format!("SHA256 of {}", printed.name))?,
        size: number("Size")?,
        // In KiB, and left out by a few packages.
        installed_size: deb::installed_size(
            number("Installed-Size").ok().map(|kib| kib.saturating_mul(1024)),
            number("Size")?,
        ),
        automatic: false,
        part: Part::Base,
        stanza: stanza.trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apt::Trust;

    const INDEX: &str = "Package: bash\nEssential: yes\nPriority: required\nVersion: 5.2\nFilename: pool/bash.deb\n\
        Size: 10\nInstalled-Size: 3\nSHA256: BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD\n\nPackage: nginx-light\nProvides: httpd, nginx (= 1)\nPriority: optional\n\n\
        Package: mount\nPriority: required\n\nPackage: openssh-server\n\nPackage: openssh-client\n\n\
        Package: yunohost\nEssential: yes\nPriority: optional\n";

    #[test]
    fn the_base_and_what_is_provided() {
        let index = Index::new(INDEX);
        assert_eq!(index.base, ["bash", "mount"]);
        assert_eq!(index.provided["nginx"], ["nginx-light"]);
    }

    #[test]
    fn a_package_is_what_the_index_says() {
        let index = Index::new(INDEX);
        let lines = ["http://h", "http://h/security"].map(|url| Line {
            source: url.into(),
            url: url.into(),
            suite: "bookworm".into(),
            components: Vec::new(),
            optional: false,
            trust: Trust::Debian,
        });
        let line = "'http://h/security/pool/bash.deb' bash_5.2_amd64.deb 10 MD5Sum:x";
        let found = package(&apt::printed_uri(line).unwrap(), index.stanzas["bash"], &lines).unwrap();
        assert_eq!(
            (found.source.as_str(), found.filename.as_str()),
            ("http://h/security", "pool/bash.deb")
        );
        assert_eq!(
            (found.sha256, found.size, found.installed_size),
            (clic_host::Sha256::of("abc"), 10, 3072)
        );
        let line = line.replace("5.2", "5.3");
        let error = package(&apt::printed_uri(&line).unwrap(), index.stanzas["bash"], &lines).unwrap_err();
        assert_eq!(error.to_string(), "apt chose bash 5.3, but its index has 5.2");
        let line = "'http://h/x.deb' mount_1_amd64.deb 10 MD5Sum:x";
        let error = package(&apt::printed_uri(line).unwrap(), index.stanzas["mount"], &lines).unwrap_err();
        assert_eq!(error.to_string(), "the index's entry of mount has no Version");
        let line = "'http://other/pool/bash.deb' bash_5.2_amd64.deb 10 MD5Sum:x";
        let error = package(&apt::printed_uri(line).unwrap(), index.stanzas["bash"], &lines).unwrap_err();
        assert_eq!(
            error.to_string(),
            "apt chose bash from http://other/pool/bash.deb, which is none of its sources"
        );
    }
}
