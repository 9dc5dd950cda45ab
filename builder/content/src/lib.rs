//! What there is to read, watch and hear: the files of content bundles, laid over a finished tree.
//!
//! Nothing in a tree's making reads them, so that no stage is made again because of them. What is one file comes straight
//! out of the store's downloads; what comes out of archives and packages is a layer of its own.

pub mod app;
mod kind;
mod look;
mod unpack;
mod zim;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clic_debian::date;
use clic_host::{Progress, Sha256, Stage, UserError, figures};
use clic_recipe::plan::{Bundle, BundleItem, Content as File, InPackage, ItemSource, Unpack};
use clic_store::space::io_error;
use clic_store::{Download, FetchError, Scratch, Session, Store, file_url, space};
use clic_tree::{Entry, FileTree, Kind, NEW};
use serde::Serialize;

pub use kind::mistaken;
pub use look::{look, look_into};

/// Where bundles are on the device, each in a directory of its name.
pub use clic_recipe::plan::CONTENT_DIRECTORY as DIRECTORY;
/// The one file of a layer that is a ZIM file.
const ZIM: &str = "zim";

/// What others have for the content of one image.
pub struct Supplies<'a> {
    /// The version of the code: what another one unpacked is not taken up.
    pub engine: &'a str,
    /// The image's date, in seconds since 1970.
    pub epoch: u64,
    /// Debian packages that content comes out of, by name.
    pub packages: BTreeMap<&'a str, Package>,
    /// Whoever runs the programs that make content.
    pub makers: &'a dyn Makers,
}

/// A Debian package that content comes out of.
pub struct Package {
    /// Its .deb, for the store.
    pub download: Download,
    /// Bytes that it takes when installed, by its own account.
    pub installed_size: u64,
}

/// The programs that make content, shut up in a sandbox.
pub trait Makers {
    /// The hash of everything that shapes what they make.
    fn key(&self) -> Sha256;

    /// Runs a shell script with the words `TOOLS WORK START...`: the tree of the programs, which is only to be read; `work`; and
    /// a command that starts a program in the tree `work`/tree and nothing around it, with `work`/jail to mount on.
    ///
    /// Errors: the script failed, with the last that it said.
    fn run(&self, script: &str, work: &Path, stage: &Stage) -> Result<()>;
}

/// Lays the files of `bundles` over `tree`, fetching what the store does not have.
///
/// Errors: [`UserError`] for content that is not what its bundle says; [`FetchError`] for what cannot be had.
pub fn lay(
    tree: &mut FileTree,
    bundles: &[Bundle],
    supplies: &Supplies<'_>,
    session: Session<'_>,
) -> Result<()> {
    let Session { store, progress, .. } = session;
    if bundles.is_empty() {
        return Ok(());
    }
    let stage = progress.stage("content", "Content", &why(bundles, store));
    tree.make_directories(DIRECTORY)?;
    let maker = Maker {
        bundles,
        supplies,
        store,
        stage: &stage,
    };
    for bundle in bundles {
        for item in &bundle.items {
            stage.message(format!("{}: {}", bundle.name, item.path));
            let place = format!("{DIRECTORY}/{}/{}", bundle.name, item.path);
            maker
                .item(tree, bundle, item, &place)
                .with_context(|| whose(bundle, item))?;
        }
    }
    stage.finish();
    Ok(())
}

/// Which content an error is about.
fn whose(bundle: &Bundle, item: &BundleItem) -> String {
    format!(
        "{}: content `{}` of bundle `{}`",
        item.origin, item.path, bundle.name
    )
}

/// The downloads that these bundles take from addresses of their own: what `plan` and `content fetch` count.
pub fn downloads(bundles: &[Bundle]) -> Vec<Download> {
    let items = bundles.iter().flat_map(|bundle| &bundle.items);
    items
        .filter_map(|item| match &item.from {
            ItemSource::File {
                sha256,
                size,
                urls,
                local: None,
                ..
            } => Some(Download {
                url: urls.first().cloned()?,
                sha256: *sha256,
                size: *size,
                name: item.path.clone(),
            }),
            _ => None,
        })
        .collect()
}

/// Has the files of `bundles` in the store that come from addresses or lie in the tree; returns how many these are.
pub fn fetch(bundles: &[Bundle], store: &Store, progress: &Progress) -> Result<usize> {
    let stage = progress.stage("content", "Content", &why(bundles, store));
    let mut count = 0;
    for bundle in bundles {
        for item in &bundle.items {
            let ItemSource::File { urls, local, .. } = &item.from else {
                continue;
            };
            if urls.is_empty() && local.is_none() {
                continue;
            }
            let places = Places {
                store,
                stage: &stage,
                item,
            };
            let file = places
                .file()?
                .with_context(|| format!("bundle {}: no place has {}", bundle.name, item.path))?;
            look::item(bundle, item, &file)?;
            count += 1;
        }
    }
    stage.finish();
    Ok(count)
}

