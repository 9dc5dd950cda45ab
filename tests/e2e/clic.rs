//! The recipe `clic`: `YunoHost` set up while the image is built, services in it, and everything on the box's own wifi, with
//! no internet anywhere.
//!
//! `YunoHost`'s repository is out of CI's reach. What is installed here is a **stand-in** of ours
//! (`tests/standin/README.md`): it proves our side, and the real one is proven by hand.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bake::stages;
use crate::standin::{KEY, Repository, repository};
use crate::support::{Said, clic, copy_tree, edit, failures, image, root, run, sha256, tool};
use crate::turn::{Work, turn};

const X86: &str = "x86-pc";

/// An overlay with what services are made of.
const THINGS: &str = r#"schema = 1
title = "Things"
description = "What the services of a test are made of"

[[file]]
path = "/srv/garden/index.html"

[[file]]
path = "/srv/library/library/index.html"

[[file]]
path = "/usr/lib/systemd/system/library.service"

[[check]]
name = "the library's token is of this device"
command = "clic-first-boot secrets --json | python3 -c 'import json, sys; print([s[\"state\"] for s in json.load(sys.stdin)[\"secrets\"] if s[\"secret\"] == \"/etc/library/token\"])'; stat --format=%a /etc/library/token"
contains = "['own']"

[[check]]
name = "a domain that comes later has a certificate of this device's own authority"
command = """
set -e
yunohost domain add later.clic.internal
openssl verify -CAfile /usr/share/yunohost/ssl/ca/cacert.pem /etc/yunohost/certs/later.clic.internal/crt.pem
grep -x later.clic.internal /etc/clic/names.d/yunohost-later.clic.internal
"""
timeout-seconds = 300
"#;

const SERVICES: &str = r#"
[[service]]
name = "garden"
kind = "static"
title = { fr = "Jardin", en = "Garden" }
description = { fr = "Des pages", en = "Pages" }
category = "learning"
state = "dormant"
path = "/garden"
root = "/srv/garden"
ram = "1M"

[[service]]
name = "library"
kind = "debian"
title = { fr = "Bibliothèque", en = "Library" }
description = { fr = "Un programme derrière le portail", en = "A program behind the portal" }
category = "files"
path = "/library"
units = ["library.service"]
port = 8960
ram = "16M"
first-boot = "steps/library.toml"
"#;

/// What makes the library's secret on each device.
const STEP: &str = r#"schema = 1
title = "the library's token"
before = ["library.service"]

[[value]]
name = "token"

[[file]]
path = "/etc/library/token"
text = "@token@\n"
"#;

/// An app that comes last.
const APP: &str = r#"
[[service]]
name = "page"
kind = "yunohost-app"
title = { fr = "Une page", en = "A page" }
description = { fr = "Une application de YunoHost", en = "An app of YunoHost" }
category = "writing"
state = "dormant"
path = "/page"
directory = "apps/standin_page"
"#;

const UNIT: &str = "[Service]
ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory /srv/library 8960
DynamicUser=yes

[Install]
WantedBy=multi-user.target
";

/// A copy of the tree with the recipe `clic` as it is shipped, but that its packages come from `repository`, and that it has
/// services.
fn tree(dir: &Path, repository: &Repository) -> PathBuf {
    let tree = copy_tree(dir);
    let put = |path: &str, text: &str| {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("overlays/things/overlay.toml", THINGS);
    put(
        "overlays/things/files/srv/garden/index.html",
        "<title>Garden</title>\n",
    );
    put(
        "overlays/things/files/srv/library/library/index.html",
        "<title>Library</title>\n",
    );
    put(
        "overlays/things/files/usr/lib/systemd/system/library.service",
        UNIT,
    );
    put("steps/library.toml", STEP);
    fs::create_dir(tree.join("apps")).unwrap();
    let app = root().join("tests/standin/apps/standin_page");
    tool(
        "cp",
        ["-r".as_ref(), app.as_os_str(), tree.join("apps").as_os_str()],
    );
    let recipe = tree.join("recipes/clic.toml");
    edit(
        &recipe,
        "https://forge.yunohost.org/yunohost_bookworm.asc",
        &format!("{}/{KEY}", repository.url),
    );
    edit(&recipe, "https://forge.yunohost.org/debian", &repository.url);
    edit(
        &recipe,
        "\"yunohost\"]\nbundles",
        "\"yunohost\", \"things\"]\nbundles",
    );
    append(&recipe, SERVICES);
    // Packages of the real YunoHost that the stand-in leaves out: nobody asks their questions.
    let overlay = tree.join("overlays/yunohost/overlay.toml");
    let text = fs::read_to_string(&overlay).unwrap();
    let of_others = |line: &&str| {
        !["nslcd ", "libnss-ldapd "]
            .iter()
            .any(|package| line.trim_start().starts_with(&format!("\"{package}")))
    };
    let kept: Vec<&str> = text.lines().filter(of_others).collect();
    assert_eq!(text.lines().count() - kept.len(), 7, "{text}");
    fs::write(overlay, kept.join("\n") + "\n").unwrap();
    tree
}

fn append(path: &Path, more: &str) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text + more).unwrap();
}

