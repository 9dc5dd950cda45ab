//! What has to come before what: Debian's relations between packages.

use std::collections::{HashMap, HashSet};

/// A package with its relations.
#[derive(Debug)]
pub struct Related<'a> {
    /// Its name.
    pub name: &'a str,
    /// `Pre-Depends`: configured before this one is unpacked.
    pub pre_depends: Vec<Vec<&'a str>>,
    /// `Depends`: unpacked, and configured before this one is configured.
    pub depends: Vec<Vec<&'a str>>,
    /// Names that it stands for besides its own.
    pub provides: Vec<&'a str>,
}

/// A relation's alternatives by name. Versions and architectures were apt's business.
pub fn relation(field: Option<&str>) -> Vec<Vec<&str>> {
    let clauses = field.unwrap_or_default().split(',');
    clauses
        .map(|clause| clause.split('|').filter_map(name).collect::<Vec<_>>())
        .filter(|alternatives| !alternatives.is_empty())
        .collect()
}

/// The names in a plain list, such as `Provides`.
pub fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter_map(name)
}

/// `libc6:any (>= 2.36)`: libc6.
fn name(text: &str) -> Option<&str> {
    let end = |c: char| c.is_whitespace() || matches!(c, '(' | ':' | '[' | '<');
    text.trim_start()
        .split(end)
        .next()
        .filter(|name| !name.is_empty())
}

/// The packages that `root` picks, by index, with all that they depend on among `packages`.
pub fn closure(packages: &[Related<'_>], root: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut providers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, package) in packages.iter().enumerate() {
        for name in std::iter::once(&package.name).chain(&package.provides) {
            providers.entry(name).or_default().push(at);
        }
    }
    let mut found = std::collections::BTreeSet::new();
    let mut todo: Vec<usize> = (0..packages.len()).filter(|at| root(*at)).collect();
    while let Some(at) = todo.pop() {
        if found.insert(at) {
            let clauses = packages[at].pre_depends.iter().chain(&packages[at].depends);
            todo.extend(clauses.flatten().filter_map(|name| providers.get(name)).flatten());
        }
    }
    found.into_iter().collect()
}

/// One step of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Packages to unpack, by index.
    pub unpack: Vec<usize>,
    /// Packages to configure then, by index: what later rounds need. `None` in the last round: all.
    pub configure: Option<Vec<usize>>,
}

/// The fewest rounds in which every package is unpacked only when what it pre-depends on is configured. `packages` are in
/// the order in which they are to be unpacked; `configured` are the names that the tree has already.
pub fn rounds(packages: &[Related<'_>], configured: &HashSet<String>) -> Vec<Round> {
    let mut progress = Progress::new(packages, configured);
    let mut unpacked: HashSet<usize> = HashSet::new();
    let mut rounds = Vec::new();
    loop {
        let waiting: Vec<usize> = (0..packages.len()).filter(|at| !unpacked.contains(at)).collect();
        if waiting.is_empty() {
            return rounds;
        }
        let free = |at: &usize| progress.before(*at).is_empty();
        let mut unpack: Vec<usize> = waiting.iter().copied().filter(free).collect();
        if unpack.is_empty() {
            // Pre-dependencies in a circle, which policy forbids: dpkg will say what it makes of them.
            unpack.clone_from(&waiting);
        }
        unpacked.extend(&unpack);
        let still: Vec<usize> = waiting
            .iter()
            .copied()
            .filter(|at| !unpacked.contains(at))
            .collect();
        // Only those that can be configured already; the others get their turn when what they need is unpacked.
        let ready = progress.ready(progress.wanted(&still), &unpacked);
        if ready.is_empty() {
            // All that is left.
            rounds.push(Round {
                unpack: waiting,
                configure: None,
            });
            return rounds;
        }
        progress.done.extend(&ready);
        let mut configure: Vec<usize> = ready.into_iter().collect();
        configure.sort_unstable();
        rounds.push(Round {
            unpack,
            configure: Some(configure),
        });
    }
}

/// How far an installation is.
struct Progress<'a> {
    packages: &'a [Related<'a>],
    /// Names that the tree has already.
    configured: &'a HashSet<String>,
    /// Of a name, the new packages that are or provide it.
    providers: HashMap<&'a str, Vec<usize>>,
    /// New packages that are configured.
    done: HashSet<usize>,
}

