//! Keys of repositories: what gpg says of a key file, and which keys people have confirmed.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clic_host::{Cmd, Sha256, UserError};
use clic_recipe::plan::{PackageSource, Plan};

use crate::inputs::SourceInput;

/// The one key of a key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// 40 hexadecimal digits, upper case.
    pub fingerprint: String,
    /// Whose it says that it is, as it can be shown.
    pub user_ids: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub created: Option<u64>,
    /// When it expires, likewise; never, if there is no time.
    pub expires: Option<u64>,
    /// gpg's letter.
    validity: char,
}

impl Key {
    /// Reads a key file. The inner error: why it does not hold one key, after `holds`.
    ///
    /// Errors: [`UserError`] when gpg is not there.
    pub fn read(bytes: &[u8]) -> Result<Result<Self, String>> {
        if clic_host::process::find("gpg").is_none() {
            return Err(
                UserError::new("gpg is not there: it shows the fingerprints of keys")
                    .help("sudo apt-get install gpg")
                    .into(),
            );
        }
        // It wants a home that is a directory, and puts nothing there that counts.
        let home = tempfile::tempdir().context("cannot make a directory for gpg")?;
        let finished = Cmd::new("gpg")
            .clean_env()
            .env("GNUPGHOME", home.path())
            .args([
                "--batch",
                "--no-options",
                "--no-keyring",
                "--with-colons",
                "--show-keys",
            ])
            .stdin(bytes)
            .finish()?;
        let mut keys = primary_keys(&String::from_utf8_lossy(&finished.stdout));
        Ok(match (keys.pop(), keys.is_empty()) {
            (Some(key), true) => Ok(key),
            (None, _) => Err("no key that gpg can read".to_owned()),
            (Some(last), false) => {
                keys.push(last);
                let all: Vec<&str> = keys.iter().map(|key| key.fingerprint.as_str()).collect();
                Err(format!("{} keys: {}", keys.len(), all.join(", ")))
            }
        })
    }

    /// Why it is of no use today, if it is not.
    pub fn spoiled(&self) -> Option<&'static str> {
        match self.validity {
            'e' => Some("expired"),
            'r' => Some("revoked"),
            'd' | 'i' => Some("not valid"),
            _ => None,
        }
    }
}

/// From `gpg --with-colons` (doc/DETAILS of `GnuPG`): a `pub` line, then the `fpr` line of that key, and its `uid` lines.
pub(crate) fn primary_keys(listed: &str) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let mut of_primary = false;
    for line in listed.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |number: usize| fields.get(number - 1).copied().unwrap_or_default();
        match field(1) {
            "pub" => {
                of_primary = true;
                keys.push(Key {
                    fingerprint: String::new(),
                    user_ids: Vec::new(),
                    created: field(6).parse().ok(),
                    expires: field(7).parse().ok(),
                    validity: field(2).chars().next().unwrap_or('-'),
                });
            }
            "sub" => of_primary = false,
            "fpr" if of_primary => {
                if let Some(key) = keys.last_mut() {
                    field(10).clone_into(&mut key.fingerprint);
                }
                of_primary = false;
            }
            "uid" => {
                if let Some(key) = keys.last_mut() {
                    key.user_ids.push(shown(field(10)));
                }
            }
            _ => {}
        }
    }
    keys
}

/// A name out of a key: anybody wrote it, so nothing in it may move a terminal's cursor or turn its writing around.
fn shown(text: &str) -> String {
    let mut out = String::new();
    for c in text.replace("\\x3a", ":").chars() {
        if matches!(c, '"' | '\'' | '\\') {
            out.push(c);
        } else {
            out.extend(c.escape_debug());
        }
    }
    out
}

/// Keys that people have confirmed, for sources whose fingerprint the recipe leaves open.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    /// By source.
    pins: BTreeMap<String, Pin>,
    /// The command by which a person confirms another one.
    confirm: String,
}

/// A confirmed key.
#[derive(Clone, Debug)]
struct Pin {
    fingerprint: String,
    /// Who says so: the lock's name.
    by: String,
    /// SHA-256 of the key file that was confirmed, if that is known.
    key_sha256: Option<Sha256>,
}

impl Pins {
    /// None yet. `confirm`: the command by which a person confirms a key.
    pub fn new(confirm: impl Into<String>) -> Self {
        Self {
            pins: BTreeMap::new(),
            confirm: confirm.into(),
        }
    }

    /// Adds those of a lock's sources, called `by`, for sources that have none.
    pub fn add(&mut self, sources: &[SourceInput], by: &str) {
        for source in sources {
            if let Some(fingerprint) = &source.fingerprint {
                self.pins.entry(source.name.clone()).or_insert_with(|| Pin {
                    fingerprint: fingerprint.clone(),
                    by: by.to_owned(),
                    key_sha256: source.key_sha256,
                });
            }
        }
    }

    /// From now on `source` has this key, whatever was confirmed before.
    pub fn confirm(&mut self, source: &str, fingerprint: &str) {
        let pin = Pin {
            fingerprint: fingerprint.to_owned(),
            by: "--trust-key".to_owned(),
            key_sha256: None,
        };
        self.pins.insert(source.to_owned(), pin);
    }

