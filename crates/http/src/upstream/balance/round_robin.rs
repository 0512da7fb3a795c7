//! Smooth weighted round robin: each server gains its weight, the richest is chosen and pays what all have gained.

use super::{Group, Tried};

pub fn find(group: Group<'_>, tried: &Tried, now: u64) -> Option<usize> {
    choose(group, |index| group.is_free(index, tried, now))
}

/// A step among those that `may` take part.
pub fn choose(group: Group<'_>, may: impl Fn(usize) -> bool) -> Option<usize> {
    let mut best: Option<(usize, i64)> = None;
    let mut total = 0;
    for (index, peer) in group.peers.iter().enumerate() {
        if !may(index) {
            continue;
        }
        let (current, gained) = group.states[index].gain(peer);
        total += gained;
        if best.is_none_or(|(_, richest)| current > richest) {
            best = Some((index, current));
        }
    }
    let (index, _) = best?;
    group.states[index].pay(total);
    Some(index)
}
