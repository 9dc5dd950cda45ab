//! Files out of archives and packages: hostile until checked. What comes out has numbers for names until it is in the
//! tree, so that no name of theirs is ever a path of the build host.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clic_debian::deb::{self, Deb};
use clic_host::cancel;
use clic_recipe::plan::Unpack;
use clic_store::space::io_error;
use clic_tree::{Entry, FileTree, Kind};

/// Most files of one archive: four times what the largest web site that anybody carries around has.
const MOST_FILES: usize = 1_000_000;
/// Most bytes of a name, and of a path: `NAME_MAX` and `PATH_MAX` of Linux.
const MOST_NAME: usize = 255;
const MOST_PATH: usize = 4095;
/// How often links are followed before they count as a circle (Linux: 40).
const MOST_LINKS: usize = 40;
/// Most memory that decompressing may take, in bytes: `xz -9` needs 65 MiB, `zstd --long=27` 128.
const MAX_MEMORY: u64 = 256 << 20;

/// Files on their way out of an archive.
pub struct Files {
    scratch: PathBuf,
    tree: FileTree,
    /// Bytes that may still come.
    left: u64,
    count: usize,
    /// Whether what can be run stays so.
    programs: bool,
    /// Lower-case paths, for names that one stick out of two takes for the same.
    seen: BTreeMap<String, bool>,
}

impl Files {
    /// Into the empty directory `scratch`, at most `most` bytes.
    pub fn new(scratch: PathBuf, most: u64) -> Self {
        Self {
            scratch,
            tree: FileTree::default(),
            left: most,
            count: 0,
            programs: false,
            seen: BTreeMap::new(),
        }
    }

    /// Unpacks an archive that has programs: what its owner can run, everybody can.
    pub fn with_programs(scratch: PathBuf, most: u64) -> Self {
        Self {
            programs: true,
            ..Self::new(scratch, most)
        }
    }

    /// All of them, with their directories.
    pub fn finish(self) -> Result<FileTree> {
        ensure!(self.count > 0, "there is no file in it");
        Ok(self.tree)
    }

    /// Takes a regular file. `path` as the archive has it.
    pub fn take(&mut self, path: &[u8], content: &mut dyn Read) -> Result<()> {
        self.take_with(path, 0o644, content)
    }

    /// Takes a file, with the mode that the archive has.
    fn take_with(&mut self, path: &[u8], mode: u32, content: &mut dyn Read) -> Result<()> {
        cancel::check()?;
        let path = plain(path)?;
        if self.count >= MOST_FILES {
            bail!("it has more than {MOST_FILES} files");
        }
        self.parents(&path)?;
        if self.seen.insert(path.to_lowercase(), true).is_some() {
            bail!("two files in it have the path {path:?}");
        }
        let to = self.scratch.join(self.count.to_string());
        self.count += 1;
        let mut file = File::create_new(&to).map_err(|error| io_error(error, &to))?;
        let size = io::copy(&mut content.take(self.left.saturating_add(1)), &mut file)
            .with_context(|| format!("{path:?} cannot be unpacked"))?;
        ensure!(size <= self.left, "its files together are larger than allowed");
        self.left -= size;
        let number = self.tree.add_host_file(to, size);
        let mode = if self.programs && mode & 0o100 != 0 {
            0o755
        } else {
            0o644
        };
        self.tree
            .insert(path.into_bytes(), Entry::new(Kind::File(number), mode));
        Ok(())
    }

    /// The number of a file that was taken.
    fn number(&self, path: &str) -> Option<usize> {
        match self.tree.get(path)?.kind {
            Kind::File(number) => Some(number),
            _ => None,
        }
    }

    /// Gives a file that was taken another name.
    fn link(&mut self, path: &str, number: usize) -> Result<()> {
        self.parents(path)?;
        if self.seen.insert(path.to_lowercase(), true).is_some() {
            bail!("two files in it have the path {path:?}");
        }
        self.tree
            .insert(path.as_bytes().to_vec(), Entry::new(Kind::File(number), 0o644));
        Ok(())
    }

    fn parents(&mut self, path: &str) -> Result<()> {
        for (at, _) in path.match_indices('/') {
            let parent = &path[..at];
            match self.seen.insert(parent.to_lowercase(), false) {
                Some(true) => bail!("{parent:?} is both a file and a directory in it"),
                Some(false) => {}
                None => self
                    .tree
                    .insert(parent.as_bytes().to_vec(), Entry::new(Kind::Directory, 0o755)),
            }
        }
        Ok(())
    }
}

