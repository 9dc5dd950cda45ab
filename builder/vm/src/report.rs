//! The result of a test: for people, for programs, and as `JUnit` XML for CI.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clic_host::Sha256;
use clic_host::plain::{one_line, plain};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde::{Deserialize, Serialize};

use crate::accel::Chosen;
use crate::console::Cause;
use crate::qemu::Target;

/// All that a test found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The image, as it was named.
    pub image: PathBuf,
    /// `<recipe>-<board>`.
    pub name: String,
    /// SHA-256 of the image that was tested.
    pub sha256: Sha256,
    /// What can be said of the image without booting it. Left empty here; the caller may know something.
    pub image_cases: Vec<Case>,
    /// Each machine that it was booted on.
    pub machines: Vec<MachineReport>,
}

/// What one machine showed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MachineReport {
    /// Which machine.
    pub name: Target,
    /// The accelerator that was used, and why.
    pub accelerator: Chosen,
    /// From power-on to the verdict, in seconds.
    pub boot_seconds: f64,
    /// How often the machine restarted by itself.
    pub restarts: u32,
    /// What became of the boot.
    pub verdict: Verdict,
    /// What was asserted, in order.
    pub cases: Vec<Case>,
    /// What the serial console printed, if it was kept.
    pub log: Option<PathBuf>,
    /// The end of the system's journal, if it was kept.
    pub journal: Option<PathBuf>,
    /// The screen, if it was kept.
    pub screen: Option<PathBuf>,
    /// The clone that was booted, if it was kept. It has the tester's agent in it.
    pub disk: Option<PathBuf>,
}

/// What became of a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Verdict {
    /// The system says that it runs.
    Running,
    /// It runs, but units failed.
    Degraded {
        /// The failed units.
        units: Vec<String>,
    },
    /// It did not come up.
    Failed {
        /// Why.
        cause: Cause,
    },
}

/// One thing that was asserted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// A sentence that is true when it passed.
    pub name: String,
    /// What it came to.
    pub status: Status,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Why it failed or was skipped.
    pub message: Option<String>,
}

/// What a case came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// True.
    Passed,
    /// Not true.
    Failed,
    /// Not looked at.
    Skipped,
}

impl Case {
    /// A case that took `time`; `Err` says why it failed.
    pub fn new(name: impl Into<String>, time: Duration, result: Result<(), String>) -> Self {
        let (status, message) = match result {
            Ok(()) => (Status::Passed, None),
            Err(message) => (Status::Failed, Some(message)),
        };
        Self {
            name: name.into(),
            status,
            seconds: time.as_secs_f64(),
            message,
        }
    }

    /// A case that was not looked at.
    pub fn skipped(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            status: Status::Skipped,
            seconds: 0.0,
            message: Some(why.into()),
        }
    }

    fn failed(&self) -> bool {
        self.status == Status::Failed
    }
}

impl MachineReport {
    /// Whether it came up and nothing failed.
    pub fn passed(&self) -> bool {
        passed(&self.verdict, &self.cases)
    }
}

/// Whether a machine came up and nothing failed.
pub fn passed(verdict: &Verdict, cases: &[Case]) -> bool {
    !matches!(verdict, Verdict::Failed { .. }) && !cases.iter().any(Case::failed)
}

impl Report {
    /// Whether nothing failed, and something was tried.
    pub fn passed(&self) -> bool {
        !self.machines.is_empty()
            && self.machines.iter().all(MachineReport::passed)
            && !self.image_cases.iter().any(Case::failed)
    }

