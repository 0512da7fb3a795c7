//! `ssl_session_cache shared`: sessions in memory that all workers share, for clients that come back without a ticket.
//!
//! The memory is divided into places of one size, in groups of four; a key has its group. A place is guarded by a number
//! that is odd while somebody writes: who reads looks whether it has changed meanwhile. Nobody waits for anybody, and a
//! worker killed in the middle of writing leaves one place that is taken over soon. Losing a session is harmless: its
//! client makes a new one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use rustls::server::StoresServerSessions;

use crate::sys;
use crate::zone::Zone;

/// Words of a place: version, time, length, key, value.
const PLACE: usize = 64;
/// The same where sessions are long: with certificates of clients.
const LARGE_PLACE: usize = 512;
const KEY: usize = 4;
const HEADER: usize = 3 + KEY;
/// Places that a key may be in.
const WAYS: usize = 4;
/// A place whose writer does not come to an end is taken over after so many seconds.
const STUCK: u64 = 3;

/// The memory of a cache, or a part of it.
#[derive(Clone, Copy)]
struct Table<'m> {
    words: &'m [AtomicU64],
    place: usize,
}

/// A quarter is for long sessions.
fn tables(words: &[AtomicU64]) -> [Table<'_>; 2] {
    let (small, large) = words.split_at(words.len() / 4 * 3);
    [Table { words: small, place: PLACE }, Table { words: large, place: LARGE_PLACE }]
}

fn put(words: &[AtomicU64], key: &[u64; KEY], value: &[u8], now: u64) -> bool {
    tables(words).iter().any(|table| table.put(key, value, now))
}

fn get(words: &[AtomicU64], key: &[u64; KEY], now: u64, life: u64, remove: bool) -> Option<Vec<u8>> {
    tables(words).iter().find_map(|table| table.get(key, now, life, remove))
}

impl<'m> Table<'m> {
    /// The places of a key.
    fn group(&self, key: &[u64; KEY]) -> impl Iterator<Item = &'m [AtomicU64]> + use<'m> {
        let (words, place) = (self.words, self.place);
        let groups = words.len() / (place * WAYS);
        let at = (key[0] % groups.max(1) as u64) as usize * place * WAYS;
        (0..WAYS).filter_map(move |way| words.get(at + way * place..at + (way + 1) * place))
    }

    fn put(&self, key: &[u64; KEY], value: &[u8], now: u64) -> bool {
        if value.len() > (self.place - HEADER) * 8 {
            return false;
        }
        let has = |place: &&[AtomicU64]| (0..KEY).all(|index| place[3 + index].load(Ordering::Relaxed) == key[index]);
        let age = |place: &&[AtomicU64]| place[1].load(Ordering::Relaxed);
        let chosen = self.group(key).find(has).or_else(|| self.group(key).min_by_key(age));
        let Some(place) = chosen else { return false };
        let version = place[0].load(Ordering::Relaxed);
        let free = version % 2 == 0 || place[1].load(Ordering::Relaxed) + STUCK < now;
        let writing = if version % 2 == 0 { version + 1 } else { version + 2 };
        if !free || place[0].compare_exchange(version, writing, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        std::sync::atomic::fence(Ordering::Release);
        place[1].store(now, Ordering::Relaxed);
        place[2].store(value.len() as u64, Ordering::Relaxed);
        for (word, part) in place[3..].iter().zip(key) {
            word.store(*part, Ordering::Relaxed);
        }
        for (word, part) in place[HEADER..].iter().zip(value.chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..part.len()].copy_from_slice(part);
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
        place[0].store(writing + 1, Ordering::Release);
        true
    }

    fn get(&self, key: &[u64; KEY], now: u64, life: u64, remove: bool) -> Option<Vec<u8>> {
        self.group(key).find_map(|place| {
            let version = place[0].load(Ordering::Acquire);
            let word = |index: usize| place[index].load(Ordering::Relaxed);
            if version % 2 != 0 || version == 0 || (0..KEY).any(|index| word(3 + index) != key[index]) {
                return None;
            }
            let len = usize::try_from(word(2)).ok().filter(|len| *len <= (self.place - HEADER) * 8)?;
            let mut value = Vec::with_capacity(len + 8);
            for index in 0..len.div_ceil(8) {
                value.extend_from_slice(&word(HEADER + index).to_ne_bytes());
            }
            value.truncate(len);
            let made = word(1);
            std::sync::atomic::fence(Ordering::Acquire);
            if remove {
                // Only one may have it.
                place[0].compare_exchange(version, version + 1, Ordering::Acquire, Ordering::Relaxed).ok()?;
                place[1].store(0, Ordering::Relaxed);
                for word in &place[2..HEADER] {
                    word.store(0, Ordering::Relaxed);
                }
                place[0].store(version + 2, Ordering::Release);
            } else if place[0].load(Ordering::Relaxed) != version {
                return None;
            }
            (now <= made + life).then_some(value)
        })
    }
}

/// Keeps nothing, and lets clients hope.
#[derive(Debug)]
pub struct Forgetful;

impl StoresServerSessions for Forgetful {
    fn put(&self, _: Vec<u8>, _: Vec<u8>) -> bool {
        false
    }

    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// A server's view of a cache: sessions of other kinds of servers are none.
pub struct Shared {
    zone: Arc<Zone>,
    identity: [u8; 32],
    /// In seconds.
    life: u64,
}

impl Shared {
    pub fn new(zone: Arc<Zone>, identity: [u8; 32], life: u64) -> Shared {
        Shared { zone, identity, life }
    }

