use clic_host::Sha256;
use clic_host::spoil::{spoiled, try_reader};
use clic_recipe::plan::{Content, Data, DebFile, PackageSource};

use super::*;
use crate::parts::Part;

const REMEDY: &str = "clic lock minimal --board x86-pc";

fn package(name: &str, arch: &str, source: &str) -> Package {
    Package {
        name: name.into(),
        version: "1:2.0+dfsg-1~deb12u1".into(),
        arch: arch.into(),
        source: source.into(),
        uri: String::new(),
        filename: format!("pool/main/{name}_2.0+dfsg-1~deb12u1_{arch}.deb"),
        sha256: Sha256::of(name),
        size: 1000,
        installed_size: 4096,
        automatic: name.starts_with("lib"),
        part: Part::Recipe,
        stanza: String::new(),
    }
}

fn plan() -> Plan {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tree = clic_recipe::Tree::open(&root).unwrap();
    let of = |recipe: &str| {
        clic_recipe::resolve(&tree, recipe, "x86-pc", &clic_recipe::ResolveOptions::default()).unwrap()
    };
    let mut plan = of("minimal");
    plan.bundles = of("nomad").bundles;
    // It comes out of a package.
    plan.bundles.retain(|bundle| bundle.name == "cahier-debian");
    plan
}

fn source(plan: &Plan, name: &str, place: SourcePlace) -> PackageSource {
    PackageSource {
        name: name.into(),
        place,
        packages: Vec::new(),
        priority: None,
        origin: plan.packages[0].origin.clone(),
    }
}

/// The shipped plan with a source of each kind.
fn with_sources() -> Plan {
    let mut plan = plan();
    let suite = SourcePlace::Suite {
        suite: "bookworm-backports".into(),
        components: vec!["main".into()],
    };
    let repository = SourcePlace::Repository {
        url: "https://packages.example/debian".into(),
        suite: "stable".into(),
        components: vec!["main".into()],
        key: Content {
            sha256: Sha256::of(""),
            size: 0,
            data: Data::Bytes(Vec::new().into()),
        },
        key_path: "keys/theirs.asc".into(),
        fingerprint: Some("0123456789ABCDEF0123456789ABCDEF01234567".into()),
    };
    let directory = SourcePlace::Directory {
        path: "debs".into(),
        files: vec![DebFile {
            name: "ours_1_all.deb".into(),
            sha256: "cd".repeat(32).parse().unwrap(),
            size: 10,
        }],
        absolute: "/srv/my tree/debs".into(),
    };
    plan.sources = vec![
        source(&plan, "backports", suite),
        source(&plan, "theirs", repository),
        source(&plan, "ours", directory),
    ];
    plan.sources[0].packages = vec!["nginx".into()];
    plan.sources[1].priority = Some(900);
    plan
}

fn lock(plan: &Plan) -> Lock {
    Lock {
        inputs: Inputs::of(plan),
        epoch: 1_783_764_997,
        releases: vec![Release {
            source: DEBIAN.into(),
            url: String::new(),
            suite: "bookworm".into(),
            components: vec!["main".into()],
            date: 1_783_764_997,
            sha256: Sha256::of("release"),
        }],
        packages: vec![
            package("bash", "amd64", DEBIAN),
            package("libc6", "all", SECURITY),
        ],
        content: vec![Package {
            automatic: true,
            part: Part::Base,
            ..package("debian-handbook", "all", DEBIAN)
        }],
        tools: [(
            Arch::Arm64,
            vec![Package {
                automatic: true,
                part: Part::Base,
                ..package("dash", "arm64", DEBIAN)
            }],
        )]
        .into(),
    }
}

fn parse(text: &str) -> Result<Lock> {
    Lock::parse(text, Path::new("recipes/minimal-x86-pc.lock"), REMEDY)
}

fn mirrors() -> Mirrors {
    Mirrors {
        main: "http://me:secret@mirror.example/debian".into(),
        security: Some("http://mirror.example/security".into()),
    }
}

