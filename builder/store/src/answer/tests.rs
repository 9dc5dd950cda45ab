use std::io::Write as _;

use super::*;
use crate::testserver::{respond, serve};
use crate::{Download, FetchError, Store};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store.direct())
}

fn learn(store: &Store, url: &str) -> anyhow::Result<crate::Learned> {
    let stage = clic_host::Progress::silent().stage("add", "Add", "");
    store.learn(url, "it", &|_| Ok(1000), &stage)
}

#[test]
fn names_of_addresses_are_decoded_as_browsers_do() {
    for (url, name) in [
        (
            "https://example.org/Le%20Petit%20Prince.pdf",
            Some("Le Petit Prince.pdf"),
        ),
        ("https://example.org/%C3%A9t%C3%A9.pdf?x=a/b#c/d", Some("été.pdf")),
        ("https://example.org/a/b%2Fc%5Cd.pdf", Some("d.pdf")),
        ("https://example.org/..%2F..%2Fetc%2Fpasswd", Some("passwd")),
        ("https://example.org/%2E%2E", None),
        ("https://example.org/%2Ehidden", Some("hidden")),
        ("https://example.org/a%0Ab%1B.pdf", Some("ab.pdf")),
        // Latin-1: no text, so it stays as it is.
        ("https://example.org/caf%E9.pdf", Some("caf%E9.pdf")),
        ("https://example.org/100%25.pdf", Some("100%.pdf")),
        ("https://example.org/", None),
        ("https://example.org", None),
    ] {
        assert_eq!(name_of(url).as_deref(), name, "{url}");
    }
}

#[test]
fn names_in_content_disposition_are_read() {
    for (header, name) in [
        (
            "attachment; filename=\"Le Petit Prince.pdf\"",
            Some("Le Petit Prince.pdf"),
        ),
        (
            "attachment; filename=\"a.pdf\"; filename*=UTF-8''%C3%A9t%C3%A9.pdf",
            Some("été.pdf"),
        ),
        ("attachment; FileName*=iso-8859-1'fr'%E9t%E9.pdf", Some("été.pdf")),
        (
            "attachment; filename=\"a \\\"b\\\"; c.pdf\"",
            Some("a \"b\"; c.pdf"),
        ),
        ("attachment; filename=a%20b.pdf", Some("a b.pdf")),
        ("attachment; filename=\"../../etc/passwd\"", Some("passwd")),
        (
            "attachment; filename=\"C:\\\\Users\\\\me\\\\a.pdf\"",
            Some("a.pdf"),
        ),
        ("attachment; filename=\"..\"", None),
        ("inline", None),
    ] {
        assert_eq!(in_disposition(header).as_deref(), name, "{header}");
    }
}

#[test]
fn a_server_says_what_a_file_is_called() {
    let (_dir, store) = store();
    let server = serve(|_, head, stream| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        match path {
            "/pool/thing.deb" => respond(
                stream,
                "302 Found",
                "Location: /mirror/Le%20vrai%20nom.pdf\r\n",
                b"",
            ),
            "/named?id=3" => respond(
                stream,
                "200 OK",
                "Content-Disposition: attachment; filename*=UTF-8''l%27%C3%A9t%C3%A9.pdf\r\n",
                b"x",
            ),
            _ => respond(stream, "200 OK", "", b"x"),
        }
    });
    let offered = |url: &str| learn(&store, url).unwrap().offered;
    assert_eq!(offered(&server.url).as_deref(), Some("Le vrai nom.pdf"));
    let named = server.url.replace("/pool/thing.deb", "/named?id=3");
    assert_eq!(offered(&named).as_deref(), Some("l'été.pdf"));
}

#[test]
fn what_a_server_compresses_unasked_is_not_kept() {
    let (_dir, store) = store();
    let server = serve(|_, _, stream| respond(stream, "200 OK", "Content-Encoding: gzip\r\n", b"\x1f\x8b"));
    let said = learn(&store, &server.url).unwrap_err().to_string();
    assert!(said.contains("sends it with Content-Encoding: gzip"), "{said}");
    let head = server.heads.lock().unwrap()[0].to_ascii_lowercase();
    assert!(head.contains("accept-encoding: identity\r\n"), "{head}");

    // Where the hash is known, it decides: servers say this of files that are gzip themselves.
    let stage = clic_host::Progress::silent().stage("get", "Get", "");
    let download = |of: &[u8]| Download {
        url: server.url.clone(),
        sha256: clic_host::Sha256::of(of),
        size: 2,
        name: "it".to_owned(),
    };
    store.fetch(&download(b"\x1f\x8b"), &stage).unwrap();
    let said = store.fetch(&download(b"PK"), &stage).unwrap_err().to_string();
    assert!(
        said.contains("the server sent it with Content-Encoding: gzip, unasked"),
        "{said}"
    );
}

#[test]
fn codings_that_are_none_are_passed_over() {
    let (_dir, store) = store();
    let server = serve(|_, _, stream| respond(stream, "200 OK", "Content-Encoding: UTF-8\r\n", b"text"));
    assert_eq!(learn(&store, &server.url).unwrap().download.size, 4);
}

