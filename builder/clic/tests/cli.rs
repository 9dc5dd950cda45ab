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

const COMMANDS: [&str; 15] = [
    "build",
    "check",
    "plan",
    "lock",
    "test",
    "inspect",
    "diff",
    "boards",
    "recipes",
    "overlays",
    "content",
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

/// What Tab would offer in bash, behind `words`, in a directory below the tree's.
fn completed(words: &[&str]) -> Vec<String> {
    let mut command = clic(&[]);
    command.current_dir(root().join("overlays/hotspot"));
    command.env("CLIC_COMPLETE", "bash").env("_CLAP_IFS", "\n");
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    command.args(["--", "clic"]).args(words);
    let (offered, _) = said(&mut command, 0);
    offered.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn completions_know_every_command_and_name() {
    let offered = completed(&[""]);
    for command in COMMANDS {
        assert!(
            offered.iter().any(|word| word == command),
            "{command}: {offered:?}"
        );
    }
    let has = |words: &[&str], wanted: &str| {
        let offered = completed(words);
        assert!(
            offered.iter().any(|word| word == wanted),
            "{wanted} after {words:?}: {offered:?}"
        );
    };
    has(&["build", ""], "nomad");
    has(&["check", "no"], "nomad");
    has(&["build", "nomad", "--board", ""], "x86-pc");
    has(&["plan", "nomad", "-b", "rasp"], "raspberry-pi");
    has(&["overlays", ""], "hotspot");
    has(&["content", "fetch", ""], "premiers-pas");
    has(&["content", "add", "a.pdf", "--to", ""], "alphabet");
    has(&["build", "--lo"], "--locked");
    let root = root();
    let root = root.to_str().unwrap();
    has(&["--root", root, "build", ""], "nomad");
    let outside = completed(&["--root", "/nonexistent", "build", ""]);
    assert!(!outside.iter().any(|word| word == "nomad"), "{outside:?}");
}

#[test]
fn completion_scripts_ask_this_program() {
    for shell in ["bash", "zsh", "fish"] {
        let (script, _) = said(&mut clic(&["completions", shell]), 0);
        assert!(script.contains("CLIC_COMPLETE"), "{shell}: {script}");
        // Wherever it is installed.
        assert!(!script.contains(env!("CARGO_BIN_EXE_clic")), "{shell}: {script}");
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
    for plan in [
        "ok  minimal on x86-pc, raspberry-pi\n",
        "ok  clic on x86-pc, raspberry-pi\n",
    ] {
        assert!(stdout.contains(plan), "{stdout}{stderr}");
    }
    let verdict = stdout.lines().next_back().unwrap();
    assert!(
        verdict.contains(" recipes, ") && verdict.ends_with(" bundles: nothing wrong"),
        "{verdict}"
    );
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
            finding["fix"].as_str().is_some_and(|fix| !fix.is_empty()),
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

/// People copy the pipelines: a board or recipe that they leave out is never built at night. A recipe that waits for somebody to
/// confirm a key can't be.
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
    let (stdout, _) = said(&mut clic(&["check", "--json"]), 0);
    let checked: Value = serde_json::from_str(&stdout).unwrap();
    let waiting: Vec<&str> = checked["keys"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|key| key["file"].as_str())
        .collect();
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
                if waiting.contains(&format!("{dir}/{stem}.toml").as_str()) {
                    continue;
                }
                assert!(
                    lists.iter().any(|list| list.contains(&stem)),
                    "{pipeline} does not build {key} {stem}: {lists:?}"
                );
            }
        }
    }
}

/// A copy of the shipped tree with a lock that nothing was resolved for: enough for what opens no socket.
fn tree_with_lock(dir: &Path) -> (PathBuf, PathBuf) {
    let tree = dir.join("tree");
    std::fs::create_dir(&tree).unwrap();
    for part in ["recipes", "boards", "overlays"] {
        said(Command::new("cp").arg("-r").arg(root().join(part)).arg(&tree), 0);
    }
    let lock = tree.join("recipes/minimal-x86-pc.lock");
    let checked_out = clic_recipe::Tree::open(&tree).unwrap();
    let options = clic_recipe::ResolveOptions::default();
    let plan = clic_recipe::resolve(&checked_out, "minimal", "x86-pc", &options).unwrap();
    let package = clic_archive::Package {
        name: "base-files".into(),
        version: "12.4".into(),
        arch: "amd64".into(),
        source: "debian".into(),
        uri: String::new(),
        filename: "pool/main/b/base-files/base-files_12.4_amd64.deb".into(),
        sha256: clic_host::Sha256::of("base-files"),
        size: 1,
        installed_size: 1,
        automatic: false,
        part: clic_archive::Part::Base,
        stanza: String::new(),
    };
    let text = clic_archive::Lock {
        inputs: clic_archive::Inputs::of(&plan),
        epoch: 1_783_764_997,
        releases: Vec::new(),
        packages: vec![package],
        content: Vec::new(),
        tools: std::collections::BTreeMap::new(),
    };
    text.write(&lock).unwrap();
    (tree, lock)
}

