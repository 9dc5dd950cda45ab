//! `md5sums` of a package that brings none. dpkg writes them when it unpacks such a package (since 1.16.3), and
//! `dpkg --audit` calls one that has none broken.

use std::collections::HashMap;
use std::io::Write;

use md5::{Digest, Md5};

use clic_debian::deb::ControlFile;

/// The name of that file in a package's control part.
pub const NAME: &str = "md5sums";

/// Sums of a package's files, by path in the package.
#[derive(Debug, Default)]
pub struct Sums(HashMap<Vec<u8>, String>);

impl Sums {
    /// Notes what a file's bytes came to.
    pub fn note(&mut self, path: &[u8], hash: Md5) {
        let sum = u128::from_be_bytes(hash.finalize().into());
        self.0.insert(path.to_vec(), format!("{sum:032x}"));
    }

    /// Notes another name of the package's file `target`.
    pub fn link(&mut self, path: &[u8], target: &[u8]) {
        if let Some(sum) = self.0.get(target) {
            self.0.insert(path.to_vec(), sum.clone());
        }
    }

    /// As a file of the control part, in the order of `paths`, from that time (seconds since 1970).
    pub fn file(mut self, paths: &[Vec<u8>], mtime: u64) -> ControlFile {
        let mut bytes = Vec::new();
        for path in paths {
            if let Some(sum) = self.0.remove(path) {
                bytes.extend_from_slice(sum.as_bytes());
                bytes.extend_from_slice(b"  ");
                bytes.extend_from_slice(path);
                bytes.push(b'\n');
            }
        }
        ControlFile {
            name: NAME.into(),
            mode: 0o644,
            mtime,
            bytes,
        }
    }
}

/// Writes to `inner`, and has a look at what passes.
#[derive(Debug)]
pub struct Summed<W> {
    /// Where it goes.
    pub inner: W,
    /// Of what has passed; `None` if nobody wants to know.
    pub hash: Option<Md5>,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
