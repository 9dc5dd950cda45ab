//! A terminal's bytes as plain lines: escape sequences, cursor movements and a firmware's echo taken away.

/// Longest line that is looked at, in bytes. What is longer is not a message of a boot.
const LONGEST: usize = 4096;

/// `eerrrroorr::` as `error:`. A UEFI whose console is the serial port, and GRUB writing to both that console
/// and the port itself, print every character twice.
pub fn undouble(line: &str) -> Option<String> {
    let chars: Vec<char> = line.chars().collect();
    let (pairs, rest) = chars.as_chunks::<2>();
    let doubled = pairs.len() >= 3 && rest.is_empty() && pairs.iter().all(|[a, b]| a == b);
    // A line of one character only (`======`) is an ornament.
    let ornament = chars.iter().all(|c| Some(c) == chars.first());
    (doubled && !ornament).then(|| pairs.iter().map(|[a, _]| *a).collect())
}

/// Turns a terminal's bytes into lines of text.
#[derive(Debug, Default)]
pub struct Plain {
    line: Vec<u8>,
    escape: Escape,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Begun,
    /// Within `ESC [ ...`.
    Csi,
    /// Within `ESC ] ...`, which ends with BEL or `ESC \`.
    Osc,
}

impl Plain {
    /// Takes bytes in pieces of any size; the lines that they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            let ends_line = self.byte(*byte);
            if ends_line && !self.line.is_empty() {
                lines.push(String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned());
            }
        }
        lines
    }

    /// Takes one byte; whether it ends the line.
    fn byte(&mut self, byte: u8) -> bool {
        let was = self.escape;
        self.escape = match (was, byte) {
            (Escape::None | Escape::Osc, 0x1b) => Escape::Begun,
            (Escape::Begun, b'[') => Escape::Csi,
            (Escape::Begun, b']') => Escape::Osc,
            (Escape::Begun, _) | (Escape::Osc, 0x07) | (Escape::Csi, 0x40..=0x7e) => Escape::None,
            (same, _) => same,
        };
        match (was, byte) {
            // The cursor goes elsewhere (H, f) or the screen is cleared (J): another line begins.
            (Escape::Csi, b'H' | b'f' | b'J') | (Escape::None, b'\n' | b'\r') => true,
            (Escape::None, 0x08) => {
                self.line.pop();
                false
            }
            (Escape::None, b'\t' | 0x20..) => {
                self.line.push(byte);
                self.line.len() >= LONGEST
            }
            _ => false,
        }
    }

    /// The line that has no end yet.
    pub fn pending(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_go_and_cursor_jumps_end_lines() {
        let mut plain = Plain::default();
        let lines =
            plain.feed(b"\x1b[0;32m  OK  \x1b[0mdone\r\n\x1b]0;title\x07ab\x1b[5;3Hcd\x08e\x1b[2Jf\xff");
        assert_eq!(lines, ["  OK  done", "ab", "ce"]);
        assert_eq!(plain.pending(), "f\u{fffd}");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut plain = Plain::default();
        let lines = plain.feed(&vec![b'x'; 10_000]);
        assert_eq!(lines.len(), 2);
        assert_eq!(plain.pending().len(), 10_000 - 2 * LONGEST);
    }

    #[test]
    fn what_is_printed_twice_is_read_once() {
        assert_eq!(undouble("eerrrroorr::").as_deref(), Some("error:"));
        assert_eq!(undouble("======"), None);
        assert_eq!(undouble("error:"), None);
    }
}
