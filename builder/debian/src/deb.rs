//! Debian package files: what they say of themselves, and the files in them.
//!
//! The format is deb(5): an `ar` archive of `debian-binary`, `control.tar` and `data.tar`, both compressed. A file may
//! come from anywhere; whatever it says is checked before it is believed.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use clic_store::space::io_error;
use clic_tree::{Stream, Walk};

use crate::control;

/// Bytes of an `ar` member's header.
const AR_HEADER: usize = 60;
/// Most bytes of an uncompressed control.tar. The largest in Debian (debconf templates, checksums of kernels) have
/// a few MB.
const MAX_CONTROL: u64 = 64 << 20;
/// Bytes that every package may unpack to, whatever it states: nobody has to state a size, and some state one that is far too small.
const SLACK: u64 = 128 << 20;
/// How many times its own size a package may unpack to, whatever it states. Text becomes ten times smaller, tables of numbers fifty
/// times; more has the same byte over and over.
const RATIO: u64 = 100;
/// Most bytes of a name in control.tar: what dpkg allows (`MAXCONTROLFILENAME`).
const MAX_CONTROL_NAME: usize = 100;
/// Most memory that decompressing may take, in bytes: `xz -9` needs 65 MiB.
const MAX_MEMORY: u64 = 256 << 20;

/// An open package file.
#[derive(Debug)]
pub struct Deb {
    file: File,
    data: Member,
    /// What the package says of itself.
    pub control: Control,
}

/// What a package says of itself.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// The stanza in `control`, without a blank line at its end.
    pub stanza: String,
    /// The other files, sorted by name: maintainer scripts, `conffiles`, `triggers`, `md5sums`, `templates`, ...
    pub files: Vec<ControlFile>,
}

/// A file of control.tar.
#[derive(Clone, Debug)]
pub struct ControlFile {
    /// Its name: `postinst`.
    pub name: String,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Where a member lies and how it is compressed.
#[derive(Clone, Copy, Debug)]
struct Member {
    offset: u64,
    size: u64,
    form: Form,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Plain,
    Gzip,
    Bzip2,
    Lzma,
    Xz,
    Zstd,
}

impl Deb {
    /// Opens a package file and reads its control part.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| io_error(error, path))?;
        Self::read(file).with_context(|| format!("{} is not a usable Debian package", path.display()))
    }

    /// What the package file at `path` says of itself. The error does not name it.
    pub fn control_of(path: &Path) -> Result<Control> {
        let file = File::open(path).map_err(|error| io_error(error, path))?;
        Ok(Self::read(file)?.control)
    }

    /// Bytes of the package file.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(mut file: File) -> Result<Self> {
        let end = file.metadata()?.len();
        let mut magic = [0; 8];
        file.read_exact(&mut magic).context("it ends early")?;
        ensure!(magic == *b"!<arch>\n", "it does not begin as one");
        let (mut version, mut control) = (None, None);
        let mut at = magic.len() as u64;
        loop {
            let (name, member, next) = member(&mut file, at, end)?;
            match name.as_str() {
                "debian-binary" => {
                    let mut text = String::new();
                    (&file).take(member.size.min(100)).read_to_string(&mut text)?;
                    ensure!(text.starts_with("2."), "its format is {:?}, not 2.0", text.trim());
                    version = Some(());
                }
                _ if name.starts_with("control.tar") => {
                    ensure!(version.is_some(), "it has no debian-binary at its beginning");
                    ensure!(control.is_none(), "it has two control.tar");
                    control = Some(read_control(stream(&file, member)?)?);
                }
                _ if name.starts_with("data.tar") => {
                    let control = control.context("it has no control.tar before its data.tar")?;
                    return Ok(Self {
                        file,
                        data: member,
                        control,
                    });
                }
                // deb(5): members that begin with an underscore may be there and mean nothing to us.
                _ if name.starts_with('_') => {}
                _ => bail!("it holds {name:?}, which does not belong there"),
            }
            at = next;
        }
    }

    /// The files, as a tar stream, of which at most `left` bytes may be read: a few kilobytes can stand for terabytes.
    /// One stream at a time.
    pub fn data<'a>(&'a self, left: &'a Cell<u64>) -> Result<Metered<'a>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.data.offset))?;
        Ok(Metered {
            stream: stream(&self.file, self.data)?,
            left,
        })
    }
}

