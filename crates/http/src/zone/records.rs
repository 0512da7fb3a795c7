//! A record of numbers per key, for a few keys that stay, with two sums that each worker has a share in: what workers
//! know of the servers of a group.
//!
//! The memory begins with one number, how many records there are; then the records, then the shares. A record is known
//! by the tag of its key. A share belongs to one worker and one record: it says that the worker uses the record, and
//! what of the two sums is the worker's. Only its worker changes it; when the worker is dead, the master takes its
//! shares from the sums and gives them back. A worker adds to its share first, and then to the sum: one that is killed
//! in between has added less to the sum than is taken from it, never more; sums do not fall below zero, so that is over
//! when the next sum is back at zero.
//!
//! A record that nobody has a share in may be given to another key. While that is done its tag says so, with the row of
//! the worker that does it: should that be killed, the master frees the record.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use super::hash::Hash;

/// Numbers of a record. The first is its tag, the next two are the sums.
pub const RECORD: usize = 16;
/// Where the sums are in a record.
pub const SUMS: [usize; 2] = [1, 2];
/// Numbers of a share: whose of what, the two parts, nothing.
const SHARE: usize = 4;
/// In a tag: the record changes hands, the row is below.
const CHANGING: u64 = 1 << 63;
/// In the first number of a share, the row + 1 is above, the record + 1 below.
const ROW: u32 = 32;
/// How often is tried again what failed because others were at it.
const TRIES: u32 = 1000;

/// A worker's share in a record, as places in the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Where the record begins.
    pub record: usize,
    /// Where the share does.
    share: usize,
}

#[derive(Clone, Copy)]
pub struct Records<'m> {
    numbers: &'m [AtomicU64],
}

/// How many bytes so many records need, with shares of so many workers.
pub fn bytes(records: u64, workers: u64) -> u64 {
    8 * (1 + records * (RECORD as u64 + SHARE as u64 * workers))
}

impl<'m> Records<'m> {
    /// In this memory, all zeroes in the beginning.
    pub fn new(numbers: &'m [AtomicU64]) -> Records<'m> {
        Records { numbers }
    }

    /// Lays the memory out for so many records; who comes later finds it laid out.
    pub fn lay_out(&self, records: usize) {
        let most = self.numbers.len().saturating_sub(1) / (RECORD + SHARE);
        let _ = self.numbers[0].compare_exchange(0, records.min(most) as u64, SeqCst, SeqCst);
    }

    fn count(&self) -> usize {
        self.numbers.first().map_or(0, |number| number.load(SeqCst) as usize)
    }

    fn tag(&self, index: usize) -> &'m AtomicU64 {
        &self.numbers[1 + index * RECORD]
    }

    /// Where shares begin.
    fn shares(&self) -> impl Iterator<Item = usize> + use<'m> {
        let first = 1 + self.count() * RECORD;
        (0..self.numbers.len().saturating_sub(first) / SHARE).map(move |index| first + index * SHARE)
    }

    /// A share of the worker in this row in the record of the key, which is made if there is none. `None`: there is no
    /// room.
    pub fn open(&self, hash: Hash, row: usize) -> Option<Share> {
        let tag = hash.tag & !CHANGING | 1;
        let count = self.count();
        for _ in 0..TRIES {
            let places = || (0..count).map(|step| (hash.place_among(count.max(1)) + step) % count);
            if let Some(index) = places().find(|index| self.tag(*index).load(SeqCst) == tag) {
                let share = self.claim(index, row)?;
                if self.tag(index).load(SeqCst) == tag {
                    return Some(Share { record: 1 + index * RECORD, share });
                }
                self.give_back(share);
                continue;
            }
            // Another worker may be about to make the same one: all take the first that is free.
            if let Some(index) = places().find(|index| matches!(self.tag(*index).load(SeqCst), 0 | CHANGING..)) {
                if self.tag(index).compare_exchange(0, tag, SeqCst, SeqCst).is_err() {
                    std::thread::yield_now();
                }
                continue;
            }
            let unused = places().find(|index| !self.is_used(*index))?;
            self.change(unused, tag, row);
        }
        None
    }

    /// Gives a record that nobody uses to another key, if that is still so.
    fn change(&self, index: usize, tag: u64, row: usize) {
        let old = self.tag(index).load(SeqCst);
        let changing = CHANGING | row as u64;
        if old & CHANGING != 0 || self.tag(index).compare_exchange(old, changing, SeqCst, SeqCst).is_err() {
            return;
        }
        if self.is_used(index) {
            // Its key has come back meanwhile.
            self.tag(index).store(old, SeqCst);
            return;
        }
        for number in &self.numbers[2 + index * RECORD..1 + (index + 1) * RECORD] {
            number.store(0, SeqCst);
        }
        self.tag(index).store(tag, SeqCst);
    }

    fn is_used(&self, index: usize) -> bool {
        let of_it = |share: usize| self.numbers[share].load(SeqCst) & ((1 << ROW) - 1) == index as u64 + 1;
        self.shares().any(of_it)
    }

    /// Makes an empty share the worker's.
    fn claim(&self, index: usize, row: usize) -> Option<usize> {
        let whose = (row as u64 + 1) << ROW | (index as u64 + 1);
        self.shares().find(|share| self.numbers[*share].compare_exchange(0, whose, SeqCst, SeqCst).is_ok())
    }

    fn give_back(&self, share: usize) {
        self.numbers[share + 1].store(0, SeqCst);
        self.numbers[share + 2].store(0, SeqCst);
        self.numbers[share].store(0, SeqCst);
    }

    /// Adds to a sum. The caller sees to it that a worker does one thing at a time to a share.
    pub fn add(&self, of: Share, which: usize, number: u64) {
        self.numbers[of.share + 1 + which].fetch_add(number, SeqCst);
        self.numbers[of.record + SUMS[which]].fetch_add(number, SeqCst);
    }

    /// Takes from a sum what was added.
    pub fn take(&self, of: Share, which: usize, number: u64) {
        less(&self.numbers[of.record + SUMS[which]], number);
        less(&self.numbers[of.share + 1 + which], number);
    }

    /// The worker does not use the record any more.
    pub fn close(&self, of: Share) {
        for (which, sum) in SUMS.into_iter().enumerate() {
            less(&self.numbers[of.record + sum], self.numbers[of.share + 1 + which].load(SeqCst));
        }
        self.give_back(of.share);
    }

    /// Nothing is left of a worker that has ended.
    pub fn clear(&self, row: usize) {
        for share in self.shares() {
            let whose = self.numbers[share].load(SeqCst);
            if whose >> ROW == row as u64 + 1
                && let Some(index) = ((whose & ((1 << ROW) - 1)) as usize).checked_sub(1)
                && index < self.count()
            {
                self.close(Share { record: 1 + index * RECORD, share });
            }
        }
        for index in 0..self.count() {
            let _ = self.tag(index).compare_exchange(CHANGING | row as u64, 0, SeqCst, SeqCst);
        }
    }
}

