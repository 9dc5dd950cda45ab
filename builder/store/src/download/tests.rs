use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;

use clic_host::Progress;

use super::*;
use crate::testserver::{respond, serve};

fn body() -> Vec<u8> {
    (0..300_000u32).map(|n| (n % 251) as u8).collect()
}

fn download(url: &str, body: &[u8]) -> Download {
    Download {
        url: url.into(),
        sha256: Sha256::of(body),
        size: body.len() as u64,
        name: "thing 1.0".into(),
    }
}

struct Fixture {
    store: Store,
    stage: Stage,
    _dir: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap().direct().backoff(Duration::ZERO);
    Fixture {
        store,
        stage: Progress::silent().stage("download", "", ""),
        _dir: dir,
    }
}

impl Fixture {
    fn fetch(&self, download: &Download) -> Result<PathBuf> {
        self.store.fetch(download, &self.stage)
    }

    fn files(&self, download: &Download) -> usize {
        let path = self.store.path_of(download.sha256);
        std::fs::read_dir(path.parent().unwrap()).map_or(0, Iterator::count)
    }
}

#[test]
fn fetched_once_and_verified_ever_after() {
    let server = serve(|_, _, stream| respond(stream, "200 OK", "", &body()));
    let wanted = download(&server.url, &body());
    let at = fixture();
    assert_eq!(at.store.missing(std::slice::from_ref(&wanted)).len(), 1);
    let path = at.fetch(&wanted).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), body());
    at.fetch(&wanted).unwrap();
    assert_eq!(server.heads.lock().unwrap().len(), 1);
    assert_eq!(at.files(&wanted), 1, "no part file is left");

    // A damaged file is noticed by its content, not its size, and fetched again.
    assert_eq!(at.store.whole(wanted.sha256).unwrap().as_ref(), Some(&path));
    std::fs::write(&path, vec![0; body().len()]).unwrap();
    assert_eq!(at.store.whole(wanted.sha256).unwrap(), None);
    assert!(path.exists(), "whoever gets it again says that it was damaged");
    assert_eq!(at.store.verified(wanted.sha256).unwrap(), None);
    assert!(!path.exists());
    std::fs::write(&path, vec![0; body().len()]).unwrap();
    at.fetch(&wanted).unwrap();
    assert_eq!(server.heads.lock().unwrap().len(), 2);
}

/// What a stage noted.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl clic_host::progress::Sink for Notes {
    fn event(&self, event: &clic_host::progress::Event) {
        if let clic_host::progress::Event::Note { text } = event {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

#[test]
fn damage_in_the_store_is_said_and_mended() {
    let server = serve(|_, _, stream| respond(stream, "200 OK", "", &body()));
    let wanted = [download(&server.url, &body())];
    let at = fixture();
    let notes = Arc::new(Notes::default());
    let stage = Progress::new(notes.clone()).stage("download", "", "");
    let path = at.store.fetch_all(&wanted, &stage).unwrap().remove(0);
    assert_eq!(*notes.0.lock().unwrap(), [""; 0], "it was not there");
    let flipped = {
        let mut bytes = body();
        bytes[150_000] ^= 1;
        bytes
    };
    let short = &body()[..150_000];
    for damaged in [&flipped[..], short, b""] {
        std::fs::write(&path, damaged).unwrap();
        at.store.fetch_all(&wanted, &stage).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), body());
        let said = std::mem::take(&mut *notes.0.lock().unwrap());
        assert_eq!(said, ["thing 1.0 in the store is damaged: downloading it again"]);
    }
    std::fs::write(&path, short).unwrap();
    at.store.have_all(&wanted, &stage).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), body());
    let said = std::mem::take(&mut *notes.0.lock().unwrap());
    assert_eq!(said, ["thing 1.0 in the store is damaged: downloading it again"]);
    assert_eq!(server.heads.lock().unwrap().len(), 5);
    // Without a network it is gone, and that is said.
    std::fs::write(&path, short).unwrap();
    let offline = at.store.clone().offline(true);
    let error = offline.fetch_all(&wanted, &stage).unwrap_err().to_string();
    assert!(
        error.starts_with("offline, and 1 of the files needed is not in the store: thing 1.0"),
        "{error}"
    );
}

#[test]
fn having_looks_at_sizes_and_fetches_what_is_missing() {
    let server = serve(|_, _, stream| respond(stream, "200 OK", "", &body()));
    let wanted = download(&server.url, &body());
    let at = fixture();
    let have = || {
        at.store
            .have_all(std::slice::from_ref(&wanted), &at.stage)
            .unwrap()
    };
    let path = have().remove(0);
    assert_eq!(std::fs::read(&path).unwrap(), body());
    // Content is for the moment of use.
    std::fs::write(&path, vec![0; body().len()]).unwrap();
    have();
    assert_eq!(server.heads.lock().unwrap().len(), 1);
    assert_eq!(at.store.verified(wanted.sha256).unwrap(), None);
    // A size that is wrong is seen.
    have();
    std::fs::write(&path, "short").unwrap();
    have();
    assert_eq!(std::fs::read(&path).unwrap(), body());
    assert_eq!(server.heads.lock().unwrap().len(), 3);
}

