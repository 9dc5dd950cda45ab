//! How many programs were started natively, and how many were emulated.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use serde::{Deserialize, Serialize};

/// At most this much of the file of starts is read, in bytes: a hostile package can write to it too.
pub(super) const READ: u64 = 64 << 20;

/// The handler's lines are shorter, in bytes.
const LINE: u64 = 1024;

/// At most this many different programs are told apart, for the same reason.
const PROGRAMS: usize = 10_000;

/// Process starts of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// By a native twin.
    pub native: u64,
    /// By QEMU.
    pub emulated: u64,
    /// Which programs were emulated and how often: most often first, then by path.
    pub top: Vec<(String, u64)>,
}

impl Counts {
    /// From the lines that the handler writes: `n PATH` or `e PATH`. Others are left out.
    pub(super) fn read(starts: impl Read) -> std::io::Result<Self> {
        let mut counts = Self::default();
        let mut programs: HashMap<String, u64> = HashMap::new();
        let mut reader = BufReader::new(starts.take(READ));
        let mut line = Vec::new();
        while reader.by_ref().take(LINE).read_until(b'\n', &mut line)? > 0 {
            match line.trim_ascii_end() {
                [b'n', b' ', ..] => counts.native += 1,
                [b'e', b' ', program @ ..] => {
                    counts.emulated += 1;
                    let program = String::from_utf8_lossy(program);
                    if let Some(count) = programs.get_mut(&*program) {
                        *count += 1;
                    } else if programs.len() < PROGRAMS {
                        programs.insert(program.into_owned(), 1);
                    }
                }
                _ => {}
            }
            line.clear();
        }
        counts.top = programs.into_iter().collect();
        counts
            .top
            .sort_by(|(a, many), (b, more)| more.cmp(many).then_with(|| a.cmp(b)));
        Ok(counts)
    }
}

impl std::fmt::Display for Counts {
    /// `12034 programs ran natively, 310 were emulated: qemu took /usr/sbin/ldconfig (101), ...`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} programs ran natively, {} were emulated",
            self.native, self.emulated
        )?;
        for (index, (program, count)) in self.top.iter().take(5).enumerate() {
            let before = if index == 0 { ": most often" } else { "," };
            write!(f, "{before} {program} ({count})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_counted_by_program() {
        let text = "n /usr/bin/sed\ne /usr/bin/b\ne /usr/bin/a\nn /usr/bin/sed\ne /usr/bin/b\n\ngarbage\n\
                    e /usr/bin/c\ne /usr/bin/cut o";
        let counts = Counts::read(text.as_bytes()).unwrap();
        assert_eq!((counts.native, counts.emulated), (2, 5));
        assert_eq!(counts.top[0], ("/usr/bin/b".into(), 2));
        assert_eq!(counts.top[1], ("/usr/bin/a".into(), 1));
        assert!(
            counts.to_string().starts_with(
                "2 programs ran natively, 5 were emulated: most often /usr/bin/b (2), /usr/bin/a (1)"
            ),
            "{counts}"
        );
    }

    #[test]
    fn a_hostile_file_of_starts_is_read_within_bounds() {
        let text: Vec<u8> = (0..PROGRAMS + 5)
            .flat_map(|number| format!("e /{number}\n").into_bytes())
            .chain(*b"e \xff\n")
            .collect();
        let counts = Counts::read(&text[..]).unwrap();
        assert_eq!(counts.emulated, PROGRAMS as u64 + 6);
        assert_eq!(counts.top.len(), PROGRAMS);
        let endless = Counts::read(std::io::repeat(b'x').take(READ + 10)).unwrap();
        assert_eq!(endless, Counts::default());
        assert_eq!(
            Counts::default().to_string(),
            "0 programs ran natively, 0 were emulated"
        );
    }
}
