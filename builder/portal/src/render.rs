//! Pages from templates, and the few other files beside them.

use std::collections::BTreeMap;

use clic_host::Sha256;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use serde::Serialize;
use serde_json::json;

use crate::check::{Problems, check};
use crate::site::{Security, Site};
use crate::view::{Viewer, bundle_path, capitalised, paragraphs, pick, service_url};
use crate::{icons, qr, strings, works};

const STYLE: &str = include_str!("../assets/portal.css");
const SCRIPT: &str = include_str!("../assets/portal.js");
const ICON: &str = include_str!("../assets/icon.svg");
const ART: &str = include_str!("../assets/art.svg");

const TEMPLATES: [(&str, &str); 10] = [
    ("about.html", include_str!("../templates/about.html")),
    ("base.html", include_str!("../templates/base.html")),
    ("bundle.html", include_str!("../templates/bundle.html")),
    ("connect.html", include_str!("../templates/connect.html")),
    ("home.html", include_str!("../templates/home.html")),
    ("macros.html", include_str!("../templates/macros.html")),
    ("missing.html", include_str!("../templates/missing.html")),
    ("player.html", include_str!("../templates/player.html")),
    ("status.html", include_str!("../templates/status.html")),
    ("unavailable.html", include_str!("../templates/unavailable.html")),
];

/// A file of the portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative to the portal's directory.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// All files of the portal, sorted by path.
///
/// # Errors
/// Everything that is wrong with the site.
pub fn generate(site: &Site) -> Result<Vec<File>, Problems> {
    check(site)?;
    let assets = Assets::new();
    let engine = engine();
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::from([
        (assets.style.clone(), STYLE.into()),
        (assets.script.clone(), SCRIPT.into()),
        (assets.icon.clone(), ICON.into()),
    ]);
    for &language in &site.languages {
        let pages = Pages {
            viewer: Viewer { site, language },
            engine: &engine,
            assets: &assets,
        };
        pages.all(&mut files);
    }
    Ok(files
        .into_iter()
        .map(|(path, bytes)| File { path, bytes })
        .collect())
}

/// Paths of the files that all pages share. Their names have their content's hash, so that a browser can keep them for
/// ever: also when the next box that it meets under the same name is another one.
struct Assets {
    style: String,
    script: String,
    icon: String,
}

impl Assets {
    fn new() -> Self {
        let path = |name: &str, extension: &str, content: &str| {
            format!("assets/{name}-{:.8}.{extension}", Sha256::of(content))
        };
        Self {
            style: path("portal", "css", STYLE),
            script: path("portal", "js", SCRIPT),
            icon: path("icon", "svg", ICON),
        }
    }
}

fn engine() -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::Html);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    engine.set_syntax(syntax.expect("only delimiters can be wrong, and we leave them as they are"));
    engine.add_function("icon", |name: &str| {
        icons::svg(name).map(Value::from_safe_string).ok_or_else(|| {
            minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, format!("no icon {name}"))
        })
    });
    for (name, text) in TEMPLATES {
        // They are part of the binary, and every test renders them.
        engine
            .add_template(name, text)
            .unwrap_or_else(|error| panic!("template {name}: {error:#}"));
    }
    engine
}

/// The pages of one language.
struct Pages<'a> {
    viewer: Viewer<'a>,
    engine: &'a Environment<'static>,
    assets: &'a Assets,
}

