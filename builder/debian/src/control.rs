//! Debian's control format (deb822): stanzas of `Field: value` lines.

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

/// Reads one stanza. Comments (`#` in the first column) and lines that are not fields are passed over.
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
}
