//! `limit_rate`: how many bytes of an answer may be sent by now.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

pub struct Rate {
    /// Bytes a second.
    rate: u64,
    /// Sent without limit first.
    after: u64,
    sent: u64,
    since: Instant,
    /// Wakes when more may be sent.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Rate {
    /// `None`: there is no limit.
    pub fn new(rate: u64, after: u64) -> Option<Rate> {
        (rate > 0).then(|| Rate { rate, after, sent: 0, since: Instant::now(), sleep: None })
    }

    /// How many bytes may be sent now; pending until there is at least one.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.sleep = None;
            }
            let allowed = self.allowed();
            if allowed > 0 {
                return Poll::Ready(allowed);
            }
            let seconds = self.since.elapsed().as_secs() + 1;
            let over = self.sent.saturating_sub(self.after) + 1;
            let wait = Duration::from_millis(over.saturating_mul(1000) / self.rate);
            let next = Duration::from_secs(seconds).min(wait.max(Duration::from_millis(1)));
            self.sleep =
                Some(Box::pin(sleep_until(self.since + next.max(self.since.elapsed() + Duration::from_millis(10)))));
        }
    }

    /// How many bytes may be sent now.
    pub fn allowed(&self) -> u64 {
        let seconds = self.since.elapsed().as_secs() + 1;
        self.after.saturating_add(self.rate.saturating_mul(seconds)).saturating_sub(self.sent)
    }

    pub fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }
}
