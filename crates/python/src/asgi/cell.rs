//! State that belongs to Python objects: whoever is attached to the interpreter may look at it, one at a time.

use std::cell::{Cell, UnsafeCell};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

pub struct Attached<T> {
    borrowed: Cell<bool>,
    value: UnsafeCell<T>,
}

// SAFETY: `with` is the only way in, it needs the interpreter's lock, which one thread holds at a time, and it refuses
// a second borrow while one lasts, also from another thread that got the lock in between.
unsafe impl<T: Send> Sync for Attached<T> {}

impl<T> Attached<T> {
    pub fn new(value: T) -> Self {
        Attached { borrowed: Cell::new(false), value: UnsafeCell::new(value) }
    }

    /// Lends the value. Fails when it is lent already: two threads, or an object that is used while it is being used.
    pub fn with<R>(&self, _: Python<'_>, act: impl FnOnce(&mut T) -> PyResult<R>) -> PyResult<R> {
        struct Lent<'a>(&'a Cell<bool>);
        impl Drop for Lent<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        if self.borrowed.replace(true) {
            return Err(PyRuntimeError::new_err("used by two at a time"));
        }
        let _lent = Lent(&self.borrowed);
        // SAFETY: the flag says that there is no other borrow, and the interpreter's lock that nobody else looks at
        // the flag at this moment.
        act(unsafe { &mut *self.value.get() })
    }
}
