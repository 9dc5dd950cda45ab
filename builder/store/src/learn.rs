//! Files that nobody has hashed yet: fetched once, to be known by their hash from then on.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Result;
use clic_host::{Stage, Unit, UserError, cancel, sha256};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::Store;
use crate::carrier::Refusal;
use crate::request::{Download, FetchError, without_login};
use crate::space::io_error;
use crate::transfer::{local_path, why};

/// What stays as it is in a `file:` address: the unreserved characters (RFC 3986 section 2.3) and slashes.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The `file:` address of a path, which must be absolute.
pub fn file_url(path: &Path) -> String {
    format!("file:{}", percent_encode(path.as_os_str().as_bytes(), PLAIN))
}

impl Store {
    /// Fetches what is at `url` now, whatever it is, and keeps it under its hash, which is in what is returned. `name`: what
    /// people call it. To be used where a person looks at what came: nothing vouches for it.
    ///
    /// Errors: [`FetchError`], an address that is none.
    pub fn learn(&self, url: &str, name: &str, stage: &Stage) -> Result<Download> {
        let scratch = self.scratch("learn")?;
        let to = scratch.path().join("file");
        let mut source = self.source(url, name, u64::MAX, stage)?;
        let mut file = File::create(&to).map_err(|error| io_error(error, &to))?;
        let mut hash = sha256::Hasher::default();
        let mut size = 0;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            cancel::check()?;
            let n = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreachable(url, name, error.to_string())),
            };
            hash.update(&buffer[..n]);
            file.write_all(&buffer[..n])
                .map_err(|error| io_error(error, &to))?;
            size += n as u64;
            stage.set(size);
        }
        let found = Download {
            url: url.to_owned(),
            sha256: hash.finish(),
            size,
            name: name.to_owned(),
        };
        let here = Download {
            url: file_url(&to),
            ..found.clone()
        };
        self.fetch(&here, stage)?;
        Ok(found)
    }

    /// What is at `url` now, in memory: at most `most` bytes. For a small thing that a person looks at; nothing vouches for it.
    ///
    /// Errors: [`FetchError`], an address that is none, and more than `most` bytes.
    pub fn read(&self, url: &str, name: &str, most: u64, stage: &Stage) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.source(url, name, most, stage)?
            .take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| unreachable(url, name, error.to_string()))?;
        cancel::check()?;
        if bytes.len() as u64 > most {
            return Err(FetchError::Wrong {
                name: name.to_owned(),
                url: url.to_owned(),
                expected: format!("at most {most} bytes"),
                got: "more".to_owned(),
                tries: 1,
            }
            .into());
        }
        Ok(bytes)
    }

    /// What is at `url`, to be read; of more than `most` bytes only so many need to come that it is seen.
    fn source(&self, url: &str, name: &str, most: u64, stage: &Stage) -> Result<Box<dyn Read>> {
        if let Some(path) = local_path(url) {
            let file = File::open(&path).map_err(|error| io_error(error, &path))?;
            if let Ok(meta) = file.metadata() {
                stage.total(Unit::Bytes, meta.len());
            }
            return Ok(Box::new(file));
        }
        if let Some(carrier) = self.net.carrier_of(url) {
            self.online(url)?;
            return match self.brought(carrier, url, most, |bytes| stage.set(bytes))? {
                Ok(file) => Ok(Box::new(file)),
                Err(Refusal::Status(status)) => Err(refused(url, name, status)),
                Err(Refusal::Words(why)) => Err(unreachable(url, name, why)),
            };
        }
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let shown = without_login(url);
            return Err(UserError::new(format!("{shown} is not an http:, https: or file: address")).into());
        }
        let response = self
            .get(url)?
            .map_err(|error| unreachable(url, name, why(&error)))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(refused(url, name, status));
        }
        let body = response.into_body();
        if let Some(length) = body.content_length() {
            stage.total(Unit::Bytes, length);
        }
        Ok(Box::new(body.into_reader()))
    }
}

fn refused(url: &str, name: &str, status: u16) -> anyhow::Error {
    FetchError::Status {
        name: name.to_owned(),
        url: url.to_owned(),
        status,
        tries: 1,
    }
    .into()
}

