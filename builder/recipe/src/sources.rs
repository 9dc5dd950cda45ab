//! `[[source]]` of recipes: where packages come from beside Debian's own archives.

mod key;
mod planned;

use std::sync::Arc;

use crate::board::{components, packages};
use crate::debian;
use crate::raw::{At, RawSource};
use crate::report::{Problem, Problems};
use crate::source::{Origin, Sited, SourceFile};
use crate::tree::plain_path;

pub use key::{AbsentKey, MOST_KEY, public_key};
pub(crate) use planned::plan;

/// Names that sources of Debian's own have.
const TAKEN: [&str; 3] = ["debian", "debian-security", "clic"];
/// Highest priority: from 1001 on, apt would also go back to older versions.
const HIGHEST: i64 = 1000;

/// A source whose values are checked, but whose files are not read yet.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: Sited<String>,
    place: Place,
    packages: Vec<String>,
    priority: Option<i16>,
}

#[derive(Clone, Debug)]
enum Place {
    /// Without components: those of the plan.
    Suite(Sited<String>, Vec<String>),
    Repository {
        url: Sited<String>,
        suite: String,
        components: Vec<String>,
        key: Sited<String>,
        /// Where its makers publish the key.
        key_url: Option<Sited<String>>,
        fingerprint: Option<String>,
    },
    Directory(Sited<String>),
}

/// Checks a recipe's own sources.
pub(crate) fn check(raw: Vec<RawSource>, file: &Arc<SourceFile>, problems: &mut Problems) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for raw in raw {
        let Some(source) = one(raw, file, problems) else {
            continue;
        };
        let name = &source.name;
        if let Some(earlier) = sources.iter().find(|earlier| earlier.name.value == name.value) {
            problems.push(
                Problem::at(&name.origin, format!("source `{}` is declared twice", name.value))
                    .help(format!("the other one is at {}", earlier.name.origin)),
            );
        }
        sources.push(source);
    }
    sources
}

/// A child's source replaces its parent's of the same name.
pub(crate) fn extend(sources: &mut Vec<Source>, own: Vec<Source>) {
    for source in own {
        match sources
            .iter_mut()
            .find(|there| there.name.value == source.name.value)
        {
            Some(there) => *there = source,
            None => sources.push(source),
        }
    }
}

fn one(raw: RawSource, file: &Arc<SourceFile>, problems: &mut Problems) -> Option<Source> {
    let before = problems.count();
    let name = raw.name.sited(file);
    if let Err(why) = debian::our_name(&name.value) {
        problems.push(Problem::at(&name.origin, why));
    } else if TAKEN.contains(&name.value.as_str()) {
        problems.push(
            Problem::at(
                &name.origin,
                format!("`{}` is the name of another source", name.value),
            )
            .help("choose another name"),
        );
    }
    let packages = packages(raw.packages, file, problems);
    let priority = raw.priority.and_then(|priority| {
        let origin = priority.origin(file);
        match i16::try_from(priority.value) {
            Ok(value) if (1..=HIGHEST).contains(&priority.value) => return Some(value),
            _ => problems.push(
                Problem::at(&origin, format!("a priority of {} makes no sense", priority.value)).help(format!(
                    "1 to {HIGHEST}; Debian's own packages have 500, backports have 100 (see apt_preferences(5))"
                )),
            ),
        }
        None
    });
    let suite = raw.suite.map(|suite| suite.sited(file));
    if let Some(suite) = &suite
        && !plain(&suite.value, "-._~/")
    {
        problems.push(
            Problem::at(&suite.origin, format!("`{}` can't be a suite", suite.value))
                .help("write it like `bookworm-backports` or `stable`"),
        );
    }
    let not_with = |what: &str, given: Option<Origin>, problems: &mut Problems| {
        if let Some(origin) = given {
            problems.push(Problem::at(&origin, what).help("leave it out"));
        }
    };
    let given = |value: &Option<At<String>>| value.as_ref().map(|value| value.origin(file));
    let place = match (raw.url, raw.directory) {
        (Some(_), Some(directory)) => {
            let message = "a source has either a `url` or a `directory`";
            problems.push(Problem::at(&directory.origin(file), message).help("make two sources of it"));
            None
        }
        (None, Some(directory)) => {
            let what = "a directory of packages has no suite, components or key";
            not_with(what, suite.map(|suite| suite.origin), problems);
            not_with(what, given(&raw.key), problems);
            not_with(what, given(&raw.key_url), problems);
            not_with(what, given(&raw.fingerprint), problems);
            not_with(
                what,
                raw.components.first().map(|first| first.origin(file)),
                problems,
            );
            inside(directory.sited(file), problems).map(Place::Directory)
        }
        (None, None) => {
            let what = "suites of the Debian mirror are signed with Debian's own keys";
            not_with(what, given(&raw.key), problems);
            not_with(what, given(&raw.key_url), problems);
            not_with(what, given(&raw.fingerprint), problems);
            let own = if raw.components.is_empty() {
                Vec::new()
            } else {
                components(raw.components, file, problems)
            };
            if suite.is_none() {
                problems.push(
                    Problem::at(&name.origin, format!("source `{}` does not say where it is", name.value))
                        .help("add a `suite` of the Debian mirror, the `url` of a repository, or a `directory` of .deb files"),
                );
            }
            suite.map(|suite| Place::Suite(suite, own))
        }
        (Some(url), None) => {
            let url = address(url.sited(file), "repository", "https://HOST/debian", problems);
            let mut need = |there: bool, key: &str, help: &str| {
                if !there {
                    problems.push(
                        Problem::at(&name.origin, format!("source `{}` needs a `{key}`", name.value))
                            .help(help),
                    );
                }
            };
            need(
                suite.is_some(),
                "suite",
                "add `suite = \"...\"`, as the repository's manual says",
            );
            need(
                !raw.components.is_empty(),
                "components",
                "add `components = [\"main\"]`, or what the repository's manual says",
            );
            let published = raw.key_url.is_some();
            need(
                raw.key.is_some() || published,
                "key",
                "add `key = \"keys/....asc\"`: the repository's public key, in a file of this tree; or `key-url = \"https://...\"`, where its makers publish it",
            );
            need(
                raw.fingerprint.is_some() || published,
                "fingerprint",
                "add `fingerprint = \"...\"`: 40 hexadecimal digits from somewhere else than the key; gpg --show-keys FILE shows the key's",
            );
            let own: Vec<Sited<String>> = raw.components.into_iter().map(|one| one.sited(file)).collect();
            for component in own.iter().filter(|one| !plain(&one.value, "-._~/")) {
                problems.push(Problem::at(
                    &component.origin,
                    format!("`{}` can't be a component", component.value),
                ));
            }
            let key_url = raw
                .key_url
                .and_then(|url| address(url.sited(file), "key", "https://HOST/key.asc", problems));
            let key = match raw.key {
                Some(key) => inside(key.sited(file), problems),
                None => key_url.as_ref().map(|url| Sited {
                    value: format!("keys/{}.asc", name.value),
                    origin: url.origin.clone(),
                }),
            };
            let fingerprint = raw
                .fingerprint
                .and_then(|text| fingerprint(&text.sited(file), problems));
            repository(url, suite, own, (key, key_url, fingerprint))
        }
    };
    let place = place?;
    (problems.count() == before).then_some(Source {
        name,
        place,
        packages: {
            let mut names: Vec<String> = packages.into_iter().map(|package| package.value).collect();
            names.sort();
            names
        },
        priority,
    })
}