    /// The fingerprint that was confirmed for a source, and who says so.
    pub fn get(&self, source: &str) -> Option<(&str, &str)> {
        let pin = self.pins.get(source)?;
        Some((&pin.fingerprint, &pin.by))
    }

    /// Whether the plan's key files hold the keys that were confirmed, as far as there are some. Uses no network.
    ///
    /// Errors: [`UserError`] for a key that is another one.
    pub fn check(&self, plan: &Plan) -> Result<()> {
        for source in &plan.sources {
            let Some((key, _)) = source.open_key() else {
                continue;
            };
            let Some(pin) = self.pins.get(&source.name) else {
                continue;
            };
            if pin.key_sha256 != Some(key.sha256) {
                let bytes = key
                    .data
                    .read()
                    .with_context(|| format!("the key of source {}", source.name))?;
                self.accept(source, None, &bytes)?;
            }
        }
        Ok(())
    }

    /// The key file of a source holds one key, it is the one that the recipe says or else that somebody confirmed, and it is
    /// good today.
    pub(crate) fn accept(&self, source: &PackageSource, says: Option<&str>, bytes: &[u8]) -> Result<()> {
        let pin = self.get(&source.name);
        let key = match Key::read(bytes)? {
            Ok(key) => key,
            Err(holds) => {
                let wanted = says.or(pin.map(|(fingerprint, _)| fingerprint));
                let wanted = wanted.unwrap_or("FINGERPRINT");
                return Err(wrong(source, &format!("its key file holds {holds}"))
                    .help(format!(
                        "let it hold the one that signs: gpg --export --armor {wanted}"
                    ))
                    .into());
            }
        };
        let found = &key.fingerprint;
        let file = source
            .open_key()
            .map_or_else(String::new, |(_, path)| format!(" `{path}`"));
        match (says, pin) {
            (Some(says), _) if says != found => {
                return Err(wrong(
                    source,
                    &format!("its key has the fingerprint {found}, and the recipe says {says}"),
                )
                .help("one of the two is not the repository's: compare with what its makers publish")
                .into());
            }
            (None, Some((pinned, by))) if pinned != found => {
                return Err(wrong(
                    source,
                    &format!("its key{file} has the fingerprint {found}, and {by} pins {pinned}"),
                )
                .help(format!(
                    "if nobody told you of a new key, take the old file back from version control; else compare the new \
                     fingerprint with somebody who knows it, and confirm it: {}",
                    self.confirm
                ))
                .into());
            }
            (None, None) => {
                return Err(wrong(
                    source,
                    &format!("nobody has confirmed its key{file}, with the fingerprint {found}"),
                )
                .help(format!(
                    "compare it with somebody who knows it, and confirm it: {}",
                    self.confirm
                ))
                .into());
            }
            _ => {}
        }
        match key.spoiled() {
            None => Ok(()),
            Some(state) => Err(wrong(source, &format!("its key {found} is {state}"))
                .help("get the repository's new key from its makers")
                .into()),
        }
    }
}

/// An error of a source, with its place.
pub(crate) fn wrong(source: &PackageSource, what: &str) -> UserError {
    UserError::new(format!("{}: source {}: {what}", source.origin, source.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_subkeys_of_gpgs_list() {
        let listed = "tru::1:1:0:3:1:5\npub:e:255:22:573340AB4157EE2F:1546300800:1577836800::u:::sc:::::ed25519:::0:\n\
            fpr:::::::::ACE2B9CC88C422F7CC7C1D7B573340AB4157EE2F:\nuid:e::::1546300800::F8::Old\\x3a <o@example>::::::::::0:\n\
            sub:e:255:18:AAAA:1:2:::::e:::::cv25519::\nfpr:::::::::1111111111111111111111111111111111111111:\n\
            pub:-:255:22:BBBB:1:::u:::sc:::::ed25519:::0:\nfpr:::::::::2222222222222222222222222222222222222222:\n";
        let keys = primary_keys(listed);
        let [old, new] = keys.as_slice() else {
            panic!("{keys:?}")
        };
        assert_eq!(old.fingerprint, "ACE2B9CC88C422F7CC7C1D7B573340AB4157EE2F");
        assert_eq!(old.user_ids, ["Old: <o@example>"]);
        assert_eq!(
            (old.created, old.expires, old.spoiled()),
            (Some(1_546_300_800), Some(1_577_836_800), Some("expired"))
        );
        assert_eq!(new.fingerprint, "2".repeat(40));
        assert_eq!((new.created, new.expires, new.spoiled()), (Some(1), None, None));
        assert_eq!(primary_keys("gpg: no valid OpenPGP data found.").len(), 0);
    }

    #[test]
    fn a_keys_name_cannot_write_to_the_terminal() {
        assert_eq!(
            shown("Zo\u{eb} O'Neil <z@example>\u{1b}[2J\u{202e}"),
            "Zo\u{eb} O'Neil <z@example>\\u{1b}[2J\\u{202e}"
        );
    }
}
