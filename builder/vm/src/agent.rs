//! The tester's way into the guest: a shell script in the throwaway clone that runs commands sent over the second
//! serial port.
//!
//! Lines in both directions; a frame begins at `@clic-`, whatever noise stands before it. Payloads are base64, checksums
//! are POSIX `cksum`. The tester asks `run ID SECONDS COMMAND SUM` (the sum is of the three fields with spaces between);
//! the guest answers `ack ID`, then `out ID DATA` and `err ID DATA` lines, then `end ID STATUS SUM` (the sum is of both
//! outputs' bytes). Whatever gets lost is asked for again under the same ID, and the guest does not run the same ID
//! twice. Until it is first asked, the guest says `hello` every second.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The guest's side.
pub const SCRIPT: &str = include_str!("agent/agent.sh");
/// The unit that starts it.
pub const UNIT: &str = include_str!("agent/clic-test-agent.service");
/// Where the script is in the clone.
pub const SCRIPT_PATH: &str = "/usr/lib/clic-test-agent.sh";
/// Where the unit is in the clone.
pub const UNIT_PATH: &str = "/etc/systemd/system/clic-test-agent.service";
/// The link that makes systemd start it early.
pub const WANTS_PATH: &str = "/etc/systemd/system/sysinit.target.wants/clic-test-agent.service";

/// Largest output of a command that is read, in bytes; the guest cuts the rest.
pub const MAX_OUTPUT: usize = 262_144;

/// Longest line that can be a frame.
const LONGEST: usize = 4096;

/// What a command in the guest left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Exit status; 124 when its time was up.
    pub status: i32,
    /// Standard output, at most [`MAX_OUTPUT`] bytes.
    pub stdout: Vec<u8>,
    /// The end of standard error.
    pub stderr: Vec<u8>,
}

impl Answer {
    /// Standard output as text, without space at its end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// Standard error as text, without space at its end.
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim_end().to_owned()
    }
}

/// What the guest said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is there.
    Hello,
    /// It has the request with this number.
    Ack(u64),
    /// It has run the request with this number.
    Answer(u64, Answer),
    /// The answer to this request arrived damaged: ask again.
    Damaged(u64),
}

impl Said {
    /// The number of the request that it is about.
    pub fn of(&self) -> Option<u64> {
        match self {
            Self::Hello => None,
            Self::Ack(id) | Self::Answer(id, _) | Self::Damaged(id) => Some(*id),
        }
    }
}

/// A request, ready to be sent (again).
pub fn request(id: u64, seconds: u64, command: &str) -> Vec<u8> {
    let fields = format!("{id} {seconds} {}", STANDARD.encode(command));
    format!("\n@clic-run {fields} {}\n", cksum(fields.as_bytes())).into_bytes()
}

/// Puts the guest's bytes together.
#[derive(Debug, Default)]
pub struct Listener {
    line: Vec<u8>,
    id: u64,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    broken: bool,
}

impl Listener {
    /// Takes bytes in pieces of any size.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Said> {
        let mut said = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    said.extend(self.line(&String::from_utf8_lossy(&line)));
                }
                _ if self.line.len() >= LONGEST => self.line.clear(),
                byte => self.line.push(*byte),
            }
        }
        said
    }

    fn line(&mut self, line: &str) -> Option<Said> {
        let at = line.rfind("@clic-")?;
        let mut words = line.get(at + 6..)?.split_ascii_whitespace();
        let kind = words.next()?;
        if kind == "hello" {
            return Some(Said::Hello);
        }
        let id: u64 = words.next()?.parse().ok()?;
        match kind {
            "ack" => {
                self.begin(id);
                Some(Said::Ack(id))
            }
            "out" | "err" => {
                if id != self.id {
                    self.begin(id);
                    // The acknowledgement got lost, and perhaps what came after it.
                }
                let data = words.next().and_then(|data| STANDARD.decode(data).ok());
                let to = if kind == "out" {
                    &mut self.stdout
                } else {
                    &mut self.stderr
                };
                match data {
                    Some(data) if to.len() + data.len() <= MAX_OUTPUT => to.extend(data),
                    _ => self.broken = true,
                }
                None
            }
            "end" => {
                if id != self.id {
                    self.begin(id);
                }
                let status = words.next().and_then(|word| word.parse().ok());
                let sum: Option<u32> = words.next().and_then(|word| word.parse().ok());
                let answer = Answer {
                    status: status.unwrap_or(-1),
                    stdout: std::mem::take(&mut self.stdout),
                    stderr: std::mem::take(&mut self.stderr),
                };
                let whole = [answer.stdout.as_slice(), answer.stderr.as_slice()].concat();
                let sound = !self.broken && status.is_some() && sum == Some(cksum(&whole));
                self.begin(id);
                Some(if sound {
                    Said::Answer(id, answer)
                } else {
                    Said::Damaged(id)
                })
            }
            _ => None,
        }
    }

    fn begin(&mut self, id: u64) {
        self.id = id;
        self.stdout.clear();
        self.stderr.clear();
        self.broken = false;
    }
}

