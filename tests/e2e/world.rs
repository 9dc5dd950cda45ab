//! A tree that takes no time to make: the programs are the host's own (`/usr`, mounted), the database is empty, and the
//! job is what a build gives to the process in its sandbox, which is a build's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clic_rootfs::Sandbox;
use serde_json::Value;

use crate::support::{clic_binary, tool};

/// Makes the tree `$1/home-of-the-tree/tree`, then does the job in `$3` with the program `$2`.
const SETUP: &str = r#"
mount -t tmpfs -o mode=755 none "$1"
mkdir -p "$1/home-of-the-tree/tree"
cd "$1/home-of-the-tree/tree"
mkdir -p usr/sbin etc var/log var/cache/debconf var/lib/dpkg/info var/lib/dpkg/triggers var/lib/dpkg/updates
for dir in bin lib lib64 libexec share; do
    if [ -d "/usr/$dir" ]; then mkdir "usr/$dir"; mount --rbind "/usr/$dir" "usr/$dir"; fi
done
for link in bin sbin lib lib64; do ln -s "usr/$link" "$link"; done
cp -L /sbin/ldconfig /sbin/start-stop-daemon usr/sbin/
cp /etc/passwd /etc/group etc/
for name in status available diversions statoverride; do : > "var/lib/dpkg/$name"; done
exec "$2" inside-sandbox "$3"
"#;

/// A directory with a tree to come, and something beside it that no package may touch.
pub struct World {
    dir: tempfile::TempDir,
}

/// What came of a job.
#[derive(Debug)]
pub struct Installed {
    /// What the scripts printed, for the log.
    pub printed: String,
    /// What the process in the sandbox said to the one outside.
    pub said: Vec<Value>,
    /// Why it failed, if it did.
    pub failed: Option<String>,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["work/root", "outside"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        fs::write(dir.path().join("outside/sentinel"), "untouched\n").unwrap();
        Self { dir }
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// The package `name` with this maintainer script.
    pub fn package(&self, name: &str, script: &str, text: &str) -> PathBuf {
        self.package_of(name, &[(script, &format!("#!/bin/sh\nset -e\n{text}\n"))])
    }

    /// The package `name` with these files in its control part.
    pub fn package_of(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = self.at("package");
        // Another's scripts are not its.
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("DEBIAN")).unwrap();
        fs::write(root.join("DEBIAN/control"), control(name)).unwrap();
        for (file, text) in files {
            let path = root.join("DEBIAN").join(file);
            fs::write(&path, text).unwrap();
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let deb = self.at("package.deb");
        let options = ["--build", "--root-owner-group"].map(std::ffi::OsStr::new);
        tool(
            "dpkg-deb",
            [options[0], options[1], root.as_os_str(), deb.as_os_str()],
        );
        deb
    }

    /// Installs it. Nothing outside is different afterwards.
    pub fn install(&self, name: &str, deb: &Path) -> Installed {
        self.install_answering(name, deb, &[])
    }

    /// Installs it after debconf got these answers.
    pub fn install_answering(&self, name: &str, deb: &Path, preseeds: &[String]) -> Installed {
        let place = self.at("work/root");
        let job = serde_json::json!({
            "root": place.join("home-of-the-tree/tree"), "arch": arch(), "epoch": 1_700_000_000, "threads": 2,
            "accel": null, "restore": [],
            "work": { "packages": {
                "base": false, "preseeds": preseeds,
                "new": [{ "name": name, "deb": deb, "installed_size": 1024 }],
            } },
            "tar": self.at("work/changes.tar"), "done": self.at("work/done.json"),
        });
        let path = self.at("work/job.json");
        fs::write(&path, job.to_string()).unwrap();
        let sandbox = Sandbox::new().expect("this test needs user namespaces: see `clic doctor`");
        let command = sandbox.cmd("sh").args(["-ec", SETUP, "sh"]);
        let finished = command.args([&place, &clic_binary(), &path]).finish().unwrap();
        let stdout = String::from_utf8(finished.stdout).unwrap();
        let said = stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| line.into()));
        let mut installed = Installed {
            printed: finished.stderr,
            said: said.collect(),
            failed: None,
        };
        let sentinel = fs::read_to_string(self.at("outside/sentinel")).unwrap();
        assert_eq!(sentinel, "untouched\n", "{installed:?}");
        assert_eq!(
            fs::read_dir(self.at("outside")).unwrap().count(),
            1,
            "{installed:?}"
        );
        let failed = installed.said.iter().find(|event| event["said"] == "failed");
        installed.failed = failed.map(|event| event["why"].as_str().unwrap().to_owned());
        let code = finished.status.code();
        assert_eq!(code, Some(i32::from(installed.failed.is_some())), "{installed:?}");
        let done = self.at("work/done.json").exists();
        assert_eq!(done, installed.failed.is_none(), "{installed:?}");
        installed
    }
}

/// The host's, in Debian's words: programs run natively.
fn arch() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    }
}

pub fn control(name: &str) -> String {
    format!(
        "Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: Test <t@example.org>\nDescription: test\n"
    )
}
