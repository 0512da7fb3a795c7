//! Who is running, and where: the thread's number and the host's name.

/// The calling thread's number in the system; the process's own for its first thread.
pub fn thread_id() -> u32 {
    // SAFETY: takes no arguments and cannot fail.
    let id = unsafe { libc::gettid() };
    id as u32
}

/// From now on the calling thread runs where others leave the processor idle, or nearly so.
pub fn yield_to_others() {
    // SAFETY: takes no memory. Linux takes 0 for the calling thread, not its process.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
}

/// The host's name in lower case, as nginx has it; empty when the system does not tell.
pub fn host_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: pointer and length are of one live array; the call writes at most that many bytes.
    let result = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) };
    let end = if result == 0 { name.iter().position(|&byte| byte == 0).unwrap_or(name.len()) } else { 0 };
    String::from_utf8_lossy(&name[..end]).to_lowercase()
}

/// Bytes of a page of memory on this machine.
pub fn page_size() -> usize {
    // SAFETY: takes a number and gives a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096).max(512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_numbers_of_their_own() {
        let other = std::thread::spawn(thread_id).join().unwrap();
        assert_ne!(thread_id(), other);
        assert_eq!(
            host_name(),
            std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim_end().to_lowercase()
        );
    }
}
