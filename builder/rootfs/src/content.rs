//! What there is to read, watch and hear: the files of content bundles, laid over a finished tree.
//!
//! Nothing in a tree's making reads them, so that no stage is made again because of them. What is one file comes straight
//! out of the store's downloads; what comes out of archives and packages is a layer of its own.

mod unpack;

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clic_host::{Progress, Stage, UserError};
use clic_recipe::plan::{Bundle, BundleItem, Content as File, InPackage, ItemSource, Unpack};
use clic_store::space::io_error;
use clic_store::{Download, FetchError, Store, file_url, sha256, space};
use serde::Serialize;

use crate::resolution::Resolution;
use crate::tarball::{Kind, TarTree};

/// Where bundles are on the device, each in a directory of its name.
pub const DIRECTORY: &str = "srv/clic/content";

/// Lays the files of `bundles` over `tree`, fetching what the store does not have.
///
/// Errors: [`UserError`] for content that is not what its bundle says; [`FetchError`] for what cannot be had.
pub fn lay(
    tree: &mut TarTree,
    bundles: &[Bundle],
    resolution: &Resolution,
    store: &Store,
    progress: &Progress,
) -> Result<()> {
    if bundles.is_empty() {
        return Ok(());
    }
    let stage = progress.stage("content", "Content", &why(bundles, store));
    directories(tree, DIRECTORY)?;
    let maker = Maker {
        resolution,
        store,
        stage: &stage,
    };
    for bundle in bundles {
        for item in &bundle.items {
            stage.message(format!("{}: {}", bundle.name, item.path));
            let place = format!("{DIRECTORY}/{}/{}", bundle.name, item.path);
            maker.item(tree, item, &place).with_context(|| {
                format!(
                    "{}: content `{}` of bundle `{}`",
                    item.origin, item.path, bundle.name
                )
            })?;
        }
    }
    stage.finish();
    Ok(())
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
                sha256: sha256.clone(),
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
            places
                .file()?
                .with_context(|| format!("bundle {}: no place has {}", bundle.name, item.path))?;
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
        "{} of {} files are not in the store: {}",
        missing.len(),
        downloads.len(),
        space::human(size)
    )
}

/// Makes directories down to this one, where they are not.
fn directories(tree: &mut TarTree, path: &str) -> Result<()> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    for end in ends {
        let part = &path[..end];
        match tree.get(part).map(|entry| &entry.kind) {
            Some(Kind::Directory) => {}
            Some(_) => return Err(UserError::new(format!("/{part} is no directory in the image")).into()),
            None => tree.insert(part.as_bytes().to_vec(), unpack::entry(Kind::Directory, 0o755)),
        }
    }
    Ok(())
}

struct Maker<'a> {
    resolution: &'a Resolution,
    store: &'a Store,
    stage: &'a Stage,
}

