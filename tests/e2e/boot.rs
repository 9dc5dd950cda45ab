//! The shipped bytes boot and serve: BIOS, UEFI x64, UEFI ia32, Raspberry Pi 3.

use std::collections::BTreeSet;

use crate::support::{clic, failures, heavy, image, run, sha256};

#[track_caller]
fn boots(board: &str, machines: &[&str]) {
    let image = image(board);
    let _turn = heavy();
    let before = sha256(&image);
    let dir = tempfile::tempdir().unwrap();
    let junit = dir.path().join("junit.xml");
    let said = run(clic(["--json", "test"])
        .arg(&image)
        .arg("--junit")
        .arg(&junit)
        .arg("--logs")
        .arg(dir.path().join("logs")));
    let report = said.last_json();
    assert_eq!(said.code, Some(0), "{}{}", failures(&report), said.stderr);
    assert_eq!(sha256(&image), before, "testing changed the image");

    let tested: Vec<_> = report["machines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["name"].as_str().unwrap())
        .collect();
    assert_eq!(tested, machines);
    for machine in report["machines"].as_array().unwrap() {
        assert_eq!(machine["verdict"]["kind"], "running", "{machine:#}");
        assert!(
            machine["accelerator"].is_object() || machine["accelerator"].is_string(),
            "{machine:#}"
        );
        let cases = machine["cases"].as_array().unwrap();
        assert!(cases.len() > 5, "the overlay's checks are missing: {cases:#?}");
        assert!(cases.iter().all(|c| c["status"] == "passed"), "{cases:#?}");
    }

    let xml = std::fs::read_to_string(&junit).unwrap();
    let named: BTreeSet<_> = machines
        .iter()
        .filter(|m| xml.contains(&format!("name=\"{m}: ")))
        .copied()
        .collect();
    assert_eq!(
        named,
        machines.iter().copied().collect(),
        "JUnit case names carry the machine:\n{xml}"
    );
    assert!(xml.contains("failures=\"0\""), "{xml}");
}

#[test]
fn x86_pc_boots_on_all_three_firmwares() {
    boots("x86-pc", &["bios", "uefi-x64", "uefi-ia32"]);
}

#[test]
fn raspberry_pi_boots() {
    boots("raspberry-pi", &["raspi3b"]);
}

#[test]
fn power_that_fails_while_it_starts_does_no_harm() {
    let image = image("x86-pc");
    let _turn = heavy();
    let dir = tempfile::tempdir().unwrap();
    let report = run(clic([
        "--json",
        "test",
        "--machine",
        "bios",
        "--power-cuts",
        "2",
        "--logs",
    ])
    .arg(dir.path())
    .arg(&image))
    .last_json();
    assert_eq!(report["passed"], true, "{}", failures(&report));
    let cases = report["machines"][0]["cases"].as_array().unwrap();
    let names: Vec<_> = cases.iter().map(|case| case["name"].as_str().unwrap()).collect();
    assert_eq!(
        &names[..3],
        ["power cut 1 of 2", "power cut 2 of 2", "boots"],
        "{report:#}"
    );
    assert!(names.len() > 8, "the checks come afterwards: {names:?}");
}
