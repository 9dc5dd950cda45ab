//! `clic lock --trust-key`: the key of a repository, confirmed once.
//!
//! What comes after the confirmation needs Debian's own archive, and is among the end-to-end tests; here there is none.

#[path = "../../archive/tests/archive/world.rs"]
#[allow(dead_code, reason = "its keys and its server are enough here")]
mod world;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use world::{Signer, serve};

const CONFIRM: &str = "clic lock shelf --board x86-pc --trust-key";

/// A tree with a recipe that has a source, whose key is served at an address.
struct Place {
    dir: tempfile::TempDir,
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Place {
    /// `more`: what the source says beside its address.
    fn new(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for part in ["boards", "overlays"] {
            let status = Command::new("cp")
                .arg("-r")
                .arg(shipped.join(part))
                .arg(dir.path())
                .status();
            assert!(status.unwrap().success());
        }
        for part in ["recipes", "served"] {
            std::fs::create_dir(dir.path().join(part)).unwrap();
        }
        let (host, asked) = serve(&dir.path().join("served"));
        let url = format!("{host}/key.asc");
        let place = Self { dir, url, asked };
        place.recipe(more);
        place
    }

    /// Line 8 of the recipe names the source, and line 12 the address of its key.
    fn recipe(&self, more: &str) {
        let text = format!(
            "schema = 1\ntitle = \"T\"\nsuite = \"bookworm\"\nboards = [\"x86-pc\", \"raspberry-pi\"]\noverlays = [\"base\"]\n\n\
             [[source]]\nname = \"theirs\"\nurl = \"https://packages.example/debian\"\nsuite = \"stable\"\ncomponents = [\"main\"]\n\
             key-url = \"{}\"\n{more}",
            self.url
        );
        std::fs::write(self.path("recipes/shelf.toml"), text).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn serves(&self, bytes: &[u8]) {
        std::fs::write(self.path("served/key.asc"), bytes).unwrap();
    }

    /// The key in the tree; none that was not confirmed.
    fn key(&self) -> Option<Vec<u8>> {
        std::fs::read(self.path("keys/theirs.asc")).ok()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env("CLIC_CACHE", self.path("store"))
            .env(
                "CLIC_DEBIAN_MIRROR",
                format!("file:{}/nowhere", self.dir.path().display()),
            )
            .env("NO_COLOR", "1")
            .env_remove("http_proxy")
            .stdin(Stdio::null());
        command
    }

    /// What `clic ARGS` prints, and says to people, with nobody at a terminal.
    #[track_caller]
    fn clic(&self, args: &[&str], code: i32) -> (String, String) {
        let output = self
            .command(env!("CARGO_BIN_EXE_clic"))
            .args(args)
            .output()
            .unwrap();
        let (stdout, stderr) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{stdout}\n{stderr}");
        (stdout, stderr)
    }

    /// `clic lock --trust-key MORE` is refused with these words, and nothing is written.
    #[track_caller]
    fn refuses(&self, more: &[&str], texts: &[&str]) {
        let before = self.key();
        let lock = ["lock", "shelf", "--board", "x86-pc", "--trust-key"];
        let (_, stderr) = self.clic(&[&lock[..], more].concat(), 2);
        for text in texts {
            assert!(stderr.contains(text), "no `{text}` in:\n{stderr}");
        }
        assert_eq!(self.key(), before);
        assert!(!self.path("recipes/shelf-x86-pc.lock").exists());
    }

    /// Runs `clic lock --trust-key` at a terminal where somebody types `answer`: the exit code, and what is on the screen.
    fn asks(&self, more: &str, answer: &str) -> (Option<i32>, String) {
        let line = format!(
            "{} lock shelf --board x86-pc --trust-key {more}",
            env!("CARGO_BIN_EXE_clic")
        );
        let mut child = self
            .command("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n"),
        )
    }

    /// A lock that nothing was resolved for, with `fingerprint` for the source.
    fn lock(&self, board: &str, fingerprint: &str) {
        let tree = clic_recipe::Tree::open(self.dir.path()).unwrap();
        let options = clic_recipe::ResolveOptions::default();
        let plan = clic_recipe::resolve(&tree, "shelf", board, &options).unwrap();
        let mut inputs = clic_archive::Inputs::of(&plan);
        inputs.sources[0].fingerprint = Some(fingerprint.to_owned());
        let lock = clic_archive::Lock {
            packages: vec![clic_archive::Package {
                name: "base-files".into(),
                version: "12.4".into(),
                arch: inputs.arch.to_string(),
                source: "debian".into(),
                uri: String::new(),
                filename: "pool/base-files_12.4.deb".into(),
                sha256: clic_host::Sha256::of("base-files"),
                size: 1,
                installed_size: 1,
                automatic: false,
                part: clic_archive::Part::Base,
                stanza: String::new(),
            }],
            inputs,
            epoch: 1_783_764_997,
            releases: Vec::new(),
            content: Vec::new(),
            tools: std::collections::BTreeMap::new(),
        };
        lock.write(&self.path(&format!("recipes/shelf-{board}.lock")))
            .unwrap();
    }
}

#[test]
fn every_command_that_needs_the_key_says_how_to_get_it() {
    let place = Place::new("");
    for args in [
        &["plan", "shelf", "--board", "x86-pc"][..],
        &["lock", "shelf", "--board", "x86-pc"],
        &["lock", "shelf", "--board", "x86-pc", "--check"],
        &["build", "shelf", "--board", "x86-pc"],
    ] {
        let (stdout, _) = place.clic(&[args, &["--json"]].concat(), 2);
        let error: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        let problem = &error["problems"][0];
        assert_eq!(
            (&problem["file"], &problem["line"], &problem["message"]),
            (
                &"recipes/shelf.toml".into(),
                &12.into(),
                &"the key of source `theirs` is not in this tree".into()
            )
        );
        assert!(problem["help"].as_str().unwrap().contains(CONFIRM), "{problem}");
    }
    // The tree is as it should be.
    for args in [&["check"][..], &["check", "shelf"]] {
        let (stdout, _) = place.clic(args, 0);
        assert!(stdout.contains("shelf on x86-pc"), "{stdout}");
        let told = "to confirm  recipes/shelf.toml:12: the key of source `theirs` is not in this tree\n    help: `clic lock";
        assert_eq!(stdout.matches(told).count(), 1, "{stdout}");
    }
    let (stdout, _) = place.clic(&["check", "--json"], 0);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&json["valid"], json["keys"].as_array().unwrap().len()),
        (&true.into(), 1)
    );
    assert_eq!(place.asked.lock().unwrap().len(), 0);
}

