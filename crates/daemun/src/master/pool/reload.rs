//! Reload: a second generation boots beside the first, and takes over whole or not at all.

use super::{Action, Generation, LEAST_BOOT, Limits, Phase, Pool};
use crate::error_log::Level;
use crate::sys::signals::Signal;

/// How long a generation may take to boot when there is no `timeout`, in milliseconds.
const PATIENCE: u64 = 300_000;

/// A reload in progress.
pub(super) struct Reload {
    pub generation: Generation,
    since: u64,
}

impl Pool {
    /// Begins a reload. Gives the number of the new generation.
    pub fn begin_reload(&mut self, now: u64, limits: Limits) -> u64 {
        let number =
            self.workers.iter().map(|worker| worker.generation).max().unwrap_or(0).max(self.current.number) + 1;
        self.reload = Some(Reload { generation: Generation::new(number, limits), since: now });
        number
    }

    /// Whether a reload is in progress.
    pub fn is_reloading(&self) -> bool {
        self.reload.is_some()
    }

    pub(super) fn reload_number(&self) -> Option<u64> {
        self.reload.as_ref().map(|reload| reload.generation.number)
    }

    /// Lets the new generation take over once it is complete, or gives it up when it takes too long.
    pub(super) fn check_reload(&mut self, now: u64) {
        let Some(reload) = &self.reload else { return };
        let (number, limits) = (reload.generation.number, reload.generation.limits);
        let ready = |worker: &&super::Worker| worker.generation == number && matches!(worker.phase, Phase::Running);
        if self.workers.iter().filter(ready).count() >= reload.generation.seats.len() {
            let Some(reload) = self.reload.take() else { return };
            // The old ones' deadline is that of their own settings.
            self.leave_where(now, Some(Signal::SIGTERM), |_, worker| worker.generation != number);
            self.current = reload.generation;
            self.actions.push(Action::Commit);
            return;
        }
        let longest = if limits.timeout == 0 { PATIENCE } else { limits.timeout.max(LEAST_BOOT) };
        if now >= reload.since + longest {
            self.log(Level::Error, format!("the new workers are not ready after {} s", longest / 1000));
            self.abandon(now);
        }
    }

    /// Gives up a reload. The log has been told why.
    pub(super) fn abandon(&mut self, now: u64) {
        let Some(reload) = self.reload.take() else { return };
        let number = reload.generation.number;
        self.leave_where(now, Some(Signal::SIGTERM), |_, worker| worker.generation == number);
        self.log(Level::Error, "reload failed; the running workers stay".into());
        self.actions.push(Action::Abandon);
    }
}
