//! How apt names the files that it keeps of an archive (`URItoFileName` in apt-pkg/strutl.cc).

use std::fmt::Write as _;
use std::path::PathBuf;

use super::Line;
use clic_debian::uri::without_login;

/// What apt writes as `%xx` in such names, besides blanks, control characters and whatever is not ASCII.
const QUOTED: &[u8] = b"\\|{}[]<>\"^~_=!@#$%^&*";

/// The Release file that the indexes of a source came by, of all that apt has.
pub fn release<'a>(line: &Line, lists: &'a [PathBuf]) -> Option<&'a PathBuf> {
    release_of(&line.url, &line.suite, lists)
}

/// The Release file of this suite of the archive at `url`.
pub fn release_of<'a>(url: &str, suite: &str, lists: &'a [PathBuf]) -> Option<&'a PathBuf> {
    let start = file_name(url.trim_end_matches('/'));
    let ends = ["InRelease", "Release"].map(|name| quoted(&format!("dists/{suite}/{name}")));
    lists.iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let rest = name.strip_prefix(&start);
        rest.is_some_and(|rest| ends.iter().any(|end| rest.trim_start_matches('_') == end))
    })
}

/// The beginning of the names of all files from `url`: without scheme and login.
fn file_name(url: &str) -> String {
    let url = without_login(url);
    let rest = url.split_once(':').map_or(url.as_str(), |(_, rest)| rest);
    quoted(rest.strip_prefix("//").unwrap_or(rest))
}

/// Slashes as underscores, and what could be mistaken for something as `%xx`.
fn quoted(text: &str) -> String {
    text.bytes().fold(String::new(), |mut name, byte| {
        match byte {
            b'/' => name.push('_'),
            _ if QUOTED.contains(&byte) || !byte.is_ascii_graphic() => {
                let _ = write!(name, "%{byte:02x}");
            }
            _ => name.push(byte.into()),
        }
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apt::Trust;

    #[test]
    fn names_of_apts_files() {
        assert_eq!(
            file_name("http://me:pw@mirror.example/debian"),
            "mirror.example_debian"
        );
        assert_eq!(file_name("file:/srv/a_b"), "_srv_a%5fb");
        assert_eq!(file_name("file:///srv/debian"), "_srv_debian");
        // As apt 2.6 names them.
        assert_eq!(
            file_name("http://localhost:80/~me/a@b"),
            "localhost:80_%7eme_a%40b"
        );
    }

    #[test]
    fn the_release_file_of_each_source_is_found() {
        let line = |url: &str, suite: &str| Line {
            source: "x".into(),
            url: url.into(),
            suite: suite.into(),
            components: Vec::new(),
            optional: false,
            trust: Trust::Debian,
        };
        let lists: Vec<PathBuf> = [
            "/l/h_debian_dists_bookworm_InRelease",
            "/l/h_debian_dists_bookworm-updates_Release",
            "/l/h_%7eme_dists_stable_x%5f1_InRelease",
        ]
        .map(PathBuf::from)
        .to_vec();
        let found = |url: &str, suite: &str| {
            let line = line(url, suite);
            release(&line, &lists).map(|path| lists.iter().position(|other| other == path).unwrap())
        };
        assert_eq!(found("http://h/debian", "bookworm"), Some(0));
        assert_eq!(found("http://h/debian/", "bookworm"), Some(0));
        assert_eq!(found("http://h/debian", "bookworm-updates"), Some(1));
        assert_eq!(found("http://h/~me", "stable/x_1"), Some(2));
        assert_eq!(found("http://h/deb", "bookworm"), None);
        assert_eq!(found("http://h/debian", "trixie"), None);
    }
}
