//! A sorted list of the places at which a value changes: the index of the value at any place, in one binary search.

/// Keys are addresses as numbers.
pub struct Segments<K> {
    starts: Vec<K>,
    /// The value from the start of the same index on, up to the next start.
    values: Vec<Option<u32>>,
}

impl<K> Default for Segments<K> {
    fn default() -> Segments<K> {
        Segments { starts: Vec::new(), values: Vec::new() }
    }
}

/// An address as a number.
pub trait Key: Copy + Ord {
    /// The number after it, if it is not the last.
    fn next(self) -> Option<Self>;
}

impl Key for u32 {
    fn next(self) -> Option<u32> {
        self.checked_add(1)
    }
}

impl Key for u128 {
    fn next(self) -> Option<u128> {
        self.checked_add(1)
    }
}

impl<K: Key> Segments<K> {
    /// From networks (first address, prefix, value), none twice, in any order; `last` gives the last address of one. The
    /// value of the longest prefix counts.
    pub fn from_networks(mut networks: Vec<(K, u8, u32)>, last: impl Fn(K, u8) -> K) -> Segments<K> {
        networks.sort_unstable();
        let mut built = Segments::default();
        // Networks that have begun and not ended, from the outside in.
        let mut open: Vec<(K, u32)> = Vec::new();
        for (first, prefix, value) in networks {
            while let Some((end, _)) = open.last().copied().filter(|(end, _)| *end < first) {
                open.pop();
                built.turn(end.next(), open.last().map(|(_, value)| *value));
            }
            built.turn(Some(first), Some(value));
            open.push((last(first, prefix), value));
        }
        while let Some((end, _)) = open.pop() {
            built.turn(end.next(), open.last().map(|(_, value)| *value));
        }
        built
    }

    /// From ranges (first, last, value) in their order, none over another.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (K, K, u32)>) -> Segments<K> {
        let mut built = Segments::default();
        for (first, last, value) in ranges {
            built.turn(Some(first), Some(value));
            built.turn(last.next(), None);
        }
        built
    }

    /// From `at` on it is `value`; `None` is behind the last address.
    fn turn(&mut self, at: Option<K>, value: Option<u32>) {
        let Some(at) = at else { return };
        if self.starts.last() == Some(&at) {
            self.starts.pop();
            self.values.pop();
        }
        if self.values.last().copied().flatten() != value {
            self.starts.push(at);
            self.values.push(value);
        }
    }

    /// The value at `key`.
    pub fn find(&self, key: K) -> Option<u32> {
        let after = self.starts.partition_point(|start| *start <= key);
        self.values[after.checked_sub(1)?]
    }
}