#[test]
fn a_lock_reads_as_it_was_written() {
    let plan = with_sources();
    let lock = lock(&plan);
    let text = lock.text();
    let again = parse(&text).unwrap();
    assert_eq!(again, lock);
    assert_eq!(again.text(), text);
    assert_eq!(again.misfits(&plan), [""; 0]);
    assert!(
        !text.contains("example") && !text.contains("/srv"),
        "no host in it:\n{text}"
    );
    assert!(
        text.starts_with("# Written by `clic lock minimal --board x86-pc`."),
        "{text}"
    );
    let block = "[[package]]\nname = \"bash\"\nversion = \"1:2.0+dfsg-1~deb12u1\"\nsource = \"debian\"\n\
                 path = \"pool/main/bash_2.0+dfsg-1~deb12u1_amd64.deb\"\n";
    assert!(text.contains(block), "{text}");
}

/// A ZIM file is made by tools of the build host, also where the image is of its architecture.
#[test]
fn a_build_host_gets_its_tools_whatever_the_image_is_for() {
    let host = host_arch().expect("tests run on a build host");
    for arch in [Arch::Amd64, Arch::Arm64] {
        let plan = Plan { arch, ..plan() };
        let mut lock = lock(&plan);
        lock.tools = [(host, vec![package("python3-libzim", host.debian(), DEBIAN)])].into();
        let resolution = lock.resolution(&plan, &mirrors(), None, "");
        let tools = resolution.unwrap().tools;
        assert_eq!(tools.len(), 1, "{arch}: {tools:?}");
    }
}

#[test]
fn a_lock_says_which_input_no_longer_fits() {
    let before = with_sources();
    let lock = lock(&before);
    let changed = |change: &dyn Fn(&mut Plan)| {
        let mut plan = before.clone();
        change(&mut plan);
        lock.misfits(&plan).join("; ")
    };
    assert_eq!(
        changed(&|plan| plan.suite = "trixie".into()),
        "the suite is trixie, the lock is for bookworm"
    );
    assert_eq!(
        changed(&|plan| plan.packages.retain(|package| package.name != "openssh-server")),
        "packages asked for: - openssh-server"
    );
    assert_eq!(
        changed(&|plan| plan.packages[0].name = "zzz".into()),
        "packages of the board: + zzz, - amd64-microcode"
    );
    assert_eq!(
        changed(&|plan| plan.components.push("contrib".into())),
        "components: + contrib"
    );
    assert_eq!(changed(&|plan| drop(plan.sources.remove(1))), "sources: - theirs");
    assert_eq!(
        changed(&|plan| plan.sources.swap(0, 1)),
        "the order of the sources changed"
    );
    assert_eq!(
        changed(&|plan| {
            let SourcePlace::Directory { files, .. } = &mut plan.sources[2].place else {
                panic!()
            };
            files[0].sha256 = "ef".repeat(32).parse().unwrap();
            plan.sources[0].priority = Some(1);
        }),
        "source backports: its priority changed; source ours: the files in its directory changed"
    );
    // What decides no package does not count.
    assert_eq!(
        changed(&|plan| {
            plan.preseeds.clear();
            plan.files.clear();
            plan.recipe.title = "Other".into();
        }),
        ""
    );
}

#[test]
fn addresses_come_from_the_build() {
    let plan = with_sources();
    let mut lock = lock(&plan);
    lock.packages.push(package("ours", "all", "ours"));
    lock.packages.push(package("theirs", "amd64", "theirs"));
    lock.packages.push(package("zlib", "amd64", "backports"));
    let resolution = lock.resolution(&plan, &mirrors(), None, "the command").unwrap();
    let uris: Vec<&str> = resolution
        .packages
        .iter()
        .map(|package| package.uri.as_str())
        .collect();
    let end = "_2.0%2Bdfsg-1~deb12u1_";
    assert_eq!(
        uris,
        [
            format!("http://me:secret@mirror.example/debian/pool/main/bash{end}amd64.deb"),
            format!("http://mirror.example/security/pool/main/libc6{end}all.deb"),
            format!("file:/srv/my%20tree/debs/pool/main/ours{end}all.deb"),
            format!("https://packages.example/debian/pool/main/theirs{end}amd64.deb"),
            format!("http://me:secret@mirror.example/debian/pool/main/zlib{end}amd64.deb"),
        ]
    );
    assert_eq!(resolution.releases[0].url, "http://mirror.example/debian");
    assert_eq!(
        (resolution.epoch, resolution.locked.as_deref()),
        (1_783_764_997, Some("the command"))
    );
    let given = lock.resolution(&plan, &mirrors(), Some(5), "").unwrap();
    assert_eq!(given.epoch, 5);
    let none = Mirrors {
        security: None,
        ..mirrors()
    };
    let error = lock.resolution(&plan, &none, None, "").unwrap_err();
    assert!(
        error.is::<UserError>() && error.to_string().contains("--security-mirror"),
        "{error}"
    );
}

