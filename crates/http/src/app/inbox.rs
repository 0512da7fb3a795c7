//! What the connections have for an event loop's thread: requests to begin, and applications to go on with.
//!
//! While that thread drives the runtime itself (*inline*), putting something in wakes the loop's turn, see
//! `runtime::reactor`; otherwise a descriptor does that the loop watches. The other way round, what the application
//! did is told to connections through `defer`: inline they are woken together when the next turn begins, which costs
//! no system call.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::{Evented, Scope};
use crate::exchange::Request;
use crate::runtime::Change;
use crate::slots::Slot;
use crate::sys::epoll::EventFd;
use crate::sys::time;

/// Goes on with an application that waits. On the loop's thread.
pub trait Resume: Send + Sync {
    fn resume(self: Arc<Self>);

    /// Whether it has given up waiting. On the loop's thread.
    fn is_over(&self) -> bool;
}

/// A piece of work for the loop's thread.
pub enum Item {
    Begin { app: Arc<dyn Evented>, request: Box<Request>, scope: Scope },
    Resume(Arc<dyn Resume>),
}

#[derive(Default)]
struct State {
    items: Vec<Item>,
    /// Connections to be woken when the next turn begins.
    deferred: Vec<Waker>,
    /// The turn that is in progress, inline.
    turn: Option<Waker>,
}

/// One per worker.
pub struct Inbox {
    state: Mutex<State>,
    event: EventFd,
    /// `event` has been signalled and not been looked at yet.
    signalled: AtomicBool,
    /// The loop's thread drives the runtime.
    inline: AtomicBool,
    /// The loop waits with means of its own, so nobody else notices when it does not come back.
    watched: AtomicBool,
    /// The worker is done: the loop is to end.
    ended: AtomicBool,
    /// Applications that have not returned.
    running: AtomicUsize,
    /// The loop has ended for good.
    over: Change,
}

impl Inbox {
    pub fn new() -> io::Result<Inbox> {
        Ok(Inbox {
            state: Mutex::default(),
            event: EventFd::new()?,
            signalled: AtomicBool::new(false),
            inline: AtomicBool::new(true),
            watched: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            over: Change::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the loop something to do.
    pub fn push(&self, item: Item) {
        let mut state = self.lock();
        state.items.push(item);
        self.wake(state);
    }

    /// Ends the turn in progress, or wakes the loop.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if self.inline.load(Relaxed) {
            if let Some(turn) = state.turn.take() {
                drop(state);
                turn.wake();
            }
        } else if !self.signalled.swap(true, Relaxed) {
            drop(state);
            self.event.signal();
        }
    }

    /// The loop has something to do, though not from here.
    pub fn interrupt(&self) {
        self.wake(self.lock());
    }

    /// Takes what there is to do.
    pub fn take(&self, items: &mut Vec<Item>) {
        if !self.inline.load(Relaxed) {
            // In this order: what is put in from here on signals again, what was put in before is taken below.
            self.event.clear();
            self.signalled.store(false, Relaxed);
        }
        std::mem::swap(&mut self.lock().items, items);
    }

    pub fn is_empty(&self) -> bool {
        self.lock().items.is_empty()
    }

    /// Wakes a connection: at once within a turn or when another thread drives the runtime, else with the next turn.
    pub fn defer(&self, waker: Waker) {
        if self.inline.load(Relaxed) {
            let mut state = self.lock();
            if state.turn.is_none() {
                return state.deferred.push(waker);
            }
        }
        waker.wake();
    }

    /// A turn begins: the deferred connections are woken, and `waker` ends it. `true`: it is to end at once.
    pub fn begin_turn(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        let mut deferred = std::mem::take(&mut state.deferred);
        let busy = !state.items.is_empty();
        match &mut state.turn {
            Some(known) if known.will_wake(waker) => {}
            other => *other = Some(waker.clone()),
        }
        drop(state);
        deferred.drain(..).for_each(Waker::wake);
        self.lock().deferred = deferred;
        busy
    }

    /// Nothing has asked for the end of the turn yet.
    pub fn is_in_turn(&self) -> bool {
        self.lock().turn.is_some()
    }

    /// The turn is over.
    pub fn end_turn(&self) {
        self.lock().turn = None;
    }

    /// The runtime is driven by another thread from now on.
    pub fn leave_inline(&self) {
        self.inline.store(false, Relaxed);
        let deferred = std::mem::take(&mut self.lock().deferred);
        deferred.into_iter().for_each(Waker::wake);
        self.interrupt();
    }

    /// The loop waits with means of its own: `watch` tells when it is stuck.
    pub fn set_watched(&self) {
        self.watched.store(true, Relaxed);
    }

    /// A loop that leaves its work undone is in a call: since now, if it was not at the last look.
    pub fn watch(&self, slot: &Slot) {
        if self.watched.load(Relaxed) {
            let call = &slot.calls[0];
            if !self.signalled.load(Relaxed) {
                call.store(0, Relaxed);
            } else if call.load(Relaxed) == 0 {
                call.store(time::coarse_monotonic_ms(), Relaxed);
            }
        }
    }

    pub fn is_inline(&self) -> bool {
        self.inline.load(Relaxed)
    }

    /// The loop is to end.
    pub fn end(&self) {
        self.ended.store(true, Relaxed);
        self.interrupt();
    }

    pub fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// The same, told once.
    pub fn take_end(&self) -> bool {
        self.ended.swap(false, Relaxed)
    }

    /// The loop's thread needs nobody to serve any more.
    pub fn loop_ended(&self) {
        self.over.notify_one();
    }

    /// Waits for that.
    pub async fn loop_has_ended(&self) {
        self.over.notified().await;
    }

    pub fn app_began(&self) {
        self.running.fetch_add(1, Relaxed);
    }

    pub fn app_ended(&self) {
        self.running.fetch_sub(1, Relaxed);
    }

    /// Applications that have not returned.
    pub fn running(&self) -> usize {
        self.running.load(Relaxed)
    }
}

impl AsRawFd for Inbox {
    /// Readable when there is something to do, unless inline.
    fn as_raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}
