//! `clic content`: a bundle made, fetched from where it is, and brought up to date.

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

/// A zip file with one stored file.
fn zip(name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut crc = !0_u32;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    common.extend((!crc).to_le_bytes());
    common.extend(u32::try_from(data.len()).unwrap().to_le_bytes().repeat(2));
    common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    common.extend([0, 0]);
    let local = [b"PK\x03\x04", &common[..], name, data].concat();
    let central = [b"PK\x01\x02\x14\0", &common[..], &[0; 14], name].concat();
    let mut end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec();
    end.extend(u32::try_from(central.len()).unwrap().to_le_bytes());
    end.extend(u32::try_from(local.len()).unwrap().to_le_bytes());
    end.extend([0, 0]);
    [local, central, end].concat()
}

#[test]
fn a_file_is_added_by_the_name_that_it_has() {
    let place = Place::new();
    let name = "L'été à \"Nîmes\" (1), 100 % #2 ?.ogg";
    std::fs::write(place.path(name), "la").unwrap();
    let add = [
        &["content", "add", name, "--to", "songs", "--recipe", "shelf"][..],
        &ABOUT,
    ]
    .concat();
    let (said, _) = place.clic(&add, 0);
    assert!(
        said.starts_with(&format!("{name} (2 B) is in bundle songs")),
        "{said}"
    );
    assert_eq!(place.read(&format!("content-bundles/songs/files/{name}")), "la");
    place.clic(&["plan", "shelf", "--board", "x86-pc"], 0);

    for path in ["old/1.ogg", "new/1.ogg"] {
        place.clic(&["content", "add", name, "--to", "songs", "--path", path], 0);
        assert_eq!(place.read(&format!("content-bundles/songs/files/{path}")), "la");
    }

    std::fs::write(place.path(".hidden.ogg"), "la").unwrap();
    let add = ["content", "add", ".hidden.ogg", "--to", "songs"];
    let (_, said) = place.clic(&add, 2);
    assert!(said.contains("`.hidden.ogg` begins with a dot"), "{said}");
    assert!(said.contains("--path"), "{said}");
    place.clic(&[&add[..], &["--path", "shown.ogg"]].concat(), 0);
    assert_eq!(place.read("content-bundles/songs/files/shown.ogg"), "la");
}

#[test]
fn an_archive_is_looked_into_at_once() {
    let place = Place::new();
    std::fs::write(place.path("site.zip"), zip(b"Livres\\\x82t\x82.html", b"summer")).unwrap();
    let add = |file: &str, more: &[&str], code| {
        let start = ["content", "add", file, "--to", "songs", "--path", "site"];
        place.clic(&[&start[..], &ABOUT, more].concat(), code).1
    };
    let said = add("site.zip", &["--unpack", "tar"], 2);
    assert!(
        said.contains("it is a zip file: write `unpack = \"zip\"`"),
        "{said}"
    );
    let said = add("site.zip", &["--unpack", "zip", "--unpacked", "5"], 2);
    assert!(
        said.contains("its files together are larger than allowed"),
        "{said}"
    );
    assert!(!place.path("content-bundles").exists());
    std::fs::write(place.path("site.7z"), b"7z\xbc\xaf\x27\x1c\0\x04").unwrap();
    let said = add("site.7z", &["--unpack", "tar"], 2);
    assert!(
        said.contains("it is a 7z archive, which is not unpacked here"),
        "{said}"
    );

    add("site.zip", &["--unpack", "zip"], 0);
    let file = "content-bundles/songs/bundle.toml";
    assert!(place.read(file).ends_with("unpack = \"zip\"\nunpacked = 6\n"));
    place.clic(&["content", "check"], 0);
    place.clic(&["content", "fetch"], 0);
    // What comes to the same as a slip of the pen.
    for (from, to, why) in [
        (
            "unpacked = 6",
            "unpacked = 5",
            "its files together are larger than allowed",
        ),
        ("unpack = \"zip\"", "unpack = \"tar\"", "it is a zip file"),
        (
            "unpack = \"zip\"",
            "start = \"été.html\"\nunpack = \"zip\"",
            "its first page, \"été.html\", is not there; is it `Livres/été.html`?",
        ),
    ] {
        let whole = place.read(file);
        std::fs::write(place.path(file), whole.replace(from, to)).unwrap();
        for command in ["check", "fetch"] {
            let (_, said) = place.clic(&["content", command], 2);
            assert!(said.contains(why), "{said}");
            assert!(said.contains("content `site` of bundle `songs`"), "{said}");
        }
        std::fs::write(place.path(file), whole).unwrap();
    }
}

