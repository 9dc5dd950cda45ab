//! Overlays: from TOML and `files/` to checked declarations, before any value is filled in.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use crate::board::packages;
use crate::checker::Checker;
use crate::debian;
use crate::effect::{self, EffectTemplate};
use crate::nearest::advice;
use crate::only::Only;
use crate::overlay_files::{self, Entry};
use crate::overlay_slips;
use crate::parameter::{self, Parameter};
use crate::plan::{Arch, Capability, Provides, UnitChange, UnitState, Varies};
use crate::provides;
use crate::raw::{At, RawCheck, RawOverlay, RawRule, RawUnit};
use crate::report::{Problem, Problems};
use crate::source::{Origin, Sited, SourceFile};
use crate::template;
use crate::tree::{Tree, image_path};

/// Seconds that a check may take to become true when it does not say.
const CHECK_TIMEOUT: u64 = 30;
/// Seconds that a check may ask for.
const MOST_CHECK: u64 = 3600;
/// Seconds that a bake's step may take when it does not say, and that it may ask for: an application that is compiled on an
/// emulated processor takes hours.
const BAKE_TIMEOUT: u64 = 600;
const MOST_BAKE: u64 = 86_400;

/// Most parameters: each can have a pattern, which takes time to be compiled.
const MOST_PARAMETERS: usize = 200;

/// An overlay with everything checked that does not depend on a recipe.
#[derive(Debug)]
pub(crate) struct Overlay {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) requires: Vec<Sited<String>>,
    pub(crate) only: Only,
    pub(crate) packages: Vec<Sited<String>>,
    /// Besides them, by the board's architecture.
    pub(crate) packages_on: BTreeMap<Arch, Vec<Sited<String>>>,
    pub(crate) preseeds: Vec<Sited<String>>,
    pub(crate) effects: Vec<EffectTemplate>,
    pub(crate) parameters: BTreeMap<String, Parameter>,
    /// Those of them that nothing reads, each with where it is declared.
    pub(crate) idle: Vec<Sited<String>>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) units: Vec<(UnitChange, Origin)>,
    pub(crate) bakes: Vec<BakeTemplate>,
    pub(crate) of_one_run: Vec<Sited<String>>,
    pub(crate) varies: Vec<Varies>,
    pub(crate) provides: Provides,
    pub(crate) own_paths: Vec<String>,
    pub(crate) checks: Vec<CheckTemplate>,
}

/// A step in the running system before its texts are filled in.
#[derive(Debug)]
pub(crate) struct BakeTemplate {
    pub(crate) name: Sited<String>,
    pub(crate) command: Sited<String>,
    pub(crate) timeout: u64,
    pub(crate) network: bool,
}

/// The names of an overlay's steps: each is there once.
#[derive(Default)]
pub(crate) struct Steps(BTreeMap<String, Origin>);

impl Steps {
    /// Notes one, or tells that it was there before.
    pub(crate) fn add(&mut self, name: &str, origin: &Origin, problems: &mut Problems) {
        if let Some(other) = self.0.get(name) {
            problems
                .wrong(origin, format!("step `{name}` is declared twice"))
                .help(format!(
                    "a step is known by its name: give one of them another (the other is at {other})"
                ));
        } else {
            self.0.insert(name.to_owned(), origin.clone());
        }
    }
}

/// What must hold between parameters.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The parameter that is to blame.
    pub(crate) parameter: String,
    pub(crate) must: Sited<String>,
    pub(crate) message: Sited<String>,
    pub(crate) help: Option<Sited<String>>,
}

/// A check before its texts are filled in.
#[derive(Debug)]
pub(crate) struct CheckTemplate {
    pub(crate) name: Sited<String>,
    pub(crate) probe: ProbeTemplate,
    pub(crate) contains: Option<Sited<String>>,
    pub(crate) timeout: u64,
    pub(crate) long: bool,
}

/// [`crate::plan::Probe`] before its texts are filled in.
#[derive(Debug)]
pub(crate) enum ProbeTemplate {
    Command {
        command: Sited<String>,
        exit: i32,
    },
    Unit(Sited<String>),
    Port(u16),
    File {
        path: Sited<String>,
        mode: Option<u32>,
    },
    Http {
        port: u16,
        path: Sited<String>,
        host: Option<Sited<String>>,
        status: u16,
    },
}

