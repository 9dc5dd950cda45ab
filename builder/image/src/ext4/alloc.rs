//! Which blocks are free. Allocation runs once from the first block to the last, so that files lie one after
//! another in the order in which they are placed.

/// One bit per block, set if it is used.
pub(super) struct Blocks {
    words: Vec<u64>,
    count: u64,
    free: u64,
    /// Every block before this one is used.
    cursor: u64,
}

/// Blocks next to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub start: u64,
    pub len: u64,
}

impl Blocks {
    /// `count` free blocks.
    pub fn new(count: u64) -> Self {
        let words = vec![0; count.div_ceil(64) as usize];
        Self {
            words,
            count,
            free: count,
            cursor: 0,
        }
    }

    pub fn is_used(&self, block: u64) -> bool {
        self.words[(block / 64) as usize] >> (block % 64) & 1 == 1
    }

    /// Marks a block as used, which it may be already. One past the end is none of ours.
    pub fn mark(&mut self, block: u64) {
        if block < self.count && !self.is_used(block) {
            self.words[(block / 64) as usize] |= 1 << (block % 64);
            self.free -= 1;
        }
    }

    /// Gives one block back. Only before anything is allocated.
    pub fn release(&mut self, block: u64) {
        if self.is_used(block) {
            self.words[(block / 64) as usize] &= !(1 << (block % 64));
            self.free += 1;
        }
    }

    pub fn free(&self) -> u64 {
        self.free
    }

    /// How many blocks of a range are free.
    pub fn free_in(&self, run: Run) -> u64 {
        (run.start..run.start + run.len)
            .filter(|&block| !self.is_used(block))
            .count() as u64
    }

    /// The next free blocks that lie together, `most` at most. `None` when all are used.
    pub fn take(&mut self, most: u64) -> Option<Run> {
        while self.cursor < self.count && self.is_used(self.cursor) {
            let full = self.cursor.is_multiple_of(64) && self.words[(self.cursor / 64) as usize] == u64::MAX;
            self.cursor += if full { 64 } else { 1 };
        }
        let start = self.cursor;
        while self.cursor < self.count && self.cursor - start < most && !self.is_used(self.cursor) {
            self.mark(self.cursor);
            self.cursor += 1;
        }
        let len = self.cursor - start;
        (len > 0).then_some(Run { start, len })
    }

    /// The bitmap of a group, as it is on disk: bits for blocks past the end are set.
    pub fn bitmap(&self, run: Run) -> Vec<u8> {
        let mut bytes = vec![0xff; super::BLOCK_LEN];
        for index in 0..run.len {
            if !self.is_used(run.start + index) {
                bytes[(index / 8) as usize] &= !(1 << (index % 8));
            }
        }
        bytes
    }
}
