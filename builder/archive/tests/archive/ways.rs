//! The ways to a mirror that the host's apt is told: both the indexes and the packages come by them.

use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use clic_archive::{HostApt, Keep, Resolution};
use clic_store::Store;

use crate::world::{World, run, serve};

/// What somebody in between makes of a request: its head, and the answer's status and body.
type Answer = dyn Fn(&str) -> (&'static str, Vec<u8>) + Send + Sync;

/// A server on a port of its own; with the heads of all requests.
fn server(
    answer: impl Fn(&str) -> (&'static str, Vec<u8>) + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let (seen, answer): (_, Arc<Answer>) = (heads.clone(), Arc::new(answer));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (seen, answer) = (seen.clone(), answer.clone());
            std::thread::spawn(move || talk(stream, &seen, &*answer));
        }
    });
    (place, heads)
}

fn talk(mut stream: TcpStream, seen: &Mutex<Vec<String>>, answer: &Answer) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let (status, body) = answer(&head);
        seen.lock().unwrap().push(head);
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat()).ok()?;
    }
}

/// The file of an archive that a request's target names, below `/debian`.
fn file(dir: &Path, target: &str) -> (&'static str, Vec<u8>) {
    let path = target.split_once("/debian/").map_or("", |(_, path)| path);
    let path = path.replace("%2B", "+").replace("%2b", "+");
    std::fs::read(dir.join(path)).map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body))
}

