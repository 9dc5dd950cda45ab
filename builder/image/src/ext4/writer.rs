//! Writing blocks: neighbours are gathered into large writes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::{BLOCK, BLOCK_LEN};

/// Most bytes that are gathered.
const BUFFER: usize = 1 << 20;

/// Writes blocks of a file system that begins at byte `offset` of a file.
pub(super) struct Writer<'f> {
    file: &'f File,
    offset: u64,
    /// Block that the buffer begins with.
    start: u64,
    buffer: Vec<u8>,
}

impl<'f> Writer<'f> {
    pub fn new(file: &'f File, offset: u64) -> Self {
        Self {
            file,
            offset,
            start: 0,
            buffer: Vec::with_capacity(BUFFER),
        }
    }

    /// Writes `bytes` at the beginning of a block; zeros fill its end.
    pub fn put(&mut self, block: u64, bytes: &[u8]) -> io::Result<()> {
        self.fill(block, bytes.len(), |buffer| {
            buffer.copy_from_slice(bytes);
            Ok(())
        })
    }

    /// Like [`Writer::put`] with `len` bytes that `read` puts in place; at most 1 MiB.
    pub fn fill(
        &mut self,
        block: u64,
        len: usize,
        read: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let padded = len.next_multiple_of(BLOCK_LEN);
        let next = self.start + (self.buffer.len() / BLOCK_LEN) as u64;
        if block != next || self.buffer.len() + padded > BUFFER {
            self.flush()?;
            self.start = block;
        }
        let from = self.buffer.len();
        self.buffer.resize(from + padded, 0);
        read(&mut self.buffer[from..from + len])
    }

    /// Writes what is gathered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file
            .write_all_at(&self.buffer, self.offset + self.start * BLOCK)?;
        self.buffer.clear();
        Ok(())
    }
}