#[test]
fn a_page_in_place_of_a_file_is_not_taken() {
    let place = Place::new();
    let (url, _) = server("<!DOCTYPE html><title>Log in</title>");
    let url = url.replace("song.ogg", "Le%20Petit%20Prince.pdf");
    let add = [&["content", "add", &url, "--to", "songs"][..], &ABOUT].concat();
    let (_, said) = place.clic(&add, 2);
    assert!(
        said.contains("is a web page, which is not what the name `Le Petit Prince.pdf` says"),
        "{said}"
    );
    assert!(!place.path("content-bundles").exists());
}

#[test]
fn a_large_download_is_asked_about() {
    let place = Place::new();
    let url = answering("film.webm", || {
        "HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\nfilm".to_owned()
    });
    let add = [&["content", "add", &url, "--to", "films"][..], &ABOUT].concat();
    let (_, said) = place.clic(&add, 2);
    assert!(said.contains("has 5.00 GB; nothing was downloaded"), "{said}");
    assert!(said.contains("`--yes` downloads it without asking"), "{said}");
    let (_, said) = place.clic(&[&add[..], &["--max", "1G"]].concat(), 2);
    assert!(said.contains("has 5.00 GB, more than --max allows"), "{said}");
}

#[test]
fn one_wrong_directory_hides_no_bundle() {
    let place = Place::new();
    std::fs::write(place.path("song.ogg"), "la").unwrap();
    place.clic(
        &[&["content", "add", "song.ogg", "--to", "songs"][..], &ABOUT].concat(),
        0,
    );
    std::fs::create_dir(place.path("content-bundles/__MACOSX")).unwrap();
    place.clic(&["content", "ls"], 0);
    std::fs::create_dir(place.path("content-bundles/Mes livres")).unwrap();
    let (list, said) = place.clic(&["content", "ls"], 2);
    assert_eq!(list, "songs  audio  fr  2 B  CC0-1.0  Songs\n");
    assert!(said.contains("`Mes livres` can't be a name"), "{said}");
    // Whoever names a bundle means that one.
    place.clic(&["content", "fetch", "songs"], 0);
    std::fs::write(place.path("song2.ogg"), "la la").unwrap();
    place.clic(&["content", "add", "song2.ogg", "--to", "songs"], 0);
}

