//! How many of something each key has at the moment: what `limit_conn` counts.
//!
//! An entry belongs to one key *and one worker*: the tag of the key, and a number with the worker's row (0: empty) and
//! how many it holds. Only its worker changes it; when the worker is dead, the master clears all entries with its row.
//! So nothing is lost and nothing is kept, at whatever instant a worker is killed. A key has as much as its entries in
//! the bucket have together; nothing is ever given up for another key.
//!
//! A hold is strict: a worker notes its hold first and then counts everybody's; if that is too much, it takes the note
//! back. Of several workers that do this at once each sees the notes of those before it, so there are never more holds
//! than allowed. That two see each other and both go back, though one could have stayed, is why they try again a few
//! times before they give up.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use super::hash::Hash;

/// Entries of a bucket: so many that one overflows only when most of the memory is in use.
const WAYS: usize = 64;
/// Numbers of an entry.
const ENTRY: usize = 2;
/// How often is tried again what failed because others tried, too.
const TRIES: u32 = 8;
/// The row is above, the count below.
const ROW: u32 = 32;

/// Why there is no hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The key has as many as it may have.
    Limit,
    /// There is no room for one more key.
    Full,
}

#[derive(Clone, Copy)]
pub struct Holds<'m> {
    numbers: &'m [AtomicU64],
}

impl<'m> Holds<'m> {
    /// In this memory, all zeroes in the beginning.
    pub fn new(numbers: &'m [AtomicU64]) -> Holds<'m> {
        Holds { numbers }
    }

    fn bucket(&self, hash: Hash) -> &'m [AtomicU64] {
        let at = hash.place_among(self.numbers.len() / (WAYS * ENTRY)) * WAYS * ENTRY;
        self.numbers.get(at..at + WAYS * ENTRY).unwrap_or_default()
    }

    /// How many the key has.
    pub fn count(&self, hash: Hash) -> u64 {
        count(self.bucket(hash), hash)
    }

    /// One more for the key, if it has less than `most`; for the worker of this row. The caller sees to it that a worker
    /// does one thing at a time here.
    pub fn take(&self, hash: Hash, row: usize, most: u64) -> Result<(), Refused> {
        let bucket = self.bucket(hash);
        for attempt in 0..TRIES {
            if count(bucket, hash) >= most {
                return Err(Refused::Limit);
            }
            let own = own(bucket, hash, row).or_else(|| claim(bucket, hash, row)).ok_or(Refused::Full)?;
            own.fetch_add(1, SeqCst);
            if count(bucket, hash) <= most {
                return Ok(());
            }
            give_back(own);
            // Others are at it. Each waits for another time.
            for _ in 0..(row as u32 % 8 + 1) << attempt {
                std::hint::spin_loop();
            }
        }
        Err(Refused::Limit)
    }

    /// One less.
    pub fn release(&self, hash: Hash, row: usize) {
        if let Some(own) = own(self.bucket(hash), hash, row) {
            give_back(own);
        }
    }

    /// Nothing is left of a worker that has ended.
    pub fn clear(&self, row: usize) {
        for entry in self.numbers.chunks_exact(ENTRY) {
            let number = entry[1].load(SeqCst);
            if number >> ROW == row as u64 + 1 {
                // Its worker is dead, so nobody else changes it.
                entry[1].store(0, SeqCst);
            }
        }
    }
}

/// The low half: how many.
fn held(number: u64) -> u64 {
    number & ((1 << ROW) - 1)
}

fn count(bucket: &[AtomicU64], hash: Hash) -> u64 {
    let mut all = 0;
    for entry in bucket.chunks_exact(ENTRY) {
        let number = entry[1].load(SeqCst);
        // The tag is written before there is a count.
        if held(number) > 0 && entry[0].load(SeqCst) == hash.tag {
            all += held(number);
        }
    }
    all
}

/// The worker's entry for the key.
fn own(bucket: &[AtomicU64], hash: Hash, row: usize) -> Option<&AtomicU64> {
    let mut entries = bucket.chunks_exact(ENTRY);
    let entry =
        entries.find(|entry| entry[1].load(SeqCst) >> ROW == row as u64 + 1 && entry[0].load(SeqCst) == hash.tag)?;
    Some(&entry[1])
}

/// Makes an empty entry the worker's, for the key, with a count of 0.
fn claim(bucket: &[AtomicU64], hash: Hash, row: usize) -> Option<&AtomicU64> {
    let entry = bucket
        .chunks_exact(ENTRY)
        .find(|entry| entry[1].compare_exchange(0, (row as u64 + 1) << ROW, SeqCst, SeqCst).is_ok())?;
    entry[0].store(hash.tag, SeqCst);
    Some(&entry[1])
}

/// One less; an entry that holds nothing is empty.
fn give_back(own: &AtomicU64) {
    let number = own.load(SeqCst);
    own.store(if held(number) <= 1 { 0 } else { number - 1 }, SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(entries: usize) -> Vec<AtomicU64> {
        (0..entries * ENTRY).map(|_| AtomicU64::new(0)).collect()
    }

    const KEY: Hash = Hash { place: 0, tag: 7 };

    #[test]
    fn holds_end_one_by_one_or_with_their_worker() {
        let memory = memory(WAYS);
        let holds = Holds::new(&memory);
        let other = Hash { place: 0, tag: 8 };
        assert_eq!((holds.take(KEY, 0, 3), holds.take(KEY, 1, 3), holds.take(other, 1, 1)), (Ok(()), Ok(()), Ok(())));
        assert_eq!((holds.take(KEY, 1, 3), holds.take(KEY, 0, 3)), (Ok(()), Err(Refused::Limit)));
        assert_eq!((holds.count(KEY), holds.count(other)), (3, 1));
        holds.release(KEY, 0);
        holds.release(KEY, 0);
        assert_eq!(holds.count(KEY), 2, "there was only one");
        holds.clear(1);
        assert_eq!((holds.count(KEY), holds.count(other)), (0, 0));
        assert!(memory.iter().skip(1).step_by(ENTRY).all(|number| number.load(SeqCst) == 0));
    }

    #[test]
    fn a_full_bucket_refuses_new_keys_only() {
        let memory = memory(WAYS);
        let holds = Holds::new(&memory);
        for tag in 1..=WAYS as u64 {
            assert_eq!(holds.take(Hash { place: 0, tag }, 0, 5), Ok(()));
        }
        assert_eq!(holds.take(Hash { place: 0, tag: 999 }, 0, 5), Err(Refused::Full));
        assert_eq!(holds.take(Hash { place: 0, tag: 1 }, 0, 5), Ok(()));
        holds.release(Hash { place: 0, tag: 2 }, 0);
        assert_eq!(holds.take(Hash { place: 0, tag: 999 }, 0, 5), Ok(()));
    }

    #[test]
    fn never_more_than_allowed_between_threads() {
        use std::sync::atomic::AtomicI64;
        let memory = memory(WAYS);
        let holds = Holds::new(&memory);
        let (inside, most_seen, taken) = (AtomicI64::new(0), AtomicI64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for row in 0..4 {
                let (inside, most_seen, taken) = (&inside, &most_seen, &taken);
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        if holds.take(KEY, row, 2).is_ok() {
                            most_seen.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                            taken.fetch_add(1, SeqCst);
                            inside.fetch_sub(1, SeqCst);
                            holds.release(KEY, row);
                        }
                    }
                });
            }
        });
        assert!(most_seen.load(SeqCst) <= 2, "{most_seen:?}");
        assert!(taken.load(SeqCst) > 20_000, "{taken:?}");
        assert_eq!(holds.count(KEY), 0);
    }
}
