//! Talking to a running QEMU: the QEMU Machine Protocol, JSON lines over a socket (QEMU's `qmp-intro`).

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Longest message that QEMU may send, in bytes.
const LONGEST: usize = 4 << 20;

/// A connection to one QEMU.
#[derive(Debug)]
pub struct Qmp {
    stream: UnixStream,
    buffer: Vec<u8>,
    next: u64,
    events: Vec<Value>,
    closed: bool,
}

impl Qmp {
    /// Takes the socket whose other end QEMU has.
    pub fn new(stream: UnixStream) -> Result<Self> {
        stream
            .set_nonblocking(true)
            .context("setting up the connection to QEMU")?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            next: 1,
            events: Vec::new(),
            closed: false,
        })
    }

    /// Leaves the greeting behind; commands are accepted afterwards.
    pub fn open(&mut self, within: Duration) -> Result<()> {
        self.call("qmp_capabilities", &json!({}), within).map(drop)
    }

    /// Runs a command of the protocol; what it returns.
    pub fn call(&mut self, command: &str, arguments: &Value, within: Duration) -> Result<Value> {
        let id = self.next;
        self.next += 1;
        let request = json!({ "execute": command, "arguments": arguments, "id": id });
        self.stream
            .write_all(format!("{request}\n").as_bytes())
            .with_context(|| format!("asking QEMU for {command}"))?;
        let begun = Instant::now();
        loop {
            let (events, others): (Vec<_>, Vec<_>) = self
                .receive()
                .into_iter()
                .partition(|message| message.get("event").is_some());
            self.events.extend(events);
            let answer = others
                .into_iter()
                .find(|message| message.get("id").and_then(Value::as_u64) == Some(id));
            if let Some(answer) = answer {
                if let Some(error) = answer.get("error") {
                    bail!(
                        "QEMU refused {command}: {}",
                        error["desc"].as_str().unwrap_or("no reason given")
                    );
                }
                return Ok(answer.get("return").cloned().unwrap_or_default());
            }
            if self.closed {
                bail!("QEMU ended while it was asked for {command}");
            }
            if begun.elapsed() > within {
                bail!("QEMU did not answer {command} within {} s", within.as_secs());
            }
            clic_host::cancel::check()?;
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a command of QEMU's monitor for people; what it prints.
    pub fn monitor(&mut self, line: &str, within: Duration) -> Result<String> {
        let text = self.call("human-monitor-command", &json!({ "command-line": line }), within)?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Events since the last call, oldest first.
    pub fn events(&mut self) -> Vec<Value> {
        let new: Vec<Value> = self
            .receive()
            .into_iter()
            .filter(|message| message.get("event").is_some())
            .collect();
        let mut events = std::mem::take(&mut self.events);
        events.extend(new);
        events
    }

    fn receive(&mut self) -> Vec<Value> {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => {
                    self.closed = true;
                    break;
                }
                Ok(len) if self.buffer.len() < LONGEST => self.buffer.extend_from_slice(&bytes[..len]),
                Ok(_) => self.buffer.clear(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.closed = true;
                    break;
                }
            }
        }
        let mut messages = Vec::new();
        while let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=at).collect();
            messages.extend(serde_json::from_slice::<Value>(&line));
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_between_a_command_and_its_answer_are_kept() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut qmp = Qmp::new(ours).unwrap();
        theirs
            .write_all(
                b"{\"QMP\": {}}\r\n{\"event\": \"RESET\"}\r\n{\"return\": {\"status\": \"running\"}, \"id\": 1}\r\n{\"event\": \"STOP\"}\r\n",
            )
            .unwrap();
        let answer = qmp
            .call("query-status", &json!({}), Duration::from_secs(5))
            .unwrap();
        assert_eq!(answer["status"], "running");
        let events: Vec<String> = qmp
            .events()
            .iter()
            .map(|event| event["event"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(events, ["RESET", "STOP"]);
    }

    #[test]
    fn a_refusal_and_an_end_are_errors() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut qmp = Qmp::new(ours).unwrap();
        theirs
            .write_all(
                b"{\"id\": 1, \"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}}\n",
            )
            .unwrap();
        let error = qmp
            .call("screendump", &json!({}), Duration::from_secs(5))
            .unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused screendump: no such thing");
        drop(theirs);
        assert!(qmp.call("quit", &json!({}), Duration::from_secs(5)).is_err());
    }
}