impl<'a> Progress<'a> {
    fn new(packages: &'a [Related<'a>], configured: &'a HashSet<String>) -> Self {
        let mut providers: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, package) in packages.iter().enumerate() {
            for name in std::iter::once(&package.name).chain(&package.provides) {
                providers.entry(name).or_default().push(at);
            }
        }
        Self {
            packages,
            configured,
            providers,
            done: HashSet::new(),
        }
    }

    /// New packages that these clauses ask for. Of the alternatives that are among the new packages all are taken: more
    /// than needed, never less.
    fn needed(&self, clauses: &[Vec<&str>]) -> Vec<usize> {
        let clauses = clauses
            .iter()
            .filter(|alternatives| !alternatives.iter().any(|name| self.configured.contains(*name)));
        let among = clauses.flatten().filter_map(|name| self.providers.get(name));
        among.flatten().copied().collect()
    }

    /// What has to be configured before this is unpacked, and is not.
    fn before(&self, at: usize) -> Vec<usize> {
        let needed = self.needed(&self.packages[at].pre_depends).into_iter();
        needed
            .filter(|other| *other != at && !self.done.contains(other))
            .collect()
    }

    /// What this needs to be configured.
    fn needs(&self, at: usize) -> impl Iterator<Item = usize> {
        let package = &self.packages[at];
        let depends = self.needed(&package.depends).into_iter();
        depends.chain(self.needed(&package.pre_depends))
    }

    /// What these pre-depend on, with all that that depends on.
    fn wanted(&self, waiting: &[usize]) -> HashSet<usize> {
        let mut wanted: HashSet<usize> = HashSet::new();
        let mut todo: Vec<usize> = waiting.iter().flat_map(|at| self.before(*at)).collect();
        while let Some(at) = todo.pop() {
            if !self.done.contains(&at) && wanted.insert(at) {
                todo.extend(self.needs(at));
            }
        }
        wanted
    }

    /// Those of `wanted` that are unpacked and need nothing that is not.
    fn ready(&self, mut wanted: HashSet<usize>, unpacked: &HashSet<usize>) -> HashSet<usize> {
        wanted.retain(|at| unpacked.contains(at));
        loop {
            let lacks = |at: &usize| {
                self.needs(*at)
                    .any(|other| !self.done.contains(&other) && !wanted.contains(&other))
            };
            let Some(at) = wanted.iter().copied().find(lacks) else {
                return wanted;
            };
            wanted.remove(&at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package<'a>(name: &'a str, pre: &'a str, depends: &'a str) -> Related<'a> {
        Related {
            name,
            pre_depends: relation(Some(pre)),
            depends: relation(Some(depends)),
            provides: Vec::new(),
        }
    }

    #[test]
    fn relations_are_names() {
        assert_eq!(
            relation(Some(
                "libc6 (>= 2.3), debconf (>= 0.5) | debconf-2.0, python3:any,"
            )),
            [vec!["libc6"], vec!["debconf", "debconf-2.0"], vec!["python3"]]
        );
        assert!(relation(None).is_empty());
    }

    #[test]
    fn one_round_when_nothing_is_needed_before() {
        let packages = [package("a", "libc6", "b"), package("b", "", "a")];
        let configured = HashSet::from(["libc6".to_owned()]);
        assert_eq!(
            rounds(&packages, &configured),
            [Round {
                unpack: vec![0, 1],
                configure: None
            }]
        );
    }

    #[test]
    fn pre_dependencies_are_configured_with_what_they_need() {
        let packages = [
            package("a", "b", ""),
            package("b", "", "c"),
            package("c", "", ""),
            package("d", "", "a"),
        ];
        assert_eq!(
            rounds(&packages, &HashSet::new()),
            [
                Round {
                    unpack: vec![1, 2, 3],
                    configure: Some(vec![1, 2])
                },
                Round {
                    unpack: vec![0],
                    configure: None
                }
            ]
        );
    }

    #[test]
    fn what_packages_depend_on() {
        let packages = [
            package("a", "", "b | c"),
            package("b", "", ""),
            package("c", "d", ""),
            package("d", "", "a"),
            package("e", "", "a"),
        ];
        assert_eq!(closure(&packages, |at| packages[at].name == "a"), [0, 1, 2, 3]);
        assert_eq!(closure(&packages, |at| packages[at].name == "b"), [1]);
    }

    #[test]
    fn a_circle_ends() {
        let packages = [package("a", "b", ""), package("b", "a", "")];
        assert_eq!(rounds(&packages, &HashSet::new()).len(), 1);
        let packages = [package("a", "b", ""), package("b", "", "a")];
        let rounds = rounds(&packages, &HashSet::new());
        let unpacked: usize = rounds.iter().map(|round| round.unpack.len()).sum();
        assert_eq!(unpacked, 2, "{rounds:?}");
    }
}
