//! A repository of somebody else beside Debian's real archive: its key is confirmed once, and not changed unnoticed.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use crate::support::{clic, copy_tree, edit, run, sha256, tool};

/// Somebody who signs a repository.
struct Signer {
    home: String,
    fingerprint: String,
}

impl Signer {
    fn new(dir: &Path, name: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let home = dir.join(name);
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let mut signer = Self {
            home: home.to_str().unwrap().to_owned(),
            fingerprint: String::new(),
        };
        let id = format!("{name} <{name}@example.org>");
        signer.gpg(&["--passphrase", "", "--quick-gen-key", &id, "ed25519", "sign", "0"]);
        let listed = signer.gpg(&["--with-colons", "--list-keys"]);
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':')
            .nth(9)
            .unwrap()
            .clone_into(&mut signer.fingerprint);
        signer
    }

    fn gpg(&self, args: &[&str]) -> String {
        let fixed = ["--batch", "--quiet", "--homedir", &self.home];
        tool("gpg", [&fixed[..], args].concat())
    }

    fn public(&self) -> String {
        self.gpg(&["--armor", "--export"])
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        tool("gpgconf", ["--homedir", &self.home, "--kill", "gpg-agent"]);
    }
}

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

    /// Over HTTP, for as long as the test runs; its address.
    fn serve(&self) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let dir = self.dir.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while reader.read_line(&mut head).unwrap_or(0) > 0 && !head.ends_with("\r\n\r\n") {}
                let path = head.split(' ').nth(1).unwrap_or("/").trim_start_matches('/');
                let (status, body) = match fs::read(dir.join(path)) {
                    Ok(body) => ("200 OK", body),
                    Err(_) => ("404 Not Found", Vec::new()),
                };
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                // A client that went away has what it wanted.
                let _ = stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(&body));
            }
        });
        url
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
    let url = repository.serve();
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
    lock("x86-pc", &["--trust-key"]).fails(2, &[&first.fingerprint, "nobody is here to confirm it"]);
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
