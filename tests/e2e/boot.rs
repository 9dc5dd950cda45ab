//! The shipped bytes boot and serve: BIOS, UEFI x64, UEFI ia32, Raspberry Pi 3.

use std::collections::BTreeSet;

use crate::support::{clic, failures, image, run, sha256};
use crate::turn::{Work, turn};

#[track_caller]
fn boots(board: &str, machines: &[&str]) {
    let image = image(board);
    let _turn = turn(Work::Machine);
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
    power_fails("x86-pc", "bios", 2);
}

#[test]
#[ignore = "nightly: twenty starts"]
fn power_that_fails_again_and_again_does_no_harm() {
    power_fails("x86-pc", "uefi-x64", 20);
}

#[test]
#[ignore = "nightly: ten starts of an emulated Raspberry Pi"]
fn a_raspberry_pi_whose_power_fails_again_and_again_is_not_harmed() {
    power_fails("raspberry-pi", "raspi3b", 10);
}

#[track_caller]
fn power_fails(board: &str, machine: &str, cuts: usize) {
    let image = image(board);
    let _turn = turn(Work::Machine);
    let dir = tempfile::tempdir().unwrap();
    let report = run(clic([
        "--json",
        "test",
        "--machine",
        machine,
        "--power-cuts",
        &cuts.to_string(),
        "--logs",
    ])
    .arg(dir.path())
    .arg(&image))
    .last_json();
    assert_eq!(report["passed"], true, "{}", failures(&report));
    let cases = report["machines"][0]["cases"].as_array().unwrap();
    let names: Vec<_> = cases.iter().map(|case| case["name"].as_str().unwrap()).collect();
    let (first, checks) = names.split_at(cuts + 1);
    let mut wanted: Vec<_> = (1..=cuts)
        .map(|cut| format!("power cut {cut} of {cuts}"))
        .collect();
    wanted.push("boots".to_owned());
    assert_eq!(first, wanted, "{report:#}");
    assert!(checks.len() > 5, "the checks come afterwards: {names:?}");
}
