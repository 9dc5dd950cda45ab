//! What tests of several files need.

use std::path::Path;

use clic_archive::{Package, Part, Resolution};
use clic_host::{Log, Progress, Sha256};
use clic_recipe::plan::Arch;
use clic_recipe::{Plan, ResolveOptions, Tree, resolve};
use clic_store::{Session, Store};

/// Exactly these packages, by name and version.
pub(crate) fn resolution(packages: &[(&str, &str)]) -> Resolution {
    let package = |(name, version): &(&str, &str)| Package {
        name: (*name).to_owned(),
        version: (*version).to_owned(),
        arch: "all".to_owned(),
        source: "debian".to_owned(),
        uri: String::new(),
        filename: String::new(),
        sha256: Sha256::of(name),
        size: 1,
        installed_size: 1,
        automatic: false,
        part: Part::Recipe,
        stanza: String::new(),
    };
    Resolution {
        arch: Arch::Amd64,
        suite: "bookworm".to_owned(),
        epoch: 1,
        releases: Vec::new(),
        packages: packages.iter().map(package).collect(),
        content: Vec::new(),
        tools: Vec::new(),
        locked: None,
    }
}

/// A tree that people edit, with the overlays `dough` and `butter`, which have steps; and a store for all builds of it.
pub(crate) struct Kitchen {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
    log: Log,
    progress: Progress,
}

impl Kitchen {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let log = store.claim_log("bread").unwrap();
        let kitchen = Self {
            dir,
            store,
            log,
            progress: Progress::silent(),
        };
        let board = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../boards/x86-pc.toml");
        kitchen.write("boards/x86-pc.toml", &std::fs::read_to_string(board).unwrap());
        kitchen.overlay("dough", &["knead", "rest"]);
        kitchen.overlay("butter", &["spread"]);
        kitchen
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Each step with a command of its name.
    pub(crate) fn overlay(&self, name: &str, steps: &[&str]) {
        let mut text = "schema = 1\ntitle = \"T\"\ndescription = \"D\"\n".to_owned();
        for step in steps {
            text += &format!("[[bake]]\nname = \"{step}\"\ncommand = \"{step}\"\n");
        }
        self.write(&format!("overlays/{name}/overlay.toml"), &text);
    }

    pub(crate) fn plan(&self, overlays: &[&str]) -> Plan {
        let recipe = format!(
            "schema = 1\ntitle = \"T\"\nsuite = \"bookworm\"\nboards = [\"x86-pc\"]\noverlays = {overlays:?}\n"
        );
        self.write("recipes/bread.toml", &recipe);
        let tree = Tree::open(self.dir.path()).unwrap();
        resolve(&tree, "bread", "x86-pc", &ResolveOptions::default())
            .unwrap_or_else(|report| panic!("{report}"))
    }

    pub(crate) fn session(&self) -> Session<'_> {
        Session {
            store: &self.store,
            log: &self.log,
            progress: &self.progress,
        }
    }
}
