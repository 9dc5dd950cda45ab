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

mod triggers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use clic_debian::control::{field, stanzas, value};
use clic_debian::deb::Control;

use super::root::{Root, plain};
use super::unpack::{Unpacked, conffiles};
use crate::files::numbers;

use triggers::pending;

const DIR: &str = "var/lib/dpkg";

/// A package's database.
#[derive(Debug)]
pub struct Admin<'a> {
    root: &'a Root,
    /// Stanzas by name.
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
    use clic_debian::deb::ControlFile;

    pub(super) fn control(stanza: &str, files: &[(&str, &str)]) -> Control {
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

    pub(super) fn unpacked(control: Control, paths: &[&str]) -> Unpacked {
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
