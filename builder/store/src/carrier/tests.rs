use std::sync::Arc;
use std::time::Duration;

use clic_host::{Progress, Sha256, Stage};

use super::*;
use crate::Download;
use crate::testserver::{respond, serve};

/// A carrier for everything at `far:`: it runs this shell script, with the address, the place and `fresh` or nothing.
struct Script(&'static str);

impl Carrier for Script {
    fn takes(&self, url: &str) -> bool {
        url.starts_with("far:")
    }

    fn command(&self, url: &str, to: &Path, fresh: bool) -> Result<Cmd> {
        let fresh = if fresh { "fresh" } else { "" };
        let program = Cmd::new("sh").clean_env().args(["-euc", self.0, "sh", url]);
        Ok(program.arg(to).arg(fresh))
    }

    fn why(&self, said: &str) -> Refusal {
        match said.trim().parse() {
            Ok(status) => Refusal::Status(status),
            Err(_) => Refusal::Words(said.trim().to_owned()),
        }
    }
}

struct Fixture {
    store: Store,
    stage: Stage,
    _dir: tempfile::TempDir,
}

fn with(script: &'static str) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap().direct();
    Fixture {
        store: store.carrier(Arc::new(Script(script))).backoff(Duration::ZERO),
        stage: Progress::silent().stage("download", "", ""),
        _dir: dir,
    }
}

const BODY: &[u8] = b"carried far";

fn wanted() -> Download {
    Download {
        url: "far:/thing".into(),
        sha256: Sha256::of(BODY),
        size: BODY.len() as u64,
        name: "thing 1.0".into(),
    }
}

#[test]
fn what_a_carrier_takes_it_brings_and_nothing_else() {
    let at = with("printf 'carried far' > \"$2\"");
    let path = at.store.fetch(&wanted(), &at.stage).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), BODY);
    // How large it is, is not known before.
    let agree = |length: Option<u64>| {
        assert_eq!(length, None);
        Ok(11)
    };
    let learned = at.store.learn("far:/thing", "thing", &agree, &at.stage).unwrap();
    let learned = learned.download;
    assert_eq!((learned.sha256, learned.size), (Sha256::of(BODY), 11));
    assert_eq!(at.store.read("far:/thing", "thing", 11, &at.stage).unwrap(), BODY);

    let server = serve(|_, _, stream| respond(stream, "200 OK", "", b"near"));
    assert_eq!(
        at.store.read(&server.url, "thing", 9, &at.stage).unwrap(),
        b"near"
    );
    let said = at.store.read("near:/thing", "thing", 9, &at.stage).unwrap_err();
    assert_eq!(
        said.to_string(),
        "near:/thing is not an http:, https: or file: address"
    );
}

#[test]
fn a_carrier_goes_on_where_it_was_broken_off() {
    // It brings some bytes each time, and breaks off; at last there is nothing left to bring.
    let at = with(
        "have=$(cat \"$2\" | wc -c); printf 'carried far' | tail -c +$((have + 1)) | head -c 4 >> \"$2\"",
    );
    let path = at.store.fetch(&wanted(), &at.stage).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), BODY);
    let at = with("printf carried > \"$2\"");
    let said = at.store.fetch(&wanted(), &at.stage).unwrap_err().to_string();
    assert_eq!(
        said,
        "cannot download thing 1.0: the connection ended after 7 of 11 bytes\n  from far:/thing, tried 4 times"
    );
}

#[test]
fn wrong_bytes_are_asked_for_past_all_caches() {
    let at =
        with("if [ -n \"$3\" ]; then printf 'carried far' > \"$2\"; else printf 'carried fat' > \"$2\"; fi");
    let path = at.store.fetch(&wanted(), &at.stage).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), BODY);
    let at = with("printf 'carried fat' > \"$2\"");
    let said = at.store.fetch(&wanted(), &at.stage).unwrap_err().to_string();
    assert!(
        said.starts_with(&format!(
            "thing 1.0 has the wrong content: expected sha256 {}",
            Sha256::of(BODY)
        )),
        "{said}"
    );
}

#[test]
fn a_carrier_that_does_not_end_is_stopped_at_the_limit() {
    let at = with("yes > \"$2\"");
    let said = at.store.fetch(&wanted(), &at.stage).unwrap_err().to_string();
    assert!(
        said.starts_with("thing 1.0 has the wrong content: expected 11 bytes, got more\n"),
        "{said}"
    );
    let said = at
        .store
        .read("far:/thing", "thing", 11, &at.stage)
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with("thing has the wrong content: expected at most 11 bytes, got more\n"),
        "{said}"
    );
}

/// As apt does when it goes on.
#[test]
fn another_file_may_take_the_place() {
    let at = with("rm -f \"$2\"; printf 'carried far' > \"$2\"");
    let path = at.store.fetch(&wanted(), &at.stage).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), BODY);
    let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1, "nothing else is left");
    let at = with("true");
    let said = at.store.fetch(&wanted(), &at.stage).unwrap_err().to_string();
    assert!(
        said.starts_with("cannot download thing 1.0: nothing came: No such file"),
        "{said}"
    );
}

#[test]
fn why_a_carrier_brought_nothing_is_said() {
    let at = with("echo 401 >&2; exit 1");
    let said = at.store.fetch(&wanted(), &at.stage).unwrap_err().to_string();
    assert!(
        said.starts_with("cannot download thing 1.0: the server answered 401\n  from far:/thing, tried once"),
        "{said}"
    );
    let said = at
        .store
        .read("far:/thing", "thing", 9, &at.stage)
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with("cannot download thing: the server answered 401\n"),
        "{said}"
    );
    let at = with("echo the bridge is down >&2; exit 1");
    let said = at.store.fetch(&wanted(), &at.stage).unwrap_err().to_string();
    assert_eq!(
        said,
        "cannot download thing 1.0: the bridge is down\n  from far:/thing, tried 4 times"
    );
    let said = at
        .store
        .learn("far:/thing", "thing", &|_| Ok(11), &at.stage)
        .unwrap_err()
        .to_string();
    assert_eq!(
        said,
        "cannot download thing: the bridge is down\n  from far:/thing, tried once"
    );
}

#[test]
fn offline_no_carrier_goes() {
    let at = with("printf 'carried far' > \"$2\"");
    let store = at.store.offline(true);
    for said in [
        store.fetch(&wanted(), &at.stage).unwrap_err(),
        store.read("far:/thing", "thing", 11, &at.stage).unwrap_err(),
    ] {
        assert!(
            said.to_string()
                .starts_with("offline, and 1 of the files needed is not in the store: "),
            "{said}"
        );
    }
}