    /// A table for people, ending in a newline.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{} ({}, sha256 {})",
            self.image.display(),
            self.name,
            self.sha256
        );
        if !self.image_cases.is_empty() {
            let _ = writeln!(out, "\nimage");
            table(&mut out, &self.image_cases);
        }
        for machine in &self.machines {
            let what = match &machine.verdict {
                Verdict::Running => "running".to_owned(),
                Verdict::Degraded { units } => format!("degraded ({} failed)", units.join(", ")),
                Verdict::Failed { .. } => "did not boot".to_owned(),
            };
            let accelerator = &machine.accelerator;
            let _ = writeln!(
                out,
                "\n{}: {what} after {:.1} s ({}: {})",
                machine.name, machine.boot_seconds, accelerator.kind, accelerator.why
            );
            table(&mut out, &machine.cases);
            if machine.restarts > 0 {
                let _ = writeln!(
                    out,
                    "  the machine restarted by itself {} time(s)",
                    machine.restarts
                );
            }
            for (what, path) in [
                ("console", &machine.log),
                ("journal", &machine.journal),
                ("screen", &machine.screen),
                ("disk", &machine.disk),
            ] {
                if let Some(path) = path {
                    let _ = writeln!(out, "  {what}: {}", path.display());
                }
            }
        }
        let cases = || {
            self.image_cases
                .iter()
                .chain(self.machines.iter().flat_map(|machine| &machine.cases))
        };
        let count = |status| cases().filter(|case| case.status == status).count();
        let _ = writeln!(
            out,
            "\n{}: {} passed, {} failed, {} skipped",
            if self.passed() { "PASSED" } else { "FAILED" },
            count(Status::Passed),
            count(Status::Failed),
            count(Status::Skipped)
        );
        out
    }

    /// `JUnit` XML: a test suite for each machine, whose name every case carries.
    pub fn junit(&self) -> Result<String> {
        let mut junit = quick_junit::Report::new(in_xml(&self.name));
        if !self.image_cases.is_empty() {
            junit.add_test_suite(self.suite("image", &self.image_cases));
        }
        for machine in &self.machines {
            let mut suite = self.suite(machine.name.name(), &machine.cases);
            suite.add_property(("accelerator", machine.accelerator.kind.to_string().as_str()));
            suite.add_property(("accelerator-why", in_xml(&machine.accelerator.why).as_str()));
            suite.add_property(("boot-seconds", format!("{:.1}", machine.boot_seconds).as_str()));
            suite.add_property(("image-sha256", self.sha256.to_string().as_str()));
            junit.add_test_suite(suite);
        }
        junit.to_string().context("writing JUnit XML")
    }

    fn suite(&self, name: &str, cases: &[Case]) -> TestSuite {
        let mut suite = TestSuite::new(in_xml(&format!("{}: {name}", self.name)));
        let mut total = Duration::ZERO;
        for case in cases {
            let mut status = match case.status {
                Status::Passed => TestCaseStatus::success(),
                Status::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
                Status::Skipped => TestCaseStatus::skipped(),
            };
            if let Some(message) = case.message.as_deref().map(in_xml) {
                // Attributes are for one line, the element's text for the rest.
                status.set_message(message.lines().next().unwrap_or_default());
                if message.contains('\n') {
                    status.set_description(message.as_str());
                }
            }
            let mut test = TestCase::new(in_xml(&format!("{name}: {}", one_line(&case.name))), status);
            test.set_classname(in_xml(&self.name));
            let time = Duration::try_from_secs_f64(case.seconds).unwrap_or_default();
            test.set_time(time);
            total += time;
            suite.add_test_case(test);
        }
        suite.set_time(total);
        suite
    }
}

