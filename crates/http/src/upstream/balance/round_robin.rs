//! Smooth weighted round robin: each server gains its weight, the richest is chosen and pays what all have gained.

use super::{Group, Tried};
use crate::upstream::peer::Now;

pub fn find(group: Group<'_>, tried: &Tried, now: Now) -> Option<usize> {
    choose(group, now, |index| group.is_free(index, tried, now))
}

/// A step among those that `may` take part.
pub fn choose(group: Group<'_>, now: Now, may: impl Fn(usize) -> bool) -> Option<usize> {
    let mut best: Option<(usize, i64)> = None;
    let mut total = 0;
    for index in 0..group.members.len() {
        if !may(index) {
            continue;
        }
        let (current, gained) = group.state(index).gain(group.peer(index), group.unit, now);
        total += gained;
        if best.is_none_or(|(_, richest)| current > richest) {
            best = Some((index, current));
        }
    }
    let (index, _) = best?;
    group.state(index).pay(total);
    Some(index)
}
