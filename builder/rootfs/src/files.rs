//! The files that a recipe brings: packed for the tree, and looked for in the finished one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clic_host::Sha256;
use clic_recipe::Problem;
use clic_recipe::plan::{EntryPlace, TreeFile, TreeFileKind};
use clic_store::space::io_error;
use clic_tree::{FileTree, Follow, Kind};
use tar::{EntryType, Header};

/// Packs `files`, for the tree's own tar to unpack: it looks owners up by name and stays inside of its root.
pub fn pack(files: &[TreeFile], epoch: u64, to: &Path) -> Result<()> {
    let mut sorted: Vec<&TreeFile> = files.iter().collect();
    // Directories before what is in them.
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let out = File::create(to).map_err(|error| io_error(error, to))?;
    let mut builder = tar::Builder::new(BufWriter::new(out));
    for file in sorted {
        add(&mut builder, file, epoch).with_context(|| format!("{} (from {})", file.path, file.from))?;
    }
    let out = builder.into_inner().map_err(|error| io_error(error, to))?;
    out.into_inner()
        .map_err(|error| io_error(error.into_error(), to))?;
    Ok(())
}

fn add(builder: &mut tar::Builder<BufWriter<File>>, file: &TreeFile, epoch: u64) -> Result<()> {
    let path = file.path.strip_prefix('/').context("the path is not absolute")?;
    ensure!(
        !path.is_empty() && path.split('/').all(|name| !matches!(name, "" | "." | "..")),
        "the path is not plain"
    );
    let mut header = Header::new_gnu();
    header
        .set_username(&file.owner)
        .context("the owner's name is too long")?;
    header
        .set_groupname(&file.group)
        .context("the group's name is too long")?;
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(epoch);
    header.set_mode(file.mode & 0o7777);
    header.set_size(0);
    match &file.kind {
        TreeFileKind::Directory => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, path, std::io::empty())?;
        }
        TreeFileKind::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            builder.append_link(&mut header, path, target)?;
        }
        TreeFileKind::File(content) => {
            let bytes = content.data.read()?;
            ensure!(
                Sha256::of(&bytes) == content.sha256,
                "the file changed since the recipe was read"
            );
            header.set_entry_type(EntryType::Regular);
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, &*bytes)?;
        }
    }
    Ok(())
}

