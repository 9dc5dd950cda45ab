//! Names on FAT: what is possible, the short 8.3 form that every file has, and the long form beside it.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

/// UTF-16 units in one long-name entry.
const UNITS: usize = 13;

/// Whether `name` can be a name on FAT. Only ASCII: what we put there is read by boot firmware.
pub(super) fn check(name: &str) -> Result<()> {
    if name.is_empty() || name == "." || name == ".." {
        bail!("{name:?} is not a file name");
    }
    if name.len() > 255 {
        bail!("the name is longer than 255 characters");
    }
    if name.ends_with([' ', '.']) {
        bail!("FAT drops the space or dot at the end of {name:?}");
    }
    match name
        .chars()
        .find(|c| !(' '..='~').contains(c) || "\"*/:<>?\\|".contains(*c))
    {
        Some(c) => bail!("the character {c:?} is not allowed"),
        None => Ok(()),
    }
}

/// The short name that says the same as `name`, if there is one: capitals, eight and three.
fn exact(name: &str) -> Option<[u8; 11]> {
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let fine = |part: &str| {
        part.bytes()
            .all(|byte| allowed(byte) && !byte.is_ascii_lowercase())
    };
    let dot_at_end = name.contains('.') && extension.is_empty();
    if base.is_empty()
        || base.len() > 8
        || extension.len() > 3
        || dot_at_end
        || !fine(base)
        || !fine(extension)
    {
        return None;
    }
    Some(join(base.as_bytes(), extension.as_bytes()))
}

fn allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"$%'-_@~`!(){}^#&".contains(&byte)
}

fn join(base: &[u8], extension: &[u8]) -> [u8; 11] {
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base);
    short[8..8 + extension.len()].copy_from_slice(extension);
    short
}

/// The short names of one directory.
#[derive(Default)]
pub(super) struct ShortNames(BTreeSet<[u8; 11]>);

impl ShortNames {
    /// A short name for `name` that no other has: its own in capitals if that fits ("CONFIG.TXT"), else six letters
    /// and a number ("BCM283~1.DTB"; "The Basis-Name Generation Algorithm" and "The Numeric-Tail Generation Algorithm").
    pub(super) fn pick(&mut self, name: &str) -> Result<[u8; 11]> {
        if let Some(short) = exact(&name.to_ascii_uppercase())
            && self.0.insert(short)
        {
            return Ok(short);
        }
        let (base, extension) = match name.rsplit_once('.') {
            Some((base, extension)) if !base.is_empty() => (base, extension),
            _ => (name, ""),
        };
        let clean = |part: &str, most: usize| -> Vec<u8> {
            part.bytes()
                .filter(|byte| !b" .".contains(byte))
                .map(|byte| {
                    if allowed(byte) {
                        byte.to_ascii_uppercase()
                    } else {
                        b'_'
                    }
                })
                .take(most)
                .collect()
        };
        let extension = clean(extension, 3);
        for number in 1..1_000_000 {
            let tail = format!("~{number}");
            let mut base = clean(base, 8 - tail.len());
            base.extend(tail.bytes());
            let short = join(&base, &extension);
            if self.0.insert(short) {
                return Ok(short);
            }
        }
        bail!("there is no short name left for {name:?}");
    }
}

/// How many entries the long form of `name` takes: none if the short name says it all.
pub(super) fn long_entries(name: &str) -> usize {
    if exact(name).is_some() {
        0
    } else {
        name.len().div_ceil(UNITS)
    }
}

/// Appends the long form of `name`, last part first, as it goes before the entry with the `short` name ("FAT Long
/// Directory Entries").
pub(super) fn push_long(to: &mut Vec<u8>, name: &str, short: &[u8; 11]) {
    /// Where the units are in the entry, in bytes.
    const PLACES: [usize; UNITS] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
    let parts = long_entries(name);
    let checksum = short
        .iter()
        .fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let units: Vec<u16> = name.encode_utf16().collect();
    for part in (0..parts).rev() {
        let mut entry = [0u8; 32];
        // Parts count from 1; the last one, which comes first, has 0x40 added.
        entry[0] = (part + 1) as u8 | if part + 1 == parts { 0x40 } else { 0 };
        entry[11] = 0x0f;
        entry[13] = checksum;
        for (unit, place) in PLACES.iter().enumerate() {
            // One zero ends a name that leaves room, ones fill the rest.
            let at = part * UNITS + unit;
            let value = units
                .get(at)
                .copied()
                .unwrap_or(if at == units.len() { 0 } else { 0xffff });
            entry[*place..place + 2].copy_from_slice(&value.to_le_bytes());
        }
        to.extend(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(names: &[&str]) -> Vec<String> {
        let mut short = ShortNames::default();
        names
            .iter()
            .map(|name| String::from_utf8(short.pick(name).unwrap().to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn short_names_are_unique_and_the_own_name_where_it_fits() {
        assert_eq!(
            picked(&[
                "BOOTX64.EFI",
                "config.txt",
                "bcm2837-rpi-3-b.dtb",
                "bcm2837-rpi-3-b-plus.dtb",
                "initrd.img-6.1",
                ".x",
                "a b"
            ]),
            [
                "BOOTX64 EFI",
                "CONFIG  TXT",
                "BCM283~1DTB",
                "BCM283~2DTB",
                "INITRD~11  ",
                "X~1        ",
                "AB~1       "
            ]
        );
        let many: Vec<String> = (0..12).map(|n| format!("a-long-name-{n}.txt")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(
            picked(&many)[8..],
            ["A-LONG~9TXT", "A-LON~10TXT", "A-LON~11TXT", "A-LON~12TXT"]
        );
    }

    #[test]
    fn only_names_in_capitals_need_no_long_form() {
        assert_eq!(long_entries("BOOTX64.EFI"), 0);
        assert_eq!(long_entries("bootx64.efi"), 1);
        assert_eq!(long_entries("thirteen-char"), 1);
        assert_eq!(long_entries("fourteen-chars"), 2);
    }

    #[test]
    fn impossible_names_say_why() {
        let why = |name: &str| check(name).unwrap_err().to_string();
        assert_eq!(why(".."), "\"..\" is not a file name");
        assert_eq!(why("a:b"), "the character ':' is not allowed");
        assert_eq!(why("é"), "the character 'é' is not allowed");
        assert_eq!(why("a."), "FAT drops the space or dot at the end of \"a.\"");
        assert_eq!(why(&"x".repeat(256)), "the name is longer than 255 characters");
        assert!(check("vmlinuz-6.1.0-56-arm64").is_ok());
    }
}
