//! Two changes to native programs, so that they work in a foreign tree without leaving anything in it.

use anyhow::{Result, bail};

/// Byte offset of `e_phoff`, `e_phentsize` and `e_phnum` in the header of a 64-bit ELF file, and of `p_type`,
/// `p_offset` and `p_filesz` in a program header (elf(5)).
const PHOFF: usize = 0x20;
const PHENTSIZE: usize = 0x36;
const PHNUM: usize = 0x38;
const P_OFFSET: usize = 0x08;
const P_FILESZ: usize = 0x20;
const PT_INTERP: u32 = 3;

/// Makes a dynamically linked program start with `loader` instead of its own one. The new path must not be
/// longer. False: it is not a 64-bit little-endian ELF file, or statically linked, and is as it was.
///
/// Why: a package may remove `/lib64` from a tree where no program of its architecture needs it.
pub(super) fn set_loader(file: &mut [u8], loader: &str) -> Result<bool> {
    if !file.starts_with(b"\x7fELF\x02\x01") {
        return Ok(false);
    }
    let Some((start, length)) = interpreter(file) else {
        return Ok(false);
    };
    let Some(field) = start.checked_add(length).and_then(|end| file.get_mut(start..end)) else {
        bail!("its loader's name is beyond the file's end");
    };
    if field.len() <= loader.len() {
        bail!("no room for the loader's name");
    }
    field.fill(0);
    field[..loader.len()].copy_from_slice(loader.as_bytes());
    Ok(true)
}

/// Offset and length of the loader's name, with its final zero.
fn interpreter(file: &[u8]) -> Option<(usize, usize)> {
    let number = |at: usize, bytes: usize| -> Option<usize> {
        let field = file.get(at..at.checked_add(bytes)?)?;
        let value = field
            .iter()
            .rev()
            .fold(0_u64, |value, &byte| (value << 8) | u64::from(byte));
        usize::try_from(value).ok()
    };
    let (table, size, count) = (number(PHOFF, 8)?, number(PHENTSIZE, 2)?, number(PHNUM, 2)?);
    (0..count).find_map(|index| {
        let header = table.checked_add(index.checked_mul(size)?)?;
        if number(header, 4)? != PT_INTERP as usize {
            return None;
        }
        Some((
            number(header.checked_add(P_OFFSET)?, 8)?,
            number(header.checked_add(P_FILESZ)?, 8)?,
        ))
    })
}

/// Replaces the word `from` by `to`, of the same length, wherever it stands alone between bytes that are neither
/// letters nor digits. Error: it stands nowhere.
///
/// Why: dpkg has no other way to be told which architecture it is.
pub(super) fn replace_word(file: &mut [u8], from: &str, to: &str) -> Result<()> {
    if from.len() != to.len() {
        bail!("{from} and {to} differ in length");
    }
    let inside = |at: Option<usize>| {
        at.and_then(|at| file.get(at))
            .is_some_and(u8::is_ascii_alphanumeric)
    };
    let found: Vec<usize> = file
        .windows(from.len())
        .enumerate()
        .filter(|(at, window)| {
            *window == from.as_bytes() && !inside(at.checked_sub(1)) && !inside(Some(at + from.len()))
        })
        .map(|(at, _)| at)
        .collect();
    if found.is_empty() {
        bail!("{from} is not in it");
    }
    for at in found {
        file[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header, one program header, and the loader's name.
    fn program(loader: &str, length: u64) -> Vec<u8> {
        let mut file = vec![0; 0x40 + 0x38];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[PHOFF] = 0x40;
        file[PHENTSIZE] = 0x38;
        file[PHNUM] = 1;
        file[0x40] = 3;
        file[0x40 + P_OFFSET] = 0x78;
        file[0x40 + P_FILESZ..0x40 + P_FILESZ + 8].copy_from_slice(&length.to_le_bytes());
        file.extend_from_slice(loader.as_bytes());
        file.push(0);
        file
    }

    #[test]
    fn another_loader() {
        let mut file = program("/lib64/ld.so", 13);
        assert!(set_loader(&mut file, "/.clic/ld.so").unwrap());
        assert!(file.ends_with(b"/.clic/ld.so\0"));
        assert!(set_loader(&mut file, "/x").unwrap());
        assert!(file.ends_with(b"/x\0\0\0\0\0\0\0\0\0\0\0"));
    }

    #[test]
    fn what_is_no_dynamic_program_stays() {
        for file in [&b"#!/bin/sh\n"[..], b"", b"\x7fELF\x01\x01", b"\x7fELF\x02\x01"] {
            let mut copy = file.to_vec();
            assert!(!set_loader(&mut copy, "/x").unwrap());
            assert_eq!(copy, file);
        }
    }

    #[test]
    fn spoiled_programs_do_not_panic() {
        let good = program("/lib64/ld.so", 13);
        clic_host::spoil::try_reader("programs", 3000, |random| {
            let mut file = clic_host::spoil::spoiled(&good, &["\x7fELF", "amd64"], random);
            let before = file.len();
            let _ = set_loader(&mut file, "/x");
            let _ = replace_word(&mut file, "amd64", "arm64");
            assert_eq!(file.len(), before);
        });
    }

    #[test]
    fn damaged_programs_are_refused() {
        let mut file = program("/lib64/ld.so", u64::MAX);
        let error = set_loader(&mut file, "/x").unwrap_err();
        assert_eq!(error.to_string(), "its loader's name is beyond the file's end");
        let mut file = program("/lib64/ld.so", 13);
        let error = set_loader(&mut file, "/lib64/longer").unwrap_err();
        assert_eq!(error.to_string(), "no room for the loader's name");
        let mut file = program("/lib64/ld.so", 13);
        file[PHOFF..PHOFF + 8].fill(0xff);
        assert!(!set_loader(&mut file, "/x").unwrap());
    }

    #[test]
    fn a_word_is_replaced_where_it_stands_alone() {
        let mut file = b"1.21 (amd64)\0amd64\0/amd64x xamd64".to_vec();
        replace_word(&mut file, "amd64", "arm64").unwrap();
        assert_eq!(file, b"1.21 (arm64)\0arm64\0/amd64x xamd64");
        let error = replace_word(&mut file, "amd64", "arm64").unwrap_err();
        assert_eq!(error.to_string(), "amd64 is not in it");
        let mut file = b"amd64".to_vec();
        replace_word(&mut file, "amd64", "arm64").unwrap();
        assert_eq!(file, b"arm64");
        let error = replace_word(&mut file, "arm64", "i386").unwrap_err();
        assert_eq!(error.to_string(), "arm64 and i386 differ in length");
    }
}
