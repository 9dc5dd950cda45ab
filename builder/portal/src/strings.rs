//! The portal's own words, by language: `strings/*.toml`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use toml::{Table, Value};

use crate::site::Language;

static ENGLISH: LazyLock<Table> = LazyLock::new(|| parse(include_str!("../strings/en.toml")));
static FRENCH: LazyLock<Table> = LazyLock::new(|| parse(include_str!("../strings/fr.toml")));

fn parse(text: &str) -> Table {
    // Part of the binary, and read by every test.
    text.parse().unwrap_or_else(|error| panic!("strings: {error}"))
}

/// All words of a language.
pub(crate) fn of(language: Language) -> &'static Table {
    match language {
        Language::En => &ENGLISH,
        Language::Fr => &FRENCH,
    }
}

/// The text at a path of keys, if it is there.
pub(crate) fn get(language: Language, section: &str, key: &str) -> Option<&'static str> {
    of(language).get(section)?.get(key)?.as_str()
}

/// The text at a path of keys that is known to be there.
pub(crate) fn text(language: Language, section: &str, key: &str) -> &'static str {
    get(language, section, key).unwrap_or_else(|| panic!("strings: no {section}.{key} in {}", language.tag()))
}

/// A counted noun: `[count]` has `<key>-one` and `<key>-many`, with `{n}` for the number.
pub(crate) fn count(language: Language, key: &str, n: usize) -> String {
    // French counts zero as singular, English does not (Unicode CLDR, plural rules).
    let one = match language {
        Language::En => n == 1,
        Language::Fr => n < 2,
    };
    let key = format!("{key}-{}", if one { "one" } else { "many" });
    text(language, "count", &key).replace("{n}", &n.to_string())
}

/// Ids of the built-in themes.
pub(crate) fn themes() -> BTreeSet<String> {
    match ENGLISH.get("theme") {
        Some(Value::Table(themes)) => themes.keys().cloned().collect(),
        _ => BTreeSet::new(),
    }
}

/// A size for people, in decimal units, as shops and phones count: `12.3 MB`, `12,3 Mo`.
pub(crate) fn size(language: Language, bytes: u64) -> String {
    let (point, units) = match language {
        Language::En => ('.', ["B", "kB", "MB", "GB", "TB"]),
        Language::Fr => (',', ["o", "ko", "Mo", "Go", "To"]),
    };
    let mut unit = 0;
    // Tenths of the unit, rounded at each step of a thousand: exact enough for two digits, and never 1000.
    let mut tenths = bytes.saturating_mul(10);
    while tenths >= 10_000 && unit + 1 < units.len() {
        tenths = tenths.saturating_add(500) / 1000;
        unit += 1;
    }
    let number = if unit == 0 || tenths >= 100 {
        ((tenths + 5) / 10).to_string()
    } else {
        format!("{}{point}{}", tenths / 10, tenths % 10)
    };
    // No-break space.
    format!("{number}\u{a0}{}", units[unit])
}

/// A duration for people: `45 s`, `12 min`, `1 h 05`.
pub(crate) fn duration(seconds: u64) -> String {
    if seconds < 60 {
        return format!("{seconds}\u{a0}s");
    }
    let minutes = seconds.saturating_add(30) / 60;
    if minutes < 60 {
        format!("{minutes}\u{a0}min")
    } else {
        format!("{}\u{a0}h\u{a0}{:02}", minutes / 60, minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key with its place, in order.
    fn keys(table: &Table, prefix: &str, keys: &mut Vec<String>) {
        for (key, value) in table {
            let name = format!("{prefix}{key}");
            match value {
                Value::Table(inner) => self::keys(inner, &format!("{name}."), keys),
                Value::String(text) => {
                    assert!(!text.trim().is_empty(), "{name} is empty");
                    let mut places: Vec<&str> = text
                        .split('{')
                        .skip(1)
                        .filter_map(|rest| Some(rest.split_once('}')?.0))
                        .collect();
                    places.sort_unstable();
                    keys.push(format!("{name} {places:?}"));
                }
                other => panic!("{name} is {}, not a text", other.type_str()),
            }
        }
        keys.sort();
    }

    #[test]
    fn languages_have_the_same_keys_and_places() {
        let [mut english, mut french] = [Vec::new(), Vec::new()];
        keys(&ENGLISH, "", &mut english);
        keys(&FRENCH, "", &mut french);
        assert!(english.len() > 100, "{}", english.len());
        assert_eq!(english, french);
    }

    #[test]
    fn the_same_word_in_both_languages_is_meant() {
        let mut same = Vec::new();
        for (section, value) in &*ENGLISH {
            for (key, text) in value.as_table().into_iter().flatten() {
                if text.as_str() == get(Language::Fr, section, key) {
                    same.push(format!("{section}.{key}"));
                }
            }
        }
        let meant = ["hotspot.wifi", "kind.zim"];
        same.retain(|key| !meant.contains(&key.as_str()));
        // More than a few says that somebody copied a file and forgot to translate it.
        assert!(same.len() < 12, "{same:?}");
    }

    #[test]
    fn sizes() {
        for (bytes, english, french) in [
            (0, "0 B", "0 o"),
            (999, "999 B", "999 o"),
            (1000, "1.0 kB", "1,0 ko"),
            (9_960, "10 kB", "10 ko"),
            (12_345_678, "12 MB", "12 Mo"),
            (999_999, "1.0 MB", "1,0 Mo"),
            (1_500_000_000, "1.5 GB", "1,5 Go"),
        ] {
            assert_eq!(size(Language::En, bytes).replace('\u{a0}', " "), english);
            assert_eq!(size(Language::Fr, bytes).replace('\u{a0}', " "), french);
        }
        assert!(size(Language::En, u64::MAX).ends_with("TB"));
    }

    #[test]
    fn durations_and_counts() {
        for (seconds, text) in [(7, "7 s"), (60, "1 min"), (3570, "1 h 00"), (7505, "2 h 05")] {
            assert_eq!(duration(seconds).replace('\u{a0}', " "), text);
        }
        assert_eq!(count(Language::Fr, "videos", 0), "0 vidéo");
        assert_eq!(count(Language::En, "videos", 0), "0 videos");
        assert_eq!(count(Language::Fr, "videos", 2), "2 vidéos");
    }
}