/// Numbers by name, from `/etc/passwd` or `/etc/group` of a tree.
pub fn numbers(text: &[u8]) -> BTreeMap<String, u64> {
    let text = String::from_utf8_lossy(text);
    let line = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Files that are not in the tree as they were asked for, each with who brings it and where that was written.
pub fn problems(
    tree: &FileTree,
    files: &[TreeFile],
    places: &BTreeMap<String, EntryPlace>,
) -> Result<Vec<Problem>> {
    let users = numbers(&tree.content("etc/passwd")?.unwrap_or_default());
    let groups = numbers(&tree.content("etc/group")?.unwrap_or_default());
    let mut problems = Vec::new();
    for file in files {
        let (owner, group) = (users.get(&file.owner), groups.get(&file.group));
        let (what, help) = match (owner, group) {
            (None, _) => (format!("the tree has no user {:?}", file.owner), NO_ACCOUNT),
            (_, None) => (format!("the tree has no group {:?}", file.group), NO_ACCOUNT),
            (Some(uid), Some(gid)) => match difference(tree, file, (*uid, *gid))? {
                Some(what) => (format!("in the finished tree {what}"), CHANGED),
                None => continue,
            },
        };
        let what = format!("{} (from {}): {what}", file.path, file.from);
        let problem = match places.get(&file.path) {
            Some(place) => place.problem(what),
            None => Problem::request(what),
        };
        problems.push(problem.help(help));
    }
    Ok(problems)
}

const NO_ACCOUNT: &str = "use one that Debian or a package of the recipe creates";
const CHANGED: &str = "it was put there once all packages were configured: enabling a unit, making the initramfs or a command of the \
    boot loader changed it then (see the build's log); bring it under another name, or as they want it";

/// What is different from what was asked for; `owner` are its owner's and group's numbers.
fn difference(tree: &FileTree, file: &TreeFile, owner: (u64, u64)) -> Result<Option<String>> {
    let Ok(place) = tree.resolve(&file.path, Follow::Directories) else {
        return Ok(Some("it is missing".into()));
    };
    let Some(entry) = tree.get(&place) else {
        return Ok(Some("it is missing".into()));
    };
    match (&file.kind, &entry.kind) {
        (TreeFileKind::Directory, Kind::Directory) => {}
        (TreeFileKind::Symlink(target), Kind::Symlink(there)) if target.as_bytes() == there => {}
        (TreeFileKind::Symlink(target), Kind::Symlink(there)) => {
            let there = String::from_utf8_lossy(there);
            return Ok(Some(format!("it leads to {there}, not to {target}")));
        }
        (TreeFileKind::File(content), Kind::File(_)) => {
            if tree.size(&place) != Some(content.size)
                || Sha256::of(tree.content(&place)?.unwrap_or_default()) != content.sha256
            {
                return Ok(Some("it has other content".into()));
            }
        }
        _ => return Ok(Some("it is something else".into())),
    }
    let mode = file.mode & 0o7777;
    if !matches!(file.kind, TreeFileKind::Symlink(_)) && entry.mode != mode {
        return Ok(Some(format!("its mode is {:04o}, not {mode:04o}", entry.mode)));
    }
    let (uid, gid) = owner;
    Ok(((u64::from(entry.uid), u64::from(entry.gid)) != owner)
        .then(|| format!("it belongs to {}:{}, not {uid}:{gid}", entry.uid, entry.gid)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clic_recipe::plan::{Content, Data};

    fn file(path: &str, owner: &str, bytes: &[u8]) -> TreeFile {
        let content = Content {
            sha256: Sha256::of(bytes),
            size: bytes.len() as u64,
            data: Data::Bytes(bytes.into()),
        };
        TreeFile {
            path: path.into(),
            from: "base".into(),
            kind: TreeFileKind::File(content),
            mode: 0o640,
            owner: owner.into(),
            group: "root".into(),
        }
    }

    /// A tree with what tar would have made of `files`, all of it owned by root.
    fn unpacked(dir: &Path, files: &[TreeFile]) -> FileTree {
        let path = dir.join("files.tar");
        let mut with_root = files.to_vec();
        with_root.push(file(
            "/etc/passwd",
            "root",
            b"root:x:0:0::/root:/bin/sh\nwww:x:33:33:::\n",
        ));
        with_root.push(file("/etc/group", "root", b"root:x:0:\n"));
        with_root.push(TreeFile {
            kind: TreeFileKind::Directory,
            ..file("/etc", "root", b"")
        });
        pack(&with_root, 5, &path).unwrap();
        // A finished tree has an entry for its root.
        let mut bytes = Vec::new();
        let mut builder = tar::Builder::new(&mut bytes);
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        builder.append_data(&mut header, "./", std::io::empty()).unwrap();
        drop(builder);
        bytes.truncate(512);
        bytes.extend(std::fs::read(&path).unwrap());
        std::fs::write(&path, bytes).unwrap();
        FileTree::read(&path).unwrap()
    }

    #[test]
    fn what_was_packed_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let files = [file("/etc/motd", "root", b"hello")];
        let found = problems(&unpacked(dir.path(), &files), &files, &BTreeMap::new()).unwrap();
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn every_difference_names_the_file_and_the_overlay() {
        let dir = tempfile::tempdir().unwrap();
        let check = |packed: TreeFile, asked: TreeFile| {
            let tree = unpacked(dir.path(), &[packed]);
            let place = EntryPlace::File("overlays/base/files/etc/motd".into());
            let places = BTreeMap::from([(asked.path.clone(), place)]);
            let found = problems(&tree, &[asked], &places).unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
            found[0].to_string()
        };
        let plain = file("/etc/motd", "root", b"hello");
        let mode = TreeFile {
            mode: 0o600,
            ..plain.clone()
        };
        for (asked, said) in [
            (file("/etc/motd", "www", b"hello"), "it belongs to 0:0, not 33:0"),
            (
                file("/etc/motd", "nobody-knows", b"hello"),
                "the tree has no user \"nobody-knows\"",
            ),
            (file("/etc/motd", "root", b"hallo"), "it has other content"),
            (mode, "its mode is 0640, not 0600"),
            (
                file("/etc/other", "root", b""),
                "in the finished tree it is missing",
            ),
            (
                TreeFile {
                    kind: TreeFileKind::Directory,
                    ..plain.clone()
                },
                "it is something else",
            ),
        ] {
            let error = check(plain.clone(), asked);
            assert!(
                error.starts_with("overlays/base/files/etc/motd: /etc/"),
                "{error}"
            );
            assert!(
                error.contains(" (from base): ") && error.contains(said),
                "{error}"
            );
        }
    }

    #[test]
    fn paths_that_lead_out_are_not_packed() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["etc/motd", "/etc/../../x", "/", "/a//b"] {
            assert!(
                pack(&[file(path, "root", b"")], 5, &dir.path().join("x.tar")).is_err(),
                "{path}"
            );
        }
    }
}