impl Maker<'_> {
    fn item(&self, tree: &mut TarTree, item: &BundleItem, place: &str) -> Result<()> {
        if let Some((parent, _)) = place.rsplit_once('/') {
            directories(tree, parent)?;
        }
        match &item.from {
            ItemSource::Directory(own) => {
                let layer = self.layer(&Made::Directory(own), |files| {
                    own.iter()
                        .try_for_each(|(path, file)| Self::own(path, file, files))
                })?;
                tree.lay_below(place, layer)
            }
            ItemSource::File {
                sha256, size, unpack, ..
            } => {
                let file = self.file(item)?;
                match unpack {
                    None => put(tree, place, file, *size),
                    Some((kind, most)) => {
                        let layer = self.layer(&Made::Archive(sha256, *kind, *most), |files| {
                            unpack::archive(&file, *kind, files)
                        })?;
                        tree.lay_below(place, layer)?;
                    }
                }
                Ok(())
            }
            ItemSource::PackageDirectory {
                package,
                size,
                leave_out_links,
            } => {
                let (deb, sum, installed) = self.deb(package)?;
                let layer = self.layer(
                    &Made::Package(&sum, &package.path, *size, *leave_out_links),
                    |files| {
                        unpack::package_directory(&deb, installed, &package.path, *leave_out_links, files)
                    },
                )?;
                tree.lay_below(place, layer)
            }
        }
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
            sha256(&bytes) == file.sha256,
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
            ) => self.out_of(package, sha256, *size, &item.path),
            _ => Err(anyhow!("no place has it")),
        }
    }

    /// One file out of a Debian package, into the store's downloads.
    fn out_of(&self, package: &InPackage, sum: &str, size: u64, name: &str) -> Result<PathBuf> {
        let (deb, _, installed) = self.deb(package)?;
        let scratch = self.store.scratch("content")?;
        let mut files = unpack::Files::new(scratch.path().to_owned(), size);
        unpack::package_file(&deb, installed, &package.path, "file", &mut files).map_err(blame)?;
        let path = scratch.path().join("0");
        let found = clic_store::sha256_of(&path).map_err(|error| io_error(error, &path))?;
        if found != sum {
            return Err(UserError::new(format!(
                "{} of package {} has SHA-256 {found}, the bundle says {sum}",
                package.path, package.name
            ))
            .help("the package may have a new version: look at the file, then write the new hash into the bundle")
            .into());
        }
        let download = Download {
            url: file_url(&path),
            sha256: sum.to_owned(),
            size,
            name: name.to_owned(),
        };
        self.store.fetch(&download, self.stage)
    }

    /// The package file, its hash, and the bytes that it says it takes.
    fn deb(&self, package: &InPackage) -> Result<(PathBuf, String, u64)> {
        let found = self.resolution.content_package(&package.name);
        let found = found.with_context(|| format!("package {} was not resolved", package.name))?;
        let deb = self.store.fetch(&found.download(), self.stage)?;
        Ok((deb, found.sha256.clone(), found.installed_size))
    }

    /// The store's layer of what `take_out` puts there, or a new one.
    fn layer(
        &self,
        made: &Made<'_>,
        take_out: impl FnOnce(&mut unpack::Files) -> Result<()>,
    ) -> Result<TarTree> {
        let key = sha256(&serde_json::to_vec(&(env!("CLIC_ENGINE"), made))?);
        let _held = self.store.lock(&format!("layer-{key}"))?;
        if let Some(file) = self.store.layers().get(&key)? {
            if file.verify()? {
                return TarTree::read(&file.tar);
            }
            self.stage
                .note("content in the store is damaged, so it is unpacked again");
            self.store.layers().remove(&key)?;
        }
        let most = made.most();
        space::ensure(self.store.dir(), most.saturating_mul(2), "unpacking content")?;
        let scratch = self.store.scratch("content")?;
        let dir = scratch.path().join("files");
        std::fs::create_dir(&dir).map_err(|error| io_error(error, &dir))?;
        let mut files = unpack::Files::new(dir, most);
        take_out(&mut files).map_err(blame)?;
        let tree = files.finish().map_err(blame)?;
        let tar = scratch.path().join("content.tar");
        // No time of its own: the tree clamps all times, whatever the lock.
        let written = tree.write(&tar, unpack::TIME)?;
        let description = serde_json::json!({
            "tar": { "sha256": written.sha256, "size": written.size },
            "content": made,
        });
        let file = self.store.layers().put(&key, &description, &tar)?;
        TarTree::read(&file.tar)
    }
}

/// An archive that is not what it should be is for whoever wrote the bundle to mend.
fn blame(error: anyhow::Error) -> anyhow::Error {
    let disk = |cause: &(dyn std::error::Error + 'static)| cause.is::<std::io::Error>();
    if error.is::<clic_host::Cancelled>() || error.chain().any(disk) {
        return error;
    }
    UserError::new(format!("{error:#}"))
        .help("mend the bundle, or take another source; nothing was put into an image")
        .into()
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
        if let Some(path) = self.store.verified(sha256)? {
            return Ok(Some(path));
        }
        let fetch = |url: String| {
            let download = Download {
                url,
                sha256: sha256.clone(),
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
    Archive(&'a str, Unpack, u64),
    /// Hash of the package, path in it, most bytes, whether links that lead out are left out.
    Package(&'a str, &'a str, u64, bool),
}

impl Made<'_> {
    fn most(&self) -> u64 {
        match self {
            Self::Directory(files) => files.iter().map(|(_, file)| file.size).sum(),
            Self::Archive(_, _, most) | Self::Package(_, _, most, _) => *most,
        }
    }
}

fn put(tree: &mut TarTree, place: &str, file: PathBuf, size: u64) {
    let number = tree.add_host_file(file, size);
    tree.insert(
        place.as_bytes().to_vec(),
        unpack::entry(Kind::File(number), 0o644),
    );
}
