//! The pages of a site with one of everything.

use std::collections::BTreeSet;

use clic_portal::{File, Site, generate};
use regex::Regex;

fn sample() -> Site {
    toml::from_str(include_str!("sample.toml")).unwrap()
}

fn text<'a>(files: &'a [File], path: &str) -> &'a str {
    let file = files.iter().find(|file| file.path == path);
    let file = file.unwrap_or_else(|| panic!("no {path}"));
    std::str::from_utf8(&file.bytes).unwrap()
}

fn pages(files: &[File]) -> impl Iterator<Item = (&str, &str)> {
    files
        .iter()
        .filter(|file| file.bytes.starts_with(b"<!doctype"))
        .map(|file| (file.path.as_str(), std::str::from_utf8(&file.bytes).unwrap()))
}

fn matches<'a>(pattern: &str, text: &'a str) -> Vec<&'a str> {
    let pattern = Regex::new(pattern).unwrap();
    pattern
        .captures_iter(text)
        .map(|found| found.get(1).unwrap().as_str())
        .collect()
}

#[test]
fn the_same_site_gives_the_same_sorted_files() {
    let files = generate(&sample()).unwrap();
    assert_eq!(files, generate(&sample()).unwrap());
    assert!(files.is_sorted_by(|a, b| a.path < b.path));
    // Per language: seven bundles, home, connect, status, about, missing, unavailable, search; three assets.
    assert_eq!(files.len(), 2 * 14 + 3);
}

#[test]
fn every_link_leads_to_a_page_or_to_what_the_device_serves() {
    let files = generate(&sample()).unwrap();
    let known: BTreeSet<String> = files.iter().map(|file| format!("/{}", file.path)).collect();
    let mut seen = 0;
    for (path, page) in pages(&files) {
        for link in matches(r#"(?:href|src|action|poster)="([^"]*)""#, page) {
            let link = link.replace("&#x2f;", "/");
            let served = [
                "/content/",
                "/zim/",
                "/language/",
                "/captive/",
                "/chat/",
                "/status.json",
            ];
            let own = ["http://pads.clic.internal/", "http://clic.internal/"];
            let whole = link.split('#').next().unwrap();
            let index = format!("{whole}index.html");
            assert!(
                whole.is_empty()
                    || known.contains(whole)
                    || known.contains(&index)
                    || served.iter().any(|start| link.starts_with(start))
                    || own.contains(&link.as_str()),
                "{path}: {link}"
            );
            seen += 1;
        }
    }
    assert!(seen > 200, "{seen}");
}

#[test]
fn links_within_a_page_have_their_target() {
    let files = generate(&sample()).unwrap();
    for (path, page) in pages(&files) {
        let ids = matches(r#"\sid="([^"]*)""#, page);
        let distinct: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), distinct.len(), "{path}: an id is there twice: {ids:?}");
        for target in matches(r##"(?:href="#|for="|aria-labelledby=")([^"]*)""##, page) {
            assert!(distinct.contains(target), "{path}: nothing is called {target}");
        }
    }
}

