//! Texts and paths of strangers: escaped where that is enough, refused where it is not.

use clic_portal::{Problems, Site, Texts, generate};

const ATTACK: &str = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 1234*1234 }}";

fn sample() -> Site {
    toml::from_str(include_str!("sample.toml")).unwrap()
}

fn refused(change: impl FnOnce(&mut Site)) -> Vec<String> {
    let mut site = sample();
    change(&mut site);
    let Problems(problems) = generate(&site).expect_err("it must be refused");
    problems
}

#[test]
fn markup_in_every_text_is_shown_as_text() {
    let mut site = sample();
    let attack = || Texts::from([("en", ATTACK), ("fr", ATTACK)]);
    site.edition.title = attack();
    site.edition.welcome = attack();
    site.edition.version = Some(ATTACK.to_owned());
    site.themes.insert("park".to_owned(), attack());
    ATTACK[..32].clone_into(&mut site.hotspot.as_mut().unwrap().ssid);
    for service in &mut site.services {
        service.title = attack();
        service.description = attack();
    }
    for bundle in &mut site.bundles {
        bundle.title = attack();
        bundle.description = attack();
        ATTACK.clone_into(&mut bundle.licence.credit);
        bundle.licence.source = Some(ATTACK.to_owned());
        for entry in &mut bundle.entries {
            entry.title = attack();
            entry.description = attack();
        }
    }
    let plain = generate(&sample()).unwrap();
    let files = generate(&site).unwrap();
    let mut escaped = 0;
    for (file, before) in files.iter().zip(&plain) {
        assert_eq!(file.path, before.path);
        let (page, before) = (
            String::from_utf8_lossy(&file.bytes),
            String::from_utf8_lossy(&before.bytes),
        );
        if !page.starts_with("<!doctype") {
            continue;
        }
        for tag in ["<script", "</script", "<img", "<svg"] {
            assert_eq!(
                page.matches(tag).count(),
                before.matches(tag).count(),
                "{}: {tag}",
                file.path
            );
        }
        assert!(
            !page.contains("1522756"),
            "{}: a text was run as a template",
            file.path
        );
        escaped += page.matches("&lt;img src=x onerror=alert(1)&gt;").count();
    }
    assert!(escaped > 100, "{escaped}");
}

#[test]
fn names_of_files_are_encoded_in_links() {
    let mut site = sample();
    let bundle = site
        .bundles
        .iter_mut()
        .find(|bundle| bundle.id == "plans")
        .unwrap();
    "a\"><script>alert(1)</script>.pdf"
        .replace("</", "<")
        .clone_into(&mut bundle.entries[0].path);
    "javascript:alert(1)".clone_into(&mut bundle.entries[1].path);
    "50% #1?.pdf".clone_into(&mut bundle.entries[2].path);
    let files = generate(&site).unwrap();
    let page = files
        .iter()
        .find(|file| file.path == "en/bundle/plans/index.html")
        .unwrap();
    let page = String::from_utf8_lossy(&page.bytes).replace("&#x2f;", "/");
    assert!(
        page.contains("href=\"/content/plans/a%22%3E%3Cscript%3Ealert%281%29%3Cscript%3E.pdf\""),
        "{page}"
    );
    assert!(page.contains("href=\"/content/plans/javascript%3Aalert%281%29\""));
    assert!(page.contains("href=\"/content/plans/50%25%20%231%3F.pdf\""));
    assert!(!page.contains("<script>alert"));
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for path in [
        "../other/secret",
        "/etc/passwd",
        "a/../../b",
        "a//b",
        ".ssh/id",
        "a\nb",
    ] {
        let problems = refused(|site| path.clone_into(&mut site.bundles[1].entries[0].path));
        assert!(
            problems.len() == 1 && problems[0].starts_with("bundle `films`: entry `"),
            "{problems:?}"
        );
    }
    let problems = refused(|site| {
        "//evil.example/".clone_into(&mut site.services[1].path);
        site.services[0].host = Some("evil.example/x".to_owned());
    });
    assert_eq!(
        problems,
        [
            "service `pads`: `evil.example/x` is not a host name",
            "service `chat`: path `//evil.example/`: the path must begin with one slash, and have no backslash",
        ]
    );
}

