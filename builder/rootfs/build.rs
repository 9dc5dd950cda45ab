//! Compiles the handler of foreign programs (`handler/`) into one static file, which `accel` embeds.
//!
//! It has no dependencies, so that rustc alone is enough: a static program needs other flags than the rest of the
//! workspace, and cargo cannot give them to one member only.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=handler/src");
    println!("cargo::rerun-if-changed=build.rs");
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
