//! `YunoHost`'s repository for tests without internet: packages of ours in place of its own (`tests/standin/`), signed
//! with a key that is made for tests on this machine.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::signed::{Signer, serve_at};
use crate::support::{root, sha256, tool, work_dir};

/// Nothing in a package is newer than this, in seconds since 1970: 2025-01-01. Each test makes the same packages, and the
/// store knows them again.
const EPOCH: &str = "1735689600";
/// As in `YunoHost`'s own repository.
const SUITE: &str = "bookworm";
const COMPONENT: &str = "stable";
/// Where the key is published.
pub const KEY: &str = "yunohost.asc";

/// The repository, served for as long as the tests run.
pub struct Repository {
    /// The directory that holds `dists/`.
    pub url: String,
    /// Of the key that signs it.
    pub fingerprint: String,
}

/// The repository that all tests share. Its key and, where nobody else has taken it, its port are those of earlier runs: both are
/// in the images, and the store would not know again what was baked with others.
pub fn repository() -> &'static Repository {
    static REPOSITORY: OnceLock<Repository> = OnceLock::new();
    REPOSITORY.get_or_init(|| {
        let scratch = tempfile::tempdir().unwrap();
        Repository::new(scratch.path(), &work_dir().join("standin"))
    })
}

impl Repository {
    /// Makes it below `kept`, from a key and for a port that are there, or are put there.
    fn new(dir: &Path, kept: &Path) -> Self {
        fs::create_dir_all(kept).unwrap();
        let signer = Signer::kept(dir, "standin", &kept.join("secret.asc"));
        let repository = kept.join("repository");
        if repository.exists() {
            fs::remove_dir_all(&repository).expect("an earlier run's repository can go");
        }
        let pool = repository.join("pool");
        fs::create_dir_all(&pool).unwrap();
        let mut index = String::new();
        for package in packages() {
            let deb = build(&package, dir, &pool);
            let control = tool("dpkg-deb", [Path::new("--field"), &deb]);
            let name = deb.file_name().unwrap().to_str().unwrap();
            let (size, sum) = (deb.metadata().unwrap().len(), sha256(&deb));
            write!(
                index,
                "{control}Filename: pool/{name}\nSize: {size}\nSHA256: {sum}\n\n"
            )
            .unwrap();
        }
        publish(&repository, &index, &signer);
        fs::write(repository.join(KEY), signer.public()).unwrap();
        Self {
            url: serve_at(listener(&kept.join("port")), &repository),
            fingerprint: signer.fingerprint.clone(),
        }
    }
}

/// At the port that this file names, or at a free one, which it names then.
fn listener(file: &Path) -> TcpListener {
    let before = fs::read_to_string(file).ok().and_then(|port| port.parse().ok());
    let at = |port: u16| TcpListener::bind(("127.0.0.1", port));
    let listener = before
        .and_then(|port| at(port).ok())
        .unwrap_or_else(|| at(0).unwrap());
    let port = listener.local_addr().unwrap().port();
    fs::write(file, port.to_string()).unwrap();
    listener
}

/// The sources of the packages, in order.
fn packages() -> Vec<PathBuf> {
    let entries =
        fs::read_dir(root().join("tests/standin/packages")).expect("tests/standin/packages is there");
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// A package, byte for byte the same each time: whatever the checkout made of times and of modes.
fn build(source: &Path, scratch: &Path, pool: &Path) -> PathBuf {
    let name = source.file_name().unwrap().to_str().unwrap();
    let copy = scratch.join(format!("package-{name}"));
    copy_plain(source, &copy);
    // dpkg finds a package without it in a bad state, as YunoHost does before it installs an app.
    let sums = "cd \"$1\" && find * -path DEBIAN -prune -o -type f -print0 | LC_ALL=C sort --zero-terminated |\n\
                xargs --null --no-run-if-empty md5sum >DEBIAN/md5sums && chmod 644 DEBIAN/md5sums";
    tool(
        "sh",
        ["-ec", sums, "sh"]
            .map(OsStr::new)
            .into_iter()
            .chain([copy.as_os_str()]),
    );
    let deb = pool.join(format!("{name}_standin_all.deb"));
    tool(
        "env",
        [
            format!("SOURCE_DATE_EPOCH={EPOCH}").as_ref(),
            Path::new("dpkg-deb"),
            Path::new("--build"),
            Path::new("--root-owner-group"),
            Path::new("-Znone"),
            &copy,
            &deb,
        ],
    );
    deb
}

fn copy_plain(from: &Path, to: &Path) {
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    fs::create_dir(to).unwrap();
    mode(to, 0o755);
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap().path();
        let to = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy_plain(&entry, &to);
        } else {
            fs::copy(&entry, &to).unwrap();
            let executable = entry.metadata().unwrap().permissions().mode() & 0o100 != 0;
            mode(&to, if executable { 0o755 } else { 0o644 });
        }
    }
}

/// The indexes and their signature.
fn publish(repository: &Path, index: &str, signer: &Signer) {
    let dists = repository.join("dists").join(SUITE);
    let mut sums = String::new();
    for arch in ["amd64", "arm64"] {
        let path = format!("{COMPONENT}/binary-{arch}/Packages");
        let file = dists.join(&path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, index).unwrap();
        writeln!(sums, " {} {} {path}", sha256(&file), index.len()).unwrap();
    }
    let release = dists.join("Release");
    fs::write(
        &release,
        format!(
            "Origin: CLIC! stand-in\nSuite: {SUITE}\nCodename: {SUITE}\nDate: Wed, 01 Jan 2025 00:00:00 UTC\n\
             Architectures: amd64 arm64\nComponents: {COMPONENT}\nSHA256:\n{sums}"
        ),
    )
    .unwrap();
    let (inline, release) = (dists.join("InRelease"), release.to_str().unwrap().to_owned());
    signer.gpg(&["--clearsign", "--output", inline.to_str().unwrap(), &release]);
    fs::remove_file(release).unwrap();
}
