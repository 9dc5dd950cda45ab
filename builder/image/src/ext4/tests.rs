//! File systems are made and then read by programs that know nothing of this code: `e2fsck`, `debugfs`,
//! `resize2fs` and the ext4-view crate.

mod contents;
mod image;
mod limits;
mod parts;

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use clic_host::{Cmd, Progress};
use clic_tree::{Content, Entry, Kind, shown};
use ext4_view::{Ext4, FileType};
use tempfile::NamedTempFile;

use super::*;
use crate::testtree::{directory, entry, file, put, rooted, symlink};

const EPOCH: i64 = 1_700_000_000;

fn options(geometry: Geometry) -> Options {
    Options {
        uuid: Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_7777_8888),
        hash_seed: Uuid::from_u128(0x8888_7777_6666_5555_4444_3333_2222_1111),
        label: "root".into(),
        epoch: EPOCH,
        bytes: geometry.bytes,
        inodes: geometry.inodes,
    }
}

fn write_to(tree: &FileTree, options: &Options, path: &Path, offset: u64) -> Result<Stats> {
    let file = File::options()
        .read(true)
        .write(true)
        .truncate(true)
        .create(true)
        .open(path)
        .unwrap();
    file.set_len(offset + options.bytes).unwrap();
    write(
        tree,
        options,
        &file,
        offset,
        &Progress::silent().stage("image", "Image", "test"),
    )
}

/// A file system with the tree and 1 MiB free, checked.
fn made(tree: &FileTree) -> (NamedTempFile, Stats) {
    let image = NamedTempFile::new().unwrap();
    let geometry = size_for(tree, 1 << 20, 10).unwrap();
    let stats = write_to(tree, &options(geometry), image.path(), 0).unwrap();
    assert!(stats.available >= 1 << 20 && stats.free_inodes >= 10, "{stats:?}");
    sound(image.path());
    (image, stats)
}

/// `e2fsck` finds nothing to say but the names of its passes.
fn sound(image: &Path) {
    let finished = Cmd::new("e2fsck")
        .clean_env()
        .arg("-fn")
        .arg(image)
        .finish()
        .unwrap();
    let text = String::from_utf8_lossy(&finished.stdout);
    let said: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("Pass ") && !line.contains(" files ("))
        .collect();
    assert!(
        finished.status.success() && said.is_empty(),
        "{:?}\n{text}",
        finished.status
    );
}

fn debugfs(image: &Path, request: &str) -> String {
    let finished = Cmd::new("debugfs")
        .clean_env()
        .args(["-R", request])
        .arg(image)
        .finish()
        .unwrap();
    String::from_utf8_lossy(&finished.stdout).into_owned()
}

/// Reads the whole file system with ext4-view and compares it with the tree.
fn same(tree: &FileTree, image: &Path) {
    let volume = Ext4::load(Box::new(std::fs::read(image).unwrap())).unwrap();
    for (path, node) in tree.entries() {
        let shown = shown(path);
        let path = [b"/", path].concat();
        let metadata = volume.symlink_metadata(path.as_slice()).unwrap();
        assert_eq!(u32::from(metadata.mode()), node.mode, "{shown}");
        assert_eq!((metadata.uid(), metadata.gid()), (node.uid, node.gid), "{shown}");
        let time = node.mtime.min(EPOCH);
        assert_eq!(metadata.modified().seconds(), time, "{shown}");
        assert_eq!(metadata.accessed().seconds(), time, "{shown}");
        assert_eq!(metadata.created().unwrap().seconds(), time, "{shown}");
        let kind = match &node.kind {
            Kind::Directory => {
                let mut names: Vec<Vec<u8>> = volume
                    .read_dir(path.as_slice())
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().as_ref().to_vec())
                    .filter(|name| name != b"." && name != b".." && (path != *b"/" || name != b"lost+found"))
                    .collect();
                names.sort();
                let expected: Vec<Vec<u8>> = tree.children(&path).map(|(name, _)| name.to_vec()).collect();
                assert!(
                    names == expected,
                    "{shown}: {} names, expected {}",
                    names.len(),
                    expected.len()
                );
                FileType::Directory
            }
            Kind::File(number) => {
                let data = tree.content_of(*number);
                assert_eq!(metadata.len(), data.size(), "{shown}");
                if data.size() < 1 << 28 {
                    assert!(
                        volume.read(path.as_slice()).unwrap() == data.bytes().unwrap(),
                        "{shown}"
                    );
                }
                FileType::Regular
            }
            Kind::Symlink(target) => {
                assert_eq!(
                    volume.read_link(path.as_slice()).unwrap().as_ref(),
                    target.as_slice(),
                    "{shown}"
                );
                FileType::Symlink
            }
            Kind::Fifo => FileType::Fifo,
        };
        assert_eq!(metadata.file_type(), kind, "{shown}");
    }
}