fn why(bundles: &[Bundle], store: &Store) -> String {
    let downloads = downloads(bundles);
    let missing = store.missing(&downloads);
    if missing.is_empty() {
        return "from the store, every time".to_owned();
    }
    let size = missing.iter().map(|download| download.size).sum();
    format!(
        "not in the store: {} of {}, {}",
        missing.len(),
        figures::counted(downloads.len() as u64, "file"),
        figures::size(size)
    )
}

struct Maker<'a> {
    bundles: &'a [Bundle],
    supplies: &'a Supplies<'a>,
    store: &'a Store,
    stage: &'a Stage,
}

impl Maker<'_> {
    fn item(&self, tree: &mut FileTree, bundle: &Bundle, item: &BundleItem, place: &str) -> Result<()> {
        if let Some((parent, _)) = place.rsplit_once('/') {
            tree.make_directories(parent)?;
        }
        if let ItemSource::File {
            size, unpack: None, ..
        } = &item.from
        {
            put(tree, place, self.file(item)?, *size);
            return Ok(());
        }
        let made = self.made(item)?;
        if item.zim {
            return tree.lay_file(place, self.zim(bundle, item, &made)?, ZIM);
        }
        let files = self.files(item, &made)?;
        look::has_start(&files, item.start.as_deref()).map_err(blame)?;
        tree.lay_below(place, files)
    }

    /// What the layer of an item with files is made of.
    fn made<'b>(&self, item: &'b BundleItem) -> Result<Made<'b>> {
        Ok(match &item.from {
            ItemSource::Directory(own) => Made::Directory(own),
            ItemSource::File { sha256, unpack, .. } => {
                let (kind, most) = unpack.context("one file has no files")?;
                Made::Archive(*sha256, kind, most)
            }
            ItemSource::PackageDirectory {
                package,
                size,
                leave_out_links,
            } => Made::Package(
                self.package(package)?.download.sha256,
                &package.path,
                *size,
                *leave_out_links,
            ),
        })
    }

    /// The files of an item.
    fn files(&self, item: &BundleItem, made: &Made<'_>) -> Result<FileTree> {
        self.layer(made, |files, _| match &item.from {
            ItemSource::Directory(own) => own
                .iter()
                .try_for_each(|(path, file)| Self::own(path, file, files)),
            ItemSource::File { unpack, .. } => {
                let (kind, _) = unpack.context("one file has no files")?;
                unpack::archive(&self.file(item)?, kind, files)
            }
            ItemSource::PackageDirectory {
                package,
                leave_out_links,
                ..
            } => {
                let (deb, installed) = self.deb(package)?;
                unpack::package_directory(&deb, installed, &package.path, *leave_out_links, files)
            }
        })
    }

    /// A tree with one file, [`ZIM`]: what `made` is, as a ZIM file.
    fn zim(&self, bundle: &Bundle, item: &BundleItem, made: &Made<'_>) -> Result<FileTree> {
        let date = date::show(self.supplies.epoch);
        let day = date.split(' ').next().unwrap_or_default().to_owned();
        let words = zim::Words::of(bundle, item, day);
        let zim = Made::Zim(item.size(), &words, self.supplies.makers.key(), made);
        self.layer(&zim, |files, scratch| {
            let pages = self.files(item, made)?;
            self.stage
                .message(format!("{}: {}: pages and their words", bundle.name, item.path));
            // Not the tools: they are others where the build host is of another architecture, and the file is the same.
            let identity = serde_json::to_vec(&(made, &words))?;
            let mut file = zim::make(
                self.supplies.makers,
                &pages,
                &words,
                &identity,
                scratch,
                self.stage,
            )?;
            files.take(ZIM.as_bytes(), &mut file)
        })
    }

    fn places<'b>(&'b self, item: &'b BundleItem) -> Places<'b> {
        Places {
            store: self.store,
            stage: self.stage,
            item,
        }
    }

    /// A file of the tree that people edit, as it was when the plan was made.
    fn own(name: &str, file: &File, files: &mut unpack::Files) -> Result<()> {
        let bytes = file
            .data
            .read()
            .with_context(|| format!("{name} cannot be read"))?;
        anyhow::ensure!(
            Sha256::of(&bytes) == file.sha256,
            "{name} has changed while the build was running: start it again"
        );
        files.take(name.as_bytes(), &mut &*bytes)
    }

    /// The file of an item, from the first place that has it.
    fn file(&self, item: &BundleItem) -> Result<PathBuf> {
        let places = self.places(item);
        match (places.file()?, &item.from) {
            (Some(path), _) => Ok(path),
            (
                None,
                ItemSource::File {
                    sha256,
                    size,
                    package: Some(package),
                    ..
                },
            ) => self.out_of(package, *sha256, *size, &item.path),
            _ => Err(anyhow!("no place has it")),
        }
    }

    /// One file out of a Debian package, into the store's downloads; and with it all others out of this package that bundles
    /// ask for, since it has to be gone through anyhow.
    fn out_of(&self, package: &InPackage, sum: Sha256, size: u64, name: &str) -> Result<PathBuf> {
        let (deb, installed) = self.deb(package)?;
        let mut wanted = vec![OutOf {
            path: &package.path,
            sha256: sum,
            size,
            name,
        }];
        let items = self.bundles.iter().flat_map(|bundle| &bundle.items);
        wanted.extend(
            items
                .filter_map(|item| OutOf::of(item, &package.name))
                .filter(|other| other.sha256 != sum && !self.store.path_of(other.sha256).exists()),
        );
        wanted.sort_by_key(|other| other.path);
        wanted.dedup_by_key(|other| other.path);

        let scratch = self.store.scratch("content")?;
        let most = wanted.iter().map(|other| other.size).fold(0, u64::saturating_add);
        let mut files = unpack::Files::new(scratch.path().to_owned(), most);
        let paths: Vec<&str> = wanted.iter().map(|other| other.path).collect();
        unpack::package_files(&deb, installed, &paths, &mut files).map_err(blame)?;
        let tree = files.finish()?;
        let mut found = None;
        for (number, other) in wanted.iter().enumerate() {
            let Some(path) = tree.host_file(&number.to_string()) else {
                continue;
            };
            let is = Sha256::of_file(path).map_err(|error| io_error(error, path))?;
            if is == other.sha256 {
                let download = Download {
                    url: file_url(path),
                    sha256: is,
                    size: other.size,
                    name: other.name.to_owned(),
                };
                let kept = self.store.fetch(&download, self.stage)?;
                if other.path == package.path {
                    found = Some(Ok(kept));
                }
            } else if other.path == package.path {
                // That of another item is told when it is its turn.
                found = Some(Err(is));
            }
        }
        match found {
            Some(Ok(path)) => Ok(path),
            Some(Err(is)) => Err(UserError::new(format!(
                "{} of package {} has SHA-256 {is}, the bundle says {sum}",
                package.path, package.name
            ))
            .help("the package may have a new version: look at the file, then write the new hash into the bundle")
            .into()),
            None => Err(UserError::new(format!("package {} has no {}", package.name, package.path))
                .help("`dpkg-deb -c` lists what a package has")
                .into()),
        }
    }

    fn package(&self, package: &InPackage) -> Result<&Package> {
        let found = self.supplies.packages.get(package.name.as_str());
        found.with_context(|| format!("package {} was not resolved", package.name))
    }

    /// The package file, and the bytes that it says it takes.
    fn deb(&self, package: &InPackage) -> Result<(PathBuf, u64)> {
        let found = self.package(package)?;
        let deb = self.store.fetch(&found.download, self.stage)?;
        Ok((deb, found.installed_size))
    }

    /// The store's layer of what `take_out` puts there, or a new one.
    fn layer(
        &self,
        made: &Made<'_>,
        take_out: impl FnOnce(&mut unpack::Files, &Scratch) -> Result<()>,
    ) -> Result<FileTree> {
        let key = Sha256::of(serde_json::to_vec(&(self.supplies.engine, made))?);
        let _held = self.store.lock(&format!("layer-{key}"))?;
        if let Some(file) = self.store.layers().get(key)? {
            if file.verify()? {
                return FileTree::read(&file.tar);
            }
            self.stage
                .note("content in the store is damaged, so it is unpacked again");
            self.store.layers().remove(key)?;
        }
        let most = made.most();
        space::ensure(self.store.dir(), most.saturating_mul(2), "unpacking content")?;
        let scratch = self.store.scratch("content")?;
        let dir = scratch.path().join("files");
        std::fs::create_dir(&dir).map_err(|error| io_error(error, &dir))?;
        let mut files = unpack::Files::new(dir, most);
        take_out(&mut files, &scratch).map_err(blame)?;
        let tree = files.finish().map_err(blame)?;
        let tar = scratch.path().join("content.tar");
        // No time of its own: the tree clamps all times, whatever the lock.
        let written = tree.write(&tar, NEW.into())?;
        let description = serde_json::json!({
            "tar": { "sha256": written.sha256, "size": written.size },
            "content": made,
        });
        let file = self.store.layers().put(key, &description, &tar)?;
        FileTree::read(&file.tar)
    }
}

