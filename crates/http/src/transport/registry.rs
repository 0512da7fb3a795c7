//! The connections of a worker, and when each is to be given up.
//!
//! One coarse timer for all connections instead of one each: arming a limit is a store, and a tick looks at them all.
//! The clock counts only time in which the worker ran: a long call into an application on the worker's own thread
//! must not make the clients that waited for it late.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

/// Milliseconds between two ticks.
pub const TICK: u64 = 250;
/// The most that the clock advances in one tick.
const LARGEST_STEP: u64 = 2 * TICK;
/// How long an idle connection is kept once the worker drains: a request that is on its way still gets its answer.
pub const DRAIN_IDLE: u64 = 1000;

#[derive(Default)]
pub struct Registry {
    now: AtomicU64,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    watches: Vec<Option<Arc<Watch>>>,
    free: Vec<u32>,
}

/// One connection's limit.
pub struct Watch {
    /// Time of the registry's clock at which to give up; 0 = never.
    until: AtomicU64,
    /// Of an idle one: time up to which it is kept when the worker drains.
    least: AtomicU64,
    /// Between two requests.
    idle: AtomicBool,
    waker: Mutex<Option<Waker>>,
    index: u32,
}

impl Registry {
    pub fn add(&self) -> Arc<Watch> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let index = entries.free.pop().unwrap_or(entries.watches.len() as u32);
        let watch = Arc::new(Watch::new(index));
        match entries.watches.get_mut(index as usize) {
            Some(place) => *place = Some(watch.clone()),
            None => entries.watches.push(Some(watch.clone())),
        }
        watch
    }

    pub fn remove(&self, watch: &Watch) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = entries.watches.get_mut(watch.index as usize) {
            *place = None;
            entries.free.push(watch.index);
        }
    }

    /// Gives `watch` so many milliseconds from now; 0 = no limit.
    pub fn arm(&self, watch: &Watch, ms: u64) {
        let until = if ms == 0 { 0 } else { self.now.load(Relaxed) + ms };
        watch.until.store(until, Relaxed);
    }

    /// `watch` waits between two requests from now on; for `least` milliseconds even if the worker drains.
    pub fn rest(&self, watch: &Watch, least: u64) {
        watch.least.store(if least == 0 { 0 } else { self.now.load(Relaxed) + least }, Relaxed);
        watch.set_idle(true);
    }

    pub fn expired(&self, watch: &Watch) -> bool {
        let until = watch.until.load(Relaxed);
        until != 0 && until <= self.now.load(Relaxed)
    }

    /// Advances the clock by `elapsed` milliseconds and wakes what is due.
    pub fn tick(&self, elapsed: u64) {
        let now = self.now.fetch_add(elapsed.min(LARGEST_STEP), Relaxed) + elapsed.min(LARGEST_STEP);
        self.each(|watch| {
            let until = watch.until.load(Relaxed);
            if until != 0 && until <= now {
                watch.wake();
            }
        });
    }

    /// Idle connections are to end soon.
    pub fn drain(&self) {
        let soon = self.now.load(Relaxed) + DRAIN_IDLE;
        self.each(|watch| {
            if watch.idle.load(Relaxed) {
                let until = watch.until.load(Relaxed);
                let soon = soon.max(watch.least.load(Relaxed));
                watch.until.store(if until == 0 { soon } else { until.min(soon) }, Relaxed);
            }
        });
    }

    /// Wakes every connection: something has changed for all.
    pub fn wake_all(&self) {
        self.each(|watch| watch.wake());
    }

    fn each(&self, act: impl Fn(&Watch)) {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.watches.iter().flatten().for_each(|watch| act(watch));
    }
}

impl Watch {
    fn new(index: u32) -> Watch {
        let (until, least) = (AtomicU64::new(0), AtomicU64::new(0));
        Watch { until, least, idle: AtomicBool::new(true), waker: Mutex::new(None), index }
    }

    /// The task to wake when the limit is reached.
    pub fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    pub fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_reached_after_its_time_of_running() {
        let registry = Registry::default();
        let watch = registry.add();
        registry.arm(&watch, 600);
        registry.tick(10_000); // a long stall counts as two ticks
        assert!(!registry.expired(&watch));
        registry.tick(TICK);
        assert!(registry.expired(&watch));
    }

    #[test]
    fn places_are_used_again() {
        let registry = Registry::default();
        let first = registry.add();
        registry.remove(&first);
        assert_eq!(registry.add().index, first.index);
    }

    #[test]
    fn draining_leaves_idle_connections_their_least_time() {
        let registry = Registry::default();
        let (short, long) = (registry.add(), registry.add());
        registry.arm(&short, 60_000);
        registry.arm(&long, 60_000);
        registry.rest(&short, 0);
        registry.rest(&long, 2000);
        registry.drain();
        for _ in 0..3 {
            registry.tick(500);
        }
        assert!(registry.expired(&short) && !registry.expired(&long));
        registry.tick(500);
        assert!(registry.expired(&long));
    }

    #[test]
    fn draining_shortens_idle_connections_only() {
        let registry = Registry::default();
        let (idle, busy) = (registry.add(), registry.add());
        busy.set_idle(false);
        registry.drain();
        registry.tick(500);
        registry.tick(500);
        assert!(registry.expired(&idle) && !registry.expired(&busy));
    }
}
