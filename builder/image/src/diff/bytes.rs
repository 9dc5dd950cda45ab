//! From which byte on two contents differ, and what is there.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use crate::read::Root;

/// How many bytes of a difference are shown.
pub(super) const SHOWN: usize = 16;

/// Some bytes from where two files or images begin to differ, in lower-case hex; fewer where one of them ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Before.
    pub from: String,
    /// After.
    pub to: String,
}

impl Bytes {
    pub(super) fn of(from: &[u8], to: &[u8]) -> Self {
        let hex = |bytes: &[u8]| {
            let shown = bytes.get(..SHOWN).unwrap_or(bytes);
            shown.iter().fold(String::new(), |mut text, byte| {
                // Writing to a String cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
        };
        Self {
            from: hex(from),
            to: hex(to),
        }
    }
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let or_end = |hex: &str| {
            if hex.is_empty() {
                "the end".to_owned()
            } else {
                hex.to_owned()
            }
        };
        write!(f, "{} -> {}", or_end(&self.from), or_end(&self.to))
    }
}

/// Where the contents of a file begin to differ, and what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContentChange {
    /// Byte in both.
    pub offset: u64,
    /// What is there.
    pub bytes: Bytes,
}

/// Where these two pieces, which are not the same, begin to differ; both begin at byte `at`.
pub(super) fn begin(at: u64, old: &[u8], new: &[u8]) -> ContentChange {
    let inside = old.iter().zip(new).take_while(|(x, y)| x == y).count();
    let rest = |bytes: &[u8]| bytes.get(inside..).unwrap_or_default().to_vec();
    ContentChange {
        offset: at + inside as u64,
        bytes: Bytes::of(&rest(old), &rest(new)),
    }
}

/// Where a file of two file systems begins to differ; `None` if it is the same.
pub(super) fn content(old: &Root, new: &Root, path: &[u8]) -> Result<Option<ContentChange>> {
    let mut files = (old.open_file(path)?, new.open_file(path)?);
    let mut chunks = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut at = 0;
    loop {
        let lens = (files.0.fill(&mut chunks.0)?, files.1.fill(&mut chunks.1)?);
        let old = chunks.0.get(..lens.0).unwrap_or_default();
        let new = chunks.1.get(..lens.1).unwrap_or_default();
        if old != new {
            return Ok(Some(begin(at, old, new)));
        }
        if lens.0 == 0 {
            return Ok(None);
        }
        at += lens.0 as u64;
    }
}
