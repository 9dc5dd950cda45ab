//! `manifest.toml` of an app of `YunoHost` (packaging format 2), read as somebody else's file: what matters here is checked,
//! everything else is left to `YunoHost`.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Value;

use crate::checker::Checker;
use crate::debian;
use crate::plan::{Manifest, Question};
use crate::raw::At;
use crate::report::Problem;
use crate::size;

/// Most questions that anybody would answer.
const MOST_QUESTIONS: usize = 200;

#[derive(Deserialize)]
struct RawManifest {
    packaging_format: At<Value>,
    id: At<String>,
    #[serde(default)]
    integration: RawIntegration,
    #[serde(default)]
    install: BTreeMap<At<String>, RawQuestion>,
    #[serde(default)]
    resources: RawResources,
}

#[derive(Default, Deserialize)]
struct RawIntegration {
    yunohost: Option<At<String>>,
    architectures: Option<At<Words>>,
    disk: Option<At<String>>,
    #[serde(default)]
    ram: RawRam,
}

#[derive(Default, Deserialize)]
struct RawRam {
    build: Option<At<String>>,
    runtime: Option<At<String>>,
}

#[derive(Deserialize)]
struct RawQuestion {
    #[serde(rename = "type")]
    kind: Option<String>,
    default: Option<Value>,
    #[serde(default)]
    optional: bool,
    /// When it is asked: `false`, or words that only `YunoHost` understands.
    visible: Option<Value>,
}

#[derive(Default, Deserialize)]
struct RawResources {
    #[serde(default)]
    apt: RawApt,
}

#[derive(Default, Deserialize)]
struct RawApt {
    packages: Option<Words>,
}

/// A list, or one text: `YunoHost` takes both.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

/// Reads a manifest. `None` if anything is wrong with it.
pub(crate) fn read(checker: &mut Checker<'_>) -> Option<Manifest> {
    let before = checker.count();
    let raw: RawManifest = match toml::from_str(&checker.file.text) {
        Ok(raw) => raw,
        Err(error) => {
            let place = error.span().unwrap_or_else(|| checker.file.line_span(1));
            checker.wrong(
                &checker.file.at(place),
                format!("no manifest of an app: {}", error.message().replace('\n', ", ")),
            );
            return None;
        }
    };
    format_two(&raw.packaging_format, checker);
    if !is_id(&raw.id.value) {
        let what = format!("`{}` can't be an app's id", raw.id.value.escape_debug());
        checker
            .wrong(&raw.id, what)
            .help("lower case letters, digits and `_`, such as `my_webapp`");
    }
    let RawIntegration {
        yunohost,
        architectures,
        disk,
        ram,
    } = raw.integration;
    let yunohost = yunohost.and_then(|text| least(&text, checker));
    let mut bytes = |text: &Option<At<String>>| {
        text.as_ref().map_or(0, |text| {
            size_of(&text.value).unwrap_or_else(|| {
                let what = format!("`{}` is not a size", text.value.escape_debug());
                checker
                    .wrong(text, what)
                    .help("apps write sizes like `50M` or `1.5G`");
                0
            })
        })
    };
    let (ram_build, ram, disk) = (bytes(&ram.build), bytes(&ram.runtime), bytes(&disk));
    let architectures = architectures.and_then(|text| match text.value {
        Words::One(word) if word == "all" || word == "?" => None,
        Words::One(word) => Some(vec![word]),
        Words::Many(words) => Some(words),
    });
    if raw.install.len() > MOST_QUESTIONS {
        checker.problems.push(Problem::file(
            &checker.file.name,
            format!("asks more than {MOST_QUESTIONS} questions"),
        ));
    }
    for name in raw.install.keys() {
        if !is_question(&name.value) {
            let what = format!("`{}` can't be the name of a question", name.value.escape_debug());
            checker.wrong(name, what);
        }
    }
    (checker.count() == before).then(|| Manifest {
        id: raw.id.value,
        yunohost,
        architectures,
        ram_build,
        ram,
        disk,
        packages: raw.resources.apt.packages.map(packages).unwrap_or_default(),
        questions: raw
            .install
            .into_iter()
            .map(|(name, question)| (name.value, kind(&question)))
            .collect(),
    })
}

fn format_two(raw: &At<Value>, checker: &mut Checker<'_>) {
    let text = match &raw.value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    let major = text.split('.').next().unwrap_or_default();
    if major != "2" {
        let what = format!("packaging format {} is not known", text.escape_debug());
        checker
            .wrong(raw, what)
            .help("apps of packaging format 2 can be installed here");
    }
}

/// As overlay `services` takes it, too. (`YunoHost` adds `__2` to the id of a second instance.)
pub(crate) fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    id.len() <= 64
        && id
            .split('_')
            .all(|part| !part.is_empty() && part.bytes().all(plain))
}

