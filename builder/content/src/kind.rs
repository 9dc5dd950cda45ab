//! Whether a file is what its name says. Servers send a page instead of the file that they do not have, and call it 200 OK.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Result;
use clic_store::space::io_error;

/// How many bytes are looked at: a PDF may begin as late as this.
const BEGINNING: u64 = 1024;

/// A kind of files: what it is, the endings of their names, and how they begin (at which byte, with what).
type Kind = (&'static str, &'static [&'static str], (usize, &'static [u8]));

const KINDS: [Kind; 16] = [
    ("a PDF", &["pdf"], (0, b"%PDF")),
    ("a ZIM file", &["zim"], (0, b"ZIM\x04")),
    (
        "a zip file, or what is one inside (EPUB, OpenDocument, Office)",
        &[
            "zip", "epub", "odt", "ods", "odp", "docx", "xlsx", "pptx", "cbz", "apk",
        ],
        (0, b"PK"),
    ),
    ("a PNG picture", &["png"], (0, b"\x89PNG")),
    ("a JPEG picture", &["jpg", "jpeg"], (0, b"\xff\xd8\xff")),
    ("a GIF picture", &["gif"], (0, b"GIF8")),
    ("a WebP picture", &["webp"], (8, b"WEBP")),
    (
        "an MP4 film or sound",
        &["mp4", "m4v", "m4a", "m4b"],
        (4, b"ftyp"),
    ),
    (
        "a WebM or Matroska film",
        &["webm", "mkv", "mka"],
        (0, b"\x1a\x45\xdf\xa3"),
    ),
    ("Ogg", &["ogg", "oga", "ogv", "opus"], (0, b"OggS")),
    ("FLAC", &["flac"], (0, b"fLaC")),
    ("compressed with gzip", &["gz", "tgz"], (0, b"\x1f\x8b")),
    ("compressed with xz", &["xz", "txz"], (0, b"\xfd7zXZ\0")),
    ("compressed with bzip2", &["bz2", "tbz"], (0, b"BZh")),
    ("compressed with zstd", &["zst"], (0, b"\x28\xb5\x2f\xfd")),
    ("MP3", &["mp3"], (0, b"ID3")),
];

/// What a file is, if that is something else than the ending of `name` says. Only what is certain is said: contents that are
/// not known are taken at their name.
pub fn mistaken(path: &Path, name: &str) -> Result<Option<&'static str>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(BEGINNING).read_to_end(&mut bytes))
        .map_err(|error| io_error(error, path))?;
    Ok(other(&bytes, name))
}

fn other(bytes: &[u8], name: &str) -> Option<&'static str> {
    let ending = Path::new(name).extension()?.to_str()?.to_ascii_lowercase();
    let (_, _, wanted) = KINDS
        .iter()
        .find(|(_, endings, _)| endings.contains(&ending.as_str()))?;
    let begins = |(at, mark): (usize, &[u8])| bytes.get(at..).is_some_and(|rest| rest.starts_with(mark));
    if begins(*wanted) || (ending == "pdf" && bytes.windows(4).any(|part| part == b"%PDF")) {
        return None;
    }
    if bytes.is_empty() {
        return Some("empty");
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = text.trim_ascii_start().to_ascii_lowercase();
    if [&b"<!doctype html"[..], b"<html", b"<head"]
        .iter()
        .any(|start| text.starts_with(start))
    {
        return Some("a web page");
    }
    // A tag of MP3 stands before other sounds, too.
    let certain = |(_, _, begin): &&Kind| begin.1 != b"ID3" && begins(*begin);
    let found = KINDS.iter().find(certain);
    found.map(|(what, _, _)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_in_place_of_a_file_is_seen() {
        for page in [
            "<!DOCTYPE html><title>404</title>",
            "\u{feff}\n <HTML lang=fr>",
            "<html>",
        ] {
            for name in ["a.pdf", "A.ZIM", "été 1.epub", "film.mp4"] {
                assert_eq!(other(page.as_bytes(), name), Some("a web page"), "{name}");
            }
            for name in ["page.html", "notes.txt", "none", ".pdf"] {
                assert_eq!(other(page.as_bytes(), name), None, "{name}");
            }
        }
        assert_eq!(other(b"%PDF-1.4", "book.epub"), Some("a PDF"));
        assert_eq!(other(b"", "book.epub"), Some("empty"));
    }

    #[test]
    fn what_is_right_or_not_known_is_taken_at_its_name() {
        for (bytes, name) in [
            (&b"%PDF-1.4"[..], "a.pdf"),
            // As some mail programs write it.
            (b"\r\n\r\n%PDF-1.4", "a.pdf"),
            (b"PK\x03\x04", "a.epub"),
            (b"\0\0\0\x20ftypisom", "a.MP4"),
            (b"\xff\xfb\x90\x64", "a.mp3"),
            (b"ID3\x04\0", "a.flac"),
            (b"la la la", "song.ogg"),
            (b"PK\x03\x04", "a.odg"),
        ] {
            assert_eq!(other(bytes, name), None, "{name}");
        }
    }
}
