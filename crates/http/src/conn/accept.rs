//! Taking connections from the listeners.
//!
//! The listening sockets are shared by all workers. A worker leaves a connection to another one while that one has
//! nothing to do or clearly fewer connections: so a busy worker does not hold what an idle one could serve.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};

use super::h1;
use crate::engine::Engine;
use crate::exchange::{Local, Peer};
use crate::transport::Conn;
use crate::transport::io::Stream;
use crate::transport::tls::TlsStream;

/// A listening socket of this worker.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What is known of our end of a listener's connections.
pub struct Locals {
    pub any: Arc<Local>,
    /// For connections to addresses that have servers of their own.
    pub specific: Vec<(SocketAddr, Arc<Local>)>,
    /// Nobody else takes connections from this socket (`reuseport`).
    pub alone: bool,
}

impl Locals {
    /// One end for all connections.
    pub fn one(any: Local) -> Locals {
        Locals { any: Arc::new(any), specific: Vec::new(), alone: false }
    }

    fn of(&self, stream: &Stream) -> Arc<Local> {
        if self.specific.is_empty() {
            return self.any.clone();
        }
        let address = crate::sys::local_address(stream.as_raw_fd());
        let found = self.specific.iter().find(|(own, _)| Some(*own) == address);
        found.map_or(&self.any, |(_, local)| local).clone()
    }
}

/// How long a worker looks away for the others to take a connection.
const LOOK_AWAY: Duration = Duration::from_millis(1);
/// How many times in a row it does.
const LOOKS: u32 = 20;
/// How long it waits when it is out of descriptors or memory.
const EXHAUSTED: Duration = Duration::from_millis(200);

impl Listener {
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Peer::Inet(address)))
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Peer::Unix))
            }
        }
    }
}

/// Accepts for as long as the task lives.
pub async fn run(engine: Arc<Engine>, listener: Listener, locals: Locals) {
    if let Listener::Tcp(listener) = &listener {
        // The connections inherit it: answers leave in one piece, there is nothing to wait for.
        let _ = socket2::SockRef::from(listener).set_tcp_nodelay(true);
    }
    loop {
        engine.make_room();
        while engine.is_full() {
            tokio::time::sleep(LOOK_AWAY).await;
            engine.make_room();
        }
        // Not for ever: the other one may be stopped, and then nobody would come.
        for _ in 0..LOOKS {
            if locals.alone || !engine.should_look_away() {
                break;
            }
            tokio::time::sleep(LOOK_AWAY).await;
        }
        match listener.accept().await {
            Ok((stream, peer)) => {
                let local = locals.of(&stream);
                let ssl = engine.config.listens[local.listen].listen.options.ssl;
                let stream = if ssl { Stream::Tls(Box::new(TlsStream::new(stream))) } else { stream };
                tokio::spawn(h1::Serve::new(Conn::new(stream, peer, local, engine.clone())));
                if engine.has_company() {
                    // Lets the new connection's task run, and the other workers look, before the next one is taken.
                    tokio::task::yield_now().await;
                }
            }
            Err(error) if is_exhaustion(&error) => {
                engine.log.error(format_args!("cannot accept a connection: {error}"));
                tokio::time::sleep(EXHAUSTED).await;
            }
            Err(_) => {} // the client was gone before it was accepted
        }
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