#[test]
fn without_a_terminal_only_the_fingerprint_is_a_word() {
    let place = Place::new("");
    let signer = Signer::new(place.dir.path(), "theirs", None, "0");
    let other = Signer::new(place.dir.path(), "other", None, "0");
    let (mine, wrong) = (signer.fingerprint.as_str(), other.fingerprint.as_str());
    place.serves(&signer.public(true));
    let is = format!(
        "recipes/shelf.toml:12:11: source theirs: {} is the key {mine}",
        place.url
    );
    let nobody = format!(
        "{is}, and there is no terminal to confirm it on\n  help: compare it with somebody who knows it, and give it: {CONFIRM} FINGERPRINT"
    );
    place.refuses(&[], &[&nobody]);
    place.refuses(&["--json"], &[&nobody]);
    // Another one: both are shown.
    place.refuses(
        &[wrong],
        &[
            &format!("--trust-key says {wrong}, and no key of this recipe has this fingerprint\n    source theirs has {mine}\n"),
            "nothing was written",
        ],
    );
    // One that is right does not make a second one right.
    place.refuses(&[mine, "--trust-key", wrong], &[wrong, mine]);
    place.refuses(
        &["shelf"],
        &["'shelf'", "a fingerprint has 40 hexadecimal digits"],
    );
    place.refuses(&[&mine[24..]], &["a fingerprint has 40 hexadecimal digits"]);
    assert_eq!(place.key(), None);

    // The right one, with blanks: taken, and only then Debian's archive is asked, which is not there.
    let spaced = format!("{} {}", &mine[..20], mine[20..].to_lowercase());
    let lock = ["lock", "shelf", "--board", "x86-pc", "--trust-key", &spaced];
    let (_, stderr) = place.clic(&lock, 1);
    assert!(
        stderr.contains(&format!("keys/theirs.asc is the key of source theirs: {mine}"))
            && stderr.contains("error: the Debian mirror has no suite bookworm"),
        "{stderr}"
    );
    assert_eq!(place.key(), Some(signer.public(true)));
    // Nothing has pinned it: it is still to be confirmed, and is not fetched for that.
    place.asked.lock().unwrap().clear();
    let (_, stderr) = place.clic(&lock[..4], 2);
    let unconfirmed = format!(
        "recipes/shelf.toml:8:8: source theirs: nobody has confirmed its key `keys/theirs.asc`, with the fingerprint {mine}"
    );
    assert!(
        stderr.contains(&unconfirmed) && stderr.contains(&format!("confirm it: {CONFIRM}")),
        "{stderr}"
    );
    place.refuses(
        &[],
        &[
            "source theirs: keys/theirs.asc is the key",
            "there is no terminal to confirm it on",
        ],
    );
    assert_eq!(place.asked.lock().unwrap().len(), 0);
}

