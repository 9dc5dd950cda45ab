//! Layers that the store keeps: taken up when everything that shapes them is the same, made again when not, and either way with
//! the reason.
//!
//! ```text
//! <store>/layers/<key>.tar     what the layer changes
//! <store>/layers/<key>.json    its hash, what it removes, what it was made from
//! <store>/last/<name>.json     what the layers of an image were made from the last time, to say what changed
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clic_host::Sha256;
use clic_rootfs::inside::job::{Done, LayerTar};
use clic_store::{Store, publish};
use serde::{Deserialize, Serialize};

use crate::inputs::Inputs;

/// What is written beside a layer's tar file (see [`clic_store::Layers`]).
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    tar: TarFile,
    removed: Vec<Vec<u8>>,
    inputs: Inputs,
    /// Of a layer whose files were watched.
    trace: Option<Trace>,
}

#[derive(Debug, Serialize, Deserialize)]
struct TarFile {
    sha256: Sha256,
    size: u64,
}

/// Which of the recipe's regular files shaped a result beyond themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// What was put into the tree: paths with the hashes of their contents.
    pub files: BTreeMap<String, Sha256>,
    /// Those that something read afterwards.
    pub read: BTreeSet<String>,
}

/// A layer in the store.
#[derive(Clone, Debug)]
pub struct KeptLayer {
    /// Its content.
    pub tar: LayerTar,
    /// What shaped it, if that was watched.
    pub trace: Option<Trace>,
}

impl KeptLayer {
    fn of(file: &clic_store::LayerFile) -> Option<Self> {
        let description = Description::deserialize(&file.description).ok()?;
        Some(Self {
            tar: LayerTar {
                tar: file.tar.clone(),
                removed: description.removed,
            },
            trace: description.trace,
        })
    }
}

/// What the store has under a layer's key.
#[derive(Debug)]
pub enum Stored {
    /// The layer.
    Whole(KeptLayer),
    /// Something else, which is gone now.
    Damaged,
    /// Nothing.
    Missing,
}

/// The layers of one store, and what those of one image were made from the last time.
#[derive(Debug)]
pub struct Kept<'a> {
    store: &'a Store,
    verify: bool,
    path: PathBuf,
    last: BTreeMap<String, Inputs>,
}

impl<'a> Kept<'a> {
    /// Those of the image `name`: `clic-x86-pc`.
    pub fn of(store: &'a Store, name: &str) -> Result<Self> {
        let path = store.room("last")?.join(format!("{name}.json"));
        let last = std::fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Ok(Self {
            store,
            verify: true,
            path,
            last,
        })
    }

    /// Where they are.
    pub fn store(&self) -> &'a Store {
        self.store
    }

    /// For a forecast: only sizes are looked at.
    #[must_use]
    pub fn unverified(self) -> Self {
        Self {
            verify: false,
            ..self
        }
    }

    /// The layer of this key, read and verified now. A damaged one is removed.
    pub fn get(&self, key: Sha256) -> Result<Stored> {
        let there = self.store.room("layers")?.join(format!("{key}.json")).exists();
        let found = self.store.layers().get(key)?;
        if let Some(file) = &found
            && (!self.verify || file.verify()?)
            && let Some(layer) = KeptLayer::of(file)
        {
            return Ok(Stored::Whole(layer));
        }
        if found.is_some() {
            self.store.layers().remove(key)?;
        }
        Ok(if there { Stored::Damaged } else { Stored::Missing })
    }

    /// Takes a finished layer's tar file into the store.
    pub fn put(
        &self,
        key: Sha256,
        inputs: &Inputs,
        done: Done,
        trace: Option<Trace>,
        tar: &Path,
    ) -> Result<KeptLayer> {
        let description = Description {
            tar: TarFile {
                sha256: done.sha256,
                size: done.size,
            },
            removed: done.removed,
            inputs: inputs.clone(),
            trace,
        };
        let file = self.store.layers().put(key, &description, tar)?;
        KeptLayer::of(&file).context("a layer that was just written cannot be read")
    }

    /// Notes that the layer `key` is of this `shape`: its inputs without the contents of files.
    pub fn note_shape(&self, shape: Sha256, key: Sha256) -> Result<()> {
        const KEPT: usize = 8;
        let mut keys = self.of_shape(shape)?;
        keys.retain(|other| *other != key);
        keys.insert(0, key);
        keys.truncate(KEPT);
        let mut file = publish(&self.shape_path(shape)?)?;
        serde_json::to_writer(file.file(), &keys)?;
        file.commit()?;
        Ok(())
    }

    /// The layers of this shape, newest first.
    pub fn of_shape(&self, shape: Sha256) -> Result<Vec<Sha256>> {
        let text = std::fs::read(self.shape_path(shape)?).unwrap_or_default();
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }

    fn shape_path(&self, shape: Sha256) -> Result<PathBuf> {
        Ok(self.store.room("last")?.join(format!("{shape}.shape.json")))
    }

    /// Why the layer `id`, which is missing, has to be made: what is different from the last time.
    pub fn why(&self, id: &str, inputs: &Inputs) -> String {
        match self.last.get(id) {
            None => "not built before".into(),
            Some(before) if before == inputs => "its layer is no longer in the store".into(),
            Some(before) => inputs.difference(before),
        }
    }

    /// Notes what the layer `id` is made from now.
    pub fn note(&mut self, id: &str, inputs: &Inputs) -> Result<()> {
        if self.last.get(id) == Some(inputs) {
            return Ok(());
        }
        self.last.insert(id.to_owned(), inputs.clone());
        let mut file = publish(&self.path)?;
        serde_json::to_writer(file.file(), &self.last).context("noting what was built")?;
        file.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_taken_up_only_whole() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let mut kept = Kept::of(&store, "minimal-x").unwrap();
        let scratch = store.scratch("x").unwrap();
        let tar = scratch.path().join("x.tar");
        std::fs::write(&tar, "content").unwrap();
        let done = Done {
            removed: vec![b"etc/x".to_vec()],
            sha256: Sha256::of("content"),
            size: 7,
            entries: 1,
            read: None,
        };
        let mut inputs = Inputs::default();
        inputs.add("a", "b");
        let key = inputs.key().unwrap();
        assert_eq!(kept.why("base", &inputs), "not built before");
        kept.note("base", &inputs).unwrap();
        let put = kept.put(key, &inputs, done, None, &tar).unwrap();
        let Stored::Whole(got) = kept.get(key).unwrap() else {
            panic!("the layer is gone");
        };
        assert_eq!(got.tar.removed, [b"etc/x".to_vec()]);
        std::fs::write(&put.tar.tar, "CONTENT").unwrap();
        assert!(matches!(kept.get(key).unwrap(), Stored::Damaged));
        assert!(!put.tar.tar.exists());
        let kept = Kept::of(&store, "minimal-x").unwrap();
        assert_eq!(kept.why("base", &inputs), "its layer is no longer in the store");
    }

    #[test]
    fn layers_of_one_shape_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let kept = Kept::of(&store, "minimal-x").unwrap();
        let [shape, a, b] = ["shape", "a", "b"].map(Sha256::of);
        assert!(kept.of_shape(shape).unwrap().is_empty());
        for key in [a, b, a] {
            kept.note_shape(shape, key).unwrap();
        }
        assert_eq!(kept.of_shape(shape).unwrap(), [a, b]);
    }
}
