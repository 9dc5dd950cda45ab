//! Where things were written: for errors that show the line.

use std::path::PathBuf;
use std::sync::Arc;

/// A place in a file that a person wrote.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Bytes of the file that are meant.
    pub span: std::ops::Range<usize>,
}

/// A file that a person wrote, kept for errors.
#[derive(Debug)]
pub struct SourceFile {
    /// Path relative to the tree, as shown in errors: `recipes/minimal.toml`.
    pub name: PathBuf,
    /// Its whole text.
    pub text: String,
}
