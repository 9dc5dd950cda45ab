//! What somebody may have meant.

use std::fmt::Write as _;

use clic_host::plain::cut;

/// Longest word that is taken for a slip, in characters, and most names that it is held against: comparing takes time by the
/// product of all three.
const LONGEST: usize = 80;
const MOST_NAMES: usize = 2000;
/// Most names that an advice lists.
const MOST_LISTED: usize = 30;

/// The names closest to `wanted`, best first, at most `most` of them; none that is too far to be a slip.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    // A third of the letters, and at least two: enough for a swapped, a missing and a doubled letter.
    let length = wanted.chars().take(LONGEST + 1).count();
    if length > LONGEST {
        return Vec::new();
    }
    // Of a code of two letters each is near each other: only its case can be a slip.
    let limit = match length {
        0..=2 => 0,
        3 => 1,
        _ => (length / 3).max(2),
    };
    let mut found: Vec<(usize, &str)> = names
        .into_iter()
        .take(MOST_NAMES)
        .filter(|name| name.chars().take(2 * LONGEST).count().abs_diff(length) <= limit)
        .filter_map(|name| {
            let distance = strsim::damerau_levenshtein(&wanted.to_lowercase(), &name.to_lowercase());
            // Names that share no letter at all are not a suggestion, however short.
            (distance <= limit && distance < length.max(1)).then_some((distance, name))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.truncate(most);
    found.into_iter().map(|(_, name)| name).collect()
}

/// A help text: the nearest name if one is near, and the names that there are.
pub(crate) fn advice<'a>(wanted: &str, kind: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let mut help = String::new();
    if let Some(name) = nearest(wanted, names.iter().copied(), 1).first() {
        let _ = write!(help, "did you mean `{name}`? ");
    }
    if names.is_empty() {
        let _ = write!(help, "there are no {kind}");
    } else {
        let _ = write!(help, "{kind}: {}", quoted(&names));
    }
    help
}

/// Most choices that are all listed.
const FEW: usize = 12;

/// Like [`advice`], of what can be very many: then only the nearest, and how many there are.
pub(crate) fn advice_of_many<'a>(
    wanted: &str,
    kind: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.len() <= FEW {
        return advice(wanted, kind, names);
    }
    match quoted(&nearest(wanted, names.iter().copied(), 3)).as_str() {
        "" => format!(
            "there are {} {kind}, from {}",
            names.len(),
            quoted(&[names[0], names[names.len() - 1]]).replace(", ", " to ")
        ),
        near => format!("did you mean {near}? there are {} {kind}", names.len()),
    }
}

/// `` `a`, `b`, `c` ``; of very many, some.
pub(crate) fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    let mut list = names
        .iter()
        .take(MOST_LISTED)
        .map(|name| format!("`{}`", cut(name.as_ref(), LONGEST)))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > MOST_LISTED {
        let _ = write!(list, " and {} more", names.len() - MOST_LISTED);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let names = ["x86-pc", "raspberry-pi", "odroid-c4"];
        assert_eq!(nearest("rasberry-pi", names, 1), ["raspberry-pi"]);
        assert_eq!(nearest("x68-pc", names, 1), ["x86-pc"]);
        assert!(nearest("toaster", names, 1).is_empty());
        assert!(nearest("UK", ["DK", "UA"], 1).is_empty());
        assert_eq!(nearest("fr", ["FI", "FR"], 1), ["FR"]);
        assert_eq!(
            advice("X86-PC", "boards", names),
            "did you mean `x86-pc`? boards: `x86-pc`, `raspberry-pi`, `odroid-c4`"
        );
        assert_eq!(
            advice_of_many("toaster", "boards", names),
            "boards: `x86-pc`, `raspberry-pi`, `odroid-c4`"
        );
        let codes = [
            "AD", "BE", "CH", "DE", "ES", "FR", "GB", "IT", "LU", "MA", "NL", "SN", "TN",
        ];
        assert_eq!(
            advice_of_many("fr", "choices", codes),
            "did you mean `FR`? there are 13 choices"
        );
        assert_eq!(
            advice_of_many("Atlantis", "choices", codes),
            "there are 13 choices, from `AD` to `TN`"
        );
        assert_eq!(advice("toaster", "boards", []), "there are no boards");
    }
}
