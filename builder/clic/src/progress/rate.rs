//! How fast something goes, and how long the rest will take.

use std::collections::VecDeque;
use std::time::Duration;

/// What is looked back at. What comes from the disk first and from a line later is soon told by the line.
const WINDOW: Duration = Duration::from_secs(10);
/// Before that, nothing is known.
const LEAST: Duration = Duration::from_secs(2);

/// The mean of the last ten seconds. Times are those since the beginning.
#[derive(Debug, Default)]
pub struct Rate {
    seen: VecDeque<(Duration, u64)>,
}

impl Rate {
    /// At `at`, `done` units were done in all.
    pub fn note(&mut self, at: Duration, done: u64) {
        // One for each tenth of a second is as good as all.
        let same = |last: &(Duration, u64)| at.saturating_sub(last.0) < Duration::from_millis(100);
        if self.seen.len() > 1 && self.seen.back().is_some_and(same) {
            self.seen.pop_back();
        }
        self.seen.push_back((at, done));
        while self.seen.len() > 1 && self.seen.front().is_some_and(|first| first.0 + WINDOW < at) {
            self.seen.pop_front();
        }
    }

    /// Units a second, at `now`. None before anything can be said.
    pub fn per_second(&self, now: Duration) -> Option<f64> {
        let (first, last) = (self.seen.front()?, self.seen.back()?);
        let time = now.saturating_sub(first.0);
        #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
        let units = last.1.saturating_sub(first.1) as f64;
        (time >= LEAST).then(|| units / time.as_secs_f64())
    }

    /// What the rest of `total` will take. None where it would be a guess: at the beginning, when nothing comes, and in the last
    /// tenth, which often is unlike the others.
    pub fn left(&self, now: Duration, total: u64) -> Option<Duration> {
        let rate = self.per_second(now).filter(|rate| *rate > 0.0)?;
        let left = total.saturating_sub(self.seen.back()?.1);
        #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
        let seconds = left as f64 / rate;
        let guess = left <= total / 10 || seconds > 360_000.0;
        (!guess).then(|| Duration::from_secs_f64(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_rest_is_told_by_the_last_seconds() {
        let mut rate = Rate::default();
        rate.note(at(0), 0);
        assert_eq!(rate.left(at(1), 1000), None, "too early");
        rate.note(at(1), 500);
        for second in 2..=20 {
            rate.note(at(second), 500 + second);
        }
        // Half of it was there at once, and one a second comes since.
        let left = rate.left(at(20), 1000).unwrap();
        assert!((470..=490).contains(&left.as_secs()), "{left:?}");
        assert_eq!(rate.left(at(20), 575), None, "the last tenth");
    }

    #[test]
    fn what_stands_still_has_no_end() {
        let mut rate = Rate::default();
        rate.note(at(0), 0);
        rate.note(at(5), 100);
        assert_eq!(rate.left(at(5), 200), Some(at(5)));
        // The same amount said again is no news.
        for second in 6..=20 {
            rate.note(at(second), 100);
        }
        assert_eq!(rate.per_second(at(20)), Some(0.0));
        assert_eq!(rate.left(at(20), 200), None);
    }
}
