//! The recipe's own sources, as lines for apt: keys that are known, directories indexed.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use clic_debian::deb::Deb;
use clic_debian::uri;
use clic_host::Sha256;
use clic_recipe::plan::{DebFile, PackageSource, SourcePlace};

use crate::apt::{Line, Trust};
use crate::key::{Pins, wrong};
use crate::mirror::Mirrors;

/// The line of a source.
///
/// Errors: [`clic_host::UserError`] for a key that is not the one of the fingerprint, that nobody confirmed, or that is expired or revoked,
/// for a file that is not a Debian package, and for preferences that apt could not keep apart from the mirror's.
pub fn line(source: &PackageSource, mirrors: &Mirrors, pins: &Pins) -> Result<Line> {
    let (url, suite, components, trust) = match &source.place {
        SourcePlace::Suite { suite, components } => (
            mirrors.main.clone(),
            suite.clone(),
            components.clone(),
            Trust::Debian,
        ),
        SourcePlace::Repository {
            url,
            suite,
            components,
            key,
            fingerprint,
            ..
        } => {
            apart(source, url, mirrors)?;
            let bytes = key
                .data
                .read()
                .with_context(|| format!("the key of source {}", source.name))?;
            if Sha256::of(&bytes) != key.sha256 {
                return Err(wrong(source, "its key file changed while we worked").into());
            }
            pins.accept(source, fingerprint.as_deref(), &bytes)?;
            let trust = Trust::Key {
                name: source.key_name(),
                key: bytes,
            };
            (url.clone(), suite.clone(), components.clone(), trust)
        }
        SourcePlace::Directory { files, absolute, .. } => {
            let trust = Trust::Directory {
                index: index(source, files, absolute)?,
                files: uri::directory(absolute),
            };
            // apt's way to write a directory without dists/.
            (String::new(), "./".to_owned(), Vec::new(), trust)
        }
    };
    Ok(Line {
        source: source.name.clone(),
        url,
        suite,
        components,
        optional: false,
        trust,
    })
}

/// apt knows repositories by their hosts when it prefers one.
fn apart(source: &PackageSource, url: &str, mirrors: &Mirrors) -> Result<()> {
    let host = |url: &str| {
        let url = uri::without_login(url);
        let rest = url.split_once("://").map_or("", |(_, rest)| rest).to_owned();
        rest.split(['/', ':']).next().unwrap_or_default().to_owned()
    };
    let debian = [Some(&mirrors.main), mirrors.security.as_ref()];
    let same = debian
        .into_iter()
        .flatten()
        .any(|mirror| host(mirror) == host(url));
    if same && !source.preferences().is_empty() {
        return Err(wrong(
            source,
            "apt can't tell its packages from Debian's, which come from the same host",
        )
        .help("name another Debian mirror with --mirror URL, or leave out `packages` and `priority`")
        .into());
    }
    Ok(())
}

/// The index of a directory of .deb files, as `apt-ftparchive packages` would write it.
fn index(source: &PackageSource, files: &[DebFile], dir: &Path) -> Result<String> {
    let mut index = String::new();
    for file in files {
        index += &entry(&dir.join(&file.name), file).map_err(|said| {
            wrong(source, &format!("{} is not a Debian package: {said}", file.name))
                .help("remove it from the directory, or build it again")
        })?;
    }
    Ok(index)
}

/// What an index says of the package at `path`, or why it is none. Anybody may have made it: dpkg-deb would unpack all of its control
/// part into /tmp first.
fn entry(path: &Path, file: &DebFile) -> Result<String, String> {
    let control = Deb::control_of(path).map_err(|error| format!("{error:#}"))?;
    // apt passes over what lacks one of these, without a word.
    for field in ["Version", "Architecture"] {
        if control.field(field).is_none_or(str::is_empty) {
            return Err(format!("its control file says no {field}"));
        }
    }
    Ok(stanza(&control.stanza, file))
}

