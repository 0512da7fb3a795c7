//! The one open seam on the request path: an application, which an interface (WSGI, ASGI) implements.
//!
//! A *blocking* application is called with a request and answers through an `Output` before it returns. `channel`
//! carries its answer from the application's thread to the connection's task; `jobs` is the queue in the other
//! direction. An *evented* application is begun, and goes on from an event loop: `duplex` is one exchange and `socket`
//! one WebSocket as both the loop and the connection see it, `link` what these have alike, `inbox` what the connections have for the loop.

pub mod channel;
pub mod duplex;
pub mod inbox;
pub mod jobs;
pub mod link;
pub mod output;
pub mod socket;

use std::sync::Arc;

pub use channel::Channel;
pub use duplex::Duplex;
pub use inbox::{Inbox, Resume};
pub use jobs::{Job, Jobs};
pub use output::{Gone, Inline, Output, Severity};
pub use socket::Socket;

use crate::exchange::Request;
use crate::runtime::Reactor;

/// A loaded application.
#[derive(Clone)]
pub enum App {
    Blocking(Arc<dyn Blocking>),
    Evented(Arc<dyn Evented>),
}

/// An application that is done with a request when its call returns.
pub trait Blocking: Send + Sync {
    /// Serves one request on the calling thread. `None`: the answer is complete (or failed) in `out`. `Some`: the
    /// answer goes on, but has taken so long that the thread must not be held (`Output::should_suspend`); the rest
    /// is run on this same thread.
    fn call(&self, request: &mut Request, out: &mut Output<'_>) -> Option<Box<dyn Continuation>>;

    /// Makes the calling thread ready to call the application; to be undone by `leave_thread`.
    fn enter_thread(&self);

    fn leave_thread(&self);
}

/// The rest of an answer that was suspended. Runs on the thread that began it.
pub trait Continuation {
    fn run(self: Box<Self>, out: &mut Output<'_>);
}

/// An application that an event loop drives.
pub trait Evented: Send + Sync {
    /// Makes the loop on the calling thread, which is the loop's from now on, with `reactor` as what it waits with,
    /// and has the application start. The error is for the log, complete; the worker ends with it.
    fn start(&self, reactor: Reactor) -> Result<(), String>;

    /// Has the application start on the loop that another one has made on the calling thread: a worker's applications
    /// share one loop. `run` of that other one has this one stop, too. The error is as with `start`.
    fn join(&self) -> Result<(), String>;

    /// Runs the loop until the worker is done, then has the application stop. On the loop's thread.
    fn run(&self);

    /// Begins to serve a request, or a WebSocket. On the loop's thread. Returns when the application waits for
    /// something for the first time, or is done. What it needs of `request` is copied.
    fn begin(&self, request: &mut Request, scope: Scope);
}

/// What an evented application serves: how it and the connection talk.
#[derive(Clone)]
pub enum Scope {
    Http(Arc<Duplex>),
    WebSocket(Arc<Socket>),
}

impl Scope {
    /// Gives the request back that the loop's thread was lent.
    pub fn give_back(&self, request: Box<Request>) {
        match self {
            Scope::Http(duplex) => duplex.give_back(request),
            Scope::WebSocket(socket) => socket.give_back(request),
        }
    }

    /// Nobody will serve it: the bridge has failed.
    pub fn abandon(&self) {
        match self {
            Scope::Http(duplex) => duplex.finish(),
            Scope::WebSocket(socket) => socket.finish(),
        }
    }
}