/// A bit of everything.
fn sample() -> FileTree {
    let mut tree = rooted();
    put(
        &mut tree,
        "/",
        Entry {
            uid: 5,
            gid: 6,
            ..directory(0o750, 77)
        },
    );
    file(&mut tree, "/empty", *b"", 0o600, 1);
    file(&mut tree, "/etc/hostname", *b"clic\n", 0o644, EPOCH + 100);
    let number = tree.add(Content::Bytes(Arc::from(vec![7; 5000])));
    let su = Entry {
        uid: 100_000,
        gid: 70_000,
        ..entry(Kind::File(number), 0o4755, 1_234_567_890)
    };
    put(&mut tree, "/usr/bin/su", su.clone());
    put(&mut tree, "/usr/bin/again", su);
    file(&mut tree, b"/usr/bin/\xff\xfe not utf-8", *b"x", 0o644, 3);
    file(
        &mut tree,
        [b"/".as_slice(), &[b'n'; 255]].concat(),
        *b"y",
        0o644,
        3,
    );
    put(&mut tree, "/tmp", directory(0o1777, 4));
    for len in [1, 59, 60, 61, 4095] {
        let target = &b"../usr/".repeat(600)[..len];
        put(&mut tree, format!("/link{len}"), symlink(target, 5));
    }
    put(&mut tree, "/dev/initctl", entry(Kind::Fifo, 0o600, 6));
    file(&mut tree, "/d".repeat(200), *b"deep", 0o644, 7);
    tree
}

#[test]
fn everything_that_a_tree_has_comes_back() {
    let tree = sample();
    let (image, stats) = made(&tree);
    same(&tree, image.path());
    let stat = |path: &str| debugfs(image.path(), &format!("stat {path}"));
    assert!(stat("/usr/bin/su").contains("Links: 2"));
    assert!(stat("/link59").contains("Fast link dest"));
    assert!(
        stat("/etc/hostname").contains(" ctime: 0x6553f100:00000000"),
        "{}",
        stat("/etc/hostname")
    );
    assert!(stat("/lost+found").contains("Mode:  0700"));
    let head = debugfs(image.path(), "show_super_stats -h");
    for line in [
        "Filesystem volume name:   root",
        "Last mounted on:          <not available>",
        "Filesystem UUID:          11112222-3333-4444-5555-666677778888",
        "Directory Hash Seed:      88887777-6666-5555-4444-333322221111",
        "Filesystem flags:         signed_directory_hash",
        "Filesystem created:       Tue Nov 14 22:13:20 2023",
        "Last write time:          Tue Nov 14 22:13:20 2023",
        &format!("Free blocks:              {}", stats.free_blocks),
        &format!("Free inodes:              {}", stats.free_inodes),
    ] {
        assert!(head.contains(line), "{line}\n{head}");
    }
}

#[test]
fn an_empty_tree_is_an_empty_file_system() {
    let tree = rooted();
    assert_eq!(measure(&tree).unwrap(), Need { blocks: 1, inodes: 0 });
    let (image, stats) = made(&tree);
    same(&tree, image.path());
    assert_eq!(stats.inodes - stats.free_inodes, 11);
}

#[test]
fn a_tar_comes_back_through_the_image() {
    let mut tar = tar::Builder::new(NamedTempFile::new().unwrap());
    let contents: Vec<u8> = (0..3_000_000u32).map(|index| (index / 7) as u8).collect();
    for path in ["./", "a/"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(41);
        tar.append_data(&mut header, path, &b""[..]).unwrap();
    }
    for (path, contents) in [
        ("a/big", contents.as_slice()),
        ("a/small", b"small"),
        ("b", &contents[..4096]),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o640);
        header.set_uid(1);
        header.set_gid(2);
        header.set_mtime(42);
        tar.append_data(&mut header, path, contents).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    let tree = FileTree::read(tar.path()).unwrap();
    let (image, _) = made(&tree);
    same(&tree, image.path());
}
