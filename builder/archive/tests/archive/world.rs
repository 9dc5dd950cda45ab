//! A small Debian of our own: packages, signed archives, keys, and a recipe that is made of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use clic_archive::{HostApt, Keep, Lock, Mirrors, Pins, Resolution, ResolveOptions};
use clic_host::{Log, Progress, Sha256};
use clic_recipe::{Plan, Tree};
use clic_store::{Session, Store};

const BOARD: &str = r#"schema = 1
title = "PC"
arch = "amd64"
suites = ["bookworm"]
packages = ["kernel"]
consoles = ["tty1"]
[disk]
table = "gpt"
partitions = [
    { name = "bios", fs = "bios-boot", size = "1M", first-sector = 2048 },
    { name = "esp", fs = "fat32", size = "64M" },
    { name = "root", fs = "ext4", size = "fit", free = "64M" },
]
[boot]
kind = "grub"
[emulate]
machine = "pc"
"#;

#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Somebody who signs archives.
pub struct Signer {
    home: PathBuf,
    pub fingerprint: String,
}

impl Signer {
    /// `valid`: `0` for ever, `1d` with `at` in the past for expired.
    pub fn new(dir: &Path, name: &str, at: Option<&str>, valid: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let home = dir.join(format!("gpg-{name}"));
        std::fs::create_dir(&home).unwrap();
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
        let mut signer = Self {
            home,
            fingerprint: String::new(),
        };
        let id = format!("{name} <{name}@example.org>");
        let mut command = signer.gpg(at);
        run(command.args([
            "--passphrase",
            "",
            "--quick-gen-key",
            &id,
            "ed25519",
            "sign",
            valid,
        ]));
        let listed = run(signer.gpg(None).args(["--with-colons", "--list-keys"]));
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':')
            .nth(9)
            .unwrap()
            .clone_into(&mut signer.fingerprint);
        signer
    }

    fn gpg(&self, at: Option<&str>) -> Command {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--homedir"]).arg(&self.home);
        if let Some(at) = at {
            command.arg("--faked-system-time").arg(at);
        }
        command
    }

    pub fn public(&self, armored: bool) -> Vec<u8> {
        let mut command = self.gpg(None);
        if armored {
            command.arg("--armor");
        }
        command.arg("--export").output().unwrap().stdout
    }

    fn sign(&self, release: &Path, at: Option<&str>) {
        let signed = release.with_file_name("InRelease");
        let _ = std::fs::remove_file(&signed);
        run(self
            .gpg(at)
            .arg("--clearsign")
            .arg("--output")
            .arg(&signed)
            .arg(release));
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(&self.home)
            .args(["--kill", "gpg-agent"])
            .status();
    }
}

/// `name_version_all.deb` in `dir`, with more control fields.
pub fn deb(dir: &Path, name: &str, version: &str, fields: &str) -> PathBuf {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("DEBIAN")).unwrap();
    std::fs::create_dir_all(root.path().join("usr/share").join(name)).unwrap();
    std::fs::write(root.path().join("usr/share").join(name).join("version"), version).unwrap();
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Test <t@example.org>\n{fields}Description: test\n"
    );
    std::fs::write(root.path().join("DEBIAN/control"), control).unwrap();
    std::fs::create_dir_all(dir).unwrap();
    let path = dir.join(format!("{name}_{version}_all.deb"));
    run(Command::new("dpkg-deb")
        .args(["--build", "--root-owner-group", "-Znone"])
        .arg(root.path())
        .arg(&path));
    path
}

/// An archive in a directory.
pub struct Archive {
    pub dir: PathBuf,
    /// Control stanzas by file name in pool/.
    stanzas: BTreeMap<String, String>,
}

