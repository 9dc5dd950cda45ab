//! Where a regular file's bytes are.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clic_store::space::io_error;

/// Most bytes that are read at once.
const PIECE: u64 = 1 << 18;

/// Where a regular file's bytes are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In a tar file.
    At {
        /// The tar file.
        file: Arc<File>,
        /// First byte.
        offset: u64,
        /// Bytes.
        size: u64,
    },
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In a file of the host, which must stay as it is.
    Host {
        /// Where.
        path: PathBuf,
        /// Bytes.
        size: u64,
    },
}

/// A content that can be read from any place on. A file of the host is open as long as this is.
#[derive(Debug)]
pub struct Opened<'a> {
    content: &'a Content,
    host: Option<File>,
}

impl Content {
    /// How many bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::At { size, .. } | Self::Host { size, .. } => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Ready to be read.
    pub fn open(&self) -> Result<Opened<'_>> {
        let host = match self {
            Self::Host { path, .. } => Some(File::open(path).map_err(|error| io_error(error, path))?),
            _ => None,
        };
        Ok(Opened { content: self, host })
    }

    /// Passes all bytes on, in pieces.
    pub fn copy(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> Result<()> {
        if let Self::Bytes(bytes) = self {
            return Ok(each(bytes)?);
        }
        let (opened, size) = (self.open()?, self.size());
        let most = size.clamp(1, PIECE) as usize;
        let mut buffer = vec![0; most];
        let mut done = 0;
        while done < size {
            let want = (size - done).min(PIECE) as usize;
            opened.read_at(done, &mut buffer[..want])?;
            each(&buffer[..want])?;
            done += want as u64;
        }
        Ok(())
    }

    /// All bytes.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.copy(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }
}

impl Opened<'_> {
    /// Fills `buffer` with the bytes from `from` on. Reading past the end is an error.
    pub fn read_at(&self, from: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = from.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.content.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match (self.content, &self.host) {
            (Content::Bytes(bytes), _) => {
                // In range: the end was compared with the size above.
                let from = usize::try_from(from).map_err(io::Error::other)?;
                buffer.copy_from_slice(&bytes[from..from + buffer.len()]);
                Ok(())
            }
            (Content::At { file, offset, .. }, _) => {
                let from = offset.checked_add(from).ok_or(io::ErrorKind::UnexpectedEof)?;
                file.read_exact_at(buffer, from)
            }
            (Content::Host { .. }, Some(file)) => file.read_exact_at(buffer, from),
            (Content::Host { .. }, None) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
