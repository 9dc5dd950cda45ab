//! dpkg's triggers: who is interested in what, and who is told of a new package (deb-triggers(5)).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use clic_debian::control::field;
use clic_debian::deb::Control;

use super::{Admin, DIR};
use crate::inside::unpack::Unpacked;

/// What is not a trigger's among the files that are named after triggers.
const OF_DPKG: [&str; 3] = ["File", "Unincorp", "Lock"];

/// Who is interested in what.
#[derive(Debug, Default)]
pub(super) struct Interests {
    /// By path: packages and whether they want to be waited for.
    files: BTreeMap<String, BTreeMap<String, bool>>,
    /// By name.
    named: BTreeMap<String, BTreeMap<String, bool>>,
}

impl Admin<'_> {
    /// Which configured packages are to be told of a new one. One that is not configured yet looks at everything when
    /// it is.
    pub(super) fn activate(
        &self,
        interests: &Interests,
        control: &Control,
        one: &Unpacked,
        activated: &mut BTreeMap<String, BTreeSet<String>>,
    ) -> Result<()> {
        let mut tell = |who: &BTreeMap<String, bool>, trigger: &str| {
            for name in who.keys() {
                let name = name.split(':').next().unwrap_or(name);
                let ready = |stanza: &String| {
                    matches!(
                        field(stanza, "Status"),
                        Some(
                            "install ok installed"
                                | "install ok triggers-pending"
                                | "install ok triggers-awaited"
                        )
                    )
                };
                if self.status.get(name).is_some_and(ready) {
                    activated
                        .entry(name.to_owned())
                        .or_default()
                        .insert(trigger.to_owned());
                }
            }
        };
        if let Some(triggers) = control.file("triggers") {
            for (directive, trigger) in directives(&String::from_utf8_lossy(&triggers.bytes))? {
                if directive.starts_with("activate")
                    && let Some(who) = interests
                        .named
                        .get(&trigger)
                        .or_else(|| interests.files.get(&trigger))
                {
                    tell(who, &trigger);
                }
            }
        }
        for (trigger, who) in &interests.files {
            let watched = trigger.trim_start_matches('/').as_bytes();
            let below = |path: &Vec<u8>| {
                path.strip_prefix(watched)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            };
            if one.paths.iter().any(below) {
                tell(who, trigger);
            }
        }
        Ok(())
    }

    pub(super) fn interests(&self) -> Result<Interests> {
        let mut interests = Interests::default();
        for line in self.root.read_text(&format!("{DIR}/triggers/File"))?.lines() {
            let (path, who) = line
                .rsplit_once(' ')
                .context("dpkg's file of triggers is damaged")?;
            let (who, waits) = waits(who);
            interests.files.entry(path.into()).or_default().insert(who, waits);
        }
        for name in self.root.names(&format!("{DIR}/triggers"))? {
            if OF_DPKG.contains(&name.as_str()) || name.strip_suffix(".new").is_some() {
                continue;
            }
            for line in self.root.read_text(&format!("{DIR}/triggers/{name}"))?.lines() {
                let (who, waits) = waits(line);
                interests
                    .named
                    .entry(name.clone())
                    .or_default()
                    .insert(who, waits);
            }
        }
        Ok(interests)
    }

    pub(super) fn write_interests(&self, interests: &Interests) -> Result<()> {
        let line = |who: &str, waits: bool| format!("{who}{}\n", if waits { "" } else { "/noawait" });
        let mut files = String::new();
        for (path, who) in &interests.files {
            for (who, waits) in who {
                let _ = write!(files, "{path} {}", line(who, *waits));
            }
        }
        self.root
            .write(&format!("{DIR}/triggers/File"), 0o644, files.as_bytes())?;
        for (name, who) in &interests.named {
            let text: String = who.iter().map(|(who, waits)| line(who, *waits)).collect();
            self.root
                .write(&format!("{DIR}/triggers/{name}"), 0o644, text.as_bytes())?;
        }
        Ok(())
    }
}

impl Interests {
    pub(super) fn add(&mut self, triggers: &str, who: &str) -> Result<()> {
        for (directive, trigger) in directives(triggers)? {
            if !directive.starts_with("interest") {
                continue;
            }
            let waits = !directive.ends_with("-noawait");
            let place = if trigger.starts_with('/') {
                &mut self.files
            } else {
                &mut self.named
            };
            place.entry(trigger).or_default().insert(who.to_owned(), waits);
        }
        Ok(())
    }
}

