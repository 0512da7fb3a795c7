//! `random`: chance, by weight. `random two least_conn`: of two, the one with fewer requests for its weight.

use super::{Choice, Group, MOST_TRIES, Seen};
use crate::upstream::peer::Peer;

/// Where each server's share of the weights begins.
pub struct Ranges {
    starts: Vec<u64>,
    total: u64,
}

impl Ranges {
    pub fn new(peers: &[Peer]) -> Ranges {
        let mut total = 0;
        let starts = peers
            .iter()
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

pub fn find_two(choice: &mut Choice, ranges: &Ranges, group: Group<'_>, seen: &mut Seen<'_>) -> Option<usize> {
    let load = |index: usize| u64::from(group.states[index].conns());
    let weight = |index: usize| u64::from(group.peers[index].weight);
    let mut before: Option<usize> = None;
    while choice.tries <= MOST_TRIES {
        let index = ranges.pick((seen.random)());
        if before != Some(index) && group.is_free(index, &choice.tried, seen.now) {
            match before {
                None => before = Some(index),
                Some(other) if load(index) * weight(other) > load(other) * weight(index) => return Some(other),
                Some(_) => return Some(index),
            }
        }
        choice.tries += 1;
    }
    None
}
