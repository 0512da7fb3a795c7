//! The sockets of nginx's `listen`, with all its options.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use http::config::listen::{Address, Listen};
use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};

use super::listeners::{identify, remove_stale};
use crate::sys::set_tcp_option;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 511;

/// Opens a socket; for one that is a file, gives the file's device and inode, too.
pub fn open(listen: &Listen) -> io::Result<(Socket, Option<(u64, u64)>)> {
    let (domain, bound) = match &listen.address {
        Address::Inet(address) => (Domain::for_address(*address), SockAddr::from(*address)),
        Address::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    match &listen.address {
        Address::Inet(address) => {
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(listen.options.reuseport)?;
            if address.is_ipv6() {
                socket.set_only_v6(listen.options.ipv6only)?;
            }
        }
        Address::Unix(path) => remove_stale(path)?,
    }
    socket.bind(&bound)?;
    let file = match &listen.address {
        Address::Inet(_) => None,
        Address::Unix(path) => {
            std::fs::set_permissions(path, Permissions::from_mode(0o666))?;
            Some(identify(path)?)
        }
    };
    apply(listen, &socket)?;
    Ok((socket, file))
}

/// Sets the options that an open socket can still take, and listens. Connections inherit most of them.
pub fn apply(listen: &Listen, socket: &Socket) -> io::Result<()> {
    let options = &listen.options;
    if let Some(size) = options.rcvbuf {
        socket.set_recv_buffer_size(size)?;
    }
    if let Some(size) = options.sndbuf {
        socket.set_send_buffer_size(size)?;
    }
    if let Some(keep_alive) = &options.so_keepalive {
        socket.set_keepalive(keep_alive.on)?;
        let mut times = TcpKeepalive::new();
        if let Some(idle) = keep_alive.idle {
            times = times.with_time(Duration::from_secs(idle));
        }
        if let Some(interval) = keep_alive.interval {
            times = times.with_interval(Duration::from_secs(interval));
        }
        if let Some(count) = keep_alive.count {
            times = times.with_retries(count);
        }
        if keep_alive.on && matches!(listen.address, Address::Inet(_)) {
            socket.set_tcp_keepalive(&times)?;
        }
    }
    if matches!(listen.address, Address::Inet(_)) {
        // Answers leave in one piece, there is nothing to wait for.
        socket.set_tcp_nodelay(true)?;
        if let Some(queue) = options.fastopen {
            set_tcp_option(socket, libc::TCP_FASTOPEN, queue)?;
        }
    }
    socket.listen(options.backlog.unwrap_or(BACKLOG))?;
    if matches!(listen.address, Address::Inet(_)) {
        set_tcp_option(socket, libc::TCP_DEFER_ACCEPT, options.deferred.into())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Listen {
        let words: Vec<conf::Word> = text.split(' ').map(|word| conf::Word::new(word, conf::At::Default)).collect();
        let parsed = http::config::listen::parse(&words).unwrap();
        let address = parsed.addresses[0].clone();
        Listen { text: address.to_string(), address, options: parsed.options, at: conf::At::Default }
    }

    #[test]
    fn options_reach_the_socket() {
        let line = "127.0.0.1:21590 rcvbuf=64k sndbuf=32k deferred fastopen=5 so_keepalive=60:7:3 reuseport backlog=9";
        let (socket, _) = open(&listen(line)).unwrap();
        // The kernel doubles what is asked for.
        assert_eq!((socket.recv_buffer_size().unwrap(), socket.send_buffer_size().unwrap()), (128 << 10, 64 << 10));
        assert!(socket.keepalive().unwrap() && socket.reuse_port().unwrap() && socket.is_listener().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 60);
        let (second, _) = open(&listen(line)).expect("each worker has one");
        drop((socket, second));
        let (_first, _) = open(&listen("127.0.0.1:21590")).unwrap();
        let error = open(&listen("127.0.0.1:21590")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
    }

    #[test]
    fn all_may_connect_to_a_unix_socket() {
        let path = std::env::temp_dir().join(format!("daemun-options-{}", std::process::id()));
        let (_socket, file) = open(&listen(&format!("unix:{}", path.display()))).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        assert!(file.is_some());
        std::fs::remove_file(&path).unwrap();
    }
}
