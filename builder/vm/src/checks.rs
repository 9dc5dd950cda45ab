//! The checks that an image's overlays declare, asked of the running guest.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;
use clic_recipe::plan::{Check, Probe};

use crate::console::Cause;
use crate::guest::Guest;
use crate::report::Case;

/// Pause between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// How long one connection may take.
const CONNECTION: Duration = Duration::from_secs(10);

/// Bytes that are read of a greeting or an HTTP answer.
const MAX_READ: u64 = 1 << 20;

/// TCP ports of the guest that checks reach for, each once.
pub fn ports(checks: &[Check]) -> Vec<u16> {
    let mut ports: Vec<u16> = checks
        .iter()
        .filter_map(|check| match check.probe {
            Probe::Port { port, .. } | Probe::Http { port, .. } => Some(port),
            Probe::Command { .. } | Probe::Unit { .. } | Probe::File { .. } => None,
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Tries `check` until it passes or its time is up. `Err` only when the work itself cannot go on (a signal); a machine
/// that dies meanwhile is the case's failure.
pub fn run(guest: &mut Guest, check: &Check) -> Result<Case> {
    let begun = Instant::now();
    let limit = Duration::from_secs(check.timeout);
    loop {
        let tried = match once(guest, check, limit.saturating_sub(begun.elapsed())) {
            Ok(tried) => tried,
            Err(error) => {
                let cause = error.downcast::<Cause>()?;
                return Ok(Case::new(
                    &check.name,
                    begun.elapsed(),
                    Err(format!("the machine died: {cause}")),
                ));
            }
        };
        match tried {
            Ok(()) => return Ok(Case::new(&check.name, begun.elapsed(), Ok(()))),
            Err(why) if begun.elapsed() + PAUSE > limit => {
                let why = format!(
                    "{why} (tried for {} s; check of overlay {})",
                    check.timeout, check.from
                );
                return Ok(Case::new(&check.name, begun.elapsed(), Err(why)));
            }
            Err(_) => guest.watch(PAUSE)?,
        }
    }
}

/// One try: the inner error says what was seen instead.
fn once(guest: &mut Guest, check: &Check, left: Duration) -> Result<Result<(), String>> {
    // Even the last try gets time enough to give an answer on a slow machine.
    let seconds = left.as_secs().max(10);
    match &check.probe {
        Probe::Command {
            command,
            exit,
            contains,
        } => {
            let answer = guest.run(command, seconds)?;
            let seen = shown(&[&answer.text(), &answer.error_text()]);
            if answer.status == 124 && *exit != 124 {
                return Ok(Err(format!("`{command}` did not end within {seconds} s{seen}")));
            }
            if answer.status != *exit {
                return Ok(Err(format!(
                    "`{command}` ended with {}, not {exit}{seen}",
                    answer.status
                )));
            }
            Ok(expect(
                &answer.text(),
                contains.as_ref(),
                &format!("the output of `{command}`"),
            ))
        }
        Probe::Unit { unit } => unit_active(guest, unit, seconds),
        Probe::File { path, contains, mode } => file(guest, path, contains.as_ref(), *mode, seconds),
        Probe::Port { port, contains } => port_answers(guest, *port, contains.as_deref()),
        Probe::Http {
            port,
            path,
            host,
            status,
            contains,
        } => {
            let Some(local) = guest.port(*port) else {
                return Ok(Err(no_forward(*port)));
            };
            let answer = match http_get(local, path, host.as_deref()) {
                Ok(answer) => answer,
                Err(why) => return Ok(Err(format!("http port {port}: {why}"))),
            };
            if answer.status != *status {
                return Ok(Err(format!(
                    "{path} on port {port} answered {}, not {status}",
                    answer.status
                )));
            }
            Ok(expect(
                &answer.body,
                contains.as_ref(),
                &format!("the page {path} on port {port}"),
            ))
        }
    }
}

fn expect(text: &str, contains: Option<&String>, what: &str) -> Result<(), String> {
    match contains {
        Some(wanted) if !text.contains(wanted.as_str()) => {
            Err(format!("{what} does not contain {wanted:?}{}", shown(&[text])))
        }
        _ => Ok(()),
    }
}

/// The first lines of what was seen, for messages.
fn shown(texts: &[&str]) -> String {
    let lines = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| !line.trim().is_empty());
    let lines: Vec<&str> = lines.take(10).collect();
    if lines.is_empty() {
        String::new()
    } else {
        format!(":\n{}", lines.join("\n"))
    }
}

fn unit_active(guest: &mut Guest, unit: &str, seconds: u64) -> Result<Result<(), String>> {
    let quoted = quote(unit);
    let answer = guest.run(&format!("systemctl is-active -- {quoted}"), seconds)?;
    if answer.text() == "active" {
        return Ok(Ok(()));
    }
    let state = answer.text();
    let more = guest.run(
        &format!(
            "systemctl show -p LoadState,Result --value -- {quoted} | paste -sd' '; \
             journalctl -b -n 5 -o cat --no-pager -u {quoted} 2>/dev/null"
        ),
        seconds,
    )?;
    Ok(Err(format!("{unit} is {state}{}", shown(&[&more.text()]))))
}

fn file(
    guest: &mut Guest,
    path: &str,
    contains: Option<&String>,
    mode: Option<u32>,
    seconds: u64,
) -> Result<Result<(), String>> {
    let quoted = quote(path);
    let stat = guest.run(&format!("stat -L -c %a -- {quoted}"), seconds)?;
    if stat.status != 0 {
        return Ok(Err(format!("{path}: {}", stat.error_text())));
    }
    let real = u32::from_str_radix(&stat.text(), 8).ok();
    if let Some(mode) = mode
        && real != Some(mode)
    {
        return Ok(Err(format!("{path} has mode {}, not {mode:04o}", stat.text())));
    }
    if contains.is_none() {
        return Ok(Ok(()));
    }
    let content = guest.run(&format!("cat -- {quoted}"), seconds)?;
    if content.status != 0 {
        return Ok(Err(format!("{path}: {}", content.error_text())));
    }
    Ok(expect(&content.text(), contains, path))
}

/// A word of a POSIX shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn no_forward(port: u16) -> String {
    format!("port {port} could not be reached from the host: QEMU did not forward it")
}

fn connect(local: u16) -> Result<TcpStream, String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, local));
    let stream = TcpStream::connect_timeout(&address, CONNECTION).map_err(|error| error.to_string())?;
    stream
        .set_read_timeout(Some(CONNECTION))
        .map_err(|error| error.to_string())?;
    stream
        .set_write_timeout(Some(CONNECTION))
        .map_err(|error| error.to_string())?;
    Ok(stream)
}

