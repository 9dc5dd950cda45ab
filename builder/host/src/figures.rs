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

#[cfg(test)]
mod tests {
    use super::*;

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