#[test]
fn a_lock_fits_or_says_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, lock) = tree_with_lock(dir.path());
    let clic = |args: &[&str]| {
        let mut command = clic(args);
        command.arg("--root").arg(&tree);
        command
    };
    let check = ["lock", "minimal", "--board", "x86-pc", "--check"];
    let (stdout, _) = said(&mut clic(&check), 0);
    assert_eq!(stdout, "recipes/minimal-x86-pc.lock fits\n");
    // One that fits is left as it is, without a store or a socket.
    let (stdout, _) = said(&mut clic(&["lock", "minimal", "--board", "x86-pc"]), 0);
    assert_eq!(stdout, "recipes/minimal-x86-pc.lock is up to date: 1 package\n");
    let (stdout, _) = said(&mut clic(&["plan", "minimal", "--board", "x86-pc"]), 0);
    assert!(
        stdout.contains("recipes/minimal-x86-pc.lock fits: 1 package as of 2026-07-11 10:16:37 UTC"),
        "{stdout}"
    );

    // The recipe asks for more.
    let recipe = tree.join("recipes/minimal.toml");
    let text = std::fs::read_to_string(&recipe).unwrap();
    std::fs::write(
        &recipe,
        text.replace("[\"openssh-server\"]", "[\"openssh-server\", \"nano\"]"),
    )
    .unwrap();
    let (stdout, _) = said(&mut clic(&check), 1);
    assert_eq!(
        stdout,
        "recipes/minimal-x86-pc.lock does not fit\n    packages asked for: + nano\n  help: clic lock minimal --board x86-pc\n"
    );
    let (stdout, _) = said(clic(&check).arg("--json"), 1);
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&json["state"], &json["differences"][0]),
        (&"misfits".into(), &"packages asked for: + nano".into())
    );
    let build = [
        "build",
        "minimal",
        "--board",
        "x86-pc",
        "--locked",
        "--out",
        "/nonexistent/out",
    ];
    let (_, stderr) = said(&mut clic(&build), 2);
    assert_eq!(
        stderr,
        "error: --locked: recipes/minimal-x86-pc.lock does not fit\n    packages asked for: + nano\n  help: clic lock minimal --board x86-pc\n"
    );

    // No lock, and one that is not a lock.
    std::fs::remove_file(&lock).unwrap();
    let (_, stderr) = said(&mut clic(&build), 2);
    assert!(
        stderr.contains("--locked: there is no recipes/minimal-x86-pc.lock\n  help: clic lock minimal"),
        "{stderr}"
    );
    said(&mut clic(&check), 1);
    std::fs::write(&lock, "format = 1\nepoch = \"now\"\n").unwrap();
    for args in [&build[..], &check, &["plan", "minimal", "--board", "x86-pc"]] {
        let (_, stderr) = said(&mut clic(args), 2);
        assert!(
            stderr.starts_with("error: recipes/minimal-x86-pc.lock:2: this is not a lock: ")
                && stderr.contains("or make it again: clic lock minimal --board x86-pc"),
            "{args:?}: {stderr}"
        );
    }
}

#[test]
fn only_what_is_locked_can_be_updated() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, lock) = tree_with_lock(dir.path());
    let update = |package: &str| {
        let mut command = clic(&["lock", "minimal", "--board", "x86-pc", "--update", package]);
        command.arg("--root").arg(&tree);
        said(&mut command, 2).1
    };
    let stderr = update("base-file");
    assert_eq!(
        stderr,
        "error: there is no package base-file in recipes/minimal-x86-pc.lock\n  help: did you mean base-files?\n"
    );
    std::fs::remove_file(&lock).unwrap();
    let stderr = update("base-files");
    assert!(
        stderr.contains("base-files cannot be updated: there is no lock"),
        "{stderr}"
    );
    let (_, stderr) = said(&mut clic(&["lock", "minimal", "bash", "--board", "x86-pc"]), 2);
    assert!(stderr.contains("--update"), "{stderr}");
}

#[test]
fn the_store_is_looked_at_cleaned_and_verified() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let cache = |args: &[&str], code| {
        let mut command = clic(&["cache"]);
        command.args(args).env("CLIC_CACHE", &store);
        said(&mut command, code)
    };
    let content = "0123456789";
    let hash = clic_host::Sha256::of(content).to_string();
    let file = store.join("downloads/sha256").join(&hash[..2]).join(&hash);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, content).unwrap();
    let (stdout, _) = cache(&["ls", "--json"], 0);
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&json["bytes"], &json["kinds"]["downloads"]["entries"]),
        (&10.into(), &1.into())
    );
    let (stdout, _) = cache(&["ls"], 0);
    assert!(stdout.contains("downloads  1  10 B"), "{stdout}");

    let (stdout, _) = cache(&["verify"], 0);
    assert_eq!(stdout, "files and layers: 1 read, 10 B: all sound\n");
    std::fs::write(&file, "0123456780").unwrap();
    let (stdout, _) = cache(&["verify"], 1);
    assert!(
        stdout.starts_with(&format!(
            "damaged and removed: downloads/sha256/{}/{hash} (",
            &hash[..2]
        )),
        "{stdout}"
    );
    assert!(
        stdout.ends_with("1 was damaged; the next build replaces it\n"),
        "{stdout}"
    );
    assert!(!file.exists());

    std::fs::write(&file, content).unwrap();
    let (stdout, _) = cache(&["gc", "--max", "5", "--dry-run"], 0);
    assert!(
        stdout.contains("would remove 1 of downloads, 10 B (not used for longest)"),
        "{stdout}"
    );
    assert!(file.exists());
    let (stdout, _) = cache(&["gc", "--json", "--max", "5"], 0);
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&json["freed"], &json["left"], &json["max"]),
        (&10.into(), &0.into(), &5.into())
    );
    assert!(!file.exists());
    let (_, stderr) = cache(&["gc", "--max", "lots"], 2);
    assert!(stderr.contains("like 20G"), "{stderr}");
}
