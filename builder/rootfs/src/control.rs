//! Debian's control format (deb822): stanzas of `Field: value` lines, and the dates in Release files.

/// A stanza: fields in their order. Field names compare without case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stanza<'a>(Vec<(&'a str, String)>);

impl Stanza<'_> {
    /// A field's value: continuation lines are joined by newlines, without their leading blank.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(field))
            .map(|(_, value)| value.as_str())
    }
}

/// Reads one stanza. Comments (`#` in the first column) and lines that are no fields are passed over.
pub fn stanza(text: &str) -> Stanza<'_> {
    let mut fields: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        if line.starts_with('#') {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim(), value.trim().to_owned()));
        }
    }
    Stanza(fields)
}

/// The texts of all stanzas: blank lines are between them.
pub fn stanzas(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches(['\n', '\r']);
            if rest.is_empty() {
                return None;
            }
            // A line with nothing but blanks also ends a stanza; Packages files have plain empty lines.
            let end = rest.find("\n\n").map_or(rest.len(), |at| at + 1);
            let (this, tail) = rest.split_at(end);
            rest = tail;
            if !this.trim().is_empty() {
                return Some(this);
            }
        }
    })
}

/// The first line's value of `field` in the text of one stanza, without reading the rest: for large indexes.
pub fn field<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let name = line.get(..field.len())?;
        let rest = line.get(field.len()..)?.strip_prefix(':')?;
        name.eq_ignore_ascii_case(field).then(|| rest.trim())
    })
}

/// Like [`field`], with the lines that continue it: for lists, which may be folded.
pub fn value<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    let first = self::field(text, field)?;
    // Both are of one text.
    let from = first.as_ptr() as usize - text.as_ptr() as usize;
    let rest = &text[from..];
    let mut lines = rest.match_indices('\n').map(|(at, _)| at);
    let end = lines.find(|at| !rest[at + 1..].starts_with([' ', '\t']));
    Some(rest[..end.unwrap_or(rest.len())].trim_end())
}

/// `Sat, 11 Jul 2026 10:16:37 UTC` as seconds since 1970. Release files are always in UTC.
pub fn date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text
        .split_once(',')
        .map_or(text, |(_, rest)| rest)
        .split_ascii_whitespace();
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut time = words.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next().unwrap_or(Some(0))?);
    if !matches!(words.next(), Some("UTC" | "GMT" | "Z" | "+0000")) {
        return None;
    }
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days from the civil calendar, counted in years that begin in March, so that a leap day comes last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    // 719468 days lie between 0000-03-01 and 1970-01-01.
    let days = days.checked_sub(719_468)?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Seconds since 1970 as `2026-07-11 10:16:37 UTC`, for people.
pub fn show_date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year_of_era + era * 400 + carry;
    let time = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_and_fields() {
        let text = "\n# a comment\nTypes: deb\nURIs: http://a\n http://b\n# inside\nX:\n\n\nPackage: b\n";
        let all: Vec<_> = stanzas(text).map(stanza).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("types"), Some("deb"));
        assert_eq!(all[0].get("URIs"), Some("http://a\nhttp://b"));
        assert_eq!(all[0].get("X"), Some(""));
        assert_eq!(all[0].get("Y"), None);
        assert_eq!(field("Package: b\nVersion: 1:2\n", "version"), Some("1:2"));
        assert_eq!(field("Packagé: b", "Package"), None);
        assert_eq!(value("A: x,\n y\nB: z", "A"), Some("x,\n y"));
        assert_eq!(value("A: x\nB: z", "b"), Some("z"));
    }

    #[test]
    fn garbage_is_no_stanza() {
        assert_eq!(stanza("no colon here\n\u{0}"), Stanza::default());
        assert_eq!(stanzas(" \n\n \n").count(), 0);
    }

    #[test]
    fn dates_of_release_files() {
        assert_eq!(date("Sat, 11 Jul 2026 10:16:37 UTC"), Some(1_783_764_997));
        assert_eq!(date("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(date("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        for wrong in [
            "",
            "Sat, 11 Jul 2026",
            "Sat, 11 Jul 2026 10:16:37 CEST",
            "Sat, 99 Jul 2026 10:16:37 UTC",
            "x",
        ] {
            assert_eq!(date(wrong), None, "{wrong}");
        }
        assert_eq!(show_date(1_783_764_997), "2026-07-11 10:16:37 UTC");
        assert_eq!(show_date(1_709_251_199), "2024-02-29 23:59:59 UTC");
    }
}
