//! Content bundles: from TOML to checked values.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use clic_host::Sha256;
use unicode_normalization::UnicodeNormalization as _;

use crate::bundle_files;
use crate::checker::Checker;
use crate::debian;
use crate::nearest::{nearest, quoted};
use crate::plan::{Bundle, BundleItem, BundleKind, InPackage, ItemSource, Texts};
use crate::raw::{At, RawBundle, RawItem};
use crate::report::Problems;
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
    checker: &mut Checker<'_>,
) -> Option<Rc<Bundle>> {
    let before = checker.count();
    let title = texts(&raw.title, checker);
    let description = texts(&raw.description, checker);
    if !is_language(&raw.language.value) {
        checker
            .wrong(
                &raw.language,
                format!("`{}` is not a language code", raw.language.value),
            )
            .help(format!("write it {AS_IN_HTML}"));
    }
    if raw.credit.value.trim().is_empty() {
        checker
            .wrong(&raw.credit, "nobody is credited")
            .help("name the authors as their licence wants them to be named");
    }
    let licence = licence(&raw.licence.value).unwrap_or_else(|why| {
        let what = format!("unknown licence `{}`: {why}", raw.licence.value);
        checker
            .wrong(&raw.licence, what)
            .help(licence_advice(&raw.licence.value));
        String::new()
    });
    if raw.item.is_empty() {
        checker
            .wrong(&checker.beginning(), format!("bundle `{name}` has nothing in it"))
            .help("add an [[item]]; `clic content add` writes one");
    }
    let items: Vec<BundleItem> = raw
        .item
        .iter()
        .filter_map(|raw| item(tree, name, raw, checker))
        .collect();
    collisions(&items, checker.problems);
    if raw.kind.value == BundleKind::Zim {
        zim_names(&items, checker.problems);
    }
    (checker.count() == before).then(|| {
        Rc::new(Bundle {
            name: name.to_owned(),
            kind: raw.kind.value,
            theme: raw.theme.value,
            language: raw.language.value,
            title,
            description,
            licence,
            credit: raw.credit.value,
            items,
        })
    })
}

/// An SPDX expression of licences that the list has: what is not on it, nobody can look up. It is returned as the list spells
/// it; people may use other cases (SPDX 2.3, annex D).
///
/// Errors: why it is none, in words.
pub fn licence(text: &str) -> Result<String, String> {
    let spelled = as_listed(text);
    match spdx::Expression::parse(&spelled) {
        Ok(_) => Ok(spelled),
        Err(error) => Err(error.reason.to_string()),
    }
}

/// How languages are written.
const AS_IN_HTML: &str = "as in HTML: `fr`, `en`, `oc`; `mul` for several languages";

/// Whether a text is the code of a language. Errors: why not, in words.
pub fn language(text: &str) -> Result<(), String> {
    if is_language(text) {
        Ok(())
    } else {
        Err(format!("`{text}` is not a language code; write it {AS_IN_HTML}"))
    }
}

/// What to write instead of a licence that is none.
pub fn licence_advice(text: &str) -> String {
    const WRITE: &str = "write an SPDX identifier, such as `CC-BY-SA-4.0`, `CC0-1.0`, `GFDL-1.3-or-later` (spdx.org/licenses)";
    let lower = text.to_lowercase();
    if ["all rights", "tous droits", "copyright", "proprietary"]
        .iter()
        .any(|words| lower.contains(words))
    {
        return "a bundle is given away with every image, which only a free licence allows: ask its authors for one, such as \
                `CC-BY-SA-4.0`"
            .to_owned();
    }
    match likely_licences(text).as_slice() {
        [] => WRITE.to_owned(),
        near => format!("did you mean {}? {WRITE}", quoted(near)),
    }
}

/// Identifiers that somebody may mean by `CC BY-SA`, `CC-BY-SA 4`, `GPLv3`: those that begin like it, else those that are written
/// nearly so.
fn likely_licences(text: &str) -> Vec<&'static str> {
    let normal = |text: &str| -> String {
        let text = text.to_lowercase();
        text.chars().filter(char::is_ascii_alphanumeric).collect()
    };
    let wanted = normal(text)
        .replace("gplv", "gpl")
        .replace("license", "")
        .replace("licence", "");
    let listed = spdx::identifiers::LICENSES.iter();
    let current = |name: &&str| spdx::license_id(name).is_some_and(|id| !id.is_deprecated());
    let names = listed.map(|licence| licence.name).filter(current);
    let mut begins: Vec<&str> = names
        .filter(|name| wanted.len() > 2 && normal(name).starts_with(&wanted))
        .collect();
    if begins.is_empty() {
        let listed = spdx::identifiers::LICENSES.iter().map(|licence| licence.name);
        return nearest(text, listed, 3);
    }
    // Longer names are of special cases; of the others, the newest.
    begins.sort_by_key(|name| (name.len(), std::cmp::Reverse(*name)));
    begins.truncate(3);
    begins
}

