//! A request body that is read while it arrives: a bounded pipe from the connection's task to the thread that reads.
//!
//! The reader blocks its thread, the writer awaits. At most `LIMIT` bytes are between them, so a reader that is slow
//! makes the connection stop reading from its socket.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Bytes between the connection and the reader.
const LIMIT: usize = 256 * 1024;

/// Why a body ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// The client closed the connection or was too slow.
    Disconnected,
    /// Its framing was wrong.
    Malformed,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    ended: bool,
    error: Option<BodyError>,
    /// The reader has asked for bytes once: what `Expect: 100-continue` waits for.
    wanted: bool,
    /// The reader is gone; nothing more needs to be delivered.
    abandoned: bool,
    waker: Option<Waker>,
}

/// The pipe. Both ends hold it in an `Arc`.
#[derive(Default)]
pub struct BodyStream {
    state: Mutex<State>,
    arrived: Condvar,
}

/// What the writer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// There is room for this many bytes.
    Room(usize),
    /// Nobody reads any more.
    Abandoned,
}

impl BodyStream {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the reader has asked at least once and there is room.
    pub fn poll_demand(&self, cx: &mut Context<'_>) -> Poll<Demand> {
        let mut state = self.lock();
        if state.abandoned {
            return Poll::Ready(Demand::Abandoned);
        }
        if state.wanted && state.bytes.len() < LIMIT {
            return Poll::Ready(Demand::Room(LIMIT - state.bytes.len()));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Delivers bytes.
    pub fn push(&self, bytes: &[u8]) {
        self.lock().bytes.extend(bytes);
        self.arrived.notify_all();
    }

    /// The body is complete, or failed.
    pub fn end(&self, error: Option<BodyError>) {
        let mut state = self.lock();
        state.ended = true;
        state.error = error;
        drop(state);
        self.arrived.notify_all();
    }

    /// Takes up to `max` bytes, blocking until there is at least one; an empty answer is the end.
    pub fn read(&self, max: usize) -> Result<Vec<u8>, BodyError> {
        let mut state = self.lock();
        state.wanted = true;
        loop {
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
            if !state.bytes.is_empty() {
                let take = max.min(state.bytes.len());
                return Ok(state.bytes.drain(..take).collect());
            }
            if let Some(error) = state.error {
                return Err(error);
            }
            if state.ended || max == 0 {
                return Ok(Vec::new());
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes up to `max` bytes if there are some, or tells that the body has ended (empty) or failed; `None`: more is to
    /// come. For a reader that must not block.
    pub fn try_read(&self, max: usize) -> Option<Result<Vec<u8>, BodyError>> {
        let mut state = self.lock();
        state.wanted = true;
        let waker = state.waker.take();
        let read = if !state.bytes.is_empty() {
            let take = max.min(state.bytes.len());
            Some(Ok(state.bytes.drain(..take).collect()))
        } else if let Some(error) = state.error {
            Some(Err(error))
        } else {
            state.ended.then(|| Ok(Vec::new()))
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        read
    }

    /// Takes bytes back that were read: they are read again.
    pub fn give_back(&self, bytes: &[u8]) {
        let mut state = self.lock();
        for &byte in bytes.iter().rev() {
            state.bytes.push_front(byte);
        }
    }

    /// Whether `try_read` would give something.
    pub fn is_readable(&self) -> bool {
        let state = self.lock();
        !state.bytes.is_empty() || state.ended
    }

    /// Whether all has been read.
    pub fn is_exhausted(&self) -> bool {
        let state = self.lock();
        state.ended && state.bytes.is_empty()
    }

    /// The reader will read no more.
    pub fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        state.bytes.clear();
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}
