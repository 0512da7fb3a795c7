//! One worker's engine: what its connections share, and how it moves through its life.
//!
//! *Inline*, the thread that drives the runtime also calls the application, right in the connection's task. *Fronted*,
//! another thread drives the same runtime, and the application's threads take requests from `Jobs`. The move goes one
//! way, once a call has proven slow. All tasks are `Send`: the runtime changes hands as a whole.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::app::{App, Inbox, Jobs};
use crate::config::Config;
use crate::exchange::Request;
use crate::log::{AccessLogs, ErrorLog};
use crate::runtime::{Change, Task};
use crate::slots::{Slot, State};
use crate::sys;
use crate::transport::memory;
use crate::transport::registry::Registry;
use crate::upstream::pool::Pool;
use crate::upstream::{Group, Keepalive};

/// How requests get to the application.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Front {
    /// Inline until a call proves slow.
    #[default]
    Auto,
    Inline,
    Thread,
}

/// One call this long is proof at once. Shorter ones may be a garbage collection.
const VERY_SLOW: Duration = Duration::from_millis(50);
/// During the first calls (imports, caches) only a call this long is.
const WARM_UP_SLOW: Duration = Duration::from_millis(100);
const WARM_UP_CALLS: u64 = 16;
/// So many calls over `app::output::SLOW` are proof, unless so many quick ones lie between them.
const SLOW_CALLS: u32 = 8;
const FORGET_AFTER: u64 = 2000;
/// An average above this is proof too, in nanoseconds; in it no call counts for more than the second figure.
const SLOW_AVERAGE: u64 = 200_000;
const MOST_IN_AVERAGE: u64 = 1_000_000;
/// Answers of calls that take longer on average are written in batches, in nanoseconds.
const BATCH_AVERAGE: u64 = 1_500;

/// What a worker gives the engine.
pub struct Parts {
    pub config: Arc<Config>,
    pub apps: Vec<App>,
    pub slots: &'static [Slot],
    pub index: usize,
    pub log: Arc<ErrorLog>,
    /// Of each location, in the order of the configuration; empty: `log` for all.
    pub error_logs: Vec<Arc<ErrorLog>>,
    pub access: AccessLogs,
    pub front: Front,
    /// Requests after which the worker ends; 0 = never.
    pub max_requests: u64,
    /// Set by a signal handler as soon as the worker is told to drain, which it may learn much later in a long call.
    pub told_to_drain: &'static AtomicBool,
}

pub struct Engine {
    pub config: Arc<Config>,
    pub apps: Vec<App>,
    pub jobs: Jobs,
    pub inbox: Inbox,
    pub registry: Registry,
    /// Groups of servers, in the order of the configuration's.
    pub upstreams: Vec<Arc<Group>>,
    /// Connections to servers that are in no group.
    pub links: Pool,
    pub log: Arc<ErrorLog>,
    error_logs: Vec<Arc<ErrorLog>>,
    pub access: AccessLogs,
    /// Connections so far.
    connections: AtomicU64,
    slots: &'static [Slot],
    index: usize,
    front: Front,
    fronted: AtomicBool,
    draining: AtomicBool,
    told_to_drain: &'static AtomicBool,
    stopping: AtomicBool,
    /// Something that `changed` waits for has happened.
    change: Change,
    acceptors: Mutex<Vec<Task>>,
    max_requests: u64,
    served: AtomicU64,
    calls: AtomicU64,
    /// Moving average of a call, in nanoseconds.
    average: AtomicU64,
    slow_calls: AtomicU32,
    last_slow: AtomicU64,
    /// How long the runtime's thread had waited for a processor when it was last looked at, in nanoseconds.
    delayed: AtomicU64,
    /// When it was last told that connections, and memory, are not enough; in seconds.
    told_full: AtomicU64,
    told_memory: AtomicU64,
}

impl Engine {
    /// Fails when the process is out of descriptors.
    pub fn new(parts: Parts) -> io::Result<Arc<Engine>> {
        // Those that the master did not map: the configuration was read by the worker itself.
        parts.config.zones.map(None).map_err(io::Error::other)?;
        memory::set_limit(parts.config.main.worker_memory);
        let groups = parts.config.upstreams.iter().map(|spec| Group::new(spec.clone(), parts.index));
        let groups: Vec<Arc<Group>> = groups.collect();
        for group in groups.iter().filter(|group| group.lacks_room()) {
            let zone = group.spec.zone.as_ref().map_or("", |zone| &zone.name);
            parts.log.warning(format_args!(
                "no memory in upstream zone \"{zone}\": what is known of some servers is this worker's own"
            ));
        }
        Ok(Arc::new(Engine {
            upstreams: groups,
            jobs: Jobs::new(&parts.slots[parts.index]),
            inbox: Inbox::new()?,
            config: parts.config,
            apps: parts.apps,
            registry: Registry::default(),
            links: Pool::default(),
            log: parts.log,
            error_logs: parts.error_logs,
            access: parts.access,
            connections: AtomicU64::new(0),
            slots: parts.slots,
            index: parts.index,
            front: parts.front,
            fronted: AtomicBool::new(parts.front == Front::Thread),
            draining: AtomicBool::new(false),
            told_to_drain: parts.told_to_drain,
            stopping: AtomicBool::new(false),
            change: Change::new(),
            acceptors: Mutex::default(),
            max_requests: parts.max_requests,
            served: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            average: AtomicU64::new(0),
            slow_calls: AtomicU32::new(0),
            last_slow: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            told_full: AtomicU64::new(0),
            told_memory: AtomicU64::new(0),
        }))
    }