#[test]
fn what_is_served_and_no_good_key_is_refused_by_name() {
    let place = Place::new("");
    let signer = Signer::new(place.dir.path(), "theirs", None, "0");
    let other = Signer::new(place.dir.path(), "other", None, "0");
    let old = Signer::new(place.dir.path(), "old", Some("20190101T000000!"), "1d");
    let both = [signer.public(true), other.public(true)].concat();
    let cases: [(&[u8], String); 5] = [
        (b"<html>moved</html>", "is not an OpenPGP key".to_owned()),
        (
            b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n",
            "holds a PRIVATE key".to_owned(),
        ),
        (
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
            "holds no key that gpg can read".to_owned(),
        ),
        (
            &both,
            format!("holds 2 keys: {}, {}", signer.fingerprint, other.fingerprint),
        ),
        (
            &old.public(true),
            format!("is the key {}, which is expired", old.fingerprint),
        ),
    ];
    for (served, message) in cases {
        place.serves(served);
        let said = format!("recipes/shelf.toml:12:11: source theirs: {} {message}", place.url);
        // Not even by its fingerprint.
        place.refuses(&[&signer.fingerprint], &[&said, "nothing was written"]);
    }
    let lock = ["lock", "shelf", "--board", "x86-pc", "--trust-key"];
    place.serves(&vec![b'A'; (1 << 20) + 1]);
    let (_, stderr) = place.clic(&lock, 1);
    assert!(
        stderr.contains(
            "the key of source theirs has the wrong content: expected at most 1048576 bytes, got more"
        ),
        "{stderr}"
    );
    std::fs::remove_file(place.path("served/key.asc")).unwrap();
    let (_, stderr) = place.clic(&lock, 1);
    assert!(
        stderr.contains("cannot download the key of source theirs: the server answered 404"),
        "{stderr}"
    );
    let (_, stderr) = place.clic(&[&lock[..], &["--offline"]].concat(), 1);
    assert!(stderr.contains("offline"), "{stderr}");
    assert_eq!(place.key(), None);
}

#[test]
fn somebody_at_a_terminal_is_asked() {
    let place = Place::new("");
    let signer = Signer::new(place.dir.path(), "theirs", None, "0");
    place.serves(&signer.public(true));
    for answer in ["n\n", "\n", "yeah\n"] {
        let (code, screen) = place.asks("", answer);
        assert_eq!(code, Some(2), "{screen}");
        for text in [
            &format!("The key of source theirs, from {}:\n", place.url),
            "  of           theirs <theirs@example.org>\n",
            "  expires      never\n",
            "  made         20",
            "Do you trust it? [y/N] ",
            "the key of source theirs is not trusted: nothing was written\n",
        ] {
            assert!(screen.contains(text), "no `{text}` in:\n{screen}");
        }
        let plain: String = screen.split_whitespace().collect();
        assert!(plain.contains(&signer.fingerprint), "{screen}");
        assert_eq!(place.key(), None);
    }
    // Asked for JSON, it asks nobody.
    let (code, screen) = place.asks("--json", "y\n");
    assert_eq!(
        (code, screen.contains("Do you trust it?")),
        (Some(2), false),
        "{screen}"
    );
    assert_eq!(place.key(), None);
    let (code, screen) = place.asks("", "y\n");
    assert_eq!(code, Some(1), "{screen}");
    assert!(
        screen.contains("the Debian mirror has no suite bookworm"),
        "{screen}"
    );
    assert_eq!(place.key(), Some(signer.public(true)));
}