#[test]
fn the_other_language_is_the_same_page() {
    let files = generate(&sample()).unwrap();
    for (path, page) in pages(&files).filter(|(path, _)| path.ends_with("index.html")) {
        let (language, rest) = path.split_once('/').unwrap();
        assert!(page.contains(&format!("<html lang=\"{language}\">")), "{path}");
        let other = if language == "fr" { "en" } else { "fr" };
        let link = matches(r#"href="/language/([^"]*)""#, page);
        assert_eq!(
            link,
            [format!("{other}/{}", rest.trim_end_matches("index.html"))],
            "{path}"
        );
    }
}

#[test]
fn no_page_needs_inline_scripts_or_styles() {
    // The content security policy forbids them: they would silently not work.
    let files = generate(&sample()).unwrap();
    for (path, page) in pages(&files) {
        assert_eq!(matches(r"\s(style|on[a-z]+)=", page), [""; 0], "{path}");
        assert!(!page.contains("<style"), "{path}");
        for script in matches("<script([^>]*)>", page) {
            assert!(
                script.contains("src=\"/assets/") || script.contains("application/json"),
                "{path}"
            );
        }
    }
}

#[test]
fn the_first_page_is_light() {
    // The issue allows 150 kB for the first page in all, before compression.
    let files = generate(&sample()).unwrap();
    let assets: usize = files
        .iter()
        .filter(|file| file.path.starts_with("assets/"))
        .map(|file| file.bytes.len())
        .sum();
    let home = text(&files, "fr/index.html").len();
    assert!(assets + home < 50_000, "{assets} + {home}");
}

#[test]
fn texts_of_another_language_are_marked() {
    let files = generate(&sample()).unwrap();
    let mark = "<span lang=\"fr\" dir=\"auto\">Sons du quartier</span>";
    assert!(text(&files, "en/index.html").contains(mark));
    assert!(!text(&files, "fr/index.html").contains("<span lang=\"fr\""));
}

#[test]
fn each_kind_shows_what_it_is_for() {
    let files = generate(&sample()).unwrap();
    let page = |id: &str| text(&files, &format!("en/bundle/{id}/index.html")).replace("&#x2f;", "/");
    let cinema = page("films");
    assert!(cinema.contains("<source src=\"/content/films/graines%20%26%20pain.webm\" type=\"video/webm\">"));
    assert!(cinema.contains("poster=\"/content/films/eau.jpg\""));
    assert!(cinema.contains(
        "<track kind=\"subtitles\" src=\"/content/films/eau.fr.vtt\" srclang=\"fr\" label=\"French\">"
    ));
    assert!(cinema.contains("MP4 600\u{a0}kB"));
    assert_eq!(cinema.matches("<video").count(), 2);
    assert_eq!(page("sons").matches("<audio").count(), 2);
    let book = page("livres");
    assert!(book.contains("class=\"button\" href=\"/content/livres/html/index.html\""));
    assert!(book.contains("EPUB 6.0\u{a0}MB") && book.contains("PDF 7.0\u{a0}MB"));
    let course = page("reparer-velo");
    assert!(course.contains("<ol class=\"steps\""));
    assert!(course.find("Brakes").unwrap() < course.find("A puncture").unwrap());
    let zim = page("wiki-plantes");
    assert!(zim.contains("href=\"/zim/plantes_fr/\""));
    assert!(zim.contains("name=\"content\" value=\"plantes_fr\""));
    assert!(page("jeux").contains("href=\"/content/jeux/index.html\""));
    assert!(page("plans").contains("href=\"/content/plans/four%20solaire.pdf\" download"));
}

#[test]
fn a_service_that_is_not_ready_leads_nowhere() {
    let files = generate(&sample()).unwrap();
    let home = text(&files, "en/index.html").replace("&#x2f;", "/");
    assert!(
        home.contains("Map of the neighbourhood") && home.contains("Ready once this box has been set up")
    );
    assert!(!home.contains("\"/map/\""));
    assert!(home.contains("href=\"http://pads.clic.internal/\""));
    assert!(!text(&files, "en/search.json").contains("/map/"));
}

#[test]
fn the_search_knows_works_inside_of_bundles() {
    let files = generate(&sample()).unwrap();
    let index: Vec<[String; 4]> = serde_json::from_str(text(&files, "en/search.json")).unwrap();
    let expected = ["Seeds and bread", "", "Small free films", "/en/bundle/films/#w2"];
    assert!(index.iter().any(|entry| entry == &expected), "{index:#?}");
    let page = text(&files, "en/bundle/films/index.html");
    assert!(page.contains("id=\"w2\""));
}

#[test]
fn every_word_is_used() {
    let sources: String = ["templates", "src", "assets"]
        .iter()
        .flat_map(|directory| {
            std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap()
        })
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let words: toml::Table = include_str!("../strings/en.toml").parse().unwrap();
    for section in ["site", "captive", "home", "search", "bundle", "missing", "script"] {
        for key in words[section].as_table().unwrap().keys() {
            let used = [
                format!("{section}.{key}"),
                format!("{section}[\"{key}\"]"),
                format!("\"{key}\""),
            ];
            let built = [
                "results-none",
                "results-one",
                "results-many",
                "no-radio",
                "unable",
                "starting",
                "failed",
                "on",
            ];
            assert!(
                used.iter().any(|used| sources.contains(used)) || built.contains(&key.as_str()),
                "{section}.{key} is used nowhere"
            );
        }
    }
}

#[test]
fn one_language_has_no_switch_and_no_hotspot_no_banner() {
    let mut site = sample();
    site.languages.truncate(1);
    site.hotspot = None;
    let files = generate(&site).unwrap();
    let home = text(&files, "fr/index.html");
    assert!(!home.contains("/language/") && !home.contains("/captive/continue"));
    assert!(text(&files, "fr/connect/index.html").contains("pas de wifi à elle"));
    assert!(files.iter().all(|file| !file.path.starts_with("en/")));
}

#[test]
fn the_wifi_s_code_is_drawn_by_whoever_knows_its_name() {
    let mut site = sample();
    let here = generate(&site).unwrap();
    let hotspot = site.hotspot.as_mut().unwrap();
    hotspot.ssid_suffix = true;
    let there = generate(&site).unwrap();
    let hotspot = site.hotspot.as_mut().unwrap();
    hotspot.security = clic_portal::Security::Wpa;
    let nowhere = generate(&site).unwrap();
    site.hotspot.as_mut().unwrap().passphrase = Some("correct horse".to_owned());
    let told = generate(&site).unwrap();
    for (files, drawings, device) in [
        (here, 2, false),
        (there, 1, true),
        (nowhere, 1, false),
        (told, 1, true),
    ] {
        let page = text(&files, "en/connect/index.html");
        assert_eq!(page.matches("<svg class=\"qr\"").count(), drawings);
        assert_eq!(page.contains("src=\"/wifi.svg\""), device);
    }
}

#[test]
fn an_empty_site_says_so() {
    let site: Site =
        toml::from_str("languages = [\"en\"]\nedition = { title = { en = \"Empty\" } }").unwrap();
    let files = generate(&site).unwrap();
    assert!(text(&files, "en/index.html").contains("There is nothing here yet."));
}