fn less(number: &AtomicU64, by: u64) {
    let _ = number.fetch_update(SeqCst, SeqCst, |now| Some(now.saturating_sub(by)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(records: u64, workers: u64) -> Vec<AtomicU64> {
        let memory: Vec<_> = (0..bytes(records, workers) / 8).map(|_| AtomicU64::new(0)).collect();
        Records::new(&memory).lay_out(records as usize);
        memory
    }

    fn key(tag: u64) -> Hash {
        Hash { place: tag << 61, tag: tag << 1 }
    }

    #[test]
    fn what_a_worker_added_goes_with_it() {
        let memory = memory(4, 2);
        let records = Records::new(&memory);
        let (one, two) = (records.open(key(1), 0).unwrap(), records.open(key(1), 1).unwrap());
        assert_eq!(one.record, two.record);
        assert_ne!(records.open(key(2), 0).unwrap().record, one.record);
        let sum = || memory[one.record + SUMS[0]].load(SeqCst);
        records.add(one, 0, 3);
        records.add(two, 0, 4);
        records.take(one, 0, 1);
        assert_eq!(sum(), 6);
        records.clear(1);
        assert_eq!(sum(), 2);
        records.close(one);
        assert_eq!(sum(), 0);
    }

    #[test]
    fn records_that_nobody_uses_are_given_to_others() {
        let memory = memory(2, 2);
        let records = Records::new(&memory);
        let first = records.open(key(1), 0).unwrap();
        memory[first.record + 5].store(7, SeqCst);
        let second = records.open(key(2), 0).unwrap();
        assert_eq!(records.open(key(3), 0), None);
        records.close(first);
        let again = records.open(key(1), 1).unwrap();
        assert_eq!((again.record, memory[again.record + 5].load(SeqCst)), (first.record, 7), "nobody wanted it");
        records.close(again);
        let third = records.open(key(3), 0).unwrap();
        assert_eq!((third.record, memory[third.record + 5].load(SeqCst)), (first.record, 0));
        assert_ne!(third.record, second.record);
    }

    #[test]
    fn a_worker_that_is_killed_between_two_steps_leaves_nothing() {
        let memory = memory(1, 2);
        let records = Records::new(&memory);
        let share = records.open(key(1), 0).unwrap();
        // It has noted its share, and not added to the sum.
        memory[share.share + 1].fetch_add(1, SeqCst);
        records.clear(0);
        assert_eq!(memory[share.record + SUMS[0]].load(SeqCst), 0);
        // It was giving the record to another key.
        memory[1].store(CHANGING | 5, SeqCst);
        records.clear(4);
        assert!(memory[1].load(SeqCst) & CHANGING != 0);
        records.clear(5);
        assert!(records.open(key(2), 0).is_some());
    }

    #[test]
    fn workers_that_come_at_once_share_one_record() {
        for _ in 0..200 {
            let memory = memory(8, 8);
            let records = Records::new(&memory);
            let found: Vec<usize> = std::thread::scope(|scope| {
                let open = |row| scope.spawn(move || records.open(key(3), row).map(|share| share.record));
                let all: Vec<_> = (0..8).map(open).collect();
                all.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect()
            });
            assert!(found.len() == 8 && found.iter().all(|record| *record == found[0]), "{found:?}");
        }
    }
}
