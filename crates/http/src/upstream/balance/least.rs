//! `least_conn`, `least_time`: the server with the least load for its weight; among equals, round robin.

use super::{Group, Tried, round_robin};
use crate::upstream::peer::Now;

/// What the load of a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Its requests.
    Conns,
    /// The time that its answers take, for each of its requests and the one that would come.
    Time {
        /// To the end of the answer, not to that of its head.
        whole: bool,
        /// Requests in progress that take longer than that count.
        inflight: bool,
    },
}

impl Load {
    fn of(self, group: Group<'_>, index: usize, now: Now) -> u128 {
        let state = group.state(index);
        match self {
            Load::Conns => u128::from(state.conns()),
            Load::Time { whole, inflight } => {
                u128::from(state.average(whole, inflight, now)) * (u128::from(state.conns()) + 1)
            }
        }
    }

    /// Whether one server has less for its weight than the other.
    pub fn is_less(self, group: Group<'_>, one: usize, other: usize, now: Now) -> bool {
        let weight = |index| u128::from(group.state(index).weight(group.peer(index), group.unit, now));
        let load = |index| self.of(group, index, now);
        load(one).saturating_mul(weight(other)) < load(other).saturating_mul(weight(one))
    }
}

pub fn find(group: Group<'_>, load: Load, tried: &Tried, now: Now) -> Option<usize> {
    let mut best: Option<usize> = None;
    let mut several = false;
    for index in (0..group.members.len()).filter(|index| group.is_free(*index, tried, now)) {
        match best {
            Some(before) if load.is_less(group, before, index, now) => {}
            Some(before) if !load.is_less(group, index, before, now) => several = true,
            _ => {
                best = Some(index);
                several = false;
            }
        }
    }
    let first = best?;
    if !several {
        return Some(first);
    }
    let equal = |index| !load.is_less(group, first, index, now) && !load.is_less(group, index, first, now);
    round_robin::choose(group, now, |index| index >= first && group.is_free(index, tried, now) && equal(index))
}
