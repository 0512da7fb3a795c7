//! `random`: chance, by weight. `random two`: of two, the one with less load for its weight.

use super::{Choice, Group, Load, MOST_TRIES, Seen};
use crate::upstream::peer::Peer;

/// Where each server's share of the weights begins.
pub struct Ranges {
    starts: Vec<u64>,
    total: u64,
}

impl Ranges {
    pub fn new<'a>(peers: impl Iterator<Item = &'a Peer>) -> Ranges {
        let mut total = 0;
        let starts = peers
            .map(|peer| {
                let start = total;
                total += u64::from(peer.weight);
                start
            })
            .collect();
        Ranges { starts, total }
    }

    fn pick(&self, random: u64) -> usize {
        let at = random % self.total.max(1);
        self.starts.partition_point(|start| *start <= at).saturating_sub(1)
    }
}

pub fn find(choice: &mut Choice, ranges: &Ranges, group: Group<'_>, seen: &mut Seen<'_>) -> Option<usize> {
    while choice.tries <= MOST_TRIES {
        let index = ranges.pick((seen.random)());
        if group.is_free(index, &choice.tried, seen.now) {
            return Some(index);
        }
        choice.tries += 1;
    }
    None
}

pub fn find_two(
    choice: &mut Choice,
    ranges: &Ranges,
    load: Load,
    group: Group<'_>,
    seen: &mut Seen<'_>,
) -> Option<usize> {
    let mut before: Option<usize> = None;
    while choice.tries <= MOST_TRIES {
        let index = ranges.pick((seen.random)());
        if before != Some(index) && group.is_free(index, &choice.tried, seen.now) {
            match before {
                None => before = Some(index),
                Some(other) if load.is_less(group, other, index, seen.now) => return Some(other),
                Some(_) => return Some(index),
            }
        }
        choice.tries += 1;
    }
    None
}
