//! Services: from TOML to checked values.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::app;
use crate::board::packages;
use crate::bundle::texts;
use crate::checker::Checker;
use crate::debian;
use crate::first_boot;
use crate::nearest::advice;
use crate::plan::{Place, PlannedOverlay, Service, ServiceKind, ServiceState};
use crate::raw::{At, RawService};
use crate::report::Problems;
use crate::size;
use crate::source::{Origin, Sited};
use crate::tree::image_path;

/// Most services: no device runs that many, and each is held against all others.
const MOST_SERVICES: usize = 200;
/// Seconds that a service may take to start when it does not say.
const START: u64 = 60;
/// Checks one service by itself. `None` when anything is wrong with it.
fn check(raw: RawService, checker: &mut Checker<'_>) -> Option<Service> {
    let before = checker.count();
    let origin = raw.name.origin(checker.file);
    if !is_name(&raw.name.value) {
        checker
            .wrong(
                &origin,
                format!("`{}` is not a valid service name", raw.name.value),
            )
            .help("lower case letters, digits and hyphens, such as `pads`");
    }
    let title = texts(&raw.title, checker);
    let description = texts(&raw.description, checker);
    let kind = raw.kind.value;
    let path = path(&raw.path, kind, checker);
    let place = place(&raw, checker);
    let place_origin = place_origin(&raw, checker);
    // What an app takes, its manifest says as well; pages take nothing.
    if raw.ram.is_none() && kind == ServiceKind::Debian {
        checker
            .wrong(&origin, "the key `ram` is missing here")
            .help("add `ram = \"...\"`");
    }
    let packages = packages(raw.packages, checker);
    let units = checker.distinct(raw.units, "unit");
    for unit in &units {
        if let Err(why) = debian::unit_name(&unit.value) {
            checker.wrong(&unit.origin, why);
        }
    }
    let mut bytes = |text: &At<String>| {
        size::parse(&text.value).unwrap_or_else(|why| {
            checker.wrong(text, why);
            0
        })
    };
    let ram = raw.ram.as_ref().map_or(0, &mut bytes);
    let disk = raw.disk.as_ref().map_or(0, &mut bytes);
    let uploads = raw.uploads.as_ref().map_or(0, bytes);
    if let (Some(uploads), None) = (&raw.uploads, &raw.port) {
        let what = "`uploads` has no meaning for a service without `port`";
        let help = if kind == ServiceKind::YunohostApp {
            "remove it: an app says itself what it takes"
        } else {
            "remove it: pages take nothing"
        };
        checker.wrong(uploads, what.to_owned()).help(help);
    }
    let start_seconds = raw.start_seconds.map_or(START, |seconds| {
        if !(1..=3600).contains(&seconds.value) {
            let what = format!("{} seconds is not a sensible time to start", seconds.value);
            checker.wrong(&seconds, what).help("from 1 to 3600");
        }
        seconds.value
    });
    let values = |list: Vec<Sited<String>>| list.into_iter().map(|element| element.value).collect();
    let needs = values(checker.distinct(raw.needs, "service"));
    let conflicts = values(checker.distinct(raw.conflicts, "service"));
    let first_boot = first_boot::check(raw.first_boot.as_ref(), checker);
    let place = place?;
    (checker.count() == before).then_some(Service {
        name: raw.name.value,
        kind,
        title,
        description,
        category: raw.category.value,
        state: raw.state,
        path,
        path_origin: raw.path.origin(checker.file),
        place_origin,
        packages: values(packages),
        units: values(units),
        place,
        uploads,
        ram,
        disk,
        start_seconds,
        needs,
        conflicts,
        first_boot,
        origin,
    })
}

fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.split('-').all(part)
}

/// A path on the portal, or on the domain of an app. Without a slash at its end.
fn path(raw: &At<String>, kind: ServiceKind, checker: &mut Checker<'_>) -> String {
    if raw.value == "/" && kind == ServiceKind::YunohostApp {
        return String::new();
    }
    if !is_path(&raw.value) {
        let of = owner(kind);
        checker
            .wrong(raw, format!("`{}` is not a path on {of}", raw.value))
            .help("write it like `/pads`: it begins with a slash and does not end with one");
    }
    raw.value.clone()
}

/// Whose paths a service is on.
fn owner(kind: ServiceKind) -> &'static str {
    if kind == ServiceKind::YunohostApp {
        "YunoHost"
    } else {
        "the portal"
    }
}

/// Whether nginx and browsers take a path as it is written.
pub(crate) fn is_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let part = |part: &str| {
        part.as_bytes()
            .first()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            && part.bytes().all(plain)
    };
    path.strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(part))
}