/// Bytes that a package may unpack to, by what it states that it takes when installed and by the bytes of its .deb.
pub fn most(installed_size: u64, size: u64) -> u64 {
    let stated = installed_size.saturating_mul(2);
    stated.max(size.saturating_mul(RATIO)).saturating_add(SLACK)
}

/// Bytes that a package of `size` bytes takes when it is installed, for who asks before it is: most state it.
pub fn installed_size(stated: Option<u64>, size: u64) -> u64 {
    /// Debian's own become about three times as large.
    const USUAL: u64 = 3;
    stated.unwrap_or(size.saturating_mul(USUAL))
}

/// Writes the package file at `path` to `to` with its files uncompressed, of which there may be at most `most` bytes. `false`
/// if it was to `stop`; then, and after an error, what is in `to` is worth nothing.
pub fn uncompressed(path: &Path, to: &Path, most: u64, stop: &AtomicBool) -> Result<bool> {
    let deb = Deb::open(path)?;
    let failed = |error| io_error(error, to);
    let mut out = File::create_new(to).map_err(failed)?;
    // The members before it, as they are.
    let head = deb.data.offset - AR_HEADER as u64;
    let mut file = &deb.file;
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut file.take(head), &mut out).map_err(failed)?;
    out.write_all(&[b' '; AR_HEADER]).map_err(failed)?;
    let left = Cell::new(most);
    let mut data = deb.data(&left)?;
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let read = data.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        out.write_all(&buffer[..read]).map_err(failed)?;
        size += read as u64;
    }
    if size % 2 == 1 {
        out.write_all(b"\n").map_err(failed)?;
    }
    let header = format!(
        "{:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n",
        "data.tar", 0, 0, 0, 100_644
    );
    ensure!(
        header.len() == AR_HEADER,
        "{size} bytes of files are too many for a package"
    );
    out.seek(SeekFrom::Start(head)).map_err(failed)?;
    out.write_all(header.as_bytes()).map_err(failed)?;
    Ok(true)
}

/// A stream of which only so much may be read. Who reads it may say anew how much.
pub struct Metered<'a> {
    stream: Box<dyn Read + 'a>,
    left: &'a Cell<u64>,
}

impl Read for Metered<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 && !into.is_empty() {
            return Err(io::Error::other("it unpacks to more than is allowed"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let read = self.stream.read(&mut into[..most])?;
        self.left.set(left - read as u64);
        Ok(read)
    }
}

impl Control {
    /// A field of the stanza.
    pub fn field(&self, name: &str) -> Option<&str> {
        control::field(&self.stanza, name)
    }

    /// A field that is a list, with its folded lines.
    pub fn list(&self, name: &str) -> Option<&str> {
        control::value(&self.stanza, name)
    }

    /// A file of the control part.
    pub fn file(&self, name: &str) -> Option<&ControlFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

/// The member at `at`: its name, where it lies, and where the next one begins.
fn member(file: &mut File, at: u64, end: u64) -> Result<(String, Member, u64)> {
    let mut header = [0; AR_HEADER];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut header)
        .context("it ends early: there is no data.tar")?;
    let text = |from: usize, to: usize| -> Result<&str> {
        let text = std::str::from_utf8(&header[from..to]).ok();
        Ok(text.context("a member's header is garbage")?.trim_end())
    };
    ensure!(header[58..] == *b"`\n", "a member's header is garbage");
    let name = text(0, 16)?.trim_end_matches('/').to_owned();
    let size: u64 = text(48, 58)?.parse().context("a member's size is not a number")?;
    let offset = at + AR_HEADER as u64;
    let past = offset.checked_add(size).filter(|past| *past <= end);
    let past = past.with_context(|| format!("it ends early: {name} should have {size} bytes"))?;
    let form = match name.rsplit_once('.').map(|(_, end)| end) {
        Some("gz") => Form::Gzip,
        Some("bz2") => Form::Bzip2,
        Some("lzma") => Form::Lzma,
        Some("xz") => Form::Xz,
        Some("zst") => Form::Zstd,
        Some("tar") | None => Form::Plain,
        _ if !name.contains(".tar") => Form::Plain,
        _ => bail!("{name} is compressed in a way that is not known here"),
    };
    // Members begin at even places.
    Ok((name, Member { offset, size, form }, past.next_multiple_of(2)))
}

fn stream(file: &File, member: Member) -> Result<Box<dyn Read + '_>> {
    let raw = io::BufReader::with_capacity(1 << 16, file.take(member.size));
    Ok(match member.form {
        Form::Plain => Box::new(raw),
        Form::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        Form::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(raw)),
        Form::Lzma => {
            let decoder = liblzma::stream::Stream::new_lzma_decoder(MAX_MEMORY)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(raw, decoder))
        }
        Form::Xz => {
            let decoder =
                liblzma::stream::Stream::new_stream_decoder(MAX_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(raw, decoder))
        }
        Form::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(raw)?),
    })
}

