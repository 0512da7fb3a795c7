//! The decisions of the master: which worker is started, signalled, replaced or given up, and when the program ends.
//!
//! It is a state machine without processes and without a clock: events and the time come in, [`Action`]s come out. The
//! rules:
//!
//! 1. A *generation* is a set of settings; it has *seats*, one for each worker that should serve. A worker sits on a
//!    seat while it is booting or running; from when it is to end, the seat is free and gets a new worker.
//! 2. A seat whose worker fails waits longer each time ([`Backoff`]); other seats do not wait for it.
//! 3. A reload is a second generation beside the first. It takes over when a worker runs on each of its seats; if one
//!    of its workers ends before that, all of them go and the first generation never notices.
//! 4. Only failing to load the application before any worker has run, and signals, end the program.
//! 5. Whoever is to end gets SIGTERM and a deadline; at the deadline SIGKILL, and the log says what was cut.

mod leaving;
mod reload;

use http::slots::{Slot, State, TRACEBACK_SIGNAL};

use super::backoff::Backoff;
use crate::error_log::Level;
use crate::settings::Settings;
use crate::sys::process::Death;
use crate::sys::signals::Signal;
use crate::wording::Wording;
use leaving::Leave;

/// A worker that dies within this many milliseconds after it became ready, died early.
const EARLY: u64 = 1_000;
/// Workers may take this long to boot, in milliseconds, even when `timeout` is shorter.
const LEAST_BOOT: u64 = 60_000;
/// How often the slots are looked at.
const TICK: u64 = 1_000;

/// The codes by which a worker says that it could not boot, or could not load its application.
pub const WORKER_FAILED: i32 = 3;
/// See [`WORKER_FAILED`].
pub const APP_FAILED: i32 = 4;

/// What the pool needs of the settings. Times are milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Seats.
    pub workers: usize,
    /// Longest call; 0 is no limit.
    pub timeout: u64,
    /// How long a worker may take to end.
    pub graceful: u64,
    /// Workers restart when code changes: they may end, and fail to boot, at any time.
    pub development: bool,
}

impl Limits {
    /// The limits of these settings.
    pub fn of(settings: &Settings) -> Limits {
        Limits {
            workers: settings.workers,
            timeout: settings.timeout.as_millis() as u64,
            graceful: settings.graceful_timeout.as_millis() as u64,
            development: settings.reload,
        }
    }
}

/// What the master is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fork a worker for this seat of this generation.
    Spawn {
        /// The seat's number.
        seat: usize,
        /// The generation whose settings it runs with.
        generation: u64,
    },
    /// Send a signal.
    Kill {
        /// To this worker.
        pid: i32,
        /// Its number.
        signal: i32,
    },
    /// Write to the error log.
    Log(Level, String),
    /// The reload is done: the new settings are the settings.
    Commit,
    /// The reload has failed: forget the new settings.
    Abandon,
    /// Accept no more: close the listeners.
    CloseListeners,
    /// End the program.
    Exit(i32),
}

/// All workers.
pub struct Pool {
    slots: &'static [Slot],
    workers: Vec<Worker>,
    current: Generation,
    reload: Option<reload::Reload>,
    stopping: Option<leaving::Stopping>,
    /// A worker has been ready.
    booted: bool,
    /// In whose words workers die.
    pub wording: Wording,
    /// What the log says at the end.
    pub reason: Option<&'static str>,
    actions: Vec<Action>,
}

/// A set of settings and the seats it wants filled.
struct Generation {
    number: u64,
    limits: Limits,
    seats: Vec<Backoff>,
}

impl Generation {
    fn new(number: u64, limits: Limits) -> Generation {
        Generation { number, limits, seats: vec![Backoff::default(); limits.workers] }
    }
}

struct Worker {
    pid: i32,
    slot: usize,
    generation: u64,
    seat: usize,
    /// When it was forked, then when it became ready.
    since: u64,
    phase: Phase,
    /// It shall reopen its logs once it can.
    reopen: bool,
}

enum Phase {
    Booting,
    Running,
    Leaving(Leave),
}

impl Worker {
    fn sits(&self) -> bool {
        !matches!(self.phase, Phase::Leaving(_))
    }
}

impl Pool {
    /// A pool that wants its first workers.
    pub fn new(limits: Limits, slots: &'static [Slot]) -> Pool {
        Pool {
            slots,
            workers: Vec::new(),
            current: Generation::new(1, limits),
            reload: None,
            stopping: None,
            booted: false,
            wording: Wording::Gunicorn,
            reason: None,
            actions: Vec::new(),
        }
    }

    /// What is to be done now.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// A slot that no worker has.
    pub fn free_slot(&self) -> Option<usize> {
        (0..self.slots.len()).find(|slot| self.workers.iter().all(|worker| worker.slot != *slot))
    }

    /// Whether a worker has ever been ready.
    pub fn booted(&self) -> bool {
        self.booted
    }