impl CheckTemplate {
    /// Every text of the check.
    fn texts(&self) -> impl Iterator<Item = &Sited<String>> {
        let (first, second) = match &self.probe {
            ProbeTemplate::Command { command: text, .. }
            | ProbeTemplate::Unit(text)
            | ProbeTemplate::File { path: text, .. } => (Some(text), None),
            ProbeTemplate::Port(_) => (None, None),
            ProbeTemplate::Http { path, host, .. } => (Some(path), host.as_ref()),
        };
        [Some(&self.name), first, second, self.contains.as_ref()]
            .into_iter()
            .flatten()
    }
}

/// Checks an overlay and looks at its files. `None` when anything is wrong with it.
pub(crate) fn check(
    tree: &Tree,
    name: &str,
    mut raw: RawOverlay,
    checker: &mut Checker<'_>,
) -> Option<Rc<Overlay>> {
    let before = checker.count();
    checker.title(&raw.title);
    if raw.description.value.trim().is_empty() {
        checker.wrong(&raw.description, "this text is empty");
    }
    let mut parameters = BTreeMap::new();
    if let Some((beyond, _)) = raw.parameters.iter().nth(MOST_PARAMETERS) {
        checker
            .wrong(
                beyond,
                format!("an overlay has at most {MOST_PARAMETERS} parameters"),
            )
            .help("make several overlays of it");
        return None;
    }
    let mut written: BTreeMap<String, Origin> = BTreeMap::new();
    for (key, parameter) in std::mem::take(&mut raw.parameters) {
        if let Err(why) = template::variable_name(&key.value) {
            checker.wrong(&key, why);
        }
        written.insert(key.value.clone(), key.origin(checker.file));
        if let Some(parameter) = parameter::declare(&key.value, parameter, checker) {
            parameters.insert(key.value, parameter);
        }
    }
    let declared = checker.count() == before;
    let rules = rules(std::mem::take(&mut raw.rule), checker.file);

    let requires = checker.distinct(std::mem::take(&mut raw.requires), "overlay");
    let only = Only::check(raw.suites.take(), raw.architectures.take(), checker);
    let packages = packages(std::mem::take(&mut raw.packages), checker);
    let packages_on = std::mem::take(&mut raw.packages_on)
        .into_iter()
        .map(|(arch, list)| (arch, self::packages(list, checker)))
        .collect();
    let preseeds = checker.sited(std::mem::take(&mut raw.preseeds));
    let effects: Vec<EffectTemplate> = std::mem::take(&mut raw.effect)
        .into_iter()
        .filter_map(|effect| effect::check(effect, checker))
        .collect();
    let units = units(name, std::mem::take(&mut raw.unit), checker);
    let bakes: Vec<BakeTemplate> = std::mem::take(&mut raw.bake)
        .into_iter()
        .map(|bake| BakeTemplate {
            timeout: seconds(bake.timeout_seconds.as_ref(), BAKE_TIMEOUT, MOST_BAKE, checker),
            network: bake.network,
            name: bake.name.sited(checker.file),
            command: bake.command.sited(checker.file),
        })
        .collect();
    let mut names = Steps::default();
    for bake in &bakes {
        names.add(&bake.name.value, &bake.name.origin, checker.problems);
    }
    let of_one_run = checker.distinct(std::mem::take(&mut raw.of_one_run), "path");
    for path in &of_one_run {
        if let Err(why) = image_path(&path.value) {
            checker.wrong(&path.origin, why);
        }
    }
    let varies: Vec<Varies> = std::mem::take(&mut raw.varies)
        .into_iter()
        .map(|varies| {
            if let Err(why) = image_path(&varies.path.value) {
                checker.wrong(&varies.path, why);
            }
            Varies {
                path: varies.path.value,
                why: varies.why.value,
            }
        })
        .collect();
    let provides = provides::check(std::mem::take(&mut raw.provides), checker);
    let own_paths = provides::own_paths(std::mem::take(&mut raw.own_paths), checker);
    let checks: Vec<CheckTemplate> = std::mem::take(&mut raw.check)
        .into_iter()
        .filter_map(|check| check_template(check, checker))
        .collect();
    let so_far = checker.count();
    let entries = overlay_files::collect(tree, name, &raw, checker);
    // What is wrong with an entry is missing in it: its mode, or that it is a template.
    let as_meant = checker.count() == so_far;
    if as_meant {
        overlay_slips::never_run(&entries, &bakes, &checks, checker.problems);
    }

    // Templates are looked at only when all parameters are known: else each use of a broken one would be reported.
    let mut idle = Vec::new();
    if declared {
        let names: Vec<&str> = parameters.keys().map(String::as_str).collect();
        for (rule, origin) in &rules {
            if !parameters.contains_key(&rule.parameter) {
                checker
                    .wrong(
                        origin,
                        format!(
                            "a rule about `{}`, but there is no such parameter",
                            rule.parameter
                        ),
                    )
                    .help(advice(&rule.parameter, "parameters", names.iter().copied()));
            }
            template::check_expression(&rule.must, &names, checker.problems);
        }
        let said = rules
            .iter()
            .flat_map(|(rule, _)| [Some(&rule.message), rule.help.as_ref()]);
        let texts = preseeds
            .iter()
            .chain(effects.iter().map(|effect| &effect.text))
            .chain(bakes.iter().flat_map(|bake| [&bake.name, &bake.command]))
            .chain(checks.iter().flat_map(CheckTemplate::texts))
            .chain(said.flatten())
            .map(|text| template::Source::Inline(&text.origin, &text.value));
        let files = entries
            .iter()
            .filter_map(Entry::template)
            .map(template::Source::File);
        let sources: Vec<template::Source<'_>> = texts.chain(files).collect();
        for source in &sources {
            template::check(*source, &names, checker.problems);
        }
        // A template that is wrong may be what the parameter is for.
        if checker.count() == before {
            let expressions = rules
                .iter()
                .map(|(rule, _)| template::variables_of_expression(&rule.must.value));
            let read = sources.into_iter().map(template::variables).chain(expressions);
            idle = unread(written, &read.flatten().collect(), &provides);
        }
        if as_meant {
            overlay_slips::left_as_they_are(&entries, &names, checker.problems);
        }
    }
    (checker.count() == before).then(|| {
        Rc::new(Overlay {
            name: name.to_owned(),
            title: raw.title.value,
            description: raw.description.value,
            requires,
            only,
            packages,
            packages_on,
            preseeds,
            effects,
            idle,
            parameters,
            rules: rules.into_iter().map(|(rule, _)| rule).collect(),
            entries,
            units,
            bakes,
            of_one_run,
            varies,
            provides,
            own_paths,
            checks,
        })
    })
}

