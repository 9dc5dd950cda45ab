//! Services that are apps of `YunoHost`: what the recipe says of one by itself, then with the board and the app's manifest.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::bundle::is_address;
use crate::checker::Checker;
use crate::manifest;
use crate::nearest::{advice, quoted};
use crate::overlay_files::{content_of, walk};
use crate::plan::{
    App, AppFile, AppSource, Arch, Argument, Capability, Emulate, Machine, Manifest, Plan, PlannedOverlay,
    Question, Service, Value,
};
use crate::provides::provider;
use crate::raw::{At, RawService};
use crate::report::{Problem, Problems, Report};
use crate::size;
use crate::source::{Origin, SourceFile};
use crate::tree::{Closed, Tree, plain_path};

/// The parameter that says `YunoHost`'s first domain.
const DOMAIN: &str = "domain";
/// Seconds that an installation may take when the recipe does not say, and that it may ask for: as a bake.
const INSTALL: u64 = 3600;
const MOST_INSTALL: u64 = 86_400;
/// Most bytes of an app's archive or directory: apps are scripts, and fetch what they install.
pub const MOST: u64 = 256 << 20;
/// Most memory in bytes that the machine in which apps are installed is given.
const MOST_BUILD: u64 = 16 << 30;

/// Checks what the recipe says of an app. `None` if anything is wrong with it.
pub(crate) fn check(raw: &RawService, checker: &mut Checker<'_>) -> Option<App> {
    let before = checker.count();
    let source = source(raw, checker);
    let id = match &raw.app {
        Some(id) if !manifest::is_id(&id.value) => {
            let what = format!("`{}` can't be an app's id", id.value.escape_debug());
            checker
                .wrong(id, what)
                .help("as its manifest says it, such as `my_webapp`");
            String::new()
        }
        Some(id) => id.value.clone(),
        None => raw.name.value.clone(),
    };
    if let Some(domain) = raw.domain.as_ref().filter(|domain| !is_domain(&domain.value)) {
        checker
            .wrong(
                domain,
                format!("`{}` is not a domain", domain.value.escape_debug()),
            )
            .help("write one like `pads.clic.internal`");
    }
    let mut words = |given: &Option<Vec<At<String>>>, otherwise: &[&str], kind: &str| {
        let Some(given) = given else {
            return otherwise.iter().map(|word| (*word).to_owned()).collect();
        };
        let words = checker.distinct(given.clone(), kind);
        for word in words.iter().filter(|word| !is_word(&word.value)) {
            let what = format!("`{}` can't be a {kind}", word.value.escape_debug());
            checker
                .wrong(&word.origin, what)
                .help("lower case letters, digits, `_`, `-` and `.`");
        }
        words.into_iter().map(|word| word.value).collect()
    };
    let permissions = words(&raw.permissions, &["main"], "permission");
    let groups = words(&raw.groups, &["visitors", "all_users"], "group");
    let timeout = raw.install_seconds.as_ref().map_or(INSTALL, |seconds| {
        if !(1..=MOST_INSTALL).contains(&seconds.value) {
            let what = format!(
                "{} seconds is not a sensible time to install an app",
                seconds.value
            );
            checker
                .wrong(seconds, what)
                .help(format!("from 1 to {MOST_INSTALL}"));
        }
        seconds.value
    });
    let arguments = arguments(raw, checker);
    let source = source?;
    (checker.count() == before).then(|| App {
        id,
        domain: raw
            .domain
            .as_ref()
            .map_or_else(String::new, |domain| domain.value.clone()),
        main_domain: false,
        source,
        arguments,
        permissions,
        groups,
        network: raw.network.as_ref().is_some_and(|network| network.value),
        timeout,
        manifest: None,
    })
}

/// Keys that only an app has, of a service that is none.
pub(crate) fn not_with(raw: &RawService, kind: &str, checker: &mut Checker<'_>) {
    let file = checker.file;
    let text = |key: &Option<At<String>>| key.as_ref().map(|value| value.origin(file));
    let list = |key: &Option<Vec<At<String>>>| {
        key.as_ref()
            .map(|list| list.first().unwrap_or(&raw.name).origin(file))
    };
    let given = [
        ("directory", text(&raw.directory)),
        ("url", text(&raw.url)),
        ("sha256", text(&raw.sha256)),
        ("size", raw.size.as_ref().map(|value| value.origin(file))),
        ("app", text(&raw.app)),
        ("domain", text(&raw.domain)),
        (
            "arguments",
            raw.arguments.keys().next().map(|name| name.origin(file)),
        ),
        ("permissions", list(&raw.permissions)),
        ("groups", list(&raw.groups)),
        ("network", raw.network.as_ref().map(|value| value.origin(file))),
        (
            "install-seconds",
            raw.install_seconds.as_ref().map(|value| value.origin(file)),
        ),
    ];
    let what = format!("a service of kind `{kind}`");
    checker.meaningless(given, &what, "remove it, or use kind `yunohost-app`");
}

