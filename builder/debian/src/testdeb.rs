//! Packages for tests, byte by byte: no tool and no library would write most of these.

#![allow(clippy::missing_panics_doc, reason = "for tests only")]

use std::io::Write as _;

/// An entry of a tar archive as it is to be written, whether that makes sense or not.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The type flag of tar(5): `0` file, `1` hard link, `2` symlink, `3` and `4` devices, `5` directory, `6` fifo.
    pub kind: u8,
    /// Where it says that it goes.
    pub name: Vec<u8>,
    /// Where it says that it leads.
    pub link: Vec<u8>,
    /// Permission bits.
    pub mode: u64,
    /// Owner.
    pub uid: u64,
    /// Bytes that it says it has.
    pub size: u64,
    /// Bytes that follow.
    pub data: Vec<u8>,
}

fn entry(kind: u8, name: &[u8], link: &[u8]) -> Entry {
    Entry {
        kind,
        name: name.to_vec(),
        link: link.to_vec(),
        mode: 0o644,
        uid: 0,
        size: 0,
        data: Vec::new(),
    }
}

/// A regular file.
pub fn file(name: &str, data: &[u8], mode: u64) -> Entry {
    Entry {
        mode,
        size: data.len() as u64,
        data: data.to_vec(),
        ..entry(b'0', name.as_bytes(), b"")
    }
}

/// A directory.
pub fn directory(name: &str) -> Entry {
    Entry {
        mode: 0o755,
        ..entry(b'5', name.as_bytes(), b"")
    }
}

/// A symlink.
pub fn symlink(name: &str, target: &str) -> Entry {
    entry(b'2', name.as_bytes(), target.as_bytes())
}

/// A hard link.
pub fn hard_link(name: &str, target: &str) -> Entry {
    entry(b'1', name.as_bytes(), target.as_bytes())
}

/// Anything else.
pub fn other(kind: u8, name: &str) -> Entry {
    entry(kind, name.as_bytes(), b"")
}

/// GNU tar's way to give the next entry a long name: `name` over and over, so many bytes.
pub fn long_name(name: &[u8], size: usize) -> Entry {
    let data: Vec<u8> = name.iter().copied().cycle().take(size).collect();
    Entry {
        size: size as u64,
        data,
        ..entry(b'L', b"././@LongLink", b"")
    }
}

/// A number as tar has it: octal digits, or base 256 where they are too few.
fn number(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}");
    if text.len() == digits {
        field[..digits].copy_from_slice(text.as_bytes());
    } else {
        field.fill(0);
        field[0] = 0x80;
        let at = field.len() - 8;
        field[at..].copy_from_slice(&value.to_be_bytes());
    }
}

/// A tar archive.
pub fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let mut header = [0_u8; 512];
        header[..entry.name.len()].copy_from_slice(&entry.name);
        number(&mut header[100..108], entry.mode);
        number(&mut header[108..116], entry.uid);
        number(&mut header[116..124], entry.uid);
        number(&mut header[124..136], entry.size);
        number(&mut header[136..148], 1_700_000_000);
        header[156] = entry.kind;
        header[157..157 + entry.link.len()].copy_from_slice(&entry.link);
        header[257..265].copy_from_slice(b"ustar  \0");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&entry.data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// An ar archive: names, contents, and what is said of their sizes if that is not true.
pub fn ar(members: &[(&str, &[u8], Option<&str>)]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, data, size) in members {
        let size = size.map_or_else(|| data.len().to_string(), str::to_owned);
        writeln!(
            bytes,
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`",
            0, 0, 0, 100_644
        )
        .unwrap();
        bytes.extend_from_slice(data);
        if data.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// Compressed as the end of a member's name says.
pub fn compressed(form: &str, data: &[u8]) -> Vec<u8> {
    match form {
        "" => data.to_vec(),
        ".gz" => {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            to.write_all(data).unwrap();
            to.finish().unwrap()
        }
        ".xz" => {
            let mut to = liblzma::write::XzEncoder::new(Vec::new(), 0);
            to.write_all(data).unwrap();
            to.finish().unwrap()
        }
        ".bz2" => {
            let mut to = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            to.write_all(data).unwrap();
            to.finish().unwrap()
        }
        ".lzma" => {
            let options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
            let encoder = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
            let mut to = liblzma::write::XzEncoder::new_stream(Vec::new(), encoder);
            to.write_all(data).unwrap();
            to.finish().unwrap()
        }
        ".zst" => zstd::stream::encode_all(data, 1).unwrap(),
        other => panic!("no form {other:?}"),
    }
}

/// The stanza of a package.
pub fn stanza(name: &str) -> String {
    format!(
        "Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: Test <t@example.org>\nDescription: test\n"
    )
}

/// A package with these files beside `control` in its control part, and these entries.
pub fn deb(name: &str, control: &[(&str, &str)], entries: &[Entry]) -> Vec<u8> {
    let mut files = vec![file("./control", stanza(name).as_bytes(), 0o644)];
    files.extend(
        control
            .iter()
            .map(|(name, text)| file(name, text.as_bytes(), 0o755)),
    );
    parts(&tar(&files), "", &compressed(".zst", &tar(entries)), ".zst")
}

/// A package of these two parts, compressed as it is said.
pub fn parts(control: &[u8], control_form: &str, data: &[u8], data_form: &str) -> Vec<u8> {
    ar(&[
        ("debian-binary", b"2.0\n", None),
        (&format!("control.tar{control_form}"), control, None),
        (&format!("data.tar{data_form}"), data, None),
    ])
}
