//! The one open seam on the request path: an application, called with a request, answering through an `Output`.
//!
//! `App` is what an interface (WSGI) implements. `output` is what it writes to, in either mode; `channel` carries an
//! answer from the application's thread to the connection's task; `jobs` is the queue in the other direction.

pub mod channel;
pub mod jobs;
pub mod output;

pub use channel::Channel;
pub use jobs::{Job, Jobs};
pub use output::{Gone, Inline, Output, Severity};

use crate::exchange::Request;

/// A loaded application.
pub trait App: Send + Sync {
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