fn read_control(stream: Box<dyn Read + '_>) -> Result<Control> {
    let mut control = Control::default();
    let left = Cell::new(MAX_CONTROL);
    let mut walk = Walk::foreign(Stream(Metered { stream, left: &left }));
    let damaged = || {
        if left.get() == 0 {
            format!("its control.tar has more than {} MiB", MAX_CONTROL >> 20)
        } else {
            "its control.tar is damaged".to_owned()
        }
    };
    while let Some(member) = walk.advance().with_context(damaged)? {
        let path = String::from_utf8(member.path.clone()).context("a name in its control.tar")?;
        let name = path.strip_prefix("./").unwrap_or(&path).to_owned();
        if member.is_directory() && matches!(name.as_str(), "" | ".") {
            continue;
        }
        // dpkg passes over hidden files: some systems leave them everywhere.
        if member.is_file() && is_hidden(&name) {
            continue;
        }
        let plain = |byte: u8| byte == b' ' || (byte.is_ascii_graphic() && byte != b'/');
        ensure!(
            member.is_file()
                && !name.is_empty()
                && name.len() <= MAX_CONTROL_NAME
                && !name.starts_with('.')
                && name.bytes().all(plain)
                // dpkg's own: which paths are the package's.
                && name != "list",
            "its control.tar holds {path:?}, which does not belong there"
        );
        let (mode, mtime) = (member.header.mode()? & 0o777, member.header.mtime()?);
        let mut bytes = Vec::new();
        walk.content().read_to_end(&mut bytes).with_context(damaged)?;
        if name == "control" {
            ensure!(control.stanza.is_empty(), "its control.tar holds {path:?} twice");
            // A byte that is not UTF-8 must not stop a build.
            control.stanza = written(&String::from_utf8_lossy(&bytes));
        } else {
            ensure!(
                control.file(&name).is_none(),
                "its control.tar holds {path:?} twice"
            );
            control.files.push(ControlFile {
                name,
                mode,
                mtime,
                bytes,
            });
        }
    }
    check_stanza(&control.stanza)?;
    control.files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(control)
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.') && !name.contains('/') && !matches!(name, "." | "..")
}

/// The stanza of a control file that people wrote: with the ends of lines that some systems have, and comments, which dpkg's database
/// cannot hold.
fn written(text: &str) -> String {
    let text = text.trim().replace("\r\n", "\n");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.join("\n")
}

/// What we build on, and what would become something else in dpkg's database.
fn check_stanza(stanza: &str) -> Result<()> {
    ensure!(!stanza.is_empty(), "its control.tar has no control file");
    ensure!(
        !stanza.contains('\0'),
        "its control file has a NUL, which no field may have"
    );
    // A line of blanks ends a stanza for some readers and goes on for others.
    ensure!(
        stanza.lines().all(|line| !line.trim().is_empty()),
        "its control file has more than one stanza"
    );
    let is_field = |line: &str| {
        line.starts_with([' ', '\t'])
            || line.split_once(':').is_some_and(|(name, _)| {
                !name.trim_end().is_empty() && name.trim_end().bytes().all(|byte| byte.is_ascii_graphic())
            })
    };
    if let Some(line) = stanza.lines().find(|line| !is_field(line)) {
        bail!("its control file has the line {line:?}, which is no field");
    }
    // Both become parts of file names in dpkg's database, and arguments of programs.
    let plain: fn(u8) -> bool = |byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte);
    for name in ["Package", "Architecture"] {
        let mut all = stanza
            .lines()
            .filter_map(|line| control::field(line, name))
            .peekable();
        let value = all.next().unwrap_or_default();
        ensure!(
            all.peek().is_none(),
            "its control file has the field {name} twice"
        );
        ensure!(
            value.starts_with(|c: char| c.is_ascii_alphanumeric()) && value.bytes().all(plain),
            "its control file says {name}: {value:?}, which no package may have"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