/// An archive that is not what it should be is for whoever wrote the bundle to fix.
fn blame(error: anyhow::Error) -> anyhow::Error {
    blame_and(
        error,
        "fix the bundle, or use another source; nothing was put into an image",
    )
}

/// The same, with what to do about it.
fn blame_and(error: anyhow::Error, help: &str) -> anyhow::Error {
    // Decompressors say what is wrong with a file in errors of input, too; those have no number of the system's.
    let disk = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|error| error.raw_os_error().is_some())
    };
    if error.is::<clic_host::Cancelled>() || error.chain().any(disk) {
        return error;
    }
    UserError::new(format!("{error:#}")).help(help).into()
}

/// One file that is wanted out of a package.
struct OutOf<'a> {
    path: &'a str,
    sha256: Sha256,
    size: u64,
    name: &'a str,
}

impl<'a> OutOf<'a> {
    /// What an item wants out of the package `name`, if it does.
    fn of(item: &'a BundleItem, name: &str) -> Option<Self> {
        let ItemSource::File {
            sha256,
            size,
            package: Some(package),
            ..
        } = &item.from
        else {
            return None;
        };
        if package.name != name {
            return None;
        }
        Some(Self {
            path: &package.path,
            sha256: *sha256,
            size: *size,
            name: &item.path,
        })
    }
}

