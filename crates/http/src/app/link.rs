//! What an exchange and a WebSocket have alike: who waits for whom, and when the application must stop sending.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::Severity;
use super::inbox::{Inbox, Item, Resume};
use crate::engine::Engine;
use crate::exchange::Request;

/// Unsent bytes from which on the application waits.
pub const HIGH: usize = 64 * 1024;
/// Unsent bytes at which it goes on.
pub const LOW: usize = 16 * 1024;

/// Both ends of it.
#[derive(Default)]
pub struct Link {
    /// The application has returned.
    pub done: bool,
    /// The request, when another thread was lent it.
    pub request: Option<Box<Request>>,
    /// The connection, when it waits.
    pub task: Option<Waker>,
    /// The application, where it waits for the client's next move.
    pub readers: Waiting,
    /// The application, where it waits for room.
    pub writers: Waiting,
}

impl Link {
    /// The connection waits for the application's next move.
    pub fn wait(&mut self, waker: &Waker) {
        match &mut self.task {
            Some(task) if task.will_wake(waker) => {}
            task => *task = Some(waker.clone()),
        }
    }
}

/// A state with such a link in it.
pub trait Linked {
    fn link(&mut self) -> &mut Link;
}

/// A state that both ends look at.
pub struct Shared<S> {
    engine: Arc<Engine>,
    /// Of the request: whose error log takes what the application has to say.
    location: u32,
    state: Mutex<S>,
}

impl<S: Linked> Shared<S> {
    /// `location`: of the request.
    pub fn new(engine: Arc<Engine>, location: u32, state: S) -> Shared<S> {
        engine.inbox.app_began();
        Shared { engine, location, state: Mutex::new(state) }
    }

    /// For the connection. An application's code must not run while this is held.
    pub fn lock(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn inbox(&self) -> &Inbox {
        &self.engine.inbox
    }

    /// Wakes the connection, if it waits; the lock is given back before.
    pub fn tell_connection(&self, mut state: MutexGuard<'_, S>) {
        if let Some(task) = state.link().task.take() {
            drop(state);
            self.engine.inbox.defer(task);
        }
    }

    /// Whether the worker is to end once its exchanges have.
    pub fn is_draining(&self) -> bool {
        self.engine.is_draining()
    }

    /// Whether the worker ends without waiting.
    pub fn is_cut(&self) -> bool {
        self.engine.is_stopping()
    }

    /// The application has returned.
    pub fn finish(&self) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.link().done, true) {
            self.tell_connection(state);
            self.engine.app_ended();
        }
    }

    /// Gives the request back that another thread was lent.
    pub fn give_back(&self, request: Box<Request>) {
        let mut state = self.lock();
        state.link().request = Some(request);
        self.tell_connection(state);
    }

    /// A line for the error log.
    pub fn log(&self, severity: Severity, lines: &str) {
        self.engine.log_at(self.location).log_lines(severity.into(), lines);
    }
}

/// Those who wait for the same: usually one.
#[derive(Default)]
pub struct Waiting(Vec<Arc<dyn Resume>>);

impl Waiting {
    /// On the loop's thread.
    pub fn add(&mut self, resume: Arc<dyn Resume>) {
        // An application that looks for a moment again and again must not make the list long.
        if self.0.len() >= 4 {
            self.0.retain(|waiting| !waiting.is_over());
        }
        self.0.push(resume);
    }

    /// Lets them all go on.
    pub fn resume(&mut self, inbox: &Inbox) {
        for waiting in self.0.drain(..) {
            inbox.push(Item::Resume(waiting));
        }
    }
}
