//! Services as the device knows them: a file for each in the directory of the overlay that provides `services` and says what
//! they mean, and what makes their secrets anew on each device.

use anyhow::{Context as _, Result};
use clic_host::Sha256;
use clic_recipe::Plan;
use clic_recipe::plan::{
    Capability, Category, Content, Data, Place, Service, ServiceKind, ServiceState, Texts, TreeFile,
    TreeFileKind,
};
use serde::Serialize;

/// The files, one for each service of the recipe, and its step of first boot.
pub fn files(plan: &Plan) -> Result<Vec<TreeFile>> {
    if plan.services.is_empty() {
        return Ok(Vec::new());
    }
    let overlay = plan.provider(Capability::Services);
    let overlay = overlay.context("services in a plan without an overlay for them")?;
    let directory = overlay.provides.services.as_deref();
    let directory = directory.context("services without a directory")?;
    let mut files = Vec::new();
    for service in &plan.services {
        let text = toml::to_string(&File::of(service)).context("writing a service's file")?;
        let bytes = text.into_bytes();
        let content = Content {
            sha256: Sha256::of(&bytes),
            size: bytes.len() as u64,
            data: Data::Bytes(bytes.into()),
        };
        files.push(file(
            format!("{directory}/{}.toml", service.name),
            &overlay.name,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    uploads: Option<u64>,
}

impl<'a> File<'a> {
    fn of(service: &'a Service) -> Self {
        let (root, port) = match &service.place {
            Place::Root(root) => (Some(root.as_str()), None),
            Place::Port(port) => (None, Some(*port)),
            Place::YunoHost(_) => (None, None),
        };
        let uploads = Some(service.uploads).filter(|bytes| *bytes > 0);
        let nginx = (root.is_some() || port.is_some()).then_some(Nginx { root, port, uploads });
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