fn target(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// A proxy that has the archive of every host below `.invalid`, and forbids CONNECT, as squid does for the port of http and
/// apt-cacher-ng for all.
fn proxy(dir: &Path) -> (String, Arc<Mutex<Vec<String>>>) {
    let dir = dir.to_owned();
    server(move |head| match target(head) {
        url if head.starts_with("GET http://") && url.contains(".invalid/debian/") => file(&dir, url),
        _ => ("403 Forbidden", Vec::new()),
    })
}

/// The host's apt with these options and this auth.conf.
fn told(world: &World, config: &str, logins: &str, variable: impl Fn(&str) -> Option<String>) -> HostApt {
    let etc = world.path("etc");
    std::fs::create_dir_all(&etc).unwrap();
    std::fs::write(etc.join("auth.conf"), logins).unwrap();
    let path = world.path("host.conf");
    let alone = format!(
        "Dir::Etc \"{}\";\nDir::Etc::parts \"/dev/null\";\nDir::Etc::main \"/dev/null\";\n",
        etc.display()
    );
    std::fs::write(&path, alone + config).unwrap();
    HostApt::told(Some(&path), variable)
}

fn nothing(_: &str) -> Option<String> {
    None
}

/// Resolves and downloads by the ways of `host`, with an empty store.
fn build(world: &mut World, host: &HostApt) -> anyhow::Result<Resolution> {
    world.host = host.clone();
    let number = std::fs::read_dir(world.path("stores")).map_or(0, Iterator::count);
    let store = Store::open(&world.path(&format!("stores/{number}")))
        .unwrap()
        .direct();
    world.store = host.clone().carries_for(store).backoff(std::time::Duration::ZERO);
    let resolution = world.resolve()?;
    let debs = world.have(&resolution, &world.store)?;
    assert_eq!(debs.len(), resolution.packages.len());
    for (deb, package) in debs.iter().zip(&resolution.packages) {
        assert_eq!(clic_host::Sha256::of_file(deb).unwrap(), package.sha256);
    }
    Ok(resolution)
}

/// Every package was asked for in words like these.
#[track_caller]
fn all_debs(heads: &Mutex<Vec<String>>, resolution: &Resolution, start: &str, has: &str) {
    let heads = std::mem::take(&mut *heads.lock().unwrap());
    for package in &resolution.packages {
        let line = format!("{start}/debian/{} ", package.filename);
        let found = heads.iter().find(|head| head.starts_with(&line));
        let found = found.unwrap_or_else(|| panic!("no {line:?}: {heads:#?}"));
        assert!(found.contains(has), "{found}");
    }
}

#[test]
fn packages_come_by_the_proxy_that_the_indexes_come_by() {
    let mut world = World::new();
    let (place, heads) = proxy(&world.debian.dir);
    world.mirrors.main = "http://mirror.invalid/debian".into();
    let detect = world.path("detect");
    std::fs::write(
        &detect,
        format!("#!/bin/sh\ncase $1 in http://mirror.invalid*) echo http://{place} ;; esac\n"),
    )
    .unwrap();
    std::fs::set_permissions(&detect, std::fs::Permissions::from_mode(0o755)).unwrap();
    let absolute = "GET http://mirror.invalid";
    for config in [
        format!("Acquire::http::Proxy \"http://{place}\";"),
        format!(
            "Acquire::http::Proxy \"http://127.0.0.1:9\";\nAcquire::http::Proxy::mirror.invalid \"http://{place}\";"
        ),
        format!("Acquire::http::Proxy-Auto-Detect \"{}\";", detect.display()),
    ] {
        let host = told(&world, &config, "", nothing);
        let resolution = build(&mut world, &host).unwrap_or_else(|error| panic!("{config}: {error:#}"));
        all_debs(&heads, &resolution, absolute, "");
    }
    let by = format!("http://{place}");
    let host = told(&world, "", "", |name| (name == "HTTP_PROXY").then(|| by.clone()));
    let resolution = build(&mut world, &host).unwrap();
    all_debs(&heads, &resolution, absolute, "");
    // The proxy's own login, in its address or in auth.conf. 'dTpw' is base64 for u:p.
    for (config, logins) in [
        (
            format!("Acquire::http::Proxy \"http://u:p@{place}\";"),
            String::new(),
        ),
        (
            format!("Acquire::http::Proxy \"http://{place}\";"),
            format!("machine http://{place} login u password p\n"),
        ),
    ] {
        let host = told(&world, &config, &logins, nothing);
        let resolution = build(&mut world, &host).unwrap();
        all_debs(
            &heads,
            &resolution,
            absolute,
            "Proxy-Authorization: Basic dTpw\r\n",
        );
    }
}

#[test]
fn what_is_to_be_reached_directly_is() {
    let mut world = World::new();
    let (dead, asked) = proxy(Path::new("/nowhere"));
    let (url, _) = serve(world.debian.dir.parent().unwrap());
    world.mirrors.main = format!(
        "{url}/{}",
        world.debian.dir.file_name().unwrap().to_str().unwrap()
    );
    let config =
        format!("Acquire::http::Proxy \"http://{dead}\";\nAcquire::http::Proxy::127.0.0.1 \"DIRECT\";");
    let host = told(&world, &config, "", nothing);
    build(&mut world, &host).unwrap();
    let host = told(&world, "", "", |name| match name {
        "http_proxy" => Some(format!("http://{dead}")),
        "no_proxy" => Some("127.0.0.1".to_owned()),
        _ => None,
    });
    build(&mut world, &host).unwrap();
    assert_eq!(asked.lock().unwrap().len(), 0);
}

#[test]
fn further_options_hold_for_packages_too() {
    let mut world = World::new();
    let dir = world.debian.dir.clone();
    let (place, heads) = server(move |head| file(&dir, target(head)));
    world.mirrors.main = format!("http://{place}/debian");
    let config = "Acquire::http::User-Agent \"Ours/1\";\nAcquire::ForceIPv4 \"true\";\nAcquire::http::No-Store \"true\";";
    let host = told(&world, config, "", nothing);
    let resolution = build(&mut world, &host).unwrap();
    all_debs(&heads, &resolution, "GET ", "User-Agent: Ours/1\r\n");
    let config = "Acquire::ForceIPv6 \"true\";";
    let host = told(&world, config, "", nothing);
    let said = build(&mut world, &host).unwrap_err().to_string();
    assert!(said.starts_with("the Debian mirror cannot be used"), "{said}");
}

/// Everything that a resolution leaves: the log, the lock, the sources of the device, what is serialized.
fn written(world: &World, resolution: &Resolution) -> String {
    let log = std::fs::read_to_string(world.path("log")).unwrap();
    let lock = world.lock(Keep::default()).text();
    let json = serde_json::to_string(resolution).unwrap();
    [
        log,
        lock,
        json,
        resolution.sources_list(),
        std::fs::read_to_string(world.path("log")).unwrap(),
    ]
    .concat()
}

#[test]
fn a_mirror_that_asks_who_we_are_is_told_and_nobody_else() {
    let mut world = World::new();
    let dir = world.debian.dir.clone();
    // base64 for me:hush-hush
    let known = "Authorization: Basic bWU6aHVzaC1odXNo\r\n";
    let (place, heads) = server(move |head| {
        if head.contains(known) {
            file(&dir, target(head))
        } else {
            ("401 Unauthorized", Vec::new())
        }
    });
    world.mirrors.main = format!("http://{place}/debian");
    let shown = format!("http://{place}/debian");
    for logins in [
        format!("machine http://{place}/debian login me password hush-hush\n"),
        "machine http://127.0.0.1\n\tlogin me\n\tpassword hush-hush\n".to_owned(),
    ] {
        let host = told(&world, "", &logins, nothing);
        let resolution = build(&mut world, &host).unwrap();
        all_debs(&heads, &resolution, "GET ", known);
    }
    // One that is in the address.
    world.mirrors.main = format!("http://me:hush%2Dhush@{place}/debian");
    let host = told(&world, "", "", nothing);
    let resolution = build(&mut world, &host).unwrap();
    all_debs(&heads, &resolution, "GET ", known);
    let text = written(&world, &resolution);
    assert!(
        text.contains(&shown) && !text.contains("hush") && !text.contains("me:"),
        "{text}"
    );

    // What it says to others names no login either.
    for main in [format!("http://me:hush-wrong@{place}/debian"), shown.clone()] {
        world.mirrors.main = main;
        let said = format!("{:#}", build(&mut world, &host).unwrap_err());
        assert!(
            said.contains("401") && said.contains(&shown) && !said.contains("hush"),
            "{said}"
        );
    }
    let said = world
        .have(
            &{
                let mut other = resolution;
                other.packages[0].uri = format!("http://me:hush-wrong@{place}/debian/pool/x.deb");
                other.packages[0].sha256 = clic_host::Sha256::of("x");
                other
            },
            &world.store,
        )
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("the server answered 401") && said.contains("auth.conf") && !said.contains("hush"),
        "{said}"
    );
}

