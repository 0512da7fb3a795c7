//! The leaky bucket: how far a key is above its rate, in thousandths of a request, with nginx's arithmetic, so that the
//! same requests at the same times are let in.

/// Bits of the excess in a cell.
const EXCESS: u32 = 29;
/// Bits of the time: milliseconds, more than a year.
const TIME: u32 = 35;
/// The most that a cell can say.
pub const MOST: u64 = (1 << EXCESS) - 1;
/// Differences of time above this are of a clock that was read a little earlier than the entry was written.
const BEFORE: u64 = (1 << TIME) - (1 << 20);
/// One request.
pub const ONE: u64 = 1000;

/// What is known of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    /// When it was last counted, in ms of some clock.
    last: u64,
    /// Thousandths of a request above the rate.
    excess: u64,
}

impl State {
    /// Of a cell; `None`: nothing is noted.
    pub fn of(cell: u64) -> Option<State> {
        (cell != 0).then_some(State { last: cell >> EXCESS, excess: cell & MOST })
    }

    pub fn cell(self) -> u64 {
        (self.last << EXCESS) | self.excess.min(MOST)
    }

    /// Milliseconds from the last request to `now`.
    fn elapsed(self, now: u64) -> u64 {
        match now.wrapping_sub(self.last) & ((1 << TIME) - 1) {
            earlier if earlier >= BEFORE && (1 << TIME) - earlier > 60_000 => 1,
            earlier if earlier >= BEFORE => 0,
            later => later,
        }
    }

    /// What giving up a cell would cost: first how much is above the rate now, then how new it is.
    pub fn rank(cell: u64, rate: u64, now: u64) -> u64 {
        let Some(state) = State::of(cell) else { return 0 };
        let elapsed = state.elapsed(now);
        let left = state.excess.saturating_sub(drained(rate, elapsed));
        (left << TIME) | ((1 << TIME) - 1 - elapsed.min((1 << TIME) - 1))
    }
}

/// What flows out in so many milliseconds. `rate`: thousandths of a request a second.
fn drained(rate: u64, ms: u64) -> u64 {
    u64::try_from(u128::from(rate) * u128::from(ms) / 1000).unwrap_or(u64::MAX)
}

/// One more request at `now`: the excess with it, and what is to be noted if it is let in.
pub fn add(state: Option<State>, rate: u64, now: u64) -> (u64, State) {
    let now = now & ((1 << TIME) - 1);
    let Some(state) = state else { return (0, State { last: now, excess: 0 }) };
    let elapsed = state.elapsed(now);
    let excess = (state.excess + ONE).saturating_sub(drained(rate, elapsed)).min(MOST);
    // At the same moment the time stays, lest fractions are lost.
    let last = if elapsed == 0 { state.last } else { now };
    (excess, State { last, excess })
}

/// How long a request waits, in ms. `free`: as much excess does not wait.
pub fn delay(excess: u64, free: u64, rate: u64) -> u64 {
    (excess.saturating_sub(free) * 1000) / rate
}

/// After how many seconds, at least 1, a request would be let in that is refused now.
pub fn retry_after(excess: u64, burst: u64, rate: u64) -> u64 {
    delay(excess, burst, rate).div_ceil(1000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests at times of a clock in ms; of each the excess, and whether it is within the burst.
    fn run(rate: u64, burst: u64, times: &[u64]) -> Vec<(u64, bool)> {
        let mut cell = 0;
        let mut all = Vec::new();
        for &now in times {
            let (excess, next) = add(State::of(cell), rate, now);
            let within = excess <= burst;
            if within {
                cell = next.cell();
            }
            all.push((excess, within));
        }
        all
    }

    #[test]
    fn as_nginx_counts() {
        // 1r/s, no burst: the second at once is refused; after a second one passes, after 999 ms none.
        assert_eq!(run(1000, 0, &[5000, 5000, 5999, 6000]), [(0, true), (1000, false), (1, false), (0, true)]);
        // 1r/s burst=2
        let times = [1, 1, 1, 1, 501, 1001];
        let expected = [(0, true), (1000, true), (2000, true), (3000, false), (2500, false), (2000, true)];
        assert_eq!(run(1000, 2000, &times), expected);
        // 1r/m is 16 thousandths a second: a minute is not quite enough.
        assert_eq!(run(16, 0, &[10, 60_010, 62_510]), [(0, true), (40, false), (0, true)]);
        // 10r/s: fractions are cut off, per request.
        assert_eq!(run(10_000, 5000, &[1, 34, 67, 100]), [(0, true), (670, true), (1340, true), (2010, true)]);
        // 7r/m = 116/s; after 1 ms nothing has flowed out, and the time moves on all the same.
        assert_eq!(run(116, 5000, &[1, 2, 11]), [(0, true), (1000, true), (1999, true)]);
    }

    #[test]
    fn clocks_that_differ_a_little() {
        let (_, state) = add(None, 1000, 100_000);
        for (now, excess) in [(99_990, 1000), (100_000, 1000), (30_000, 999), (100_500, 500), (160_000, 0)] {
            assert_eq!(add(Some(state), 1000, now).0, excess, "{now}");
        }
        let (_, state) = add(None, 1000, (1 << 35) - 1);
        assert_eq!(add(Some(state), 1000, (1 << 35) + 499).0, 500, "the clock goes round");
    }

    #[test]
    fn cells_hold_states() {
        let state = State { last: (1 << 35) - 1, excess: MOST };
        assert_eq!(State::of(state.cell()), Some(state));
        assert_eq!(State::of(0), None);
        let (excess, _) = add(Some(State { last: 1, excess: MOST }), 1, 1);
        assert_eq!(excess, MOST, "it does not run over");
    }

    #[test]
    fn what_is_worth_keeping() {
        let cell = |last, excess| State { last, excess }.cell();
        let rank = |cell| State::rank(cell, 1000, 100_000);
        assert!(rank(0) < rank(cell(10_000, 5000)), "drained");
        assert!(rank(cell(10_000, 5000)) < rank(cell(99_000, 0)), "older");
        assert!(rank(cell(99_000, 0)) < rank(cell(90_000, 20_000)), "still above its rate");
    }

    #[test]
    fn waits() {
        assert_eq!((delay(1000, 0, 1000), delay(500, 1000, 1000), delay(2000, 500, 16)), (1000, 0, 93_750));
        assert_eq!((retry_after(1000, 0, 1000), retry_after(1, 0, 1000), retry_after(3000, 1000, 16)), (1, 1, 125));
    }
}
