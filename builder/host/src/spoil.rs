//! Spoiled copies of good bytes, for the tests of who reads what others wrote. Every round has a number, and is the same whenever
//! it is run with it: what a failure says, replays it.
//!
//! ```text
//! CLIC_SPOIL_SECONDS=3600   try each reader for so long; without it, for a number of rounds that takes a second or two
//! CLIC_SPOIL_START=N        begin with another round than 0: every night others
//! CLIC_SPOIL_SEED=N         only this round
//! ```

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A round that takes longer does not end, on any machine.
const HANGS: Duration = Duration::from_secs(300);
/// Most memory of a process that tries readers, in KiB: what any of them may take, and the tests beside it.
const MOST_MEMORY: u64 = 3 << 20;
/// How often somebody looks.
const LOOK: Duration = Duration::from_secs(1);

/// Numbers that look random and are the same in every run (xorshift64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A row of numbers for each seed, which is not 0.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The row of a reader's round. Numbers that are near each other give rows that are not (`SplitMix64`'s last step).
    fn of(reader: &str, round: u64) -> Self {
        let mut seed = reader.bytes().fold(round, |seed, byte| {
            seed.wrapping_mul(0x0100_0000_01b3).wrapping_add(byte.into())
        });
        seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((seed ^ (seed >> 31)) | 1)
    }

    /// The next number from 0 to before `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap_or(0)
    }

    /// One of these, of which there is at least one.
    pub fn of_these<'a, T>(&mut self, these: &'a [T]) -> &'a T {
        &these[self.below(these.len())]
    }
}

/// Which rounds there are.
struct Plan {
    start: u64,
    rounds: u64,
    until: Option<Duration>,
}

impl Plan {
    fn new(usual: u64, seed: Option<u64>, start: Option<u64>, seconds: Option<u64>) -> Self {
        let start = seed.or(start).unwrap_or(0);
        match (seed, seconds) {
            (Some(_), _) => Self {
                start,
                rounds: 1,
                until: None,
            },
            (None, Some(seconds)) => Self {
                start,
                rounds: u64::MAX,
                until: Some(Duration::from_secs(seconds)),
            },
            (None, None) => Self {
                start,
                rounds: usual,
                until: None,
            },
        }
    }

    fn of_environment(usual: u64) -> Self {
        let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
        Self::new(
            usual,
            number("CLIC_SPOIL_SEED"),
            number("CLIC_SPOIL_START"),
            number("CLIC_SPOIL_SECONDS"),
        )
    }
}

/// Says which round it was when one fails.
struct Round<'a> {
    reader: &'a str,
    number: &'a AtomicU64,
}

impl Round<'_> {
    fn text(&self) -> String {
        let number = self.number.load(Ordering::Relaxed);
        format!(
            "{}: round {number}; CLIC_SPOIL_SEED={number} replays it",
            self.reader
        )
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.text());
        }
    }
}

/// Tries a reader, `usual` times or as the environment says (see above). A round that panics, does not end or takes all memory is
/// named; the last two end the process.
pub fn try_reader(reader: &str, usual: u64, mut round: impl FnMut(&mut Random)) {
    let plan = Plan::of_environment(usual);
    let number = AtomicU64::new(plan.start);
    let begun = Instant::now();
    let done = std::thread::scope(|scope| {
        let (end, ended) = mpsc::channel::<()>();
        scope.spawn({
            let number = &number;
            move || watch(&Round { reader, number }, &ended)
        });
        let this = Round {
            reader,
            number: &number,
        };
        let mut done = 0;
        while done < plan.rounds && plan.until.is_none_or(|until| begun.elapsed() < until) {
            let at = plan.start.wrapping_add(done);
            this.number.store(at, Ordering::Relaxed);
            round(&mut Random::of(reader, at));
            done += 1;
        }
        drop(end);
        done
    });
    eprintln!("{reader}: {done} rounds in {} s", begun.elapsed().as_secs());
}

/// Until the other side of `ended` is gone.
fn watch(round: &Round<'_>, ended: &mpsc::Receiver<()>) {
    let (mut last, mut since) = (u64::MAX, Instant::now());
    while ended.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
        let now = round.number.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        let wrong = if since.elapsed() > HANGS {
            format!("it has not ended after {} s", HANGS.as_secs())
        } else if resident() > MOST_MEMORY {
            format!("the process takes more than {} MiB", MOST_MEMORY >> 10)
        } else {
            continue;
        };
        // What is printed otherwise, the test's harness keeps until the test ends.
        let _ = writeln!(std::io::stderr().lock(), "{}: {wrong}", round.text());
        std::process::abort();
    }
}

/// Memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// A copy of `good` with one to four things wrong in it: bytes changed, left out, doubled or cut off, or one of `words` put in.
pub fn spoiled(good: &[u8], words: &[&str], random: &mut Random) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=random.below(4) {
        let from = random.below(bytes.len() + 1);
        let to = (from + 1 + random.below(16)).min(bytes.len());
        match random.below(8) {
            0 => bytes[from..to].fill(0xff),
            1 => bytes[from..to].fill(0),
            2 => bytes[from..to]
                .iter_mut()
                .for_each(|byte| *byte = byte.wrapping_add(1)),
            3 => bytes[from..to]
                .iter_mut()
                .for_each(|byte| *byte = random.below(256) as u8),
            4 => drop(bytes.drain(from..to)),
            5 => {
                let part = bytes[from..to].repeat(1 + random.below(50));
                bytes.splice(from..from, part);
            }
            6 if random.below(4) == 0 => bytes.truncate(from),
            _ if words.is_empty() => bytes.insert(from, b'\n'),
            _ => {
                let word = words[random.below(words.len())];
                bytes.splice(from..from, word.bytes());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_the_same_in_each_run() {
        let copy = |round| spoiled(b"some good bytes", &["{{"], &mut Random::of("reader", round));
        let row: Vec<_> = (0..100).map(copy).collect();
        assert_eq!(row, (0..100).map(copy).collect::<Vec<_>>());
        let changed = row.iter().filter(|copy| *copy != b"some good bytes").count();
        assert!(changed > 80, "only {changed} of 100 were spoiled");
        let different: std::collections::BTreeSet<_> = row.iter().collect();
        assert!(different.len() > 80, "only {} of 100 differ", different.len());
    }

    #[test]
    fn what_there_is_of_nothing_is_little() {
        for round in 0..100 {
            assert!(spoiled(b"", &["{{"], &mut Random::of("nothing", round)).len() <= 2 * 50 * 4);
        }
    }

    #[test]
    fn a_seed_is_one_round_and_seconds_have_no_number() {
        let plan = |seed, start, seconds| {
            let Plan { start, rounds, until } = Plan::new(7, seed, start, seconds);
            (start, rounds, until)
        };
        assert_eq!(plan(None, None, None), (0, 7, None));
        assert_eq!(plan(Some(9), Some(3), Some(60)), (9, 1, None));
        let minute = Some(Duration::from_secs(60));
        assert_eq!(plan(None, Some(3), Some(60)), (3, u64::MAX, minute));
    }

    #[test]
    fn a_failure_says_its_round() {
        let number = AtomicU64::new(42);
        let round = Round {
            reader: "zip",
            number: &number,
        };
        assert_eq!(round.text(), "zip: round 42; CLIC_SPOIL_SEED=42 replays it");
    }
}