fn port_answers(guest: &mut Guest, port: u16, contains: Option<&str>) -> Result<Result<(), String>> {
    let Some(local) = guest.port(port) else {
        return Ok(Err(no_forward(port)));
    };
    let stream = match connect(local) {
        Ok(stream) => stream,
        Err(why) => return Ok(Err(format!("port {port}: {why}"))),
    };
    let Some(wanted) = contains else {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            if guest.connected(port)? {
                return Ok(Ok(()));
            }
            guest.watch(Duration::from_millis(200))?;
        }
        return Ok(Err(format!("port {port} does not accept connections")));
    };
    Ok(greeting(stream, wanted).map_err(|why| format!("port {port}: {why}")))
}

/// Reads until `wanted` has come.
fn greeting(mut stream: TcpStream, wanted: &str) -> Result<(), String> {
    let begun = Instant::now();
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while begun.elapsed() < CONNECTION && (seen.len() as u64) < MAX_READ {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => seen.extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if seen.is_empty() => return Err(format!("no answer ({error})")),
            Err(_) => break,
        }
        if String::from_utf8_lossy(&seen).contains(wanted) {
            return Ok(());
        }
    }
    if seen.is_empty() {
        return Err("the connection was closed without an answer".into());
    }
    let seen = String::from_utf8_lossy(&seen);
    Err(format!(
        "it does not say {wanted:?} but {:?}",
        seen.chars().take(200).collect::<String>()
    ))
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    status: u16,
    body: String,
}

/// One request. HTTP/1.0, whose answers come in one piece that ends with the connection.
fn http_get(local: u16, path: &str, host: Option<&str>) -> Result<Answer, String> {
    let mut stream = connect(local)?;
    let host = host.unwrap_or("localhost");
    let request =
        format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: clic-test\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let read = stream.take(MAX_READ).read_to_end(&mut bytes);
    match (read, bytes.is_empty()) {
        (Err(error), true) => Err(format!("no answer ({error})")),
        (Ok(_), true) => Err("the connection was closed without an answer".into()),
        // A connection that breaks after the answer has come is an answer.
        (_, false) => parse(&bytes),
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Answer, String> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .or_else(|| text.split_once("\n\n"))
        .unwrap_or((&text, ""));
    let first = head.lines().next().unwrap_or_default();
    let mut words = first.split_ascii_whitespace();
    let status = words
        .next()
        .filter(|version| version.starts_with("HTTP/"))
        .and_then(|_| words.next()?.parse().ok());
    match status {
        Some(status) => Ok(Answer {
            status,
            body: body.to_owned(),
        }),
        None => Err(format!(
            "it does not speak HTTP: {:?}",
            first.chars().take(100).collect::<String>()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers one connection with `text`; its port.
    fn serve(text: &'static str) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 1024];
            if text.starts_with("HTTP") {
                let _ = stream.read(&mut buffer);
            }
            stream.write_all(text.as_bytes()).unwrap();
        });
        port
    }

    #[test]
    fn a_page_is_read() {
        let port = serve("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\nhello");
        assert_eq!(
            http_get(port, "/", Some("clic.local")).unwrap(),
            Answer {
                status: 302,
                body: "hello".into()
            }
        );
    }

    #[test]
    fn what_is_no_http_is_told() {
        let error = parse(b"SSH-2.0-OpenSSH\r\n").unwrap_err();
        assert_eq!(error, "it does not speak HTTP: \"SSH-2.0-OpenSSH\"");
    }

    #[test]
    fn a_greeting_is_compared() {
        let stream = connect(serve("SSH-2.0-OpenSSH_9.2\r\n")).unwrap();
        assert_eq!(greeting(stream, "SSH-2.0"), Ok(()));
        let stream = connect(serve("220 mail ESMTP\r\n")).unwrap();
        assert_eq!(
            greeting(stream, "SSH-2.0").unwrap_err(),
            r#"it does not say "SSH-2.0" but "220 mail ESMTP\r\n""#
        );
        let stream = connect(serve("")).unwrap();
        assert_eq!(
            greeting(stream, "SSH-2.0").unwrap_err(),
            "the connection was closed without an answer"
        );
    }

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quote("it's"), r"'it'\''s'");
    }

    #[test]
    fn each_port_is_forwarded_once() {
        let check = |probe| Check {
            name: "x".into(),
            from: "x".into(),
            probe,
            timeout: 1,
            long: false,
        };
        let checks = [
            check(Probe::Port {
                port: 80,
                contains: None,
            }),
            check(Probe::Http {
                port: 80,
                path: "/".into(),
                host: None,
                status: 200,
                contains: None,
            }),
            check(Probe::Unit {
                unit: "ssh.service".into(),
            }),
            check(Probe::Port {
                port: 22,
                contains: None,
            }),
        ];
        assert_eq!(ports(&checks), [22, 80]);
    }
}
