//! What an earlier build left in a directory: it is taken as it is while no input changed, and nobody
//! touched it.
//!
//! ```text
//! <store>/last/<recipe>-<board>-<directory>.image.json     what was left there, and what it was made from
//! ```

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clic_archive::{Release, Resolution};
use clic_host::Sha256;
use clic_store::space::io_error;
use clic_store::{Store, write_whole};
use serde::{Deserialize, Serialize};

use crate::image::Image;
use crate::inputs::Inputs;
use crate::outputs::{OutputFile, Written};
use crate::tools;

/// Notes everything that shapes an image and its manifest, beside its tree.
pub(crate) fn add_inputs(inputs: &mut Inputs, image: &Image<'_>) -> Result<()> {
    // Who writes the image: all of our code, and what is linked into it.
    let program = Path::new(clic_rootfs::OWN_PROGRAM);
    let program = Sha256::of_file(program).map_err(|error| io_error(error, program))?;
    inputs.add("clic itself", program);
    inputs.add("mke2fs", tools::version_of("mke2fs").unwrap_or_default());
    add_releases(inputs, image.resolution);
    let plan = serde_json::to_value(image.plan)?;
    // Files are the tree's.
    for (key, value) in plan
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != "files")
    {
        inputs.add(format!("the plan's {}", key.replace('_', " ")), value.to_string());
    }
    Ok(())
}

/// What the archives said of themselves. Two of them may have a suite of one name.
fn add_releases(inputs: &mut Inputs, resolution: &Resolution) {
    for release in &resolution.releases {
        let Release {
            sha256, url, suite, ..
        } = release;
        inputs.add(
            format!("archive {}", release.source),
            format!("{sha256} {url} {suite}"),
        );
    }
}

/// Why an image is taken as it is.
pub const SAME: &str = "it is there: no input changed";

/// What a look at an earlier build's files found.
pub enum Earlier {
    /// They are what a build would write now.
    Same(Written),
    /// They are not, for this reason.
    Different(String),
}

