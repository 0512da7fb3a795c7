//! How much memory a worker holds for bodies, messages and answers in progress, and the limit of it (`worker_memory`).
//!
//! Whoever holds bytes for a peer has a [`Charge`] and tells it how many. The sum is one number in the process. Beyond the
//! limit no new request is let in (503), bodies go to files, and WebSockets whose message is not complete end. Memory of
//! the application itself is not counted, nor what every connection has anyway.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

static HELD: AtomicUsize = AtomicUsize::new(0);
/// In bytes; 0 = none.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Bytes that are held as long as this is.
#[derive(Default, Debug)]
pub struct Charge(usize);

impl Charge {
    /// So many are held now.
    pub fn set(&mut self, bytes: usize) {
        if bytes > self.0 {
            HELD.fetch_add(bytes - self.0, Relaxed);
        } else if bytes < self.0 {
            HELD.fetch_sub(self.0 - bytes, Relaxed);
        }
        self.0 = bytes;
    }

    pub fn add(&mut self, bytes: usize) {
        self.set(self.0 + bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Bytes held in this process.
pub fn held() -> usize {
    HELD.load(Relaxed)
}

pub fn limit() -> usize {
    LIMIT.load(Relaxed)
}

/// Sets the limit; 0 = none.
pub fn set_limit(bytes: u64) {
    LIMIT.store(usize::try_from(bytes).unwrap_or(usize::MAX), Relaxed);
}

/// More is held than may be.
pub fn is_over() -> bool {
    let limit = limit();
    limit != 0 && held() > limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_not_held() {
        // Other tests hold something, too.
        let mut charge = Charge::default();
        charge.set(1 << 40);
        assert!(held() >= 1 << 40);
        charge.add(1 << 40);
        assert!(held() >= 2 << 40);
        drop(charge);
        assert!(held() < 1 << 40);
    }
}
