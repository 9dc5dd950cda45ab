//! What the tests share: the binary, its cache, and the images.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::turn::{Work, once};

/// The tree that is under test.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ has a parent")
        .to_owned()
}

/// The `clic` that was built beside this test binary (`target/<profile>/deps/e2e-*`).
pub fn clic_binary() -> PathBuf {
    let me = std::env::current_exe().expect("the test binary has a path");
    let binary = me
        .parent()
        .and_then(Path::parent)
        .expect("target/<profile>/deps")
        .join("clic");
    assert!(
        binary.exists(),
        "{} is missing: run `cargo build` first (scripts/test does)",
        binary.display()
    );
    binary
}

/// A directory that outlives the run: downloads are worth keeping between runs.
pub fn work_dir() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("e2e");
    std::fs::create_dir_all(&dir).expect("the target directory is writable");
    dir
}

/// The store that all tests share, unless a test needs its own.
pub fn cache_dir() -> PathBuf {
    std::env::var_os("CLIC_CACHE").map_or_else(|| work_dir().join("cache"), PathBuf::from)
}

/// `clic ARGS`, with the shared store and the tree under test.
pub fn clic<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    clic_with(&cache_dir(), args)
}

/// `clic ARGS` with a store of its own.
pub fn clic_with<S: AsRef<OsStr>>(cache: &Path, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(clic_binary());
    command
        .args(args)
        .env("CLIC_CACHE", cache)
        .env("NO_COLOR", "1")
        .current_dir(root())
        .stdin(Stdio::null());
    command
}

