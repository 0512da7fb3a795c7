//! Short texts per key, for those who can do without: what sessions and caches keep. A text may be forgotten at any
//! time, and is never wrong: it is stored with a keyed sum of itself, so a text that two workers wrote into each
//! other, or that a killed one left half-written, is as good as none.
//!
//! An entry is: the tag of the key, the time it was stored with the length above, the sum, the bytes. It is in one of
//! 8 neighbours; the oldest is given up.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::hash::{Hash, Secret};

/// Entries of a bucket.
const WAYS: usize = 8;
/// Numbers of an entry before its bytes.
const HEAD: usize = 3;
/// The length is above, the time below: seconds, good for 34,000 years.
const TIME: u32 = 40;

#[derive(Clone, Copy)]
pub struct Values<'m> {
    numbers: &'m [AtomicU64],
    secret: Secret,
    /// The longest text, in bytes.
    longest: usize,
}

impl<'m> Values<'m> {
    /// In this memory, all zeroes in the beginning, texts of up to `longest` bytes (16 MB at most).
    pub fn new(numbers: &'m [AtomicU64], secret: Secret, longest: usize) -> Values<'m> {
        Values { numbers, secret, longest: longest.min((1 << 24) - 1) }
    }

    /// Numbers of an entry.
    fn entry(&self) -> usize {
        HEAD + self.longest.div_ceil(8)
    }

    fn bucket(&self, hash: Hash) -> &'m [AtomicU64] {
        let size = self.entry() * WAYS;
        let at = hash.place_among(self.numbers.len() / size) * size;
        self.numbers.get(at..at + size).unwrap_or_default()
    }

    /// The text of a key, and when it was stored.
    pub fn get(&self, hash: Hash) -> Option<(Vec<u8>, u64)> {
        let mut entries = self.bucket(hash).chunks_exact(self.entry());
        let entry = entries.find(|entry| entry[0].load(Acquire) == hash.tag)?;
        let about = entry[1].load(Acquire);
        let len = (about >> TIME) as usize;
        let sum = entry[2].load(Acquire);
        if len > self.longest {
            return None;
        }
        let mut text = Vec::with_capacity(self.longest + 8);
        for number in &entry[HEAD..HEAD + len.div_ceil(8)] {
            text.extend_from_slice(&number.load(Relaxed).to_le_bytes());
        }
        text.truncate(len);
        (self.sum(hash, about, &text) == sum).then_some((text, about & ((1 << TIME) - 1)))
    }

    /// Stores a text, at a time in seconds. `false`: it is too long.
    pub fn put(&self, hash: Hash, text: &[u8], now: u64) -> bool {
        if text.len() > self.longest {
            return false;
        }
        let entries = || self.bucket(hash).chunks_exact(self.entry());
        let own = entries().find(|entry| entry[0].load(Acquire) == hash.tag);
        let oldest = || {
            entries().min_by_key(|entry| match entry[0].load(Relaxed) {
                0 => 0,
                _ => 1 + (entry[1].load(Relaxed) & ((1 << TIME) - 1)),
            })
        };
        let Some(entry) = own.or_else(oldest) else { return false };
        let about = ((text.len() as u64) << TIME) | (now & ((1 << TIME) - 1));
        entry[2].store(0, Release);
        entry[0].store(hash.tag, Release);
        entry[1].store(about, Release);
        for (number, bytes) in entry[HEAD..].iter().zip(text.chunks(8)) {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            number.store(u64::from_le_bytes(word), Relaxed);
        }
        entry[2].store(self.sum(hash, about, text), Release);
        true
    }

    /// Forgets a text.
    pub fn remove(&self, hash: Hash) {
        let mut entries = self.bucket(hash).chunks_exact(self.entry());
        if let Some(entry) = entries.find(|entry| entry[0].load(Acquire) == hash.tag) {
            entry[2].store(0, Release);
            // Unless it has become another key's meanwhile.
            let _ = entry[0].compare_exchange(hash.tag, 0, Release, Relaxed);
        }
    }

    fn sum(&self, hash: Hash, about: u64, text: &[u8]) -> u64 {
        let mut all = Vec::with_capacity(24 + text.len());
        for number in [hash.place, hash.tag, about] {
            all.extend_from_slice(&number.to_le_bytes());
        }
        all.extend_from_slice(text);
        self.secret.hash(&all).tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(entries: usize, longest: usize) -> Vec<AtomicU64> {
        (0..entries * (HEAD + longest.div_ceil(8))).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn texts_come_back_as_they_were() {
        let memory = memory(4 * WAYS, 20);
        let secret = Secret::random();
        let values = Values::new(&memory, secret, 20);
        for (key, text) in [("a", "first"), ("b", ""), ("c", "twenty bytes in all!"), ("a", "second")] {
            assert!(values.put(secret.hash(key.as_bytes()), text.as_bytes(), 5));
        }
        let get = |key: &str| values.get(secret.hash(key.as_bytes())).map(|(text, _)| String::from_utf8(text).unwrap());
        assert_eq!(get("a").as_deref(), Some("second"));
        assert_eq!((get("b").as_deref(), get("c").as_deref()), (Some(""), Some("twenty bytes in all!")));
        assert!(!values.put(secret.hash(b"d"), &[0; 21], 5));
        values.remove(secret.hash(b"a"));
        assert_eq!((get("a"), get("d")), (None, None));
    }

    #[test]
    fn the_oldest_goes_and_half_a_text_is_none() {
        let memory = memory(WAYS, 8);
        let values = Values::new(&memory, Secret::random(), 8);
        let key = |tag| Hash { place: 0, tag };
        for tag in 1..=WAYS as u64 + 1 {
            assert!(values.put(key(tag), &tag.to_le_bytes(), 100 + tag));
        }
        assert_eq!(values.get(key(1)), None);
        assert_eq!(values.get(key(2)), Some((2u64.to_le_bytes().to_vec(), 102)));
        let entry = memory.chunks_exact(values.entry()).find(|entry| entry[0].load(Relaxed) == 2).unwrap();
        entry[HEAD].store(77, Relaxed);
        assert_eq!(values.get(key(2)), None);
    }
}
