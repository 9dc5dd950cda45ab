use std::os::unix::fs::PermissionsExt;

use super::*;

fn no_variable(_: &str) -> Option<String> {
    None
}

/// The host's apt, told this; nothing else of this machine counts.
fn told(config: &str) -> (tempfile::TempDir, HostApt) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conf");
    let etc = dir.path().join("etc");
    std::fs::create_dir(&etc).unwrap();
    let text = format!(
        "Dir::Etc \"{}\";\nDir::Etc::parts \"/dev/null\";\nDir::Etc::main \"/dev/null\";\n{config}",
        etc.display()
    );
    std::fs::write(&path, text).unwrap();
    let host = HostApt::told(Some(&path), no_variable);
    (dir, host)
}

#[test]
fn the_hosts_way_to_mirrors_is_kept_but_not_what_weakens_signatures() {
    let (dir, host) = told(
        "Acquire::AllowInsecureRepositories \"1\";\nacquire::HTTP { Proxy \"http://p:3128\"; Proxy::h.example \"DIRECT\"; Timeout \"\"; };\n\
         Acquire::https::CAInfo::h.example \"/etc/ca.pem\";\nAcquire::Check-Valid-Until \"false\";\n\
         Acquire::IndexTargets::deb::Packages::Optional \"0\";\nAcquire::Languages:: \"none\";\n\
         Acquire::allowweakrepositories \"1\";\nAcquire::gpgv::Options:: \"--ignore-time-conflict\";\n\
         Dir::Bin::Methods::ftp \"ftp\";\nDir::Bin::Methods::gpgv \"true\";\nAPT::Install-Recommends \"1\";\n",
    );
    let ways = host.ways(&dir.path().join("etc/auth.conf"));
    let lines: Vec<String> = ways
        .lines()
        .map(|line| line.replace("Acquire::HTTP", "Acquire::http"))
        .collect();
    let has = |line: &str| lines.iter().any(|other| other == line);
    for line in [
        "Acquire::http::Proxy \"http://p:3128\";",
        "Acquire::http::Proxy::h.example \"DIRECT\";",
        "Acquire::https::CAInfo::h.example \"/etc/ca.pem\";",
        "Acquire::Check-Valid-Until \"false\";",
    ] {
        assert!(has(line), "{line}: {ways}");
    }
    assert!(
        lines
            .iter()
            .any(|line| line.eq_ignore_ascii_case("Dir::Bin::Methods::ftp \"ftp\";")),
        "{ways}"
    );
    let small = ways.to_ascii_lowercase();
    for word in [
        "insecure",
        "weak",
        "gpgv",
        "indextargets",
        "languages",
        "recommends",
        "timeout",
        "dir::etc::parts",
    ] {
        assert!(!small.contains(word), "{word}: {ways}");
    }
    let etc = dir.path().join("etc");
    assert!(
        has(&format!(
            "Dir::Etc::netrc \"{}\";",
            etc.join("auth.conf").display()
        )),
        "{ways}"
    );
    assert_eq!(
        host.sources,
        [etc.join("sources.list"), etc.join("sources.list.d")]
    );
}

