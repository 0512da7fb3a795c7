//! One HTTP exchange between a connection's task and an application on an event loop: the answer on its way out, and
//! whether the client is still there. (The request's body comes through `exchange::BodyStream`.)
//!
//! Either side may be first. The application writes into the `Sender` that the connection lent, and the connection
//! flushes it; past `HIGH` bytes unsent the application waits until there are fewer than `LOW`. Once the answer is
//! complete the connection takes its sender back and goes on, while the application may still be busy.

use std::ops::Deref;
use std::sync::Arc;

use super::Gone;
use super::inbox::Resume;
use super::link::{HIGH, LOW, Link, Linked, Shared};
use crate::engine::Engine;
use crate::exchange::ResponseHead;
use crate::transport::sender::Sender;

pub struct State {
    /// The connection's, while the exchange lasts.
    pub sender: Sender,
    /// The client has closed its side, or the connection is lost.
    pub closed: bool,
    /// Nothing can be sent any more.
    pub broken: bool,
    /// The application knows that the client has gone.
    pub told: bool,
    /// The connection has gone on without the application.
    pub detached: bool,
    /// The client waits to be asked for its body, and has not been.
    pub expecting: bool,
    pub link: Link,
}

pub struct Duplex(Shared<State>);

impl Deref for Duplex {
    type Target = Shared<State>;

    fn deref(&self) -> &Shared<State> {
        &self.0
    }
}

impl Linked for State {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
}

impl Duplex {
    /// `location`: of the request.
    pub fn new(engine: Arc<Engine>, location: u32, sender: Sender, expecting: bool) -> Arc<Duplex> {
        let state = State {
            sender,
            closed: false,
            broken: false,
            told: false,
            detached: false,
            expecting,
            link: Link::default(),
        };
        Arc::new(Duplex(Shared::new(engine, location, state)))
    }

    /// Adds to the answer; the connection is told. The head of a final answer goes through `start`.
    pub fn send<R>(&self, add: impl FnOnce(&mut Sender) -> R) -> Result<R, Gone> {
        let mut state = self.lock();
        if state.broken || state.detached || state.told {
            return Err(Gone);
        }
        let added = add(&mut state.sender);
        self.tell_connection(state);
        Ok(added)
    }

    /// The same, for the head of the answer and what follows it at once.
    pub fn start<R>(&self, head: ResponseHead, add: impl FnOnce(&mut Sender) -> R) -> Result<R, Gone> {
        let mut state = self.lock();
        if state.broken || state.detached || state.told {
            return Err(Gone);
        }
        if self.is_draining() || state.expecting {
            // A client that was never asked for its body may send it or not: nobody could tell.
            state.sender.keep_alive = false;
        }
        state.sender.start(head);
        let added = add(&mut state.sender);
        self.tell_connection(state);
        Ok(added)
    }

    /// An empty head, with memory that has been used before where there is some.
    pub fn new_head(&self, status: u16) -> ResponseHead {
        let mut state = self.lock();
        if state.sender.started { ResponseHead::new(status) } else { state.sender.recycled_head(status) }
    }

    /// Whether the application may send on.
    pub fn has_room(&self) -> bool {
        let state = self.lock();
        state.sender.pending() <= HIGH || state.broken || state.detached || state.told
    }

    /// Has `resume` called when there is room; `false`: there is.
    pub fn wait_for_room(&self, resume: Arc<dyn Resume>) -> bool {
        let mut state = self.lock();
        let full = state.sender.pending() > HIGH && !state.broken && !state.detached;
        if full {
            state.link.writers.add(resume);
        }
        full
    }

    /// Whether the client has gone, or the answer is complete and the connection has gone on. From then on the
    /// application knows it.
    pub fn disconnected(&self) -> bool {
        let mut state = self.lock();
        let gone = state.closed || state.detached;
        state.told |= gone;
        gone
    }

    /// Whether nothing can be sent any more.
    pub fn is_gone(&self) -> bool {
        let state = self.lock();
        state.broken || state.told && !state.sender.ended
    }

    /// The client's body has failed: the application is told that the client has gone.
    pub fn give_up(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.told = true;
    }

    /// Has `resume` called at the client's next move.
    pub fn wait_for_client(&self, resume: Arc<dyn Resume>) {
        self.lock().link.readers.add(resume);
    }

    /// Tells the application, if it waits, of what has happened. For the connection.
    pub fn tell_application(&self, state: &mut State, client_moved: bool) {
        let over = state.closed || state.detached;
        if client_moved || over {
            state.link.readers.resume(self.inbox());
        }
        if state.sender.pending() <= LOW || over {
            state.link.writers.resume(self.inbox());
        }
    }

    /// The application has asked for the body.
    pub fn asked_for_body(&self) {
        self.lock().expecting = false;
    }
}