    fn key(&self, key: &[u8]) -> [u64; KEY] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.identity);
        context.update(key);
        let hash = context.finish();
        let mut words = [0; KEY];
        for (word, bytes) in words.iter_mut().zip(hash.as_ref().chunks_exact(8)) {
            let mut part = [0; 8];
            part.copy_from_slice(bytes);
            *word = u64::from_ne_bytes(part);
        }
        words
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

fn now() -> u64 {
    sys::time::coarse_seconds().max(0) as u64
}

impl StoresServerSessions for Shared {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.zone.memory().is_some_and(|memory| put(memory.numbers(), &self.key(&key), &value, now()))
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        get(self.zone.memory()?.numbers(), &self.key(key), now(), self.life, false)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        get(self.zone.memory()?.numbers(), &self.key(key), now(), self.life, true)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::{Use, Zones};

    fn words(bytes: usize) -> Vec<AtomicU64> {
        (0..bytes / 8).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn sessions_come_back_until_they_are_taken_or_old() {
        let words = words(64 * 1024);
        for len in [0, 1, 8, 200, 456, 457, 4000] {
            let (key, value) = ([len as u64 * 7, 1, 2, 3], vec![5u8; len]);
            assert!(put(&words, &key, &value, 100), "{len}");
            assert_eq!(get(&words, &key, 400, 300, false).as_ref(), Some(&value), "{len}");
            assert_eq!(get(&words, &key, 401, 300, false), None);
            assert_eq!(get(&words, &key, 100, 300, true), Some(value));
            assert_eq!(get(&words, &key, 100, 300, true), None);
        }
        assert!(!put(&words, &[1; 4], &vec![0; 8000], 1));
    }

    #[test]
    fn the_oldest_makes_room() {
        let words = words(PLACE * WAYS * 8);
        let table = Table { words: &words, place: PLACE };
        for n in 0..5 {
            assert!(table.put(&[n; KEY], b"x", 10 + n));
        }
        let left: Vec<u64> = (0..5).filter(|n| table.get(&[*n; KEY], 20, 300, false).is_some()).collect();
        assert_eq!(left, [1, 2, 3, 4]);
    }

    #[test]
    fn servers_do_not_mix() {
        let mut zones = Zones::default();
        let zone = zones.declare("a", 32 * 1024, Use::Sessions).unwrap();
        let (one, other) = (Shared::new(zone.clone(), [1; 32], 300), Shared::new(zone, [2; 32], 300));
        assert!(!one.put(b"id".to_vec(), b"v".to_vec()));
        zones.map(None).unwrap();
        assert!(one.put(b"id".to_vec(), b"v".to_vec()));
        assert_eq!((other.get(b"id"), one.get(b"id")), (None, Some(b"v".to_vec())));
    }

    #[test]
    fn a_place_whose_writer_died_is_taken_over() {
        let words = words(PLACE * WAYS * 8);
        let table = Table { words: &words, place: PLACE };
        for word in words.chunks(PLACE) {
            word[0].store(7, Ordering::Relaxed);
            word[1].store(100, Ordering::Relaxed);
        }
        assert!(!table.put(&[1; KEY], b"v", 101));
        assert!(table.put(&[1; KEY], b"v", 104));
        assert_eq!(table.get(&[1; KEY], 104, 300, false), Some(b"v".to_vec()));
    }
}
