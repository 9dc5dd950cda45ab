//! The key files of repositories: in the tree, or still to be fetched.

use std::path::Path;

use crate::report::{Problem, Problems};
use crate::source::{Origin, Sited};
use crate::sources::{Place, Source};
use crate::tree::{Closed, Tree};

/// Largest key file, in bytes.
pub const MOST_KEY: u64 = 1 << 20;

/// The key of a repository that is not in the tree yet.
#[derive(Clone, Debug)]
pub struct AbsentKey {
    /// The source's name.
    pub source: String,
    /// Where the repository's makers publish it.
    pub url: String,
    /// The path that it is to have in the tree.
    pub path: String,
    /// Its fingerprint, if the recipe says it.
    pub fingerprint: Option<String>,
    /// Where the recipe names the address.
    pub origin: Origin,
}

impl AbsentKey {
    /// Why `recipe` can't be built for `board` yet, and what to do about it.
    pub(crate) fn problem(&self, recipe: &str, board: &str) -> Problem {
        Problem::at(
            &self.origin,
            format!("the key of source `{}` is not in this tree", self.source),
        )
        .help(format!(
            "`clic lock {recipe} --board {board} --trust-key` fetches it, and shows its fingerprint to be confirmed once"
        ))
    }
}

/// The key that nobody has put into the tree yet, if the recipe says where to get it.
pub(crate) fn absent_key(tree: &Tree, source: &Source) -> Option<AbsentKey> {
    let Place::Repository {
        key,
        key_url: Some(url),
        fingerprint,
        ..
    } = &source.place
    else {
        return None;
    };
    // A link that leads nowhere is there, and wrong.
    let absent = matches!(tree.place(Path::new(&key.value)), Err(Closed::Absent(_)));
    absent.then(|| AbsentKey {
        source: source.name.value.clone(),
        url: url.value.clone(),
        path: key.value.clone(),
        fingerprint: fingerprint.clone(),
        origin: url.origin.clone(),
    })
}

/// The key file: public, of reasonable size, and inside of the tree.
pub(crate) fn read_key(tree: &Tree, key: &Sited<String>, problems: &mut Problems) -> Option<Vec<u8>> {
    let mut wrong = |why: &str| {
        problems
            .wrong(&key.origin, format!("key file `{}` {why}", key.value))
            .help("it is the repository's public key, as `gpg --export --armor` writes it, in a file of this tree");
        None
    };
    let path = match tree.place(Path::new(&key.value)) {
        Ok(path) => path,
        Err(Closed::Absent(_)) => return wrong("is not there"),
        Err(closed) => return wrong(&format!("is not opened: {closed}")),
    };
    let meta = std::fs::metadata(&path);
    if !meta.is_ok_and(|meta| meta.is_file() && (1..=MOST_KEY).contains(&meta.len())) {
        return wrong("is not a file, or has no key's size");
    }
    let Ok(bytes) = std::fs::read(&path) else {
        return wrong("can't be read");
    };
    match public_key(&bytes) {
        Ok(()) => Some(bytes),
        Err(why) => wrong(why),
    }
}

/// Whether this can be a file with a public key, by its first looks. Whose it is, gpg says.
pub fn public_key(bytes: &[u8]) -> Result<(), &'static str> {
    const PRIVATE: &str = "holds a PRIVATE key, which must never be in a tree that others read";
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    if holds("PRIVATE KEY") {
        return Err(PRIVATE);
    }
    // The first byte of a packet has its highest bit set (RFC 9580, section 4.2).
    let binary = bytes.first().is_some_and(|first| first & 0x80 != 0);
    // Packet tags 5 and 7 are secret keys, in the old and in the new format.
    let tag = bytes.first().map_or(0, |first| {
        if first & 0x40 == 0 {
            (first >> 2) & 0x0f
        } else {
            first & 0x3f
        }
    });
    if binary && matches!(tag, 5 | 7) {
        return Err(PRIVATE);
    }
    if !binary && !holds("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        return Err("is not an OpenPGP key");
    }
    Ok(())
}
