//! What repositories of tests have in common: a key that is made for one test, and a server.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::tool;

/// A key to sign with, in a home of its own.
pub struct Signer {
    home: PathBuf,
    pub fingerprint: String,
}

impl Signer {
    /// A new key.
    pub fn new(dir: &Path, name: &str) -> Self {
        let signer = Self::empty(dir, name);
        let id = format!("{name} <{name}@example.org>");
        signer.gpg(&["--passphrase", "", "--quick-gen-key", &id, "ed25519", "sign", "0"]);
        signer.complete()
    }

    /// The key that `file` has of an earlier run, or a new one, which it has then.
    pub fn kept(dir: &Path, name: &str, file: &Path) -> Self {
        if file.exists() {
            let signer = Self::empty(dir, name);
            signer.gpg(&["--import", file.to_str().unwrap()]);
            return signer.complete();
        }
        let signer = Self::new(dir, name);
        let secret = signer.gpg(&["--armor", "--export-secret-keys"]);
        // Whole, or not there.
        let part = file.with_extension("part");
        fs::write(&part, secret).unwrap();
        fs::rename(part, file).unwrap();
        signer
    }

    fn empty(dir: &Path, name: &str) -> Self {
        let home = dir.join(format!("gpg-{name}"));
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        Self {
            home,
            fingerprint: String::new(),
        }
    }

    fn complete(mut self) -> Self {
        let listed = self.gpg(&["--with-colons", "--list-keys"]);
        let line = listed.lines().find(|line| line.starts_with("fpr:"));
        let fingerprint = line.and_then(|line| line.split(':').nth(9));
        fingerprint
            .expect("gpg lists the key's fingerprint")
            .clone_into(&mut self.fingerprint);
        self
    }

    /// The public key, as text.
    pub fn public(&self) -> String {
        self.gpg(&["--armor", "--export"])
    }

    /// What gpg says with its key.
    #[track_caller]
    pub fn gpg(&self, words: &[&str]) -> String {
        let home = self
            .home
            .to_str()
            .expect("a temporary directory has a plain name");
        tool(
            "gpg",
            [&["--batch", "--quiet", "--homedir", home], words].concat(),
        )
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(&self.home)
            .args(["--kill", "gpg-agent"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// A directory over HTTP, for as long as the tests run; its address.
pub fn serve(dir: &Path) -> String {
    serve_at(TcpListener::bind("127.0.0.1:0").unwrap(), dir)
}

/// As [`serve`], for those who come to `listener`.
pub fn serve_at(listener: TcpListener, dir: &Path) -> String {
    let url = format!("http://{}", listener.local_addr().unwrap());
    let dir = dir.to_owned();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut head).unwrap_or(0) > 0 && !head.ends_with("\r\n\r\n") {}
            let path = head.split(' ').nth(1).unwrap_or("/").trim_start_matches('/');
            let (status, body) = match fs::read(dir.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            // A client that went away has what it wanted.
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&body));
        }
    });
    url
}
