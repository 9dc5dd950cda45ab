//! Addresses of archives.

use std::path::Path;

pub use clic_store::without_login;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_decode_str, utf8_percent_encode};

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

/// What the `%XX` in a part of an address stand for.
pub fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

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
    fn paths_are_encoded() {
        assert_eq!(
            file("http://m/debian", "pool/a~b_1:2+c d\u{e9}.deb"),
            "http://m/debian/pool/a~b_1:2%2Bc%20d%C3%A9.deb"
        );
        assert_eq!(directory(Path::new("/srv/my tree")), "file:/srv/my%20tree");
    }
}
