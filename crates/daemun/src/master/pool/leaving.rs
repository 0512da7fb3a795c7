//! Ends: of single workers, of stuck ones, and of all.

use std::sync::atomic::Ordering::Relaxed;

use http::slots::{Slot, TRACEBACK_SIGNAL};

use super::{Action, Limits, Phase, Pool, Worker};
use crate::error_log::Level;
use crate::sys::signals::Signal;

/// How long a worker that is stuck has to write its tracebacks, in milliseconds.
pub(super) const AFTER_TRACEBACK: u64 = 200;
/// How long workers have when the end is to be quick.
const QUICK: u64 = 2_000;
/// How long a killed worker may take to vanish before the master ends without it.
const VANISH: u64 = 5_000;
/// Workers keep their deadline themselves, and know better what they cut; the master comes after them.
const AFTER_WORKER: u64 = 500;
/// How often a stuck worker is looked at.
const STUCK_TICK: u64 = 100;

/// How a worker leaves.
pub(super) struct Leave {
    /// Then it is killed.
    pub deadline: u64,
    /// It has been.
    pub killed: bool,
    /// It ran into its timeout.
    stuck: Option<Stuck>,
}

struct Stuck {
    /// When each thread's call began.
    calls: Vec<u64>,
    since: u64,
    /// It has been asked to drain.
    asked: bool,
}

impl Leave {
    /// When it needs attention again.
    pub fn next(&self, now: u64) -> u64 {
        match &self.stuck {
            Some(_) if !self.killed => self.deadline.min(now + STUCK_TICK),
            _ => self.deadline,
        }
    }
}

impl Stuck {
    /// How many of the calls are still the same.
    fn remaining(&self, slot: &Slot) -> u32 {
        let same = slot.thread_calls().iter().zip(&self.calls).filter(|(call, start)| call.load(Relaxed) == **start);
        same.count() as u32
    }
}

/// The end of the program.
pub(super) struct Stopping {
    code: i32,
    quick: bool,
    /// The last workers are killed at this time.
    deadline: u64,
}

impl Stopping {
    /// When the program ends, even if a worker has not vanished.
    pub fn end(&self) -> u64 {
        self.deadline + VANISH
    }
}

impl Pool {
    /// Frees a worker's seat and gives it the time it has to end, with a signal if it does not know yet. One that is
    /// booting has nothing to finish.
    pub(super) fn leave(&mut self, now: u64, index: usize, signal: Option<Signal>) {
        let graceful = self.limits(self.workers[index].generation).unwrap_or(self.current.limits).graceful;
        let worker = &mut self.workers[index];
        let time = match worker.phase {
            Phase::Booting => graceful.min(QUICK),
            _ => graceful + AFTER_WORKER,
        };
        worker.phase = Phase::Leaving(Leave { deadline: now + time, killed: false, stuck: None });
        let pid = worker.pid;
        if let Some(signal) = signal {
            self.kill(pid, signal as i32);
        }
    }

    /// [`Pool::leave`] for all that sit and are chosen.
    pub(super) fn leave_where(&mut self, now: u64, signal: Option<Signal>, chosen: impl Fn(&Pool, &Worker) -> bool) {
        for index in 0..self.workers.len() {
            if self.workers[index].sits() && chosen(self, &self.workers[index]) {
                self.leave(now, index, signal);
            }
        }
    }

    /// Every Python thread of a worker has been in one call for too long. It is replaced; before it is killed, it says
    /// where it hangs, and its other requests may end.
    pub(super) fn time_out(&mut self, now: u64, index: usize, limits: Limits) {
        let worker = &self.workers[index];
        let (pid, slot) = (worker.pid, &self.slots[worker.slot]);
        let calls: Vec<u64> = slot.thread_calls().iter().map(|call| call.load(Relaxed)).collect();
        let threads = match calls.len() {
            1 => "its Python thread has".to_string(),
            count => format!("all its {count} Python threads have"),
        };
        let limit = limits.timeout / 1000;
        self.log(
            Level::Critical,
            format!("WORKER TIMEOUT (pid:{pid}): {threads} been in one call for more than {limit} s"),
        );
        self.kill(pid, TRACEBACK_SIGNAL);
        self.leave(now, index, None);
        if let Phase::Leaving(leave) = &mut self.workers[index].phase {
            leave.stuck = Some(Stuck { calls, since: now, asked: false });
            leave.deadline += AFTER_TRACEBACK;
        }
    }

    /// Takes the next step with all that leave.
    pub(super) fn check_deadlines(&mut self, now: u64) {
        for worker in &mut self.workers {
            let Phase::Leaving(leave) = &mut worker.phase else { continue };
            let slot = &self.slots[worker.slot];
            let (pid, requests) = (worker.pid, slot.requests.load(Relaxed));
            let mut why = None;
            if let Some(stuck) = &mut leave.stuck
                && !leave.killed
                && now >= stuck.since + AFTER_TRACEBACK
            {
                let remaining = stuck.remaining(slot);
                if remaining > 0 && requests <= remaining {
                    why = Some("only its stuck calls were left".to_string());
                } else if !stuck.asked {
                    stuck.asked = true;
                    self.actions.push(Action::Kill { pid, signal: Signal::SIGTERM as i32 });
                }
            }
            if why.is_none() && now >= leave.deadline {
                why = Some(format!("its time to end is over; requests in progress: {requests}"));
            }
            if let Some(why) = why {
                if !leave.killed {
                    let message = format!("Worker (pid:{pid}) is killed: {why}");
                    self.actions.push(Action::Log(Level::Warning, message));
                }
                leave.killed = true;
                leave.deadline = now + VANISH;
                self.actions.push(Action::Kill { pid, signal: Signal::SIGKILL as i32 });
            }
        }
    }

    /// Ends the program, at once or once the workers have finished what they have. A second, quicker request
    /// hurries up the first.
    pub fn stop(&mut self, now: u64, quick: bool, code: i32) {
        let graceful = self.current.limits.graceful;
        let longest = if quick { graceful.min(QUICK) } else { graceful + AFTER_WORKER };
        let stopping = match &mut self.stopping {
            Some(stopping) if quick && !stopping.quick => {
                self.actions.push(Action::Log(Level::Info, "Quick shutdown requested".into()));
                stopping
            }
            Some(_) => return,
            None => {
                self.reload = None;
                self.actions.push(Action::CloseListeners);
                self.stopping.insert(Stopping { code, quick, deadline: u64::MAX })
            }
        };
        stopping.quick = quick;
        stopping.deadline = stopping.deadline.min(now + longest);
        let deadline = stopping.deadline;
        let signal = if quick { Signal::SIGQUIT } else { Signal::SIGTERM };
        for index in 0..self.workers.len() {
            if self.workers[index].sits() {
                self.leave(now, index, Some(signal));
            } else {
                self.kill(self.workers[index].pid, signal as i32);
            }
            if let Phase::Leaving(leave) = &mut self.workers[index].phase
                && !leave.killed
            {
                leave.deadline = leave.deadline.min(deadline);
            }
        }
    }

    /// Whether the program can end.
    pub(super) fn check_end(&mut self, now: u64) {
        let Some(stopping) = &self.stopping else { return };
        if self.workers.is_empty() || now >= stopping.end() {
            self.actions.push(Action::Exit(stopping.code));
        }
    }
}