/// The parameters that nothing reads: whoever sets one gets nothing.
fn unread(
    written: BTreeMap<String, Origin>,
    read: &HashSet<String>,
    provides: &Provides,
) -> Vec<Sited<String>> {
    let by_builder: Vec<&str> = Capability::ALL
        .into_iter()
        .filter(|capability| provides.has(*capability))
        .flat_map(Capability::parameters)
        .copied()
        .collect();
    written
        .into_iter()
        .filter(|(name, _)| !read.contains(name) && !by_builder.contains(&name.as_str()))
        .map(|(value, origin)| Sited { value, origin })
        .collect()
}

/// Each with the place of the parameter's name.
fn rules(raw: Vec<RawRule>, file: &Arc<SourceFile>) -> Vec<(Rule, Origin)> {
    raw.into_iter()
        .map(|rule| {
            let origin = rule.parameter.origin(file);
            let rule = Rule {
                parameter: rule.parameter.value,
                must: rule.must.sited(file),
                message: rule.message.sited(file),
                help: rule.help.map(|help| help.sited(file)),
            };
            (rule, origin)
        })
        .collect()
}

fn units(overlay: &str, raw: Vec<RawUnit>, checker: &mut Checker<'_>) -> Vec<(UnitChange, Origin)> {
    let mut units: BTreeMap<String, UnitState> = BTreeMap::new();
    let mut list = Vec::new();
    for unit in raw {
        let origin = unit.name.origin(checker.file);
        if let Err(why) = debian::unit_name(&unit.name.value) {
            checker.wrong(&origin, why);
        }
        if units.insert(unit.name.value.clone(), unit.state).is_some() {
            checker
                .wrong(&origin, format!("unit `{}` is declared twice", unit.name.value))
                .help("keep one of them");
        }
        list.push((
            UnitChange {
                name: unit.name.value,
                state: unit.state,
                from: overlay.to_owned(),
            },
            origin,
        ));
    }
    list
}

/// A timeout, or what stands for none.
fn seconds(raw: Option<&At<u64>>, default: u64, most: u64, checker: &mut Checker<'_>) -> u64 {
    let Some(raw) = raw else {
        return default;
    };
    if !(1..=most).contains(&raw.value) {
        checker
            .wrong(raw, format!("{} seconds is not a sensible timeout", raw.value))
            .help(format!("from 1 to {most}"));
    }
    raw.value
}