impl Pages<'_> {
    fn all(&self, files: &mut BTreeMap<String, Vec<u8>>) {
        let viewer = &self.viewer;
        let site = viewer.site;
        let welcome = pick(&site.edition.welcome, viewer.language, site);
        let home = context! {
            home => true,
            welcome => value(&paragraphs(welcome)),
            services => value(&viewer.service_tiles()),
            themes => value(&viewer.themes()),
            content_languages => value(&viewer.content_languages()),
            domain => site.hotspot.as_ref().map(|hotspot| hotspot.domain.as_str()),
            art => Value::from_safe_string(ART.to_owned()),
        };
        self.page(files, "home.html", "", home);
        for bundle in &site.bundles {
            let view = context! { bundle => value(&viewer.bundle(bundle)) };
            self.page(files, "bundle.html", &bundle_path(bundle), view);
        }
        self.page(files, "connect.html", "connect", self.connect());
        self.page(files, "status.html", "status", context! {});
        self.page(files, "about.html", "about", self.about());
        let tag = viewer.language.tag();
        files.insert(format!("{tag}/search.json"), self.search_index());
        for name in ["missing.html", "unavailable.html"] {
            files.insert(format!("{tag}/{name}"), self.render(name, "", context! {}));
        }
    }

    fn page(&self, files: &mut BTreeMap<String, Vec<u8>>, template: &str, path: &str, own: Value) {
        let tag = self.viewer.language.tag();
        let file = match path {
            "" => format!("{tag}/index.html"),
            path => format!("{tag}/{path}/index.html"),
        };
        files.insert(file, self.render(template, path, own));
    }

    /// Renders a template with what all pages know. `path` is the page's own below its language's directory.
    fn render(&self, template: &str, path: &str, own: Value) -> Vec<u8> {
        let Viewer { site, language } = self.viewer;
        let others: Vec<Value> = site
            .languages
            .iter()
            .filter(|other| **other != language)
            .map(|other| {
                let name = strings::text(*other, "language", other.tag());
                context! { tag => other.tag(), name => capitalised(name) }
            })
            .collect();
        let slash = if path.is_empty() { "" } else { "/" };
        let page = context! {
            ui => value(strings::of(language)),
            lang => language.tag(),
            path => Value::from_safe_string(format!("{path}{slash}")),
            others,
            edition => value(&pick(&site.edition.title, language, site)),
            version => site.edition.version.as_deref(),
            style => Value::from_safe_string(self.assets.style.clone()),
            script => Value::from_safe_string(self.assets.script.clone()),
            shortcut => Value::from_safe_string(self.assets.icon.clone()),
            // Words for the script, as a block of data: `<` can't end it.
            words => Value::from_safe_string(
                json!(strings::of(language)["script"]).to_string().replace('<', "\\u003c"),
            ),
            ..own
        };
        let rendered = self
            .engine
            .get_template(template)
            .and_then(|template| template.render(page))
            .unwrap_or_else(|error| panic!("template {template}: {error:#}"));
        rendered.into_bytes()
    }

    fn connect(&self) -> Value {
        let Some(hotspot) = &self.viewer.site.hotspot else {
            return context! { hotspot => None::<()> };
        };
        let drawing = |text: String| qr::svg(&text).map(Value::from_safe_string);
        context! {
            hotspot => value(hotspot),
            wifi_code => qr::wifi(hotspot).and_then(drawing),
            // Drawn by the device, which knows its name's ending.
            device_code => hotspot.ssid_suffix
                && (hotspot.security == Security::Open || hotspot.passphrase.is_some()),
            address_code => drawing(format!("http://{}/", hotspot.domain)),
            number => match hotspot.address {
                std::net::IpAddr::V4(address) => address.to_string(),
                std::net::IpAddr::V6(address) => format!("[{address}]"),
            },
        }
    }

    fn about(&self) -> Value {
        let viewer = &self.viewer;
        let bundles: Vec<Value> = viewer
            .site
            .bundles
            .iter()
            .map(|bundle| {
                context! {
                    title => value(&pick(&bundle.title, viewer.language, viewer.site)),
                    url => Value::from_safe_string(viewer.bundle_url(bundle)),
                    licence => value(&viewer.licence(bundle)),
                    size => strings::size(viewer.language, bundle.size),
                }
            })
            .collect();
        context! { bundles }
    }

    /// What the search looks through: also the works inside of bundles, which the home page does not list.
    fn search_index(&self) -> Vec<u8> {
        let viewer = &self.viewer;
        let language = viewer.language;
        let text = |texts| pick(texts, language, viewer.site).map_or_else(String::new, |text| text.text);
        let kind = |key| strings::text(language, "kind", key);
        let mut found = Vec::new();
        for service in &viewer.site.services {
            if let Some(url) = service_url(service) {
                found.push(json!([
                    text(&service.title),
                    text(&service.description),
                    kind("service"),
                    url
                ]));
            }
        }
        for bundle in &viewer.site.bundles {
            let url = viewer.bundle_url(bundle);
            let title = text(&bundle.title);
            found.push(json!([
                title,
                text(&bundle.description),
                kind(bundle.kind.name()),
                url
            ]));
            for (number, work) in works::of(bundle).iter().enumerate() {
                if let Some(name) = work.title {
                    let description = work.description.map(text).unwrap_or_default();
                    found.push(json!([
                        text(name),
                        description,
                        title,
                        format!("{url}#w{}", number + 1)
                    ]));
                }
            }
        }
        json!(found).to_string().into_bytes()
    }
}

fn value(plain: &impl Serialize) -> Value {
    Serde(plain).into()
}
