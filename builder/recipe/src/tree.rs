//! The tree that people edit: `recipes/`, `boards/`, `overlays/`.

use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::bundle_files::is_litter;
use crate::provides::Offer;
use crate::report::{Problem, Report};
use crate::source::SourceFile;

/// Largest text (TOML or template) that we read, in bytes: far more than anybody writes by hand.
const MOST_TEXT: u64 = 1 << 20;

/// A directory with `recipes/` and `boards/`.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
    /// What each overlay says of itself, once somebody asked: all of them have to be read for that.
    offers: Arc<OnceLock<Vec<Offer>>>,
}

/// The kinds of things in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A file of `recipes/`.
    Recipe,
    /// A file of `boards/`.
    Board,
    /// A directory of `overlays/`.
    Overlay,
    /// A directory of `content-bundles/`.
    Bundle,
}

impl Kind {
    pub(crate) fn one(self) -> &'static str {
        match self {
            Self::Recipe => "recipe",
            Self::Board => "board",
            Self::Overlay => "overlay",
            Self::Bundle => "bundle",
        }
    }

    pub(crate) fn many(self) -> &'static str {
        match self {
            Self::Recipe => "recipes",
            Self::Board => "boards",
            Self::Overlay => "overlays",
            Self::Bundle => "content-bundles",
        }
    }

    /// Path of the TOML file in the tree.
    pub(crate) fn file(self, name: &str) -> PathBuf {
        match self {
            Self::Recipe | Self::Board => PathBuf::from(self.many()).join(format!("{name}.toml")),
            Self::Overlay => PathBuf::from(self.many()).join(name).join("overlay.toml"),
            Self::Bundle => PathBuf::from(self.many()).join(name).join("bundle.toml"),
        }
    }
}

/// Why nothing is opened at a path of the tree. Each with the path, relative to the tree.
#[derive(Debug)]
pub(crate) enum Closed {
    Absent(PathBuf),
    /// A part of the path that is a symbolic link.
    Link(PathBuf),
    Unreadable(PathBuf, std::io::Error),
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent(path) => write!(f, "there is no file {}", path.display()),
            Self::Link(path) => write!(
                f,
                "{} is a symbolic link, which could leave the tree",
                path.display()
            ),
            Self::Unreadable(path, error) => write!(f, "{} can't be read: {error}", path.display()),
        }
    }
}

impl Closed {
    /// A problem with the file itself, where no other file names it.
    pub(crate) fn problem(self) -> Problem {
        match self {
            Self::Absent(path) => Problem::file(path, "there is no such file"),
            Self::Link(path) => Problem::file(path, "is a symbolic link, which could leave the tree")
                .help("put the file or directory itself there"),
            Self::Unreadable(path, error) => Problem::file(path, format!("can't be read: {error}")),
        }
    }
}

impl Tree {
    /// The tree at `root`. An error if it has no `recipes/` or no `boards/`.
    pub fn open(root: &Path) -> Result<Self, Problem> {
        for directory in ["recipes", "boards"] {
            if !root.join(directory).is_dir() {
                return Err(
                    Problem::request(format!("{} has no directory `{directory}/`", root.display()))
                        .help("`--root DIR` names the directory that holds recipes/, boards/ and overlays/"),
                );
            }
        }
        Ok(Self {
            root: root.to_owned(),
            offers: Arc::default(),
        })
    }

    /// The nearest directory, from `start` upwards, that has `recipes/` and `boards/`.
    pub fn find(start: &Path) -> Result<Self, Problem> {
        start
            .ancestors()
            .find_map(|directory| Self::open(directory).ok())
            .ok_or_else(|| {
                Problem::request(format!(
                    "neither {} nor a directory above it has recipes/ and boards/",
                    start.display()
                ))
                .help("change to the tree's directory, or name it with `--root DIR`")
            })
    }

    /// What `read` finds out, which it does once for a tree and its clones.
    pub(crate) fn offers(&self, read: impl FnOnce() -> Vec<Offer>) -> &[Offer] {
        self.offers.get_or_init(read)
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file or directory of the tree is, to be opened: every way to one leads through here.
    ///
    /// No part of the path is a symbolic link. One is refused wherever it leads, so that nobody has to wonder; the tree's
    /// own directory may be reached by one.
    pub(crate) fn place(&self, relative: &Path) -> Result<PathBuf, Closed> {
        let mut full = self.root.clone();
        let mut shown = PathBuf::new();
        for part in relative {
            full.push(part);
            shown.push(part);
            match full.symlink_metadata() {
                Ok(meta) if meta.is_symlink() => return Err(Closed::Link(shown)),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(Closed::Absent(relative.to_owned()));
                }
                Err(error) => return Err(Closed::Unreadable(shown, error)),
            }
        }
        Ok(full)
    }

