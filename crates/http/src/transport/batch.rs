//! Answers written back to back. While requests are ready one after another, their answers wait for the end of the
//! batch (nothing else is ready, or 300 µs have passed) and are then sent together: waking a peer that sleeps on the
//! same host costs more than a send, and this way it is woken once. Only worth it where calls take long; see
//! `Engine::batches`.
//!
//! The batch holds the senders themselves, so that whoever ends it writes all answers at once, without going through
//! the tasks that wait.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::io::Stream;
use super::sender::Sender;

/// How long the first answer of a batch waits at most.
const LONGEST: Duration = Duration::from_micros(300);
/// Room for so many senders is kept.
const SPARE: usize = 64;

struct Batch {
    entries: Vec<Entry>,
    /// Room for senders: they are exchanged and not moved, which costs a fraction.
    // Boxed, so that they change hands without being moved.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Sender>>,
    since: Option<Instant>,
    next: u64,
}

struct Entry {
    id: u64,
    socket: RawFd,
    sender: Box<Sender>,
    /// `None` once the batch has ended.
    waker: Option<Waker>,
}

/// One for the process, since the runtime may change hands while answers wait; only its driving thread looks at it.
static BATCH: Mutex<Batch> = Mutex::new(Batch { entries: Vec::new(), spare: Vec::new(), since: None, next: 0 });

fn with<R>(act: impl FnOnce(&mut Batch) -> R) -> R {
    act(&mut BATCH.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Waits for the end of the batch; what the socket took of the answer is written then. Not for streams with a layer
/// of their own above the socket, which only their own task can write to.
pub async fn end(stream: &Stream, sender: &mut Sender) {
    if !stream.is_plain() {
        return;
    }
    let socket = stream.as_raw_fd();
    let mut waiting = Waiting { id: None };
    std::future::poll_fn(|cx| waiting.poll(cx, socket, sender)).await;
}

struct Waiting {
    id: Option<u64>,
}

impl Waiting {
    fn poll(&mut self, cx: &mut Context<'_>, socket: RawFd, sender: &mut Sender) -> Poll<()> {
        if self.id.is_none() {
            let over = with(|batch| {
                batch.next += 1;
                self.id = Some(batch.next);
                let mut held = batch.spare.pop().unwrap_or_default();
                std::mem::swap(&mut *held, sender);
                batch.entries.push(Entry { id: batch.next, socket, sender: held, waker: Some(cx.waker().clone()) });
                batch.since.get_or_insert_with(Instant::now).elapsed() > LONGEST
            });
            if over {
                release();
            }
        }
        if self.take(sender) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Takes the sender back, if the batch has ended.
    fn take(&mut self, sender: &mut Sender) -> bool {
        let Some(id) = self.id else { return false };
        with(|batch| {
            let ended = |entry: &Entry| entry.id == id && entry.waker.is_none();
            let Some(index) = batch.entries.iter().position(ended) else { return false };
            self.id = None;
            let mut held = batch.entries.swap_remove(index).sender;
            std::mem::swap(&mut *held, sender);
            if batch.spare.len() < SPARE {
                batch.spare.push(held);
            }
            true
        })
    }
}

impl Drop for Waiting {
    /// The task is ended while it waits: its socket must not be written to any more.
    fn drop(&mut self) {
        if let Some(id) = self.id {
            with(|batch| batch.entries.retain(|entry| entry.id != id));
        }
    }
}

/// Ends the batch: every answer in it is written. The runtime calls it before its thread parks.
pub fn release() {
    with(|batch| {
        batch.since = None;
        for entry in &mut batch.entries {
            if let Some(waker) = entry.waker.take() {
                // A socket that is dead or full: its own task finds out.
                let _ = entry.sender.try_flush_socket(entry.socket);
                waker.wake();
            }
        }
    });
}
