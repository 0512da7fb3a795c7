//! The connections of a worker, and when each is to be given up.
//!
//! One coarse timer for all connections instead of one each: arming a limit is a store, and a tick looks at them all.
//! The clock counts only time in which the worker ran: a long call into an application on the worker's own thread
//! must not make the clients that waited for it late.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

/// Milliseconds between two ticks.
pub const TICK: u64 = 250;
/// The most that the clock advances in one tick.
const LARGEST_STEP: u64 = 2 * TICK;
/// How long an idle connection is kept once the worker drains: a request that is on its way still gets its answer.
pub const DRAIN_IDLE: u64 = 1000;

/// When there is hardly a place for another connection: how long a head may take, in ms.
const LONGEST_HEAD: u64 = 2000;
/// How long a connection may be idle then.
const LONGEST_IDLE: u64 = 1000;
/// When there is no place at all: how long nothing may come of a body, or be taken of an answer.
const LONGEST_WAIT: u64 = 2000;
/// The most connections that are given up at once.
const MOST_SHED: usize = 32;
/// The limit of a connection that is given up.
const SHED: u64 = 1;

/// Bits of a moment that tell the order within a tick.
const ORDER: u32 = 16;

/// What a connection is about.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Phase {
    /// It waits for a request.
    Idle,
    /// The head of one has begun.
    Reading,
    Busy,
    /// A body or room for an answer is waited for.
    Waiting,
}

#[derive(Default)]
pub struct Registry {
    now: AtomicU64,
    /// Limits set so far: tells which of two is older within a tick. Counted by the driving thread alone.
    count: AtomicU64,
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
    /// When the limit was set: the peer was last heard of, or took something. With `ORDER` bits of the registry's count
    /// below the time.
    armed: AtomicU64,
    /// Of an idle one: time up to which it is kept when the worker drains. Of one whose head arrives: since when.
    least: AtomicU64,
    /// A [`Phase`].
    phase: AtomicU8,
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
        let now = self.now.load(Relaxed);
        let count = self.count.load(Relaxed).wrapping_add(1);
        self.count.store(count, Relaxed);
        watch.armed.store(now << ORDER | (count & ((1 << ORDER) - 1)), Relaxed);
        watch.until.store(if ms == 0 { 0 } else { now + ms }, Relaxed);
    }

    /// `watch` waits between two requests from now on; for `least` milliseconds even if the worker drains.
    pub fn rest(&self, watch: &Watch, least: u64) {
        watch.least.store(if least == 0 { 0 } else { self.now.load(Relaxed) + least }, Relaxed);
        watch.set_idle(true);
    }

    /// The head of a request has begun on `watch`.
    pub fn read(&self, watch: &Watch) {
        watch.least.store(self.now.load(Relaxed), Relaxed);
        watch.phase.store(Phase::Reading as u8, Relaxed);
    }

    /// Gives up some connections for new ones, as many at once as nginx does: those whose head takes long to arrive, or
    /// else idle ones, or else, if it is `urgent`, those that wait for a peer that does not move, or else any that are
    /// idle. Those first that have waited longest. How many.
    pub fn shed(&self, urgent: bool) -> usize {
        let now = self.now.load(Relaxed);
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |watch: &Watch| match watch.is(Phase::Reading) {
            true => watch.least.load(Relaxed) << ORDER,
            false => watch.armed.load(Relaxed),
        };
        let candidates = |phase: Phase, longest: u64| {
            let all = entries.watches.iter().flatten().filter(|watch| watch.is(phase) && !watch.is_shed());
            all.filter(|watch| (since(watch) >> ORDER) + longest <= now).collect::<Vec<_>>()
        };
        let mut found = candidates(Phase::Reading, LONGEST_HEAD);
        for (phase, longest, only_urgent) in
            [(Phase::Idle, LONGEST_IDLE, false), (Phase::Waiting, LONGEST_WAIT, true), (Phase::Idle, 0, true)]
        {
            if found.is_empty() && (urgent || !only_urgent) {
                found = candidates(phase, longest);
            }
        }
        let count = (found.len() / 8).clamp(1, MOST_SHED).min(found.len());
        if count < found.len() {
            found.select_nth_unstable_by_key(count, |watch| since(watch));
        }
        for watch in &found[..count] {
            watch.until.store(SHED, Relaxed);
            watch.wake();
        }
        count
    }

    /// The clock, in ms.
    pub fn now(&self) -> u64 {
        self.now.load(Relaxed)
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
            if watch.is(Phase::Idle) {
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
        let [until, armed, least] = [const { AtomicU64::new(0) }; 3];
        Watch { until, armed, least, phase: AtomicU8::new(Phase::Idle as u8), waker: Mutex::new(None), index }
    }

    /// The task to wake when the limit is reached.
    pub fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Wakes its task.
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    pub fn set_idle(&self, idle: bool) {
        let phase = if idle { Phase::Idle } else { Phase::Busy };
        self.phase.store(phase as u8, Relaxed);
    }

    /// The peer is waited for, or not any more; in the middle of a request.
    pub fn set_waiting(&self, waiting: bool) {
        let (from, to) = if waiting { (Phase::Busy, Phase::Waiting) } else { (Phase::Waiting, Phase::Busy) };
        if self.is(from) {
            self.phase.store(to as u8, Relaxed);
        }
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Relaxed) == phase as u8
    }

    /// It was given up for others.
    pub fn is_shed(&self) -> bool {
        self.until.load(Relaxed) == SHED
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
    fn connections_are_given_up_for_others() {
        let registry = Registry::default();
        let watches: Vec<_> = (0..40).map(|_| registry.add()).collect();
        let shed = |range: std::ops::Range<usize>| watches[range].iter().filter(|watch| watch.is_shed()).count();
        for (index, watch) in watches.iter().enumerate() {
            registry.arm(watch, 60_000);
            watch.set_idle(index >= 20);
            if index == 29 {
                registry.tick(TICK);
            }
        }
        registry.read(&watches[3]);
        watches[5].set_waiting(true);
        assert_eq!(registry.shed(false), 0, "nobody has waited for long");
        assert_eq!((registry.shed(true), shed(20..30)), (2, 2), "one in eight of the idle ones, the oldest");
        (0..2).for_each(|_| registry.tick(500));
        assert_eq!((registry.shed(false), shed(20..30)), (2, 4));
        (0..3).for_each(|_| registry.tick(500));
        assert_eq!((registry.shed(false), shed(3..4)), (1, 1), "first a head that does not come");
        assert!(registry.expired(&watches[3]));
        while registry.shed(false) > 0 {}
        assert_eq!((shed(20..40), shed(0..20)), (20, 1));
        assert_eq!((registry.shed(true), shed(5..6)), (1, 1), "last one that waits for its peer");
        assert_eq!(registry.shed(true), 0, "never those that are answered");
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