fn lock(tree: &Path, board: &str, more: &[&str]) -> Said {
    run(clic(["lock", "clic", "--board", board, "--root"])
        .arg(tree)
        .args(more))
}

fn build(tree: &Path, board: &str, out: &Path) -> Said {
    run(clic(["build", "clic", "--board", board, "--root"])
        .arg(tree)
        .arg("--out")
        .arg(out))
}

/// Why each bake of a build was done, or not.
fn bakes(out: &Path) -> Vec<(String, bool)> {
    let cached = |why: String| why.starts_with("the store has it");
    stages(&out.join("clic-x86-pc.manifest.json"))
        .into_iter()
        .filter(|(stage, _)| stage.starts_with("bake-") || stage.starts_with("service-"))
        .map(|(stage, why)| (stage, cached(why)))
        .collect()
}

/// What installs the app.
fn app_script(tree: &Path) -> PathBuf {
    tree.join("apps/standin_page/scripts/install")
}

/// Makes the app another one than in any earlier run, whose bake the store may have.
fn of_this_run(script: &Path, dir: &Path) {
    let run = dir.file_name().unwrap().to_str().unwrap();
    edit(
        script,
        "A page is written",
        &format!("A page of {run} is written"),
    );
}

#[test]
fn yunohost_is_set_up_in_the_image_and_answers_on_the_wifi() {
    // Most of its packages are there then.
    let _downloads = image("x86-pc");
    let _turn = turn(Work::LongMachine);
    let dir = tempfile::tempdir().unwrap();
    let repository = repository();
    let tree = tree(dir.path(), repository);
    lock(&tree, X86, &["--trust-key", &repository.fingerprint]).ok();

    // An app is baked on top of what was set up.
    let out = dir.path().join("out");
    append(&tree.join("recipes/clic.toml"), APP);
    // It brings no package: the lock fits.
    lock(&tree, X86, &["--check"]).ok();
    of_this_run(&app_script(&tree), dir.path());
    build(&tree, X86, &out).ok();
    let (yunohost, page) = ("bake-yunohost".to_owned(), "service-page".to_owned());
    // What was set up may be in the store since an earlier run.
    assert_eq!(
        bakes(&out).last(),
        Some(&(page.clone(), false)),
        "{:?}",
        bakes(&out)
    );

    // Once more, elsewhere: the same bytes, and no machine is started.
    let again = dir.path().join("again");
    build(&tree, X86, &again).ok();
    assert_eq!(bakes(&again), [(yunohost, true), (page, true)]);
    let img = "clic-x86-pc.img";
    assert_eq!(sha256(&again.join(img)), sha256(&out.join(img)));
    fs::remove_dir_all(again).unwrap();

    // What is long is the hotspot's, and `nomad` shows it.
    let report = run(
        clic(["--json", "test", "--quick", "--machine", "uefi-x64", "--logs"])
            .arg(dir.path().join("logs"))
            .arg(out.join(img)),
    )
    .last_json();
    assert_eq!(report["passed"], true, "{}", failures(&report));
    let cases = report["machines"][0]["cases"].as_array().unwrap();
    let status = |wanted: &str| {
        let case = cases.iter().find(|case| case["name"] == wanted);
        case.unwrap_or_else(|| panic!("no {wanted}: {cases:#?}"))["status"].clone()
    };
    assert_eq!(status("a hundred guests are served at once"), "skipped");
    for wanted in [
        "YunoHost 12 is there",
        "all of YunoHost runs",
        "people are found in the directory",
        "nobody has a password",
        "the administration is the setup page until the box is set up, and itself afterwards",
        "guests do not reach the administration, on whatever domain",
        "guests open YunoHost's portal at https://clic.internal/yunohost/sso/ over the hotspot",
        "YunoHost asks nothing of the internet by itself",
        "first boot is over, and says so",
        "no secret is as the image had it",
        "services that this image carries are used over the hotspot, dormant ones after they are switched on",
        "the library's token is of this device",
        "a domain that comes later has a certificate of this device's own authority",
        "the hotspot comes up when a radio does",
        "two guests join and get addresses",
    ] {
        assert_eq!(status(wanted), "passed", "{wanted}: {cases:#?}");
    }
}

