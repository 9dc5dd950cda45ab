//! Following symbolic links inside of the tree, the way the device will.

use anyhow::{Result, bail, ensure};

use super::{FileTree, Kind, parent, shown};

/// Symbolic links that one look-up may follow, as in Linux (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Which symbolic links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Those of the directories, but not one at the end of the path.
    Directories,
    /// All of them.
    All,
}

impl FileTree {
    /// Where a path leads: an absolute target starts at the tree's root, and `..` never leaves it.
    ///
    /// Errors: something on the way is not there, is not a directory, or the links are a circle.
    pub fn resolve(&self, path: impl AsRef<[u8]>, follow: Follow) -> Result<Vec<u8>> {
        let path = path.as_ref();
        let asked = String::from_utf8_lossy(path);
        // Components still to walk, the next one last.
        let mut todo: Vec<Vec<u8>> = components(path).rev().map(<[u8]>::to_vec).collect();
        let mut at = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                at = parent(&at).unwrap_or_default().to_vec();
                continue;
            }
            let next = join(&at, &name);
            match self.get(&next).map(|entry| &entry.kind) {
                None => bail!("{asked}: there is no {}", shown(&next)),
                Some(Kind::Symlink(target)) if follow == Follow::All || !todo.is_empty() => {
                    links += 1;
                    ensure!(
                        links <= MAX_LINKS,
                        "{asked}: more than {MAX_LINKS} symbolic links to follow"
                    );
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    todo.extend(components(target).rev().map(<[u8]>::to_vec));
                }
                Some(kind) => {
                    ensure!(
                        todo.is_empty() || *kind == Kind::Directory,
                        "{asked}: {} is not a directory",
                        shown(&next)
                    );
                    at = next;
                }
            }
        }
        Ok(at)
    }
}

/// The names of a path, without empty ones and `.`.
pub(super) fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
