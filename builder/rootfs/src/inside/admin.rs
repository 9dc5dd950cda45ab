//! dpkg's own database, read and written as dpkg does (dpkg 1.21; deb-split(7) and the files' own formats).
//!
//! ```text
//! var/lib/dpkg/status               every package's stanza and state
//! var/lib/dpkg/info/NAME.list       its paths (`NAME:ARCH` where several architectures may be installed together)
//! var/lib/dpkg/info/NAME.postinst   and the other files of its control part
//! var/lib/dpkg/triggers/File        who is interested in which paths
//! var/lib/dpkg/diversions           whose files go to other places
//! ```
//!
//! What is written here says "unpacked"; everything after that is the target's own dpkg's work.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};

use super::root::{Root, plain};
use super::unpack::{Unpacked, conffiles};
use crate::control::{field, stanzas, value};
use crate::deb::Control;
use crate::files::numbers;

const DIR: &str = "var/lib/dpkg";
/// What is no trigger's among the files that are named after triggers.
const OF_DPKG: [&str; 3] = ["File", "Unincorp", "Lock"];

/// A package's database.
#[derive(Debug)]
pub struct Admin<'a> {
    root: &'a Root,
    /// Stanzas by name (with `:arch` for a foreign one).
    status: BTreeMap<String, String>,
    /// Where a contested path goes, and the one package that keeps it.
    diversions: HashMap<Vec<u8>, Diversion>,
    overrides: HashMap<Vec<u8>, Override>,
}

#[derive(Debug)]
struct Diversion {
    to: Vec<u8>,
    /// `None`: the administrator's, so that nobody keeps it.
    by: Option<String>,
}

/// How a path is to look, whatever its package says (dpkg-statoverride(1)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// Who is interested in what.
#[derive(Debug, Default)]
struct Interests {
    /// By path: packages and whether they want to be waited for.
    files: BTreeMap<String, BTreeMap<String, bool>>,
    /// By name.
    named: BTreeMap<String, BTreeMap<String, bool>>,
}

impl<'a> Admin<'a> {
    /// Reads a tree's database; a new tree's is empty.
    pub fn read(root: &'a Root) -> Result<Self> {
        let mut status = BTreeMap::new();
        let text = root.read_text(&format!("{DIR}/status"))?;
        for stanza in stanzas(&text) {
            let name = field(stanza, "Package").context("dpkg's status has an entry without a name")?;
            status.insert(name.to_owned(), stanza.trim_end().to_owned());
        }
        let diversions = diversions(&root.read_text(&format!("{DIR}/diversions"))?)?;
        let users = numbers(&root.read("etc/passwd")?.unwrap_or_default());
        let groups = numbers(&root.read("etc/group")?.unwrap_or_default());
        let text = root.read_text(&format!("{DIR}/statoverride"))?;
        let overrides = text
            .lines()
            .map(|line| {
                stat_override(line, &users, &groups).with_context(|| format!("dpkg's statoverride: {line:?}"))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            root,
            status,
            diversions,
            overrides,
        })
    }

