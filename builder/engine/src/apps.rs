//! `YunoHost`'s apps: had, checked, and how each is installed in the running system while the image is built.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use clic_archive::Resolution;
use clic_content::app;
use clic_debian::uri;
use clic_debian::version::compare as compare_versions;
use clic_host::{Sha256, UserError};
use clic_recipe::plan::{
    self, Answer, AppSource, Bake, Capability, Manifest, Service, ServiceState, Texts, Value, YunoHost,
};
use clic_recipe::{Plan, manifest_of};
use clic_store::{Download, NoSpace, Session, Store};
use clic_tree::FileTree;

/// Seconds for each step that tells `YunoHost` something: it starts in 10 on an emulated processor, and makes its directory and its
/// single sign-on's settings anew.
const TELLING: u64 = 900;
/// Memory in bytes for the system that an app is installed in: `YunoHost` with its mail, directory and web servers, and apt.
const SYSTEM: u64 = 1 << 30;
/// Free space in bytes that `YunoHost` wants to see before it installs anything (512 MB), and as much to work with.
const FREE: u64 = 1 << 30;

/// An app that is to be installed.
pub struct App<'a> {
    /// Its service.
    pub service: &'a Service,
    /// Its folder.
    pub files: FileTree,
    /// What tells one folder from another.
    pub identity: String,
    /// What is done to install it, in the running system.
    pub steps: Vec<Bake>,
    /// Least memory in bytes of the machine that it is installed in.
    pub memory: u64,
    /// Free space in bytes that its installation has.
    pub free: u64,
}

/// How many apps a plan has.
pub fn count(plan: &Plan) -> usize {
    let apps = plan.services.iter().filter(|service| service.app().is_some());
    apps.count()
}

/// Has the folders of the apps of a plan, up to the first whose archive the store does not have, and holds their manifests against
/// recipe, board and packages. Those in archives are not known before: a plan has what the recipe says of them, and here that must be
/// enough.
///
/// Errors: what does not suit, at the service's line; archives that are not what apps are.
pub fn there<'a>(plan: &'a Plan, resolution: &Resolution, store: &Store) -> Result<Vec<App<'a>>> {
    let mut apps = Vec::new();
    for service in &plan.services {
        let Some(app) = service.app() else { continue };
        let of = || format!("{}: service `{}`", service.origin, service.name);
        let (files, identity) = match &app.source {
            AppSource::Directory { files, .. } => {
                (app::files(files).with_context(of)?, serde_json::to_string(files)?)
            }
            AppSource::Archive { sha256, .. } => {
                if store.whole(*sha256)?.is_none() {
                    break;
                }
                (unpacked(service, *sha256, store)?, sha256.to_string())
            }
        };
        let read;
        let manifest = if let Some(manifest) = &app.manifest {
            manifest
        } else {
            read = manifest(plan, service, &files)?;
            &read
        };
        suits(plan, service, manifest, resolution)?;
        apps.push(App {
            service,
            files,
            identity,
            steps: steps(plan, service, app, manifest),
            memory: SYSTEM.saturating_add(manifest.ram_build.max(manifest.ram)),
            free: FREE.saturating_add(service.disk.saturating_mul(2)),
        });
    }
    Ok(apps)
}

/// Has the archives in the store.
pub fn fetch(plan: &Plan, session: Session<'_>) -> Result<()> {
    let (store, progress) = (session.store, session.progress);
    let downloads: Vec<Download> = plan.services.iter().filter_map(download).collect();
    if downloads.is_empty() {
        return Ok(());
    }
    let missing = store.missing(&downloads).len();
    let why = match missing {
        0 => "all of them are in the store".to_owned(),
        _ => format!("{missing} of {} are not in the store", downloads.len()),
    };
    let stage = progress.stage("apps", "Apps of YunoHost", &why);
    store.fetch_all(&downloads, &stage)?;
    stage.finish();
    Ok(())
}

