//! `queue`: requests that wait for a server of the group to have time for them, first come, first served. One queue a
//! group and worker.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// How often the first looks for itself, in ms: other workers do not tell, nor does a server whose time to be left in
/// peace is over.
const LOOK: u64 = 100;

/// As configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Most requests that wait.
    pub most: usize,
    /// For how long, in ms.
    pub timeout: u64,
}

pub struct Queue {
    spec: Spec,
    /// The first is in front.
    waiting: Mutex<VecDeque<Arc<Notify>>>,
}

/// A place in the queue.
struct Place<'a> {
    queue: &'a Queue,
    bell: Arc<Notify>,
}

impl Queue {
    pub fn new(spec: Spec) -> Queue {
        Queue { spec, waiting: Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// A server has more time than before.
    pub fn wake(&self) {
        if let Some(first) = self.waiting().front() {
            first.notify_one();
        }
    }

    /// Waits until `attempt` gives something. `None`: too many are waiting, or it takes too long.
    pub async fn wait<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
        let place = self.enter()?;
        let until = Instant::now() + Duration::from_millis(self.spec.timeout);
        loop {
            if place.is_first()
                && let Some(found) = attempt()
            {
                return Some(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let _ = timeout(left.min(Duration::from_millis(LOOK)), place.bell.notified()).await;
        }
    }

    fn enter(&self) -> Option<Place<'_>> {
        let bell = Arc::new(Notify::new());
        let mut waiting = self.waiting();
        if waiting.len() >= self.spec.most {
            return None;
        }
        waiting.push_back(bell.clone());
        Some(Place { queue: self, bell })
    }
}

impl Place<'_> {
    fn is_first(&self) -> bool {
        self.queue.waiting().front().is_some_and(|first| Arc::ptr_eq(first, &self.bell))
    }
}

/// Whoever leaves tells who is the first then: there may be time for that one, too.
impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting();
        waiting.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
        drop(waiting);
        self.queue.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
    }

    #[test]
    fn who_came_first_is_served_first_and_the_queue_has_an_end() {
        let queue = Arc::new(Queue::new(Spec { most: 2, timeout: 60_000 }));
        let free = Arc::new(AtomicUsize::new(0));
        let served = Arc::new(Mutex::new(Vec::new()));
        run(async {
            let wait = |number: u32| {
                let (queue, free, served) = (queue.clone(), free.clone(), served.clone());
                tokio::spawn(async move {
                    let less = |free: usize| free.checked_sub(1);
                    let got = queue.wait(|| free.fetch_update(Relaxed, Relaxed, less).ok()).await;
                    served.lock().unwrap().push((number, got.is_some()));
                })
            };
            let waiting = [wait(1), wait(2), wait(3)];
            while served.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            assert_eq!(*served.lock().unwrap(), [(3, false)], "it is full");
            free.store(2, Relaxed);
            queue.wake();
            for task in waiting {
                task.await.unwrap();
            }
        });
        assert_eq!(*served.lock().unwrap(), [(3, false), (1, true), (2, true)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn who_waits_too_long_or_leaves_is_not_in_it_any_more() {
        let queue = Queue::new(Spec { most: 2, timeout: 1 });
        run(async {
            assert!(queue.wait(|| None::<()>).await.is_none());
            assert!(queue.is_empty());
            let left = timeout(Duration::ZERO, queue.wait(|| None::<()>)).await;
            assert!(left.is_err() && queue.is_empty());
        });
    }
}
