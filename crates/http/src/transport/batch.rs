//! Answers written back to back. While requests are ready one after another, their answers wait for the end of the
//! batch (nothing else is ready, or 300 µs have passed) and are then sent together: waking a peer that sleeps on the
//! same host costs more than a send, and this way it is woken once. Only worth it where calls take long; see
//! `Engine::batches`.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// How long the first answer of a batch waits at most.
const LONGEST: Duration = Duration::from_micros(300);

#[derive(Default)]
struct Batch {
    waiting: Vec<Waker>,
    since: Option<Instant>,
}

thread_local! {
    static BATCH: RefCell<Batch> = RefCell::default();
}

/// Waits for the end of the batch.
pub async fn end() {
    let mut waited = false;
    poll_fn(|cx| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        let over = BATCH.with_borrow_mut(|batch| {
            if batch.since.get_or_insert_with(Instant::now).elapsed() > LONGEST {
                return true;
            }
            batch.waiting.push(cx.waker().clone());
            false
        });
        if over {
            release();
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// Lets every answer of the batch go. The runtime calls it before its thread parks.
pub fn release() {
    BATCH.with_borrow_mut(|batch| {
        batch.since = None;
        batch.waiting.drain(..).for_each(Waker::wake);
    });
}