/// What a finished `clic` said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `command` to its end.
pub fn run(command: &mut Command) -> Said {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program starts");
    Said {
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

impl Said {
    /// Asserts exit code 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(
            self.code,
            Some(0),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Asserts an exit code and that standard error holds each text.
    #[track_caller]
    pub fn fails(self, code: i32, texts: &[&str]) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        for text in texts {
            assert!(self.stderr.contains(text), "no `{text}` in:\n{}", self.stderr);
        }
        assert!(
            !self.stderr.contains("panicked"),
            "a user error must not panic:\n{}",
            self.stderr
        );
        self
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in:\n{}", self.stdout))
    }

    /// Standard output's last line as JSON: the result after lines of progress.
    #[track_caller]
    pub fn last_json(&self) -> Value {
        let line = self.stdout.lines().next_back().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in:\n{line}\nstderr:\n{}", self.stderr))
    }
}

/// What a report of `clic --json test` says of what failed, with the end of the logs, which go with the test's directory.
pub fn failures(report: &Value) -> String {
    let list = |of: &Value| of.as_array().cloned().unwrap_or_default();
    let failed = |cases: &Value| -> Vec<String> {
        let failed = list(cases).into_iter().filter(|case| case["status"] == "failed");
        let told = failed.map(|case| {
            format!(
                "{}: {}",
                case["name"],
                case["message"].as_str().unwrap_or_default()
            )
        });
        told.collect()
    };
    let end = |machine: &Value, log: &str| -> String {
        let text = std::fs::read_to_string(machine[log].as_str().unwrap_or_default()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(50)..];
        format!("the end of its {log}:\n{}", tail.join("\n"))
    };
    let mut text = failed(&report["image_cases"]);
    for machine in list(&report["machines"]) {
        text.push(format!("{}: {}", machine["name"], machine["verdict"]));
        text.extend(failed(&machine["cases"]));
        text.push(end(&machine, "log"));
        text.push(end(&machine, "journal"));
    }
    text.join("\n")
}

const BOARDS: [&str; 2] = ["x86-pc", "raspberry-pi"];

/// A copy of the tree with locks for `minimal`, made once per run. What is compared to the bit is built by them: a mirror
/// has other packages every few hours, also between two builds of one test.
pub fn locked_tree() -> PathBuf {
    static TREE: OnceLock<PathBuf> = OnceLock::new();
    once(&TREE, None, "(locks of minimal, for all)", || {
        let dir = work_dir().join("locked");
        if dir.exists() {
            std::fs::remove_dir_all(&dir).expect("an earlier run's tree can go");
        }
        let tree = copy_tree(&dir);
        for board in BOARDS {
            run(clic(["lock", "minimal", "--board", board, "--root"]).arg(&tree)).ok();
        }
        tree
    })
}

/// As [`copy_tree`], with the locks of [`locked_tree`].
pub fn copy_locked_tree(dir: &Path) -> PathBuf {
    let tree = copy_tree(dir);
    for board in BOARDS {
        let lock = format!("recipes/minimal-{board}.lock");
        std::fs::copy(locked_tree().join(&lock), tree.join(&lock)).expect("a lock can be copied");
    }
    tree
}

/// `recipes/minimal.toml` of [`locked_tree`] built for `board`, once per run. Never changed: copy it first.
///
/// `CLIC_TEST_IMAGES=DIR` takes the images that an earlier `clic build --out DIR` left there: for work on one test.
pub fn image(board: &str) -> PathBuf {
    static X86: OnceLock<PathBuf> = OnceLock::new();
    static PI: OnceLock<PathBuf> = OnceLock::new();
    let cell = match board {
        "x86-pc" => &X86,
        "raspberry-pi" => &PI,
        other => panic!("no shared image for {other}"),
    };
    if let Some(dir) = std::env::var_os("CLIC_TEST_IMAGES") {
        return PathBuf::from(dir).join(format!("minimal-{board}.img"));
    }
    let tree = locked_tree();
    let name = format!("(image of minimal for {board}, for all)");
    once(cell, Some(Work::Image), &name, || {
        let out = work_dir().join(format!("out-{board}"));
        if out.exists() {
            std::fs::remove_dir_all(&out).expect("an earlier run's images can go");
        }
        let mut build = clic(["build", "minimal", "--locked", "--board", board, "--out"]);
        run(build.arg(&out).arg("--root").arg(tree)).ok();
        out.join(format!("minimal-{board}.img"))
    })
}

/// A copy of `image` that a test may break, sharing blocks where the file system can.
pub fn copy(image: &Path, dir: &Path) -> PathBuf {
    let to = dir.join(image.file_name().expect("an image has a name"));
    tool(
        "cp",
        [
            OsStr::new("--sparse=always"),
            OsStr::new("--reflink=auto"),
            image.as_os_str(),
            to.as_os_str(),
        ],
    );
    to
}

/// Runs a tool of the host that must succeed; its standard output.
#[track_caller]
pub fn tool<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> String {
    let mut command = Command::new(program);
    command
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    let said = run(&mut command);
    assert_eq!(said.code, Some(0), "{command:?}:\n{}{}", said.stdout, said.stderr);
    said.stdout
}

/// SHA-256 of a file, by the host's own tool.
pub fn sha256(path: &Path) -> String {
    let line = tool("sha256sum", [path]);
    line.split_whitespace()
        .next()
        .expect("sha256sum prints a hash")
        .to_owned()
}

/// First byte of the partition called `root` in the image, from `clic inspect`.
pub fn root_offset(image: &Path) -> u64 {
    let said = run(clic(["--json", "inspect"]).arg(image)).ok();
    let inspection = said.json();
    let partitions = inspection["partitions"].as_array().expect("partitions").clone();
    let root = partitions
        .iter()
        .find(|p| p["fs"]["kind"] == "ext4")
        .expect("an ext4 partition");
    root["first_sector"].as_u64().expect("a first sector") * 512
}

/// Runs debugfs commands on the image's root file system (ours to break: a copy).
pub fn debugfs(image: &Path, commands: &str) {
    let device = format!("{}?offset={}", image.display(), root_offset(image));
    let dir = image.parent().expect("an image has a directory");
    let script = dir.join("debugfs.cmd");
    std::fs::write(&script, commands).expect("the script is written");
    tool(
        "debugfs",
        [
            OsStr::new("-w"),
            OsStr::new("-f"),
            script.as_os_str(),
            OsStr::new(&device),
        ],
    );
}

/// A copy of the tree under test in `dir`, to break.
pub fn copy_tree(dir: &Path) -> PathBuf {
    let to = dir.join("tree");
    std::fs::create_dir_all(&to).expect("a temporary directory is writable");
    for part in ["recipes", "boards", "overlays", "content-bundles", "schemas"] {
        tool(
            "cp",
            [OsStr::new("-r"), root().join(part).as_os_str(), to.as_os_str()],
        );
    }
    to
}

/// Puts `new` for `old` in a file that must have it.
#[track_caller]
pub fn edit(path: &Path, old: &str, new: &str) {
    let text = std::fs::read_to_string(path).expect("the file is there");
    assert!(text.contains(old), "no `{old}` in {}:\n{text}", path.display());
    std::fs::write(path, text.replacen(old, new, 1)).expect("the file is writable");
}
