use std::sync::Mutex;

use clic_recipe::Plan;
use clic_recipe::plan::{Bake, Category, Place, Service, ServiceKind, ServiceState, Texts};
use clic_tree::FileTree;

use super::*;
use crate::layer::BakeLayer;
use crate::make::Options;
use crate::make::bake::Changes;
use crate::testing::{Kitchen, resolution};

/// What all bakes of a plan leave in `/did`, each without a machine: a file for each layer, of its steps' commands. And why each
/// layer was made; those that came out of the store are not in it.
fn bake(kitchen: &Kitchen, plan: &Plan, apps: &[App<'_>]) -> (Vec<String>, Vec<String>) {
    let resolution = resolution(&[]);
    let image = Image::new(plan, &resolution).unwrap();
    let session = kitchen.session();
    let options = Options::default();
    let finished = Finished::of(session.store, &image.name(), kitchen.dir.path()).unwrap();
    let way = Pipeline::new(&image, apps).unwrap();
    let kept = Kept::of(session.store, &image.name()).unwrap().unverified();
    let forecast = way.forecast(&image, &kept, &finished).unwrap();
    let mut site = Site::new(&image, &options, session, &finished).unwrap();
    let mut made = Vec::new();
    for layer in way.layers() {
        let Make::Bake(bake) = &layer.make else { continue };
        site.lay_kept(layer, |_, _| {
            let forecast = forecast
                .iter()
                .find(|forecast| forecast.stage == layer.id)
                .unwrap();
            assert!(!forecast.cached, "{forecast:?}");
            made.push(format!("{}: {}", layer.id, forecast.why));
            let mut tree = FileTree::default();
            let commands: Vec<&str> = bake.steps().iter().map(|step| step.command.as_str()).collect();
            tree.write_file(&format!("did/{}", layer.id), commands.join(", ").into());
            Ok(Changes {
                tree,
                removed: Vec::new(),
            })
        })
        .unwrap();
    }
    let found = site.tree().below("did").into_iter().map(|path| {
        let path = String::from_utf8(path).unwrap();
        let text = site.tree().content(&path).unwrap().unwrap();
        format!(
            "{}: {}",
            path.trim_start_matches("did/"),
            String::from_utf8(text).unwrap()
        )
    });
    (found.collect(), made)
}

#[test]
fn the_way_of_a_build_in_reading_order() {
    let kitchen = Kitchen::new();
    let plan = kitchen.plan(&["dough", "butter"]);
    let resolution = resolution(&[("bread", "1")]);
    let image = Image::new(&plan, &resolution).unwrap();
    let way = Pipeline::new(&image, &[]).unwrap();
    let ids: Vec<&str> = way.layers().iter().map(|layer| layer.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "resolve",
            "recipe",
            "customize",
            "clean",
            "bake-dough",
            "bake-butter",
            "late",
            "content",
            "image",
            "verify",
            "publish"
        ]
    );
}

/// A layer that is put into the list is in what is forecast and in what is done, and nowhere else was it written down.
#[test]
fn forecast_and_run_walk_one_list() {
    let kitchen = Kitchen::new();
    let plan = kitchen.plan(&["dough"]);
    let resolution = resolution(&[]);
    let image = Image::new(&plan, &resolution).unwrap();
    let (session, options) = (kitchen.session(), Options::default());
    let finished = Finished::of(session.store, &image.name(), kitchen.dir.path()).unwrap();
    let walk = |names: &[&'static str]| {
        let made = Mutex::new(Vec::new());
        let mut way = Pipeline::default();
        for name in names {
            way.lay(name, name, Make::Probe(name, &made), &image).unwrap();
        }
        let kept = Kept::of(session.store, &image.name()).unwrap();
        let forecast = way.forecast(&image, &kept, &finished).unwrap();
        let forecast: Vec<(String, bool)> = forecast
            .into_iter()
            .map(|layer| (layer.stage, layer.cached))
            .collect();
        let site = Site::new(&image, &options, session, &finished).unwrap();
        // These layers write no image.
        let end = way.run(site).map(drop).unwrap_err().to_string();
        assert_eq!(end, "a build without an end");
        drop(way);
        (forecast, made.into_inner().unwrap())
    };
    let told = |all: &[(&str, bool)]| -> Vec<(String, bool)> {
        all.iter()
            .map(|(name, there)| ((*name).to_owned(), *there))
            .collect()
    };
    let (forecast, made) = walk(&["one", "two"]);
    assert_eq!(forecast, told(&[("one", false), ("two", false)]));
    assert_eq!(made, ["one", "two"]);
    let (forecast, made) = walk(&["one", "between", "two"]);
    assert_eq!(
        forecast,
        told(&[("one", true), ("between", false), ("two", false)])
    );
    assert_eq!(made, ["between", "two"]);
    let (forecast, made) = walk(&["one", "between", "two"]);
    assert_eq!(forecast, told(&[("one", true), ("between", true), ("two", true)]));
    assert_eq!(made, [""; 0]);
}

