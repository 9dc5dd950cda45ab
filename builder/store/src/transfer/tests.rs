use clic_host::progress::{Event, Sink};
use std::sync::{Arc, Mutex};

use super::*;
use crate::testserver::{respond, serve};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

#[test]
fn we_say_who_we_are() {
    let server = serve(|_, _, stream| respond(stream, "404 Not Found", "", b""));
    let (_dir, store) = store();
    let store = store.direct();
    let answer = store.get(&server.url).unwrap().unwrap();
    assert_eq!(answer.status(), 404, "an answer, not an error");
    let head = server.heads.lock().unwrap()[0].to_lowercase();
    assert!(head.contains("user-agent: clic/"), "{head}");
    let error = store.offline(true).get(&server.url).unwrap_err().to_string();
    assert!(error.starts_with("offline, and 1 of the files needed"), "{error}");
    assert_eq!(server.heads.lock().unwrap().len(), 1);
}

/// Where a stage stood, each time that it moved, and its total.
#[derive(Default)]
struct Places {
    done: Mutex<Vec<u64>>,
    total: Mutex<Vec<u64>>,
}

impl Sink for Places {
    fn event(&self, event: &Event) {
        match event {
            Event::Advance { done, .. } => self.done.lock().unwrap().push(*done),
            Event::Total { total, .. } => self.total.lock().unwrap().push(*total),
            _ => {}
        }
    }
}

#[test]
fn a_stage_counts_what_is_there_and_takes_back_what_is_discarded() {
    const SIZE: u64 = 1_000_000;
    let whole = vec![7; SIZE as usize];
    let sent = whole.clone();
    let server = serve(move |number, _, stream| {
        let bytes = if number == 1 {
            vec![8; SIZE as usize]
        } else {
            sent.clone()
        };
        respond(stream, "200 OK", "", &bytes);
    });
    let (dir, store) = store();
    let store = store.direct().backoff(Duration::ZERO);
    let download = |url: &str, content: &[u8]| Download {
        url: url.to_owned(),
        sha256: clic_host::Sha256::of(content),
        size: content.len() as u64,
        name: "thing".into(),
    };
    let small = dir.path().join("small");
    std::fs::write(&small, "0123456789").unwrap();
    let small = download(&format!("file:{}", small.display()), b"0123456789");
    let wanted = [small.clone(), download(&server.url, &whole)];
    let stage = |places: &Arc<Places>| clic_host::Progress::new(places.clone()).stage("download", "", "");
    store.fetch(&small, &stage(&Arc::default())).unwrap();

    let places = Arc::new(Places::default());
    store.fetch_all(&wanted, &stage(&places)).unwrap();
    assert_eq!(*places.total.lock().unwrap(), [SIZE + 10]);
    let done = places.done.lock().unwrap();
    assert_eq!((done.first(), done.last()), (Some(&10), Some(&(SIZE + 10))));
    let full = done.iter().position(|done| *done == SIZE + 10).unwrap();
    let back = done.iter().rposition(|done| *done == 10).unwrap();
    assert!(full < back, "{done:?}");
    assert!(
        done.iter().all(|done| (10..=SIZE + 10).contains(done)),
        "{done:?}"
    );

    for path in [Store::fetch_all, Store::have_all] {
        let places = Arc::new(Places::default());
        path(&store, &wanted, &stage(&places)).unwrap();
        assert_eq!(places.done.lock().unwrap().last(), Some(&(SIZE + 10)));
    }
}

#[test]
fn addresses_of_files() {
    let path = |url: &str| local_path(url).map(|path| path.to_string_lossy().into_owned());
    for (url, found) in [
        ("file:/a/b", Some("/a/b")),
        ("file:///a/b", Some("/a/b")),
        ("file:/a%20b%2fc%25", Some("/a b/c%")),
        // What is not an escape stays as it is.
        ("file:/100%", Some("/100%")),
        ("file:/1%2", Some("/1%2")),
        ("file:/%zz%\u{e9}", Some("/%zz%\u{e9}")),
        ("file:a", None),
        ("file://host/a", None),
        ("http://host/a", None),
        ("/a", None),
    ] {
        assert_eq!(path(url).as_deref(), found, "{url}");
    }
}

#[test]
fn failures_are_told_in_words() {
    assert_eq!(
        why(&ureq::Error::HostNotFound),
        "the server's name is not known (is there a network?)"
    );
    assert_eq!(
        why(&ureq::Error::Timeout(ureq::Timeout::Connect)),
        "no answer for 30 seconds"
    );
    assert_eq!(
        why(&ureq::Error::Io(io::Error::other("the cable is cut"))),
        "the cable is cut"
    );
    assert!(!why(&ureq::Error::ConnectionFailed).is_empty());
}
