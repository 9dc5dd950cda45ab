use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use tar::{EntryType, Header};

use super::*;

/// A tar file made by hand, in no particular order.
fn sample(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("raw.tar");
    let mut builder = tar::Builder::new(File::create(&path).unwrap());
    let mut add = |path: &str, kind: EntryType, link: &str, bytes: &[u8], mtime: u64| {
        if path == "./usr/bin/ping" {
            builder
                .append_pax_extensions([("SCHILY.xattr.security.capability", &b"\x01\x00\xff\n"[..])])
                .unwrap();
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory {
            0o755
        } else {
            0o4644
        });
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(mtime);
        header.set_size(bytes.len() as u64);
        if link.is_empty() {
            builder.append_data(&mut header, path, bytes).unwrap();
        } else {
            builder.append_link(&mut header, path, link).unwrap();
        }
    };
    add("./", EntryType::Directory, "", b"", 5);
    add("./z", EntryType::Regular, "", b"one inode", 50);
    add("./a", EntryType::Link, "./z", b"", 50);
    add("./bin", EntryType::Symlink, "usr/bin", b"", 5);
    add("./usr/", EntryType::Directory, "", b"", 5);
    add("./usr/bin/", EntryType::Directory, "", b"", 5);
    add("./usr/bin/ping", EntryType::Regular, "", &[1; 1000], 999);
    let long = format!("./usr/{}", "x".repeat(150));
    add(&long, EntryType::Symlink, &"y".repeat(150), b"", 5);
    builder.finish().unwrap();
    path
}

#[test]
fn one_form_whatever_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("1.tar"), dir.path().join("2.tar"));
    let written = FileTree::read(&sample(dir.path()))
        .unwrap()
        .write(&one, 100)
        .unwrap();
    assert_eq!((written.entries, written.bytes), (8, 1009));
    let bytes = std::fs::read(&one).unwrap();
    let sha256 = clic_host::Sha256::of(&bytes);
    assert_eq!((written.size, written.sha256), (bytes.len() as u64, sha256));
    FileTree::read(&one).unwrap().write(&two, 100).unwrap();
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());

    let tree = FileTree::read(&one).unwrap();
    let ping = tree.get("/usr/bin/ping").unwrap();
    assert_eq!((ping.mode, ping.uid, ping.gid, ping.mtime), (0o4644, 7, 8, 100));
    assert_eq!(
        ping.xattrs,
        BTreeMap::from([(b"security.capability".to_vec(), b"\x01\x00\xff\n".to_vec())])
    );
    assert_eq!(tree.get("z").unwrap().mtime, 50);
    assert_eq!(tree.get("a"), tree.get("z"), "still one inode");
    assert_eq!(tree.content("z").unwrap().unwrap(), b"one inode");
    let long = tree.get(format!("usr/{}", "x".repeat(150))).unwrap();
    assert_eq!(long.kind, Kind::Symlink(vec![b'y'; 150]));
}

#[test]
fn a_removed_first_name_leaves_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = FileTree::read(&sample(dir.path())).unwrap();
    tree.remove(b"a");
    tree.write_file("/etc/new", b"x".to_vec());
    tree.write_symlink("/etc/link", "new");
    let out = dir.path().join("out.tar");
    tree.write(&out, 100).unwrap();
    let tree = FileTree::read(&out).unwrap();
    assert_eq!(tree.content("z").unwrap().unwrap(), b"one inode");
    assert_eq!(tree.get("a"), None);
    let new = tree.get("etc/new").unwrap();
    assert_eq!((new.mode, new.uid, new.mtime), (0o644, 0, 100));
    assert_eq!(tree.size("etc/new"), Some(1));
}

