//! What Debian allows in names, and which suites there are.

use crate::plan::Arch;

/// A Debian suite that we can build.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    /// Architectures with a kernel in it, of those that we build for. (Trixie has no i386 kernel any more.)
    pub(crate) archs: &'static [Arch],
}

/// Debian 12 and 13: <https://www.debian.org/releases/>.
pub(crate) const SUITES: [Suite; 2] = [
    Suite {
        name: "bookworm",
        archs: &[Arch::Amd64, Arch::Arm64],
    },
    Suite {
        name: "trixie",
        archs: &[Arch::Amd64, Arch::Arm64],
    },
];

/// Archive areas since Debian 12, in the order of a plan (Debian policy 2.2).
pub(crate) const COMPONENTS: [&str; 4] = ["main", "contrib", "non-free", "non-free-firmware"];

/// Types of debconf questions (debconf-devel(7)).
pub(crate) const QUESTION_TYPES: [&str; 9] = [
    "string",
    "boolean",
    "select",
    "multiselect",
    "note",
    "text",
    "password",
    "title",
    "error",
];

/// Suffixes of systemd units that can be enabled (systemd.unit(5)).
const UNIT_SUFFIXES: [&str; 9] = [
    "service",
    "socket",
    "timer",
    "target",
    "path",
    "mount",
    "automount",
    "swap",
    "slice",
];

/// Debian policy 5.6.1: lower case letters, digits and `+ - .`, at least two, the first a letter or digit.
pub(crate) fn package_name(name: &str) -> Result<(), String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let first = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if name.len() >= 2 && first && name.bytes().all(inner) {
        return Ok(());
    }
    Err(format!("`{name}` can't be a Debian package"))
}

/// systemd.unit(5): at most 255 characters of letters, digits and `: - _ . \ @`, and a known suffix.
pub(crate) fn unit_name(name: &str) -> Result<(), String> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || br":-_.\@".contains(&byte);
    let Some((stem, suffix)) = name
        .rsplit_once('.')
        .filter(|(_, suffix)| UNIT_SUFFIXES.contains(suffix))
    else {
        return Err(format!(
            "`{name}` can't be a systemd unit: it has no suffix such as `.service` or `.timer`"
        ));
    };
    if stem.is_empty() || name.len() > 255 || !name.bytes().all(inner) || suffix.is_empty() {
        return Err(format!(
            "`{name}` can't be a systemd unit: it has characters that units don't have"
        ));
    }
    Ok(())
}

/// Names of users and groups: adduser's `NAME_REGEX`, at most 32 characters (useradd(8)).
pub(crate) fn user_name(name: &str) -> Result<(), String> {
    let first = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if first && name.len() <= 32 && name.bytes().all(inner) {
        return Ok(());
    }
    Err(format!("`{name}` can't be the name of a user or group"))
}

/// Names of recipes, boards and overlays: they become file names and parts of them.
pub(crate) fn our_name(name: &str) -> Result<(), String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !name.is_empty() && name.len() <= 64 && !name.starts_with('-') && name.bytes().all(inner) {
        return Ok(());
    }
    Err(format!(
        "`{name}` can't be a name: names have lower case letters, digits and `-`"
    ))
}

/// A kernel console: `tty1`, `ttyS0,115200`, `ttyAML0,115200n8` (serial-console.rst of the kernel).
pub(crate) fn console(name: &str) -> Result<(), String> {
    let (device, options) = name
        .split_once(',')
        .map_or((name, None), |(device, options)| (device, Some(options)));
    let device_fits = device.strip_prefix("tty").is_some_and(|rest| {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        !number.is_empty() && number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let options_fit = options.is_none_or(|options| {
        let format = options.trim_start_matches(|c: char| c.is_ascii_digit());
        format.len() < options.len() && ["", "n8", "e7", "o7", "n8r"].contains(&format)
    });
    if device_fits && options_fit {
        return Ok(());
    }
    Err(format!(
        "`{name}` can't be a kernel console; write `tty1` or `ttyS0,115200`"
    ))
}

/// Permission bits from octal digits: `"0640"`, `"755"`.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    octal
        .then(|| u32::from_str_radix(text, 8).ok())
        .flatten()
        .ok_or_else(|| format!("`{text}` is not a mode; write three or four octal digits, like \"0644\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["g++", "libc6", "linux-image-amd64", "0ad", "python3.11"] {
            package_name(name).unwrap();
        }
        for name in ["", "a", "Nginx", "nginx:arm64", "nginx=1.2", "-x", "a b", "../x"] {
            assert!(
                package_name(name)
                    .unwrap_err()
                    .contains("can't be a Debian package"),
                "{name}"
            );
        }
        for name in ["ssh.service", "getty@tty1.service", r"dev-disk-by\x2dlabel.swap"] {
            unit_name(name).unwrap();
        }
        for name in ["ssh", ".service", "a b.service", "ssh.servce", "../x.service"] {
            assert!(
                unit_name(name).unwrap_err().contains("can't be a systemd unit"),
                "{name}"
            );
        }
        for name in ["tty1", "ttyS0,115200", "ttyAML0,115200n8", "tty0"] {
            console(name).unwrap();
        }
        for name in ["", "S0", "tty", "ttyS0,", "ttyS0 root=/dev/sda", "ttyS0,fast"] {
            assert!(console(name).unwrap_err().contains("kernel console"), "{name}");
        }
        assert_eq!(mode("0640"), Ok(0o640));
        assert_eq!(mode("755"), Ok(0o755));
        for text in ["", "64", "0888", "00644", "+644", "rw-"] {
            assert!(mode(text).unwrap_err().contains("is not a mode"), "{text}");
        }
        our_name("x86-pc").unwrap();
        for name in ["", "..", "a/b", "A", "-x", "a.toml"] {
            assert!(our_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn names_are_so_long_and_no_longer() {
        let long = |len: usize| "a".repeat(len);
        for name in ["aa", "0a", &long(300)] {
            package_name(name).unwrap();
        }
        unit_name(&format!("{}.timer", long(249))).unwrap();
        assert!(unit_name(&format!("{}.timer", long(250))).is_err());
        for name in ["a", "_", "_apt", "www-data", "u_1", &long(32)] {
            user_name(name).unwrap();
        }
        for name in ["", "0a", "-a", "A", "a.b", "a$", &long(33)] {
            assert!(
                user_name(name)
                    .unwrap_err()
                    .contains("can't be the name of a user or group"),
                "{name}"
            );
        }
        for name in ["a", "0", "a-", &long(64)] {
            our_name(name).unwrap();
        }
        assert!(our_name(&long(65)).unwrap_err().contains("can't be a name"));
        for name in [
            "tty123",
            "ttyS0,1",
            "ttyS0,9600e7",
            "ttyS0,9600o7",
            "ttyS0,9600n8r",
        ] {
            console(name).unwrap();
        }
        for name in ["tty1234", "ttyS0,n8", "ttyS0,9600n7", "ttyS"] {
            assert!(console(name).is_err(), "{name}");
        }
        assert_eq!((mode("000"), mode("7777")), (Ok(0), Ok(0o7777)));
        for text in ["77", "77777", "8000"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }
}
