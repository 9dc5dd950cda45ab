//! The order of versions.

use std::cmp::Ordering;

/// Compares two versions as dpkg does (Debian policy, section 5.6.12).
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a_epoch, a) = epoch(a);
    let (b_epoch, b) = epoch(b);
    let (a, a_revision) = a.rsplit_once('-').unwrap_or((a, ""));
    let (b, b_revision) = b.rsplit_once('-').unwrap_or((b, ""));
    a_epoch
        .cmp(&b_epoch)
        .then_with(|| compare_part(a, b))
        .then_with(|| compare_part(a_revision, b_revision))
}

fn epoch(version: &str) -> (u64, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    }
}

/// Compares two upstream versions, or two revisions: text, where `~` sorts before the end and letters before the rest, then a
/// number, and again.
pub fn compare_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        loop {
            let (x, y) = (weight(a.first()), weight(b.first()));
            if x != y {
                return x.cmp(&y);
            }
            if x == 0 {
                break;
            }
            (a, b) = (a.get(1..).unwrap_or(&[]), b.get(1..).unwrap_or(&[]));
        }
        let (x, rest_a) = number(a);
        let (y, rest_b) = number(b);
        let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// Weight of a character outside of numbers; digits and the end weigh nothing.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

/// The leading digits without leading zeros, and what follows.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    (digits.get(zeros..).unwrap_or(&[]), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_dpkg_says() {
        use Ordering::{Equal, Greater, Less};
        for (a, b, order) in [
            ("1.0", "1.0", Equal),
            ("1.0~rc1", "1.0", Less),
            ("1.10", "1.9", Greater),
            ("1:0.1", "2.0", Greater),
            ("6.1.176-1", "6.1.99-1", Greater),
            ("2.36-9+deb12u9", "2.36-9+deb12u13", Less),
            ("1.0-1", "1.0", Greater),
            ("1.0a", "1.0+", Less),
            ("007", "7", Equal),
        ] {
            assert_eq!(compare(a, b), order, "{a} {b}");
            assert_eq!(compare(b, a), order.reverse(), "{b} {a}");
        }
    }
}
