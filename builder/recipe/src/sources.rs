//! `[[source]]` of recipes: where packages come from beside Debian's own archives.

mod key;
mod planned;

use std::collections::BTreeMap;

use crate::board::{components, packages};
use crate::checker::Checker;
use crate::debian;
use crate::raw::{At, RawSource};
use crate::source::{Origin, Sited};
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
pub(crate) fn check(raw: Vec<RawSource>, checker: &mut Checker<'_>) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    let mut places: BTreeMap<String, Origin> = BTreeMap::new();
    for raw in raw {
        let Some(source) = one(&raw, checker) else {
            continue;
        };
        let name = &source.name;
        if let Some(earlier) = places.get(&name.value) {
            checker
                .wrong(&name.origin, format!("source `{}` is declared twice", name.value))
                .help(format!("the other one is at {earlier}"));
        } else {
            places.insert(name.value.clone(), name.origin.clone());
        }
        sources.push(source);
    }
    sources
}

/// A child's source replaces its parent's of the same name.
pub(crate) fn extend(sources: &mut Vec<Source>, own: Vec<Source>) {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (place, there) in sources.iter().enumerate() {
        places.insert(there.name.value.clone(), place);
    }
    for source in own {
        match places
            .get(&source.name.value)
            .and_then(|place| sources.get_mut(*place))
        {
            Some(there) => *there = source,
            None => sources.push(source),
        }
    }
}

fn one(raw: &RawSource, checker: &mut Checker<'_>) -> Option<Source> {
    let before = checker.count();
    let name = raw.name.clone().sited(checker.file);
    if let Err(why) = debian::our_name(&name.value) {
        checker.wrong(&name, why);
    } else if TAKEN.contains(&name.value.as_str()) {
        checker
            .wrong(&name, format!("`{}` is the name of another source", name.value))
            .help("choose another name");
    }
    let mut packages: Vec<String> = packages(raw.packages.clone(), checker)
        .into_iter()
        .map(|package| package.value)
        .collect();
    packages.sort();
    let priority = raw
        .priority
        .as_ref()
        .and_then(|written| priority(written, checker));
    let place = place(raw, checker)?;
    (checker.count() == before).then_some(Source {
        name,
        place,
        packages,
        priority,
    })
}

fn priority(written: &At<i64>, checker: &mut Checker<'_>) -> Option<i16> {
    let value = i16::try_from(written.value).ok();
    let value = value.filter(|_| (1..=HIGHEST).contains(&written.value));
    if value.is_none() {
        checker
            .wrong(written, format!("a priority of {} makes no sense", written.value))
            .help(format!(
                "1 to {HIGHEST}; Debian's own packages have 500, backports have 100 (see apt_preferences(5))"
            ));
    }
    value
}

/// Where a source is, and that it has the keys that such a place needs, and no others.
fn place(raw: &RawSource, checker: &mut Checker<'_>) -> Option<Place> {
    let suite = raw.suite.clone().map(|suite| suite.sited(checker.file));
    if let Some(suite) = &suite
        && !plain(&suite.value, "-._~/")
    {
        checker
            .wrong(suite, format!("`{}` can't be a suite", suite.value))
            .help("write it like `bookworm-backports` or `stable`");
    }
    match (&raw.url, &raw.directory) {
        (Some(_), Some(directory)) => {
            checker
                .wrong(directory, "a source has either a `url` or a `directory`")
                .help("make two sources of it");
            None
        }
        (None, Some(directory)) => {
            let what = "a directory of packages has no suite, components or key";
            leave_out([raw.suite.as_ref(), raw.components.first()], what, checker);
            leave_out(of_key(raw), what, checker);
            inside(directory, checker).map(Place::Directory)
        }
        (None, None) => of_the_mirror(raw, suite, checker),
        (Some(url), None) => repository(raw, url, suite, checker),
    }
}

/// What a source says of a key.
fn of_key(raw: &RawSource) -> [Option<&At<String>>; 3] {
    [raw.key.as_ref(), raw.key_url.as_ref(), raw.fingerprint.as_ref()]
}

fn leave_out<'r>(
    given: impl IntoIterator<Item = Option<&'r At<String>>>,
    what: &str,
    checker: &mut Checker<'_>,
) {
    for key in given.into_iter().flatten() {
        checker.wrong(key, what).help("leave it out");
    }
}

/// A suite of the Debian mirror.
fn of_the_mirror(raw: &RawSource, suite: Option<Sited<String>>, checker: &mut Checker<'_>) -> Option<Place> {
    let what = "suites of the Debian mirror are signed with Debian's own keys";
    leave_out(of_key(raw), what, checker);
    let own = if raw.components.is_empty() {
        Vec::new()
    } else {
        components(raw.components.clone(), checker)
    };
    if suite.is_none() {
        let name = &raw.name;
        checker
            .wrong(name, format!("source `{}` does not say where it is", name.value))
            .help(
                "add a `suite` of the Debian mirror, the `url` of a repository, or a `directory` of .deb files",
            );
    }
    suite.map(|suite| Place::Suite(suite, own))
}