/// Where an app comes from: a directory of the tree, or an archive.
fn source(raw: &RawService, checker: &mut Checker<'_>) -> Option<AppSource> {
    match (&raw.url, &raw.directory) {
        (Some(url), None) => archive(raw, url, checker),
        (None, Some(path)) => in_directory(raw, path, checker),
        (Some(url), Some(_)) => {
            checker
                .wrong(url, "an app comes from one place")
                .help("leave out `url` or `directory`");
            None
        }
        (None, None) => {
            checker
                .wrong(&raw.kind, "where is this app?")
                .help("add `directory = \"apps/...\"`, or `url` with `sha256` and `size`");
            None
        }
    }
}

fn in_directory(raw: &RawService, path: &At<String>, checker: &mut Checker<'_>) -> Option<AppSource> {
    let file = checker.file;
    let of_archive = [
        ("sha256", raw.sha256.as_ref().map(|value| value.origin(file))),
        ("size", raw.size.as_ref().map(|value| value.origin(file))),
    ];
    checker.meaningless(of_archive, "an app in a directory", "remove it");
    if let Err(why) = plain_path(&path.value) {
        checker.wrong(path, why);
        return None;
    }
    Some(AppSource::Directory {
        path: path.value.clone(),
        files: Vec::new(),
    })
}

fn archive(raw: &RawService, url: &At<String>, checker: &mut Checker<'_>) -> Option<AppSource> {
    if !is_address(&url.value) {
        let what = format!("`{}` is not the address of an archive", url.value.escape_debug());
        checker
            .wrong(url, what)
            .help("write it like `https://example.org/my_webapp_ynh/archive/COMMIT.tar.gz`");
        return None;
    }
    let Some(sha256) = &raw.sha256 else {
        checker
            .wrong(url, "this archive does not say its `sha256`")
            .help("add `sha256 = \"...\"`, as `sha256sum FILE` prints it");
        return None;
    };
    let sha256 = checker.sha256(sha256)?;
    let Some(size) = &raw.size else {
        checker
            .wrong(url, "this archive does not say its `size`")
            .help("add it, in bytes");
        return None;
    };
    if !(1..=MOST).contains(&size.value) {
        checker
            .wrong(size, "no app's archive has this size")
            .help(format!("from 1 to {MOST} bytes"));
        return None;
    }
    // The plan counts them before the archive is there.
    for (key, there) in [("ram", raw.ram.is_some()), ("disk", raw.disk.is_some())] {
        if !there {
            checker
                .wrong(url, format!("an app in an archive needs its `{key}` here"))
                .help(format!(
                    "add `{key} = \"...\"`, from its manifest.toml: \
                     `clic plan` can't read an archive that is not downloaded yet"
                ));
        }
    }
    Some(AppSource::Archive {
        url: url.value.clone(),
        sha256,
        size: size.value,
    })
}

/// Values as `YunoHost` takes them from a form: text.
fn arguments(raw: &RawService, checker: &mut Checker<'_>) -> BTreeMap<String, Argument> {
    let mut found = BTreeMap::new();
    for (name, value) in &raw.arguments {
        let origin = value.origin(checker.file);
        if ["domain", "path"].contains(&name.value.as_str()) {
            let what = format!("`{}` is a key of the service itself", name.value);
            let help = format!("write `{} = ...` beside `arguments`", name.value);
            checker.wrong(name, what).help(help);
        }
        let text = match &value.value.0 {
            toml::Value::String(text) if text.contains('\0') => None,
            toml::Value::String(text) => Some(text.clone()),
            toml::Value::Boolean(value) => Some(if *value { "1" } else { "0" }.to_owned()),
            toml::Value::Integer(value) => Some(value.to_string()),
            _ => None,
        };
        let Some(text) = text else {
            let what = format!("`{}` can't be answered with this", name.value);
            checker
                .wrong(&origin, what)
                .help("answers are text, true, false, or whole numbers");
            continue;
        };
        let origin = name.origin(checker.file);
        found.insert(name.value.clone(), Argument { value: text, origin });
    }
    found
}

