//! Connecting to a server.

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::{TcpSocket, UnixStream};

use super::spec::Address;
use crate::transport::io::Stream;

/// How connections leave this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Via {
    /// The local address; port 0 = any.
    pub bind: Option<SocketAddr>,
    /// That address need not be one of this machine.
    pub transparent: bool,
    /// TCP keep-alive.
    pub keepalive: bool,
}

/// A new connection. There is no limit of time to it.
pub async fn connect(address: &Address, via: &Via) -> io::Result<Stream> {
    match address {
        Address::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
        Address::Inet(address) => {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            if via.keepalive {
                socket.set_keepalive(true)?;
            }
            if let Some(bind) = via.bind.filter(|bind| bind.is_ipv4() == address.is_ipv4()) {
                if via.transparent && bind.is_ipv4() {
                    SockRef::from(&socket).set_ip_transparent_v4(true)?;
                }
                socket.bind(bind)?;
            }
            let stream = socket.connect(*address).await?;
            let _ = stream.set_nodelay(true);
            Ok(Stream::Tcp(stream))
        }
    }
}
