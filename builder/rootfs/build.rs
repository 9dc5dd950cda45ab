//! Gives the engine its version, and compiles the handler of foreign programs (`handler/`) into one static file, which `accel` embeds.
//! The version is a hash of the sources: a layer that another engine made is not taken up.
//!
//! It has no dependencies, so that rustc alone is enough: a static program needs other flags than the rest of the
//! workspace, and cargo cannot give them to one member only.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything whose code shapes a layer: this room, those before it that read packages and trees, and what orders the work in it.
const SOURCES: [&str; 7] = [
    "src",
    "handler/src",
    "../archive/src",
    "../content/src",
    "../debian/src",
    "../tree/src",
    "../engine/src/make",
];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    match version() {
        Ok(version) => println!("cargo::rustc-env=CLIC_ENGINE={version}"),
        Err(error) => panic!("the engine's sources cannot be read: {error}"),
    }
    handler();
}

fn handler() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let out = Path::new(&variable("OUT_DIR")).join("handler");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc
        .args([
            "--edition",
            "2024",
            "--crate-name",
            "clic_handler",
            "handler/src/main.rs",
        ])
        .arg("--target")
        .arg(variable("TARGET"))
        // Small, without anything to relocate, and the same from every directory.
        .args([
            "-C",
            "opt-level=s",
            "-C",
            "panic=abort",
            "-C",
            "lto=fat",
            "-C",
            "codegen-units=1",
        ])
        .args(["-C", "strip=symbols", "-C", "relocation-model=static"])
        .args(["-C", "target-feature=+crt-static"])
        .arg("-o")
        .arg(&out);
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={linker}"));
    }
    let output = rustc
        .output()
        .unwrap_or_else(|error| panic!("{rustc:?} does not start: {error}"));
    assert!(
        output.status.success(),
        "the handler of foreign programs cannot be compiled (a static program needs libc.a: \
         sudo apt-get install libc6-dev):\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// FNV-1a over names and contents: it only has to tell versions of one source tree apart, without a dependency.
fn version() -> std::io::Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(Path::new(source), &mut files)?;
    }
    files.sort();
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for path in files {
        let name = path.to_string_lossy().into_owned().into_bytes();
        for byte in name.into_iter().chain(std::fs::read(&path)?) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(format!("{hash:016x}"))
}

/// Names of modules that are compiled for tests alone: what they say shapes no layer.
const TESTS: [&str; 2] = ["tests", "spoiled"];

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path
            .file_stem()
            .is_some_and(|name| TESTS.iter().any(|test| name == *test))
        {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
