//! A part of an image file, seen as a file of its own: nobody who reads a partition sees its neighbours.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes of one cached page.
const PAGE: u64 = 4096;
/// Pages kept: enough for a FAT's part, a directory and a few neighbours.
const PAGES: usize = 32;

/// `len` bytes of a file from `start` on. Reads that leave them fail.
#[derive(Clone, Debug)]
pub struct Window {
    file: Arc<File>,
    start: u64,
    len: u64,
}

impl Window {
    /// A window over `len` bytes from `start` on.
    pub fn new(file: Arc<File>, start: u64, len: u64) -> Self {
        Self { file, start, len }
    }

    /// Bytes in the window.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the window has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `buf` from `offset` on; an error when that is not all within the window.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset
            .checked_add(buf.len() as u64)
            .filter(|end| *end <= self.len);
        let at = self.start.checked_add(offset);
        match (end, at) {
            (Some(_), Some(at)) => self.file.read_exact_at(buf, at),
            _ => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "bytes {offset} to {} are beyond its end",
                    offset.saturating_add(buf.len() as u64)
                ),
            )),
        }
    }

    /// The bytes from `offset` on, `len` of them or as many as there are.
    pub fn bytes(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let len = self.len.saturating_sub(offset).min(len as u64);
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// A window over a part of this one, cut off at its end.
    #[must_use]
    pub fn part(&self, offset: u64, len: u64) -> Self {
        let offset = offset.min(self.len);
        Self {
            file: self.file.clone(),
            start: self.start + offset,
            len: len.min(self.len - offset),
        }
    }

    /// A reader with a position of its own.
    pub fn reader(&self) -> WindowReader {
        WindowReader {
            window: self.clone(),
            position: 0,
        }
    }
}

/// Reads and seeks in a [`Window`].
#[derive(Clone, Debug)]
pub struct WindowReader {
    window: Window,
    position: u64,
}

impl Read for WindowReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.window.len.saturating_sub(self.position);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let Some(buf) = buf.get_mut(..len) else {
            return Ok(0);
        };
        self.window.read_at(self.position, buf)?;
        self.position += len as u64;
        Ok(len)
    }
}

impl Seek for WindowReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek(to, self.position, self.window.len)?;
        Ok(self.position)
    }
}

fn seek(to: SeekFrom, position: u64, len: u64) -> io::Result<u64> {
    let to = match to {
        SeekFrom::Start(to) => Some(to),
        SeekFrom::End(by) => len.checked_add_signed(by),
        SeekFrom::Current(by) => position.checked_add_signed(by),
    };
    to.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek out of range"))
}

/// A [`Window`] for `fatfs`, which reads a byte at a time and wants to be able to write: keeps pages, refuses
/// writes, and stops after `budget` bytes so that a file system that points at itself has an end.
pub(super) struct Pages {
    window: Window,
    position: u64,
    kept: VecDeque<(u64, Vec<u8>)>,
    budget: Rc<Cell<u64>>,
}

impl Pages {
    pub(super) fn new(window: Window, budget: Rc<Cell<u64>>) -> Self {
        Self {
            window,
            position: 0,
            kept: VecDeque::with_capacity(PAGES),
            budget,
        }
    }

    fn spend(&self, bytes: usize) -> io::Result<()> {
        match self.budget.get().checked_sub(bytes as u64) {
            Some(left) => {
                self.budget.set(left);
                Ok(())
            }
            None => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "far more to read than it can hold: a chain of clusters leads back to itself",
            )),
        }
    }

    fn page(&mut self, number: u64) -> io::Result<&[u8]> {
        let found = self.kept.iter().position(|(page, _)| *page == number);
        let page = if let Some(page) = found.and_then(|at| self.kept.remove(at)) {
            page
        } else {
            self.kept.truncate(PAGES - 1);
            (
                number,
                self.window.bytes(number.saturating_mul(PAGE), PAGE as usize)?,
            )
        };
        self.kept.push_front(page);
        Ok(self.kept.front().map_or(&[], |(_, bytes)| bytes))
    }
}

impl Read for Pages {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.len() as u64 >= PAGE {
            let left = self.window.len.saturating_sub(self.position);
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
            self.spend(len)?;
            self.window.read_at(self.position, &mut buf[..len])?;
            self.position += len as u64;
            return Ok(len);
        }
        let (number, skip) = (self.position / PAGE, (self.position % PAGE) as usize);
        let page = self.page(number)?;
        let from = page.get(skip..).unwrap_or(&[]);
        let len = from.len().min(buf.len());
        buf[..len].copy_from_slice(&from[..len]);
        // A read of nothing counts too, or a loop at the end of the window would never run out.
        self.spend(len.max(1))?;
        self.position += len as u64;
        Ok(len)
    }
}

impl Write for Pages {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "an image is only read",
        ))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Pages {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek(to, self.position, self.window.len)?;
        Ok(self.position)
    }
}

impl ext4_view::Ext4Read for Window {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(self.read_at(start_byte, dst)?)
    }
}
