//! Content bundles: from TOML to checked values.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crate::bundle_files;
use crate::debian;
use crate::plan::{Bundle, BundleItem, InPackage, ItemSource, Texts};
use crate::raw::{At, RawBundle, RawItem};
use crate::report::{Problem, Problems};
use crate::source::{Origin, SourceFile};
use crate::tree::{Tree, image_path};

/// Languages that every text for readers is in: the portal speaks both.
const READERS: [&str; 2] = ["fr", "en"];
/// Largest file or directory that we take seriously, in bytes: 16 TiB, what ext4 with 4 KiB blocks can hold.
const MOST: u64 = 16 << 40;

/// Checks a bundle and looks at its own files. `None` when anything is wrong with it.
pub(crate) fn check(
    tree: &Tree,
    name: &str,
    raw: RawBundle,
    file: &Arc<SourceFile>,
    problems: &mut Problems,
) -> Option<Rc<Bundle>> {
    let before = problems.count();
    let title = texts(&raw.title, file, problems);
    let description = texts(&raw.description, file, problems);
    if !is_language(&raw.language.value) {
        problems.push(
            Problem::at(
                &raw.language.origin(file),
                format!("`{}` is not a language code", raw.language.value),
            )
            .help("write it as in HTML: `fr`, `en`, `oc`; `mul` for several languages"),
        );
    }
    if raw.credit.value.trim().is_empty() {
        problems.push(
            Problem::at(&raw.credit.origin(file), "nobody is credited")
                .help("name the authors as their licence wants them to be named"),
        );
    }
    licence(&raw.licence, file, problems);
    if raw.item.is_empty() {
        problems.push(
            Problem::at(
                &file.at(file.line_span(1)),
                format!("bundle `{name}` has nothing in it"),
            )
            .help("add an [[item]]; `clic content add` writes one"),
        );
    }
    let items: Vec<BundleItem> = raw
        .item
        .iter()
        .filter_map(|raw| item(tree, name, raw, file, problems))
        .collect();
    collisions(&items, problems);
    (problems.count() == before).then(|| {
        Rc::new(Bundle {
            name: name.to_owned(),
            kind: raw.kind.value,
            theme: raw.theme.value,
            language: raw.language.value,
            title,
            description,
            licence: raw.licence.value,
            credit: raw.credit.value,
            items,
        })
    })
}

/// An SPDX expression of licences that the list has: what is not on it, nobody can look up.
fn licence(raw: &At<String>, file: &Arc<SourceFile>, problems: &mut Problems) {
    if let Err(error) = spdx::Expression::parse(&raw.value) {
        problems.push(
            Problem::at(
                &raw.origin(file),
                format!("unknown licence `{}`: {}", raw.value, error.reason),
            )
            .help("write an SPDX identifier, such as `CC-BY-SA-4.0`, `CC0-1.0`, `GFDL-1.3-or-later` (spdx.org/licenses)"),
        );
    }
}

/// Texts for readers: in each language that the portal speaks, and none empty.
pub(crate) fn texts(
    raw: &At<BTreeMap<At<String>, At<String>>>,
    file: &Arc<SourceFile>,
    problems: &mut Problems,
) -> Texts {
    let texts = some_texts(raw, file, problems);
    for language in READERS {
        if !texts.contains_key(language) {
            problems.push(
                Problem::at(&raw.origin(file), format!("this text is missing in `{language}`")).help(
                    format!("add `{language} = \"...\"`: the portal speaks French and English"),
                ),
            );
        }
    }
    texts
}

fn some_texts(
    raw: &At<BTreeMap<At<String>, At<String>>>,
    file: &Arc<SourceFile>,
    problems: &mut Problems,
) -> Texts {
    for (language, text) in &raw.value {
        if !is_language(&language.value) {
            problems.push(
                Problem::at(
                    &language.origin(file),
                    format!("`{}` is not a language code", language.value),
                )
                .help("`fr`, `en`, ..."),
            );
        }
        if text.value.trim().is_empty() {
            problems.push(Problem::at(&text.origin(file), "this text is empty"));
        }
    }
    raw.value
        .iter()
        .map(|(language, text)| (language.value.clone(), text.value.clone()))
        .collect()
}