/// A path of an archive as it will be on the device.
fn plain(path: &[u8]) -> Result<String> {
    let shown = String::from_utf8_lossy(path).into_owned();
    let text = std::str::from_utf8(path).ok();
    let text = text.with_context(|| format!("{shown:?} has a name that is not UTF-8"))?;
    let text = text.strip_prefix("./").unwrap_or(text);
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.len() <= MOST_NAME;
    ensure!(
        !text.starts_with('/') && text.split('/').all(part) && text.len() <= MOST_PATH,
        "{shown:?} leads out of it, or is not a path at all"
    );
    ensure!(
        !text.chars().any(|c| c.is_control() || c == '\\'),
        "{shown:?} has characters that no file here may have"
    );
    Ok(text.to_owned())
}

/// Takes what is in an archive.
pub fn archive(path: &Path, kind: Unpack, files: &mut Files) -> Result<()> {
    match kind {
        Unpack::Tar => tar(path, files),
        Unpack::Zip => zip(path, files),
    }
}

fn tar(path: &Path, files: &mut Files) -> Result<()> {
    let mut archive = tar::Archive::new(decompressed(path)?);
    for found in archive.entries()? {
        let mut found = found.context("the archive is damaged")?;
        let name = found.path_bytes().into_owned();
        let kind = found.header().entry_type();
        if kind.is_file() {
            let size = found.size();
            ensure!(size <= files.left, "its files together are larger than allowed");
            let mode = found.header().mode()?;
            files.take_with(&name, mode, &mut found)?;
        } else if !kind.is_dir() && !kind.is_pax_global_extensions() {
            bail!(
                "{:?} is neither a file nor a directory; nothing else is accepted",
                String::from_utf8_lossy(&name)
            );
        }
    }
    Ok(())
}

/// By its first bytes, not by its name, which a mirror may have changed.
fn decompressed(path: &Path) -> Result<Box<dyn Read>> {
    let open = || File::open(path).map_err(|error| io_error(error, path));
    let mut magic = [0; 6];
    let read = open()?.read(&mut magic).map_err(|error| io_error(error, path))?;
    let raw = io::BufReader::with_capacity(1 << 16, open()?);
    Ok(match &magic[..read] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            let decoder =
                liblzma::stream::Stream::new_stream_decoder(MAX_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(raw, decoder))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(raw)?),
        _ => Box::new(raw),
    })
}

fn zip(path: &Path, files: &mut Files) -> Result<()> {
    let file = File::open(path).map_err(|error| io_error(error, path))?;
    let mut archive =
        zip::ZipArchive::new(io::BufReader::new(file)).context("this is not a complete zip file")?;
    for number in 0..archive.len() {
        let mut found = archive.by_index(number).context("the archive is damaged")?;
        let name = found.name_raw().to_vec();
        if name.ends_with(b"/") {
            continue;
        }
        // The upper half is the Unix mode, if there is one: 0o120000 is a symlink.
        if found
            .unix_mode()
            .is_some_and(|mode| mode & 0o170_000 != 0o100_000 && mode & 0o170_000 != 0)
        {
            bail!(
                "{:?} is neither a file nor a directory; nothing else is accepted",
                String::from_utf8_lossy(&name)
            );
        }
        files.take(&name, &mut found)?;
    }
    Ok(())
}

/// Takes files out of a Debian package, under their numbers in `paths`. What the package does not have is not there then.
pub fn package_files(deb: &Path, installed_size: u64, paths: &[&str], files: &mut Files) -> Result<()> {
    each(&Deb::open(deb)?, installed_size, |name, found| {
        let wanted = |path: &&str| path.trim_start_matches('/').as_bytes() == name;
        let Some(number) = paths.iter().position(wanted) else {
            return Ok(());
        };
        ensure!(
            found.header().entry_type().is_file(),
            "{} is not a regular file in the package",
            paths[number]
        );
        files.take(number.to_string().as_bytes(), found)
    })?;
    ensure!(files.count > 0, "the package has no {}", paths.join(", "));
    Ok(())
}

