//! The border to whoever watches is one place: `clic/src/output.rs`.

use std::fs;
use std::path::{Path, PathBuf};

/// Files that print by themselves, and why that is no way around the border.
const OTHERS: &[(&str, &str)] = &[
    ("clic/src/output.rs", "it is the border"),
    (
        "rootfs/src/inside/",
        "in the sandbox: what it prints goes to the builder, through a pipe",
    ),
    (
        "host/src/spoil.rs",
        "only tests call it: what it prints is a test's",
    ),
    (
        "rootfs/handler/src/main.rs",
        "a program of its own in the sandbox: the same",
    ),
];

fn builder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file below a directory.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// What a line does to the terminal without asking, if it does.
fn prints(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let code = ["stdout()", "stderr()"]
        .iter()
        .fold(code.to_owned(), |code, stream| {
            // Asking what a stream is prints nothing.
            code.replace(&format!("{stream}.is_terminal()"), "")
                .replace(&format!("tcgetwinsize({stream})"), "")
        });
    let streams = [
        "stdout()",
        "stderr()",
        "::Stdout",
        "::Stderr",
        "Stdio::inherit",
        "/dev/std",
    ];
    ["print!", "println!", "dbg!"]
        .iter()
        .any(|word| code.contains(word))
        || streams.iter().any(|word| code.contains(word))
}

#[test]
fn nothing_is_printed_elsewhere() {
    let mut files = Vec::new();
    for room in fs::read_dir(builder()).unwrap() {
        for sources_of in ["src", "handler/src"] {
            let directory = room.as_ref().unwrap().path().join(sources_of);
            if directory.is_dir() {
                sources(&directory, &mut files);
            }
        }
    }
    assert!(files.len() > 200, "only {} files were found", files.len());
    let mut wrong = Vec::new();
    let mut used = vec![false; OTHERS.len()];
    for file in files {
        let name = file.strip_prefix(builder()).unwrap().display().to_string();
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().zip(1..).filter(|(line, _)| prints(line));
        match OTHERS.iter().position(|(other, _)| name.starts_with(other)) {
            Some(other) => used[other] |= lines.count() > 0,
            None => wrong.extend(lines.map(|(line, number)| format!("{name}:{number}: {}", line.trim()))),
        }
    }
    assert!(wrong.is_empty(), "use clic/src/output.rs:\n{}", wrong.join("\n"));
    assert!(
        used.iter().all(|used| *used),
        "the list of exceptions is too long"
    );
}

#[test]
fn printing_is_recognised() {
    for line in [
        "eprintln!(\"x\");",
        "let mut out = std::io::stdout().lock();",
        "Stdio::inherit()",
        "print!(\"\")",
    ] {
        assert!(prints(line), "{line}");
    }
    for line in [
        "if stderr().is_terminal() {",
        "// println!",
        "use std::io::{stderr, stdin};",
        "output::say(text)",
    ] {
        assert!(!prints(line), "{line}");
    }
}

/// What is left of an output when our own colours are taken away, which only `--color always` may bring.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut left = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        left.push_str(rest.strip_prefix('m').unwrap_or("\x1b"));
    }
    left
}

#[test]
fn a_strangers_tree_steers_no_terminal() {
    let evil = "\x1b[2J\x1b[8m\u{9b}2J\u{202e}\r";
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let escaped = "\\u001b[2J\\u001b[8m\u{9b}2J\u{202e}";
    let recipe =
        format!("schema = 1\ntitle = \"{escaped}\"\nsuite = \"{escaped}\"\noverlays = [\"{escaped}\"]\n");
    write("recipes/x.toml", &recipe);
    write("recipes/y.toml", &format!("schema = 1\ntitle = {evil}\n"));
    write(&format!("recipes/{evil}\n.toml"), "schema = 1\n");
    write(&format!("boards/{evil}.toml"), "schema = 1\n");
    write(&format!("overlays/{evil}/overlay.toml"), "schema = 1\n");
    write(&format!("content-bundles/{evil}/bundle.toml"), "schema = 1\n");
    let by_path = dir
        .path()
        .join(format!("recipes/{evil}\n.toml"))
        .display()
        .to_string();
    let requests: &[&[&str]] = &[
        &["check"],
        &["check", "x"],
        &["check", &by_path],
        &["recipes"],
        &["boards"],
        &["content", "ls"],
        &["plan", evil, "--board", evil],
        &["inspect", evil],
        &["inspect", &by_path],
        &["diff", evil, evil],
        &["check", "x", evil],
        &[evil],
    ];
    for request in requests {
        for colour in ["never", "always"] {
            for json in [false, true] {
                let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_clic"));
                command
                    .args(*request)
                    .args(["--color", colour, "--root"])
                    .arg(dir.path());
                command
                    .args(json.then_some("--json"))
                    .env("CLIC_CACHE", dir.path().join("store"));
                let output = command.output().unwrap();
                assert!(
                    output.status.code().is_some_and(|code| code > 0),
                    "{command:?}: {output:?}"
                );
                for stream in [&output.stdout, &output.stderr] {
                    let text = std::str::from_utf8(stream).unwrap();
                    assert!(!text.contains("\x1b[8m"), "{command:?}: {text:?}");
                    let left = if colour == "always" {
                        without_colours(text)
                    } else {
                        text.to_owned()
                    };
                    let bad = left.chars().find(|c| clic_host::plain::hidden(*c) && *c != '\n');
                    assert!(bad.is_none(), "{bad:?} in what {command:?} says: {text:?}");
                }
            }
        }
    }
}
