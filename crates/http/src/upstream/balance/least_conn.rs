//! `least_conn`: the server with the fewest requests for its weight; among equals, round robin.

use super::{Group, Tried};

pub fn find(group: Group<'_>, tried: &Tried, now: u64) -> Option<usize> {
    let load = |index: usize| u64::from(group.states[index].conns());
    let weight = |index: usize| u64::from(group.peers[index].weight);
    let mut best: Option<usize> = None;
    let mut several = false;
    for index in (0..group.peers.len()).filter(|index| group.is_free(*index, tried, now)) {
        let Some(before) = best else {
            best = Some(index);
            continue;
        };
        let (own, other) = (load(index) * weight(before), load(before) * weight(index));
        if own < other {
            best = Some(index);
            several = false;
        } else if own == other {
            several = true;
        }
    }
    let first = best?;
    if !several {
        return Some(first);
    }
    let mut chosen: Option<(usize, i64)> = None;
    let mut total = 0;
    for index in (first..group.peers.len()).filter(|index| group.is_free(*index, tried, now)) {
        if load(index) * weight(first) != load(first) * weight(index) {
            continue;
        }
        let (current, gained) = group.states[index].gain(&group.peers[index]);
        total += gained;
        if chosen.is_none_or(|(_, richest)| current > richest) {
            chosen = Some((index, current));
        }
    }
    let (index, _) = chosen?;
    group.states[index].pay(total);
    Some(index)
}
