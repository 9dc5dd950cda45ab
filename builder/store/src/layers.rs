//! Layers: finished stages of a tree, kept under the hash of everything that shaped them.
//!
//! ```text
//! <store>/layers/<key>.json    what the layer is; written last, so a layer is there when this is
//! <store>/layers/<key>.tar     its content
//! ```
//!
//! The json is an object of its maker's, with `"tar": {"sha256": "<hex>", "size": <bytes>}` in it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clic_host::Sha256;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contents::hash;
use crate::space::io_error;
use crate::{Store, publish};

/// The layers of a store.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'s>(&'s Store);

/// A layer that is in the store. It stays there at least as long as the [`Store`] (or a clone of it) that found it.
#[derive(Clone, Debug)]
pub struct LayerFile {
    /// Its key.
    pub key: Sha256,
    /// What its maker wrote about it.
    pub description: Value,
    /// The tar file.
    pub tar: PathBuf,
    /// What the tar file must have.
    pub sha256: Sha256,
    /// Bytes that the tar file has.
    pub size: u64,
}

/// The part of the json that the store looks at.
#[derive(Deserialize)]
struct Described {
    tar: Tar,
}

#[derive(Deserialize)]
struct Tar {
    sha256: Sha256,
    size: u64,
}

impl Store {
    /// The store's layers.
    pub fn layers(&self) -> Layers<'_> {
        Layers(self)
    }
}

impl Layers<'_> {
    /// The layer of this key, marked as used, or `None`. One whose tar file is not there or has another size, or whose
    /// json is damaged, is removed and counts as missing. The content is not read: see [`LayerFile::verify`].
    pub fn get(&self, key: Sha256) -> Result<Option<LayerFile>> {
        let (json, _) = self.paths(key);
        if !self.0.uses(&json)? {
            return Ok(None);
        }
        let found = self.read(key)?;
        if found.is_none() {
            tracing::warn!(layer = %key, "damaged layer removed from the store");
            self.remove(key)?;
        }
        Ok(found)
    }

    /// Takes the file `tar` (in the store's scratch space, so that it can be renamed) as the layer of this key.
    /// `description` must have `tar.sha256` and `tar.size` of that file; the size is checked, the hash is believed.
    /// When another run was quicker with the same content, its file stays.
    pub fn put(&self, key: Sha256, description: &impl Serialize, tar: &Path) -> Result<LayerFile> {
        let (json_path, tar_path) = self.paths(key);
        let description = serde_json::to_value(description)?;
        let described = Described::deserialize(&description)
            .context("the description of a layer says nothing of its tar file")?;
        self.0.room("layers")?;
        let file = File::open(tar).map_err(|error| io_error(error, tar))?;
        let size = file.metadata().map_err(|error| io_error(error, tar))?.len();
        if size != described.tar.size {
            bail!(
                "layer {key}: its description is of {} bytes with SHA-256 {}, its tar file has {size} bytes",
                described.tar.size,
                described.tar.sha256
            );
        }
        file.sync_all().map_err(|error| io_error(error, tar))?;
        let _lock = self.0.lock("layers")?;
        if let Some(there) = self.get(key)?
            && there.sha256 == described.tar.sha256
        {
            std::fs::remove_file(tar).map_err(|error| io_error(error, tar))?;
            return Ok(there);
        }
        // A json never describes another tar file than its own, whenever we are killed.
        remove_if_there(&json_path)?;
        std::fs::rename(tar, &tar_path).map_err(|error| io_error(error, &tar_path))?;
        publish::sync_parent(&tar_path)?;
        let mut json = crate::publish(&json_path)?;
        serde_json::to_writer_pretty(json.file(), &description)
            .map_err(|error| io_error(error.into(), json.path()))?;
        json.commit()?;
        self.get(key)?.context("a layer that was just written is gone")
    }

    /// Removes the layer of this key, if it is there.
    pub fn remove(&self, key: Sha256) -> Result<()> {
        let (json, tar) = self.paths(key);
        remove_if_there(&json)?;
        remove_if_there(&tar)
    }

    /// Keys of all layers, sorted.
    pub fn keys(&self) -> Result<Vec<Sha256>> {
        let dir = self.dir();
        let entries = match std::fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| io_error(error, &dir))?,
        };
        let mut keys = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| io_error(error, &dir))?.file_name();
            let key = name.to_str().and_then(|name| name.strip_suffix(".json"));
            keys.extend(key.and_then(|key| hash(key.as_ref())));
        }
        keys.sort();
        Ok(keys)
    }

    /// What the json and the tar file's size say; `None` if they do not fit. Marks nothing.
    pub(crate) fn read(self, key: Sha256) -> Result<Option<LayerFile>> {
        let (json, tar) = self.paths(key);
        let text = match std::fs::read(&json) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(error, &json)),
        };
        let Ok(description) = serde_json::from_slice::<Value>(&text) else {
            return Ok(None);
        };
        let Ok(described) = Described::deserialize(&description) else {
            return Ok(None);
        };
        let size = std::fs::metadata(&tar).map(|meta| meta.len()).ok();
        if size != Some(described.tar.size) {
            return Ok(None);
        }
        Ok(Some(LayerFile {
            key,
            description,
            tar,
            sha256: described.tar.sha256,
            size: described.tar.size,
        }))
    }

    /// Whether there is a json of this key, of whatever kind.
    pub(crate) fn has(self, key: Sha256) -> bool {
        self.paths(key).0.exists()
    }

    pub(crate) fn dir(self) -> PathBuf {
        self.0.dir().join("layers")
    }

    /// Where the json and the tar file of a layer are. Only a hash ever becomes a path.
    fn paths(self, key: Sha256) -> (PathBuf, PathBuf) {
        let dir = self.dir();
        (dir.join(format!("{key}.json")), dir.join(format!("{key}.tar")))
    }
}

