//! Licences: what their SPDX identifiers are called, and what they let people do.

/// Which family of licences, that say the same to a reader, an SPDX identifier belongs to: a key of `[licence]` in
/// `strings/*.toml`. An expression with several is `other`: the reader sees it as it is.
pub(crate) fn family(spdx: &str) -> &'static str {
    let id = spdx.to_ascii_lowercase();
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| id.starts_with(prefix));
    if id.contains(' ') {
        "other"
    } else if begins(&["cc0-", "cc-pddc", "pddl-", "unlicense"]) {
        "public-domain"
    } else if begins(&["cc-by-"]) {
        // The strictest word decides: CC-BY-NC-ND is "no derivatives".
        if id.contains("-nd-") {
            "no-derivatives"
        } else if id.contains("-nc-") {
            "non-commercial"
        } else if id.contains("-sa-") {
            "share-alike"
        } else {
            "attribution"
        }
    } else if begins(&[
        "gpl-", "lgpl-", "agpl-", "gfdl-", "mpl-", "eupl-", "cecill-2", "lal-", "odbl-",
    ]) {
        "copyleft"
    } else if begins(&[
        "mit",
        "bsd-",
        "apache-",
        "isc",
        "zlib",
        "ofl-",
        "artistic-",
        "etalab-",
    ]) {
        "permissive"
    } else {
        "other"
    }
}

/// What people call it: `Creative Commons BY-SA 4.0` for `CC-BY-SA-4.0`.
pub(crate) fn name(spdx: &str) -> String {
    if spdx.contains(' ') {
        return spdx.to_owned();
    }
    if let Some(version) = spdx.strip_prefix("CC0-") {
        return format!("Creative Commons Zero {version}");
    }
    if let Some((terms, version)) = spdx
        .strip_prefix("CC-BY")
        .and_then(|rest| rest.rsplit_once('-'))
        .filter(|(_, version)| version.starts_with(|first: char| first.is_ascii_digit()))
    {
        return format!("Creative Commons BY{terms} {version}");
    }
    spdx.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_names() {
        for (spdx, expected, called) in [
            ("CC0-1.0", "public-domain", "Creative Commons Zero 1.0"),
            ("CC-BY-4.0", "attribution", "Creative Commons BY 4.0"),
            ("CC-BY-SA-3.0", "share-alike", "Creative Commons BY-SA 3.0"),
            (
                "CC-BY-NC-SA-2.0",
                "non-commercial",
                "Creative Commons BY-NC-SA 2.0",
            ),
            (
                "CC-BY-NC-ND-4.0",
                "no-derivatives",
                "Creative Commons BY-NC-ND 4.0",
            ),
            ("GFDL-1.3-or-later", "copyleft", "GFDL-1.3-or-later"),
            ("GPL-3.0-only", "copyleft", "GPL-3.0-only"),
            ("MIT", "permissive", "MIT"),
            (
                "CC-BY-SA-3.0 OR GPL-3.0-only",
                "other",
                "CC-BY-SA-3.0 OR GPL-3.0-only",
            ),
            ("LicenseRef-mine", "other", "LicenseRef-mine"),
        ] {
            assert_eq!(family(spdx), expected, "{spdx}");
            assert!(crate::strings::get(crate::Language::En, "licence", expected).is_some());
            assert_eq!(name(spdx), called);
        }
    }
}
