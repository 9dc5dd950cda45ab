//! Packages of a directory, as the world makes them.

use clic_archive::Keep;

use crate::version;
use crate::world::{World, deb};

/// Most fields are left out, and names of files have epochs in both ways.
#[test]
fn packages_of_a_directory_may_say_little_of_themselves() {
    let world = World::new();
    let debs = world.path("tree/debs");
    for (name, version, file) in [
        ("quoted", "1:2.0-1", "quoted_1%3a2.0-1_all.deb"),
        ("plain", "3:1~rc", "plain_3:1~rc_all.deb"),
        ("other", "1", "download.deb"),
    ] {
        let made = deb(&debs, name, version, "Multi-Arch: foreign\nPackage-Type: deb\n");
        std::fs::rename(made, debs.join(file)).unwrap();
    }
    world.recipe(
        "\"quoted\", \"plain\", \"other\"",
        "[[source]]\nname = \"local\"\ndirectory = \"debs\"\n",
    );
    let resolution = world.resolve().unwrap();
    assert_eq!(version(&resolution.packages, "quoted"), "1:2.0-1");
    assert_eq!(version(&resolution.packages, "plain"), "3:1~rc");
    assert_eq!(resolution.get("other").unwrap().filename, "download.deb");
    let other = resolution.get("other").unwrap();
    assert_eq!(
        other.installed_size,
        other.size * 3,
        "nobody says how much it takes"
    );
    world.have(&resolution, &world.store).unwrap();
    let lock = world.lock(Keep::default());
    world.have(&world.locked(&lock), &world.store).unwrap();
}