#[test]
fn a_folder_becomes_a_bundle_and_goes_again() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("disque/site")).unwrap();
    for (file, text) in [
        ("disque/10_fin.ogg", "end"),
        ("disque/2_début.ogg", "beginning"),
        ("disque/.DS_Store", "x"),
        ("disque/site/index.html", "<p>"),
        ("disque/site/a.css", "a"),
    ] {
        std::fs::write(place.path(file), text).unwrap();
    }
    let add = [
        &["content", "add", "disque", "--to", "songs", "--recipe", "shelf"][..],
        &ABOUT,
    ]
    .concat();
    let (said, notes) = place.clic(&add, 0);
    assert!(
        said.starts_with("2_début.ogg (9 B) is in bundle songs: "),
        "{said}"
    );
    assert!(
        notes.contains("left out: ") && notes.contains("/disque/.DS_Store (hidden"),
        "{notes}"
    );
    let file = "content-bundles/songs/bundle.toml";
    let text = place.read(file);
    let wanted = [
        "path = \"2_début.ogg\"\ntitle = { fr = \"Début\" }\nlocal = \"files/2_début.ogg\"\n",
        "path = \"10_fin.ogg\"\ntitle = { fr = \"Fin\" }\n",
        "path = \"site\"\ntitle = { fr = \"Site\" }\nlocal = \"files/site\"\nstart = \"index.html\"\n",
    ];
    let places: Vec<usize> = wanted.iter().map(|part| text.find(part).expect(part)).collect();
    assert!(places.is_sorted(), "{text}");
    assert_eq!(place.read("content-bundles/songs/files/site/a.css"), "a");
    place.clic(&["content", "check"], 0);

    // What is there is not added again, and nothing of a wrong folder is.
    let (_, said) = place.clic(&["content", "add", "disque", "--to", "songs"], 2);
    assert!(
        said.contains("`2_début.ogg` exists already in the bundle"),
        "{said}"
    );
    std::fs::create_dir(place.path("neu")).unwrap();
    std::fs::write(place.path("neu/a.ogg"), "a").unwrap();
    std::fs::write(place.path("neu/b.pdf"), "<!DOCTYPE html>").unwrap();
    let (_, said) = place.clic(&["content", "add", "neu", "--to", "songs"], 2);
    assert!(
        said.contains("is a web page, which is not what the name `b.pdf` says"),
        "{said}"
    );
    let (_, said) = place.clic(&["content", "add", "neu/a.ogg", "neu/c.ogg", "--to", "songs"], 2);
    assert!(said.contains("there is no file /"), "{said}");
    assert!(!place.path("content-bundles/songs/files/a.ogg").exists());
    assert_eq!(place.read(file), text);

    // An item, and the whole.
    let (_, said) = place.clic(&["content", "remove", "songs", "10_fin.og"], 2);
    assert!(said.contains("did you mean `10_fin.ogg`?"), "{said}");
    let (_, said) = place.clic(&["content", "remove", "songs", "10_fin.ogg"], 2);
    assert!(said.contains("`--yes` removes it without asking"), "{said}");
    let (said, _) = place.clic(&["content", "remove", "songs", "10_fin.ogg", "--yes"], 0);
    assert_eq!(said, "10_fin.ogg is no longer in bundle songs\n");
    assert!(!place.path("content-bundles/songs/files/10_fin.ogg").exists());
    place.clic(&["content", "remove", "songs", "site", "--yes"], 0);
    assert!(!place.path("content-bundles/songs/files/site").exists());
    place.clic(&["content", "check"], 0);
    let (_, said) = place.clic(&["content", "remove", "songs", "2_début.ogg", "--yes"], 2);
    assert!(said.contains("is all that is in bundle `songs`"), "{said}");
    let (said, _) = place.clic(&["content", "remove", "songs", "--yes"], 0);
    assert!(said.contains("and its name in recipe shelf"), "{said}");
    assert!(!place.path("content-bundles/songs").exists());
    assert!(place.read("recipes/shelf.toml").ends_with("bundles = []\n"));
    place.clic(&["check"], 0);
}

#[test]
fn a_file_that_changed_in_the_tree_is_taken_up_again() {
    let place = Place::new();
    for name in ["song", "other"] {
        std::fs::write(place.path(&format!("{name}.ogg")), "la").unwrap();
        let file = format!("{name}.ogg");
        place.clic(
            &[&["content", "add", &file, "--to", name][..], &ABOUT].concat(),
            0,
        );
    }
    for name in ["song", "other"] {
        std::fs::write(
            place.path(&format!("content-bundles/{name}/files/{name}.ogg")),
            "lalala",
        )
        .unwrap();
    }
    let (_, said) = place.clic(&["content", "check", "song"], 2);
    assert!(
        said.contains("if the new file is right, run `clic content update song`"),
        "{said}"
    );
    // One changed bundle keeps no other one back.
    let (said, _) = place.clic(&["content", "update", "song"], 0);
    assert_eq!(said, "song  song.ogg  2 B -> 6 B\n");
    place.clic(&["content", "check", "song"], 0);
    place.clic(&["content", "check"], 2);
    std::fs::write(
        place.path("content-bundles/song/bundle.toml"),
        "schema = 1\nkind = 3\n",
    )
    .unwrap();
    let (said, error) = place.clic(&["content", "update"], 2);
    assert_eq!(said, "other  other.ogg  2 B -> 6 B\n");
    assert!(error.contains("content-bundles/song/bundle.toml"), "{error}");
    place.clic(&["content", "check", "other"], 0);
}

