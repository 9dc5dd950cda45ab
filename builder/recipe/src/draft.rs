//! A plan while its parts are put together: what each overlay brings, with its texts filled in.

use std::collections::{BTreeMap, BTreeSet};

use crate::debian;
use crate::merge::{Files, Preseeds, Units};
use crate::overlay::{CheckTemplate, Overlay, ProbeTemplate, Steps};
use crate::plan::{
    Bake, Check, Effect, PlannedOverlay, Probe, Service, ServiceState, UnitChange, UnitState, Value, Varies,
};
use crate::report::Problems;
use crate::source::Sited;
use crate::template::{self, Source, Values};

/// What a plan has so far.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) files: Files,
    pub(crate) preseeds: Preseeds,
    pub(crate) effects: Vec<Effect>,
    pub(crate) bakes: Vec<Bake>,
    pub(crate) of_one_run: BTreeSet<String>,
    pub(crate) varies: Vec<Varies>,
    pub(crate) checks: Vec<Check>,
    pub(crate) overlays: Vec<PlannedOverlay>,
    pub(crate) units: Units,
}

impl Draft {
    /// Adds an overlay, whose parameters have these final values.
    pub(crate) fn add_overlay(
        &mut self,
        overlay: &Overlay,
        parameters: BTreeMap<String, Value>,
        values: &Values,
        problems: &mut Problems,
    ) {
        for preseed in &overlay.preseeds {
            self.preseeds.add(preseed, &overlay.name, values, problems);
        }
        for effect in &overlay.effects {
            self.effects.extend(effect.fill(values, problems));
        }
        for entry in &overlay.entries {
            self.files.add(entry, &overlay.name, values, problems);
        }
        for (unit, origin) in &overlay.units {
            self.units.add(unit, origin, problems);
        }
        self.of_one_run
            .extend(overlay.of_one_run.iter().map(|path| path.value.clone()));
        self.varies.extend(overlay.varies.iter().cloned());
        self.add_bakes(overlay, values, problems);
        self.checks.extend(
            overlay
                .checks
                .iter()
                .filter_map(|check| fill_check(check, &overlay.name, values, problems)),
        );
        self.overlays.push(PlannedOverlay {
            name: overlay.name.clone(),
            title: overlay.title.clone(),
            parameters,
            provides: overlay.provides.clone(),
            own_paths: overlay.own_paths.clone(),
        });
    }

    fn add_bakes(&mut self, overlay: &Overlay, values: &Values, problems: &mut Problems) {
        let mut steps = Steps::default();
        for bake in &overlay.bakes {
            let (name, command) = (
                fill(&bake.name, values, problems),
                fill(&bake.command, values, problems),
            );
            let (Some(name), Some(command)) = (name, command) else {
                continue;
            };
            steps.add(&name, &bake.name.origin, problems);
            self.bakes.push(Bake {
                name,
                from: overlay.name.clone(),
                command,
                timeout: bake.timeout,
                network: bake.network,
            });
        }
    }

    /// Adds the units of services, but not of apps: theirs are there once they are installed, which is after all others.
    pub(crate) fn add_units(&mut self, services: &[Service], problems: &mut Problems) {
        for service in services.iter().filter(|service| service.app().is_none()) {
            let state = match service.state {
                ServiceState::Enabled => UnitState::Enabled,
                ServiceState::Dormant => UnitState::Disabled,
            };
            for name in &service.units {
                let unit = UnitChange {
                    name: name.clone(),
                    state,
                    from: service.name.clone(),
                };
                self.units.add(&unit, &service.origin, problems);
            }
        }
    }
}

/// An overlay's text with the values in it.
fn fill(text: &Sited<String>, values: &Values, problems: &mut Problems) -> Option<String> {
    template::render(Source::Inline(&text.origin, &text.value), values, problems)
}

/// A check with its texts filled in.
fn fill_check(
    check: &CheckTemplate,
    overlay: &str,
    values: &Values,
    problems: &mut Problems,
) -> Option<Check> {
    let name = fill(&check.name, values, problems);
    let contains = match &check.contains {
        None => None,
        Some(text) => Some(fill(text, values, problems)?),
    };
    let probe = match &check.probe {
        ProbeTemplate::Command { command, exit } => Probe::Command {
            command: fill(command, values, problems)?,
            exit: *exit,
            contains,
        },
        ProbeTemplate::Unit(unit) => {
            let name = fill(unit, values, problems)?;
            if let Err(why) = debian::unit_name(&name) {
                problems.wrong(&unit.origin, why);
                return None;
            }
            Probe::Unit { unit: name }
        }
        ProbeTemplate::Port(port) => Probe::Port {
            port: *port,
            contains,
        },
        ProbeTemplate::File { path, mode } => Probe::File {
            path: fill(path, values, problems)?,
            contains,
            mode: *mode,
        },
        ProbeTemplate::Http {
            port,
            path,
            host,
            status,
        } => Probe::Http {
            port: *port,
            path: fill(path, values, problems)?,
            host: match host {
                None => None,
                Some(host) => Some(fill(host, values, problems)?),
            },
            status: *status,
            contains,
        },
    };
    Some(Check {
        name: name?,
        from: overlay.to_owned(),
        probe,
        timeout: check.timeout,
        long: check.long,
    })
}
