//! Python's `bytes` lent to the socket: sent from where they are, released when sent.

use http::exchange::{Chunk, Foreign};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A `bytes` object that is kept until it is sent. Dropped on any thread: PyO3 keeps the reference for the next
/// thread that is attached, if this one is not.
struct Lent {
    #[expect(dead_code, reason = "keeps the bytes alive")]
    owner: Py<PyBytes>,
    start: *const u8,
    len: usize,
}

// SAFETY: `start` points into an immutable object that `owner` keeps alive, whichever thread looks at it.
unsafe impl Send for Lent {}

impl Foreign for Lent {
    fn bytes(&self) -> &[u8] {
        // SAFETY: a bytes object's data neither moves nor changes while `owner` holds it, and `len` is its length.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

/// A piece of a body that is a Python object.
pub fn lend(bytes: &Bound<'_, PyBytes>) -> Chunk {
    let slice = bytes.as_bytes();
    Chunk::Foreign(Box::new(Lent { owner: bytes.clone().unbind(), start: slice.as_ptr(), len: slice.len() }))
}
