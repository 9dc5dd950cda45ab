//! Extended attributes: in the inode if all of them fit there, else all in one block of their own.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::checksum::{crc, get16, get32, put16, put32};
use super::{BLOCK_LEN, inode};

/// First number in the inode's space and in a block.
const MAGIC: u32 = 0xea02_0000;

/// A block's header, in bytes.
const HEADER: usize = 32;

/// An entry without its name, in bytes.
const ENTRY: usize = 16;

/// Name prefixes with the numbers that stand for them on disk.
const PREFIXES: [(&[u8], u8); 6] = [
    (b"system.posix_acl_access", ACL_ACCESS),
    (b"system.posix_acl_default", ACL_DEFAULT),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
    (b"system.", 7),
];
const ACL_ACCESS: u8 = 2;
const ACL_DEFAULT: u8 = 3;

/// A node's attributes as they go on disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attributes {
    None,
    /// Goes behind the inode's fields.
    Inode(Vec<u8>),
    /// A whole block, still without the checksum, which depends on where it is.
    Block(Vec<u8>),
}

struct Attribute {
    prefix: u8,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Encodes a node's attributes. An error if a block is too small for them or ext4 does not know such a name.
pub(super) fn encode(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Attributes> {
    if xattrs.is_empty() {
        return Ok(Attributes::None);
    }
    let mut attributes = Vec::new();
    for (name, value) in xattrs {
        attributes.push(attribute(name, value)?);
    }
    // The kernel looks entries up in this order.
    attributes.sort_by(|a, b| (a.prefix, a.name.len(), &a.name).cmp(&(b.prefix, b.name.len(), &b.name)));
    // Entries end with four zero bytes.
    let size: usize = attributes
        .iter()
        .map(|a| entry_len(&a.name) + padded(a.value.len()))
        .sum::<usize>()
        + 4;
    if 4 + size <= inode::XATTR_SPACE {
        let mut bytes = vec![0; inode::XATTR_SPACE];
        put32(&mut bytes, 0, MAGIC);
        // Values are counted from the first entry on.
        lay_out(&mut bytes[4..], 0, &attributes, Place::Inode);
        return Ok(Attributes::Inode(bytes));
    }
    ensure!(
        HEADER + size <= BLOCK_LEN,
        "its extended attributes take {} bytes, ext4 has room for {}",
        size,
        BLOCK_LEN - HEADER
    );
    let mut block = vec![0; BLOCK_LEN];
    put32(&mut block, 0, MAGIC);
    // One user, one block.
    put32(&mut block, 4, 1);
    put32(&mut block, 8, 1);
    let hash = lay_out(&mut block, HEADER, &attributes, Place::Block);
    put32(&mut block, 12, hash);
    Ok(Attributes::Block(block))
}

/// Puts the checksum into an attribute block that goes to block `at`.
pub(super) fn seal(block: &mut [u8], at: u64, volume_seed: u32) {
    put32(block, 16, 0);
    let sum = crc(crc(volume_seed, &at.to_le_bytes()), block);
    put32(block, 16, sum);
}

fn attribute(full: &[u8], value: &[u8]) -> Result<Attribute> {
    let shown = String::from_utf8_lossy(full);
    let known = PREFIXES.iter().find(|(prefix, number)| match *number {
        ACL_ACCESS | ACL_DEFAULT => full == *prefix,
        _ => full.len() > prefix.len() && full.starts_with(prefix),
    });
    let Some((prefix, number)) = known else {
        bail!("ext4 cannot hold the attribute `{shown}`")
    };
    let name = full[prefix.len()..].to_vec();
    ensure!(name.len() <= 255, "the attribute name `{shown}` is too long");
    let value = match *number {
        ACL_ACCESS | ACL_DEFAULT => {
            acl(value).with_context(|| format!("the attribute `{shown}` is not an ACL"))?
        }
        _ => value.to_vec(),
    };
    Ok(Attribute {
        prefix: *number,
        name,
        value,
    })
}

/// System calls give ACLs in one format (version 2), ext4 keeps them in a shorter one (version 1): an id only
/// where the entry is for a named user (tag 2) or group (tag 8).
fn acl(value: &[u8]) -> Result<Vec<u8>> {
    ensure!(
        value.len() >= 4 && get32(value, 0) == 2 && value.len() % 8 == 4,
        "{} bytes",
        value.len()
    );
    let mut short = 1u32.to_le_bytes().to_vec();
    for entry in value[4..].chunks_exact(8) {
        let with_id = matches!(get16(entry, 0), 2 | 8);
        short.extend_from_slice(if with_id { entry } else { &entry[..4] });
    }
    Ok(short)
}

/// Where attributes are: only a block's have hashes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Inode,
    Block,
}

/// Writes entries upwards from `from` and values downwards from the end; the hash of all entries.
fn lay_out(bytes: &mut [u8], from: usize, attributes: &[Attribute], place: Place) -> u32 {
    let mut at = from;
    let mut values = bytes.len();
    let mut whole: u32 = 0;
    for attribute in attributes {
        values -= padded(attribute.value.len());
        bytes[values..values + attribute.value.len()].copy_from_slice(&attribute.value);
        bytes[at] = attribute.name.len() as u8;
        bytes[at + 1] = attribute.prefix;
        put16(
            bytes,
            at + 2,
            if attribute.value.is_empty() {
                0
            } else {
                values as u16
            },
        );
        put32(bytes, at + 8, attribute.value.len() as u32);
        if place == Place::Block {
            let hash = entry_hash(attribute);
            put32(bytes, at + 12, hash);
            whole = whole.rotate_left(16) ^ hash;
        }
        bytes[at + ENTRY..at + ENTRY + attribute.name.len()].copy_from_slice(&attribute.name);
        at += entry_len(&attribute.name);
    }
    whole
}

fn entry_hash(attribute: &Attribute) -> u32 {
    let mut hash: u32 = 0;
    for &byte in &attribute.name {
        hash = hash.rotate_left(5) ^ u32::from(byte);
    }
    for word in attribute.value.chunks(4) {
        let mut bytes = [0; 4];
        bytes[..word.len()].copy_from_slice(word);
        hash = hash.rotate_left(16) ^ u32::from_le_bytes(bytes);
    }
    hash
}

fn entry_len(name: &[u8]) -> usize {
    padded(ENTRY + name.len())
}

fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}
