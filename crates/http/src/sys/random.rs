//! Random bytes of the kernel.

use std::fs::File;
use std::io::Read;

/// A number that nobody can guess.
pub fn number() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// 32 hexadecimal digits: `$request_id`.
pub fn hex_id() -> [u8; 32] {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    digits
}

fn fill(bytes: &mut [u8]) {
    // SAFETY: pointer and length are of one live slice, which the kernel fills.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got != bytes.len() as isize {
        // A kernel without the call: the device has the same bytes. Without either, they stay zero.
        let _ = File::open("/dev/urandom").and_then(|mut device| device.read_exact(bytes));
    }
}