#[test]
fn a_fingerprint_in_the_recipe_is_word_enough() {
    let place = Place::new("");
    let signer = Signer::new(place.dir.path(), "theirs", None, "0");
    let other = Signer::new(place.dir.path(), "other", None, "0");
    let (mine, wrong) = (&signer.fingerprint, &other.fingerprint);
    place.recipe(&format!("fingerprint = \"{mine}\"\n"));
    place.serves(&other.public(true));
    let said = format!(
        "recipes/shelf.toml:12:11: source theirs: {} is the key {wrong}, and the recipe says {mine}\n",
        place.url
    );
    place.refuses(&[], &[&said, "nothing was written"]);
    // Against the recipe's word, the command line's is none.
    place.refuses(&[wrong], &[&said]);
    place.serves(&signer.public(true));
    let (_, stderr) = place.clic(&["lock", "shelf", "--board", "x86-pc", "--trust-key"], 1);
    assert!(stderr.contains("the Debian mirror has no suite"), "{stderr}");
    assert_eq!(place.key(), Some(signer.public(true)));
}

#[test]
fn a_key_is_confirmed_once_for_all_boards_and_not_changed_behind_peoples_backs() {
    let place = Place::new("");
    let signer = Signer::new(place.dir.path(), "theirs", None, "0");
    let other = Signer::new(place.dir.path(), "other", None, "0");
    let (mine, next) = (signer.fingerprint.as_str(), other.fingerprint.as_str());
    let key = place.path("keys/theirs.asc");
    std::fs::create_dir(place.path("keys")).unwrap();
    std::fs::write(&key, signer.public(true)).unwrap();
    place.lock("raspberry-pi", mine);

    // The other board's lock speaks for this one: all that is missing is Debian's archive.
    let lock = ["lock", "shelf", "--board", "x86-pc"];
    let (_, stderr) = place.clic(&lock, 1);
    assert!(stderr.contains("the Debian mirror has no suite"), "{stderr}");
    let fits = ["lock", "shelf", "--board", "raspberry-pi"];
    let (stdout, _) = place.clic(&fits, 0);
    assert!(stdout.contains("is up to date"), "{stdout}");
    // Not here: fetched again, and nobody is asked, as it is the same.
    std::fs::remove_file(&key).unwrap();
    place.serves(&signer.public(true));
    place.clic(&[&fits[..], &["--trust-key"]].concat(), 0);
    assert_eq!(place.key(), Some(signer.public(true)));
    let stray = [&fits[..], &["--trust-key", next]].concat();
    let (_, stderr) = place.clic(&stray, 2);
    assert!(
        stderr.contains(&format!(
            "--trust-key says {next}, and no key of this recipe has this fingerprint\n    source theirs has {mine}"
        )),
        "{stderr}"
    );

    std::fs::write(&key, other.public(true)).unwrap();
    let by = "recipes/shelf-raspberry-pi.lock";
    let said = format!(
        "recipes/shelf.toml:8:8: source theirs: its key `keys/theirs.asc` has the fingerprint {next}, and {by} pins {mine}\n"
    );
    for args in [
        &lock[..],
        &fits,
        &["build", "shelf", "--board", "raspberry-pi"],
        &["build", "shelf", "--board", "raspberry-pi", "--locked"],
        &["plan", "shelf", "--board", "x86-pc"],
    ] {
        let (_, stderr) = place.clic(args, 2);
        assert!(stderr.contains(&said), "{args:?}: {stderr}");
        let board = args[3];
        let confirm = format!("confirm it: clic lock shelf --board {board} --trust-key\n");
        assert!(stderr.contains(&confirm), "{args:?}: {stderr}");
    }
    // Somebody who knows of it says so.
    place.refuses(
        &[],
        &[&format!(
            "is the key {next}, and there is no terminal to confirm it on"
        )],
    );
    let (_, screen) = place.asks("", "n\n");
    assert!(screen.contains("  so far  ") && screen.contains(by), "{screen}");
    let (_, stderr) = place.clic(&[&lock[..], &["--trust-key", next]].concat(), 1);
    assert!(stderr.contains("the Debian mirror has no suite"), "{stderr}");
    // Or the recipe does.
    place.recipe(&format!("fingerprint = \"{next}\"\n"));
    place.clic(&["plan", "shelf", "--board", "x86-pc"], 0);
}

#[test]
fn nothing_is_written_through_a_link_out_of_the_tree() {
    let place = Place::new("");
    let signer = Signer::new(place.dir.path(), "theirs", None, "0");
    place.serves(&signer.public(true));
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), place.path("keys")).unwrap();
    place.refuses(&[&signer.fingerprint], &["`keys/theirs.asc`", "symbolic"]);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}
