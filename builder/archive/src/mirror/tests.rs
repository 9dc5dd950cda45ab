use super::*;

/// A machine with these apt sources, and a file of Debian's sources that nobody uses any more.
fn machine(list: &str, sources: &str) -> (tempfile::TempDir, HostApt) {
    let dir = tempfile::tempdir().unwrap();
    for sub in ["sources.list.d", "lists", "methods"] {
        std::fs::create_dir(dir.path().join(sub)).unwrap();
    }
    std::fs::write(dir.path().join("sources.list"), list).unwrap();
    std::fs::write(dir.path().join("sources.list.d/debian.sources"), sources).unwrap();
    let old = "deb http://old/debian bookworm main";
    std::fs::write(dir.path().join("sources.list.d/old.list.save"), old).unwrap();
    let host = HostApt::at(dir.path());
    (dir, host)
}

/// Nobody answers.
fn nobody(url: &str) -> anyhow::Result<String> {
    anyhow::bail!("{url} does not answer")
}

fn choose(
    main: Option<&str>,
    security: Option<&str>,
    variable: &str,
    host: &HostApt,
) -> Result<(String, String), String> {
    asking(main, security, variable, host, &nobody)
}

fn asking(
    main: Option<&str>,
    security: Option<&str>,
    variable: &str,
    host: &HostApt,
    ask: &Ask<'_>,
) -> Result<(String, String), String> {
    let mut sources = Sources::default();
    sources.read(host);
    Mirrors::choose(main, security, variable, sources, host, ask)
        .map(|mirrors| (mirrors.main, mirrors.security.unwrap_or_default()))
        .map_err(|error| {
            assert!(error.is::<UserError>());
            error.to_string()
        })
}

#[test]
fn the_hosts_own_sources() {
    let (_dir, found) = machine(
        "# comment\ndeb-src http://a/debian bookworm main\ndeb [arch=amd64] http://a.example/debian/ trixie main # x\n\
         deb http://docker.example/linux/debian bookworm stable\ndeb http://sury.example/php bookworm main\n",
        "Types: deb\nURIs: http://no.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\nEnabled: no\n\n\
         Types: deb\nURIs: http://z.example/debian\nSuites: bookworm bookworm-updates\nComponents: main contrib\n\
         Signed-By: /usr/share/keyrings/other.gpg\n\n\
         Types: deb deb-src\nURIs: http://b.example/debian-security\nSuites: bookworm-security\nComponents: main\n\
         Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
    );
    assert_eq!(
        choose(None, None, "", &found),
        Ok((
            "http://a.example/debian".into(),
            "http://b.example/debian-security".into()
        ))
    );
}

#[test]
fn the_surest_source_wins() {
    let (_dir, found) = machine(
        "deb http://zabbix.example/zabbix/debian bookworm main\n\
         deb http://m.example/debian bookworm-backports main\n\
         deb http://m.example/debian bookworm main\ndeb http://m.example/debian bookworm-updates main\n",
        "",
    );
    assert_eq!(
        choose(None, None, "", &found),
        Ok(("http://m.example/debian".into(), String::new()))
    );
}

#[test]
fn options_win_over_the_environment_over_the_host() {
    let (_dir, found) = machine(
        "deb http://h.example/debian bookworm main\ndeb http://h.example/debian-security bookworm-security main\n",
        "",
    );
    let both = "http://e.example/debian/  file:///srv/debian-security";
    assert_eq!(
        choose(Some("http://o.example/debian"), None, both, &found),
        Ok((
            "http://o.example/debian".into(),
            "file:/srv/debian-security".into()
        ))
    );
    assert_eq!(
        choose(None, None, "http://e.example/debian", &found),
        Ok((
            "http://e.example/debian".into(),
            "http://h.example/debian-security".into()
        ))
    );
    assert_eq!(
        choose(None, Some("none"), "", &found),
        Ok(("http://h.example/debian".into(), String::new()))
    );
}

#[test]
fn no_mirror_says_what_to_do() {
    let error = choose(None, None, "", &machine("", "").1).unwrap_err();
    assert!(error.starts_with("no Debian mirror is known"), "{error}");
    assert!(
        error.contains("--mirror URL") && error.contains("CLIC_DEBIAN_MIRROR"),
        "{error}"
    );
}

#[test]
fn addresses_that_are_none() {
    for (url, why) in [
        ("mirror.example/debian", "is not an address"),
        (
            "ftp://mirror.example/debian",
            "is of a kind that this machine's apt has switched off (ftp:)",
        ),
        ("http:///debian", "names no host"),
        ("file:debian", "names no absolute directory"),
        (
            "http://a/debian [trusted=yes]",
            "has a character that no address has",
        ),
        ("http://a/\ndeb", "has a character that no address has"),
    ] {
        let error = choose(Some(url), Some("none"), "", &machine("", "").1).unwrap_err();
        assert!(
            error.starts_with("--mirror: ") && error.contains(why),
            "{url}: {error}"
        );
    }
    let error = choose(
        None,
        None,
        "http://a/debian http://b/x http://c/y",
        &machine("", "").1,
    )
    .unwrap_err();
    assert!(error.contains("more than two"), "{error}");
}

