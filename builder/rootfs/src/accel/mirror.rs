//! Perl's compiled modules: a native perl must find those that the tree has, and no others.
//!
//! A module that only the tree has makes a script fail; one that only the tools have makes `eval { require ... }`
//! succeed that would not on the device. So what perl sees is a directory of links: for each file of the tree's
//! own directories (`/usr/lib/<triplet>/perl5`) one to its native twin.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};

use super::tools::is_dir;

/// What perl loads. The rest (headers, documentation, system headers in perl's own form: `.ph`) differs between
/// architectures by nature; a native perl has those of its own kernel, or does without.
const LOADED: [&str; 5] = ["so", "pm", "pl", "al", "ix"];

/// Fills `seen`, an empty directory, with links to below `shown` (the path that `twins` has in the tree), one
/// for each file below `own` that has a twin. Returns the first file that perl loads and that has none, by its path
/// below `own`: then perl must not run natively.
pub(super) fn mirror(own: &Path, twins: &Path, shown: &str, seen: &Path) -> Result<Option<String>> {
    let mut entries = match fs::read_dir(own) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>()?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| own.display().to_string()),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        // In directories of modules, all names are plain.
        let Some(text) = name.to_str() else {
            return Ok(Some(name.to_string_lossy().into_owned()));
        };
        let (twin, link) = (twins.join(text), seen.join(text));
        let shown = format!("{shown}/{text}");
        if entry.file_type()?.is_dir() {
            fs::create_dir(&link)?;
            if let Some(missing) = mirror(&entry.path(), &twin, &shown, &link)? {
                return Ok(Some(format!("{text}/{missing}")));
            }
        } else if let (Ok(target), Ok(same)) = (fs::read_link(entry.path()), fs::read_link(&twin))
            && target == same
            && target.is_relative()
        {
            // 5.36 -> 5.36.0: to the mirrored directory, not to the whole one.
            symlink(&target, &link).with_context(|| link.display().to_string())?;
        } else if fs::symlink_metadata(&twin).is_ok() && !is_dir(&twin) {
            symlink(&shown, &link).with_context(|| link.display().to_string())?;
        } else if text
            .rsplit_once('.')
            .is_some_and(|(_, end)| LOADED.contains(&end))
        {
            return Ok(Some(text.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(dir: &Path, files: &[&str]) {
        for file in files {
            let path = dir.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
    }

    #[test]
    fn native_modules_are_those_of_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let [own, twins, seen, other] = ["own", "twins", "seen", "other"].map(|name| dir.path().join(name));
        for path in [&seen, &other] {
            fs::create_dir(path).unwrap();
        }
        put(
            &twins,
            &[
                "5.36/Text/Iconv.pm",
                "5.36/auto/Text/Iconv.so",
                "5.36/Only/Tools.pm",
            ],
        );
        assert_eq!(mirror(&own, &twins, "/shown", &seen).unwrap(), None);
        put(&own, &["5.36/Text/Iconv.pm", "5.36/auto/Text/Iconv.so"]);
        symlink("5.36", own.join("5")).unwrap();
        symlink("5.36", twins.join("5")).unwrap();
        assert_eq!(mirror(&own, &twins, "/shown", &seen).unwrap(), None);
        assert_eq!(fs::read_link(seen.join("5")).unwrap(), Path::new("5.36"));
        assert_eq!(
            fs::read_link(seen.join("5.36/auto/Text/Iconv.so")).unwrap(),
            Path::new("/shown/5.36/auto/Text/Iconv.so")
        );
        assert!(!seen.join("5.36/Only").exists());
        put(&own, &["5.36/auto/DBI/dbi_sql.h", "5.36/auto/Other.so"]);
        assert_eq!(
            mirror(&own, &twins, "/shown", &other).unwrap().as_deref(),
            Some("5.36/auto/Other.so")
        );
    }
}
