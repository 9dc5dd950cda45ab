//! What a stage changed in a tree: a look at every entry before and after.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use clic_store::space::io_error;
use clic_tree::{Entry, FileTree, Kind};

/// Attributes that belong to a tree. Others are the host's (labels of its security modules).
const ATTRIBUTES: [&str; 3] = ["security.capability", "system.posix_acl_", "user."];

/// What tells an entry from itself at another time. The kernel changes `ctime` with everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    ctime: (i64, i64),
}

/// A tree's entries at one time, by path: `usr/bin/env`; the empty path for the root.
pub type Snapshot = BTreeMap<Vec<u8>, Stamp>;

/// Looks at every entry. Other file systems in it are left out.
pub fn snapshot(root: &Path) -> Result<Snapshot> {
    let mut found = Snapshot::new();
    let top = std::fs::symlink_metadata(root).map_err(|error| io_error(error, root))?;
    found.insert(Vec::new(), stamp(&top));
    walk(root, &mut Vec::new(), top.dev(), &mut found)?;
    Ok(found)
}

fn walk(dir: &Path, path: &mut Vec<u8>, device: u64, found: &mut Snapshot) -> Result<()> {
    for entry in std::fs::read_dir(dir).map_err(|error| io_error(error, dir))? {
        let entry = entry.map_err(|error| io_error(error, dir))?;
        let meta = entry.metadata().map_err(|error| io_error(error, &entry.path()))?;
        if meta.dev() != device {
            continue;
        }
        let length = path.len();
        if length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(entry.file_name().as_bytes());
        found.insert(path.clone(), stamp(&meta));
        if meta.is_dir() {
            walk(&entry.path(), path, device, found)?;
        }
        path.truncate(length);
    }
    Ok(())
}

fn stamp(meta: &std::fs::Metadata) -> Stamp {
    Stamp {
        inode: meta.ino(),
        mode: meta.mode(),
        uid: meta.uid(),
        gid: meta.gid(),
        size: meta.size(),
        ctime: (meta.ctime(), meta.ctime_nsec()),
    }
}

/// What is new or changed since `before`, ready to be written, and which paths are gone.
pub fn changes(root: &Path, before: &Snapshot) -> Result<(FileTree, Vec<Vec<u8>>)> {
    let after = snapshot(root)?;
    let mut tree = FileTree::default();
    // Names of one file share its content.
    let mut linked: BTreeMap<u64, usize> = BTreeMap::new();
    for (path, stamp) in &after {
        if before.get(path) == Some(stamp) {
            continue;
        }
        let place = root.join(std::ffi::OsStr::from_bytes(path));
        let shown = || format!("/{}", String::from_utf8_lossy(path));
        let meta = std::fs::symlink_metadata(&place).map_err(|error| io_error(error, &place))?;
        let kind = meta.file_type();
        let kind = if kind.is_dir() {
            Kind::Directory
        } else if kind.is_symlink() {
            let target = std::fs::read_link(&place).map_err(|error| io_error(error, &place))?;
            Kind::Symlink(target.as_os_str().as_bytes().to_vec())
        } else if kind.is_file() {
            let number = *linked
                .entry(meta.ino())
                .or_insert_with(|| tree.add_host_file(place.clone(), meta.len()));
            Kind::File(number)
        } else if kind.is_fifo() {
            Kind::Fifo
        } else if kind.is_socket() {
            // Of a program that ended with the stage.
            continue;
        } else {
            bail!("{} is a device, which no package can make here", shown());
        };
        let xattrs = if matches!(kind, Kind::Symlink(_)) {
            BTreeMap::new()
        } else {
            attributes(&place).with_context(shown)?
        };
        let entry = Entry {
            kind,
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            mtime: meta.mtime().max(0),
            xattrs,
        };
        tree.insert(path.clone(), entry);
    }
    let removed = before
        .keys()
        .filter(|path| !after.contains_key(*path))
        .cloned()
        .collect();
    Ok((tree, removed))
}

fn attributes(path: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    // The kernel's limits (xattr(7)): 64 KiB of names, 64 KiB in a value.
    let mut buffer = vec![0_u8; 1 << 16];
    let length = match rustix::fs::llistxattr(path, buffer.as_mut_slice()) {
        Ok(0) | Err(rustix::io::Errno::OPNOTSUPP) => return Ok(BTreeMap::new()),
        Ok(length) => length,
        Err(error) => return Err(std::io::Error::from(error).into()),
    };
    let names = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let mut all = BTreeMap::new();
    for name in names
        .split('\0')
        .filter(|name| ATTRIBUTES.iter().any(|known| name.starts_with(known)))
    {
        let length =
            rustix::fs::lgetxattr(path, name, buffer.as_mut_slice()).map_err(std::io::Error::from)?;
        all.insert(name.as_bytes().to_vec(), buffer[..length].to_vec());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_what_changed_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("etc/a")).unwrap();
        for name in ["same", "content", "mode", "gone"] {
            std::fs::write(at("etc").join(name), "old").unwrap();
        }
        std::fs::hard_link(at("etc/same"), at("etc/other-name")).unwrap();
        let before = snapshot(dir.path()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(at("etc/content"), "new").unwrap();
        std::fs::set_permissions(at("etc/mode"), std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::remove_file(at("etc/gone")).unwrap();
        std::os::unix::fs::symlink("x", at("etc/link")).unwrap();
        let (tree, removed) = changes(dir.path(), &before).unwrap();
        let found: Vec<String> = tree
            .paths()
            .map(|path| String::from_utf8_lossy(path).into_owned())
            .collect();
        assert_eq!(found, ["etc", "etc/content", "etc/link", "etc/mode"]);
        assert_eq!(removed, [b"etc/gone".to_vec()]);
    }
}