#[test]
fn proxies_of_the_environment_are_said_in_apts_words() {
    let of = |set: &[(&str, &str)]| {
        let found = |name: &str| {
            set.iter()
                .find(|(other, _)| *other == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let all: Vec<String> = environment(found)
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        all.join(" ")
    };
    assert_eq!(of(&[]), "");
    assert_eq!(
        of(&[("http_proxy", "http://p:1"), ("HTTP_PROXY", "http://q:1")]),
        "http_proxy=http://p:1"
    );
    assert_eq!(
        of(&[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "a.b")]),
        "https_proxy=http://p:1 no_proxy=a.b"
    );
    assert_eq!(
        of(&[("all_proxy", "socks5://p:1"), ("http_proxy", "http://q:1")]),
        "ftp_proxy=socks5h://p:1 http_proxy=http://q:1 https_proxy=socks5h://p:1"
    );
}

#[test]
fn apt_brings_what_it_is_told_a_way_to() {
    let takes = |config: &str, variable: Option<&str>, logins: Option<&str>, url: &str| {
        let (dir, mut host) = told(config);
        if let Some(variable) = variable {
            host.environment = environment(|name| (name == variable).then(|| "http://p:1".to_owned()));
        }
        if let Some(file) = logins {
            let path = dir.path().join("etc").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "machine h login u password p\n").unwrap();
        }
        let store = Store::open(&dir.path().join("store")).unwrap();
        let has_ways = host.has_ways();
        AptCarrier {
            store,
            host,
            helper: PathBuf::new(),
            has_ways,
            configs: Mutex::default(),
        }
        .takes(url)
    };
    let plain = "https://h.example/a";
    assert!(!takes("", None, None, plain));
    assert!(!takes(
        "Acquire::Languages \"none\";\nAcquire::http::Proxy \"\";",
        None,
        None,
        plain
    ));
    for config in [
        "acquire::http::proxy \"http://p:1\";",
        "Acquire::HTTP::Proxy::other \"DIRECT\";",
        "Acquire::https::CAInfo \"/x\";",
        "Acquire::http::User-Agent \"x\";",
        "Acquire::ForceIPv4 \"true\";",
    ] {
        assert!(takes(config, None, None, plain), "{config}");
        assert!(!takes(config, None, None, "file:/srv/a"), "{config}");
    }
    for variable in ["http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        assert!(takes("", Some(variable), None, plain), "{variable}");
    }
    assert!(takes("", None, Some("auth.conf"), plain));
    assert!(takes("", None, Some("auth.conf.d/ours.conf"), plain));
    assert!(!takes("", None, Some("auth.conf.d/ours.conf.off"), plain));
    assert!(
        takes("", None, None, "http://u:p@h.example/a"),
        "a login is for apt"
    );
    assert!(!takes("", None, None, "ftp://h.example/a"));
    assert!(takes(
        "Dir::Bin::Methods::ftp \"ftp\";",
        None,
        None,
        "ftp://h.example/a"
    ));
    assert!(!takes("", None, None, "gopher://h.example/a"));
}

#[test]
fn logins_of_addresses_become_lines_of_auth_conf() {
    let said = |url: &str| login(url).unwrap();
    assert_eq!(said("http://h.example/debian"), None);
    assert_eq!(said("file:/srv/a@b"), None);
    assert_eq!(said("http://h.example/a@b"), None);
    let both = "machine https://h.example:8 login me@home password p:s\n";
    assert_eq!(
        said("https://me%40home:p%3as@h.example:8/debian").as_deref(),
        Some(both)
    );
    assert_eq!(
        said("http://me@h.example").as_deref(),
        Some("machine http://h.example login me password \n")
    );
    let error = login("http://me:my%20secret@h.example/debian")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("the login in the address of http://h.example/debian has a blank"),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");

    let (dir, host) = told("");
    let own = dir.path().join("own");
    let file = dir.path().join("etc/auth.conf");
    assert_eq!(host.logins(["http://h.example/debian"], &own).unwrap(), file);
    std::fs::write(&file, "machine p login x password y\n").unwrap();
    assert_eq!(host.logins(["http://me:pw@h.example/debian"], &own).unwrap(), own);
    let text = std::fs::read_to_string(&own).unwrap();
    assert_eq!(
        text,
        "machine http://h.example login me password pw\nmachine p login x password y\n"
    );
    assert_eq!(
        std::fs::metadata(&own).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn apts_last_words_are_understood() {
    let words = |text: &str| Refusal::Words(text.to_owned());
    let said = "E: Failed to fetch http://h/a  404  Not Found [IP: 127.0.0.1 80]\nE: Download Failed\n";
    assert_eq!(refusal(said), Refusal::Status(404));
    assert_eq!(refusal(&said.replace("E: ", "Error: ")), Refusal::Status(404));
    let said = "E: Failed to fetch http://h/a  Could not connect to h:80 (1.2.3.4). - connect (111: Connection refused)\nE: Download Failed\n";
    assert_eq!(
        refusal(said),
        words("Could not connect to h:80 (1.2.3.4). - connect (111: Connection refused)")
    );
    let said = "E: The method driver /usr/lib/apt/methods/s3 could not be found.\nE: Failed to fetch s3://h/a  \nE: Download Failed\n";
    assert_eq!(
        refusal(said),
        words("The method driver /usr/lib/apt/methods/s3 could not be found.")
    );
    assert_eq!(
        refusal("sh: apt-helper: not found\n"),
        words("sh: apt-helper: not found")
    );
    assert_eq!(refusal(""), words("apt did not say why"));
}
