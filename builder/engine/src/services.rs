//! Services as the device knows them: a file for each in `/usr/share/clic/services.d` (the overlay `services` says what they
//! mean), and what makes their secrets anew on each device.

use anyhow::{Context as _, Result};
use clic_host::{Sha256, UserError};
use clic_recipe::Plan;
use clic_recipe::plan::{
    Category, Content, Data, Place, Service, ServiceKind, ServiceState, Texts, TreeFile, TreeFileKind,
};
use serde::Serialize;

/// The overlay that reads them.
const OVERLAY: &str = "services";
/// Where they are on the device.
const DIRECTORY: &str = "/usr/share/clic/services.d";

/// The files, one for each service of the recipe, and its step of first boot.
///
/// Errors: [`UserError`] if nothing on the device would read them.
pub fn files(plan: &Plan) -> Result<Vec<TreeFile>> {
    let Some(first) = plan.services.first() else {
        return Ok(Vec::new());
    };
    if !plan.overlays.iter().any(|overlay| overlay.name == OVERLAY) {
        let what = format!(
            "{}: service `{}` needs the overlay `{OVERLAY}`",
            first.origin, first.name
        );
        return Err(UserError::new(what)
            .help(format!("add \"{OVERLAY}\" to the recipe's `overlays`"))
            .into());
    }
    let mut files = Vec::new();
    for service in &plan.services {
        let text = toml::to_string(&File::of(service)).context("writing a service's file")?;
        let bytes = text.into_bytes();
        let content = Content {
            sha256: Sha256::of(&bytes).to_string(),
            size: bytes.len() as u64,
            data: Data::Bytes(bytes.into()),
        };
        files.push(file(
            format!("{DIRECTORY}/{}.toml", service.name),
            OVERLAY,
            content,
        ));
        // Not before the bakes: what they make is thrown away anyway, and a placeholder is for the device.
        if let Some(step) = &service.first_boot {
            let content = step.content.clone().context("a step without its text")?;
            files.push(file(step.path.clone(), &service.name, content));
        }
    }
    Ok(files)
}

fn file(path: String, from: &str, content: Content) -> TreeFile {
    TreeFile {
        path,
        from: from.to_owned(),
        kind: TreeFileKind::File(content),
        mode: 0o644,
        owner: "root".to_owned(),
        group: "root".to_owned(),
    }
}

/// What the device's `clic-service` reads.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct File<'a> {
    schema: u32,
    kind: &'static str,
    state: &'static str,
    category: &'static str,
    units: &'a [String],
    packages: &'a [String],
    ram: u64,
    disk: u64,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    needs: &'a [String],
    conflicts: &'a [String],
    start_seconds: u64,
    title: &'a Texts,
    description: &'a Texts,
    #[serde(skip_serializing_if = "Option::is_none")]
    yunohost: Option<YunoHost<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nginx: Option<Nginx<'a>>,
}

#[derive(Serialize)]
struct YunoHost<'a> {
    app: &'a str,
    permissions: &'a [String],
    groups: &'a [String],
}

#[derive(Serialize)]
struct Nginx<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

impl<'a> File<'a> {
    fn of(service: &'a Service) -> Self {
        let nginx = |root, port| Some(Nginx { root, port });
        let nginx = match &service.place {
            Place::Root(root) => nginx(Some(root.as_str()), None),
            Place::Port(port) => nginx(None, Some(*port)),
            Place::YunoHost(_) => None,
        };
        let app = service.app();
        Self {
            schema: 1,
            kind: match service.kind {
                ServiceKind::Debian => "debian",
                ServiceKind::Static => "static",
                ServiceKind::YunohostApp => "yunohost-app",
            },
            state: match service.state {
                ServiceState::Enabled => "enabled",
                ServiceState::Dormant => "dormant",
            },
            category: category(service.category),
            units: &service.units,
            packages: &service.packages,
            ram: service.ram,
            disk: service.disk,
            path: &service.path,
            domain: app.map(|app| app.domain.as_str()),
            needs: &service.needs,
            conflicts: &service.conflicts,
            start_seconds: service.start_seconds,
            title: &service.title,
            description: &service.description,
            yunohost: app.map(|app| YunoHost {
                app: &app.id,
                permissions: &app.permissions,
                groups: &app.groups,
            }),
            nginx,
        }
    }
}

/// The portal's theme of a category.
pub fn category(category: Category) -> &'static str {
    match category {
        Category::Files => "files",
        Category::Writing => "writing",
        Category::Video => "video",
        Category::Learning => "learning",
        Category::Exchange => "exchange",
        Category::Participation => "participation",
    }
}