#[test]
fn ids_are_names_of_directories_only() {
    for id in ["", "..", "a/b", "A", "-a", "a b", "é"] {
        let problems = refused(|site| id.clone_into(&mut site.bundles[0].id));
        assert_eq!(
            problems,
            [format!(
                "bundle `{id}`: an id has lower case letters, digits and `-`, at most 64"
            )]
        );
    }
    let problems = refused(|site| "films".clone_into(&mut site.bundles[0].id));
    assert_eq!(problems, ["bundle `films`: another bundle has this id"]);
}

#[test]
fn texts_that_hide_or_flood_are_refused() {
    let bidi = refused(|site| site.bundles[0].title = Texts::from([("fr", "exe\u{202E}fdp.")]));
    assert_eq!(
        bidi,
        ["bundle `wiki-plantes`: title has the invisible character U+202E"]
    );
    let control = refused(|site| site.services[0].description = Texts::from([("fr", "a\u{1b}[2J")]));
    assert_eq!(
        control,
        ["service `pads`: description has the invisible character U+001B"]
    );
    let flood = "é".repeat(2001);
    let long = refused(|site| site.edition.welcome = Texts::from([("fr", flood.as_str())]));
    assert_eq!(long, ["edition: welcome has more than 2000 characters"]);
    let empty = refused(|site| site.bundles[0].title = Texts::default());
    assert_eq!(empty, ["bundle `wiki-plantes`: it has no title"]);
    let lines = refused(|site| "a\nb".clone_into(&mut site.bundles[0].licence.credit));
    assert_eq!(lines, ["bundle `wiki-plantes`: credit has more than one line"]);
}

#[test]
fn a_size_that_lies_is_named() {
    let problems = refused(|site| site.bundles[0].size = 7);
    assert_eq!(
        problems,
        ["bundle `wiki-plantes`: its entries are larger than its size, 7 bytes"]
    );
    let problems = refused(|site| {
        site.bundles[1].entries[0].size = u64::MAX;
        site.bundles[1].entries[1].size = 2;
    });
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn what_is_unknown_is_named_with_what_is_known() {
    let problems = refused(|site| {
        "gardens".clone_into(&mut site.bundles[0].theme);
        site.bundles[0].icon = Some("rose".to_owned());
        site.bundles[0].languages = vec!["french".to_owned()];
        "do what you like <3".clone_into(&mut site.bundles[0].licence.spdx);
        site.bundles[1].entries[0].media_type = Some("video".to_owned());
    });
    assert_eq!(problems.len(), 5, "{problems:?}");
    assert!(
        problems[0].starts_with("bundle `wiki-plantes`: unknown theme `gardens`; known: arts, children,")
    );
    assert!(problems[0].contains(", park,"));
    assert!(problems[1].starts_with("bundle `wiki-plantes`: unknown icon `rose`; known: arrow,"));
    assert!(problems[2].contains("`french` is not a language tag"));
    assert!(problems[3].contains("is not an SPDX licence"));
    assert!(problems[4].contains("`video` is not a media type"));
}

#[test]
fn wifi_that_nobody_can_join_is_refused() {
    let problems = refused(|site| {
        let hotspot = site.hotspot.as_mut().unwrap();
        hotspot.ssid = "é".repeat(17);
        hotspot.passphrase = Some("secret123".to_owned());
        "clic_box.internal".clone_into(&mut hotspot.domain);
    });
    assert_eq!(
        problems,
        [
            "hotspot: the SSID has 34 bytes, and can have 1 to 32",
            "hotspot: an open wifi has no passphrase",
            "hotspot: `clic_box.internal` is not a host name",
        ]
    );
}

#[test]
fn a_typo_in_the_input_is_an_error() {
    let text = include_str!("sample.toml").replacen("kind = \"zim\"", "kind = \"zip\"", 1);
    let error = toml::from_str::<Site>(&text).unwrap_err().to_string();
    assert!(error.contains("unknown variant `zip`"), "{error}");
    let text = include_str!("sample.toml").replacen("ssid =", "sid =", 1);
    let error = toml::from_str::<Site>(&text).unwrap_err().to_string();
    assert!(error.contains("unknown field `sid`"), "{error}");
}
