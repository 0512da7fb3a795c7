//! Answers written back to back. While requests are ready one after another, their answers wait for the end of the
//! batch (nothing else is ready, or 300 µs have passed) and are then sent together: waking a peer that sleeps on the
//! same host costs more than a send, and this way it is woken once. Only worth it where calls take long; see
//! `Engine::batches`.
//!
//! The batch holds the senders themselves, so that whoever ends it writes all answers at once, without going through
//! the tasks that wait.

use std::os::fd::RawFd;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::sender::Sender;

/// How long the first answer of a batch waits at most.
const LONGEST: Duration = Duration::from_micros(300);

struct Batch {
    entries: Vec<Entry>,
    since: Option<Instant>,
    next: u64,
}

struct Entry {
    id: u64,
    socket: RawFd,
    sender: Sender,
    /// `None` once the batch has ended.
    waker: Option<Waker>,
}

/// One for the process, since the runtime may change hands while answers wait; only its driving thread looks at it.
static BATCH: Mutex<Batch> = Mutex::new(Batch { entries: Vec::new(), since: None, next: 0 });

fn with<R>(act: impl FnOnce(&mut Batch) -> R) -> R {
    act(&mut BATCH.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Waits for the end of the batch; what the socket took of the answer is written then.
pub async fn end(socket: RawFd, sender: &mut Sender) {
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
                let entry =
                    Entry { id: batch.next, socket, sender: std::mem::take(sender), waker: Some(cx.waker().clone()) };
                batch.entries.push(entry);
                batch.since.get_or_insert_with(Instant::now).elapsed() > LONGEST
            });
            if over {
                release();
            }
        }
        match self.take() {
            Some(sent) => {
                *sender = sent;
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    }

    /// The sender, if the batch has ended.
    fn take(&mut self) -> Option<Sender> {
        let id = self.id?;
        with(|batch| {
            let index = batch.entries.iter().position(|entry| entry.id == id && entry.waker.is_none())?;
            self.id = None;
            Some(batch.entries.swap_remove(index).sender)
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
                let _ = entry.sender.try_flush(entry.socket);
                waker.wake();
            }
        }
    });
}