#[test]
fn a_bundle_is_edited_and_checked() {
    let place = Place::new();
    std::fs::write(place.path("song.ogg"), "la").unwrap();
    place.clic(
        &[&["content", "add", "song.ogg", "--to", "songs"][..], &ABOUT].concat(),
        0,
    );
    let edit = |editor: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_clic"))
            .args(["content", "edit", "songs"])
            .current_dir(place.dir.path())
            .env("EDITOR", editor)
            .env_remove("VISUAL")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = edit("sed -i s/music/musik/");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("content-bundles/songs/bundle.toml:4:9"), "{said}");
    let (code, said) = edit("sed -i s/musik/music/");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("nothing is wrong"), "{said}");
    let (code, said) = edit("no-such-editor");
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("the editor `no-such-editor` cannot be started"),
        "{said}"
    );
}

/// What `clic ARGS` shows in a terminal (of script(1), package bsdutils) to somebody who gives these answers.
fn in_a_terminal(place: &Place, args: &[&str], answers: &[&str]) -> (Option<i32>, String) {
    let quoted = args
        .iter()
        .map(|arg| format!("'{arg}'"))
        .collect::<Vec<_>>()
        .join(" ");
    let command = format!("'{}' {quoted}", env!("CARGO_BIN_EXE_clic"));
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(place.dir.path())
        .env("CLIC_CACHE", place.path("store"))
        .env("TERM", "dumb")
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1) of util-linux (Debian package bsdutils) is needed");
    let mut input = child.stdin.take().unwrap();
    for answer in answers {
        writeln!(input, "{answer}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn each_answer_is_looked_at_when_it_is_given() {
    let place = Place::new();
    std::fs::create_dir(place.path("livres")).unwrap();
    std::fs::write(place.path("livres/01_le-livre.pdf"), "%PDF-1.4").unwrap();
    std::fs::write(place.path("livres/02_suite.pdf"), "%PDF-1.4 b").unwrap();
    let add = ["content", "add", "livres", "--to", "livres", "--recipe", "shelf"];
    let answers = [
        "livre",
        "", // what it is: not so; what is proposed
        "99",
        "school", // theme: by its name
        "français",
        "",
        "CC BY-SA",
        "cc-by-sa-3.0",
        "Ada",
        "Mes livres",
        "", // the title, and the same in English
        "Deux livres",
        "Two books",
        "7",
        "1",
        "Le vrai livre",
        "",
    ];
    // All is looked at before the first question.
    let (code, said) = in_a_terminal(&place, &["content", "add", "none", "--to", "livres"], &answers);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("there is no file /") && !said.contains("What is it?"),
        "{said}"
    );
    // Whoever stops in the middle has changed nothing.
    let (code, said) = in_a_terminal(&place, &add, &answers[..6]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no answer"), "{said}");
    assert!(!place.path("content-bundles").exists());

    let (code, said) = in_a_terminal(&place, &add, &answers);
    assert_eq!(code, Some(0), "{said}");
    for wanted in [
        "2 items, 18 B",
        "`livre` is not in the list: give a number from 1 to 7",
        "What is it? [books]",
        "`99` is not in the list: give a number from 1 to 17",
        "17  other",
        "`français` is not a language code",
        "unknown licence `CC BY-SA`",
        "Le livre  (01_le-livre.pdf)",
        "give a number from 1 to 2",
    ] {
        assert!(said.contains(wanted), "no {wanted} in {said}");
    }
    let text = place.read("content-bundles/livres/bundle.toml");
    let wanted = "kind = \"books\"\ntheme = \"school\"\nlanguage = \"fr\"\ntitle = { fr = \"Mes livres\", en = \"Mes livres\" }\n\
                  description = { fr = \"Deux livres\", en = \"Two books\" }\nlicence = \"CC-BY-SA-3.0\"\ncredit = \"Ada\"\n";
    assert!(text.contains(wanted), "{text}");
    assert!(text.contains("title = { fr = \"Le vrai livre\" }"), "{text}");
    assert!(text.contains("title = { fr = \"Suite\" }"), "{text}");
    assert!(
        place
            .read("recipes/shelf.toml")
            .ends_with("bundles = [\"livres\"]\n")
    );
}
