//! Words to the service manager, as sd_notify(3): a datagram to the socket that `NOTIFY_SOCKET` names. Units with
//! `Type=notify`, which Gunicorn's documentation recommends, wait for them.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells the service manager, if there is one that listens.
pub(super) fn tell(state: &str) {
    if let Ok(socket) = std::env::var("NOTIFY_SOCKET") {
        // It may have gone away; that is its own business.
        let _ = send(&socket, state);
    }
}

fn send(socket: &str, state: &str) -> io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_is_told() {
        let name = format!("daemun-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        send(&format!("@{name}"), "READY=1").unwrap();
        let mut bytes = [0; 16];
        let count = manager.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"READY=1");
        assert!(send("/nowhere/notify", "READY=1").is_err());
    }
}
