//! `clic content`: a bundle made, fetched from where it is, and brought up to date.

mod added;
mod kept;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// A tree with one recipe and no bundle, and a store.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for part in ["boards", "overlays"] {
            let status = Command::new("cp")
                .arg("-r")
                .arg(shipped.join(part))
                .arg(dir.path())
                .status();
            assert!(status.unwrap().success());
        }
        std::fs::create_dir(dir.path().join("recipes")).unwrap();
        let recipe =
            "schema = 1\ntitle = \"T\"\nsuite = \"bookworm\"\nboards = [\"x86-pc\"]\noverlays = [\"base\"]\n";
        std::fs::write(dir.path().join("recipes/shelf.toml"), recipe).unwrap();
        Self { dir }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }

    /// What `clic ARGS` prints, and says to people.
    #[track_caller]
    fn clic(&self, args: &[&str], code: i32) -> (String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_clic"))
            .args(args)
            .current_dir(self.dir.path())
            .env("CLIC_CACHE", self.path("store"))
            .env("NO_COLOR", "1")
            .env_remove("http_proxy")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (stdout, stderr) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        assert_eq!(output.status.code(), Some(code), "{stdout}\n{stderr}");
        (stdout, stderr)
    }
}

/// A server of one answer, whatever is asked for; the address of `file`.
fn answering(file: &str, answer: impl Fn() -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/{file}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let _ = stream.write_all(answer().as_bytes());
        }
    });
    url
}

/// A server of one file, whatever is asked for; its address, and what it serves.
fn server(content: &str) -> (String, Arc<Mutex<String>>) {
    let content = Arc::new(Mutex::new(content.to_owned()));
    let served = content.clone();
    let url = answering("song.ogg", move || {
        let body = served.lock().unwrap().clone();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    });
    (url, content)
}

const ABOUT: [&str; 18] = [
    "--kind",
    "audio",
    "--theme",
    "music",
    "--language",
    "fr",
    "--licence",
    "CC0-1.0",
    "--credit",
    "Nous",
    "--title",
    "fr=Chansons",
    "--title",
    "en=Songs",
    "--description",
    "fr=De chez nous",
    "--description",
    "en=From here",
];

#[test]
fn a_folder_and_a_file_that_is_not_there_are_told_apart() {
    let place = Place::new();
    std::fs::create_dir(place.path("films")).unwrap();
    let add = |what: &str| {
        let (_, said) = place.clic(
            &[&["content", "add", what, "--to", "songs"][..], &ABOUT].concat(),
            2,
        );
        said
    };
    let said = add("films");
    assert!(said.contains("there is no file to add in /"), "{said}");
    let said = add("FTP://example.org/a.ogg");
    assert!(
        said.contains("FTP://example.org/a.ogg: `ftp:` is not a kind of address that is read here"),
        "{said}"
    );
    let said = add("none.ogg");
    assert!(said.contains("there is no file /"), "{said}");
    assert!(
        said.contains("none.ogg\n  help: give the path of a file or folder"),
        "{said}"
    );
}

