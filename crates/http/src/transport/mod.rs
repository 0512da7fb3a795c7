//! What a connection is made of, below the protocol that is spoken on it: the stream, what is read from it and written
//! to it, its memory and its limits of time.
//!
//! `io` is the stream, `receive` reads a request's body, `sender` frames and writes the answer, `pool` holds the memory
//! of requests in progress, `registry` the limits of time, `clock` the Date field, `batch` answers that leave together.

pub mod batch;
pub mod clock;
pub mod io;
pub mod pool;
pub mod rate;
pub mod receive;
pub mod registry;
pub mod sender;

use std::future::poll_fn;
use std::io as stdio;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::engine::Engine;
use crate::exchange::route::{Carrier, Proxied};
use crate::exchange::{Local, Peer};
use io::Stream;
use registry::Watch;
use sender::Sender;

/// One connection.
pub struct Conn {
    pub stream: Stream,
    pub peer: Peer,
    pub local: Arc<Local>,
    pub engine: Arc<Engine>,
    pub watch: Arc<Watch>,
    /// Requests begun on it.
    pub requests: u32,
    /// Its number in this worker.
    pub serial: u64,
    since: Instant,
    /// The header of a proxy comes first.
    pub awaits_proxy: bool,
    /// What it said.
    pub proxied: Option<Arc<FromProxy>>,
}

/// What a PROXY protocol header said.
#[derive(Debug)]
pub struct FromProxy {
    pub addresses: Option<Proxied>,
    /// Further values, see `wire::proxy_protocol::named`.
    pub values: Box<[u8]>,
}

impl Conn {
    pub fn new(stream: Stream, peer: Peer, local: Arc<Local>, engine: Arc<Engine>) -> Conn {
        use std::sync::atomic::Ordering::Relaxed;
        engine.slot().connections.fetch_add(1, Relaxed);
        let watch = engine.registry.add();
        let serial = engine.next_connection();
        let awaits_proxy = engine.config.listens[local.listen].listen.options.proxy_protocol;
        let since = Instant::now();
        Conn { stream, peer, local, engine, watch, requests: 0, serial, since, awaits_proxy, proxied: None }
    }

    /// What its requests know of it.
    pub fn carrier(&self) -> Carrier {
        Carrier {
            serial: self.serial,
            requests: self.requests,
            socket: self.stream.as_raw_fd(),
            since: self.since,
            proxied: self.proxied.as_ref().and_then(|proxied| proxied.addresses),
        }
    }

    /// How old it was at a moment, in ms.
    pub fn age_at(&self, moment: Instant) -> u64 {
        moment.saturating_duration_since(self.since).as_millis() as u64
    }

    /// How old it is, in ms.
    pub fn age(&self) -> u64 {
        self.since.elapsed().as_millis() as u64
    }

    /// From now, so many milliseconds until `expired`.
    pub fn arm(&self, ms: u64) {
        self.engine.registry.arm(&self.watch, ms);
    }

    pub fn expired(&self) -> bool {
        self.engine.registry.expired(&self.watch)
    }

    /// Reads into the free capacity of `buf`, at most `max` bytes, until the armed limit.
    pub async fn read(&mut self, buf: &mut Vec<u8>, max: usize) -> stdio::Result<usize> {
        poll_fn(|cx| match self.stream.poll_read(cx, buf, max) {
            Poll::Pending => self.wait(cx),
            other => other,
        })
        .await
    }

    /// Still waiting: until the armed limit, whose tick wakes the task too.
    fn wait<T>(&self, cx: &Context<'_>) -> Poll<stdio::Result<T>> {
        if self.expired() {
            return Poll::Ready(Err(stdio::ErrorKind::TimedOut.into()));
        }
        self.watch.register(cx);
        Poll::Pending
    }

    /// Writes all that is queued; gives up when nothing moves for `send_timeout` milliseconds.
    pub async fn flush(&mut self, sender: &mut Sender, send_timeout: u64) -> stdio::Result<()> {
        let mut armed = false;
        poll_fn(|cx| {
            let mut progress = false;
            match sender.poll_flush(cx, &mut self.stream, &mut progress) {
                Poll::Pending if progress || !armed => {
                    armed = true;
                    self.arm(send_timeout);
                    self.wait(cx)
                }
                Poll::Pending => self.wait(cx),
                other => other,
            }
        })
        .await
    }

    /// Closes with RST instead of FIN once it is dropped.
    pub fn reset(&self) {
        if let Stream::Tcp(stream) = &self.stream {
            let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
        }
    }

    /// The same, for a client without a request that was too slow, where the first server wants it.
    pub fn reset_if_late(&self) {
        if self.engine.config.first_settings(self.local.listen).1.reset_timedout_connection {
            self.reset();
        }
    }

    /// The other end, for the log.
    pub fn client(&self) -> String {
        match self.peer {
            Peer::Inet(address) => address.ip().to_string(),
            Peer::Unix => "unix:".to_owned(),
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        use std::sync::atomic::Ordering::Relaxed;
        self.engine.registry.remove(&self.watch);
        self.engine.slot().connections.fetch_sub(1, Relaxed);
        self.engine.connection_ended();
    }
}