/// Where the file of an item can be.
struct Places<'a> {
    store: &'a Store,
    stage: &'a Stage,
    item: &'a BundleItem,
}

impl Places<'_> {
    /// The file, from the store, the tree, or the first address that has it. `None` if a Debian package is all that is
    /// left to look at.
    fn file(&self) -> Result<Option<PathBuf>> {
        let ItemSource::File {
            sha256,
            size,
            urls,
            package,
            local,
            ..
        } = &self.item.from
        else {
            return Ok(None);
        };
        if let Some(path) = self.store.verified(*sha256)? {
            return Ok(Some(path));
        }
        let fetch = |url: String| {
            let download = Download {
                url,
                sha256: *sha256,
                size: *size,
                name: self.item.path.clone(),
            };
            self.store.fetch(&download, self.stage)
        };
        if let Some(path) = local {
            return fetch(file_url(path)).map(Some);
        }
        let mut failed = Vec::new();
        for url in urls {
            match fetch(url.clone()) {
                Ok(path) => return Ok(Some(path)),
                Err(error) if error.is::<FetchError>() => {
                    if !self.store.is_offline() && (failed.len() + 1 < urls.len() || package.is_some()) {
                        self.stage.note(format!("{error}; trying the next place"));
                    }
                    failed.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        match failed.pop() {
            Some(last) if package.is_none() => {
                let earlier: Vec<String> = failed.iter().map(ToString::to_string).collect();
                Err(if earlier.is_empty() {
                    last
                } else {
                    last.context(format!("no place has it:\n  {}", earlier.join("\n  ")))
                })
            }
            _ => Ok(None),
        }
    }
}

/// What a layer of content is made of.
#[derive(Serialize)]
enum Made<'a> {
    /// Paths and contents.
    Directory(&'a [(String, File)]),
    /// Hash, kind, most bytes.
    Archive(Sha256, Unpack, u64),
    /// Hash of the package, path in it, most bytes, whether links that lead out are left out.
    Package(Sha256, &'a str, u64, bool),
    /// One ZIM file: most bytes, what it says of itself, what made it, of what.
    Zim(u64, &'a zim::Words, Sha256, &'a Made<'a>),
}

impl Made<'_> {
    fn most(&self) -> u64 {
        match self {
            Self::Directory(files) => files.iter().map(|(_, file)| file.size).sum(),
            Self::Archive(_, _, most) | Self::Package(_, _, most, _) | Self::Zim(most, ..) => *most,
        }
    }
}

fn put(tree: &mut FileTree, place: &str, file: PathBuf, size: u64) {
    let number = tree.add_host_file(file, size);
    tree.insert(place.as_bytes().to_vec(), Entry::new(Kind::File(number), 0o644));
}