/// An HTTPS server with the files of a directory, while this lives; it talks to who has a certificate of ours.
struct Secure {
    server: std::process::Child,
    port: String,
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

const SERVER: &str = "
import functools, http.server, ssl, sys
files, keys = sys.argv[1:]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=files)
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(keys + '/localhost.pem', keys + '/localhost.key')
context.load_verify_locations(keys + '/ca.pem')
context.verify_mode = ssl.CERT_REQUIRED
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
";

impl Secure {
    fn start(files: &Path, keys: &Path) -> Self {
        let mut server = std::process::Command::new("python3")
            .args(["-c", SERVER])
            .args([files, keys])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let out = server.stdout.as_mut().unwrap();
        BufReader::new(out).read_line(&mut port).unwrap();
        Self {
            server,
            port: port.trim().to_owned(),
        }
    }
}

/// `ca.pem`, and by it `localhost` and `client`, each with its `.pem` and `.key`.
fn certificates(dir: &Path) {
    const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let openssl = |line: &str| {
        let mut command = std::process::Command::new("openssl");
        run(command.args(line.split(' ')).current_dir(dir));
    };
    openssl(&format!(
        "req -x509 {KEY} -keyout ca.key -out ca.pem -subj /CN=ours -addext basicConstraints=critical,CA:TRUE"
    ));
    for who in ["localhost", "client"] {
        std::fs::write(dir.join("names"), format!("subjectAltName=DNS:{who}")).unwrap();
        openssl(&format!(
            "req {KEY} -keyout {who}.key -out {who}.csr -subj /CN={who}"
        ));
        openssl(&format!(
            "x509 -req -in {who}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {who}.pem -extfile names"
        ));
    }
}

#[test]
fn certificates_of_ours_hold_for_packages_too() {
    let mut world = World::new();
    let keys = world.path("keys");
    std::fs::create_dir(&keys).unwrap();
    certificates(&keys);
    let secure = Secure::start(world.dir.path(), &keys);
    let name = world.debian.dir.file_name().unwrap().to_str().unwrap().to_owned();
    world.mirrors.main = format!("https://localhost:{}/{name}", secure.port);
    let keys = keys.display();
    let known = format!("Acquire::https::localhost::CAInfo \"{keys}/ca.pem\";\n");
    let ours = format!(
        "Acquire::https::SSLCert \"{keys}/client.pem\";\nAcquire::https::SSLKey \"{keys}/client.key\";\n"
    );
    let host = told(&world, &(known.clone() + &ours), "", nothing);
    let resolution = build(&mut world, &host).unwrap();

    // Packages by a store that is not told the one or the other.
    let unverified = format!("Acquire::https::Verify-Peer \"false\";\n{ours}");
    for (number, (config, works)) in [(ours, false), (known, false), (unverified, true)]
        .into_iter()
        .enumerate()
    {
        let host = told(&world, &config, "", nothing);
        let other = Store::open(&world.path(&format!("other{number}")))
            .unwrap()
            .direct();
        let store = host.carries_for(other).backoff(std::time::Duration::ZERO);
        let had = world.have(&resolution, &store);
        assert_eq!(had.is_ok(), works, "{config}: {had:?}");
        if let Err(error) = had {
            let said = error.to_string();
            assert!(
                said.starts_with("cannot download ") && said.contains("tried 4 times"),
                "{said}"
            );
        }
    }
}
