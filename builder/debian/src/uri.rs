//! Addresses of archives.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

/// Without the user name and password that an address may carry: for what ends up in an image.
pub fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.into();
    };
    let (host, path) = rest
        .split_once('/')
        .map_or((rest, None), |(host, path)| (host, Some(path)));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    path.map_or_else(
        || format!("{scheme}://{host}"),
        |path| format!("{scheme}://{host}/{path}"),
    )
}

/// The address of a directory of this machine.
pub fn directory(path: &Path) -> String {
    format!("file:{}", encoded(&path.to_string_lossy()))
}

/// The address of a file of an archive.
pub fn file(archive: &str, filename: &str) -> String {
    format!("{archive}/{}", encoded(filename))
}

/// What stays as it is in a path. Not `+`: some servers take it for a blank.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

/// What stays as it is everywhere in an address: the unreserved characters (RFC 3986, section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One word of an address, whatever is in it.
pub fn word(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, UNRESERVED)
}

fn encoded(path: &str) -> PercentEncode<'_> {
    utf8_percent_encode(path, PLAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_stay_on_the_build_host() {
        assert_eq!(
            without_login("https://me:secret@mirror.example:8/debian/x@y"),
            "https://mirror.example:8/debian/x@y"
        );
        assert_eq!(without_login("http://mirror.example"), "http://mirror.example");
        assert_eq!(without_login("file:/srv/debian"), "file:/srv/debian");
    }

    #[test]
    fn paths_are_encoded() {
        assert_eq!(
            file("http://m/debian", "pool/a~b_1:2+c d\u{e9}.deb"),
            "http://m/debian/pool/a~b_1:2%2Bc%20d%C3%A9.deb"
        );
        assert_eq!(directory(Path::new("/srv/my tree")), "file:/srv/my%20tree");
    }
}
