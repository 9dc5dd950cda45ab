//! `metadata_csum`: CRC-32C without the usual final inversion, seeded with the UUID and often more.

/// Continues a checksum over `bytes`.
pub(super) fn crc(seed: u32, bytes: &[u8]) -> u32 {
    // The crate inverts before and after, as iSCSI does; ext4 does not.
    !crc32c::crc32c_append(!seed, bytes)
}

/// The seed of most checksums of a file system.
pub(super) fn volume_seed(uuid: &[u8; 16]) -> u32 {
    crc(!0, uuid)
}

/// The seed of checksums of what belongs to one inode of generation 0.
pub(super) fn inode_seed(volume: u32, inode: u32) -> u32 {
    crc(crc(volume, &inode.to_le_bytes()), &0u32.to_le_bytes())
}

/// Puts a 16-bit number at a byte offset.
pub(super) fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

/// Puts a 32-bit number at a byte offset.
pub(super) fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// The 16-bit number at a byte offset.
pub(super) fn get16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The 32-bit number at a byte offset.
pub(super) fn get32(bytes: &[u8], at: usize) -> u32 {
    u32::from(get16(bytes, at)) | u32::from(get16(bytes, at + 2)) << 16
}