#[test]
fn what_was_begun_is_resumed() {
    let server = serve(|_, head, stream| {
        assert!(head.to_lowercase().contains("range: bytes=1000-"), "{head}");
        let range = format!("Content-Range: bytes 1000-299999/{}\r\n", body().len());
        respond(stream, "206 Partial Content", &range, &body()[1000..]);
    });
    let wanted = download(&server.url, &body());
    let at = fixture();
    let part = part_of(&at.store.path_of(wanted.sha256));
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    std::fs::write(&part, &body()[..1000]).unwrap();
    assert_eq!(std::fs::read(at.fetch(&wanted).unwrap()).unwrap(), body());
}

#[test]
fn a_broken_connection_is_resumed_where_it_broke() {
    let server = serve(|number, _, stream| match number {
        1 => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
            let _ = stream.write_all(&body()[..100_000]);
        }
        _ => respond(
            stream,
            "206 Partial Content",
            "Content-Range: bytes 100000-299999/300000\r\n",
            &body()[100_000..],
        ),
    });
    let wanted = download(&server.url, &body());
    assert_eq!(std::fs::read(fixture().fetch(&wanted).unwrap()).unwrap(), body());
    assert!(
        server.heads.lock().unwrap()[1]
            .to_lowercase()
            .contains("range: bytes=100000-")
    );
}

#[test]
fn a_server_that_cannot_resume_starts_over() {
    let server = serve(|_, _, stream| respond(stream, "200 OK", "", &body()));
    let wanted = download(&server.url, &body());
    let at = fixture();
    let part = part_of(&at.store.path_of(wanted.sha256));
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    std::fs::write(&part, b"something else").unwrap();
    assert_eq!(std::fs::read(at.fetch(&wanted).unwrap()).unwrap(), body());
}

/// Puts the first bytes of [`body`] in place, as a run that was killed leaves them.
fn begun(at: &Fixture, wanted: &Download, len: usize) -> PathBuf {
    let part = part_of(&at.store.path_of(wanted.sha256));
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    std::fs::write(&part, &body()[..len]).unwrap();
    part
}

#[test]
fn an_answer_with_another_range_is_not_put_behind_what_is_there() {
    for range in [
        "Content-Range: bytes 1001-299999/300000\r\n",
        "Content-Range: bytes 0-299999/300000\r\n",
        "Content-Range: bytes 10000-299999/300000\r\n",
        "",
    ] {
        let server = serve(move |number, _, stream| match number {
            1 => respond(stream, "206 Partial Content", range, &body()[1000..]),
            _ => respond(stream, "200 OK", "", &body()),
        });
        let wanted = download(&server.url, &body());
        let at = fixture();
        begun(&at, &wanted, 1000);
        assert_eq!(std::fs::read(at.fetch(&wanted).unwrap()).unwrap(), body());
        let heads = server.heads.lock().unwrap();
        assert_eq!(heads.len(), 2, "{range:?} was believed");
        let again = heads[1].to_lowercase();
        assert!(!again.contains("range:"), "begun again from the start: {again}");
        assert!(!again.contains("no-cache"), "no content was wrong: {again}");
    }
}

#[test]
fn a_server_that_never_resumes_is_named() {
    for status in ["206 Partial Content", "416 Range Not Satisfiable"] {
        // Every answer from the start breaks off, so that every other try wants to resume.
        let server = serve(move |_, head, stream| {
            if head.to_lowercase().contains("range: bytes=") {
                respond(stream, status, "Content-Range: bytes 7-8/9\r\n", b"xx");
            } else {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
                let _ = stream.write_all(&body()[..1000]);
            }
        });
        let error = fixture()
            .fetch(&download(&server.url, &body()))
            .unwrap_err()
            .to_string();
        let said = format!(
            "cannot download thing 1.0: the server cannot resume (it answered {})\n",
            &status[..3]
        );
        assert!(
            error.starts_with(&said) && error.ends_with("tried 4 times"),
            "{error}"
        );
    }
}

#[test]
fn a_part_that_nobody_asked_for_is_no_file() {
    for status in ["206 Partial Content", "416 Range Not Satisfiable"] {
        let server = serve(move |_, _, stream| {
            respond(
                stream,
                status,
                "Content-Range: bytes 0-299999/300000\r\n",
                &body(),
            );
        });
        let error = fixture()
            .fetch(&download(&server.url, &body()))
            .unwrap_err()
            .to_string();
        let said = format!(
            "cannot download thing 1.0: the server answered {}\n",
            &status[..3]
        );
        assert!(
            error.starts_with(&said) && error.ends_with("tried once"),
            "{error}"
        );
    }
}

