//! Links: paths and host names that are safe to put into one, and their encoded form.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Longest path, in bytes. Linux takes 4096 (`PATH_MAX`), with room for what stands in front.
const LONGEST_PATH: usize = 1024;

/// Longest name of a file, in bytes (`NAME_MAX`).
const LONGEST_NAME: usize = 255;

/// Whether a path stays inside of its bundle, and is one that nginx serves.
pub(crate) fn inner_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("the path is empty");
    }
    if path.len() > LONGEST_PATH || path.split('/').any(|name| name.len() > LONGEST_NAME) {
        return Err("the path is longer than a file system takes");
    }
    if path.starts_with('/') {
        return Err("the path must be relative to the bundle");
    }
    if path.chars().any(char::is_control) {
        return Err("the path has a control character");
    }
    for name in path.split('/') {
        match name {
            "" => return Err("the path has an empty part"),
            "." | ".." => return Err("the path has a part `.` or `..`, which could leave the bundle"),
            _ if name.starts_with('.') => return Err("hidden files (`.name`) are not served"),
            _ => {}
        }
    }
    Ok(())
}

/// Whether this is a path of a URL on a known host, with perhaps a query and a fragment.
pub(crate) fn service_path(path: &str) -> Result<(), &'static str> {
    if path.len() > LONGEST_PATH {
        return Err("the path is too long");
    }
    // `//host/` is another host, and browsers read a backslash as a slash.
    if !path.starts_with('/') || path.starts_with("//") || path.contains('\\') {
        return Err("the path must begin with one slash, and have no backslash");
    }
    if path.chars().any(|char| char.is_control() || char == ' ') {
        return Err("the path has a blank or a control character");
    }
    Ok(())
}

/// Whether this is a host name (RFC 1123) in lower case.
pub(crate) fn host(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Everything but the unreserved characters (RFC 3986 section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The same, in a path.
const IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// What an address that people wrote may have besides.
const IN_ADDRESS: &AsciiSet = &IN_PATH
    .remove(b'?')
    .remove(b'#')
    .remove(b'&')
    .remove(b'=')
    .remove(b'%')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b':')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'*')
    .remove(b'(')
    .remove(b')')
    .remove(b'\'');

/// URL of a file of a bundle.
pub(crate) fn content(bundle: &str, path: &str) -> String {
    format!(
        "/content/{}/{}",
        utf8_percent_encode(bundle, RESERVED),
        utf8_percent_encode(path, IN_PATH)
    )
}

/// Name under which kiwix-serve knows a ZIM file: the file's name without its extension, blanks as `_`, `+` as `plus`
/// (libkiwix, `HumanReadableNameMapper`). Bundles can't have accents in names of ZIM files; `check` says so.
pub(crate) fn zim_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    stem.replace(' ', "_").replace('+', "plus")
}

/// URL of a ZIM archive's first page.
pub(crate) fn zim(path: &str) -> String {
    format!("/zim/{}/", utf8_percent_encode(&zim_name(path), RESERVED))
}

/// URL of a service at `origin`, or at the portal's own. Its path is already one: only what no URL can have is encoded.
pub(crate) fn service(origin: Option<&str>, path: &str) -> String {
    let path = utf8_percent_encode(path, IN_ADDRESS);
    format!("{}{path}", origin.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_unreserved_is_encoded() {
        assert_eq!(
            content("films", "été/a \"b\"<c>#1?.webm"),
            "/content/films/%C3%A9t%C3%A9/a%20%22b%22%3Cc%3E%231%3F.webm"
        );
        assert_eq!(content("a", "100%/x&y"), "/content/a/100%25/x%26y");
    }

    #[test]
    fn paths_that_leave_are_refused() {
        for path in [
            "/etc/passwd",
            "..",
            "a/../b",
            "./a",
            "a//b",
            "a/",
            "",
            ".git/config",
            "a\nb",
            "a\0",
        ] {
            assert!(inner_path(path).is_err(), "{path:?}");
        }
        assert!(inner_path(&"a".repeat(256)).is_err());
        assert_eq!(
            inner_path("a/b c/..d.e"),
            Err("hidden files (`.name`) are not served")
        );
        assert_eq!(
            inner_path("dir/Où est-ce ? \\o/.pdf"),
            Err("hidden files (`.name`) are not served")
        );
        assert_eq!(inner_path("dir/Où est-ce ?.pdf"), Ok(()));
    }

    #[test]
    fn services_stay_on_their_host() {
        for path in [
            "//evil.example/",
            "http://evil.example/",
            "/\\evil",
            "javascript:alert(1)",
            "",
            "/a b",
        ] {
            assert!(service_path(path).is_err(), "{path:?}");
        }
        assert_eq!(service(None, "/pads/?new=1#top"), "/pads/?new=1#top");
        assert_eq!(service(None, "/é\"><"), "/%C3%A9%22%3E%3C");
        assert_eq!(
            service(Some("https://pads.clic.internal"), "/"),
            "https://pads.clic.internal/"
        );
    }

    #[test]
    fn host_names() {
        for good in ["clic.internal", "a", "x-1.clic.test"] {
            assert!(host(good), "{good}");
        }
        for bad in [
            "",
            "a..b",
            "-a",
            "a-",
            "É",
            "a/b",
            "a:80",
            "A.b",
            "a b",
            ".a",
            &"a".repeat(64),
        ] {
            assert!(!host(bad), "{bad}");
        }
    }

    #[test]
    fn kiwix_names() {
        assert_eq!(zim("zims/Le livre+1.zim"), "/zim/Le_livreplus1/");
    }
}
