//! Power that fails: a machine is killed at moments all over its start, and has to come up again each time.
//!
//! What the guest had not written is lost, as when a plug is pulled. What it had written is not: a disk that loses what it
//! said to have is not tried.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clic_host::Stage;

use crate::console::Cause;
use crate::guest::Guest;
use crate::qemu::Setup;
use crate::report::Case;

/// Cuts come until this much after the time that a start takes: into the first use.
const AFTER: f64 = 1.25;
/// The golden ratio's fraction: multiples of it spread evenly, however many there are (Weyl's sequence).
const GOLDEN: f64 = 0.618_033_988_749_894_9;
/// How often a machine is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// When power is cut, as parts of the time that a start takes; others for another `seed`.
fn moments(count: u32, seed: u32) -> impl Iterator<Item = f64> {
    let first = f64::from(seed) / f64::from(u32::MAX);
    (0..count).map(move |number| (first + f64::from(number) * GOLDEN).fract() * AFTER)
}

/// Starts the machine in `dir` `count` times, one after the other, and kills it. `start`: how long it takes to be up.
/// One case for each; a machine that ends by itself before that is a failed one, and the last.
pub fn cut(
    setup: &Setup,
    dir: &Path,
    start: Duration,
    count: u32,
    seed: u32,
    stage: &Stage,
) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (number, part) in (1..).zip(moments(count, seed)) {
        let after = start.mul_f64(part);
        stage.message(format!(
            "power cut {number} of {count}, {:.0} s after power-on",
            after.as_secs_f64()
        ));
        let lived = live(setup, dir, after)?;
        stage.advance(1);
        let failed = lived.is_some();
        let result = lived.map_or(Ok(()), |cause| {
            Err(format!(
                "before the power was cut after {:.0} s, the machine failed: {cause}",
                after.as_secs_f64()
            ))
        });
        cases.push(Case::new(format!("power cut {number} of {count}"), after, result));
        if failed {
            break;
        }
    }
    Ok(cases)
}

/// Runs the machine for this long. Why it ended earlier, if it did.
fn live(setup: &Setup, dir: &Path, time: Duration) -> Result<Option<Cause>> {
    let run = || -> Result<Option<Cause>> {
        let mut guest = Guest::start(setup, dir)?;
        while guest.elapsed() < time {
            guest.watch(LOOK.min(time.saturating_sub(guest.elapsed())))?;
            if let Some(cause) = guest.cause() {
                return Ok(Some(cause));
            }
        }
        Ok(None)
    };
    match run() {
        Err(error) => Ok(Some(error.downcast::<Cause>()?)),
        lived => lived,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spread_over_the_start_and_a_little_more() {
        for seed in [0, 1 << 20, u32::MAX / 3, u32::MAX] {
            let mut all: Vec<f64> = moments(20, seed).collect();
            all.sort_by(f64::total_cmp);
            assert!(all[0] >= 0.0 && all[19] < AFTER, "{all:?}");
            let widest = all.windows(2).map(|two| two[1] - two[0]).fold(0.0, f64::max);
            assert!(widest < AFTER / 8.0, "{all:?}");
        }
        assert_ne!(
            moments(1, 7).next().map(f64::to_bits),
            moments(1, 1 << 30).next().map(f64::to_bits)
        );
    }
}