/// The image is not said to be there while nobody knows what an app makes of it.
#[test]
fn an_app_whose_archive_is_not_there_is_told_of_the_image_too() {
    let kitchen = Kitchen::new();
    let plan = kitchen.plan(&["dough"]);
    let resolution = resolution(&[]);
    let image = Image::new(&plan, &resolution).unwrap();
    let service = service(&plan, "wiki");
    let mut way = Pipeline::default();
    let absent = Make::Bake(BakeLayer::Absent(&service));
    way.lay("service-wiki", "Service wiki", absent, &image).unwrap();
    way.lay("image", "Write the image", Make::Assemble, &image)
        .unwrap();
    let store = kitchen.session().store;
    let kept = Kept::of(store, &image.name()).unwrap();
    let finished = Finished::of(store, &image.name(), kitchen.dir.path()).unwrap();
    let told: Vec<(String, bool, String)> = way
        .forecast(&image, &kept, &finished)
        .unwrap()
        .into_iter()
        .map(|layer| (layer.stage, layer.cached, layer.why))
        .collect();
    let why = "an app's archive is not in the store";
    assert_eq!(
        told,
        ["service-wiki", "image"].map(|stage| (stage.to_owned(), false, why.to_owned()))
    );
}

/// What only the device reads makes neither the tree nor a bake again.
#[test]
fn another_description_changes_no_key_below_it() {
    let kitchen = Kitchen::new();
    let mut plan = kitchen.plan(&["dough"]);
    let resolution = resolution(&[]);
    let keys = |plan: &Plan| -> Vec<(String, clic_host::Sha256)> {
        let image = Image::new(plan, &resolution).unwrap();
        let way = Pipeline::new(&image, &[]).unwrap();
        way.layers()
            .iter()
            .map(|layer| (layer.id.clone(), layer.key))
            .collect()
    };
    let before = keys(&plan);
    plan.recipe.title = "Another".to_owned();
    let after = keys(&plan);
    let same: Vec<&str> = before
        .iter()
        .filter(|layer| after.contains(layer))
        .map(|(id, _)| id.as_str())
        .collect();
    assert_eq!(same, ["resolve", "customize", "clean", "bake-dough"]);
}

#[test]
fn bakes_in_another_order_are_other_bakes() {
    let kitchen = Kitchen::new();
    let all = ["bake-butter: spread", "bake-dough: knead, rest"];
    let (found, made) = bake(&kitchen, &kitchen.plan(&["dough", "butter"]), &[]);
    assert_eq!(found, all);
    assert_eq!(
        made,
        ["bake-dough: not built before", "bake-butter: not built before"]
    );
    let (found, made) = bake(&kitchen, &kitchen.plan(&["butter", "dough"]), &[]);
    assert_eq!(found, all);
    assert_eq!(
        made,
        [
            "bake-butter: step knead of dough is gone, step rest of dough is gone",
            "bake-dough: step spread of butter is new"
        ]
    );
    // Back again: all of it is there.
    let (found, made) = bake(&kitchen, &kitchen.plan(&["dough", "butter"]), &[]);
    assert_eq!(found, all);
    assert_eq!(made, [""; 0]);
}

#[test]
fn steps_in_another_order_are_done_again_and_what_is_above_them() {
    let kitchen = Kitchen::new();
    bake(&kitchen, &kitchen.plan(&["dough", "butter"]), &[]);
    kitchen.overlay("dough", &["rest", "knead"]);
    let (found, made) = bake(&kitchen, &kitchen.plan(&["dough", "butter"]), &[]);
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
    bake(&kitchen, &plan, &[]);
    // `check` refuses it; what came here by another way is no reason for another image.
    plan.bakes[0].command = "knead twice".to_owned();
    let (found, made) = bake(&kitchen, &plan, &[]);
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
        files: FileTree::default(),
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
    let (found, _) = bake(&kitchen, &plan, &[app(&services[0]), app(&services[1])]);
    assert_eq!(found, all);
    let (found, made) = bake(&kitchen, &plan, &[app(&services[1]), app(&services[0])]);
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
        path_origin: plan.packages[0].origin.clone(),
        place_origin: plan.packages[0].origin.clone(),
        packages: Vec::new(),
        units: Vec::new(),
        place: Place::Root(format!("/srv/{name}")),
        uploads: 0,
        ram: 0,
        disk: 0,
        start_seconds: 1,
        needs: Vec::new(),
        conflicts: Vec::new(),
        first_boot: None,
        origin: plan.packages[0].origin.clone(),
    }
}
