//! The syscall room: the only place of this crate with `unsafe`.

pub mod descriptor;
pub mod epoll;
pub mod identity;
pub mod open;
pub mod process;
pub mod random;
pub mod shared;
pub mod time;

use std::io;
use std::os::fd::RawFd;

/// The most that one `sendfile` sends, so that one client does not hold the thread.
pub const SENDFILE_MOST: u64 = 2 << 20;

/// Sends up to `left` bytes of `file` from `offset` to `socket`; see sendfile(2).
pub fn sendfile(socket: RawFd, file: RawFd, offset: u64, left: u64) -> io::Result<usize> {
    let count = left.min(SENDFILE_MOST) as usize;
    let mut at = offset as libc::off_t;
    // SAFETY: both descriptors are open for the length of the call (their owners are borrowed by the caller) and
    // `at` outlives it.
    let sent = unsafe { libc::sendfile(socket, file, &mut at, count) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

/// Tells the peer that no more bytes follow.
pub fn shutdown_write(socket: RawFd) {
    // SAFETY: takes no memory; a descriptor that is not a socket gives an error, which nobody needs.
    unsafe { libc::shutdown(socket, libc::SHUT_WR) };
}

/// Sets or clears TCP_CORK.
pub fn cork(socket: RawFd, on: bool) {
    let value: libc::c_int = on.into();
    // SAFETY: `value` is an int and its size is given; it outlives the call.
    unsafe {
        libc::setsockopt(
            socket,
            libc::IPPROTO_TCP,
            libc::TCP_CORK,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
}

/// Sends bytes that more will follow at once; see MSG_MORE in send(2).
pub fn send_more(socket: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_MORE | libc::MSG_NOSIGNAL;
    // SAFETY: pointer and length are of one live slice.
    let sent = unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

/// Looks whether there is something to read; 0: the peer has ended the connection.
pub fn peek(socket: RawFd) -> io::Result<usize> {
    let mut byte = 0u8;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the one byte that the pointer is to outlives the call.
    let got = unsafe { libc::recv(socket, (&raw mut byte).cast(), 1, flags) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(got as usize) }
}

/// Sends what the socket takes at once of some slices.
pub fn send_slices(socket: RawFd, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: an all-zero `msghdr` is a valid, empty one. `IoSlice` has the layout of `iovec`, and the kernel only
    // reads the slices, which outlive the call.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = slices.as_ptr().cast_mut().cast();
        message.msg_iovlen = slices.len();
        libc::sendmsg(socket, &message, flags)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

/// Whether the process runs as root.
pub fn is_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Our end of a connection; `None` for a Unix socket.
pub fn local_address(socket: RawFd) -> Option<std::net::SocketAddr> {
    if socket < 0 {
        return None;
    }
    // SAFETY: the descriptor belongs to a connection that is being served, and is only borrowed for the call.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(socket) };
    let address = socket2::SockRef::from(&borrowed).local_addr().ok()?.as_socket()?;
    Some(std::net::SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// Round trip time, its variance (both in µs), congestion window and room to receive of a TCP connection.
pub fn tcp_info(socket: RawFd) -> Option<[u32; 4]> {
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: `info` has room for `len` bytes, and both outlive the call.
    let done =
        unsafe { libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &mut len) };
    if done != 0 {
        return None;
    }
    // SAFETY: an all-zero `tcp_info` is a valid one, and the kernel wrote only whole fields.
    let info = unsafe { info.assume_init() };
    Some([info.tcpi_rtt, info.tcpi_rttvar, info.tcpi_snd_cwnd, info.tcpi_rcv_space])
}

/// Makes `buf` `len` bytes long after a read filled its spare capacity up to there.
pub fn grow_initialised(buf: &mut Vec<u8>, len: usize) {
    assert!(len <= buf.capacity());
    // SAFETY: `len` is within the capacity, and the caller's `ReadBuf` counted these bytes as filled.
    unsafe { buf.set_len(len) };
}

/// Waits until a descriptor is writable; `false` when `ms` milliseconds have passed.
pub fn wait_writable(fd: RawFd, ms: u64) -> bool {
    let ms = i32::try_from(ms).unwrap_or(i32::MAX);
    let mut poll = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    loop {
        // SAFETY: one pollfd, which outlives the call.
        let count = unsafe { libc::poll(&mut poll, 1, ms) };
        // A signal does not end the wait; its handler has noted it.
        if count >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return count > 0;
        }
    }
}

/// An anonymous file in `directory`, gone when closed. A directory that is not there is made, as nginx does when it
/// starts.
pub fn temporary_file(directory: &std::path::Path) -> io::Result<std::fs::File> {
    match anonymous_file(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            use std::os::unix::fs::DirBuilderExt;
            match std::fs::DirBuilder::new().mode(0o700).create(directory) {
                // Another worker may have been faster.
                Err(failed) if failed.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => anonymous_file(directory),
            }
        }
        other => other,
    }
}

fn anonymous_file(directory: &std::path::Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let anonymous =
        std::fs::OpenOptions::new().read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(directory);
    match anonymous {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT)) => {
            named_then_unlinked(directory)
        }
        other => other,
    }
}

/// Where the file system has no O_TMPFILE: a new name, taken away at once.
fn named_then_unlinked(directory: &std::path::Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("daemun-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = directory.join(name);
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
