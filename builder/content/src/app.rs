//! The folders of `YunoHost`'s apps, which are laid into a tree for the bake that installs them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use clic_host::Sha256;
use clic_recipe::plan::{AppFile, Unpack};
use clic_store::Store;
use clic_tree::{FileTree, Kind};

use crate::unpack;

/// Where they are on the device, each by the name of its service.
pub const DIRECTORY: &str = "usr/share/clic/yunohost-apps";
/// Most bytes of all files of an archive.
const MOST: u64 = clic_recipe::MOST_OF_APP;

/// The files of an archive, without the one directory that forges put around them.
///
/// Errors: whatever an archive of an app has no reason to have, such as links and paths that lead out of it.
pub fn unpacked(archive: &Path, store: &Store) -> Result<FileTree> {
    let scratch = store.scratch("app")?;
    let mut files = unpack::Files::with_programs(scratch.path().to_owned(), MOST);
    unpack::archive(archive, Unpack::Tar, &mut files)?;
    let found = files.finish()?;
    let around = around(&found);
    let mut tree = FileTree::default();
    for (path, entry) in found.entries() {
        let Some(inside) = path.strip_prefix(around.as_slice()) else {
            continue;
        };
        // Small enough for memory, so that nobody has to keep the scratch space.
        match found.content(path)? {
            Some(bytes) => put(&mut tree, &String::from_utf8_lossy(inside), bytes, entry.mode),
            None => tree.insert(inside.to_vec(), entry.clone()),
        }
    }
    Ok(tree)
}

/// `my_webapp_ynh-0123abc/` if everything is below that, else nothing.
fn around(tree: &FileTree) -> Vec<u8> {
    let mut tops = tree
        .paths()
        .map(|path| path.split(|byte| *byte == b'/').next().unwrap_or_default());
    let Some(first) = tops.next() else {
        return Vec::new();
    };
    let directory = tree
        .entries()
        .any(|(path, entry)| path == first && entry.kind == Kind::Directory);
    if directory && tops.all(|top| top == first) {
        [first, b"/"].concat()
    } else {
        Vec::new()
    }
}

/// The files of a directory, as they were when the plan was made.
pub fn files(all: &[AppFile]) -> Result<FileTree> {
    let mut tree = FileTree::default();
    for file in all {
        let path = &file.path;
        let bytes = file
            .content
            .data
            .read()
            .with_context(|| format!("{path} cannot be read"))?;
        ensure!(
            Sha256::of(&bytes).to_string() == file.content.sha256,
            "{path} has changed while the build was running: start it again"
        );
        if let Some((parent, _)) = path.rsplit_once('/') {
            tree.make_directories(parent)?;
        }
        put(
            &mut tree,
            path,
            bytes.to_vec(),
            if file.executable { 0o755 } else { 0o644 },
        );
    }
    Ok(tree)
}

fn put(tree: &mut FileTree, path: &str, bytes: Vec<u8>, mode: u32) {
    tree.write_file(path, bytes);
    let written = tree.get(path).cloned();
    if let Some(mut entry) = written {
        entry.mode = mode;
        tree.insert(path.as_bytes().to_vec(), entry);
    }
}

/// Puts an app's folder into a tree.
pub fn lay(tree: &mut FileTree, service: &str, files: FileTree) -> Result<()> {
    tree.make_directories(DIRECTORY)?;
    tree.lay_below(&format!("{DIRECTORY}/{service}"), files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clic_recipe::plan::{Content, Data};
    use tar::{EntryType, Header};

    /// An archive as code forges offer it: path, mode, link's target.
    fn archive(dir: &Path, entries: &[(&str, u32, Option<&str>)]) -> std::path::PathBuf {
        let path = dir.join("app.tar.gz");
        let out =
            flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
        let mut builder = tar::Builder::new(out);
        for (name, mode, link) in entries {
            let mut header = Header::new_gnu();
            header.set_mode(*mode);
            header.set_size(u64::from(!name.ends_with('/') && link.is_none()));
            // The builder refuses what leads out; the archive of somebody else's builder does not.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            if let Some(link) = link {
                header.set_entry_type(EntryType::Symlink);
                header.set_link_name(link).unwrap();
            } else if name.ends_with('/') {
                header.set_entry_type(EntryType::Directory);
            }
            header.set_cksum();
            let content: &[u8] = if header.size().unwrap() == 1 { b"x" } else { b"" };
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        path
    }

    fn paths(tree: &FileTree) -> Vec<String> {
        tree.paths()
            .map(|path| String::from_utf8_lossy(path).into_owned())
            .collect()
    }

    #[test]
    fn what_a_forge_puts_around_an_app_goes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let whole = [
            ("notes_ynh-0123/", 0o755, None),
            ("notes_ynh-0123/manifest.toml", 0o664, None),
            ("notes_ynh-0123/scripts/install", 0o775, None),
        ];
        let tree = unpacked(&archive(dir.path(), &whole), &store).unwrap();
        assert_eq!(paths(&tree), ["manifest.toml", "scripts", "scripts/install"]);
        let mode = |tree: &FileTree, path: &str| tree.get(path).map(|entry| entry.mode);
        assert_eq!(mode(&tree, "manifest.toml"), Some(0o644));
        assert_eq!(mode(&tree, "scripts/install"), Some(0o755));
        assert_eq!(tree.content("scripts/install").unwrap().unwrap(), b"x");
        let bare = [("manifest.toml", 0o644, None), ("scripts/install", 0o644, None)];
        let tree = unpacked(&archive(dir.path(), &bare), &store).unwrap();
        assert_eq!(paths(&tree), ["manifest.toml", "scripts", "scripts/install"]);

        let mut root = FileTree::default();
        lay(&mut root, "notes", tree).unwrap();
        assert!(
            root.get("usr/share/clic/yunohost-apps/notes/scripts/install")
                .is_some()
        );
        let again = lay(&mut root, "notes", FileTree::default())
            .unwrap_err()
            .to_string();
        assert!(again.contains("is in the image already"), "{again}");
    }

    #[test]
    fn an_archive_that_leads_out_or_has_links_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        for (name, link, said) in [
            ("x/../../etc/passwd", None, "leads out of it"),
            ("/etc/passwd", None, "leads out of it"),
            (
                "x/scripts/install",
                Some("/bin/sh"),
                "is neither a file nor a directory",
            ),
        ] {
            let path = archive(dir.path(), &[(name, 0o644, link)]);
            let error = format!("{:#}", unpacked(&path, &store).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
        let path = dir.path().join("no.tar.gz");
        std::fs::write(&path, [0x1f, 0x8b, 1, 2, 3]).unwrap();
        unpacked(&path, &store).unwrap_err();
    }

    #[test]
    fn a_directory_is_taken_as_it_was_planned() {
        let file = |bytes: &'static [u8], hash: &[u8]| AppFile {
            path: "scripts/install".to_owned(),
            content: Content {
                sha256: Sha256::of(hash).to_string(),
                size: bytes.len() as u64,
                data: Data::Bytes(bytes.into()),
            },
            executable: true,
        };
        let tree = files(&[file(b"new", b"new")]).unwrap();
        assert_eq!(paths(&tree), ["scripts", "scripts/install"]);
        let error = files(&[file(b"new", b"old")]).unwrap_err().to_string();
        assert!(
            error.contains("scripts/install has changed while the build was running"),
            "{error}"
        );
    }
}
