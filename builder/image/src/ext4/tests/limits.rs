//! What does not fit, or is nothing that ext4 can hold.

use super::*;

/// What is said of an entry; [`plain`] is a file of this content.
fn refused_with(path: impl AsRef<[u8]>, entry: Entry, content: Content) -> String {
    let mut tree = rooted();
    assert_eq!(tree.add(content), 0);
    put(&mut tree, path, entry);
    format!("{:#}", measure(&tree).unwrap_err())
}

fn refused(path: impl AsRef<[u8]>, entry: Entry) -> String {
    refused_with(path, entry, Content::Bytes(Arc::from(*b"")))
}

fn plain() -> Entry {
    entry(Kind::File(0), 0o644, 1)
}

#[test]
fn what_ext4_cannot_hold_is_an_error() {
    let with = |name: &str, value: &[u8]| Entry {
        xattrs: BTreeMap::from([(name.as_bytes().to_vec(), value.to_vec())]),
        ..plain()
    };
    let host = |size| Content::Host {
        path: "/nowhere/f".into(),
        size,
    };
    for (error, message) in [
        (
            refused([b"/".as_slice(), &[b'n'; 256]].concat(), plain()),
            "a name of 256 bytes",
        ),
        (
            refused("/l", symlink(vec![b'l'; 4096], 1)),
            "/l: a symbolic link of 4096 bytes, ext4 holds up to 4095",
        ),
        (
            refused("/l", symlink("", 1)),
            "/l: a symbolic link without a target",
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
            "the attribute `system.posix_acl_access` is not an ACL",
        ),
        (
            refused("/lost+found", plain()),
            "/lost+found: only a directory can have this name",
        ),
        (refused("/lost+found/a", plain()), "/lost+found has files in it"),
        (
            refused_with("/f", plain(), host(1 << 50)),
            "/f: larger than the 16 TiB that ext4 can hold",
        ),
        (
            refused_with("/f", plain(), host(1 << 20)),
            "/f: cannot read its contents: /nowhere/f: ",
        ),
    ] {
        assert!(error.contains(message), "{error:?} should say {message:?}");
    }
}

#[test]
fn an_empty_lost_and_found_is_the_one_that_is_there() {
    let mut tree = rooted();
    put(&mut tree, "/lost+found", directory(0o755, 1));
    assert_eq!(measure(&tree).unwrap(), Need { blocks: 1, inodes: 0 });
    let (image, _) = made(&tree);
    assert!(debugfs(image.path(), "stat /lost+found").contains("Mode:  0700"));
}

#[test]
fn a_file_has_65000_names_at_most() {
    let mut tree = rooted();
    file(&mut tree, "/file", *b"x", 0o644, 1);
    let named = tree.get("/file").unwrap().clone();
    put(&mut tree, "/links", directory(0o755, 1));
    for index in 1..65_000 {
        put(&mut tree, format!("/links/{index}"), named.clone());
    }
    let (image, _) = made(&tree);
    assert!(debugfs(image.path(), "stat /file").contains("Links: 65000"));
    put(&mut tree, "/links/more", named);
    let error = measure(&tree).unwrap_err().to_string();
    assert!(
        error.contains("/file: over 65000 hard links to one file"),
        "{error}"
    );
}

#[test]
fn no_room_says_how_much_was_needed() {
    let mut tree = rooted();
    file(&mut tree, "/big", vec![1; 20 << 20], 0o644, 1);
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

    let mut tree = rooted();
    for index in 0..200 {
        file(&mut tree, format!("/{index}"), *b"", 0o644, 1);
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
    let tree = rooted();
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
