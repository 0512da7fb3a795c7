//! One row per worker in memory that the master and all workers share: mapped before the first fork, written by the
//! worker, read by the master and the other workers. Nothing but atomics, so that a worker killed at any instant
//! leaves nothing locked. The master's heartbeat is read from here: it knows of each Python thread since when it has
//! been in its present call.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// How many Python threads a worker may have.
pub const MAX_THREADS: usize = 128;

/// The signal at which a worker writes the Python traceback of every thread to the error log: SIGRTMIN + 3, which no
/// library of common use takes.
pub const TRACEBACK_SIGNAL: i32 = FIRST_REAL_TIME_SIGNAL + 3;

/// SIGRTMIN as the C library gives it: part of its ABI.
const FIRST_REAL_TIME_SIGNAL: i32 = if cfg!(target_env = "musl") { 35 } else { 34 };

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// No worker has this row.
    Free = 0,
    /// Forked; its application is being loaded.
    Booting = 1,
    /// Serving.
    Ready = 2,
    /// Finishing what it has; it accepts nothing more and wants to be replaced.
    Draining = 3,
}

/// One worker's row in shared memory: written by the worker, read by the master and the other workers. Only atomics.
#[repr(C, align(128))]
pub struct Slot {
    /// The worker's process; 0 = free.
    pub pid: AtomicU32,
    /// A [`State`].
    pub state: AtomicU32,
    /// Python threads, 1..=[`MAX_THREADS`]; 0 until the worker has told.
    pub threads: AtomicU32,
    /// Open connections.
    pub connections: AtomicU32,
    /// Requests in progress, all kinds.
    pub requests: AtomicU32,
    /// Connections whose request's head has begun and is not complete.
    pub reading: AtomicU32,
    /// Requests that wait for a Python thread.
    pub waiting: AtomicU32,
    /// Requests done so far, by all workers that had this row.
    pub handled: AtomicU64,
    /// Connections accepted so far, likewise.
    pub accepted: AtomicU64,
    /// Start of each thread's running call in ms of the monotonic clock; 0 = idle.
    pub calls: [AtomicU64; MAX_THREADS],
}

impl Slot {
    /// A free row.
    pub const fn new() -> Self {
        Slot {
            pid: AtomicU32::new(0),
            state: AtomicU32::new(State::Free as u32),
            threads: AtomicU32::new(0),
            connections: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            reading: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            handled: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            calls: [const { AtomicU64::new(0) }; MAX_THREADS],
        }
    }

    /// Makes the row free again, after its worker is gone. What is counted over the server's life stays.
    pub fn reset(&self) {
        for small in [&self.state, &self.threads, &self.connections, &self.requests, &self.reading, &self.waiting] {
            small.store(0, Relaxed);
        }
        for call in &self.calls {
            call.store(0, Relaxed);
        }
        self.pid.store(0, Relaxed);
    }

    /// Where the worker is in its life.
    pub fn state(&self) -> State {
        match self.state.load(Relaxed) {
            1 => State::Booting,
            2 => State::Ready,
            3 => State::Draining,
            _ => State::Free,
        }
    }

    /// Tells where the worker is in its life.
    pub fn set_state(&self, state: State) {
        self.state.store(state as u32, Relaxed);
    }

    /// When every Python thread is in a call: the latest start among them. `None` while one is idle.
    pub fn stuck_since(&self) -> Option<u64> {
        let mut latest = None;
        for call in self.thread_calls() {
            match call.load(Relaxed) {
                0 => return None,
                start => latest = latest.max(Some(start)),
            }
        }
        latest
    }

    /// No Python thread is free for one more request.
    pub fn busy(&self) -> bool {
        self.waiting.load(Relaxed) > 0 || self.stuck_since().is_some()
    }

    /// The calls of the threads that the worker really has.
    pub fn thread_calls(&self) -> &[AtomicU64] {
        let threads = (self.threads.load(Relaxed) as usize).min(MAX_THREADS);
        &self.calls[..threads]
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_stuck_only_while_all_its_threads_are_in_calls() {
        let slot = Slot::new();
        assert_eq!(slot.stuck_since(), None, "no threads yet");
        slot.threads.store(2, Relaxed);
        slot.calls[0].store(50, Relaxed);
        assert_eq!(slot.stuck_since(), None);
        assert!(!slot.busy());
        slot.calls[1].store(80, Relaxed);
        assert_eq!(slot.stuck_since(), Some(80));
        assert!(slot.busy());
        slot.reset();
        assert_eq!((slot.stuck_since(), slot.state()), (None, State::Free));
    }

    #[test]
    fn the_traceback_signal_is_sigrtmin_plus_three() {
        assert_eq!(TRACEBACK_SIGNAL, libc::SIGRTMIN() + 3);
    }
}
