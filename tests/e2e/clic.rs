//! The recipe `clic`: YunoHost set up while the image is built, services in it, and everything on the box's own wifi, with no
//! internet anywhere.
//!
//! YunoHost's repository is out of CI's reach. What is installed here is a **stand-in** of ours (`tests/standin/README.md`): it
//! proves our side, and the real one is proven by hand.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bake::stages;
use crate::standin::{COMPONENT, Repository, SUITE, Signer};
use crate::support::{Said, clic, copy_tree, edit, heavy, image, run, sha256};

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
"#;

const UNIT: &str = "[Service]
ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory /srv/library 8960
DynamicUser=yes

[Install]
WantedBy=multi-user.target
";

/// A copy of the tree with the recipe, whose packages come from `repository`.
fn tree(dir: &Path, repository: &Repository) -> PathBuf {
    let tree = copy_tree(dir);
    let put = |path: &str, text: &str| {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("overlays/things/overlay.toml", THINGS);
    put("overlays/things/files/srv/garden/index.html", "<title>Garden</title>\n");
    put("overlays/things/files/srv/library/library/index.html", "<title>Library</title>\n");
    put("overlays/things/files/usr/lib/systemd/system/library.service", UNIT);
    put("keys/yunohost.asc", &repository.signer.public());
    let recipe = format!(
        r#"schema = 1
title = "CLIC!"
suite = "bookworm"
boards = ["x86-pc"]
overlays = ["base", "hotspot", "portal", "first-boot", "yunohost", "services", "things"]

[image]
free = "1G"

[parameters.hotspot]
country = "FR"

[[source]]
name = "yunohost"
url = "{}"
suite = "{SUITE}"
components = ["{COMPONENT}"]
key = "keys/yunohost.asc"
fingerprint = "{}"
{SERVICES}"#,
        repository.url, repository.signer.fingerprint
    );
    put("recipes/clic.toml", &recipe);
    tree
}

fn build(tree: &Path, out: &Path) -> Said {
    run(clic(["build", "clic", "--board", "x86-pc", "--root"])
        .arg(tree)
        .arg("--out")
        .arg(out))
}

#[test]
fn yunohost_is_set_up_in_the_image_and_answers_on_the_wifi() {
    // Most of its packages are there then.
    let _downloads = image("x86-pc");
    let _turn = heavy();
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::new(dir.path());
    let tree = tree(dir.path(), &repository);

    let first = dir.path().join("first");
    build(&tree, &first).ok();
    let img = "clic-x86-pc.img";
    let sum = sha256(&first.join(img));

    // Once more, elsewhere: the same bytes, and no machine is started.
    let out = dir.path().join("out");
    build(&tree, &out).ok();
    assert_eq!(sha256(&out.join(img)), sum);
    let bakes: Vec<_> = stages(&out.join("clic-x86-pc.manifest.json"))
        .into_iter()
        .filter(|(stage, _)| stage.starts_with("bake-"))
        .collect();
    assert!(!bakes.is_empty(), "nothing was baked");
    assert!(
        bakes.iter().all(|(_, why)| why.starts_with("the store has it")),
        "{bakes:?}"
    );
    fs::remove_dir_all(first).unwrap();

    let report = run(clic(["--json", "test", "--machine", "uefi-x64", "--logs"])
        .arg(dir.path().join("logs"))
        .arg(out.join(img)))
    .last_json();
    assert_eq!(report["passed"], true, "{report:#}");
    let cases = report["machines"][0]["cases"].as_array().unwrap();
    for wanted in [
        // In YunoHost's place is what we put there, and says so.
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
        "a domain that comes later has a certificate of this device's own authority",
        "the hotspot comes up when a radio does",
        "two guests join and get addresses",
    ] {
        let case = cases.iter().find(|case| case["name"] == wanted);
        let status = case.map(|case| &case["status"]);
        assert_eq!(status, Some(&"passed".into()), "{wanted}: {cases:#?}");
    }
}

#[test]
fn a_repository_that_is_not_the_one_is_refused() {
    let _turn = heavy();
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::new(dir.path());
    let tree = tree(dir.path(), &repository);
    let (recipe, out) = (tree.join("recipes/clic.toml"), dir.path().join("out"));
    let before = fs::read_to_string(&recipe).unwrap();

    // The key is not the one that the recipe names.
    let other = Signer::new(dir.path(), "other");
    edit(&recipe, &repository.signer.fingerprint, &other.fingerprint);
    build(&tree, &out).fails(
        2,
        &["source yunohost", &repository.signer.fingerprint, &other.fingerprint],
    );

    // It is, and the repository is signed by somebody else.
    fs::write(tree.join("keys/yunohost.asc"), other.public()).unwrap();
    build(&tree, &out).fails(1, &["NO_PUBKEY"]);

    // The repository does not have the suite.
    fs::write(tree.join("keys/yunohost.asc"), repository.signer.public()).unwrap();
    fs::write(&recipe, before.replace("suite = \"bookworm\"\ncomponents", "suite = \"trixie\"\ncomponents")).unwrap();
    build(&tree, &out).fails(1, &["trixie"]);
    assert!(!out.exists(), "something was built");
}