    /// Where a file of the tree is or will be, to be read and written by others: in the tree, and reached by no symbolic link.
    ///
    /// Errors: a part of the path that is one, wherever it leads; a path that leaves the tree.
    pub fn inside(&self, relative: impl AsRef<Path>) -> Result<PathBuf, Report> {
        let relative = relative.as_ref();
        if !relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            return Err(Problem::file(relative, "leaves the tree").into());
        }
        match self.place(relative) {
            Ok(path) => Ok(path),
            Err(Closed::Absent(_)) => Ok(self.root.join(relative)),
            Err(closed) => Err(closed.problem().into()),
        }
    }

    /// Where `name` in the directory of `path` is or will be; like [`Tree::inside`] if that is in the tree.
    pub fn beside(&self, path: &Path, name: &str) -> Result<PathBuf, Report> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        match self.relative(parent.unwrap_or(Path::new("."))) {
            Some(directory) => self.inside(directory.join(name)),
            None => Ok(path.with_file_name(name)),
        }
    }

    /// Names of all that there is of a kind, sorted.
    pub fn names(&self, kind: Kind) -> Result<Vec<String>, Problem> {
        let unreadable =
            |error: std::io::Error| Problem::file(kind.many(), format!("can't be read: {error}"));
        let entries = match self.place(Path::new(kind.many())) {
            Ok(directory) => std::fs::read_dir(directory).map_err(unreadable)?,
            // A tree may have no overlays yet.
            Err(Closed::Absent(_)) => return Ok(Vec::new()),
            Err(closed) => return Err(closed.problem()),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(unreadable)?;
            let path = entry.path();
            let name = match kind {
                Kind::Recipe | Kind::Board
                    if path.extension().is_some_and(|extension| extension == "toml") =>
                {
                    path.file_stem()
                }
                Kind::Overlay | Kind::Bundle if path.is_dir() => path.file_name(),
                _ => None,
            };
            // Hidden files are editors' and version control's.
            if let Some(name) = name
                .and_then(|name| name.to_str())
                .filter(|name| !name.starts_with('.') && !is_litter(name.as_bytes()))
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Where the description of a bundle is or will be.
    ///
    /// Errors: what is not a name, which would become a part of paths; [`Tree::inside`]'s.
    pub fn bundle_file(&self, name: &str) -> Result<PathBuf, Report> {
        crate::debian::our_name(name)
            .map_err(|why| Problem::request(why).help("for example `candide` or `school-books`"))?;
        self.inside(Kind::Bundle.file(name))
    }

    /// Where a recipe is. Errors: those of [`Tree::bundle_file`].
    pub fn recipe_file(&self, name: &str) -> Result<PathBuf, Report> {
        crate::debian::our_name(name).map_err(Problem::request)?;
        self.inside(Kind::Recipe.file(name))
    }

    /// Whether there is a file for this name.
    pub(crate) fn has(&self, kind: Kind, name: &str) -> bool {
        crate::debian::our_name(name).is_ok() && self.root.join(kind.file(name)).is_file()
    }

    /// A text file of the tree. Its name in errors is the path relative to the tree.
    pub(crate) fn read(&self, relative: &Path) -> Result<Arc<SourceFile>, Problem> {
        read_text(&self.place(relative).map_err(Closed::problem)?, relative)
    }

    /// The path relative to the tree, if it is inside, as it is written or in truth.
    pub(crate) fn relative(&self, path: &Path) -> Option<PathBuf> {
        let written = std::path::absolute(path).ok()?;
        if let Ok(inside) = written.strip_prefix(std::path::absolute(&self.root).ok()?)
            && inside
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
        {
            return Some(inside.to_owned());
        }
        let root = self.root.canonicalize().ok()?;
        Some(path.canonicalize().ok()?.strip_prefix(root).ok()?.to_owned())
    }
}

/// A regular UTF-8 file of reasonable size.
pub(crate) fn read_text(path: &Path, shown: &Path) -> Result<Arc<SourceFile>, Problem> {
    let wrong = |why: String| Problem::file(shown, why);
    let metadata = std::fs::metadata(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            wrong("there is no such file".to_owned())
        } else {
            wrong(format!("can't be read: {error}"))
        }
    })?;
    // Opening a fifo would wait for ever.
    if !metadata.is_file() {
        return Err(wrong("is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST_TEXT + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(format!("can't be read: {error}")))?;
    if bytes.len() as u64 > MOST_TEXT {
        return Err(wrong(format!(
            "is larger than {MOST_TEXT} bytes, too large for a text that people write"
        )));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().split_at(error.utf8_error().valid_up_to()).0;
        wrong(format!(
            "is not UTF-8 text (line {})",
            before.split(|byte| *byte == b'\n').count()
        ))
    })?;
    Ok(SourceFile::new(shown, text))
}

/// An absolute path in an image in its only form: no `.`, no `..`, no doubled or trailing slash.
pub(crate) fn image_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!(
            "`{path}` must be an absolute path in the image, like `/etc/hostname`"
        ));
    }
    if path == "/" {
        return Err("`/` is the whole image, not something that an overlay can bring".to_owned());
    }
    // Linux: PATH_MAX 4096, NAME_MAX 255.
    if path.len() >= 4096 || path.split('/').any(|part| part.len() > 255) {
        return Err("this path is too long for a file system".to_owned());
    }
    if path.chars().any(char::is_control) {
        return Err(format!("{path:?} has control characters"));
    }
    if path
        .split('/')
        .skip(1)
        .any(|part| part.is_empty() || part == "." || part == "..")
    {
        return Err(format!(
            "`{path}` must be written without `.`, `..` and needless slashes"
        ));
    }
    let top = path.split('/').nth(1).unwrap_or_default();
    if ["bin", "sbin", "lib", "lib32", "lib64", "libx32"].contains(&top) {
        return Err(format!(
            "`/{top}` is a link to `/usr/{top}` in Debian; write `/usr{path}`"
        ));
    }
    if ["dev", "proc", "run", "sys", "tmp"].contains(&top) {
        return Err(format!(
            "`/{top}` is mounted over when the device starts; nothing in the image's `/{top}` would be seen"
        ));
    }
    if let Some(ours) = [
        "/etc/fstab",
        "/etc/machine-id",
        "/etc/default/raspi-firmware",
        "/usr/lib/clic/image.json",
        "/usr/lib/clic/boot",
        "/boot",
    ]
    .into_iter()
    .find(|ours| path == *ours || path.strip_prefix(ours).is_some_and(|rest| rest.starts_with('/')))
    {
        return Err(format!(
            "`{ours}` is written by clic itself or made on the device; an overlay can't bring it"
        ));
    }
    Ok(())
}

