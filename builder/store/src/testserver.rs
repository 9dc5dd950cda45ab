//! A small HTTP server for tests, which sees what was asked and answers as the test says.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a test's server does with a request: gets the request's head and writes the answer.
type Answer = dyn Fn(usize, &str, &mut TcpStream) + Send + Sync;

/// An HTTP server on this machine for as long as the test runs.
pub(crate) struct Server {
    /// Of a file on it.
    pub url: String,
    /// The heads of all requests so far, in their order.
    pub heads: Arc<Mutex<Vec<String>>>,
}

/// Starts one, on a port of its own.
pub(crate) fn serve(answer: impl Fn(usize, &str, &mut TcpStream) + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/pool/thing.deb", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let answer: Arc<Answer> = Arc::new(answer);
    // Ends with the test process; a test makes a handful of requests.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (seen, answer) = (seen.clone(), answer.clone());
            std::thread::spawn(move || {
                let mut stream = stream;
                let mut head = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while reader.read_line(&mut head).unwrap_or(0) > 0 && !head.ends_with("\r\n\r\n") {}
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(head.clone());
                    seen.len()
                };
                answer(number, &head, &mut stream);
            });
        }
    });
    Server { url, heads }
}

/// A whole answer; `extra` are further lines of its head, each with its end.
pub(crate) fn respond(stream: &mut TcpStream, status: &str, extra: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{extra}\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
}
