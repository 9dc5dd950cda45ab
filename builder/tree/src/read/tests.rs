use super::*;
use std::io::Write;

/// A tar of `(path, type, link target, contents)`, written block by block so that it can be as wrong as need be.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, path: &[u8], kind: u8, link: &[u8], contents: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path);
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_mode(0o644);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1000);
        header.set_size(contents.len() as u64);
        header.set_device_major(5).unwrap();
        header.set_device_minor(300).unwrap();
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(contents);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str) -> Self {
        self.entry(path.as_bytes(), b'0', b"", b"hello")
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3;
            let mut length = body + 1;
            while length != body + length.to_string().len() {
                length += 1;
            }
            bytes.extend_from_slice(format!("{length} {key}=").as_bytes());
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        self.entry(b"pax", b'x', b"", &bytes)
    }

    fn tree(mut self) -> Result<FileTree> {
        self.0.extend_from_slice(&[0; 1024]);
        read(&self.0)
    }

    fn error(self) -> String {
        format!("{:#}", self.tree().unwrap_err())
    }
}

fn read(bytes: &[u8]) -> Result<FileTree> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    FileTree::read(file.path())
}

#[test]
fn a_tar_is_indexed() {
    let tree = Tar::default()
        .entry(b"./", b'5', b"", b"")
        .file("./usr/bin/true")
        .entry(b"bin", b'2', b"usr/bin", b"")
        .entry(b"usr/bin/yes", b'1', b"./usr/bin/true", b"")
        .entry(b"dev/x", b'6', b"", b"")
        .entry(b"old/", b'0', b"", b"")
        .tree()
        .unwrap();
    let paths: Vec<_> = tree
        .paths()
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect();
    assert_eq!(paths, ["", "bin", "dev/x", "old", "usr/bin/true", "usr/bin/yes"]);
    assert_eq!(tree.content("usr/bin/yes").unwrap().unwrap(), b"hello");
    let file = tree.get("/usr/bin/true").unwrap();
    assert_eq!((file.mode, file.uid, file.gid, file.mtime), (0o644, 7, 8, 1000));
    assert_eq!(tree.get("/usr"), None, "a layer has no more than it changes");
    assert_eq!(tree.get("/dev/x").unwrap().kind, Kind::Fifo);
    assert!(tree.get("/old").unwrap().is_directory());
    assert_eq!(tree.count(), (6, 5));
}

#[test]
fn a_hard_link_may_come_before_its_file() {
    let tree = Tar::default()
        .entry(b"a", b'1', b"b", b"")
        .entry(b"b", b'1', b"c", b"")
        .file("c")
        .tree()
        .unwrap();
    assert_eq!(tree.get("a"), tree.get("c"));
    assert_eq!(tree.get("b"), tree.get("c"));
    assert_eq!(tree.content("a").unwrap().unwrap(), b"hello");
}

#[test]
fn pax_records_and_gnu_long_names_win_over_the_header() {
    let long = format!("./{}", "n".repeat(200));
    let tree = Tar::default()
        .pax(&[
            ("path", b"./etc/caf\xc3\xa9"),
            ("uid", b"3000000"),
            ("mtime", b"-1.5"),
            ("SCHILY.xattr.security.capability", b"\x01\n\x00=\n"),
            ("SCHILY.xattr.user.empty", b""),
        ])
        .file("ignored")
        .entry(b"././@LongLink", b'L', b"", format!("{long}\0").as_bytes())
        .entry(b"././@LongLink", b'K', b"", &[b't'; 300])
        .entry(b"cut", b'2', b"cut", b"")
        .tree()
        .unwrap();
    let file = tree.get("/etc/café").unwrap();
    assert_eq!((file.uid, file.gid, file.mtime), (3_000_000, 8, -2));
    assert_eq!(file.xattrs[b"security.capability".as_slice()], b"\x01\n\x00=\n");
    assert_eq!(file.xattrs[b"user.empty".as_slice()], b"");
    assert_eq!(tree.get(&long[2..]).unwrap().kind, Kind::Symlink(vec![b't'; 300]));
}

