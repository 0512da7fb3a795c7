//! A number per key, for as many keys as there is room: what `limit_req` knows of each.
//!
//! An entry is two numbers: the tag of its key (0: empty) and the cell (0: nothing noted yet). It is in one of 16
//! neighbours. A change is one compare-and-swap of the cell, so no two workers ever count the same thing twice.
//!
//! A new key takes the first empty entry of its bucket; two workers that come with the same key at once both want that
//! one, and who is late finds it taken by its own key. In a full bucket the entry with the lowest *rank* is given up (the
//! user says what a cell is worth): first its cell is set to 0, if it is still what was looked at, then its tag
//! changes hands. A worker that is killed between the two leaves an entry of the old key that has nothing noted, which
//! is all that giving it up meant. A key that comes back in the instant in which its entry is given up may count one
//! request more or less; that is the only thing that is not exact, and it needs a full bucket.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use super::hash::Hash;

/// Entries of a bucket.
const WAYS: usize = 16;
/// Numbers of an entry.
const ENTRY: usize = 2;
/// So often an entry is tried to be had, before the request goes uncounted.
const TRIES: usize = 64;

#[derive(Clone, Copy)]
pub struct Cells<'m> {
    numbers: &'m [AtomicU64],
}

impl<'m> Cells<'m> {
    /// In this memory, all zeroes in the beginning.
    pub fn new(numbers: &'m [AtomicU64]) -> Cells<'m> {
        Cells { numbers }
    }

    /// How many keys there is room for.
    pub fn room(&self) -> usize {
        self.numbers.len() / (WAYS * ENTRY) * WAYS
    }

    fn bucket(&self, hash: Hash) -> &'m [AtomicU64] {
        let at = hash.place_among(self.numbers.len() / (WAYS * ENTRY)) * WAYS * ENTRY;
        self.numbers.get(at..at + WAYS * ENTRY).unwrap_or_default()
    }

    /// The cell of a key; 0 if there is none.
    pub fn get(&self, hash: Hash) -> u64 {
        find(self.bucket(hash), hash).map_or(0, |cell| cell.load(Acquire))
    }

    /// Changes the cell of a key. `change` gets what it is (0: nothing is noted) and gives what it is to be, or `None`
    /// to leave it; it may be called several times, the last time counts. `rank` says what another key's cell is worth:
    /// the least is given up. `false`: so many others were at it that it was not done.
    pub fn update(&self, hash: Hash, rank: impl Fn(u64) -> u64, mut change: impl FnMut(u64) -> Option<u64>) -> bool {
        let bucket = self.bucket(hash);
        for _ in 0..TRIES {
            let Some(cell) = find(bucket, hash).or_else(|| claim(bucket, hash, &rank)) else { continue };
            let old = cell.load(Acquire);
            match change(old) {
                None => return true,
                Some(new) if cell.compare_exchange(old, new, AcqRel, Acquire).is_ok() => return true,
                Some(_) => {}
            }
        }
        false
    }
}

fn find(bucket: &[AtomicU64], hash: Hash) -> Option<&AtomicU64> {
    bucket.chunks_exact(ENTRY).find(|entry| entry[0].load(Acquire) == hash.tag).map(|entry| &entry[1])
}

/// Makes an entry the key's own. `None`: somebody else was quicker.
fn claim<'m>(bucket: &'m [AtomicU64], hash: Hash, rank: &impl Fn(u64) -> u64) -> Option<&'m AtomicU64> {
    let looked = bucket.chunks_exact(ENTRY).map(|entry| (entry, entry[0].load(Acquire), entry[1].load(Acquire)));
    // Another worker may have come with the same key since it was looked for: then it stands before any empty entry.
    let worth = |tag, cell| match tag {
        _ if tag == hash.tag => (0, 0),
        0 => (1, 0),
        _ => (2, rank(cell)),
    };
    let (entry, tag, cell) = looked.min_by_key(|&(_, tag, cell)| worth(tag, cell))?;
    if tag == hash.tag {
        return Some(&entry[1]);
    }
    if tag != 0 && cell != 0 {
        entry[1].compare_exchange(cell, 0, AcqRel, Acquire).ok()?;
    }
    entry[0].compare_exchange(tag, hash.tag, AcqRel, Acquire).ok()?;
    Some(&entry[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::hash::Secret;

    fn memory(entries: usize) -> Vec<AtomicU64> {
        (0..entries * ENTRY).map(|_| AtomicU64::new(0)).collect()
    }

    fn add(cells: Cells<'_>, hash: Hash) -> u64 {
        let mut got = 0;
        assert!(cells.update(
            hash,
            |cell| cell,
            |cell| {
                got = cell + 1;
                Some(got)
            }
        ));
        got
    }

    #[test]
    fn cells_are_kept_apart() {
        // So much room that by no chance a bucket is full.
        let memory = memory(4096);
        let cells = Cells::new(&memory);
        let secret = Secret::random();
        let keys: Vec<Hash> = (0..300u32).map(|key| secret.hash(&key.to_le_bytes())).collect();
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(cells.get(*key), 0);
            for count in 1..=(index as u64 % 3 + 1) {
                assert_eq!(add(cells, *key), count);
            }
        }
        assert!(keys.iter().enumerate().all(|(index, key)| cells.get(*key) == index as u64 % 3 + 1));
        assert!(cells.update(keys[0], |cell| cell, |_| None), "left as it is");
        assert_eq!((cells.get(keys[0]), cells.room()), (1, 4096));
    }

    #[test]
    fn what_is_worth_least_is_given_up() {
        let memory = memory(WAYS);
        let cells = Cells::new(&memory);
        let key = |tag| Hash { place: 0, tag };
        for tag in 1..=WAYS as u64 {
            assert!(cells.update(key(tag), |cell| cell, |_| Some(100 + tag)));
        }
        assert_eq!(add(cells, key(99)), 1);
        assert_eq!((cells.get(key(1)), cells.get(key(2)), cells.get(key(99))), (0, 102, 1));
        assert_eq!(add(cells, key(98)), 1, "the newest is worth least");
        assert_eq!((cells.get(key(99)), cells.get(key(2))), (0, 102));
    }

    #[test]
    fn no_count_is_lost_between_threads() {
        let memory = memory(4 * WAYS);
        let cells = Cells::new(&memory);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..20_000u64 {
                        // All four begin with the same new keys.
                        add(cells, Hash { place: (round % 4) << 62, tag: round % 32 + 1 });
                    }
                });
            }
        });
        let all: u64 = (0..32).map(|tag| cells.get(Hash { place: (tag % 4) << 62, tag: tag + 1 })).sum();
        assert_eq!(all, 80_000);
    }
}