impl Archive {
    pub fn new(dir: PathBuf) -> Self {
        std::fs::create_dir_all(dir.join("pool")).unwrap();
        Self {
            dir,
            stanzas: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, name: &str, version: &str, fields: &str) {
        let path = deb(&self.dir.join("pool"), name, version, fields);
        let control = run(Command::new("dpkg-deb").arg("--field").arg(&path));
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let size = std::fs::metadata(&path).unwrap().len();
        let sha256 = Sha256::of_file(&path).unwrap();
        let stanza = format!("{control}Filename: pool/{file}\nSize: {size}\nSHA256: {sha256}\n\n");
        self.stanzas.insert(file, stanza);
    }

    /// As when a mirror takes an old version away.
    pub fn drop(&mut self, name: &str, version: &str) {
        let file = format!("{name}_{version}_all.deb");
        self.stanzas.remove(&file).unwrap();
        std::fs::remove_file(self.dir.join("pool").join(file)).unwrap();
    }

    pub fn index_path(&self, suite: &str, arch: &str) -> PathBuf {
        self.dir
            .join(format!("dists/{suite}/main/binary-{arch}/Packages"))
    }

    /// Writes the indexes of a suite. `hour` of 2026-07-11 is the archive's date.
    pub fn publish(&self, suite: &str, hour: u32, signer: &Signer, at: Option<&str>) {
        let text: String = self.stanzas.values().map(String::as_str).collect();
        let mut hashes = String::new();
        for arch in ["amd64", "arm64"] {
            let path = self.index_path(suite, arch);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
            let sha256 = Sha256::of_file(&path).unwrap();
            let _ = writeln!(hashes, " {sha256} {} main/binary-{arch}/Packages", text.len());
        }
        let release = format!(
            "Origin: Test\nSuite: {suite}\nCodename: {suite}\nDate: Sat, 11 Jul 2026 {hour:02}:00:00 UTC\n\
             Architectures: amd64 arm64\nComponents: main\nSHA256:\n{hashes}"
        );
        let path = self.dir.join("dists").join(suite).join("Release");
        std::fs::write(&path, release).unwrap();
        signer.sign(&path, at);
        std::fs::remove_file(&path).unwrap();
    }
}

/// A directory over HTTP, for as long as the test runs; with what was asked for.
pub fn serve(dir: &Path) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (seen, dir) = (asked.clone(), dir.to_owned());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut head).unwrap_or(0) > 0 && !head.ends_with("\r\n\r\n") {}
            let path = head
                .split(' ')
                .nth(1)
                .unwrap_or("/")
                .replace("%2B", "+")
                .replace("%2b", "+");
            seen.lock().unwrap().push(path.clone());
            let (status, body) = match std::fs::read(dir.join(path.trim_start_matches('/'))) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&body));
        }
    });
    (url, asked)
}

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl clic_host::progress::Sink for Notes {
    fn event(&self, event: &clic_host::progress::Event) {
        if let clic_host::progress::Event::Note { text } = event {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

/// Everything that a test needs.
pub struct World {
    pub dir: tempfile::TempDir,
    pub debian: Archive,
    pub signer: Signer,
    pub store: Store,
    pub mirrors: Mirrors,
    /// What the host's apt is told.
    pub host: HostApt,
    pub pins: Pins,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let signer = Signer::new(path, "debian", None, "0");
        std::fs::write(path.join("debian.gpg"), signer.public(false)).unwrap();
        let mut debian = Archive::new(path.join("debian"));
        debian.add(
            "base",
            "1",
            "Essential: yes\nPriority: required\nPre-Depends: libbase\n",
        );
        debian.add("libbase", "1", "");
        debian.add("apt", "1", "Priority: required\n");
        debian.add("app", "1.0", "Depends: lib (>= 1), virtual\n");
        debian.add("lib", "1.0", "");
        debian.add("provider", "1", "Provides: virtual\n");
        debian.add("kernel", "1", "Depends: kernel-6, lib\n");
        debian.add("kernel-6", "6.1", "");
        debian.add("dash", "0.5", "Depends: libbase\n");
        debian.publish("bookworm", 10, &signer, None);
        let world = Self {
            mirrors: Mirrors {
                main: format!("file:{}", debian.dir.display()),
                security: None,
            },
            store: Store::open(&path.join("store")).unwrap().direct(),
            pins: Pins::new("clic lock r --board pc --trust-key"),
            host: HostApt::default(),
            debian,
            signer,
            dir,
        };
        std::fs::create_dir_all(world.path("tree/boards")).unwrap();
        std::fs::create_dir_all(world.path("tree/recipes")).unwrap();
        std::fs::write(world.path("tree/boards/pc.toml"), BOARD).unwrap();
        world.recipe("\"app\"", "");
        world
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    pub fn recipe(&self, packages: &str, more: &str) {
        let text = format!(
            "schema = 1\ntitle = \"T\"\nsuite = \"bookworm\"\nboards = [\"pc\"]\npackages = [{packages}]\n{more}"
        );
        std::fs::write(self.path("tree/recipes/r.toml"), text).unwrap();
    }

    pub fn plan(&self) -> Plan {
        let tree = Tree::open(&self.path("tree")).unwrap_or_else(|problem| panic!("{problem}"));
        clic_recipe::resolve(&tree, "r", "pc", &clic_recipe::ResolveOptions::default())
            .unwrap_or_else(|report| panic!("\n{report}"))
    }

    pub fn options(&self, keep: Keep) -> ResolveOptions {
        ResolveOptions {
            keyring: Some(self.path("debian.gpg")),
            keep,
            pins: self.pins.clone(),
            host: self.host.clone(),
            ..ResolveOptions::default()
        }
    }

    fn log(&self) -> Log {
        loop {
            // Between fork and exec, children of other tests hold whatever is open here.
            if let Some(log) = Log::claim(&self.path("log")).unwrap() {
                return log;
            }
            std::thread::yield_now();
        }
    }

    pub fn resolve(&self) -> anyhow::Result<Resolution> {
        self.resolve_saying().map(|(resolution, _)| resolution)
    }

    /// With what was noted on the way.
    pub fn resolve_saying(&self) -> anyhow::Result<(Resolution, Vec<String>)> {
        let (plan, options) = (self.plan(), self.options(Keep::default()));
        let notes = Arc::new(Notes::default());
        let progress = Progress::new(notes.clone());
        let session = Session {
            store: &self.store,
            log: &self.log(),
            progress: &progress,
        };
        let resolution = clic_archive::resolve(&plan, &self.mirrors, &options, session)?;
        let said = notes.0.lock().unwrap().clone();
        Ok((resolution, said))
    }

    pub fn refused(&self) -> anyhow::Error {
        self.resolve().expect_err("this must be refused")
    }

    pub fn lock(&self, keep: Keep) -> Lock {
        let (plan, options) = (self.plan(), self.options(keep));
        let session = Session {
            store: &self.store,
            log: &self.log(),
            progress: &Progress::silent(),
        };
        clic_archive::lock(&plan, &self.mirrors, &options, session)
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    pub fn have(&self, resolution: &Resolution, store: &Store) -> anyhow::Result<Vec<PathBuf>> {
        resolution.have(Session {
            store,
            log: &self.log(),
            progress: &Progress::silent(),
        })
    }

    pub fn locked(&self, lock: &Lock) -> Resolution {
        let epoch = self.options(Keep::default()).epoch;
        lock.resolution(
            &self.plan(),
            &self.mirrors,
            epoch,
            "clic lock r --board pc --update",
        )
        .unwrap()
    }
}
