//! Whether somebody brings the pages that services of kind `static` show.

use crate::nearest::nearest;
use crate::plan::{Bundle, CONTENT_DIRECTORY, Place, Service, TreeFile, TreeFileKind};
use crate::report::Problems;

/// Where no package of Debian puts files (Filesystem Hierarchy Standard 3.0, Debian Policy 9.1.2): what is there an overlay or a
/// bundle brings, or nobody.
const NOT_OF_PACKAGES: [&str; 12] = [
    "/dev",
    "/home",
    "/media",
    "/mnt",
    "/proc",
    "/root",
    "/run",
    "/srv",
    "/sys",
    "/tmp",
    "/usr/local",
    "/var/tmp",
];

/// Says which pages nobody brings, as far as that is known before there are packages. `made`: while the image is built, steps are
/// done in the running system, which can make anything.
pub(crate) fn check(
    services: &[Service],
    files: &[TreeFile],
    bundles: &[Bundle],
    made: bool,
    problems: &mut Problems,
) {
    for service in services {
        let Place::Root(root) = &service.place else {
            continue;
        };
        let itself = files.iter().find(|file| file.path == *root);
        if let Some(TreeFileKind::File(_)) = itself.map(|file| &file.kind) {
            problems
                .wrong(
                    &service.place_origin,
                    format!("{root} is a file, not a directory"),
                )
                .help("`root` is the directory of the pages");
            continue;
        }
        let brought = itself.is_some()
            || files.iter().any(|file| is_below(&file.path, root))
            || bundles.iter().any(|bundle| {
                let directory = format!("/{CONTENT_DIRECTORY}/{}", bundle.name);
                directory == *root || is_below(root, &directory) || is_below(&directory, root)
            });
        let possible = made || !NOT_OF_PACKAGES.iter().any(|place| is_below(root, place));
        if brought || possible {
            continue;
        }
        let there = files.iter().filter_map(directory_of);
        let near = nearest(root, there, 1).first().map(|near| (*near).to_owned());
        let ways = "bring the pages in an overlay's `files/`, or an empty directory with its `[[directory]]`";
        problems
            .wrong(
                &service.place_origin,
                format!(
                    "nothing in this recipe brings {root}, the pages of service `{}`",
                    service.name
                ),
            )
            .help(near.map_or_else(
                || ways.to_owned(),
                |near| format!("did you mean `{near}`? Else {ways}"),
            ));
    }
}

/// The directory that a file is in, or that it is.
fn directory_of(file: &TreeFile) -> Option<&str> {
    match file.kind {
        TreeFileKind::Directory => Some(&file.path),
        _ => file.path.rsplit_once('/').map(|(directory, _)| directory),
    }
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.starts_with('/'))
}
