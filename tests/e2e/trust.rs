//! A repository of somebody else beside Debian's real archive: its key is confirmed once, and not changed unnoticed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::signed::{Signer, serve};
use crate::support::{clic, copy_tree, edit, run, sha256, tool};

/// A repository with one package, and the key that it is signed with.
struct Repository {
    dir: PathBuf,
}

impl Repository {
    fn new(dir: &Path) -> Self {
        let (dir, package) = (dir.join("repository"), dir.join("package"));
        fs::create_dir_all(dir.join("pool")).unwrap();
        fs::create_dir_all(package.join("DEBIAN")).unwrap();
        let control = "Package: clic-trusted\nVersion: 1\nArchitecture: all\nMaintainer: Test <test@example.org>\nDescription: test\n";
        fs::write(package.join("DEBIAN/control"), control).unwrap();
        let deb = dir.join("pool/clic-trusted_1_all.deb");
        let (from, to) = (package.to_str().unwrap(), deb.to_str().unwrap());
        tool("dpkg-deb", ["--build", "--root-owner-group", "-Znone", from, to]);
        let size = fs::metadata(&deb).unwrap().len();
        let packages = format!(
            "{control}Filename: pool/clic-trusted_1_all.deb\nSize: {size}\nSHA256: {}\n\n",
            sha256(&deb)
        );
        for arch in ["amd64", "arm64"] {
            let index = dir.join(format!("dists/stable/main/binary-{arch}"));
            fs::create_dir_all(&index).unwrap();
            fs::write(index.join("Packages"), &packages).unwrap();
        }
        Self { dir }
    }

    /// Signs it, and publishes the key.
    fn publish(&self, signer: &Signer) {
        let mut release =
            "Origin: Test\nSuite: stable\nCodename: stable\nDate: Sat, 11 Jul 2026 10:00:00 UTC\n\
                           Architectures: amd64 arm64\nComponents: main\nSHA256:\n"
                .to_owned();
        for arch in ["amd64", "arm64"] {
            let name = format!("main/binary-{arch}/Packages");
            let path = self.dir.join("dists/stable").join(&name);
            let size = fs::metadata(&path).unwrap().len();
            writeln!(release, " {} {size} {name}", sha256(&path)).unwrap();
        }
        let plain = self.dir.join("Release");
        fs::write(&plain, release).unwrap();
        let release = self.dir.join("dists/stable/InRelease");
        let (plain, release) = (plain.to_str().unwrap(), release.to_str().unwrap());
        signer.gpg(&["--yes", "--clearsign", "--output", release, plain]);
        fs::write(self.dir.join("key.asc"), signer.public()).unwrap();
    }
}

#[test]
fn a_key_is_confirmed_once_and_pinned() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (
        Signer::new(dir.path(), "first"),
        Signer::new(dir.path(), "second"),
    );
    let repository = Repository::new(dir.path());
    repository.publish(&first);
    let url = serve(&repository.dir);
    let tree = copy_tree(dir.path());
    let recipe = tree.join("recipes/minimal.toml");
    edit(
        &recipe,
        "[\"openssh-server\"]",
        "[\"openssh-server\", \"clic-trusted\"]",
    );
    edit(
        &recipe,
        "[image]",
        &format!(
            "[[source]]\nname = \"theirs\"\nurl = \"{url}\"\nsuite = \"stable\"\ncomponents = [\"main\"]\n\
             key-url = \"{url}/key.asc\"\n\n[image]"
        ),
    );
    let lock = |board: &str, more: &[&str]| {
        let mut command = clic(["lock", "minimal", "--board", board, "--root"]);
        run(command.arg(&tree).args(more).env_remove("http_proxy"))
    };
    let (key, locked) = (
        tree.join("keys/theirs.asc"),
        tree.join("recipes/minimal-x86-pc.lock"),
    );

    lock("x86-pc", &[]).fails(
        2,
        &[
            "recipes/minimal.toml:",
            "the key of source `theirs` is not in this tree",
        ],
    );
    lock("x86-pc", &["--trust-key"]).fails(2, &[&first.fingerprint, "there is no terminal to confirm it on"]);
    lock("x86-pc", &["--trust-key", &second.fingerprint])
        .fails(2, &[&first.fingerprint, &second.fingerprint]);
    assert!(!key.exists() && !locked.exists());

    lock("x86-pc", &["--trust-key", &first.fingerprint]).ok();
    assert_eq!(fs::read_to_string(&key).unwrap(), first.public());
    let text = fs::read_to_string(&locked).unwrap();
    let pinned = |signer: &Signer| {
        format!(
            "fingerprint = \"{}\"\nkey-sha256 = \"{}\"\n",
            signer.fingerprint,
            sha256(&key)
        )
    };
    assert!(text.contains(&pinned(&first)), "{text}");
    assert!(text.contains("name = \"clic-trusted\"\nversion = \"1\"\narch = \"all\"\nsource = \"theirs\"\n"));
    assert!(!text.contains("127.0.0.1"), "a lock names no host");
    // From then on there is nothing to say of it, on no board.
    lock("x86-pc", &["--check"]).ok();
    lock("x86-pc", &["--update"]).ok();
    lock("raspberry-pi", &[]).ok();

    // The repository has a new key. It is in the tree, and still that is not enough.
    repository.publish(&second);
    fs::write(&key, second.public()).unwrap();
    let both = [first.fingerprint.as_str(), &second.fingerprint, "--trust-key"];
    lock("x86-pc", &["--update"]).fails(2, &both);
    let out = dir.path().join("out");
    for more in [&["--locked"][..], &[]] {
        let mut command = clic(["build", "minimal", "--board", "x86-pc", "--out"]);
        run(command.arg(&out).arg("--root").arg(&tree).args(more)).fails(2, &both);
    }
    assert!(!out.exists());
    assert_eq!(fs::read_to_string(&locked).unwrap(), text);
    lock("x86-pc", &["--trust-key", &second.fingerprint]).ok();
    let text = fs::read_to_string(&locked).unwrap();
    assert!(
        text.contains(&pinned(&second)) && !text.contains(&first.fingerprint),
        "{text}"
    );

    // A suite that the repository does not have.
    edit(&recipe, "suite = \"stable\"", "suite = \"testing\"");
    lock("x86-pc", &[]).fails(
        1,
        &[
            &format!("source theirs has no suite testing for this: {url}\n"),
            &format!("help: see which suites {url}/dists/ has"),
        ],
    );
}