fn repository(
    url: Option<Sited<String>>,
    suite: Option<Sited<String>>,
    components: Vec<Sited<String>>,
    (key, key_url, fingerprint): (Option<Sited<String>>, Option<Sited<String>>, Option<String>),
) -> Option<Place> {
    let url = url?;
    Some(Place::Repository {
        url: Sited {
            value: url.value.trim_end_matches('/').to_owned(),
            origin: url.origin,
        },
        suite: suite?.value,
        components: components.into_iter().map(|component| component.value).collect(),
        key: key?,
        key_url,
        fingerprint,
    })
}

/// Letters, digits and these, in parts that `/` separates; no `.` and `..`.
fn plain(text: &str, others: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    text.chars().all(inner)
        && text
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.'))
}

fn inside(path: Sited<String>, problems: &mut Problems) -> Option<Sited<String>> {
    match plain_path(&path.value) {
        Ok(()) => Some(path),
        Err(why) => {
            problems.push(Problem::at(&path.origin, why));
            None
        }
    }
}

/// An address that apt, a device's sources and we can all use. `of` what, and what one looks like.
fn address(url: Sited<String>, of: &str, like: &str, problems: &mut Problems) -> Option<Sited<String>> {
    let mut wrong = |why: &str, help: &str| {
        problems.push(Problem::at(&url.origin, format!("`{}` {why}", url.value.escape_debug())).help(help));
        None
    };
    let rest = ["http://", "https://"]
        .into_iter()
        .find_map(|scheme| url.value.strip_prefix(scheme));
    let Some(rest) = rest else {
        return wrong(
            &format!("is not the address of a {of}"),
            "it begins with https:// or http://",
        );
    };
    let host = rest.split('/').next().unwrap_or_default();
    if host.contains('@') {
        // Not repeated: it is a secret.
        problems.push(
            Problem::at(&url.origin, "this address has a login in it, and the recipe is for everybody to read")
                .help("leave the login out; apt finds it in /etc/apt/auth.conf of the build host (apt_auth.conf(5))"),
        );
        return None;
    }
    let fits = |c: char| c.is_ascii_graphic() && !"\"'<>[]{}|\\^`?#".contains(c);
    if host.is_empty() || host.starts_with(':') {
        return wrong("names no host", &format!("it looks like {like}"));
    }
    if !rest.chars().all(fits) {
        return wrong(
            "has a character that no address has",
            &format!("it looks like {like}"),
        );
    }
    Some(url)
}

/// 40 hexadecimal digits, upper case; blanks, as gpg prints them, are left out.
fn fingerprint(text: &Sited<String>, problems: &mut Problems) -> Option<String> {
    let digits: String = text.value.chars().filter(|c| *c != ' ').collect();
    if digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(digits.to_ascii_uppercase());
    }
    problems.push(
        Problem::at(&text.origin, "this is not the whole fingerprint of a key")
            .help("a fingerprint has 40 hexadecimal digits; a short key id can be forged. `gpg --show-keys FILE` shows it"),
    );
    None
}
