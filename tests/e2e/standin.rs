//! `YunoHost`'s repository for tests without internet: packages of ours in place of its own (`tests/standin/`), signed
//! with a key that is made for one test.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::signed::{Signer, serve};
use crate::support::{root, sha256, tool};

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
    pub signer: Signer,
}

impl Repository {
    pub fn new(dir: &Path) -> Self {
        let signer = Signer::new(dir, "standin");
        let repository = dir.join("repository");
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
            url: serve(&repository),
            signer,
        }
    }
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
