//! The runtime of a worker: one thread drives it at a time, and it can change hands.
//!
//! `reactor` lets an event loop drive it, as the loop's selector; `offload` has threads for what would hold it up.

pub mod offload;
pub mod reactor;

use std::io;

use tokio::runtime::Builder;
/// What runs the tasks of a worker.
pub use tokio::runtime::Runtime;
/// Tells a waiting task that something has changed.
pub use tokio::sync::Notify as Change;
/// Hands one thing to a waiting task.
pub use tokio::sync::oneshot;
/// A running task, to be ended.
pub use tokio::task::AbortHandle as Task;

pub use reactor::Reactor;

use crate::transport::batch;

/// Begins a task. Within the runtime.
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// A runtime without threads of its own: whoever calls `block_on` drives it.
pub fn build() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().on_thread_park(batch::release).build()
}
