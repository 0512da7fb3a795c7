//! Connections to the servers of a group that have nothing to do, for the next request. One pool a group and worker.
//!
//! The server may end such a connection at any time. That is found out when it is taken, and at every tick of the clock,
//! so that no descriptor is held for what is dead.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::connect::Via;
use super::h2;
use super::spec::{Address, Keepalive};
use crate::sys::time::coarse_monotonic_ms;
use crate::transport::io::Stream;

/// What a connection must agree in to carry a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub address: Address,
    pub via: Via,
    /// Which TLS client made it, and the name that it asked for.
    pub tls: Option<(usize, Box<[u8]>)>,
    pub http2: bool,
    /// Where it was made for one location only (`keepalive ... local`).
    pub location: Option<u32>,
}

/// A connection to a server, and what is spoken on it.
pub enum Line {
    Http1(Link),
    Http2(h2::Link),
}

impl Line {
    fn may_stay(&self, keepalive: &Keepalive) -> bool {
        match self {
            Line::Http1(link) => link.may_stay(keepalive),
            Line::Http2(link) => link.may_stay(keepalive),
        }
    }

    fn is_quiet(&mut self) -> bool {
        match self {
            Line::Http1(link) => link.is_quiet(),
            Line::Http2(link) => link.is_quiet(),
        }
    }
}

/// A connection for HTTP/1.
pub struct Link {
    pub stream: Stream,
    /// When it was made, in ms of the monotonic clock.
    pub since: u64,
    /// Requests that it has carried.
    pub requests: u32,
}

impl Link {
    pub fn new(stream: Stream) -> Link {
        Link { stream, since: coarse_monotonic_ms(), requests: 0 }
    }

    /// Whether it may carry another request.
    pub fn may_stay(&self, keepalive: &Keepalive) -> bool {
        keepalive.most > 0
            && self.requests < keepalive.requests
            && coarse_monotonic_ms().saturating_sub(self.since) <= keepalive.time
    }

    /// Whether the server has neither closed it nor sent anything.
    fn is_quiet(&mut self) -> bool {
        let mut scratch = Vec::with_capacity(64);
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.stream.poll_read(&mut cx, &mut scratch, 64), Poll::Pending)
    }
}

struct Idle {
    key: Key,
    line: Line,
    /// When it came, in ms of the monotonic clock.
    since: u64,
}

#[derive(Default)]
pub struct Pool {
    /// The one that came last is last.
    idle: Mutex<Vec<Idle>>,
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection for a request, the one that was used last.
    pub fn take(&self, key: &Key) -> Option<Line> {
        let mut idle = self.idle();
        while let Some(index) = idle.iter().rposition(|idle| idle.key == *key) {
            let mut line = idle.remove(index).line;
            if line.is_quiet() {
                return Some(line);
            }
        }
        None
    }

    /// Keeps a connection for later. Of too many the oldest is closed.
    pub fn put(&self, key: Key, line: Line, keepalive: &Keepalive) {
        if !line.may_stay(keepalive) {
            return;
        }
        let mut idle = self.idle();
        if idle.len() >= keepalive.most {
            idle.remove(0);
        }
        idle.push(Idle { key, line, since: coarse_monotonic_ms() });
    }

    /// Closes those that have been idle for too long, and those that the server has closed.
    pub fn sweep(&self, keepalive: &Keepalive) {
        let mut idle = self.idle();
        if idle.is_empty() {
            return;
        }
        let now = coarse_monotonic_ms();
        idle.retain_mut(|idle| now.saturating_sub(idle.since) < keepalive.timeout && idle.line.is_quiet());
    }

    /// Closes them all.
    pub fn clear(&self) {
        self.idle().clear();
    }

    pub fn len(&self) -> usize {
        self.idle().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