/// `fr`, `oci`, `pt-BR` (BCP 47, as far as anybody needs it here).
fn is_language(text: &str) -> bool {
    let (language, region) = text.split_once('-').unwrap_or((text, "FR"));
    (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_lowercase())
        && region.len() == 2
        && region.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// What an item's keys say together.
fn item(
    tree: &Tree,
    bundle: &str,
    raw: &RawItem,
    file: &Arc<SourceFile>,
    problems: &mut Problems,
) -> Option<BundleItem> {
    let before = problems.count();
    let origin = raw.path.origin(file);
    let path = raw.path.value.clone();
    if let Err(why) = plain(&path) {
        problems.push(Problem::at(&origin, why));
    }
    let title = raw
        .title
        .as_ref()
        .map_or_else(Texts::new, |title| some_texts(title, file, problems));
    let package = in_package(raw, file, problems);
    let from = match (&raw.directory, &raw.local) {
        (Some(_), _) => package.and_then(|package| {
            let size = needed_size(raw.size.as_ref(), "size", &raw.path, file, problems)?;
            not_with(raw, "a package's directory", false, file, problems);
            Some(ItemSource::PackageDirectory {
                package,
                size,
                leave_out_links: raw.leave_out_links,
            })
        }),
        (None, Some(local)) if bundle_files::is_directory(tree, bundle, &local.value) => {
            not_with(raw, "a local directory", true, file, problems);
            bundle_files::directory(tree, bundle, &local.value, &local.origin(file), problems)
                .map(ItemSource::Directory)
        }
        _ => one_file(tree, bundle, raw, package, file, problems),
    };
    let from = from?;
    let item = BundleItem {
        path,
        title,
        listed: raw.listed,
        start: raw.start.as_ref().map(|start| start.value.clone()),
        from,
        zim: raw.zim.as_ref().is_some_and(|zim| zim.value),
        origin,
    };
    zim(&item, raw, file, problems);
    if let Some(start) = &raw.start {
        if let Err(why) = plain(&start.value) {
            problems.push(Problem::at(&start.origin(file), why));
        } else if !item.has_files() {
            problems.push(
                Problem::at(
                    &start.origin(file),
                    "only directories and archives have a first page",
                )
                .help("remove `start`"),
            );
        }
    }
    (problems.count() == before).then_some(item)
}

/// What becomes a ZIM file has a name that says so, pages, and a first one.
fn zim(item: &BundleItem, raw: &RawItem, file: &Arc<SourceFile>, problems: &mut Problems) {
    let Some(said) = raw.zim.as_ref().filter(|zim| zim.value) else {
        return;
    };
    if !item.has_files() {
        problems.push(
            Problem::at(&said.origin(file), "a single file can't become a ZIM file")
                .help("a `directory` does, or an archive; a file that is a ZIM already needs no `zim`"),
        );
    }
    let ends = Path::new(&item.path)
        .extension()
        .is_some_and(|ending| ending == "zim");
    if !ends {
        problems.push(
            Problem::at(
                &item.origin,
                format!(
                    "`{}` becomes a ZIM file, but its name does not end in `.zim`",
                    item.path
                ),
            )
            .help(format!("call it `{}.zim`", item.path)),
        );
    }
    if item.start.is_none() {
        problems.push(
            Problem::at(&said.origin(file), "a ZIM file has a page that opens first")
                .help("add `start = \"index.html\"`"),
        );
    }
}

/// A relative path without anything special, which every device and browser can hold.
fn plain(path: &str) -> Result<(), String> {
    let parts = Path::new(path).components();
    let normal = parts.clone().all(|part| matches!(part, Component::Normal(_)));
    // Only one way to write it.
    if path.is_empty() || !normal || parts.collect::<PathBuf>().to_str() != Some(path) {
        return Err(format!(
            "`{}` leaves the bundle, or can be written more plainly; write a path like `books/candide.epub`",
            path.escape_debug()
        ));
    }
    // exFAT and FAT, which sticks have, know none of these; a browser would have to be asked nicely for some.
    let odd = |c: char| c.is_control() || r#"\:*?"<>|"#.contains(c);
    if path.chars().any(odd) {
        return Err(format!(
            "`{path}` has characters that not every device can hold in a name"
        ));
    }
    Ok(())
}

/// `package` with `file` or `directory`.
fn in_package(raw: &RawItem, file: &Arc<SourceFile>, problems: &mut Problems) -> Option<InPackage> {
    let wrong = |at: &Origin, what: &str, help: &str, problems: &mut Problems| {
        problems.push(Problem::at(at, what.to_owned()).help(help.to_owned()));
        None
    };
    let Some(package) = &raw.package else {
        if let Some(place) = raw.file.as_ref().or(raw.directory.as_ref()) {
            let help = "add `package = \"...\"`; a file beside bundle.toml is named with `local`";
            return wrong(&place.origin(file), "this needs a `package`", help, problems);
        }
        return None;
    };
    let origin = package.origin(file);
    if let Err(why) = debian::package_name(&package.value) {
        problems.push(Problem::at(&origin, why));
        return None;
    }
    let ((Some(place), None) | (None, Some(place))) = (&raw.file, &raw.directory) else {
        let help = "add either `file = \"/usr/...\"` or `directory = \"/usr/...\"`";
        return wrong(&origin, "which part of the package is meant?", help, problems);
    };
    if let Err(why) = image_path(&place.value) {
        problems.push(Problem::at(&place.origin(file), why).help("`dpkg-deb -c` lists what a package has"));
        return None;
    }
    Some(InPackage {
        name: package.value.clone(),
        path: place.value.clone(),
    })
}

/// Keys that have no meaning for a directory.
fn not_with(raw: &RawItem, what: &str, size: bool, file: &Arc<SourceFile>, problems: &mut Problems) {
    let text = |value: &Option<At<String>>| value.as_ref().map(|value| value.origin(file));
    let given = [
        ("url", raw.url.first().map(|url| url.origin(file))),
        ("sha256", text(&raw.sha256)),
        (
            "size",
            raw.size.as_ref().filter(|_| size).map(|value| value.origin(file)),
        ),
        ("local", text(&raw.local).filter(|_| !size)),
        ("package", text(&raw.package).filter(|_| size)),
        ("unpack", raw.unpack.as_ref().map(|value| value.origin(file))),
        ("unpacked", raw.unpacked.as_ref().map(|value| value.origin(file))),
    ];
    for (key, origin) in given {
        if let Some(origin) = origin {
            problems
                .push(Problem::at(&origin, format!("`{key}` has no meaning for {what}")).help("remove it"));
        }
    }
}

fn needed_size(
    raw: Option<&At<u64>>,
    key: &str,
    path: &At<String>,
    file: &Arc<SourceFile>,
    problems: &mut Problems,
) -> Option<u64> {
    let Some(raw) = raw else {
        problems.push(
            Problem::at(
                &path.origin(file),
                format!("`{}` does not say its `{key}`", path.value),
            )
            .help("in bytes; `clic content add` works it out"),
        );
        return None;
    };
    if raw.value > MOST {
        problems.push(Problem::at(&raw.origin(file), "no disk can hold that").help("sizes are in bytes"));
        return None;
    }
    Some(raw.value)
}

/// A file, known by its hash, from wherever it can be had.
fn one_file(
    tree: &Tree,
    bundle: &str,
    raw: &RawItem,
    package: Option<InPackage>,
    file: &Arc<SourceFile>,
    problems: &mut Problems,
) -> Option<ItemSource> {
    let origin = raw.path.origin(file);
    if raw.url.is_empty() && raw.package.is_none() && raw.local.is_none() {
        problems.push(
            Problem::at(&origin, format!("`{}` has no source", raw.path.value))
                .help("add `url = [\"https://...\"]`, `package` with `file`, or `local`"),
        );
        return None;
    }
    let urls = addresses(&raw.url, file, problems);
    let sha256 = sha256(raw, file, problems);
    let size = needed_size(raw.size.as_ref(), "size", &raw.path, file, problems);
    let unpack = match (&raw.unpack, &raw.unpacked) {
        (None, None) => None,
        (Some(kind), unpacked) => {
            let size = needed_size(unpacked.as_ref(), "unpacked", &raw.path, file, problems)?;
            Some((kind.value, size))
        }
        (None, Some(unpacked)) => {
            problems.push(
                Problem::at(&unpacked.origin(file), "nothing is unpacked here")
                    .help("add `unpack = \"tar\"` or `unpack = \"zip\"`, or remove this"),
            );
            None
        }
    };
    let local = match &raw.local {
        None => None,
        Some(local) => bundle_files::file(tree, bundle, &local.value, &local.origin(file), problems),
    };
    let (sha256, size) = (sha256?, size?);
    if let (Some(path), Some(raw)) = (&local, &raw.local) {
        // One that lies there and is another one would be taken for the real one by whoever looks.
        same(path, &sha256, size, &raw.origin(file), problems);
    }
    Some(ItemSource::File {
        sha256,
        size,
        urls,
        package,
        local,
        unpack,
    })
}

fn addresses(raw: &[At<String>], file: &Arc<SourceFile>, problems: &mut Problems) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for url in raw {
        if !is_address(&url.value) {
            problems.push(
                Problem::at(
                    &url.origin(file),
                    format!("`{}` is not the address of a file", url.value),
                )
                .help("write it like `https://example.org/books/candide.epub`, without a login"),
            );
        }
        if urls.contains(&url.value) {
            problems.push(Problem::at(&url.origin(file), "this address is listed twice").help("remove one"));
        }
        urls.push(url.value.clone());
    }
    urls
}