fn is_word(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    !word.is_empty() && word.len() <= 64 && !word.starts_with('-') && word.bytes().all(plain)
}

/// Of at least two labels (RFC 1123), the last not a number.
fn is_domain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(plain)
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253
        && text.contains('.')
        && text.split('.').all(label)
        && last.starts_with(|first: char| first.is_ascii_lowercase())
}

/// What an app will be installed on.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) arch: Arch,
    pub(crate) board: &'a str,
    pub(crate) emulate: &'a Emulate,
}

/// Looks at a service that is an app together with the recipe's overlays and the board, and reads its manifest and files if
/// they are in the tree.
pub(crate) fn complete(
    tree: &Tree,
    service: &mut Service,
    overlays: &[PlannedOverlay],
    on: Target<'_>,
    problems: &mut Problems,
) {
    let origin = service.origin.clone();
    let Some(app) = service.app() else { return };
    let mut app = app.clone();
    let yunohost = provider(overlays, Capability::YunoHost);
    if let Some(overlay) = yunohost {
        if let Some(Value::String(domain)) = overlay.parameters.get(DOMAIN) {
            if app.domain.is_empty() {
                app.domain.clone_from(domain);
            }
            app.main_domain = app.domain == *domain;
        } else {
            let what = format!(
                "overlay `{}` has no parameter `{DOMAIN}`, which services are on",
                overlay.name
            );
            problems.wrong(&origin, what);
        }
    }
    if let AppSource::Directory { path, files } = &mut app.source {
        let Some((found, manifest)) = directory(tree, path, &origin, problems) else {
            return;
        };
        *files = found;
        // Which app it is, its manifest says.
        app.id.clone_from(&manifest.id);
        service.ram = service.ram.max(manifest.ram);
        service.disk = service.disk.max(manifest.disk);
        if !app.network {
            service.packages.extend(manifest.packages.iter().cloned());
            service.packages.sort();
            service.packages.dedup();
        }
        let found = fits(&manifest, service, &app, on, problems);
        app.manifest = found.then_some(manifest);
    }
    service.place = crate::plan::Place::YunoHost(Box::new(app));
}

/// An app's directory: its files, and its manifest.
fn directory(
    tree: &Tree,
    path: &str,
    origin: &Origin,
    problems: &mut Problems,
) -> Option<(Vec<AppFile>, Manifest)> {
    let before = problems.count();
    let wrong = match tree.place(Path::new(path)) {
        Ok(full) if full.is_dir() => None,
        Ok(_) | Err(Closed::Absent(_)) => Some(format!("there is no directory {path}")),
        Err(closed) => Some(closed.to_string()),
    };
    if let Some(wrong) = wrong {
        problems
            .wrong(origin, wrong)
            .help("`directory` is relative to the tree: it holds the app's manifest.toml");
        return None;
    }
    let mut found = BTreeMap::new();
    let link = |_: &str, _: &str| "put the file itself there".to_owned();
    walk(tree, Path::new(path), "", &link, 0, &mut found, problems);
    // What version control keeps for itself is not the app's.
    found.retain(|path, _| !path.starts_with("/.git/"));
    let mut files = Vec::new();
    let mut left = MOST;
    for (inside, relative) in found {
        let Some(content) = content_of(tree, &relative, problems) else {
            continue;
        };
        left = left.saturating_sub(content.size);
        let meta = tree.root().join(&relative).symlink_metadata();
        files.push(AppFile {
            path: inside.trim_start_matches('/').to_owned(),
            content,
            executable: meta.is_ok_and(|meta| meta.permissions().mode() & 0o100 != 0),
        });
    }
    if left == 0 {
        problems.wrong(
            origin,
            format!("{path} has more than {} in it", size::in_words(MOST)),
        );
    }
    let relative = Path::new(path).join("manifest.toml");
    let text = match tree.read(&relative) {
        Ok(text) => text,
        Err(problem) => {
            problems.push(problem.help("an app of packaging format 2 has one"));
            return None;
        }
    };
    let manifest = manifest::read(&mut Checker::new(&text, problems))?;
    if !files.iter().any(|file| file.path == "scripts/install") {
        problems.push(Problem::file(
            path,
            "has no scripts/install, which installs an app",
        ));
    }
    (problems.count() == before).then_some((files, manifest))
}