/// A package's control fields with what an index adds. Folded fields become one line, a blank line ends nothing, and of
/// a field that is there twice the first counts.
fn stanza(control: &str, file: &DebFile) -> String {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in control.lines().filter(|line| !line.trim().is_empty()) {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    let ours = [
        "Filename",
        "Size",
        "SHA256",
        "MD5sum",
        "SHA1",
        "SHA512",
        "Description",
    ];
    let mut text = String::new();
    let mut seen: Vec<String> = ours.iter().map(|name| name.to_ascii_lowercase()).collect();
    for (name, value) in fields {
        if !seen.contains(&name.to_ascii_lowercase()) {
            seen.push(name.to_ascii_lowercase());
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}: {value}");
        }
    }
    let _ = writeln!(
        text,
        "Filename: ./{}\nSize: {}\nSHA256: {}\n",
        file.name, file.size, file.sha256
    );
    text
}

#[cfg(test)]
mod tests {
    use clic_debian::testdeb::{self, compressed, parts, tar};

    use super::*;

    /// What the index says of this package file.
    fn indexed(bytes: &[u8]) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.deb");
        std::fs::write(&path, bytes).unwrap();
        let file = DebFile {
            name: "a.deb".into(),
            sha256: Sha256::of(bytes),
            size: bytes.len() as u64,
        };
        entry(&path, &file)
    }

    #[test]
    fn a_control_part_without_end_is_not_unpacked() {
        let stanza = testdeb::file("./control", testdeb::stanza("a").as_bytes(), 0o644);
        let bomb = testdeb::file("./md5sums", &vec![0; 70 << 20], 0o644);
        let control = compressed(".xz", &tar(&[stanza, bomb]));
        assert!(control.len() < 1 << 20);
        let said = indexed(&parts(&control, ".xz", &tar(&[]), "")).unwrap_err();
        assert_eq!(
            said,
            "its control.tar has more than 64 MiB: it unpacks to more than is allowed"
        );
    }

    #[test]
    fn a_package_is_indexed_by_what_it_says() {
        let of = |text: &str| {
            let control = tar(&[testdeb::file("control", text.as_bytes(), 0o644)]);
            indexed(&parts(&control, "", &tar(&[]), ""))
        };
        let text = of("Package: a\nVersion: 1:2\nArchitecture: all\n").unwrap();
        assert!(
            text.starts_with("Package: a\nVersion: 1:2\nArchitecture: all\nFilename: ./a.deb\nSize: "),
            "{text}"
        );
        for (text, said) in [
            (
                "Package: a\nArchitecture: all\n",
                "its control file says no Version",
            ),
            (
                "Package: a\nVersion:\nArchitecture: all\n",
                "its control file says no Version",
            ),
            (
                "Package: a\nVersion: 1\nArchitecture: all\nodd\n",
                "its control file has the line \"odd\", which is no field",
            ),
            (
                "Package: a\nVersion: 1\nArchitecture: amd64 arm64\n",
                "its control file says Architecture: \"amd64 arm64\", which no package may have",
            ),
        ] {
            let found = of(text);
            assert_eq!(found.as_ref().err().map(String::as_str), Some(said), "{found:?}");
        }
        assert_eq!(
            indexed(b"PK\x03\x04 and so on").unwrap_err(),
            "it does not begin as one"
        );
    }

    #[test]
    fn a_package_cannot_write_into_the_index() {
        let file = DebFile {
            name: "a_1_all.deb".into(),
            sha256: "ab".repeat(32).parse().unwrap(),
            size: 7,
        };
        let control = "Package: a\nDepends: b,\n c (>= 1)\nFilename: /etc/passwd\nsha256: 00\nDescription: x\n .\n more\n\nPackage: evil\n";
        assert_eq!(
            stanza(control, &file),
            format!(
                "Package: a\nDepends: b, c (>= 1)\nFilename: ./a_1_all.deb\nSize: 7\nSHA256: {}\n\n",
                "ab".repeat(32)
            )
        );
    }
}