fn download(service: &Service) -> Option<Download> {
    match &service.app()?.source {
        AppSource::Directory { .. } => None,
        AppSource::Archive { url, sha256, size } => Some(Download {
            url: url.clone(),
            sha256: *sha256,
            size: *size,
            name: format!("app of service {}", service.name),
        }),
    }
}

/// The folder in an archive that the store has.
fn unpacked(service: &Service, sha256: Sha256, store: &Store) -> Result<FileTree> {
    let path = store
        .verified(sha256)?
        .context("the archive is no longer in the store")?;
    app::unpacked(&path, store).map_err(|error| {
        if error.is::<clic_host::Cancelled>() || error.is::<NoSpace>() {
            return error;
        }
        UserError::new(format!(
            "{}: the archive of service `{}` can't be used: {error:#}",
            service.origin, service.name
        ))
        .help("take another archive; nothing of it was put into an image")
        .into()
    })
}

fn manifest(plan: &Plan, service: &Service, files: &FileTree) -> Result<Manifest> {
    let text = files
        .content("manifest.toml")?
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| {
        let what = format!(
            "{}: the archive of service `{}` has no manifest.toml",
            service.origin, service.name
        );
        UserError::new(what).help("apps of packaging format 2 have one at their top")
    })?;
    if files.get("scripts/install").is_none() {
        let what = format!(
            "{}: the archive of service `{}` has no scripts/install",
            service.origin, service.name
        );
        return Err(UserError::new(what)
            .help("take the archive of an app of YunoHost")
            .into());
    }
    Ok(manifest_of(plan, service, &text)?)
}

/// What an archive in the store says, for who only asks; `None` if it is not there.
///
/// Errors: as [`there`].
pub fn look(plan: &Plan, service: &Service, store: &Store) -> Result<Option<Manifest>> {
    let Some(AppSource::Archive { sha256, .. }) = service.app().map(|app| &app.source) else {
        return Ok(None);
    };
    if store.whole(*sha256)?.is_none() {
        return Ok(None);
    }
    manifest(plan, service, &unpacked(service, *sha256, store)?).map(Some)
}

/// Whether the apps whose manifests are known can be installed among exactly these packages.
pub fn suit(plan: &Plan, resolution: &Resolution) -> Result<()> {
    for service in &plan.services {
        if let Some(manifest) = service.app().and_then(|app| app.manifest.as_ref()) {
            suits(plan, service, manifest, resolution)?;
        }
    }
    Ok(())
}

/// Whether an app can be installed among exactly these packages.
///
/// Errors: [`UserError`] if its `YunoHost` is too old, or a package that it names is not there and cannot be fetched either.
fn suits(plan: &Plan, service: &Service, manifest: &Manifest, resolution: &Resolution) -> Result<()> {
    let (origin, name) = (&service.origin, &service.name);
    let package = yunohost(plan).map(|yunohost| &yunohost.package);
    let there = package.and_then(|package| resolution.get(package));
    let there = there.map(|package| package.version.as_str());
    if let (Some(needed), Some(there)) = (&manifest.yunohost, there)
        && compare_versions(there, needed) == Ordering::Less
    {
        let what = format!(
            "{origin}: service `{name}`: app `{}` needs YunoHost {needed}, and this image has {there}",
            manifest.id
        );
        return Err(UserError::new(what)
            .help("take an older archive of the app, or a newer YunoHost")
            .into());
    }
    let network = service.app().is_some_and(|app| app.network);
    let missing = manifest
        .packages
        .iter()
        .find(|package| resolution.get(package).is_none());
    if let (Some(package), false) = (missing, network) {
        let what = format!(
            "{origin}: service `{name}`: app `{}` needs the package {package}, which the image does not have",
            manifest.id
        );
        return Err(UserError::new(what)
            .help(format!(
                "add it to the service: `packages = [\"{package}\"]`; or let the installation fetch it: `network = true`"
            ))
            .into());
    }
    Ok(())
}