/// A repository of somebody else.
fn repository(
    raw: &RawSource,
    url: &At<String>,
    suite: Option<Sited<String>>,
    checker: &mut Checker<'_>,
) -> Option<Place> {
    let url = address(url, "repository", "https://HOST/debian", checker);
    needs(raw, checker);
    let components = checker.sited(raw.components.clone());
    for component in components.iter().filter(|one| !plain(&one.value, "-._~/")) {
        checker.wrong(component, format!("`{}` can't be a component", component.value));
    }
    let key_url = raw
        .key_url
        .as_ref()
        .and_then(|url| address(url, "key", "https://HOST/key.asc", checker));
    let key = match &raw.key {
        Some(key) => inside(key, checker),
        None => key_url.as_ref().map(|url| Sited {
            value: format!("keys/{}.asc", raw.name.value),
            origin: url.origin.clone(),
        }),
    };
    let fingerprint = raw
        .fingerprint
        .as_ref()
        .and_then(|text| fingerprint(text, checker));
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

/// Keys without which nobody finds a repository, or knows that it is the one that was meant.
fn needs(raw: &RawSource, checker: &mut Checker<'_>) {
    let published = raw.key_url.is_some();
    for (there, key, help) in [
        (
            raw.suite.is_some(),
            "suite",
            "add `suite = \"...\"`, as the repository's manual says",
        ),
        (
            !raw.components.is_empty(),
            "components",
            "add `components = [\"main\"]`, or what the repository's manual says",
        ),
        (
            raw.key.is_some() || published,
            "key",
            "add `key = \"keys/....asc\"`: the repository's public key, in a file of this tree; \
             or `key-url = \"https://...\"`, where its makers publish it",
        ),
        (
            raw.fingerprint.is_some() || published,
            "fingerprint",
            "add `fingerprint = \"...\"`: 40 hexadecimal digits from somewhere else than the key; \
             gpg --show-keys FILE shows the key's",
        ),
    ] {
        if !there {
            let what = format!("source `{}` needs a `{key}`", raw.name.value);
            checker.wrong(&raw.name, what).help(help);
        }
    }
}

/// Letters, digits and these, in parts that `/` separates; no `.` and `..`.
fn plain(text: &str, others: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    text.chars().all(inner)
        && text
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.'))
}

fn inside(path: &At<String>, checker: &mut Checker<'_>) -> Option<Sited<String>> {
    match plain_path(&path.value) {
        Ok(()) => Some(path.clone().sited(checker.file)),
        Err(why) => {
            checker.wrong(path, why);
            None
        }
    }
}

/// An address that apt, a device's sources and we can all use. `of` what, and what one looks like.
fn address(url: &At<String>, of: &str, like: &str, checker: &mut Checker<'_>) -> Option<Sited<String>> {
    let rest = ["http://", "https://"]
        .into_iter()
        .find_map(|scheme| url.value.strip_prefix(scheme));
    let host = rest.map(|rest| rest.split('/').next().unwrap_or_default());
    if host.is_some_and(|host| host.contains('@')) {
        // Not repeated: it is a secret.
        checker
            .wrong(url, "this address has a login in it, and the recipe is for everybody to read")
            .help(
                "leave the login out; apt finds it in /etc/apt/auth.conf of the build host (apt_auth.conf(5))",
            );
        return None;
    }
    let fits = |c: char| c.is_ascii_graphic() && !"\"'<>[]{}|\\^`?#".contains(c);
    let looks = format!("it looks like {like}");
    let (why, help) = match rest.zip(host) {
        None => (
            format!("is not the address of a {of}"),
            "it begins with https:// or http://".to_owned(),
        ),
        Some((_, host)) if host.is_empty() || host.starts_with(':') => ("names no host".to_owned(), looks),
        Some((rest, _)) if !rest.chars().all(fits) => {
            ("has a character that no address has".to_owned(), looks)
        }
        Some(_) => return Some(url.clone().sited(checker.file)),
    };
    checker
        .wrong(url, format!("`{}` {why}", url.value.escape_debug()))
        .help(help);
    None
}

/// 40 hexadecimal digits, upper case; blanks, as gpg prints them, are left out.
fn fingerprint(text: &At<String>, checker: &mut Checker<'_>) -> Option<String> {
    let digits: String = text.value.chars().filter(|c| *c != ' ').collect();
    if digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(digits.to_ascii_uppercase());
    }
    checker
        .wrong(text, "this is not the whole fingerprint of a key")
        .help(
            "a fingerprint has 40 hexadecimal digits; a short key id can be forged. \
             `gpg --show-keys FILE` shows it",
        );
    None
}