#[test]
fn a_wrong_hash_is_retried_past_caches_and_then_said() {
    let server = serve(|_, _, stream| respond(stream, "200 OK", "", &vec![7; 300_000]));
    let wanted = download(&server.url, &body());
    let at = fixture();
    let error = at.fetch(&wanted).unwrap_err().to_string();
    let got = Sha256::of(vec![7; 300_000]);
    assert!(error.contains(&format!(
        "thing 1.0 has the wrong content: expected sha256 {}, got {got}",
        wanted.sha256
    )));
    assert!(
        error.contains(&format!("from {}, tried 4 times", server.url)),
        "{error}"
    );
    let heads = server.heads.lock().unwrap();
    assert!(!heads[0].to_lowercase().contains("no-cache") && heads[1].to_lowercase().contains("no-cache"));
    assert!(!at.store.path_of(wanted.sha256).exists());
}

#[test]
fn one_wrong_answer_is_forgiven() {
    let server = serve(|number, _, stream| {
        let bytes = if number == 1 { vec![7; 300_000] } else { body() };
        respond(stream, "200 OK", "", &bytes);
    });
    let wanted = download(&server.url, &body());
    assert_eq!(std::fs::read(fixture().fetch(&wanted).unwrap()).unwrap(), body());
}

#[test]
fn more_bytes_than_announced_are_not_stored() {
    let server = serve(|_, _, stream| respond(stream, "200 OK", "", &vec![0; 400_000]));
    let error = fixture()
        .fetch(&download(&server.url, &body()))
        .unwrap_err()
        .to_string();
    assert!(error.contains("expected 300000 bytes, got more"), "{error}");
}

#[test]
fn a_missing_file_is_not_asked_for_again() {
    let server = serve(|_, _, stream| respond(stream, "404 Not Found", "", b"no"));
    let error = fixture()
        .fetch(&download(&server.url, &body()))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot download thing 1.0: the server answered 404\n")
            && error.ends_with(", tried once"),
        "{error}"
    );
    assert_eq!(server.heads.lock().unwrap().len(), 1);
}

#[test]
fn a_server_in_trouble_is_asked_again() {
    let server = serve(|number, _, stream| match number {
        1 => respond(stream, "503 Service Unavailable", "", b""),
        _ => respond(stream, "200 OK", "", &body()),
    });
    fixture().fetch(&download(&server.url, &body())).unwrap();
    assert_eq!(server.heads.lock().unwrap().len(), 2);
}

#[test]
fn an_unreachable_server_is_named_with_the_tries() {
    // Bound and closed again: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}/thing.deb");
    let error = fixture().fetch(&download(&url, &body())).unwrap_err();
    assert!(matches!(
        error.downcast_ref(),
        Some(FetchError::Unreachable { tries: 4, .. })
    ));
    let text = error.to_string();
    assert!(
        text.starts_with("cannot download thing 1.0: ") && text.contains("refused"),
        "{text}"
    );
    assert!(text.ends_with(&format!("from {url}, tried 4 times")), "{text}");
}

#[test]
fn offline_opens_no_socket_and_names_what_is_missing() {
    let server = serve(|_, _, stream| respond(stream, "200 OK", "", &body()));
    let wanted = download(&server.url, &body());
    let mut at = fixture();
    at.store = at.store.offline(true);
    let error = at.fetch(&wanted).unwrap_err().to_string();
    assert!(
        error.starts_with("offline, and 1 of the files needed is not in the store: thing 1.0\n"),
        "{error}"
    );
    assert!(server.heads.lock().unwrap().is_empty());
}

#[test]
fn files_of_this_machine_are_copied() {
    let at = fixture();
    let source = at.store.dir().join("a b.deb");
    std::fs::write(&source, body()).unwrap();
    let url = format!("file://{}", source.display()).replace(' ', "%20");
    let path = at.fetch(&download(&url, &body())).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    std::fs::remove_file(&source).unwrap();
    let mut other = download(&url, b"other");
    other.name = "other".into();
    let error = format!("{:#}", at.fetch(&other).unwrap_err());
    assert!(
        error.starts_with("cannot read file://") && error.contains("No such file"),
        "{error}"
    );
}

#[test]
fn more_than_the_disk_holds_is_refused_before_a_socket_is_opened() {
    let server = serve(|_, _, stream| respond(stream, "200 OK", "", &body()));
    let mut wanted = download(&server.url, &body());
    wanted.size = 1 << 60;
    let error = fixture().fetch(&wanted).unwrap_err();
    assert!(error.is::<crate::NoSpace>(), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("disk full: downloading 1 file needs 1152921.50 TB"),
        "{error}"
    );
    assert!(server.heads.lock().unwrap().is_empty());
}