#[test]
fn a_file_becomes_a_bundle_that_a_recipe_has() {
    let place = Place::new();
    std::fs::write(place.path("l'été.ogg"), "la la la").unwrap();
    let add = [
        "content",
        "add",
        "l'été.ogg",
        "--to",
        "songs",
        "--path",
        "ete.ogg",
    ];

    let (_, said) = place.clic(&add, 2);
    assert!(
        said.contains(
            "bundle `songs` is new and needs a description: --kind, --theme, --language, --licence"
        ),
        "{said}"
    );
    let (_, said) = place.clic(&[&add[..], &ABOUT, &["--recipe", "shelves"]].concat(), 2);
    assert!(said.contains("there is no recipe `shelves`"), "{said}");
    let unfree = ABOUT.map(|word| if word == "CC0-1.0" { "mine" } else { word });
    let (_, said) = place.clic(&[&add[..], &unfree, &["--recipe", "shelf"]].concat(), 2);
    assert!(said.contains("unknown licence `mine`"), "{said}");
    assert!(
        said.contains("content-bundles/songs/bundle.toml (as it would be; nothing was written)"),
        "{said}"
    );
    assert!(
        !place.path("content-bundles/songs").exists(),
        "what is not valid stays out"
    );
    assert!(!place.read("recipes/shelf.toml").contains("songs"));

    let (said, _) = place.clic(&[&add[..], &ABOUT, &["--recipe", "shelf"]].concat(), 0);
    assert_eq!(
        said,
        format!(
            "ete.ogg (8 B) is in bundle songs: {}\n",
            place.path("content-bundles/songs/bundle.toml").display()
        )
    );
    assert_eq!(place.read("content-bundles/songs/files/ete.ogg"), "la la la");
    assert!(
        place
            .read("recipes/shelf.toml")
            .ends_with("\nbundles = [\"songs\"]\n")
    );
    let (plan, _) = place.clic(&["plan", "shelf", "--board", "x86-pc"], 0);
    assert!(plan.contains("content   songs: 8 B, 1 file, CC0-1.0"), "{plan}");
    let (list, _) = place.clic(&["content", "ls"], 0);
    assert_eq!(list, "songs  audio  fr  8 B  CC0-1.0  Songs\n");

    // The same file once more would be in the way.
    let before = place.read("content-bundles/songs/bundle.toml");
    let (_, said) = place.clic(&add, 2);
    assert!(said.contains("`ete.ogg` exists already in the bundle"), "{said}");
    assert_eq!(place.read("content-bundles/songs/bundle.toml"), before);
    // A file that changed under the bundle's feet is told by any command.
    std::fs::write(place.path("content-bundles/songs/files/ete.ogg"), "LA LA LA").unwrap();
    let (_, said) = place.clic(&["check"], 2);
    assert!(
        said.contains("this is a different file: it has 8 bytes and SHA-256"),
        "{said}"
    );
}

#[test]
fn what_is_at_an_address_is_fetched_from_the_first_place_that_has_it() {
    let place = Place::new();
    let (url, served) = server("one");
    place.clic(
        &[&["content", "add", &url, "--to", "songs"][..], &ABOUT].concat(),
        0,
    );
    let file = "content-bundles/songs/bundle.toml";
    assert!(place.read(file).contains(&format!("url = [\"{url}\"]")));
    let (check, _) = place.clic(&["content", "check"], 0);
    assert_eq!(check, "ok  songs  all in the store\n");

    // Nobody listens at the first address, and the store is empty.
    std::fs::remove_dir_all(place.path("store")).unwrap();
    let text = place
        .read(file)
        .replace("url = [", "url = [\"http://127.0.0.1:1/song.ogg\", ");
    std::fs::write(place.path(file), text).unwrap();
    let (check, _) = place.clic(&["content", "check"], 0);
    assert_eq!(check, "ok  songs  3 B to fetch\n");
    let (_, said) = place.clic(&["content", "fetch", "--offline"], 1);
    assert!(
        said.contains("offline, and 1 of the files needed is not in the store: song.ogg"),
        "{said}"
    );
    let (said, notes) = place.clic(&["content", "fetch", "songs"], 0);
    assert_eq!(said, "files in the store: 1\n");
    assert!(notes.contains("cannot download song.ogg"), "{notes}");
    assert!(notes.contains("trying the next place"), "{notes}");

    // The author has made another one.
    let (said, _) = place.clic(&["content", "update"], 1);
    assert!(
        said.is_empty(),
        "the first address is looked at, and it is dead: {said}"
    );
    let text = place.read(file).replace("\"http://127.0.0.1:1/song.ogg\", ", "");
    std::fs::write(place.path(file), text).unwrap();
    let (said, _) = place.clic(&["content", "update"], 0);
    assert_eq!(said, "nothing changed\n");
    "another".clone_into(&mut served.lock().unwrap());
    let (said, _) = place.clic(&["content", "update"], 0);
    assert_eq!(said, "songs  song.ogg  3 B -> 7 B\n");
    assert!(place.read(file).contains("size = 7\n"));
    let (_, said) = place.clic(&["content", "fetch", "sings"], 2);
    assert!(said.contains("did you mean `songs`?"), "{said}");
}