/// Names of questions become names of variables.
fn is_question(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.len() <= 64 && name.bytes().all(inner)
}

/// `>= 11.2.10`: the version.
fn least(text: &At<String>, checker: &mut Checker<'_>) -> Option<String> {
    let version = text.value.trim_start_matches(['>', '=', ' ']).trim();
    let number =
        |part: &str| !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
    if version.split('.').all(number) {
        return Some(version.to_owned());
    }
    let what = format!("`{}` says no version of YunoHost", text.value.escape_debug());
    checker.wrong(text, what).help("apps write it like `>= 11.2.10`");
    None
}

/// Bytes of `50M`, `1.5G`, in powers of 1024 as `YunoHost` counts them; `?`: nobody knows, so 0.
fn size_of(text: &str) -> Option<u64> {
    if text == "?" {
        return Some(0);
    }
    let unit: u128 = match text.chars().last()? {
        'k' | 'K' => 1 << 10,
        'm' | 'M' => 1 << 20,
        'g' | 'G' => 1 << 30,
        't' | 'T' => 1 << 40,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    let (whole, fraction) = match number.split_once('.') {
        Some(("", fraction)) => ("0", fraction),
        Some(parts) => parts,
        None => (number, "0"),
    };
    // Both short enough that nothing below can overflow.
    let digits = |part: &str| {
        let fits = !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| part.parse::<u128>().ok()).flatten()
    };
    let parts = digits(fraction)? * unit / 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let bytes = u64::try_from(digits(whole)? * unit + parts).ok()?;
    (bytes <= size::MOST).then_some(bytes)
}