#[test]
fn more_than_was_agreed_to_is_not_taken() {
    let (_dir, store) = store();
    let server = serve(|number, _, stream| {
        if number == 1 {
            return respond(stream, "200 OK", "", &[b'x'; 1001]);
        }
        // Without an end, and without a word about how much it is.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while stream.write_all(b"4\r\nmore\r\n").is_ok() {}
    });
    for _ in 0..2 {
        let error = learn(&store, &server.url).unwrap_err();
        assert!(
            matches!(
                error.downcast_ref(),
                Some(FetchError::TooLarge { most: 1000, .. })
            ),
            "{error}"
        );
        assert!(
            error.to_string().starts_with("it is larger than 1.0 kB"),
            "{error}"
        );
    }
    let stage = clic_host::Progress::silent().stage("add", "Add", "");
    let seen = std::cell::Cell::new(None);
    let server = serve(|_, _, stream| respond(stream, "200 OK", "", b"seven b"));
    let refuse = |length| {
        seen.set(length);
        anyhow::bail!("no, thank you")
    };
    let said = store.learn(&server.url, "it", &refuse, &stage).unwrap_err();
    assert_eq!(
        (said.to_string().as_str(), seen.get()),
        ("no, thank you", Some(7))
    );
}

#[test]
fn redirects_end_and_lead_to_no_file_of_this_machine() {
    let (dir, store) = store();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let server = serve(|_, head, stream| {
        let to = if head.starts_with("GET /pool") {
            "/pool/thing.deb"
        } else {
            "file:///etc/passwd"
        };
        respond(stream, "302 Found", &format!("Location: {to}\r\n"), b"");
    });
    let said = learn(&store, &server.url).unwrap_err().to_string();
    assert!(said.contains("too many redirects"), "{said}");
    let file = server.url.replace("/pool/thing.deb", "/file");
    let said = learn(&store, &file).unwrap_err().to_string();
    assert!(said.starts_with("cannot download it: "), "{said}");
}

#[test]
fn a_part_that_nobody_asked_for_is_no_file() {
    let (_dir, store) = store();
    let extra = "Content-Range: bytes 0-0/2\r\n";
    let server = serve(move |_, _, stream| respond(stream, "206 Partial Content", extra, b"x"));
    let said = learn(&store, &server.url).unwrap_err().to_string();
    assert!(said.contains("the server answered 206"), "{said}");
}

#[test]
fn a_trickle_is_given_up_and_a_slow_line_is_not() {
    let begun = Instant::now();
    let at = |seconds| begun + Duration::from_secs(seconds);
    // One byte each 5 s, as a server that only keeps us.
    let mut pace = Pace::begun(begun);
    let given_up = (1..100).find(|number| !pace.goes_on(at(number * 5), 1));
    assert_eq!(given_up, Some(12));
    // 1 kB/s, with a pause of 44 s in between.
    let mut pace = Pace::begun(begun);
    for second in (1..200).filter(|second| !(61..105).contains(second)) {
        assert!(pace.goes_on(at(second), 1000), "{second}");
    }
}

#[test]
fn encryption_is_not_left_on_the_way() {
    let history =
        |all: &[&str]| -> Vec<ureq::http::Uri> { all.iter().map(|uri| uri.parse().unwrap()).collect() };
    let (secure, open) = ("https://a.example/x", "http://b.example/x");
    assert_eq!(
        left_encryption(&history(&[secure, open, secure])),
        Some(open.to_owned())
    );
    for fine in [&[secure, secure][..], &[open, secure], &[open, open], &[secure]] {
        assert_eq!(left_encryption(&history(fine)), None, "{fine:?}");
    }
}

#[test]
fn addresses_are_taken_as_people_type_them() {
    for (typed, asked) in [
        ("HTTPS://example.org/A", "https://example.org/A"),
        (
            "https://example.org/Le Petit été.pdf?a=b c",
            "https://example.org/Le%20Petit%20%C3%A9t%C3%A9.pdf?a=b%20c",
        ),
        ("https://example.org/a%20b#c", "https://example.org/a%20b#c"),
        ("http://example.org", "http://example.org"),
    ] {
        assert_eq!(encoded(typed), asked);
    }
}

/// Whatever a server says: the name of a file is a name, and an address stays one.
#[test]
fn spoiled_answers_do_not_panic() {
    use clic_host::spoil::{spoiled, try_reader};
    let good = [
        "attachment; filename=\"a \\\"b\\\".pdf\"; filename*=UTF-8''%C3%A9t%C3%A9.pdf",
        "inline; filename*=iso-8859-1'fr'%E9t%E9.pdf; filename=x",
        "https://example.org/a%20b/%C3%A9t%C3%A9.pdf?x=a/b#c",
    ];
    let words = [
        "%2F",
        "..%2f",
        "filename*=",
        "''",
        "\"",
        ";",
        "%",
        "\\",
        "é",
        "\u{1b}",
        "\0",
        "://",
    ];
    try_reader("answers of servers", 3000, |random| {
        let bytes = spoiled(random.of_these(&good).as_bytes(), &words, random);
        let text = String::from_utf8_lossy(&bytes);
        for name in [in_disposition(&text), name_of(&text)].into_iter().flatten() {
            assert!(!name.starts_with('.') && !name.contains(['/', '\\']), "{name:?}");
            assert!(!name.chars().any(char::is_control), "{name:?}");
        }
        encoded(&text);
        crate::without_login(&text);
    });
}