#[test]
fn a_login_of_an_address_that_is_none_is_not_shown() {
    for (url, said) in [
        ("http://me:secret@/debian", "names no host"),
        (
            "gopher://me:secret@m/debian",
            "is of a kind that this machine's apt cannot reach",
        ),
    ] {
        let error = choose(Some(url), Some("none"), "", &machine("", "").1).unwrap_err();
        assert!(error.contains(said) && !error.contains("secret"), "{error}");
    }
    let three = "http://a/debian http://b/x http://me:secret@c/y";
    let error = choose(None, None, three, &machine("", "").1).unwrap_err();
    assert!(
        error.contains("http://c/y") && !error.contains("secret"),
        "{error}"
    );
}

#[test]
fn kinds_that_only_apt_knows_are_those_that_it_has_a_program_for() {
    let (dir, host) = machine("", "");
    let main = |url: &str, host: &HostApt| choose(Some(url), Some("none"), "", host).map(|(main, _)| main);
    let onion = "tor+http://abc.onion/debian/";
    let error = main(onion, &host).unwrap_err();
    assert!(
        error.contains("this machine's apt cannot reach yet (tor+http:)"),
        "{error}"
    );
    assert!(
        error.contains("sudo apt-get install apt-transport-tor"),
        "{error}"
    );
    std::fs::write(dir.path().join("methods/tor+http"), "").unwrap();
    assert_eq!(main(onion, &host), Ok("tor+http://abc.onion/debian".into()));
    // gpgv is among apt's methods, and is no way to a place.
    std::fs::write(dir.path().join("methods/gpgv"), "").unwrap();
    std::fs::write(dir.path().join("methods/ftp"), "").unwrap();
    for (url, said) in [
        ("gpgv://m/debian", "cannot reach"),
        ("ftp://m/debian", "Dir::Bin::Methods::ftp \"ftp\";"),
        (
            "cdrom:[Debian 12 _Bookworm_]/",
            "mount it, and name its directory",
        ),
        ("../x://m/debian", "cannot reach"),
    ] {
        let error = main(url, &host).unwrap_err();
        assert!(error.contains(said), "{url}: {error}");
    }
}

#[test]
fn a_list_of_mirrors_stands_for_one_of_them() {
    let (dir, host) = machine("", "");
    let path = dir.path().join("debian list");
    let main = || {
        let url = format!("mirror+file://{}", path.display().to_string().replace(' ', "%20"));
        choose(Some(&url), Some("none"), "", &host).map(|(main, _)| main)
    };
    let said = main().unwrap_err();
    assert!(
        said.contains("is a list of mirrors that can't be read: No such file"),
        "{said}"
    );
    for (text, picked) in [
        (
            "# ours\n\nhttps://a.example/debian/\nhttp://b.example/debian\n",
            "https://a.example/debian",
        ),
        (
            "http://a.example/d\tpriority:2\nhttp://b.example/d\tpriority:1\n",
            "http://b.example/d",
        ),
        (
            "file:/srv/debian\tpriority:1 type:index\nhttp://b.example/d\n",
            "http://b.example/d",
        ),
        (
            "file:///srv/debian/\r\nhttp://b.example/d\r\n",
            "file:/srv/debian",
        ),
        ("ftp://a.example/d\nhttp://b.example/d\n", "http://b.example/d"),
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(main(), Ok(picked.into()), "{text}");
    }
    for (text, why) in [
        ("# nothing\n", "it names none"),
        (
            "mirror+file:/other\n",
            "mirror+file:/other a mirror of kind mirror+file: does not belong into this list",
        ),
        ("nonsense", "is not an address"),
    ] {
        std::fs::write(&path, text).unwrap();
        let said = main().unwrap_err();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_list_of_mirrors_on_the_web_is_asked_for() {
    let (_dir, host) = machine("", "");
    let asked = std::cell::RefCell::new(Vec::new());
    let ask = |url: &str| {
        asked.borrow_mut().push(url.to_owned());
        Ok("file:/srv/debian\nhttp://a.example/debian\n".to_owned())
    };
    for (url, place) in [
        ("mirror://m.example/list", "http://m.example/list"),
        ("mirror+http://m.example/list", "http://m.example/list"),
        (
            "mirror+https://me:pw@m.example/list",
            "https://me:pw@m.example/list",
        ),
    ] {
        // It may not name directories of this machine.
        let main = asking(Some(url), Some("none"), "", &host, &ask).unwrap().0;
        assert_eq!(main, "http://a.example/debian");
        assert_eq!(asked.borrow_mut().pop().as_deref(), Some(place));
    }
    let said = choose(
        Some("mirror+https://me:pw@m.example/list"),
        Some("none"),
        "",
        &host,
    )
    .unwrap_err();
    assert!(
        said.contains("can't be read: https://") && !said.starts_with("--mirror: \"mirror+https://me"),
        "{said}"
    );
}

/// As Debian's own cloud images have them.
#[test]
fn sources_may_name_lists_of_mirrors() {
    let (dir, host) = machine("", "");
    let list = |name: &str, url: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("{url}\n")).unwrap();
        format!("mirror+file://{}", path.display())
    };
    let main = list("ours.list", "https://d.example/debian");
    let security = list("ours-security.list", "https://d.example/debian-security");
    let text = format!(
        "Types: deb deb-src\nURIs: {main}\nSuites: bookworm bookworm-updates bookworm-backports\nComponents: main\n\n\
         Types: deb\nURIs: {security}\nSuites: bookworm-security\nComponents: main\n"
    );
    std::fs::write(dir.path().join("sources.list.d/debian.sources"), text).unwrap();
    let both = (
        "https://d.example/debian".into(),
        "https://d.example/debian-security".into(),
    );
    assert_eq!(choose(None, None, "", &host), Ok(both));
    std::fs::write(dir.path().join("ours.list"), "# empty\n").unwrap();
    std::fs::write(
        dir.path().join("sources.list"),
        "deb cdrom:[Debian 12 - debian]/debian bookworm main\n",
    )
    .unwrap();
    let said = choose(None, None, "", &host).unwrap_err();
    assert!(said.starts_with("no Debian mirror is known"), "{said}");
    assert!(
        said.contains("cdrom:[Debian 12 - debian]/debian is a CD, which apt asks a person for"),
        "{said}"
    );
}

