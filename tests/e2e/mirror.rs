//! A mirror that spoils what it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crate::support::{clic, run};

/// A real mirror seen through a server of ours that spoils the paths it is told to, and counts requests.
pub struct SpoilingMirror {
    pub url: String,
    state: Arc<Mutex<MirrorState>>,
}

#[derive(Default)]
struct MirrorState {
    spoiled: String,
    requests: Vec<String>,
}

impl SpoilingMirror {
    /// From now on, bytes of files whose path contains `part` are wrong. Empty: none.
    pub fn spoil(&self, part: &str) {
        part.clone_into(&mut self.state.lock().unwrap().spoiled);
    }

    /// How often a path that contains `part` was asked for.
    pub fn requests(&self, part: &str) -> usize {
        self.state
            .lock()
            .unwrap()
            .requests
            .iter()
            .filter(|path| path.contains(part))
            .count()
    }
}

/// Starts it in front of the mirror that this host builds from.
pub fn spoiling_mirror() -> SpoilingMirror {
    let doctor = run(&mut clic(["--json", "doctor"])).json();
    let upstream = doctor["mirror"]["main"]
        .as_str()
        .expect("doctor names the mirror")
        .trim_end_matches('/')
        .to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/debian", listener.local_addr().unwrap());
    let state = Arc::<Mutex<MirrorState>>::default();
    let shared = state.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (state, upstream) = (shared.clone(), upstream.clone());
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut reader = BufReader::new(stream.try_clone()?);
                let mut stream = stream;
                let mut line = String::new();
                while reader.read_line(&mut line)? > 0 {
                    let path = line
                        .split(' ')
                        .nth(1)
                        .unwrap_or("/")
                        .trim_start_matches("/debian")
                        .to_owned();
                    loop {
                        line.clear();
                        if reader.read_line(&mut line)? <= 2 {
                            break;
                        }
                    }
                    let mut body = Vec::new();
                    let status = match ureq::get(format!("{upstream}{path}")).call() {
                        Ok(response) => match response.into_body().into_reader().read_to_end(&mut body) {
                            Ok(_) => 200,
                            Err(_) => 502,
                        },
                        Err(ureq::Error::StatusCode(status)) => status,
                        // A server error is worth another try, and `clic` makes it.
                        Err(_) => 502,
                    };
                    if status != 200 {
                        body.clear();
                    }
                    let mut state = state.lock().unwrap();
                    if !state.spoiled.is_empty() && path.contains(&state.spoiled) {
                        for byte in &mut body {
                            *byte ^= 1;
                        }
                    }
                    state.requests.push(path);
                    drop(state);
                    write!(
                        stream,
                        "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n\r\n",
                        body.len()
                    )?;
                    stream.write_all(&body)?;
                    line.clear();
                }
                Ok(())
            });
        }
    });
    SpoilingMirror { url, state }
}
