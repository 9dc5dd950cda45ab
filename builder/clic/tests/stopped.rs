//! Ctrl-C: what is said, and how it ends.

use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};

const BUNDLE: &str = r#"schema = 1
kind = "books"
theme = "school"
language = "fr"
title = { fr = "Un livre", en = "A book" }
description = { fr = "Un livre.", en = "A book." }
licence = "CC0-1.0"
credit = "Ada"

[[item]]
path = "a.pdf"
url = ["ADDRESS"]
sha256 = "0000000000000000000000000000000000000000000000000000000000000001"
size = 1000
"#;

#[test]
fn who_stops_is_told_at_once_and_how_to_go_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/a.pdf", listener.local_addr().unwrap());
    let (asked, has_asked) = mpsc::channel();
    // A server that hears and never answers.
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 1]);
            let _ = asked.send(connection);
        }
    });
    let dir = tempfile::tempdir().unwrap();
    for part in ["recipes", "boards", "content-bundles/book"] {
        std::fs::create_dir_all(dir.path().join(part)).unwrap();
    }
    let bundle = dir.path().join("content-bundles/book/bundle.toml");
    std::fs::write(bundle, BUNDLE.replace("ADDRESS", &address)).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_clic"))
        .args(["content", "fetch", "book", "--root"])
        .arg(dir.path())
        .env("CLIC_CACHE", dir.path().join("store"))
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let held = has_asked.recv().unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    // Otherwise it would be waited for until its time is up.
    drop(held);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("] Stopping… This waits for the end of: "), "{said}");
    assert!(said.contains(": stopped in "), "{said}");
    assert!(!said.contains("failed") && !said.contains("error:"), "{said}");
    assert!(
        said.ends_with(
            "\nStopped. No finished image was changed; what was downloaded is kept: the same command goes on from here.\n"
        ),
        "{said}"
    );
}