#[test]
fn damaged_and_hostile_locks_are_refused_with_their_line() {
    let plan = with_sources();
    let text = lock(&plan).text();
    let line_of = |needle: &str| text.lines().position(|line| line == needle).unwrap() + 1;
    let bash = line_of("name = \"bash\"");
    let hash = format!("sha256 = \"{}\"", Sha256::of("bash"));
    let cases = [
        (
            "name = \"bash\"",
            "name = \"../bash\"",
            bash,
            "\"../bash\" is not a package name",
        ),
        (
            "name = \"bash\"",
            "name = \"bash\"\nextra = 1",
            bash + 1,
            "unknown field `extra`",
        ),
        (
            "path = \"pool/main/bash_2.0+dfsg-1~deb12u1_amd64.deb\"",
            "path = \"../../etc/passwd.deb\"",
            bash + 3,
            "is not a plain path",
        ),
        (
            "path = \"pool/main/bash_2.0+dfsg-1~deb12u1_amd64.deb\"",
            "path = \"/etc/x.deb\"",
            bash + 3,
            "is not a plain path",
        ),
        (
            "path = \"pool/main/bash_2.0+dfsg-1~deb12u1_amd64.deb\"",
            "path = \"http://evil.example/x.deb?\"",
            bash + 3,
            "is not a plain path",
        ),
        (&hash, "sha256 = \"../../x\"", bash + 4, "is not a SHA-256"),
        (
            "size = 1000",
            "size = 99999999999999",
            bash + 5,
            "is not a size of a .deb",
        ),
        ("size = 1000", "size = -1", bash + 5, "invalid"),
        (
            "version = \"1:2.0+dfsg-1~deb12u1\"",
            "version = \"1;rm\"",
            bash + 1,
            "is not a version",
        ),
        (
            "part = \"recipe\"",
            "part = \"kernel\"",
            bash + 7,
            "unknown variant `kernel`",
        ),
        ("part = \"recipe\"\n", "", bash - 1, "package bash has no part"),
        (
            "part = \"recipe\"\n",
            "part = \"recipe\"\nhost = \"arm64\"\n",
            bash - 1,
            "bash is not a tool of a host",
        ),
        (
            "name = \"debian-handbook\"",
            "part = \"base\"\nname = \"debian-handbook\"",
            line_of("name = \"debian-handbook\"") - 1,
            "debian-handbook is not a package of the image",
        ),
        (
            "name = \"debian-handbook\"",
            "name = \"debian-hand\"",
            0,
            "the packages that content comes out of are not those of the inputs",
        ),
        (
            "name = \"libc6\"",
            "name = \"bash\"",
            line_of("name = \"libc6\"") - 1,
            "package bash is in the lock twice",
        ),
        (
            "source = \"debian-security\"",
            "source = \"nowhere\"",
            line_of("name = \"libc6\"") - 1,
            "is not a source",
        ),
        (
            "arch = \"all\"",
            "arch = \"arm64\"",
            line_of("name = \"libc6\"") - 1,
            "a package for \"arm64\" in a system for amd64",
        ),
        (
            "host = \"arm64\"",
            "host = \"vax\"",
            line_of("host = \"arm64\"") - 1,
            "is not an architecture of a build host",
        ),
        (
            "epoch = 1783764997",
            "epoch = 999999999999999",
            3,
            "is not a date",
        ),
        (
            "suite = \"bookworm\"",
            "suite = \"trixie\"",
            4,
            "somebody changed this file",
        ),
    ];
    for (from, to, line, message) in cases {
        assert!(text.contains(from), "{from}");
        let error = parse(&text.replacen(from, to, 1)).unwrap_err();
        let said = error.to_string();
        assert!(error.is::<UserError>(), "{said}");
        assert!(
            said.starts_with(&format!(
                "recipes/minimal-x86-pc.lock:{}",
                if line == 0 {
                    String::new()
                } else {
                    format!("{line}: ")
                }
            )) && said.contains(message),
            "{to}: line {line} wanted\n{said}"
        );
        assert!(said.ends_with(&format!("or make it again: {REMEDY}")), "{said}");
    }
    let said = |text: &str| parse(text).unwrap_err().to_string();
    assert!(said("<html>").starts_with("recipes/minimal-x86-pc.lock:1: this is not a lock: "));
    assert!(said("").contains("it does not say its format"));
    assert!(said("format = 1\n").contains("missing field"));
    let newer = said("format = 2\nanything = true\n");
    assert!(
        newer.contains("is of format 2") && newer.contains("use the version of clic that wrote it"),
        "{newer}"
    );
    // Half a file, as a full disk or a failed merge leaves it.
    let half = said(&text[..text.len() / 2]);
    assert!(half.starts_with("recipes/minimal-x86-pc.lock"), "{half}");
    let conflict = said(&text.replacen("[[package]]", "<<<<<<< HEAD\n[[package]]", 1));
    assert!(conflict.contains("this is not a lock"), "{conflict}");
}

