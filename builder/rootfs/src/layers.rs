//! Results of a tree's stages, kept in the store: taken up when everything that shaped them is the same, made again when
//! not, and either way with the reason.
//!
//! ```text
//! <store>/layers/<key>.tar     what the stage changed
//! <store>/layers/<key>.json    its hash, what it removed, what it was made from
//! <store>/last/<name>.json     what the stages of an image were made from the last time, to say what changed
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clic_archive::resolution::Package;
use clic_store::{Store, publish};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::inside::job::{Done, LayerTar};

/// Everything that shapes a stage's result: a name for people, and a value that differs when it does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inputs(BTreeMap<String, String>);

impl Inputs {
    /// Notes one input: `package bash`, `5.2.15-2+b7 ...`.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Notes exactly which package it is.
    pub fn add_package(&mut self, package: &Package) {
        self.add(
            format!("package {}", package.name),
            format!("{} {} {}", package.version, package.arch, package.sha256),
        );
    }

    /// The stage's key: lower-case hex SHA-256 of all of it.
    pub fn key(&self) -> Result<String> {
        Ok(hex(&Sha256::digest(serde_json::to_vec(self)?)))
    }

    /// What is different from `before`, for people: `overlay file /etc/motd changed`.
    pub fn difference(&self, before: &Self) -> String {
        const SHOWN: usize = 3;
        let mut found = Vec::new();
        let names: BTreeSet<&String> = self.0.keys().chain(before.0.keys()).collect();
        for name in names {
            let short = |value: &String| value.split(' ').next().unwrap_or_default().to_owned();
            match (before.0.get(name), self.0.get(name)) {
                (None, Some(_)) => found.push(format!("{name} is new")),
                (Some(_), None) => found.push(format!("{name} is gone")),
                (Some(old), Some(new)) if old != new => {
                    let (old, new) = (short(old), short(new));
                    if name.starts_with("package ") && old != new {
                        found.push(format!("{name}: {old} -> {new}"));
                    } else {
                        found.push(format!("{name} changed"));
                    }
                }
                _ => {}
            }
        }
        let more = found.len().saturating_sub(SHOWN);
        found.truncate(SHOWN);
        let mut text = found.join(", ");
        if more > 0 {
            text += &format!(", and {more} more");
        }
        text
    }
}

fn layer(file: &clic_store::LayerFile) -> Option<Layer> {
    let description = Description::deserialize(&file.description).ok()?;
    Some(Layer {
        tar: LayerTar {
            tar: file.tar.clone(),
            removed: description.removed,
        },
        trace: description.trace,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is written beside a layer's tar file (see [`clic_store::Layers`]).
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    tar: TarFile,
    removed: Vec<Vec<u8>>,
    inputs: Inputs,
    /// Of a stage whose files were watched.
    trace: Option<Trace>,
}

#[derive(Debug, Serialize, Deserialize)]
struct TarFile {
    sha256: String,
    size: u64,
}

/// Which of the recipe's regular files shaped a result beyond themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// What was put into the tree: paths with lower-case hex SHA-256.
    pub files: BTreeMap<String, String>,
    /// Those that something read afterwards.
    pub read: BTreeSet<String>,
}

/// A layer in the store.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its content.
    pub tar: LayerTar,
    /// What shaped it, if that was watched.
    pub trace: Option<Trace>,
}

/// The layers of one store.
#[derive(Debug)]
pub struct Layers<'a> {
    store: &'a Store,
    verify: bool,
}

impl<'a> Layers<'a> {
    /// The layers of `store`.
    pub fn of(store: &'a Store) -> Self {
        Self { store, verify: true }
    }

    /// The same, for a forecast: [`Layers::get`] only looks at sizes.
    pub fn unverified(store: &'a Store) -> Self {
        Self { store, verify: false }
    }

    /// The layer of this key, read and verified now. A damaged one is removed, and `damaged` set.
    pub fn get(&self, key: &str, damaged: &mut bool) -> Result<Option<Layer>> {
        let there = self.store.room("layers")?.join(format!("{key}.json")).exists();
        let found = self.store.layers().get(key)?;
        if let Some(file) = &found
            && (!self.verify || file.verify()?)
            && let Some(layer) = layer(file)
        {
            return Ok(Some(layer));
        }
        *damaged = there;
        if found.is_some() {
            self.store.layers().remove(key)?;
        }
        Ok(None)
    }

    /// Takes a finished stage's tar file into the store.
    pub fn put(
        &self,
        key: &str,
        inputs: &Inputs,
        done: Done,
        trace: Option<Trace>,
        tar: &Path,
    ) -> Result<Layer> {
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
        layer(&file).context("a layer that was just written cannot be read")
    }

