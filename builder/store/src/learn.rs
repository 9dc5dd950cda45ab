//! Files that nobody has hashed yet: fetched once, to be known by their hash from then on.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Result;
use clic_host::{Stage, Unit, UserError, cancel, sha256};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::answer::{self, Paced};
use crate::carrier::Refusal;
use crate::request::{Download, FetchError, without_login};
use crate::space::io_error;
use crate::transfer::{local_path, why};
use crate::{Store, space};

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
    /// people call it. `agree` is asked before anything of it comes, with the bytes that the server says it has; it returns
    /// how many may come. To be used where a person looks at what came: nothing vouches for it.
    ///
    /// Errors: [`FetchError`], an address that is none, whatever `agree` says.
    pub fn learn(
        &self,
        url: &str,
        name: &str,
        agree: &dyn Fn(Option<u64>) -> Result<u64>,
        stage: &Stage,
    ) -> Result<Learned> {
        let scratch = self.scratch("learn")?;
        let to = scratch.path().join("file");
        // A carrier brings all of it before it says how large it is.
        let carried = self.net.carrier_of(url).map(|_| agree(None)).transpose()?;
        let Found {
            mut source,
            length,
            offered,
        } = self.source(url, name, carried.unwrap_or(u64::MAX), stage)?;
        let most = match carried {
            Some(most) => most,
            None => agree(length)?,
        };
        space::ensure(self.dir(), length.unwrap_or(0), &format!("downloading {name}"))?;
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
            size += n as u64;
            if size > most {
                return Err(FetchError::TooLarge {
                    name: name.to_owned(),
                    url: url.to_owned(),
                    most,
                }
                .into());
            }
            hash.update(&buffer[..n]);
            file.write_all(&buffer[..n])
                .map_err(|error| io_error(error, &to))?;
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
        Ok(Learned {
            download: found,
            offered,
        })
    }

    /// What is at `url` now, in memory: at most `most` bytes. For a small thing that a person looks at; nothing vouches for it.
    ///
    /// Errors: [`FetchError`], an address that is none, and more than `most` bytes.
    pub fn read(&self, url: &str, name: &str, most: u64, stage: &Stage) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.source(url, name, most, stage)?
            .source
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
    fn source(&self, url: &str, name: &str, most: u64, stage: &Stage) -> Result<Found> {
        if let Some(path) = local_path(url) {
            let file = File::open(&path).map_err(|error| io_error(error, &path))?;
            let length = file.metadata().ok().map(|meta| meta.len());
            if let Some(length) = length {
                stage.total(Unit::Bytes, length);
            }
            return Ok(Found {
                source: Box::new(file),
                length,
                offered: None,
            });
        }
        if let Some(carrier) = self.net.carrier_of(url) {
            self.online(url)?;
            return match self.brought(carrier, url, most, |bytes| stage.set(bytes))? {
                Ok(file) => Ok(Found {
                    length: file.metadata().ok().map(|meta| meta.len()),
                    source: Box::new(file),
                    offered: None,
                }),
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
        if let Some(open) = answer::downgraded(&response) {
            let url = without_login(url);
            return Err(UserError::new(format!(
                "{url} leads to {open}, without encryption: anybody on the way could send another file"
            ))
            .help("use an address that stays https:; or download the file yourself, look at it, and use it from there")
            .into());
        }
        if let Some(coding) = answer::coding(&response) {
            let url = without_login(url);
            return Err(UserError::new(format!(
                "{url}: the server sends {name} with Content-Encoding: {coding}, though it was asked for the file as it is"
            ))
            .help("its bytes would not be those of the file: download it with a browser, and use it from there")
            .into());
        }
        let offered = answer::offered_name(&response, url);
        let body = response.into_body();
        let length = body.content_length();
        if let Some(length) = length {
            stage.total(Unit::Bytes, length);
        }
        Ok(Found {
            source: Box::new(Paced::new(body.into_reader())),
            length,
            offered,
        })
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

/// A file that nobody had hashed.
#[derive(Clone, Debug)]
pub struct Learned {
    /// What it is now.
    pub download: Download,
    /// What its server calls it, if that can be a name.
    pub offered: Option<String>,
}

/// What is at an address.
struct Found {
    source: Box<dyn Read>,
    /// Bytes, as the server says.
    length: Option<u64>,
    offered: Option<String>,
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
        let found = store
            .learn(&server.url, "greeting", &|_| Ok(1000), &stage)
            .unwrap()
            .download;
        assert_eq!((found.size, found.url.as_str()), (7, server.url.as_str()));
        assert_eq!(std::fs::read(store.path_of(found.sha256)).unwrap(), b"bonjour");
        assert_eq!(
            store.read(&server.url, "greeting", 7, &stage).unwrap(),
            b"bonjour"
        );
        let learn = || {
            let error = store
                .learn(&server.url, "greeting", &|_| Ok(1000), &stage)
                .unwrap_err();
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
        store
            .learn(&file_url(&path), "a", &|_| Ok(300_000), &stage)
            .unwrap();
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
        let found = store
            .learn(&file_url(&path), "greeting", &|_| Ok(7), &stage)
            .unwrap()
            .download;
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
        let said = store
            .learn("ftp://example.org/a", "a", &|_| Ok(7), &stage)
            .unwrap_err();
        assert!(
            said.to_string()
                .contains("is not an http:, https: or file: address"),
            "{said}"
        );
        let offline = store
            .offline(true)
            .learn("https://example.org/a", "a", &|_| Ok(7), &stage);
        let said = offline.unwrap_err().to_string();
        assert!(said.contains("offline"), "{said}");
    }
}