/// The note of what one build left in one directory.
pub struct Finished {
    dir: PathBuf,
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Note {
    inputs: Inputs,
    image: Left,
    others: Vec<Left>,
}

#[derive(Serialize, Deserialize)]
struct Left {
    file: OutputFile,
    stamp: Stamp,
}

/// What tells that a file is the one that was written, and untouched. Nobody but the kernel sets a file's time of change
/// (`st_ctime`, stat(2)), and each write, truncation or rename does.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds since 1970, nanoseconds.
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::symlink_metadata(path).ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

impl Finished {
    /// Of the build `name` in the directory `out`, which need not be there.
    pub fn of(store: &Store, name: &str, out: &Path) -> Result<Self> {
        let place = std::path::absolute(out).map_err(|error| io_error(error, out))?;
        let place = place.canonicalize().unwrap_or(place);
        let place = Sha256::of(place.as_os_str().as_encoded_bytes());
        let path = store.room("last")?.join(format!("{name}-{place:.16}.image.json"));
        Ok(Self {
            dir: out.to_owned(),
            path,
        })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the files there are what `inputs` make, with the compressed forms (`zst`) that are `wanted`.
    pub fn look(&self, inputs: &Inputs, wanted: &[&str]) -> Earlier {
        // A damaged note is none: the files are written again.
        let note = std::fs::read(&self.path)
            .ok()
            .and_then(|text| serde_json::from_slice::<Note>(&text).ok());
        let Some(note) = note else {
            return Earlier::Different("not built before in this directory".into());
        };
        if note.inputs != *inputs {
            return Earlier::Different(inputs.difference(&note.inputs));
        }
        for left in note.others.iter().chain([&note.image]) {
            let path = &left.file.path;
            match Stamp::of(path) {
                None => return Earlier::Different(format!("{} is gone", path.display())),
                Some(now) if now != left.stamp => {
                    return Earlier::Different(format!("{} was changed by somebody", path.display()));
                }
                Some(_) => {}
            }
        }
        for form in wanted {
            let has = |left: &Left| left.file.path.extension().is_some_and(|end| end == *form);
            if !note.others.iter().any(has) {
                return Earlier::Different(format!("--{form} is new"));
            }
        }
        Earlier::Same(Written {
            image: note.image.file,
            others: note.others.into_iter().map(|left| left.file).collect(),
        })
    }

    /// Notes what was left.
    pub fn note(&self, inputs: Inputs, written: &Written) -> Result<()> {
        let left = |file: &OutputFile| -> Result<Left> {
            let path = std::path::absolute(&file.path).map_err(|error| io_error(error, &file.path))?;
            Ok(Left {
                stamp: Stamp::of(&path).with_context(|| format!("{} is gone", path.display()))?,
                file: OutputFile {
                    // For a look from another working directory.
                    path,
                    ..file.clone()
                },
            })
        };
        let note = Note {
            inputs,
            image: left(&written.image)?,
            others: written.others.iter().map(left).collect::<Result<_>>()?,
        };
        write_whole(&self.path, &serde_json::to_vec(&note)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Build {
        dir: tempfile::TempDir,
        store: Store,
        written: Written,
    }

    fn build() -> Build {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let file = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, name).unwrap();
            OutputFile {
                path,
                size: name.len() as u64,
                sha256: Sha256::of(name),
            }
        };
        let written = Written {
            image: file("a-b.img"),
            others: vec![file("a-b.bmap"), file("a-b.img.zst")],
        };
        Build { dir, store, written }
    }

    fn made_from(what: &str) -> Inputs {
        let mut inputs = Inputs::default();
        inputs.add("file /etc/motd", what);
        inputs
    }

    #[track_caller]
    fn different(earlier: Earlier) -> String {
        match earlier {
            Earlier::Same(written) => panic!("taken as it is: {}", written.image.path.display()),
            Earlier::Different(why) => why,
        }
    }

    #[test]
    fn untouched_files_of_the_same_inputs_are_taken_as_they_are() {
        let Build { dir, store, written } = build();
        let finished = Finished::of(&store, "a-b", dir.path()).unwrap();
        assert_eq!(
            different(finished.look(&made_from("1"), &[])),
            "not built before in this directory"
        );
        finished.note(made_from("1"), &written).unwrap();
        let Earlier::Same(same) = finished.look(&made_from("1"), &["zst"]) else {
            panic!("nothing changed");
        };
        assert_eq!(same.image.sha256, written.image.sha256);
        assert_eq!(same.others.len(), 2);
        assert_eq!(
            different(finished.look(&made_from("2"), &[])),
            "file /etc/motd changed"
        );
        assert_eq!(different(finished.look(&made_from("1"), &["xz"])), "--xz is new");
        let elsewhere = Finished::of(&store, "a-b", &dir.path().join("other")).unwrap();
        assert_eq!(
            different(elsewhere.look(&made_from("1"), &[])),
            "not built before in this directory"
        );
    }

    #[test]
    fn a_touched_or_missing_file_is_not_what_was_left() {
        use std::os::unix::fs::FileExt as _;
        let Build { dir, store, written } = build();
        let finished = Finished::of(&store, "a-b", dir.path()).unwrap();
        finished.note(made_from("1"), &written).unwrap();
        // The kernel's clock for files moves in steps of some milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let path = &written.image.path;
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        // Same size, and somebody who sets the time of modification back.
        file.write_all_at(b"X", 0).unwrap();
        file.set_modified(modified).unwrap();
        let why = different(finished.look(&made_from("1"), &[]));
        assert!(why.ends_with("a-b.img was changed by somebody"), "{why}");
        finished.note(made_from("1"), &written).unwrap();
        std::fs::remove_file(dir.path().join("a-b.bmap")).unwrap();
        let why = different(finished.look(&made_from("1"), &[]));
        assert!(why.ends_with("a-b.bmap is gone"), "{why}");
        std::fs::write(&finished.path, "{").unwrap();
        assert_eq!(
            different(finished.look(&made_from("1"), &[])),
            "not built before in this directory"
        );
    }
}
