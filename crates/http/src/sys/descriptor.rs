//! Descriptors under a fixed number.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Lets `old`'s number mean what `new` is, in one step: whoever writes to that number meanwhile writes either to the
/// one or to the other. `new` may be closed afterwards.
pub fn replace(old: &File, new: &File) -> io::Result<()> {
    loop {
        // SAFETY: both files are open for the length of the call, and `old` stays an owned, open descriptor.
        if unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) } >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