/// An address that can be fetched by anybody.
pub(crate) fn is_address(url: &str) -> bool {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let host = rest.map(|rest| rest.split('/').next().unwrap_or_default());
    host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
        && !url.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// As `sha256sum` prints one.
pub(crate) fn is_sha256(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 64 && text.bytes().all(fits)
}

fn sha256(raw: &RawItem, file: &Arc<SourceFile>, problems: &mut Problems) -> Option<String> {
    let Some(sha256) = &raw.sha256 else {
        problems.push(
            Problem::at(
                &raw.path.origin(file),
                format!("`{}` does not say its `sha256`", raw.path.value),
            )
            .help("`clic content add` works it out, and so does `sha256sum FILE`"),
        );
        return None;
    };
    if !is_sha256(&sha256.value) {
        problems.push(
            Problem::at(&sha256.origin(file), "this is not a SHA-256")
                .help("64 hexadecimal digits, in lower case, as `sha256sum FILE` prints them"),
        );
        return None;
    }
    Some(sha256.value.clone())
}

/// The file that lies there is the one that is meant.
fn same(path: &Path, sha256: &str, size: u64, origin: &Origin, problems: &mut Problems) {
    match crate::overlay_files::hash(path) {
        Ok((found, bytes)) if found != sha256 || bytes != size => problems.push(
            Problem::at(
                origin,
                format!("this is a different file: it has {bytes} bytes and SHA-256 {found}"),
            )
            .help("if the new file is right, write this size and hash here; if not, put the old file back"),
        ),
        Ok(_) => {}
        Err(error) => problems.push(Problem::at(origin, format!("the file can't be read: {error}"))),
    }
}

/// Two items that want one place: the same, or one inside of the other.
fn collisions(items: &[BundleItem], problems: &mut Problems) {
    for (number, item) in items.iter().enumerate() {
        let earlier = items.iter().take(number).find(|earlier| {
            let (one, other) = (earlier.path.to_lowercase(), item.path.to_lowercase());
            let inside = |outer: &str, inner: &str| {
                inner
                    .strip_prefix(outer)
                    .is_some_and(|rest| rest.starts_with('/'))
            };
            // On a stick with FAT, `A.epub` and `a.epub` are one file.
            one == other || inside(&one, &other) || inside(&other, &one)
        });
        if let Some(earlier) = earlier {
            problems.push(
                Problem::at(
                    &item.origin,
                    format!("`{}` and `{}` want the same place", earlier.path, item.path),
                )
                .help(format!(
                    "the other one is at {}; give one of them another `path`",
                    earlier.origin
                )),
            );
        }
    }
}
