//! Whether files can be written where they are to go, found out before the work and not after it.

use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use clic_host::UserError;

/// Tries to write in the directory `dir`, which need not be there yet, nor those above it. Leaves nothing. `option`: what names
/// another one on the command line.
///
/// Errors: a [`UserError`] that names the directory.
pub fn writable(dir: &Path, option: Option<&str>) -> Result<()> {
    // From the working directory, whatever the path is relative to.
    let there = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    // What is there already. A broken link is there, too: nothing can be made in its place.
    let nearest = there.ancestors().find(|dir| dir.symlink_metadata().is_ok());
    let Some(nearest) = nearest else { return Ok(()) };
    let refused = |why: String| {
        let what = format!("cannot write to {}: {why}", dir.display());
        UserError::new(what).help(match option {
            Some(option) => {
                format!("name another directory with `{option}`, or make this one writable for you")
            }
            None => "make it a directory in which you can write".to_owned(),
        })
    };
    if !nearest.is_dir() {
        return Err(refused(format!("{} is not a directory", nearest.display())).into());
    }
    let tried = tempfile::Builder::new()
        .prefix(".clic-tries-")
        .tempfile_in(nearest)
        // A full disk often has room for names, but for no content.
        .and_then(|mut file| file.write_all(&[0; 4096]));
    tried.map_err(|error| refused(reason(&error)).into())
}

/// Like [`writable`], for a file that is to be written, or replaced.
pub fn writable_file(file: &Path, option: Option<&str>) -> Result<()> {
    if file.is_dir() {
        let what = format!("cannot write {}: it is a directory", file.display());
        return Err(UserError::new(what).help("give the path of a file").into());
    }
    if file.file_name().is_none() {
        let what = format!("cannot write {}: it is not the name of a file", file.display());
        return Err(UserError::new(what).help("give the path of a file").into());
    }
    writable(directory_of(file), option)
}

/// The directory that `file` is in: the working directory for a mere name.
fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// `Permission denied`, without the path of the file that was tried and the number of the error.
fn reason(error: &std::io::Error) -> String {
    let text = match error.get_ref() {
        Some(inner) => inner.to_string(),
        None => error.to_string(),
    };
    let text = text.split(" at path ").next().unwrap_or_default();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn said(result: Result<()>) -> String {
        let error = result.unwrap_err();
        assert!(error.is::<UserError>(), "{error:?}");
        error.to_string()
    }

    #[test]
    fn what_can_be_written_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        writable(&dir.path().join("not/there/yet"), None).unwrap();
        writable_file(&dir.path().join("report.xml"), None).unwrap();
        writable_file(&dir.path().join("new/report.xml"), None).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// Said of paths alone: nobody promises that a test may write where it runs.
    #[test]
    fn a_mere_name_is_in_the_working_directory() {
        for (file, directory) in [
            ("report.xml", "."),
            ("new/report.xml", "new"),
            ("/report.xml", "/"),
        ] {
            assert_eq!(directory_of(Path::new(file)), Path::new(directory), "{file}");
        }
    }

    #[test]
    fn what_cannot_is_named_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let shown = |name: &str| path(name).display().to_string();
        write(path("file"), "").unwrap();
        create_dir(path("closed")).unwrap();
        set_permissions(path("closed"), Permissions::from_mode(0o555)).unwrap();
        symlink("nowhere", path("link")).unwrap();
        let help = "\n  help: name another directory with `--out`, or make this one writable for you";
        for (name, why) in [
            ("file", format!("{} is not a directory", shown("file"))),
            ("file/in", format!("{} is not a directory", shown("file"))),
            ("link", format!("{} is not a directory", shown("link"))),
            ("closed", "Permission denied".to_owned()),
            ("closed/in/it", "Permission denied".to_owned()),
        ] {
            assert_eq!(
                said(writable(&path(name), Some("--out"))),
                format!("cannot write to {}: {why}{help}", shown(name))
            );
        }
        assert_eq!(
            said(writable_file(&path("closed"), None)),
            format!(
                "cannot write {}: it is a directory\n  help: give the path of a file",
                shown("closed")
            )
        );
        assert!(said(writable_file(&path("closed/x"), None)).contains("Permission denied"));
        // It has no room for files, ever.
        assert!(said(writable(Path::new("/proc/x"), None)).starts_with("cannot write to /proc/x: "));
    }
}
