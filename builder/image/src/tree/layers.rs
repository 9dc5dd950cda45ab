//! The tree that the rootfs room hands over, in this room's terms.

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clic_rootfs::tarball::{self, Content, TarTree};

use super::{Data, Kind, Node, Tree, normalise};

/// Files of the host up to this many bytes are read at once: each other one stays open until the image is written.
const IN_MEMORY: u64 = 1 << 20;

pub(super) fn convert(root: &TarTree) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut sources: HashMap<*const std::fs::File, usize> = HashMap::new();
    // Names of one file: the first has the content.
    let mut first: HashMap<usize, Vec<u8>> = HashMap::new();
    for (path, entry) in root.entries() {
        let path = normalise(&[&b"/"[..], path].concat())?;
        let shown = || String::from_utf8_lossy(&path).into_owned();
        let kind = match &entry.kind {
            tarball::Kind::Directory => Kind::Directory,
            tarball::Kind::Symlink(target) => Kind::Symlink(target.clone()),
            tarball::Kind::Special(b'6', ..) => Kind::Fifo,
            tarball::Kind::Special(..) => bail!("{} is a device, which the device's kernel makes", shown()),
            tarball::Kind::File(number) => {
                if let Some(other) = first.get(number) {
                    Kind::Hardlink(other.clone())
                } else {
                    first.insert(*number, path.clone());
                    Kind::File(data(&mut tree, &mut sources, root.content_of(*number)).with_context(shown)?)
                }
            }
        };
        let id = |id: u64| u32::try_from(id).context("an owner that ext4 cannot hold");
        let node = Node {
            kind,
            mode: entry.mode,
            uid: id(entry.uid)?,
            gid: id(entry.gid)?,
            mtime: i64::try_from(entry.mtime)?,
            xattrs: entry
                .xattrs
                .iter()
                .map(|(name, value)| (name.clone().into_bytes(), value.clone()))
                .collect(),
        };
        if let Some(parent) = super::parent(&path) {
            ensure!(
                tree.get(parent).is_some_and(Node::is_directory),
                "{} lies in something that is no directory",
                shown()
            );
        }
        tree.entries.insert(path, node);
    }
    Ok(tree)
}

fn data(
    tree: &mut Tree,
    sources: &mut HashMap<*const std::fs::File, usize>,
    content: &Content,
) -> Result<Data> {
    Ok(match content {
        Content::Bytes(bytes) => Data::Bytes(bytes.clone()),
        Content::At { file, offset, size } => {
            let source = *sources.entry(Arc::as_ptr(file)).or_insert_with(|| {
                tree.sources.push(file.clone());
                tree.sources.len() - 1
            });
            Data::Range {
                source,
                offset: *offset,
                len: *size,
            }
        }
        Content::Host { path, size } => {
            let file = std::fs::File::open(path)?;
            if *size > IN_MEMORY {
                tree.sources.push(Arc::new(file));
                return Ok(Data::Range {
                    source: tree.sources.len() - 1,
                    offset: 0,
                    len: *size,
                });
            }
            let mut bytes = vec![0; usize::try_from(*size)?];
            file.read_exact_at(&mut bytes, 0)?;
            Data::Bytes(bytes.into())
        }
    })
}