#[test]
fn what_the_recipe_leaves_open_the_lock_says() {
    let mut plan = with_sources();
    let lock = lock(&plan);
    let open = |plan: &mut Plan, says: Option<&str>| {
        let SourcePlace::Repository { fingerprint, .. } = &mut plan.sources[1].place else {
            panic!()
        };
        *fingerprint = says.map(str::to_owned);
    };
    open(&mut plan, None);
    assert_eq!(lock.misfits(&plan), [""; 0]);
    open(&mut plan, Some(&"A".repeat(40)));
    assert_eq!(lock.misfits(&plan), ["source theirs: its fingerprint changed"]);
    // A lock that says nothing either confirms whatever is there: there is none.
    for says in [
        None,
        Some("0123"),
        Some("0123456789abcdef0123456789abcdef01234567"),
    ] {
        open(&mut plan, says);
        let said = parse(&self::lock(&plan).text()).unwrap_err().to_string();
        assert!(
            said.contains("source theirs has a key without its whole fingerprint"),
            "{said}"
        );
    }
}

#[test]
fn a_lock_cannot_write_to_the_terminal() {
    let mut lock = lock(&plan());
    lock.inputs.packages.push("\u{1b}[2J".into());
    let said = parse(&lock.text()).unwrap_err().to_string();
    assert!(
        said.contains("characters that no name has") && !said.contains('\u{1b}'),
        "{said:?}"
    );
}

#[test]
fn files_that_are_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let read = || Lock::read(&path, Path::new("a.lock"), REMEDY);
    assert!(read().unwrap().is_none());
    std::fs::create_dir(&path).unwrap();
    assert_eq!(read().unwrap_err().to_string(), "a.lock: is not a regular file");
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(read().unwrap_err().to_string().contains("it is not text"));
    let lock = lock(&plan());
    lock.write(&path).unwrap();
    assert_eq!(read().unwrap(), Some(lock));
}

#[test]
fn spoiled_locks_do_not_panic() {
    let good = lock(&plan()).text();
    let words = [
        "[[package]]",
        "[[content]]",
        "\"",
        "\n",
        "\u{1b}[2J",
        "-1",
        "é",
        "{",
        "99999999999999999999",
    ];
    try_reader("locks", 500, |random| {
        let bytes = spoiled(good.as_bytes(), &words, random);
        if let Err(error) = Lock::parse(&String::from_utf8_lossy(&bytes), Path::new("a.lock"), REMEDY) {
            let said = format!("{error:#}");
            assert!(said.len() < 2000, "{said}");
        }
    });
}