impl LayerFile {
    /// Reads the whole tar file: whether its content is what was put there. If not, [`Layers::remove`] it and make it
    /// anew. A maker that reads the file anyway can hash it on the way and compare with `sha256` instead.
    pub fn verify(&self) -> Result<bool> {
        match Sha256::of_file(&self.tar) {
            Ok(found) => Ok(found == self.sha256),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_error(error, &self.tar)),
        }
    }
}

pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(error, path)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::MetadataExt;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    fn put(store: &Store, key: Sha256, content: &str) -> Result<LayerFile> {
        let scratch = store.scratch("layer")?;
        let tar = scratch.path().join("tree.tar");
        std::fs::write(&tar, content)?;
        let description =
            json!({ "tar": { "sha256": Sha256::of(content), "size": content.len() }, "note": "mine" });
        store.layers().put(key, &description, &tar)
    }

    #[test]
    fn what_was_put_is_there_and_verifies() {
        let (_dir, store) = store();
        let key = Sha256::of("key");
        assert!(store.layers().get(key).unwrap().is_none());
        put(&store, key, "content").unwrap();
        let layer = store.layers().get(key).unwrap().unwrap();
        assert_eq!(
            (layer.description["note"].as_str(), layer.size),
            (Some("mine"), 7)
        );
        assert_eq!(std::fs::read(&layer.tar).unwrap(), b"content");
        assert!(layer.verify().unwrap());
        assert_eq!(store.layers().keys().unwrap(), [key]);
        // Another content for the same key replaces it; the same one does not.
        put(&store, key, "other").unwrap();
        let before = std::fs::metadata(&layer.tar).unwrap();
        put(&store, key, "other").unwrap();
        assert_eq!(std::fs::metadata(&layer.tar).unwrap().ino(), before.ino());
        assert_eq!(std::fs::read(&layer.tar).unwrap(), b"other");
    }

    #[test]
    fn damage_counts_as_missing_and_goes() {
        let (_dir, store) = store();
        let key = Sha256::of("key");
        let tar = put(&store, key, "content").unwrap().tar;
        let json = tar.with_extension("json");
        // Same size, other bytes: only reading it tells.
        std::fs::write(&tar, "c0ntent").unwrap();
        let layer = store.layers().get(key).unwrap().unwrap();
        assert!(!layer.verify().unwrap());
        // Cut short: a look at the size tells.
        std::fs::write(&tar, "cont").unwrap();
        assert!(store.layers().get(key).unwrap().is_none());
        assert!(!tar.exists() && !json.exists());
        // Killed between the two files: a tar file alone is not a layer.
        std::fs::write(&tar, "content").unwrap();
        assert!(store.layers().get(key).unwrap().is_none());
        for garbage in ["", "{}", "[1]", r#"{"tar":{"sha256":"../x","size":7}}"#] {
            std::fs::write(&tar, "content").unwrap();
            std::fs::write(&json, garbage).unwrap();
            assert!(store.layers().get(key).unwrap().is_none(), "{garbage}");
            assert!(!json.exists(), "{garbage}");
        }
    }

    #[test]
    fn a_description_that_does_not_fit_is_refused() {
        let (dir, store) = store();
        let tar = dir.path().join("tmp/x.tar");
        std::fs::write(&tar, "content").unwrap();
        let key = Sha256::of("key");
        let wrong = json!({ "tar": { "sha256": Sha256::of("content"), "size": 8 } });
        let error = store.layers().put(key, &wrong, &tar).unwrap_err().to_string();
        assert!(error.ends_with("its tar file has 7 bytes"), "{error}");
        let error = store.layers().put(key, &json!({}), &tar).unwrap_err().to_string();
        assert_eq!(error, "the description of a layer says nothing of its tar file");
        assert!(tar.exists());
    }
}
