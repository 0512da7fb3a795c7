//! Memory that this process shares with all that it forks from now on.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// An anonymous mapping, zeroed, unmapped with its last owner in each process.
pub struct Shared {
    address: NonNull<AtomicU64>,
    /// How many numbers there are.
    count: usize,
}

// SAFETY: it is a slice of atomics that it owns; those may be used from any thread.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Maps `bytes`, rounded down to whole numbers. The kernel gives pages only once they are written to.
    pub fn new(bytes: usize) -> io::Result<Shared> {
        let count = bytes / size_of::<AtomicU64>();
        if count == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping: it touches no memory that exists.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), count * 8, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Shared { address, count })
    }

    pub fn numbers(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has room for `count` numbers, is page-aligned, lives as long as `self`, and is zeroed,
        // which is a valid value of atomics. All access, of other processes too, is atomic.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.count) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped, once, and no borrow of it is left. Other processes keep theirs.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.count * 8) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn it_begins_zeroed_and_takes_numbers() {
        let shared = Shared::new(8192).unwrap();
        assert_eq!(shared.numbers().len(), 1024);
        assert!(shared.numbers().iter().all(|number| number.load(Relaxed) == 0));
        shared.numbers()[1023].store(7, Relaxed);
        assert_eq!(shared.numbers()[1023].load(Relaxed), 7);
        assert!(Shared::new(7).is_err());
    }
}
