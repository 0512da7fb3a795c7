//! Several requests on one connection (RFC 9113): `socket` is what all of them share, `stream` what one of them has in
//! place of a connection of its own. The frames themselves are the business of the crate `h2`.

mod socket;
mod stream;

pub use socket::{Port, Socket};
pub use stream::Multiplexed;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::registry::Watch;

/// What the streams of a connection tell it.
pub struct Shared {
    watch: Arc<Watch>,
    /// Streams whose requests are not answered yet.
    active: AtomicU32,
    /// The connection's task has its turn: it sees by itself what has ended.
    driving: AtomicBool,
    /// Streams that came to their end.
    completed: AtomicU64,
    /// Streams that the client broke off.
    reset: AtomicU64,
    /// Bytes of heads and bodies, both ways.
    payload: AtomicU64,
    /// Bytes of answers since nothing waited for the socket.
    unsent: AtomicU64,
    /// Streams that wait for that.
    waiting: Mutex<Vec<Waker>>,
}

/// So many bytes of all answers together may wait for the socket.
const MOST_UNSENT: u64 = 1 << 20;

impl Shared {
    /// `watch`: the connection's own, whose task is woken when the last stream ends.
    pub fn new(watch: Arc<Watch>) -> Arc<Shared> {
        Arc::new(Shared {
            watch,
            active: AtomicU32::new(0),
            driving: AtomicBool::new(false),
            completed: AtomicU64::new(0),
            reset: AtomicU64::new(0),
            payload: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
            waiting: Mutex::default(),
        })
    }

    /// Another stream begins.
    pub fn enter(self: &Arc<Shared>) -> Active {
        self.active.fetch_add(1, Relaxed);
        Active { shared: self.clone(), reset: false }
    }

    /// The turn of the connection's task begins, or ends.
    pub fn drive(&self, on: bool) {
        self.driving.store(on, Relaxed);
    }

    pub fn active(&self) -> u32 {
        self.active.load(Relaxed)
    }

    /// Streams that were completed, and that the client broke off.
    pub fn ends(&self) -> (u64, u64) {
        (self.completed.load(Relaxed), self.reset.load(Relaxed))
    }

    pub fn payload(&self) -> u64 {
        self.payload.load(Relaxed)
    }

    pub fn add_payload(&self, bytes: u64) {
        self.payload.fetch_add(bytes, Relaxed);
    }

    /// Bytes of an answer are on their way.
    fn sending(&self, bytes: u64) {
        self.add_payload(bytes);
        self.unsent.fetch_add(bytes, Relaxed);
    }

    /// Whether more may be; else the task is woken when it may.
    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.unsent.load(Relaxed) < MOST_UNSENT {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.unsent.load(Relaxed) < MOST_UNSENT {
            return Poll::Ready(());
        }
        if !waiting.iter().any(|known| known.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// All is on the socket.
    pub fn sent(&self) {
        if self.unsent.swap(0, Relaxed) >= MOST_UNSENT {
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

/// A stream that counts, until it is dropped.
pub struct Active {
    shared: Arc<Shared>,
    /// The client broke it off.
    pub reset: bool,
}

impl Active {
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let ends = if self.reset { &self.shared.reset } else { &self.shared.completed };
        ends.fetch_add(1, Relaxed);
        if self.shared.active.fetch_sub(1, Relaxed) == 1 && !self.shared.driving.load(Relaxed) {
            self.shared.watch.wake();
        }
    }
}
