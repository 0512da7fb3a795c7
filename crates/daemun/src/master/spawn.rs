//! The fork of a worker, and what the child does before its work begins.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http::slots::State;
use http::sys::time::monotonic_ms;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::pool::WORKER_FAILED;
use super::{Master, WorkerContext, surroundings};
use crate::error_log::Level;
use crate::settings::apply_environment;
use crate::sys::process::{self, Fork};
use crate::sys::reason;
use crate::sys::signals::Blocked;
use crate::wording::Event;

/// The exit code of a worker that panicked, as Gunicorn's of one that raised.
const PANICKED: i32 = 255;

impl Master<'_> {
    /// Starts a worker.
    pub(super) fn spawn(&mut self, seat: usize, generation: u64) {
        let now = monotonic_ms();
        let Some(slot) = self.pool.free_slot() else {
            let why = format!("all {} places for workers are taken", self.slots.len());
            return self.pool.not_spawned(now, seat, generation, &why);
        };
        match self.fork(slot) {
            Ok(Forked::Parent(pid, words)) => {
                self.words.insert(pid, words);
                self.age += 1;
                self.wording.tell(&self.log, Event::Started { pid });
                self.pool.spawned(now, seat, generation, pid, slot);
            }
            Ok(Forked::Child(ready)) => self.become_worker(slot, seat, generation, ready),
            Err(error) => self.pool.not_spawned(now, seat, generation, &reason(&error)),
        }
    }

    fn fork(&mut self, slot: usize) -> std::io::Result<Forked> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let row = &self.slots[slot];
        row.reset();
        row.set_state(State::Booting);
        // No signal reaches the child before it has given up the master's handlers.
        let blocked = Blocked::all()?;
        Ok(match process::fork(self.host)? {
            Fork::Parent(pid) => {
                row.pid.store(pid as u32, Relaxed);
                Forked::Parent(pid, File::from(read))
            }
            Fork::Child => {
                row.pid.store(std::process::id(), Relaxed);
                if let Some(signals) = self.signals.take() {
                    signals.leave_in_child();
                }
                drop(blocked);
                Forked::Child(write)
            }
        })
    }

    /// The worker's life. What belongs to the master is closed first, but nothing of it is undone.
    fn become_worker(&mut self, slot: usize, seat: usize, generation: u64, ready: OwnedFd) -> ! {
        self.words.clear();
        self.background = None;
        let (settings, mut listeners, log) = match self.pending.take() {
            Some(new) if new.generation == generation => {
                self.listeners.clear();
                (new.settings, new.listeners, new.log)
            }
            _ => (self.settings.clone(), std::mem::take(&mut self.listeners), Arc::clone(&self.log)),
        };
        listeners.retain(|listener| listener.is_for(seat));
        match &settings.nginx {
            Some(setup) => setup.name_process("worker process"),
            None => process::set_name(settings.proc_name.as_deref().unwrap_or("daemun: worker")),
        }
        let pid = std::process::id();
        let wording = self.wording;
        wording.tell(&log, Event::Booting { pid });
        let context = WorkerContext {
            settings,
            listeners,
            slots: self.slots,
            slot,
            ready,
            log: Arc::clone(&log),
            seat,
            age: self.age + 1,
            master_pid: self.pid,
            first: !self.pool.booted(),
        };
        let work = self.work;
        let identity = &self.identity;
        let code = catch_unwind(AssertUnwindSafe(|| {
            if let Err(why) = prepare(&context, identity) {
                log.log(Level::Error, format_args!("{why}"));
                return WORKER_FAILED;
            }
            work(context)
        }));
        let code = code.unwrap_or_else(|_| {
            log.log(Level::Alert, format_args!("the worker panicked: this is a defect of the server"));
            PANICKED
        });
        wording.tell(&log, Event::WorkerExit { pid });
        process::exit_now(code)
    }
}

enum Forked {
    Parent(i32, File),
    Child(OwnedFd),
}

/// Makes the new process what the settings want it to be.
pub(super) fn prepare(context: &WorkerContext, identity: &super::Identity) -> Result<(), String> {
    if let Some(setup) = &context.settings.nginx {
        surroundings::limits(&setup.main, &context.log);
    }
    identity.assume()?;
    if let Some(setup) = &context.settings.nginx {
        surroundings::processors(&setup.main, context.seat, &context.log);
        surroundings::environment(&setup.main);
    }
    if context.master_pid != 0 && !process::end_with_parent(context.master_pid) {
        return Err("the master is gone".into());
    }
    // The process keeps this until its end.
    let _applied = apply_environment(&context.settings).map_err(|exit| exit.message)?;
    Ok(())
}
