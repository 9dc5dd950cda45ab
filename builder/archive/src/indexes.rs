//! What apt keeps of archives, held against the Release files that it came by.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use clic_host::Sha256;
use clic_store::space;

/// Removes what [`damaged`] finds.
pub fn remove_damaged(lists: &Path) -> Result<Vec<(String, u64)>> {
    let found = damaged(lists)?;
    for (name, _) in &found {
        let path = lists.join(name);
        std::fs::remove_file(&path).map_err(|error| space::io_error(error, &path))?;
    }
    Ok(found)
}

/// The files of a directory of apt's lists that do not have the hash that their Release file says: names and bytes. Files that no Release file speaks of, and the Release files themselves (apt verifies their signatures each
/// time), are passed over.
pub fn damaged(lists: &Path) -> Result<Vec<(String, u64)>> {
    let mut names: Vec<String> = std::fs::read_dir(lists)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let mut damaged = Vec::new();
    for release in &names {
        let Some(start) = ["_InRelease", "_Release"]
            .iter()
            .find_map(|end| release.strip_suffix(end))
        else {
            continue;
        };
        let path = lists.join(release);
        let text = std::fs::read(&path).map_err(|error| space::io_error(error, &path))?;
        let hashes = hashes(&String::from_utf8_lossy(&text));
        for name in &names {
            let Some(file) = name.strip_prefix(start).and_then(|rest| rest.strip_prefix('_')) else {
                continue;
            };
            let Some(wanted) = hashes.get(file) else { continue };
            let path = lists.join(name);
            let found = Sha256::of_file(&path).map_err(|error| space::io_error(error, &path))?;
            if Some(found) != *wanted {
                let bytes = std::fs::metadata(&path).map_or(0, |meta| meta.len());
                damaged.push((name.clone(), bytes));
            }
        }
    }
    Ok(damaged)
}

/// The `SHA256` field of a Release file: hashes by path, the path as apt writes it into a file name. `None` for what is not a hash,
/// which no file has.
fn hashes(release: &str) -> BTreeMap<String, Option<Sha256>> {
    let lines = release.lines().skip_while(|line| *line != "SHA256:").skip(1);
    lines
        .take_while(|line| line.starts_with(' '))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (hash, _, path) = (words.next()?, words.next()?, words.next()?);
            Some((
                path.replace('_', "%5f").replace('/', "_"),
                hash.to_ascii_lowercase().parse().ok(),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_is_not_the_signed_one_goes() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let sha256 = Sha256::of("Package: a\n");
        let release = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nSuite: x\nSHA256:\n {sha256} 11 main/binary-amd64/Packages\n \
             {sha256} 11 non-free-firmware/binary-amd64/Packages\n-----BEGIN PGP SIGNATURE-----\n"
        );
        write("h_dists_x_InRelease", &release);
        write("h_dists_x_main_binary-amd64_Packages", "Package: a\n");
        write(
            "h_dists_x_non-free-firmware_binary-amd64_Packages",
            "Package: b\n",
        );
        write("other_dists_x_main_binary-amd64_Packages", "Package: c\n");
        let wrong = [("h_dists_x_non-free-firmware_binary-amd64_Packages".to_owned(), 11)];
        assert_eq!(damaged(dir.path()).unwrap(), wrong);
        assert_eq!(remove_damaged(dir.path()).unwrap(), wrong);
        assert_eq!(remove_damaged(dir.path()).unwrap(), []);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        assert_eq!(remove_damaged(Path::new("/not/there")).unwrap(), []);
    }
}
