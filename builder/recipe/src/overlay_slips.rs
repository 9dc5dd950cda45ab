//! What an overlay's files show that cannot be meant: braces that nobody fills in, and programs that nothing can run.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::overlay::{BakeTemplate, CheckTemplate, ProbeTemplate};
use crate::overlay_files::{Entry, EntryKind};
use crate::plan::Data;
use crate::report::Problems;

/// Largest file in bytes that is looked into: people write shorter ones.
const MOST_TEXT: u64 = 256 << 10;

/// Says which files that are no templates use the overlay's parameters as templates do. Not of files in a directory `templates`: those
/// a program on the device fills in.
pub(crate) fn left_as_they_are(entries: &[Entry], parameters: &[&str], problems: &mut Problems) {
    for entry in entries {
        let EntryKind::Plain { said: false, .. } = entry.kind else {
            continue;
        };
        if entry.path.split('/').any(|part| part == "templates") {
            continue;
        }
        let Some(text) = text(entry) else { continue };
        if let Some(name) = uses(&text, parameters) {
            let what = format!("{} has `{{{{ {name} }}}}`, which nothing fills in", entry.path);
            let path = &entry.path;
            problems.push(entry.place.problem(what).help(format!(
                "write in overlay.toml:\n[[file]]\npath = \"{path}\"\ntemplate = true\nor `template = false`, if the braces are meant \
                 for the device"
            )));
        }
    }
}

/// The first of the parameters that stands alone between double braces, with or without a filter.
fn uses<'a>(text: &str, parameters: &[&'a str]) -> Option<&'a str> {
    text.split("{{").skip(1).find_map(|rest| {
        let (inner, _) = rest.split_once("}}")?;
        let inner = inner.trim_matches('-').trim_start();
        let name = inner.split(|c: char| c == '|' || c.is_whitespace()).next()?;
        let after = inner.strip_prefix(name)?.trim_start();
        let alone = after.is_empty() || after.starts_with('|');
        parameters.iter().copied().find(|known| alone && *known == name)
    })
}

/// Directories in which everything is run: a part can have `*`.
const PROGRAMS: [&str; 31] = [
    "/bin",
    "/etc/NetworkManager/dispatcher.d",
    "/etc/cron.daily",
    "/etc/cron.hourly",
    "/etc/cron.monthly",
    "/etc/cron.weekly",
    "/etc/grub.d",
    "/etc/init.d",
    "/etc/initramfs-tools/hooks",
    "/etc/initramfs-tools/scripts/*",
    "/etc/kernel/*.d",
    "/etc/network/if-*.d",
    "/etc/systemd/system-environment-generators",
    "/etc/systemd/system-generators",
    "/etc/systemd/system-shutdown",
    "/etc/systemd/system-sleep",
    "/etc/systemd/user-generators",
    "/etc/update-motd.d",
    "/sbin",
    "/usr/bin",
    "/usr/lib/systemd/system-environment-generators",
    "/usr/lib/systemd/system-generators",
    "/usr/lib/systemd/system-shutdown",
    "/usr/lib/systemd/system-sleep",
    "/usr/lib/systemd/user-environment-generators",
    "/usr/lib/systemd/user-generators",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/sbin",
    "/usr/share/initramfs-tools/hooks",
    "/usr/share/initramfs-tools/scripts/*",
];

