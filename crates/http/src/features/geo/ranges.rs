//! Ranges of IPv4 addresses as they are added and deleted, with nginx's rules for those that meet.
//!
//! nginx cuts a range at each multiple of 65536 and looks at each piece for itself; whether a range is a duplicate, lies
//! in another one or overlaps it is a matter of pieces, so it is here, too.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The lower halves of the addresses of a piece, and its value.
#[derive(Clone, Copy)]
struct Piece {
    first: u16,
    last: u16,
    value: u32,
}

/// Pieces by the upper half of their addresses; in their order, none over another.
#[derive(Default)]
pub struct Ranges(BTreeMap<u16, Vec<Piece>>);

impl Ranges {
    /// Adds a range, which may lie in others: these are split. Gives the values of the pieces that it replaces, or the
    /// error that it overlaps another range; `text` is for the message.
    pub fn add(&mut self, text: &str, first: u32, last: u32, value: u32) -> Result<Vec<u32>, String> {
        let mut replaced = Vec::new();
        for (high, first, last) in pieces(first, last) {
            let there = self.0.entry(high).or_default();
            let new = Piece { first, last, value };
            let at = there.partition_point(|piece| piece.last < first);
            let Some(old) = there.get(at).copied().filter(|old| old.first <= last) else {
                there.insert(at, new);
                continue;
            };
            if (old.first, old.last) == (first, last) {
                replaced.push(old.value);
                there[at].value = value;
                continue;
            }
            if first < old.first || last > old.last {
                let [start, end] =
                    [old.first, old.last].map(|low| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
                return Err(format!("range \"{text}\" overlaps \"{start}-{end}\""));
            }
            let before = (first > old.first).then(|| Piece { last: first - 1, ..old });
            let behind = (last < old.last).then(|| Piece { first: last + 1, ..old });
            there.splice(at..=at, [before, Some(new), behind].into_iter().flatten());
        }
        Ok(replaced)
    }

    /// Deletes the pieces of a range that are there exactly so. Gives whether all were.
    pub fn delete(&mut self, first: u32, last: u32) -> bool {
        let mut all = true;
        for (high, first, last) in pieces(first, last) {
            let there = self.0.entry(high).or_default();
            match there.iter().position(|piece| (piece.first, piece.last) == (first, last)) {
                Some(at) => drop(there.remove(at)),
                None => all = false,
            }
        }
        all
    }

    /// All pieces in their order: first and last address, value.
    pub fn all(&self) -> impl Iterator<Item = (u32, u32, u32)> {
        self.0.iter().flat_map(|(high, pieces)| {
            let high = u32::from(*high) << 16;
            pieces.iter().map(move |piece| (high | u32::from(piece.first), high | u32::from(piece.last), piece.value))
        })
    }
}

/// A range cut at each multiple of 65536: the upper half of the addresses, the first and last lower half.
fn pieces(first: u32, last: u32) -> impl Iterator<Item = (u16, u16, u16)> {
    let (high_first, high_last) = ((first >> 16) as u16, (last >> 16) as u16);
    (high_first..=high_last).map(move |high| {
        let low_first = if high == high_first { first as u16 } else { 0 };
        let low_last = if high == high_last { last as u16 } else { u16::MAX };
        (high, low_first, low_last)
    })
}