/// A path inside of an overlay's directory, written relative and without tricks.
pub(crate) fn inner_path(path: &str) -> Result<PathBuf, String> {
    let parts = Path::new(path);
    let plain = parts
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || !plain || path.contains('\0') {
        return Err(format!(
            "`{path}` leaves the overlay's directory; write a path inside of it, like `files/etc/hosts`"
        ));
    }
    Ok(parts.components().collect())
}

/// A path inside of the tree, written relative to it and without tricks.
pub(crate) fn plain_path(path: &str) -> Result<(), String> {
    let parts = Path::new(path).components();
    let plain = parts.clone().all(|part| matches!(part, Component::Normal(_)));
    // Only one way to write it, and nothing that has to be escaped where it is shown.
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._+~/".contains(c);
    if path.is_empty()
        || !plain
        || !path.chars().all(fits)
        || parts.collect::<PathBuf>().to_str() != Some(path)
    {
        return Err(format!(
            "`{}` can't be a path here; write one inside of the tree, like `keys/them.asc`: letters, digits and `-._+~/`",
            path.escape_debug()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_paths_have_one_form() {
        image_path("/etc/hostname").unwrap();
        image_path("/usr/lib/clic/grow-root").unwrap();
        for (path, why) in [
            ("etc/x", "absolute"),
            ("/", "whole image"),
            ("/etc/../x", "without"),
            ("/etc//x", "without"),
            ("/etc/", "without"),
            ("/etc/./x", "without"),
            ("/etc/\0", "control"),
            (
                "/lib/systemd/system/a.service",
                "/usr/lib/systemd/system/a.service",
            ),
            ("/run/x", "mounted over"),
            ("/etc/machine-id", "clic itself"),
            ("/boot/grub/grub.cfg", "clic itself"),
        ] {
            assert!(image_path(path).unwrap_err().contains(why), "{path}");
        }
    }

    #[test]
    fn inner_paths_stay_inside() {
        inner_path("files/etc/hosts").unwrap();
        for path in ["", "/etc/passwd", "../base/files/x", "files/../../x", "."] {
            assert!(
                inner_path(path).unwrap_err().contains("leaves the overlay"),
                "{path}"
            );
        }
    }
}