/// A text with nothing hidden in it, and without the two characters that are left which XML 1.0 (section 2.2) does not have.
fn in_xml(text: &str) -> String {
    plain(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

fn table(out: &mut String, cases: &[Case]) {
    let names: Vec<_> = cases.iter().map(|case| one_line(&case.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (case, name) in cases.iter().zip(&names) {
        let word = match case.status {
            Status::Passed => "ok",
            Status::Failed => "FAIL",
            Status::Skipped => "skip",
        };
        let _ = writeln!(out, "  {word:<4}  {name:<width$}  {:>6.1} s", case.seconds);
        for line in case.message.iter().flat_map(|message| message.lines()) {
            let _ = writeln!(out, "        {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accel::Accel;

    fn report() -> Report {
        let chosen = |kind| Chosen {
            kind,
            why: "no KVM: there is no /dev/kvm".into(),
        };
        let machine = |name, verdict, cases| MachineReport {
            name,
            accelerator: chosen(Accel::Tcg),
            boot_seconds: 31.25,
            restarts: 0,
            verdict,
            cases,
            log: None,
            journal: None,
            screen: None,
            disk: None,
        };
        let cause = Cause::KernelPanic("VFS: Unable to mount root fs".into());
        let passed = Case::new("boots", Duration::from_millis(31250), Ok(()));
        let failed = Case::new(
            "boots",
            Duration::from_secs(4),
            Err(format!("{cause}\n<last> \u{1b}[0m lines & more")),
        );
        let skipped = Case::skipped("SSH answers", "it did not boot");
        Report {
            image: "out/minimal-x86-pc.img".into(),
            name: "minimal-x86-pc".into(),
            sha256: Sha256::of("image"),
            image_cases: vec![],
            machines: vec![
                machine(Target::Bios, Verdict::Running, vec![passed]),
                machine(Target::UefiIa32, Verdict::Failed { cause }, vec![failed, skipped]),
            ],
        }
    }

    #[test]
    fn a_table_for_people() {
        let text = report().text();
        assert!(
            text.contains(
                "\nbios: running after 31.2 s (tcg: no KVM: there is no /dev/kvm)\n  ok    boots    31.2 s\n"
            ),
            "{text}"
        );
        assert!(
            text.contains(
                "  FAIL  boots           4.0 s\n        the kernel panicked: VFS: Unable to mount root fs\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("  skip  SSH answers     0.0 s\n        it did not boot\n"),
            "{text}"
        );
        assert!(
            text.ends_with("\nFAILED: 1 passed, 1 failed, 1 skipped\n"),
            "{text}"
        );
    }

    #[test]
    fn junit_names_the_machine_in_every_case() {
        let xml = report().junit().unwrap();
        assert!(
            xml.contains(r#"<testsuites name="minimal-x86-pc" tests="3""#),
            "{xml}"
        );
        assert!(
            xml.contains(r#"<testcase name="bios: boots" classname="minimal-x86-pc" time="31.250""#),
            "{xml}"
        );
        assert!(
            xml.contains(r#"<testcase name="uefi-ia32: SSH answers""#),
            "{xml}"
        );
        assert!(
            xml.contains(r#"message="the kernel panicked: VFS: Unable to mount root fs""#),
            "{xml}"
        );
        assert!(
            xml.contains(r#"<property name="accelerator" value="tcg""#),
            "{xml}"
        );
        assert!(!xml.contains('\u{1b}'), "{xml}");
    }

    #[test]
    fn what_a_guest_says_is_whole_xml_and_forges_no_line() {
        let mut report = report();
        report.machines[1].cases[0].name = "boots\n  ok    \u{202e}all is well".into();
        report.machines[1].cases[0].message = Some("a\u{1}b\u{fffe}c\u{9b}2J\u{202e}d\r".into());
        let xml = report.junit().unwrap();
        assert!(xml.contains("a\\u{1}b\u{fffd}c\\u{9b}2J\\u{202e}d\\r"), "{xml}");
        assert!(
            xml.contains("uefi-ia32: boots\\n  ok    \\u{202e}all is well"),
            "{xml}"
        );
        let text = report.text();
        assert!(text.contains("boots\\n  ok    \\u{202e}all is well"), "{text}");
    }

    #[test]
    fn json_says_the_verdict() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["machines"][0]["verdict"]["kind"], "running");
        assert_eq!(json["machines"][1]["name"], "uefi-ia32");
        assert_eq!(json["machines"][1]["verdict"]["cause"]["kind"], "kernel-panic");
        serde_json::from_value::<Report>(json).unwrap();
    }

    #[test]
    fn nothing_tried_is_nothing_passed() {
        let report = Report {
            machines: vec![],
            ..report()
        };
        assert!(!report.passed());
    }
}