#[test]
fn symlinks_are_followed_inside_of_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = FileTree::read(&sample(dir.path())).unwrap();
    tree.write_file("usr/bin/sh", b"#!".to_vec());
    tree.write_symlink("up", "../../../usr");
    tree.write_symlink("loop", "/loop");
    tree.write_symlink("usr/bin/abs", "/bin/sh");
    assert_eq!(tree.resolve("/bin/sh", Follow::All).unwrap(), b"usr/bin/sh");
    assert_eq!(tree.resolve("/up/bin/abs", Follow::All).unwrap(), b"usr/bin/sh");
    assert_eq!(
        tree.resolve("/up/bin/abs", Follow::Directories).unwrap(),
        b"usr/bin/abs"
    );
    assert_eq!(
        tree.resolve("/bin/../..//usr/./bin/", Follow::All).unwrap(),
        b"usr/bin"
    );
    assert_eq!(tree.read_file("/up/bin/abs").unwrap(), b"#!");
    for (path, message) in [
        ("/loop/x", "/loop/x: more than 40 symbolic links to follow"),
        ("/nowhere", "/nowhere: there is no /nowhere"),
        ("/bin/no", "/bin/no: there is no /usr/bin/no"),
        ("/bin/sh/x", "/bin/sh/x: /usr/bin/sh is not a directory"),
        ("/usr", "/usr is not a regular file"),
    ] {
        assert_eq!(tree.read_file(path).unwrap_err().to_string(), message);
    }
}

#[test]
fn garbage_and_escapes_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    for bytes in [
        &[b'x'; 2000][..],
        &std::fs::read(sample(dir.path())).unwrap()[..700],
    ] {
        std::fs::write(&path, bytes).unwrap();
        let tree = FileTree::read(&path);
        // A cut file may have a whole index; its contents are missing when it is written.
        if let Ok(tree) = tree {
            tree.write(&dir.path().join("out.tar"), 1).unwrap_err();
        }
    }
}

#[test]
fn times_before_1970_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.tar");
    let mut tree = FileTree::default();
    tree.insert(
        b"old".to_vec(),
        Entry {
            mtime: -2,
            ..Entry::new(Kind::Fifo, 0o600)
        },
    );
    tree.write(&path, 100).unwrap();
    assert_eq!(FileTree::read(&path).unwrap().get("old"), tree.get("old"));
}

#[test]
fn children_are_direct_ones_in_order() {
    let mut tree = FileTree::default();
    for path in ["usr/bin/env", "usr/bin-x", "bin", "loop", "usr/bin/abs"] {
        if let Some(parent) = std::path::Path::new(path).parent().and_then(|path| path.to_str())
            && !parent.is_empty()
        {
            tree.make_directories(parent).unwrap();
        }
        tree.write_file(path, Vec::new());
    }
    let names = |path: &str| -> Vec<String> {
        tree.children(path)
            .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
            .collect()
    };
    assert_eq!(names("/"), ["bin", "loop", "usr"]);
    assert_eq!(names("/usr"), ["bin", "bin-x"]);
    assert_eq!(names("/usr/bin"), ["abs", "env"]);
    assert_eq!(names("/usr/bin-x"), [""; 0]);
    let error = tree.make_directories("usr/bin-x/a").unwrap_err();
    assert_eq!(error.to_string(), "/usr/bin-x is not a directory in the image");
}

#[test]
fn reading_past_the_end_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("host");
    std::fs::write(&path, "hello").unwrap();
    let host = Content::Host { path, size: 5 };
    for content in [Content::Bytes(Arc::from(*b"hello")), host] {
        let opened = content.open().unwrap();
        let mut buffer = [0; 3];
        opened.read_at(2, &mut buffer).unwrap();
        assert_eq!(&buffer, b"llo");
        assert!(opened.read_at(3, &mut buffer).is_err());
        assert!(opened.read_at(u64::MAX, &mut buffer).is_err());
    }
    let gone = Content::Host {
        path: dir.path().join("gone"),
        size: 1,
    };
    let error = format!("{:#}", gone.open().unwrap_err());
    assert!(error.contains("gone"), "{error}");
}
