//! The command line as its users meet it: help, completions, man pages, exit codes, JSON.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The tree that this binary was built from.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

/// `clic ARGS` in the shipped tree, with a store that is never there.
fn clic(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clic"));
    command.args(args).current_dir(root()).stdin(Stdio::null());
    command
        .env("CLIC_CACHE", "/nonexistent/clic-store")
        .env_remove("NO_COLOR")
        .env_remove("CLIC_LOG");
    command
}

#[track_caller]
fn said(command: &mut Command, code: i32) -> (String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    );
    assert_eq!(
        status.code(),
        Some(code),
        "{command:?}\nstdout:\n{stdout}\nstderr:\n{stderr}"
    );
    assert!(!stderr.contains("panicked"), "{stderr}");
    (stdout, stderr)
}

const COMMANDS: [&str; 13] = [
    "build",
    "check",
    "plan",
    "lock",
    "test",
    "inspect",
    "diff",
    "boards",
    "recipes",
    "cache",
    "doctor",
    "completions",
    "man",
];

#[test]
fn help_lists_every_command_and_each_has_help_of_its_own() {
    let (help, _) = said(&mut clic(&["--help"]), 0);
    for command in COMMANDS {
        assert!(
            help.lines()
                .any(|line| line.trim_start().starts_with(&format!("{command} "))),
            "{command}:\n{help}"
        );
        let (own, _) = said(&mut clic(&[command, "--help"]), 0);
        assert!(own.contains("Usage: clic"), "{own}");
    }
    for told in [
        "Exit codes",
        "Examples",
        "NO_COLOR",
        "SOURCE_DATE_EPOCH",
        "1 MB is 1000000 bytes",
    ] {
        assert!(help.contains(told), "no `{told}` in:\n{help}");
    }
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let (script, _) = said(&mut clic(&["completions", shell]), 0);
        for command in COMMANDS {
            assert!(script.contains(command), "{shell} does not complete {command}");
        }
    }
    let (_, stderr) = said(&mut clic(&["completions", "cobol"]), 2);
    assert!(stderr.contains("cobol"), "{stderr}");
}

/// Scripts that their own shells refuse are of no use. bash is in every Debian.
#[test]
fn bash_reads_its_completions() {
    let (script, _) = said(&mut clic(&["completions", "bash"]), 0);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("clic.bash"), script).unwrap();
    said(
        Command::new("bash").arg("-n").arg(dir.path().join("clic.bash")),
        0,
    );
}

#[test]
fn there_is_a_man_page_for_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let (stdout, _) = said(&mut clic(&["man", dir.path().to_str().unwrap()]), 0);
    assert_eq!(stdout, "");
    let main = std::fs::read_to_string(dir.path().join("clic.1")).unwrap();
    assert!(main.starts_with(".ie") || main.contains(".TH clic 1"), "{main}");
    for command in COMMANDS {
        let page = std::fs::read_to_string(dir.path().join(format!("clic-{command}.1"))).unwrap();
        assert!(page.contains(".SH"), "{command}: {page}");
    }
}

#[test]
fn wrong_requests_are_exit_code_2_with_the_nearest_thing() {
    let (_, stderr) = said(&mut clic(&["biuld"]), 2);
    assert!(stderr.contains("biuld") && stderr.contains("build"), "{stderr}");
    let (_, stderr) = said(&mut clic(&["boards", "--jsn"]), 2);
    assert!(stderr.contains("--jsn") && stderr.contains("--json"), "{stderr}");
    let (_, stderr) = said(&mut clic(&["build", "minimal"]), 2);
    assert!(stderr.contains("--board"), "{stderr}");
    let (_, stderr) = said(&mut clic(&["plan", "minimal", "--board", "x86-cp"]), 2);
    assert!(stderr.contains("x86-cp") && stderr.contains("x86-pc"), "{stderr}");
    said(&mut clic(&[]), 2);
}

#[test]
fn outside_of_a_tree_it_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (_, stderr) = said(clic(&["boards"]).current_dir(dir.path()), 2);
    assert!(stderr.contains("--root"), "{stderr}");
    let dir = dir.path().to_str().unwrap();
    let (_, stderr) = said(&mut clic(&["boards", "--root", dir]), 2);
    assert!(stderr.contains(dir) && stderr.contains("boards/"), "{stderr}");
}

#[test]
fn the_tree_is_found_from_below_and_by_name() {
    let (from_above, _) = said(&mut clic(&["boards"]), 0);
    let (from_below, _) = said(clic(&["boards"]).current_dir(root().join("builder/clic/src")), 0);
    assert_eq!(from_above, from_below);
    let (named, _) = said(clic(&["boards", "--root"]).arg(root()).current_dir("/"), 0);
    assert_eq!(from_above, named);
}