/// Takes everything below a directory of a Debian package. A link to a file of the same package becomes that file; one that
/// leads elsewhere would lead nowhere on the device: it is refused, or left out.
pub fn package_directory(
    deb: &Path,
    installed_size: u64,
    path: &str,
    leave_out_links: bool,
    files: &mut Files,
) -> Result<()> {
    let deb = Deb::open(deb)?;
    let below = format!("{}/", path.trim_matches('/'));
    // Every link of the package, to follow one over others.
    let mut links: BTreeMap<String, String> = BTreeMap::new();
    each(&deb, installed_size, |name, found| {
        let kind = found.header().entry_type();
        let inside = name.strip_prefix(below.as_bytes());
        if kind.is_symlink() || kind.is_hard_link() {
            let (name, target) = link(name, found)?;
            links.insert(name, target);
            return Ok(());
        }
        match inside {
            Some(inside) if kind.is_file() => files.take(inside, found),
            Some(inside) if !kind.is_dir() => {
                bail!("{:?} is a device", String::from_utf8_lossy(inside))
            }
            _ => Ok(()),
        }
    })?;
    let mut wanted = ends(&links, &below);
    for (target, names) in &wanted {
        let known = target
            .strip_prefix(&below)
            .and_then(|target| files.number(target));
        if let Some(number) = known {
            for name in names {
                files.link(name, number)?;
            }
        }
    }
    if wanted.is_empty() {
        ensure!(files.count > 0, "the package has nothing in {path}");
        return Ok(());
    }
    each(&deb, installed_size, |name, found| {
        // What lies in the directory was taken the first time.
        if !found.header().entry_type().is_file() || name.starts_with(below.as_bytes()) {
            return Ok(());
        }
        let Some(names) = std::str::from_utf8(name)
            .ok()
            .and_then(|name| wanted.remove(name))
        else {
            return Ok(());
        };
        let mut number = None;
        for name in names {
            match number {
                None => {
                    files.take(name.as_bytes(), found)?;
                    number = files.number(name);
                }
                Some(number) => files.link(name, number)?,
            }
        }
        Ok(())
    })?;
    wanted.retain(|target, _| {
        target
            .strip_prefix(&below)
            .is_none_or(|target| files.number(target).is_none())
    });
    if let (Some((target, names)), false) = (wanted.first_key_value(), leave_out_links) {
        bail!(
            "{path}/{} is a link to /{target}, which is not a file of the package",
            names.first().copied().unwrap_or_default()
        );
    }
    ensure!(files.count > 0, "the package has nothing in {path}");
    Ok(())
}

/// A link's own name, and the path in the package that it says.
fn link(name: &[u8], found: &tar::Entry<'_, impl Read>) -> Result<(String, String)> {
    let target = found.link_name_bytes().context("a link without a target")?;
    let target = String::from_utf8(target.into_owned()).context("a link's target is not UTF-8")?;
    let name = plain(name)?;
    let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
    let absolute = if found.header().entry_type().is_hard_link() || target.starts_with('/') {
        lexical(&target)
    } else {
        lexical(&format!("{parent}/{target}"))
    };
    Ok((name, absolute))
}

/// What links of the directory `below` come to: names in it, by the package's file.
fn ends<'a>(links: &'a BTreeMap<String, String>, below: &str) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut ends: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, target) in links {
        let Some(inside) = name.strip_prefix(below) else {
            continue;
        };
        let mut target = target.as_str();
        for _ in 0..MOST_LINKS {
            match links.get(target) {
                Some(next) => target = next,
                None => break,
            }
        }
        ends.entry(target).or_default().push(inside);
    }
    ends
}

/// Goes through the entries of a package: names without `./` before them.
fn each(
    deb: &Deb,
    installed_size: u64,
    mut visit: impl FnMut(&[u8], &mut tar::Entry<'_, clic_debian::deb::Metered<'_>>) -> Result<()>,
) -> Result<()> {
    let left = Cell::new(deb::most(installed_size, deb.size()?));
    let mut archive = tar::Archive::new(deb.data(&left)?);
    for found in archive.entries()? {
        let mut found = found.context("the package is damaged")?;
        let name = found.path_bytes().into_owned();
        visit(name.strip_prefix(b"./").unwrap_or(&name), &mut found)?;
    }
    Ok(())
}

/// `/a/b/../c` as `a/c`: what it says, whatever is there.
fn lexical(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests;