/// What the recipe's overlays say of their `YunoHost`.
fn yunohost(plan: &Plan) -> Option<&YunoHost> {
    plan.provider(Capability::YunoHost)?.provides.yunohost.as_ref()
}

/// The language of people whose browser asks for none that the portal speaks: `YunoHost` calls an app by one name.
fn language(plan: &Plan) -> &str {
    match plan
        .provider(Capability::Portal)
        .and_then(|overlay| overlay.parameters.get("language"))
    {
        Some(Value::String(language)) => language,
        _ => "fr",
    }
}

/// What is done in the running system. All of it can be done again.
fn steps(plan: &Plan, service: &Service, app: &plan::App, manifest: &Manifest) -> Vec<Bake> {
    let step = |name: String, command: String, timeout: u64, network: bool| Bake {
        name,
        from: format!("service {}", service.name),
        command,
        timeout,
        network,
    };
    let tell = |name: &str, command: String| step(name.to_owned(), command, TELLING, false);
    // It asks for its web server and others before it installs anything.
    let ready = yunohost(plan).map(|yunohost| tell("all of YunoHost runs", yunohost.ready.clone()));
    let mut steps = Vec::from_iter(ready);
    if !app.main_domain {
        let domain = &app.domain;
        steps.push(tell(
            "YunoHost knows its domain",
            format!("yunohost domain info {domain} >/dev/null 2>&1 || yunohost domain add {domain}"),
        ));
    }
    let folder = Path::new("/").join(app::DIRECTORY).join(&service.name);
    steps.push(step(
        format!("app {} is installed", app.id),
        format!(
            "yunohost app install {} --force --label {} --args {}",
            folder.display(),
            quoted(title(&service.title, language(plan))),
            arguments(&app.answers(&service.path, manifest)),
        ),
        app.timeout,
        app.network,
    ));
    let on = service.state == ServiceState::Enabled;
    if !app.permissions.is_empty() {
        steps.push(tell(
            if on {
                "people may use it"
            } else {
                "nobody may use it yet"
            },
            permissions(app, on),
        ));
    }
    if !service.units.is_empty() {
        let units = service.units.join(" ");
        steps.push(if on {
            tell(
                "its units run",
                format!("systemctl enable {units} && systemctl is-active {units}"),
            )
        } else {
            tell("its units are off", format!("systemctl disable --now {units}"))
        });
    }
    steps
}

fn title<'a>(texts: &'a Texts, language: &str) -> &'a str {
    texts
        .get(language)
        .or_else(|| texts.values().next())
        .map_or("", String::as_str)
}

/// As `clic-service` has them: what is on has its groups and a tile, and what is off has neither.
fn permissions(app: &plan::App, on: bool) -> String {
    let names: Vec<String> = app
        .permissions
        .iter()
        .map(|name| format!("{}.{name}", app.id))
        .collect();
    let groups: &[String] = if on { &app.groups } else { &[] };
    let (tile, off) = if on { ("True", "False") } else { ("False", "True") };
    // Both lists are of plain words, which JSON and Python write alike.
    format!(
        r#"python3 -B - <<'END'
import json, subprocess

def permission(*words):
    told = subprocess.run(["yunohost", "user", "permission", *words], check=True, stdout=subprocess.PIPE, text=True)
    return told.stdout

for name in {names:?}:
    permission("update", name, "--show_tile", "{tile}")
    allowed = json.loads(permission("info", name, "--json"))["allowed"]
    more = [group for group in {groups:?} if group not in allowed]
    if more:
        permission("add", name, *more)
    if {off} and allowed:
        permission("remove", name, *allowed)
END"#
    )
}

