//! Figures for people.

/// A number of bytes: `512 B`, `64.0 MB`, `1.52 GB`. Decimal, as disks are sold.
pub fn size(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = bytes as f64;
    // A unit begins where 1000 of the one before it would be shown.
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..999_950 => format!("{:.1} kB", value / 1e3),
        999_950..999_950_000 => format!("{:.1} MB", value / 1e6),
        999_950_000..999_995_000_000 => format!("{:.2} GB", value / 1e9),
        _ => format!("{:.2} TB", value / 1e12),
    }
}

/// So many of something, by the word for one of it: `1 file`, `3 files`, `0 boxes`.
pub fn counted(count: u64, one: &str) -> String {
    let end = match one {
        _ if count == 1 => "",
        _ if one.ends_with(['s', 'x']) || one.ends_with("ch") => "es",
        _ => "s",
    };
    let stem = one
        .strip_suffix('y')
        .filter(|stem| count != 1 && !stem.ends_with(['a', 'e', 'o']));
    match stem {
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {one}{end}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        for (count, one, said) in [
            (0, "file", "0 files"),
            (1, "file", "1 file"),
            (2, "file", "2 files"),
            (1, "directory", "1 directory"),
            (2, "directory", "2 directories"),
            (2, "key", "2 keys"),
            (3, "box", "3 boxes"),
        ] {
            assert_eq!(counted(count, one), said);
        }
    }

    #[test]
    fn bytes_carry_their_unit() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (64_000_000, "64.0 MB"),
            (999_949_999, "999.9 MB"),
            (999_950_000, "1.00 GB"),
            (1_520_000_000, "1.52 GB"),
            (999_994_999_999, "999.99 GB"),
            (999_995_000_000, "1.00 TB"),
            (u64::MAX, "18446744.07 TB"),
        ] {
            assert_eq!(size(bytes), shown, "{bytes}");
        }
    }
}
