//! Attributes, large directories, holes.

use super::*;

#[test]
fn attributes_come_back() {
    let mut tree = rooted();
    let names = [
        ("security.capability", 20),
        ("user.empty", 0),
        ("user.a", 5),
        ("trusted.x", 3),
        ("user.bb", 1),
    ];
    let value = |len: usize| {
        (0..len)
            .map(|index| b'a' + (index % 26) as u8)
            .collect::<Vec<u8>>()
    };
    let xattrs = |names: &[(&str, usize)]| -> BTreeMap<Vec<u8>, Vec<u8>> {
        names
            .iter()
            .map(|(name, len)| (name.as_bytes().to_vec(), value(*len)))
            .collect()
    };
    // The system call's form: version 2, then tag, permissions and id of the owner, one user, the group, the mask and others.
    let acl: Vec<u8> = [
        (1, 6, u32::MAX),
        (2, 4, 1000),
        (4, 4, u32::MAX),
        (0x10, 4, u32::MAX),
        (0x20, 0, u32::MAX),
    ]
    .into_iter()
    .fold(
        2u32.to_le_bytes().to_vec(),
        |mut bytes, (tag, permissions, id): (u16, u16, u32)| {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&permissions.to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
            bytes
        },
    );
    let mut with = |path: &str, xattrs| {
        let number = tree.add(Content::Bytes(Arc::from(*b"x")));
        let entry = Entry {
            xattrs,
            ..entry(Kind::File(number), 0o640, 1)
        };
        put(&mut tree, path, entry);
    };
    with("/few", xattrs(&names[..2]));
    with("/many", xattrs(&names));
    with(
        "/large",
        xattrs(&[("user.large", 3900), ("security.selinux", 30)]),
    );
    with(
        "/acl",
        BTreeMap::from([(b"system.posix_acl_access".to_vec(), acl)]),
    );
    let directory = Entry {
        xattrs: xattrs(&[("user.d", 1000)]),
        ..directory(0o755, 1)
    };
    put(&mut tree, "/dir", directory);
    let (image, _) = made(&tree);
    same(&tree, image.path());
    for (path, node) in tree.entries().filter(|(path, _)| *path != b"acl") {
        let path = shown(path);
        let list = debugfs(image.path(), &format!("ea_list {path}"));
        assert_eq!(list.matches('(').count(), node.xattrs.len(), "{list}");
        for (name, value) in &node.xattrs {
            let name = String::from_utf8_lossy(name);
            let out = NamedTempFile::new().unwrap();
            debugfs(
                image.path(),
                &format!("ea_get -f {} {path} {name}", out.path().display()),
            );
            assert_eq!(std::fs::read(out.path()).unwrap(), *value, "{path} {name}");
        }
    }
    let list = debugfs(image.path(), "ea_list /acl");
    assert!(list.contains("system.posix_acl_access"), "{list}");
    assert!(debugfs(image.path(), "stat /few").contains("File ACL: 0\n"));
    assert!(!debugfs(image.path(), "stat /large").contains("File ACL: 0\n"));
}

#[test]
fn a_directory_of_20000_names_has_an_index() {
    let mut tree = rooted();
    for index in 0..20_000 {
        let path = format!("/many/a name that is not short {index}");
        file(&mut tree, path, *b"", 0o644, 1);
    }
    // A little over one block, where the index begins.
    for index in 0..16 {
        file(&mut tree, format!("/few/{index:0250}"), *b"", 0o644, 1);
    }
    let (image, _) = made(&tree);
    same(&tree, image.path());
    assert!(debugfs(image.path(), "htree /many").contains("Number of entries (count): 244"));
    assert!(debugfs(image.path(), "htree /few").contains("Number of entries (count): 2"));
}

/// A file of `blocks` blocks in which every block that `holds` names has one byte that is not zero.
fn sparse(blocks: u64, holds: impl Fn(u64) -> bool) -> FileTree {
    let mut file = tempfile::tempfile().unwrap();
    for block in (0..blocks).filter(|block| holds(*block)) {
        file.seek(SeekFrom::Start(block * BLOCK + 77)).unwrap();
        file.write_all(b"x").unwrap();
    }
    file.set_len(blocks * BLOCK).unwrap();
    let mut tree = rooted();
    let number = tree.add(Content::At {
        file: Arc::new(file),
        offset: 0,
        size: blocks * BLOCK - 1,
    });
    put(&mut tree, "/sparse", entry(Kind::File(number), 0o644, 1));
    tree
}

#[test]
fn zeros_become_holes_and_extents_a_tree() {
    // Blocks that a file takes with so many pieces of one block, each 16 blocks of zeros apart: what e2fsck verified.
    for (pieces, tree_blocks) in [(4, 0), (5, 1), (340, 1), (341, 2), (1361, 6)] {
        let tree = sparse(pieces * 17, |block| block % 17 == 0);
        assert_eq!(measure(&tree).unwrap().blocks, 1 + pieces + tree_blocks);
        let (image, _) = made(&tree);
        same(&tree, image.path());
        let stat = debugfs(image.path(), "stat /sparse");
        assert!(
            stat.contains(&format!("Blockcount: {}", (pieces + tree_blocks) * 8)),
            "{stat}"
        );
    }
    // Zeros that are too short are contents; so are those of a short file.
    assert_eq!(
        measure(&sparse(170, |block| block % 16 == 0)).unwrap().blocks,
        1 + 170
    );
    assert_eq!(measure(&sparse(15, |_| false)).unwrap().blocks, 1 + 15);
    assert_eq!(measure(&sparse(16, |_| false)).unwrap().blocks, 1);
    assert_eq!(measure(&sparse(32, |block| block == 31)).unwrap().blocks, 1 + 1);
}

#[test]
fn a_sparse_file_over_4_gib_takes_what_it_has() {
    // Not surveyed, since that reads all of it.
    let blocks = (4 << 30) / BLOCK + 3;
    let tree = sparse(blocks, |block| block == 5 || block == blocks - 1);
    let empty = rooted();
    let mut survey = Survey::of(&empty).unwrap();
    let Kind::File(number) = tree.get("/sparse").unwrap().kind else {
        panic!()
    };
    let data = tree.content_of(number);
    let spans = [5, blocks as u32 - 1]
        .map(|start| survey::Span { start, len: 1 })
        .to_vec();
    let (inode, links, path) = (12, 1, b"sparse".as_slice());
    let attributes = xattrs::Attributes::None;
    let content = survey::Content::File { data, spans };
    survey.items.push(survey::Item {
        inode,
        path,
        node: tree.get(path).unwrap(),
        links,
        attributes,
        content,
    });
    let survey::Content::Directory { entries, .. } = &mut survey.items[0].content else {
        panic!()
    };
    entries.push(dirs::Entry {
        name: b"sparse",
        inode,
        kind: dirs::kind::FILE,
    });
    survey.need = Need { blocks: 3, inodes: 1 };
    let options = options(size::size_for(&survey, 0, 0).unwrap());
    let image = NamedTempFile::new().unwrap();
    image.as_file().set_len(options.bytes).unwrap();
    format::format(&options, image.as_file(), 0).unwrap();
    let stage = Progress::silent().stage("image", "Image", "test");
    populate::populate(&survey, &options, image.as_file(), 0, &stage).unwrap();
    sound(image.path());
    let stat = debugfs(image.path(), "stat /sparse");
    assert!(
        stat.contains(&format!("Size: {}", blocks * BLOCK - 1)) && stat.contains("Blockcount: 16"),
        "{stat}"
    );
}