/// An expression with every identifier as the list of SPDX spells it, and operators in capitals.
fn as_listed(expression: &str) -> String {
    let licences = spdx::identifiers::LICENSES.iter().map(|licence| licence.name);
    let exceptions = spdx::identifiers::EXCEPTIONS
        .iter()
        .map(|exception| exception.name);
    let known: Vec<&str> = licences.chain(exceptions).chain(["AND", "OR", "WITH"]).collect();
    let mut text = String::new();
    for word in expression.split_inclusive(|c: char| c.is_whitespace() || "()+".contains(c)) {
        let bare = word.trim_end_matches(|c: char| c.is_whitespace() || "()+".contains(c));
        let listed = known.iter().find(|name| name.eq_ignore_ascii_case(bare));
        text.push_str(listed.copied().unwrap_or(bare));
        text.push_str(&word[bare.len()..]);
    }
    text
}

/// Texts for readers: in each language that the portal speaks, and none empty.
pub(crate) fn texts(raw: &At<BTreeMap<At<String>, At<String>>>, checker: &mut Checker<'_>) -> Texts {
    let texts = some_texts(raw, checker);
    for language in READERS {
        if !texts.contains_key(language) {
            checker
                .wrong(raw, format!("this text is missing in `{language}`"))
                .help(format!(
                    "add `{language} = \"...\"`: the portal speaks French and English"
                ));
        }
    }
    texts
}

