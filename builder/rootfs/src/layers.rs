//! Results of a tree's stages, kept in the store: taken up when everything that shaped them is the same, made again when
//! not, and either way with the reason.
//!
//! ```text
//! <store>/layers/<key>.tar     what the stage changed
//! <store>/layers/<key>.json    its hash, what it removed, what it was made from
//! <store>/last/<name>.json     what the stages of an image were made from the last time, to say what changed
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clic_store::space::io_error;
use clic_store::{Store, publish};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::inside::job::{Done, LayerTar};
use crate::inside::restore;

/// Everything that shapes a stage's result: a name for people, and a value that differs when it does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inputs(BTreeMap<String, String>);

impl Inputs {
    /// Notes one input: `package bash`, `5.2.15-2+b7 ...`.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// The stage's key: lower-case hex SHA-256 of all of it.
    pub fn key(&self) -> Result<String> {
        Ok(hex(&Sha256::digest(serde_json::to_vec(self)?)))
    }

    /// What is different from `before`, for people: `overlay file /etc/motd changed`.
    fn difference(&self, before: &Self) -> String {
        const SHOWN: usize = 3;
        let mut found = Vec::new();
        let names: std::collections::BTreeSet<&String> = self.0.keys().chain(before.0.keys()).collect();
        for name in names {
            let short = |value: &String| value.split(' ').next().unwrap_or_default().to_owned();
            match (before.0.get(name), self.0.get(name)) {
                (None, Some(_)) => found.push(format!("{name} is new")),
                (Some(_), None) => found.push(format!("{name} is gone")),
                (Some(old), Some(new)) if old != new => {
                    found.push(if name.starts_with("package ") && short(old) != short(new) {
                        format!("{name}: {} -> {}", short(old), short(new))
                    } else {
                        format!("{name} changed")
                    })
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is written beside a layer's tar file.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    tar: TarFile,
    removed: Vec<Vec<u8>>,
    inputs: Inputs,
}

#[derive(Debug, Serialize, Deserialize)]
struct TarFile {
    sha256: String,
    size: u64,
}

/// The layers of one store.
#[derive(Debug)]
pub struct Layers<'a> {
    store: &'a Store,
    dir: PathBuf,
}

impl<'a> Layers<'a> {
    /// The layers of `store`.
    pub fn of(store: &'a Store) -> Result<Self> {
        Ok(Self {
            store,
            dir: store.room("layers")?,
        })
    }

    fn path(&self, key: &str, end: &str) -> PathBuf {
        self.dir.join(format!("{key}.{end}"))
    }

    /// Whether a layer is there, by a look at its size: a forecast, not a verification.
    pub fn has(&self, key: &str) -> bool {
        self.look(key).is_some()
    }

    fn look(&self, key: &str) -> Option<LayerTar> {
        let text = std::fs::read(self.path(key, "json")).ok()?;
        let description: Description = serde_json::from_slice(&text).ok()?;
        let tar = self.path(key, "tar");
        let size = std::fs::metadata(&tar).ok()?.len();
        (size == description.tar.size).then_some(LayerTar {
            tar,
            sha256: description.tar.sha256,
            removed: description.removed,
        })
    }

    /// The layer of this key, read and verified now. A damaged one is removed, and `damaged` set.
    pub fn get(&self, key: &str, damaged: &mut bool) -> Result<Option<LayerTar>> {
        match self.look(key) {
            Some(layer) if restore::verify(&layer)? => Ok(Some(layer)),
            Some(_) => {
                *damaged = true;
                for end in ["json", "tar"] {
                    let path = self.path(key, end);
                    std::fs::remove_file(&path).map_err(|error| io_error(error, &path))?;
                }
                Ok(None)
            }
            None => {
                *damaged = self.path(key, "json").exists();
                Ok(None)
            }
        }
    }

    /// Takes a finished stage's tar file into the store.
    pub fn put(&self, key: &str, inputs: &Inputs, done: Done, tar: &Path) -> Result<LayerTar> {
        let place = self.path(key, "tar");
        std::fs::rename(tar, &place).map_err(|error| io_error(error, &place))?;
        let description = Description {
            tar: TarFile {
                sha256: done.sha256.clone(),
                size: done.size,
            },
            removed: done.removed.clone(),
            inputs: inputs.clone(),
        };
        // The description last: a tar file without one is no layer yet.
        let mut file = publish(&self.path(key, "json"))?;
        serde_json::to_writer(file.file(), &description)?;
        file.commit()?;
        Ok(LayerTar {
            tar: place,
            sha256: done.sha256,
            removed: done.removed,
        })
    }

    /// Why a stage has to be done: what is different from the last time that `name` was built.
    pub fn why(&self, last: &Last, stage: &str, inputs: &Inputs, damaged: bool) -> String {
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
        let store = Store::open(dir.path()).unwrap();
        let layers = Layers::of(&store).unwrap();
        let tar = dir.path().join("x");
        std::fs::write(&tar, "content").unwrap();
        let done = Done {
            removed: vec![b"etc/x".to_vec()],
            sha256: hex(&Sha256::digest("content")),
            size: 7,
            entries: 1,
        };
        let inputs = inputs(&[("a", "b")]);
        let key = inputs.key().unwrap();
        let mut last = layers.last("minimal-x").unwrap();
        assert_eq!(layers.why(&last, "base", &inputs, false), "not built before");
        last.note("base", &inputs).unwrap();
        let put = layers.put(&key, &inputs, done, &tar).unwrap();
        assert!(layers.has(&key));
        let mut damaged = false;
        assert_eq!(
            layers.get(&key, &mut damaged).unwrap().unwrap().removed,
            [b"etc/x".to_vec()]
        );
        std::fs::write(&put.tar, "CONTENT").unwrap();
        assert!(layers.get(&key, &mut damaged).unwrap().is_none() && damaged);
        assert!(!put.tar.exists());
        let last = layers.last("minimal-x").unwrap();
        assert_eq!(
            layers.why(&last, "base", &inputs, false),
            "its layer is no longer in the store"
        );
    }
}