    /// The tree.
    pub fn root(&self) -> &'a Root {
        self.root
    }

    /// Where a path of a package goes.
    pub fn place(&self, path: &[u8], package: &str) -> Vec<u8> {
        match self.diversions.get(path) {
            Some(diversion) if diversion.by.as_deref() != Some(package) => diversion.to.clone(),
            _ => path.to_vec(),
        }
    }

    /// How a path is to look, if somebody said so.
    pub fn stat_override(&self, path: &[u8]) -> Option<&Override> {
        self.overrides.get(path)
    }

    /// The names of all packages that are configured, and what they provide.
    pub fn configured(&self) -> impl Iterator<Item = &str> {
        let installed = self
            .status
            .iter()
            .filter(|(_, stanza)| field(stanza, "Status") == Some("install ok installed"));
        installed.flat_map(|(name, stanza)| {
            std::iter::once(name.as_str())
                .chain(super::order::names(value(stanza, "Provides").unwrap_or_default()))
        })
    }

    /// Whether a path belongs to a package that was there before; who it is.
    pub fn owners(&self) -> Result<HashMap<Vec<u8>, String>> {
        let mut owners = HashMap::new();
        for (name, stanza) in &self.status {
            let text = self
                .root
                .read(&format!("{DIR}/info/{}.list", info_name(name, stanza)))?;
            for line in text.unwrap_or_default().split(|byte| *byte == b'\n') {
                if let Some(path) = plain(line).filter(|path| !path.is_empty()) {
                    owners.insert(path, name.clone());
                }
            }
        }
        Ok(owners)
    }

    /// Makes the files that a new database has.
    pub fn create(root: &Root) -> Result<()> {
        for dir in ["alternatives", "info", "parts", "triggers", "updates"] {
            root.make_dirs(format!("{DIR}/{dir}").as_bytes())?;
        }
        for (name, content) in [
            ("status", ""),
            ("available", ""),
            ("diversions", ""),
            ("statoverride", ""),
        ] {
            root.write(&format!("{DIR}/{name}"), 0o644, content.as_bytes())?;
        }
        // The number of the database's own format.
        root.write(&format!("{DIR}/info/format"), 0o644, b"1\n")
    }

    /// Notes packages as unpacked, with their files, scripts and triggers.
    pub fn add(&mut self, unpacked: &[Unpacked]) -> Result<()> {
        let mut interests = self.interests()?;
        let mut activated: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for one in unpacked {
            let control = &one.control;
            let name = control
                .field("Package")
                .context("a package without a name")?
                .to_owned();
            let stanza = status_stanza(control)?;
            let info = info_name(&name, &stanza);
            self.write_info(&info, one)?;
            self.activate(&interests, control, one, &mut activated)?;
            if let Some(triggers) = control.file("triggers") {
                interests.add(&String::from_utf8_lossy(&triggers.bytes), &info)?;
            }
            self.status.insert(name, stanza);
        }
        for (name, triggers) in activated {
            let stanza = self
                .status
                .get_mut(&name)
                .context("a trigger of a package that is not there")?;
            *stanza = pending(stanza, &triggers);
        }
        self.write_interests(&interests)?;
        self.write_status()
    }

    fn write_status(&self) -> Result<()> {
        let text: String = self
            .status
            .values()
            .map(|stanza| format!("{stanza}\n\n"))
            .collect();
        self.root.write(&format!("{DIR}/status"), 0o644, text.as_bytes())
    }

    fn write_info(&self, info: &str, one: &Unpacked) -> Result<()> {
        let mut list = Vec::new();
        for path in &one.paths {
            list.push(b'/');
            // The root itself is `/.` in dpkg's lists.
            list.extend_from_slice(if path.is_empty() { b"." } else { path });
            list.push(b'\n');
        }
        let file = |end: &str| format!("{DIR}/info/{info}.{end}");
        self.root.write(&file("list"), 0o644, &list)?;
        for control in &one.control.files {
            let file = file(&control.name);
            self.root.write(&file, control.mode, &control.bytes)?;
            self.root.set_time(&file, control.mtime)?;
        }
        Ok(())
    }

    /// Which configured packages are to be told of a new one. One that is not configured yet looks at everything when
    /// it is.
    fn activate(
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

    fn interests(&self) -> Result<Interests> {
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

    fn write_interests(&self, interests: &Interests) -> Result<()> {
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
    fn add(&mut self, triggers: &str, who: &str) -> Result<()> {
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

/// A package's name in `info/`.
fn info_name(name: &str, stanza: &str) -> String {
    if field(stanza, "Multi-Arch") == Some("same") {
        format!("{name}:{}", field(stanza, "Architecture").unwrap_or_default())
    } else {
        name.to_owned()
    }
}

/// A new package's entry in dpkg's status.
fn status_stanza(control: &Control) -> Result<String> {
    let mut lines = control.stanza.lines();
    let first = lines.next().unwrap_or_default();
    ensure!(
        first
            .get(..8)
            .is_some_and(|start| start.eq_ignore_ascii_case("Package:")),
        "its control file does not begin with its name"
    );
    let mut stanza = format!("{first}\nStatus: install ok unpacked\n");
    for line in lines {
        let lower = line.to_ascii_lowercase();
        if lower.starts_with("status:") || lower.starts_with("conffiles:") {
            bail!("its control file has a field that only dpkg may write: {line}");
        }
        stanza.push_str(line.trim_end());
        stanza.push('\n');
    }
    let new: Vec<String> = conffiles(control)?
        .iter()
        .map(|path| format!(" /{} newconffile\n", String::from_utf8_lossy(path)))
        .collect();
    if !new.is_empty() {
        let _ = write!(stanza, "Conffiles:\n{}", new.concat());
    }
    Ok(stanza.trim_end().to_owned())
}

/// A configured package's stanza with triggers that it has to look at.
fn pending(stanza: &str, triggers: &BTreeSet<String>) -> String {
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

/// Three lines each: the contested path, where others' files go, and the package that keeps it (`:` for none).
fn diversions(text: &str) -> Result<HashMap<Vec<u8>, Diversion>> {
    let lines: Vec<&str> = text.lines().collect();
    ensure!(lines.len().is_multiple_of(3), "dpkg's diversions are damaged");
    let path = |text: &str| plain(text.as_bytes()).with_context(|| format!("dpkg's diversions: {text:?}"));
    lines
        .chunks_exact(3)
        .map(|three| {
            let by = (three[2] != ":").then(|| three[2].to_owned());
            Ok((
                path(three[0])?,
                Diversion {
                    to: path(three[1])?,
                    by,
                },
            ))
        })
        .collect()
}

/// `root man 4755 /usr/bin/x`; numbers are written `#5`.
fn stat_override(
    line: &str,
    users: &BTreeMap<String, u64>,
    groups: &BTreeMap<String, u64>,
) -> Result<(Vec<u8>, Override)> {
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next().context("four words are expected");
    let id = |text: &str, known: &BTreeMap<String, u64>| -> Result<u32> {
        let id = match text.strip_prefix('#') {
            Some(number) => number.parse()?,
            None => *known
                .get(text)
                .with_context(|| format!("the tree has no {text:?}"))?,
        };
        Ok(u32::try_from(id)?)
    };
    let uid = id(word()?, users)?;
    let gid = id(word()?, groups)?;
    let mode = u32::from_str_radix(word()?, 8)? & 0o7777;
    let path = plain(word()?.as_bytes()).context("a path that is not plain")?;
    Ok((path, Override { uid, gid, mode }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deb::ControlFile;

    fn control(stanza: &str, files: &[(&str, &str)]) -> Control {
        Control {
            stanza: stanza.into(),
            files: files
                .iter()
                .map(|(name, text)| ControlFile {
                    name: (*name).into(),
                    mode: 0o644,
                    mtime: 0,
                    bytes: text.as_bytes().to_vec(),
                })
                .collect(),
        }
    }

    fn unpacked(control: Control, paths: &[&str]) -> Unpacked {
        Unpacked {
            control,
            paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
        }
    }

    #[test]
    fn an_unpacked_package_in_dpkgs_words() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        Admin::create(&root).unwrap();
        let control = control(
            "Package: liba\nArchitecture: arm64\nMulti-Arch: same\nDescription: a\n .\n b",
            &[
                ("conffiles", "/etc/a.conf\nremove-on-upgrade /etc/old\n"),
                ("triggers", "interest-noawait /usr/share/x\ninterest y\n"),
            ],
        );
        let mut admin = Admin::read(&root).unwrap();
        admin
            .add(&[unpacked(control, &["", "etc", "etc/a.conf"])])
            .unwrap();
        assert_eq!(
            root.read_text("var/lib/dpkg/status").unwrap(),
            "Package: liba\nStatus: install ok unpacked\nArchitecture: arm64\nMulti-Arch: same\nDescription: a\n .\n b\n\
             Conffiles:\n /etc/a.conf newconffile\n\n"
        );
        assert_eq!(
            root.read_text("var/lib/dpkg/info/liba:arm64.list").unwrap(),
            "/.\n/etc\n/etc/a.conf\n"
        );
        assert_eq!(
            root.read_text("var/lib/dpkg/triggers/File").unwrap(),
            "/usr/share/x liba:arm64/noawait\n"
        );
        assert_eq!(root.read_text("var/lib/dpkg/triggers/y").unwrap(), "liba:arm64\n");
    }

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
    fn diversions_and_overrides() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        Admin::create(&root).unwrap();
        root.write("etc/passwd", 0o644, b"root:x:0:0:::\n").unwrap();
        root.write("etc/group", 0o644, b"mail:x:8:\n").unwrap();
        root.write("var/lib/dpkg/diversions", 0o644, b"/bin/x\n/bin/x.real\ny\n")
            .unwrap();
        root.write(
            "var/lib/dpkg/statoverride",
            0o644,
            b"root mail 2755 /usr/bin/mail\n",
        )
        .unwrap();
        let admin = Admin::read(&root).unwrap();
        assert_eq!(admin.place(b"bin/x", "other"), b"bin/x.real");
        assert_eq!(admin.place(b"bin/x", "y"), b"bin/x");
        assert_eq!(
            admin.stat_override(b"usr/bin/mail"),
            Some(&Override {
                uid: 0,
                gid: 8,
                mode: 0o2755
            })
        );
        root.write("var/lib/dpkg/diversions", 0o644, b"/bin/x\n").unwrap();
        assert!(Admin::read(&root).is_err());
    }

    #[test]
    fn hostile_control_parts_are_refused() {
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
        for field in ["Status: install ok installed", "conffiles:\n /etc/shadow x"] {
            let control = control(&format!("Package: a\n{field}"), &[]);
            let error = status_stanza(&control).unwrap_err().to_string();
            assert!(
                error.starts_with("its control file has a field that only dpkg may write: "),
                "{error}"
            );
        }
    }
}
