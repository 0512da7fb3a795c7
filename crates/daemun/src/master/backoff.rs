//! How long to wait before a worker that failed is tried again: nothing after a single death, then longer each time,
//! so that an application which cannot run does not keep the machine busy with starting it.

/// The first wait, in milliseconds; it doubles with every failure.
const FIRST: u64 = 500;
/// The longest wait.
const MOST: u64 = 30_000;
/// After so long without a failure, the old ones are forgotten.
const HEALTHY: u64 = 60_000;

/// The failures of one seat. Times are milliseconds of the monotonic clock.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
    until: u64,
}

impl Backoff {
    /// A worker did not come up. Gives the wait.
    pub fn failed_to_boot(&mut self, now: u64) -> u64 {
        self.forget(now);
        self.failures += 1;
        self.wait(now, self.failures)
    }

    /// A worker died soon after it had come up. The first time is free.
    pub fn died_early(&mut self, now: u64) -> u64 {
        self.forget(now);
        self.failures += 1;
        self.wait(now, self.failures - 1)
    }

    /// When the next try is due.
    pub fn due(&self) -> u64 {
        self.until
    }

    fn forget(&mut self, now: u64) {
        if now >= self.until + HEALTHY {
            self.failures = 0;
        }
    }

    fn wait(&mut self, now: u64, count: u32) -> u64 {
        let wait = match count {
            0 => 0,
            count => (FIRST << (count - 1).min(16)).min(MOST),
        };
        self.until = now + wait;
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute() {
        let mut seat = Backoff::default();
        let mut now = 1_000_000;
        let mut waits = Vec::new();
        for _ in 0..9 {
            waits.push(seat.failed_to_boot(now));
            now = seat.due();
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(seat.failed_to_boot(now + HEALTHY), 500, "forgotten");
    }

    #[test]
    fn a_single_death_costs_no_time() {
        let mut seat = Backoff::default();
        assert_eq!([1, 2, 3].map(|now| seat.died_early(now)), [0, 500, 1000]);
    }
}