fn waits(who: &str) -> (String, bool) {
    match who.strip_suffix("/noawait") {
        Some(who) => (who.to_owned(), false),
        None => (who.to_owned(), true),
    }
}

/// The lines of a `triggers` file (deb-triggers(5)): directive and trigger.
fn directives(text: &str) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(directive) = words.next() else { continue };
        let trigger = words
            .next()
            .with_context(|| format!("a trigger line without a name: {line:?}"))?;
        let known = [
            "interest",
            "interest-await",
            "interest-noawait",
            "activate",
            "activate-await",
            "activate-noawait",
        ];
        ensure!(
            known.contains(&directive),
            "a trigger line that is not known: {line:?}"
        );
        ensure!(
            trigger.bytes().all(|byte| (0x21..0x7f).contains(&byte)) && !trigger.contains(".."),
            "a trigger's name that no package may have: {trigger:?}"
        );
        ensure!(
            trigger.starts_with('/') || !trigger.contains('/'),
            "a trigger's name with a slash: {trigger:?}"
        );
        ensure!(
            trigger != "." && !OF_DPKG.contains(&trigger),
            "a trigger with the name of a file of dpkg's: {trigger:?}"
        );
        all.push((directive.to_owned(), trigger.to_owned()));
    }
    Ok(all)
}

/// A configured package's stanza with triggers that it has to look at.
pub(super) fn pending(stanza: &str, triggers: &BTreeSet<String>) -> String {
    let mut all: BTreeSet<&str> = triggers.iter().map(String::as_str).collect();
    all.extend(
        field(stanza, "Triggers-Pending")
            .unwrap_or_default()
            .split_ascii_whitespace(),
    );
    let mut text = String::new();
    for line in stanza
        .lines()
        .filter(|line| !line.starts_with("Triggers-Pending:"))
    {
        if line == "Status: install ok installed" {
            text.push_str("Status: install ok triggers-pending\n");
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    let _ = write!(text, "Triggers-Pending:");
    for trigger in all {
        let _ = write!(text, " {trigger}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inside::admin::tests::{control, unpacked};
    use crate::inside::root::Root;

    #[test]
    fn configured_packages_are_told_of_new_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        Admin::create(&root).unwrap();
        root.write("var/lib/dpkg/status", 0o644, b"Package: man\nStatus: install ok installed\nVersion: 1\n\nPackage: half\nStatus: install ok unpacked\n").unwrap();
        root.write(
            "var/lib/dpkg/triggers/File",
            0o644,
            b"/usr/share/man man/noawait\n/usr/share/man half\n",
        )
        .unwrap();
        root.write("var/lib/dpkg/triggers/ldconfig", 0o644, b"man\n")
            .unwrap();
        let mut admin = Admin::read(&root).unwrap();
        let new = control(
            "Package: b\nVersion: 2",
            &[("triggers", "activate-noawait ldconfig\n")],
        );
        admin
            .add(&[unpacked(new, &["usr/share/manual", "usr/share/man/b.1"])])
            .unwrap();
        let status = root.read_text("var/lib/dpkg/status").unwrap();
        assert!(
            status.contains("Package: man\nStatus: install ok triggers-pending\nVersion: 1\nTriggers-Pending: /usr/share/man ldconfig\n"),
            "{status}"
        );
        assert!(
            status.contains("Package: half\nStatus: install ok unpacked\n\n"),
            "{status}"
        );
    }

    #[test]
    fn hostile_triggers_are_refused() {
        let refused = |text: &str| directives(text).unwrap_err().to_string();
        for (text, said) in [
            (
                "interest ../../x\n",
                "a trigger's name that no package may have: \"../../x\"",
            ),
            (
                "activate /a/../../x\n",
                "a trigger's name that no package may have: \"/a/../../x\"",
            ),
            ("interest a/b\n", "a trigger's name with a slash: \"a/b\""),
            (
                "interest-noawait File\n",
                "a trigger with the name of a file of dpkg's: \"File\"",
            ),
            ("interest\n", "a trigger line without a name: \"interest\""),
            (
                "frobnicate x\n",
                "a trigger line that is not known: \"frobnicate x\"",
            ),
        ] {
            assert_eq!(refused(text), said);
        }
    }
}
