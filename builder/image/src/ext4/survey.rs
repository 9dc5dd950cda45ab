//! What a tree will be on ext4, before it is known where: inode numbers, link counts, directories, attributes,
//! and which parts of files are only zeros.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use clic_tree::{FileTree, Kind, name, parent, shown};

use super::dirs::{self, Entry, kind};
use super::inode::{LINK_MAX, LOST_FOUND, ROOT};
use super::xattrs::{self, Attributes};
use super::{BLOCK, BLOCK_LEN, Need, extents};

/// Zeros at least this many blocks long (64 KiB), on block boundaries, become holes. Shorter ones cost less as
/// data than as further extents.
const HOLE: u32 = 16;

/// Longest symbolic link that fits into the inode, in bytes.
const SHORT_LINK: usize = 59;

/// Longest one at all: a block less the final NUL.
const LONG_LINK: usize = 4095;

/// A tree, prepared.
pub(super) struct Survey<'t> {
    tree: &'t FileTree,
    /// Sorted by path; the root is first. Of the names of one file only the first is among them.
    pub items: Vec<Item<'t>>,
    pub need: Need,
}

/// One inode.
pub(super) struct Item<'t> {
    pub inode: u32,
    pub path: &'t [u8],
    pub node: &'t clic_tree::Entry,
    pub links: u32,
    pub attributes: Attributes,
    pub content: Content<'t>,
}

/// What an inode stands for.
pub(super) enum Content<'t> {
    Directory {
        parent: u32,
        entries: Vec<Entry<'t>>,
        blocks: u64,
    },
    File {
        data: &'t clic_tree::Content,
        spans: Vec<Span>,
    },
    ShortLink(&'t [u8]),
    LongLink(&'t [u8]),
    /// A named pipe: all is in the inode.
    Fifo,
}

/// Where in the items the inode of a name is. Names of one file share its number.
#[derive(Default)]
struct Names<'t> {
    by_path: HashMap<&'t [u8], usize>,
    by_number: HashMap<usize, usize>,
}

/// Blocks of a file that are not a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: u32,
    pub len: u32,
}

impl<'t> Survey<'t> {
    pub fn of(tree: &'t FileTree) -> Result<Self> {
        let mut survey = Self {
            tree,
            items: Vec::new(),
            need: Need { blocks: 0, inodes: 0 },
        };
        ensure!(
            tree.get("").is_some_and(clic_tree::Entry::is_directory),
            "the tree has no root directory"
        );
        let mut names = Names::default();
        for (path, node) in tree.entries() {
            if let Kind::File(number) = node.kind
                && names.by_number.contains_key(&number)
            {
                continue;
            }
            let inode = match path {
                b"" => ROOT,
                b"lost+found" => LOST_FOUND,
                _ => {
                    survey.need.inodes += 1;
                    let inode = u64::from(LOST_FOUND) + survey.need.inodes;
                    u32::try_from(inode).context("more files than ext4 has inodes")?
                }
            };
            clic_host::cancel::check()?;
            names.by_path.insert(path, survey.items.len());
            if let Kind::File(number) = node.kind {
                names.by_number.insert(number, survey.items.len());
            }
            let item = survey.item(inode, path, node).with_context(|| shown(path))?;
            survey.items.push(item);
        }
        survey.name_all(&names)?;
        survey.count()?;
        Ok(survey)
    }

