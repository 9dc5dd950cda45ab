//! The recipe `nomad`: a phone joins the box's wifi, meets its captive portal, reads and listens, with no network anywhere.
//! All of it happens in the booted image, by the checks of its overlays, on simulated radios (`mac80211_hwsim`).

use crate::support::{clic, failures, image, run};
use crate::turn::{Work, turn};

#[test]
fn nomad_serves_those_who_join_its_wifi() {
    // One firmware: what differs between them is before the kernel, and `minimal` boots by all three.
    serves("x86-pc", "uefi-x64");
}

#[test]
#[ignore = "nightly: an emulated Raspberry Pi takes an hour for all that people do"]
fn nomad_on_a_raspberry_pi_serves_those_who_join_its_wifi() {
    serves("raspberry-pi", "raspi3b");
}

#[track_caller]
fn serves(board: &str, machine: &str) {
    // Most of its packages are there then.
    let _downloads = image(board);
    let _turn = turn(Work::LongMachine);
    let dir = tempfile::tempdir().unwrap();
    run(clic(["build", "nomad", "--board", board, "--out"]).arg(dir.path())).ok();
    let report = run(clic(["--json", "test", "--machine", machine, "--logs"])
        .arg(dir.path().join("logs"))
        .arg(dir.path().join(format!("nomad-{board}.img"))))
    .last_json();
    assert_eq!(report["passed"], true, "{}", failures(&report));
    let cases = report["machines"][0]["cases"].as_array().unwrap();
    for wanted in [
        "the hotspot comes up when a radio does",
        "two guests join and get addresses",
        "every system is shown its sign-in page",
        "after Continue, every system gets the answer that it wants",
        "guests do not reach each other",
        "a guest in bad faith has a station's share, and others are served meanwhile",
        "a hundred guests are served at once",
        "a radio that is unplugged and plugged again serves again",
        "the portal's pages and links are all there",
        "films, books and archives come with their types, and from any point",
        "every ZIM archive opens, and its words are found",
        "an uplink is noticed, and guests are told",
        "when the uplink goes, the captive portal is back",
        "services that die at once come back by themselves",
        "on a full disk the hotspot starts and serves",
    ] {
        let case = cases.iter().find(|case| case["name"] == wanted);
        let status = case.map(|case| &case["status"]);
        assert_eq!(status, Some(&"passed".into()), "{wanted}: {cases:#?}");
    }
}