/// Other projects have a directory `debian`, and Debian's names of suites.
#[test]
fn whose_an_archive_is_it_says_itself() {
    let (dir, host) = machine("deb http://rpi.example/debian/ bookworm main\n", "");
    let release = |origin: &str| {
        format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: {origin}\nLabel: x\n")
    };
    let says = |origin: &'static str| {
        move |url: &str| {
            assert_eq!(url, "http://rpi.example/debian/dists/bookworm/InRelease");
            Ok(release(origin))
        }
    };
    let main = |ask: &Ask<'_>| asking(None, None, "", &host, ask).map(|(main, _)| main);
    let theirs = "http://rpi.example/debian/ is the archive of Raspberry Pi Foundation";
    let said = main(&says("Raspberry Pi Foundation")).unwrap_err();
    assert!(
        said.starts_with("no Debian mirror is known") && said.contains(theirs),
        "{said}"
    );
    assert_eq!(main(&says("Debian")), Ok("http://rpi.example/debian".into()));
    // Whom nobody can ask, apt's check of the signature has to judge.
    assert_eq!(main(&nobody), Ok("http://rpi.example/debian".into()));

    // What the host's apt has from it, says it without a question.
    let kept = dir
        .path()
        .join("lists/rpi.example_debian_dists_bookworm_InRelease");
    std::fs::write(&kept, release("Raspberry Pi Foundation")).unwrap();
    let said = main(&nobody).unwrap_err();
    assert!(said.contains(theirs), "{said}");
    let two = "deb http://rpi.example/debian/ bookworm main\ndeb http://plain.example/d bookworm main\n";
    std::fs::write(dir.path().join("sources.list"), two).unwrap();
    assert!(
        main(&nobody).is_err(),
        "nothing says that the other one is Debian's"
    );
    std::fs::write(
        dir.path().join("lists/plain.example_d_dists_bookworm_InRelease"),
        release("Debian"),
    )
    .unwrap();
    assert_eq!(main(&nobody), Ok("http://plain.example/d".into()));
}

/// A mirror of a company, or a list of mirrors on the web: nothing in the address says that it is Debian's.
#[test]
fn an_archive_that_says_that_it_is_debians_is_believed() {
    let list = "deb http://sury.example/php bookworm main\ndeb mirror+http://m.example/list bookworm main\n";
    let (_dir, host) = machine(list, "");
    let ask = |url: &str| match url {
        "http://m.example/list" => Ok("http://nexus.example/repository/bookworm/\n".to_owned()),
        "http://nexus.example/repository/bookworm/dists/bookworm/InRelease" => {
            Ok("Origin: Debian\n".to_owned())
        }
        "http://sury.example/php/dists/bookworm/InRelease" => Ok("Origin: deb.sury.example\n".to_owned()),
        other => nobody(other),
    };
    let main = asking(None, None, "", &host, &ask).map(|(main, _)| main);
    assert_eq!(main, Ok("http://nexus.example/repository/bookworm".into()));
    let said = choose(None, None, "", &host).unwrap_err();
    assert!(
        said.contains("mirror+http://m.example/list is a list of mirrors that can't be read: http://m.example/list does not answer"),
        "{said}"
    );
    assert!(!said.contains("sury"), "{said}");
}