/// Says which programs of an overlay nobody may run.
pub(crate) fn never_run(
    entries: &[Entry],
    bakes: &[BakeTemplate],
    checks: &[CheckTemplate],
    problems: &mut Problems,
) {
    let mut run: BTreeMap<String, String> = BTreeMap::new();
    for unit in entries.iter().filter(|entry| is_unit(&entry.path)) {
        let Some(text) = text(unit) else { continue };
        for program in started(&text) {
            run.entry(program)
                .or_insert_with(|| format!("{} starts it", unit.path));
        }
    }
    let commands = checks.iter().filter_map(|check| match &check.probe {
        ProbeTemplate::Command { command, .. } => Some(("check", &check.name.value, &command.value)),
        _ => None,
    });
    let steps = bakes
        .iter()
        .map(|bake| ("bake", &bake.name.value, &bake.command.value));
    for (kind, name, command) in commands.chain(steps) {
        if let Some(program) = command.split_whitespace().next().and_then(plain) {
            run.entry(program)
                .or_insert_with(|| format!("the {kind} `{name}` runs it"));
        }
    }
    for entry in entries {
        let file = matches!(entry.kind, EntryKind::Plain { .. } | EntryKind::Template(_));
        if !file || entry.mode & 0o111 != 0 {
            continue;
        }
        let by_place = || {
            let (directory, name) = entry.path.rsplit_once('/')?;
            let all_run = !name.starts_with('.')
                && name != "README"
                && PROGRAMS.iter().any(|known| is_like(directory, known));
            all_run.then(|| format!("what is in {directory} is run"))
        };
        let path = &entry.path;
        let Some(why) = run.get(&*of_usr(path)).cloned().or_else(by_place) else {
            continue;
        };
        let what = format!("{path} can't be run: its mode is {:04o}", entry.mode);
        problems.push(entry.place.problem(what).help(format!(
            "{why}; write in overlay.toml:\n[[file]]\npath = \"{path}\"\nmode = \"0755\""
        )));
    }
}

/// A file's text, if it is one that people write.
fn text(entry: &Entry) -> Option<Cow<'_, str>> {
    match &entry.kind {
        EntryKind::Template(origin) => Some(Cow::Borrowed(&origin.file.text)),
        EntryKind::Plain { content, .. } if content.size <= MOST_TEXT => match &content.data {
            // One that cannot be read any more was told when it was hashed.
            Data::File(path) => std::fs::read_to_string(path).ok().map(Cow::Owned),
            Data::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        },
        _ => None,
    }
}

/// Whether systemd reads a file as a unit that starts programs, or as a part of one.
fn is_unit(path: &str) -> bool {
    let starts = |name: &str| {
        [".service", ".socket", ".mount", ".swap"]
            .iter()
            .any(|kind| name.ends_with(kind))
    };
    let part = path
        .strip_suffix(".conf")
        .and_then(|path| path.rsplit_once(".d/"));
    path.contains("/systemd/") && (starts(path) || part.is_some_and(|(unit, _)| starts(unit)))
}

/// Programs that a unit starts: systemd.service(5), "Command lines".
fn started(unit: &str) -> impl Iterator<Item = String> {
    unit.lines().filter_map(|line| {
        let (key, value) = line.trim_start().split_once('=')?;
        let command = key.trim_end().starts_with("Exec").then_some(value.trim_start())?;
        let command = command.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        plain(command.split_whitespace().next()?)
    })
}

/// An absolute path that is written out, without the quotes around it.
fn plain(word: &str) -> Option<String> {
    let word = word.trim_matches(['"', '\'']).trim_end_matches(';');
    let written_out = word.starts_with('/') && !word.contains(['%', '$', '{', '\\']);
    written_out.then(|| of_usr(word).into_owned())
}

/// Where Debian's links lead from the directories that it merged into `/usr`.
fn of_usr(path: &str) -> Cow<'_, str> {
    if ["/bin/", "/sbin/", "/lib/"]
        .iter()
        .any(|merged| path.starts_with(merged))
    {
        return Cow::Owned(format!("/usr{path}"));
    }
    Cow::Borrowed(path)
}

/// Whether a path is like a pattern, part by part, each with one `*` at most.
fn is_like(path: &str, pattern: &str) -> bool {
    let part = |(part, pattern): (&str, &str)| match pattern.split_once('*') {
        Some((before, after)) => part
            .strip_prefix(before)
            .is_some_and(|rest| rest.ends_with(after)),
        None => part == pattern,
    };
    path.split('/').count() == pattern.split('/').count() && path.split('/').zip(pattern.split('/')).all(part)
}