/// POSIX `cksum`: CRC-32 with polynomial 0x04c11db7, not reflected, over the bytes and then their count (least
/// significant byte first, without leading zeros).
pub fn cksum(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: u8| {
        (0..8).fold(crc ^ (u32::from(byte) << 24), |crc, _| {
            if crc & 0x8000_0000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x04c1_1db7
            }
        })
    };
    let mut crc = bytes.iter().fold(0, |crc, byte| step(crc, *byte));
    let mut len = bytes.len();
    while len > 0 {
        crc = step(crc, (len & 0xff) as u8);
        len >>= 8;
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn checksums_are_those_of_the_tool() {
        // printf '' | cksum; printf 123456789 | cksum
        assert_eq!(cksum(b""), 4_294_967_295);
        assert_eq!(cksum(b"123456789"), 930_766_865);
    }

    fn answer(id: u64, stdout: &str, stderr: &str, status: i32) -> String {
        let sum = cksum(format!("{stdout}{stderr}").as_bytes());
        let lines = |kind: &str, text: &str| {
            text.as_bytes().chunks(3).fold(String::new(), |lines, chunk| {
                lines + &format!("@clic-{kind} {id} {}\n", STANDARD.encode(chunk))
            })
        };
        format!(
            "\n@clic-ack {id}\n\n{}{}\n@clic-end {id} {status} {sum}\n",
            lines("out", stdout),
            lines("err", stderr)
        )
    }

    #[test]
    fn an_answer_comes_through_noise_and_in_pieces() {
        let mut listener = Listener::default();
        let mut bytes = b"\x1b[2J[  1.5] usb 1-1: new device@clic-hello\n".to_vec();
        bytes.extend(answer(7, "running\n", "warning", 0).into_bytes());
        let said: Vec<Said> = bytes.iter().flat_map(|byte| listener.feed(&[*byte])).collect();
        let expected = Answer {
            status: 0,
            stdout: b"running\n".to_vec(),
            stderr: b"warning".to_vec(),
        };
        assert_eq!(said, [Said::Hello, Said::Ack(7), Said::Answer(7, expected)]);
    }

    #[test]
    fn a_lost_line_is_noticed_and_the_next_try_is_clean() {
        let mut listener = Listener::default();
        let whole = answer(3, "abcdef", "", 0);
        let damaged = whole.replacen("@clic-out 3 ZGVm\n", "", 1);
        assert_ne!(whole, damaged);
        assert_eq!(
            listener.feed(damaged.as_bytes()),
            [Said::Ack(3), Said::Damaged(3)]
        );
        let spoiled = whole.replacen("ZGVm", "Z!Vm", 1);
        assert_eq!(
            listener.feed(spoiled.as_bytes()),
            [Said::Ack(3), Said::Damaged(3)]
        );
        let again = listener.feed(whole.as_bytes());
        assert!(
            matches!(again.as_slice(), [Said::Ack(3), Said::Answer(3, answer)] if answer.stdout == b"abcdef")
        );
    }

    #[test]
    fn an_endless_line_is_no_frame() {
        let mut listener = Listener::default();
        assert_eq!(listener.feed(&vec![b'x'; 100_000]), []);
        assert_eq!(listener.feed(b"\n@clic-hello\n"), [Said::Hello]);
    }

    /// The script itself, with a pseudo-terminal in place of the serial port, by `script` of util-linux.
    #[test]
    fn the_script_answers_once_per_number() {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        let script = SCRIPT.replace("work=/run/clic-test-agent", &format!("work={}", work.display()));
        let path = dir.path().join("agent.sh");
        std::fs::write(&path, script).unwrap();
        let count = dir.path().join("count");
        let mut child = Command::new("script")
            .args(["-qec", &format!("sh {} /dev/tty", path.display()), "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script(1) of util-linux (Debian package bsdutils) is needed");
        let mut input = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let mut listener = Listener::default();
        let mut wait = |wanted: &dyn Fn(&Said) -> bool| {
            let mut buffer = [0; 256];
            loop {
                let len = std::io::Read::read(&mut output, &mut buffer).unwrap();
                assert!(len > 0, "the script ended");
                if let Some(said) = listener
                    .feed(&buffer[..len])
                    .into_iter()
                    .find(|said| wanted(said))
                {
                    return said;
                }
            }
        };
        wait(&|said| *said == Said::Hello);
        let command = format!("echo x >>{}; echo out; echo err >&2; exit 3", count.display());
        let request = request(5, 10, &command);
        let mut damaged = request.clone();
        damaged[20] ^= 1;
        for bytes in [b"noise".as_slice(), &damaged, &request, &request] {
            input.write_all(bytes).unwrap();
        }
        let expected = Answer {
            status: 3,
            stdout: b"out\n".to_vec(),
            stderr: b"err\n".to_vec(),
        };
        for _ in 0..2 {
            assert_eq!(
                wait(&|said| matches!(said, Said::Answer(..))),
                Said::Answer(5, expected.clone())
            );
        }
        assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\n");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
