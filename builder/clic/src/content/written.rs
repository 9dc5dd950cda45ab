//! What `clic content add` writes: copies of files beside `bundle.toml`, the description, and the recipe. All of it, or nothing.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clic_host::{Stage, UserError, cancel};
use clic_recipe::Tree;
use clic_store::{publish, space, write_whole};

/// What was written so far, and goes again when it is dropped before it is all.
#[derive(Default)]
pub struct Undo {
    /// Files and directories that were not there before, in the order in which they were made.
    made: Vec<PathBuf>,
    /// Texts that were other ones, as they were.
    before: Vec<(PathBuf, String)>,
}

impl Drop for Undo {
    fn drop(&mut self) {
        // What cannot be taken back stays; the error that led here is the one to tell.
        for (path, text) in self.before.iter().rev() {
            let _ = write_whole(path, text.as_bytes());
        }
        for path in self.made.iter().rev() {
            let _ = std::fs::remove_file(path).or_else(|_| std::fs::remove_dir(path));
        }
    }
}

impl Undo {
    /// It is all there, and stays.
    pub fn keep(mut self) {
        self.made.clear();
        self.before.clear();
    }

    /// Makes a directory and those above it.
    fn directory(&mut self, dir: &Path) -> Result<()> {
        let absent: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
        for dir in absent.into_iter().rev() {
            std::fs::create_dir(dir).map_err(|error| space::io_error(error, dir))?;
            self.made.push(dir.to_owned());
        }
        Ok(())
    }

    /// A copy of the file `from` at `relative` of the tree, where nothing is yet.
    pub fn copy(&mut self, tree: &Tree, relative: &Path, from: &Path, stage: &Stage) -> Result<()> {
        // No part of the path is a link, also now.
        let to = tree.inside(relative)?;
        if to.symlink_metadata().is_ok() {
            return Err(UserError::new(format!("{} exists already", to.display()))
                .help("give the new one another name with --path")
                .into());
        }
        self.directory(to.parent().unwrap_or(&to))?;
        let failed = |error| space::io_error(error, from);
        // A link in the file's place since it was looked at is not followed.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
        let file =
            rustix::fs::open(from, flags, rustix::fs::Mode::empty()).map_err(|error| failed(error.into()))?;
        let mut file = std::fs::File::from(file);
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(UserError::new(format!("{} is not a file any more", from.display())).into());
        }
        let mut copy = publish(&to)?;
        let mut buffer = vec![0; 1 << 17];
        loop {
            cancel::check()?;
            let read = file.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            copy.file()
                .write_all(&buffer[..read])
                .map_err(|error| space::io_error(error, &to))?;
            stage.advance(read as u64);
        }
        copy.commit()?;
        self.made.push(to);
        Ok(())
    }

    /// Writes a text that people edit; `before`: what it was, if it was there.
    pub fn text(&mut self, path: &Path, before: Option<&str>, text: &str) -> Result<()> {
        self.directory(path.parent().unwrap_or(path))?;
        write_whole(path, text.as_bytes())?;
        match before {
            Some(before) => self.before.push((path.to_owned(), before.to_owned())),
            None => self.made.push(path.to_owned()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_was_never_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("recipes")).unwrap();
        std::fs::create_dir(dir.path().join("boards")).unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let from = dir.path().join("from");
        std::fs::write(&from, "content").unwrap();
        let recipe = dir.path().join("recipes/a.toml");
        std::fs::write(&recipe, "before").unwrap();
        let stage = clic_host::Progress::silent().stage("add", "Copy", "");
        let bundle = dir.path().join("content-bundles/x/bundle.toml");
        let all = |undo: &mut Undo| {
            undo.copy(&tree, Path::new("content-bundles/x/files/sub/a"), &from, &stage)?;
            undo.text(&bundle, None, "text")?;
            undo.text(&recipe, Some("before"), "after")
        };
        let mut undo = Undo::default();
        all(&mut undo).unwrap();
        assert_eq!(std::fs::read_to_string(&recipe).unwrap(), "after");
        drop(undo);
        assert_eq!(std::fs::read_to_string(&recipe).unwrap(), "before");
        assert!(!dir.path().join("content-bundles").exists());
        let mut undo = Undo::default();
        all(&mut undo).unwrap();
        undo.keep();
        assert_eq!(std::fs::read_to_string(&bundle).unwrap(), "text");
        // A link where a file was is not followed.
        std::os::unix::fs::symlink(&from, dir.path().join("link")).unwrap();
        let mut undo = Undo::default();
        let to = Path::new("content-bundles/x/files/b");
        let error = undo
            .copy(&tree, to, &dir.path().join("link"), &stage)
            .unwrap_err();
        assert!(format!("{error:#}").contains("link"), "{error:#}");
        let error = undo
            .copy(&tree, Path::new("content-bundles/x/files/sub/a"), &from, &stage)
            .unwrap_err();
        assert!(
            error.to_string().contains("files/sub/a exists already"),
            "{error}"
        );
    }
}