/// Answers as the query of a URL, as a word of a shell.
fn arguments(answers: &[(&str, Answer<'_>)]) -> String {
    let mut word = String::new();
    for (name, answer) in answers {
        let and = if word.is_empty() { "" } else { "&" };
        // Writing to a String cannot fail.
        let _ = match answer {
            Answer::Text(text) => write!(word, "{}", quoted(&format!("{and}{name}={}", uri::word(text)))),
            // Of all kinds of characters, and much more than anybody guesses.
            Answer::Random => write!(
                word,
                "{}\"$(od -An -N24 -tx1 /dev/urandom | tr -d ' \\n')\"",
                quoted(&format!("{and}{name}=Aa1-"))
            ),
        };
    }
    if word.is_empty() { quoted("") } else { word }
}

/// One word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::resolution;
    use crate::{portal, services};

    const RECIPE: &str = r#"schema = 1
title = "T"
suite = "bookworm"
boards = ["x86-pc"]
overlays = ["base", "hotspot", "portal", "first-boot", "services", "yunohost"]

[parameters.hotspot]
country = "FR"

[[service]]
name = "notes"
kind = "yunohost-app"
state = "STATE"
title = { fr = "Carnet d'ici", en = "Notes" }
description = { fr = "D", en = "D" }
category = "writing"
path = "/notes"
DOMAIN
url = "https://example.org/notes.tar.gz"
sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
size = 9
app = "my_notes"
units = ["notes.service"]
arguments = { greeting = "l'été & co", tidy = false }
ram = "50M"
disk = "20M"
"#;

    const MANIFEST: &str = "packaging_format = 2\nid = \"my_notes\"\n[integration]\nyunohost = \">= 12.1\"\n\
        [install]\ndomain.type = \"domain\"\npath.type = \"path\"\ngreeting.type = \"string\"\ntidy.type = \"boolean\"\n\
        password.type = \"password\"\n[resources.apt]\npackages = \"nginx, sqlite3\"\n";

    fn plan(state: &str, domain: &str) -> Plan {
        let tree = clic_recipe::Tree::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let recipe = dir.path().join("apps.toml");
        std::fs::write(&recipe, RECIPE.replace("STATE", state).replace("DOMAIN", domain)).unwrap();
        let options = clic_recipe::ResolveOptions::default();
        clic_recipe::resolve(&tree, recipe.to_str().unwrap(), "x86-pc", &options)
            .unwrap_or_else(|report| panic!("{report}"))
    }

    fn steps_of(plan: &Plan) -> Vec<Bake> {
        let service = &plan.services[0];
        let manifest = manifest_of(plan, service, MANIFEST).unwrap();
        steps(plan, service, service.app().unwrap(), &manifest)
    }

    #[test]
    fn an_app_is_installed_then_let_in_then_run() {
        let steps = steps_of(&plan("enabled", ""));
        let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "all of YunoHost runs",
                "app my_notes is installed",
                "people may use it",
                "its units run"
            ]
        );
        assert!(
            steps
                .iter()
                .all(|step| step.from == "service notes" && !step.network)
        );
        assert_eq!(
            steps[1].command,
            r"yunohost app install /usr/share/clic/yunohost-apps/notes --force --label 'Carnet d'\''ici' \
              --args 'domain=clic.internal''&greeting=l%27%C3%A9t%C3%A9%20%26%20co''&password=Aa1-'"
                .replace("\\\n              ", "")
                + "\"$(od -An -N24 -tx1 /dev/urandom | tr -d ' \\n')\"'&path=%2Fnotes''&tidy=0'"
        );
        assert!(
            steps[2].command.contains(r#"for name in ["my_notes.main"]:"#),
            "{}",
            steps[2].command
        );
        assert!(
            steps[2].command.contains(r#"in ["visitors", "all_users"] if"#),
            "{}",
            steps[2].command
        );
        assert!(
            steps[2].command.contains("if False and allowed"),
            "{}",
            steps[2].command
        );
        assert!(steps[3].command.starts_with("systemctl enable notes.service"));
    }

    #[test]
    fn a_dormant_app_is_nobodys_and_does_not_run() {
        let steps = steps_of(&plan("dormant", "domain = \"notes.clic.internal\""));
        let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
        let wanted = [
            "all of YunoHost runs",
            "YunoHost knows its domain",
            "app my_notes is installed",
            "nobody may use it yet",
            "its units are off",
        ];
        assert_eq!(names, wanted);
        assert!(
            steps[1]
                .command
                .ends_with("|| yunohost domain add notes.clic.internal")
        );
        assert!(
            steps[3].command.contains(r#""--show_tile", "False")"#)
                && steps[3].command.contains("if True and allowed")
        );
        assert_eq!(steps[4].command, "systemctl disable --now notes.service");
    }

    #[test]
    fn the_device_and_the_portal_know_where_it_is() {
        let text = |file: &plan::TreeFile| match &file.kind {
            plan::TreeFileKind::File(content) => {
                String::from_utf8(content.data.read().unwrap().to_vec()).unwrap()
            }
            other => panic!("{other:?}"),
        };
        let plan = plan("enabled", "");
        let files = services::files(&plan).unwrap();
        let told = text(&files[0]);
        assert!(
            told.starts_with("schema = 1\nkind = \"yunohost-app\"\nstate = \"enabled\"\n"),
            "{told}"
        );
        for line in [
            "path = \"/notes\"\ndomain = \"clic.internal\"\n",
            "[yunohost]\napp = \"my_notes\"\npermissions = [\"main\"]\ngroups = [\"visitors\", \"all_users\"]\n",
            "ram = 52428800\ndisk = 20971520\n",
        ] {
            assert!(told.contains(line), "{line}\n{told}");
        }
        assert!(!told.contains("nginx"), "{told}");
        let pages = portal::files(&plan).unwrap();
        let home = pages
            .iter()
            .find(|file| file.path.ends_with("/en/index.html"))
            .unwrap();
        let home = text(home).replace("&#x2f;", "/");
        assert!(home.contains("href=\"https://clic.internal/notes/\""), "{home}");
    }

    #[test]
    fn the_device_knows_what_may_be_sent() {
        let mut plan = plan("enabled", "");
        plan.services[0].place = plan::Place::Port(9001);
        for (uploads, wanted) in [
            (0, "[nginx]\nport = 9001\n"),
            (1 << 20, "[nginx]\nport = 9001\nuploads = 1048576\n"),
        ] {
            plan.services[0].uploads = uploads;
            let plan::TreeFileKind::File(content) = services::files(&plan).unwrap().remove(0).kind else {
                panic!("a service's file is not a file");
            };
            let told = String::from_utf8(content.data.read().unwrap().to_vec()).unwrap();
            assert!(told.ends_with(wanted), "{told}");
        }
    }

    #[test]
    fn an_app_wants_its_yunohost_and_its_packages() {
        let plan = plan("enabled", "");
        let service = &plan.services[0];
        let manifest = manifest_of(&plan, service, MANIFEST).unwrap();
        let with = |packages: &[(&str, &str)]| suits(&plan, service, &manifest, &resolution(packages));
        with(&[("nginx", "1"), ("sqlite3", "3"), ("yunohost", "12.1.25")]).unwrap();
        let said = with(&[("nginx", "1"), ("sqlite3", "3"), ("yunohost", "12.0.9")]).unwrap_err();
        let said = format!("{said:#}");
        assert!(said.contains("apps.toml:11:8: service `notes`: app `my_notes` needs YunoHost 12.1, and this image has 12.0.9"), "{said}");
        let said = format!(
            "{:#}",
            with(&[("nginx", "1"), ("yunohost", "12.1.25")]).unwrap_err()
        );
        assert!(
            said.contains("needs the package sqlite3, which the image does not have"),
            "{said}"
        );
        assert!(said.contains(r#"packages = ["sqlite3"]"#), "{said}");
    }
}
