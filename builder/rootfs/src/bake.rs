//! What steps in the running system changed, kept as layers like those of the tree's own stages.

use anyhow::Result;
use clic_host::{Progress, Stage};
use clic_store::Store;

use crate::Inputs;
use crate::inside::job::Done;
use crate::layers::Layers;
use crate::stages::Forecast;
use clic_tree::FileTree as TarTree;

/// Why a bake is not done again.
const UNCHANGED: &str = "the store has it: nothing that shapes it changed";

/// What is different from the tree before.
#[derive(Debug)]
pub struct Changes {
    /// New and changed entries.
    pub tree: TarTree,
    /// Paths that are gone.
    pub removed: Vec<Vec<u8>>,
}

/// One bake, as it is looked up and told of.
#[derive(Debug)]
pub struct Bake<'a> {
    /// Recipe and board: `clic-x86-pc`.
    pub name: &'a str,
    /// The layer's name among those of the image: `bake-yunohost`, `service-wiki`.
    pub id: &'a str,
    /// What is done, for people.
    pub title: &'a str,
    /// Everything that shapes the result.
    pub inputs: &'a Inputs,
    /// Whether to do it whatever the store has.
    pub rebuild: bool,
    /// The time that files are clamped to: seconds since 1970.
    pub epoch: u64,
}

/// Lays over `tree` what a bake changes: the store's layer of it, or what `make` finds.
pub fn lay(
    bake: &Bake<'_>,
    tree: &mut TarTree,
    store: &Store,
    progress: &Progress,
    make: impl FnOnce(&TarTree, &Stage) -> Result<Changes>,
) -> Result<()> {
    let (id, title) = (bake.id, bake.title);
    let key = bake.inputs.key()?;
    // Who bakes the same at the same time waits here, and then takes up what we made.
    let _held = store.lock_saying(&format!("layer-{key}"), || {
        progress.note(format!(
            "{title}: another build is at it: waiting, to take up what it makes"
        ));
    })?;
    let layers = Layers::of(store);
    let mut last = layers.last(bake.name)?;
    let mut damaged = false;
    let found = if bake.rebuild {
        None
    } else {
        layers.get(&key, &mut damaged)?
    };
    let layer = if let Some(layer) = found {
        progress.stage(id, title, UNCHANGED).finish();
        layer
    } else {
        let why = if bake.rebuild {
            "--rebuild".to_owned()
        } else {
            Layers::why(&last, id, bake.inputs, damaged)
        };
        let stage = progress.stage(id, title, &why);
        let changes = make(tree, &stage)?;
        let scratch = store.scratch("bake")?;
        let tar = scratch.path().join("changes.tar");
        let written = changes.tree.write(&tar, bake.epoch)?;
        let done = Done {
            removed: changes.removed,
            sha256: written.sha256,
            size: written.size,
            entries: written.entries,
            read: None,
        };
        let layer = layers.put(&key, bake.inputs, done, None, &tar)?;
        stage.finish();
        layer
    };
    last.note(id, bake.inputs)?;
    tree.lay(TarTree::read(&layer.tar.tar)?, &layer.tar.removed);
    Ok(())
}

/// What [`lay`] would find in the store. Only sizes are looked at, not contents.
pub fn forecast(bake: &Bake<'_>, store: &Store) -> Result<Forecast> {
    let layers = Layers::unverified(store);
    let mut damaged = false;
    let cached = !bake.rebuild && layers.get(&bake.inputs.key()?, &mut damaged)?.is_some();
    let why = match (cached, bake.rebuild) {
        (true, _) => UNCHANGED.to_owned(),
        (false, true) => "--rebuild".to_owned(),
        (false, false) => Layers::why(&layers.last(bake.name)?, bake.id, bake.inputs, damaged),
    };
    Ok(Forecast {
        stage: bake.id.to_owned(),
        title: bake.title.to_owned(),
        cached,
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bake_is_done_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let progress = Progress::silent();
        let mut inputs = Inputs::default();
        inputs.add("step one", "echo");
        let mut count = 0;
        for (rebuild, times) in [(false, 1), (false, 1), (true, 2)] {
            let bake = Bake {
                name: "clic-x86-pc",
                id: "service-wiki",
                title: "Service wiki",
                inputs: &inputs,
                rebuild,
                epoch: 7,
            };
            let there = forecast(&bake, &store).unwrap();
            assert_eq!(there.cached, count > 0 && !rebuild, "{there:?}");
            let mut tree = TarTree::default();
            tree.write_file("/old", b"x".to_vec());
            lay(&bake, &mut tree, &store, &progress, |before, _| {
                count += 1;
                assert!(before.get("old").is_some());
                let mut new = TarTree::default();
                new.write_file("/new", b"y".to_vec());
                Ok(Changes {
                    tree: new,
                    removed: vec![b"old".to_vec()],
                })
            })
            .unwrap();
            assert_eq!(count, times);
            assert!(tree.get("old").is_none());
            assert_eq!(tree.content("new").unwrap().unwrap(), b"y");
        }
    }
}
