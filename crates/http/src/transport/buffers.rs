//! Buffers that much is read into at once. They are a thread's: taken for the moment in which there is something to
//! read, and given back when it has gone on, so that who waits holds none.

use std::cell::RefCell;

/// Bytes of a buffer.
pub const SIZE: usize = 128 * 1024;
/// How many are kept.
const KEEP: usize = 4;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub fn take() -> Vec<u8> {
    FREE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(SIZE))
}

/// Gives it back.
pub fn put(mut buffer: Vec<u8>) {
    if buffer.capacity() < SIZE || buffer.capacity() > 2 * SIZE {
        return;
    }
    buffer.clear();
    FREE.with_borrow_mut(|free| {
        if free.len() < KEEP {
            free.push(buffer);
        }
    });
}
