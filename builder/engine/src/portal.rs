//! The portal's pages: what the plan says of the device, in the portal room's words.

use anyhow::{Context as _, Result};
use clic_host::{Sha256, UserError};
use clic_portal as portal;
use clic_recipe::Plan;
use clic_recipe::plan::{
    Bundle, BundleItem, BundleKind, Capability, Content, Data, PlannedOverlay, Service, ServiceState, Theme,
    TreeFile, TreeFileKind, Value,
};

use crate::services;

/// The pages as files of the image; none if the recipe has no portal.
///
/// Errors: [`UserError`] with all that cannot be shown.
pub fn files(plan: &Plan) -> Result<Vec<TreeFile>> {
    let Some(overlay) = plan.provider(Capability::Portal) else {
        return Ok(Vec::new());
    };
    let directory = overlay.provides.portal.as_deref();
    let directory = directory.context("a portal without a directory")?;
    let site = site(plan, overlay)?;
    let pages = portal::generate(&site).map_err(|problems| UserError::new(problems.to_string()))?;
    Ok(pages
        .into_iter()
        .map(|page| TreeFile {
            path: format!("{directory}/{}", page.path),
            from: overlay.name.clone(),
            kind: TreeFileKind::File(Content {
                sha256: Sha256::of(&page.bytes),
                size: page.bytes.len() as u64,
                data: Data::Bytes(page.bytes.into()),
            }),
            mode: 0o644,
            owner: "root".to_owned(),
            group: "root".to_owned(),
        })
        .collect())
}

fn text<'a>(overlay: &'a PlannedOverlay, name: &str) -> &'a str {
    match overlay.parameters.get(name) {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

fn is_set(overlay: &PlannedOverlay, name: &str) -> bool {
    matches!(overlay.parameters.get(name), Some(Value::Boolean(true)))
}

fn site(plan: &Plan, overlay: &PlannedOverlay) -> Result<portal::Site> {
    let mut languages = portal::Language::ALL.to_vec();
    languages.sort_by_key(|language| language.tag() != text(overlay, "language"));
    let hotspot = plan
        .provider(Capability::Hotspot)
        .map(|hotspot| hotspot_of(hotspot, overlay))
        .transpose()?;
    let title = portal::Texts::from([("fr", &*plan.recipe.title), ("en", &*plan.recipe.title)]);
    Ok(portal::Site {
        languages,
        edition: portal::Edition {
            title,
            welcome: portal::Texts::default(),
            version: None,
        },
        hotspot,
        themes: std::collections::BTreeMap::new(),
        services: plan.services.iter().map(service).collect(),
        bundles: plan.bundles.iter().map(bundle).collect(),
    })
}

fn hotspot_of(hotspot: &PlannedOverlay, overlay: &PlannedOverlay) -> Result<portal::Hotspot> {
    let passphrase = Some(text(hotspot, "passphrase")).filter(|passphrase| !passphrase.is_empty());
    let address = text(hotspot, "address").split('/').next().unwrap_or_default();
    Ok(portal::Hotspot {
        ssid: text(hotspot, "ssid").to_owned(),
        ssid_suffix: is_set(hotspot, "ssid_suffix"),
        hidden: is_set(hotspot, "hidden"),
        security: if passphrase.is_some() {
            portal::Security::Wpa
        } else {
            portal::Security::Open
        },
        passphrase: passphrase
            .filter(|_| is_set(overlay, "show_passphrase"))
            .map(str::to_owned),
        domain: text(hotspot, "domain").to_owned(),
        address: address
            .parse()
            .with_context(|| format!("{address:?} is not an address"))?,
    })
}

fn texts(texts: &clic_recipe::plan::Texts) -> portal::Texts {
    portal::Texts(texts.clone())
}

fn service(service: &Service) -> portal::Service {
    portal::Service {
        id: service.name.clone(),
        title: texts(&service.title),
        description: texts(&service.description),
        theme: services::category(service.category).to_owned(),
        path: format!("{}/", service.path),
        host: service.app().map(|app| app.domain.clone()),
        https: service.app().is_some(),
        icon: None,
        state: match service.state {
            ServiceState::Enabled => portal::State::On,
            ServiceState::Dormant => portal::State::Off,
        },
    }
}

fn bundle(bundle: &Bundle) -> portal::Bundle {
    let listed = || bundle.items.iter().filter(|item| item.listed);
    let kind = match bundle.kind {
        BundleKind::Site => portal::Kind::Site,
        BundleKind::Zim => portal::Kind::Zim,
        BundleKind::Videos => portal::Kind::Videos,
        BundleKind::Audio => portal::Kind::Audio,
        BundleKind::Books => portal::Kind::Books,
        BundleKind::Course => portal::Kind::Course,
        BundleKind::Files => portal::Kind::Files,
    };
    // A site begins with its first directory's first page; the other kinds list what they have.
    let start = listed()
        .find(|item| item.is_directory())
        .filter(|_| kind == portal::Kind::Site);
    portal::Bundle {
        id: bundle.name.clone(),
        kind,
        title: texts(&bundle.title),
        description: texts(&bundle.description),
        theme: theme(bundle.theme).to_owned(),
        languages: vec![bundle.language.clone()],
        licence: portal::Licence {
            spdx: bundle.licence.clone(),
            credit: bundle.credit.clone(),
            source: None,
        },
        size: bundle.size(),
        start: start.map(opens),
        icon: None,
        entries: listed().map(|item| entry(item, kind)).collect(),
    }
}

fn entry(item: &BundleItem, kind: portal::Kind) -> portal::Entry {
    // Forms of one book: `tale.epub`, `tale.pdf`, and the pages in `tale/`.
    let stem = item.path.rsplit_once('.').map_or(&*item.path, |(stem, _)| stem);
    let work = (kind == portal::Kind::Books).then(|| {
        if item.is_directory() {
            item.path.clone()
        } else {
            stem.to_owned()
        }
    });
    portal::Entry {
        path: opens(item),
        size: item.size(),
        media_type: None,
        title: texts(&item.title),
        description: portal::Texts::default(),
        duration: None,
        work,
    }
}

/// What is opened to see an item: itself, or the first page of a directory.
fn opens(item: &BundleItem) -> String {
    if item.is_directory() {
        let start = item.start.as_deref().unwrap_or("index.html");
        format!("{}/{start}", item.path)
    } else {
        item.path.clone()
    }
}

fn theme(theme: Theme) -> &'static str {
    match theme {
        Theme::Arts => "arts",
        Theme::Children => "children",
        Theme::City => "city",
        Theme::Commons => "commons",
        Theme::Computing => "computing",
        Theme::Food => "food",
        Theme::Health => "health",
        Theme::Knowledge => "knowledge",
        Theme::Languages => "languages",
        Theme::Making => "making",
        Theme::Music => "music",
        Theme::Nature => "nature",
        Theme::Rights => "rights",
        Theme::School => "school",
        Theme::Talk => "talk",
        Theme::Work => "work",
        Theme::Other => "other",
    }
}
