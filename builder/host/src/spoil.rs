//! Spoiled copies of good bytes, the same in every run: for the tests of who reads what others wrote.

/// Numbers that look random and are the same in every run (xorshift64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A row of numbers for each seed, which is not 0.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number from 0 to before `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap_or(0)
    }
}

/// How many rounds to try: the usual number, which takes seconds, or as many times more as `CLIC_SPOIL` says, for a night.
pub fn rounds(usual: u64) -> u64 {
    let factor = std::env::var("CLIC_SPOIL")
        .ok()
        .and_then(|factor| factor.parse().ok());
    usual.saturating_mul(factor.unwrap_or(1))
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
    fn each_run_spoils_the_same() {
        let row = || {
            let mut random = Random::new(7);
            let copies: Vec<_> = (0..100)
                .map(|_| spoiled(b"some good bytes", &["{{"], &mut random))
                .collect();
            copies
        };
        assert_eq!(row(), row());
        let changed = row().iter().filter(|copy| *copy != b"some good bytes").count();
        assert!(changed > 80, "only {changed} of 100 were spoiled");
        assert_eq!(
            spoiled(b"", &[], &mut Random::new(1)).len().min(1),
            spoiled(b"", &[], &mut Random::new(1)).len().min(1)
        );
    }
}