fn some_texts(raw: &At<BTreeMap<At<String>, At<String>>>, checker: &mut Checker<'_>) -> Texts {
    for (language, text) in &raw.value {
        if !is_language(&language.value) {
            checker
                .wrong(language, format!("`{}` is not a language code", language.value))
                .help("`fr`, `en`, ...");
        }
        if text.value.trim().is_empty() {
            checker.wrong(text, "this text is empty");
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
fn item(tree: &Tree, bundle: &str, raw: &RawItem, checker: &mut Checker<'_>) -> Option<BundleItem> {
    let before = checker.count();
    let origin = raw.path.origin(checker.file);
    let path = raw.path.value.clone();
    if let Err(why) = served(&path) {
        checker.wrong(&origin, why);
    }
    let title = raw
        .title
        .as_ref()
        .map_or_else(Texts::new, |title| some_texts(title, checker));
    let package = in_package(raw, checker);
    let from = match (&raw.directory, &raw.local) {
        (Some(_), _) => package.and_then(|package| {
            let size = needed_size(raw.size.as_ref(), "size", &raw.path, checker)?;
            not_with(raw, "a package's directory", false, checker);
            Some(ItemSource::PackageDirectory {
                package,
                size,
                leave_out_links: raw.leave_out_links,
            })
        }),
        (None, Some(local)) if bundle_files::is_directory(tree, bundle, &local.value) => {
            not_with(raw, "a local directory", true, checker);
            bundle_files::directory(tree, bundle, local, checker).map(ItemSource::Directory)
        }
        _ => one_file(tree, bundle, raw, package, checker),
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
    zim(&item, raw, checker);
    if let Some(start) = &raw.start {
        if let Err(why) = served(&start.value) {
            checker.wrong(start, why);
        } else if !item.has_files() {
            checker
                .wrong(start, "only directories and archives have a first page")
                .help("remove `start`");
        } else if let ItemSource::Directory(files) = &item.from
            && !files.iter().any(|(path, _)| *path == start.value)
        {
            let near = nearest(&start.value, files.iter().map(|(path, _)| path.as_str()), 1);
            let help = near.first().map_or_else(
                || "it is relative to the directory".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            checker
                .wrong(start, format!("there is no file `{}` in it", start.value))
                .help(help);
        }
    }
    (checker.count() == before).then_some(item)
}

/// What becomes a ZIM file has a name that says so, pages, and a first one.
fn zim(item: &BundleItem, raw: &RawItem, checker: &mut Checker<'_>) {
    let Some(said) = raw.zim.as_ref().filter(|zim| zim.value) else {
        return;
    };
    if !item.has_files() {
        checker
            .wrong(said, "a single file can't become a ZIM file")
            .help("a `directory` does, or an archive; a file that is a ZIM already needs no `zim`");
    }
    let ends = Path::new(&item.path)
        .extension()
        .is_some_and(|ending| ending == "zim");
    if !ends {
        checker
            .wrong(
                &item.origin,
                format!(
                    "`{}` becomes a ZIM file, but its name does not end in `.zim`",
                    item.path
                ),
            )
            .help(format!("call it `{}.zim`", item.path));
    }
    if item.start.is_none() {
        checker
            .wrong(said, "a ZIM file has a page that opens first")
            .help("add `start = \"index.html\"`");
    }
}

/// Whether a name is one that people have and that can be taken as it is: relative, inside, and written in only one way.
///
/// Blanks, accents, quotes and the like stay: ext4 holds them, addresses encode them, and so do TOML and JSON. The characters
/// that FAT lacks stay, too: whoever takes a file home has it from a browser, which puts others in their place. Composed and
/// decomposed letters (macOS) stay what they are: the links in a page are written like the names of its files.
pub(crate) fn is_plain(path: &str) -> bool {
    // `NAME_MAX` of Linux, and what the portal has room for in an address.
    const MOST_NAME: usize = 255;
    const MOST_PATH: usize = 1000;
    let parts = Path::new(path).components();
    let normal = parts.clone().all(|part| matches!(part, Component::Normal(_)));
    !path.is_empty()
        && normal
        && parts.collect::<PathBuf>().to_str() == Some(path)
        && path.len() <= MOST_PATH
        && path.split('/').all(|part| part.len() <= MOST_NAME)
        // Browsers and Windows read a backslash as a slash.
        && !path.chars().any(|c| c.is_control() || c == '\\')
}

/// Whether a path can be one in a bundle, as the device serves it.
///
/// Errors: why not, in words.
pub fn served(path: &str) -> Result<(), String> {
    let shown = path.escape_debug();
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return Err(format!(
            "`{shown}` has a backslash or control characters, which no address can have"
        ));
    }
    if !is_plain(path) {
        return Err(format!(
            "`{shown}` leaves the bundle, is too long, or can be written more plainly; write a path like `books/candide.epub`"
        ));
    }
    if path.split('/').any(|part| part.starts_with('.')) {
        return Err(format!(
            "`{shown}` begins with a dot, and hidden files are not served; write it without"
        ));
    }
    Ok(())
}

/// `package` with `file` or `directory`.
fn in_package(raw: &RawItem, checker: &mut Checker<'_>) -> Option<InPackage> {
    let Some(package) = &raw.package else {
        if let Some(place) = raw.file.as_ref().or(raw.directory.as_ref()) {
            checker
                .wrong(place, "this needs a `package`")
                .help("add `package = \"...\"`; a file beside bundle.toml is named with `local`");
        }
        return None;
    };
    if let Err(why) = debian::package_name(&package.value) {
        checker.wrong(package, why);
        return None;
    }
    let ((Some(place), None) | (None, Some(place))) = (&raw.file, &raw.directory) else {
        checker
            .wrong(package, "which part of the package is meant?")
            .help("add either `file = \"/usr/...\"` or `directory = \"/usr/...\"`");
        return None;
    };
    if let Err(why) = image_path(&place.value) {
        checker
            .wrong(place, why)
            .help("`dpkg-deb -c` lists what a package has");
        return None;
    }
    Some(InPackage {
        name: package.value.clone(),
        path: place.value.clone(),
    })
}

/// Keys that have no meaning for a directory.
fn not_with(raw: &RawItem, what: &str, size: bool, checker: &mut Checker<'_>) {
    let file = checker.file;
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
    checker.meaningless(given, what, "remove it");
}

fn needed_size(
    raw: Option<&At<u64>>,
    key: &str,
    path: &At<String>,
    checker: &mut Checker<'_>,
) -> Option<u64> {
    let Some(raw) = raw else {
        checker
            .wrong(path, format!("`{}` does not say its `{key}`", path.value))
            .help("in bytes; `clic content add` works it out");
        return None;
    };
    if raw.value > MOST {
        checker
            .wrong(raw, "no disk can hold that")
            .help("sizes are in bytes");
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
    checker: &mut Checker<'_>,
) -> Option<ItemSource> {
    if raw.url.is_empty() && raw.package.is_none() && raw.local.is_none() {
        checker
            .wrong(&raw.path, format!("`{}` has no source", raw.path.value))
            .help("add `url = [\"https://...\"]`, `package` with `file`, or `local`");
        return None;
    }
    let urls = addresses(&raw.url, checker);
    let sha256 = sha256(raw, checker);
    let size = needed_size(raw.size.as_ref(), "size", &raw.path, checker);
    let unpack = match (&raw.unpack, &raw.unpacked) {
        (None, None) => None,
        (Some(kind), unpacked) => {
            let size = needed_size(unpacked.as_ref(), "unpacked", &raw.path, checker)?;
            Some((kind.value, size))
        }
        (None, Some(unpacked)) => {
            checker
                .wrong(unpacked, "nothing is unpacked here")
                .help("add `unpack = \"tar\"` or `unpack = \"zip\"`, or remove this");
            None
        }
    };
    let local = match &raw.local {
        None => None,
        Some(local) => bundle_files::file(tree, bundle, local, checker),
    };
    let (sha256, size) = (sha256?, size?);
    if let (Some(path), Some(raw)) = (&local, &raw.local) {
        // One that lies there and is another one would be taken for the real one by whoever looks.
        same(bundle, path, sha256, size, raw, checker);
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

fn addresses(raw: &[At<String>], checker: &mut Checker<'_>) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for url in raw {
        let plain = with_plain_scheme(&url.value);
        if !is_address(&plain) {
            checker
                .wrong(url, format!("`{}` is not the address of a file", url.value))
                .help("write it like `https://example.org/books/candide.epub`, without a login");
        }
        if urls.contains(&plain) {
            checker
                .wrong(url, "this address is listed twice")
                .help("remove one");
        }
        urls.push(plain);
    }
    urls
}

/// `HTTP://...` as `http://...`: schemes have no case (RFC 3986, section 3.1).
fn with_plain_scheme(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{}://{rest}", scheme.to_ascii_lowercase()),
        None => url.to_owned(),
    }
}

/// What two paths have in common that are one file somewhere: on FAT, `A.epub` and `a.epub`; on macOS, letters that are composed of
/// others and those that are one.
pub fn same_place(path: &str) -> String {
    path.nfc().collect::<String>().to_lowercase()
}

/// An address that can be fetched by anybody.
pub fn is_address(url: &str) -> bool {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let host = rest.map(|rest| rest.split('/').next().unwrap_or_default());
    host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
        && !url.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn sha256(raw: &RawItem, checker: &mut Checker<'_>) -> Option<Sha256> {
    let Some(sha256) = &raw.sha256 else {
        checker
            .wrong(
                &raw.path,
                format!("`{}` does not say its `sha256`", raw.path.value),
            )
            .help("`clic content add` works it out, and so does `sha256sum FILE`");
        return None;
    };
    checker.sha256(sha256)
}

/// The file that lies there is the one that is meant.
fn same(bundle: &str, path: &Path, sha256: Sha256, size: u64, place: &At<String>, checker: &mut Checker<'_>) {
    match crate::overlay_files::hash(path) {
        Ok((found, bytes)) if found != sha256 || bytes != size => checker
            .wrong(
                place,
                format!("this is a different file: it has {bytes} bytes and SHA-256 {found}"),
            )
            .help(format!(
                "if the new file is right, run `clic content update {bundle}`; if not, put the old file back"
            )),
        Ok(_) => {}
        Err(error) => {
            checker.wrong(place, format!("the file can't be read: {error}"));
        }
    }
}

/// The names of ZIM files become a part of addresses that kiwix-serve makes up, and what it makes of other letters depends on
/// its version.
fn zim_names(items: &[BundleItem], problems: &mut Problems) {
    let plain = |c: char| c.is_ascii_alphanumeric() || " +-._/".contains(c);
    for item in items
        .iter()
        .filter(|item| item.listed && !item.path.chars().all(plain))
    {
        problems
            .wrong(
                &item.origin,
                format!(
                    "`{}`: the name of a ZIM file has only A-Z, a-z, 0-9, blank and + - . _",
                    item.path
                ),
            )
            .help("give it another `path`; what `local` names can stay as it is");
    }
}

/// Two items that want one place: the same, or one inside of the other.
fn collisions(items: &[BundleItem], problems: &mut Problems) {
    let mut places: BTreeMap<String, &BundleItem> = BTreeMap::new();
    for item in items {
        let path = same_place(&item.path);
        let mut above = path
            .match_indices('/')
            .filter_map(|(end, _)| places.get(&path[..end]));
        let inside = format!("{path}/");
        let below = places
            .range(inside.clone()..)
            .next()
            .filter(|(other, _)| other.starts_with(&inside));
        let earlier = places.get(&path).or_else(|| above.next_back());
        let earlier = earlier.or(below.map(|(_, item)| item)).copied();
        if let Some(earlier) = earlier {
            problems
                .wrong(
                    &item.origin,
                    format!("`{}` and `{}` want the same place", earlier.path, item.path),
                )
                .help(format!(
                    "the other one is at {}; give one of them another `path`",
                    earlier.origin
                ));
        }
        places.entry(path).or_insert(item);
    }
}
