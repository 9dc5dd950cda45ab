//! What does not fit, or is nothing that ext4 can hold.

use super::*;

fn refused(path: impl AsRef<[u8]>, node: Node) -> String {
    let mut tree = Tree::new();
    tree.insert(path, node).unwrap();
    format!("{:#}", measure(&tree).unwrap_err())
}

#[test]
fn what_ext4_cannot_hold_is_an_error() {
    let with = |name: &str, value: &[u8]| Node {
        xattrs: BTreeMap::from([(name.as_bytes().to_vec(), value.to_vec())]),
        ..Node::file(*b"", 0o644, 1)
    };
    let device = Kind::CharDevice {
        major: 4096,
        minor: 0,
    };
    for (error, message) in [
        (
            refused([b"/".as_slice(), &[b'n'; 256]].concat(), Node::file(*b"", 0, 0)),
            "a name of 256 bytes",
        ),
        (
            refused("/l", Node::symlink(vec![b'l'; 4096], 1)),
            "/l: a symbolic link of 4096 bytes, ext4 holds up to 4095",
        ),
        (
            refused("/l", Node::symlink("", 1)),
            "/l: a symbolic link without a target",
        ),
        (
            refused("/d", Node::of(device, 0o644, 1)),
            "/d: Linux has no device number 4096:0",
        ),
        (
            refused("/x", with("user.large", &[1; 4100])),
            "/x: its extended attributes take 4128 bytes, ext4 has room for 4064",
        ),
        (
            refused("/x", with("com.apple.quarantine", b"1")),
            "/x: ext4 cannot hold the attribute `com.apple.quarantine`",
        ),
        (
            refused("/x", with("user.", b"1")),
            "/x: ext4 cannot hold the attribute `user.`",
        ),
        (
            refused("/x", with("system.posix_acl_access", b"12345")),
            "the attribute `system.posix_acl_access` is no ACL",
        ),
        (
            refused("/lost+found", Node::file(*b"", 0o644, 1)),
            "/lost+found: only a directory can have this name",
        ),
        (
            refused("/lost+found/a", Node::file(*b"", 0o644, 1)),
            "/lost+found has files in it",
        ),
        (
            refused(
                "/f",
                Node::of(
                    Kind::File(Data::Range {
                        source: 0,
                        offset: 0,
                        len: 1 << 50,
                    }),
                    0,
                    0,
                ),
            ),
            "/f: larger than the 16 TiB that ext4 can hold",
        ),
        (
            refused(
                "/f",
                Node::of(
                    Kind::File(Data::Range {
                        source: 0,
                        offset: 0,
                        len: 1 << 20,
                    }),
                    0,
                    0,
                ),
            ),
            "/f: cannot read its contents: the tree has no tar",
        ),
    ] {
        assert!(error.contains(message), "{error:?} should say {message:?}");
    }
}

#[test]
fn an_empty_lost_and_found_is_the_one_that_is_there() {
    let mut tree = Tree::new();
    tree.insert("/lost+found", Node::directory(0o755, 1)).unwrap();
    assert_eq!(measure(&tree).unwrap(), Need { blocks: 1, inodes: 0 });
    let (image, _) = made(&tree);
    assert!(debugfs(image.path(), "stat /lost+found").contains("Mode:  0700"));
}

#[test]
fn a_file_has_65000_names_at_most() {
    let mut tree = Tree::new();
    tree.insert("/file", Node::file(*b"x", 0o644, 1)).unwrap();
    for index in 1..65_000 {
        let path = format!("/links/{index}").into_bytes();
        tree.entries
            .insert(path, Node::of(Kind::Hardlink(b"/file".to_vec()), 0, 0));
    }
    tree.insert("/links", Node::directory(0o755, 1)).unwrap();
    let (image, _) = made(&tree);
    assert!(debugfs(image.path(), "stat /file").contains("Links: 65000"));
    tree.insert("/links/more", Node::of(Kind::Hardlink(b"/file".to_vec()), 0, 0))
        .unwrap();
    let error = measure(&tree).unwrap_err().to_string();
    assert!(
        error.contains("/file: over 65000 hard links to one file"),
        "{error}"
    );
}

#[test]
fn no_room_says_how_much_was_needed() {
    let mut tree = Tree::new();
    tree.insert("/big", Node::file(vec![1; 20 << 20], 0o644, 1))
        .unwrap();
    let small = options(Geometry {
        bytes: 16 << 20,
        inodes: 8192,
    });
    let image = NamedTempFile::new().unwrap();
    let error = write_to(&tree, &small, image.path(), 0).unwrap_err();
    let room: &NoRoom = error.downcast_ref().unwrap();
    assert_eq!(
        (room.needed_blocks, room.needed_inodes, room.free_inodes),
        (5121, 1, 8181)
    );
    assert!(room.free_blocks < 4096, "{room:?}");
    assert!(
        error
            .to_string()
            .contains("they need 5121 blocks of 4096 bytes and 1 inodes"),
        "{error}"
    );

    let mut tree = Tree::new();
    for index in 0..200 {
        tree.insert(format!("/{index}"), Node::file(*b"", 0o644, 1))
            .unwrap();
    }
    let few = options(Geometry {
        bytes: 16 << 20,
        inodes: 64,
    });
    let error = write_to(&tree, &few, image.path(), 0).unwrap_err();
    let room: &NoRoom = error.downcast_ref().unwrap();
    assert_eq!((room.needed_inodes, room.free_inodes), (200, 53));
}

#[test]
fn wrong_options_are_errors() {
    let tree = Tree::new();
    let image = NamedTempFile::new().unwrap();
    let right = options(Geometry {
        bytes: 16 << 20,
        inodes: 8192,
    });
    for (wrong, message) in [
        (
            Options {
                bytes: (16 << 20) + 1,
                ..right.clone()
            },
            "not whole blocks",
        ),
        (
            Options {
                label: "seventeen letters".into(),
                ..right.clone()
            },
            "longer than ext4's 16 bytes",
        ),
        (
            Options {
                bytes: 1 << 20,
                ..right.clone()
            },
            "cannot make an empty ext4 file system",
        ),
    ] {
        let error = format!("{:#}", write_to(&tree, &wrong, image.path(), 0).unwrap_err());
        assert!(error.contains(message), "{error:?} should say {message:?}");
    }
    for (free, inodes) in [(u64::MAX, 0), (0, u64::MAX), (2 << 40, 0), (0, 1 << 40)] {
        let error = size_for(&tree, free, inodes).unwrap_err().to_string();
        assert!(error.contains("would be over 1 TiB"), "{error}");
    }
}

#[test]
fn the_size_is_enough_and_little_more() {
    let tree = sample();
    for (free, inodes) in [
        (0, 0),
        (1 << 20, 0),
        (100 << 20, 100),
        (700 << 20, 0),
        (1 << 30, 0),
        (0, 100_000),
    ] {
        let geometry = size_for(&tree, free, inodes).unwrap();
        assert!(geometry.bytes.is_multiple_of(1 << 20));
        let image = NamedTempFile::new().unwrap();
        let stats = write_to(&tree, &options(geometry), image.path(), 0).unwrap();
        sound(image.path());
        assert_eq!(stats.inodes, geometry.inodes);
        assert!(
            stats.available >= free && stats.free_inodes >= inodes,
            "{free}: {stats:?}"
        );
        // The least that is made has 16 MiB; inodes come with the blocks that they are for.
        assert!(
            inodes > 1000 || stats.available < free.max(8 << 20) + (5 << 20),
            "{free}: {stats:?}"
        );
    }
}
