//! Media types: guessed by extension, and named for people.

/// Extension, media type, name for people. nginx sends the same types (overlay `portal`).
const KNOWN: [(&str, &str, &str); 34] = [
    ("aac", "audio/aac", "AAC"),
    ("csv", "text/csv", "CSV"),
    ("deb", "application/vnd.debian.binary-package", "Debian"),
    ("epub", "application/epub+zip", "EPUB"),
    ("flac", "audio/flac", "FLAC"),
    ("gif", "image/gif", "GIF"),
    ("gz", "application/gzip", "GZ"),
    ("htm", "text/html", "HTML"),
    ("html", "text/html", "HTML"),
    ("jpeg", "image/jpeg", "JPEG"),
    ("jpg", "image/jpeg", "JPEG"),
    ("m4a", "audio/mp4", "M4A"),
    ("md", "text/markdown", "Markdown"),
    ("mkv", "video/x-matroska", "MKV"),
    ("mp3", "audio/mpeg", "MP3"),
    ("mp4", "video/mp4", "MP4"),
    ("odp", "application/vnd.oasis.opendocument.presentation", "ODP"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet", "ODS"),
    ("odt", "application/vnd.oasis.opendocument.text", "ODT"),
    ("oga", "audio/ogg", "Ogg"),
    ("ogg", "audio/ogg", "Ogg"),
    ("ogv", "video/ogg", "Ogg"),
    ("opus", "audio/ogg", "Opus"),
    ("pdf", "application/pdf", "PDF"),
    ("png", "image/png", "PNG"),
    ("svg", "image/svg+xml", "SVG"),
    ("txt", "text/plain", "TXT"),
    ("vtt", "text/vtt", "VTT"),
    ("wav", "audio/wav", "WAV"),
    ("webm", "video/webm", "WebM"),
    ("webp", "image/webp", "WebP"),
    ("xz", "application/x-xz", "XZ"),
    ("zim", "application/x-zim", "ZIM"),
    ("zip", "application/zip", "ZIP"),
];

/// What stands behind the last dot of a file's name.
fn extension(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    let (stem, extension) = name.rsplit_once('.')?;
    (!stem.is_empty() && !extension.is_empty()).then(|| extension.to_ascii_lowercase())
}

/// The media type that a path's extension stands for.
pub(crate) fn by_extension(path: &str) -> &'static str {
    extension(path)
        .and_then(|found| KNOWN.iter().find(|(extension, ..)| *extension == found))
        .map_or("application/octet-stream", |(_, media_type, _)| media_type)
}

/// What people call a file of this name: `EPUB`.
pub(crate) fn label(path: &str) -> String {
    let Some(found) = extension(path) else {
        return String::new();
    };
    match KNOWN.iter().find(|(extension, ..)| *extension == found) {
        Some((.., label)) => (*label).to_owned(),
        None if found.len() <= 5 && found.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            found.to_ascii_uppercase()
        }
        None => String::new(),
    }
}

/// Whether this is `type/subtype` (RFC 6838 section 4.2), without parameters.
pub(crate) fn is_media_type(text: &str) -> bool {
    let part = |part: &str| {
        (1..=127).contains(&part.len())
            && part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$&^_.+-".contains(&byte)
            })
    };
    text.split_once('/')
        .is_some_and(|(kind, subtype)| part(kind) && part(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_sorted_and_types_are_types() {
        assert!(KNOWN.is_sorted_by_key(|(extension, ..)| *extension));
        for (extension, media_type, _) in KNOWN {
            assert!(is_media_type(media_type), "{extension}");
        }
    }

    #[test]
    fn nginx_sends_the_types_that_pages_promise() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../overlays/portal/files/etc/nginx/clic.d/portal.conf"
        );
        let conf = std::fs::read_to_string(path).unwrap();
        let types = conf.split_once("types {").unwrap().1.split_once('}').unwrap().0;
        for (extension, media_type, _) in KNOWN {
            let sent = types
                .lines()
                .find(|line| {
                    let mut words = line.trim().trim_end_matches(';').split_whitespace();
                    words.next().is_some() && words.any(|word| word == extension)
                })
                .and_then(|line| line.split_whitespace().next());
            assert_eq!(sent, Some(media_type), "{extension}");
        }
    }

    #[test]
    fn types_of_files() {
        assert_eq!(by_extension("a/B.EPUB"), "application/epub+zip");
        assert_eq!(by_extension("a.b/c"), "application/octet-stream");
        assert_eq!(label("x.tar.gz"), "GZ");
        assert_eq!(label("x.<b>"), "");
        for bad in [
            "",
            "video",
            "video/",
            "/webm",
            "video/webm; codecs=x",
            "a/b/c",
            "text/\"x",
        ] {
            assert!(!is_media_type(bad), "{bad}");
        }
    }
}
