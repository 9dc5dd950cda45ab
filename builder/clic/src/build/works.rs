//! Which bakes an image has, and what shapes each: the same for who makes them and for who only asks.

use anyhow::Result;
use clic_image::embedded::IMAGE_DESCRIPTION_PATH;
use clic_recipe::Plan;
use clic_recipe::plan::Bake;
use clic_rootfs::{Inputs, Resolution, bake};
use clic_vm::bake::seal;

use crate::build::apps::App;
use crate::build::parts::Parts;

/// One bake.
pub struct Work<'a> {
    /// The layer's name among those of the image.
    pub id: String,
    /// What is done, for people.
    pub title: String,
    /// In order.
    pub steps: Vec<&'a Bake>,
    /// The app whose folder is there for it, and for those after it.
    pub app: Option<&'a App<'a>>,
    /// Least memory in bytes of the machine.
    pub memory: u64,
    /// Free space in bytes of its disk, if the board's is not enough.
    pub free: u64,
    /// Everything that shapes the result: its steps, over the bakes below.
    pub inputs: Inputs,
}

impl<'a> Work<'a> {
    /// As it is looked up in the store, for the image `name`; `rebuild` as in [`bake::Bake`].
    pub fn looked_up(&'a self, name: &'a str, resolution: &Resolution, rebuild: bool) -> bake::Bake<'a> {
        bake::Bake {
            name,
            id: &self.id,
            title: &self.title,
            inputs: &self.inputs,
            rebuild,
            epoch: resolution.epoch,
        }
    }
}

/// All bakes, in order: one for each overlay with steps, then one for each app.
pub fn works<'a>(
    plan: &'a Plan,
    parts: &Parts<'_>,
    resolution: &Resolution,
    apps: &'a [App<'a>],
) -> Result<Vec<Work<'a>>> {
    let mut below = all(plan, parts, resolution)?;
    let mut works = Vec::new();
    for steps in plan.bakes.chunk_by(|one, other| one.from == other.from) {
        let from = &steps[0].from;
        let mut inputs = below.above();
        add_steps(&mut inputs, steps)?;
        below = inputs.clone();
        works.push(Work {
            id: format!("bake-{from}"),
            title: format!("Bake {from}"),
            steps: steps.iter().collect(),
            app: None,
            memory: 0,
            free: 0,
            inputs,
        });
    }
    for app in apps {
        let name = &app.service.name;
        let mut inputs = below.above();
        inputs.add(format!("app of service {name}"), &app.identity);
        add_steps(&mut inputs, &app.steps)?;
        below = inputs.clone();
        works.push(Work {
            id: format!("service-{name}"),
            title: format!("Service {name}"),
            steps: app.steps.iter().collect(),
            app: Some(app),
            memory: app.memory,
            free: app.free,
            inputs,
        });
    }
    Ok(works)
}

fn add_steps(inputs: &mut Inputs, steps: &[Bake]) -> Result<()> {
    for step in steps {
        inputs.add(
            format!("step {} of {}", step.name, step.from),
            serde_json::to_string(step)?,
        );
    }
    Ok(())
}