    /// Notes that the layer `key` was made by a stage of this `shape`: its inputs without the contents of files.
    pub fn note_shape(&self, shape: &str, key: &str) -> Result<()> {
        const KEPT: usize = 8;
        let mut keys = self.of_shape(shape)?;
        keys.retain(|other| other != key);
        keys.insert(0, key.to_owned());
        keys.truncate(KEPT);
        let mut file = publish(&self.shape_path(shape)?)?;
        serde_json::to_writer(file.file(), &keys)?;
        file.commit()?;
        Ok(())
    }

    /// The layers that stages of this shape made, newest first.
    pub fn of_shape(&self, shape: &str) -> Result<Vec<String>> {
        let text = std::fs::read(self.shape_path(shape)?).unwrap_or_default();
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }

    fn shape_path(&self, shape: &str) -> Result<PathBuf> {
        Ok(self.store.room("last")?.join(format!("{shape}.shape.json")))
    }

    /// Why a stage has to be done: what is different from the last time that `name` was built.
    pub fn why(last: &Last, stage: &str, inputs: &Inputs, damaged: bool) -> String {
        if damaged {
            return "its layer in the store is damaged".into();
        }
        match last.stages.get(stage) {
            None => "not built before".into(),
            Some(before) if before == inputs => "its layer is no longer in the store".into(),
            Some(before) => inputs.difference(before),
        }
    }

    /// What the stages of `name` were made from the last time.
    pub fn last(&self, name: &str) -> Result<Last> {
        let path = self.store.room("last")?.join(format!("{name}.json"));
        let stages = std::fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Ok(Last { path, stages })
    }
}

/// What the stages of an image were made from.
#[derive(Debug)]
pub struct Last {
    path: PathBuf,
    stages: BTreeMap<String, Inputs>,
}

impl Last {
    /// Notes what a stage is made from now.
    pub fn note(&mut self, stage: &str, inputs: &Inputs) -> Result<()> {
        if self.stages.get(stage) == Some(inputs) {
            return Ok(());
        }
        self.stages.insert(stage.to_owned(), inputs.clone());
        let mut file = publish(&self.path)?;
        serde_json::to_writer(file.file(), &self.stages).context("noting what was built")?;
        file.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(all: &[(&str, &str)]) -> Inputs {
        let mut inputs = Inputs::default();
        for (name, value) in all {
            inputs.add(*name, *value);
        }
        inputs
    }

    #[test]
    fn differences_are_said_for_people() {
        let before = inputs(&[
            ("package bash", "5.1 aa"),
            ("file /etc/motd", "aa"),
            ("unit x", "enabled"),
        ]);
        let now = inputs(&[
            ("package bash", "5.2 bb"),
            ("file /etc/motd", "bb"),
            ("epoch", "7"),
        ]);
        assert_eq!(
            now.difference(&before),
            "epoch is new, file /etc/motd changed, package bash: 5.1 -> 5.2, and 1 more"
        );
        assert_ne!(now.key().unwrap(), before.key().unwrap());
    }

    #[test]
    fn a_layer_is_taken_up_only_whole() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let layers = Layers::of(&store);
        let scratch = store.scratch("x").unwrap();
        let tar = scratch.path().join("x.tar");
        std::fs::write(&tar, "content").unwrap();
        let done = Done {
            removed: vec![b"etc/x".to_vec()],
            sha256: hex(&Sha256::digest("content")),
            size: 7,
            ..Done::default()
        };
        let inputs = inputs(&[("a", "b")]);
        let key = inputs.key().unwrap();
        let mut last = layers.last("minimal-x").unwrap();
        assert_eq!(Layers::why(&last, "base", &inputs, false), "not built before");
        last.note("base", &inputs).unwrap();
        let put = layers.put(&key, &inputs, done, None, &tar).unwrap();
        let mut damaged = false;
        let got = layers.get(&key, &mut damaged).unwrap().unwrap();
        assert_eq!(got.tar.removed, [b"etc/x".to_vec()]);
        std::fs::write(&put.tar.tar, "CONTENT").unwrap();
        assert!(layers.get(&key, &mut damaged).unwrap().is_none() && damaged);
        assert!(!put.tar.tar.exists());
        let last = layers.last("minimal-x").unwrap();
        assert_eq!(
            Layers::why(&last, "base", &inputs, false),
            "its layer is no longer in the store"
        );
    }

    #[test]
    fn stages_of_one_shape_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let layers = Layers::of(&store);
        assert!(layers.of_shape("s").unwrap().is_empty());
        for key in ["a", "b", "a"] {
            layers.note_shape("s", key).unwrap();
        }
        assert_eq!(layers.of_shape("s").unwrap(), ["a", "b"]);
    }
}
