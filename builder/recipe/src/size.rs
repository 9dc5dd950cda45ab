//! Sizes as people write them.

/// One mebibyte: the grain of partitions, and what partition tools align to.
pub(crate) const MIB: u64 = 1 << 20;

/// Largest size that we take seriously: 16 TiB, what ext4 with 4 KiB blocks and 32-bit block numbers can hold.
pub(crate) const MOST: u64 = 16 << 40;

/// Bytes of `512K`, `512M`, `4G`, `1T`; powers of 1024.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let wrong = || match meant(text) {
        Some(meant) => format!("`{text}` is not a size; did you mean `{meant}`?"),
        None => format!("`{text}` is not a size; write a whole number and K, M, G or T, like `512M`"),
    };
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number
        .checked_mul(1 << shift)
        .filter(|bytes| *bytes <= MOST)
        .ok_or_else(|| format!("`{text}` is more than any disk we can write (16T)"))
}

/// The size as it is to be written, of one that is written in another way: `4 Go`, `4GB`, `4 gib`, `1,5 G`.
fn meant(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let text = text.to_ascii_uppercase().replace(',', ".");
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let units = ["K", "M", "G", "T"];
    let at = units.iter().position(|one| {
        let rest = unit.strip_prefix(one);
        rest.is_some_and(|rest| ["", "B", "O", "IB", "IO"].contains(&rest))
    })?;
    if let Ok(whole) = number.parse::<u64>() {
        return Some(format!("{whole}{}", units[at]));
    }
    // Of a part of a unit, the next smaller one.
    let (whole, part) = number.split_once('.')?;
    let (whole, digits): (u64, u64) = (whole.parse().ok()?, part.parse().ok()?);
    let scale = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    let less = whole
        .checked_mul(1024)?
        .checked_add(digits.checked_mul(1024)? / scale)?;
    Some(format!("{less}{}", units.get(at.checked_sub(1)?)?))
}

/// Like [`parse`], and a multiple of 1 MiB that is not zero.
pub(crate) fn parse_mib(text: &str) -> Result<u64, String> {
    let bytes = parse(text)?;
    if bytes == 0 || !bytes.is_multiple_of(MIB) {
        return Err(format!(
            "`{text}` is not a multiple of 1 MiB; write it in `M` or `G`"
        ));
    }
    Ok(bytes)
}

/// `512M`, `4G`: as people write it. Rounded up to the next mebibyte.
pub(crate) fn in_words(bytes: u64) -> String {
    let mib = bytes.div_ceil(MIB);
    if mib >= 1024 && mib.is_multiple_of(1024) {
        format!("{}G", mib / 1024)
    } else {
        format!("{mib}M")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse("512M"), Ok(512 << 20));
        assert_eq!(parse("4G"), Ok(4 << 30));
        assert_eq!(parse("3K"), Ok(3 << 10));
        assert_eq!(parse("16T"), Ok(MOST));
        assert_eq!(parse_mib("1024K"), Ok(MIB));
        for wrong in [
            "", "M", "512", "512m", "512MB", "1.5G", "-1G", "0x1G", " 1G", "١M",
        ] {
            assert!(parse(wrong).unwrap_err().contains("is not a size"), "{wrong}");
        }
        for (text, meant) in [
            ("4 Go", "4G"),
            ("4GB", "4G"),
            ("4 GiB", "4G"),
            ("512m", "512M"),
            ("512 Mo", "512M"),
            ("1,5 Go", "1536M"),
            (" 1G", "1G"),
        ] {
            assert_eq!(
                parse(text),
                Err(format!("`{text}` is not a size; did you mean `{meant}`?"))
            );
        }
        for text in [
            "M",
            "512",
            "4 X",
            "-1G",
            "4 Gig",
            "99999999999999999999G",
            "1.99999999999999999999G",
        ] {
            assert!(parse(text).unwrap_err().ends_with("like `512M`"), "{text}");
        }
        for large in ["17T", "99999999999G"] {
            assert!(
                parse(large).unwrap_err().contains("more than any disk"),
                "{large}"
            );
        }
        assert!(
            parse("99999999999999999999G")
                .unwrap_err()
                .contains("is not a size")
        );
        for odd in ["1K", "0M", "1025K"] {
            assert!(parse_mib(odd).unwrap_err().contains("multiple of 1 MiB"), "{odd}");
        }
        assert_eq!(in_words(512 << 20), "512M");
        assert_eq!(in_words((1 << 30) - 1), "1G");
        assert_eq!(in_words(1 << 30), "1G");
        assert_eq!(in_words((1 << 30) + 1), "1025M");
        assert_eq!(in_words(2 << 30), "2G");
    }
}