fn unreachable(url: &str, name: &str, why: String) -> anyhow::Error {
    FetchError::Unreachable {
        name: name.to_owned(),
        url: url.to_owned(),
        why,
        tries: 1,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_has_an_address() {
        for path in ["/srv/plain.txt", "/srv/50 % d'été\n#?", "/"] {
            let url = file_url(Path::new(path));
            assert_eq!(local_path(&url).as_deref(), Some(Path::new(path)), "{url}");
        }
        assert_eq!(file_url(Path::new("/a b")), "file:/a%20b");
        // What is not a number in two digits is itself.
        assert_eq!(local_path("file:/a%+1%2").as_deref(), Some(Path::new("/a%+1%2")));
    }

    #[test]
    fn what_a_server_has_is_learned_or_said() {
        use crate::testserver::{respond, serve};
        let store = tempfile::tempdir().unwrap();
        let store = Store::open(store.path()).unwrap().direct();
        let stage = clic_host::Progress::silent().stage("add", "Add", "");
        let server = serve(|number, _, stream| match number {
            1 | 2 => respond(stream, "200 OK", "", b"bonjour"),
            3 | 4 => respond(stream, "404 Not Found", "", b"bonjour"),
            5 | 6 => respond(stream, "204 No Content", "", b""),
            _ => drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nbon")),
        });
        let found = store.learn(&server.url, "greeting", &stage).unwrap();
        assert_eq!((found.size, found.url.as_str()), (7, server.url.as_str()));
        assert_eq!(std::fs::read(store.path_of(found.sha256)).unwrap(), b"bonjour");
        assert_eq!(
            store.read(&server.url, "greeting", 7, &stage).unwrap(),
            b"bonjour"
        );
        let learn = || {
            let error = store.learn(&server.url, "greeting", &stage).unwrap_err();
            error.to_string()
        };
        let read = || {
            let error = store.read(&server.url, "greeting", 7, &stage).unwrap_err();
            error.to_string()
        };
        for status in [404, 204] {
            for said in [learn(), read()] {
                let wanted = format!(
                    "cannot download greeting: the server answered {status}\n  from {}, tried once",
                    server.url
                );
                assert_eq!(said, wanted);
            }
        }
        for said in [learn(), read()] {
            assert!(said.starts_with("cannot download greeting: "), "{said}");
            assert!(said.ends_with("tried once"), "{said}");
        }
        let left = std::fs::read_dir(store.dir().join("tmp")).unwrap().count();
        assert_eq!(left, 0);
    }

    #[test]
    fn learning_says_how_far_it_is() {
        use clic_host::progress::{Event, Sink};
        #[derive(Default)]
        struct Seen(std::sync::Mutex<Vec<(bool, u64)>>);
        impl Sink for Seen {
            fn event(&self, event: &Event) {
                match event {
                    Event::Total { total, .. } => self.0.lock().unwrap().push((true, *total)),
                    Event::Advance { done, .. } => self.0.lock().unwrap().push((false, *done)),
                    _ => {}
                }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, vec![1; 300_000]).unwrap();
        let seen = std::sync::Arc::new(Seen::default());
        let stage = clic_host::Progress::new(seen.clone()).stage("add", "Add", "");
        store.learn(&file_url(&path), "a", &stage).unwrap();
        let seen = seen.0.lock().unwrap();
        assert_eq!(seen[0], (true, 300_000));
        assert_eq!(seen[1..4], [(false, 131_072), (false, 262_144), (false, 300_000)]);
    }

    #[test]
    fn a_file_is_kept_under_its_hash() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let path = dir.path().join("é 1%");
        std::fs::write(&path, b"bonjour").unwrap();
        let progress = clic_host::Progress::silent();
        let stage = progress.stage("add", "Add", "");
        let found = store.learn(&file_url(&path), "greeting", &stage).unwrap();
        assert_eq!((found.size, found.sha256), (7, clic_host::Sha256::of("bonjour")));
        assert_eq!(std::fs::read(store.path_of(found.sha256)).unwrap(), b"bonjour");
        assert_eq!(
            store.read(&file_url(&path), "greeting", 7, &stage).unwrap(),
            b"bonjour"
        );
        let said = store.read(&file_url(&path), "greeting", 6, &stage).unwrap_err();
        assert!(
            said.to_string().starts_with(
                "greeting has the wrong content: expected at most 6 bytes, got more\n  from file:"
            ),
            "{said}"
        );
        let said = store.learn("ftp://example.org/a", "a", &stage).unwrap_err();
        assert!(
            said.to_string()
                .contains("is not an http:, https: or file: address"),
            "{said}"
        );
        let offline = store.offline(true).learn("https://example.org/a", "a", &stage);
        let said = offline.unwrap_err().to_string();
        assert!(said.contains("offline"), "{said}");
    }
}