/// What shapes every bake: the tree, and who bakes.
fn all(plan: &Plan, parts: &Parts<'_>, resolution: &Resolution) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    inputs.add("clic's engine", clic_rootfs::ENGINE);
    inputs.add("clic's seal", seal::VERSION.to_string());
    inputs.add("date of the archive", resolution.epoch.to_string());
    for package in &resolution.packages {
        inputs.add_package(package);
    }
    let described = |path: &str| path == IMAGE_DESCRIPTION_PATH;
    for file in parts.files.iter().filter(|file| !described(&file.path)) {
        inputs.add(format!("file {}", file.path), serde_json::to_string(file)?);
    }
    inputs.add("units", serde_json::to_string(&plan.units)?);
    inputs.add(
        "answers to packages' questions",
        serde_json::to_string(&plan.preseeds)?,
    );
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clic_host::Progress;
    use clic_recipe::plan::{Category, Place, Service, ServiceKind, ServiceState, Texts};
    use clic_recipe::{ResolveOptions, Tree, resolve};
    use clic_rootfs::bake::{Changes, lay};
    use clic_rootfs::tarball::TarTree;
    use clic_store::Store;

    use super::*;

    /// A tree that people edit, with the overlays `dough` of these steps and `butter` of one; and a store for all builds of it.
    struct Kitchen {
        dir: tempfile::TempDir,
        store: Store,
    }

    impl Kitchen {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&dir.path().join("store")).unwrap();
            let kitchen = Self { dir, store };
            let board = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../boards/x86-pc.toml");
            kitchen.write("boards/x86-pc.toml", &std::fs::read_to_string(board).unwrap());
            kitchen.overlay("dough", &["knead", "rest"]);
            kitchen.overlay("butter", &["spread"]);
            kitchen
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        /// Each step with a command of its name.
        fn overlay(&self, name: &str, steps: &[&str]) {
            let mut text = "schema = 1\ntitle = \"T\"\ndescription = \"D\"\n".to_owned();
            for step in steps {
                text += &format!("[[bake]]\nname = \"{step}\"\ncommand = \"{step}\"\n");
            }
            self.write(&format!("overlays/{name}/overlay.toml"), &text);
        }

        fn plan(&self, overlays: &[&str]) -> Plan {
            let recipe = format!(
                "schema = 1\ntitle = \"T\"\nsuite = \"bookworm\"\nboards = [\"x86-pc\"]\noverlays = {overlays:?}\n"
            );
            self.write("recipes/bread.toml", &recipe);
            let tree = Tree::open(self.dir.path()).unwrap();
            resolve(&tree, "bread", "x86-pc", &ResolveOptions::default())
                .unwrap_or_else(|report| panic!("{report}"))
        }

        /// What all bakes of a plan leave in `/did`: a file for each layer, of its steps' commands. And why each layer was made;
        /// those that came out of the store are not in it.
        fn bake(&self, plan: &Plan, apps: &[App<'_>]) -> (Vec<String>, Vec<String>) {
            let resolution = Resolution {
                arch: "amd64".to_owned(),
                suite: "bookworm".to_owned(),
                epoch: 1,
                releases: Vec::new(),
                packages: Vec::new(),
                content: Vec::new(),
                tools: Vec::new(),
                locked: None,
            };
            let parts = Parts::new(plan, &resolution).unwrap();
            let mut tree = TarTree::default();
            let mut made = Vec::new();
            for work in works(plan, &parts, &resolution, apps).unwrap() {
                let bake = work.looked_up("bread-x86-pc", &resolution, false);
                let why = bake::forecast(&bake, &self.store).unwrap().why;
                lay(&bake, &mut tree, &self.store, &Progress::silent(), |_, _| {
                    made.push(format!("{}: {why}", work.id));
                    let commands: Vec<&str> = work.steps.iter().map(|step| step.command.as_str()).collect();
                    let mut tree = TarTree::default();
                    tree.write_file(&format!("did/{}", work.id), commands.join(", ").into());
                    Ok(Changes {
                        tree,
                        removed: Vec::new(),
                    })
                })
                .unwrap();
            }
            let found = tree.below("did").into_iter().map(|path| {
                let path = String::from_utf8(path).unwrap();
                let text = tree.content(&path).unwrap().unwrap();
                format!(
                    "{}: {}",
                    path.trim_start_matches("did/"),
                    String::from_utf8(text).unwrap()
                )
            });
            (found.collect(), made)
        }
    }

    #[test]
    fn bakes_in_another_order_are_other_bakes() {
        let kitchen = Kitchen::new();
        let all = ["bake-butter: spread", "bake-dough: knead, rest"];
        let (found, made) = kitchen.bake(&kitchen.plan(&["dough", "butter"]), &[]);
        assert_eq!(found, all);
        assert_eq!(
            made,
            ["bake-dough: not built before", "bake-butter: not built before"]
        );
        let (found, made) = kitchen.bake(&kitchen.plan(&["butter", "dough"]), &[]);
        assert_eq!(found, all);
        assert_eq!(
            made,
            [
                "bake-butter: step knead of dough is gone, step rest of dough is gone",
                "bake-dough: step spread of butter is new"
            ]
        );
        // Back again: all of it is there.
        let (found, made) = kitchen.bake(&kitchen.plan(&["dough", "butter"]), &[]);
        assert_eq!(found, all);
        assert_eq!(made, [""; 0]);
    }

    #[test]
    fn steps_in_another_order_are_done_again_and_what_is_above_them() {
        let kitchen = Kitchen::new();
        kitchen.bake(&kitchen.plan(&["dough", "butter"]), &[]);
        kitchen.overlay("dough", &["rest", "knead"]);
        let (found, made) = kitchen.bake(&kitchen.plan(&["dough", "butter"]), &[]);
        assert_eq!(found, ["bake-butter: spread", "bake-dough: rest, knead"]);
        let why = "in another order: step rest of dough comes before step knead of dough";
        assert_eq!(
            made,
            [format!("bake-dough: {why}"), format!("bake-butter: {why}")]
        );
    }

    #[test]
    fn steps_of_one_name_all_count() {
        let kitchen = Kitchen::new();
        let mut plan = kitchen.plan(&["dough"]);
        plan.bakes[0].name = "rest".to_owned();
        kitchen.bake(&plan, &[]);
        // `check` refuses it; what came here by another way is no reason for another image.
        plan.bakes[0].command = "knead twice".to_owned();
        let (found, made) = kitchen.bake(&plan, &[]);
        assert_eq!(found, ["bake-dough: knead twice, rest"]);
        assert_eq!(made, ["bake-dough: step rest of dough changed"]);
    }

    #[test]
    fn apps_in_another_order_are_other_layers() {
        let kitchen = Kitchen::new();
        let plan = kitchen.plan(&["dough"]);
        let services = ["wiki", "pad"].map(|name| service(&plan, name));
        let app = |service| App {
            service,
            files: TarTree::default(),
            identity: format!("folder of {}", service.name),
            steps: vec![Bake {
                name: "it is installed".to_owned(),
                from: format!("service {}", service.name),
                command: format!("install {}", service.name),
                timeout: 1,
                network: false,
            }],
            memory: 0,
            free: 0,
        };
        let all = [
            "bake-dough: knead, rest",
            "service-pad: install pad",
            "service-wiki: install wiki",
        ];
        let (found, _) = kitchen.bake(&plan, &[app(&services[0]), app(&services[1])]);
        assert_eq!(found, all);
        let (found, made) = kitchen.bake(&plan, &[app(&services[1]), app(&services[0])]);
        assert_eq!(found, all);
        let made: Vec<&str> = made.iter().filter_map(|made| made.split(':').next()).collect();
        assert_eq!(made, ["service-pad", "service-wiki"]);
    }

    fn service(plan: &Plan, name: &str) -> Service {
        Service {
            name: name.to_owned(),
            kind: ServiceKind::Static,
            title: Texts::default(),
            description: Texts::default(),
            category: Category::Writing,
            state: ServiceState::Enabled,
            path: format!("/{name}"),
            packages: Vec::new(),
            units: Vec::new(),
            place: Place::Root(format!("/srv/{name}")),
            ram: 0,
            disk: 0,
            start_seconds: 1,
            needs: Vec::new(),
            conflicts: Vec::new(),
            first_boot: None,
            origin: plan.packages[0].origin.clone(),
        }
    }
}