/// Reads the manifest of a service's app out of an archive.
///
/// Errors: all that is wrong with it by itself, and with the recipe and board that it is to be for.
pub fn manifest_of(plan: &Plan, service: &Service, text: &str) -> Result<Manifest, Report> {
    let mut problems = Problems::default();
    let on = Target {
        arch: plan.arch,
        board: &plan.board.name,
        emulate: &plan.emulate,
    };
    let name = format!("manifest.toml of service {}", service.name);
    let manifest = manifest::read(&mut Checker::new(&SourceFile::new(name, text), &mut problems));
    if let (Some(manifest), Some(app)) = (&manifest, service.app()) {
        fits(manifest, service, app, on, &mut problems);
    }
    problems.into_result()?;
    manifest.ok_or_else(|| Problem::request("the manifest could not be read, and no reason was noted").into())
}

/// Whether an app is what the recipe takes it for, and can be on the board.
fn fits(manifest: &Manifest, service: &Service, app: &App, on: Target<'_>, problems: &mut Problems) -> bool {
    let before = problems.count();
    let name = &service.name;
    let mut wrong = |what: String, help: String| problems.wrong(&service.origin, what).help(help);
    if manifest.id != app.id {
        wrong(
            format!(
                "the app of service `{name}` is `{}`, not `{}`",
                manifest.id, app.id
            ),
            format!("add `app = \"{}\"`, or take another archive", manifest.id),
        );
    }
    let arch = on.arch.debian();
    if let Some(archs) = &manifest.architectures
        && !archs.iter().any(|known| known == arch)
    {
        wrong(
            format!(
                "service `{name}`: app `{}` is not for {arch}, which a {} is",
                manifest.id, on.board
            ),
            format!("it is for {}; leave it out for this board", quoted(archs)),
        );
    }
    for (key, needed, there) in [
        ("ram", manifest.ram, service.ram),
        ("disk", manifest.disk, service.disk),
    ] {
        if needed > there {
            let needed = size::in_words(needed);
            wrong(
                format!(
                    "service `{name}`: app `{}` takes {needed} of {key}, more than its `{key}`",
                    manifest.id
                ),
                format!("write `{key} = \"{needed}\"`"),
            );
        }
    }
    let most = match on.emulate.machine {
        // It has what it has.
        Machine::Raspi3b => u64::from(on.emulate.memory) << 20,
        Machine::Pc => MOST_BUILD,
    };
    if manifest.ram_build > most {
        wrong(
            format!(
                "service `{name}`: installing app `{}` takes {}, and it is done in a machine with {}",
                manifest.id,
                size::in_words(manifest.ram_build),
                size::in_words(most)
            ),
            "leave it out for this board".to_owned(),
        );
    }
    let asks = |question: &str| manifest.questions.contains_key(question);
    if asks("domain") && !asks("path") && !service.path.is_empty() {
        wrong(
            format!("service `{name}`: app `{}` takes a whole domain", manifest.id),
            "write `path = \"/\"`, and give it a `domain` of its own".to_owned(),
        );
    }
    for (question, argument) in &app.arguments {
        let known = manifest.questions.get(question);
        let (what, help) = match known {
            None | Some(Question::Text) => {
                let names = manifest
                    .questions
                    .iter()
                    .filter(|(_, kind)| **kind != Question::Text);
                let names = names.map(|(name, _)| name.as_str());
                (
                    format!("app `{}` does not ask `{question}`", manifest.id),
                    advice(question, "what it asks", names),
                )
            }
            // One for all devices, which everybody who has the recipe knows.
            Some(Question::Password | Question::NoPassword) => (
                format!("`{question}` is a password, which must not be in an image"),
                "leave it out: if the app needs a password, it gets one that nobody knows".to_owned(),
            ),
            Some(_) => continue,
        };
        problems.wrong(&argument.origin, what).help(help);
    }
    let answered = app.answers(&service.path, manifest);
    for (question, kind) in &manifest.questions {
        if *kind == Question::Open && !answered.iter().any(|(name, _)| name == question) {
            let what = format!(
                "service `{name}`: app `{}` asks `{question}`, which has no answer here",
                manifest.id
            );
            problems
                .wrong(&service.origin, what)
                .help(format!("add `arguments.{question} = ...` to the service"));
        }
    }
    problems.count() == before
}