/// Says which services are where an overlay is.
pub(crate) fn own_paths(services: &[Service], overlays: &[PlannedOverlay], problems: &mut Problems) {
    for service in services {
        // YunoHost answers by HTTPS, where the portal does not.
        let there =
            |overlay: &&PlannedOverlay| service.app().is_none() || overlay.provides.yunohost.is_some();
        let mut taken = overlays
            .iter()
            .filter(there)
            .flat_map(|overlay| &overlay.own_paths);
        if let Some(taken) = taken.find(|taken| within(&service.path, taken)) {
            problems
                .wrong(
                    &service.path_origin,
                    format!("`{taken}` is {}'s own", owner(service.kind)),
                )
                .help("give the service another path");
        }
    }
}

/// Whether a path is another one, or below it.
fn within(path: &str, other: &str) -> bool {
    path.strip_prefix(other)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn place(raw: &RawService, checker: &mut Checker<'_>) -> Option<Place> {
    let (kind, port, root) = (&raw.kind, raw.port.as_ref(), raw.root.as_ref());
    match kind.value {
        ServiceKind::Debian => app::not_with(raw, "debian", checker),
        ServiceKind::Static => app::not_with(raw, "static", checker),
        ServiceKind::YunohostApp => {}
    }
    let file = checker.file;
    let (origin, what, help) = match (kind.value, port, root) {
        (ServiceKind::YunohostApp, None, None) => {
            return app::check(raw, checker).map(|app| Place::YunoHost(Box::new(app)));
        }
        (ServiceKind::YunohostApp, Some(port), _) => (
            port.origin(file),
            "`port` has no meaning for a service of kind `yunohost-app`".to_owned(),
            "remove it: YunoHost leads to its apps",
        ),
        (ServiceKind::YunohostApp, None, Some(root)) => (
            root.origin(file),
            "`root` has no meaning for a service of kind `yunohost-app`".to_owned(),
            "name the app's `directory`, or its `url`",
        ),
        (ServiceKind::Debian, Some(port), None) if port.value != 0 => {
            return Some(Place::Port(port.value));
        }
        (ServiceKind::Debian, Some(port), None) => (
            port.origin(file),
            "nothing answers on port 0".to_owned(),
            "from 1 to 65535",
        ),
        (ServiceKind::Static, None, Some(root)) => match image_path(&root.value) {
            Ok(()) => return Some(Place::Root(root.value.clone())),
            Err(why) => (
                root.origin(file),
                why,
                "a directory in the image, such as `/usr/share/clic/pads`",
            ),
        },
        (ServiceKind::Debian, _, Some(root)) => (
            root.origin(file),
            "`root` has no meaning for a service of kind `debian`".to_owned(),
            "give the `port` on which its unit answers, or use kind `static`",
        ),
        (ServiceKind::Static, Some(port), _) => (
            port.origin(file),
            "`port` has no meaning for a service of kind `static`".to_owned(),
            "give the `root` directory, or use kind `debian`",
        ),
        (ServiceKind::Debian, None, None) => (
            kind.origin(file),
            "where does this service answer?".to_owned(),
            "add `port = 8080`, on which its unit answers to HTTP",
        ),
        (ServiceKind::Static, None, None) => (
            kind.origin(file),
            "which pages does this service show?".to_owned(),
            "add `root = \"/usr/share/...\"`",
        ),
    };
    checker.wrong(&origin, what).help(help);
    None
}

/// Where it is written what is at a service's path.
fn place_origin(raw: &RawService, checker: &Checker<'_>) -> Origin {
    let root = raw.root.as_ref().map(|root| root.origin(checker.file));
    let port = raw.port.as_ref().map(|port| port.origin(checker.file));
    root.or(port).unwrap_or_else(|| raw.name.origin(checker.file))
}

/// Checks a recipe's own services. `inherited`: those of its parent, which it can name.
pub(crate) fn check_all(
    raw: Vec<RawService>,
    inherited: &[Service],
    checker: &mut Checker<'_>,
) -> Vec<Service> {
    if let Some(beyond) = raw.get(MOST_SERVICES) {
        checker
            .wrong(
                &beyond.name,
                format!("a recipe has at most {MOST_SERVICES} services"),
            )
            .help("leave some of them out");
        return Vec::new();
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for service in &raw {
        let count = seen.entry(service.name.value.clone()).or_default();
        *count += 1;
        if *count == 2 {
            checker
                .wrong(
                    &service.name,
                    format!("service `{}` is declared twice", service.name.value),
                )
                .help("give one of them another name");
        }
    }
    named(&raw, inherited, checker);
    raw.into_iter()
        .filter_map(|service| check(service, checker))
        .collect()
}

/// Says which services name others that there are not, whatever else is wrong with any of them.
fn named(raw: &[RawService], inherited: &[Service], checker: &mut Checker<'_>) {
    let inherited = inherited.iter().map(|service| service.name.as_str());
    let all: Vec<&str> = raw
        .iter()
        .map(|service| service.name.value.as_str())
        .chain(inherited)
        .collect();
    for service in raw {
        let own = service.name.value.as_str();
        let others = || all.iter().copied().filter(|other| *other != own);
        for name in service.needs.iter().chain(&service.conflicts) {
            if !others().any(|other| other == name.value) {
                let what = format!(
                    "service `{own}` names `{}`, which is not another service of this recipe",
                    name.value
                );
                checker.wrong(name, what).help(advice(
                    &name.value,
                    "other services of this recipe",
                    others(),
                ));
            }
        }
    }
}

/// Puts a recipe's services on top of its parent's.
pub(crate) fn extend(list: &mut Vec<Service>, more: Vec<Service>) {
    for service in more {
        match list.iter_mut().find(|present| present.name == service.name) {
            Some(present) => *present = service,
            None => list.push(service),
        }
    }
}

/// Checks a recipe's services with each other, and against what a device of the board has: `memory` in bytes.
pub(crate) fn together(services: &[Service], memory: u64, board: &str, problems: &mut Problems) {
    for (number, service) in services.iter().enumerate() {
        let earlier = &services[..number];
        // What YunoHost answers by HTTPS is elsewhere than what the portal's server answers.
        let domain = |service: &Service| service.app().map(|app| app.domain.clone());
        let same = |other: &&Service| {
            domain(other) == domain(service)
                && (within(&service.path, &other.path) || within(&other.path, &service.path))
        };
        if let Some(other) = earlier.iter().find(same) {
            problems
                .wrong(
                    &service.origin,
                    format!(
                        "services `{}` ({}) and `{}` ({}) want the same path",
                        other.name,
                        address(other),
                        service.name,
                        address(service)
                    ),
                )
                .help(format!("the other one is at {}", other.origin));
        }
        let id = |service: &Service| service.app().map(|app| app.id.clone());
        if let Some(other) = earlier
            .iter()
            .find(|other| id(other).is_some() && id(other) == id(service))
        {
            problems
                .wrong(
                    &service.origin,
                    format!(
                        "services `{}` and `{}` are both app `{}`, which can be there once",
                        other.name,
                        service.name,
                        id(service).unwrap_or_default()
                    ),
                )
                .help(format!(
                    "the other one is at {}; leave one of them out",
                    other.origin
                ));
        }
        let clash = |other: &&Service| {
            other.conflicts.contains(&service.name) || service.conflicts.contains(&other.name)
        };
        let on = |service: &Service| service.state == ServiceState::Enabled;
        if let Some(other) = earlier
            .iter()
            .find(|other| on(other) && on(service) && clash(other))
        {
            problems
                .wrong(
                    &service.origin,
                    format!(
                        "services `{}` and `{}` can't run side by side, and both do",
                        other.name, service.name
                    ),
                )
                .help("make one of them `state = \"dormant\"`");
        }
        let off = services
            .iter()
            .find(|other| !on(other) && on(service) && service.needs.contains(&other.name));
        if let Some(other) = off {
            problems
                .wrong(
                    &service.origin,
                    format!(
                        "service `{}` runs and needs `{}`, which is dormant",
                        service.name, other.name
                    ),
                )
                .help("make both enabled, or both dormant");
        }
    }
    fits(services, memory, board, problems);
}

/// Where a service is, for people.
fn address(service: &Service) -> String {
    let path = if service.path.is_empty() {
        "/"
    } else {
        &service.path
    };
    match service.app() {
        Some(app) => format!("{}{path}", app.domain),
        None => path.to_owned(),
    }
}

/// What runs from the start has to have room in memory, and what is dormant must have it by itself.
fn fits(services: &[Service], memory: u64, board: &str, problems: &mut Problems) {
    let left = memory.saturating_sub(SYSTEM);
    let (memory, system) = (size::in_words(memory), size::in_words(SYSTEM));
    let on = |service: &&Service| service.state == ServiceState::Enabled;
    let sum: u64 = services
        .iter()
        .filter(on)
        .map(|service| service.ram)
        .fold(0, u64::saturating_add);
    if let (true, Some(first)) = (sum > left, services.iter().find(on)) {
        let mut what = format!(
            "the services that run from the start take more memory than a {board} has: {} of {memory}, and the system takes \
             {system}",
            size::in_words(sum)
        );
        for service in services.iter().filter(on) {
            let _ = write!(
                what,
                "\n  {:<16} {:>8}",
                service.name,
                size::in_words(service.ram)
            );
        }
        problems
            .wrong(&first.origin, what)
            .help("make some of them `state = \"dormant\"`");
        return;
    }
    for service in services.iter().filter(|service| service.ram > left) {
        let what = format!(
            "service `{}` takes {}, and a {board} has {memory} of which the system takes {system}",
            service.name,
            size::in_words(service.ram),
        );
        problems
            .wrong(&service.origin, what)
            .help("leave it out for this board");
    }
}

/// Memory in bytes that the system itself takes, with hotspot and portal.
const SYSTEM: u64 = 200 << 20;
