//! What a machine prints, in a file that it cannot make larger than it may be.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Most that is kept of what a machine prints on one line, in bytes. A whole boot with all messages of the kernel prints less
/// than 1 MB.
pub const MOST: u64 = 64 << 20;

/// Copies what comes out of a machine into a file, as long as it comes: a machine whose line is full stands still, and its
/// monitor with it.
#[derive(Debug)]
pub struct Record {
    full: Arc<AtomicBool>,
    copier: Option<JoinHandle<()>>,
}

impl Record {
    /// Begins. `to` gets at most `most` bytes.
    pub fn begin(from: impl Read + Send + 'static, to: File, most: u64) -> Self {
        let full = Arc::new(AtomicBool::new(false));
        let tells = full.clone();
        let copier = std::thread::spawn(move || copy(from, to, most, &tells));
        Self {
            full,
            copier: Some(copier),
        }
    }

    /// Whether it printed more than is kept.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// To be called when the machine has ended: all that it printed is in the file then.
    pub fn end(&mut self) {
        if let Some(copier) = self.copier.take() {
            // It panics as little as a copy does.
            let _ = copier.join();
        }
    }
}

fn copy(mut from: impl Read, mut to: File, most: u64, full: &AtomicBool) {
    let mut buffer = [0; 8192];
    let mut left = most;
    loop {
        let len = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let kept = usize::try_from(left).map_or(len, |left| len.min(left));
        // A full disk is noticed by who needs it.
        let _ = to.write_all(&buffer[..kept]);
        left -= kept as u64;
        if kept < len {
            full.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &[u8]) -> (Vec<u8>, bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        let from = std::io::Cursor::new(text.to_vec());
        let mut record = Record::begin(from, File::create(&path).unwrap(), 10_000);
        record.end();
        (std::fs::read(path).unwrap(), record.is_full())
    }

    #[test]
    fn what_is_printed_is_kept_up_to_a_limit() {
        let text = vec![b'x'; 30_000];
        assert_eq!(record(b"text"), (b"text".to_vec(), false));
        assert_eq!(record(&text[..10_000]), (text[..10_000].to_vec(), false));
        assert_eq!(record(&text), (text[..10_000].to_vec(), true));
    }
}