#[test]
#[ignore = "nightly: what is set up and baked takes a quarter of an hour, and a bake that fails is in bake::"]
fn an_app_that_cannot_be_installed_is_named_and_what_was_set_up_stays() {
    let _downloads = image(X86);
    let _turn = turn(Work::LongMachine);
    let dir = tempfile::tempdir().unwrap();
    let repository = repository();
    let tree = tree(dir.path(), repository);
    lock(&tree, X86, &["--trust-key", &repository.fingerprint]).ok();
    append(&tree.join("recipes/clic.toml"), APP);
    let script = app_script(&tree);
    of_this_run(&script, dir.path());

    // By name, with its last lines, and no image.
    let dies = "ynh_die \"the page is torn\"\nynh_config_add_nginx";
    edit(&script, "ynh_config_add_nginx", dies);
    let torn = dir.path().join("torn");
    build(&tree, X86, &torn).fails(
        1,
        &[
            "step `app standin_page is installed` of service page ended with 1",
            "the page is torn",
        ],
    );
    assert!(!torn.join("clic-x86-pc.img").exists());

    // One that succeeds: it alone is baked, on top of what was set up before the other failed.
    edit(&script, dies, "ynh_config_add_nginx");
    let out = dir.path().join("out");
    build(&tree, X86, &out).ok();
    assert_eq!(
        bakes(&out),
        [
            ("bake-yunohost".to_owned(), true),
            ("service-page".to_owned(), false)
        ]
    );
}

#[test]
#[ignore = "nightly: half an hour of setting up, and as long to be checked, on an emulated Raspberry Pi"]
fn a_raspberry_pi_with_yunohost_answers_on_the_wifi() {
    let board = "raspberry-pi";
    let _downloads = image(board);
    let _turn = turn(Work::LongMachine);
    let dir = tempfile::tempdir().unwrap();
    let repository = repository();
    let tree = tree(dir.path(), repository);
    append(&tree.join("recipes/clic.toml"), APP);
    lock(&tree, board, &["--trust-key", &repository.fingerprint]).ok();
    let out = dir.path().join("out");
    build(&tree, board, &out).ok();
    let report = run(clic(["--json", "test", "--logs"])
        .arg(dir.path().join("logs"))
        .arg(out.join("clic-raspberry-pi.img")))
    .last_json();
    assert_eq!(report["passed"], true, "{}", failures(&report));
    let cases = report["machines"][0]["cases"].to_string();
    for wanted in ["all of YunoHost runs", "two guests join and get addresses"] {
        assert!(cases.contains(wanted), "no {wanted:?} in {cases}");
    }
}

#[test]
fn a_repository_that_is_not_the_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let repository = repository();
    let tree = tree(dir.path(), repository);
    let out = dir.path().join("out");

    // Nobody has confirmed its key, and then another one.
    build(&tree, X86, &out).fails(
        2,
        &["the key of source `yunohost` is not in this tree", "--trust-key"],
    );
    let other = "0".repeat(40);
    lock(&tree, X86, &["--trust-key", &other]).fails(2, &[&other, &repository.fingerprint]);
    assert!(
        !tree.join("keys").exists(),
        "a key that nobody trusts is in the tree"
    );

    // It does not have the suite.
    edit(
        &tree.join("recipes/clic.toml"),
        "suite = \"bookworm\"\ncomponents",
        "suite = \"trixie\"\ncomponents",
    );
    lock(&tree, X86, &["--trust-key", &repository.fingerprint])
        .fails(1, &["source yunohost", "has no suite trixie"]);
    assert!(!out.exists(), "something was built");
}
