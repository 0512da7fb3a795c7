//! The syscall room of this crate: the only place with `unsafe`. Everything here has a safe face; what nix and
//! socket2 wrap safely is used where it is needed.

pub mod cpus;
pub mod privileges;
pub mod process;
pub mod signals;
pub mod title;

use std::ffi::OsStr;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd};

use http::slots::Slot;
use socket2::Socket;

/// What went wrong, as the C library says it, for the middle of a sentence.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// What went wrong, as nginx says it: `2: No such file or directory`.
pub fn with_code(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => format!("{code}: {}", text.split(" (os error").next().unwrap_or_default()),
        None => text,
    }
}

/// Sets or removes a variable of the environment. To be called while there is one thread.
pub fn set_variable(name: impl AsRef<OsStr>, value: Option<&OsStr>) {
    // SAFETY: callers are the master's start and reload, which run while the process has one thread, so nothing reads
    // the environment meanwhile.
    unsafe {
        match value {
            Some(value) => std::env::set_var(name.as_ref(), value),
            None => std::env::remove_var(name.as_ref()),
        }
    }
}

/// Rows in memory that this process shares with all it forks from now on. The memory is never unmapped.
pub fn shared_slots(count: usize) -> io::Result<&'static [Slot]> {
    let length = count * size_of::<Slot>();
    // SAFETY: a new anonymous mapping: it touches no memory that exists.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is `length` bytes long, page-aligned (a slot wants 128), lives until the process ends, and
    // is zeroed, which is a valid value of atomics. All access, of other processes too, is atomic.
    Ok(unsafe { std::slice::from_raw_parts(address.cast::<Slot>(), count) })
}

/// Sets a number as an option of a socket's TCP (level `IPPROTO_TCP`).
pub fn set_tcp_option(socket: &Socket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    let fd = std::os::fd::AsRawFd::as_raw_fd(socket);
    // SAFETY: the descriptor is open while `socket` is borrowed; the kernel reads `size` bytes of a number that lives.
    match unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, option, (&raw const value).cast(), size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets the priority of this process, as nice(1) counts.
pub fn set_priority(priority: i32) -> io::Result<()> {
    // SAFETY: takes no memory.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, priority) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes over a listening socket that this process inherited under a number.
pub fn inherited_socket(number: i32) -> io::Result<Socket> {
    // SAFETY: takes no memory; a number that is not open gives an error.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, as was just seen, and nothing closes it while it is borrowed here.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    if !socket2::SockRef::from(&borrowed).is_listener()? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a listening socket"));
    }
    // SAFETY: no part of this program opens listening sockets without owning them under their own numbers, so one
    // that the user names was inherited, and nobody else here owns it.
    Ok(unsafe { Socket::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    #[test]
    fn reasons_fit_into_a_sentence() {
        assert_eq!(reason(&io::Error::from_raw_os_error(libc::EACCES)), "permission denied");
        assert_eq!(reason(&io::Error::other("Odd")), "odd");
    }

    #[test]
    fn slots_begin_free() {
        let slots = shared_slots(3).unwrap();
        assert_eq!(slots.iter().map(|slot| slot.pid.load(Relaxed)).sum::<u32>(), 0);
    }

    #[test]
    fn only_a_listening_socket_is_inherited() {
        assert_eq!(inherited_socket(987_654).unwrap_err().raw_os_error(), Some(libc::EBADF));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = inherited_socket(listener.into_raw_fd()).unwrap();
        assert_eq!(socket.local_addr().unwrap().as_socket(), Some(address));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(inherited_socket(std::os::fd::AsRawFd::as_raw_fd(&file)).is_err());
    }
}
