//! The recipe's own sources, as lines for apt: keys checked against their fingerprints, directories indexed.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use clic_host::{Cmd, UserError};
use clic_recipe::plan::{DebFile, PackageSource, SourcePlace};
use clic_store::Store;

use crate::apt::{Line, Trust};
use crate::lock;
use crate::mirror::Mirrors;

/// The line of a source.
///
/// Errors: [`UserError`] for a key that is not the one of the fingerprint, is expired or revoked, for a file that is no
/// Debian package, and for preferences that apt could not keep apart from the mirror's.
pub fn line(source: &PackageSource, mirrors: &Mirrors, store: &Store) -> Result<Line> {
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
        } => {
            apart(source, url, mirrors)?;
            let bytes = key
                .data
                .read()
                .with_context(|| format!("the key of source {}", source.name))?;
            if clic_store::sha256(&bytes) != key.sha256 {
                return Err(wrong(source, "its key file changed while we worked").into());
            }
            let scratch = store.scratch("key")?;
            check_key(source, &bytes, fingerprint, scratch.path())?;
            let trust = Trust::Key {
                name: source.key_name(),
                key: bytes,
            };
            (url.clone(), suite.clone(), components.clone(), trust)
        }
        SourcePlace::Directory { files, absolute, .. } => {
            let trust = Trust::Directory {
                index: index(source, files, absolute)?,
                files: lock::directory(absolute),
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

fn wrong(source: &PackageSource, what: &str) -> UserError {
    UserError::new(format!("{}: source {}: {what}", source.origin, source.name))
}

/// apt knows repositories by their hosts when it prefers one.
fn apart(source: &PackageSource, url: &str, mirrors: &Mirrors) -> Result<()> {
    let host = |url: &str| {
        let url = crate::mirror::without_login(url);
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

/// The file holds one key, it has this fingerprint, and it is good today.
fn check_key(source: &PackageSource, key: &[u8], fingerprint: &str, home: &Path) -> Result<()> {
    if clic_host::process::find("gpg").is_none() {
        return Err(
            UserError::new("gpg is not there: it shows the fingerprints of keys")
                .help("sudo apt-get install gpg")
                .into(),
        );
    }
    let finished = Cmd::new("gpg")
        .clean_env()
        .env("GNUPGHOME", home)
        .args([
            "--batch",
            "--no-options",
            "--no-keyring",
            "--with-colons",
            "--show-keys",
        ])
        .stdin(key)
        .finish()?;
    let listed = String::from_utf8_lossy(&finished.stdout).into_owned();
    let keys = primary_keys(&listed);
    let [one] = keys.as_slice() else {
        let what = if keys.is_empty() {
            "its key file holds no key that gpg can read".to_owned()
        } else {
            let all: Vec<&str> = keys.iter().map(|key| key.fingerprint.as_str()).collect();
            format!("its key file holds {} keys: {}", keys.len(), all.join(", "))
        };
        return Err(wrong(source, &what)
            .help(format!(
                "let it hold the one that signs: gpg --export --armor {fingerprint}"
            ))
            .into());
    };
    if one.fingerprint != fingerprint {
        return Err(wrong(
            source,
            &format!(
                "its key has the fingerprint {}, and the recipe says {fingerprint}",
                one.fingerprint
            ),
        )
        .help("one of the two is not the repository's: compare with what its makers publish")
        .into());
    }
    let state = match one.validity {
        'e' => "expired",
        'r' => "revoked",
        'd' | 'i' => "not valid",
        _ => return Ok(()),
    };
    Err(wrong(source, &format!("its key {fingerprint} is {state}"))
        .help("get the repository's new key from its makers")
        .into())
}

struct Key {
    validity: char,
    fingerprint: String,
}

/// From `gpg --with-colons` (doc/DETAILS of GnuPG): a `pub` line, then the `fpr` line of that key.
fn primary_keys(listed: &str) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let mut of_primary = false;
    for line in listed.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        match fields.as_slice() {
            ["pub", validity, ..] => {
                of_primary = true;
                keys.push(Key {
                    validity: validity.chars().next().unwrap_or('-'),
                    fingerprint: String::new(),
                });
            }
            ["sub", ..] => of_primary = false,
            ["fpr", rest @ ..] if of_primary => {
                if let (Some(key), Some(fingerprint)) = (keys.last_mut(), rest.get(8)) {
                    (*fingerprint).clone_into(&mut key.fingerprint);
                }
                of_primary = false;
            }
            _ => {}
        }
    }
    keys
}

/// The index of a directory of .deb files, as `apt-ftparchive packages` would write it.
fn index(source: &PackageSource, files: &[DebFile], dir: &Path) -> Result<String> {
    let mut index = String::new();
    for file in files {
        index += &entry(&dir.join(&file.name), file)?.map_err(|said| {
            wrong(source, &format!("{} is no Debian package: {said}", file.name))
                .help("remove it from the directory, or build it again")
        })?;
    }
    Ok(index)
}

/// What an index says of the package at `path`, or why it is none.
pub fn entry(path: &Path, file: &DebFile) -> Result<Result<String, String>> {
    let finished = Cmd::new("dpkg-deb")
        .clean_env()
        .arg("--field")
        .arg(path)
        .finish()?;
    Ok(if finished.status.success() {
        Ok(stanza(&String::from_utf8_lossy(&finished.stdout), file))
    } else {
        Err(finished.stderr.lines().last().unwrap_or_default().to_owned())
    })
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
    use super::*;

    #[test]
    fn keys_and_subkeys_of_gpgs_list() {
        let listed = "tru::1:1:0:3:1:5\npub:e:255:22:573340AB4157EE2F:1546300800:1577836800::u:::sc:::::ed25519:::0:\n\
            fpr:::::::::ACE2B9CC88C422F7CC7C1D7B573340AB4157EE2F:\nuid:e::::1546300800::F8::Old <o@example>::::::::::0:\n\
            sub:e:255:18:AAAA:1:2:::::e:::::cv25519::\nfpr:::::::::1111111111111111111111111111111111111111:\n\
            pub:-:255:22:BBBB:1:2::u:::sc:::::ed25519:::0:\nfpr:::::::::2222222222222222222222222222222222222222:\n";
        let keys: Vec<(char, String)> = primary_keys(listed)
            .into_iter()
            .map(|key| (key.validity, key.fingerprint))
            .collect();
        assert_eq!(
            keys,
            [
                ('e', "ACE2B9CC88C422F7CC7C1D7B573340AB4157EE2F".to_owned()),
                ('-', "2".repeat(40))
            ]
        );
        assert_eq!(primary_keys("gpg: no valid OpenPGP data found.").len(), 0);
    }

    #[test]
    fn a_package_cannot_write_into_the_index() {
        let file = DebFile {
            name: "a_1_all.deb".into(),
            sha256: "ab".into(),
            size: 7,
        };
        let control = "Package: a\nDepends: b,\n c (>= 1)\nFilename: /etc/passwd\nsha256: 00\nDescription: x\n .\n more\n\nPackage: evil\n";
        assert_eq!(
            stanza(control, &file),
            "Package: a\nDepends: b, c (>= 1)\nFilename: ./a_1_all.deb\nSize: 7\nSHA256: ab\n\n"
        );
    }
}