#[test]
fn a_hostile_tar_is_an_error() {
    let wrong = [
        (
            Tar::default().file("/etc/passwd"),
            "the path `/etc/passwd` is absolute",
        ),
        (
            Tar::default().file("a/../../b"),
            "the path `a/../../b` has `..` in it",
        ),
        (Tar::default().file("a").file("./a"), "./a: twice in the tar"),
        (
            Tar::default().file("a").file("a/b"),
            "/a/b is below /a, which is not a directory",
        ),
        (
            Tar::default().entry(b"bin", b'2', b"usr", b"").file("bin/sh"),
            "/bin/sh is below /bin",
        ),
        (
            Tar::default().entry(b"a", b'1', b"nowhere", b""),
            "/a: a hard link to /nowhere, which is not there",
        ),
        (
            Tar::default().entry(b"a", b'1', b"../x", b""),
            "a: a hard link: the path `../x` has `..` in it",
        ),
        (
            Tar::default().entry(b"a", b'1', b"", b""),
            "a: a hard link without a target",
        ),
        (
            Tar::default()
                .entry(b"d", b'5', b"", b"")
                .entry(b"a", b'1', b"d", b""),
            "/a: a hard link to the directory /d",
        ),
        (
            Tar::default()
                .entry(b"a", b'1', b"b", b"")
                .entry(b"b", b'1', b"a", b""),
            "/a: hard links that lead to no file",
        ),
        (
            Tar::default().entry(b"a", b'2', b"", b""),
            "a: a symbolic link without a target",
        ),
        (
            Tar::default().entry(b"a", b'2', b"b", b"data"),
            "contents in an entry that is not a regular file",
        ),
        (
            Tar::default().entry(b"./", b'0', b"", b"x"),
            "contents in an entry that is not a regular file",
        ),
        (
            Tar::default().entry(b"./", b'2', b"x", b""),
            "the root must be a directory",
        ),
        (
            Tar::default().entry(b"dev/sda", b'4', b"", b""),
            "dev/sda: a device, which only the system's own kernel makes",
        ),
        (
            Tar::default().entry(b"dev/null", b'3', b"", b""),
            "dev/null: a device, which only the system's own kernel makes",
        ),
        (
            Tar::default().file("a").file("a/b/c"),
            "/a/b/c is below /a, which is not a directory",
        ),
        (
            Tar::default().entry(b"a", b'S', b"", b""),
            "sparse entries are not supported",
        ),
        (
            Tar::default().entry(b"a", b'V', b"", b""),
            "entries of type `V` are not supported",
        ),
        (
            Tar::default().pax(&[("size", b"18446744073709551615")]).file("a"),
            "the tar ends early",
        ),
        (
            Tar::default().pax(&[("uid", b"4294967296")]).file("a"),
            "PAX record uid",
        ),
        (
            Tar::default().pax(&[("GNU.sparse.major", b"1")]).file("a"),
            "sparse entries are not supported",
        ),
        (
            Tar::default().entry(b"x", b'x', b"", b"99 a=b\n").file("a"),
            "not made of `LENGTH KEY=VALUE` records",
        ),
        (
            Tar::default().entry(b"x", b'x', b"", b"0 ").file("a"),
            "not made of `LENGTH KEY=VALUE` records",
        ),
        (
            Tar::default().pax(&[("path", b"a")]),
            "a long name or PAX header with no entry after it",
        ),
        (
            Tar::default().entry(b"g", b'g', b"", b"8 uid=1\n").file("a"),
            "a global PAX header with `uid`",
        ),
    ];
    for (tar, message) in wrong {
        let error = tar.error();
        assert!(error.contains(message), "{error:?} should say {message:?}");
    }
}

#[test]
fn a_blank_size_is_none_and_a_long_name_is_not_believed() {
    let mut tar = Tar::default().entry(b"a", b'5', b"", b"").0;
    tar[124..136].fill(0);
    let sum: u32 = tar[..148]
        .iter()
        .chain(&tar[156..512])
        .map(|byte| u32::from(*byte))
        .sum();
    tar[148..155].copy_from_slice(format!("{:06o}\0", sum + 256).as_bytes());
    assert!(Tar(tar).tree().unwrap().get("a").unwrap().is_directory());

    let mut long = Tar::default().entry(b"long", b'L', b"", b"").0;
    long[124..136].copy_from_slice(b"10000000000\0");
    let sum: u32 = long[..148]
        .iter()
        .chain(&long[156..512])
        .map(|byte| u32::from(*byte))
        .sum();
    long[148..155].copy_from_slice(format!("{:06o}\0", sum + 256).as_bytes());
    // A file with a hole says that there is so much after it.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&long).unwrap();
    file.as_file().set_len(2 << 30).unwrap();
    let said = format!("{:#}", FileTree::read(file.path()).unwrap_err());
    assert!(
        said.contains("a name or PAX header of 1073741824 bytes, longer than any can be"),
        "{said}"
    );
}

#[test]
fn a_tar_with_more_after_its_end_is_an_error() {
    let mut tar = Tar::default().file("a").0;
    tar.resize(tar.len() + 1024, 0);
    let again = Tar::default().file("b").0;
    let said = format!("{:#}", read(&[&tar[..], &again].concat()).unwrap_err());
    assert!(
        said.contains("something comes after the end of the tar, at byte 1536"),
        "{said}"
    );
}

#[test]
fn a_tar_cut_anywhere_is_an_error() {
    let tar = Tar::default()
        .pax(&[("mtime", b"1")])
        .file("a")
        .entry(b"a/b", b'5', b"", b"");
    for length in 0..tar.0.len() {
        let error = format!("{:#}", read(&tar.0[..length]).unwrap_err());
        assert!(error.contains("ends early"), "{length}: {error}");
    }
    let error = format!("{:#}", read(&[b'x'; 4096]).unwrap_err());
    assert!(error.contains("no tar header here"), "{error}");
}