#[test]
fn a_file_with_another_content_than_the_bundle_says_is_refused() {
    let place = Place::new();
    let (url, served) = server("one");
    place.clic(
        &[&["content", "add", &url, "--to", "songs"][..], &ABOUT].concat(),
        0,
    );
    std::fs::remove_dir_all(place.path("store")).unwrap();
    "two".clone_into(&mut served.lock().unwrap());
    let (_, said) = place.clic(&["content", "fetch"], 1);
    assert!(
        said.contains("song.ogg has the wrong content: expected sha256"),
        "{said}"
    );
    "longer".clone_into(&mut served.lock().unwrap());
    let (_, said) = place.clic(&["content", "fetch"], 1);
    assert!(
        said.contains("song.ogg has the wrong content: expected 3 bytes, got more"),
        "{said}"
    );
}

#[test]
fn nothing_is_written_through_a_link() {
    let elsewhere = tempfile::tempdir().unwrap();
    for link in [
        "content-bundles",
        "content-bundles/songs",
        "content-bundles/songs/files",
        "content-bundles/songs/bundle.toml",
    ] {
        let place = Place::new();
        std::fs::write(place.path("song.ogg"), "la").unwrap();
        let (at, to) = (place.path(link), elsewhere.path().join("target"));
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        if Path::new(link).extension().is_none() {
            std::fs::create_dir_all(&to).unwrap();
        }
        std::os::unix::fs::symlink(&to, &at).unwrap();
        let add = [&["content", "add", "song.ogg", "--to", "songs"][..], &ABOUT].concat();
        let (_, said) = place.clic(&add, 2);
        assert!(said.contains(&format!("{link}: is a symbolic link")), "{said}");
        assert!(at.symlink_metadata().unwrap().is_symlink(), "{link}");
        if to.is_dir() {
            assert_eq!(std::fs::read_dir(&to).unwrap().count(), 0, "{link}");
            std::fs::remove_dir(&to).unwrap();
        }
        assert!(!to.exists(), "{link}");
    }
    let place = Place::new();
    std::fs::write(place.path("song.ogg"), "la").unwrap();
    let add = [&["content", "add", "song.ogg", "--to", "../songs"][..], &ABOUT].concat();
    let (_, said) = place.clic(&add, 2);
    assert!(
        said.contains("`../songs` can't be a name: names have lower case letters"),
        "{said}"
    );
    assert!(!place.path("songs").exists());
    let add = [
        &[
            "content",
            "add",
            "song.ogg",
            "--to",
            "songs",
            "--path",
            "../../x.ogg",
        ][..],
        &ABOUT,
    ]
    .concat();
    let (_, said) = place.clic(&add, 2);
    assert!(said.contains("`../../x.ogg` leaves the bundle"), "{said}");
    assert!(!place.path("content-bundles").exists());
}

#[test]
fn a_lock_that_is_a_link_is_not_read() {
    let (place, elsewhere) = (Place::new(), tempfile::tempdir().unwrap());
    let lock = place.path("recipes/shelf-x86-pc.lock");
    std::os::unix::fs::symlink(elsewhere.path().join("any.lock"), lock).unwrap();
    let (_, said) = place.clic(&["plan", "shelf", "--board", "x86-pc"], 2);
    assert!(
        said.contains("recipes/shelf-x86-pc.lock: is a symbolic link"),
        "{said}"
    );
}
