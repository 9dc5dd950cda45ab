//! What another program prints, line by line, however much it is and whether or not its lines end.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};

/// Longest part of a line for people that is passed on, in bytes.
const LONGEST: usize = 8192;

/// Passes on each line of `from` without space at its end, lossily as text. Of a line that is longer than 8 KiB, the rest is
/// left out, and its size said.
pub fn each_line(from: impl Read, each: impl FnMut(&str)) -> io::Result<()> {
    each_line_of(LONGEST, from, each)
}

/// As [`each_line`], with lines of at most `longest` bytes. Never holds more than that.
pub(crate) fn each_line_of(longest: usize, from: impl Read, mut each: impl FnMut(&str)) -> io::Result<()> {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    let mut left_out: u64 = 0;
    loop {
        let piece = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let end = piece.iter().position(|byte| *byte == b'\n');
        let piece = &piece[..end.unwrap_or(piece.len())];
        let taken = piece.len().min(longest - line.len());
        line.extend_from_slice(&piece[..taken]);
        left_out += (piece.len() - taken) as u64;
        let used = piece.len() + usize::from(end.is_some());
        let over = used == 0;
        reader.consume(used);
        if end.is_some() || (over && !line.is_empty()) {
            let text = String::from_utf8_lossy(&line);
            match left_out {
                0 => each(text.trim_end()),
                bytes => each(&format!("{} [and {bytes} bytes more]", text.trim_end())),
            }
            line.clear();
            left_out = 0;
        }
        if over {
            return Ok(());
        }
    }
}

/// The last lines of what was printed, for an error.
#[derive(Debug)]
pub struct Tail {
    most: usize,
    lines: VecDeque<String>,
}

impl Tail {
    /// Keeps at most `most` lines.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            lines: VecDeque::new(),
        }
    }

    /// Keeps this one.
    pub fn push(&mut self, line: &str) {
        if self.lines.len() == self.most {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.lines.clear();
    }

    /// Them as one text.
    pub fn text(self) -> String {
        Vec::from(self.lines).join("\n")
    }
}

/// Reads all of `from`, but keeps only its first `most` bytes; how many bytes there were.
pub(crate) fn first_bytes(mut from: impl Read, most: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut kept = Vec::new();
    from.by_ref().take(most).read_to_end(&mut kept)?;
    let more = io::copy(&mut from, &mut io::sink())?;
    let all = kept.len() as u64 + more;
    Ok((kept, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(from: impl Read) -> Vec<String> {
        let mut lines = Vec::new();
        each_line(from, |line| lines.push(line.to_owned())).unwrap();
        lines
    }

    #[test]
    fn lines_are_what_ends_with_a_newline_and_what_is_left() {
        assert_eq!(
            lines(&b"one\r\n\n two  \n\xff"[..]),
            ["one", "", " two", "\u{fffd}"]
        );
        assert_eq!(lines(&b""[..]), [""; 0]);
        let exact = vec![b'x'; LONGEST];
        assert_eq!(lines(&exact[..])[0].len(), LONGEST);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let endless = io::repeat(b'x').take(100_000_000);
        let said = lines(endless.chain(&b"\nlast\n"[..]));
        let cut = format!(
            "{} [and {} bytes more]",
            "x".repeat(LONGEST),
            100_000_000 - LONGEST
        );
        assert!(said == [cut.as_str(), "last"], "{said:.100?}");
    }

    #[test]
    fn a_tail_has_the_last_lines() {
        let mut tail = Tail::new(2);
        for line in ["a", "b", "c"] {
            tail.push(line);
        }
        assert_eq!(tail.text(), "b\nc");
    }

    #[test]
    fn more_bytes_than_wanted_are_counted_and_forgotten() {
        let (kept, all) = first_bytes(io::repeat(b'x').take(5_000_000), 10).unwrap();
        assert_eq!((kept.len(), kept.capacity() < 1000, all), (10, true, 5_000_000));
    }
}
