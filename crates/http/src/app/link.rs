//! What an exchange and a WebSocket have alike: who waits for whom, and when the application must stop sending.

use std::sync::{Arc, MutexGuard};
use std::task::Waker;

use super::inbox::{Inbox, Item, Resume};
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

/// Wakes the connection, if it waits; the lock is given back before.
pub fn tell_connection<S: Linked>(mut state: MutexGuard<'_, S>, inbox: &Inbox) {
    if let Some(task) = state.link().task.take() {
        drop(state);
        inbox.defer(task);
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