    /// Takes a task that accepts connections, to be ended when the worker drains.
    pub fn add_acceptor(&self, task: Task) {
        self.acceptors.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    /// A tick of the clock, so many milliseconds after the one before.
    pub fn tick(&self, elapsed: u64) {
        if !self.is_fronted() {
            self.delay();
        }
        self.inbox.watch(self.slot());
        self.registry.tick(elapsed);
        self.access.tick(&self.log);
        let draining = self.is_draining();
        let groups = self.upstreams.iter().map(|group| (&group.pool, group.spec.keepalive));
        for (pool, keepalive) in groups.chain([(&self.links, Keepalive::default())]) {
            if draining { pool.clear() } else { pool.sweep(&keepalive) }
        }
    }

    /// This worker's row in shared memory.
    pub fn slot(&self) -> &'static Slot {
        &self.slots[self.index]
    }

    /// The number of this worker's row.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The rows of all workers.
    pub fn slots(&self) -> &'static [Slot] {
        self.slots
    }

    /// The error log of the location that a request is in.
    pub fn log_of(&self, request: &Request) -> &ErrorLog {
        self.log_at(request.route.location)
    }

    /// The error log of a location, or of the block around it.
    pub fn log_at(&self, location: u32) -> &ErrorLog {
        self.error_logs.get(location as usize).unwrap_or(&self.log)
    }

    /// The error logs of the locations, in the order of the configuration; empty: there is one for all.
    pub fn error_logs(&self) -> &[Arc<ErrorLog>] {
        &self.error_logs
    }

    /// Opens all files of logs again under their names, after they were rotated.
    pub fn reopen_logs(&self) {
        let mut reopened: Vec<&Arc<ErrorLog>> = Vec::new();
        for log in std::iter::once(&self.log).chain(&self.error_logs) {
            if reopened.iter().any(|other| Arc::ptr_eq(other, log)) {
                continue;
            }
            reopened.push(log);
            if let Err(error) = log.reopen() {
                self.log.error(format_args!("cannot reopen the error log: {error}"));
            }
        }
        self.access.reopen(&self.log);
    }

    /// The error log of a connection that has no request yet: the first server's.
    pub fn log_of_listener(&self, listen: usize) -> &ErrorLog {
        let server = self.config.server(self.config.listens[listen].default_server);
        self.error_logs.get(server.location as usize).unwrap_or(&self.log)
    }

    /// The number of a new connection.
    pub fn next_connection(&self) -> u64 {
        self.slot().accepted.fetch_add(1, Relaxed);
        self.connections.fetch_add(1, Relaxed) + 1
    }

    pub fn is_fronted(&self) -> bool {
        self.fronted.load(Relaxed)
    }

    /// Another thread is to drive the runtime from now on.
    pub fn move_to_front(&self) {
        if !self.fronted.swap(true, Relaxed) {
            self.log.debug(format_args!(
                "calls are slow: connections move to a thread of their own ({} calls, {} µs on average)",
                self.calls.load(Relaxed),
                self.average.load(Relaxed) / 1000
            ));
            self.change.notify_one();
            self.inbox.interrupt();
        }
    }

    /// Whether an inline answer may be given up to the job loop.
    pub fn may_suspend(&self) -> bool {
        self.front == Front::Auto
    }

    /// Notes how long an inline call took.
    pub fn observe(&self, took: Duration) {
        let calls = self.calls.load(Relaxed) + 1;
        self.calls.store(calls, Relaxed);
        let slow = took > crate::app::output::SLOW;
        let took = if slow { took.saturating_sub(self.delay()) } else { took };
        let average = self.average.load(Relaxed);
        let average = average - average / 32 + (took.as_nanos() as u64).min(MOST_IN_AVERAGE) / 32;
        self.average.store(average, Relaxed);
        if !slow && average <= SLOW_AVERAGE || self.front != Front::Auto {
            return;
        }
        if calls <= WARM_UP_CALLS {
            self.average.store(0, Relaxed);
            if took >= WARM_UP_SLOW {
                self.move_to_front();
            }
            return;
        }
        if took > crate::app::output::SLOW {
            if calls - self.last_slow.swap(calls, Relaxed) > FORGET_AFTER {
                self.slow_calls.store(0, Relaxed);
            }
            self.slow_calls.fetch_add(1, Relaxed);
        }
        if took >= VERY_SLOW || self.slow_calls.load(Relaxed) >= SLOW_CALLS || average > SLOW_AVERAGE {
            self.move_to_front();
        }
    }

    /// How long this thread has waited for a processor since the last look: on a busy machine that is not the call's
    /// fault. At most a tick of it is from before the call.
    fn delay(&self) -> Duration {
        let now = sys::time::run_delay();
        Duration::from_nanos(now.saturating_sub(self.delayed.swap(now, Relaxed)))
    }

    /// Whether answers are worth being written in batches.
    pub fn batches(&self) -> bool {
        self.average.load(Relaxed) > BATCH_AVERAGE
    }

    /// No new connections; the open ones finish what they do, see `is_drained`.
    pub fn drain(&self) {
        if self.draining.swap(true, Relaxed) {
            return;
        }
        self.slot().state.store(State::Draining as u32, Relaxed);
        for acceptor in self.acceptors.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            acceptor.abort();
        }
        self.registry.drain();
        self.registry.wake_all();
        self.change.notify_one();
    }

    /// Idle connections end at once; `is_drained` is not waited for.
    pub fn stop(&self) {
        self.drain();
        self.stopping.store(true, Relaxed);
        self.registry.wake_all();
        self.change.notify_one();
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed) || self.told_to_drain.load(Relaxed)
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Nothing is left to do.
    pub fn is_drained(&self) -> bool {
        self.draining.load(Relaxed) && self.slot().connections.load(Relaxed) == 0 && self.inbox.running() == 0
    }

    /// An application on an event loop has returned.
    pub fn app_ended(&self) {
        self.inbox.app_ended();
        self.connection_ended();
    }

    /// A connection has ended.
    pub fn connection_ended(&self) {
        if self.is_draining() {
            self.change.notify_one();
        }
    }

    /// A request has been answered.
    pub fn request_ended(&self) {
        if self.max_requests > 0 && self.served.fetch_add(1, Relaxed) + 1 >= self.max_requests && !self.is_draining() {
            self.log.info(format_args!("Autorestarting worker after {} requests", self.max_requests));
            self.drain();
        }
    }

    /// Waits until the mode or the state has changed.
    pub async fn changed(&self) {
        self.change.notified().await;
    }

    /// Whether there are other workers.
    pub fn has_company(&self) -> bool {
        self.others().next().is_some()
    }

    /// The other workers that take connections.
    fn others(&self) -> impl Iterator<Item = &'static Slot> {
        let own = self.index;
        let slots = self.slots.iter().enumerate();
        slots
            .filter(move |(index, slot)| *index != own && slot.state.load(Relaxed) == State::Ready as u32)
            .map(|(_, s)| s)
    }

    /// Makes room for new connections before there is none: idle ones end, those first that have waited longest; and when
    /// there is no place at all, those whose head takes long to arrive.
    pub fn make_room(&self) {
        let most = self.config.main.worker_connections;
        let open = self.slot().connections.load(Relaxed);
        if open < most - most / 16 || self.registry.shed(open >= most) == 0 {
            return;
        }
        if self.is_new_second(&self.told_full) {
            self.log.warning(format_args!("{most} worker_connections are not enough, reusing connections"));
        }
    }

    /// Whether too much memory is held for another request, see `worker_memory`.
    pub fn is_out_of_memory(&self) -> bool {
        if !memory::is_over() {
            return false;
        }
        if self.is_new_second(&self.told_memory) {
            let (held, limit) = (memory::held(), memory::limit());
            self.log.warning(format_args!(
                "worker_memory of {limit} bytes is not enough, {held} bytes are held: requests are answered 503"
            ));
        }
        true
    }

    /// Whether the second is another one than when it was asked last: not everything is told each time.
    fn is_new_second(&self, last: &AtomicU64) -> bool {
        let now = sys::time::coarse_monotonic_ms() / 1000;
        last.swap(now, Relaxed) != now
    }

    /// Whether there is no place for another connection.
    pub fn is_full(&self) -> bool {
        self.slot().connections.load(Relaxed) >= self.config.main.worker_connections
    }

    /// Whether new connections are better left to another worker for a moment.
    pub fn should_look_away(&self) -> bool {
        let mine = self.slot();
        let connections = mine.connections.load(Relaxed);
        let busy = self.is_fronted() && mine.busy();
        self.others().any(|other| {
            let theirs = other.connections.load(Relaxed);
            !other.busy() && (busy || theirs + 4 + theirs / 4 < connections)
        })
    }
}