/// Exactly one probe, with only the keys that belong to it.
fn check_template(raw: RawCheck, checker: &mut Checker<'_>) -> Option<CheckTemplate> {
    let before = checker.count();
    let name = raw.name.sited(checker.file);
    let given: Vec<&str> = [
        ("command", raw.command.is_some()),
        ("unit", raw.unit.is_some()),
        ("port", raw.port.is_some()),
        ("file", raw.file.is_some()),
        ("http", raw.http.is_some()),
    ]
    .into_iter()
    .filter_map(|(key, given)| given.then_some(key))
    .collect();
    let [kind] = given[..] else {
        let found = if given.is_empty() {
            "none".to_owned()
        } else {
            crate::nearest::quoted(&given)
        };
        checker
            .wrong(
                &name.origin,
                format!(
                    "a check has exactly one of `command`, `unit`, `port`, `file`, `http`; this has {found}"
                ),
            )
            .help("write two checks for two things");
        return None;
    };
    let extras = [
        (
            "exit",
            raw.exit.as_ref().map(|at| at.origin(checker.file)),
            &["command"][..],
        ),
        (
            "mode",
            raw.mode.as_ref().map(|at| at.origin(checker.file)),
            &["file"][..],
        ),
        (
            "contains",
            raw.contains.as_ref().map(|at| at.origin(checker.file)),
            &["command", "port", "file"][..],
        ),
    ];
    for (key, origin, kinds) in extras {
        if let Some(origin) = origin.filter(|_| !kinds.contains(&kind)) {
            let problem = Problem::at(
                &origin,
                format!("`{key}` has no meaning for a check of kind `{kind}`"),
            );
            checker.problems.push(if key == "contains" && kind == "http" {
                problem.help("write it inside: `http = { path = \"/\", contains = \"...\" }`")
            } else {
                problem.help(format!("it belongs to {}", crate::nearest::quoted(kinds)))
            });
        }
    }
    let timeout = seconds(raw.timeout_seconds.as_ref(), CHECK_TIMEOUT, MOST_CHECK, checker);
    let mode = raw.mode.and_then(|mode| match debian::mode(&mode.value) {
        Ok(bits) => Some(bits),
        Err(why) => {
            checker.wrong(&mode, why);
            None
        }
    });
    if let Some(port) = raw.port.as_ref().filter(|port| port.value == 0) {
        checker
            .wrong(port, "port 0 can't be connected to")
            .help("from 1 to 65535");
    }
    if let Some(path) = raw
        .file
        .as_ref()
        .filter(|path| !path.value.starts_with('/') && !path.value.starts_with('{'))
    {
        checker.wrong(path, "this must be an absolute path in the device");
    }
    let mut contains = raw.contains.map(|text| text.sited(checker.file));
    let probe = if let Some(command) = raw.command {
        ProbeTemplate::Command {
            command: command.sited(checker.file),
            exit: raw.exit.map_or(0, |exit| exit.value),
        }
    } else if let Some(unit) = raw.unit {
        if !unit.value.contains('{')
            && let Err(why) = debian::unit_name(&unit.value)
        {
            checker.wrong(&unit, why);
        }
        ProbeTemplate::Unit(unit.sited(checker.file))
    } else if let Some(port) = raw.port {
        ProbeTemplate::Port(port.value)
    } else if let Some(path) = raw.file {
        ProbeTemplate::File {
            path: path.sited(checker.file),
            mode,
        }
    } else {
        let http = raw.http?;
        let origin = http.origin(checker.file);
        let http = http.value;
        if http.port == 0 {
            checker
                .wrong(&origin, "port 0 can't be connected to")
                .help("from 1 to 65535");
        }
        if !(100..600).contains(&http.status) {
            checker
                .wrong(&origin, format!("{} is not an HTTP status", http.status))
                .help("from 100 to 599");
        }
        if !http.path.value.starts_with('/') && !http.path.value.starts_with('{') {
            checker.wrong(&http.path, "an HTTP path starts with a slash");
        }
        contains = http.contains.map(|text| text.sited(checker.file));
        ProbeTemplate::Http {
            port: http.port,
            path: http.path.sited(checker.file),
            host: http.host.map(|host| host.sited(checker.file)),
            status: http.status,
        }
    };
    (checker.count() == before).then_some(CheckTemplate {
        name,
        probe,
        contains,
        timeout,
        long: raw.long,
    })
}
