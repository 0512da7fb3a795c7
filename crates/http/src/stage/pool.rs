//! States of compressors that wait for their next body: making one costs more than a short body. One pool a thread, so
//! there is no lock, with a bounded number and a bounded size.

/// States of one kind that are kept.
const MOST: usize = 16;
/// Bytes that all states of one kind may hold together.
const BYTES: usize = 4 << 20;

/// Free states, the one that was used last at the end.
pub struct Pool<K, S> {
    free: Vec<Free<K, S>>,
    bytes: usize,
}

struct Free<K, S> {
    /// What it was made for.
    key: K,
    state: S,
    bytes: usize,
}

impl<K: PartialEq, S> Pool<K, S> {
    pub const fn new() -> Pool<K, S> {
        Pool { free: Vec::new(), bytes: 0 }
    }

    /// A state that was made for the same.
    pub fn take(&mut self, key: &K) -> Option<S> {
        let at = self.free.iter().rposition(|free| free.key == *key)?;
        let free = self.free.remove(at);
        self.bytes -= free.bytes;
        Some(free.state)
    }

    /// Gives a state back; what is too much goes, the oldest first.
    pub fn put(&mut self, key: K, state: S, bytes: usize) {
        self.free.push(Free { key, state, bytes });
        self.bytes += bytes;
        while self.free.len() > MOST || self.bytes > BYTES {
            self.bytes -= self.free.remove(0).bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_size_are_bounded() {
        let mut pool = Pool::new();
        for number in 0..40 {
            pool.put(number % 2, number, 1000);
        }
        assert_eq!((pool.free.len(), pool.bytes), (MOST, MOST * 1000));
        assert_eq!((pool.take(&0), pool.take(&1), pool.take(&1), pool.take(&2)), (Some(38), Some(39), Some(37), None));
        assert_eq!(pool.bytes, (MOST - 3) * 1000);
        pool.put(0, 50, BYTES);
        assert_eq!((pool.free.len(), pool.bytes), (1, BYTES));
        pool.put(0, 51, BYTES + 1);
        assert_eq!((pool.free.len(), pool.bytes, pool.take(&0)), (0, 0, None));
    }
}