    fn item(&self, inode: u32, path: &'t [u8], node: &'t clic_tree::Entry) -> Result<Item<'t>> {
        let content = match &node.kind {
            Kind::Directory => Content::Directory {
                parent: ROOT,
                entries: Vec::new(),
                blocks: 0,
            },
            Kind::File(number) => {
                let data = self.tree.content_of(*number);
                let spans = spans(data)?;
                Content::File { data, spans }
            }
            Kind::Symlink(target) => match target.len() {
                0 => bail!("a symbolic link without a target"),
                1..=SHORT_LINK => Content::ShortLink(target),
                60..=LONG_LINK => Content::LongLink(target),
                len => bail!("a symbolic link of {len} bytes, ext4 holds up to {LONG_LINK}"),
            },
            Kind::Fifo => Content::Fifo,
        };
        ensure!(
            inode != LOST_FOUND || node.is_directory(),
            "only a directory can have this name"
        );
        let attributes = if inode == LOST_FOUND {
            Attributes::None
        } else {
            xattrs::encode(&node.xattrs)?
        };
        Ok(Item {
            inode,
            path,
            node,
            links: 0,
            attributes,
            content,
        })
    }

    /// Enters every name into its directory and counts the links.
    fn name_all(&mut self, names: &Names<'t>) -> Result<()> {
        // `.` of each directory, and the root's `..`.
        for item in &mut self.items {
            item.links = u32::from(item.node.is_directory());
        }
        self.items[0].links += 1;
        if !names.by_path.contains_key(b"lost+found".as_slice()) {
            self.enter(
                0,
                Entry {
                    name: b"lost+found",
                    inode: LOST_FOUND,
                    kind: kind::DIRECTORY,
                },
            )?;
            self.items[0].links += 1;
        }
        for (path, node) in self.tree.entries() {
            let Some(above) = parent(path) else { continue };
            let at = match node.kind {
                Kind::File(number) => names.by_number.get(&number),
                _ => names.by_path.get(path),
            };
            let at = *at.with_context(|| format!("{}: no inode", shown(path)))?;
            let above = *names
                .by_path
                .get(above)
                .with_context(|| format!("{}: no directory above it", shown(path)))?;
            let name = name(path);
            ensure!(
                name.len() <= 255,
                "{}: a name of {} bytes, ext4 holds up to 255",
                shown(path),
                name.len()
            );
            let parent_inode = self.items[above].inode;
            let item = &mut self.items[at];
            item.links += 1;
            let kind = match &mut item.content {
                Content::Directory { parent, .. } => {
                    *parent = parent_inode;
                    kind::DIRECTORY
                }
                Content::File { .. } => kind::FILE,
                Content::ShortLink(_) | Content::LongLink(_) => kind::SYMLINK,
                Content::Fifo => kind::FIFO,
            };
            ensure!(
                kind == kind::DIRECTORY || item.links <= LINK_MAX,
                "{}: over {LINK_MAX} hard links to one file, more than ext4 can count",
                shown(item.path)
            );
            let entry = Entry {
                name,
                inode: item.inode,
                kind,
            };
            if kind == kind::DIRECTORY {
                self.items[above].links += 1;
            }
            self.enter(above, entry)
                .with_context(|| format!("{} is below something else", shown(path)))?;
        }
        Ok(())
    }

    fn enter(&mut self, directory: usize, entry: Entry<'t>) -> Result<()> {
        let Content::Directory { entries, .. } = &mut self.items[directory].content else {
            bail!("{} is not a directory", shown(self.items[directory].path));
        };
        entries.push(entry);
        Ok(())
    }

    /// Counts the blocks, once all names are known.
    fn count(&mut self) -> Result<()> {
        for item in &mut self.items {
            let blocks = match &mut item.content {
                Content::Directory { entries, blocks, .. } => {
                    entries.sort_unstable_by_key(|entry| entry.name);
                    *blocks = dirs::count(entries).with_context(|| shown(item.path))?;
                    if item.inode == LOST_FOUND {
                        // It stays as `mke2fs` made it: empty, with blocks to recover into.
                        ensure!(
                            entries.is_empty(),
                            "/lost+found has files in it; it belongs to e2fsck"
                        );
                        *blocks = 0;
                    }
                    *blocks
                }
                Content::File { spans, .. } => {
                    let pieces = spans
                        .iter()
                        .map(|span| span.len.div_ceil(extents::MAX_LEN) as usize)
                        .sum();
                    spans.iter().map(|span| u64::from(span.len)).sum::<u64>() + extents::tree_blocks(pieces)
                }
                Content::LongLink(_) => 1,
                Content::ShortLink(_) | Content::Fifo => 0,
            };
            let attributes = u64::from(matches!(item.attributes, Attributes::Block(_)));
            self.need.blocks += blocks + attributes;
        }
        Ok(())
    }
}

/// The parts of a file that are not holes.
fn spans(data: &clic_tree::Content) -> Result<Vec<Span>> {
    let blocks = data.size().div_ceil(BLOCK);
    let blocks = u32::try_from(blocks).context("larger than the 16 TiB that ext4 can hold")?;
    if blocks < HOLE {
        return Ok(if blocks == 0 {
            Vec::new()
        } else {
            vec![Span {
                start: 0,
                len: blocks,
            }]
        });
    }
    let opened = data.open().context("cannot read its contents")?;
    let mut spans: Vec<Span> = Vec::new();
    let mut buffer = vec![0; 64 * BLOCK_LEN];
    // Zero blocks that have come since the last other one.
    let mut zeros = 0;
    let mut block = 0;
    while block < blocks {
        clic_host::cancel::check()?;
        let offset = u64::from(block) * BLOCK;
        let len = (data.size() - offset).min(buffer.len() as u64) as usize;
        opened
            .read_at(offset, &mut buffer[..len])
            .context("cannot read its contents")?;
        for bytes in buffer[..len].chunks(BLOCK_LEN) {
            if is_zero(bytes) {
                zeros += 1;
            } else {
                match spans.last_mut() {
                    Some(span) if zeros < HOLE => span.len += zeros + 1,
                    None if zeros < HOLE => spans.push(Span {
                        start: 0,
                        len: block + 1,
                    }),
                    _ => spans.push(Span { start: block, len: 1 }),
                }
                zeros = 0;
            }
            block += 1;
        }
    }
    if zeros < HOLE
        && let Some(span) = spans.last_mut()
    {
        span.len += zeros;
    }
    Ok(spans)
}

fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];
    bytes == &ZEROS[..bytes.len()]
}
