//! What a connection is made of, below the protocol that is spoken on it: the stream, what is read from it and written
//! to it, its memory and its limits of time.
//!
//! `io` is the stream, `tls` what may lie on it, `multiplexed` the streams of an HTTP/2 connection, `receive` reads a
//! request's body, `sender` frames and writes the answer, `pool` holds the memory of requests in progress, `registry` the
//! limits of time, `buffers` what much is read into at once, `clock` the Date field, `batch` answers that leave together.

pub mod batch;
pub mod buffers;
pub mod clock;
pub mod io;
pub mod memory;
pub mod multiplexed;
pub mod pool;
pub mod rate;
pub mod receive;
pub mod registry;
pub mod sender;
pub mod tls;

use std::future::poll_fn;
use std::io as stdio;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::engine::Engine;
use crate::exchange::route::{Carrier, Proxied};
use crate::exchange::{Local, Peer, TlsInfo};
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
    /// What its handshake came to, if it speaks TLS.
    pub tls: Option<Arc<TlsInfo>>,
    /// It is one of the streams of a connection, which counts itself.
    is_stream: bool,
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
        Conn {
            stream,
            peer,
            local,
            engine,
            watch,
            requests: 0,
            serial,
            since,
            awaits_proxy,
            proxied: None,
            tls: None,
            is_stream: false,
        }
    }

    /// One of its streams, as the connection that a request is on.
    pub fn of_stream(&self, stream: Stream) -> Conn {
        Conn {
            stream,
            peer: self.peer,
            local: self.local.clone(),
            engine: self.engine.clone(),
            watch: self.engine.registry.add(),
            requests: self.requests,
            serial: self.serial,
            since: self.since,
            awaits_proxy: false,
            proxied: self.proxied.clone(),
            tls: self.tls.clone(),
            is_stream: true,
        }
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
        let read = poll_fn(|cx| match self.stream.poll_read(cx, buf, max) {
            Poll::Pending => {
                self.watch.set_waiting(true);
                self.wait(cx)
            }
            other => other,
        })
        .await;
        self.watch.set_waiting(false);
        read
    }

    /// Still waiting: until the armed limit, whose tick wakes the task too.
    pub fn wait<T>(&self, cx: &Context<'_>) -> Poll<stdio::Result<T>> {
        if self.expired() {
            return Poll::Ready(Err(stdio::ErrorKind::TimedOut.into()));
        }
        self.watch.register(cx);
        Poll::Pending
    }

    /// Lets so many milliseconds pass. `false`: the client is gone, or the worker is ending at once.
    pub async fn pause(&mut self, ms: u64) -> bool {
        let mut sleep = std::pin::pin!(tokio::time::sleep(std::time::Duration::from_millis(ms)));
        self.arm(0);
        poll_fn(|cx| {
            if self.engine.is_stopping() || self.stream.poll_gone(cx) {
                return Poll::Ready(false);
            }
            self.watch.register(cx);
            sleep.as_mut().poll(cx).map(|()| true)
        })
        .await
    }

    /// Writes all that is queued; gives up when nothing moves for `send_timeout` milliseconds.
    pub async fn flush(&mut self, sender: &mut Sender, send_timeout: u64) -> stdio::Result<()> {
        let mut armed = false;
        let flushed = poll_fn(|cx| {
            let mut progress = false;
            match sender.poll_flush(cx, &mut self.stream, &mut progress) {
                Poll::Pending => {
                    self.watch.set_waiting(true);
                    if progress || !armed {
                        armed = true;
                        self.arm(send_timeout);
                    }
                    self.wait(cx)
                }
                other => other,
            }
        })
        .await;
        self.watch.set_waiting(false);
        flushed
    }

    /// Closes with RST instead of FIN once it is dropped.
    pub fn reset(&self) {
        if let Some(stream) = self.stream.tcp() {
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
        if self.is_stream {
            return;
        }
        self.engine.slot().connections.fetch_sub(1, Relaxed);
        self.engine.connection_ended();
    }
}