#[test]
fn the_shipped_tree_is_valid() {
    let (stdout, stderr) = said(&mut clic(&["check"]), 0);
    assert!(stdout.contains("minimal"), "{stdout}{stderr}");
}

#[test]
fn json_is_json() {
    let json = |args: &[&str]| -> Value {
        let (stdout, _) = said(&mut clic(args), 0);
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{args:?}: {error} in\n{stdout}"))
    };
    let names = |list: &Value| -> Vec<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names(&json(&["boards", "--json"])["boards"]),
        ["raspberry-pi", "x86-pc"]
    );
    assert!(names(&json(&["recipes", "--json"])["recipes"]).contains(&"minimal".to_owned()));
    assert_eq!(json(&["check", "--json"])["valid"], true);
    let plan = json(&["plan", "minimal", "--board", "raspberry-pi", "--json"]);
    assert_eq!(
        (&plan["arch"], &plan["board"]["name"]),
        (&"arm64".into(), &"raspberry-pi".into())
    );
    assert_eq!(json(&["cache", "--json"])["bytes"], 0);
}

#[test]
fn errors_are_json_too() {
    let (stdout, stderr) = said(&mut clic(&["plan", "minimal", "--board", "x86-cp", "--json"]), 2);
    let error: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&error["event"], &error["exit"]), (&"error".into(), &2.into()));
    assert!(error["message"].as_str().unwrap().contains("x86-cp"), "{error}");
    assert!(stderr.contains("x86-cp"), "{stderr}");
}

/// What doctor finds depends on the machine; that it answers, and how, does not.
#[test]
fn doctor_tells_a_mending_command_for_all_that_is_missing() {
    let output = clic(&["doctor", "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.len() > 10, "{report:#}");
    let missing: Vec<&Value> = findings
        .iter()
        .filter(|finding| finding["state"] == "missing")
        .collect();
    for finding in &missing {
        assert!(
            finding["mend"].as_str().is_some_and(|mend| !mend.is_empty()),
            "{finding:#}"
        );
    }
    assert_eq!(report["ready"], missing.is_empty());
    assert_eq!(output.status.code(), Some(i32::from(!missing.is_empty())));
}

#[test]
fn colours_only_where_they_are_wanted() {
    let escape = '\x1b';
    let check = |args: &[&str], no_color: Option<&str>| {
        let mut command = clic(args);
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        let output = command.output().unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    assert!(!check(&["check"], None).contains(escape), "colours in a pipe");
    assert!(!check(&["check"], Some("1")).contains(escape));
    assert!(check(&["check", "--color", "always"], None).contains(escape));
    assert!(!check(&["check", "--color", "never"], None).contains(escape));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = clic(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

/// People copy the pipelines: a board or recipe that they leave out is never built at night.
#[test]
fn the_pipelines_build_all_that_the_tree_ships() {
    let stems = |dir: &str| -> Vec<String> {
        let entries = std::fs::read_dir(root().join(dir))
            .unwrap()
            .flatten()
            .map(|entry| entry.path());
        let toml = entries.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
        toml.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect()
    };
    for pipeline in ["ci/gitlab-ci.yml", "ci/github-actions.yml"] {
        let text = std::fs::read_to_string(root().join(pipeline))
            .unwrap()
            .to_lowercase();
        for (key, dir) in [("board", "boards"), ("recipe", "recipes")] {
            let lists: Vec<&str> = text
                .lines()
                .filter(|line| line.contains(&format!("{key}: [")))
                .collect();
            for stem in stems(dir) {
                assert!(
                    lists.iter().any(|list| list.contains(&stem)),
                    "{pipeline} does not build {key} {stem}: {lists:?}"
                );
            }
        }
    }
}

/// What the README teaches must be right.
#[test]
fn the_readmes_recipe_is_valid() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks: Vec<&str> = readme
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let dir = tempfile::tempdir().unwrap();
    for part in ["recipes", "boards", "overlays"] {
        said(
            Command::new("cp")
                .arg("-r")
                .arg(root().join(part))
                .arg(dir.path()),
            0,
        );
    }
    let shelf = dir.path().join("overlays/shelf");
    std::fs::create_dir_all(shelf.join("files/srv/shelf")).unwrap();
    std::fs::write(shelf.join("files/srv/shelf/index.html"), "<h1>{{ title }}</h1>\n").unwrap();
    std::fs::write(dir.path().join("recipes/library.toml"), blocks[0]).unwrap();
    std::fs::write(shelf.join("overlay.toml"), blocks[1]).unwrap();
    let (stdout, _) = said(clic(&["check", "library", "--root"]).arg(dir.path()), 0);
    assert!(stdout.contains("library on raspberry-pi"), "{stdout}");
}
