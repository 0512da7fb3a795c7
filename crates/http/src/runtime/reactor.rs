//! An event loop's selector that is the server: while the loop waits for its descriptors, the worker's runtime runs
//! on the loop's own thread, and with it every connection.
//!
//! The loop's descriptors sit in an epoll instance of their own, which the runtime watches as one. *Fronted*, another
//! thread drives the runtime, and the loop waits on that instance alone.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFd;
use tokio::runtime::Runtime;
use tokio::time::Sleep;

use crate::app::jobs::Busy;
use crate::engine::Engine;
use crate::sys::epoll::{Epoll, READABLE, Ready, Shared, watch};
use crate::transport::batch;

/// Given the runtime's other driver to start: a thread of its own.
type ToFront = Box<dyn FnOnce(Arc<Runtime>) + Send>;

/// What a loop waits with. Stays on the loop's thread.
pub struct Reactor {
    engine: Arc<Engine>,
    runtime: Arc<Runtime>,
    descriptors: Arc<Epoll>,
    /// The same, as the runtime sees it. Inline only.
    watched: RefCell<Option<AsyncFd<Shared>>>,
    to_front: Cell<Option<ToFront>>,
    /// Some descriptor may be ready without the runtime being told again.
    look: Cell<bool>,
    /// Since when the loop runs its own callbacks.
    left: Cell<Option<Instant>>,
    busy: RefCell<Option<Busy>>,
}

impl Reactor {
    /// For the runtime of an engine. `to_front` starts a thread that drives the runtime, when the engine wants one.
    pub fn new(engine: Arc<Engine>, runtime: Arc<Runtime>, to_front: ToFront) -> io::Result<Reactor> {
        let descriptors = Arc::new(Epoll::new()?);
        descriptors.add(engine.inbox.as_raw_fd(), READABLE)?;
        let watched = {
            let _inside = runtime.enter();
            watch(descriptors.clone())?
        };
        let reactor = Reactor {
            engine,
            runtime,
            descriptors,
            watched: RefCell::new(Some(watched)),
            to_front: Cell::new(Some(to_front)),
            look: Cell::new(true),
            left: Cell::new(None),
            busy: RefCell::new(None),
        };
        reactor.change_hands();
        Ok(reactor)
    }

    /// The engine whose loop this is.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Watches a descriptor for EPOLL* events, all the time that they last.
    pub fn add(&self, fd: RawFd, events: u32) -> io::Result<()> {
        self.look.set(true);
        self.descriptors.add(fd, events)
    }

    pub fn modify(&self, fd: RawFd, events: u32) -> io::Result<()> {
        self.look.set(true);
        self.descriptors.modify(fd, events)
    }

    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.descriptors.remove(fd)
    }

    /// The descriptor that is ready when one of the loop's is, or when the inbox has something: for loops that wait
    /// with means of their own, which must be fronted.
    pub fn descriptor(&self) -> RawFd {
        self.engine.inbox.set_watched();
        self.engine.inbox.as_raw_fd()
    }

    /// Waits until a descriptor is ready, the inbox has something, the worker has ended, or the time is over (`None`:
    /// there is no such time). Meanwhile the server works, if this thread is the one to drive it. To be called
    /// without the interpreter's lock.
    pub fn select(&self, timeout: Option<Duration>, ready: &mut Vec<Ready>) {
        self.enter();
        if self.engine.inbox.is_inline() {
            self.turn(timeout, ready);
        } else {
            let ms = match timeout {
                _ if self.engine.inbox.has_ended() || !self.engine.inbox.is_empty() => 0,
                None => -1,
                Some(timeout) => timeout.as_micros().div_ceil(1000).try_into().unwrap_or(i32::MAX),
            };
            let _ = self.descriptors.wait(ms, ready);
        }
        let inbox = self.engine.inbox.as_raw_fd();
        ready.retain(|one| one.fd != inbox);
        self.change_hands();
        self.leave();
    }

    /// The loop has nothing to run: its thread is not in a call.
    fn enter(&self) {
        *self.busy.borrow_mut() = None;
        if let Some(left) = self.left.take() {
            self.engine.observe(left.elapsed());
        }
    }

    /// The loop runs its callbacks, if it has any.
    fn leave(&self) {
        self.left.set(Some(Instant::now()));
        *self.busy.borrow_mut() = Some(Busy::new(self.engine.slot(), 0));
    }

    fn turn(&self, timeout: Option<Duration>, ready: &mut Vec<Ready>) {
        if self.look.get() {
            let _ = self.descriptors.wait(0, ready);
            self.look.set(!ready.is_empty());
        }
        let at_once = !ready.is_empty() || timeout.is_some_and(|timeout| timeout.is_zero());
        self.runtime.block_on(async {
            let mut turn = Turn { begun: false, at_once };
            match timeout.filter(|_| !at_once) {
                Some(timeout) => {
                    let mut sleep = pin!(tokio::time::sleep(timeout));
                    poll_fn(|cx| turn.poll(cx, self, Some(sleep.as_mut()))).await;
                }
                None => poll_fn(|cx| turn.poll(cx, self, None)).await,
            }
        });
        self.engine.inbox.end_turn();
        batch::release();
        if ready.is_empty() && self.look.get() {
            let _ = self.descriptors.wait(0, ready);
            self.look.set(!ready.is_empty());
        }
    }

    /// Hands the runtime over once the engine wants that.
    fn change_hands(&self) {
        if self.engine.is_fronted()
            && let Some(to_front) = self.to_front.take()
        {
            *self.watched.borrow_mut() = None;
            self.engine.inbox.leave_inline();
            to_front(self.runtime.clone());
        }
    }
}

/// One turn of the runtime on the loop's thread.
struct Turn {
    begun: bool,
    /// Only what is ready is to be done.
    at_once: bool,
}

impl Turn {
    fn poll(&mut self, cx: &mut Context<'_>, reactor: &Reactor, sleep: Option<Pin<&mut Sleep>>) -> Poll<()> {
        let inbox = &reactor.engine.inbox;
        if !self.begun {
            self.begun = true;
            if inbox.begin_turn(cx.waker()) || self.at_once || inbox.has_ended() {
                // Polled again when all tasks that are ready have run and the sockets were looked at.
                self.at_once = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        } else if self.at_once || !inbox.is_in_turn() {
            return Poll::Ready(());
        }
        if let Some(watched) = &*reactor.watched.borrow()
            && let Poll::Ready(Ok(mut guard)) = watched.poll_read_ready(cx)
        {
            // What is ready now is looked at after the turn; the next edge comes after that.
            guard.clear_ready();
            reactor.look.set(true);
            return Poll::Ready(());
        }
        if reactor.engine.is_fronted() {
            return Poll::Ready(());
        }
        sleep.map_or(Poll::Pending, |sleep| sleep.poll(cx))
    }
}
