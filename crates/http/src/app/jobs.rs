//! The queue from the connections to the application's threads, and the loop those threads run.
//!
//! Requests go to whichever thread is free. The rest of a suspended answer goes back to the thread that began it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Blocking, Channel, Continuation, Output, Severity};
use crate::exchange::{Request, ResponseHead};
use crate::slots::Slot;
use crate::sys::time;

/// A request for an application.
pub struct Job {
    pub app: Arc<dyn Blocking>,
    pub request: Box<Request>,
    pub channel: Arc<Channel>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Threads waiting for work.
    idle: usize,
    closed: bool,
}

/// The queue. One per worker.
pub struct Jobs {
    state: Mutex<State>,
    work: Condvar,
    slot: &'static Slot,
}

thread_local! {
    /// Suspended answers of this thread, oldest first.
    static SUSPENDED: RefCell<VecDeque<(Box<dyn Continuation>, Arc<Channel>)>> = const { RefCell::new(VecDeque::new()) };
}

/// Keeps the rest of an answer for the job loop of the calling thread.
pub fn suspend(continuation: Box<dyn Continuation>, channel: Arc<Channel>) {
    SUSPENDED.with_borrow_mut(|list| list.push_back((continuation, channel)));
}

impl Jobs {
    pub fn new(slot: &'static Slot) -> Jobs {
        Jobs { state: Mutex::default(), work: Condvar::new(), slot }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, job: Job) {
        let mut state = self.lock();
        state.queue.push_back(job);
        self.slot.waiting.store(state.queue.len() as u32, Ordering::Relaxed);
        let wake = state.idle > 0;
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// No more requests: the loops end when the queue is empty.
    pub fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }

    /// Serves jobs until the queue is closed. `thread` is this thread's number in the worker's slot. The interpreter's
    /// lock is not held between jobs.
    pub fn run(&self, thread: usize) {
        loop {
            while let Some((continuation, channel)) = SUSPENDED.with_borrow_mut(VecDeque::pop_front) {
                let _busy = Busy::new(self.slot, thread);
                let mut out = Output::resumed(&channel);
                if catch_unwind(AssertUnwindSafe(|| continuation.run(&mut out))).is_err() {
                    out.log(Severity::Error, "internal error: the application bridge panicked".into());
                    out.abort();
                }
                drop(out);
                channel.finish(None);
            }
            let Some(job) = self.next() else { return };
            let _busy = Busy::new(self.slot, thread);
            serve(job);
        }
    }

    /// Waits for a job; `None` when the queue is closed and empty.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                self.slot.waiting.store(state.queue.len() as u32, Ordering::Relaxed);
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

fn serve(job: Job) {
    let Job { app, mut request, channel } = job;
    if channel.is_gone() {
        channel.finish(Some(request));
        return;
    }
    let mut out = Output::channel(&channel);
    match catch_unwind(AssertUnwindSafe(|| app.call(&mut request, &mut out))) {
        Ok(None) => {}
        Ok(Some(rest)) => rest.run(&mut out),
        Err(_) => panicked(&mut out),
    }
    drop(out);
    channel.finish(Some(request));
}

/// Answers for a bridge that panicked: 500 if nothing was sent.
pub fn panicked(out: &mut Output<'_>) {
    out.log(Severity::Error, "internal error: the application bridge panicked".into());
    if out.is_started() {
        out.abort();
    } else {
        let mut head = ResponseHead::new(500);
        head.length = Some(0);
        head.close = true;
        head.own_error = true;
        out.start(head);
        out.end();
    }
}

thread_local! {
    /// The running call of this thread.
    static RUNNING: Cell<Option<(&'static Slot, usize)>> = const { Cell::new(None) };
}

/// The call of this thread has made progress: it is not stuck, however long it takes in all.
pub fn beat() {
    if let Some((slot, thread)) = RUNNING.get()
        && let Some(call) = slot.calls.get(thread)
    {
        call.store(time::coarse_monotonic_ms(), Ordering::Relaxed);
    }
}

/// Marks a thread as in a call, for the master's watch and for the other workers.
pub struct Busy {
    slot: &'static Slot,
    thread: usize,
}

impl Busy {
    pub fn new(slot: &'static Slot, thread: usize) -> Busy {
        RUNNING.set(Some((slot, thread)));
        beat();
        Busy { slot, thread }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        RUNNING.set(None);
        if let Some(call) = self.slot.calls.get(self.thread) {
            call.store(0, Ordering::Relaxed);
        }
    }
}