/// Packages that Debian can be asked for by their names. Alternatives and versions are left to apt, when the app is installed.
fn packages(words: Words) -> Vec<String> {
    let all = match words {
        Words::One(text) => vec![text],
        Words::Many(list) => list,
    };
    let mut names: Vec<String> = all
        .iter()
        .flat_map(|text| text.split(','))
        .filter(|part| !part.contains(['|', '(']))
        .flat_map(str::split_ascii_whitespace)
        .filter(|name| debian::package_name(name).is_ok())
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// What becomes of a question that nobody answers (`YunoHost` 12, `utils/form.py`).
fn kind(raw: &RawQuestion) -> Question {
    let asked = raw.default.is_none() && !raw.optional && raw.visible.is_none();
    match raw.kind.as_deref().unwrap_or("string") {
        "display_text" | "markdown" | "alert" | "button" => Question::Text,
        // Its own default is taken for none: nobody would change it.
        "password" if !raw.optional && raw.visible.is_none() => Question::Password,
        "password" => Question::NoPassword,
        "group" => Question::Group,
        // No; the main domain; whoever looks after the box.
        "boolean" | "domain" | "user" => Question::Answered,
        _ if asked => Question::Open,
        _ => Question::Answered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Problems;
    use crate::source::SourceFile;

    fn read_text(text: &str) -> Result<Manifest, String> {
        let mut problems = Problems::default();
        let file = SourceFile::new("app/manifest.toml", text);
        let manifest = read(&mut Checker::new(&file, &mut problems));
        match problems.into_result() {
            Ok(()) => Ok(manifest.unwrap()),
            Err(report) => Err(report.to_string()),
        }
    }

    /// With everything that manifests have.
    const WHOLE: &str = r#"#:schema https://example.org/manifest.v2.schema.json
packaging_format = 2
id = "my_notes"
name = "My notes"
description.en = "Notes"
description.fr = "Des notes"
version = "1.0~ynh12"
maintainers = []

[upstream]
license = "MIT"
code = "https://example.org/notes"

[integration]
yunohost = ">= 11.1.17"
helpers_version = "2.1"
architectures = ["amd64", "arm64"]
multi_instance = true
ldap = "not_relevant"
sso = false
disk = "50M"
ram.build = "0.5G"
ram.runtime = "50M"
ram.include_swap = true

[antifeatures]
alpha-software.en = "young"

[install]
    [install.domain]
    type = "domain"
    [install.path]
    type = "path"
    default = "/notes"
    [install.init_main_permission]
    type = "group"
    default = "visitors"
    [install.admin]
    type = "user"
    [install.language]
    ask.en = "Which language?"
    ask.fr = "Quelle langue ?"
    type = "select"
    choices.fr = "Français"
    choices.en = "English"
    default = "fr"
    [install.with_mysql]
    ask.en = "A database?"
    type = "boolean"
    default = false
    [install.mail]
    ask = "Mail"
    type = "string"
    example = "a@example.org"
    [install.password]
    type = "password"
    [install.sftp_password]
    type = "password"
    optional = true
    [install.warning]
    type = "alert"
    style = "warning"
    ask.en = "Read this"
    [install.extra]
    type = "string"
    visible = "with_mysql"

[resources]
    [resources.sources.main]
    url = "https://example.org/notes.tar.gz"
    sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
    [resources.system_user]
    allow_sftp = true
    [resources.install_dir]
    dir = "/var/www/__APP__"
    [resources.permissions]
    main.url = "/"
    api.url = "/api"
    api.allowed = ["visitors"]
    [resources.ports]
    main.default = 8095
    [resources.apt]
    packages = "nginx, php8.2-fpm php8.2-mysql, default-jre | openjdk, mariadb-server (>= 10)"
    packages_from_raw_bash = """
        if [[ "$with_mysql" = 1 ]]; then echo "mariadb-server"; fi
    """
    extras.yarn.repo = "deb https://example.org/debian/ stable main"
    extras.yarn.packages = ["yarn"]
    [resources.database]
    type = "mysql"
"#;

    #[test]
    fn a_manifest_says_what_the_app_needs_and_asks() {
        let manifest = read_text(WHOLE).unwrap();
        assert_eq!(manifest.id, "my_notes");
        assert_eq!(manifest.yunohost.as_deref(), Some("11.1.17"));
        assert_eq!(
            manifest.architectures.as_deref(),
            Some(&["amd64".to_owned(), "arm64".to_owned()][..])
        );
        assert_eq!(
            (manifest.ram_build, manifest.ram, manifest.disk),
            (512 << 20, 50 << 20, 50 << 20)
        );
        let kinds = [
            ("admin", Question::Answered),
            ("domain", Question::Answered),
            ("extra", Question::Answered),
            ("init_main_permission", Question::Group),
            ("language", Question::Answered),
            ("mail", Question::Open),
            ("password", Question::Password),
            ("path", Question::Answered),
            ("sftp_password", Question::NoPassword),
            ("warning", Question::Text),
            ("with_mysql", Question::Answered),
        ];
        let found: Vec<_> = manifest
            .questions
            .iter()
            .map(|(name, kind)| (name.as_str(), *kind))
            .collect();
        assert_eq!(found, kinds);
        // What only apt can understand is left to the installation.
        assert_eq!(manifest.packages, ["nginx", "php8.2-fpm", "php8.2-mysql"]);
    }

    #[test]
    fn little_is_enough() {
        let manifest = read_text("packaging_format = 2\nid = \"a\"\n").unwrap();
        assert_eq!((manifest.ram, manifest.disk), (0, 0));
        assert!(manifest.architectures.is_none() && manifest.questions.is_empty());
    }

    #[test]
    fn sizes_as_apps_write_them() {
        for (text, bytes) in [
            ("50M", 50 << 20),
            ("1.5G", 3 << 29),
            (".5k", 512),
            ("0M", 0),
            ("?", 0),
        ] {
            assert_eq!(size_of(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "M",
            "50",
            "50MB",
            "-1M",
            "1e9G",
            "99999999T",
            "999999999999M",
            "1.M",
            "½G",
            "50 M",
        ] {
            assert_eq!(size_of(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (from, to, said) in [
            (
                "packaging_format = 2",
                "packaging_format = 1",
                "manifest.toml:2:20: packaging format 1 is not known",
            ),
            (
                "packaging_format = 2",
                "packaging_format = []",
                "packaging format [] is not known",
            ),
            ("packaging_format = 2\n", "", "missing field `packaging_format`"),
            (
                "id = \"my_notes\"",
                "id = \"../x\"",
                "manifest.toml:3:6: `../x` can't be an app's id",
            ),
            ("id = \"my_notes\"", "id = \"a b;c\"", "can't be an app's id"),
            ("id = \"my_notes\"", "id = \"a__2\"", "can't be an app's id"),
            (
                "id = \"my_notes\"",
                "id = 7",
                "manifest.toml:3:6: no manifest of an app: invalid type: integer",
            ),
            (
                "\">= 11.1.17\"",
                "\"twelve\"",
                "`twelve` says no version of YunoHost",
            ),
            ("disk = \"50M\"", "disk = \"lots\"", "`lots` is not a size"),
            (
                "ram.runtime = \"50M\"",
                "ram.runtime = \"99999T\"",
                "`99999T` is not a size",
            ),
            (
                "[install.mail]",
                "[install.\"a&b\"]",
                "`a&b` can't be the name of a question",
            ),
            (
                "id = \"my_notes\"",
                "id = \"my_notes",
                "no manifest of an app: invalid",
            ),
        ] {
            assert_eq!(WHOLE.matches(from).count(), 1, "{from}");
            let told = read_text(&WHOLE.replace(from, to)).unwrap_err();
            assert!(told.contains(said), "wanted: {said}\ntold: {told}");
        }
        let deep = format!("packaging_format = 2\nid = \"a\"\nx = {}", "[".repeat(100_000));
        assert!(read_text(&deep).unwrap_err().contains("no manifest of an app"));
    }
}