    /// Whether the program is ending.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// An [`Action::Spawn`] was done.
    pub fn spawned(&mut self, now: u64, seat: usize, generation: u64, pid: i32, slot: usize) {
        self.workers.push(Worker { pid, slot, generation, seat, since: now, phase: Phase::Booting, reopen: false });
    }

    /// An [`Action::Spawn`] could not be done.
    pub fn not_spawned(&mut self, now: u64, seat: usize, generation: u64, why: &str) {
        self.log(Level::Error, format!("cannot start a worker: {why}"));
        if self.reload_number() == Some(generation) {
            self.abandon(now);
        } else if let Some(backoff) = self.current.seats.get_mut(seat) {
            backoff.failed_to_boot(now);
        }
    }

    /// A worker says that it serves.
    pub fn on_ready(&mut self, now: u64, pid: i32) {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.pid == pid) else { return };
        if !matches!(worker.phase, Phase::Booting) {
            return;
        }
        worker.phase = Phase::Running;
        worker.since = now;
        if std::mem::take(&mut worker.reopen) {
            self.kill(pid, Signal::SIGUSR1 as i32);
        }
        self.booted = true;
    }

    /// A worker says that it takes no more requests and wants to be replaced.
    pub fn on_draining(&mut self, now: u64, pid: i32) {
        if let Some(index) = self.workers.iter().position(|worker| worker.pid == pid && worker.sits()) {
            self.leave(now, index, None);
        }
    }

    /// The row of a worker.
    pub fn slot_of(&self, pid: i32) -> Option<usize> {
        self.workers.iter().find(|worker| worker.pid == pid).map(|worker| worker.slot)
    }

    /// A child has ended.
    pub fn on_death(&mut self, now: u64, pid: i32, death: Death) {
        let Some(index) = self.workers.iter().position(|worker| worker.pid == pid) else {
            // The application's, or an orphan that the kernel gave to process 1.
            return self.log(Level::Debug, format!("Reaped unknown child process (pid:{pid})"));
        };
        let worker = self.workers.remove(index);
        self.slots[worker.slot].reset();
        self.log_death(&worker, death);
        if self.stopping.is_some() {
            return;
        }
        match worker.phase {
            Phase::Leaving(_) => {}
            Phase::Booting if self.reload_number() == Some(worker.generation) => {
                self.log(Level::Error, format!("a new worker (pid:{pid}) ended before it was ready"));
                self.abandon(now);
            }
            Phase::Booting => self.boot_failed(now, worker.seat, death),
            Phase::Running => {
                let early = now < worker.since + EARLY;
                let again = self.development() && death == Death::Code(0);
                if let Some(seat) = self.seat(worker.generation, worker.seat)
                    && early
                    && !again
                {
                    let wait = seat.died_early(now);
                    self.log_wait(wait);
                }
            }
        }
    }

    fn boot_failed(&mut self, now: u64, seat: usize, death: Death) {
        if !self.booted && !self.development() {
            let reason = match death {
                Death::Code(WORKER_FAILED) => Some("Worker failed to boot."),
                Death::Code(APP_FAILED) => Some("App failed to load."),
                _ => None,
            };
            if let (Some(reason), Death::Code(code)) = (reason, death) {
                self.reason = Some(reason);
                return self.stop(now, true, code);
            }
        }
        let restart = self.development() && death == Death::Code(0);
        let Some(seat) = self.current.seats.get_mut(seat) else { return };
        let wait = if restart { seat.died_early(now) } else { seat.failed_to_boot(now) };
        self.log_wait(wait);
    }

    fn log_wait(&mut self, wait: u64) {
        if wait > 0 {
            self.log(Level::Warning, format!("The next worker is started in {:.1} s", wait as f64 / 1000.0));
        }
    }

    fn log_death(&mut self, worker: &Worker, death: Death) {
        let (asked, killed) = match &worker.phase {
            Phase::Leaving(leave) => (true, leave.killed),
            _ => (false, false),
        };
        if let Some((level, line)) = self.wording.death(worker.pid, death, asked, killed) {
            self.log(level, line);
        }
    }

    /// Does what the passing of time asks for. To be called after every event.
    pub fn tick(&mut self, now: u64) {
        self.look(now);
        self.check_deadlines(now);
        if self.stopping.is_some() {
            return self.check_end(now);
        }
        self.check_reload(now);
        self.fill_seats(now);
    }

    /// Looks at the slots of those that sit: has one begun to drain, or is one stuck?
    fn look(&mut self, now: u64) {
        if self.stopping.is_some() {
            return;
        }
        for index in 0..self.workers.len() {
            let worker = &self.workers[index];
            let slot = &self.slots[worker.slot];
            let Some(limits) = self.limits(worker.generation).filter(|_| worker.sits()) else { continue };
            match worker.phase {
                Phase::Booting => {
                    let longest = limits.timeout.max(LEAST_BOOT);
                    if limits.timeout > 0 && now >= worker.since + longest {
                        self.give_up_boot(now, index, longest);
                    }
                }
                _ if slot.state() == State::Draining => self.leave(now, index, None),
                _ => {
                    let stuck = slot.stuck_since().is_some_and(|start| now >= start.saturating_add(limits.timeout));
                    if limits.timeout > 0 && stuck {
                        self.time_out(now, index, limits);
                    }
                }
            }
        }
    }

    fn give_up_boot(&mut self, now: u64, index: usize, longest: u64) {
        let (pid, generation) = (self.workers[index].pid, self.workers[index].generation);
        let what = format!("WORKER TIMEOUT (pid:{pid}): not ready after {} s", longest / 1000);
        self.log(Level::Critical, what);
        // If the interpreter is up, its traceback shows where it hangs; if not, the signal ends it.
        self.kill(pid, TRACEBACK_SIGNAL);
        if self.reload_number() == Some(generation) {
            return self.abandon(now);
        }
        let seat = self.workers[index].seat;
        self.leave(now, index, None);
        if let Phase::Leaving(leave) = &mut self.workers[index].phase {
            leave.deadline = now + leaving::AFTER_TRACEBACK;
        }
        if let Some(seat) = self.current.seats.get_mut(seat) {
            seat.failed_to_boot(now);
        }
    }

    fn fill_seats(&mut self, now: u64) {
        let reload = self.reload.as_ref().map(|reload| &reload.generation);
        for generation in [Some(&self.current), reload].into_iter().flatten() {
            for (seat, backoff) in generation.seats.iter().enumerate() {
                if now >= backoff.due() && !self.is_taken(generation.number, seat) {
                    self.actions.push(Action::Spawn { seat, generation: generation.number });
                }
            }
        }
    }

    fn is_taken(&self, generation: u64, seat: usize) -> bool {
        self.workers.iter().any(|worker| worker.generation == generation && worker.seat == seat && worker.sits())
    }

    /// One seat more.
    pub fn more(&mut self) {
        self.current.seats.push(Backoff::default());
        self.current.limits.workers = self.current.seats.len();
    }

    /// One seat less; the last one stays.
    pub fn fewer(&mut self, now: u64) {
        if self.current.seats.len() <= 1 {
            return;
        }
        self.current.seats.pop();
        self.current.limits.workers = self.current.seats.len();
        self.leave_where(now, Some(Signal::SIGTERM), |pool, worker| {
            worker.generation == pool.current.number && worker.seat >= pool.current.seats.len()
        });
    }

    /// No seats: the master stays alone.
    pub fn send_home(&mut self, now: u64) {
        self.current.seats.clear();
        self.leave_where(now, Some(Signal::SIGTERM), |_, _| true);
    }

    /// All seats again, after [`Pool::send_home`].
    pub fn come_back(&mut self) {
        let wanted = self.current.limits.workers;
        self.current.seats.resize(wanted, Backoff::default());
    }

    /// Lets every worker reopen its logs; those that are booting, when they are ready.
    pub fn reopen_logs(&mut self) {
        for index in 0..self.workers.len() {
            match self.workers[index].phase {
                Phase::Booting => self.workers[index].reopen = true,
                _ => self.kill(self.workers[index].pid, Signal::SIGUSR1 as i32),
            }
        }
    }

    /// How many milliseconds nothing needs to be done if nothing happens.
    pub fn idle_time(&self, now: u64) -> u64 {
        let leaving = self.workers.iter().filter_map(|worker| match &worker.phase {
            Phase::Leaving(leave) => Some(leave.next(now)),
            _ => None,
        });
        let seats = &self.current.seats;
        let waiting = seats.iter().map(Backoff::due).filter(|due| *due > now);
        let end = self.stopping.as_ref().map(|stopping| stopping.end());
        let next = leaving.chain(waiting).chain(end).min().unwrap_or(u64::MAX);
        next.saturating_sub(now).clamp(1, TICK)
    }

    fn development(&self) -> bool {
        self.current.limits.development
    }

    fn limits(&self, generation: u64) -> Option<Limits> {
        if generation == self.current.number {
            return Some(self.current.limits);
        }
        self.reload
            .as_ref()
            .map(|reload| &reload.generation)
            .filter(|new| new.number == generation)
            .map(|new| new.limits)
    }

    fn seat(&mut self, generation: u64, seat: usize) -> Option<&mut Backoff> {
        let of = match &mut self.reload {
            Some(reload) if reload.generation.number == generation => &mut reload.generation,
            _ if self.current.number == generation => &mut self.current,
            _ => return None,
        };
        of.seats.get_mut(seat)
    }

    fn log(&mut self, level: Level, message: String) {
        self.actions.push(Action::Log(level, message));
    }

    fn kill(&mut self, pid: i32, signal: i32) {
        self.actions.push(Action::Kill { pid, signal });
    }
}

#[cfg(test)]
mod tests;
