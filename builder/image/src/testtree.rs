//! Trees for tests.

use std::sync::Arc;

use clic_tree::{Content, Entry, FileTree, Kind, parent};

/// A tree with nothing but its root.
pub fn rooted() -> FileTree {
    let mut tree = FileTree::default();
    tree.insert(Vec::new(), directory(0o755, 0));
    tree
}

/// Something of root's.
pub fn entry(kind: Kind, mode: u32, mtime: i64) -> Entry {
    Entry {
        mtime,
        ..Entry::new(kind, mode)
    }
}

/// A directory of root's.
pub fn directory(mode: u32, mtime: i64) -> Entry {
    entry(Kind::Directory, mode, mtime)
}

/// A symbolic link of root's.
pub fn symlink(target: impl Into<Vec<u8>>, mtime: i64) -> Entry {
    entry(Kind::Symlink(target.into()), 0o777, mtime)
}

/// Puts an entry at an absolute path, with the directories above it.
pub fn put(tree: &mut FileTree, path: impl AsRef<[u8]>, entry: Entry) {
    let path = path.as_ref();
    let path = path.strip_prefix(b"/").expect("an absolute path");
    let mut above = parent(path);
    while let Some(at) = above {
        if tree.get(at).is_none() {
            tree.insert(at.to_vec(), directory(0o755, entry.mtime));
        }
        above = parent(at);
    }
    tree.insert(path.to_vec(), entry);
}

/// Puts a regular file of root's at an absolute path.
pub fn file(tree: &mut FileTree, path: impl AsRef<[u8]>, bytes: impl Into<Arc<[u8]>>, mode: u32, mtime: i64) {
    let number = tree.add(Content::Bytes(bytes.into()));
    put(tree, path, entry(Kind::File(number), mode, mtime));
}
